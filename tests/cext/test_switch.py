"""The data plane: rule by rule, in rings of several switches, and against the reference on random traffic."""

import hashlib
import random
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.reference import wire
from tests.reference.ring import ReferenceRing
from tests.reference.switch import ReferenceSwitch, received_mask
from tests.reference.wire import data_frame, message, node, opaque, resource
from xor_fast import limits
from xor_fast.cext.ring import Ring
from xor_fast.cext.switch import SELF, Switch, Verdict, ViaLists
from xor_fast.cext.wire import split_frames
from xor_fast.errors import WireError

WILDCARD = b"\xff" * 16
PING, PING_ANSWER, ERROR = 0x17, 0x18, 0xFFFF


SECRET = bytes(range(32))


def issued_id(number: int) -> bytes:
    """The opaque id of the `number`th via list that a switch with SECRET keeps."""
    code = hashlib.sha1(SECRET + number.to_bytes(8, "big")).digest()[:12]
    return opaque(number.to_bytes(4, "big") + code)


def id_of(number: int) -> bytes:
    return bytes([number]) * 16


def ring_of(own: int, *peers: int, joined: bool = True) -> Ring:
    ring = Ring(id_of(own))
    ring.joined = joined
    for peer in peers:
        ring.add(id_of(peer))
    return ring


class Desk:
    """Node 0x50 with links to its peers 0x20 and 0x80 and to its client 0x48, which is in no table."""

    def __init__(self, **options: Any) -> None:
        self.switch = Switch(ring_of(0x50, 0x20, 0x80), 1, **options)
        self.link = {n: self.switch.open_link(0.0, id_of(n)) for n in (0x20, 0x80, 0x48)}
        self.sequence = 0

    def give(self, data: bytes, source: int = 0x20) -> bool:
        """One data frame that holds `data`."""
        self.sequence += 1
        return self.switch.receive(1.0, self.link[source], data_frame(self.sequence, data))

    def out(self) -> dict[int, list[bytes]]:
        """Messages that leave, by the node they go to; ACKs are left out."""
        number = {link: n for n, link in self.link.items()}
        sent = {number[link]: split_frames(data)[0] for link, data in self.switch.sends()}
        found = {n: [m for t, _, m in frames if t == 128 and isinstance(m, bytes)] for n, frames in sent.items()}
        return {n: messages for n, messages in found.items() if messages}

    def delivered(self) -> list[bytes]:
        return [r.message for r in self.switch.take_inbox() if r.verdict is Verdict.DELIVER]

    def verdicts(self) -> list[Verdict]:
        return [r.verdict for r in self.switch.take_inbox()]

    def drops(self) -> dict[str, int]:
        return {name: n for name, n in self.switch.counters.items() if name.startswith("drop_") and n}


@pytest.fixture
def desk() -> Desk:
    return Desk()


def expect_drop(desk: Desk, kind: str, *verdicts: Verdict) -> None:
    """Nothing left, nothing was delivered, it was counted as this kind and as nothing else."""
    assert desk.out() == {}
    assert desk.verdicts() == list(verdicts)
    assert desk.drops() == {kind: 1}


# --- header rules (6.3.2) ---------------------------------------------------------------------------


@pytest.mark.req("fwd.header-check", "fwd.overlay-mismatch")
@pytest.mark.parametrize("destination", [0x50, 0x80])
def test_a_message_of_another_overlay_is_discarded(desk: Desk, destination: int) -> None:
    desk.give(message([node(id_of(destination))], overlay=2))
    expect_drop(desk, "drop_overlay", Verdict.INCOMPATIBLE)


@pytest.mark.req("fwd.header-check")
@pytest.mark.parametrize("version", [0, 1, 9, 11, 255])
def test_another_version_is_discarded(desk: Desk, version: int) -> None:
    desk.give(message([node(id_of(0x50))], version=version))
    expect_drop(desk, "drop_version", Verdict.INCOMPATIBLE)


@pytest.mark.req("fwd.header-check")
def test_another_token_is_discarded_without_a_word(desk: Desk) -> None:
    desk.give(message([node(id_of(0x50))], token=0x52454C4F))
    expect_drop(desk, "drop_token")


@pytest.mark.req("fwd.header-check", "fwd.length-mismatch")
@pytest.mark.parametrize("step", [-1, 1, 1 << 24])
def test_a_length_that_is_not_the_frame_s_is_discarded(desk: Desk, step: int) -> None:
    whole = message([node(id_of(0x50))])
    desk.give(whole[:16] + (len(whole) + step).to_bytes(4, "big") + whole[20:])
    expect_drop(desk, "drop_length")


@pytest.mark.req("fwd.length-mismatch")
@pytest.mark.parametrize("place", [32, 34, 36])
def test_lists_longer_than_the_message_are_discarded(desk: Desk, place: int) -> None:
    whole = message([node(id_of(0x80))])
    desk.give(whole[:place] + b"\xff\xff" + whole[place + 2 :])
    expect_drop(desk, "drop_header")


@pytest.mark.req("link.fragment-bit-clear")
def test_a_clear_fragment_bit_is_discarded(desk: Desk) -> None:
    desk.give(message([node(id_of(0x50))], fragment=0x40000000))
    expect_drop(desk, "drop_fragment_bit")


@pytest.mark.parametrize("code", [PING_ANSWER, ERROR])
@pytest.mark.parametrize(
    "change", [{"overlay": 2}, {"version": 1}, {"ttl": 101}, {"body": bytes(5000)}], ids=lambda c: next(iter(c))
)
def test_an_answer_is_never_answered(desk: Desk, code: int, change: dict[str, int]) -> None:
    desk.give(message([node(id_of(0x50))], code=code, **change))  # type: ignore[arg-type]
    assert desk.verdicts() == []
    assert sum(desk.drops().values()) == 1


def test_the_largest_message_passes_and_one_byte_more_does_not(desk: Desk) -> None:
    rest = bytes(5000 - len(message([node(id_of(0x50))], rest=b"")))
    desk.give(message([node(id_of(0x50))], rest=rest))
    assert len(desk.delivered()[0]) == 5000
    desk.give(message([node(id_of(0x50))], rest=rest + b"!"))
    expect_drop(desk, "drop_too_large", Verdict.TOO_LARGE)


def test_a_message_our_via_entry_would_make_too_large_is_refused_here(desk: Desk) -> None:
    rest = bytes(5000 - 18 - len(message([node(id_of(0x80))], rest=b"")))
    desk.give(message([node(id_of(0x80))], rest=rest))
    assert len(desk.out()[0x80][0]) == 5000
    desk.give(message([node(id_of(0x80))], rest=rest + b"!"))
    expect_drop(desk, "drop_too_large", Verdict.TOO_LARGE)


