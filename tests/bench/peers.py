# SPDX-License-Identifier: Apache-2.0
"""What people replicate a SQLite database with: public tools behind `sqlite3 .backup`, over ssh or mutual TLS.

None of them verifies, signs, or encrypts at rest, and those that rename leave a reader that is open with the old keys."""
from __future__ import annotations

import os
import shlex
import shutil
from typing import Optional

import procs
from system import SqliteSystem

SNAPSHOT = "rm -f snap.db; sqlite3 src.db '.backup snap.db'"
PACKAGES = {"sqldiff": "sqlite3-tools", "sshd": "openssh-server", "ssh": "openssh-client", "ssh-keygen": "openssh-client"}


class Pipeline(SqliteSystem):
    """A snapshot and its preparation once, then a transfer to each replica, all at once; a shell waits for all."""

    room = 900
    packages = PACKAGES

    empty = True

    def open(self) -> None:
        shutil.copyfile(self.bench.templates.foreign(self.keys), self.work + "/src.db")
        self.manage(self.master_database())
        self.transport()
        self.reset()

    def transport(self) -> None:
        """What waits on the replicas."""
        raise NotImplementedError

    def prepare(self) -> str:
        """Shell, in the master's folder, once a round."""
        raise NotImplementedError

    def send(self) -> str:
        """Shell, for replica $i."""
        raise NotImplementedError

    def master_database(self) -> str:
        return self.work + "/src.db"

    def clone_databases(self) -> list[str]:
        return ["%s/r%d/keys.db" % (self.work, i) for i in range(1, self.clones + 1)]

    def reset(self) -> None:
        self.empty = True
        for i in range(1, self.clones + 1):
            shutil.rmtree("%s/r%d" % (self.work, i), ignore_errors=True)
            os.makedirs("%s/r%d" % (self.work, i))

    def replicate(self, prefix: Optional[list[str]] = None) -> None:
        script = ("set -eu -o pipefail\n%s\nwaits=\nfor i in $(seq %d); do { %s; } & waits=\"$waits $!\"; done\n"
                  "for w in $waits; do wait $w; done\n" % (self.prepare(), self.clones, self.send()))
        procs.run_in(self.group, (prefix or []) + ["bash", "-c", script], self.work + "/replicate.log", cwd=self.work)

    def replicated(self, workload: str) -> None:
        self.empty = False


class Rsync(Pipeline):
    """A login for each replica each time. -I: a copy of the same size and second would be skipped."""

    name = "rsync"
    title = ".backup + rsync -z over ssh"
    programs = ("sqlite3", "rsync", "sshd", "ssh", "ssh-keygen", "bash")
    options = "&immutable=1"
    made_run = False

    def transport(self) -> None:
        port, w = self.bench.ports.take(), self.work
        if os.geteuid() == 0 and not os.path.exists("/run/sshd"):
            os.mkdir("/run/sshd", 0o755)
            self.made_run = True
        for name in ("host", "user"):
            procs.call(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "%s/%s" % (w, name)])
        with open(w + "/host.pub", encoding="ascii") as f:
            host = " ".join(f.read().split()[:2])
        write(w + "/known", "[127.0.0.1]:%d %s\n" % (port, host))
        write(w + "/sshd.conf",
              "ListenAddress 127.0.0.1:%d\nHostKey %s/host\nAuthorizedKeysFile %s/user.pub\nPidFile none\nStrictModes no\n"
              "UsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n"
              "MaxStartups 200\nPrintMotd no\n" % (port, w, w))
        write(w + "/ssh.conf",
              "Host *\n Port %d\n IdentityFile %s/user\n IdentitiesOnly yes\n UserKnownHostsFile %s/known\n"
              " GlobalKnownHostsFile /dev/null\n StrictHostKeyChecking yes\n BatchMode yes\n Compression no\n"
              " Ciphers aes128-gcm@openssh.com\n" % (port, w, w))
        sshd = shutil.which("sshd", path=procs.environment()["PATH"])
        self.start([sshd, "-D", "-e", "-f", w + "/sshd.conf"], w + "/sshd.log")
        procs.wait_until(lambda: procs.listens(port), "sshd")

    def prepare(self) -> str:
        return SNAPSHOT

    def send(self) -> str:
        shell = shlex.quote("ssh -F %s/ssh.conf" % self.work)
        return "rsync -z -I --fsync -e %s snap.db 127.0.0.1:%s/r$i/keys.db" % (shell, self.work)

    def close(self) -> None:
        super().close()
        if self.made_run:
            os.rmdir("/run/sshd")


