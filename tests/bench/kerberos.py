# SPDX-License-Identifier: Apache-2.0
"""MIT Kerberos: as many principals with one wrapped AES-256 key each, propagated as a whole or incrementally."""
from __future__ import annotations

import glob
import os
import random
import re
import shutil
import socket
import time
import uuid
from typing import Optional

import keydbs
import procs
from probes import serial
from procs import BenchError
from system import System

REALM = "BENCH.TEST"
MODEL = "00000000-0000-4000-8000-000000000000"
SLOW = 3_000_000  # keys × clones from which one propagation takes minutes

KRB5_CONF = """[libdefaults]
 default_realm = {realm}
 dns_lookup_kdc = false
 dns_lookup_realm = false
 dns_canonicalize_hostname = false
 rdns = false
 qualify_shortname = ""
 udp_preference_limit = 1
[realms]
 {realm} = {{
  kdc = 127.0.0.1:{kdc}
  admin_server = localhost:{kadmin}
 }}
[domain_realm]
 localhost = {realm}
 {host} = {realm}
"""

KDC_CONF = """[realms]
 {realm} = {{
  database_name = {dir}/principal
  key_stash_file = {work}/primary/stash
  acl_file = {work}/kadm5.acl
  supported_enctypes = aes256-cts-hmac-sha1-96:normal
  kdc_listen = 127.0.0.1:{kdc}
  kdc_tcp_listen = 127.0.0.1:{kdc}
  kadmind_listen = 127.0.0.1:{kadmin}
  kpasswd_listen = 127.0.0.1:{kpasswd}
  iprop_listen = 127.0.0.1:{iprop}
{more} }}
[logging]
 kdc = FILE:{work}/krb5kdc.log
 admin_server = FILE:{work}/kadmind.log
"""


def program(name: str) -> str:
    return shutil.which(name, path=procs.environment()["PATH"]) or name


def names_of(keys: int) -> list[str]:
    """The principals of a realm of this size."""
    rnd = random.Random(keys)
    return [str(uuid.UUID(int=rnd.getrandbits(128), version=4)) for _ in range(keys)]


def multiply(dump: str, target: str, keys: int) -> None:
    """One principal of a dump again and again, under other names of the same length and with other key material."""
    with open(dump, encoding="ascii") as f:
        lines = f.read().splitlines()
    model = next(line for line in lines if "\t" + MODEL + "@" in line)
    key = re.search(r"\t18\t62\t2000([0-9a-f]{120})", model)
    head, rest = model[:key.start(1)].split(MODEL), model[key.end(1):]
    rnd = random.Random(keys)
    with open(target, "w", encoding="ascii") as f:
        f.write("\n".join(lines) + "\n")
        for name in names_of(keys):
            f.write(head[0] + name + head[1] + rnd.randbytes(60).hex() + rest + "\n")


def dump_digest(env: dict[str, str]) -> str:
    """Names and keys of all principals; when each was last touched by whom is the machine's own."""
    lines = procs.call(["kdb5_util", "dump", "-"], env).splitlines()
    found = []
    for line in lines:
        if line.startswith("princ\t"):
            fields = line.split("\t")
            key = [x for x in fields[7:] if len(x) > 60]
            found.append(fields[6] + " " + fields[8] + " " + " ".join(key[-1:]))
    return "%d %s" % (len(found), keydbs.digest_of_lines(found))


