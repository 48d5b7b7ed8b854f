"""The driver with a stand-in for the node: what goes in comes out, on real TLS over loopback."""

import asyncio
import random
import socket
import ssl
import struct
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.net import drive
from tests.net.drive import dial, do, listens_at, peer_of, until
from tests.net.pki import credentials, node_id_of, pki, stdlib_client
from xor_fast import limits
from xor_fast.actions import ClosePort, Dial, Hangup, Left, Notice, OpenPort, Purpose
from xor_fast.errors import ConfigError, RequestFailed, StateError
from xor_fast.net.listener import address_of, bind
from xor_fast.net.pcap import PcapFile, TappedTls
from xor_fast.net.tls import Credentials, Tls

A, B = 1, 2


@pytest.fixture(params=["uvloop", "asyncio"])
def run(request: pytest.FixtureRequest) -> Callable[[Any], None]:
    return partial(drive.run, loop=request.param)


def test_bytes_reach_the_other_node_whole(run: Any, seed: int) -> None:
    data = random.Random(seed).randbytes(3_000_000)

    async def main() -> None:
        async with peer_of(credentials(A)) as (a, peer_a), peer_of(credentials(B), listens=False) as (b, peer_b):
            a.echo = True
            dial(b, peer_b, peer_a, ticket=7)
            await until(lambda: b.events("link_up") and a.events("link_up"), "both nodes see the link")
            assert [ticket for _, ticket in b.events("link_up")] == [7]
            assert [ticket for _, ticket in a.events("link_up")] == [None]
            link = b.events("link_up")[0][0]
            for start in range(0, len(data), 100_000):
                b.say(link, data[start : start + 100_000])
                peer_b.turn()
                await asyncio.sleep(0)
            await until(lambda: len(b.received[link]) >= len(data), "the echo came back")
            assert b.received[link] == data

    run(main())


@pytest.mark.req("link.client-auth")
def test_each_side_gets_the_certificate_of_the_other(run: Any) -> None:
    async def main() -> None:
        async with peer_of(credentials(A)) as (a, peer_a), peer_of(credentials(B), listens=False) as (b, peer_b):
            dial(b, peer_b, peer_a)
            await until(lambda: b.certificates and a.certificates, "link up on both sides")
            # OpenSSL sends the root along; the certificate of the node itself comes first
            assert node_id_of(a.certificates[100][0]) == pki(1).node_id(B)
            assert node_id_of(b.certificates[100][0]) == pki(1).node_id(A)

    run(main())


@pytest.mark.req("link.client-auth")
def test_a_client_without_certificate_is_refused(run: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with peer_of(credentials(A)) as (a, peer_a):
            host, port = listens_at(peer_a)
            context = stdlib_client(None)
            try:
                reader, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname="")
                writer.write(b"\x80")
                assert await reader.read() == b""
            except (ssl.SSLError, ConnectionError):
                pass  # TLS 1.3: the alert may come with the first read
            await until(lambda: peer_a.counters["failed_handshakes"] == 1, "the refusal was counted")
            assert not a.events("link_up")

    run(main())
    assert "peer did not return a certificate" in caplog.text


@pytest.mark.parametrize(
    ("stranger", "reason"),
    [
        (lambda: credentials(B, issuer=2), "certificate refused: "),
        (lambda: credentials(B, expired=True), "certificate refused: certificate has expired"),
    ],
    ids=["another CA", "expired"],
)
def test_a_stranger_gets_no_link_and_one_line_says_why(
    run: Any, caplog: pytest.LogCaptureFixture, stranger: Callable[[], Credentials], reason: str
) -> None:
    async def main() -> None:
        async with peer_of(credentials(A)) as (a, peer_a), peer_of(stranger(), listens=False) as (b, peer_b):
            dial(b, peer_b, peer_a)
            # In TLS 1.3 the client learns of the refusal after its own handshake only.
            await until(lambda: b.events("link_down") or b.events("dial_failed"), "the stranger is told")
            await until(lambda: peer_a.counters["failed_handshakes"] == 1, "counted")
            assert not a.events("link_up")
            ((_, told),) = b.events("link_down") or b.events("dial_failed")
            assert told.startswith("TLS: refused by the other side: "), "the stranger's own log tells its owner"

    run(main())
    lines = [record.getMessage() for record in caplog.records if "refused" in record.getMessage()]
    assert len(lines) == 1
    assert reason in lines[0]
    assert "\n" not in lines[0]


