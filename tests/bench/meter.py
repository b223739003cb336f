# SPDX-License-Identifier: Apache-2.0
"""What one replication costs: time, CPU time, bytes on the wire, memory; and, in runs of their own, syncs and stalls."""
from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from typing import Callable, Optional

import procs
from procs import BenchError, Group

PAGE = os.sysconf("SC_PAGE_SIZE")
HERE = os.path.dirname(os.path.abspath(__file__))
SYNCS = "fsync,fdatasync,sync,syncfs,sync_file_range,msync"


def wire() -> int:
    """Bytes that `lo` has sent: both directions of every connection, with headers and acknowledgements."""
    with open("/proc/net/dev", encoding="ascii") as f:
        for line in f:
            if line.strip().startswith("lo:"):
                return int(line.split(":")[1].split()[8])
    raise BenchError("no interface lo")


def label(pid: int) -> str:
    """What a process is called in the results: keyclone's by their role, others by the program."""
    try:
        with open("/proc/%d/cmdline" % pid, "rb") as f:
            argv = f.read().split(b"\0")
    except OSError:
        return "?"
    name = os.path.basename(argv[0].decode("utf-8", "replace").split(":")[0])
    if name == "keycloned":
        return {b"--worker": "worker", b"--starter": "starter", b"--hook": "hook"}.get(argv[1], "daemon")
    return name


OWN = label(os.getpid())


class Sampler(threading.Thread):
    """Every 20 ms: the sum of all processes' anonymous memory, and the largest process with everything that it has mapped.

    /proc/PID/statm says both (resident less shared is RssAnon) and costs a tenth of what smaps_rollup does."""

    def __init__(self, group: Group) -> None:
        super().__init__(daemon=True)
        self.group, self.done = group, threading.Event()
        self.anon = self.largest = 0
        self.largest_name = ""

    def sample(self) -> None:
        total = 0
        for pid in self.group.pids():
            try:
                with open("/proc/%d/statm" % pid, "rb", buffering=0) as f:
                    _, resident, shared = f.read().split()[:3]
            except (OSError, ValueError):
                continue
            total += (int(resident) - int(shared)) * PAGE
            if int(resident) * PAGE > self.largest and label(pid) != OWN:  # a child that has yet to become its program
                self.largest, self.largest_name = int(resident) * PAGE, label(pid)
        self.anon = max(self.anon, total)

    def run(self) -> None:
        while True:
            self.sample()
            if self.done.wait(0.02):
                return


def reset_peaks(group: Group) -> None:
    """VmHWM of what runs already begins anew."""
    for pid in group.pids():
        try:
            with open("/proc/%d/clear_refs" % pid, "w", encoding="ascii") as f:
                f.write("5")
        except OSError:
            pass


def peaks(group: Group) -> dict[str, int]:
    """VmHWM, which misses nothing between two samples, of the largest process of each name."""
    found: dict[str, int] = {}
    for pid in group.pids():
        try:
            with open("/proc/%d/status" % pid, encoding="utf-8") as f:
                value = re.search(r"^VmHWM:\s*(\d+) kB", f.read(), re.M)
        except OSError:
            continue
        if value:
            name = label(pid)
            found[name] = max(found.get(name, 0), int(value[1]) * 1024)
    return found


def measure(group: Group, replicate: Callable[[], Optional[float]]) -> dict:
    """One replication. CPU time and bytes go on until the processes are idle again: what is done after the last
    clone's answer is a cost too, but nobody waits for it."""
    group.settle()
    os.sync()
    reset_peaks(group)
    sampler = Sampler(group)
    sampler.start()
    try:
        cpu, sent, begun = group.cpu(), wire(), time.monotonic()
        begun = replicate() or begun
        wall = time.monotonic() - begun
        group.settle(2.0)
        cpu, sent = group.cpu() - cpu, wire() - sent
    finally:
        sampler.done.set()
        sampler.join()
    high = peaks(group)
    name, largest = sampler.largest_name, sampler.largest
    for other, value in high.items():
        if value > largest:
            name, largest = other, value
    return {"wall_s": round(wall, 4), "cpu_s": round(cpu, 4), "wire": sent, "anon": sampler.anon, "largest": largest,
            "largest_name": name, "peaks": high}


