"""Random whole messages by the million: every code and every form RFC 6940 has, in about 40 us each.

For long comparisons. hypothesis, a hundred times slower, searches in `structures.py` instead. Sizes are small with a
tail that ends above 65,535 bytes, so now and then a value is larger than the length field it belongs in: no message.
"""

from collections.abc import Callable
from random import Random
from typing import Any, TypeVar

from tests.reference import codec as reference
from xor_fast import messages as m
from xor_fast.messages import DataModel

T = TypeVar("T")

KINDS = {
    1: DataModel.SINGLE,
    2: DataModel.ARRAY,
    3: DataModel.DICTIONARY,
    0xF0000001: DataModel.SINGLE,
    0xF0000002: DataModel.ARRAY,
    0xFFFFFFFD: DataModel.DICTIONARY,
}
KNOWN_KINDS = tuple(KINDS)

# Drawn from by an index of 6 or 10 random bits: the cheapest way to an uneven distribution.
COUNTS = (0,) * 25 + (1,) * 23 + (2,) * 10 + (3,) * 4 + (5, 12)
EDGES = (253, 254, 255, 256, 257, 4096, 65534, 65535, 65536, 70000)
SIZES: tuple[Callable[[int], int], ...] = (
    *[lambda some: some & 15] * 880,
    *[lambda some: some & 63] * 110,
    *[lambda some: some & 255] * 29,
    *[lambda some: some & 2047] * 4,
    lambda some: EDGES[some % len(EDGES)],
)
NODE_ID_LENGTHS = (16, 16, 16, 16, 17, 18, 19, 20)
CODES_WITHOUT_STRUCT = (0x5, 0x6, 0xB, 0xC, 0x1B, 0x1C, 0x1F, 0x20, 0x23, 0x24, 0x25, 0x26, 0x27, 0x7FFE, 0x7FFF)


