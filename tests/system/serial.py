# SPDX-License-Identifier: Apache-2.0
"""serial: states of the master that can be told by their number, one generation each.

serial.py CONFIGURATION DATABASE FIRST LAST: state FIRST to LAST, each replicated before the next.
"""
import sqlite3
import subprocess
import sys

configuration, path, first, last = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
db = sqlite3.connect(path, timeout=60)
for n in range(first, last + 1):
    with db:
        db.execute("UPDATE keys SET state = ?, alias = ? WHERE id <= 20", (n, "serial %d" % n))
        db.execute("INSERT INTO attributes VALUES(?, 'serial', ?)", ("serial %d" % n, str(n)))
        db.execute("DELETE FROM keys WHERE id = ?", (100 + n,))
        db.execute(
            "INSERT INTO keys(uuid, alias, created, material) VALUES(?, 'new', ?, x'00')", ("serial %d" % n, float(n))
        )
    subprocess.run(
        ["keyclone", "-c", configuration, "replicate-now"], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