class Kprop(System):
    """`kdb5_util dump`, then kprop to every replica at once; kpropd loads it. Always everything."""

    name = "kprop"
    title = "Kerberos kprop (full)"
    programs = ("kdb5_util", "kadmin.local", "krb5kdc", "kadmind", "kprop", "kpropd", "bash")
    packages = {"kdb5_util": "krb5-kdc", "krb5kdc": "krb5-kdc", "kadmin.local": "krb5-admin-server", "kadmind": "krb5-admin-server",
                "kprop": "krb5-admin-server", "kpropd": "krb5-kpropd"}
    room = 2500
    more = ""

    @classmethod
    def too_long(cls, keys: int, clones: int) -> bool:
        return keys * clones > SLOW

    def env(self, name: str) -> dict[str, str]:
        return {"KRB5_CONFIG": self.work + "/krb5.conf", "KRB5_KDC_PROFILE": "%s/%s/kdc.conf" % (self.work, name),
                "KRB5CCNAME": "MEMORY:bench", "KRB5_KTNAME": self.work + "/keytab"}

    def names(self) -> list[str]:
        return ["r%d" % i for i in range(1, self.clones + 1)]

    def write(self, name: str, text: str) -> None:
        with open("%s/%s" % (self.work, name), "w", encoding="ascii") as f:
            f.write(text)

    def configure(self, name: str) -> None:
        os.makedirs("%s/%s" % (self.work, name), exist_ok=True)
        self.write(name + "/kdc.conf", KDC_CONF.format(realm=REALM, dir="%s/%s" % (self.work, name), work=self.work,
                                                       more=self.more, **self.port))

    def admin(self, *commands: str) -> None:
        """Outside the group: making the change is not replicating it."""
        out = procs.call(["kadmin.local"], self.env("primary"), text="".join(c + "\n" for c in commands))
        if "ailed" in out or "rror" in out:
            raise BenchError("kadmin.local: " + out[-500:])

    def create(self) -> None:
        """A realm with its principals; what takes long, loading them, is done once a size."""
        procs.call(["kdb5_util", "create", "-s", "-P", "master password", "-r", REALM], self.env("primary"))
        template = "%s/realm-%d" % (self.bench.templates.folder, self.keys)
        primary = self.work + "/primary"
        if os.path.exists(template):
            shutil.copytree(template, primary, dirs_exist_ok=True)
            return
        self.admin("addprinc -randkey " + MODEL)
        dump, loaded = self.work + "/model.dump", self.work + "/all.dump"
        procs.call(["kdb5_util", "dump", dump], self.env("primary"))
        multiply(dump, loaded, self.keys)
        procs.call(["kdb5_util", "load", loaded], self.env("primary"))
        os.unlink(loaded)
        os.makedirs(template)
        for path in glob.glob(primary + "/principal*") + [primary + "/stash"]:
            if not path.endswith(".ulog"):
                shutil.copy(path, template)

    def open(self) -> None:
        self.host = socket.gethostname()
        self.port = {n: self.bench.ports.take() for n in ("kdc", "kadmin", "kpasswd", "iprop")}
        self.kpropd: dict[str, int] = {}
        self.write("krb5.conf", KRB5_CONF.format(realm=REALM, host=self.host, **self.port))
        self.write("kpropd.acl", "host/%s@%s\n" % (self.host, REALM))
        self.write("kadm5.acl", "kiprop/%s@%s p\n" % (self.host, REALM))
        for name in ["primary"] + self.names():
            self.configure(name)
        self.create()
        for service in ("host", "kiprop"):
            for host in sorted({"localhost", self.host}):
                principal = "%s/%s" % (service, host)
                self.admin("addprinc -randkey " + principal, "ktadd -k %s/keytab %s" % (self.work, principal))
        self.start([program("krb5kdc"), "-n"], self.work + "/kdc.log", self.env("primary"))
        procs.wait_until(lambda: procs.listens(self.port["kdc"]), "krb5kdc")
        self.start_replicas()

    def start_kpropd(self, name: str, *more: str) -> None:
        """In the foreground. It cannot be told an address, so it listens on all that there are."""
        d = "%s/%s" % (self.work, name)
        self.kpropd[name] = self.bench.ports.take()
        self.start([program("kpropd"), "-D", "-r", REALM, "-P", str(self.kpropd[name]), "-f", d + "/from_primary", "-F",
                    d + "/principal", "-p", program("kdb5_util"), "-s", self.work + "/keytab", "-a", self.work + "/kpropd.acl",
                    *more],
                   self.work + "/kpropd.log", self.env(name))

    def start_replicas(self) -> None:
        for name in self.names():
            self.start_kpropd(name, "-S")
        for name in self.names():
            procs.wait_until(lambda: procs.listens(self.kpropd[name]), "kpropd")

    def reset(self) -> None:
        for name in self.names():
            for path in glob.glob("%s/%s/principal*" % (self.work, name)) + glob.glob("%s/%s/from_*" % (self.work, name)):
                os.unlink(path)

    def change(self, workload: str) -> None:
        self.turn += 1
        if workload == "1%":
            names = names_of(self.keys)[self.turn % 100::100]
            self.admin(*["modprinc -maxlife %dhours %s" % (self.turn % 20 + 1, n) for n in names])
            return
        count = 1 if workload == "full" else int(workload[1:])
        self.admin(*["addprinc -randkey " + str(uuid.uuid4()) for _ in range(count)])

    def replicate(self, prefix: Optional[list[str]] = None) -> None:
        sends = "".join("kprop -r %s -f dump -s keytab -P %d %s & waits=\"$waits $!\"\n" % (REALM, self.kpropd[n], self.host)
                        for n in self.names())
        script = "set -eu\nkdb5_util dump dump\nwaits=\n" + sends + "for w in $waits; do wait $w; done\n"
        procs.run_in(self.group, (prefix or []) + ["bash", "-c", script], self.work + "/replicate.log", self.env("primary"),
                     self.work)

    def verify(self) -> None:
        wanted, *found = procs.parallel(dump_digest, [self.env(n) for n in ["primary"] + self.names()])
        wrong = [n for n, f in zip(self.names(), found) if f != wanted]
        if wrong:
            raise BenchError("not the primary's principals: " + ", ".join(wrong[:5]))


