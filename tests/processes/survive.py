"""Node processes under `kill -9`, at full size: `make survive`.

30 % are killed at once and started again with their disks; then two at a time are killed until 30 % are gone, with the
time for repair between. Exit code 1 when an acknowledged value is lost or the ring is not repaired, or when of the
lookups while two at a time are killed fewer than 99.9 % succeed. Those of values whose holders are all down are counted
apart. The scenario blackout kills all at once and starts them again.
"""

import argparse
import random
import sys
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import msgspec
import uvloop
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Table

from tests.processes.overlay import ProcessOverlay
from tests.processes.survival import KIND, Progress, Row, Survival

FOUND = 0.999  # of the lookups while two at a time are killed
SCENARIOS = ("restart", "pairs", "blackout")
STARTED_AT_ONCE = 8  # nodes; a start takes half a second of CPU


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """scenarios: of SCENARIOS, one after the other in the same overlay. share: of the nodes that are killed.

    Seconds: hold_down of the nodes; outage, between kill and restart. A second: rate, lookups; writes, new versions."""

    nodes: int = 64
    stores: int = 10_000
    hold_down: float = 30.0
    share: float = 0.3
    outage: float = 10.0
    rate: float = 100.0
    writes: float = 2.0
    scenarios: tuple[str, ...] = SCENARIOS[:2]


class Report(msgspec.Struct):
    """Of one scenario. lost: Resource-IDs of the acknowledged values not found at the end. found: the share of the
    lookups that succeeded, those at the end left out."""

    scenario: str
    rows: list[Row]
    lost: list[str]
    found: float
    holds: bool


def survive(settings: Settings, folder: Path, progress: Progress = lambda phase, done, total: None) -> list[Report]:
    with ProcessOverlay(folder, options=["--hold-down", str(settings.hold_down)], kinds=[KIND]) as overlay:
        while (count := len(overlay.members)) < settings.nodes:
            overlay.add(min(STARTED_AT_ONCE, settings.nodes - count))
            progress("start nodes", len(overlay.members), settings.nodes)
        overlay.settle()
        return uvloop.run(_survive(settings, overlay, progress))


async def _survive(settings: Settings, overlay: ProcessOverlay, progress: Progress) -> list[Report]:
    hosts = random.sample(overlay.members, max(2, settings.nodes // 4))
    reports = []
    async with Survival(overlay, hosts, settings.stores, settings.rate, settings.writes, progress) as survival:
        await survival.fill()
        for scenario in settings.scenarios:
            if scenario == "restart":
                await survival.kill_and_restart(settings.share, settings.outage, settings.hold_down)
            elif scenario == "pairs":
                await survival.kill_pairs(settings.share, settings.hold_down)
            else:
                await survival.black_out()
            reports.append(_report(scenario, survival))
    return reports


def _report(scenario: str, survival: Survival) -> Report:
    rows, survival.rows = survival.rows, []
    lost, survival.lost = survival.lost, []
    steady = [row for row in rows if row.steady]  # the many at the end would hide failures before
    lookups = sum(row.lookups for row in steady)
    found = 1 - sum(row.failed for row in steady) / lookups if lookups else 1.0
    is_repaired = not any(row.problems for row in rows)
    is_found = scenario != "pairs" or found >= FOUND
    return Report(scenario, rows, lost, found, not lost and is_repaired and is_found)


# --- the command -------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """0: it holds; 1: it does not."""
    options = _parser().parse_args(arguments)
    settings = msgspec.convert(vars(options), Settings)
    random.seed(options.seed)  # who is killed and what is looked up; Node-IDs are random all the same
    place = nullcontext(options.folder) if options.folder else tempfile.TemporaryDirectory(prefix="survive-")
    with place as folder, _bars(options.json) as bars:
        Path(folder).mkdir(parents=True, exist_ok=True)
        reports = survive(settings, Path(folder), _shown_by(bars))
    if options.json:
        figures = {"seed": options.seed, "settings": settings, "reports": reports}
        print(msgspec.json.encode(figures).decode())
    else:
        for report in reports:
            _tell(report)
        print(f"again: python -m tests.processes.survive {_again(options)}")
    return 0 if all(report.holds for report in reports) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.processes.survive", description=__doc__)
    defaults = Settings()
    parser.add_argument("--nodes", type=int, default=defaults.nodes, help="processes, of about 60 MB (default 64)")
    parser.add_argument("--stores", type=int, default=defaults.stores, help="values (default 10000)")
    parser.add_argument("--hold-down", type=float, default=defaults.hold_down, help="of every node (default 30 s)")
    parser.add_argument("--share", type=float, default=defaults.share, help="of the nodes is killed (default 0.3)")
    parser.add_argument("--outage", type=float, default=defaults.outage, help="until the restart (default 10 s)")
    parser.add_argument("--rate", type=float, default=defaults.rate, help="lookups a second (default 100)")
    parser.add_argument("--writes", type=float, default=defaults.writes, help="new versions a second (default 2)")
    parser.add_argument("--scenarios", nargs="+", choices=SCENARIOS, default=list(defaults.scenarios))
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--folder", help="where data directories and logs are kept (default: removed at the end)")
    parser.add_argument("--json", action="store_true", help="the figures as one JSON object")
    return parser


def _again(options: argparse.Namespace) -> str:
    shown = {name: " ".join(value) if isinstance(value, list) else value for name, value in vars(options).items()}
    return " ".join(f"--{name.replace('_', '-')} {value}" for name, value in shown.items() if value)


def _bars(quiet: bool) -> Bars:
    """On standard error, and only if that is a terminal: what a program reads stays clean."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description:>12}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    return Bars(*columns, console=console, disable=quiet or not console.is_terminal)


def _shown_by(bars: Bars) -> Progress:
    tasks: dict[str, TaskID] = {}

    def show(phase: str, done: int, total: int) -> None:
        if phase not in tasks:
            tasks[phase] = bars.add_task(phase)
        bars.update(tasks[phase], completed=done, total=total)

    return show


def _tell(report: Report) -> None:
    table = Table(title=f"{report.scenario} (times in seconds)")
    for name in ("step", "gone", "time", "repair", "lookups", "failed", "orphans", "median", "slowest", "writes"):
        table.add_column(name, justify="left" if name == "step" else "right", no_wrap=True)
    for row in report.rows:
        repair = "" if row.repair is None else f"{row.repair:.1f}"
        times = (f"{row.median:.3f}", f"{row.slowest:.2f}") if row.lookups else ("", "")
        counts = row.gone, f"{row.seconds:.1f}", repair, row.lookups, row.failed, row.orphans, *times, row.writes
        table.add_row(row.step, *map(str, counts))
    console = Console(width=None if sys.stdout.isatty() else 150)
    console.print(table)
    for row in report.rows:
        for why, count in row.why.items():
            console.print(f"  {row.step}: {count} x {why}")
        for problem in row.problems:
            console.print(f"  {row.step}: not repaired: {problem}")
    console.print(
        f"{report.scenario}: {len(report.lost)} acknowledged values lost, {100 * report.found:.3f} % of the lookups "
        f"succeeded: {'holds' if report.holds else 'DOES NOT HOLD'}"
    )


if __name__ == "__main__":
    sys.exit(main())
