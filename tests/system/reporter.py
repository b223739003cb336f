# SPDX-License-Identifier: Apache-2.0
"""reporter: says at a master's listen port that a generation is restored, and prints the answer.

reporter.py CERT PORT RECIPIENT RECEIPT LINEAGE GENERATION [STATUS]
"""
import json
import socket
import ssl
import sys
import time

from hostile import ERROR, HELLO, Session, context

REPORT, ACK = 11, 12


def main():
    cert, port, recipient, receipt, lineage, generation = sys.argv[1:7]
    status = sys.argv[7] if len(sys.argv) > 7 else "restored"
    sock = socket.create_connection(("127.0.0.1", int(port)))
    s = Session(context(ssl.PROTOCOL_TLS_CLIENT, cert, cert).wrap_socket(sock))
    s.send(HELLO, {"version": 2, "product": "p", "role": "clone", "host": "h", "time": int(time.time()), "free": 1,
                   "recipient": recipient})
    kind, body = s.receive()
    if kind == HELLO:
        s.send(REPORT, {"receipt": receipt, "lineage": lineage, "generation": int(generation), "status": status})
        kind, body = s.receive()
    print({ACK: "ack", ERROR: "error"}.get(kind, kind), json.dumps(body))


try:
    main()
except OSError as e:
    print("closed:", e)
