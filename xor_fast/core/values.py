"""What a peer holds of a stored value: the bytes that were signed and the certificates that prove them (RFC 6940 7).

The bytes are kept, passed on and served as they came; nothing is encoded anew. The lifetime alone runs down (7.4.1.1),
and an appended array entry gets its index (7.4.1.1); neither is covered by the signature.
"""

from xor_fast import limits
from xor_fast.cext import codec
from xor_fast.messages import (
    ArrayEntry,
    Body,
    CertificateType,
    DataModel,
    DataValue,
    DictionaryEntry,
    GenericCertificate,
    StoredData,
)

APPEND = 0xFFFFFFFF  # the index of an entry that goes to the end of its array (7.4.1.1)
_ENTRIES = (DictionaryEntry, ArrayEntry)
FINAL = 0xFFFFFFFF  # in a range: the last entry of the array (7.4.2.1)


def data_value(data: StoredData) -> DataValue:
    value = data.value
    if isinstance(value, _ENTRIES):
        return value.value
    assert isinstance(value, DataValue)
    return value


def key_of(data: StoredData) -> bytes:
    """Where a value lies within its Kind, so that the order of keys is that of places: the dictionary key, the index of
    an array entry in four bytes, nothing for a single value."""
    value = data.value
    if isinstance(value, DictionaryEntry):
        return value.key
    return index_key(value.index) if isinstance(value, ArrayEntry) else b""


def index_key(index: int) -> bytes:
    return index.to_bytes(4, "big")


def index_of(key: bytes) -> int:
    return int.from_bytes(key, "big")


class Chain:
    """The certificates that whoever gets a value needs to believe it: the signer's and its intermediates (6.3.4, notes
    3.11). One for all values of a signer. digest: SHA-256 of the signer's. values: how many need it."""

    __slots__ = ("certificates", "digest", "user_name", "values")

    def __init__(self, digest: bytes, ders: tuple[bytes, ...], user_name: bytes) -> None:
        self.digest: bytes = digest
        self.certificates: tuple[GenericCertificate, ...] = tuple(
            GenericCertificate(CertificateType.X509, der) for der in ders
        )
        self.user_name: bytes = user_name
        self.values: int = 0

    @property
    def size(self) -> int:
        return sum(len(certificate.certificate) for certificate in self.certificates)


class Held:
    """One stored value. Times are monotonic seconds.

    signed: StoredDataValue and Signature, as they came. By `Replication`: copies, marks of the peers that confirmed
    this very value; keeper, the mark of one that is known to have it too if it is not ours (0: of none)."""

    __slots__ = ("chain", "copies", "exists", "expires", "keeper", "key", "signed", "storage_time")

    def __init__(self, data: StoredData, signed: bytes, chain: Chain, now: float) -> None:
        self.key: bytes = key_of(data)
        self.exists: bool = data_value(data).exists
        self.storage_time: int = data.storage_time
        self.expires: float = now + min(data.lifetime, limits.MAX_LIFETIME)  # 7: from the receipt, by our own clock
        self.signed: bytes = signed
        self.chain: Chain = chain
        self.copies: tuple[int, ...] = ()
        self.keeper: int = 0

    def put_at(self, index: int) -> None:
        """An array entry gets its place. The signature does not cover it (7.4.2.2)."""
        self.key = index_key(index)
        self.signed = self.key + self.signed[4:]

    def is_older(self, data: StoredData, now: float) -> bool:
        """The other takes its place (7.4.1.1)."""
        return self.storage_time < data.storage_time or self.expires <= now

    def passed_on(self, now: float) -> StoredData | None:
        """As it is handed to another: the lifetime less the time it lay here (7.4.1.1). None once it is over."""
        left = int(self.expires - now)  # rounded down: no chain of hands makes a value live longer
        return StoredData(self.storage_time, left, self.signed) if left > 0 else None

    def served(self, now: float) -> StoredData | None:
        """As a Fetch gives it: to the end of its lifetime, with the seconds left. None once it is over."""
        if self.expires <= now:
            return None
        return StoredData(self.storage_time, max(1, int(self.expires - now)), self.signed)

    def value(self, model: DataModel) -> bytes:
        """What its writer stored, without anything around it (7.2)."""
        start = {DataModel.SINGLE: 0, DataModel.ARRAY: 4, DataModel.DICTIONARY: 2 + len(self.key)}[model] + 5
        return self.signed[start : start + int.from_bytes(self.signed[start - 4 : start], "big")]

    def is_value(self, data: StoredData) -> bool:
        """The very same value, signed again or not."""
        encoded = codec.encode_struct(data.value) if isinstance(data.value, Body) else data.value
        # The encoding of a value tells where it ends, so what begins like it is it. An index is no part of it.
        start = len(self.key) if isinstance(data.value, ArrayEntry) else 0
        return self.storage_time == data.storage_time and self.signed[start:].startswith(encoded[start:])

    @property
    def size(self) -> int:
        """Of its own, without the certificates that it shares."""
        return len(self.signed) + limits.VALUE_OVERHEAD


class Shelf:
    """All values of one Kind at one Resource-ID, by key (`key_of`).

    staged: accepted, on their way to the disk, and shown to nobody until they are there.
    next_generation: the counter once all of these are there."""

    __slots__ = ("empty_since", "existing", "generation", "kind", "next_generation", "resource", "staged", "values")

    def __init__(self, resource: bytes, kind: int) -> None:
        self.resource: bytes = resource
        self.kind: int = kind
        self.values: dict[bytes, Held] = {}
        self.staged: dict[bytes, Held] = {}
        self.generation: int = 0
        self.next_generation: int = 0
        self.existing: int = 0  # values that are there and say so
        self.empty_since: float = 0.0  # when the last value went

    def newest(self, key: bytes) -> Held | None:
        """What is there, or about to be."""
        return self.staged.get(key) or self.values.get(key)

    def then(self, changes: list[Held]) -> tuple[int, int]:
        """(keys, values that exist) once all staged ones and these are there."""
        keys, existing = len(self.values), self.existing
        for key, held in (self.staged | {held.key: held for held in changes}).items():
            there = self.values.get(key)
            keys += there is None
            existing += held.exists - (there is not None and there.exists)
        return keys, existing

    def has_value(self, now: float) -> bool:
        """One that exists: neither removed nor over."""
        return self.existing > 0 and any(held.exists and held.expires > now for held in self.values.values())

    def unstage(self, changes: list[Held]) -> None:
        for held in changes:
            if self.staged.get(held.key) is held:
                del self.staged[held.key]
        if not self.staged:
            self.next_generation = self.generation
            if changes:
                self.staged = {}  # an empty one that was never filled takes a third of the room, and most are
