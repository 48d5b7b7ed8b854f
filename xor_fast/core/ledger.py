"""What of a node's state is on its disk, as records, and how it comes back from there.

v  Resource-ID Kind-ID key    a value: when it ends by the wall clock, whose certificates, StoreKindData with the
                              generation counter and the value as it was signed
g  Resource-ID Kind-ID        a generation counter that no value has
c  SHA-256 of a certificate   that certificate, and its intermediates
w  Resource-ID Kind-ID key    storage_time and end of the value that we wrote there last (notes 5.18)
p                             where some other peers can be reached
"""

import struct
from collections.abc import Iterable
from ipaddress import ip_address
from math import ceil
from typing import TYPE_CHECKING, Annotated

import msgspec

from xor_fast import limits
from xor_fast.cext import codec
from xor_fast.core.durability import Done, Durability
from xor_fast.core.request import Refuse
from xor_fast.core.values import Chain, Held, Shelf
from xor_fast.errors import TrustError, WireError
from xor_fast.messages import CertificateType, GenericCertificate, StoredData, StoreKindData

if TYPE_CHECKING:
    from xor_fast.core.node import Node

_PLACE = struct.Struct(">16sI")
_VALUE = struct.Struct(">Q32s")
_NUMBER = struct.Struct(">Q")
_WRITTEN = struct.Struct(">QQ")
_NodeId = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
_Address = tuple[Annotated[str, msgspec.Meta(max_length=45)], Annotated[int, msgspec.Meta(ge=1, le=65535)]]
_Peers = list[tuple[_NodeId, Annotated[tuple[_Address, ...], msgspec.Meta(min_length=1)]]]


def _place_key(tag: bytes, resource: bytes, kind: int, key: bytes = b"") -> bytes:
    return tag + _PLACE.pack(resource, kind) + key


