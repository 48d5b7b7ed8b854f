"""Overlay links: bytes of TLS connections into the node, and the node's bytes out, one write a link and loop pass.

The driver keeps no state of RELOAD: a link is a number the node gave us and a transport.
"""

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, cast

from xor_fast import limits
from xor_fast.net.journal import explain
from xor_fast.net.tls import peer_certificates

if TYPE_CHECKING:
    from xor_fast.core.node import Node

# One buffer for all links: data is used only during the call. A plain Protocol would cost a fresh 256 KiB object
# a read, and it must be a memoryview: asyncio's own TLS loses data with a bytearray.
READ_BUFFER = memoryview(bytearray(limits.READ_SIZE))


class Links:
    """The links of one node. `turn` is called after every input: the node may have something to say."""

    def __init__(self, node: "Node", turn: Callable[[], None]) -> None:
        self.node = node
        self.turn = turn
        self._transports: dict[int, asyncio.WriteTransport] = {}
        self.open: set[asyncio.WriteTransport] = set()  # also those that are saying goodbye

    def __len__(self) -> int:
        return len(self._transports)

    def accepted(self) -> asyncio.BufferedProtocol:
        """The protocol of a connection that came to the listening port."""
        return _Link(self, None)

    def dialled(self, ticket: int) -> asyncio.BufferedProtocol:
        """The protocol of a connection made for `Dial(ticket, ...)`."""
        return _Link(self, ticket)

    def write(self, sends: list[tuple[int, bytes]]) -> None:
        """What `Node.sends` gave. A link that died meanwhile is skipped: the node has been told."""
        transports = self._transports
        for link, data in sends:
            transport = transports.get(link)
            if transport is not None:
                transport.write(data)

    def hang_up(self, link: int, reason: str) -> None:
        """Close after what is written already; the transport gives up by itself if the other side does not take it."""
        transport = self._transports.pop(link, None)
        if transport is not None:
            transport.close()
            self.node.link_down(monotonic(), link, reason)
            self.turn()

    def close(self) -> None:
        """Close all, without telling the node: it has left."""
        for transport in self._transports.values():
            transport.close()
        self._transports.clear()

    def _up(self, transport: asyncio.WriteTransport, ticket: int | None) -> int:
        link = self.node.link_up(monotonic(), peer_certificates(transport), ticket)
        if link >= 0:
            self._transports[link] = transport
        self.turn()
        return link


class _Link(asyncio.BufferedProtocol):
    """One connection. `link` is -1 before the handshake is done and once it is refused."""

    __slots__ = ("_heard", "_links", "_receive", "_ticket", "_turn", "link", "transport")

    def __init__(self, links: Links, ticket: int | None) -> None:
        self.link = -1
        self._links = links
        self._receive = links.node.receive
        self._turn = links.turn
        self._ticket = ticket
        self._heard = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._links.open.add(self.transport)
        self.transport.set_write_buffer_limits(high=limits.LINK_BACKLOG_MARK)
        self.link = self._links._up(self.transport, self._ticket)
        if self.link < 0:
            self.transport.abort()

    def get_buffer(self, sizehint: int) -> memoryview:
        return READ_BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        link = self.link
        if link not in self._links._transports:
            return  # hung up: what still comes is not for the node
        self._heard = True
        if not self._receive(monotonic(), link, READ_BUFFER[:nbytes]):
            self._links.hang_up(link, "the other side broke the framing (RFC 6940 6.6.2)")
        self._turn()

    def pause_writing(self) -> None:
        self._full(True)

    def resume_writing(self) -> None:
        self._full(False)

    def _full(self, is_full: bool) -> None:
        if self.link in self._links._transports:
            self._links.node.link_full(monotonic(), self.link, is_full)
            self._turn()

    def connection_lost(self, exc: Exception | None) -> None:
        self._links.open.discard(self.transport)
        if self._links._transports.pop(self.link, None) is None:
            return
        if exc is not None:
            reason = explain(exc)
        elif self._heard:
            reason = "closed by the other side"
        else:
            # In TLS 1.3 the client's handshake ends before the server has looked at its certificate.
            reason = "closed by the other side before its first message: it may have refused our certificate"
        self._links.node.link_down(monotonic(), self.link, reason)
        self._turn()
