"""What a stored value costs a node, in memory and on its disk, beside the bytes it is on the wire.

    python -m bench.load.room [--scale 1] [--json FILE]

A node alone in its overlay (`member.py`) stores VALUE_SIZE bytes many thousand times over, through its link, each value
signed, at a place of its own and on the disk before it is acknowledged. Memory is what the process grows by while it
gets the values measured; disk is the file once the node has ended in order, certificates included, for all values.
"""

import argparse
import asyncio
import json
import os
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import uvloop

from bench.load.asking import USER, VALUE_SIZE, Asker, judge, request, store_body
from bench.load.pki import RELAY, TURN_SERVICE, identity
from bench.load.requests import DEPTH, FOLDER, Member
from xor_fast.cext import codec
from xor_fast.cext.ids import resource_id
from xor_fast.messages import Code, DataValue

SIGNERS = {"200 values of each signer": (200, 10_000, 10_000), "each value of another signer": (1, 9_000, 3_000)}
"""Values of one certificate, which is on the wire with each message, but kept once; values that only warm up; values
measured. By then the node remembers as many answers and certificates as it ever does (`limits`)."""


class Room(NamedTuple):
    """Bytes for one value."""

    values: int
    wire: float
    """The value with its signature, and its part of a certificate."""
    memory: float
    disk: float


def stores(of_each: int) -> Iterator[tuple[bytes, int]]:
    """Requests, each for a place of its own, and the bytes of its value and its part of the signer's certificate."""
    now = time.time_ns() // 1_000_000
    number = USER
    while True:
        signer = identity(number)
        certificate = len(signer.certificates[0].certificate)
        for place in range(1, of_each + 1):  # NODE-MULTIPLE (7.3.4)
            resource = resource_id(signer.node_id + bytes([place]))
            body = store_body(signer, resource, TURN_SERVICE.id, now, DataValue(True, os.urandom(VALUE_SIZE)))
            (data,) = body.kind_data[0].values
            wire = len(codec.encode_struct(data)) + certificate // of_each
            yield request(signer, resource, Code.STORE_REQ, body), wire
        number += 1


async def fill(member: Member, of_each: int, counts: tuple[int, int]) -> tuple[float, float]:
    """Values to warm up and values to measure into a node: bytes of memory and on the wire for one of the latter."""
    asker = Asker()
    await asker.connect(member.port)
    source = stores(of_each)
    resident, sizes = [], list[int]()
    for count in counts:
        sizes.clear()
        for start in range(0, count, 1000):  # in parts: less memory for them here
            made = list(islice(source, min(1000, count - start)))
            sizes += [wire for _, wire in made]
            judge("Store", await asker.ask([message for message, _ in made], DEPTH), 0)
        await asyncio.sleep(0.1)
        resident.append(member.report()["resident"])
    asker.close()
    return (resident[1] - resident[0]) / len(sizes), sum(sizes) / len(sizes)


def measure(scale: float) -> dict[str, Room]:
    """Both kinds of SIGNERS, `scale` times as many values."""
    rooms = {}
    FOLDER.mkdir(exist_ok=True)
    for name, (of_each, *numbers) in SIGNERS.items():
        warm_up, measured = (max(100, int(number * scale)) for number in numbers)
        with TemporaryDirectory(dir=FOLDER, prefix="room-") as folder:
            member = Member(RELAY, folder, min(os.sched_getaffinity(0)), realtime=False)
            try:
                memory, wire = uvloop.run(fill(member, of_each, (warm_up, measured)))
            finally:
                member.close()
            disk = sum(file.stat().st_size for file in Path(folder).iterdir())
            rooms[name] = Room(measured, wire, memory, disk / (warm_up + measured))
    return rooms


def main() -> None:
    """Print one line a kind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1, help="how many values, times those of SIGNERS")
    parser.add_argument("--json", type=Path, help="raw figures go to this file")
    arguments = parser.parse_args()
    rooms = measure(arguments.scale)
    for name, room in rooms.items():
        print(
            f"{name}: {room.wire:.0f} bytes on the wire, {room.memory:.0f} in memory ({room.memory / room.wire:.2f}), "
            f"{room.disk:.0f} on the disk ({room.disk / room.wire:.2f})"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps({name: room._asdict() for name, room in rooms.items()}))


if __name__ == "__main__":
    main()
