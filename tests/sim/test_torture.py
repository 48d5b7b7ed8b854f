"""32 peers and everything that may go wrong (xor_fast/sim/torture): no violation, and the checks would find one."""

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from xor_fast import limits
from xor_fast.core.durability import Durability
from xor_fast.core.ledger import Ledger
from xor_fast.core.lookup import Lookups
from xor_fast.core.node import Node
from xor_fast.core.partition import Partition
from xor_fast.core.ping import PingService
from xor_fast.core.replication import Replication
from xor_fast.core.storage import Storage
from xor_fast.core.topology import Topology
from xor_fast.core.transactions import Transactions
from xor_fast.core.values import Held
from xor_fast.core.writer import Writer
from xor_fast.messages import Code, StoreAns, StoredData, StoreKindResponse
from xor_fast.sim.__main__ import main
from xor_fast.sim.fakes import FakeVerifier
from xor_fast.sim.torture import faults
from xor_fast.sim.torture.faults import Fault
from xor_fast.sim.torture.minimise import minimise
from xor_fast.sim.torture.scenario import STORM, plan_of, torture


@pytest.mark.parametrize("world", [*range(1, 9), 325])
def test_faults_first_then_quiet(world: int) -> None:
    """A share of the seeds of `xor-fast sim torture --seeds 2000`. 325: what is owed to one who leaves, and its heir
    has already, was kept for ever."""
    outcome = torture(world)
    assert outcome.ok, outcome.violations


def test_without_faults_nothing_is_wrong(seed: int) -> None:
    operations = [fault for fault in plan_of(seed) if fault.what in faults.WORKLOAD]
    outcome = torture(seed, operations)
    assert outcome.ok, outcome.violations
    assert outcome.acknowledged > 32
    assert not outcome.lookups_failed
    assert not outcome.loops


def test_the_same_seed_gives_the_same_faults_and_the_same_trace(seed: int) -> None:
    assert plan_of(seed) == plan_of(seed)
    one, other = torture(seed), torture(seed)
    assert one == other
    assert len(one.trace) == 64


def test_every_kind_of_fault_is_drawn(seed: int) -> None:
    drawn = {fault.what for number in range(200) for fault in plan_of(seed + number)}
    assert drawn == set(faults.What.__args__)  # type: ignore[attr-defined]
    assert all(0 <= fault.at <= STORM for number in range(20) for fault in plan_of(seed + number))


# --- what it found ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("world", [1, 2])
def test_what_was_written_in_one_half_comes_to_the_owner_in_the_other(world: int) -> None:
    """Its holders lie far from the owner, whose replica set they are not in: it refuses their Stores (7.4.1.1), and
    asks them itself."""
    stores = [Fault(18.0 + machine / 8, "store", machine) for machine in range(32)]
    outcome = torture(world, [Fault(1.0, "partition", others=tuple(range(16)), seconds=25.0), *stores])
    assert outcome.ok, outcome.violations


def test_a_replica_that_comes_when_the_ring_has_changed_already_is_let_go_of() -> None:
    splits = [Fault(1.0 + 8 * i, "partition", others=tuple(range(i, i + 5)), seconds=4.0) for i in range(6)]
    outcome = torture(1, splits)
    assert outcome.ok, outcome.violations


# --- the checks find what is planted ----------------------------------------------------------------------


def violations(*plan: Fault) -> str:
    """Of the first of some storms that shows any: not in each of them does it strike. The same are run always."""
    runs = (torture(seed, plan).violations for seed in range(1, 6))
    return "\n".join(next(filter(None, runs), []))


def test_stores_answered_before_a_copy_is_made_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def confirm(self: Replication, now: float, request: Any, parts: Any) -> None:
        responses = tuple(StoreKindResponse(part.shelf.kind, part.generation) for part in parts)
        self._node.answer(now, request, Code.STORE_ANS, StoreAns(responses))

    monkeypatch.setattr(Replication, "confirm", confirm)
    monkeypatch.setattr(Replication, "_rebalance", lambda *args, **named: None)
    kills = [Fault(15.0 + machine, "kill", machine, how="gone") for machine in range(16)]
    assert "lost with its last copy" in violations(*kills)


def test_copies_that_are_not_made_again_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Replication, "_rebalance", lambda *args, **named: None)
    kills = [Fault(1.0 + machine, "kill", machine, how="gone") for machine in range(5, 15)]
    assert "does not hold" in violations(*kills)


