"""Overlay links: bytes of TLS connections into the node, and the node's bytes out, one write a link and loop pass.

The driver keeps no state of RELOAD: a link is a number the node gave us and a transport. Compiled as it stands
(setup.py): build again after a change.
"""

from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

from xor_fast import limits
from xor_fast.net.journal import explain
from xor_fast.net.transport import Connection, Transport
from xor_fast.net.turn import Turn

if TYPE_CHECKING:
    from xor_fast.core.node import Node


class Links:
    """The links of one node."""

    def __init__(self, node: "Node", turn: Turn) -> None:
        self.node = node
        self.turn = turn
        self.open: set[Transport] = set()  # also those that are saying goodbye
        self._links: dict[int, _Link] = {}
        self._writes: dict[int, Callable[[bytes], None]] = {}

    def __len__(self) -> int:
        return len(self._links)

    def accepted(self) -> Connection:
        """The protocol of a connection that came to the listening port."""
        return _Link(self, None)

    def dialled(self, ticket: int) -> Connection:
        """The protocol of a connection made for `Dial(ticket, ...)`."""
        return _Link(self, ticket)

    def write(self, sends: list[tuple[int, bytes]]) -> None:
        """What `Node.sends` gave. A link that died meanwhile is skipped: the node has been told."""
        writes = self._writes
        for link, data in sends:
            writes.get(link, _nowhere)(data)

    def hang_up(self, link: int, reason: str) -> None:
        """Close after what is written already; the transport gives up by itself if the other side does not take it."""
        protocol = self.forget(link)
        if protocol is not None:
            protocol.transport.close()
            self.node.link_down(monotonic(), link, reason)
            self.turn()

    def close(self) -> None:
        """Close all, without telling the node: it has left."""
        for link in list(self._links):
            self.forget(link)
        for transport in list(self.open):
            transport.close()

    def up(self, protocol: "_Link", ticket: int | None) -> int:
        """A handshake is done. Gives the link's number, or -1 if the node does not want it."""
        link = self.node.link_up(monotonic(), protocol.transport.peer_certificates(), ticket)
        if link >= 0:
            self._links[link] = protocol
            self._writes[link] = protocol.transport.write
        self.turn()
        return link

    def forget(self, link: int) -> "_Link | None":
        """From now on nothing of this link reaches the node, and nothing is written to it."""
        protocol = self._links.pop(link, None)
        if protocol is not None:
            protocol.link = -1
            protocol.receive = _ignore
            del self._writes[link]
        return protocol


def _nowhere(data: bytes) -> None:
    pass


def _ignore(now: float, link: int, data: memoryview) -> bool:
    return True


class _Link:
    """One connection. `link` is -1 before the handshake is done, and once it is refused, hung up or lost.

    data_received runs once for every read of every link: nothing is to be added to it.
    """

    __slots__ = ("_heard", "_links", "_ticket", "_turn", "is_up", "link", "receive", "transport")

    def __init__(self, links: Links, ticket: int | None) -> None:
        self.is_up: bool = False
        self.link: int = -1
        self.receive: Callable[[float, int, memoryview], bool] = links.node.receive
        self._links = links
        self._turn = links.turn
        self._ticket = ticket
        self._heard = False

    def connection_made(self, transport: Transport) -> None:
        self.is_up = True
        self.transport: Transport = transport
        self._links.open.add(self.transport)
        self.transport.limit_backlog(limits.LINK_BACKLOG_MARK)
        self.link = self._links.up(self, self._ticket)
        if self.link < 0:
            self.receive = _ignore
            self.transport.abort()

    def data_received(self, data: memoryview) -> None:
        self._heard = True
        if not self.receive(monotonic(), self.link, data):
            self._links.hang_up(self.link, "the other side broke the framing (RFC 6940 6.6.2)")
        if not self._turn.is_due:
            self._turn()

    def pause_writing(self) -> None:
        self._full(True)

    def resume_writing(self) -> None:
        self._full(False)

    def _full(self, is_full: bool) -> None:
        if self.link >= 0:
            self._links.node.link_full(monotonic(), self.link, is_full)
            self._turn()

    def connection_lost(self, error: Exception | None) -> None:
        self._links.open.discard(self.transport)
        link = self.link
        if self._links.forget(link) is None:
            return
        if error is not None:
            reason = explain(error)
        elif self._heard:
            reason = "closed by the other side"
        else:
            # In TLS 1.3 the client's handshake ends before the server has looked at its certificate.
            reason = "closed by the other side before its first message: it may have refused our certificate"
        self._links.node.link_down(monotonic(), link, reason)
        self._turn()
