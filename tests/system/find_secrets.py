# SPDX-License-Identifier: Apache-2.0
"""find_secrets: where secrets are that should not be.

find_secrets.py NEEDLES files PATH...     searches every regular file below the paths
find_secrets.py NEEDLES processes PID...  searches argv, environment and files without a name of processes and of
                                          their descendants
find_secrets.py NEEDLES memory PID...     searches the memory of these processes (root only)
find_secrets.py NEEDLES dumpable PID...   the same, but what the process has put out of reach of core dumps

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


def nameless(pid, needles):
    """Files that a process has open and removed: SQLite's temporary ones, for instance."""
    try:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            path = f"/proc/{pid}/fd/{fd}"
            if os.readlink(path).endswith(" (deleted)") and stat.S_ISREG(os.stat(path).st_mode):
                with open(path, "rb") as f:
                    yield from search(f"process {pid} {os.readlink(path)}", f.read(), needles)
    except OSError:
        pass


def processes(pids, needles):
    for pid in descendants(pids):
        yield from nameless(pid, needles)
        for what in ("cmdline", "environ"):
            try:
                with open(f"/proc/{pid}/{what}", "rb") as f:
                    yield from search(f"process {pid} {what}", f.read(), needles)
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                pass


def mappings(pid, all_of_them):
    """Begin, end and name of what may be read; without all_of_them only what a core dump would hold."""
    found = []
    with open(f"/proc/{pid}/smaps", encoding="utf-8", errors="replace") as f:
        for line in f:
            words = line.split()
            if "-" in words[0] and not words[0].endswith(":"):
                begin, end = (int(x, 16) for x in words[0].split("-"))
                name = words[5] if len(words) > 5 else "anonymous"
                readable = words[1].startswith("r") and name not in ("[vvar]", "[vsyscall]")
            elif words[0] == "VmFlags:" and readable and (all_of_them or "dd" not in words):
                found.append((begin, end, name))
    return found


def memory(pids, needles, all_of_them=True):
    for pid in pids:
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as f:
            for begin, end, name in mappings(pid, all_of_them):
                try:
                    f.seek(begin)
                    data = f.read(end - begin)
                except (OSError, OverflowError, ValueError):
                    continue
                yield from search(f"memory of process {pid}, {name}", data, needles)


def dumpable(pids, needles):
    return memory(pids, needles, False)


MODES = {"files": files, "processes": processes, "memory": memory, "dumpable": dumpable}


def main():
    needles = load(sys.argv[1])
    found = sorted(set(MODES[sys.argv[2]](sys.argv[3:], needles)))
    print("\n".join(found))
    sys.exit(1 if found else 0)


main()
