"""Members of the overlay who send anything that can be signed: right structures with odd contents, and broken ones."""

from collections import deque
from random import Random
from typing import Any

from tests.core.neighbours import MODELS, PLACE, Neighbours
from tests.core.outside import OURS, THEIRS
from xor_fast.actions import Action, Dial, OpenPort, Purpose
from xor_fast.cext import codec, ids
from xor_fast.core.node import NewValue, Node
from xor_fast.errors import ErrorCode
from xor_fast.messages import (
    UNSIGNED,
    WILDCARD_NODE_ID,
    AddressType,
    AppAttachReqAns,
    ArrayEntry,
    ArrayRange,
    AttachReqAns,
    Body,
    ChordLeaveData,
    Code,
    DataModel,
    DataValue,
    Destination,
    DestinationType,
    DictionaryEntry,
    ErrorResponse,
    FetchAns,
    FetchKindResponse,
    FetchReq,
    IceCandidate,
    IpAddressPort,
    JoinAns,
    JoinReq,
    LeaveAns,
    LeaveReq,
    PingAns,
    PingReq,
    RouteQueryAns,
    RouteQueryReq,
    StoreAns,
    StoredData,
    StoredDataSpecifier,
    StoredDataValue,
    StoreKindData,
    StoreKindResponse,
    StoreReq,
    UpdateAns,
    UpdateReq,
)
from xor_fast.sim.fakes import FakeIdentity

UNKNOWN_KIND = 0x7777
APPLICATION = 5222
REQUESTS = (
    Code.ATTACH_REQ,
    Code.STORE_REQ,
    Code.STORE_REQ,
    Code.FETCH_REQ,
    Code.JOIN_REQ,
    Code.LEAVE_REQ,
    Code.UPDATE_REQ,
    Code.ROUTE_QUERY_REQ,
    Code.PING_REQ,
    Code.APP_ATTACH_REQ,
)
LARGEST = {1: 255, 2: 65535, 4: 2**32 - 1, 8: 2**64 - 1}


