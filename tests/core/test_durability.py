"""What is acknowledged is on the disk: seen from a link, with a disk that is slow, full, broken and mended again."""

import pytest

from tests.core.outside import resource
from tests.core.test_storage import KIND, PLACE, Storing, device, restarted
from xor_fast import limits
from xor_fast.actions import Notice, Persist
from xor_fast.cext import wire
from xor_fast.errors import ErrorCode
from xor_fast.messages import Code, ErrorResponse, Message, StoredData, StoreKindData, StoreReq
from xor_fast.sim.disk import VirtualDisk
from xor_fast.sim.fakes import FakeIdentity

FULL = "database or disk is full"


class Slow(Storing):
    """Its Persists wait in `asked` until the test answers them."""

    def __init__(self, disk: VirtualDisk | None = None) -> None:
        self.asked: list[Persist] = []
        super().__init__(disk)

    def persist(self) -> None:
        for action in self.node.actions():
            if isinstance(action, Persist):
                assert self.disk is not None
                self.asked.append(action)
                self.disk.under_way.append(action)
            elif isinstance(action, Notice):
                self.notices.append(action.text)

    def ask_to_store(self, *values: StoredData, signer: FakeIdentity | None = None) -> list[Message]:
        body = StoreReq(PLACE, 0, (StoreKindData(KIND, 0, values),))
        return self.ask(Code.STORE_REQ, body, resource(PLACE), signer=signer)

    def written(self, failure: str | None = None) -> list[Message]:
        """The oldest Persist is over."""
        assert self.disk is not None
        action = self.asked.pop(0)
        self.disk.fault = failure
        if self.disk.write(action) is None:
            self.node.persisted(self.now, action.ticket)
        else:
            self.node.persist_failed(self.now, action.ticket, failure or "")
        return self.take()


@pytest.fixture
def slow() -> Slow:
    return Slow()


def code_of(messages: list[Message]) -> int:
    (message,) = messages
    return message.body.error_code if isinstance(message.body, ErrorResponse) else 0


def values_of(storing: Storing) -> list[bytes]:
    return sorted(data.value.value.value for data in storing.fetch().values)  # type: ignore[union-attr]


def test_no_answer_and_no_value_before_the_disk_has_it(slow: Slow) -> None:
    assert slow.ask_to_store(slow.value(b"v")) == []
    assert slow.fetch().values == ()
    assert code_of(slow.written()) == 0
    assert values_of(slow) == [b"v"]


def test_a_crash_at_any_moment_loses_nothing_acknowledged(slow: Slow) -> None:
    slow.ask_to_store(slow.value(b"1"))
    slow.written()
    slow.ask_to_store(slow.value(b"2"))
    assert values_of(restarted(slow)) == [b"1"]
    slow.written()
    assert values_of(restarted(slow)) == [b"2"]


def test_all_stores_of_a_turn_go_in_one_persist(slow: Slow) -> None:
    stores = []
    for number in range(3):
        body = StoreReq(PLACE, 0, (StoreKindData(KIND, 0, (slow.value(b"%d" % number, signer=device(number)),)),))
        stores.append(slow.message(Code.STORE_REQ, body, resource(PLACE), signer=device(number)))
    assert slow.send(*stores) == []
    assert len(slow.asked) == 1
    assert [message.code for message in slow.written()] == [Code.STORE_ANS] * 3
    assert values_of(slow) == [b"0", b"1", b"2"]


def test_a_store_that_builds_on_one_under_way(slow: Slow) -> None:
    """Counter, count and age are those that will be: the second knows of the first."""
    slow.ask_to_store(slow.value(b"1", time=1_800_000_000_005))
    assert code_of(slow.ask_to_store(slow.value(b"0", time=1_800_000_000_004))) == ErrorCode.DATA_TOO_OLD
    assert slow.ask_to_store(slow.value(b"2", time=1_800_000_000_006)) == []
    for expected in (1, 2):
        (answer,) = slow.written()
        assert answer.body.kind_responses[0].generation_counter == expected  # type: ignore[union-attr]
    assert values_of(slow) == [b"2"]


def test_the_same_store_again_while_the_first_is_under_way(slow: Slow) -> None:
    data = slow.value(b"v")
    assert slow.ask_to_store(data) == []
    assert slow.ask_to_store(data) == []
    assert [message.code for message in slow.written()] == [Code.STORE_ANS] * 2


def test_a_full_disk_refuses_stores_and_serves_on(slow: Slow) -> None:
    slow.ask_to_store(slow.value(b"old"))
    slow.written()
    slow.ask_to_store(slow.value(b"new"))
    failed = slow.written(FULL)
    assert code_of(failed) == ErrorCode.DATA_TOO_LARGE
    assert FULL.encode() in failed[0].body.error_info  # type: ignore[union-attr]
    assert values_of(slow) == [b"old"]
    assert slow.fetch().generation == 1
    assert code_of(slow.ask_to_store(slow.value(b"newer"))) == ErrorCode.DATA_TOO_LARGE  # at once
    assert len(slow.asked) == 0
    assert slow.node.counters["refused_disk"] == 1
    assert sum(FULL in notice for notice in slow.notices) == 1


