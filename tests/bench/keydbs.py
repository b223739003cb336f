# SPDX-License-Identifier: Apache-2.0
"""Key databases: made once a size and copied, changed as the workloads say, and compared row by row."""
from __future__ import annotations

import hashlib
import os
import random
import shutil
import sqlite3
import uuid

import procs

SCHEMA = """
CREATE TABLE keys(
    uuid TEXT NOT NULL PRIMARY KEY, alias TEXT NOT NULL, grp TEXT, state INTEGER NOT NULL, created INTEGER NOT NULL,
    activated INTEGER, deactivated INTEGER, material BLOB NOT NULL);
CREATE INDEX keys_alias ON keys(alias);
"""
INSERT = "INSERT INTO keys VALUES(?, ?, ?, ?, ?, ?, ?, ?)"


def key_row(rnd: random.Random, number: int) -> tuple:
    """One key as a manager has it: 40 bytes are an AES-256 key wrapped by another (RFC 3394)."""
    created = 1_600_000_000 + rnd.randrange(150_000_000)
    state = rnd.choice((1, 2, 2, 2, 3))
    return (str(uuid.UUID(int=rnd.getrandbits(128), version=4)), "tape%08d" % number, "group%03d" % rnd.randrange(200), state,
            created, created + 60 if state > 1 else None, created + 31_536_000 if state > 2 else None, rnd.randbytes(40))


def make(path: str, keys: int) -> None:
    """The same rows for the same number of keys."""
    rnd = random.Random(keys)
    db = sqlite3.connect(path)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=OFF")
    db.execute("PRAGMA cache_size=-400000")
    db.executescript(SCHEMA)
    with db:
        db.executemany(INSERT, (key_row(rnd, i) for i in range(keys)))
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


def connect(path: str) -> sqlite3.Connection:
    """As a key manager that means to lose nothing."""
    db = sqlite3.connect(path, timeout=120, isolation_level=None)
    db.execute("PRAGMA synchronous=FULL")
    return db


def add(db: sqlite3.Connection, count: int) -> None:
    """In one transaction; random from the system, so that no two calls add the same."""
    rnd = random.Random(os.urandom(16))
    first = db.execute("SELECT count(*) FROM keys").fetchone()[0]
    db.execute("BEGIN IMMEDIATE")
    db.executemany(INSERT, (key_row(rnd, first + i) for i in range(count)))
    db.execute("COMMIT")


def digest(job: tuple[str, str]) -> tuple[int, int]:
    """Number of rows and sum of a 64-bit hash of each: all columns of all rows, in whatever order the pages have them.

    The hash is Python's own, with the seed of this process and of those that it forks."""
    path, options = job
    db = sqlite3.connect("file:%s?mode=ro%s" % (path, options), uri=True, timeout=60)
    db.text_factory = bytes
    rows = db.execute("SELECT count(*) FROM keys").fetchone()[0]
    total = sum(map(hash, db.execute("SELECT * FROM keys")))
    db.close()
    return rows, total


def differing(master: str, clones: list[str], options: str = "") -> list[str]:
    """The clones whose rows are not the master's, on two processors."""
    wanted, *found = procs.parallel(digest, [(master, "")] + [(c, options) for c in clones])
    return ["%s: %d rows, the master has %d" % (c, f[0], wanted[0]) for c, f in zip(clones, found) if f != wanted]


class Templates:
    """Databases of each size, made when they are first wanted."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        os.makedirs(folder, exist_ok=True)

    def foreign(self, keys: int) -> str:
        path = "%s/foreign-%d.sqlite" % (self.folder, keys)
        if not os.path.exists(path):
            make(path + ".new", keys)
            os.rename(path + ".new", path)
        return path

    def drop(self) -> None:
        """What is as large as a database goes when its size has been measured."""
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder)


def digest_of_lines(lines: list[str]) -> str:
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()