class Iprop(Kprop):
    """kadmind keeps a log of updates, replicas poll it every second. There is no command: the time is from the last
    commit to the last replica's update log, with what there was to wait for the next poll."""

    name = "iprop"
    title = "Kerberos iprop (poll 1 s)"
    workloads = ("+10", "+1000", "1%")  # a replica that has nothing is served by kprop
    pending = "+10"

    def start_replicas(self) -> None:
        """They begin with a copy of the database, as kadmind could push a full dump to one port only."""
        size = max(3000, self.keys // 50)
        self.more = (" iprop_enable = true\n iprop_port = %d\n iprop_master_ulogsize = %d\n iprop_ulogsize = %d\n"
                     " iprop_replica_poll = 1s\n" % (self.port["iprop"], size, size))
        for name in ["primary"] + self.names():
            self.configure(name)
        self.start([program("kadmind"), "-nofork", "-r", REALM, "-p", program("kdb5_util"), "-K", program("kprop"), "-F",
                    self.work + "/iprop.dump", "-k", "1"], self.work + "/kadmind.log", self.env("primary"))
        procs.wait_until(lambda: procs.listens(self.port["kadmin"]), "kadmind")
        procs.call(["kdb5_util", "dump", "-i", self.work + "/seed"], self.env("primary"))
        procs.call(["kdb5_util", "load", "-i", self.work + "/seed"], self.env("r1"))
        os.unlink(self.work + "/seed")
        for name in self.names()[1:]:
            for path in glob.glob(self.work + "/r1/principal*"):
                shutil.copy(path, "%s/%s" % (self.work, name))
        for name in self.names():
            self.start_kpropd(name, "-A", "localhost")
        self.follow()

    def log_of(self, name: str) -> str:
        return "%s/%s/principal.ulog" % (self.work, name)

    def reset(self) -> None:
        """Nothing: see `workloads`."""

    def change(self, workload: str) -> None:
        """Not yet: the replicas would have it before anybody looks."""
        self.pending = workload

    def replicate(self, prefix: Optional[list[str]] = None) -> float:
        super().change(self.pending)
        committed = time.monotonic()
        self.follow()
        return committed

    def follow(self) -> None:
        wanted = serial(self.log_of("primary"))
        procs.wait_until(lambda: all(serial(self.log_of(n)) >= wanted for n in self.names()), "the replicas' update logs", 120,
                         0.002)

    def watch(self, on: bool) -> None:
        """They always do."""

    def watched(self) -> tuple[str, list[str]]:
        return "updates", [self.log_of(n) for n in ["primary"] + self.names()]
