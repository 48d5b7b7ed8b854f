"""Damaged messages by the million, most of them damaged behind the first checks.

Either the bytes of a message are taken apart where its lengths say, one part is edited or exchanged, and the parts are
put together with true lengths; or the contents of any vector are edited while the reference encodes the message. What
refuses the mutant, if anything does, is then the parser of just that part.
"""

from collections.abc import Mapping
from random import Random

import msgspec

from tests.reference import codec as reference
from tests.reference.random_messages import KINDS, NODE_ID_LENGTHS
from xor_fast.messages import Body, Code, DataModel, Destination, Message

HEADER_FIELDS = {"overlay": (4, 4), "configuration_sequence": (8, 2), "version": (10, 1), "ttl": (11, 1),
                 "fragment": (12, 4), "transaction_id": (20, 8), "max_response_length": (28, 4)}  # fmt: skip
FIELDS = tuple(HEADER_FIELDS.values())
CODES = tuple(int(code) for code in Code)
EDGES = (0, 1, 2, 3, 4, 6, 16, 18, 127, 128, 254, 255)
INTEGERS = (-1, 0, 1, 2, 3, 4, 255, 256, 65535, 65536, (1 << 31) - 1, 1 << 31, 3 << 30, (1 << 32) - 1, 1 << 32,
            (1 << 64) - 1, 1 << 64)  # fmt: skip
SIZES = (0, 0, 0, 1, 2, 15, 21, 253, 254, 255, 256, 300, 65535, 65536)  # no other length of a Node-ID
OTHER_KINDS: tuple[Mapping[int, DataModel], ...] = (
    {},
    {kind: DataModel(model % 3 + 1) for kind, model in KINDS.items()},
    {1: DataModel.SINGLE},
)
# fixed header, via list, destination list, options, code, body, extensions, certificates, signature
FIXED, CODE, BODY = 0, 4, 5
LENGTHS_AFTER = {5: 4, 6: 4, 7: 2}  # part -> width of the length that stands before it, behind the header
PLACES = (0, 1, 1, 2, 2, 3, 3, 4, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 6, 6, 7, 7, 8, 8, 8)


def parts_of(data: bytes) -> list[bytes]:
    """The parts of a valid message."""
    lists = [int.from_bytes(data[at : at + 2], "big") for at in (32, 34, 36)]
    parts, at = [data[:38]], 38
    for size in (*lists, 2):
        parts.append(data[at : at + size])
        at += size
    for width in LENGTHS_AFTER.values():
        size = int.from_bytes(data[at : at + width], "big")
        parts.append(data[at + width : at + width + size])
        at += width + size
    return [*parts, data[at:]]


def joined(parts: list[bytes], wrong: int = 0, by: int = 0) -> bytes:
    """The parts as a message; the length of part `wrong` is off by `by` (0: the length of the whole message)."""
    sizes = [len(part) + (by if number == wrong else 0) for number, part in enumerate(parts)]
    list_lengths = b"".join((size % 65536).to_bytes(2, "big") for size in sizes[1:4])
    contents = b"".join(
        (sizes[number] % 256**width).to_bytes(width, "big") + parts[number] for number, width in LENGTHS_AFTER.items()
    )
    rest = b"".join((*parts[1:BODY], contents, parts[-1]))
    length = 38 + len(rest) + (by if wrong == FIXED else 0)
    fixed = parts[FIXED]
    return b"".join((fixed[:16], length.to_bytes(4, "big"), fixed[20:32], list_lengths, rest))


