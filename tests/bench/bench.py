#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How fast keyclone replicates a key database, and at what cost, beside what people use for it today.

`make bench` runs it with the programs of its build folder. It is a measurement, not a test. What is measured, and how:
README.md beside this file.
"""
from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import signal
import statistics
import sys
import tempfile
import time
from typing import Optional

sys.dont_write_bytecode = True

import keydbs  # noqa: E402
import latency  # noqa: E402
import meter  # noqa: E402
import procs  # noqa: E402
import report  # noqa: E402
import syncs  # noqa: E402
from fleet import BuiltIn, Foreign  # noqa: E402
from kerberos import Iprop, Kprop  # noqa: E402
from peers import Rsync, Sqldiff, Zstd  # noqa: E402
from procs import BenchError  # noqa: E402
from system import WORKLOADS, Bench, System  # noqa: E402

SYSTEMS: dict[str, type[System]] = {s.name: s for s in (BuiltIn, Foreign, Kprop, Iprop, Rsync, Zstd, Sqldiff)}
SPARE = 2_000_000_000  # bytes that the disk keeps


def say(text: str) -> None:
    print(text, flush=True)


class Run:
    """Everything that was asked for, one system, number of keys and number of clones after the other."""

    def __init__(self, options: argparse.Namespace, bench: Bench) -> None:
        self.o, self.bench = options, bench
        self.results: list[dict] = []
        self.latencies: list[dict] = []
        self.chains: list[dict] = []
        self.skipped: list[str] = []
        self.begun = time.monotonic()

    def skip(self, what: str, why: str) -> None:
        self.skipped.append("%s: %s" % (what, why))
        say("skipped %s: %s" % (what, why))

    def minutes(self) -> float:
        return (time.monotonic() - self.begun) / 60

    def present(self) -> list[type[System]]:
        """The systems that can be measured here; says which package the others lack."""
        found = []
        for name in self.o.systems:
            missing = SYSTEMS[name].missing()
            if missing:
                self.skip(name, "not installed: %s (tests/bench/setup.sh installs what is needed)" % ", ".join(missing))
            else:
                found.append(SYSTEMS[name])
        return found

    def room_for(self, kind: type[System], keys: int, clones: int) -> bool:
        need = kind.room * keys * (clones + 2) + SPARE
        free = shutil.disk_usage(self.bench.work).free
        if free < need:
            self.skip("%s, %d keys, %d clones" % (kind.name, keys, clones),
                      "needs %s of disk, %s has %s" % (report.size(need), self.bench.work, report.size(free)))
        return free >= need

    def wanted(self, kind: type[System], keys: int, clones: int) -> bool:
        what = "%s, %d keys, %d clones" % (kind.name, keys, clones)
        if kind.too_long(keys, clones) and not self.o.long:
            self.skip(what, "takes many minutes a round; --long runs it")
            return False
        if self.minutes() > self.o.minutes:
            self.skip(what, "the %g minutes of --minutes are over" % self.o.minutes)
            return False
        return self.room_for(kind, keys, clones)

    # --- one system ---

    def cell(self, kind: type[System], keys: int, clones: int) -> None:
        """All workloads of one system; what fails is said, and the others go on."""
        workloads = [w for w in self.o.workloads if w in kind.workloads]
        if not workloads or not self.wanted(kind, keys, clones):
            return
        say("%s, %s (%.0f min)" % (kind.title, report.sizes(keys, clones), self.minutes()))
        system: Optional[System] = None
        try:
            system = kind(self.bench, keys, clones)
            system.open()
            if workloads[0] != "full" and kind is not Iprop:
                self.round(system, "full", system.replicate)
            for workload in workloads:
                self.results.append(self.workload(system, workload))
        except (BenchError, OSError) as e:
            self.skip("%s, %d keys, %d clones" % (kind.name, keys, clones), "FAILED: %s\n%s" % (e, system.logs() if system else ""))
        finally:
            if system is not None:
                system.close()

    def round(self, system: System, workload: str, replicate, verify: bool = True):
        """One replication, whatever is measured of it, and the proof that every clone has the master's rows."""
        if workload == "full":
            system.reset()
        system.change(workload)
        result = replicate()
        system.replicated(workload)
        if verify:
            system.verify()
        return result

    def workload(self, system: System, workload: str) -> dict:
        """Rounds until there are enough, or until they have taken too long; then the two that are not timed."""
        result = {"system": system.name, "title": system.title, "keys": system.keys, "clones": system.clones, "workload": workload,
                  "rounds": []}
        begun = time.monotonic()
        for _ in range(self.o.rounds):
            result["rounds"].append(self.round(system, workload, lambda: meter.measure(system.group, system.replicate)))
            if time.monotonic() - begun > self.o.budget:
                break
        a_round = (time.monotonic() - begun) / len(result["rounds"])
        say("   %-20s %s s" % (WORKLOADS[workload], " ".join("%.3f" % r["wall_s"] for r in result["rounds"])))
        if self.o.extras and a_round <= 2 * self.o.budget:
            self.extras(system, workload, result)
        elif self.o.extras:
            self.skip("%s, %d keys, %d clones, %s: syncs and stalls" % (system.name, system.keys, system.clones, workload),
                      "a round takes %.0f s" % a_round)
        return result

    def extras(self, system: System, workload: str, result: dict) -> None:
        if self.o.strace:
            result["syncs"] = self.round(system, workload, lambda: self.count(system))
        if system.clone_database() is None:
            return
        result["stalls"] = self.round(
            system, workload, lambda: meter.stalls(system.work, system.master_database(), system.clone_database(),
                                                   system.busy_statement(), system.replicate), verify=False)
        # What the writer did to the end is still to come.
        system.replicate()
        system.verify()

    @staticmethod
    def count(system: System) -> int:
        return meter.count_syncs(system.group, system.work, system.replicate)

    # --- the whole ---

    def measure(self) -> None:
        kinds = self.present()
        if self.o.extras and not self.o.strace:
            self.skip("syncs", "strace is not installed, or this is not root")
        for keys in self.o.keys:
            for clones in self.o.clones:
                for kind in kinds:
                    self.cell(kind, keys, clones)
            self.bench.templates.drop()

    def one_fleet(self, kind: type[System], keys: int, clones: int, use) -> Optional[dict]:
        """A system whose clones have everything, for something else than rounds."""
        system: Optional[System] = None
        try:
            system = kind(self.bench, keys, clones)
            system.open()
            if kind is not Iprop:
                self.round(system, "full", system.replicate)
            result = use(system)
            return {"system": kind.name, "title": kind.title, "keys": keys, "clones": clones, **result}
        except (BenchError, OSError) as e:
            self.skip("%s, %d keys, %d clones" % (kind.name, keys, clones), "FAILED: %s\n%s" % (e, system.logs() if system else ""))
            return None
        finally:
            if system is not None:
                system.close()

    def latency(self) -> None:
        for kind in self.present():
            for clones in self.o.clones if kind in (BuiltIn, Foreign, Iprop) else []:
                if self.wanted(kind, self.o.latency_keys, clones):
                    say("latency: %s, %s (%.0f min)" % (kind.title, report.sizes(self.o.latency_keys, clones), self.minutes()))
                    found = self.one_fleet(kind, self.o.latency_keys, clones, lambda s: latency.run(s, self.o.commits))
                    self.latencies += [found] if found else []

    def syncs(self) -> None:
        if not self.o.strace:
            self.skip("syncs", "strace is not installed, or this is not root")
            return
        for kind in (BuiltIn, Foreign):
            if kind.name in self.o.systems:
                found = self.one_fleet(kind, self.o.keys[0], 1, syncs.run)
                self.chains += [found] if found else []

    def write(self) -> None:
        """Also of what there is when the bench is interrupted."""
        out = os.path.abspath(self.o.out)
        os.makedirs(out, exist_ok=True)
        machine = {"processors": os.cpu_count(), "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
                   "kernel": platform.release(), "fsync_ms": self.o.fsync_ms}
        for keys in self.o.keys:
            for clones in self.o.clones:
                text = report.block(self.results, keys, clones)
                if text:
                    say(text)
        if self.latencies:
            say(report.latency_table(self.latencies))
        if self.skipped:
            say("\nLeft out:\n" + "\n".join("  " + s.split("\n")[0] for s in self.skipped))
        path = out + "/bench.json"
        with open(path, "w", encoding="utf-8") as f:
            json.dump({"when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "minutes": round(self.minutes(), 1),
                       "machine": machine, "own_loopback": self.o.own_loopback, "results": self.results, "latency": self.latencies,
                       "sync_chains": self.chains, "left_out": self.skipped}, f, indent=1)
            f.write("\n")
        if self.results:
            say("\n" + report.READING)
        say("\n%.0f minutes on %d processors; one fsync of 4 kB takes %.2f ms here. Every figure: %s" % (
            self.minutes(), os.cpu_count() or 1, self.o.fsync_ms, path))
        if self.results:
            self.draw(out + "/bench.svg")

    def draw(self, path: str) -> None:
        try:
            if report.picture(self.results, path):
                say("A picture of the wall times: %s" % path)
            else:
                say("No picture: gnuplot is not installed (gnuplot-nox).")
        except BenchError as e:
            say("No picture: %s" % e)


