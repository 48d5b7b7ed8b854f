"""The file a node keeps its values in: what was written is there, what was damaged is not given back, a full disk is
said to be full and goes on when there is room."""

import asyncio
import os
import random
import sqlite3
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.net.drive import run
from tests.net.test_peers import KIND, peer
from xor_fast.cext import ids
from xor_fast.core.node import NewValue
from xor_fast.errors import ConfigError, ErrorCode, RequestFailed
from xor_fast.net.disk import Change, Disk


class Writing:
    """A disk that tells how each ticket ended."""

    def __init__(self, path: Path) -> None:
        self.disk = Disk(str(path))
        self.records = list(self.disk.records())
        self.outcomes: dict[int, str | None] = {}
        self._ended = threading.Condition()
        self._ticket = 0
        self.disk.start(self._report)

    def _report(self, reports: list[tuple[int, str | None]]) -> None:
        with self._ended:
            self.outcomes.update(reports)
            self._ended.notify_all()

    def write(self, *changes: Change) -> str | None:
        self._ticket += 1
        ticket = self._ticket
        self.disk.write(ticket, changes)
        with self._ended:
            assert self._ended.wait_for(lambda: ticket in self.outcomes, 30)
        return self.outcomes[ticket]


def value_key(number: int) -> bytes:
    return b"v" + random.Random(number).randbytes(20)


def filled(path: Path, count: int = 400) -> dict[bytes, bytes]:
    """A database with so many values of 400 bytes, closed."""
    there = {value_key(number): random.Random(number).randbytes(400) for number in range(count)}
    writing = Writing(path)
    assert writing.write(*there.items()) is None
    writing.disk.close()
    return there