# --- lists ------------------------------------------------------------------------------------------


@pytest.mark.req("fwd.resource-last-only")
def test_a_resource_before_the_end_is_dropped(desk: Desk) -> None:
    desk.give(message([resource(id_of(0x99)), node(id_of(0x80))]))
    expect_drop(desk, "drop_resource_place")


@pytest.mark.req("fwd.resource-sole-entry")
def test_an_own_resource_that_is_not_alone_is_dropped(desk: Desk) -> None:
    desk.give(message([resource(id_of(0x40)), node(id_of(0x80))]))
    expect_drop(desk, "drop_resource_place")


@pytest.mark.req("fwd.resource-not-via")
@pytest.mark.parametrize("destination", [0x50, 0x80])
def test_a_resource_in_a_via_list_is_dropped(desk: Desk, destination: int) -> None:
    desk.give(message([node(id_of(destination))], via=[node(id_of(9)), resource(id_of(0x99))]))
    expect_drop(desk, "drop_resource_place")


@pytest.mark.parametrize("bad", [b"\0\x10" + bytes(16), b"\x01\x11" + bytes(17), b"\x02\x11\x0f" + bytes(16), b"\x01"])
@pytest.mark.parametrize("in_via", [False, True])
def test_a_list_that_does_not_parse_is_dropped(desk: Desk, bad: bytes, in_via: bool) -> None:
    desk.give(message([node(id_of(0x80)), bad]) if not in_via else message([node(id_of(0x80))], via=[bad]))
    expect_drop(desk, "drop_bad_list")


def test_long_lists_are_dropped(desk: Desk) -> None:
    ids = [node(i.to_bytes(16, "big")) for i in range(1, limits.MAX_DESTINATIONS + 1)]
    desk.give(message([node(id_of(0x80))], via=ids, code=PING_ANSWER))
    assert len(desk.out()[0x80]) == 1
    for lists in (([node(id_of(0x80)), *ids], []), ([node(id_of(0x80))], [*ids, ids[0]])):
        desk.give(message(lists[0], via=lists[1]))
    # A request's list may not grow beyond the bound either.
    desk.give(message([node(id_of(0x80))], via=ids))
    assert (desk.out(), desk.verdicts(), desk.drops()) == ({}, [], {"drop_long_list": 3})


@pytest.mark.req("fwd.loop-duplicates")
def test_a_request_with_a_repeated_destination_is_dropped(desk: Desk) -> None:
    there_and_back = [node(id_of(0x80)), node(id_of(0x50)), node(id_of(0x80)), node(id_of(0x50))]
    desk.give(message(there_and_back))
    expect_drop(desk, "drop_duplicate_destination", Verdict.INVALID)
    desk.give(message(there_and_back, code=PING_ANSWER))
    assert len(desk.out()[0x80]) == 1


def test_an_empty_destination_list_is_dropped(desk: Desk) -> None:
    desk.give(message([]))
    expect_drop(desk, "drop_no_destination")


@pytest.mark.req("codec.destination-skip")
def test_an_unknown_type_further_on_is_passed_unchanged(desk: Desk) -> None:
    unknown = b"\x07\x03abc"
    desk.give(message([node(id_of(0x80)), unknown], via=[unknown]))
    header = wire.peek(desk.out()[0x80][0])
    assert header.destination_list == node(id_of(0x80)) + unknown
    assert header.via_list == unknown + node(id_of(0x20))


def test_an_unknown_type_in_front_is_dropped(desk: Desk) -> None:
    desk.give(message([b"\x07\x10" + id_of(0x80)]))
    expect_drop(desk, "drop_destination_type")


@pytest.mark.req("fwd.opaque-unknown")
@pytest.mark.parametrize("entry", [b"\x80\x00", b"\xff\xff", opaque(b"issued by nobody"), opaque(id_of(0x80))])
@pytest.mark.parametrize("code", [PING, PING_ANSWER])
def test_an_opaque_id_nobody_issued_is_dropped(desk: Desk, entry: bytes, code: int) -> None:
    desk.give(message([entry, node(id_of(0x80))], code=code))
    expect_drop(desk, "drop_opaque_id")


@pytest.mark.parametrize("options", [b"\x01", b"\x01\0\0", b"\x01\0\0\x01"])
def test_options_that_do_not_parse_are_dropped(desk: Desk, options: bytes) -> None:
    desk.give(message([node(id_of(0x80))], option_list=options))
    expect_drop(desk, "drop_bad_option")


def test_an_option_that_forwarders_must_know_stops_a_request(desk: Desk) -> None:
    option = bytes([200, 0x01, 0, 0])
    desk.give(message([node(id_of(0x80))], option_list=option))
    expect_drop(desk, "drop_forward_critical", Verdict.UNSUPPORTED_OPTION)
    desk.give(message([node(id_of(0x50))], option_list=option))  # it is not forwarded, so the flag says nothing
    assert len(desk.delivered()) == 1


@pytest.mark.parametrize("code", [PING_ANSWER, ERROR])
def test_no_option_stops_an_answer(desk: Desk, code: int) -> None:
    desk.give(message([node(id_of(0x80))], code=code, option_list=bytes([200, 0x01, 0, 0])))
    assert len(desk.out()[0x80]) == 1


def test_other_options_pass_untouched(desk: Desk) -> None:
    options = bytes([200, 0x06, 0, 2]) + b"ab" + bytes([1, 0, 0, 0])
    desk.give(message([node(id_of(0x80))], option_list=options))
    assert wire.peek(desk.out()[0x80][0]).options == options


# --- time to live -----------------------------------------------------------------------------------


@pytest.mark.req("fwd.ttl-decrement")
def test_each_forwarder_takes_one_from_the_ttl(desk: Desk) -> None:
    for ttl in (100, 2, 1):
        desk.give(message([node(id_of(0x80))], ttl=ttl))
    assert [wire.peek(m).ttl for m in desk.out()[0x80]] == [99, 1, 0]


@pytest.mark.req("fwd.ttl-zero-stop")
def test_ttl_0_goes_no_further_but_is_delivered(desk: Desk) -> None:
    desk.give(message([node(id_of(0x50))], ttl=0))
    assert len(desk.delivered()) == 1
    desk.give(message([node(id_of(0x80))], ttl=0))
    expect_drop(desk, "drop_ttl_zero", Verdict.TTL_EXCEEDED)


