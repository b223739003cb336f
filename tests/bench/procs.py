# SPDX-License-Identifier: Apache-2.0
"""Processes of the bench: started in an accounting group of their own, ended by number, on a loopback of their own."""
from __future__ import annotations

import ctypes
import fcntl
import multiprocessing
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import time
from typing import Callable, Iterable, Optional

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
SIOCSIFFLAGS, SIOCSIFADDR, IFF_UP = 0x8914, 0x8916, 1
PR_SET_PDEATHSIG = 1
TICK = os.sysconf("SC_CLK_TCK")
COMMAND_TIMEOUT = 1800


class BenchError(Exception):
    """What went wrong with one system; the others are measured all the same."""


def own_loopback() -> bool:
    """A network namespace with nothing but `lo`, so that bytes and ports of nobody else are counted or met.

    Only root may; without it the machine's own loopback is used."""
    if LIBC.unshare(CLONE_NEWNET) != 0:
        return False
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
        # A second address: where 127.0.0.1 is all that there is, getaddrinfo finds nothing to listen on for kpropd.
        fcntl.ioctl(s, SIOCSIFADDR, struct.pack("16sHH4s8x", b"lo:1", socket.AF_INET, 0, socket.inet_aton("127.0.0.2")))
    return True


class Ports:
    """Ports on 127.0.0.1 below the range that the kernel gives to clients; none is given twice."""

    def __init__(self) -> None:
        self.next = 20000 + os.getpid() % 40 * 250

    def take(self) -> int:
        for _ in range(1000):
            self.next = self.next + 1 if self.next < 32000 else 20000
            with socket.socket() as s:
                try:
                    s.bind(("127.0.0.1", self.next))
                    return self.next
                except OSError:
                    continue
        raise BenchError("no free port")


def stat_of(pid: int) -> list[str]:
    """The fields of /proc/PID/stat behind the name, which may hold blanks: state, parent, …"""
    with open("/proc/%d/stat" % pid, encoding="utf-8", errors="replace") as f:
        return f.read().rpartition(")")[2].split()


