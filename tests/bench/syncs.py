# SPDX-License-Identifier: Apache-2.0
"""Which calls wait for the disk, one after the other, between the commit of a key and the moment when a clone has it."""
from __future__ import annotations

import os
import re
import statistics
import time

import latency
import meter
import procs
from fleet import Fleet

SLOW_MS, SLOWED = 20, 9
WAITS = "fsync,fdatasync,sync,syncfs,msync"  # keyclone's sync_file_range has the disk begin, and waits for nothing
LINE = re.compile(r"^(\d+)(?:<([^>]*)>)?\s+(\d+\.\d+) (\w+)\((.*)$")


class Call:
    """One line of strace: when, how long, by whom, of which file."""

    def __init__(self, tid: int, thread: str, at: float, name: str, rest: str) -> None:
        self.tid, self.thread, self.at, self.name = tid, thread, at, name
        took = re.search(r"<(\d+\.\d+)>\s*$", rest)
        self.took = float(took[1]) if took else 0.0
        file = re.search(r"\d+<([^>]*)>", rest)
        self.file = file[1] if file else ""


def calls(lines: list[str]) -> list[Call]:
    """Unfinished ones get the time that their other half says."""
    found: list[Call] = []
    waiting: dict[int, Call] = {}
    for line in lines:
        if "resumed>" in line:
            tid = int(re.match(r"\d+", line)[0])
            took = re.search(r"<(\d+\.\d+)>\s*$", line)
            if tid in waiting and took:
                waiting.pop(tid).took = float(took[1])
            continue
        m = LINE.match(line)
        if m and meter.is_sync(line):
            call = Call(int(m[1]), m[2] or "", float(m[3]), m[4], m[5])
            found.append(call)
            if "<unfinished" in line:
                waiting[call.tid] = call
    return sorted(found, key=lambda c: c.at)


def roles(fleet: Fleet) -> dict[int, str]:
    """Every thread of every process, as `master daemon` or `c1 worker`."""
    found: dict[int, str] = {}
    for pid in fleet.group.pids():
        try:
            owner = next((fleet.role[p] for p in (pid, int(procs.stat_of(pid)[1])) if p in fleet.role), "?")
            for tid in os.listdir("/proc/%d/task" % pid):
                found[int(tid)] = "%s %s" % ("master" if owner == "m" else owner, meter.label(pid))
        except OSError:
            pass
    return found


def chain_length(found: list[Call]) -> int:
    """The most calls of which none begins before the one before has ended."""
    count, free = 0, 0.0
    for call in sorted(found, key=lambda c: c.at + c.took):
        if call.at >= free:
            count, free = count + 1, call.at + call.took
    return count


def show(found: list[Call], role: dict[int, str], work: str, zero: float) -> None:
    end = 0.0
    for call in found:
        beside = "|" if call.at < end else " "
        end = max(end, call.at + call.took)
        who = role.get(call.tid) or "%s, a thread" % call.file.replace(work + "/", "").split("/")[0]  # it ended meanwhile
        print("  %8.2f ms %s %7.3f ms  %-16s %-15s %-10s %s" % ((call.at - zero) * 1000, beside, call.took * 1000, who, call.thread,
                                                               call.name, call.file.replace(work + "/", "")))


def median_with(fleet: Fleet, first: int, delay_ms: int) -> float:
    """Milliseconds from commit to visible where each sync takes so much longer, in every process but the one that commits."""
    options = ["-e", "inject=%s:delay_exit=%d" % (WAITS, delay_ms * 1000)] if delay_ms else []
    tracer, times = meter.Tracer(fleet.work, options), []
    fleet.group.settle()
    tracer.attach(fleet.group.pids())
    try:
        for number in range(first, first + SLOWED):
            fleet.commit_one(number)
            committed = time.monotonic()
            procs.wait_until(lambda: latency.has(fleet.clone_database(), "watch-%08d" % number), "the key on the clone", 120, 0.001)
            times.append((time.monotonic() - committed) * 1000)
            fleet.group.settle(3.0)
    finally:
        tracer.detach()
    return statistics.median(times)


def waited_for(fleet: Fleet) -> float:
    """How many syncs, one after the other, a key waits for: what it takes longer if each takes longer, divided by that."""
    plain, slow = median_with(fleet, 1000, 0), median_with(fleet, 2000, SLOW_MS)
    print("  commit to visible, median of %d: %.1f ms; %.1f ms where each sync takes %d ms more: a key waits for %.1f of them" % (
        SLOWED, plain, slow, SLOW_MS, (slow - plain) / SLOW_MS))
    return (slow - plain) / SLOW_MS


def run(fleet: Fleet) -> dict:
    """One key, replicated as it is committed (backup.OnChange), with strace on every process of master and clone."""
    tracer = meter.Tracer(fleet.work, ["-ttt", "-T", "-y", "-Y"])
    fleet.watch(True)
    try:
        fleet.group.settle()
        tracer.attach(fleet.group.pids())
        role = roles(fleet)
        begun = time.time()
        fleet.commit_one(1)
        committed = time.time()
        procs.wait_until(lambda: latency.has(fleet.clone_database(), "watch-%08d" % 1), "the key on the clone", 120, 0.002)
        visible = time.time()
        fleet.group.settle(3.0)
        role.update(roles(fleet))
        tracer.detach()
        found = [c for c in calls(tracer.lines()) if c.at >= begun]
        waited = waited_for(fleet)
    finally:
        tracer.detach()
        fleet.watch(False)
    chain = [c for c in found if c.at < visible]
    print("%s, %d keys: from the commit (0 ms) to the key on the clone (%.1f ms, under strace)" % (
        fleet.title, fleet.keys, (visible - committed) * 1000))
    show(chain, role, fleet.work, committed)
    print("  --- the key is on the clone: %d calls so far, %d of them one after the other; what follows, nobody waits for" % (
        len(chain), chain_length(chain)))
    show(found[len(chain):], role, fleet.work, committed)
    print()
    return {"keys": fleet.keys, "calls": len(chain), "one_after_the_other": chain_length(chain), "waited_for": round(waited, 2),
            "calls_afterwards": len(found) - len(chain)}
