#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""make-keydb FILE COUNT: a key database of a manager that is not ours: COUNT keys of about 200 bytes, with attributes.

make-keydb --change FILE N SEED: change, remove and add about N keys of it, in one transaction.
"""
import hashlib
import random
import sqlite3
import sys

SCHEMA = """
CREATE TABLE keys(
    id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE, alias TEXT, state INTEGER NOT NULL DEFAULT 1,
    created REAL NOT NULL, material BLOB NOT NULL);
CREATE TABLE attributes(
    key TEXT NOT NULL, name TEXT NOT NULL, value TEXT, PRIMARY KEY(key, name)) WITHOUT ROWID;
CREATE INDEX by_alias ON keys(alias);
CREATE VIEW active AS SELECT uuid FROM keys WHERE state = 1;
"""


def key(number, salt):
    seed = hashlib.sha256(b"%d %d" % (number, salt)).digest()
    return (hashlib.md5(seed).hexdigest(), "tape%08d" % number, number % 5, 1.7e9 + number, seed * 3)


def make(path, count):
    db = sqlite3.connect(path)
    db.execute("PRAGMA journal_mode=WAL")
    db.executescript(SCHEMA)
    with db:
        for first in range(0, count, 10000):
            rows = [key(i, 0) for i in range(first, min(first + 10000, count))]
            db.executemany("INSERT INTO keys(uuid, alias, state, created, material) VALUES(?, ?, ?, ?, ?)", rows)
        db.execute("INSERT INTO attributes SELECT uuid, 'owner', 'group ' || state FROM keys WHERE id % 50 = 0")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


def change(path, n, seed):
    rnd = random.Random(seed)
    db = sqlite3.connect(path, timeout=60)
    with db:
        top = db.execute("SELECT max(id) FROM keys").fetchone()[0]
        for _ in range(n):
            some = rnd.randint(1, top)
            kind = rnd.randint(0, 2)
            if kind == 0:
                db.execute("UPDATE keys SET state = state + 1, material = ? WHERE id = ?", (rnd.randbytes(96), some))
            elif kind == 1:
                db.execute("DELETE FROM keys WHERE id = ?", (some,))
            else:
                top += 1
                db.execute(
                    "INSERT INTO keys(uuid, alias, state, created, material) VALUES(?, ?, ?, ?, ?)",
                    key(top, seed + 1),
                )
    db.close()


if sys.argv[1] == "--change":
    change(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
else:
    make(sys.argv[1], int(sys.argv[2]))
