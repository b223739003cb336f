# SPDX-License-Identifier: Apache-2.0
"""What the bench wants of a system that it measures, and what systems that carry a SQLite database have in common."""
from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from dataclasses import dataclass, field
from typing import Optional

import keydbs
import procs
from procs import BenchError, Group, Ports

WORKLOADS = {"full": "full", "+10": "+10 keys", "+1000": "+1,000 keys", "1%": "1 % of rows updated"}


@dataclass
class Bench:
    """What all systems of a run share."""

    work: str
    build: str
    templates: keydbs.Templates
    ports: Ports = field(default_factory=Ports)


class System:
    """One master and its clones. A round is change() or reset(), then replicate(), which alone is measured, then verify()."""

    name = ""
    title = ""
    programs: tuple[str, ...] = ()
    packages: dict[str, str] = {}
    workloads = tuple(WORKLOADS)
    room = 0  # bytes of disk that a key takes on each machine, at the worst moment

    def __init__(self, bench: Bench, keys: int, clones: int) -> None:
        self.bench, self.keys, self.clones = bench, keys, clones
        self.work = "%s/%s" % (bench.work, self.name)
        shutil.rmtree(self.work, ignore_errors=True)
        os.makedirs(self.work, mode=0o700)
        self.group = Group(self.name)
        self.daemons: list[subprocess.Popen] = []
        self.turn = 0

    @classmethod
    def missing(cls) -> list[str]:
        """Packages to install before this system can be measured."""
        path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
        return sorted({cls.packages.get(p, p) for p in cls.programs if shutil.which(p, path=path) is None})

    @classmethod
    def too_long(cls, keys: int, clones: int) -> bool:
        """Where one round takes so many minutes that it is left out unless it is asked for."""
        return False

    def open(self) -> None:
        raise NotImplementedError

    def reset(self) -> None:
        """The clones have nothing."""
        raise NotImplementedError

    def change(self, workload: str) -> None:
        """A change on the master, committed."""
        raise NotImplementedError

    def replicate(self, prefix: Optional[list[str]] = None) -> Optional[float]:
        """From the start of the command to the last clone's restore. `prefix` is put before the command. What has no command
        makes its change here, and returns when that was committed."""
        raise NotImplementedError

    def verify(self) -> None:
        """Fails unless every clone has the master's rows."""
        raise NotImplementedError

    def replicated(self, workload: str) -> None:
        """After a round, unmeasured."""

    def master_database(self) -> Optional[str]:
        return None

    def clone_database(self) -> Optional[str]:
        return None

    def busy_statement(self) -> str:
        """What a writer commits while the longest commit is looked for."""
        return ""

    def watch(self, on: bool) -> None:
        """Replicate by itself what is committed, for the measurement of latency, or no longer."""
        raise BenchError("does not replicate by itself")

    def commit_one(self, number: int) -> None:
        """One key, which a watching probe knows by its number."""
        raise NotImplementedError

    def watched(self) -> tuple[str, list[str]]:
        """How a probe is to watch the clones (see probes.py), and their files."""
        raise NotImplementedError

    def start(self, argv: list[str], log: str, env: Optional[dict[str, str]] = None) -> subprocess.Popen:
        p = procs.spawn(argv, self.group, log, env)
        self.daemons.append(p)
        return p

    def logs(self) -> str:
        """The ends of all logs, for a failure."""
        names = sorted(n for n in os.listdir(self.work) if n.endswith(".log"))
        return "\n".join("== %s\n%s" % (n, procs.tail(self.work + "/" + n, 600)) for n in names[:8])

    def close(self) -> None:
        procs.end_all(self.daemons)
        self.group.close()
        shutil.rmtree(self.work, ignore_errors=True)


class SqliteSystem(System):
    """The key manager keeps a connection open, as a real one does; the changes are made through it."""

    options = ""  # of the URI by which a clone's database is opened for the comparison

    def __init__(self, bench: Bench, keys: int, clones: int) -> None:
        super().__init__(bench, keys, clones)
        self.manager: Optional[sqlite3.Connection] = None

    def manage(self, path: str) -> None:
        self.manager = keydbs.connect(path)
        self.manager.execute("SELECT count(*) FROM sqlite_master").fetchone()

    def change(self, workload: str) -> None:
        self.turn += 1
        if workload == "full":
            self.touch()
        elif workload == "1%":
            self.update()
        else:
            self.add(int(workload[1:]))

    def touch(self) -> None:
        """One row: a full whose rows a clone has already might be stored and not restored."""
        self.manager.execute("UPDATE keys SET created = created + 1 WHERE rowid = ?", (self.turn,))

    def update(self) -> None:
        """Spread over the whole table, as keys that come into use are; other rows each time."""
        self.manager.execute("UPDATE keys SET state = state + 1 WHERE rowid % 100 = ?", (self.turn % 100,))

    def add(self, count: int) -> None:
        keydbs.add(self.manager, count)

    def busy_statement(self) -> str:
        return "UPDATE keys SET created = created + 1 WHERE rowid = 77"

    def commit_one(self, number: int) -> None:
        row = keydbs.key_row(keydbs.random.Random(os.urandom(16)), 0)
        self.manager.execute(keydbs.INSERT, (row[0], "watch-%08d" % number, *row[2:]))

    def clone_databases(self) -> list[str]:
        raise NotImplementedError

    def clone_database(self) -> Optional[str]:
        return self.clone_databases()[0]

    def watched(self) -> tuple[str, list[str]]:
        return "watch", self.clone_databases()

    def verify(self) -> None:
        wrong = keydbs.differing(self.master_database(), self.clone_databases(), self.options)
        if wrong:
            raise BenchError("not the master's rows: " + "; ".join(wrong[:3]))

    def close(self) -> None:
        if self.manager is not None:
            self.manager.close()
        super().close()