def test_what_was_built_on_a_failure_fails_with_it(slow: Slow) -> None:
    slow.ask_to_store(slow.value(b"1"))
    slow.node.receive(slow.now, slow.link, b"")
    body = StoreReq(PLACE, 0, (StoreKindData(KIND, 0, (slow.value(b"2"),)),))
    slow.ask(Code.STORE_REQ, body, resource(PLACE))
    assert code_of(slow.written("disk I/O error")) == ErrorCode.DATA_TOO_LARGE
    assert code_of(slow.written("disk I/O error")) == ErrorCode.DATA_TOO_LARGE
    assert slow.fetch().values == ()


def test_what_was_built_on_a_failure_fails_even_if_the_disk_has_it(slow: Slow) -> None:
    """The certificate of the first is that of the second: only the first has brought it."""
    slow.ask_to_store(slow.value(b"1"))
    slow.ask_to_store(slow.value(b"2"))
    assert code_of(slow.written("disk I/O error")) == ErrorCode.DATA_TOO_LARGE
    assert code_of(slow.written()) == ErrorCode.DATA_TOO_LARGE
    assert values_of(slow) == []
    slow.wait(limits.DISK_RETRY + 1)
    while slow.asked:
        slow.written()
    assert slow.disk is not None
    assert slow.disk.records.keys() <= {b"?"}


@pytest.mark.parametrize("in_one_turn", [True, False])
def test_the_end_of_a_value_takes_no_record_of_the_one_that_follows(slow: Slow, in_one_turn: bool) -> None:
    slow.ask_to_store(slow.value(b"old", lifetime=5))
    slow.written()
    slow.wait(4.9)
    body = StoreReq(PLACE, 0, (StoreKindData(KIND, 0, (slow.value(b"new"),)),))
    message = slow.message(Code.STORE_REQ, body, resource(PLACE))
    if in_one_turn:
        assert slow.node.receive(slow.now, slow.link, wire.data_frame(0, message))
        slow.now += 3
        slow.node.wake(slow.now)
        slow.take()
    else:
        slow.send(message)
        slow.wait(3)
    while slow.asked:
        slow.written()
    assert values_of(slow) == values_of(restarted(slow)) == [b"new"]


def test_a_value_that_is_over_at_once(slow: Slow) -> None:
    slow.ask_to_store(slow.value(b"v", lifetime=0))
    assert code_of(slow.written()) == 0
    slow.wait(3)
    while slow.asked:
        slow.written()
    assert values_of(slow) == values_of(restarted(slow)) == []


def test_a_mended_disk_is_noticed_and_gets_what_it_missed(slow: Slow) -> None:
    slow.ask_to_store(slow.value(b"kept", lifetime=1000))
    slow.ask_to_store(slow.value(b"over", lifetime=2, signer=device(1)), signer=device(1))
    for _ in range(2):
        slow.written()
    slow.ask_to_store(slow.value(b"lost"))
    slow.written(FULL)
    slow.wait(5)  # a value has ended meanwhile
    while slow.asked:
        slow.written(FULL)
    for _ in range(20):  # tried again and again, ever more seldom
        slow.wait(limits.DISK_RETRY_CEILING)
        assert len(slow.asked) <= 1
        while slow.asked:
            slow.written(FULL)
    slow.wait(limits.DISK_RETRY_CEILING + 1)
    while slow.asked:
        slow.written()
    assert "the disk can be written again" in slow.notices
    assert slow.ask_to_store(slow.value(b"again")) == []
    assert code_of(slow.written()) == 0
    assert values_of(slow) == [b"again"]
    again = restarted(slow)
    assert values_of(again) == [b"again"]
    assert again.fetch().generation == slow.fetch().generation


def test_nothing_that_failed_comes_back_when_the_disk_is_mended(slow: Slow) -> None:
    """The disk may have taken it all the same, and said that it had not."""
    slow.ask_to_store(slow.value(b"1"))
    assert slow.disk is not None
    slow.disk.records.update({key: value for key, value in slow.asked[0].records if value is not None})
    slow.written("disk I/O error")
    slow.wait(limits.DISK_RETRY + 1)
    while slow.asked:
        slow.written()
    assert slow.disk.records.keys() <= {b"?"}


def test_stores_that_wait_for_a_disk_that_has_stopped_are_bounded(slow: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_UNWRITTEN", 3)
    for number in range(3):
        assert slow.ask_to_store(slow.value(b"%d" % number)) == []
    assert code_of(slow.ask_to_store(slow.value(b"one too many"))) == ErrorCode.DATA_TOO_LARGE


def test_certificates_are_on_the_disk_once_and_go_with_the_last_value(slow: Slow) -> None:
    assert slow.disk is not None

    def certificates() -> int:
        assert slow.disk is not None
        return sum(slow.us.certificate.der in record for record in slow.disk.records.values())

    for lifetime in (5, 9, 7):
        slow.ask_to_store(slow.value(b"v", lifetime=lifetime))
        slow.written()
    assert certificates() == 1
    slow.wait(20)
    while slow.asked:
        slow.written()
    assert certificates() == 0


def test_a_counter_outlives_its_values_and_a_restart(slow: Slow) -> None:
    for _ in range(3):
        slow.ask_to_store(slow.value(b"v", lifetime=2))
        slow.written()
    slow.wait(10)
    while slow.asked:
        slow.written()
    again = restarted(slow)
    again.store(again.value(b"new"))
    assert again.generation == 4


def test_a_clock_that_was_set_back_makes_no_value_live_longer(slow: Slow) -> None:
    slow.ask_to_store(slow.value(b"v", lifetime=100))
    slow.written()
    (data,) = restarted(slow, away_ms=-3_600_000).fetch().values
    assert data.lifetime <= 100