@pytest.mark.parametrize(("initial", "ttl"), [(100, 101), (100, 255), (30, 31)])
@pytest.mark.parametrize("destination", [0x50, 0x80])
def test_a_ttl_above_the_initial_one_is_discarded(initial: int, ttl: int, destination: int) -> None:
    desk = Desk(initial_ttl=initial)
    desk.give(message([node(id_of(destination))], ttl=ttl))
    expect_drop(desk, "drop_ttl_too_large", Verdict.TTL_EXCEEDED)


def test_a_request_is_not_carried_around_in_a_circle(desk: Desk) -> None:
    """Several that disagree about a range would do so until its TTL ends. Only as a forwarder, and only twice, a node
    sees the same request: a destination list may lead it past here on its way there and back."""
    own, other, asker = node(id_of(0x50)), node(id_of(0x20)), node(id_of(0x99))
    for via in ([asker, other, own, other], [own, other, own, other], [asker, own], [own]):
        desk.give(message([resource(id_of(0x80))], via=via))
    assert len(desk.out()[0x80]) == 4
    for via in ([asker, own, other, own], [asker, own, other, asker, own, other], [own, other, own, other, own]):
        desk.give(message([resource(id_of(0x80))], via=via))
        expect_drop(desk, "drop_loop", Verdict.TTL_EXCEEDED)
        desk = Desk()
    desk.give(message([node(id_of(0x80))], via=[asker, own, other, own], code=PING_ANSWER))
    assert len(desk.out()[0x80]) == 1  # an answer's via list says nothing of its way


@pytest.mark.req("fwd.ttl-initial-cap")
def test_no_message_is_originated_above_the_initial_ttl_or_size(desk: Desk) -> None:
    to_peer = [node(id_of(0x80))]
    assert desk.switch.originate(0.0, message(to_peer, ttl=101)) is Verdict.TTL_EXCEEDED
    largest = bytes(5000 - len(message(to_peer, rest=b"")))
    assert desk.switch.originate(0.0, message(to_peer, rest=largest + b"!")) is Verdict.TOO_LARGE
    assert desk.switch.originate(0.0, message(to_peer, rest=largest)) is Verdict.FORWARDED
    assert len(desk.out()[0x80][0]) == 5000
    assert desk.out() == {}
    assert desk.switch.originate(0.0, message(to_peer, ttl=100)) is Verdict.FORWARDED
    assert wire.peek(desk.out()[0x80][0]).ttl == 100


# --- where a message goes (6.1.1, 6.1.2) ------------------------------------------------------------


@pytest.mark.req("fwd.wildcard-local")
@pytest.mark.parametrize("behind", [[], [node(id_of(0x80))]])
def test_the_wildcard_is_consumed_here(desk: Desk, behind: list[bytes]) -> None:
    ping = message([node(WILDCARD), *behind])
    desk.give(ping)
    assert (desk.delivered(), desk.out()) == ([ping], {})


@pytest.mark.req("fwd.self-deliver")
def test_the_own_node_id_alone_is_delivered_as_received(desk: Desk) -> None:
    ping = message([node(id_of(0x50))], via=[node(id_of(9))])
    desk.give(ping)
    received = desk.switch.take_inbox()
    assert [(r.link, r.verdict, r.message) for r in received] == [(desk.link[0x20], Verdict.DELIVER, ping)]
    assert desk.out() == {}


@pytest.mark.req("fwd.self-strip")
@pytest.mark.parametrize("code", [PING, PING_ANSWER])
def test_the_own_node_id_with_others_behind_is_stripped(desk: Desk, code: int) -> None:
    desk.give(message([node(id_of(0x50)), node(id_of(0x80)), node(id_of(0x99))], code=code))
    assert wire.peek(desk.out()[0x80][0]).destination_list == node(id_of(0x80)) + node(id_of(0x99))


@pytest.mark.req("fwd.self-strip")
def test_a_way_back_that_passes_here_twice_in_a_row_is_stripped_twice(desk: Desk) -> None:
    desk.give(message([node(id_of(0x50)), node(id_of(0x50)), node(id_of(0x80))], code=PING_ANSWER))
    assert wire.peek(desk.out()[0x80][0]).destination_list == node(id_of(0x80))


@pytest.mark.req("fwd.self-strip")
def test_after_the_own_node_id_the_next_entry_may_be_ours_too(desk: Desk) -> None:
    ours = message([node(id_of(0x50)), resource(id_of(0x40))])
    desk.give(ours)
    assert desk.delivered() == [ours]


@pytest.mark.req("topo.responsibility")
def test_a_resource_in_the_own_range_is_delivered(desk: Desk) -> None:
    for number in (0x20, 0x21, 0x50, 0x51):
        desk.give(message([resource(id_of(number))]))
    assert [wire.peek(m).destination_list[3] for m in desk.delivered()] == [0x21, 0x50]
    assert {n: len(m) for n, m in desk.out().items()} == {0x20: 1, 0x80: 1}


@pytest.mark.req("fwd.foreign-node-drop")
def test_an_unknown_node_in_the_own_range_is_dropped_in_silence(desk: Desk) -> None:
    desk.give(message([node(id_of(0x33))]))
    expect_drop(desk, "drop_foreign_node")


@pytest.mark.req("fwd.client-forward")
def test_a_client_in_the_own_range_gets_its_messages(desk: Desk) -> None:
    desk.give(message([node(id_of(0x48))]))
    assert list(desk.out()) == [0x48]


@pytest.mark.req("topo.route-table-members")
def test_a_client_is_never_the_next_hop_for_others(desk: Desk) -> None:
    desk.switch.ring.joined = False
    for number in range(256):
        desk.give(message([resource(id_of(number))]))
    assert set(desk.out()) == {0x20, 0x80}


@pytest.mark.req("fwd.direct-connection-first")
def test_a_connected_node_is_reached_directly_whatever_the_table_says(desk: Desk) -> None:
    # By the table 0x90 would be reached through 0x80.
    desk.link[0x90] = desk.switch.open_link(0.0, id_of(0x90))
    desk.give(message([node(id_of(0x90))]))
    desk.give(message([node(id_of(0x91))]))
    assert {n: len(m) for n, m in desk.out().items()} == {0x90: 1, 0x80: 1}


def test_before_it_has_joined_a_node_answers_only_to_its_name(desk: Desk) -> None:
    desk.switch.ring.joined = False
    desk.give(message([node(id_of(0x50))]))
    desk.give(message([node(WILDCARD)]))
    assert len(desk.delivered()) == 2
    desk.give(message([resource(id_of(0x50))]), source=0x48)
    assert (desk.delivered(), list(desk.out())) == ([], [0x20])


