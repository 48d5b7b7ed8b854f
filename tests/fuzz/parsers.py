"""One fuzz target per parser: a function of settings (0 to 255) and bytes, whose docstring's first line is its promise.

Every promise has the same frame: the parser gives a value that keeps the promise, or raises one of ALLOWED. Anything
else is a bug: another exception, and what driver.c watches: a crash, a hang, too much memory. Functions that parse a
peer's bytes are called through `measured`, which is the driver's gauge under `make fuzz`.
Compiled by Cython for `make fuzz`; plain Python in test_fuzz.py.
"""

import hashlib
import itertools
import struct
from collections.abc import Callable
from typing import Any

from xor_fast import messages
from xor_fast.cext import codec, ids, wire
from xor_fast.cext.ring import Ring
from xor_fast.cext.switch import Switch, ViaLists
from xor_fast.errors import WireError
from xor_fast.messages import Code, DataModel

try:
    from gauge import measured  # of driver.c
except ImportError:

    def measured(function: Callable[..., Any], *arguments: Any) -> Any:
        return function(*arguments)


ALLOWED = (WireError,)

Promise = Callable[[int, bytes], object]
"""What it returns says for the statistics whether the input was taken (anything but None)."""

# Kinds of every data model; any other Kind-ID is unknown. Small numbers are found by the fuzzer, the others are real.
KINDS: dict[int, DataModel] = {
    1: DataModel.SINGLE,  # SIP-REGISTRATION has 1, in the RFC a dictionary: nothing here depends on it
    2: DataModel.ARRAY,  # TURN-SERVICE is a single value, CERTIFICATE_BY_NODE an array
    3: DataModel.DICTIONARY,
    16: DataModel.ARRAY,
    1000: DataModel.SINGLE,
    1001: DataModel.ARRAY,
    1002: DataModel.DICTIONARY,
    0xF0000001: DataModel.DICTIONARY,
}


def overlay_of(settings: int) -> tuple[int, dict[int, DataModel] | None]:
    """node-id-length of 16 to 20, and with every second block of five no known Kind."""
    return 16 + settings % 5, None if settings // 5 % 2 else KINDS


# --- codec ------------------------------------------------------------------------------------------


def decode_message(settings: int, data: bytes) -> object:
    """A whole message is encoded back to the same bytes."""
    try:
        message = measured(codec.decode_message, data, *overlay_of(settings))
    except ALLOWED:
        return None
    assert codec.encode_message(message) == data, message
    return message


def stored_as_signed(settings: int, data: bytes) -> object:
    """The values of any Store or answer to a Fetch that decodes are found, and encode to the very bytes that came."""
    try:
        found = measured(codec.stored_as_signed, data)
    except ALLOWED:
        found = None
    try:
        message = codec.decode_message(data, overlay_of(settings)[0])
    except ALLOWED:
        return found
    if isinstance(message.body, messages.StoreReq | messages.FetchAns):
        body = message.body
        kinds = body.kind_data if isinstance(body, messages.StoreReq) else body.kind_responses
        assert found == tuple(stored.value for kind in kinds for stored in kind.values)
    else:
        assert found is None
    return found


def signature_input(settings: int, data: bytes) -> object:
    """What a signature covers is cut from the message: found in any message that decodes, and never longer than it."""
    try:
        covered = measured(codec.signature_input, data)
    except ALLOWED:
        covered = None
    try:
        message = codec.decode_message(data, *overlay_of(settings))
    except ALLOWED:
        assert covered is None or len(covered) <= len(data)
        return covered
    assert covered is not None, "a message decodes, yet nothing of it can be signed"
    contents = codec.encode_contents(message.code, message.body, message.extensions)
    identity = codec.encode_struct(message.security.signature.identity)
    header = struct.pack(">IQ", message.header.overlay, message.header.transaction_id)
    assert covered == header + contents + identity
    return covered


def body_target(code: int) -> Promise:
    def body(settings: int, data: bytes) -> object:
        """The body of a message with this code is encoded back to the same bytes."""
        try:
            value = measured(codec.decode_body, code, data, *overlay_of(settings))
        except ALLOWED:
            return None
        assert codec.encode_body(code, value) == data, value
        return value

    return body


