#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""cutter PORT TARGET BYTES CUTS: a bad line. Forwards PORT to TARGET on loopback, and cuts the first CUTS connections
that carry more than BYTES towards the target; later ones live. A file named `stalled` in the working directory makes it
forward nothing until it is gone, one named `slow` little at a time."""
import os
import selectors
import socket
import sys
import time

port, target, limit, cuts = (int(a) for a in sys.argv[1:5])
sel = selectors.DefaultSelector()
listener = socket.create_server(("127.0.0.1", port))
listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)  # what is in here is on its way, not there
sel.register(listener, selectors.EVENT_READ, None)
print("listening", flush=True)


class Pipe:
    """One direction; both ends are closed together."""

    def __init__(self, src, dst, towards):
        self.src, self.dst, self.towards, self.count, self.other = src, dst, towards, 0, None


def close(pipe):
    for p in (pipe, pipe.other):
        try:
            sel.unregister(p.src)
        except KeyError:
            pass
        p.src.close()


while True:
    for key, _ in sel.select(0.05 if os.path.exists("stalled") else None):
        if key.data is None:
            a, _ = listener.accept()
            try:
                b = socket.create_connection(("127.0.0.1", target))
                b.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
            except OSError:
                a.close()
                continue
            one, two = Pipe(a, b, True), Pipe(b, a, False)
            one.other, two.other = two, one
            sel.register(a, selectors.EVENT_READ, one)
            sel.register(b, selectors.EVENT_READ, two)
            continue
        if os.path.exists("stalled"):
            continue
        if os.path.exists("slow"):
            time.sleep(0.1)
        pipe = key.data
        try:
            data = pipe.src.recv(65536)
            if data:
                pipe.dst.sendall(data)
        except OSError:
            data = b""
        pipe.count += len(data)
        if data and pipe.towards and cuts > 0 and pipe.count > limit:
            cuts -= 1
            print("cut", flush=True)
            data = b""
        if not data:
            close(pipe)
            break
