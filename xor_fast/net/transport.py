"""What a connection is to its user, and the TLS connection on a socket of the event loop.

Each byte of a node goes this way. Compiled as it stands (setup.py): build again after a change.
"""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from xor_fast import limits
from xor_fast.net.openssl import Session, TlsError

# One buffer for the reads of all connections: data is used only during the call.
READ_BUFFER = memoryview(bytearray(limits.READ_SIZE))


class Transport(Protocol):
    """A connection whose handshake is done, as its user sees it. After close or abort nothing more is read."""

    def peer_certificates(self) -> list[bytes]:
        """What the other side sent, DER, its own certificate first."""

    def limit_backlog(self, size: int) -> None:
        """From how many waiting bytes on `pause_writing` is called; 64 KiB by default."""

    def write(self, data: bytes, /) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def close(self) -> None:
        """Close after what is written already, or when the other side does not take it in time."""

    def abort(self) -> None: ...


class Connection(Protocol):
    """The user of a connection. is_up: its handshake is done, `connection_made` was called."""

    is_up: bool

    def connection_made(self, transport: Transport, /) -> None: ...

    def data_received(self, data: memoryview, /) -> None:
        """Bytes, valid only during the call."""

    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None: ...

    def connection_lost(self, error: Exception | None, /) -> None:
        """Called once if `connection_made` was; nothing comes after it."""


class TlsTransport:
    """One TLS connection on a socket of the event loop. `ready` is done when its handshake is; `greeted` is called once
    the other side's hello has come as a whole."""

    def __init__(
        self, sock: socket.socket, session: Session, connection: Connection, greeted: Callable[[], None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = self._loop.create_future()
        self._sock = sock
        self._session = session
        self._connection = connection
        self._greeted: Callable[[], None] | None = greeted
        self._receive = connection.data_received
        self._read = session.read
        self._backlog = bytearray()
        self._high = 65536
        self._is_full = False
        self._is_reading = True
        self._is_closing = False
        self._is_closed = False
        self._timer: asyncio.TimerHandle | None = None
        self._loop.add_reader(sock, self._shake)
        self._shake()

    # --- what the connection asks ---

    def peer_certificates(self) -> list[bytes]:
        return self._session.certificates()

    def limit_backlog(self, size: int) -> None:
        self._high = size

    def write(self, data: bytes) -> None:
        if self._is_closing or not data:
            return
        if self._backlog:
            self._backlog += data
        else:
            try:
                written = self._session.write(data)
            except TlsError as error:
                self._end(error)
                return
            if written == len(data):
                return
            self._backlog += memoryview(data)[written:]
            self._loop.add_writer(self._sock, self._writable)
        if len(self._backlog) > self._high and not self._is_full:
            self._is_full = True
            self._connection.pause_writing()

    def pause_reading(self) -> None:
        if self._is_reading and not self._is_closing:
            self._is_reading = False
            self._loop.remove_reader(self._sock)

    def resume_reading(self) -> None:
        if not self._is_reading and not self._is_closing:
            self._is_reading = True
            self._loop.add_reader(self._sock, self._readable)
            self._loop.call_soon(self._readable)  # OpenSSL may hold what the socket no longer shows

    def close(self) -> None:
        if self._is_closing:
            return
        self._is_closing = True
        self._timer = self._loop.call_later(limits.HANDSHAKE_TIMEOUT, self._end, None)
        self._loop.add_reader(self._sock, self._discard)
        if not self._backlog:
            self._say_goodbye()

    def abort(self) -> None:
        self._end(None)

    # --- what the loop calls ---

    def _shake(self) -> None:
        try:
            is_done = self._session.handshake()
        except TlsError as error:
            if not self.ready.done():
                self.ready.set_exception(error)
            self._end(error)
            return
        if self._greeted is not None and self._session.is_greeted:
            self._greeted()
            self._greeted = None
        if self._session.wants_write and not is_done:
            self._loop.add_writer(self._sock, self._shake)
            return
        self._loop.remove_writer(self._sock)
        if is_done and not self.ready.done():
            self._loop.add_reader(self._sock, self._readable)
            self._connection.connection_made(self)
            self.ready.set_result(None)
            self._readable()  # what came right behind the handshake

    def _readable(self) -> None:
        """The path of every byte: nothing is to be added here."""
        if self._is_closing or not self._is_reading:
            return
        try:
            count = self._read(READ_BUFFER)
        except TlsError as error:
            self._end(error)
            return
        if count > 0:
            self._receive(READ_BUFFER[:count])
            if self._session.reads_on:
                self._loop.call_soon(self._readable)
        elif count == 0:
            self._session.shutdown()
            self._end(None)

    def _writable(self) -> None:
        try:
            del self._backlog[: self._session.write(self._backlog)]
        except TlsError as error:
            self._end(error)
            return
        if not self._backlog:
            self._loop.remove_writer(self._sock)
            if self._is_closing:
                self._say_goodbye()
        if self._is_full and len(self._backlog) <= self._high // 4:
            self._is_full = False
            self._connection.resume_writing()

    def _discard(self) -> None:
        """What comes after our close is not wanted; unread, it would make the kernel drop our last words."""
        try:
            while (count := self._read(READ_BUFFER)) > 0:
                pass
        except TlsError:
            count = 0
        if count == 0:
            self._end(None)

    # --- the end ---

    def _say_goodbye(self) -> None:
        self._session.shutdown()
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)

    def _end(self, error: Exception | None) -> None:
        """The connection is told in the next pass of the loop: we may be within a call of its own."""
        if self._is_closed:
            return
        self._is_closing = self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        self._sock.close()
        if self._connection.is_up:
            self._loop.call_soon(self._connection.connection_lost, error)
