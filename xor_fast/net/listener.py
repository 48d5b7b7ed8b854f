"""A listening port whose handshakes are bounded: strangers who never finish one cannot shut out those who do."""

import asyncio
import errno
import os
import socket
from collections import Counter
from collections.abc import Callable
from functools import partial

from xor_fast import limits
from xor_fast.actions import Address
from xor_fast.errors import ConfigError
from xor_fast.net.journal import Journal, explain
from xor_fast.net.tls import Tls
from xor_fast.net.transport import Connection

_Handshakes = dict[Connection, asyncio.Task[None]]  # the oldest first
_ACCEPTS_A_TURN = 64  # then the peers get their turn again
_OUT_OF_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)


def bind(host: str, port: int) -> socket.socket:
    """A socket listening on an IP address; port 0 takes a free one. ConfigError when that is not possible."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(limits.LISTEN_BACKLOG)
    except (OSError, OverflowError) as error:
        sock.close()
        raise ConfigError(f"cannot listen on {host} port {port}: {explain(error)}; choose another address") from None
    sock.setblocking(False)
    return sock


def address_of(sock: socket.socket) -> Address:
    host, port = sock.getsockname()[:2]
    return host, port


class Listener:
    """Accepts on `sock` and hands every connection to its user, made by `make`.

    At most `most` handshakes are unfinished at a time. One more closes the oldest that has not said hello, or if more
    than half of them have, the oldest of those, for one hello can be said again and again for nothing. An honest one
    says hello at once, and is done long before it is the oldest of either, while whoever only holds connections open
    loses them. `counters` gets accepted_connections, refused_handshakes, failed_handshakes and refused_descriptors.
    """

    def __init__(
        self,
        sock: socket.socket,
        tls: Tls,
        make: Callable[[], Connection],
        most: int,
        journal: Journal,
        counters: Counter[str],
    ) -> None:
        self.address: Address = address_of(sock)
        self._sock = sock
        self._tls = tls
        self._make = make
        self._most = most
        self._journal = journal
        self._counters = counters
        self._silent: _Handshakes = {}
        self._greeted: _Handshakes = {}
        # Given up for a moment when descriptors run out, so that a waiting connection can be taken and closed: left in
        # the queue it would wake the loop again and again.
        self._spare = os.open(os.devnull, os.O_RDONLY)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock, self._accept)

    def close(self) -> None:
        """Stop listening; unfinished handshakes end, finished connections stay."""
        if self._spare < 0:
            return
        self._loop.remove_reader(self._sock)
        self._sock.close()
        os.close(self._spare)
        self._spare = -1
        for connection, task in [*self._silent.items(), *self._greeted.items()]:
            if not connection.is_up:
                task.cancel()

    def _accept(self) -> None:
        for _ in range(_ACCEPTS_A_TURN):
            try:
                sock, peer = self._sock.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _OUT_OF_DESCRIPTORS:
                    self._refuse_one()
                continue  # the connection was gone before we took it
            self._start(sock, f"{peer[0]} port {peer[1]}")

    def _start(self, sock: socket.socket, peer: str) -> None:
        if len(self._silent) + len(self._greeted) >= self._most:
            self._close_oldest()
        sock.setblocking(False)
        connection = self._make()
        task = self._loop.create_task(self._tls.accept(sock, connection, partial(self._has_greeted, connection)))
        self._silent[connection] = task
        task.add_done_callback(partial(self._finished, sock, peer, connection))

    def _has_greeted(self, connection: Connection) -> None:
        task = self._silent.pop(connection, None)
        if task is not None:
            self._greeted[connection] = task

    def _close_oldest(self) -> None:
        """A task ends a moment after its connection is up; cancelled then, it would close it."""
        kinds = (self._silent, self._greeted)
        for handshakes in reversed(kinds) if 2 * len(self._greeted) > self._most else kinds:
            oldest = next((connection for connection in handshakes if not connection.is_up), None)
            if oldest is not None:
                handshakes.pop(oldest).cancel()
                self._counters["refused_handshakes"] += 1
                self._journal.remark(f"{self._most} unfinished TLS handshakes on one port: closing the oldest ones")
                return

    def _finished(self, sock: socket.socket, peer: str, connection: Connection, task: asyncio.Task[None]) -> None:
        self._silent.pop(connection, None)
        self._greeted.pop(connection, None)
        error = None if task.cancelled() else task.exception()
        if error is None and not task.cancelled():
            self._counters["accepted_connections"] += 1
            return
        sock.close()  # also when the task was cancelled before it began
        if error is not None:
            self._counters["failed_handshakes"] += 1
            self._journal.say("warning", f"connection from {peer} refused: {explain(error)}")

    def _refuse_one(self) -> None:
        os.close(self._spare)
        try:
            self._sock.accept()[0].close()
            self._counters["refused_descriptors"] += 1
        except OSError:
            pass
        self._spare = os.open(os.devnull, os.O_RDONLY)
        self._journal.remark("out of file descriptors: closing new connections (raise the limit: ulimit -n)")