def test_what_was_written_is_there_in_order_and_what_was_removed_is_not(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    writing = Writing(path)
    assert writing.records == []
    assert writing.write((b"vb", b"2"), (b"va", b"1"), (b"vc", b"3")) is None
    assert writing.write((b"vc", None), (b"va", b"new"), (b"vx", None)) is None
    writing.disk.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = Disk(str(path))
    assert list(again.records()) == [(b"va", b"new"), (b"vb", b"2")]
    assert again.complaints == []
    again.close()


def test_all_that_was_given_is_written_before_it_closes(tmp_path: Path) -> None:
    writing = Writing(tmp_path / "store.db")
    for number in range(200):
        writing.disk.write(number, [(b"v%d" % number, b"x")])
    writing.disk.close()
    assert writing.outcomes == dict.fromkeys(range(200))
    assert len(list(Disk(str(tmp_path / "store.db")).records())) == 200


def test_a_flipped_bit_anywhere_is_never_given_back(tmp_path: Path, rng: random.Random) -> None:
    """Nor does it cost a sound record later: what was read is there after the next write as well."""
    path = tmp_path / "store.db"
    there = filled(path, 60)
    sound = path.read_bytes()
    for _ in range(100):
        bent = bytearray(sound)
        places = [rng.randrange(len(sound) // rng.choice((1, 64))) for _ in range(rng.choice((1, 1, 5, 40)))]
        for place in places:
            bent[place] ^= 1 << rng.randrange(8)
        path.write_bytes(bent)
        writing = Writing(path)
        assert dict(writing.records).items() <= there.items(), places
        assert writing.write((b"vnew", b"1")) is None, places
        writing.disk.close()
        again = Disk(str(path))
        assert dict(again.records()) == {**dict(writing.records), b"vnew": b"1"}, places
        assert again.complaints == [], places
        again.close()
        for other in tmp_path.glob("store.db*"):
            other.unlink()


@pytest.mark.parametrize("place", [0, 18, 19, 28, 100, 103])
def test_the_page_that_says_what_is_in_the_file(tmp_path: Path, place: int, rng: random.Random) -> None:
    """Magic, format, number of pages, kind of page, number of tables: all records are saved."""
    path = tmp_path / "store.db"
    there = filled(path)
    bent = bytearray(path.read_bytes())
    bent[place : place + 2] = rng.randbytes(2)
    path.write_bytes(bent)
    writing = Writing(path)
    assert dict(writing.records) == there
    assert writing.write((b"vnew", b"1")) is None
    writing.disk.close()


@pytest.mark.parametrize("versions", [(3, 2), (3, 1), (1, 1), (0, 0), (2, 3), (255, 0)])
def test_the_versions_of_the_file_format(tmp_path: Path, versions: tuple[int, int]) -> None:
    """For writing and for reading: a file that SQLite would only read is no store."""
    path = tmp_path / "store.db"
    there = filled(path)
    bent = bytearray(path.read_bytes())
    bent[18:20] = bytes(versions)
    path.write_bytes(bent)
    writing = Writing(path)
    assert dict(writing.records) == there
    assert writing.write((b"vnew", b"1")) is None
    writing.disk.close()


@pytest.mark.parametrize("word", [b"records", b"TABLE", b"key", b"value", b"WITHOUT", b"ROWID"])
def test_a_flipped_bit_in_the_words_of_the_schema(tmp_path: Path, word: bytes, rng: random.Random) -> None:
    path = tmp_path / "store.db"
    there = filled(path)
    bent = bytearray(path.read_bytes())
    bent[bent.rindex(word, 0, 4096) + rng.randrange(len(word))] ^= 1 << rng.randrange(8)
    path.write_bytes(bent)
    disk = Disk(str(path))
    assert dict(disk.records()) == there
    assert len(disk.complaints) == 1
    disk.close()


@pytest.mark.parametrize("column", ["key", "value"])
@pytest.mark.parametrize("became", ["CAST(x'ff' || {} AS TEXT)", "CAST(hex({}) AS TEXT)", "17", "0.5"])
def test_a_flipped_bit_that_makes_it_another_type(tmp_path: Path, became: str, column: str) -> None:
    """A text that is no UTF-8 is an error of Python's module, not of SQLite."""
    path = tmp_path / "store.db"
    there = filled(path)
    with sqlite3.connect(path) as database:
        database.execute(f"UPDATE records SET {column} = {became.format(column)} WHERE key = ?", (value_key(7),))
    database.close()
    disk = Disk(str(path))
    found = dict(disk.records())
    assert found.items() <= there.items()
    assert len(found) == len(there) - 1
    assert len(disk.complaints) == 1
    disk.close()
    again = Disk(str(path))
    assert (dict(again.records()), again.complaints) == (found, [])
    again.close()


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9])
def test_a_file_that_was_cut_short(tmp_path: Path, share: float) -> None:
    path = tmp_path / "store.db"
    there = filled(path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    disk = Disk(str(path))
    assert dict(disk.records()).items() <= there.items()
    disk.close()


def test_around_a_torn_page_what_can_be_read_is_saved(tmp_path: Path, rng: random.Random) -> None:
    path = tmp_path / "store.db"
    there = filled(path)
    data = bytearray(path.read_bytes())
    page = rng.randrange(2, len(data) // 4096)
    is_leaf = data[page * 4096] == 0x0A  # with nine values; through an inner page one reaches ninety
    data[page * 4096 + 2048 : (page + 1) * 4096] = bytes(2048)
    data[page * 4096 : page * 4096 + 8] = b"\xff" * 8
    path.write_bytes(data)
    disk = Disk(str(path))
    found = dict(disk.records())
    assert found.items() <= there.items()
    assert len(disk.complaints) == 1
    assert len(found) > (0.95 if is_leaf else 0.7) * len(there), f"page {page}"
    disk.close()
    again = Disk(str(path))  # the damage is set aside: the next start has nothing to say about it
    assert (dict(again.records()), again.complaints) == (found, [])
    again.close()


@pytest.mark.parametrize("fails_at", [1, 2, 3])
def test_whoever_is_killed_while_mending_a_file_loses_nothing_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    """Each step fails in turn, which says so in one line; the next start goes on from there."""
    path = tmp_path / "store.db"
    there = filled(path)
    data = bytearray(path.read_bytes())
    data[5 * 4096 : 5 * 4096 + 8] = b"\xff" * 8
    path.write_bytes(data)
    real, steps = os.rename, 0

    def rename(source: str, target: str) -> None:
        nonlocal steps
        steps += 1
        if steps == fails_at:
            raise PermissionError(13, "Permission denied")
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr("os.rename", rename)
        with pytest.raises(ConfigError, match=r"store\.db cannot be used: .*denied"):
            Disk(str(path))
    disk = Disk(str(path))
    found = dict(disk.records())
    disk.close()
    assert found.items() <= there.items()
    assert len(found) > 0.8 * len(there)
    assert [name.name for name in tmp_path.glob("*.new*")] == []


def test_what_is_no_database_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.write_bytes(b"no database at all" * 1000)
    writing = Writing(path)
    assert writing.records == []
    assert str(path) in writing.disk.complaints[0]
    assert (tmp_path / "store.db.damaged").read_bytes().startswith(b"no database")
    assert writing.write((b"v", b"goes on")) is None
    writing.disk.close()


def test_a_place_where_nothing_can_be_written_is_the_owners_affair(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        Disk(str(tmp_path / "nowhere" / "store.db"))
    (tmp_path / "directory").mkdir()
    with pytest.raises(ConfigError, match="directory"):
        Disk(str(tmp_path / "directory"))


def test_a_file_of_another_owner_ends_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def chmod(path: str, mode: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.chmod", chmod)
    with pytest.raises(ConfigError, match=r"store\.db cannot be used"):
        Disk(str(tmp_path / "store.db"))


def test_a_full_disk_writes_nothing_of_a_transaction_and_goes_on_with_room(tmp_path: Path) -> None:
    writing = Writing(tmp_path / "store.db")
    assert writing.write((b"va", b"1")) is None
    writing.disk._database.execute("PRAGMA max_page_count = 1")
    failure = writing.write((b"vb", b"2"), (b"vc", bytes(100_000)))
    assert failure is not None
    assert "full" in failure
    writing.disk._database.execute("PRAGMA max_page_count = 100000")
    assert writing.write((b"vd", b"3")) is None
    writing.disk.close()
    assert [key for key, _ in Disk(str(tmp_path / "store.db")).records()] == [b"va", b"vd"]


def test_an_io_error_is_reported_and_the_writing_goes_on(tmp_path: Path) -> None:
    """The file is taken away from under it, as a disk that is pulled out."""
    writing = Writing(tmp_path / "store.db")
    real = writing.disk._database

    class Failing:
        def __enter__(self) -> Any:
            raise sqlite3.OperationalError("disk I/O error")

        def __exit__(self, *_exc: object) -> None: ...

    writing.disk._database = Failing()  # type: ignore[assignment]
    assert writing.write((b"va", b"1")) == "disk I/O error"
    writing.disk._database = real
    assert writing.write((b"vb", b"1")) is None
    writing.disk.close()


def test_a_peer_with_a_full_disk_refuses_serves_and_recovers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xor_fast.limits.DISK_RETRY", 0.05)
    path, place = str(tmp_path / "store.db"), ids.resource_id(b"juliet@capulet.lit")

    async def main() -> None:
        async with peer(0, path=path) as alone, peer(20, "juliet@capulet.lit", listens=False) as client:
            alone.start_overlay()
            await client.connect([alone.address])  # type: ignore[list-item]

            async def store(value: bytes) -> None:
                await client.store(place, KIND, [NewValue(client.node.node_id, value, 3600)])

            async def found() -> list[bytes]:
                return [value.value for value in (await client.fetch(place, KIND)).values]

            await store(b"before")
            assert alone._disk is not None
            alone._disk._database.execute("PRAGMA max_page_count = 1")
            with pytest.raises(RequestFailed, match="full") as refused:
                await store(b"x" * 2300)
            assert refused.value.code == ErrorCode.DATA_TOO_LARGE
            assert await found() == [b"before"]
            alone._disk._database.execute("PRAGMA max_page_count = 100000")
            for _ in range(400):  # it looks at its disk again by itself, a while after the last time it was full
                try:
                    await store(b"after")
                    break
                except RequestFailed:
                    await asyncio.sleep(0.05)
            assert await found() == [b"after"]

    run(main())
