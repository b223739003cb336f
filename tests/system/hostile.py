# SPDX-License-Identifier: Apache-2.0
"""hostile: peers with a valid certificate that mean ill, to PROTOCOL.md as far as it suits them.

hostile.py clone CERT KEY PORT HOW [LINEAGE]   listens as a clone; ends when it is killed
hostile.py master CERT KEY PORT HOW SIGNER LINEAGE GENERATION   connects as a master; prints what the clone did

What HOW means is in the tables CLONES and MASTERS.
"""
import hashlib
import json
import os
import socket
import ssl
import struct
import sys
import threading
import time

(ALIVE, HELLO, OFFER, ACCEPT, DECLINE, DATA, END, PROGRESS, RESULT, BYE, ERROR) = range(11)
# clear the screen, set the title, the same with 8-bit controls, and a name that reads backwards
UGLY = "\x1b[2J\x1b]0;owned\x07 \u009b2J \u202egnp.exe \u2028 \r\n fine"
ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def bech32(prefix, raw):
    values, acc, bits = [], 0, 0
    for byte in raw:
        acc, bits = acc << 8 | byte, bits + 8
        while bits >= 5:
            bits -= 5
            values.append(acc >> bits & 31)
    if bits:
        values.append(acc << (5 - bits) & 31)
    check = [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix] + values + [0] * 6
    state = 1
    for v in check:
        top, state = state >> 25, (state & 0x1FFFFFF) << 5 ^ v
        for i, g in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            state ^= g if top >> i & 1 else 0
    state ^= 1
    return prefix + "1" + "".join(ALPHABET[v] for v in values + [state >> 5 * (5 - i) & 31 for i in range(6)])


class Session:
    def __init__(self, sock):
        self.sock = sock

    def send(self, kind, body=b""):
        if isinstance(body, dict):
            body = json.dumps(body).encode()
        self.sock.sendall(struct.pack(">IB", len(body), kind) + body)

    def read(self, n):
        data = b""
        while len(data) < n:
            piece = self.sock.recv(n - len(data))
            if not piece:
                raise ConnectionError("closed")
            data += piece
        return data

    def receive(self):
        while True:
            n, kind = struct.unpack(">IB", self.read(5))
            body = self.read(n)
            if kind != ALIVE:
                return kind, body if kind == DATA else json.loads(body or b"{}")


def context(side, cert, key):
    c = ssl.SSLContext(side)
    c.check_hostname = False
    c.verify_mode = ssl.CERT_NONE
    c.minimum_version = ssl.TLSVersion.TLSv1_3
    c.load_cert_chain(cert, key)
    c.set_alpn_protocols(["keyclone/1"])
    return c


# --- clones ---

def recipient(seed):
    # any 32 bytes are a point on the curve
    return bech32("age", hashlib.sha256(seed).digest())


def to_offer(s, who, **more):
    hello = {"version": 1, "product": "p", "role": "clone", "host": "h", "time": int(time.time()), "free": 1 << 50,
             "recipient": who, "warnings": [UGLY]}
    s.receive()
    s.send(HELLO, dict(hello, **more))
    return s.receive()


def silent(s):
    to_offer(s, recipient(b"silent"))
    time.sleep(3600)


def leaves(s):
    to_offer(s, recipient(b"leaves"))
    s.send(BYE)


def garbage_recipient(s):
    take(s, to_offer(s, "rubbish"))


def low_order(s):
    take(s, to_offer(s, bech32("age", bytes(32))))


def take(s, offer):
    s.send(ACCEPT, {"offset": 0})
    while s.receive()[0] == DATA:
        pass
    return offer[1]


def ugly(s):
    _, offer = to_offer(s, recipient(b"ugly"))
    s.send(DECLINE, {"reason": "failed", "message": UGLY})
    time.sleep(3600)


def liar(s):
    """It has everything, whatever it is; it restores what it was never sent."""
    _, offer = to_offer(s, recipient(b"liar"))
    s.send(RESULT, {"status": "restored", "receipt": offer["receipt"], "generation": offer["generation"]})
    s.receive()


def swaps(s):
    """Another identity in each session; it takes what it gets."""
    take(s, to_offer(s, recipient(os.urandom(8))))
    s.send(RESULT, {"status": "failed", "receipt": "0" * 32, "generation": 1})


def slow(s):
    _, offer = to_offer(s, recipient(b"slow"))
    s.send(ACCEPT, {"offset": 0})
    while True:
        s.read(1)
        time.sleep(0.5)


CLONES = {f.__name__.replace("_", "-"): f
          for f in (silent, leaves, garbage_recipient, low_order, ugly, liar, swaps, slow)}


def serve(tls, sock, how):
    try:
        with tls.wrap_socket(sock, server_side=True) as session:
            CLONES[how](Session(session))
    except (OSError, ValueError) as e:
        print(e, flush=True)


def clone(cert, key, port, how):
    tls = context(ssl.PROTOCOL_TLS_SERVER, cert, key)
    server = socket.create_server(("127.0.0.1", int(port)))
    while True:
        sock, _ = server.accept()
        # They end with the process.
        threading.Thread(target=serve, args=(tls, sock, how), daemon=True).start()


