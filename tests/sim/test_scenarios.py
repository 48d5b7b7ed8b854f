"""The scenarios of `xor-fast sim`, small: what each claims holds, and a seed replays."""

from random import Random
from typing import Any

import pytest

from xor_fast.core.lookup import Lookups
from xor_fast.sim import checks
from xor_fast.sim.scenarios.catalogue import SCENARIOS
from xor_fast.sim.scenarios.scenario import Result
from xor_fast.sim.scenarios.stage import Stage
from xor_fast.sim.world import World


def result(name: str, seed: int, **parameters: Any) -> Result:
    scenario = SCENARIOS[name]
    return scenario.run(scenario.options(seed, **parameters), lambda phase, done, total: None)


def held(name: str, seed: int, **parameters: Any) -> Result:
    found = result(name, seed, **parameters)
    assert found.ok, f"{name} with seed {seed}: {found.rows} {found.claims} {found.problems}"
    return found


def test_paths_are_as_short_as_they_should_be(seed: int) -> None:
    rfc = held("paths", seed, nodes=256, neighbours=3, lookups=600)
    wider = held("paths", seed, nodes=256, lookups=600)
    assert wider.figures["mean_hops"] < rfc.figures["mean_hops"] <= 1.05 * 4.57  # type: ignore[operator]


def test_a_seed_replays(seed: int) -> None:
    once, again = (result("churn", seed, nodes=32, minutes=1, session=60.0, warm=5.0) for _ in range(2))
    assert once.trace == again.trace
    assert once.figures["lookups"] == again.figures["lookups"]
    assert result("churn", seed + 1, nodes=32, minutes=1, session=60.0, warm=5.0).trace != once.trace


def test_periodic_recovery_costs_less_than_reactive_and_more_with_a_shorter_interval(seed: int) -> None:
    """The same deaths: without reactive recovery only a change of one's range is told at once (10.7.1, 10.7.3)."""

    deaths = set()

    def updates(recovery: str, interval: float) -> tuple[float, float]:
        given = {"recovery": recovery, "update_interval": interval}
        found = held("churn", seed, nodes=40, session=300.0, minutes=2, warm=30.0, **given)
        assert f"{recovery} recovery" in found.rows["churn"]
        figures: Any = found.figures
        deaths.add(figures["deaths"])
        return figures["bytes_per_peer_second"]["updates"], figures["upkeep_bytes_per_peer_second"]

    (reactive, most), (periodic, least), (often, between) = (
        updates("reactive", 600.0),
        updates("periodic", 600.0),
        updates("periodic", 60.0),
    )
    assert len(deaths) == 1
    assert 0 < periodic < 0.5 * reactive, f"seed {seed}: {periodic} and {reactive} B/s of Updates"
    # 10 neighbours are told 0.9 times a minute more, and they answer; each message carries a certificate.
    assert often - periodic > 10 * 0.9 / 60 * 1000, f"seed {seed}: {often} and {periodic} B/s of Updates"
    assert least < between < most, f"seed {seed}: {least}, {between}, {most} B/s of upkeep"