@pytest.mark.parametrize("destination", [resource(id_of(0x30)), node(id_of(0x30))])
@pytest.mark.parametrize("code", [PING, PING_ANSWER])
def test_a_message_goes_not_back_to_the_peer_whose_next_hop_we_are(destination: bytes, code: int) -> None:
    """0x20 has lost 0x40, so 0x50 is the first that it knows behind 0x30. 0x10 would send it to 0x20."""
    desk = Desk()
    for n in (0x10, 0x40):
        desk.switch.ring.add(id_of(n))
        desk.link[n] = desk.switch.open_link(0.0, id_of(n))
    for source, hop in ((0x20, 0x40), (0x10, 0x20), (0x40, 0x20), (0x80, 0x20), (0x48, 0x20)):
        desk.give(message([destination], code=code), source=source)
        assert list(desk.out()) == [hop]
    desk.switch.originate(0.0, message([destination], code=code))
    assert list(desk.out()) == [0x20]
    # To come here was what its list said; where the way goes on to was not asked.
    desk.give(message([node(id_of(0x50)), destination], code=code))
    assert list(desk.out()) == [0x20]


def test_a_joiner_passes_what_its_predecessor_sends_to_the_peer_that_still_claims_it(desk: Desk) -> None:
    desk.switch.ring.joined = False
    desk.give(message([resource(id_of(0x50))]))
    assert list(desk.out()) == [0x80]


def test_what_nobody_else_could_take_is_dropped(desk: Desk) -> None:
    desk.switch.ring.joined = False
    desk.switch.ring.remove(id_of(0x80))
    desk.give(message([resource(id_of(0x50))]))
    expect_drop(desk, "drop_no_route")


def test_without_any_peer_there_is_no_route() -> None:
    switch = Switch(ring_of(0x50, joined=False), 1)
    link = switch.open_link(0.0, id_of(0x48))
    switch.receive(0.0, link, data_frame(0, message([resource(id_of(1))])))
    assert switch.counters["drop_no_route"] == 1


@pytest.mark.req("fwd.no-transit-verify")
def test_transit_looks_at_no_signature(desk: Desk) -> None:
    desk.give(message([node(id_of(0x80))], rest=b"no signature at all"))
    assert desk.out()[0x80][0].endswith(b"no signature at all")


# --- via lists (6.1.2) ------------------------------------------------------------------------------


@pytest.mark.req("fwd.via-append")
def test_a_request_takes_along_the_node_it_came_from(desk: Desk) -> None:
    desk.give(message([node(id_of(0x80))], via=[node(id_of(1)), b"\x80\x01"]), source=0x48)
    assert wire.peek(desk.out()[0x80][0]).via_list == node(id_of(1)) + b"\x80\x01" + node(id_of(0x48))


@pytest.mark.req("fwd.via-not-on-response")
@pytest.mark.parametrize("code", [PING_ANSWER, ERROR, 0x8000])
def test_an_answer_does_not(desk: Desk, code: int) -> None:
    desk.give(message([node(id_of(0x80))], code=code))
    assert wire.peek(desk.out()[0x80][0]).via_list == b""


def test_every_fragment_takes_it_along(desk: Desk) -> None:
    for fragment, code in ((0x80000000, PING), (0x80000100, PING), (0xC0000200, PING_ANSWER)):
        desk.give(message([node(id_of(0x80))], fragment=fragment, code=code))
    assert [wire.peek(m).via_list for m in desk.out()[0x80]] == [node(id_of(0x20))] * 3


@pytest.mark.req("codec.header-length-field")
def test_what_leaves_is_what_came_but_for_ttl_lists_and_length(desk: Desk) -> None:
    came = message([node(id_of(0x50)), node(id_of(0x80))], via=[node(id_of(1))], transaction_id=0x123456789)
    desk.give(came)
    left = desk.out()[0x80][0]
    assert left == wire.rewrite(came, 99, id_of(0x20), 1)
    assert wire.peek(left).length == len(left)


# --- several switches -------------------------------------------------------------------------------


class Overlay:
    """Switches whose links are joined back to back."""

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.switch: dict[bytes, Switch] = {}
        self.wires: dict[tuple[bytes, int], tuple[bytes, int]] = {}

    def add(self, node_id: bytes) -> Switch:
        ring = Ring(node_id)
        ring.joined = True
        return self.switch.setdefault(node_id, Switch(ring, 1, **self.options))

    def connect(self, a: bytes, b: bytes, in_tables: bool = True) -> None:
        ends = [(x, self.switch[x].open_link(0.0, y)) for x, y in ((a, b), (b, a))]
        self.wires |= {ends[0]: ends[1], ends[1]: ends[0]}
        if in_tables:
            self.switch[a].ring.add(b)
            self.switch[b].ring.add(a)

    def run(self) -> list[tuple[bytes, bytes]]:
        """Carry bytes until all is quiet; the steps messages took."""
        steps = []
        while busy := [(n, s) for n, s in self.switch.items() if s.dirty]:
            for node_id, switch in busy:
                for link, data in switch.sends():
                    other, end = self.wires[node_id, link]
                    steps += [(node_id, other) for type_, _, _ in split_frames(data)[0] if type_ == 128]
                    assert self.switch[other].receive(0.0, end, data)
        return steps

    def line(self, *node_ids: bytes) -> None:
        for node_id in node_ids:
            self.add(node_id)
        for a, b in pairwise(node_ids):
            self.connect(a, b, in_tables=False)


@pytest.mark.req("fwd.via-append", "fwd.ttl-decrement", "fwd.response-path-guarantee", "fwd.symmetric-recursive")
def test_a_request_along_a_line_and_its_answer_take_the_same_way() -> None:
    overlay = Overlay()
    a, b, c, d = (id_of(n) for n in (0x10, 0x20, 0x30, 0x40))
    overlay.line(a, b, c, d)
    overlay.switch[a].originate(0.0, message([node(b), node(c), node(d)]))
    assert overlay.run() == [(a, b), (b, c), (c, d)]
    (request,) = overlay.switch[d].take_inbox()
    header = wire.peek(request.message)
    assert (header.ttl, header.via_list, header.destination_list) == (98, node(a) + node(b), node(d))
    # 6.1.2: previous hop, then the via list reversed.
    overlay.switch[d].originate(0.0, message([node(c), node(b), node(a)], code=PING_ANSWER))
    assert overlay.run() == [(d, c), (c, b), (b, a)]
    (answer,) = overlay.switch[a].take_inbox()
    assert wire.peek(answer.message).via_list == b""


