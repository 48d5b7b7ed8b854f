"""The scenarios of `xor-fast sim`, small: what each claims holds, and a seed replays."""

from typing import Any

from xor_fast.sim.scenario import Result
from xor_fast.sim.scenarios import SCENARIOS


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