def fsync_ms(folder: str) -> float:
    """What this disk asks for a promise: a figure without which no other can be compared."""
    times = []
    with tempfile.NamedTemporaryFile(dir=folder) as f:
        for _ in range(50):
            f.write(random.randbytes(4096))
            f.flush()
            begun = time.perf_counter()
            os.fsync(f.fileno())
            times.append(time.perf_counter() - begun)
    return round(statistics.median(times) * 1000, 3)


def numbers(text: str) -> list[int]:
    return [int(x) for x in text.split(",")]


def choice(of: dict):
    def parse(text: str) -> list[str]:
        names = text.split(",")
        for name in names:
            if name not in of:
                raise argparse.ArgumentTypeError("%s is none of %s" % (name, ", ".join(of)))
        return names
    return parse


def arguments() -> argparse.Namespace:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--keys", type=numbers, help="numbers of keys (10000,100000,1000000)")
    p.add_argument("--clones", type=numbers, help="numbers of clones, at most 20 (1,20)")
    p.add_argument("--systems", type=choice(SYSTEMS), default=list(SYSTEMS), help="of " + ",".join(SYSTEMS))
    p.add_argument("--workloads", type=choice(WORKLOADS), help="of " + ",".join(WORKLOADS).replace("%", "%%"))
    p.add_argument("--rounds", type=int, help="rounds of each workload (5)")
    p.add_argument("--budget", type=float, help="seconds after which a workload gets no further round (10)")
    p.add_argument("--minutes", type=float, default=75, help="after which nothing new is begun (75)")
    p.add_argument("--long", action="store_true", help="also what takes many minutes a round")
    p.add_argument("--no-extras", dest="extras", action="store_false", help="count no syncs, measure no stalls")
    p.add_argument("--latency", action="store_true", help="measure the latency only")
    p.add_argument("--no-latency", action="store_true", help="do not measure it")
    p.add_argument("--latency-keys", type=int, help="keys that there are already (100000)")
    p.add_argument("--commits", type=int, help="commits for the latency (500)")
    p.add_argument("--syncs", action="store_true", help="show the calls that wait for the disk on the way of one key, only")
    p.add_argument("--quick", action="store_true", help="small sizes, to see that it works: two minutes")
    p.add_argument("--build", default=os.getcwd(), help="where keyclone and keycloned are built (the working directory)")
    p.add_argument("--out", default=os.getcwd(), help="where bench.json and bench.svg are written (the working directory)")
    p.add_argument("--tmp", default=os.environ.get("TMPDIR", "/tmp"), help="a folder on the disk to measure on, and with room")
    o = p.parse_args()
    quick = {"keys": [1000], "clones": [2], "workloads": ["full", "+10", "1%"], "rounds": 1, "budget": 5, "latency_keys": 1000,
             "commits": 20}
    usual = {"keys": [10000, 100000, 1000000], "clones": [1, 20], "workloads": list(WORKLOADS), "rounds": 5, "budget": 10,
             "latency_keys": 100000, "commits": 500}
    if o.syncs:
        usual["keys"] = [10000]
    for name, value in (quick if o.quick else usual).items():
        if getattr(o, name) is None:
            setattr(o, name, value)
    if max(o.clones) > 20 or min(o.clones) < 1 or min(o.keys) < 1000 or o.latency_keys < 1000 or min(o.rounds, o.commits) < 1:
        p.error("1 to 20 clones, at least 1000 keys, at least one round and commit")
    o.build = os.path.abspath(o.build)
    for name in ("keyclone", "keycloned"):
        if not os.access(o.build + "/" + name, os.X_OK):
            p.error("%s/%s is not built" % (o.build, name))
    return o


def interrupted(number: int, _frame) -> None:
    raise SystemExit(128 + number)


def main() -> None:
    o = arguments()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, interrupted)
    work = tempfile.mkdtemp(prefix="keyclone-bench.", dir=o.tmp)
    try:
        o.own_loopback = procs.own_loopback()
        say("in %s, on %s" % (work, "a loopback of its own" if o.own_loopback else
                              "this machine's loopback: what else uses it meanwhile is counted too"))
        o.fsync_ms = fsync_ms(work)
        o.strace = shutil.which("strace") is not None and os.geteuid() == 0  # keycloned lets nobody else attach
        run = Run(o, Bench(work, o.build, keydbs.Templates(work + "/templates")))
        try:
            if o.syncs:
                run.syncs()
            else:
                if not o.latency:
                    run.measure()
                if not o.no_latency:
                    run.latency()
        finally:
            run.write()
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
