# SPDX-License-Identifier: Apache-2.0
"""keyclone: a master and its clones, real daemons, with the built-in key database or with any."""
from __future__ import annotations

import json
import os
import shutil
import sqlite3
from typing import Optional

import keydbs
import procs
from procs import BenchError
from system import Bench, SqliteSystem


class Fleet(SqliteSystem):
    """Driven by its commands and properties only."""

    room = 1500
    built_in = False

    def __init__(self, bench: Bench, keys: int, clones: int) -> None:
        super().__init__(bench, keys, clones)
        self.role: dict[int, str] = {}  # process of a daemon -> m, c1, …
        self.port = 0
        self.empty = self.down = False

    def dir(self, name: str) -> str:
        return "%s/%s" % (self.work, name)

    def kc(self, name: str, *argv: str, accept: tuple[int, ...] = (0,)) -> str:
        return procs.call([self.bench.build + "/keyclone", "-c", self.dir(name) + "/keyclone.properties", *argv], accept=accept)

    def names(self) -> list[str]:
        return ["c%d" % i for i in range(1, self.clones + 1)]

    def master_database(self) -> str:
        return self.dir("m") + "/keydb.sqlite" if self.built_in else self.dir("keys") + "/keys.sqlite"

    def database_of(self, name: str) -> str:
        return self.dir(name) + ("/keydb.sqlite" if self.built_in else "/db/keys.sqlite")

    def clone_databases(self) -> list[str]:
        return [self.database_of(n) for n in self.names()]

    # --- setting up ---

    def init(self, *argv: str) -> None:
        procs.call([self.bench.build + "/keyclone", "init", *argv], cwd=self.work)

    def place_keys(self) -> None:
        """Before the daemon sees it: the key database of this size."""
        raise NotImplementedError

    def init_master(self) -> None:
        for name, text in (("pw", "correct horse battery\n"), ("p12pw", "for the transport\n")):
            with open(self.dir(name), "w", encoding="ascii") as f:
                f.write(text)
        self.port = self.bench.ports.take()
        foreign = [] if self.built_in else ["--keydb", self.master_database()]
        if not self.built_in:
            self.place_keys()
        self.init("master", "--dir", "m", "--port", str(self.port), "--password-file", "pw", *foreign)
        if self.built_in:
            self.place_keys()
        # The bench says when, and the disk holds twenty clones' backups.
        self.kc("m", "config", "set", "backup.OnChange=false", "backup.CheckFrequency=30d", "replication.MaxBackupNum=2")
        self.kc("m", "cert", "export", "--alias", "ssl_cert", "--format", "p12", "--p12-password-file", self.dir("p12pw"),
                "--output", self.dir("site.p12"))

    def init_clone(self, name: str) -> None:
        port = self.bench.ports.take()
        foreign = []
        if not self.built_in:
            os.makedirs(self.dir("empty-db"), exist_ok=True)
            foreign = ["--keydb", self.dir("empty-db") + "/keys.sqlite"]
        self.init("clone", "--dir", name, "--port", str(port), "--master", "127.0.0.1:%d" % self.port, "--site-certificate",
                  "site.p12", "--p12-password-file", "p12pw", *foreign)
        self.kc(name, "config", "set", "replication.MaxBackupNum=2")
        if not self.built_in:
            self.kc(name, "config", "set", "keydb.Path=" + self.database_of(name))
            os.makedirs(os.path.dirname(self.database_of(name)))
        shutil.copytree(self.dir(name), self.dir("pristine/" + name))
        self.kc("m", "clone", "add", "127.0.0.1:%d" % port)

    def daemon(self, name: str) -> None:
        p = self.start([self.bench.build + "/keycloned", "-c", self.dir(name) + "/keyclone.properties"],
                       "%s/%s.log" % (self.work, name))
        self.role[p.pid] = name

    def answers(self, name: str) -> bool:
        try:
            self.kc(name, "status", accept=(0, 2))
            return True
        except BenchError:
            return False

    def start_daemons(self, names: list[str]) -> None:
        for name in names:
            self.daemon(name)
        for name in names:
            procs.wait_until(lambda: self.answers(name), "the daemon of %s to answer" % name)

    def generation(self) -> int:
        return json.loads(self.kc("m", "--json", "status", accept=(0, 2)))["generation"]

    def open(self) -> None:
        """The master makes its first backup by itself, when its daemon starts; no clone is there yet."""
        self.init_master()
        for name in self.names():
            self.init_clone(name)
        self.start_daemons(["m"])
        procs.wait_until(lambda: self.generation() > 0, "the master's first backup", 300, 0.1)
        self.kc("m", "stop")
        self.start_daemons(self.names())
        self.empty, self.down = True, True
        self.manage(self.master_database())

    # --- rounds ---

    def reset(self) -> None:
        """The clones become what `init clone` made, and only their audit logs stay. They greet the master as they start, and
        it would serve them at once: its task is down until the full is over. An operator's `replicate-now` sends
        nevertheless."""
        if self.empty:
            return
        self.kc("m", "stop")
        self.down = True
        procs.end_all([p for p in self.daemons if self.role[p.pid] != "m"])
        self.daemons = [p for p in self.daemons if self.role[p.pid] == "m"]
        for name in self.names():
            for entry in os.listdir(self.dir(name)):
                if entry != "log":
                    remove("%s/%s" % (self.dir(name), entry))
            shutil.copytree(self.dir("pristine/" + name), self.dir(name), dirs_exist_ok=True,
                            ignore=shutil.ignore_patterns("log"))
        self.start_daemons(self.names())
        self.empty = True

    def replicate(self, prefix: Optional[list[str]] = None) -> None:
        """--full where the clones have nothing: a new backup of everything, not one that lies there already."""
        argv = [self.bench.build + "/keyclone", "-c", self.dir("m") + "/keyclone.properties", "replicate-now"]
        procs.run_in(self.group, (prefix or []) + argv + (["--full"] if self.empty else []), self.dir("replicate.log"))

    def replicated(self, workload: str) -> None:
        self.empty = False
        if self.down:
            self.kc("m", "start")
            self.down = False

    def watch(self, on: bool) -> None:
        self.kc("m", "config", "set", "backup.OnChange=%s" % ("true" if on else "false"))
        self.kc("m", "reload")


