"""Messages in pieces: cut for a link that carries no more at once, put together at their destination (RFC 6940 6.7).

Links over TLS need no fragments, so nothing here is sent in any; but other nodes may have links that do, and every node
takes what is addressed to it.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from xor_fast import limits
from xor_fast.cext import wire
from xor_fast.messages import FRAGMENT_LAST, FRAGMENT_OFFSET, FRAGMENT_WHOLE, VERSION

_VERSION_FIELD = 10  # of the forwarding header (6.3.2), as are the others
_FRAGMENT_FIELD = slice(12, 16)
_LENGTH_FIELD = slice(16, 20)


def _with_fields(header: bytes | bytearray, fragment: int, content: bytes) -> bytes:
    message = bytearray(header + content)
    message[_FRAGMENT_FIELD] = fragment.to_bytes(4, "big")
    message[_LENGTH_FIELD] = len(message).to_bytes(4, "big")
    return bytes(message)


def is_fragment(message: bytes) -> bool:
    """Of a message with a sound header: is it one piece of several?"""
    return int.from_bytes(message[_FRAGMENT_FIELD], "big") != FRAGMENT_WHOLE


def header_of(message: bytes) -> bytes:
    """The forwarding header alone, as ours would be: so a piece of a message can be answered, and another version whose
    lists have the lengths that they say (notes 1.16)."""
    header = bytearray(message[: wire.peek(message).header_size])
    header[_VERSION_FIELD] = VERSION
    return _with_fields(header, FRAGMENT_WHOLE, b"")


def cut(message: bytes, limit: int) -> list[bytes]:
    """The message, or a fragment of one, in pieces of equal size for a link that carries `limit` bytes at once.

    Each has the whole forwarding header. The pieces stay 32 bytes below the limit, for the via list to grow. Whole if
    it fits, and if a piece had no room for 256 bytes beside the header: then the message is left to IP (notes 1.18)."""
    view = wire.peek(message)
    header, content = message[: view.header_size], message[view.header_size :]
    room = limit - limits.FRAGMENT_SLACK - len(header)
    if len(message) <= limit or room < limits.MIN_FRAGMENT:
        return [message]
    count = -(-len(content) // room)
    size = max(-(-len(content) // count), limits.MIN_FRAGMENT)
    first, last = view.fragment & FRAGMENT_OFFSET, view.fragment & FRAGMENT_LAST
    return [
        _with_fields(
            header,
            FRAGMENT_WHOLE & ~FRAGMENT_LAST | first + at | (last if at + size >= len(content) else 0),
            content[at : at + size],
        )
        for at in range(0, len(content), size)
    ]


def _first_entry(entries: bytes) -> bytes:
    """Of a list that the switch has found sound: two bytes, or as many as its second byte says."""
    return entries[:2] if entries[:1] >= b"\x80" else entries[: 2 + entries[1]] if entries else b""


class _Key(NamedTuple):
    """What fragments of one message have in common (notes 1.17). start: of the via list, who made it; empty if the
    previous hop did."""

    link: int
    overlay: int
    transaction_id: int
    start: bytes


class _Set:
    """What has come of one message."""

    __slots__ = ("content", "header", "is_there", "missing", "size", "until")

    def __init__(self, until: float) -> None:
        self.header: bytes | None = None  # of the first fragment
        self.content = bytearray()
        self.is_there = bytearray()  # 1 for each byte of content that has come
        self.missing = 0
        self.size: int | None = None  # told by the last fragment
        self.until = until

    def put(self, at: int, piece: bytes) -> bool:
        """False: something else has come for the same place, so nobody can tell what the message is."""
        end = at + len(piece)
        grown = end - len(self.content)
        if grown > 0:
            self.content += bytes(grown)
            self.is_there += bytes(grown)
            self.missing += grown
        known = self.is_there[at:end]
        there = known.count(1)
        if there == len(piece):
            return self.content[at:end] == piece
        if there and any(new != old for new, old, k in zip(piece, self.content[at:end], known, strict=True) if k):
            return False
        self.missing -= len(piece) - there
        self.content[at:end] = piece
        self.is_there[at:end] = b"\1" * len(piece)
        return True


class Reassembly:
    """Fragments that wait for the rest of their message.

    lifetime: seconds until an incomplete message is given up (6.7: as long as a request lives). max_size: of a message.
    count(name): what is dropped.
    """

    def __init__(self, lifetime: float, max_size: int, count: Callable[[str], None]) -> None:
        self._lifetime = lifetime
        self._max_size = max_size
        self._count = count
        self._sets: OrderedDict[_Key, _Set] = OrderedDict()  # the oldest first
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._sets)

    def join(self, now: float, link: int, fragment: bytes) -> bytes | None:
        """A fragment addressed to us, its header checked by the switch: the whole message if this was its last missing
        piece. Whether it is what its sender signed, the signature shows, which is checked afterwards."""
        view = wire.peek(fragment)
        self._give_up_old(now)
        at, is_last = view.fragment & FRAGMENT_OFFSET, bool(view.fragment & FRAGMENT_LAST)
        piece = fragment[view.header_size :]
        key = _Key(link, view.overlay, view.transaction_id, _first_entry(view.via_list))
        known = self._sets.get(key) or self._new(now, key)
        if known is None:
            return None
        end = at + len(piece)
        before = len(known.content)
        is_sound = bool(piece) and view.header_size + end <= self._max_size
        if is_sound and is_last:
            is_sound = known.size in (None, end) and before <= end
            known.size = end
        if not is_sound or (known.size is not None and end > known.size) or not known.put(at, piece):
            self._count("drop_fragments_contradictory")
            self._bytes += len(known.content) - before
            self._forget(key)
            return None
        self._bytes += len(known.content) - before
        if at == 0 and known.header is None:
            known.header = fragment[: view.header_size]
        if known.size is None or known.missing or known.header is None:
            self._check_room(key)
            return None
        self._forget(key)
        self._count("messages_reassembled")
        return _with_fields(known.header, FRAGMENT_WHOLE, bytes(known.content))

    def _new(self, now: float, key: _Key) -> _Set | None:
        of_link = sum(other.link == key.link for other in self._sets)
        if len(self._sets) >= limits.MAX_REASSEMBLIES or of_link >= limits.MAX_REASSEMBLIES_PER_LINK:
            self._count("drop_fragments_no_room")  # 6.7: out of space, the message is dropped
            return None
        made = self._sets[key] = _Set(now + self._lifetime)
        return made

    def _check_room(self, key: _Key) -> None:
        of_link = sum(len(known.content) for other, known in self._sets.items() if other.link == key.link)
        if self._bytes > limits.MAX_REASSEMBLY_BYTES or of_link > limits.MAX_REASSEMBLY_BYTES_PER_LINK:
            self._count("drop_fragments_no_room")
            self._forget(key)

    def _give_up_old(self, now: float) -> None:
        while self._sets:
            key, oldest = next(iter(self._sets.items()))
            if oldest.until > now:
                return
            self._count("drop_fragments_incomplete")
            self._forget(key)

    def _forget(self, key: _Key) -> None:
        self._bytes -= len(self._sets.pop(key).content)