def descendants() -> list[int]:
    """Every process below this one, without those that only measure (they carry BENCH_PROBE)."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                children.setdefault(int(stat_of(int(name))[1]), []).append(int(name))
            except (OSError, IndexError):
                pass
    found: list[int] = []
    todo = [p for p in children.get(os.getpid(), []) if not is_probe(p)]
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += children.get(pid, [])
    return found


def is_probe(pid: int) -> bool:
    try:
        with open("/proc/%d/environ" % pid, "rb") as f:
            return b"BENCH_PROBE=" in f.read()
    except OSError:
        return False


class Group:
    """The processes of one system: their CPU time, also of those that have ended, and who they are.

    A control group where one can be made; else the tree of processes below the bench, with times in steps of 10 ms."""

    def __init__(self, name: str) -> None:
        self.dir: Optional[str] = None
        for top, file in (("/sys/fs/cgroup", "cpu.stat"), ("/sys/fs/cgroup/cpuacct", "cpuacct.usage")):
            path = "%s/keyclone-bench.%d.%s" % (top, os.getpid(), name)
            try:
                if file == "cpu.stat" and not os.path.exists(top + "/cgroup.controllers"):
                    continue
                os.mkdir(path)
                self.dir, self.file = path, path + "/" + file
                self.cpu()
                return
            except OSError:
                self.dir = None

    def join(self) -> None:
        """Called in a child before it becomes the program."""
        if self.dir is not None:
            with open(self.dir + "/cgroup.procs", "w", encoding="ascii") as f:
                f.write("0")

    def cpu(self) -> float:
        if self.dir is None:
            return self._cpu_of_tree()
        with open(self.file, encoding="ascii") as f:
            text = f.read()
        return int(text) / 1e9 if self.file.endswith("usage") else int(text.split()[1]) / 1e6

    def _cpu_of_tree(self) -> float:
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        total = ended.ru_utime + ended.ru_stime
        for pid in descendants():
            try:
                total += sum(int(x) for x in stat_of(pid)[11:15]) / TICK
            except OSError:
                pass
        return total

    def pids(self) -> list[int]:
        if self.dir is None:
            return descendants()
        with open(self.dir + "/cgroup.procs", encoding="ascii") as f:
            return [int(x) for x in f.read().split()]

    def settle(self, seconds: float = 5.0) -> None:
        """Until the processes are idle, or nearly: less than 2 ms of CPU time in 100 ms."""
        end = time.monotonic() + seconds
        before = self.cpu()
        while time.monotonic() < end:
            time.sleep(0.1)
            now = self.cpu()
            if now - before < 0.002:
                return
            before = now

    def close(self) -> None:
        """Ends what is left in the group, which this program has started, one by one."""
        for pid in self.pids() if self.dir is not None else []:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        for _ in range(100):
            try:
                if self.dir is not None:
                    os.rmdir(self.dir)
                self.dir = None
                return
            except OSError:
                time.sleep(0.05)


def environment(more: Optional[dict[str, str]] = None) -> dict[str, str]:
    env = {k: v for k, v in os.environ.items() if k not in ("KEYCLONE_CONFIG", "NOTIFY_SOCKET", "JOURNAL_STREAM")}
    env.update(LC_ALL="C", PATH=env.get("PATH", "") + ":/usr/sbin:/sbin", **(more or {}))
    return env


def spawn(argv: list[str], group: Optional[Group], log: str, env: Optional[dict[str, str]] = None,
          cwd: Optional[str] = None, **kw) -> subprocess.Popen:
    """A process in `group` that ends with the bench, even if that is killed."""

    def prepare() -> None:
        if group is not None:
            group.join()
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)

    with open(log, "ab") as out:
        kw.setdefault("stdin", subprocess.DEVNULL)
        kw.setdefault("stdout", out)
        return subprocess.Popen(argv, stderr=out, env=environment(env), cwd=cwd, start_new_session=True,
                                preexec_fn=prepare, **kw)


def end(process: subprocess.Popen, seconds: float = 20) -> None:
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def end_all(processes: Iterable[subprocess.Popen]) -> None:
    """All are told first, and waited for then."""
    processes = list(processes)
    for p in processes:
        if p.poll() is None:
            p.terminate()
    for p in processes:
        end(p)


def run_in(group: Group, argv: list[str], log: str, env: Optional[dict[str, str]] = None,
           cwd: Optional[str] = None) -> None:
    """A command in the group, to its end; it has to succeed."""
    process = spawn(argv, group, log, env, cwd)
    try:
        status = process.wait(COMMAND_TIMEOUT)
    except subprocess.TimeoutExpired:
        raise BenchError("no end after %d s: %s" % (COMMAND_TIMEOUT, argv[:3])) from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            end(process)
    if status != 0:
        raise BenchError("status %d: %s\n%s" % (status, " ".join(argv)[:300], tail(log)))


def call(argv: list[str], env: Optional[dict[str, str]] = None, cwd: Optional[str] = None, text: str = "",
         accept: tuple[int, ...] = (0,)) -> str:
    """A command that is not measured; returns its output."""
    r = subprocess.run(argv, env=environment(env), cwd=cwd, input=text, capture_output=True, text=True,
                       timeout=COMMAND_TIMEOUT, check=False)
    if r.returncode not in accept:
        raise BenchError("status %d: %s\n%s" % (r.returncode, " ".join(argv)[:300], (r.stdout + r.stderr)[-1500:]))
    return r.stdout


def _as_a_program() -> None:
    """A child that is ended has nothing of the bench to clean up."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)


def parallel(function: Callable, items: list) -> list:
    """The results of function(item), made by two processes."""
    pool = multiprocessing.get_context("fork").Pool(2, _as_a_program)
    try:
        return pool.map_async(function, items, chunksize=1).get(COMMAND_TIMEOUT)
    except multiprocessing.TimeoutError:
        raise BenchError("no end after %d s: comparing" % COMMAND_TIMEOUT) from None
    finally:
        pool.close()
        if sys.exc_info()[0] is not None:
            pool.terminate()
        pool.join()


def tail(path: str, size: int = 1500) -> str:
    try:
        with open(path, "rb") as f:
            return f.read()[-size:].decode("utf-8", "replace")
    except OSError:
        return ""


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 30, step: float = 0.02) -> None:
    end_at = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end_at:
            raise BenchError("waited %g s in vain: %s" % (seconds, what))
        time.sleep(step)


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False