# --- masters ---

class Master:
    def __init__(self, cert, key, port, signer, lineage, generation):
        sock = socket.create_connection(("127.0.0.1", int(port)))
        self.s = Session(context(ssl.PROTOCOL_TLS_CLIENT, cert, key).wrap_socket(sock))
        self.signer, self.lineage, self.generation = signer, lineage, int(generation)

    def hello(self, **more):
        self.s.send(HELLO, dict({"version": 1, "product": UGLY, "role": "master", "host": "m", "time": 1,
                                 "lineage": self.lineage, "signing_key": self.signer}, **more))
        return self.s.receive()

    def offer(self, **more):
        self.s.send(OFFER, dict({"lineage": self.lineage, "generation": self.generation, "kind": "full",
                                 "file": f"keyclone-evil-{self.lineage[:8]}-{self.generation:010}-full-"
                                         "20260101T000000Z.tar.zst.age",
                                 "file_id": "ab" * 16, "header_size": 100, "room": 1 << 20, "digest": "cd" * 32,
                                 "receipt": "ef" * 16}, **more))
        return self.s.receive()

    def push(self, payload, **more):
        kind, body = self.offer(**more)
        if kind != ACCEPT:
            return kind, body
        self.s.send(DATA, payload)
        self.s.send(END, dict({"size": len(payload), "sha256": hashlib.sha256(payload).hexdigest(),
                               "recovery": "QUFB" * 33 + "QQ==", "travel": "QUFB"}, **more.get("end", {})))
        kind = PROGRESS
        while kind == PROGRESS:
            kind, body = self.s.receive()
        return kind, body


def tell(kind, body):
    names = ["alive", "hello", "offer", "accept", "decline", "data", "end", "progress", "result", "bye", "error"]
    print(names[kind], body.get("reason", ""), body.get("status", ""), body.get("error", ""), body.get("message", ""))


def greeted(f):
    def run(m):
        kind, body = m.hello()
        tell(*(f(m) if kind == HELLO else (kind, body)))
    return run


def older(m):
    m.generation = 1
    return m.offer()


def other_lineage(m):
    return m.offer(lineage="00" * 16)


def unsigned(m):
    return m.push(b"\xab" * 16 + os.urandom(100000))


def lying_sum(m):
    return m.push(b"\xab" * 16 + b"x" * 1000, end={"sha256": "00" * 32})


def lying_size(m):
    return m.push(b"\xab" * 16 + b"x" * 1000, end={"size": 10})


def too_much(m):
    return m.push(b"\xab" * 16 + b"x" * 200000, room=5000)


def no_room(m):
    return m.offer(room=1 << 52)


def big_system(m):
    """What the clone cannot judge, as nobody there can open it."""
    return m.offer(kind="system", room=1 << 27,
                   file=f"keyclone-system-{m.lineage[:8]}-{m.generation:010}-system-20260101T000000Z.tar.zst.age")


def big_header(m):
    return m.offer(header_size=1 << 30)


def deep_json(m):
    m.s.send(OFFER, b'{"lineage":' + b"[" * 60000 + b"}")
    return m.s.receive()


def over_limit(m):
    m.s.sock.sendall(struct.pack(">IB", 0x7FFFFFFF, OFFER) + b"{}")
    return m.s.receive()


def out_of_order(m):
    m.s.send(DATA, b"x" * 10)
    return m.s.receive()


def name(text):
    return greeted(lambda m: m.offer(file=text))


def greedy(m):
    """Offers that are declined, as fast as they can be sent."""
    m.generation = 1
    kind, body = DECLINE, {}
    for _ in range(300):
        kind, body = m.offer()
    return kind, body


def foreign_hello(m):
    m.lineage = "11" * 16
    tell(*m.hello())


def ugly_hello(m):
    tell(*m.hello(host=UGLY))


MASTERS = {
    "greedy": greeted(greedy), "older": greeted(older), "other-lineage": greeted(other_lineage),
    "unsigned": greeted(unsigned), "lying-sum": greeted(lying_sum), "lying-size": greeted(lying_size),
    "big-system": greeted(big_system),
    "too-much": greeted(too_much), "no-room": greeted(no_room), "big-header": greeted(big_header),
    "deep-json": greeted(deep_json), "over-limit": greeted(over_limit), "out-of-order": greeted(out_of_order),
    "traversal": name("../../escaped"), "absolute": name("/tmp/escaped"), "hidden": name(".ssh"),
    "control": name("a\x1b[2Jb"), "long": name("x" * 300), "empty": name(""), "nul": name("a\x00b"),
    "state": name("state.db"), "foreign-hello": foreign_hello, "ugly-hello": ugly_hello,
}


def main():
    if sys.argv[1] == "clone":
        clone(*sys.argv[2:])
    try:
        MASTERS[sys.argv[5]](Master(*sys.argv[2:5], *sys.argv[6:9]))
    except OSError as e:
        print("closed:", e)


if __name__ == "__main__":
    main()