def test_values_let_go_of_too_early_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def rebalance(self: Replication, now: float) -> None:
        for shelf in self._storage.shelves.within(bytes(16), bytes(16)):
            for held in list(shelf.values.values()):
                self._storage.drop(now, shelf, held)

    monkeypatch.setattr(Replication, "_rebalance", rebalance)
    joins = [Fault(1.0 + n, "join", 32 + n) for n in range(12)]
    assert "let go of by the last" in violations(*joins)


def test_what_a_disk_does_not_bring_back_is_noticed(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Although everybody has stored anew before it is quiet."""
    monkeypatch.setattr(Ledger, "_restore_value", lambda *args: 0)
    random = Random(seed)
    kills = [Fault(at, "kill", n, seconds=3.0, how="disk") for at in (1.0, 25.0) for n in random.sample(range(32), 22)]
    stores = [Fault(50.0 + machine / 8, "store", machine) for machine in range(32)]
    assert "let go of by the last" in violations(*kills, *stores)


def test_stores_answered_just_before_a_copy_is_made_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer waits for a copy: a single death right after it loses nothing."""

    def confirm(self: Replication, now: float, request: Any, parts: Any) -> None:
        responses = tuple(StoreKindResponse(part.shelf.kind, part.generation) for part in parts)
        self._node.answer(now, request, Code.STORE_ANS, StoreAns(responses))
        for part in parts:
            for held in part.values:
                self._again[part.shelf, held.key] = None
        self._schedule(now + 3.0)

    monkeypatch.setattr(Replication, "confirm", confirm)
    stores = [Fault(20.0 + machine / 64, "store", machine) for machine in range(32)]
    kills = [Fault(22.0, "kill", machine, how="gone") for machine in range(0, 32, 2)]
    assert "nobody but the one that died had it" in violations(*stores, *kills)


def test_an_answer_that_waits_for_no_copy_is_noticed_without_any_death(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    confirm = Replication.confirm

    def answers(self: Replication, now: float, request: Any, parts: Any) -> None:
        responses = tuple(StoreKindResponse(part.shelf.kind, part.generation) for part in parts)
        self._node.answer(now, request, Code.STORE_ANS, StoreAns(responses))
        monkeypatch.setattr(self._node, "answer", lambda *args, **named: None)
        confirm(self, now, request, parts)
        monkeypatch.delattr(self._node, "answer")

    monkeypatch.setattr(Replication, "confirm", answers)
    assert "acknowledged with one copy, and that was not counted" in violations()


def test_what_is_shown_before_it_is_on_the_disk_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Durability, "after", lambda self, now, done: done(now, None))
    assert "which is not on its disk" in violations()


def test_a_generation_counter_that_dies_with_its_owner_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replicas keep the first that they were told."""
    check = Storage._check_kind

    def forgets(self: Storage, now: float, request: Any, body: Any, *rest: Any, takes_counter: bool) -> Any:
        part = check(self, now, request, body, *rest, takes_counter=takes_counter)
        return part._replace(generation=part.shelf.next_generation or part.generation) if takes_counter else part

    monkeypatch.setattr(Storage, "_check_kind", forgets)
    assert "was not stored: Error_Generation_Counter_Too_Low" in violations()


def test_a_generation_counter_that_is_not_on_the_disk_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    restore = Ledger._restore_counter
    monkeypatch.setattr(Ledger, "_restore_counter", lambda *args: restore(*args[:-1], 1))
    assert "was not stored: Error_Generation_Counter_Too_Low" in violations()


def test_a_generation_counter_that_stands_still_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    check = Storage._check_kind
    monkeypatch.setattr(Storage, "_check_kind", lambda *args, **named: check(*args, **named)._replace(generation=7))
    assert "after another Store it is 7" in violations()


def test_lives_that_do_not_end_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passed on whole, each time a value changes hands."""

    def passed_on(self: Held, now: float) -> StoredData:
        return StoredData(self.storage_time, limits.MAX_LIFETIME, self.signed)

    monkeypatch.setattr(Held, "passed_on", passed_on)
    assert "its time is over" in violations()


def test_what_is_served_after_its_end_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Storage, "_remove_what_is_over", lambda *args: None)
    monkeypatch.setattr(Held, "served", lambda self, now: StoredData(self.storage_time, 1, self.signed))
    assert "after the end of" in violations()