# --- syncs ---

class Tracer:
    """strace on processes that run, and a prefix for a command that is about to; both write what is found to files."""

    def __init__(self, work: str, options: Optional[list[str]] = None) -> None:
        self.work, self.process = work, None
        self.argv = [shutil.which("strace") or "strace", "-f", "-qq", "-e", "trace=" + SYNCS] + (options or [])
        self.running, self.started = work + "/strace.running", work + "/strace.started"
        for path in (self.running, self.started):
            if os.path.exists(path):
                os.unlink(path)

    def prefix(self) -> list[str]:
        return self.argv + ["-o", self.started]

    def attach(self, pids: list[int]) -> None:
        argv = self.argv + ["-o", self.running]
        for pid in pids:
            argv += ["-p", str(pid)]
        self.process = procs.spawn(argv, None, self.work + "/strace.log", {"BENCH_PROBE": "1"})
        procs.wait_until(lambda: all(traced(pid) for pid in pids), "strace to attach", 30)

    def detach(self) -> None:
        if self.process is not None:
            procs.end(self.process)

    def lines(self) -> list[str]:
        found: list[str] = []
        for path in (self.running, self.started):
            if os.path.exists(path):
                with open(path, encoding="utf-8", errors="replace") as f:
                    found += f.read().splitlines()
        return found


def traced(pid: int) -> bool:
    """Also true of one that has ended meanwhile."""
    try:
        with open("/proc/%d/status" % pid, encoding="utf-8") as f:
            return re.search(r"^TracerPid:\s*0$", f.read(), re.M) is None
    except OSError:
        return True


def is_sync(line: str) -> bool:
    """A call that waits for the disk, at its beginning."""
    if "resumed>" in line:
        return False
    return bool(re.search(r"\b(fsync|fdatasync|sync|syncfs|sync_file_range)\(", line)) or (
        "msync(" in line and "MS_SYNC" in line)


def count_syncs(group: Group, work: str, replicate: Callable[[list[str]], None]) -> int:
    """Of all processes, the command and what it starts included."""
    tracer = Tracer(work)
    try:
        tracer.attach(group.pids())
        replicate(tracer.prefix())
        group.settle(2.0)
    finally:
        tracer.detach()
    return sum(1 for line in tracer.lines() if is_sync(line))


# --- stalls ---

class Probe:
    """A process of probes.py; it writes one JSON value when its standard input ends."""

    def __init__(self, work: str, *argv: str) -> None:
        self.process = procs.spawn([sys.executable, HERE + "/probes.py", *argv], None, work + "/probe.log", {"BENCH_PROBE": "1"},
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.log = work + "/probe.log"
        if self.process.stdout.readline() != b"ready\n":
            raise BenchError("a probe did not start: " + procs.tail(self.log))

    def finish(self) -> dict:
        try:
            out, _ = self.process.communicate(timeout=150)
        except subprocess.TimeoutExpired:
            self.kill()
            raise BenchError("a probe does not end") from None
        if self.process.returncode != 0:
            raise BenchError("a probe failed: " + procs.tail(self.log).strip().split("\n")[-1])
        return json.loads(out)

    def kill(self) -> None:
        procs.end(self.process)


def stalls(work: str, master: Optional[str], clone: Optional[str], statement: str, replicate: Callable[[], None]) -> dict:
    """The longest commit of a writer on the master and the longest read on a clone, while one replication runs."""
    probes: dict[str, Probe] = {}
    try:
        if master is not None:
            probes["writer"] = Probe(work, "write", master, statement)
        if clone is not None:
            probes["reader"] = Probe(work, "read", clone)
        replicate()
        return {name: p.finish() for name, p in probes.items()}
    finally:
        for p in probes.values():
            p.kill()
