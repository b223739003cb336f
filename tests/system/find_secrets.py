# SPDX-License-Identifier: Apache-2.0
"""find_secrets: where secrets are that should not be.

find_secrets.py NEEDLES files PATH...     searches every regular file below the paths
find_secrets.py NEEDLES processes PID...  searches argv and environment of processes and of their descendants

NEEDLES has a line "NAME HEX" for each secret, its bytes in hex. Each is looked for as it is, and in hex (both cases)
and base64 (all three alignments) where it is binary. Prints "PLACE: NAME" for each one found; exit status 1 then.
"""
import base64
import os
import stat
import sys


def forms(name, raw):
    yield name, raw
    if all(0x20 <= b < 0x7f for b in raw):
        return
    yield name + " in hex", raw.hex().encode()
    yield name + " in hex", raw.hex().upper().encode()
    for shift in range(3):
        text = base64.b64encode(b"\0" * shift + raw)
        # without the characters that depend on what is before and behind
        yield name + " in base64", text[(0, 2, 3)[shift]:-4]


def load(path):
    needles = []
    with open(path, encoding="ascii") as f:
        for line in f:
            name, text = line.split()
            needles.extend(forms(name, bytes.fromhex(text)))
    return needles


def search(place, data, needles):
    return [f"{place}: {name}" for name, needle in needles if needle in data]


def files(paths, needles):
    for top in paths:
        walk = os.walk(top) if os.path.isdir(top) else [("", [], [top])]
        for folder, _, names in walk:
            for name in names:
                path = os.path.join(folder, name)
                try:
                    if stat.S_ISREG(os.lstat(path).st_mode):
                        with open(path, "rb") as f:
                            yield from search(path, f.read(), needles)
                except FileNotFoundError:
                    pass


def descendants(pids):
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", encoding="ascii", errors="replace") as f:
                    parent = int(f.read().rsplit(")", 1)[1].split()[1])
                children.setdefault(parent, []).append(int(entry))
            except (FileNotFoundError, ProcessLookupError):
                pass
    found, queue = set(), [int(p) for p in pids]
    while queue:
        pid = queue.pop()
        if pid not in found:
            found.add(pid)
            queue.extend(children.get(pid, []))
    return found


def processes(pids, needles):
    for pid in descendants(pids):
        for what in ("cmdline", "environ"):
            try:
                with open(f"/proc/{pid}/{what}", "rb") as f:
                    yield from search(f"process {pid} {what}", f.read(), needles)
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                pass


def main():
    needles = load(sys.argv[1])
    found = sorted(set({"files": files, "processes": processes}[sys.argv[2]](sys.argv[3:], needles)))
    print("\n".join(found))
    sys.exit(1 if found else 0)


main()