def struct_target(cls: type[messages.Body]) -> Promise:
    def structure(settings: int, data: bytes) -> object:
        """This structure, where it fills the bytes, is encoded back to the same bytes."""
        try:
            value = measured(codec.decode_struct, cls, data, *overlay_of(settings))
        except ALLOWED:
            return None
        assert type(value) is cls
        assert codec.encode_struct(value) == data, value
        return value

    return structure


def piece_size(settings: int, data: bytes) -> int:
    """1 to 32 bytes; more of a long input, so that no input takes much longer than the others."""
    return max(1 + settings % 32, len(data) // 64)


# --- forwarding header and frames -------------------------------------------------------------------

FIXED = struct.Struct(">IIHBBIIQIHHH")


def peek(settings: int, data: bytes) -> object:
    """The header's fields are those of the bytes, and its lists lie within them."""
    try:
        view = measured(wire.peek, data)
    except ALLOWED:
        return None
    token, overlay, sequence, version, ttl, fragment, length, transaction, most, via, destination, options = (
        FIXED.unpack_from(data)
    )
    assert token == messages.RELO_TOKEN
    assert (view.overlay, view.configuration_sequence, view.version, view.ttl) == (overlay, sequence, version, ttl)
    assert (view.fragment, view.length, view.transaction_id) == (fragment, length, transaction)
    assert view.max_response_length == most
    assert view.header_size == FIXED.size + via + destination + options <= len(data)
    assert view.via_list + view.destination_list + view.options == data[FIXED.size : view.header_size]
    assert (len(view.via_list), len(view.destination_list)) == (via, destination)
    return view


def rewrite(settings: int, data: bytes) -> object:
    """A forwarded message differs from what came in ttl, length, one via entry and the destinations taken off."""
    node_id = bytes([settings]) * (16 + settings % 5) if settings & 8 else None
    strip = settings >> 6
    try:
        forwarded = measured(wire.rewrite, data, settings, node_id, strip)
    except ALLOWED:
        return None
    before, after = wire.peek(data), wire.peek(forwarded)
    added = b"" if node_id is None else bytes([1, len(node_id)]) + node_id
    stripped = 0
    for _ in range(strip):
        stripped += 2 if before.destination_list[stripped] & 0x80 else 2 + before.destination_list[stripped + 1]
    assert after.destination_list == before.destination_list[stripped:]
    assert after.via_list == before.via_list + added
    assert after.options == before.options
    assert after.ttl == settings
    assert after.length == len(forwarded) == len(data) + len(added) - stripped
    assert forwarded[after.header_size :] == data[before.header_size :]
    assert forwarded[:11] + forwarded[12:16] + forwarded[20:32] == data[:11] + data[12:16] + data[20:32]
    return forwarded


def split_frames(settings: int, data: bytes) -> object:
    """Whole, or in pieces of any size, the same frames; encoded back they are the same bytes."""
    try:
        frames, whole = measured(wire.split_frames, data)
    except ALLOWED:
        frames = None
    step, rest, found = piece_size(settings, data), b"", []
    try:
        for start in range(0, len(data), step):
            rest += data[start : start + step]
            some, used = wire.split_frames(rest)
            found += some
            rest = rest[used:]
    except ALLOWED:
        assert frames is None, "refused in pieces, taken whole"
        return None
    assert frames is not None, "taken in pieces, refused whole"
    assert (found, rest) == (frames, data[whole:])
    encoded = [wire.data_frame(n, x) if kind == 128 else wire.ack_frame(n, x) for kind, n, x in frames]
    assert b"".join(encoded) == data[:whole]
    return frames


# --- the data plane ---------------------------------------------------------------------------------

FIXED_SIZE = 38  # of the forwarding header, which ends with the lengths of its three lists
ANSWER = bytes([0, 0x18]) + bytes(8)
OWN, BEFORE, BEHIND, CLIENT = (bytes([n]) * 16 for n in (0x50, 0x20, 0x80, 0x48))


def node(via_lists: ViaLists = ViaLists.WHOLE) -> Switch:
    """A node with two peers. The bounds are small, to be reached."""
    ring = Ring(OWN)
    ring.joined = True
    ring.add(BEFORE)
    ring.add(BEHIND)
    return Switch(ring, 1, max_message_size=300, via_lists=via_lists, secret=bytes(32))


FIRST, SECOND = node(), node()  # kept, since making one takes longer than all that is done with it


def with_links(switch: Switch) -> int:
    """Fresh links to both peers and to a client; the one that bytes come from."""
    for link in switch.links():
        switch.close_link(link)
    switch.take_inbox()
    source = switch.open_link(0.0, BEFORE)
    switch.open_link(0.0, BEHIND)
    switch.open_link(0.0, CLIENT)
    return source


def outcome(switch: Switch, is_sound: bool) -> tuple[Any, ...]:
    counters = switch.counters
    del counters["bytes_in"]  # behind a fault those of the same read are counted, whatever its size
    return is_sound, counters, switch.take_inbox(), switch.sends()


def receive(settings: int, data: bytes) -> object:
    """Bytes of a link, whole or in pieces of any size: the same inbox, the same bytes out, the same counters."""
    source = with_links(FIRST)
    whole = outcome(FIRST, measured(FIRST.receive, 1.0, source, data))
    source = with_links(SECOND)
    step, is_sound = piece_size(settings, data), True
    for start in range(0, len(data), step):
        is_sound = SECOND.receive(1.0, source, data[start : start + step])
        if not is_sound:
            break
    assert outcome(SECOND, is_sound) == whole
    for _, out in whole[3]:  # whatever leaves is whole frames, with sound headers
        frames, used = wire.split_frames(out)
        assert used == len(out)
        for kind, _, message in frames:
            assert kind == 129 or wire.peek(message).length == len(message)
    return whole if whole[0] else None


def one_message(settings: int, data: bytes) -> object:
    """A message within a sound frame is counted as one thing; only one that is far too large ends the link."""
    source = with_links(FIRST)
    before = FIRST.counters
    assert measured(FIRST.receive, 1.0, source, wire.data_frame(settings, data)) or len(data) > 300
    after = FIRST.counters
    changed = {name: after[name] - n for name, n in before.items() if after[name] != n}
    fates = {name: n for name, n in changed.items() if name.startswith("drop_") or name in ("delivered", "forwarded")}
    assert list(fates.values()) == [1], changed
    assert [r.message for r in FIRST.take_inbox()] in ([], [data])
    return "delivered" in fates or "forwarded" in fates or None


def originate(settings: int, data: bytes) -> object:
    """An own message that cannot be sent is refused or counted; one that is sent leaves as it is."""
    source = with_links(FIRST)
    try:
        measured(FIRST.originate, 1.0, data, source if settings & 1 else -1)
        FIRST.first_hop(data)
    except ALLOWED:
        return None
    for _, out in FIRST.sends():
        frames, used = wire.split_frames(out)
        assert used == len(out)
        assert len(frames) == 1
        assert len(frames[0][2]) <= len(data)
    return data


def entries(encoded: bytes) -> list[bytes]:
    """Of a list that a switch has passed on."""
    found = []
    while encoded:
        size = 2 if encoded[0] & 0x80 else 2 + encoded[1]
        found.append(encoded[:size])
        encoded = encoded[size:]
    return found


NODES = {via_lists: node(via_lists) for via_lists in ViaLists}
CLOCK = itertools.count(1)


def way_back(settings: int, data: bytes) -> object:
    """The answer to a request that was passed on goes back the way that came with it, whatever its via list became."""
    switch, now = NODES[ViaLists(settings % 3)], float(next(CLOCK))  # what is kept of the last 15 has not expired
    source = with_links(switch)
    measured(switch.receive, now, source, wire.data_frame(0, data))
    left = [(link, wire.split_frames(out)[0]) for link, out in switch.sends() if link != source]
    if len(left) != 1 or data[FIXED_SIZE - 2 : FIXED_SIZE] != bytes(2):
        return None  # with options it may be an answer's size; without it is the same as what is made here
    link, ((_, _, message),) = left[0]
    came, view = wire.peek(data), wire.peek(message)
    if view.via_list == came.via_list:
        return None  # an answer
    way = b"".join(reversed(entries(view.via_list)))
    answer = bytearray(message[: FIXED_SIZE - 6] + struct.pack(">HHH", 0, len(way), 0) + way + ANSWER)
    answer[11], answer[16:20] = 100, len(answer).to_bytes(4)
    switch.receive(now, link, wire.data_frame(0, bytes(answer)))
    back = [wire.split_frames(out)[0][-1][2] for to, out in switch.sends() if to == source]
    home = b"".join([b"\x01\x10" + BEFORE, *reversed(entries(came.via_list))])
    if FIXED_SIZE + len(home) + len(ANSWER) > switch.max_message_size:
        assert not back
    else:
        assert [wire.peek(whole).destination_list for whole in back] == [home]
    return back or None


# --- ids and the routing table ----------------------------------------------------------------------


def identifiers(settings: int, data: bytes) -> object:
    """Hashes are SHA-1's, and arithmetic on ids is that of the integers they stand for."""
    digest = hashlib.sha1(data, usedforsecurity=False).digest()
    assert measured(ids.resource_id, data) == digest[:16]
    assert measured(ids.overlay_hash, data) == int.from_bytes(digest[-4:])
    length = 16 + settings % 5
    if len(data) < 3 * length:
        return None
    a, x, b = data[:length], data[length : 2 * length], data[2 * length : 3 * length]
    n, m, k, turn = int.from_bytes(a), int.from_bytes(x), int.from_bytes(b), 1 << 8 * length
    assert int.from_bytes(measured(ids.distance, a, x)) == (m - n) % turn
    assert measured(ids.between, a, x, b) == (n == k or 0 < (m - n) % turn <= (k - n) % turn)
    exponent = settings % (8 * length)
    assert int.from_bytes(measured(ids.add_power, a, exponent)) == (n + (1 << exponent)) % turn
    assert int.from_bytes(measured(ids.successor_id, a)) == (n + 1) % turn
    return a


def ring(settings: int, data: bytes) -> object:
    """The routing table is a set of ids in order, whatever comes and goes; it finds what a search through all finds."""
    length = 16 + settings % 5
    table, known = Ring(bytes(length)), set[bytes]()
    for start in range(0, min(len(data), 30 * length) - length, length + 1):
        node_id = data[start + 1 : start + 1 + length]
        if not any(node_id):
            continue  # the own Node-ID
        if data[start] & 1:
            assert measured(table.remove, node_id) == (node_id in known)
            known.discard(node_id)
        else:
            assert measured(table.add, node_id) == (node_id not in known)
            known.add(node_id)
    in_order = sorted(known)
    assert list(table) == in_order
    target = data[-length:]
    if len(target) == length and any(target):
        assert measured(table.owner, target) == min((p for p in in_order if p >= target), default=bytes(length))
        assert measured(table.next_hop, target) in (known or {None})
        assert (table.successors(3), table.predecessors(3)) == (in_order[:3], in_order[:-4:-1])
    return table


# --- all of them ------------------------------------------------------------------------------------


def is_structure(cls: type[messages.Body]) -> bool:
    try:
        codec.decode_struct(cls, b"")
    except TypeError:
        return False
    except WireError:
        pass
    return True


STRUCTURES = sorted((cls for cls in messages.Body.__subclasses__() if is_structure(cls)), key=lambda cls: cls.__name__)
EXPERIMENTS = {Code.EXP_A_REQ, Code.EXP_A_ANS, Code.EXP_B_REQ}  # bytes, all four alike

ALONE = (
    decode_message,
    signature_input,
    stored_as_signed,
    peek,
    rewrite,
    split_frames,
    receive,
    one_message,
    originate,
    way_back,
    identifiers,
    ring,
)

TARGETS: dict[str, Promise] = {promise.__name__: promise for promise in ALONE}
TARGETS |= {f"body_{code.name.lower()}": body_target(code) for code in Code if code not in EXPERIMENTS}
TARGETS |= {f"struct_{cls.__name__}": struct_target(cls) for cls in STRUCTURES if cls is not messages.Message}
