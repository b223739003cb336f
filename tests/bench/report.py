# SPDX-License-Identifier: Apache-2.0
"""The table that `make bench` prints, and its picture."""
from __future__ import annotations

import os
import shutil
import statistics
from typing import Optional

import procs
from system import WORKLOADS

COLOURS = {"keyclone-builtin": "#1b5e9e", "keyclone-foreign": "#62a8e5", "kprop": "#8d6e63", "iprop": "#c8a415",
           "rsync": "#7b7b7b", "zstd-tls": "#d9822b", "sqldiff-tls": "#4c9a52"}

READING = """How to read this. Wall: from the start of the replication command, the change being committed, to its end, when the
last clone has restored; medians of n rounds, all on this machine, so that ratios carry over and times do not. ×: beside the
fastest other system of the same block. CPU: all processes of both ends, until they are idle again. Wire: bytes sent on lo, both
directions, with headers; lo's packets are 64 kB, so that headers count less than on Ethernet. Mem: the sum of all
processes' anonymous memory at its highest; largest: the largest single process with all that it has mapped. Syncs: fsync and
its like, of all processes, counted in a run of its own. Stalls: the longest commit of a writer on the master and the
longest read on one clone, in another run. A reader of a file that was renamed over (rsync, zstd) goes on with the old keys and
never stalls. iprop: from the last commit, most of it the wait for the next poll."""


def sizes(keys: int, clones: int) -> str:
    return "%s keys, %d clone%s" % (format(keys, ","), clones, "" if clones == 1 else "s")


def size(value: Optional[float]) -> str:
    if value is None:
        return "–"
    for unit, factor in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= factor:
            return "%.3g%s" % (value / factor, unit)
    return "%d" % value


def seconds(value: float) -> str:
    return "%.3f" % value if value < 10 else "%.1f" % value


def median(result: dict, field: str) -> float:
    return statistics.median(r[field] for r in result["rounds"])


def stall(result: dict, who: str) -> str:
    found = (result.get("stalls") or {}).get(who, {})
    value = found.get("longest_ms")
    if found.get("gave_up"):
        return "∞"
    return "–" if value is None else "%.1f" % value


def row(result: dict, best: Optional[float]) -> list[str]:
    wall = median(result, "wall_s")
    largest = max(result["rounds"], key=lambda r: r["largest"])
    return [result["title"], seconds(wall), "%.2f" % (wall / best) if best else "–", "%.3f" % median(result, "cpu_s"),
            size(median(result, "wire")), size(median(result, "wire") / result["clones"]), size(median(result, "anon")),
            "%s %s" % (size(largest["largest"]), largest["largest_name"]),
            "–" if result.get("syncs") is None else str(result["syncs"]), stall(result, "writer"), stall(result, "reader"),
            str(len(result["rounds"]))]


HEAD = ["", "wall s", "×", "CPU s", "wire", "a clone", "mem", "largest", "syncs", "writer ms", "reader ms", "n"]


def columns(rows: list[list[str]]) -> str:
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(c.ljust(w) if i in (0, 7) else c.rjust(w) for i, (c, w) in enumerate(zip(r, widths))).rstrip()
                     for r in rows)


def block(results: list[dict], keys: int, clones: int) -> str:
    """One number of keys and of clones: all workloads, the systems of each below each other."""
    rows, titles = [HEAD], {}
    for workload in WORKLOADS:
        mine = [r for r in results if (r["keys"], r["clones"], r["workload"]) == (keys, clones, workload) and r["rounds"]]
        if not mine:
            continue
        titles[len(rows)] = "-- " + WORKLOADS[workload]
        for r in mine:
            others = [median(o, "wall_s") for o in mine if not o["system"].startswith("keyclone")]
            rows.append(row(r, min(others) if others else None))
    if len(rows) == 1:
        return ""
    lines = columns(rows).split("\n")
    text = ["", "== " + sizes(keys, clones), lines[0]]
    for i, line in enumerate(lines[1:], 1):
        if i in titles:
            text.append(titles[i])
        text.append(line)
    return "\n".join(text)


