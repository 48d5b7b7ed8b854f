"""python -m xor_fast.sim: grow an overlay in virtual time, store and look up, and say what came of it."""

import argparse
import sys
import time
from collections.abc import Sequence

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from xor_fast.sim import campaign
from xor_fast.sim.real import real_overlay
from xor_fast.sim.run import MakeIdentity, Report, fake_identity, overlay_for, simulate

MAX_NODES = 10_000


def main(arguments: Sequence[str] | None = None) -> int:
    """0: one ring, everything stored and found; 1: not so; 2: wrong use."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["torture"]:
        return campaign.main(arguments[1:])
    options = _parser().parse_args(arguments)
    overlay = overlay_for(options.nodes)
    make_identity: MakeIdentity = fake_identity
    if options.signatures == "real":
        overlay, make_identity = real_overlay(overlay, options.seed)
    began = time.perf_counter()
    with _progress(options.json) as progress:
        tasks: dict[str, object] = {}

        def show(phase: str, done: int, total: int) -> None:
            if phase not in tasks:
                tasks[phase] = progress.add_task(phase, total=total)
            progress.update(tasks[phase], completed=done)  # type: ignore[arg-type]

        report = simulate(
            options.nodes,
            options.seed,
            lookups=options.lookups,
            overlay=overlay,
            make_identity=make_identity,
            progress=show,
        )
    real_seconds = time.perf_counter() - began
    if options.json:
        figures = msgspec.to_builtins(report) | {"ok": report.ok, "real_seconds": round(real_seconds, 3)}
        print(msgspec.json.encode(figures).decode())
    else:
        _tell(report, real_seconds, options.signatures)
    return 0 if report.ok else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="xor-fast sim", description=__doc__.partition(": ")[2] if __doc__ else None)
    parser.add_argument("--nodes", type=_count, default=64, help=f"1 to {MAX_NODES} (default 64)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same events (default 1)")
    parser.add_argument("--lookups", type=_count, help="how many (default: one for each node)")
    parser.add_argument(
        "--signatures",
        choices=("fake", "real"),
        default="fake",
        help="real: certificates and ECDSA, some fifty times slower",
    )
    parser.add_argument("--json", action="store_true", help="the figures as one JSON object")
    return parser


def _count(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= MAX_NODES:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to {MAX_NODES}")
    return int(text)


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


def _tell(report: Report, real_seconds: float, signatures: str) -> None:
    speed = report.virtual_seconds / real_seconds
    rows = {
        "nodes": f"{report.nodes}, {'one ring' if report.one_ring else 'NOT ONE RING'}",
        "stored": f"{report.stored} of {report.nodes}",
        "lookups": f"{report.found} of {report.lookups} found",
        "hops": f"{report.mean_hops:.2f} on average, at most {report.max_hops}",
        "virtual time": f"{report.virtual_seconds:.1f} s in {real_seconds:.1f} s: {speed:.1f} seconds a second",
        "events": f"{report.events}, {report.bytes_carried} bytes carried",
        "event hash": report.trace,
        "again": f"xor-fast sim --nodes {report.nodes} --seed {report.seed} --lookups {report.lookups}"
        f" --signatures {signatures}",
    }
    for name, text in rows.items():
        print(f"{name:13} {text}")
    for problem in report.problems[:20]:
        print(f"{'problem':13} {problem}")


if __name__ == "__main__":
    sys.exit(main())