def remove(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.unlink(path)


class Foreign(Fleet):
    name = "keyclone-foreign"
    title = "keyclone (any SQLite)"

    def place_keys(self) -> None:
        os.makedirs(self.dir("keys"))
        shutil.copyfile(self.bench.templates.foreign(self.keys), self.master_database())


class BuiltIn(Fleet):
    """The keys are made once a size by `key generate`, and copied with the key that wraps them."""

    name = "keyclone-builtin"
    title = "keyclone (built-in)"
    built_in = True

    def place_keys(self) -> None:
        template = "%s/builtin-%d" % (self.bench.templates.folder, self.keys)
        if not os.path.exists(template):
            self.kc("m", "key", "generate", "--count", str(self.keys), "--group", "bench", "--alias", "tape")
            os.makedirs(template)
            copy_database(self.master_database(), template + "/keydb.sqlite")
            shutil.copyfile(self.dir("m") + "/keystore/keydb.key", template + "/keydb.key")
            return
        for suffix in ("-wal", "-shm"):
            if os.path.exists(self.master_database() + suffix):
                os.unlink(self.master_database() + suffix)
        shutil.copyfile(template + "/keydb.sqlite", self.master_database())
        shutil.copyfile(template + "/keydb.key", self.dir("m") + "/keystore/keydb.key")

    def add(self, count: int) -> None:
        self.kc("m", "key", "generate", "--count", str(count), "--group", "bench", "--alias", "tape")

    def update(self) -> None:
        """Keys that come into use."""
        self.manager.execute("UPDATE keys SET state = 'active', activated = created + ? WHERE rowid % 100 = ?",
                             (60 + self.turn, self.turn % 100))

    def commit_one(self, number: int) -> None:
        """`key generate` would do it too, but when it committed is not seen from outside."""
        row = keydbs.key_row(keydbs.random.Random(os.urandom(16)), 0)
        self.manager.execute(
            "INSERT INTO keys(uuid, alias, grp, kind, algorithm, state, created, master_key, material, fingerprint)"
            " SELECT ?, ?, grp, kind, algorithm, state, created, master_key, material, ? FROM keys WHERE rowid = 1",
            (row[0], "watch-%08d" % number, os.urandom(32)))


def copy_database(source: str, target: str) -> None:
    """Whole, whatever lies in the write-ahead log."""
    a, b = sqlite3.connect(source), sqlite3.connect(target)
    a.backup(b)
    a.close()
    b.execute("PRAGMA journal_mode=WAL")
    b.close()
