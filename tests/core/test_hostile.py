"""What a member of the overlay can send: none of it raises out of the node, and none of it stays for ever.

Everything here is signed and well formed as far as the data plane can tell; a bad member has a certificate, too."""

from functools import partial

import pytest

from tests.core.hostile import APPLICATION, UNKNOWN_KIND, Hostile, remembered
from tests.core.neighbours import (
    BEFORE_OURS,
    DICTIONARY,
    NOW_MS,
    PLACE,
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
from xor_fast.core.node import NewValue
from xor_fast.errors import ErrorCode, RequestFailed
from xor_fast.messages import (
    AppAttachReqAns,
    AttachReqAns,
    Code,
    DataValue,
    Destination,
    DestinationType,
    DictionaryEntry,
    FetchReq,
    JoinReq,
    RouteQueryReq,
    StoreAns,
    StoredData,
    StoredDataSpecifier,
    StoreKindData,
    StoreKindResponse,
    StoreReq,
    UpdateReq,
)
from xor_fast.sim.fakes import FakeIdentity


@pytest.fixture
def around() -> Neighbours:
    return Neighbours()


# --- anything at all ----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
def test_nothing_raises_and_nothing_stays(seed: int) -> None:
    print(f"seed {seed}")
    hostile = Hostile(seed, started=seed % 3 != 0)
    empty = remembered(hostile.node)
    if seed % 3 == 0:
        hostile.node.join(hostile.now, [("192.0.2.1", 6084)], lambda now, outcome: None)
    else:
        hostile.enter()
    for _ in range(300):
        hostile.turn()
    assert hostile.node.counters["requests_handled"] > 20
    # Then they fall silent, and every time-out passes; only values may stay, and those of one user are few.
    hostile.wait(120)
    for name, size in remembered(hostile.node).items():
        assert size <= empty[name] + 40, name


# --- contents that once raised ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "destination",
    [Destination(DestinationType.RESOURCE, bytes(n)) for n in (0, 1, 15, 17, 254)] + [Destination(77, b"whatever")],
)
def test_a_route_query_for_no_place_on_the_ring(around: Neighbours, destination: Destination) -> None:
    answers = around.put(around.members[0], Code.ROUTE_QUERY_REQ, RouteQueryReq(False, destination))
    assert error_code(answers) == ErrorCode.INVALID_MESSAGE


@pytest.mark.parametrize("kinds", [(), (UNKNOWN_KIND,)])
def test_an_answer_to_our_store_that_does_not_name_the_kind(around: Neighbours, kinds: tuple[int, ...]) -> None:
    around.enter()
    outcomes: list[object] = []
    place = around.members[1].node_id
    new = NewValue(OURS, b"v", 60)
    around.node.store(around.now, place, DICTIONARY, [new], lambda now, outcome: outcomes.append(outcome))
    (request,) = around.asked_of(around.members[1], Code.STORE_REQ)
    answer = StoreAns(tuple(StoreKindResponse(kind, 1) for kind in kinds))
    around.answer_to(around.members[1], request, Code.STORE_ANS, answer)
    assert [type(outcome) for outcome in outcomes] == [RequestFailed]


def test_a_counter_that_cannot_grow(around: Neighbours) -> None:
    """A replica brings the largest counter there is; the next change of ours still has an answer."""
    around.enter()
    owner, writer = around.members[3], around.members[0]
    put = partial(around.put, owner, Code.STORE_REQ)
    put(store(value(writer, b"old"), replica=1, counter=2**64 - 1), resource(PLACE))
    around.put(writer, Code.STORE_REQ, store(value(writer, b"new", NOW_MS + 1)), resource(PLACE))
    around.wait(5)
    (answer,) = around.asked_of(writer, Code.STORE_ANS)
    assert isinstance(answer.body, StoreAns)
    assert answer.body.kind_responses[0].generation_counter == 1


# --- tables that grew without bound -------------------------------------------------------------------


def test_a_store_without_values_takes_no_room(around: Neighbours) -> None:
    for number in range(50):
        body = StoreReq(ids.resource_id(b"%d" % number), 0, (StoreKindData(DICTIONARY, 0, ()),))
        answers = around.put(around.members[0], Code.STORE_REQ, body, resource(body.resource))
        assert [answer.code for answer in answers] == [Code.STORE_ANS]
    assert len(around.node.storage.shelves) == 0


def test_named_strangers_cost_who_names_them(around: Neighbours) -> None:
    """A liar gets so many Attaches at a time and no more; an honest neighbour is heard all the same."""
    liar, honest = around.members[0], around.members[3]
    around.enter(liar, honest)
    for number in range(400):
        near = tuple(OURS[:11] + bytes([9, number >> 8, number & 255, n, 1]) for n in range(9))
        code, body = (Code.UPDATE_REQ, UpdateReq(1, 2, near, near))
        around.put(liar, code, body)
    attaches = around.node.counters["drop_hearsay"], remembered(around.node)["node.attach._attempts"]
    assert attaches[0] > 0
    assert attaches[1] <= limits.MAX_HEARSAY
    around.put(honest, Code.UPDATE_REQ, UpdateReq(1, 2, (), (ids.successor_id(OURS),)))
    assert len(around.asked_of(honest, Code.ATTACH_REQ)) == 1
    around.wait(60)
    assert remembered(around.node)["node.topology._avoid"] < 100