class Odd:
    """Bodies for every message code: each field is sometimes right, sometimes at an edge, sometimes noise."""

    def __init__(self, random: Random, members: list[FakeIdentity], wall_ms: int) -> None:
        self.random = random
        self.members = members
        self.sender = members[0]
        self.wall_ms = wall_ms

    def body(self, code: int) -> Body | bytes:
        make = getattr(self, f"_{Code(code).name.lower()}", None) if code in set(Code) else None
        if make is None or self.random.random() < 0.05:
            return self.random.randbytes(self.random.choice((0, 1, 7, 40)))
        body: Body = make()
        if self.random.random() < 0.2:
            return self._broken(codec.encode_body(code, body))
        return body

    def _broken(self, data: bytes) -> bytes:
        changed = bytearray(data)
        for _ in range(self.random.randint(1, 3)):
            if changed:
                changed[self.random.randrange(len(changed))] = self.random.choice((0, 1, 0x7F, 0x80, 0xFF))
        return bytes(changed[: self.random.choice((len(changed), len(changed) // 2))])

    # --- what fields hold -----------------------------------------------------------------------------

    def number(self, size: int) -> int:
        largest = LARGEST[size]
        return self.random.choice((0, 1, 2, 60, largest - 1, largest, self.random.randint(0, largest)))

    def node_id(self) -> bytes:
        near = ids.successor_id(OURS)
        known = [member.node_id for member in self.members]
        return self.random.choice((OURS, WILDCARD_NODE_ID, bytes(16), near, self.random.randbytes(16), *known))

    def node_ids(self) -> tuple[bytes, ...]:
        return tuple(self.node_id() for _ in range(self.random.choice((0, 1, 3, 40))))

    def resource(self) -> bytes:
        odd = self.random.randbytes(self.random.choice((0, 1, 15, 17, 20, 254)))
        return self.random.choice((PLACE, PLACE, self.random.randbytes(16), odd))

    def kind(self) -> int:
        return self.random.choice((*MODELS, *MODELS, UNKNOWN_KIND))

    def destination(self) -> Destination:
        return self.random.choice(
            (
                Destination(DestinationType.NODE, self.node_id()),
                Destination(DestinationType.RESOURCE, self.resource()),
                Destination(DestinationType.OPAQUE_ID, self.random.randbytes(3)),
                Destination(DestinationType.OPAQUE_ID, b"\x80\x01", True),
                Destination(77, b"whatever"),
            )
        )

    def value(self, kind: int, resource: bytes) -> StoredData:
        model = MODELS.get(kind)
        signer = self.random.choice((self.sender, self.sender, self.sender, *self.members))
        key = self.random.choice((signer.node_id, signer.node_id, b"", self.random.randbytes(30)))
        plain = DataValue(self.random.random() < 0.8, self.random.randbytes(self.random.choice((0, 5, 101))))
        time = self.random.choice((self.number(8), self.wall_ms, self.wall_ms + self.random.randint(0, 9)))
        lifetime = self.number(4)
        values: dict[DataModel | None, StoredDataValue] = {
            DataModel.DICTIONARY: DictionaryEntry(key, plain),
            DataModel.SINGLE: plain,
            DataModel.ARRAY: ArrayEntry(self.number(4), plain),
        }
        if model is None:
            return StoredData(time, lifetime, self.random.randbytes(20))
        value = values[model]
        signed = codec.value_signature_input(resource, kind, time, value, signer.signer)
        return StoredData(time, lifetime, value, self.random.choice((signer.sign(signed),) * 5 + (UNSIGNED,)))

    def values(self, kind: int, resource: bytes) -> tuple[StoredData, ...]:
        return tuple(self.value(kind, resource) for _ in range(self.random.choice((0, 1, 1, 2, 9))))

    def candidate(self) -> IceCandidate:
        address = self.random.choice(
            (
                IpAddressPort(AddressType.IPV4, self.random.randbytes(4), self.number(2)),
                IpAddressPort(AddressType.IPV6, self.random.randbytes(16), self.number(2)),
                IpAddressPort(9, self.random.randbytes(5), 0),
            )
        )
        return IceCandidate(address, self.random.choice((1, 3, 4, 4, 4, 9)), b"f", self.number(4))

    def candidates(self) -> tuple[IceCandidate, ...]:
        return tuple(self.candidate() for _ in range(self.random.choice((0, 1, 2, 30))))

    # --- bodies ---------------------------------------------------------------------------------------

    def _attach_req(self) -> Body:
        role = self.random.choice((b"passive", b"passive", b"active", b"", b"\xff\x00"))
        return AttachReqAns(b"", b"p", role, self.candidates(), self.random.random() < 0.5)

    _attach_ans = _attach_req

    def _app_attach_req(self) -> Body:
        application = self.random.choice((APPLICATION, APPLICATION, self.number(2) or 1))
        return AppAttachReqAns(b"", b"", application, b"passive", self.candidates())

    _app_attach_ans = _app_attach_req

    def _store_req(self) -> Body:
        resource = self.resource()
        kinds = [self.kind() for _ in range(self.random.choice((0, 1, 1, 1, 2)))]
        counter = self.random.choice((0, 0, 1, self.number(8)))
        kind_data = tuple(StoreKindData(kind, counter, self.values(kind, resource)) for kind in kinds)
        return StoreReq(resource, self.random.choice((0, 0, 1, 2, 255)), kind_data)

    def _store_ans(self) -> Body:
        count = self.random.choice((0, 1, 1, 9))
        return StoreAns(tuple(StoreKindResponse(self.kind(), self.number(8), self.node_ids()) for _ in range(count)))

    def _fetch_req(self) -> Body:
        count = self.random.choice((0, 1, 1, 30))
        return FetchReq(self.resource(), tuple(self._specifier() for _ in range(count)))

    def _specifier(self) -> StoredDataSpecifier:
        kind = self.kind()
        model = MODELS.get(kind)
        specifier: Any = b"whatever"
        if model is DataModel.DICTIONARY:
            specifier = self.random.choice(((), (b"",), (THEIRS, THEIRS), (self.random.randbytes(40),)))
        elif model is DataModel.ARRAY:
            specifier = self.random.choice(((), (ArrayRange(self.number(4), self.number(4)),)))
        elif model is DataModel.SINGLE:
            specifier = None
        return StoredDataSpecifier(kind, self.number(8), specifier)

    def _fetch_ans(self) -> Body:
        kinds = [self.kind() for _ in range(self.random.choice((0, 1, 1, 3)))]
        return FetchAns(tuple(FetchKindResponse(kind, self.number(8), self.values(kind, PLACE)) for kind in kinds))

    def _join_req(self) -> Body:
        return JoinReq(self.random.choice((self.random.choice(self.members).node_id, self.node_id())), b"x")

    def _join_ans(self) -> Body:
        return JoinAns(self.random.randbytes(3))

    def _leave_req(self) -> Body:
        data = codec.encode_struct(ChordLeaveData(self.random.choice((1, 2)), self.node_ids()))
        leaver = self.random.choice((self.random.choice(self.members).node_id, self.node_id()))
        return LeaveReq(leaver, self.random.choice((b"", b"\x01", data, self._broken(data))))

    def _leave_ans(self) -> Body:
        return LeaveAns()

    def _update_req(self) -> Body:
        kind = self.random.choice((1, 2, 3))
        near = (self.node_ids(), self.node_ids()) if kind > 1 else ((), ())
        return UpdateReq(self.number(4), kind, *near, self.node_ids() if kind == 3 else ())

    def _update_ans(self) -> Body:
        return UpdateAns()

    def _route_query_req(self) -> Body:
        return RouteQueryReq(self.random.random() < 0.5, self.destination(), b"x")

    def _route_query_ans(self) -> Body:
        return RouteQueryAns(self.node_id())

    def _ping_req(self) -> Body:
        return PingReq(self.random.randbytes(self.random.choice((0, 1000))))

    def _ping_ans(self) -> Body:
        return PingAns(self.number(8), self.number(8))

    def _error(self) -> Body:
        info = self.random.choice((b"", b"\xff\xfe", b"text", codec.encode_struct(StoreAns(())), bytes(300)))
        return ErrorResponse(self.random.choice((*ErrorCode, 0, 0xFFFF)), info)


class Hostile(Neighbours):
    """The members send anything, and answer what the node asks of them with anything."""

    def __init__(self, seed: int, started: bool = True) -> None:
        super().__init__(started)
        self.random = Random(seed)
        self.odd = Odd(self.random, self.members, self.node.wall_ms(self.now))
        self.node.register_application(APPLICATION, lambda now, connection: True)
        self.sent: list[tuple[FakeIdentity, bytes]] = []

    def turn(self) -> None:
        """One step of a member, of the owner, or of time."""
        what = self.random.random()
        if what < 0.55:
            self.say()
        elif what < 0.85:
            self.answer()
        elif what < 0.90:
            self.wish()
        else:
            self.wait(self.random.choice((0.0, 0.1, 1.0, 4.0)))
        self.drain()

    def say(self) -> None:
        member = self.random.choice(self.members)
        if self.sent and self.random.random() < 0.1:
            self.deliver(*self.random.choice(self.sent[-20:]))  # once more, over a link of its signer
            return
        code = self.random.choice((*REQUESTS, *REQUESTS, *Code, 0x5, 0x7FFE, 0x7FFF))
        self.odd.sender = member
        body = self.odd.body(code)
        places: list[tuple[Destination, ...]] = [()]
        if isinstance(body, StoreReq | FetchReq) and len(body.resource) == 16:
            places.append((Destination(DestinationType.RESOURCE, body.resource),))
        places.append((Destination(DestinationType.NODE, WILDCARD_NODE_ID),))
        via = self.random.choice(((),) * 5 + ((self.odd.destination(), self.odd.destination()),))
        limit = self.random.choice((0, 0, 0, 1, 600))
        fields: dict[str, Any] = {"via_list": via, "max_response_length": limit, "signer": member}
        self.sent.append((member, self.message(code, body, *self.random.choice(places), **fields)))
        self.deliver(*self.sent[-1])

    def answer(self) -> None:
        """To one of the last requests of the node: by who was asked or by another, with a body that fits or not."""
        asked = [(link, m) for link, m in self.received if m.code % 2 and m.code != Code.ERROR and link in self.links]
        if not asked:
            return
        link, request = self.random.choice(asked[-20:])
        code = self.random.choice((request.code + 1,) * 4 + (Code.ERROR, Code.STORE_ANS, 0x7FFE))
        member = self.random.choice((self.links[link],) * 4 + (self.members[-1],))
        fields: dict[str, Any] = {"transaction_id": request.header.transaction_id, "signer": member}
        self.deliver(member, self.message(code, self.odd.body(code), **fields))

    def wish(self) -> None:
        """Something of the owner, so that there are answers to wait for."""
        done = lambda now, outcome: None  # noqa: E731
        kind = next(kind for kind, model in MODELS.items() if model is DataModel.DICTIONARY)
        target = Destination(DestinationType.NODE, self.random.choice(self.members).node_id)
        which = self.random.randrange(4)
        if which == 0:
            self.node.store(self.now, self.random.randbytes(16), kind, [NewValue(OURS, b"v", 60)], done)
        elif which == 1:
            self.node.fetch(self.now, self.random.randbytes(16), kind, done)
        elif which == 2:
            self.node.ping(self.now, (target,), done)
        else:
            self.node.app_attach(self.now, (target,), APPLICATION, lambda certificate: None, done)

    def drain(self) -> None:
        super().drain()
        if not hasattr(self, "sent"):
            return  # not yet under way
        del self.received[:-50]
        for action in self.node.actions():
            self.drive(action)
        if len(self.links) > 12:  # never the first of a member, so that each keeps one
            gone = self.random.choice(list(self.links)[len(self.members) :])
            del self.links[gone]
            self.node.link_down(self.now, gone, "closed")

    def drive(self, action: Action) -> None:
        """A driver whose connections succeed, fail, or turn out to be another's."""
        member = self.random.choice(self.members)
        fails = self.random.random() < 0.5
        if isinstance(action, OpenPort) and not fails:
            self.node.port_opened(self.now, action.ticket, [("192.0.2.9", 999)])
            if self.random.random() < 0.5:
                self.node.app_up(self.now, action.ticket, [member.certificate.der])
        elif isinstance(action, OpenPort | Dial) and fails:
            self.node.dial_failed(self.now, action.ticket, "refused")
        elif isinstance(action, Dial) and action.purpose is Purpose.APPLICATION:
            self.node.app_up(self.now, action.ticket, [member.certificate.der])
        elif isinstance(action, Dial):
            link = self.node.link_up(self.now, [member.certificate.der], action.ticket)
            if link >= 0:
                self.links[link] = member


def remembered(node: Node) -> dict[str, int]:
    """How many entries each table of the node and of its parts has: of every container there is, by its name."""
    sizes: dict[str, int] = {}

    seen: set[int] = set()

    def look(part: object, path: str) -> None:
        seen.add(id(part))
        for name, value in vars(part).items():
            if isinstance(value, dict | list | set | deque) and name not in ("_counts", "handlers", "_handlers"):
                sizes[f"{path}.{name}"] = len(value)
            elif (
                type(value).__module__.startswith("xor_fast.core")
                and hasattr(value, "__dict__")
                and id(value) not in seen
            ):
                look(value, f"{path}.{name}")

    look(node, "node")
    return sizes