@pytest.mark.req("fwd.forward-other", "topo.route-closest-preceding", "topo.route-successor", "topo.responsibility")
def test_in_a_ring_of_16_every_request_ends_at_its_owner(rng: random.Random) -> None:
    overlay = Overlay()
    ids = sorted(rng.randbytes(16) for _ in range(16))
    for node_id in ids:
        overlay.add(node_id)
    for i in range(16):
        for step in (1, 2, 3, 4, 8):
            overlay.connect(ids[i], ids[(i + step) % 16])
    hops = []
    for _ in range(1000):
        target, origin = rng.randbytes(16), rng.choice(ids)
        overlay.switch[origin].originate(0.0, message([resource(target)]))
        hops.append(len(overlay.run()))
        owner = next((n for n in ids if n >= target), ids[0])
        assert [n for n in ids if overlay.switch[n].has_inbox] == [owner]
        overlay.switch[owner].take_inbox()
    assert max(hops) <= 4


@pytest.mark.parametrize("lost", [1, 2])
@pytest.mark.parametrize("both", [True, False])
def test_a_request_reaches_its_owner_past_a_peer_that_has_lost_its_successors(lost: int, both: bool) -> None:
    """Each knows three to either side and some far ones. One has lost the next one or two, and, if both, they have lost
    it: the third, which it takes for the first behind a key of theirs, knows them. No node passes a request on twice.
    """
    overlay = Overlay()
    ids = [id_of(10 * n) for n in range(1, 25)]
    for node_id in ids:
        overlay.add(node_id)
    for i in range(24):
        for step in (1, 2, 3, 6, 12)[: 5 if i < 12 else 4]:
            overlay.connect(ids[i], ids[(i + step) % 24])
    for i in range(1, 1 + lost):
        overlay.switch[ids[0]].ring.remove(ids[i])
        if both:
            overlay.switch[ids[i]].ring.remove(ids[0])
    for target in range(11, 241, 3):  # not those of the one, which the next one claims as well
        for origin in ids:
            overlay.switch[origin].originate(0.0, message([resource(id_of(target))]))
            passed = [sender for sender, _ in overlay.run()[1:]]  # behind the one that made it
            assert len(set(passed)) == len(passed)
            found = [n for n in ids if overlay.switch[n].take_inbox()]
            assert found == [next(n for n in ids if n >= id_of(target))]


# --- links ------------------------------------------------------------------------------------------


