"""One node with five neighbours, each seen from its link: what it is sent, and what it says."""

from typing import Any

from tests.core.outside import OVERLAY, Outside
from xor_fast.cext import codec, ids, wire
from xor_fast.core.tuning import DEFAULTS, Tuning
from xor_fast.errors import WireError
from xor_fast.messages import (
    AddressType,
    Body,
    Code,
    DataValue,
    Destination,
    DictionaryEntry,
    ErrorResponse,
    IceCandidate,
    IpAddressPort,
    Message,
    StoredData,
    StoreKindData,
    StoreReq,
    UpdateReq,
)
from xor_fast.sim.disk import VirtualDisk
from xor_fast.sim.fakes import FakeIdentity

# A user of all members, whose values belong to the node: between the nearest member ahead of it and its own Node-ID.
USER = next(name for n in range(9999) if ids.resource_id(name := b"user%d@outside.example" % n)[0] == 0x7F)
PLACE = ids.resource_id(USER)
MODELS = {kind.id: kind.model for kind in OVERLAY.kinds}
DICTIONARY, ARRAY = 0xF0000001, 0xF0000003
BEFORE_OURS = b"\x7f" + b"\xff" * 15
NOW_MS = 1_800_000_000_000


def value(signer: FakeIdentity, data: bytes, time: int = NOW_MS, lifetime: int = 1000) -> StoredData:
    entry = DictionaryEntry(signer.node_id, DataValue(True, data))
    signed = codec.value_signature_input(PLACE, DICTIONARY, time, entry, signer.signer)
    return StoredData(time, lifetime, entry, signer.sign(signed))


def store(*values: StoredData, replica: int = 0, counter: int = 0) -> StoreReq:
    return StoreReq(PLACE, replica, (StoreKindData(DICTIONARY, counter, values),))


def error_code(messages: list[Message]) -> int:
    (message,) = [message for message in messages if message.code == Code.ERROR]
    assert isinstance(message.body, ErrorResponse)
    return message.body.error_code


def candidate() -> IceCandidate:
    return IceCandidate(IpAddressPort(AddressType.IPV4, b"\xc0\x00\x02\x01", 999), 4, b"1", 1)


class Neighbours(Outside):
    """Five members of one user, with links; `received`: what came to each since it was last looked at."""

    def __init__(self, started: bool = True, disk: VirtualDisk | None = None, tuning: Tuning = DEFAULTS) -> None:
        super().__init__(started, disk, tuning=tuning)
        self.members: list[FakeIdentity] = []
        self.links: dict[int, FakeIdentity] = {}
        self.received: list[tuple[int, Message]] = []
        for first in (0x20, 0x40, 0x7E, 0x81, 0xE0):
            self.member(bytes([first]) * 16)

    def member(self, node_id: bytes) -> FakeIdentity:
        """A further member with a link."""
        member = FakeIdentity(node_id, USER)
        self.connect(member)
        return member

    def connect(self, member: FakeIdentity) -> None:
        self.members.append(member)
        self.links[self.up(member)] = member
        self.drain()

    def leave(self, member: FakeIdentity) -> None:
        """Its connections are lost."""
        for link in [link for link, other in self.links.items() if other is member]:
            del self.links[link]
            self.node.link_down(self.now, link, "closed")
        self.drain()

    def enter(self, *members: FakeIdentity) -> None:
        """Each says that it is a peer."""
        for member in members or self.members:
            self.deliver(member, self.message(Code.UPDATE_REQ, UpdateReq(1, 1), signer=member))
        self.drain()

    def deliver(self, member: FakeIdentity, message: bytes) -> None:
        """Over the newest link of the member."""
        link = max(link for link, other in self.links.items() if other is member)
        assert self.node.receive(self.now, link, wire.data_frame(0, message))

    def put(
        self, member: FakeIdentity, code: int, body: Body | bytes, *to: Destination, **fields: Any
    ) -> list[Message]:
        """A message of one member; gives what comes back to it at once."""
        self.drain()
        self.received.clear()
        self.deliver(member, self.message(code, body, *to, signer=member))
        self.drain()
        return self.asked_of(member)

    def answer_to(self, member: FakeIdentity, request: Message, code: int, body: Body) -> None:
        fields: dict[str, Any] = {"transaction_id": request.header.transaction_id, "signer": member}
        self.deliver(member, self.message(code, body, **fields))

    def asked_of(self, member: FakeIdentity, code: int | None = None) -> list[Message]:
        """What has come to a member, of one code if given."""
        self.drain()
        return [m for link, m in self.received if self.links.get(link) is member and code in (None, m.code)]

    def drain(self) -> None:
        """Take what comes over any link, and acknowledge its frames."""
        self.persist()
        for link, data in self.node.sends():
            for kind, sequence, content in wire.split_frames(data)[0]:
                if kind == 128 and isinstance(content, bytes) and link in self.links:
                    self.node.receive(self.now, link, wire.ack_frame(sequence, 0))
                    self.note(link, content)

    def note(self, link: int, content: bytes) -> None:
        try:
            self.received.append((link, codec.decode_message(content, 16, MODELS)))
        except WireError:
            pass  # an answer that goes back over an odd via list

    def wait(self, seconds: float) -> list[Message]:
        end = self.now + seconds
        while (deadline := self.node.deadline) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            self.node.wake(self.now)
            self.drain()
        self.now = end
        return []
