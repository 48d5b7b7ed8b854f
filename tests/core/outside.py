"""One node seen from a link: what a neighbour can send it, and every byte it gets back."""

from random import Random
from typing import Any

from xor_fast.actions import Notice, Persist
from xor_fast.cext import codec, wire
from xor_fast.config import KindDefinition, Overlay
from xor_fast.core.node import Node
from xor_fast.core.tuning import DEFAULTS, Tuning
from xor_fast.messages import (
    Body,
    DataModel,
    Destination,
    DestinationType,
    ForwardingHeader,
    Message,
    MessageExtension,
    SecurityBlock,
)
from xor_fast.sim.disk import VirtualDisk
from xor_fast.sim.fakes import FakeIdentity, FakeVerifier

OVERLAY = Overlay(
    instance_name="outside.example",
    sequence=7,
    no_ice=True,
    max_message_size=20000,
    kinds=(
        KindDefinition(0xF0000001, "TEST", DataModel.DICTIONARY, "USER-NODE-MATCH", 4, 100),
        KindDefinition(0xF0000002, "SINGLE", DataModel.SINGLE, "USER-MATCH", 1, 100),
        KindDefinition(0xF0000003, "ARRAY", DataModel.ARRAY, "USER-MATCH", 4, 100),
    ),
)
WALL_MS = 1_800_000_000_000
OURS = b"\x80" + bytes(15)
THEIRS = b"\x20" + bytes(15)


def node(node_id: bytes) -> Destination:
    return Destination(DestinationType.NODE, node_id)


def resource(resource_id: bytes) -> Destination:
    return Destination(DestinationType.RESOURCE, resource_id)


class Outside:
    """`node` is the first of its overlay; we are a member with a link to it. With a disk it is durable."""

    def __init__(
        self,
        started: bool = True,
        disk: VirtualDisk | None = None,
        wall_ms: int = WALL_MS,
        tuning: Tuning = DEFAULTS,
        overlay: Overlay = OVERLAY,
    ) -> None:
        self.now = 100.0
        self.notices: list[str] = []
        self.us = FakeIdentity(THEIRS, b"us@outside.example")
        self.disk = disk
        identity, verifier = FakeIdentity(OURS, b"node@outside.example"), FakeVerifier()
        durable = disk is not None
        self.node = Node(overlay, identity, verifier, Random(1), durable=durable, tuning=tuning)  # type: ignore[arg-type]
        self.node.set_wall(self.now, wall_ms)
        if disk is not None:
            self.node.restore(self.now, disk.content())
        if started:
            self.node.start_overlay(self.now)
        self.link = self.up(self.us)
        self.take()
        self._transaction_id = 1000

    def up(self, identity: FakeIdentity) -> int:
        return self.node.link_up(self.now, [identity.certificate.der], None)

    def contents(self, code: int, body: Body | bytes, extensions: tuple[MessageExtension, ...] = ()) -> bytes:
        return codec.encode_contents(code, body, extensions)

    def message(
        self,
        code: int,
        body: Body | bytes,
        *destinations: Destination,
        extensions: tuple[MessageExtension, ...] = (),
        signer: FakeIdentity | None = None,
        **header: Any,
    ) -> bytes:
        """A signed message; header: fields of ForwardingHeader."""
        signer = signer or self.us
        self._transaction_id += 1
        fields = {
            "overlay": OVERLAY.overlay_hash,
            "configuration_sequence": OVERLAY.sequence,
            "ttl": 100,
            "transaction_id": self._transaction_id,
            "destination_list": destinations or (node(OURS),),
        } | header
        contents = self.contents(code, body, extensions)
        signed = (
            fields["overlay"].to_bytes(4, "big")
            + fields["transaction_id"].to_bytes(8, "big")
            + contents
            + codec.encode_struct(signer.signer)
        )
        return codec.assemble(
            ForwardingHeader(**fields), contents, SecurityBlock(signer.certificates, signer.sign(signed))
        )

    def send(self, *messages: bytes) -> list[Message]:
        """Send, and give the messages that come back over our link."""
        for message in messages:
            assert self.node.receive(self.now, self.link, wire.data_frame(0, message))
        return self.take()

    def ask(self, code: int, body: Body | bytes, *destinations: Destination, **fields: Any) -> list[Message]:
        return self.send(self.message(code, body, *destinations, **fields))

    def persist(self) -> None:
        """Carry out what is to be on the disk."""
        if self.disk is None:
            return
        for action in self.node.actions():
            if isinstance(action, Persist):
                self.disk.under_way.append(action)
                failure = self.disk.write(action)
                if failure is None:
                    self.node.persisted(self.now, action.ticket)
                else:
                    self.node.persist_failed(self.now, action.ticket, failure)
            elif isinstance(action, Notice):
                self.notices.append(action.text)

    def take(self) -> list[Message]:
        self.persist()
        messages = []
        for link, data in self.node.sends():
            frames, used = wire.split_frames(data)
            assert used == len(data)
            for kind, _, content in frames:
                if kind == 128 and link == self.link:
                    assert isinstance(content, bytes)
                    messages.append(codec.decode_message(content, 16, self.node.kinds.models))
        return messages

    def wait(self, seconds: float) -> list[Message]:
        """Let time pass, waking the node at each deadline."""
        end = self.now + seconds
        messages = self.take()
        while (deadline := self.node.deadline) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            self.node.wake(self.now)
            messages += self.take()
        self.now = end
        return messages