@pytest.mark.parametrize("name", ["half", "churn"])
def test_lookups_that_never_end_are_no_success(name: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: each ends at once, or one in three never does."""
    parameters = {"nodes": 32, "minutes": 1}
    assert all(claim.held for claim in result(name, seed, **parameters).claims if "lookup" in claim.text)
    fetch = Lookups.fetch

    def forgets(self: Lookups, now: float, *given: Any) -> None:
        if Random(now).random() < 2 / 3:
            fetch(self, now, *given)

    monkeypatch.setattr(Lookups, "fetch", forgets)
    found = result(name, seed, **parameters)
    assert not all(claim.held for claim in found.claims if "lookup" in claim.text), f"seed {seed}: {found.rows}"


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("half", {"nodes": 32, "minutes": 1}),
        ("mute", {"nodes": 32, "rest": 30.0}),
        ("droppers", {"nodes": 32, "lookups": 100, "share": 0.1}),
        ("slow", {"nodes": 32, "lookups": 100}),
        ("clock", {"nodes": 32, "lookups": 100}),
    ],
)
def test_values_that_vanish_meanwhile_are_no_success(
    name: str, parameters: dict[str, Any], seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted: holders drop every third key in the midst of it, and then nobody has it."""
    run, wrong_neighbours = Stage.run, checks.wrong_neighbours

    def drop(world: World) -> None:
        for host in world.alive:
            for shelf in host.node.storage.shelves.within(bytes(16), bytes(16)):
                if shelf.resource[-1] % 3 == 0:
                    for held in list(shelf.values.values()):
                        host.node.storage.drop(world.now, shelf, held)

    def runs(self: Stage, seconds: float, phase: str, *until: Any) -> bool:
        if phase in ("noticing", "looking up"):
            drop(self.world)
        return run(self, seconds, phase, *until)

    def looks(world: World) -> list[str]:  # half: between its kill and its lookups
        drop(world)
        return wrong_neighbours(world)

    monkeypatch.setattr(Stage, "run", runs)
    monkeypatch.setattr(checks, "wrong_neighbours", looks)
    found = result(name, seed, **parameters)
    assert not all(claim.held for claim in found.claims), f"seed {seed}: {found.rows} {found.claims}"


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("half", {"nodes": 80, "minutes": 2}),
        ("churn", {"nodes": 64, "session": 600.0, "minutes": 3, "warm": 30.0}),
        ("mute", {"nodes": 64}),
        ("droppers", {"nodes": 100, "lookups": 200}),
        ("restart", {"nodes": 64}),
        ("restart", {"nodes": 64, "disk": "blank"}),
        ("bridge", {"nodes": 40, "minutes": 2}),
        ("clock", {"nodes": 40, "lookups": 100}),
    ],
)
def test_what_a_scenario_claims_holds(name: str, parameters: dict[str, Any], seed: int) -> None:
    held(name, seed, **parameters)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("paths", {"nodes": 1, "lookups": 5}),
        ("half", {"nodes": 8, "share": 1.0, "minutes": 1}),
        ("churn", {"nodes": 2, "session": 60.0, "minutes": 2, "warm": 1.0, "silent": 0.0}),
        ("mute", {"nodes": 8, "share": 1.0}),
        ("droppers", {"nodes": 8, "share": 0.0, "lookups": 9}),
        ("partition", {"nodes": 2, "minutes": 1}),
        ("bridge", {"nodes": 4, "minutes": 1}),
        ("slow", {"nodes": 1, "lookups": 3}),
        ("restart", {"nodes": 8, "share": 1.0, "disk": "blank"}),
        ("clock", {"nodes": 1, "lookups": 3}),
    ],
)
def test_a_scenario_runs_at_the_ends_of_what_may_be_asked_for(name: str, parameters: dict[str, Any], seed: int) -> None:
    assert result(name, seed, **parameters).claims


def test_where_nobody_asks_nothing_has_succeeded(seed: int) -> None:
    """All holders of all values are gone with the others."""
    found = result("churn", seed, nodes=1, minutes=1, session=1.0, warm=1.0)
    assert found.figures["found"] == 0
    assert not found.claims[0].held


def test_who_finds_a_value_that_is_just_being_written_has_found_nothing_old() -> None:
    """In this seed a lookup is answered from a Store that its writer has no answer to yet."""
    held("clock", 3109115738064552100, nodes=40, lookups=100)


def test_slow_peers_are_waited_for(seed: int) -> None:
    held("slow", seed, nodes=64, lookups=200)


@pytest.mark.parametrize("offset", range(3))
def test_halves_of_a_split_network_become_one_ring_and_the_newest_values_win(offset: int, seed: int) -> None:
    held("partition", seed + offset, nodes=32, minutes=3)


def test_the_meter_counts_every_byte_once(seed: int) -> None:
    options = SCENARIOS["paths"].options(seed, nodes=32)
    stage = Stage(options, lambda phase, done, total: None)
    stage.settle()
    stage.store_all(stage.members, 3600.0, refresh=False)
    assert stage.meter.total == sum(stage.meter.sent.values()) == stage.world.bytes_carried > 0


def test_the_meter_knows_what_bytes_are_for(seed: int) -> None:
    found = result("paths", seed, nodes=32, lookups=100).figures
    rates = found["bytes_per_peer_second"]
    assert isinstance(rates, dict)
    assert max(rates, key=lambda what: rates[what]) == "lookups"  # hardly anything else happens
    assert 0.5 < found["certificates_share"] < 0.8  # type: ignore[operator]  # of 558 bytes in each message
    assert 0.05 < found["signatures_share"] < 0.25  # type: ignore[operator]
