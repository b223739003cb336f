#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bad_lines.py SEED STOP-FILE EVENTS LISTEN:TARGET...: a bad network on loopback.

Each pair of ports is a line: what connects to LISTEN is carried to TARGET. Every line changes its weather at random, each on
its own: good; slow (200 ms each way); narrow (1 Mbit/s); silent (accepts and carries nothing); cut (everything is reset, nobody
is let in); lossy (a connection breaks after a random number of bytes). When STOP-FILE exists all lines become good. Each change
is a line of EVENTS: seconds, line, weather.
"""
import asyncio
import os
import random
import sys
import time

WEATHER = ["good", "good", "slow", "narrow", "silent", "cut", "lossy"]
CHUNK = 16384


class Line:
    def __init__(self, listen, target, rng, tell):
        self.listen, self.target, self.rng, self.tell = listen, target, rng, tell
        self.weather = "good"
        self.changed = asyncio.Event()
        self.writers = set()

    def turn(self, weather):
        self.weather = weather
        self.tell(self.listen, weather)
        self.changed.set()
        self.changed = asyncio.Event()
        if weather == "cut":
            for w in list(self.writers):
                w.transport.abort()

    async def carry(self, reader, writer):
        until = self.rng.randrange(1, 200000)
        try:
            while data := await reader.read(CHUNK):
                while self.weather == "silent":
                    await self.changed.wait()
                if self.weather == "cut":
                    break
                if self.weather == "slow":
                    await asyncio.sleep(0.2)
                elif self.weather == "narrow":
                    await asyncio.sleep(len(data) * 8 / 1e6)
                elif self.weather == "lossy":
                    until -= len(data)
                    if until < 0:
                        break
                writer.write(data)
                await writer.drain()
        except (ConnectionError, OSError):
            pass

    async def serve(self, reader, writer):
        if self.weather == "cut":
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        both = (writer, far_writer)
        self.writers.update(both)
        ways = [asyncio.ensure_future(self.carry(reader, far_writer)), asyncio.ensure_future(self.carry(far_reader, writer))]
        done, rest = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        # What the other way still carries may arrive: half-closed connections end like that.
        if self.weather not in ("cut", "lossy") and rest:
            await asyncio.wait(rest, timeout=1)
        for way in ways:
            way.cancel()
        for w in both:
            self.writers.discard(w)
            w.transport.abort() if self.weather in ("cut", "lossy") else w.close()

    async def live(self):
        while True:
            await asyncio.sleep(self.rng.uniform(0.3, 4))
            self.turn(self.rng.choice(WEATHER))


async def main():
    seed, stop, events = int(sys.argv[1]), sys.argv[2], open(sys.argv[3], "w", buffering=1, encoding="ascii")
    began = time.monotonic()

    def tell(line, weather):
        events.write(f"{time.monotonic() - began:.2f} {line} {weather}\n")

    lines, lives = [], []
    for i, pair in enumerate(sys.argv[4:]):
        listen, target = (int(p) for p in pair.split(":"))
        line = Line(listen, target, random.Random(seed * 1000 + i), tell)
        await asyncio.start_server(line.serve, "127.0.0.1", listen)
        lines.append(line)
    tell(0, "up")
    for line in lines:
        lives.append(asyncio.ensure_future(line.live()))
    while not os.path.exists(stop):
        await asyncio.sleep(0.1)
    for life in lives:
        life.cancel()
    for line in lines:
        line.turn("good")
    await asyncio.Event().wait()


try:
    asyncio.run(main())
except KeyboardInterrupt:
    pass
