"""Messages in pieces (RFC 6940 6.7): cut by the rules, and put together at their destination whatever the order."""

import random
from itertools import permutations

import pytest

from tests.core.neighbours import Neighbours
from tests.core.outside import Outside, node
from tests.reference import wire as reference
from xor_fast import limits
from xor_fast.core.fragments import Reassembly, cut
from xor_fast.messages import Code, ForwardingOption, Message, PingReq

OPTION = bytes([9, 0, 0, 3]) + b"opt"
VIA = [reference.node(bytes([n]) * 16) for n in (1, 2)]
TO = [reference.node(bytes([n]) * 16) for n in (3, 4, 5)]
HEADER = 38 + 2 * 18 + 3 * 18 + len(OPTION)


def long_message(size: int) -> bytes:
    """As long as that in all, with two nodes on the via list, three destinations and an option."""
    rest = size - HEADER - 2 - 4 - 4
    return reference.message(TO, VIA, body=b"", rest=random.Random(size).randbytes(rest), option_list=OPTION)


def by_hand(message: bytes, *at: int) -> list[bytes]:
    """Fragments of a message, cut at these places of what follows its header: the reference's own way."""
    header = reference.peek(message)
    content = message[header.size :]
    found = []
    for start, end in zip((0, *at), (*at, len(content)), strict=True):
        field = 0x80000000 | start | (0x40000000 if end == len(content) else 0)
        piece = header.encode()[:12] + field.to_bytes(4, "big") + header.encode()[16:] + content[start:end]
        found.append(piece[:16] + len(piece).to_bytes(4, "big") + piece[20:])
    return found


@pytest.mark.req("fwd.option-on-fragments")
@pytest.mark.parametrize("size", [1401, 2000, 4000, 65536])
def test_each_piece_has_the_whole_header_and_its_share_of_the_message(size: int) -> None:
    message = long_message(size)
    pieces = cut(message, 1400)
    headers = [reference.peek(piece) for piece in pieces]
    whole = reference.peek(message)
    for header, piece in zip(headers, pieces, strict=True):
        assert header.options == whole.options == OPTION
        assert (header.via_list, header.destination_list) == (whole.via_list, whole.destination_list)
        assert header.transaction_id == whole.transaction_id
        assert header.length == len(piece) <= 1400 - 32
    contents = [piece[header.size :] for header, piece in zip(headers, pieces, strict=True)]
    assert b"".join(contents) == message[whole.size :]
    assert [header.fragment & 0xFFFFFF for header in headers] == [
        sum(map(len, contents[:n])) for n in range(len(contents))
    ]
    assert [header.fragment >> 30 for header in headers] == [2] * (len(pieces) - 1) + [3]
    assert len({len(content) for content in contents[:-1]}) == 1
    assert 0 <= len(contents[0]) - len(contents[-1]) < len(contents)
    assert len(contents[0]) >= 256


def test_what_fits_stays_whole_and_so_does_what_has_no_room_for_256_bytes_beside_its_header() -> None:
    for message, limit in [(long_message(1400), 1400), (long_message(4000), HEADER + 32 + 255), (long_message(600), 9)]:
        assert cut(message, limit) == [message]
    assert len(cut(long_message(4000), HEADER + 32 + 256)) > 1


def test_pieces_of_pieces_are_pieces_of_the_message() -> None:
    message = long_message(5000)
    twice = [small for piece in cut(message, 2000) for small in cut(piece, 700)]
    assert twice == by_hand(message, *[reference.peek(piece).fragment & 0xFFFFFF for piece in twice[1:]])
    assert len(twice) > len(cut(message, 2000)) > 1


# --- at the destination -----------------------------------------------------------------------------


def ping_pieces(outside: Outside, *at: int, **fields: object) -> list[bytes]:
    return by_hand(outside.message(Code.PING_REQ, PingReq(bytes(500)), **fields), *at)  # type: ignore[arg-type]


def codes(messages: list[Message]) -> list[int]:
    return [message.code for message in messages]


@pytest.mark.req("link.fragment-reassemble-end")
@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_a_request_in_pieces_is_answered_once_whatever_their_order(order: tuple[int, ...]) -> None:
    outside = Outside()
    pieces = ping_pieces(outside, 256, 512)
    assert outside.send(*[pieces[n] for n in order[:2]]) == []
    assert codes(outside.send(pieces[order[2]])) == [Code.PING_ANS]
    assert len(outside.node.fragments) == 0


def test_options_of_the_pieces_are_those_of_the_message() -> None:
    outside = Outside()
    option = ForwardingOption(9, 4, b"copied")  # RESPONSE_COPY
    (answer,) = outside.send(*ping_pieces(outside, 300, options=(option,)))
    assert answer.header.options == (ForwardingOption(9, 0, b"copied"),)


@pytest.mark.req("link.fragment-reassemble-end")
def test_a_forwarder_passes_each_piece_on_by_itself() -> None:
    neighbours = Neighbours()
    source, target = neighbours.members[:2]
    message = neighbours.message(Code.PING_REQ, PingReq(bytes(500)), node(target.node_id), signer=source)
    neighbours.drain()
    before = neighbours.node.counters["forwarded"]
    for piece in by_hand(message, 256, 512):
        neighbours.deliver(source, piece)
    assert neighbours.node.counters["forwarded"] == before + 3
    assert len(neighbours.node.fragments) == 0


