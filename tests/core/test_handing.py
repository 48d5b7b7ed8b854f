"""Where values go when the ring changes, seen from the links of one peer: what was acknowledged stays (RFC 6940 10)."""

from random import Random
from typing import Any

import pytest

from tests.core.neighbours import (
    BEFORE_OURS,
    DICTIONARY,
    NOW_MS,
    PLACE,
    USER,
    Neighbours,
    candidate,
    error_code,
    store,
    value,
)
from tests.core.outside import OURS, node, resource
from xor_fast import limits
from xor_fast.actions import Dial
from xor_fast.cext import codec, ids
from xor_fast.core.tuning import Tuning
from xor_fast.errors import ErrorCode
from xor_fast.messages import (
    AttachReqAns,
    ChordUpdateType,
    Code,
    DataValue,
    DictionaryEntry,
    ErrorResponse,
    FetchAns,
    JoinReq,
    StoreAns,
    StoredData,
    StoreKindData,
    StoreKindResponse,
    StoreReq,
    UpdateAns,
    UpdateReq,
)
from xor_fast.sim.disk import VirtualDisk
from xor_fast.sim.fakes import FakeIdentity


@pytest.fixture
def around() -> Neighbours:
    return Neighbours()


def test_a_new_owner_that_refuses_a_value_is_asked_again(around: Neighbours) -> None:
    """It may not know us yet. Until it has the value, we hold on to it, whoever else comes in between."""
    writer, owner = around.members[0], around.member(BEFORE_OURS)
    around.put(writer, Code.STORE_REQ, store(value(writer, b"v")), resource(PLACE))
    around.enter(owner)
    around.wait(0.1)
    (first,) = around.asked_of(owner, Code.STORE_REQ)
    around.answer_to(owner, first, Code.ERROR, ErrorResponse(ErrorCode.FORBIDDEN))
    around.received.clear()
    around.wait(limits.REPLICA_RETRY + 0.1)
    (second,) = around.asked_of(owner, Code.STORE_REQ)
    assert second.header.transaction_id != first.header.transaction_id


def test_a_value_from_one_who_is_not_its_owner_goes_on_to_the_owner(around: Neighbours) -> None:
    """It may have been the owner, or take us for it, and let go of the value. What the owner sends us stays with us."""
    writer, owner, other = around.members[0], around.member(BEFORE_OURS), around.members[3]
    around.enter(owner, other)
    for number, (sender, expected) in enumerate([(owner, 0), (other, 1)], 1):
        replica = store(value(writer, b"v", NOW_MS + number), replica=1, counter=number)
        assert around.put(sender, Code.STORE_REQ, replica)[-1].code == Code.STORE_ANS
        around.received.clear()
        around.wait(limits.REPLICA_RETRY + 0.1)
        assert len(around.asked_of(owner, Code.STORE_REQ)) == expected


def test_what_this_peer_would_let_go_of_is_refused(around: Neighbours) -> None:
    """While it sees one more between the owner and itself, dead maybe: else the owner would count on a copy that goes,
    and had no reason to send it again."""
    owner, first, second = [around.member(BEFORE_OURS[:8] + bytes([n]) * 8) for n in (1, 2, 3)]
    around.enter(owner, first, second)
    replica = store(value(owner, b"v"), replica=2, counter=1)
    assert error_code(around.put(owner, Code.STORE_REQ, replica)) == ErrorCode.FORBIDDEN
    around.leave(first)
    assert around.put(owner, Code.STORE_REQ, replica)[-1].code == Code.STORE_ANS
    around.wait(limits.REPLICA_RETRY + limits.HOLD_DOWN)
    assert len(around.node.storage) == 1


def test_a_joiner_that_brings_a_newer_value_is_let_in(around: Neighbours) -> None:
    """It was a peer before, and has its disk: what we hand it is too old for it, and it need not take it."""
    writer, joiner = around.members[0], around.member(BEFORE_OURS)
    around.put(writer, Code.STORE_REQ, store(value(writer, b"v")), resource(PLACE))
    around.wait(0.1)
    around.put(joiner, Code.JOIN_REQ, JoinReq(joiner.node_id))
    (handed,) = around.asked_of(joiner, Code.STORE_REQ)
    around.received.clear()
    around.answer_to(joiner, handed, Code.ERROR, ErrorResponse(ErrorCode.DATA_TOO_OLD))
    (fetch,) = around.asked_of(joiner, Code.FETCH_REQ)
    around.answer_to(joiner, fetch, Code.FETCH_ANS, FetchAns(()))
    around.wait(0.1)
    (admission,) = around.asked_of(joiner, Code.UPDATE_REQ)
    assert isinstance(admission.body, UpdateReq)
    assert admission.body.predecessors[0] == joiner.node_id


