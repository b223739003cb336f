#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""pykmip_client.py DIR PORT create NAME [COUNT] | get ID…: keys of a KMIP server, as a device would make and fetch them."""
import logging
import sys

from kmip import enums
from kmip.pie.client import ProxyKmipClient

logging.disable(logging.CRITICAL)
where, port, verb, args = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4:]
client = ProxyKmipClient(hostname="127.0.0.1", port=port, cert=where + "/client.pem", key=where + "/client.key",
                         ca=where + "/ca.pem", config_file="/dev/null")
with client:
    if verb == "create":
        for i in range(int(args[1]) if len(args) > 1 else 1):
            print(client.create(enums.CryptographicAlgorithm.AES, 256, name="%s-%d" % (args[0], i)))
    else:
        for uid in args:
            print(uid, client.get(uid).value.hex())
