"""xor-fast sim: overlays in virtual time, each run from one seed. `xor-fast sim list` names the scenarios.

    xor-fast sim --nodes 256 --seed 7                    grow a ring, store, look up
    xor-fast sim churn --nodes 1000 --session 60m --minutes 60 --json churn.json --plot churn.svg
    xor-fast sim torture --seeds 100                     everything that may go wrong, invariants after every event
    xor-fast sim modelcheck                              every order of messages in rings of up to four

A table on standard output, progress on standard error if that is a terminal. Exit code 0: what the scenario claims
holds; 1: it does not; 2: wrong use. The same seed gives the same event hash.
"""

import argparse
import gc
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from xor_fast.sim.modelcheck import run as modelcheck
from xor_fast.sim.scenarios import plots
from xor_fast.sim.scenarios.catalogue import SCENARIOS
from xor_fast.sim.scenarios.scenario import Options, Result, Scenario
from xor_fast.sim.torture import campaign

DEFAULT = "grow"
# Of objects between two searches for cycles, of which a world has few: with the interpreter's 700 they took 13 % of the
# time at 600 peers in churn, and more with more peers.
GARBAGE = 30_000


def main(arguments: Sequence[str] | None = None) -> int:
    """0: the claims of the scenario hold; 1: not so; 2: wrong use."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    name = arguments[0] if arguments and not arguments[0].startswith("-") else DEFAULT
    if name == "torture":
        return campaign.main(arguments[1:])
    if name == "modelcheck":
        return modelcheck.main(arguments[1:])
    if name == "list" or arguments in (["--help"], ["-h"]):
        return _list(arguments)
    if name not in SCENARIOS:
        return _wrong(f"there is no scenario {name!r}; xor-fast sim list names them")
    return _run(SCENARIOS[name], arguments[1:] if arguments[:1] == [name] else arguments)


def _run(scenario: Scenario, arguments: Sequence[str]) -> int:
    given = vars(_parser(scenario).parse_args(arguments))
    options = Options(given["seed"], {parameter.name: given[parameter.name] for parameter in scenario.parameters})
    try:
        if given["plot"] is not None:
            plots.check(given["plot"])
        to = _open(given["json"])
    except (OSError, plots.PlotError) as error:
        return _wrong(f"cannot write {error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error))
    gc.set_threshold(GARBAGE)
    with _progress(to is sys.stdout) as progress:
        tasks: dict[str, object] = {}

        def show(phase: str, done: float, total: float) -> None:
            if phase not in tasks:
                tasks[phase] = progress.add_task(phase, total=total)
            progress.update(tasks[phase], completed=done)  # type: ignore[arg-type]

        result = scenario.run(options, show)
    again = _again(scenario, options)
    if to is not None:
        print(msgspec.json.encode(_figures(scenario, options, result)).decode(), file=to, flush=True)
    if to is not sys.stdout:
        _tell(result, again)
    if given["plot"] is not None:
        try:
            plots.draw(result.charts, given["plot"], f"{again}   event hash {result.trace[:16]}")
        except plots.PlotError as error:
            return _wrong(str(error))
    return 0 if result.ok else 1


def _wrong(text: str) -> int:
    print(f"xor-fast sim: {text}", file=sys.stderr)
    return 2


def _list(arguments: Sequence[str]) -> int:
    if arguments[:1] != ["list"]:
        print(__doc__)
    for scenario in SCENARIOS.values():
        print(f"{scenario.name:12} {scenario.summary}")
    print(f"{'torture':12} Everything that may go wrong, drawn from many seeds; invariants after every event.")
    print(f"{'modelcheck':12} Every order of messages in rings of up to four, with joins, leaves and failures at once.")
    print("xor-fast sim SCENARIO --help lists the options of one.")
    return 0


def _parser(scenario: Scenario) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"xor-fast sim {scenario.name}", description=scenario.summary)
    for parameter in scenario.parameters:
        default = "" if parameter.default is None else f" (default {parameter.default})"
        parser.add_argument(
            parameter.flag,
            dest=parameter.name,
            type=parameter.read,
            default=parameter.default,
            metavar=parameter.name.upper(),
            help=parameter.help + default,
        )
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same events (default 1)")
    parser.add_argument(
        "--json", nargs="?", const="-", metavar="FILE", help="the figures as one JSON object; - or nothing: print it"
    )
    parser.add_argument("--plot", type=Path, metavar="FILE", help="its charts, as .png or .svg (needs matplotlib)")
    return parser


def _open(name: str | None) -> IO[str] | None:
    """Where the JSON goes. Opened before hours of simulation, so that a wrong name costs none."""
    return sys.stdout if name == "-" else None if name is None else open(name, "w")


def _progress(quiet: bool) -> Progress:
    """On standard error, and only if that is a terminal: what a program reads stays clean."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description:>10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, disable=quiet or not console.is_terminal)


def _again(scenario: Scenario, options: Options) -> str:
    values = [
        f" {parameter.flag} {options.values[parameter.name]}"
        for parameter in scenario.parameters
        if options.values[parameter.name] is not None
    ]
    return f"xor-fast sim {scenario.name}{''.join(values)} --seed {options.seed}"


def _figures(scenario: Scenario, options: Options, result: Result) -> dict[str, object]:
    return {
        "scenario": scenario.name,
        "seed": result.seed,
        "parameters": dict(options.values),
        **result.figures,
        "ok": result.ok,
        "claims": result.claims,
        "problems": result.problems,
        "trace": result.trace,
        "charts": result.charts,
    }


def _tell(result: Result, again: str) -> None:
    rows = {**result.rows, "event hash": result.trace, "again": again}
    width = max(len(name) for name in rows)
    for name, text in rows.items():
        print(f"{name:{width}} {text}")
    for claim in result.claims:
        print(f"{'holds' if claim.held else 'DOES NOT HOLD':{width}} {claim.text}")
    for problem in result.problems[:20]:
        print(f"{'problem':{width}} {problem}")


if __name__ == "__main__":
    sys.exit(main())
