"""The power goes at many moments around a write: what was acknowledged is there afterwards, and nothing is torn.

    python -m tests.processes.power_cut --points 1000

A real peer with its real disk stores as fast as it can, while every call that changes a file is written down, and every
sync (record.c). Out of that the files are made as a disk may have them when its power goes at some moment: all that was
synced; of what was not, by chance nothing, all, what came last without what came first, or single sectors. Files that
appear, vanish or change their name do so when their folder is synced, or some of them, in their order, before. The next
run starts from what one cut has left.
"""

import argparse
import asyncio
import ctypes
import os
import random
import shutil
import struct
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tests.processes.kill_points import SAID, again_with, found_in_copy, live, wrong

SECTOR = 512
POINTS_A_RUN, ROUNDS = 50, 40
HEAD = struct.Struct("<cHQQ")


class Entry(NamedTuple):
    """Of the record: w write, t truncate, s sync, u unlink, r rename (to data), a said by the peer."""

    what: str
    name: str
    at: int
    data: bytes


@dataclass
class File:
    """What is on the disk for sure, and the writes that are under way."""

    content: bytearray = field(default_factory=bytearray)
    waiting: list[tuple[int, bytes | None]] = field(default_factory=list)  # None: cut to this length

    def sync(self) -> None:
        for write in self.waiting:
            put(self.content, *write)
        self.waiting.clear()

    def after_a_cut(self, chance: random.Random) -> bytes:
        content, writes = bytearray(self.content), list(self.waiting)
        how = chance.choice(("nothing", "all", "last", "sectors"))
        if how == "nothing":
            writes = []
        elif how == "last":
            writes = writes[chance.randrange(len(writes) + 1) :]
        for at, data in writes:
            if how != "sectors" or data is None:
                put(content, at, data)
                continue
            for begin in range(0, len(data), SECTOR):
                if chance.random() < 0.5:
                    put(content, at + begin, data[begin : begin + SECTOR])
        return bytes(content)


def put(content: bytearray, at: int, data: bytes | None) -> None:
    if data is None:
        del content[at:]
        data = b""
    content.extend(bytes(max(0, at - len(content))))
    content[at : at + len(data)] = data


class Folder:
    """A folder on a disk whose power may go."""

    def __init__(self, path: Path) -> None:
        self._now = {file.name: File(bytearray(file.read_bytes())) for file in path.iterdir()}
        self._synced = dict(self._now)
        self._waiting: list[dict[str, File]] = []  # what the folder was after each change since its last sync

    def carry_out(self, entry: Entry) -> None:
        match entry.what:
            case "w" | "t":
                if entry.name not in self._now:
                    self._change({**self._now, entry.name: File()})
                self._now[entry.name].waiting.append((entry.at, entry.data if entry.what == "w" else None))
            case "s" if entry.name in self._now:
                self._now[entry.name].sync()
            case "s":
                self._synced, self._waiting = self._now, []
            case "u":
                self._change({name: file for name, file in self._now.items() if name != entry.name})
            case "r":
                others = {name: file for name, file in self._now.items() if name != entry.name}
                self._change({**others, os.path.basename(os.fsdecode(entry.data)): self._now[entry.name]})

    def _change(self, after: dict[str, File]) -> None:
        self._now = after
        self._waiting.append(after)

    def cut(self, path: Path, chance: random.Random) -> None:
        """Into an empty folder."""
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        for name, file in chance.choice([self._synced, *self._waiting]).items():
            (path / name).write_bytes(file.after_a_cut(chance))


# --- the process that is watched ----------------------------------------------------------------------------


def record(folder: Path, first_version: int, rounds: int) -> list[Entry]:
    """Store in a process of its own; all that it did in the folder and said, in its order."""
    with tempfile.TemporaryFile() as log:
        process = os.fork()
        if process == 0:
            shim = ctypes.CDLL(None)
            shim.record_into(log.fileno())

            def say(data: bytes) -> None:
                shim.note(ctypes.c_char(b"a"), b"", ctypes.c_uint64(0), data, ctypes.c_uint64(len(data)))

            asyncio.run(live(str(folder / "store.db"), first_version, say, rounds))
            os._exit(0)
        _, status = os.waitpid(process, 0)
        assert status == 0, "the peer ended by itself"
        log.seek(0)
        return list(entries(log.read(), folder))


def entries(log: bytes, folder: Path) -> Iterator[Entry]:
    offset = 0
    while offset < len(log):
        what, length, at, size = HEAD.unpack_from(log, offset)
        offset += HEAD.size
        path = Path(os.fsdecode(log[offset : offset + length]))
        offset += length
        if what == b"a" or folder in (path, path.parent):
            yield Entry(what.decode(), "" if path == folder else path.name, at, log[offset : offset + size])
        offset += size


def survive(points: int, rounds: int, seed: int, base: Path) -> list[str]:
    chance = random.Random(seed)
    running, image = base / "running", base / "image"
    running.mkdir()
    acknowledged: dict[int, int] = {}
    wished: dict[int, int] = {}
    cuts = acks = 0
    while cuts < points:
        folder = Folder(running)
        recorded = record(running, 1 + cuts * rounds, rounds)
        chosen = set(chance.sample(range(len(recorded) + 1), min(POINTS_A_RUN, points - cuts, len(recorded))))
        for number in range(max(chosen) + 1):
            if number in chosen:
                folder.cut(image, chance)
                cuts += 1
                problems = list(
                    wrong(found_in_copy(str(image / "store.db"), str(base / "aside")), acknowledged, wished)
                )
                if problems:
                    return [f"cut {cuts}, before call {number} (seed {seed}): {problem}" for problem in problems]
            if number < len(recorded):
                folder.carry_out(recorded[number])
                if recorded[number].what == "a":
                    what, key, version = SAID.unpack(recorded[number].data)
                    (wished, acknowledged)[what][key] = version
                    acks += what
        shutil.rmtree(running)
        shutil.copytree(image, running)
        print(f"the power went {cuts} times, {acks} stores acknowledged", flush=True)
    print(f"the power went {cuts} times, {acks} stores acknowledged, none lost or torn")
    return []


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--points", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of six Stores in each process")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if (status := again_with("record", folder, options.seed)) is not None:
            return status
        problems = survive(options.points, options.rounds, options.seed, Path(folder).resolve())
    print("\n".join(problems))
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
