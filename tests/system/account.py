#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""account.py MASTER-LOG-DIR CLONE-LOG-DIR...: is every attempt accounted for in the audit logs?

Each record `started` has one end after it, of the same event, generation and peer; each generation whose backup was made has
a run; and what a clone says it restored is what the master's pushes and reports say of it.
"""
import glob
import json
import os
import sys

PAIRS = {"replication.start": "replication.end", "push.start": "push.end", "receive.start": "receive.end",
         "restore.start": "restore.end"}


def read(folder):
    files = sorted(glob.glob(os.path.join(folder, "replication_audit.log*")),
                   key=lambda f: -int(f.rsplit(".", 1)[1]) if f.rsplit(".", 1)[1].isdigit() else 0)
    return [json.loads(line) for f in files for line in open(f, encoding="utf-8")]


def key(record, event):
    return (event, record.get("generation"), record.get("peer") if event.startswith("push") else None)


def unfinished(records):
    open_, bad = {}, []
    for r in records:
        if r["event"] in PAIRS:
            k = key(r, PAIRS[r["event"]])
            if k in open_:
                bad.append(f"seq {open_[k]['seq']}: {open_[k]['event']} of generation {r.get('generation')} has no end")
            open_[k] = r
        elif r["event"] in PAIRS.values():
            open_.pop(key(r, r["event"]), None)
    return bad + [f"seq {r['seq']}: {r['event']} of generation {r.get('generation')} has no end" for r in open_.values()]


def main():
    bad = []
    master = read(sys.argv[1])
    bad += [f"master: {b}" for b in unfinished(master)]
    runs = {r["generation"] for r in master if r["event"] == "replication.start"}
    made = {r["generation"] for r in master if r["event"] == "backup.create" and r["outcome"] == "success" and "generation" in r}
    bad += [f"master: generation {g} was made outside a run" for g in sorted(made - runs)]
    figures = [f"master: {len(master)} records, {len(runs)} runs, {len(made)} backups"]
    for folder in sys.argv[2:]:
        clone = read(folder)
        bad += [f"{folder}: {b}" for b in unfinished(clone)]
        restored = {r["generation"] for r in clone if r["event"] == "restore.end" and r["outcome"] == "success"}
        bad += [f"{folder}: generation {g} was restored, and the master did not make it" for g in sorted(restored - made)]
        figures.append(f"{folder}: {len(clone)} records, {len(restored)} restored")
    print("\n".join(figures))
    if bad:
        print("\n".join(bad[:40]), file=sys.stderr)
        sys.exit(1)


main()
