"""xor-fast sim torture: many seeds of everything that may go wrong, and a short list of faults for each failure.

A failure is said again by `--plan FILE`: the same seed with the faults of that file, one JSON object as `--minimise`
prints it.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from multiprocessing import get_context
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from xor_fast.sim.scenarios.scenario import whole
from xor_fast.sim.torture.faults import Fault
from xor_fast.sim.torture.minimise import minimise
from xor_fast.sim.torture.scenario import Outcome, plan_of, torture


class Plan(msgspec.Struct):
    """A run that can be said again."""

    seed: int
    faults: list[Fault]
    violations: list[str] = []


def main(arguments: Sequence[str]) -> int:
    """0: no violation; 1: at least one; 2: wrong use."""
    options = _parser().parse_args(arguments)
    if options.minimise is not None:
        return _minimise(options.minimise)
    if options.plan is not None:
        try:
            plan = msgspec.json.decode(options.plan.read_bytes(), type=Plan)
        except (OSError, msgspec.DecodeError) as error:
            print(f"xor-fast sim torture: --plan {options.plan} cannot be read: {error}", file=sys.stderr)
            return 2
        return _tell([_say(torture(plan.seed, plan.faults), options.json)], options.json)
    with _progress(options.json) as progress:
        task = progress.add_task("seeds", total=options.seeds)
        outcomes = []
        for outcome in _run(range(options.first, options.first + options.seeds), options.jobs):
            outcomes.append(_say(outcome, options.json))
            progress.update(task, advance=1, description="seeds" if outcome.ok else f"seed {outcome.seed} failed")
    return _tell(outcomes, options.json)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="xor-fast sim torture", description=__doc__.partition(": ")[2])
    parser.add_argument("--seeds", type=whole(1, 1 << 32), default=100, help="how many (default 100)")
    parser.add_argument("--first", type=int, default=1, help="the first of them (default 1)")
    parser.add_argument("--jobs", type=whole(1, 1024), default=1, help="processes (default 1)")
    parser.add_argument("--json", action="store_true", help="one JSON object a seed")
    parser.add_argument("--minimise", type=int, metavar="SEED", help="the shortest list of its faults that still fails")
    parser.add_argument("--plan", type=Path, metavar="FILE", help="run the seed and faults of this file")
    return parser


def _run(seeds: Sequence[int], jobs: int) -> Iterator[Outcome]:
    if jobs == 1:
        yield from map(torture, seeds)
        return
    with get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap(torture, seeds)


def _progress(quiet: bool) -> Progress:
    """On standard error, and only if that is a terminal: what a program reads stays clean."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description:>18}"), BarColumn(), MofNCompleteColumn())
    times = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
    return Progress(*columns, *times, console=console, disable=quiet or not console.is_terminal)


def _say(outcome: Outcome, as_json: bool) -> Outcome:
    """At once: a campaign that is broken off has told what it found."""
    if as_json:
        print(msgspec.json.encode(outcome).decode(), flush=True)
    return outcome


def _tell(outcomes: list[Outcome], as_json: bool) -> int:
    failed = [outcome for outcome in outcomes if not outcome.ok]
    if as_json:
        return 1 if failed else 0
    for outcome in failed:
        for violation in outcome.violations[:6]:
            print(f"seed {outcome.seed}: {violation}")
        print(f"again: xor-fast sim torture --first {outcome.seed} --seeds 1   (shorter: --minimise {outcome.seed})")
    names = ("faults", "events", "messages", "loops", "acknowledged", "losses_excused", "lookups", "lookups_failed")
    total = {name: sum(getattr(outcome, name) for outcome in outcomes) for name in names}
    print(", ".join(f"{value} {name.replace('_', ' ')}" for name, value in total.items()))
    print(f"quiet for {max(outcome.quiet for outcome in outcomes):.0f} s at most until all was well")
    print(f"{len(outcomes)} seeds, {len(failed)} with violations")
    if len(outcomes) == 1:
        print(f"event hash {outcomes[0].trace}")
    return 1 if failed else 0


def _minimise(seed: int) -> int:
    """The shortest list on standard output, how it goes on standard error."""
    plan = plan_of(seed)
    if torture(seed, plan).ok:
        print(f"seed {seed} shows no violation", file=sys.stderr)
        return 0

    def progress(left: int, runs: int) -> None:
        print(f"\r{left} faults left after {runs} runs", end="", file=sys.stderr, flush=True)

    short = minimise(plan, lambda faults: not torture(seed, faults).ok, progress)
    print(file=sys.stderr)
    result = Plan(seed, short, torture(seed, short).violations)
    print(msgspec.json.format(msgspec.json.encode(result)).decode())
    return 1