@pytest.mark.req("sec.secure-channel-only")
def test_plain_frames_on_the_port_reach_no_node(run: Any) -> None:
    async def main() -> None:
        async with peer_of(credentials(A)) as (a, peer_a):
            _, writer = await asyncio.open_connection(*listens_at(peer_a))
            writer.write(b"\x80\0\0\0\1\0\0\4\xd2ELO")
            await until(lambda: peer_a.counters["failed_handshakes"] == 1, "the connection was refused")
            assert [event for event in a.log if event[0] != "link_full"] == []
            writer.close()

    run(main())


def test_a_link_the_node_refuses_is_closed(run: Any) -> None:
    async def main() -> None:
        async with peer_of(credentials(A)) as (a, peer_a), peer_of(credentials(B), listens=False) as (b, peer_b):
            a.refuse_links = True
            dial(b, peer_b, peer_a)
            await until(lambda: b.events("link_down"), "closed on the other side")
            assert a.events("link_up") == [(-1, None)]
            assert not a.events("link_down")

    run(main())


def test_broken_framing_and_hangup_close_the_link_once(run: Any) -> None:
    async def main() -> None:
        async with peer_of(credentials(A)) as (a, peer_a), peer_of(credentials(B), listens=False) as (b, peer_b):
            dial(b, peer_b, peer_a)
            await until(lambda: a.received and b.received, "link up")
            b.say(100, b"\0BAD")
            peer_b.turn()
            await until(lambda: a.events("link_down") and b.events("link_down"), "both told")
            dial(b, peer_b, peer_a, ticket=2)
            await until(lambda: len(a.received) == 2, "link up again")
            a.say(101, b"last words")
            do(a, peer_a, Hangup(101, "enough"))
            await until(lambda: len(b.events("link_down")) == 2, "other side told")
            assert bytes(b.received[101]) == b"last words"
            await asyncio.sleep(0.05)
            assert a.events("link_down") == [
                (100, "the other side broke the framing (RFC 6940 6.6.2)"),
                (101, "enough"),
            ]

    run(main())


def test_a_reader_that_stops_makes_the_link_full_and_then_free_again(run: Any) -> None:
    async def main() -> None:
        async with peer_of(credentials(A)) as (a, peer_a):
            own = credentials(B)
            reader, writer = await asyncio.open_connection(
                *listens_at(peer_a), ssl=stdlib_client(own), server_hostname="", limit=1
            )
            await until(lambda: a.received, "link up")
            chunk = bytes(1 << 20)
            for _ in range(64):
                a.say(100, chunk)
                peer_a.turn()
                await asyncio.sleep(0.001)
                if a.events("link_full"):
                    break
            assert a.events("link_full") == [(100, True)]
            while a.events("link_full")[-1] == (100, True):
                assert await reader.read(1 << 20)
            writer.transport.abort()

    run(main())


def test_dial_takes_the_addresses_in_order_and_says_why_all_failed(run: Any) -> None:
    async def main() -> None:
        closed = bind("127.0.0.1", 0)
        nobody = address_of(closed)
        closed.close()
        async with peer_of(credentials(A)) as (a, peer_a), peer_of(credentials(B), listens=False) as (b, peer_b):
            do(b, peer_b, Dial(1, (nobody, listens_at(peer_a)), Purpose.LINK))
            await until(lambda: a.received, "the second address was taken")
            do(b, peer_b, Dial(2, (nobody, ("not an address", 1)), Purpose.LINK))
            await until(lambda: b.events("dial_failed"), "told")
            ticket, reason = b.events("dial_failed")[0]
            assert ticket == 2
            assert f"127.0.0.1:{nobody[1]}: connect" in reason
            assert "not an address" in reason
            do(b, peer_b, Dial(3, (), Purpose.LINK))
            await until(lambda: len(b.events("dial_failed")) == 2, "told")

    run(main())


