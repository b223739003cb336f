#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""json_shape: is standard input what programs were promised? json_shape.py status|audit|any"""

import json
import re
import sys

STATES = ("current behind connecting pushing restoring postponed failed unreachable refused held diverged stopped").split()


def time(v):
    return isinstance(v, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", v)


def number(v):
    return isinstance(v, int) and not isinstance(v, bool)


def text(v):
    return isinstance(v, str)


def state(v):
    return v in STATES


def truth(v):
    return isinstance(v, bool)


class maybe:
    """null, or this shape"""

    def __init__(self, shape):
        self.shape = shape


def one_of(*values):
    return lambda v: v in values


CLONE = {
    "host": text, "port": number, "state": state, "offered": number, "stored": number, "applied": number,
    "applied_at": maybe(time), "lag_seconds": number, "last_success": maybe(time), "last_error": maybe(text),
    "retry_at": maybe(time), "postponed_until": maybe(time), "clock_offset_seconds": number,
    "certificate_not_after": maybe(time),
}
STATUS = {
    "role": one_of("master", "clone"), "task": one_of("UP", "DOWN"), "version": text, "lineage": text,
    "generation": number, "last_completed": maybe(time), "next_scheduled": maybe(time), "last_check": maybe(time),
    "last_check_result": maybe(text), "unreplicated_since": maybe(time),
    "run": maybe({"id": text, "phase": text, "percent": number}),
    "messages": [{"code": text, "status": text}],
    "self": {
        "applied": number, "stored": number, "postponed_until": maybe(time), "diverged": truth,
        "master": {"host": maybe(text), "last_contact": maybe(time)},
    },
    "clones": [CLONE],
    "database": {"kind": text, "path": text, "rows": number},
    "certificates": [{"alias": text, "not_after": time, "days_left": number}],
}
AUDIT_ALWAYS = {
    "seq": number, "time": time, "host": text, "role": one_of("master", "clone"), "event": text,
    "outcome": one_of("success", "failure", "started"), "prev": lambda v: re.fullmatch("[0-9a-f]{64}", v),
}
AUDIT_SOMETIMES = {
    "generation": number, "lineage": text, "peer": text, "backup": text, "bytes": number, "duration_ms": number,
    "code": text, "detail": text, "clones": [{"clone": text, "result": text}],
}


def check(value, shape, where):
    """Every promised member, of the promised type; more of them are welcome."""
    if isinstance(shape, maybe):
        if value is not None:
            check(value, shape.shape, where)
    elif callable(shape):
        if not shape(value):
            sys.exit(f"{where}: {value!r} is not what was promised")
    elif isinstance(shape, list):
        if not isinstance(value, list):
            sys.exit(f"{where}: {value!r} is no array")
        for i, v in enumerate(value):
            check(v, shape[0], f"{where}[{i}]")
    else:
        if not isinstance(value, dict):
            sys.exit(f"{where}: {value!r} is no object")
        for name, inner in shape.items():
            if name not in value:
                sys.exit(f"{where}.{name}: missing")
            check(value[name], inner, f"{where}.{name}")


def main():
    data = sys.stdin.read()
    if sys.argv[1] == "status":
        check(json.loads(data), STATUS, "status")
    elif sys.argv[1] == "audit":
        for line in data.splitlines():
            record = json.loads(line)
            check(record, AUDIT_ALWAYS, "audit")
            check({k: v for k, v in record.items() if k not in AUDIT_ALWAYS},
                  {k: v for k, v in AUDIT_SOMETIMES.items() if k in record}, "audit")
            unknown = record.keys() - AUDIT_ALWAYS.keys() - AUDIT_SOMETIMES.keys()
            if unknown:
                sys.exit(f"audit: unknown members {sorted(unknown)}")
    else:
        json.loads(data)


main()
