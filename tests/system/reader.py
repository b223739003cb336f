# SPDX-License-Identifier: Apache-2.0
"""reader: what a key manager sees while its database is restored.

reader.py STOP OUTPUT ALLOWED DATABASE...

Keeps one connection to each database open and counts rows, again and again, until the file STOP exists. Each count
has to be one of ALLOWED ("0,10000"), must never go back, and no statement may fail. A second look inside the same
read transaction has to see the same. Writes one line "N reads" to OUTPUT, or what was wrong.
"""
import os
import sqlite3
import sys
import time

stop, output, allowed, paths = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]
allowed = {int(n) for n in allowed.split(",")}


def look(connection):
    connection.execute("BEGIN")
    count = connection.execute("SELECT count(*) FROM keys").fetchone()[0]
    again = connection.execute("SELECT count(DISTINCT uuid) FROM keys WHERE material IS NOT NULL").fetchone()[0]
    connection.execute("COMMIT")
    if again != count:
        raise ValueError(f"a mixture: {count} rows, then {again}")
    return count


def main():
    reads = 0
    last = {}
    # no isolation_level: transactions are ours; timeout 0: a reader never waits, it would be an error
    open_ones = {path: sqlite3.connect(path, isolation_level=None, timeout=0) for path in paths}
    while True:
        stopping = os.path.exists(stop)
        for path, connection in open_ones.items():
            count = look(connection)
            if count not in allowed or count < last.get(path, 0):
                raise ValueError(f"{path}: {count} rows after {last.get(path)}")
            last[path] = count
            reads += 1
        if stopping:
            break
        time.sleep(0.001)
    if any(count != max(allowed) for count in last.values()):
        raise ValueError(f"the new keys are not seen without reconnecting: {last}")
    return f"{reads} reads"


try:
    result, status = main(), 0
except Exception as error:  # the test wants to read all of them
    result, status = f"{type(error).__name__}: {error}", 1
with open(output, "w", encoding="ascii", errors="replace") as f:
    f.write(result + "\n")
sys.exit(status)