@pytest.mark.req("fwd.opaque-slot-rotation")
def test_slots_are_handed_out_in_rotation() -> None:
    switch = Switch(ring_of(0x50), 1, first_generation=5)
    slots = []
    for number in range(3 * limits.MAX_LINKS):
        link = switch.open_link(0.0, id_of(number % 251))
        slots.append(link & 0xFFF)
        assert link >> 12 == (5 + number // limits.MAX_LINKS) % 8
        switch.close_link(link)
    assert slots == list(range(limits.MAX_LINKS)) * 3


def test_a_stale_number_is_nobody(desk: Desk) -> None:
    old = desk.link[0x48]
    desk.switch.close_link(old)
    for number in (old, old ^ 1 << 12, -1, -2, 1 << 15, 77):
        desk.switch.close_link(number)
        desk.switch.set_full(number, True)
        assert not desk.switch.receive(0.0, number, data_frame(0, message([node(id_of(0x50))])))
        assert (
            desk.switch.originate(0.0, message([node(id_of(0x80))]), number if number >= 0 else 78) is Verdict.DROPPED
        )
        assert (desk.switch.node_of(number), desk.switch.rtt(number)) == (None, 0.0)
    assert desk.drops() == {"drop_stale_link": 12}
    assert desk.switch.links() == [desk.link[0x20], desk.link[0x80]]
    assert desk.switch.link_of(id_of(0x48)) == -1


def test_the_newest_link_of_a_node_is_written_to(desk: Desk) -> None:
    first = desk.link[0x80]
    second = desk.switch.open_link(0.0, id_of(0x80))
    assert desk.switch.link_of(id_of(0x80)) == second
    desk.switch.originate(0.0, message([node(id_of(0x80))]))
    assert [link for link, _ in desk.switch.sends()] == [second]
    desk.switch.close_link(second)
    assert desk.switch.link_of(id_of(0x80)) == first


def test_a_node_s_share_of_the_table_and_the_table_are_bounded() -> None:
    switch = Switch(ring_of(0x50), 1)
    ids = [n.to_bytes(16, "big") for n in range(limits.MAX_LINKS // limits.MAX_LINKS_PER_NODE)]
    for node_id in ids:
        links = [switch.open_link(0.0, node_id) for _ in range(limits.MAX_LINKS_PER_NODE + 1)]
        assert (min(links[:-1]) >= 0, links[-1]) == (True, -1)
    assert switch.open_link(0.0, id_of(0x99)) == -1
    assert len(set(switch.links())) == limits.MAX_LINKS
    assert all(switch.node_of(switch.link_of(node_id)) == node_id for node_id in ids)
    switch.close_link(switch.link_of(ids[7]))
    assert switch.open_link(0.0, id_of(0x99)) & 0xFFF == 7 * limits.MAX_LINKS_PER_NODE + 3


def test_a_closed_link_takes_its_outbox_along(desk: Desk) -> None:
    desk.give(message([node(id_of(0x80))]))
    desk.switch.close_link(desk.link[0x80])
    assert [link for link, _ in desk.switch.sends()] == [desk.link[0x20]]
    desk.switch.close_link(desk.link[0x20])
    assert not desk.switch.dirty


def test_a_full_link_gets_nothing_and_others_go_on(desk: Desk) -> None:
    desk.switch.set_full(desk.link[0x80], True)
    desk.give(message([node(id_of(0x80))]))
    desk.give(message([node(id_of(0x48))]))
    desk.give(b"", source=0x80)  # the ACK of a frame it sends us
    assert desk.switch.originate(0.0, message([node(id_of(0x80))])) is Verdict.DROPPED
    assert {link for link, _ in desk.switch.sends()} == {desk.link[0x20], desk.link[0x48]}
    assert desk.drops() == {"drop_link_full": 2, "drop_ack": 1, "drop_header": 1}
    desk.switch.set_full(desk.link[0x80], False)
    desk.give(message([node(id_of(0x80))]))
    assert list(desk.out()) == [0x80]


def test_an_outbox_is_bounded(desk: Desk) -> None:
    whole = message([node(id_of(0x80))], body=bytes(4000))
    count = 1 + limits.OUTBOX_SIZE // len(whole)
    for _ in range(count):
        desk.give(whole)
    assert desk.drops() == {"drop_outbox_full": count - len(desk.out()[0x80])}
    desk.give(whole)
    assert len(desk.out()[0x80]) == 1  # emptied: there is room again


def test_acks_for_a_peer_are_bounded_too(desk: Desk) -> None:
    count = limits.OUTBOX_SIZE // 9 + 100
    assert desk.switch.receive(0.0, desk.link[0x20], data_frame(0, b"") * count)
    ((link, data),) = desk.switch.sends()
    assert (link, limits.OUTBOX_SIZE < len(data) <= limits.OUTBOX_SIZE + 9) == (desk.link[0x20], True)
    assert desk.switch.counters["drop_ack"] == count - len(data) // 9


def test_the_inbox_is_bounded(desk: Desk) -> None:
    for number in range(limits.INBOX_MESSAGES + 3):
        desk.give(message([node(id_of(0x50))], transaction_id=number))
    assert [wire.peek(m).transaction_id for m in desk.delivered()] == list(range(limits.INBOX_MESSAGES))
    assert desk.switch.counters["delivered"] == limits.INBOX_MESSAGES
    assert desk.drops() == {"drop_inbox_full": 3}


# --- own messages -----------------------------------------------------------------------------------


@pytest.mark.req("fwd.via-empty-start")
def test_an_own_message_leaves_as_it_is(desk: Desk) -> None:
    ping = message([node(id_of(0x80))], ttl=33)
    assert desk.switch.first_hop(ping) == desk.link[0x80]
    assert desk.switch.originate(0.0, ping) is Verdict.FORWARDED
    assert desk.out() == {0x80: [ping]}


def test_a_given_link_wins_over_the_table(desk: Desk) -> None:
    ping = message([node(id_of(0x50)), node(id_of(0x80))])
    assert desk.switch.originate(0.0, ping, desk.link[0x48]) is Verdict.FORWARDED
    assert desk.out() == {0x48: [ping]}


@pytest.mark.parametrize("destination", [node(id_of(0x50)), node(WILDCARD), resource(id_of(0x40))])
def test_a_message_to_ourselves_comes_to_the_inbox(desk: Desk, destination: bytes) -> None:
    ping = message([destination])
    assert desk.switch.first_hop(ping) == SELF
    assert desk.switch.originate(0.0, ping) is Verdict.DELIVER
    assert desk.switch.take_inbox() == [(SELF, Verdict.DELIVER, ping)]
    assert not desk.switch.has_inbox


def test_what_has_no_way_is_dropped(desk: Desk) -> None:
    assert desk.switch.first_hop(message([node(id_of(0x33))])) == -1
    assert desk.switch.originate(0.0, message([node(id_of(0x33))])) is Verdict.DROPPED
    assert desk.switch.originate(0.0, message([resource(id_of(0x40)), node(id_of(0x80))])) is Verdict.DROPPED
    assert desk.drops() == {"drop_foreign_node": 1, "drop_resource_place": 1}
    with pytest.raises(WireError, match="ForwardingHeader"):
        desk.switch.originate(0.0, b"no message")
    with pytest.raises(WireError, match="ForwardingHeader"):
        desk.switch.first_hop(message([node(id_of(0x80))]) + b"!")


# --- frames and ACKs (6.6.2) ------------------------------------------------------------------------


def acks(switch: Switch) -> list[tuple[int, int]]:
    frames = [frame for _, data in switch.sends() for frame in split_frames(data)[0]]
    return [(sequence, mask) for type_, sequence, mask in frames if type_ == 129 and isinstance(mask, int)]


def masks_for(sequences: Iterable[int]) -> list[tuple[int, int]]:
    desk = Desk()
    for sequence in sequences:
        assert desk.switch.receive(0.0, desk.link[0x20], data_frame(sequence % 2**32, b"not even a message"))
    return acks(desk.switch)


@pytest.mark.req("link.ack-now")
def test_each_data_frame_gets_its_ack_and_an_ack_gets_none(desk: Desk) -> None:
    desk.give(message([node(id_of(0x50))]))
    desk.give(b"garbage")
    assert [sequence for sequence, _ in acks(desk.switch)] == [1, 2]
    assert desk.switch.receive(0.0, desk.link[0x20], wire.ack_frame(0, 0))
    assert not desk.switch.dirty


@pytest.mark.req("link.ack-bitmask")
def test_the_mask_lacks_the_bit_of_a_lost_frame() -> None:
    assert masks_for([0, 1, 2, 3, 4, 6, 7, 8])[-1] == (8, 0b1_1111_0110)


@pytest.mark.req("link.ack-history")
def test_the_mask_speaks_of_the_31_before_and_of_nothing_older() -> None:
    masks = masks_for(range(40))
    assert masks[0] == (0, 0)
    assert masks[5] == (5, 0b111110)
    assert masks[31] == masks_for(range(32))[-1] == (31, 0xFFFFFFFE)
    assert masks[39] == (39, 0xFFFFFFFE)


@pytest.mark.req("link.ack-history")
def test_only_the_32_frames_received_last_are_remembered() -> None:
    assert masks_for([5, *[100] * 31, 6])[-1] == (6, 0b10)
    assert masks_for([5, *[100] * 32, 6])[-1] == (6, 0)


@pytest.mark.req("link.ack-bitmask")
@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.tuples(st.sampled_from([1, 1, 1, 2, -1, 0, 31, 32, 33, -40]), st.integers(1, 40)), max_size=8),
)
def test_every_mask_is_that_of_the_definition(start: int, runs: list[tuple[int, int]]) -> None:
    sequences = [start]
    for step, count in runs:
        sequences += [(sequences[-1] + step * (i + 1)) % 2**32 for i in range(count)]
    expected = [(n, received_mask(n, sequences[:i])) for i, n in enumerate(sequences)]
    assert masks_for(sequences) == expected


@pytest.mark.req("link.sequence-space")
def test_each_link_counts_its_data_frames_from_0(desk: Desk) -> None:
    for n in (0x80, 0x80, 0x48, 0x80):
        desk.give(message([node(id_of(n))]))
    desk.switch.originate(0.0, message([node(id_of(0x80))]))
    frames = {link: split_frames(data)[0] for link, data in desk.switch.sends()}
    assert [sequence for _, sequence, _ in frames[desk.link[0x80]]] == [0, 1, 2, 3]
    assert [sequence for _, sequence, _ in frames[desk.link[0x48]]] == [0]


@pytest.mark.req("codec.framed-types")
@pytest.mark.parametrize("type_", [0, 127, 130, 255])
def test_another_frame_type_ends_the_link(desk: Desk, type_: int) -> None:
    good = data_frame(0, message([node(id_of(0x50))]))
    assert not desk.switch.receive(0.0, desk.link[0x20], good + bytes([type_]) + good[1:])
    assert not desk.switch.receive(0.0, desk.link[0x20], good)
    assert len(desk.delivered()) == 1
    assert desk.drops() == {"drop_frame_type": 1}


@pytest.mark.req("link.too-large-early")
@pytest.mark.parametrize("cut", range(1, 8))
def test_a_huge_length_ends_the_link_before_anything_is_kept(desk: Desk, cut: int) -> None:
    frame = b"\x80\0\0\0\0\xff\xff\xff"
    assert desk.switch.receive(0.0, desk.link[0x20], frame[:cut])
    assert not desk.switch.receive(0.0, desk.link[0x20], frame[cut:])
    assert desk.drops() == {"drop_frame_size": 1}


def test_a_frame_is_read_as_far_above_the_limit_as_a_header_may_grow(desk: Desk) -> None:
    largest = 5000 + limits.MAX_HEADER_GROWTH
    assert desk.give(bytes(largest))
    assert not desk.give(bytes(largest + 1))


@pytest.mark.req("link.frame-stream")
def test_frames_are_read_whatever_the_cuts() -> None:
    stream = b"".join(
        data_frame(i, message([node(id_of(0x50))], body=bytes(i))) + wire.ack_frame(i, 0) for i in range(3)
    )
    pieces = [[stream[:cut], stream[cut:]] for cut in range(len(stream) + 1)] + [[bytes([b]) for b in stream]]
    for cuts in pieces:
        desk = Desk()
        for piece in cuts:
            assert desk.switch.receive(0.0, desk.link[0x20], piece)
        assert len(desk.delivered()) == 3
        assert [sequence for sequence, _ in acks(desk.switch)] == [0, 1, 2]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda b: memoryview(bytearray(b"xx" + b))[2:]])