def test_a_server_that_never_answers_ends_the_dial(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "DIAL_TIMEOUT", 0.2)

    async def main() -> None:
        silent = bind("127.0.0.1", 0)
        async with peer_of(credentials(B), listens=False) as (b, peer_b):
            do(b, peer_b, Dial(1, (address_of(silent),), Purpose.LINK))
            await until(lambda: b.events("dial_failed"), "told")
            assert "no answer in time" in b.events("dial_failed")[0][1]
        silent.close()

    run(main())


def test_the_timer_wakes_the_node_at_its_deadline_not_before(run: Any) -> None:
    async def main() -> None:
        async with peer_of(credentials(A), listens=False) as (a, peer_a):
            loop_now = asyncio.get_running_loop().time()
            deadline = a.deadline = loop_now + 0.1
            peer_a.turn()
            await asyncio.sleep(0.01)
            a.deadline = earlier = loop_now + 0.05
            peer_a.turn()
            await until(lambda: a.woken, "woken")
            assert earlier <= a.woken[0] < deadline + 5
            assert len(a.woken) == 1

    run(main())


def test_an_application_connection_is_there_when_the_node_tells_of_it(run: Any) -> None:
    """The requester opens a port and is TLS server; what comes before anybody takes the connection is not lost."""

    class Reader:
        def __init__(self) -> None:
            self.data = b""
            self.end: str | None = None

        def received(self, data: bytes) -> None:
            self.data += data

        def writable(self, is_writable: bool) -> None:
            pass

        def lost(self, reason: str) -> None:
            self.end = reason

    async def main() -> None:
        async with peer_of(credentials(A)) as (a, peer_a), peer_of(credentials(B), listens=False) as (b, peer_b):
            taken: dict[str, Any] = {}
            a.on_app_up = lambda ticket: taken.__setitem__("a", peer_a.take_application(ticket))
            do(a, peer_a, OpenPort(5))
            await until(lambda: a.events("port_opened"), "port opened")
            ticket, addresses = a.events("port_opened")[0]
            assert ticket == 5
            assert addresses[0] != listens_at(peer_a)
            do(b, peer_b, Dial(9, addresses, Purpose.APPLICATION))
            await until(lambda: b.events("app_up") and a.events("app_up"), "both sides up")
            assert not a.events("link_up")
            assert node_id_of(a.events("app_up")[0][1][0]) == pki(1).node_id(B)
            do(a, peer_a, ClosePort(5))
            taken["a"].write(b"early ")
            await asyncio.sleep(0.05)
            on_b, reader_a, reader_b = peer_b.take_application(9), Reader(), Reader()
            on_b.attach(reader_b)
            taken["a"].attach(reader_a)
            taken["a"].write(b"and late")
            on_b.write(b"answer")
            await until(lambda: reader_b.data == b"early and late" and reader_a.data == b"answer", "all bytes came")
            with pytest.raises(StateError):
                peer_b.take_application(9)
            with pytest.raises(StateError):
                on_b.attach(reader_b)
            with pytest.raises(OSError, match=r"[Cc]onnect"):
                await asyncio.open_connection(*addresses[0])  # the port is closed
            on_b.close()
            await until(lambda: reader_a.end is not None and reader_b.end is not None, "both told of the end")

    run(main())


def test_an_application_connection_the_node_does_not_want_is_closed(run: Any) -> None:
    async def main() -> None:
        async with peer_of(credentials(A)) as (a, peer_a), peer_of(credentials(B), listens=False) as (b, peer_b):
            a.app_answer = False
            do(a, peer_a, OpenPort(5))
            await until(lambda: a.events("port_opened"), "port opened")
            do(b, peer_b, Dial(9, a.events("port_opened")[0][1], Purpose.APPLICATION))
            await until(lambda: a.events("app_up"), "asked")
            with pytest.raises(StateError):
                peer_a.take_application(5)
            await until(lambda: b.events("app_up") and not peer_b._applications.open, "the other side lost it")
            with pytest.raises(StateError):
                peer_b.take_application(9)

    run(main())


