"""Connections made by AppAttach, from the end of their handshake until an application takes them (RFC 6940 6.5.2).

They are TLS flows of their own: no RELOAD message runs on them, and they are in no table of the overlay.
"""

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from xor_fast import limits
from xor_fast.errors import StateError
from xor_fast.net.journal import explain
from xor_fast.net.transport import Transport
from xor_fast.net.turn import Turn

if TYPE_CHECKING:
    from xor_fast.core.node import Node


class Receiver(Protocol):
    """Who reads an application connection."""

    def received(self, data: bytes) -> None:
        """Bytes, in order."""

    def writable(self, is_writable: bool) -> None:
        """False: more is waiting to be sent than is good. True: go on."""

    def lost(self, reason: str) -> None:
        """The connection has ended; called once, nothing comes after it."""


class Application:
    """One connection to an application of another node. What comes before `attach` is kept, up to a bound.

    certificates   DER, as the other side sent them; the node has checked that they are the right ones
    """

    def __init__(self, owner: "Applications", ticket: int) -> None:
        self.is_up: bool = False
        self.ticket = ticket
        self.certificates: list[bytes] = []
        self._owner = owner
        self._early = bytearray()
        self._end: str | None = None
        self._receiver: Receiver | None = None
        self._is_writable = True

    def attach(self, receiver: Receiver) -> None:
        """From now on `receiver` gets all bytes, what came already first."""
        if self._receiver is not None:
            raise StateError("this application connection is in use: take it with one stream only")
        self._receiver = receiver
        if not self._is_writable:
            receiver.writable(False)
        early, self._early = bytes(self._early), bytearray()
        if early:
            receiver.received(early)
        if self._end is not None:
            receiver.lost(self._end)
        else:
            self.transport.resume_reading()

    def write(self, data: bytes) -> None:
        """Queue bytes; on a connection that has ended they are dropped."""
        if data and self._end is None:
            self.transport.write(data)

    def pause(self) -> None:
        """Read no more until `resume`: TCP then slows the other side down."""
        if self._end is None:
            self.transport.pause_reading()

    def resume(self) -> None:
        if self._end is None:
            self.transport.resume_reading()

    def close(self) -> None:
        """Close after what is written already."""
        if self._end is None:
            self.transport.close()

    def abort(self) -> None:
        """Close at once."""
        if self._end is None:
            self.transport.abort()

    # --- what the transport calls ---

    def connection_made(self, transport: Transport) -> None:
        self.is_up = True
        self.transport = transport
        self.certificates = transport.peer_certificates()
        if not self._owner.up(self):
            self.transport.abort()

    def data_received(self, data: memoryview) -> None:
        if self._receiver is not None:
            self._receiver.received(bytes(data))
            return
        self._early += data
        if len(self._early) >= limits.MAX_EARLY_BYTES:
            self.transport.pause_reading()

    def pause_writing(self) -> None:
        self._set_writable(False)

    def resume_writing(self) -> None:
        self._set_writable(True)

    def _set_writable(self, is_writable: bool) -> None:
        self._is_writable = is_writable
        if self._receiver is not None:
            self._receiver.writable(is_writable)

    def connection_lost(self, error: Exception | None) -> None:
        self._end = explain(error) if error is not None else "closed by the other side"
        self._owner.down(self)
        if self._receiver is not None:
            self._receiver.lost(self._end)


class Applications:
    """The application connections of one node: by ticket until somebody takes them."""

    def __init__(self, node: "Node", turn: Turn) -> None:
        self._node = node
        self._turn = turn
        self._waiting: dict[int, Application] = {}
        self.open: set[Transport] = set()  # also those that are saying goodbye

    def protocol(self, ticket: int) -> Application:
        """For a connection that was dialled for `ticket`, or came to the port opened for it."""
        return Application(self, ticket)

    def take(self, ticket: int) -> Application:
        """The connection of this ticket; from now on it belongs to the caller."""
        application = self._waiting.pop(ticket, None)
        if application is None:
            raise StateError(f"there is no application connection {ticket}: it was taken already, or it has ended")
        return application

    def close(self) -> None:
        for transport in list(self.open):
            transport.close()

    def up(self, application: Application) -> bool:
        self.open.add(application.transport)
        ticket = application.ticket
        if ticket in self._waiting:
            return False  # the port's one connection is here already
        self._waiting[ticket] = application  # before the node says so: its callbacks may take it
        is_the_one = self._node.app_up(monotonic(), ticket, application.certificates)
        if is_the_one:
            asyncio.get_running_loop().call_later(limits.APP_ATTACH_TIMEOUT, self._expire, application)
        else:
            del self._waiting[ticket]
        self._turn()
        return is_the_one

    def down(self, application: Application) -> None:
        self.open.discard(application.transport)
        self._forget(application)

    def _forget(self, application: Application) -> bool:
        if self._waiting.get(application.ticket) is not application:
            return False
        del self._waiting[application.ticket]
        return True

    def _expire(self, application: Application) -> None:
        if self._forget(application):
            application.close()