def test_lives_that_follow_a_wall_clock_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: a clock that is set ends or prolongs all values."""
    set_wall = Node.set_wall

    def sets(self: Node, now: float, unix_ms: int) -> None:
        before = self.wall_ms(now)
        set_wall(self, now, unix_ms)
        for shelf in self.storage.shelves.within(bytes(16), bytes(16)):
            for held in shelf.values.values():
                held.expires -= (unix_ms - before) / 1000

    monkeypatch.setattr(Node, "set_wall", sets)
    assert "did not find" in violations()


def test_writers_that_follow_a_clock_back_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    sign = Writer._sign

    def forgets(self: Writer, *args: Any) -> Any:
        self._last = {place: (0, ends) for place, (_, ends) in self._last.items()}
        return sign(self, *args)

    monkeypatch.setattr(Writer, "_sign", forgets)
    assert "was not stored: Error_Data_Too_Old" in violations()


def test_answers_that_are_kept_for_ever_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Transactions, "_forget_old", lambda *args: None)
    assert "entries in transactions._kept" in violations()


def test_who_never_ends_leaving_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Topology, "_left", lambda *args: None)
    assert "is leaving" in violations(Fault(1.0, "leave", 7))


def test_wishes_that_never_end_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lookups, "fetch", lambda *args: None)
    assert "came to no end" in violations()


def test_a_partition_that_is_not_noticed_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Partition, "_probe", lambda *args: None)
    halves = Fault(1.0, "partition", others=tuple(range(16)), seconds=50.0)
    assert "quiet seconds" in violations(halves)


def test_a_forged_value_that_is_believed_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def verify(self: FakeVerifier, signature: Any, data: bytes, bucket: Any, wall_ms: int) -> Any:
        for certificate in bucket:
            self.certificate(certificate.certificate, (), wall_ms)
        return self._signers[signature.identity.certificate_hash]

    monkeypatch.setattr(FakeVerifier, "verify", verify)
    lies = [Fault(1.0, "lie", machine, seconds=50.0, how="forged") for machine in range(32)]
    reads = [Fault(5.0 + machine, "fetch", machine, (31 - machine,)) for machine in range(16)]
    assert "never written there" in violations(*lies, *reads)


def test_an_exception_out_of_the_core_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*args: Any, **named: Any) -> None:
        raise KeyError("planted")

    monkeypatch.setattr(PingService, "ping", fails)
    assert "KeyError: 'planted'" in violations()


# --- the shortest list that fails --------------------------------------------------------------------------


@pytest.mark.parametrize("culprits", [(), (3,), (0, 99), (17, 18, 60)])
def test_the_shortest_failing_list_is_found(culprits: tuple[int, ...]) -> None:
    asked = []

    def fails(items: Any) -> bool:
        asked.append(items)
        return set(culprits) <= set(items)

    assert minimise(range(100), fails) == list(culprits)
    assert len(asked) < 100


def test_a_failing_seed_is_cut_down_and_said_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], seed: int
) -> None:
    """Planted: a Leave of the peer makes its process raise. The one fault that shows it is what is left."""
    random = Random(seed)
    plan = [Fault(float(n), "fetch", random.randrange(32), (random.randrange(32),)) for n in range(9)]
    plan.insert(random.randrange(10), Fault(4.5, "leave", 7))
    monkeypatch.setattr("xor_fast.sim.torture.campaign.plan_of", lambda seed: sorted(plan, key=lambda fault: fault.at))

    def fails(*args: Any, **named: Any) -> None:
        raise KeyError("planted")

    monkeypatch.setattr(Replication, "hand_on", fails)
    assert main(["torture", "--minimise", str(seed)]) == 1
    printed = capsys.readouterr().out
    short = json.loads(printed)
    assert [(fault["what"], fault["machine"]) for fault in short["faults"]] == [("leave", 7)]
    (tmp_path / "plan.json").write_text(printed)
    assert main(["torture", "--plan", str(tmp_path / "plan.json"), "--json"]) == 1
    again = json.loads(capsys.readouterr().out)
    assert again["violations"] == short["violations"]
    monkeypatch.undo()
    assert main(["torture", "--plan", str(tmp_path / "plan.json")]) == 0


def test_many_seeds_give_one_line_each(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    quick: Callable[[int], Any] = lambda seed: torture(seed, ())  # noqa: E731
    monkeypatch.setattr("xor_fast.sim.torture.campaign.torture", quick)
    assert main(["torture", "--seeds", "2", "--first", "7", "--json"]) == 0
    assert [json.loads(line)["seed"] for line in capsys.readouterr().out.splitlines()] == [7, 8]