class RandomMessages:
    """Messages and structures of overlays with KINDS; what comes is decided by `random` alone.

    node_id_length is that of the value made last.
    """

    def __init__(self, random: Random) -> None:
        self.bits = random.getrandbits
        self.node_id_length = 16
        self._bytes = random.randbytes((1 << 16) + EDGES[-1])  # every opaque value is cut out of these
        self._bodies: tuple[tuple[int, Callable[[], m.Body]], ...] = (
            (0x1, lambda: m.ProbeReq(self.few(self.code_point))),
            (0x2, lambda: m.ProbeAns(self.few(self.probe_information))),
            (0x3, self.attach),
            (0x4, self.attach),
            (0x7, lambda: m.StoreReq(self.resource_id(), self.bits(8), self.few(self.store_kind_data))),
            (0x8, lambda: m.StoreAns(self.few(self.store_kind_response))),
            (0x9, lambda: m.FetchReq(self.resource_id(), self.few(self.specifier))),
            (0xA, lambda: m.FetchAns(self.few(self.fetch_kind_response))),
            (0xD, lambda: m.FindReq(self.resource_id(), self.few(self.kind))),
            (0xE, lambda: m.FindAns(self.few(lambda: m.FindKindData(self.kind(), self.resource_id())))),
            (0xF, lambda: m.JoinReq(self.node_id(), self.opaque())),
            (0x10, lambda: m.JoinAns(self.opaque())),
            (0x11, lambda: m.LeaveReq(self.node_id(), self.opaque())),
            (0x12, m.LeaveAns),
            (0x13, self.update),
            (0x14, m.UpdateAns),
            (0x15, lambda: m.RouteQueryReq(self.boolean(), self.destination(), self.opaque())),
            (0x16, lambda: m.RouteQueryAns(self.node_id())),
            (0x17, lambda: m.PingReq(self.opaque())),
            (0x18, lambda: m.PingAns(self.u64(), self.u64())),
            (0x19, lambda: m.StatReq(self.resource_id(), self.few(self.specifier))),
            (0x1A, lambda: m.StatAns(self.few(self.stat_kind_response))),
            (0x1D, self.app_attach),
            (0x1E, self.app_attach),
            (0x21, self.config_update),
            (0x22, m.ConfigUpdateAns),
            (0xFFFF, lambda: m.ErrorResponse(self.u16(), self.opaque())),
        )
        self._structures: tuple[Callable[[], m.Body], ...] = (
            lambda: m.ChordLeaveData(1 + self.bits(1), self.few(self.node_id)),
            lambda: m.UnknownKinds(self.few(self.kind)),
            lambda: m.TurnServer(self.bits(8), self.address()),
            self.location,
            lambda: self.header(0x80000000 | self.bits(31)),
        )

    # --- what is asked for ------------------------------------------------------------------------

    def message(self) -> m.Message:
        """A whole message of any code."""
        self.node_id_length = NODE_ID_LENGTHS[self.bits(3)]
        which = self.bits(16) % (len(self._bodies) + 1)
        code: int
        body: m.Body | bytes
        if which < len(self._bodies):
            code, make = self._bodies[which]
            body = make()
        else:
            code, body = CODES_WITHOUT_STRUCT[self.bits(16) % len(CODES_WITHOUT_STRUCT)], self.opaque()
        header = self.header(0xC0000000 | self.bits(6) << 24)
        return m.Message(header, code, body, self.few(self.extension), self.security_block())

    def structure(self) -> m.Body:
        """One that travels inside an opaque field, or a forwarding header alone, of a fragment too."""
        self.node_id_length = NODE_ID_LENGTHS[self.bits(3)]
        return self._structures[self.bits(16) % len(self._structures)]()

    # --- 6.3.1 ------------------------------------------------------------------------------------

    def boolean(self) -> bool:
        return self.bits(1) == 1

    def code_point(self) -> int:
        return 1 + self.bits(16) % 255

    def u16(self) -> int:
        return self.bits(16) >> self.bits(4)

    def u32(self) -> int:
        return self.bits(32) >> self.bits(5)

    def u64(self) -> int:
        return self.bits(64) >> self.bits(6)

    def few(self, make: Callable[[], T]) -> tuple[T, ...]:
        count = COUNTS[self.bits(6)]
        return tuple([make() for _ in range(count)]) if count else ()

    def cut(self, size: int) -> bytes:
        at = self.bits(16)
        return self._bytes[at : at + size]

    def opaque(self, most: int = 1 << 32) -> bytes:
        size = SIZES[self.bits(10)](self.bits(16))
        return self.cut(size if size < most else most)

    def node_id(self) -> bytes:
        return self.cut(self.node_id_length)

    def resource_id(self) -> bytes:
        return self.cut(16) if self.bits(2) else self.opaque(254)

    def kind(self) -> int:
        choice = self.bits(3)
        return KNOWN_KINDS[choice] if choice < len(KNOWN_KINDS) else self.u32()

    def address(self) -> m.IpAddressPort:
        choice = self.bits(3)
        if choice > 3:
            return m.IpAddressPort(1, self.cut(4), self.u16())
        if choice:
            return m.IpAddressPort(2, self.cut(16), self.u16())
        return m.IpAddressPort(3 + self.bits(16) % 253, self.opaque(255), 0)

    # --- 6.3.2 to 6.3.4 ---------------------------------------------------------------------------

    def destination(self) -> m.Destination:
        choice = self.bits(3)
        if choice > 3:
            return m.Destination(1, self.node_id())
        if choice == 3:
            return m.Destination(2, self.resource_id())
        if choice == 2:
            return m.Destination(3, self.opaque(254))
        if choice == 1:
            return m.Destination(3, bytes((0x80 | self.bits(7), self.bits(8))), True)
        return m.Destination(4 + self.bits(16) % 124, self.opaque(255))

    def option(self) -> m.ForwardingOption:
        return m.ForwardingOption(self.code_point(), self.bits(8), self.opaque())

    def header(self, fragment: int) -> m.ForwardingHeader:
        return m.ForwardingHeader(
            self.u32(),
            self.u16(),
            self.bits(8),
            self.u64(),
            self.few(self.destination),
            self.few(self.destination),
            self.few(self.option),
            self.u32(),
            fragment,
        )

    def extension(self) -> m.MessageExtension:
        return m.MessageExtension(1 + self.u16() % 0xFFFF, self.boolean(), self.opaque())

    def signature(self) -> m.Signature:
        choice = self.bits(2)
        identity = m.SignerIdentity(1 + (choice & 1), self.bits(8), self.opaque(255)) if choice else m.SignerIdentity(3)
        return m.Signature(self.bits(8), self.bits(8), identity, self.opaque())

    def security_block(self) -> m.SecurityBlock:
        return m.SecurityBlock(self.few(self.certificate), self.signature())

    def certificate(self) -> m.GenericCertificate:
        return m.GenericCertificate(self.bits(8), self.opaque())

    # --- 6.4.2, 6.5, 10 ---------------------------------------------------------------------------

    def update(self) -> m.UpdateReq:
        type_ = 1 + self.bits(8) % 3
        lists = {name: self.few(self.node_id) for name in reference.CHORD_LISTS[type_]}
        return m.UpdateReq(self.u32(), type_, **lists)

    def probe_information(self) -> m.ProbeInformation:
        type_ = self.bits(2)
        if type_:
            return m.ProbeInformation(type_, self.u32())
        return m.ProbeInformation(4 + self.bits(16) % 252, self.opaque(255))

    def candidate(self) -> m.IceCandidate:
        type_ = (1, 1, 2, 4)[self.bits(2)]
        return m.IceCandidate(
            self.address(),
            self.code_point(),
            self.opaque(255),
            self.u32(),
            type_,
            None if type_ == 1 else self.address(),
            self.few(self.ice_extension),
        )

    def ice_extension(self) -> m.IceExtension:
        return m.IceExtension(self.opaque(), self.opaque())

    def attach(self) -> m.AttachReqAns:
        words = self.opaque(255), self.opaque(255), self.opaque(255)
        return m.AttachReqAns(*words, self.few(self.candidate), self.boolean())

    def app_attach(self) -> m.AppAttachReqAns:
        application = 1 + self.u16() % 0xFFFF
        words = self.opaque(255), self.opaque(255)
        return m.AppAttachReqAns(*words, application, self.opaque(255), self.few(self.candidate))

    def config_update(self) -> m.ConfigUpdateReq:
        choice = self.bits(2)
        if choice > 1:
            return m.ConfigUpdateReq(1, self.opaque())
        if choice:
            return m.ConfigUpdateReq(2, b"", self.few(self.opaque))
        return m.ConfigUpdateReq(3 + self.bits(16) % 253, self.opaque())

    # --- 7 ----------------------------------------------------------------------------------------

    def data_value(self) -> m.DataValue:
        return m.DataValue(self.boolean(), self.opaque())

    def stored_data(self, model: DataModel | None) -> m.StoredData:
        value: m.StoredDataValue
        if model is None:
            return m.StoredData(self.u64(), self.u32(), self.opaque())
        if model == DataModel.SINGLE:
            value = self.data_value()
        elif model == DataModel.ARRAY:
            value = m.ArrayEntry(self.u32(), self.data_value())
        else:
            value = m.DictionaryEntry(self.opaque(), self.data_value())
        return m.StoredData(self.u64(), self.u32(), value, self.signature())

    def stored_meta_data(self, model: DataModel | None) -> m.StoredMetaData:
        metadata: m.MetaDataValue
        if model is None:
            metadata = self.opaque()
        else:
            metadata = m.MetaData(self.boolean(), self.u32(), self.bits(8), self.opaque(255))
            if model == DataModel.ARRAY:
                metadata = m.ArrayEntryMeta(self.u32(), metadata)
            elif model == DataModel.DICTIONARY:
                metadata = m.DictionaryEntryMeta(self.opaque(), metadata)
        return m.StoredMetaData(self.u64(), self.u32(), metadata)

    def of_a_kind(self, cls: Callable[[int, int, Any], T], make: Callable[[DataModel | None], object]) -> T:
        kind = self.kind()
        model = KINDS.get(kind)
        return cls(kind, self.u64(), self.few(lambda: make(model)))

    def store_kind_data(self) -> m.StoreKindData:
        return self.of_a_kind(m.StoreKindData, self.stored_data)

    def fetch_kind_response(self) -> m.FetchKindResponse:
        return self.of_a_kind(m.FetchKindResponse, self.stored_data)

    def stat_kind_response(self) -> m.StatKindResponse:
        return self.of_a_kind(m.StatKindResponse, self.stored_meta_data)

    def store_kind_response(self) -> m.StoreKindResponse:
        return m.StoreKindResponse(self.u32(), self.u64(), self.few(self.node_id))

    def specifier(self) -> m.StoredDataSpecifier:
        kind = self.kind()
        model = KINDS.get(kind)
        choice: tuple[m.ArrayRange, ...] | tuple[bytes, ...] | bytes | None
        if model is None:
            choice = self.opaque()
        elif model == DataModel.SINGLE:
            choice = None
        elif model == DataModel.ARRAY:
            choice = self.few(lambda: m.ArrayRange(self.u32(), self.u32()))
        else:
            choice = self.few(self.opaque)
        return m.StoredDataSpecifier(kind, self.u64(), choice)

    # --- XEP-0415 ---------------------------------------------------------------------------------

    def location(self) -> m.XmppLocation:
        choice = self.bits(2)
        if choice == 0:
            return m.XmppLocation(1, self.opaque())
        if choice == 1:
            return m.XmppLocation(3 + self.bits(16) % 253, self.opaque())
        return m.XmppLocation(2, b"", self.bits(8), self.few(self.destination))
