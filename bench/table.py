"""`make bench`: everything that is measured, in one table, each figure beside a reference from the same run.

    python -m bench.table [--load | --asked] [--short] [--realtime] [--out DIRECTORY]

ratio = time of the reference / time of ours: above 1 we are faster. Raw figures go to build/bench/*.json.
"""

import argparse
import json
import os
import platform
import ssl
import statistics
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from bench import in_turn
from bench.inside.build import build
from bench.load import forwarding, requests, room

ROOT = Path(__file__).parent.parent
DEPTHS = {1: 0.8, 8: 0.6}  # messages under way on each link: the least ratio to the C relay that we accept
SHARES = {"Store": 0.6, "Fetch": 0.7}  # of the limit that their signatures set: the least we accept
PAIRED = ("bench_wire", "bench_codec", "bench_ids")  # rows in the order of what is asked
QUIET = 0.85  # of its core a relay has at least, when nothing else runs on it


class Row(NamedTuple):
    """One line of the table: microseconds for one thing, or another unit."""

    what: str
    reference: str
    ours_us: float
    reference_us: float
    asked: float | None = None
    """The least ratio we accept."""
    note: str = ""
    """What makes the figures doubtful."""
    paired_ratio: float | None = None
    """The median of the ratios of single rounds, where both were measured in turn."""
    unit: str = "us"

    @property
    def ratio(self) -> float:
        return self.reference_us / self.ours_us if self.paired_ratio is None else self.paired_ratio


class Effort(NamedTuple):
    """How long each part measures."""

    pytest_options: tuple[str, ...]
    turn_seconds: float
    turns: int
    forwarding_seconds: float
    rounds: int
    requests_scale: float
    values_scale: float
    realtime: bool = False


FULL = Effort(("--benchmark-warmup=on",), 0.008, 41, 0.6, 25, 1.0, 1.0)
SHORT = Effort(
    ("--benchmark-min-rounds=1", "--benchmark-max-time=0.001", "--benchmark-warmup=off"), 0.0002, 3, 0.25, 1, 0.01, 0.01
)


def compiled_modules(effort: Effort, out: Path) -> list[Row]:
    """bench/bench_*.py by pytest-benchmark: the median round of each, beside its group's reference."""
    report = out / "modules.json"
    files = sorted(str(path) for path in ROOT.glob("bench/bench_*.py"))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "addopts=", "--benchmark-only"]
    command += [*effort.pytest_options, f"--benchmark-json={report}", *files]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise SystemExit(done.stdout)
    groups: dict[str, list[dict[str, Any]]] = {}
    for measured in json.loads(report.read_text())["benchmarks"]:
        groups.setdefault(measured["group"], []).append(measured)
    rows = []
    for group, members in groups.items():
        (reference,) = [member for member in members if member["extra_info"]["is_reference"]]
        for member in members:
            if member is not reference:
                detail = ": " + _plain(member).replace("_", " ") if len(members) > 2 else ""
                rows.append(Row(group + detail, _plain(reference), _cost(member), _cost(reference)))
    return rows


def paired_functions(effort: Effort, out: Path) -> list[Row]:
    """What bench/bench_*.py measure in turn: most of the ratios that are asked."""
    build()
    rows, raw = [], []
    for pair in (pair for name in PAIRED for pair in import_module(f"bench.{name}").pairs()):
        measured = in_turn.measure(pair, effort.turn_seconds, effort.turns)
        raw.append({"what": pair.what, "reference": pair.reference_name} | measured._asdict())
        times = measured.ours_us, measured.reference_us
        rows.append(Row(pair.what, pair.reference_name, *times, pair.asked, paired_ratio=measured.ratio))
    (out / "in_turn.json").write_text(json.dumps(raw, indent=1))
    return rows


def _plain(measured: dict[str, Any]) -> str:
    """test_bisect[100] -> bisect"""
    name: str = measured["name"]
    return name.removeprefix("test_").partition("[")[0]


def _cost(measured: dict[str, Any]) -> float:
    microseconds: float = measured["stats"]["median"] / measured["extra_info"]["operations"] * 1e6
    return microseconds


def relay(effort: Effort, out: Path) -> list[Row]:
    """CPU time for one forwarded message: our node and the C relay."""
    runs = forwarding.compare(list(DEPTHS), effort.forwarding_seconds, effort.rounds, effort.realtime)
    raw = {depth: {name: [run._asdict() for run in of] for name, of in both.items()} for depth, both in runs.items()}
    (out / "forwarding.json").write_text(json.dumps(raw, indent=1))
    rows = []
    for depth, both in runs.items():
        ours, reference = (
            statistics.median(run.cpu_microseconds for run in both[name])
            for name in (forwarding.NODE, forwarding.REFERENCE)
        )
        what = f"message forwarded, {forwarding.SOURCES} TLS links to {forwarding.TARGETS}, {depth} in flight"
        paired = forwarding.ratio(both)
        rows.append(Row(what, forwarding.REFERENCE, ours, reference, DEPTHS[depth], disturbance(both), paired))
    return rows


