#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What looks at databases from outside while the bench runs, each in a process of its own.

    probes.py write DB STATEMENT   commits STATEMENT every millisecond, as a key manager that is busy
    probes.py read DB              looks one key up after the other, as a key manager that serves devices
    probes.py watch DB...          says when which of the bench's keys became visible in each database
    probes.py updates LOG...       the same of Kerberos update logs: when which serial number was there

It says `ready`, works until its standard input ends, and writes one JSON value. Times are of CLOCK_MONOTONIC, which all
processes share.
"""
import json
import select
import sqlite3
import struct
import sys
import time


def ended() -> bool:
    return bool(select.select([sys.stdin], [], [], 0)[0])


def summary(times: list) -> dict:
    times.sort()
    if not times:
        return {"count": 0, "longest_ms": None}
    return {"count": len(times), "longest_ms": round(times[-1] / 1e6, 2), "p99_ms": round(times[len(times) * 99 // 100] / 1e6, 3),
            "p50_ms": round(times[len(times) // 2] / 1e6, 3)}


PATIENCE = 30


def write(path: str, statement: str) -> dict:
    """Waits for locks as long as it takes, with SQLite's own busy handler, which looks again after 1 to 100 ms. What does not
    end beside a writer ends when it gives up."""
    db = sqlite3.connect(path, timeout=120, isolation_level=None)
    db.execute("PRAGMA synchronous=FULL")
    times = []
    most = time.monotonic() + PATIENCE
    while not ended() and time.monotonic() < most:
        begun = time.perf_counter_ns()
        db.execute(statement)
        times.append(time.perf_counter_ns() - begun)
        time.sleep(0.001)
    db.close()
    return {**summary(times), "gave_up": time.monotonic() >= most}


def read(path: str) -> dict:
    """One connection that is never opened anew. Before a clone has the file and the table there is nothing to look up."""
    db, keys, times, errors, turn = None, [], [], 0, 0
    while not ended():
        try:
            if db is None:
                db = sqlite3.connect("file:%s?mode=ro" % path, uri=True, timeout=120, isolation_level=None)
            if not keys:
                keys = db.execute("SELECT uuid FROM keys LIMIT 1000").fetchall()
            begun = time.perf_counter_ns()
            if keys:
                db.execute("SELECT material FROM keys WHERE uuid = ?", keys[turn % len(keys)]).fetchone()
                times.append(time.perf_counter_ns() - begun)
        except sqlite3.Error:
            errors += 1 if keys else 0
        turn += 1
        time.sleep(0.001)
    if db is not None:
        db.close()
    return {"errors": errors, **summary(times)}


def watch(paths: list) -> list:
    """Cheap where nothing has happened: data_version looks at one word of shared memory."""
    dbs = [sqlite3.connect("file:%s?mode=ro" % p, uri=True, timeout=120, isolation_level=None) for p in paths]
    version, seen, found = [-1] * len(dbs), [-1] * len(dbs), [[] for _ in dbs]
    while not ended():
        for i, db in enumerate(dbs):
            now = db.execute("PRAGMA data_version").fetchone()[0]
            if now == version[i]:
                continue
            version[i] = now
            newest = db.execute("SELECT max(alias) FROM keys WHERE alias >= 'watch-' AND alias < 'watch.'").fetchone()[0]
            number = int(newest[6:]) if newest else -1
            if number > seen[i]:
                seen[i] = number
                found[i].append((number, time.monotonic()))
        time.sleep(0.001)
    return found


def serial(path: str) -> int:
    """The newest serial number of a Kerberos update log (struct kdb_hlog)."""
    try:
        with open(path, "rb") as f:
            head = f.read(36)
    except OSError:
        return 0
    return struct.unpack_from("<I", head, 32)[0] if len(head) == 36 else 0


def updates(paths: list) -> list:
    seen, found = [serial(p) for p in paths], [[] for _ in paths]
    while not ended():
        for i, path in enumerate(paths):
            number = serial(path)
            if number > seen[i]:
                seen[i] = number
                found[i].append((number, time.monotonic()))
        time.sleep(0.001)
    return found


def main() -> None:
    print("ready", flush=True)
    what, arguments = sys.argv[1], sys.argv[2:]
    if what == "write":
        result = write(*arguments)
    elif what == "read":
        result = read(*arguments)
    elif what == "watch":
        result = watch(arguments)
    else:
        result = updates(arguments)
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
