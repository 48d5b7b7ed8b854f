"""Our TLS transport against Python's own TLS on the other side."""

import asyncio
import os
import random
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.net import drive
from tests.net.drive import run, until
from tests.net.pki import credentials, node_id_of, pki, stdlib_client
from xor_fast import limits
from xor_fast.net.listener import address_of, bind
from xor_fast.net.tls import Tls
from xor_fast.net.transport import Transport


class User:
    """Keeps what the transport reports."""

    def __init__(self) -> None:
        self.is_up = False
        self.data = bytearray()
        self.full: list[bool] = []
        self.ends: list[Exception | None] = []
        self.transport: Any = None

    def connection_made(self, transport: Transport) -> None:
        self.is_up = True
        self.transport = transport

    def data_received(self, data: memoryview) -> None:
        self.data += data

    def pause_writing(self) -> None:
        self.full.append(True)

    def resume_writing(self) -> None:
        self.full.append(False)

    def connection_lost(self, error: Exception | None) -> None:
        self.ends.append(error)


async def serve_one(listening: socket.socket, user: User, tls: Tls | None = None) -> None:
    sock, _ = await asyncio.get_running_loop().sock_accept(listening)
    sock.setblocking(False)
    await (tls or Tls(credentials(1))).accept(sock, user)


def with_client(client: Callable[[ssl.SSLSocket], Any], user: User, loop: str = "uvloop") -> None:
    """Serve one connection of a blocking client that runs in a thread of its own; both must end well."""
    faults: list[BaseException] = []
    listening = bind("127.0.0.1", 0)

    def connect() -> None:
        try:
            raw = socket.create_connection(address_of(listening), timeout=30)
            with stdlib_client(credentials(2)).wrap_socket(raw) as tls:
                client(tls)
        except BaseException as fault:
            faults.append(fault)

    async def main() -> None:
        await serve_one(listening, user)
        await until(lambda: user.ends, "the connection ended")

    thread = threading.Thread(target=connect)
    thread.start()
    drive.run(main(), loop)
    thread.join(30)
    listening.close()
    assert not faults


def wait_for(condition: Callable[[], Any]) -> None:
    """In the client's thread."""
    while not condition():
        time.sleep(0.01)


def drain(tls: ssl.SSLSocket) -> bytes:
    data = bytearray()
    while piece := tls.recv(65_536):
        data += piece
    return bytes(data)


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_all_that_was_written_before_close_arrives(loop: str, seed: int) -> None:
    """More than any buffer takes at once, to a reader that begins late."""
    data = random.Random(seed).randbytes(32_000_000)
    got: list[bytes] = []

    class Talker(User):
        def connection_made(self, transport: Transport) -> None:
            super().connection_made(transport)
            for start in range(0, len(data), 1_000_000):
                transport.write(data[start : start + 1_000_000])
            transport.close()
            transport.write(b"too late")

    user = Talker()

    def client(tls: ssl.SSLSocket) -> None:
        wait_for(lambda: user.full)
        got.append(drain(tls))

    with_client(client, user, loop)
    assert got == [data]
    assert user.full == [True, False]
    assert user.ends == [None]


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_records_of_any_size_make_one_stream(loop: str, seed: int) -> None:
    rng = random.Random(seed)
    pieces = [rng.randbytes(rng.choice((1, 100, 16_384, 16_385, 300_000))) for _ in range(40)]
    user = User()
    with_client(lambda tls: [tls.sendall(piece) for piece in pieces], user, loop)
    assert user.data == b"".join(pieces)


def test_what_came_right_behind_the_handshake_is_read() -> None:
    user = User()

    def client(tls: ssl.SSLSocket) -> None:
        tls.sendall(b"at once")
        wait_for(lambda: user.data)

    with_client(client, user)
    assert user.data == b"at once"


def test_a_reader_that_pauses_reads_on_where_it_stopped() -> None:
    data = bytes(range(256)) * 8_000

    class Hesitant(User):
        def data_received(self, piece: memoryview) -> None:
            super().data_received(piece)
            self.transport.pause_reading()
            asyncio.get_running_loop().call_soon(self.transport.resume_reading)

    user = Hesitant()
    with_client(lambda tls: tls.sendall(data), user)
    assert user.data == data


def test_bytes_that_are_no_tls_end_the_connection_with_a_reason() -> None:
    user = User()

    def client(tls: ssl.SSLSocket) -> None:
        tls.sendall(b"fine")
        os.write(tls.fileno(), b"\x17\x03\x03\x00\x20" + bytes(32))  # a record that does not decrypt

    with_client(client, user)
    assert user.data == b"fine"
    assert "decryption failed" in str(user.ends[0])


