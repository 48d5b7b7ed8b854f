"""XMPP between users over the overlay, awaitable: a `Peer` with the XMPP usage on it.

async with Messenger(peer) as messenger:
    await messenger.register()
    for stream in await messenger.contact("juliet@capulet.lit"):    # one for each of her devices
        await stream.send("<message type='chat'><body>hi</body></message>")
    async for stream in messenger.streams():                        # these, and those that others open
        async for stanza in stream: ...
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from secrets import token_hex
from typing import Any, Self
from xml.etree.ElementTree import Element

from xor_fast import limits
from xor_fast.core.node import Stored
from xor_fast.errors import ErrorCode, RequestFailed, StateError, StreamEnded
from xor_fast.net.handover import Stream
from xor_fast.net.peer import Peer
from xor_fast.usages.xmpp.contact import Contacted, StreamReady, XmppUsage
from xor_fast.usages.xmpp.jid import prepare_bare
from xor_fast.usages.xmpp.lookup import Locations
from xor_fast.usages.xmpp.restricted_xml import NS_CLIENT, parse_stanza
from xor_fast.usages.xmpp.stream import Closed, Event, Stanza, StreamSession

_IQ = f"{{{NS_CLIENT}}}iq"


class XmppStream(Stream[Element]):
    """A stream with one device of another user: `await stream.send(stanza)`, `async for stanza in stream`, `close()`.

    peer_jid, peer_node_id   of its certificate
    initiator                we asked for it
    """

    def __init__(self, messenger: "Messenger", ready: StreamReady) -> None:
        self.peer_jid: str = ready.peer_jid
        self.peer_node_id: bytes = ready.peer_node_id
        self.initiator: bool = ready.initiator
        # Devices of one user are told apart by their Node-IDs, so that is our resource (notes 8.16).
        sender = f"{ready.own_jid}/{messenger.peer.node.node_id.hex()}"
        session = StreamSession(ready.initiator, ready.own_jid, ready.peer_jid, token_hex(16), sender)
        application = messenger.peer.take_application(ready.ticket)
        super().__init__(application, session, _stanza_of, on_end=lambda: messenger._ended(ready.ticket))


def _stanza_of(event: Event) -> tuple[Element, int] | None:
    return (event.element, event.size) if isinstance(event, Stanza) else None


class Messenger:
    """Makes `peer` a device of the user its certificate names.

    lifetime: seconds the location lasts if this device ends without a word; it is stored again at half of it.
    """

    def __init__(self, peer: Peer, *, lifetime: int = limits.LOCATION_LIFETIME) -> None:
        self.peer = peer
        self._usage = XmppUsage(peer.node, self._on_stream, self._on_superseded, lifetime=lifetime)
        self._streams: dict[int, XmppStream] = {}  # by ticket, until they end
        # Opened and not yet taken by `streams`; where nobody reads that, the oldest go.
        self._opened: deque[XmppStream] = deque(maxlen=limits.MAX_STREAMS)
        self._news = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._registered = False
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def jid(self) -> str:
        """Our address. JIDError if our certificate names none."""
        return self._usage.jid

    @property
    def connected(self) -> tuple[XmppStream, ...]:
        """Streams that have not ended, the oldest first."""
        return tuple(self._streams.values())

    async def register(self) -> Stored:
        """Let others find this device, and accept their streams.

        RequestFailed if the first Store fails; further tries follow until `close`.
        """
        self._registered = True
        stored: Stored = await self.peer.wish(self._usage.register)
        return stored

    async def forward(self, jid: str) -> Stored:
        """Let those who look for us through this device find another user in our place (XEP-0415 4.1)."""
        self._registered = True

        def forward(now: float, done: Any) -> None:
            self._usage.forward(now, jid, done)

        stored: Stored = await self.peer.wish(forward)
        return stored

    async def lookup(self, jid: str) -> Locations:
        """The devices of a user. JIDError if this is no address; RequestFailed (NOT_FOUND) if there is none."""
        locations: Locations = await self.peer.wish(self._usage.lookup, jid)
        return locations

    async def contact(self, jid: str) -> list[XmppStream]:
        """Open streams, one with each device of a user that can be reached; those that are open already are among them.

        RequestFailed when there is none.
        """
        contacted: Contacted = await self.peer.wish(self._usage.contact, jid)
        streams = [self._streams[ready.ticket] for ready in contacted.streams if ready.ticket in self._streams]
        outcomes = await asyncio.gather(*(stream.opened() for stream in streams), return_exceptions=True)
        opened = [stream for stream, outcome in zip(streams, outcomes, strict=True) if outcome is None]
        if not opened:
            reason = next((str(outcome) for outcome in outcomes), "the connection ended at once")
            raise RequestFailed(ErrorCode.REQUEST_TIMEOUT, f"no stream with {contacted.locations.jid}: {reason}")
        return opened

    async def send(self, jid: str, stanza: Element | str) -> list[XmppStream]:
        """Send to all connected devices of a user (XEP-0415 6.2), an iq to one only. Gives the streams that took it.

        It contacts nobody: an empty list says that `contact` comes first.
        """
        element = parse_stanza(stanza) if isinstance(stanza, str) else stanza
        user = prepare_bare(jid)
        streams = [stream for stream in self.connected if stream.peer_jid == user and stream.is_open]
        if element.tag == _IQ:
            del streams[1:]  # an iq has one answer, so it goes to one device (notes 8.17)
        outcomes = await asyncio.gather(*(stream.send(element) for stream in streams), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException) and not isinstance(outcome, StreamEnded):
                raise outcome
        return [stream for stream, outcome in zip(streams, outcomes, strict=True) if outcome is None]

    async def streams(self) -> AsyncIterator[XmppStream]:
        """Each stream once it is open, whoever asked for it; ends with `close`. For one reader."""
        while self._opened or not self._closed:
            if self._opened:
                yield self._opened.popleft()
            else:
                self._news.clear()
                await self._news.wait()

    async def close(self) -> None:
        """Remove our location, close all streams. The peer stays."""
        if self._closed:
            return
        self._closed = True
        if self._registered:
            try:
                async with asyncio.timeout(limits.LEAVE_TIMEOUT):
                    await self.peer.wish(self._usage.unregister)
            except (TimeoutError, RequestFailed, StateError) as error:
                self.peer.journal.say("warning", f"our location could not be removed, it will expire: {error}")
        await asyncio.gather(*(stream.close() for stream in self.connected))
        for task in self._tasks:
            task.cancel()
        self._news.set()

    # --- what the usage calls ------------------------------------------------------------------------

    def _on_stream(self, now: float, ready: StreamReady) -> None:
        stream = XmppStream(self, ready)
        if not stream.has_ended:
            self._streams[ready.ticket] = stream
            self._spawn(self._announce(stream))

    def _on_superseded(self, now: float, ticket: int) -> None:
        stream = self._streams.get(ticket)
        if stream is not None:
            self._spawn(stream.close())
        else:
            self.peer.take_application(ticket).close()

    async def _announce(self, stream: XmppStream) -> None:
        try:
            await stream.opened()
        except StreamEnded as error:
            if not isinstance(stream.end, Closed):  # else it was opened and closed before we came to look
                who = f"{stream.peer_jid} ({stream.peer_node_id.hex()})"
                self.peer.journal.say("warning", f"no stream with {who}: {error}")
                return
        self._opened.append(stream)
        self._news.set()

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _ended(self, ticket: int) -> None:
        self._streams.pop(ticket, None)
        self._usage.ended(ticket)
