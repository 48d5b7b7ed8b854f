"""Shortened via lists: what stands for them leads back the whole way, for its time, and nobody else can make it."""

import random
from itertools import pairwise

import pytest

from tests.cext.test_switch import SECRET, Desk, Overlay, expect_drop, id_of, issued_id
from tests.reference import wire
from tests.reference.wire import message, node, opaque
from xor_fast import limits
from xor_fast.cext.switch import Switch, ViaLists

A, B, C = (node(id_of(n)) for n in (0xA0, 0xB0, 0xC0))
ANSWER = 0x18
LIFETIME = 15.0


def desk_with(via_lists: ViaLists, **options: object) -> Desk:
    return Desk(via_lists=via_lists, secret=SECRET, request_lifetime=LIFETIME, **options)


def passed_on(desk: Desk, via: list[bytes], source: int = 0x20) -> bytes:
    """The via list of a request that came with `via` and went on to 0x80."""
    desk.give(message([node(id_of(0x80))], via), source)
    (left,) = desk.out()[0x80]
    return wire.peek(left).via_list


def give_answer(desk: Desk, now: float, *destinations: bytes) -> list[bytes]:
    """An answer from 0x80 to that destination list; the destination list with which it leaves, for 0x20 if it does."""
    frame = wire.data_frame(99, message([node(id_of(0x50)), *destinations], code=ANSWER))
    assert desk.switch.receive(now, desk.link[0x80], frame)
    return [wire.peek(left).destination_list for left in desk.out().get(0x20, [])]


@pytest.mark.req("fwd.via-reconstruct", "fwd.opaque-expand", "fwd.response-reinsert")
def test_an_id_stands_for_the_whole_way_back() -> None:
    """D gets a request from C with [A, B]; its answer leaves D with [C, B, A] (6.1.2)."""
    desk = desk_with(ViaLists.STATE)
    short = passed_on(desk, [A, B])
    assert short == issued_id(0)
    assert give_answer(desk, 2.0, short) == [node(id_of(0x20)) + B + A]
    assert give_answer(desk, 3.0, short) == [node(id_of(0x20)) + B + A]  # the answer may come again


def test_what_stands_behind_the_id_stays_behind_the_way() -> None:
    desk = desk_with(ViaLists.STATE)
    assert give_answer(desk, 2.0, passed_on(desk, [A, B]), C) == [node(id_of(0x20)) + B + A + C]


@pytest.mark.req("fwd.via-reconstruct")
@pytest.mark.parametrize("via_lists", ViaLists)
def test_answers_leave_every_node_of_a_line_as_if_nothing_had_been_shortened(via_lists: ViaLists) -> None:
    ids = [bytes([n]) * 16 for n in range(1, 9)]
    overlay = Overlay(via_lists=via_lists, secret=SECRET)
    overlay.line(*ids)
    for here, there in pairwise(ids):
        overlay.switch[here].ring.add(there)
        overlay.switch[here].ring.joined = False
    first, last = overlay.switch[ids[0]], overlay.switch[ids[-1]]
    first.originate(0.0, message([node(ids[-1])]))
    there = overlay.run()
    (came,) = [received.message for received in last.take_inbox()]
    via = [entry.encoded for entry in wire.entries(wire.peek(came).via_list)]
    whole = 18 * (len(ids) - 2)
    sizes = {ViaLists.WHOLE: whole, ViaLists.LINK_IDS: 2 * (len(ids) - 2), ViaLists.STATE: 19}
    assert len(b"".join(via)) == sizes[via_lists]
    last.originate(0.0, message([node(ids[-2]), *reversed(via)], code=ANSWER))
    back = overlay.run()
    (answer,) = [received.message for received in first.take_inbox()]
    assert wire.peek(answer).destination_list == node(ids[0])
    assert back == [(there, here) for here, there in reversed(there)]


@pytest.mark.req("fwd.state-retention", "fwd.state-expiry")
def test_a_way_is_kept_for_the_life_of_a_request_and_no_longer() -> None:
    desk = desk_with(ViaLists.STATE)
    short = passed_on(desk, [A, B])  # at 1.0
    assert give_answer(desk, 1.0 + LIFETIME - 0.01, short) == [node(id_of(0x20)) + B + A]
    assert give_answer(desk, 1.0 + LIFETIME, short) == []
    assert desk.drops() == {"drop_opaque_id": 1}


@pytest.mark.req("fwd.state-expiry")
def test_the_table_is_bounded_and_gives_up_nothing_before_its_time() -> None:
    desk = desk_with(ViaLists.STATE, max_message_size=300)
    ids = [passed_on(desk, [A]) for _ in range(limits.RETURN_STATES)]
    assert passed_on(desk, [A]) == A + node(id_of(0x20))  # whole, as no room is left
    assert desk.switch.counters["via_not_shortened"] == 1
    assert give_answer(desk, 2.0, ids[0]) == [node(id_of(0x20)) + A]
    frame = wire.data_frame(0, message([node(id_of(0x80))], [B]))
    assert desk.switch.receive(1.0 + LIFETIME, desk.link[0x20], frame)
    (left,) = desk.out()[0x80]
    assert wire.peek(left).via_list == issued_id(limits.RETURN_STATES)
    assert give_answer(desk, 1.0 + LIFETIME, ids[0]) == []
    assert give_answer(desk, 1.0 + LIFETIME, issued_id(limits.RETURN_STATES)) == [node(id_of(0x20)) + B]