def test_strangers_that_are_never_found_are_not_all_remembered(
    around: Neighbours, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_AVOIDED", 8)
    around.enter(around.members[0])
    for number in range(40):
        around.put(around.members[0], Code.UPDATE_REQ, UpdateReq(1, 2, (), (OURS[:14] + bytes([number, 1]),)))
    around.wait(20)
    assert around.node.counters["neighbour_attaches_failed"] >= 20
    assert remembered(around.node)["node.topology._avoid"] <= 8


def test_who_asks_for_updates_and_answers_none_holds_one_request(around: Neighbours) -> None:
    member = around.members[0]
    around.enter()
    before = len(around.node.transactions)
    for _ in range(300):
        around.put(member, Code.ROUTE_QUERY_REQ, RouteQueryReq(True, node(OURS)))
    assert len(around.node.transactions) <= before + 1


def test_a_join_again_and_again_does_not_pile_up_copies(around: Neighbours) -> None:
    writer, joiner = around.members[0], around.member(BEFORE_OURS)
    around.put(writer, Code.STORE_REQ, store(value(writer, b"v")), resource(PLACE))
    for _ in range(50):
        around.put(joiner, Code.JOIN_REQ, JoinReq(joiner.node_id))
    assert around.node.counters["replicas_sent"] == 1


def test_repeated_requests_leave_one_timer(around: Neighbours) -> None:
    before = remembered(around.node)["node.timers._heap"]
    for _ in range(200):
        around.put(around.members[0], Code.JOIN_REQ, JoinReq(OURS))
    assert remembered(around.node)["node.timers._heap"] <= before + 1


def test_app_attaches_that_lead_nowhere_cost_who_sends_them(around: Neighbours) -> None:
    """Dialling takes long if nobody is there; others must not wait for it."""
    around.node.register_application(APPLICATION, lambda now, connection: True)
    body = AppAttachReqAns(b"", b"", APPLICATION, b"passive", (candidate(),))
    codes = [around.put(around.members[0], Code.APP_ATTACH_REQ, body)[-1].code for _ in range(10)]
    assert codes == [Code.APP_ATTACH_ANS] * limits.MAX_APP_DIALS_PER_NODE + [Code.ERROR] * 6
    assert around.put(around.members[1], Code.APP_ATTACH_REQ, body)[-1].code == Code.APP_ATTACH_ANS
    assert sum(isinstance(action, Dial) for action in around.node.actions()) == limits.MAX_APP_DIALS_PER_NODE + 1


@pytest.mark.parametrize("code", [Code.ATTACH_REQ, Code.APP_ATTACH_REQ])
def test_the_role_of_a_request_is_passive(around: Neighbours, code: Code) -> None:
    around.node.register_application(APPLICATION, lambda now, connection: True)
    bodies = {
        Code.ATTACH_REQ: AttachReqAns(b"", b"", b"active", (candidate(),), False),
        Code.APP_ATTACH_REQ: AppAttachReqAns(b"", b"", APPLICATION, b"active", (candidate(),)),
    }
    assert error_code(around.put(around.members[0], code, bodies[code])) == ErrorCode.INVALID_MESSAGE


# --- answers too large to be carried --------------------------------------------------------------------


def test_an_answer_too_large_for_the_overlay_is_refused_and_not_lost(around: Neighbours) -> None:
    """A key asked for a thousand times: 18 kB ask for 150 kB, where 20 kB are carried."""
    writer = around.members[0]
    around.put(writer, Code.STORE_REQ, store(value(writer, b"x" * 100)), resource(PLACE))
    body = FetchReq(PLACE, (StoredDataSpecifier(DICTIONARY, 0, (writer.node_id,) * 1000),))
    assert error_code(around.put(writer, Code.FETCH_REQ, body, resource(PLACE))) == ErrorCode.RESPONSE_TOO_LARGE


def test_an_own_message_too_large_for_the_overlay_fails_at_once(around: Neighbours) -> None:
    around.enter()
    outcomes: list[object] = []
    new = NewValue(OURS, b"x" * 30_000, 60)
    around.node.store(around.now, bytes(16), DICTIONARY, [new], lambda now, outcome: outcomes.append(outcome))
    (outcome,) = outcomes
    assert isinstance(outcome, RequestFailed)
    assert outcome.code == ErrorCode.MESSAGE_TOO_LARGE


def test_values_that_expire_in_the_queue_do_not_break_it(around: Neighbours) -> None:
    """Hundreds at once, while the successor takes none: each is over the moment it is taken up."""
    link_of = around.members[0]
    for number in range(1200):
        writer = FakeIdentity(OURS, b"queue%d@outside.example" % number)
        place = ids.resource_id(writer.user_name)
        entry = DictionaryEntry(OURS, DataValue(True, b"v"))
        signed = codec.value_signature_input(place, DICTIONARY, NOW_MS, entry, writer.signer)
        data = StoredData(NOW_MS, 10, entry, writer.sign(signed))
        body = StoreReq(place, 0, (StoreKindData(DICTIONARY, 0, (data,)),))
        around.deliver(link_of, around.message(Code.STORE_REQ, body, resource(place), signer=writer))
    assert len(around.node.storage) == 1200
    around.enter(around.members[3])
    around.wait(40)
    assert len(around.node.storage) == 0
    assert around.node.counters["replicas_sent"] == limits.HANDOVER_WINDOW
