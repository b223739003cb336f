# SPDX-License-Identifier: Apache-2.0
"""serial_reader: a key manager that reads while increments come.

serial_reader.py STOP OUTPUT WAIT DATABASE

Reads, again and again in one connection, a state that serial.py made, until the file STOP exists; waits WAIT seconds for
locks. Every read has to succeed and to be a whole state, none older than the one before; at the end it is the newest,
which STOP names. Writes "N reads, M states" to OUTPUT, or what was wrong.
"""
import os
import sqlite3
import sys
import time

stop, output, wait, path = sys.argv[1:]


def look(db):
    db.execute("BEGIN")
    rows = db.execute("SELECT DISTINCT state, alias FROM keys WHERE id <= 20").fetchall()
    added = db.execute("SELECT count(*), max(CAST(value AS INTEGER)) FROM attributes WHERE name = 'serial'").fetchone()
    gone = db.execute("SELECT min(id) FROM keys WHERE id > 100").fetchone()[0]
    made = db.execute("SELECT max(created), count(*) FROM keys WHERE uuid LIKE 'serial %'").fetchone()
    db.execute("COMMIT")
    serial = rows[0][0]
    if rows != [(serial, "serial %d" % serial)] or added != (serial, serial) or gone != 101 + serial or made != (serial, serial):
        raise ValueError(f"a state that the master never had: {rows} {added} {gone} {made}")
    return serial


def main():
    db = sqlite3.connect(path, isolation_level=None, timeout=float(wait))
    reads, states, last = 0, 0, 0
    while True:
        stopping = os.path.exists(stop)
        serial = look(db)
        if serial < last:
            raise ValueError(f"state {serial} after state {last}")
        states += serial != last
        last = serial
        reads += 1
        if stopping:
            break
        time.sleep(0.002)
    if last != int(open(stop, encoding="ascii").read()):
        raise ValueError(f"state {last} at the end")
    return f"{reads} reads, {states} states"


try:
    result, status = main(), 0
except Exception as error:  # whatever it is, the test wants to read it
    result, status = f"{type(error).__name__}: {error}", 1
with open(output, "w", encoding="ascii", errors="replace") as f:
    f.write(result + "\n")
sys.exit(status)
