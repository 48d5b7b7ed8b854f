"""What the hosts of a world send each other, decoded from the bytes that leave them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from xor_fast.cext import codec, wire
from xor_fast.messages import Destination, DestinationType, Message
from xor_fast.sim.world import Connection, Host, World


class Sent(NamedTuple):
    """One hop of one message."""

    at: float
    sender: Host
    receiver: Host
    message: Message

    @property
    def is_own(self) -> bool:
        """It was made by the sender: a forwarder adds to the via list of a request."""
        return not self.message.header.via_list

    @property
    def to(self) -> tuple[Destination, ...]:
        return self.message.header.destination_list


class Trace:
    def __init__(self, world: World) -> None:
        self.world = world
        self.sent: list[Sent] = []
        self.up: dict[frozenset[str], float] = {}  # when the first link between two was up

    def note(self, host: Host, link: int, data: bytes) -> None:
        connection: Connection | None = host.links.get(link)
        if connection is None or not connection.open:
            return
        receiver = connection.hosts[1] if connection.hosts[0] is host else connection.hosts[0]
        self.up.setdefault(frozenset((host.name, receiver.name)), self.world.now)
        frames, used = wire.split_frames(data)
        assert used == len(data)
        for kind, _, content in frames:
            if kind == 128 and isinstance(content, bytes):
                message = codec.decode_message(content, 16, host.node.kinds.models)
                self.sent.append(Sent(self.world.now, host, receiver, message))

    def of(self, code: int, sender: Host | None = None, receiver: Host | None = None, since: float = 0.0) -> list[Sent]:
        """Messages of one code on their first hop."""
        return [
            sent
            for sent in self.sent
            if sent.message.code == code
            and sent.is_own
            and sender in (None, sent.sender)
            and receiver in (None, sent.receiver)
            and sent.at >= since
        ]


@contextmanager
def traced(world: World) -> Iterator[Trace]:
    trace, send = Trace(world), world._send

    def noted(host: Host, link: int, data: bytes) -> None:
        trace.note(host, link, data)
        send(host, link, data)

    world._send = noted  # type: ignore[method-assign]
    try:
        yield trace
    finally:
        world._send = send  # type: ignore[method-assign]


def node(host: Host) -> Destination:
    return Destination(DestinationType.NODE, host.node.node_id)


def place(number: int) -> Destination:
    """A Resource-ID given as a number, modulo the ring."""
    return Destination(DestinationType.RESOURCE, (number % (1 << 128)).to_bytes(16, "big"))


def number_of(host: Host) -> int:
    return int.from_bytes(host.node.node_id, "big")
