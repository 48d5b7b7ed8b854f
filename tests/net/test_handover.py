"""Streams over handed-over connections, with a toy protocol of lines in the place of XMPP."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import pytest

from tests.net.drive import do, peer_of, run, until
from tests.net.pki import credentials
from xor_fast import limits
from xor_fast.actions import Dial, OpenPort, Purpose
from xor_fast.errors import StateError, StreamEnded
from xor_fast.net.applications import Application
from xor_fast.net.handover import Stream, adopt


class Line(NamedTuple):
    text: bytes


class Closed(NamedTuple):
    pass


class Lines:
    """HELLO, then one line an item, then BYE, from both sides; the one who begins waits for the other's HELLO."""

    def __init__(self, begins: bool) -> None:
        self.begins = begins
        self.is_open = False
        self.is_over = False
        self.spaces = 0
        self._out = b""
        self._rest = b""
        self._closed = False

    def take(self) -> bytes:
        out, self._out = self._out, b""
        return out

    def start(self) -> None:
        if self.begins:
            self._out += b"HELLO\n"

    def receive(self, data: bytes) -> list[Line | Closed]:
        *lines, self._rest = (self._rest + data).split(b"\n")
        events: list[Line | Closed] = []
        for raw in lines:
            line = raw.lstrip(b" ")
            self.spaces += len(raw) - len(line)
            if line == b"HELLO":
                self.is_open = True
                self._out += b"" if self.begins else b"HELLO\n"
            elif line == b"BYE":
                self.close()
                self.is_over = True
                events.append(Closed())
            else:
                events.append(Line(line))
        return events

    def send(self, item: bytes) -> None:
        if not self.is_open:
            raise StateError("not open")
        self._out += item + b"\n"

    def keep_alive(self) -> None:
        self._out += b" "

    def close(self) -> None:
        self.is_open = False
        if not self._closed:
            self._closed = True
            self._out += b"BYE\n"


def line_of(event: Line | Closed) -> tuple[bytes, int] | None:
    return (event.text, len(event.text)) if isinstance(event, Line) else None


@asynccontextmanager
async def connection() -> AsyncIterator[tuple[Application, Application]]:
    """Both ends of one application connection; the first is the requester's, TLS server and initiator."""
    async with (
        peer_of(credentials(1)) as (a, peer_a),
        peer_of(credentials(2), listens=False) as (b, peer_b),
    ):
        do(a, peer_a, OpenPort(5))
        await until(lambda: a.events("port_opened"), "port opened")
        do(b, peer_b, Dial(9, a.events("port_opened")[0][1], Purpose.APPLICATION))
        await until(lambda: a.events("app_up") and b.events("app_up"), "up")
        yield peer_a.take_application(5), peer_b.take_application(9)


def stream(application: Application, begins: bool) -> Stream[bytes]:
    return Stream(application, Lines(begins), line_of)


def test_items_go_both_ways_and_both_sides_close() -> None:
    async def main() -> None:
        async with connection() as (first, second):
            one = stream(first, True)
            with pytest.raises(StateError):
                await one.send(b"too early")
            two = stream(second, False)
            await asyncio.gather(one.opened(), two.opened())
            await one.send(b"wherefore")
            await two.send(b"art thou")
            assert await anext(two) == b"wherefore"
            assert await anext(one) == b"art thou"
            await two.send(b"last")
            closing = asyncio.ensure_future(one.close())
            assert [item async for item in two] == []
            await closing
            assert [item async for item in one] == [b"last"]
            assert (one.end, two.end) == (Closed(), Closed())
            for ended in (one, two):
                with pytest.raises(StreamEnded):
                    await ended.send(b"too late")

    run(main())


def test_a_connection_that_breaks_ends_the_stream() -> None:
    async def main() -> None:
        async with connection() as (first, second):
            one, two = stream(first, True), stream(second, False)
            await asyncio.gather(one.opened(), two.opened())
            await two.send(b"before")
            await until(lambda: one._items, "it came")
            second.transport.abort()
            assert [item async for item in one] == [b"before"]
            assert one.end is None
            assert one.reason
            with pytest.raises(StreamEnded):
                await one.send(b"x")
            await one.close()

    run(main())


def test_a_side_that_never_opens_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "STREAM_OPEN_TIMEOUT", 0.05)

    async def main() -> None:
        async with connection() as (first, _):
            one = stream(first, True)
            with pytest.raises(StreamEnded, match="did not open the stream in time"):
                await one.opened()

    run(main())


def test_a_side_that_never_closes_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CLOSE_TIMEOUT", 0.1)

    async def main() -> None:
        async with connection() as (first, second):
            one = stream(first, True)
            second.write(b"HELLO\n")
            await one.opened()
            await one.close()
            assert one.reason == "the other side did not close the stream"

    run(main())


def test_items_nobody_takes_stop_the_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_QUEUED_STANZAS", 50)
    item, count = b"x" * 10_000, 5_000

    async def main() -> None:
        async with connection() as (first, second):
            one, two = stream(first, True), stream(second, False)
            await asyncio.gather(one.opened(), two.opened())
            sent = 0

            async def send_all() -> None:
                nonlocal sent
                for _ in range(count):
                    await two.send(item)
                    sent += 1

            sending = asyncio.ensure_future(send_all())
            seen = -1
            while seen != sent:  # until the sender stands still
                seen = sent
                await asyncio.sleep(0.2)
            assert sent < count, "the sender was slowed down"
            assert len(one._items) < 200, "one read of 256 KiB above the bound at most"
            got = 0
            async for received in one:
                assert received == item
                got += 1
                if got == count:
                    break
            await sending

    run(main())


@pytest.mark.req("ice.app-keepalive")
def test_an_idle_stream_says_something_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    assert limits.STREAM_IDLE_SPACE <= 25
    monkeypatch.setattr(limits, "STREAM_IDLE_SPACE", 0.05)

    async def main() -> None:
        async with connection() as (first, second):
            one, two = stream(first, True), stream(second, False)
            await asyncio.gather(one.opened(), two.opened())
            await asyncio.sleep(0.3)
            await two.send(b"end")
            assert await anext(one) == b"end"
            session = one._session
            assert isinstance(session, Lines)
            assert session.spaces >= 3

    run(main())


def test_a_protocol_of_asyncio_adopts_a_connection_with_all_its_bytes() -> None:
    class Foreign(asyncio.Protocol):
        def __init__(self) -> None:
            self.data = bytearray()
            self.calls: list[str] = []

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.calls.append("made")

        def data_received(self, data: bytes) -> None:
            self.data += data

        def pause_writing(self) -> None:
            self.calls.append("pause")

        def resume_writing(self) -> None:
            self.calls.append("resume")

        def connection_lost(self, exc: Exception | None) -> None:
            self.calls.append("lost")

    async def main() -> None:
        async with connection() as (first, second):
            second.write(b"early ")
            await until(lambda: first._early, "early bytes")
            foreign = Foreign()
            transport = adopt(first, foreign)
            second.write(b"and late")
            await until(lambda: foreign.data == b"early and late", "all bytes")
            second.pause()
            transport.write(bytes(32 << 20))
            await until(lambda: foreign.calls == ["made", "pause"], "slowed down")
            heard = Foreign()
            adopt(second, heard).resume_reading()
            await until(lambda: foreign.calls == ["made", "pause", "resume"], "goes on")
            await until(lambda: len(heard.data) == 32 << 20, "all came")
            assert not transport.is_closing()
            transport.close()
            assert transport.is_closing()
            await until(lambda: foreign.calls[-1] == "lost" == heard.calls[-1], "both told")

    run(main())