class Mutants:
    """What comes is decided by `random`, and by the messages given before (they are spliced)."""

    def __init__(self, random: Random) -> None:
        self.bits = random.getrandbits
        self.bytes = random.randbytes
        self._last: list[bytes] = []

    def overlay(self, node_id_length: int) -> tuple[int, Mapping[int, DataModel]]:
        """Mostly the overlay the message was made for; now and then another."""
        if self.bits(4):
            return node_id_length, KINDS
        choice = self.bits(8)
        if choice & 1:
            return NODE_ID_LENGTHS[choice >> 5], KINDS
        return node_id_length, OTHER_KINDS[choice % len(OTHER_KINDS)]

    def of_message(self, data: bytes) -> bytes:
        """`data`, a valid message, damaged."""
        choice = self.bits(6)
        if choice < 4:
            return self.edited(data)
        parts = parts_of(data)
        wrong = by = 0
        if choice < 12:
            wrong, by = self.bits(8) % (len(parts) - 1), 1 - 2 * self.bits(1)
            wrong = 0 if wrong == CODE else wrong
        elif choice < 18 and self._last:
            which = PLACES[self.bits(16) % len(PLACES)]
            self._last, parts[which] = list(parts), self._last[which]
            return joined(parts)
        else:
            for _ in range(1 + (choice > 56)):
                which = PLACES[self.bits(16) % len(PLACES)]
                parts[which] = self.edited_part(which, parts[which])
        self._last = parts
        return joined(parts, wrong, by)

    def of_encoding(self, value: Body, data: bytes) -> bytes:
        """`data`, which is `value` encoded, with one or some of its vectors damaged inside."""
        reference.inside_of_a_vector = self._edited_one_in_eight
        try:
            return reference.encode_struct(value)
        except reference.Invalid:  # longer than its length field
            return data
        finally:
            reference.inside_of_a_vector = reference.undamaged

    def _edited_one_in_eight(self, inside: bytes) -> bytes:
        return inside if self.bits(3) else self.edited(inside)

    def edited_part(self, which: int, part: bytes) -> bytes:
        if which == FIXED:
            at, width = FIELDS[self.bits(8) % len(FIELDS)]
            return part[:at] + self.bytes(width) + part[at + width :]
        if which == CODE:
            return CODES[self.bits(8) % len(CODES)].to_bytes(2, "big") if self.bits(3) else self.bytes(2)
        return self.edited(part)

    def edited(self, data: bytes) -> bytes:
        """A few bytes changed, taken out or put in."""
        if not data:
            return self.bytes(1 + self.bits(2))
        choice, at, few = self.bits(4), self.bits(32) % len(data), 1 + self.bits(3)
        head, byte, tail = data[:at], data[at], data[at + 1 :]
        if choice < 4:  # a bit
            return b"%b%c%b" % (head, byte ^ 1 << self.bits(3), tail)
        if choice < 7:  # one more or one less
            return b"%b%c%b" % (head, (byte + 1 - 2 * self.bits(1)) % 256, tail)
        if choice < 10:
            return b"%b%c%b" % (head, EDGES[self.bits(8) % len(EDGES)], tail)
        if choice < 12:  # longer or shorter, and the byte before, perhaps a length, says so
            other = byte + few - 4 if self.bits(1) else EDGES[self.bits(8) % len(EDGES)]
            if 0 <= other <= byte:
                return b"%b%c%b" % (head, other, tail[byte - other :])
            return b"%b%c%b%b" % (head, other % 256, self.bytes(abs(other - byte)), tail)
        if choice == 12:
            return head + data[at + few :]
        if choice == 13:
            return head + self.bytes(few) + data[at:]
        if choice == 14:  # cut, with nothing behind or with empty vectors
            return head + bytes(self.bits(3))
        return head + data[at : at + 32] + data[at:]  # something twice

    def of_value(self, value: Body) -> Body:
        """The value with one field, of it or of a value inside, at the edge of what the field can be, or beyond."""
        names = value.__struct_fields__
        if not names:
            return value
        name = "body" if isinstance(value, Message) and self.bits(1) else names[self.bits(16) % len(names)]
        edited = msgspec.structs.replace(value, **{name: self.edited_member(getattr(value, name))})
        # Not another structure under the same bytes (its body is none of the code), and no Node-ID of another length
        # beside those of the overlay: both are mistakes that only the fast codec's caller can make.
        made_a_node = isinstance(edited, Destination) and edited.type == 1 and name == "type"
        return value if name == "code" or made_a_node else edited

    def edited_member(self, value: object) -> object:
        if isinstance(value, Body):
            return self.of_value(value)
        if isinstance(value, bool):
            return not value
        if isinstance(value, int):
            return INTEGERS[self.bits(16) % len(INTEGERS)]
        if isinstance(value, bytes):
            return self.bytes(SIZES[self.bits(16) % len(SIZES)])
        if isinstance(value, tuple) and value:
            at = self.bits(16) % len(value)
            return (*value[:at], self.edited_member(value[at]), *value[at + 1 :]) if self.bits(3) else ()
        return value