def test_a_killed_peer_is_an_end_without_error() -> None:
    user = User()

    def client(tls: ssl.SSLSocket) -> None:
        tls.sendall(b"last")
        os.close(tls.detach())

    with_client(client, user)
    assert user.data == b"last"
    assert user.ends == [None]


def test_a_reader_that_never_reads_is_given_up_after_close(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HANDSHAKE_TIMEOUT", 0.5)

    class Talker(User):
        def connection_made(self, transport: Transport) -> None:
            super().connection_made(transport)
            transport.write(bytes(32 << 20))
            transport.close()

    user = Talker()
    with_client(lambda tls: wait_for(lambda: user.ends), user)
    assert user.ends == [None]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_1_2_and_1_3_show_the_certificates(version: ssl.TLSVersion) -> None:
    user = User()
    seen: list[Any] = []

    async def main() -> None:
        listening = bind("127.0.0.1", 0)
        serving = asyncio.ensure_future(serve_one(listening, user))
        context = stdlib_client(credentials(2))
        context.minimum_version = context.maximum_version = version
        _, writer = await asyncio.open_connection(*address_of(listening), ssl=context, server_hostname="")
        await serving
        seen.extend(
            (writer.get_extra_info("ssl_object").version(), writer.get_extra_info("ssl_object").getpeercert(True))
        )
        assert node_id_of(user.transport.peer_certificates()[0]) == pki(1).node_id(2)
        writer.close()
        await until(lambda: user.ends, "closed")
        listening.close()

    run(main())
    assert seen[0] == {ssl.TLSVersion.TLSv1_2: "TLSv1.2", ssl.TLSVersion.TLSv1_3: "TLSv1.3"}[version]
    assert node_id_of(seen[1]) == pki(1).node_id(1)


def test_tls_1_1_is_refused() -> None:
    async def main() -> None:
        listening = bind("127.0.0.1", 0)
        serving = asyncio.ensure_future(serve_one(listening, User()))
        context = stdlib_client(credentials(2))
        context.set_ciphers("DEFAULT@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises(OSError, match=r"(?i)alert|version|protocol"):
            await asyncio.open_connection(*address_of(listening), ssl=context, server_hostname="")
        with pytest.raises(OSError, match="unsupported protocol"):
            await serving
        listening.close()

    run(main())


def test_failed_handshakes_leave_no_descriptor_behind() -> None:
    async def main() -> None:
        listening = bind("127.0.0.1", 0)
        tls = Tls(credentials(1))
        before = len(os.listdir("/proc/self/fd"))
        for garbage in (b"GET / HTTP/1.0\r\n\r\n", b"", b"\x16\x03\x01\x02\x00\x01"):
            for _ in range(20):
                client = socket.create_connection(address_of(listening))
                client.sendall(garbage)
                client.shutdown(socket.SHUT_WR)
                sock, _ = await asyncio.get_running_loop().sock_accept(listening)
                sock.setblocking(False)
                with pytest.raises(OSError, match="TLS: "):
                    await tls.accept(sock, User())
                client.close()
        assert len(os.listdir("/proc/self/fd")) == before
        listening.close()

    run(main())


def test_connections_leave_no_memory_behind() -> None:
    async def one(tls: Tls, listening: socket.socket) -> None:
        user, other = User(), User()
        serving = asyncio.ensure_future(serve_one(listening, user, tls))
        await tls.connect(address_of(listening), other)
        await serving
        user.transport.write(bytes(20_000))
        user.transport.peer_certificates()
        other.transport.close()
        await until(lambda: user.ends and other.ends, "both ended")

    async def main() -> None:
        tls, listening = Tls(credentials(1)), bind("127.0.0.1", 0)
        for _ in range(50):
            await one(tls, listening)
        before = rss()
        for _ in range(150):
            await one(tls, listening)
        assert rss() - before < 150 * 8, "less than 8 KiB a connection: a session alone has 20"
        listening.close()

    run(main())


def rss() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4


def test_the_kernel_looks_after_idle_connections() -> None:
    """A host that vanished is missed in 35 s, though nobody writes to it."""
    seen: list[int] = []

    async def main() -> None:
        listening, user = bind("127.0.0.1", 0), User()
        loop = asyncio.get_running_loop()
        connecting = loop.create_task(Tls(credentials(2)).connect(address_of(listening), User()))
        sock, _ = await loop.sock_accept(listening)
        sock.setblocking(False)
        await Tls(credentials(1)).accept(sock, user)
        await connecting
        names = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        seen.append(sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
        seen.extend(sock.getsockopt(socket.IPPROTO_TCP, name) for name in names)
        user.transport.abort()
        listening.close()

    drive.run(main(), "uvloop")
    on, idle, interval, probes = seen
    assert on
    assert idle + interval * probes <= 35