def latency_table(results: list[dict]) -> str:
    if not results:
        return ""
    rows = [["", "keys", "clones", "first p50", "p99", "max", "all: p50", "all: p99", "all: max", "CPU s", "wire", "commits"]]
    for r in results:
        one, every = r["first_clone"], r["all_clones"]
        figures = ["%.0f" % times[k] for times in (one, every) for k in ("p50_ms", "p99_ms", "max_ms")]
        rows.append([r["title"], format(r["keys"], ","), str(r["clones"]), *figures, "%.2f" % r["cpu_s"], size(r["wire"]),
                     str(r["commits"])])
    return ("\n== Latency, ms: from the commit of one key to its being visible on the first clone, and on all; a commit every "
            "50 to 150 ms\n" + columns(rows))


# --- the picture ---

def panel(results: list[dict], keys: int, clones: int, systems: list[str]) -> str:
    """gnuplot: a group of bars for each workload, one bar a system, its seconds above it."""
    lines = []
    wall = {(r["system"], r["workload"]): median(r, "wall_s") for r in results
            if (r["keys"], r["clones"]) == (keys, clones) and r["rounds"]}
    workloads = [w for w in WORKLOADS if any((s, w) in wall for s in systems)]
    if not workloads:
        return ""
    width = 0.86 / len(systems)
    names = [WORKLOADS[w].replace("of rows ", "").replace("%", "%%") for w in workloads]
    lines.append("set title '%s'" % sizes(keys, clones))
    lines.append("set xtics (%s)" % ", ".join("'%s' %d" % (n, i) for i, n in enumerate(names)))
    lines.append("set xrange [-0.55:%g]" % (len(workloads) - 0.45))
    low, high = min(wall.values()), max(wall.values())
    lines.append("set yrange [%g:%g]" % (low / 4, high * 3))
    bars, labels = [], []
    for n, system in enumerate(systems):
        beside = (n - (len(systems) - 1) / 2) * width
        points = [(i + beside, wall[system, w]) for i, w in enumerate(workloads) if (system, w) in wall]
        if not points:
            continue
        lines.append("$s%d << EOD\n%s\nEOD" % (n, "\n".join("%g %g" % p for p in points)))
        bars.append("$s%d using 1:2:(%g) with boxes fc rgb '%s' notitle" % (n, width * 0.92, COLOURS.get(system, "#000000")))
        labels.append("$s%d using 1:($2*1.12):(sprintf($2 < 10 ? '%%.2g' : '%%.0f', $2)) with labels font ',8' rotate by 60 left"
                      " notitle" % n)
    lines.append("plot " + ", ".join(bars + labels))
    return "\n".join(lines)


def picture(results: list[dict], path: str) -> bool:
    """False where there is no gnuplot."""
    if shutil.which("gnuplot") is None:
        return False
    systems = [s for s in COLOURS if any(r["system"] == s and r["rounds"] for r in results)]
    titles = {r["system"]: r["title"] for r in results}
    many = sorted({r["keys"] for r in results if r["rounds"]})
    clones = sorted({r["clones"] for r in results if r["rounds"]})
    if not many:
        return False
    across, down = len(clones), len(many)
    key = ", ".join("NaN with boxes fc rgb '%s' title '%s'" % (COLOURS[s], titles[s]) for s in systems)
    script = ["set terminal svg size %d,%d dynamic background '#ffffff' font 'Helvetica,12' noenhanced" % (
        max(900, 640 * across), 100 + 320 * down),
        "set output '%s'" % os.path.basename(path), "set style fill solid 1.0 noborder", "set logscale y",
        "set grid ytics lc rgb '#dddddd'", "set border 3", "set xtics nomirror scale 0", "set ytics nomirror",
        "set ylabel 'seconds'",
        "set multiplot title 'Wall time until the last clone has restored (log scale, shorter is better)' font ',15'"]
    top, bottom = 1 - 88 / (100 + 320 * down), 0.0
    for y, k in enumerate(many):
        for x, c in enumerate(clones):
            text = panel(results, k, c, systems)
            if text:
                height = (top - bottom) / down
                script.append("set size %g,%g\nset origin %g,%g" % (1 / across, height, x / across, top - (y + 1) * height))
                script.append(text)
    script += ["set size 1,%g" % (1 - top), "set origin 0,%g" % (top - 0.005), "unset title", "unset border", "unset xtics",
               "unset ytics", "unset ylabel", "unset grid", "unset logscale", "set yrange [0:1]", "set xrange [0:1]",
               "set key center center horizontal maxcols 4 samplen 1.5 font ',12'", "plot " + key, "unset multiplot"]
    procs.call(["gnuplot"], text="\n".join(script) + "\n", cwd=os.path.dirname(path))
    return True