def test_any_buffer_is_taken(desk: Desk, kind: Callable[[bytes], bytes]) -> None:
    assert desk.switch.receive(0.0, desk.link[0x20], kind(data_frame(0, message([node(id_of(0x50))]))))
    assert len(desk.delivered()) == 1


# --- round trips (6.6.5, RFC 6298) ------------------------------------------------------------------


def rto_after(samples: list[float]) -> float:
    """RFC 6298 section 2 by its letter, with the clock of a millisecond and the bounds of limits.py."""
    srtt, rttvar = samples[0], samples[0] / 2
    for sample in samples[1:]:
        rttvar = 0.75 * rttvar + 0.25 * abs(srtt - sample)
        srtt = 0.875 * srtt + 0.125 * sample
    return min(max(srtt + max(0.001, 4 * rttvar), limits.RTO_FLOOR), limits.RTO_CEILING)


@pytest.mark.req("link.tls-rto", "link.rto-dynamic", "link.rtt-all-acks")
@pytest.mark.parametrize("samples", [[0.5], [0.5, 0.6, 2.0, 0.5], [0.01] * 5, [9.0, 9.0], [0.4] * 30])
def test_the_rto_follows_the_round_trips(desk: Desk, samples: list[float]) -> None:
    switch, link, now = desk.switch, desk.link[0x80], 100.0
    assert switch.rtt(link) == 0.0
    for number, sample in enumerate(samples):
        switch.originate(now, message([node(id_of(0x80))]))
        now += sample
        switch.receive(now, link, wire.ack_frame(number, 0))
        now += 5.0
    assert switch.silent_links(now + 1000) == []
    switch.originate(now, message([node(id_of(0x80))]))
    rto = rto_after(samples)
    assert switch.silent_links(now + rto - 0.002) == []
    assert switch.silent_links(now + rto + 0.002) == [link]


def test_a_link_falls_silent_with_its_oldest_frame_and_speaks_again(desk: Desk) -> None:
    switch, link = desk.switch, desk.link[0x80]
    for number in range(100):  # more turns than the link has marks for
        switch.originate(number / 100, message([node(id_of(0x80))]))
    assert switch.silent_links(0.99) == []
    assert switch.silent_links(1.01) == [link]
    switch.receive(1.02, link, wire.ack_frame(0, 0))
    assert switch.silent_links(1.02) == []
    switch.receive(1.5, link, wire.ack_frame(99, 0))
    assert switch.silent_links(1000.0) == []
    assert switch.counters["acked"] == 2


@pytest.mark.parametrize("sequence", [2, 3, 2**31, 2**32 - 1])
def test_an_ack_of_a_frame_never_sent_or_acked_before_says_nothing(desk: Desk, sequence: int) -> None:
    switch, link = desk.switch, desk.link[0x80]
    for _ in range(2):
        switch.originate(0.0, message([node(id_of(0x80))]))
    assert switch.receive(0.5, link, wire.ack_frame(sequence, 0xFFFFFFFF))
    assert (switch.rtt(link), switch.silent_links(1.1)) == (0.0, [link])
    switch.receive(1.5, link, wire.ack_frame(1, 0))
    assert switch.rtt(link) == 1.5
    assert switch.receive(9.0, link, wire.ack_frame(0, 0))
    assert switch.rtt(link) == 1.5


def test_idle_since_is_the_last_time_the_peer_was_heard(desk: Desk) -> None:
    assert desk.switch.idle_since(desk.link[0x80]) == 0.0
    desk.switch.receive(7.5, desk.link[0x80], b"\x81")
    assert desk.switch.idle_since(desk.link[0x80]) == 7.5


# --- against the reference --------------------------------------------------------------------------