class Ledger:
    def __init__(self, node: "Node", has_disk: bool) -> None:
        self._node = node
        self.disk: Durability = Durability(node, has_disk, self._current)

    # --- what changes -----------------------------------------------------------------------------------

    def value(self, now: float, shelf: Shelf, held: Held, generation: int) -> None:
        if self.disk.has_disk:
            key = _place_key(b"v", shelf.resource, shelf.kind, held.key)
            self.disk.put(key, self._value_record(now, shelf, held, generation))

    def no_value(self, shelf: Shelf, key: bytes) -> None:
        """Its counter stays, and may be known by no other record."""
        if self.disk.has_disk:
            self.disk.put(_place_key(b"v", shelf.resource, shelf.kind, key), None)
            self.counter(shelf)

    def counter(self, shelf: Shelf) -> None:
        if self.disk.has_disk:
            generation = max(shelf.generation, shelf.next_generation)
            self.disk.put(_place_key(b"g", shelf.resource, shelf.kind), _NUMBER.pack(generation))

    def no_shelf(self, shelf: Shelf) -> None:
        self.disk.put(_place_key(b"g", shelf.resource, shelf.kind), None)

    def chain(self, chain: Chain) -> None:
        """Its certificates, as long as a value needs them."""
        self.disk.put(b"c" + chain.digest, self._chain_record(chain) if chain.values else None)

    def written(self, resource: bytes, kind: int, key: bytes, storage_time: int, ends_ms: int) -> None:
        if self.disk.has_disk:
            self.disk.put(_place_key(b"w", resource, kind, key), _WRITTEN.pack(storage_time, ends_ms))

    def peers(self) -> None:
        self.disk.put(b"p", self._peers_record())

    def after(self, now: float, done: Done) -> None:
        self.disk.after(now, done)

    # --- records ----------------------------------------------------------------------------------------

    def _value_record(self, now: float, shelf: Shelf, held: Held, generation: int) -> bytes:
        left = held.expires - now
        ends_ms = self._node.wall_ms(now) + int(left * 1000)
        data = StoredData(held.storage_time, ceil(left), held.signed)
        kind_data = StoreKindData(shelf.kind, generation, (data,))
        return _VALUE.pack(ends_ms, held.chain.digest) + codec.encode_struct(kind_data)

    def _chain_record(self, chain: Chain) -> bytes:
        return msgspec.msgpack.encode([certificate.certificate for certificate in chain.certificates])

    def _peers_record(self) -> bytes:
        return msgspec.msgpack.encode(list(self._node.topology.partition.peers.items()))

    def _current(self, now: float, key: bytes) -> bytes | None:
        tag, rest = key[:1], key[1:]
        shelves = self._node.storage.shelves
        if tag == b"c":
            chain = shelves.chain(rest)
            return self._chain_record(chain) if chain is not None else None
        if tag == b"p":
            return self._peers_record()
        resource, kind = _PLACE.unpack_from(rest)
        if tag == b"w":
            return _WRITTEN.pack(*self._node.writer.last((resource, kind, rest[_PLACE.size :])))
        shelf = shelves.get(resource, kind)
        if shelf is None:
            return None
        if tag == b"g":
            return _NUMBER.pack(shelf.generation)
        held = shelf.values.get(rest[_PLACE.size :])
        return self._value_record(now, shelf, held, shelf.generation) if held and held.expires > now else None

    # --- at the next start --------------------------------------------------------------------------------

    def restore(self, now: float, records: Iterable[tuple[bytes, bytes]]) -> int:
        """Take back what proves itself still; gives the number of values. records: in the order of their keys."""
        chains: dict[bytes, tuple[bytes, ...]] = {}
        needed: set[bytes] = set()
        kept = refused = 0
        for key, record in records:
            tag, rest = key[:1], key[1:]
            try:
                if tag == b"c":
                    chains[rest] = tuple(msgspec.msgpack.decode(record, type=list[bytes]))
                elif tag == b"g":
                    self._restore_counter(now, *_PLACE.unpack(rest), *_NUMBER.unpack(record))
                elif tag == b"v":
                    kept += self._restore_value(now, key, record, chains, needed)
                elif tag == b"w":
                    place = (*_PLACE.unpack_from(rest), rest[_PLACE.size :])
                    self._node.writer.remember(place, *_WRITTEN.unpack(record))
                elif tag == b"p":
                    self._restore_peers(record)
            except (struct.error, ValueError, WireError, TrustError, Refuse) as error:
                # Left where it is: a wrong clock, or another document, may be why it proves nothing today.
                self._node.count("restore_refused")
                refused += 1
                reason = str(error)
        if refused:
            text = f"{refused} records on the disk prove nothing and are not taken back, the last of them: {reason}"
            self._node.notice("warning", text)
        for digest in chains.keys() - needed:
            self.disk.put(b"c" + digest, None)
        return kept

    def _restore_peers(self, record: bytes) -> None:
        peers = msgspec.msgpack.decode(record, type=_Peers)[-limits.MAX_REMEMBERED :]
        for host, _ in (address for _, addresses in peers for address in addresses):
            ip_address(host)
        self._node.topology.partition.peers.update(peers)

    def _restore_counter(self, now: float, resource: bytes, kind: int, generation: int) -> Shelf:
        shelves = self._node.storage.shelves
        shelf = shelves.put_up(shelves.get(resource, kind) or Shelf(resource, kind))
        shelf.generation = shelf.next_generation = max(shelf.generation, generation)
        shelves.remember(now, shelf)
        return shelf

    def _restore_value(
        self, now: float, key: bytes, record: bytes, chains: dict[bytes, tuple[bytes, ...]], needed: set[bytes]
    ) -> bool:
        resource, kind = _PLACE.unpack_from(key, 1)
        ends_ms, digest = _VALUE.unpack_from(record)
        node = self._node
        left = (ends_ms - node.wall_ms(now)) / 1000
        encoded = record[_VALUE.size :]
        plain = codec.decode_struct(StoreKindData, encoded, node.overlay.node_id_length)
        if left <= 0:
            self.no_value(self._restore_counter(now, resource, kind, plain.generation_counter), key[1 + _PLACE.size :])
            node.count("values_expired")
            return False
        needed.add(digest)
        kind_data = codec.decode_struct(StoreKindData, encoded, node.overlay.node_id_length, node.kinds.models)
        (data,), (signed,) = kind_data.values, (data.value for data in plain.values)
        definition = node.kinds.get(kind)
        if definition is None or kind_data.kind != kind or not isinstance(signed, bytes):
            raise TrustError(f"Kind {kind} is not known here")
        bucket = [GenericCertificate(CertificateType.X509, der) for der in chains.get(digest, ())]
        signer = node.verify_value(now, resource, kind, data, bucket)
        if not node.kinds.permits(resource, definition, data, signer):
            raise TrustError(f"{definition.access_control}: its signer may not write it there")
        held = Held(data, signed, node.storage.shelves.chain_of(signer), now)
        if (held.key, held.chain.digest) != (key[1 + _PLACE.size :], digest):
            raise TrustError("a value stands at the place of another")  # which we could neither replace nor remove
        held.expires = min(held.expires, now + left)
        shelf = self._restore_counter(now, resource, kind, kind_data.generation_counter)
        node.storage.restored(now, definition, shelf, data, held)
        return True
