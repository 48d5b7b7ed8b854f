"""An application protocol on a connection made by AppAttach: `Stream` joins the two, and is what a program awaits.

The protocol itself is sans-I/O (`Session`; `usages/xmpp/stream.StreamSession` is one) and is handed in: the driver
knows no usage. `adopt` gives the connection to a protocol of asyncio instead, such as another XMPP library has.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any, Generic, Protocol, Self, TypeVar, cast

from xor_fast import limits
from xor_fast.errors import StreamEnded
from xor_fast.net.applications import Application

Item = TypeVar("Item")


class Session(Protocol):
    """A protocol without I/O. After each call there may be bytes for `take` to give.

    is_open   items may be sent
    is_over   nothing more will come of it; the last event said how it ended
    """

    is_open: bool
    is_over: bool

    def take(self) -> bytes: ...

    def start(self) -> None: ...

    def receive(self, data: bytes, /) -> Sequence[Any]:
        """What these bytes mean, as events."""

    def send(self, item: Any, /) -> None: ...

    def keep_alive(self) -> None: ...

    def close(self) -> None: ...


class Stream(Generic[Item]):
    """`await stream.opened()`, `await stream.send(item)`, `async for item in stream`, `await stream.close()`.

    item_of   what an event brings the program: an item and its size in bytes; None for events that bring none
    on_end    called once, when the stream is over

    Items not taken yet are bounded: above that the connection is not read, and TCP slows the other side down.
    """

    def __init__(
        self,
        application: Application,
        session: Session,
        item_of: Callable[[Any], tuple[Item, int] | None],
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        self.end: Any = None  # the session's last event, once it is over
        self.reason: str = ""  # why the stream ended, once it has
        self._application = application
        self._session = session
        self._item_of = item_of
        self._on_end = on_end
        self._items: deque[tuple[Item, int]] = deque()
        self._bytes = 0
        self._is_paused = False
        self._ended = False
        self._news = asyncio.Event()  # an item came, or the stream opened or ended
        self._writable = asyncio.Event()
        self._writable.set()
        self._written = monotonic()
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(limits.STREAM_OPEN_TIMEOUT, self._open_timed_out)
        self._keep_alive = loop.call_later(limits.STREAM_IDLE_SPACE, self._idle)
        session.start()
        self._flush()
        application.attach(self)

    @property
    def is_open(self) -> bool:
        """Items may be sent."""
        return self._session.is_open and not self._ended

    @property
    def has_ended(self) -> bool:
        """Nothing can be sent and nothing more comes; what came before can still be taken."""
        return self._ended

    async def opened(self) -> None:
        """Wait until items may be sent. StreamEnded if it comes to nothing."""
        while not self._session.is_open:
            if self._ended:
                raise StreamEnded(self.reason)
            await self._wait()

    async def send(self, item: Any) -> None:
        """Send one item and wait while the other side is slower than we are. StreamEnded when it is too late."""
        if self._ended:
            raise StreamEnded(self.reason)
        self._session.send(item)
        self._flush()
        await self._writable.wait()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Item:
        while not self._items:
            if self._ended:
                raise StopAsyncIteration
            await self._wait()
        item, size = self._items.popleft()
        self._bytes -= size
        if self._is_paused and self._room() > 0.5:
            self._is_paused = False
            self._application.resume()
        return item

    async def close(self) -> None:
        """Close our side and wait for the other, CLOSE_TIMEOUT at most. Items that still come can be taken."""
        if not self._ended:
            self._session.close()
            self._flush()
        try:
            async with asyncio.timeout(limits.CLOSE_TIMEOUT):
                while not self._ended:
                    await self._wait()
        except TimeoutError:
            self._finish("the other side did not close the stream")

    # --- what the connection calls ---

    def received(self, data: bytes) -> None:
        if self._ended:
            return
        events = self._session.receive(data)
        for event in events:
            brought = self._item_of(event)
            if brought is not None:
                self._items.append(brought)
                self._bytes += brought[1]
        self._flush()
        if self._session.is_open:
            self._deadline.cancel()
        if self._session.is_over:
            self.end = events[-1]
            self._finish(str(self.end))
        elif not self._is_paused and self._room() <= 0:
            self._is_paused = True
            self._application.pause()
        self._news.set()

    def writable(self, is_writable: bool) -> None:
        if is_writable:
            self._writable.set()
        else:
            self._writable.clear()

    def lost(self, reason: str) -> None:
        if not self._ended:
            self._finish(reason)

    # --- inside ---

    async def _wait(self) -> None:
        self._news.clear()
        await self._news.wait()

    def _room(self) -> float:
        """How much of the queue is free, 1 down to 0 and below."""
        return 1 - max(len(self._items) / limits.MAX_QUEUED_STANZAS, self._bytes / limits.MAX_QUEUED_BYTES)

    def _flush(self) -> None:
        data = self._session.take()
        if data:
            self._written = monotonic()
            self._application.write(data)

    def _finish(self, reason: str) -> None:
        self._ended = True
        self.reason = reason
        self._deadline.cancel()
        self._keep_alive.cancel()
        self._application.close()
        self._writable.set()
        self._news.set()
        self._on_end()

    def _open_timed_out(self) -> None:
        self._session.close()
        self._flush()
        self._finish("the other side did not open the stream in time")

    def _idle(self) -> None:
        """RFC 6940 6.5.2.1: the application keeps the bindings of NATs alive, with something every 25 s."""
        left = self._written + limits.STREAM_IDLE_SPACE - monotonic()
        if left <= 0:
            self._session.keep_alive()
            self._flush()
            left = limits.STREAM_IDLE_SPACE
        self._keep_alive = asyncio.get_running_loop().call_later(left + 0.001, self._idle)


def adopt(application: Application, protocol: asyncio.Protocol) -> asyncio.Transport:
    """Give the connection to a protocol of asyncio: it gets all bytes, what came already first."""
    transport = _AdoptedTransport(application, protocol)
    protocol.connection_made(transport)
    application.attach(transport)
    return transport


class _AdoptedTransport(asyncio.Transport):
    """An application connection as asyncio's protocols expect a transport."""

    def __init__(self, application: Application, protocol: asyncio.Protocol) -> None:
        super().__init__({"certificates": application.certificates})
        self._application = application
        self._protocol = protocol
        self._is_closing = False

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = cast(asyncio.Protocol, protocol)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._application.write(bytes(data))

    def pause_reading(self) -> None:
        self._application.pause()

    def resume_reading(self) -> None:
        self._application.resume()

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        self._is_closing = True
        self._application.close()

    def abort(self) -> None:
        self._is_closing = True
        self._application.abort()

    # --- what the connection calls ---

    def received(self, data: bytes) -> None:
        self._protocol.data_received(data)

    def writable(self, is_writable: bool) -> None:
        if is_writable:
            self._protocol.resume_writing()
        else:
            self._protocol.pause_writing()

    def lost(self, reason: str) -> None:
        self._is_closing = True
        self._protocol.connection_lost(None)