def test_the_range_of_a_predecessor_lost_during_a_join_goes_to_the_joiner(around: Neighbours) -> None:
    """It will answer for it; without this, nobody who has the values would be asked for them."""
    writer, predecessor, joiner = around.members[0], around.member(b"\x7f" + b"\xf0" * 15), around.member(BEFORE_OURS)
    assert predecessor.node_id > PLACE
    around.enter(predecessor)
    replica = store(value(writer, b"v"), replica=1, counter=1)
    assert around.put(predecessor, Code.STORE_REQ, replica)[-1].code == Code.STORE_ANS
    admission = around.put(joiner, Code.JOIN_REQ, JoinReq(joiner.node_id))[-1]
    assert admission.code == Code.UPDATE_REQ  # none of our own values lies between the two
    around.leave(predecessor)
    around.answer_to(joiner, admission, Code.UPDATE_ANS, UpdateAns())
    around.wait(0.1)
    assert len(around.asked_of(joiner, Code.STORE_REQ)) == 1


def test_a_joiner_that_has_started_over_refuses_to_be_admitted() -> None:
    """Its answer would end the claim of the admitting peer, and nobody would take up the range."""
    around = Neighbours(started=False)
    around.node.join(around.now, [("192.0.2.1", 6084)], lambda now, outcome: None)
    answers = around.put(around.members[3], Code.UPDATE_REQ, UpdateReq(1, 2, (OURS,), ()))
    assert error_code(answers) == ErrorCode.IN_PROGRESS


def test_an_answerer_that_wants_an_update_gets_it_with_the_link(around: Neighbours) -> None:
    """send_update stands in the answer to an Attach, too (notes 4.5)."""
    informer, named = around.members[3], FakeIdentity(ids.successor_id(OURS), USER)
    around.enter(informer)
    around.put(informer, Code.UPDATE_REQ, UpdateReq(1, 2, (), (named.node_id,)))
    (attach,) = around.asked_of(informer, Code.ATTACH_REQ)
    body = AttachReqAns(b"", b"", b"active", (candidate(),), True)
    fields: dict[str, Any] = {"transaction_id": attach.header.transaction_id, "signer": named}
    around.deliver(informer, around.message(Code.ATTACH_ANS, body, **fields))
    around.connect(named)
    (update,) = around.asked_of(named, Code.UPDATE_REQ)
    assert isinstance(update.body, UpdateReq)
    assert update.body.type == ChordUpdateType.FULL


