# SPDX-License-Identifier: Apache-2.0
"""From the commit of one key on the master to the moment when a reader of a clone can see it."""
from __future__ import annotations

import random
import sqlite3
import subprocess
import time
from typing import Optional

import meter
import procs
from kerberos import Iprop
from probes import serial
from procs import BenchError
from system import System

PATIENCE = 300


def percentile(values: list[float], p: float) -> float:
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * p / 100))]


def summary(values: list[float]) -> dict:
    """Milliseconds."""
    return {"p50_ms": round(percentile(values, 50) * 1000, 1), "p99_ms": round(percentile(values, 99) * 1000, 1),
            "max_ms": round(max(values) * 1000, 1)}


def visible_at(number: int, seen: list) -> Optional[float]:
    """When a database first had this key, or a later one: a generation brings all that were committed before it."""
    for newest, when in seen:
        if newest >= number:
            return when
    return None


class Commits:
    """When which key was committed."""

    def __init__(self, system: System) -> None:
        self.system, self.at = system, []
        self.numbers: list[int] = []

    def one(self, number: int) -> None:
        self.system.commit_one(number)
        self.at.append(time.monotonic())
        self.numbers.append(number)


class Principals(Commits):
    """kadmin.local does not say when it has committed; the primary's update log does, and its serial numbers are the keys'."""

    def __init__(self, system: Iprop) -> None:
        super().__init__(system)
        self.admin = procs.spawn(["kadmin.local"], None, system.work + "/kadmin.log", system.env("primary"), stdin=subprocess.PIPE)

    def one(self, number: int) -> None:
        log = self.system.log_of("primary")
        before = serial(log)
        self.admin.stdin.write(b"addprinc -randkey watch-%08d\n" % number)
        self.admin.stdin.flush()
        procs.wait_until(lambda: serial(log) > before, "kadmin.local to add a principal", 30, 0.0005)
        now = time.monotonic()
        procs.wait_until(lambda: self.quiet(log), "the primary's update log", 5, 0.002)
        self.at.append(now)
        self.numbers.append(serial(log))

    @staticmethod
    def quiet(log: str) -> bool:
        """One addprinc writes two updates."""
        last = serial(log)
        time.sleep(0.01)
        return serial(log) == last

    def close(self) -> None:
        procs.end(self.admin)


def run(system: System, commits: int) -> dict:
    """Commits at random intervals, one probe that looks at all clones, and a delay for each pair of the two."""
    rnd = random.Random(1)
    kind, files = system.watched()
    clones = len(files) - (1 if kind == "updates" else 0)
    system.watch(True)
    source = Principals(system) if isinstance(system, Iprop) else Commits(system)
    probe = meter.Probe(system.work, kind, *files)
    try:
        system.group.settle()
        cpu, sent, begun = system.group.cpu(), meter.wire(), time.monotonic()
        for number in range(commits):
            time.sleep(rnd.uniform(0.05, 0.15))
            source.one(number)
        wait_for_last(system, source)
        seconds = time.monotonic() - begun
        cpu, sent = system.group.cpu() - cpu, meter.wire() - sent
        found = probe.finish()[-clones:]
    finally:
        probe.kill()
        if isinstance(source, Principals):
            source.close()
        system.watch(False)
    first, every = [], []
    for number, at in zip(source.numbers, source.at):
        times = [visible_at(number, seen) for seen in found]
        if any(t is None for t in times):
            raise BenchError("key %d was not seen on every clone" % number)
        first.append(max(0.0, times[0] - at))
        every.append(max(0.0, max(times) - at))
    return {"commits": commits, "seconds": round(seconds, 1), "cpu_s": round(cpu, 2), "wire": sent,
            "first_clone": summary(first), "all_clones": summary(every)}


def wait_for_last(system: System, source: Commits) -> None:
    if isinstance(system, Iprop):
        procs.wait_until(lambda: all(serial(system.log_of(n)) >= source.numbers[-1] for n in system.names()), "the replicas",
                         PATIENCE)
    else:
        alias = "watch-%08d" % source.numbers[-1]
        procs.wait_until(lambda: all(has(path, alias) for path in system.watched()[1]), "every clone to have the last key",
                         PATIENCE, 0.25)
    time.sleep(0.1)


def has(path: str, alias: str) -> bool:
    db = sqlite3.connect("file:%s?mode=ro" % path, uri=True, timeout=60)
    try:
        return db.execute("SELECT 1 FROM keys WHERE alias = ?", (alias,)).fetchone() is not None
    finally:
        db.close()