def disturbance(both: dict[str, list[forwarding.Run]]) -> str:
    """Other programs on the core empty its caches and make the batches small: that costs the node more than C."""
    share = min(statistics.median(run.core_share for run in runs) for runs in both.values())
    if share >= QUIET:
        return ""
    return f" (disturbed: a relay had {share:.0%} of its core; stop other programs, or as root: --realtime)"


def answers(effort: Effort, out: Path) -> list[Row]:
    """CPU time for one answered request; the reference is what its signatures alone take, so ratio is their share."""
    runs = requests.measure(effort.requests_scale, effort.realtime)
    (out / "requests.json").write_text(json.dumps({name: run._asdict() for name, run in runs.items()}, indent=1))
    return [
        Row(
            f"{name} answered by a whole node, {run.replicas / run.requests:.0f} replicas sent",
            f"signatures: {run.signatures / run.requests:.0f} made, {run.verifications / run.requests:.0f} verified",
            run.cpu_microseconds,
            run.signature_share * run.cpu_microseconds,
            SHARES.get(name),
        )
        for name, run in runs.items()
    ]


def stored_values(effort: Effort, out: Path) -> list[Row]:
    """Memory and disk for one stored value; the reference is what it is on the wire, and times are bytes here."""
    rooms = room.measure(effort.values_scale)
    (out / "room.json").write_text(json.dumps({name: of._asdict() for name, of in rooms.items()}, indent=1))
    return [
        Row(f"bytes of {what} for a stored value, {name}", "its bytes on the wire", ours, of.wire, unit="bytes")
        for name, of in rooms.items()
        for what, ours in (
            ("memory", max(1.0, of.memory)),
            ("disk", of.disk),
        )  # few values may find room without growth
    ]


def machine() -> str:
    """Where the figures come from: without it they say nothing."""
    lines = [line.partition(":") for line in Path("/proc/cpuinfo").read_text().splitlines()]
    cpu = {name.strip(): value.strip() for name, _, value in reversed(lines)}  # of the first
    sha = "with" if "sha_ni" in cpu.get("flags", "").split() else "without"
    model = f"{cpu.get('model name', platform.machine())} {sha} SHA instructions, {os.cpu_count()} CPUs"
    return f"{model}; Python {platform.python_version()}, {ssl.OPENSSL_VERSION}"


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def verdict(row: Row) -> str:
    if row.asked is None:
        return ""
    return "reached" if row.ratio >= row.asked else "NOT REACHED"


def show(rows: list[Row], console: Console) -> None:
    """The table, and a line for each ratio that was asked and not reached, or is in doubt."""
    table = Table(title=machine(), title_justify="left", caption_justify="left")
    for heading, justify in (("one", "left"), ("us", "right"), ("a second", "right"), ("reference", "left")):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    for heading in ("us", "ratio", "asked"):
        table.add_column(heading, justify="right")
    table.add_column("")
    for row in rows:
        table.add_row(
            row.what,
            number(row.ours_us),
            number(1e6 / row.ours_us) if row.unit == "us" else "",
            row.reference,
            number(row.reference_us),
            f"{row.ratio:.2f}",
            "" if row.asked is None else f"{row.asked:.2f}",
            verdict(row),
        )
    console.print(table)
    console.print(
        "us: CPU time for one, or bytes where it says so. ratio: the reference / ours; with requests, the share"
    )
    console.print("of the limit that their signatures set.")
    for row in rows:
        if row.note or verdict(row) == "NOT REACHED":
            asked = f"{row.ratio:.2f} of {row.reference}, asked {row.asked:.2f}: {verdict(row)}{row.note}"
            console.print(f"{row.what}: {asked}")


def main() -> None:
    """Measure, print the table, and write table.json beside the raw figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--load", action="store_true", help="only the load programs over loopback TLS")
    parser.add_argument("--asked", action="store_true", help="only the functions that a ratio is asked of")
    parser.add_argument("--short", action="store_true", help="so short that the figures mean nothing: does it all run?")
    parser.add_argument(
        "--realtime", action="store_true", help="keep other programs off the CPUs while links are loaded (root)"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "bench", help="folder for the raw figures")
    arguments = parser.parse_args()
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    effort = (SHORT if arguments.short else FULL)._replace(realtime=arguments.realtime)
    if arguments.asked:
        parts = [paired_functions]
    elif arguments.load:
        parts = [relay, answers, stored_values]
    else:
        parts = [paired_functions, compiled_modules, relay, answers, stored_values]
    console = Console(width=None if sys.stdout.isatty() else 150)
    rows: list[Row] = []
    for part in parts:
        with console.status(part.__name__.replace("_", " ")):
            rows += part(effort, out)
    table = [row._asdict() | {"ratio": row.ratio, "verdict": verdict(row)} for row in rows]
    (out / "table.json").write_text(json.dumps({"machine": machine(), "rows": table}, indent=1))
    show(rows, console)
    if arguments.short:
        console.print("A short run: it shows that everything works, the figures mean nothing.")


if __name__ == "__main__":
    main()