@pytest.mark.req("link.fragment-overlap")
def test_a_piece_again_does_no_harm_and_another_one_in_its_place_ends_it() -> None:
    outside = Outside()
    pieces = ping_pieces(outside, 256, 512)
    assert outside.send(pieces[0], pieces[0]) == []
    assert codes(outside.send(pieces[1], pieces[1], pieces[2])) == [Code.PING_ANS]
    pieces = ping_pieces(outside, 256, 512)
    assert outside.send(pieces[0], pieces[1][:-1] + b"!", pieces[1], pieces[2]) == []
    assert outside.node.counters["drop_fragments_contradictory"] == 1


@pytest.mark.req("link.fragment-overlap")
def test_pieces_that_overlap_and_agree() -> None:
    outside = Outside()
    message = outside.message(Code.PING_REQ, PingReq(bytes(500)))
    one, two = by_hand(message, 256), by_hand(message, 400)
    assert outside.send(two[1], one[0]) == []
    assert codes(outside.send(one[1])) == [Code.PING_ANS]


@pytest.mark.req("link.fragment-overlap")
def test_a_message_put_together_from_two_does_not_pass_for_signed() -> None:
    outside = Outside()
    one = ping_pieces(outside, 256, transaction_id=5)
    other = by_hand(outside.message(Code.PING_REQ, PingReq(b"x" * 500), transaction_id=5), 256)
    assert outside.send(one[0], other[1]) == []
    assert outside.node.counters["drop_bad_signature"] == 1


@pytest.mark.parametrize("bad", ["two ends", "beyond the end", "nothing in it", "too large"])
def test_pieces_that_contradict_each_other_end_it(bad: str) -> None:
    outside = Outside()
    pieces = ping_pieces(outside, 256, 512)
    whole = outside.message(Code.PING_REQ, PingReq(bytes(25000)))
    odd = {
        "two ends": by_hand(outside.message(Code.PING_REQ, PingReq(bytes(100))), 256)[1],
        "beyond the end": by_hand(whole, 1000, 1100)[1],
        "nothing in it": by_hand(whole, 256, 256)[1],
        "too large": by_hand(whole, 20000, 20100)[1],
    }[bad]
    odd = odd[:20] + pieces[0][20:28] + odd[28:]  # the transaction id
    assert outside.send(pieces[2], odd, pieces[0], pieces[1]) == []
    assert outside.node.counters["drop_fragments_contradictory"] == 1


@pytest.mark.req("link.fragment-timeout")
def test_an_incomplete_message_is_given_up_after_the_life_of_a_request() -> None:
    outside = Outside()
    early, late = ping_pieces(outside, 256), ping_pieces(outside, 256)
    outside.send(early[0], late[0])
    outside.now += 14.9
    assert codes(outside.send(early[1])) == [Code.PING_ANS]
    outside.now += 0.2
    assert outside.send(late[1]) == []
    assert outside.node.counters["drop_fragments_incomplete"] == 1


@pytest.mark.req("link.fragment-overflow")
def test_without_room_the_message_is_dropped_and_others_get_through(monkeypatch: pytest.MonkeyPatch) -> None:
    outside = Outside()
    for _ in range(limits.MAX_REASSEMBLIES_PER_LINK):
        outside.send(ping_pieces(outside, 256)[0])
    assert outside.send(*ping_pieces(outside, 256)) == []
    assert outside.node.counters["drop_fragments_no_room"] == 2
    assert codes(outside.ask(Code.PING_REQ, PingReq())) == [Code.PING_ANS]
    outside.now += 15.1
    assert codes(outside.send(*ping_pieces(outside, 256))) == [Code.PING_ANS]
    monkeypatch.setattr(limits, "MAX_REASSEMBLY_BYTES", 5000)
    for _ in range(10):
        outside.send(by_hand(outside.message(Code.PING_REQ, PingReq(bytes(2000))), 1000)[0])
    assert len(outside.node.fragments) <= 5


@pytest.mark.req("link.fragment-overflow")
def test_one_link_does_not_take_the_room_of_all() -> None:
    """Of messages that may be large: a piece of each, far from its beginning, and never the rest."""
    large = limits.MAX_MESSAGE_SIZE
    dropped: list[str] = []
    reassembly = Reassembly(15.0, large, dropped.append)

    def piece(number: int, at: int) -> bytes:
        field = 0x80000000 | at
        return reference.message(TO, VIA, transaction_id=number, fragment=field, body=b"", rest=bytes(100))

    for number in range(40):
        reassembly.join(0.0, 1, piece(number, large - 1000))
    assert set(dropped) == {"drop_fragments_no_room"}
    dropped.clear()
    for link in (2, 3):
        reassembly.join(0.0, link, piece(99, large - 1000))
    assert not dropped


def test_random_cuts_in_random_order(rng: random.Random) -> None:
    outside = Outside()
    for _ in range(40):
        message = outside.message(Code.PING_REQ, PingReq(rng.randbytes(rng.randrange(60000) % 15000)))
        size = len(message) - reference.peek(message).size
        pieces = by_hand(message, *sorted(rng.sample(range(2, size), rng.randrange(1, 12))))
        rng.shuffle(pieces)
        assert outside.send(*pieces[:-1]) == []
        assert codes(outside.send(pieces[-1])) == [Code.PING_ANS]