RECEIVE = """#!/bin/bash
# A size, then so many bytes: the end of a stream does not come through TLS on its own.
set -eu -o pipefail
cd {work}/r$1
read -r kind size
if [ "$kind" = sql ]; then
	head -c "$size" | zstd -q -d | sqlite3 -bail keys.db
else
	head -c "$size" | zstd -q -d -f -o new.db
	sync new.db
	mv -f new.db keys.db
	sync .
fi
echo done
"""


class Zstd(Pipeline):
    """TLS 1.3 with P-256 certificates on both sides, a handshake each. A replica syncs the file and renames it."""

    name = "zstd-tls"
    title = ".backup + zstd -1 over mTLS"
    programs = ("sqlite3", "zstd", "socat", "openssl", "bash")
    options = "&immutable=1"

    def certificates(self) -> None:
        def openssl(*argv: str) -> None:
            procs.call(["openssl", *argv], cwd=self.work)

        new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        openssl("req", "-x509", *new, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=bench", "-days", "2")
        for name in ("primary", "replica"):
            openssl("req", *new, "-keyout", name + ".key", "-out", name + ".csr", "-subj", "/CN=" + name)
            openssl("x509", "-req", "-in", name + ".csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out",
                    name + ".crt", "-days", "2")
            with open("%s/%s.pem" % (self.work, name), "w", encoding="ascii") as both:
                for part in ("key", "crt"):
                    with open("%s/%s.%s" % (self.work, name, part), encoding="ascii") as f:
                        both.write(f.read())

    def transport(self) -> None:
        self.certificates()
        write(self.work + "/receive", RECEIVE.format(work=self.work))
        os.chmod(self.work + "/receive", 0o700)
        ports = [self.bench.ports.take() for _ in range(self.clones)]
        for i, port in enumerate(ports, 1):
            self.start(["socat", "-t", "900", "OPENSSL-LISTEN:%d,bind=127.0.0.1,reuseaddr,fork,cert=%s/replica.pem,"
                        "cafile=%s/ca.pem,verify=1" % (port, self.work, self.work), "EXEC:%s/receive %d" % (self.work, i)], self.work + "/socat.log")
        for port in ports:
            procs.wait_until(lambda: procs.listens(port), "socat")
        write(self.work + "/ports", "".join("%d\n" % p for p in ports))

    def prepare(self) -> str:
        return SNAPSHOT + "; zstd -q -1 -f snap.db -o out; kind=whole; mapfile -t -O 1 ports < ports"

    def send(self) -> str:
        return ("[ \"$({ echo $kind $(stat -c %s out); cat out; } | socat -t 900 - OPENSSL:127.0.0.1:${ports[$i]},"
                "cert=primary.pem,cafile=ca.pem,verify=1,openssl-commonname=replica)\" = done ]")


class Sqldiff(Zstd):
    """What differs from the last snapshot, as SQL, which the replica runs in one transaction."""

    name = "sqldiff-tls"
    title = ".backup + sqldiff over mTLS"
    programs = Zstd.programs + ("sqldiff",)
    workloads = ("+10", "+1000", "1%")  # its full is that of Zstd
    options = ""

    def prepare(self) -> str:
        if self.empty:
            return super().prepare() + "; mv snap.db last.db"
        return (SNAPSHOT + "; sqldiff --primarykey --transaction last.db snap.db | zstd -q -1 > out; mv snap.db last.db; "
                "kind=sql; mapfile -t -O 1 ports < ports")


def write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