def test_nobody_takes_an_application_connection_and_it_is_closed(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "APP_ATTACH_TIMEOUT", 0.1)

    async def main() -> None:
        async with peer_of(credentials(A)) as (a, peer_a), peer_of(credentials(B), listens=False) as (b, peer_b):
            do(a, peer_a, OpenPort(5))
            await until(lambda: a.events("port_opened"), "port opened")
            do(b, peer_b, Dial(9, a.events("port_opened")[0][1], Purpose.APPLICATION))
            await until(lambda: a.events("app_up") and b.events("app_up"), "up")
            await asyncio.sleep(0.3)
            for peer, ticket in ((peer_a, 5), (peer_b, 9)):
                with pytest.raises(StateError):
                    peer.take_application(ticket)

    run(main())


def test_more_ports_than_allowed_are_refused(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_APP_PORTS", 2)

    async def main() -> None:
        async with peer_of(credentials(A)) as (a, peer_a):
            do(a, peer_a, *(OpenPort(ticket) for ticket in range(3)), ClosePort(0), OpenPort(3))
            await until(lambda: len(a.log) == 4, "all reported")
            assert [ticket for ticket, _ in a.events("port_opened")] == [0, 1, 3]
            assert [ticket for ticket, _ in a.events("dial_failed")] == [2]

    run(main())


def test_wishes_become_awaitable(run: Any) -> None:
    async def main() -> None:
        async with peer_of(credentials(A), listens=False) as (_, peer):
            loop = asyncio.get_running_loop()
            seen: list[Any] = []

            def succeed(now: float, what: str, done: Any) -> None:
                seen.append((now, what))
                loop.call_soon(done, now, what.upper())

            def fail(now: float, done: Any) -> None:
                done(now, RequestFailed(0x3, "nobody there"))

            def never(now: float, done: Any) -> None:
                pass

            assert await peer.wish(succeed, "word") == "WORD"
            with pytest.raises(RequestFailed, match="Error_Not_Found: nobody there"):
                await peer.wish(fail)
            waiting = asyncio.ensure_future(peer.wish(never))
            await asyncio.sleep(0)
            await peer.close()
            with pytest.raises(RequestFailed):
                await waiting
            with pytest.raises(StateError):
                await peer.wish(never)

    run(main())


def test_leave_waits_for_the_node_and_writes_its_last_words(run: Any) -> None:
    async def main() -> None:
        async with peer_of(credentials(A)) as (a, peer_a), peer_of(credentials(B), listens=False) as (b, peer_b):
            dial(b, peer_b, peer_a)
            await until(lambda: a.received and b.received, "link up")

            def leave(now: float) -> None:
                b.say(100, b"Leave")
                b.todo.append(Left())

            b.leave = leave  # type: ignore[attr-defined]
            await peer_b.leave()
            await until(lambda: a.events("link_down"), "the link ended")
            assert bytes(a.received[100]) == b"Leave"

    run(main())


def test_notices_go_to_the_log_at_their_level(run: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "xor_fast")

    async def main() -> None:
        async with peer_of(credentials(A), listens=False) as (a, peer_a):
            do(a, peer_a, Notice("info", "a peer joined"), Notice("warning", "a certificate has expired"))
            await asyncio.sleep(0.02)

    run(main())
    lines = [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "xor_fast"]
    assert lines == [("INFO", "a peer joined"), ("WARNING", "a certificate has expired")]


# --- strangers at the door ------------------------------------------------------------------------------------------


def reset_on_close(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_connections_that_never_finish_do_not_shut_out_an_honest_one(
    run: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(limits, "MAX_HANDSHAKES", 20)

    async def main() -> None:
        async with peer_of(credentials(A)) as (a, peer_a), peer_of(credentials(B), listens=False) as (b, peer_b):
            idle = []
            for _ in range(100):
                sock = socket.create_connection(listens_at(peer_a))
                reset_on_close(sock)
                idle.append(sock)
                await asyncio.sleep(0)
            await until(lambda: peer_a.counters["refused_handshakes"] == 80, "80 of 100 were refused")
            dial(b, peer_b, peer_a)
            await until(lambda: a.events("link_up"), "the honest one got in")
            for sock in idle:
                sock.close()

    run(main())
    assert caplog.text.count("unfinished TLS handshakes") == 1


@pytest.mark.parametrize("tapped", [False, True])
def test_who_said_hello_and_is_slow_is_not_pushed_out_by_those_who_say_nothing(
    run: Any, monkeypatch: pytest.MonkeyPatch, tapped: bool, tmp_path: Path
) -> None:
    """A client far away, or without time: between its hello and its certificate come five times as many as may wait."""
    monkeypatch.setattr(limits, "MAX_HANDSHAKES", 20)
    file = PcapFile(str(tmp_path / "tap.pcapng"))

    async def main() -> None:
        async with peer_of(credentials(A), tls=partial(TappedTls, file=file) if tapped else Tls) as (a, peer_a):
            reader, writer = await asyncio.open_connection(*listens_at(peer_a))
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            slow = stdlib_client(credentials(B)).wrap_bio(incoming, outgoing)
            with pytest.raises(ssl.SSLWantReadError):
                slow.do_handshake()
            writer.write(outgoing.read())
            incoming.write(await reader.read(65536))
            with ExitStack() as idle:
                for number in range(100):
                    sock = idle.enter_context(socket.create_connection(listens_at(peer_a)))
                    reset_on_close(sock)
                    if number % 2:
                        sock.send(b"\x16\x03\x01\x02\x00\x01\x00")  # the beginning of a hello
                    await asyncio.sleep(0)
                await until(lambda: peer_a.counters["refused_handshakes"] == 81, "81 of 101 were refused")
                slow.do_handshake()
                writer.write(outgoing.read())
                await until(lambda: a.events("link_up"), "the slow one got in")
            writer.close()

    run(main())


def test_those_who_said_hello_and_nothing_more_do_not_shut_out_who_has_no_time_to(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One hello, said again and again, costs its sender nothing."""
    monkeypatch.setattr(limits, "MAX_HANDSHAKES", 20)

    async def main() -> None:
        async with peer_of(credentials(A)) as (a, peer_a), peer_of(credentials(B), listens=False) as (b, peer_b):
            outgoing = ssl.MemoryBIO()
            with pytest.raises(ssl.SSLWantReadError):
                stdlib_client(credentials(B)).wrap_bio(ssl.MemoryBIO(), outgoing).do_handshake()
            hello = outgoing.read()
            idle = []
            for number in range(38):
                reader, writer = await asyncio.open_connection(*listens_at(peer_a))
                idle.append(writer)
                if number < 30:
                    writer.write(hello)
                    assert await reader.read(1)
                elif number == 30:
                    slow = reader, writer
            reader, writer = slow
            writer.write(hello)
            assert await reader.read(1), "it was pushed out"
            dial(b, peer_b, peer_a)
            await until(lambda: a.events("link_up"), "the honest one got in")
            for writer in idle:
                writer.close()

    run(main())


def test_a_silent_connection_is_closed_after_the_handshake_timeout(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HANDSHAKE_TIMEOUT", 0.1)

    async def main() -> None:
        async with peer_of(credentials(A)) as (_, peer_a):
            reader, writer = await asyncio.open_connection(*listens_at(peer_a))
            assert await reader.read() == b""
            await until(lambda: peer_a.counters["failed_handshakes"] == 1, "counted")
            writer.close()

    run(main())


# --- credentials ----------------------------------------------------------------------------------------------------


def test_key_and_certificate_that_do_not_fit_are_said_so() -> None:
    one, other = credentials(A), credentials(B)
    with pytest.raises(ConfigError, match="do not fit together"):
        Tls(one._replace(key=other.key))
    with pytest.raises(ConfigError, match="root-cert"):
        Tls(one._replace(roots=(b"nonsense",)))


def test_an_encrypted_key_is_refused_with_advice() -> None:
    from cryptography.hazmat.primitives import serialization

    key = (
        pki(1)
        .identity(A)
        .key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(ConfigError, match="encrypted"):
        Tls(credentials(A)._replace(key=key))


def test_a_port_in_use_is_said_so() -> None:
    sock = bind("127.0.0.1", 0)
    with sock, pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1 port {address_of(sock)[1]}"):
        bind(*address_of(sock))
