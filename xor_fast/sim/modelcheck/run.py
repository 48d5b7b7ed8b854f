"""The command `xor-fast sim modelcheck`: scenario after scenario, and what came of each class of them."""

import argparse
import gc
import sys
import time
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from xor_fast.sim.modelcheck import checks, scenarios, trace
from xor_fast.sim.modelcheck.explore import Bounds, Found, Result, Search
from xor_fast.sim.modelcheck.scenarios import Model, Scenario
from xor_fast.sim.scenarios.scenario import seconds, whole

MAX_RING = 4
BUDGET, LARGE_BUDGET = 400_000, 20_000  # states for each scenario; the latter where there is no hope to see all


class Row(msgspec.Struct):
    """One class of scenarios, or one scenario. states: visited; steps: taken; carried_out: inputs of nodes."""

    name: str
    scenarios: int = 0
    states: int = 0
    steps: int = 0
    ends: int = 0
    carried_out: int = 0
    seconds: float = 0.0
    bounds_hit: dict[str, int] = {}  # name: in how many scenarios
    violations: list[list[str]] = []

    def add(self, other: "Row") -> None:
        for name in ("scenarios", "states", "steps", "ends", "carried_out", "seconds"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name, count in other.bounds_hit.items():
            self.bounds_hit[name] = self.bounds_hit.get(name, 0) + count
        self.violations += other.violations


def check(scenario: Scenario, bounds: Bounds, *, reduce: bool = True) -> tuple[Result, Row]:
    """Search one scenario through; its violation, if any, as lines."""
    began = time.process_time()
    model = Model(scenario)
    world = model.world(reduce=reduce)
    search = Search(world, bounds._replace(by_steps=scenario.by_steps), checks.always, checks.at_the_end)
    result = search.run(model.start)
    found = result.violation
    return result, Row(
        str(scenario),
        1,
        result.states,
        result.steps,
        len(result.ends),
        model.locals.carried_out,
        round(time.process_time() - began, 2),
        dict.fromkeys(result.hit, 1),
        [] if found is None else [[str(scenario), *trace.lines(world, found.steps), f"=> {found.what}"]],
    )


def budget_of(scenario: Scenario) -> int:
    return BUDGET if scenario.members < 3 or len(scenario.operations) == 1 else LARGE_BUDGET


def classes(rings: Iterable[int], operations: int) -> Iterator[tuple[str, list[Scenario]]]:
    """operations: how many at most meet in one scenario."""
    for members in rings:
        yield f"ring of {members}, one operation", list(scenarios.singles(members))
        if operations >= 2:
            yield f"ring of {members}, pairs", list(scenarios.pairs(members))
            yield f"ring of {members}, a write meanwhile", list(scenarios.writes(members))
        for count in range(3, operations + 1):
            yield f"ring of {members}, {count} by steps", list(scenarios.several(members, count))


def main(arguments: Sequence[str]) -> int:
    """0: no violation; 1: there is one; 2: wrong use."""
    options = _parser().parse_args(arguments)
    rings = [options.ring] if options.ring else range(1, MAX_RING + 1)
    gc.freeze()
    total = Row("all")
    rows = []
    for name, members in classes(rings, options.operations):
        row = Row(name)
        for scenario in members:
            gc.disable()  # states are tuples without cycles, by the hundred thousand
            bounds = Bounds(options.budget or budget_of(scenario), options.window)
            _, one = check(scenario, bounds, reduce=not options.no_reduction)
            gc.enable()
            gc.collect()
            row.add(one)
            if not options.json:
                print(_line(one), flush=True)
        rows.append(row)
        total.add(row)
    if options.json:
        print(msgspec.json.encode({"classes": rows, "all": total, "ok": not total.violations}).decode())
    else:
        _tell(rows, total, options.budget, options.window)
    return 1 if total.violations else 0


def _line(row: Row) -> str:
    hit = f"; bound hit: {', '.join(f'{name} ({count}x)' for name, count in row.bounds_hit.items())}"
    return (
        f"{row.name}: {row.states} states, {row.steps} transitions, {row.ends} ends, {len(row.violations)} violations, "
        f"{row.seconds:.1f} s{hit if row.bounds_hit else ''}"
    )


def _tell(rows: list[Row], total: Row, budget: int | None, window: float) -> None:
    print()
    for row in (*rows, total):
        print(f"{row.scenarios:3} x {_line(row)}")
    states = f"{budget or BUDGET} states a scenario"
    large = "" if budget else f" ({LARGE_BUDGET} for several operations on a ring of 3 or 4)"
    print(
        f"bounds: {states}{large}; every order within {window} s after an operation, one order after that,"
        f" the end looked at after {Bounds().horizon} s; no silence, no loss on a living connection"
    )
    for violation in total.violations:
        print("\n" + "\n".join(violation))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="xor-fast sim modelcheck", description="every order of messages in small rings, through the real core"
    )
    parser.add_argument(
        "--ring", type=int, choices=range(1, MAX_RING + 1), help="members at the start (default: 1 to 4)"
    )
    parser.add_argument("--operations", type=int, choices=range(1, 6), default=2, help="that meet (default 2)")
    parser.add_argument("--budget", type=whole(1, 1 << 32), help="states for each scenario (see the end of the output)")
    parser.add_argument(
        "--window", type=seconds, default=0.5, help="seconds after an operation in which every order counts"
    )
    parser.add_argument("--no-reduction", action="store_true", help="orders of commuting messages too, to compare")
    parser.add_argument("--json", action="store_true", help="the figures as one JSON object")
    return parser


__all__ = ["Bounds", "Found", "check", "main"]

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