entries = (
    st.sampled_from([0x20, 0x33, 0x48, 0x50, 0x50, 0x60, 0x61, 0x80, 0x80, 0xFF]).map(lambda n: node(id_of(n)))
    | st.sampled_from([0x21, 0x50, 0x51, 0xF0]).map(lambda n: resource(id_of(n)))
    | st.sampled_from(
        [
            b"\x80\x01",
            b"\x90\x01",
            issued_id(0),
            issued_id(0),
            issued_id(1),
            opaque(b"abc"),
            b"\x07\x01x",
            node(bytes(17)),
            resource(bytes(3)),
            b"\0\0",
            b"\x01",
        ]
    )
)
sound = st.builds(
    message,
    st.sampled_from([0x20, 0x33, 0x48, 0x60, 0x61, 0x80, 0x50]).map(lambda n: [node(id_of(n))])
    | st.sampled_from([0x21, 0x50, 0x70]).map(lambda n: [resource(id_of(n))]),
    st.lists(st.sampled_from([0x01, 0x50, 0x90]).map(lambda n: node(id_of(n))), max_size=3),
    code=st.sampled_from([PING, PING_ANSWER]),
)
received = sound | st.builds(
    message,
    st.lists(entries, max_size=4),
    st.lists(entries.filter(lambda e: e[:1] == b"\x01"), max_size=3),
    code=st.sampled_from([PING, PING, PING_ANSWER, ERROR, 0]),
    body=st.sampled_from([b"", b"body", bytes(200)]),
    ttl=st.sampled_from([0, 1, 99, 100, 101, 255]),
    overlay=st.sampled_from([1, 1, 1, 1, 2]),
    version=st.sampled_from([10, 10, 10, 10, 1]),
    fragment=st.sampled_from([0xC0000000, 0xC0000000, 0x80000000, 0xC0000010, 0x40000000]),
    option_list=st.sampled_from([b"", b"", bytes([9, 1, 0, 0]), bytes([9, 6, 0, 1, 7]), b"\x09"]),
)
frames = st.one_of(
    st.builds(data_frame, st.integers(0, 40), received),
    st.builds(data_frame, st.integers(0, 2**32 - 1), received | st.binary(max_size=60)),
    st.builds(wire.ack_frame, st.integers(0, 5), st.integers(0, 2**32 - 1)),
    st.binary(min_size=1, max_size=4),
)
peers = st.sampled_from([0x20, 0x80, 0x48, 0x60])
names = st.sampled_from([0x60, 0x61, 0x20, 0x48])
calls = st.one_of(
    st.tuples(st.just("receive"), peers, st.lists(frames, min_size=1, max_size=6).map(b"".join)),
    st.tuples(st.just("receive"), peers, st.lists(frames, min_size=1, max_size=6).map(b"".join)),
    st.tuples(st.just("originate"), peers | st.none(), received),
    st.tuples(st.just("full"), peers, st.booleans()),
    st.tuples(st.just("bind"), st.just(0x60), st.tuples(names, st.booleans())),
    st.tuples(st.just("held"), peers, received),
    st.tuples(st.just("drain"), st.none(), st.none()),
)


class Pair:
    """The same calls on the switch and on its reference."""

    def __init__(self, joined: bool, via_lists: int = 0) -> None:
        self.desk = Desk(max_message_size=300, via_lists=via_lists, secret=SECRET)
        self.fast = self.desk.switch
        ring = ReferenceRing(id_of(0x50))
        self.slow = ReferenceSwitch(ring, 1, max_message_size=300, via_lists=via_lists, secret=SECRET)
        ring.joined = self.fast.ring.joined = joined
        for n in (0x20, 0x80):
            ring.add(id_of(n))
        for n, link in self.desk.link.items():
            self.slow.open_link(link, id_of(n))
        # One whose certificate has several Node-IDs: of it is known which it is when it is bound.
        self.desk.link[0x60] = self.fast.open_link(0.0, bytes(16), is_bound=False)
        self.slow.open_link(self.desk.link[0x60], None)

    def receive(self, peer: int, stream: bytes, cuts: list[int]) -> None:
        link, start = self.desk.link[peer], 0
        for cut in [*sorted(c % (len(stream) + 1) for c in cuts), len(stream)]:
            assert self.fast.receive(1.0, link, stream[start:cut]) == self.slow.receive(link, stream[start:cut])
            start = cut

    def originate(self, peer: int | None, own: bytes) -> None:
        link = -1 if peer is None else self.desk.link[peer]
        assert self.fast.originate(1.0, own, link).name == self.slow.originate(own, link)

    def full(self, peer: int, is_full: bool) -> None:
        self.fast.set_full(self.desk.link[peer], is_full)
        self.slow.links[self.desk.link[peer]].is_full = is_full

    def bind(self, peer: int, name: int, is_attached: bool) -> None:
        link = self.desk.link[peer]
        assert self.fast.bind_link(link, id_of(name), is_attached) == self.slow.bind_link(
            link, id_of(name), is_attached
        )
        assert self.fast.node_of(link) == self.slow.links[link].node_id

    def held(self, peer: int, whole: bytes) -> None:
        if self.slow.links[self.desk.link[peer]].node_id is None:
            return  # nothing of an unattached link is held
        self.fast.pass_held(1.0, self.desk.link[peer], whole)
        self.slow.pass_held(self.desk.link[peer], whole)

    def drain(self) -> None:
        assert dict(self.fast.sends()) == self.slow.sends()
        assert [(r.link, r.verdict.name, r.message) for r in self.fast.take_inbox()] == self.slow.inbox
        self.slow.inbox.clear()
        counted = {name: n for name, n in self.fast.counters.items() if n and name != "acked"}
        assert counted == {name: n for name, n in self.slow.counters.items() if n}


@given(
    st.booleans(), st.sampled_from(ViaLists), st.lists(calls, max_size=12), st.lists(st.integers(0, 10_000), max_size=6)
)
def test_random_traffic_leaves_as_from_the_reference(
    joined: bool, via_lists: ViaLists, program: list[tuple[str, int | None, bytes]], cuts: list[int]
) -> None:
    pair = Pair(joined, via_lists)
    for name, peer, argument in program:
        if name == "receive":
            pair.receive(peer, argument, cuts)  # type: ignore[arg-type]
        elif name == "originate":
            try:
                wire.entries(wire.peek(argument).destination_list)
            except wire.Malformed:
                continue  # our own messages parse
            pair.originate(peer, argument)
        elif name == "full":
            pair.full(peer, bool(argument))  # type: ignore[arg-type]
        elif name == "bind":
            pair.bind(peer, *argument)  # type: ignore[arg-type]
        elif name == "held":
            pair.held(peer, argument)  # type: ignore[arg-type]
        else:
            pair.drain()
    pair.drain()


@given(st.lists(frames, min_size=1, max_size=3).map(b"".join))
def test_every_cut_of_the_input_gives_the_same(stream: bytes) -> None:
    whole = Pair(True)
    whole.receive(0x20, stream, [])
    whole.drain()
    for cut in range(0, len(stream), 1 + len(stream) // 60):
        pair = Pair(True)
        pair.receive(0x20, stream, [cut])
        pair.drain()
        counters, expected = dict(pair.fast.counters), dict(whole.fast.counters)
        if not counters["drop_frame_type"] + counters["drop_frame_size"]:  # a stream that broke says no more
            assert counters == expected


def test_each_data_frame_ends_in_exactly_one_counter(rng: random.Random) -> None:
    pair, count = Pair(True), 0
    good = message([node(id_of(0x80))], via=[node(id_of(9))])
    for _ in range(3000):
        spoiled = bytearray(good)
        for _ in range(rng.randrange(4)):
            spoiled[rng.randrange(len(spoiled))] = rng.choice([0, 1, 2, 255, rng.randrange(256)])
        pair.receive(0x20, data_frame(count % 2**32, bytes(spoiled)), [])
        count += 1
        if count % 100 == 0:
            pair.drain()
    counters = pair.fast.counters
    ends = [n for name, n in counters.items() if name.startswith("drop_") or name in ("delivered", "forwarded")]
    assert sum(ends) == counters["received"] == count