def test_a_counter_is_remembered_as_long_as_promised(around: Neighbours, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted from the end of its own last value, whatever else has expired before."""
    monkeypatch.setattr(limits, "COUNTER_MEMORY", 100.0)
    writer = around.members[0]
    counters = []
    for number, pause in enumerate((11, 80, 60, 120, 0)):
        data = value(writer, b"v", NOW_MS + number, lifetime=10)
        (answer,) = around.put(writer, Code.STORE_REQ, store(data), resource(PLACE))
        assert isinstance(answer.body, StoreAns)
        counters.append(answer.body.kind_responses[0].generation_counter)
        around.wait(pause)
    assert counters == [1, 2, 3, 4, 1]


def confirm_replicas(around: Neighbours, member: FakeIdentity) -> int:
    """The member takes each replica it was sent; how many."""
    requests = around.asked_of(member, Code.STORE_REQ)
    for request in requests:
        assert isinstance(request.body, StoreReq)
        kinds = tuple(StoreKindResponse(k.kind, k.generation_counter) for k in request.body.kind_data)
        around.answer_to(member, request, Code.STORE_ANS, StoreAns(kinds))
    around.drain()  # what follows is acknowledged at once
    return len(requests)


def test_who_was_out_of_the_replica_set_gets_a_new_copy(around: Neighbours) -> None:
    """It has let go of the value while three others stood between; when they go, it has to get it again."""
    writer, near, far = around.members[0], around.members[3], around.members[4]
    around.enter(near, far)
    around.put(writer, Code.STORE_REQ, store(value(writer, b"v")), resource(PLACE))
    assert [confirm_replicas(around, member) for member in (near, far)] == [1, 1]
    between = [around.member(OURS[:8] + bytes([n]) * 8) for n in (1, 2, 3)]
    around.received.clear()
    around.enter(*between)
    around.wait(0.1)
    assert [confirm_replicas(around, member) for member in between] == [1, 1, 0]
    around.received.clear()
    for member in between:
        around.leave(member)
    around.wait(limits.RESCUE_DELAY + 0.1)
    assert [confirm_replicas(around, member) for member in (near, far)] == [1, 1]


def test_who_gets_a_range_back_makes_its_copies_anew(around: Neighbours) -> None:
    """While another was the owner, the last of our replicas lay outside of the replica set and has let go."""
    writer, near, far, owner = around.members[0], around.members[3], around.members[4], around.member(BEFORE_OURS)
    around.node.tuning = Tuning(hold_down=1.0)
    around.enter(near, far)
    around.put(writer, Code.STORE_REQ, store(value(writer, b"v")), resource(PLACE))
    assert [confirm_replicas(around, member) for member in (near, far)] == [1, 1]
    around.enter(owner)
    around.wait(0.1)
    assert confirm_replicas(around, owner) == 1
    around.wait(limits.REPLICA_RETRY + 0.1)
    around.received.clear()
    around.leave(owner)
    around.wait(1.1)
    assert confirm_replicas(around, far) == 1


def test_a_late_confirmation_is_no_copy_any_more(around: Neighbours) -> None:
    writer, near, far, owner = around.members[0], around.members[3], around.members[4], around.member(BEFORE_OURS)
    around.node.tuning = Tuning(hold_down=1.0)
    around.enter(near, far)
    around.put(writer, Code.STORE_REQ, store(value(writer, b"v")), resource(PLACE))
    around.enter(owner)
    around.wait(0.1)
    assert [confirm_replicas(around, member) for member in (owner, near, far)] == [1, 1, 1]
    around.wait(limits.REPLICA_RETRY + 0.1)
    around.received.clear()
    around.leave(owner)
    around.wait(1.1)
    assert confirm_replicas(around, far) == 1


def test_a_value_brought_back_by_a_restart_goes_to_whoever_is_responsible_now() -> None:
    disk = VirtualDisk()
    around = Neighbours(disk=disk)
    writer = around.members[0]
    around.put(writer, Code.STORE_REQ, store(value(writer, b"v")), resource(PLACE))
    again = Neighbours(disk=disk)
    owner = again.member(BEFORE_OURS)
    again.enter(owner)
    again.wait(0.1)
    assert len(again.asked_of(owner, Code.STORE_REQ)) == 1


def test_the_same_store_once_more_sends_no_replicas(around: Neighbours) -> None:
    writer, successor = around.members[0], around.members[3]
    around.enter(successor)
    for _ in range(20):
        around.put(writer, Code.STORE_REQ, store(value(writer, b"v")), resource(PLACE))
        confirm_replicas(around, successor)
        assert len(around.asked_of(writer, Code.STORE_ANS)) == 1
    assert around.node.counters["replicas_sent"] == 1


def test_a_replica_refused_for_good_is_offered_ever_more_seldom(around: Neighbours) -> None:
    writer, successor = around.members[0], around.members[3]
    around.enter(successor)
    around.put(writer, Code.STORE_REQ, store(value(writer, b"v")), resource(PLACE))
    for _ in range(600):
        for request in around.asked_of(successor, Code.STORE_REQ):
            around.answer_to(successor, request, Code.ERROR, ErrorResponse(ErrorCode.DATA_TOO_LARGE))
        around.received.clear()
        around.wait(1)
    assert 5 < around.node.counters["replicas_sent"] < 15


@pytest.mark.req("topo.replica-new-member")
def test_the_hold_down_after_a_failure_does_not_keep_copies_from_who_has_just_joined(around: Neighbours) -> None:
    """It is there for whoever replaces the failed one (10.7.1), and may be back. Under churn somebody always fails."""
    writer, first, second, third = around.members[0], *(around.member(OURS[:8] + bytes([n]) * 8) for n in (2, 3, 4))
    for member in (first, second, third):
        around.put(member, Code.UPDATE_REQ, UpdateReq(10_000, ChordUpdateType.PEER_READY))
    around.wait(0.1)
    around.put(writer, Code.STORE_REQ, store(value(writer, b"v")), resource(PLACE))
    assert [confirm_replicas(around, member) for member in (first, second)] == [1, 1]
    around.leave(first)
    around.received.clear()
    around.wait(limits.HOLD_DOWN / 2)
    assert confirm_replicas(around, third) == 0
    joined = around.member(OURS[:8] + bytes([1]) * 8)
    around.put(joined, Code.UPDATE_REQ, UpdateReq(0, ChordUpdateType.PEER_READY))
    assert confirm_replicas(around, joined) == 1


def between(around: Neighbours, count: int) -> list[FakeIdentity]:
    """Further members between PLACE and us, in their order on the ring; not entered yet."""
    return [around.member(BEFORE_OURS[:8] + bytes([n]) * 8) for n in range(1, count + 1)]


@pytest.mark.parametrize("is_giver_there", [True, False])
def test_the_last_copy_is_not_let_go_of(around: Neighbours, is_giver_there: bool) -> None:
    """Who gave it to us is gone, so that those who are to hold it now may have nothing: the owner gets it first."""
    giver, heir, *others = between(around, 5)
    around.enter(giver, heir)
    assert around.put(giver, Code.STORE_REQ, store(value(giver, b"v"), replica=1, counter=1))[-1].code == Code.STORE_ANS
    if not is_giver_there:
        around.leave(giver)
    around.received.clear()
    around.enter(*others)
    owner = giver if is_giver_there else heir
    assert confirm_replicas(around, owner) == 0
    around.wait(limits.HOLD_DOWN + limits.SETTLING + 0.1)
    assert len(around.node.storage) == (0 if is_giver_there else 1)
    assert confirm_replicas(around, owner) == (0 if is_giver_there else 1)
    around.wait(limits.HOLD_DOWN + limits.SETTLING + 0.1)
    assert len(around.node.storage) == 0


def test_what_will_be_let_go_of_stays_until_all_is_quiet_nearby(around: Neighbours) -> None:
    """Its owner may not see all of those in between, and count on it still when they have gone."""
    giver, *others = between(around, 5)
    around.enter(giver)
    assert around.put(giver, Code.STORE_REQ, store(value(giver, b"v"), replica=1, counter=1))[-1].code == Code.STORE_ANS
    for other in others:
        around.enter(other)
        around.wait(limits.HOLD_DOWN + limits.SETTLING - 1)
        assert len(around.node.storage) == 1


@pytest.mark.parametrize("is_newer_there", [True, False])
def test_what_an_owner_took_that_we_do_not_know_is_settled(around: Neighbours, is_newer_there: bool) -> None:
    """The ring has moved far from us: only the way to the Resource-ID tells who is responsible. If that one has
    something newer, nobody needs it here."""
    (nearer, *others), stranger = between(around, 5), FakeIdentity(ids.successor_id(PLACE), USER)
    writer = around.members[0]
    around.put(writer, Code.STORE_REQ, store(value(writer, b"v")), resource(PLACE))
    around.enter(*others)
    around.received.clear()
    around.wait(2 * limits.REPLICA_RETRY)
    (asked,) = [(m, r) for m in around.members for r in around.asked_of(m, Code.STORE_REQ) if m is not others[0]]
    assert asked[1].header.destination_list == (resource(PLACE),)
    around.enter(nearer)
    fields: dict[str, Any] = {"transaction_id": asked[1].header.transaction_id, "signer": stranger}
    code, answer = Code.STORE_ANS, StoreAns((StoreKindResponse(DICTIONARY, 1),))
    if is_newer_there:
        code, answer = Code.ERROR, ErrorResponse(ErrorCode.DATA_TOO_OLD)
    around.deliver(asked[0], around.message(code, answer, **fields))
    assert len(around.node.storage) == 0
    around.drain()
    assert not [request for _, request in around.received if request.code == Code.FETCH_REQ]


def test_a_debt_follows_the_owner(around: Neighbours) -> None:
    """Another has come in before the one that has just taken the value, too far from us to make us look again."""
    writer, (nearer, owner, *others) = around.members[0], between(around, 5)
    around.put(writer, Code.STORE_REQ, store(value(writer, b"v")), resource(PLACE))
    around.enter(*around.members[:5], owner)
    around.wait(0.1)
    (asked,) = around.asked_of(owner, Code.STORE_REQ)
    around.enter(*others)
    around.wait(0.1)
    around.enter(nearer)
    around.received.clear()
    around.answer_to(owner, asked, Code.STORE_ANS, StoreAns((StoreKindResponse(DICTIONARY, 1),)))
    around.wait(2 * limits.REPLICA_RETRY)
    stores = [request for _, request in around.received if request.code == Code.STORE_REQ]
    assert [request for request in stores if request.header.destination_list == (resource(PLACE),)]


def test_a_joiner_whose_bootstrap_nodes_are_gone_goes_through_peers_that_have_come_to_it() -> None:
    """It was a peer before, and they look for it."""
    around = Neighbours(started=False)
    around.node.join(around.now, [("192.0.2.9", 6084)], lambda now, outcome: None)
    around.enter()
    for _ in range(5):
        for action in around.node.actions():
            if isinstance(action, Dial):
                around.node.dial_failed(around.now, action.ticket, "connection refused")
        around.wait(1)
    assert [member for member in around.members if around.asked_of(member, Code.ATTACH_REQ)]


def test_a_newer_value_follows_an_older_one_that_is_on_its_way(around: Neighbours) -> None:
    writer, near = around.members[0], around.members[3]
    others = [around.member(OURS[:8] + bytes([n]) * 8) for n in (1, 2)]
    around.node.tuning = Tuning(hold_down=0.5)
    around.put(writer, Code.STORE_REQ, store(value(writer, b"old")), resource(PLACE))
    around.enter(near)
    around.wait(0.1)
    (older,) = around.asked_of(near, Code.STORE_REQ)
    around.enter(*others)
    around.put(writer, Code.STORE_REQ, store(value(writer, b"new", NOW_MS + 1)), resource(PLACE))
    assert [confirm_replicas(around, member) for member in (*others, near)] == [1, 1, 0]
    around.leave(others[0])
    around.wait(0.6)
    around.received.clear()
    around.answer_to(near, older, Code.STORE_ANS, StoreAns((StoreKindResponse(DICTIONARY, 1),)))
    around.wait(limits.REPLICA_RETRY + 0.1)
    (newer,) = around.asked_of(near, Code.STORE_REQ)
    assert isinstance(newer.body, StoreReq)
    assert newer.body.kind_data[0].values[0].storage_time == NOW_MS + 1


@pytest.mark.parametrize("has_it", [True, False])
def test_an_owner_that_sends_no_copies_is_sent_one(around: Neighbours, has_it: bool) -> None:
    """Its disk was full when it was a replica, say: whoever has a copy may have the last."""
    giver, heir = between(around, 2)
    around.enter(giver, heir)
    around.node.tuning = Tuning(hold_down=1.0)
    held = value(giver, b"v")
    assert around.put(giver, Code.STORE_REQ, store(held, replica=2, counter=1))[-1].code == Code.STORE_ANS
    around.leave(giver)
    if has_it:
        assert around.put(heir, Code.STORE_REQ, store(held, replica=1, counter=1))[-1].code == Code.STORE_ANS
    around.received.clear()
    around.wait(1 + limits.SETTLING + 0.1)
    assert len(around.asked_of(heir, Code.STORE_REQ)) == (0 if has_it else 1)


@pytest.mark.parametrize("is_refusal", [True, False])
def test_who_is_farther_than_the_owner_we_know_of_settles_nothing(is_refusal: bool) -> None:
    """It lies on the way, and says that it took the value, or has a newer one; we may have the last copy."""
    around = Neighbours(tuning=Tuning(neighbours_each_side=3))
    _, *others = between(around, 5)
    writer, stranger = around.members[0], FakeIdentity(ids.successor_id(others[0].node_id), USER)
    around.put(writer, Code.STORE_REQ, store(value(writer, b"v")), resource(PLACE))
    around.enter(*others, *around.members[:2], *around.members[3:5])
    around.received.clear()
    around.wait(2 * limits.REPLICA_RETRY)
    asked = [(m, r) for m in around.members for r in around.asked_of(m, Code.STORE_REQ)]
    through, request = next((m, r) for m, r in asked if r.header.destination_list == (resource(PLACE),))
    fields: dict[str, Any] = {"transaction_id": request.header.transaction_id, "signer": stranger}
    code, answer = Code.STORE_ANS, StoreAns((StoreKindResponse(DICTIONARY, 1),))
    if is_refusal:
        code, answer = Code.ERROR, ErrorResponse(ErrorCode.DATA_TOO_OLD)
    around.deliver(through, around.message(code, answer, **fields))
    around.wait(limits.HOLD_DOWN + limits.SETTLING + 1)
    assert len(around.node.storage) == 1


def fill(around: Neighbours, count: int) -> None:
    """So many values, each of another user and at another place, all of them ours."""
    random = Random(1)
    for n in range(count):
        writer = FakeIdentity(random.randbytes(16), b"another%d@outside.example" % n)
        place = ids.resource_id(writer.user_name)
        entry = DictionaryEntry(writer.node_id, DataValue(True, b"v"))
        signed = codec.value_signature_input(place, DICTIONARY, NOW_MS, entry, writer.signer)
        data = StoredData(NOW_MS, 10_000, entry, writer.sign(signed))
        body = StoreReq(place, 0, (StoreKindData(DICTIONARY, 0, (data,)),))
        around.deliver(around.members[0], around.message(Code.STORE_REQ, body, resource(place), signer=writer))
    assert len(around.node.storage) == count


def test_who_says_that_it_has_newer_values_and_shows_none_holds_few_of_our_requests(around: Neighbours) -> None:
    """What a replica has that is newer is fetched from it (7.4.1.1). It may refuse thousands of values so."""
    fill(around, 100)
    liar = around.member(OURS[:15] + b"\1")
    around.enter(liar)
    fetches = set()
    for _ in range(20):
        around.wait(0.05)
        asked = around.asked_of(liar)
        around.received.clear()
        fetches |= {request.header.transaction_id for request in asked if request.code == Code.FETCH_REQ}
        for request in asked:
            if request.code == Code.STORE_REQ:
                around.answer_to(liar, request, Code.ERROR, ErrorResponse(ErrorCode.DATA_TOO_OLD))
    assert 0 < len(fetches) <= limits.HANDOVER_WINDOW


def test_copies_for_who_has_gone_keep_nobody_waiting(around: Neighbours) -> None:
    """A successor dies before it has all that is to go to it: who takes its place gets its copies at once, not after
    each of the others was sent to the dead five times."""
    around.node.tuning = Tuning(hold_down=1.0)
    fill(around, 200)
    first, second = (around.member(OURS[:8] + bytes([n]) * 8) for n in (1, 2))
    around.enter(first)
    around.wait(0.1)
    around.leave(first)
    around.enter(second)
    copies = 0
    for _ in range(40):
        around.received.clear()
        around.wait(1.0)
        stores = around.asked_of(second, Code.STORE_REQ)
        copies += sum(request.header.destination_list == (node(second.node_id),) for request in stores)
        confirm_replicas(around, second)
    assert copies == 200


def test_a_silent_replica_does_not_keep_another_waiting(around: Neighbours) -> None:
    """It acknowledges every frame and answers no Store: that is its own loss."""
    values = 3 * limits.MAX_PUSHES
    fill(around, values)
    silent, second = (around.member(OURS[:8] + bytes([n]) * 8) for n in (1, 2))
    around.enter(silent, second)
    for _ in range(2 * values // limits.HANDOVER_WINDOW):
        around.wait(0.01)
        confirm_replicas(around, second)
    stores = around.asked_of(second, Code.STORE_REQ)
    assert len({request.body.resource for request in stores if isinstance(request.body, StoreReq)}) == values