def test_a_way_of_odd_length_is_not_kept() -> None:
    """A table of them would take as much memory as whoever writes them likes."""
    desk = desk_with(ViaLists.STATE)
    room = limits.RETURN_STATE_SIZE - len(node(id_of(0x20)))
    fits = [opaque(bytes(room % 257 - 3)), *[opaque(bytes(254))] * (room // 257)]
    for via, count in ((fits, 1), ([*fits, A], 0)):
        assert len(b"".join(via)) == room + (0 if count else len(A))
        left = passed_on(desk, via)
        assert left == (issued_id(0) if count else b"".join(via) + node(id_of(0x20)))
    assert desk.switch.counters["via_not_shortened"] == 1


@pytest.mark.req("fwd.opaque-authentic", "fwd.opaque-unknown")
def test_an_id_of_which_any_bit_is_changed_leads_nowhere() -> None:
    desk = desk_with(ViaLists.STATE)
    short = passed_on(desk, [A, B])
    value = short[3:]
    for bit in range(8 * len(value)):
        changed = (int.from_bytes(value, "big") ^ 1 << bit).to_bytes(len(value), "big")
        assert give_answer(desk, 2.0, opaque(changed)) == []
    for size in (0, 1, 4, 15, 17, 100):
        assert give_answer(desk, 2.0, opaque((value * 9)[:size])) == []
    assert set(desk.drops()) == {"drop_opaque_id"}


@pytest.mark.req("fwd.opaque-authentic")
def test_ids_of_two_switches_have_nothing_in_common(rng: random.Random) -> None:
    """Who has seen all ids of one cannot tell one of the other, nor the next."""
    desks = [Desk(via_lists=ViaLists.STATE, secret=rng.randbytes(32)) for _ in range(2)]
    seen = [{passed_on(desk, [A])[3 + 4 :] for _ in range(50)} for desk in desks]
    assert len(seen[0] | seen[1]) == 100
    assert give_answer(desks[0], 2.0, passed_on(desks[1], [A])) == []


def test_a_way_over_a_link_that_is_gone_goes_by_the_tables_or_ends() -> None:
    desk = desk_with(ViaLists.STATE)
    from_peer, from_client = passed_on(desk, [A]), passed_on(desk, [A], 0x48)
    for gone in (0x20, 0x48):
        desk.switch.close_link(desk.link.pop(gone))
    desk.link[0x20] = desk.switch.open_link(1.0, id_of(0x20))  # it came back
    assert give_answer(desk, 2.0, from_peer) == [node(id_of(0x20)) + A]
    assert give_answer(desk, 2.0, from_client) == []
    assert desk.drops() == {"drop_foreign_node": 1}


@pytest.mark.req("fwd.opaque-index-generation")
def test_a_compact_id_names_slot_and_generation_of_a_link() -> None:
    desk = desk_with(ViaLists.LINK_IDS, first_generation=5)
    short = passed_on(desk, [A])
    number = int.from_bytes(short[len(A) :], "big")
    assert short[: len(A)] == A
    assert number >> 15 == 1
    assert (number >> 12 & 7, number & 0xFFF) == (5, 0)
    assert give_answer(desk, 2.0, short[len(A) :], A) == [node(id_of(0x20)) + A]


@pytest.mark.req("fwd.opaque-generation-check")
def test_the_slot_s_next_link_does_not_get_what_was_meant_for_the_one_before() -> None:
    switch = Switch(Desk().switch.ring, 1, via_lists=ViaLists.LINK_IDS)
    behind = switch.open_link(0.0, id_of(0x80))
    first = switch.open_link(0.0, id_of(0x20))
    switch.receive(0.0, first, wire.data_frame(0, message([node(id_of(0x80))])))
    frames = wire_messages(switch, behind)
    compact = wire.peek(frames[0]).via_list
    assert compact == (0x8000 | first).to_bytes(2, "big")
    switch.close_link(first)
    while (again := switch.open_link(0.0, id_of(0x21))) & 0xFFF != first & 0xFFF:
        switch.close_link(again)
    answer = message([node(id_of(0x50)), compact], code=ANSWER)
    switch.receive(0.0, behind, wire.data_frame(0, answer))
    assert wire_messages(switch, again) == []
    assert switch.counters["drop_opaque_id"] == 1


def wire_messages(switch: Switch, link: int) -> list[bytes]:
    """Messages that leave over one link; ACKs are left out."""
    data = dict(switch.sends()).get(link, b"")
    found = []
    while data:
        size = 8 + int.from_bytes(data[5:8], "big") if data[0] == 128 else 9
        if data[0] == 128:
            found.append(data[8:size])
        data = data[size:]
    return found


@pytest.mark.parametrize("via_lists", [ViaLists.WHOLE, ViaLists.LINK_IDS])
def test_an_id_of_another_kind_than_ours_is_unknown(via_lists: ViaLists) -> None:
    desk = desk_with(via_lists)
    assert give_answer(desk, 2.0, issued_id(0)) == []
    assert desk.drops() == {"drop_opaque_id": 1}


def test_an_answer_its_way_back_makes_too_large_is_dropped() -> None:
    desk = desk_with(ViaLists.STATE, max_message_size=300)
    short = passed_on(desk, [A, B, C])
    whole = message([node(id_of(0x50)), short], code=ANSWER)
    room = 300 - len(whole)
    fits = message([node(id_of(0x50)), short], code=ANSWER, rest=bytes(len(b"security block") + room))
    desk.switch.receive(2.0, desk.link[0x80], wire.data_frame(9, fits))
    expect_drop(desk, "drop_too_large")


def test_only_the_owner_s_mistakes_raise() -> None:
    with pytest.raises(ValueError, match="secret has 3 bytes"):
        Desk(via_lists=ViaLists.STATE, secret=b"abc")
    with pytest.raises(ValueError, match="3"):
        Desk(via_lists=3)
