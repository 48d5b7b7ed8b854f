"""`make fuzz`: every target of parsers.py under libFuzzer for a time or a number of runs, then one table.

    python -m tests.fuzz [--time SECONDS] [--runs N] [--jobs N] [--report FILE] [TARGET ...]

A target is a name of parsers.TARGETS or a pattern such as "struct_*". Inputs that teach something are kept:
corpus/TARGET.txt, one a line in hexadecimal, its first byte the settings. What breaks a promise goes to
build/fuzz/crashes/, with the command that repeats it.
"""

import argparse
import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.fuzz import parsers, seeds
from xor_fast import messages

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
BUILD = ROOT / "build" / "fuzz"
CORPUS = HERE / "corpus"
MAX_LENGTH = 1500  # bytes of an input; longer ones come from seeds.long_lists
MAX_KEPT = 2500  # bytes of a target's corpus in the repository
REASON = re.compile(r"^(?:\S*Error\b.*|.*(?:runtime error:|ERROR: \w+:).*|fuzz: a parser.*)$", re.MULTILINE)
PROGRESS = re.compile(r"#\d+\s+DONE\s+cov: (\d+) ft: (\d+) corp: (\d+)/(\w+)")


def environment(target: str, stats: Path, stack_depth: int) -> dict[str, str]:
    # No stack is kept with every allocation: a kept input can be run again with all of it (--repeat).
    options = f"detect_leaks=0:quarantine_size_mb=16:allocator_may_return_null=1:malloc_context_size={stack_depth}"
    return os.environ | {
        "ASAN_OPTIONS": options,
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "PYTHONMALLOC": "malloc",  # else Python's own pools hide what is read beyond an object, and what is allocated
        "PYTHONPATH": str(BUILD),
        "PYTHONDONTWRITEBYTECODE": "1",
        "FUZZ_TARGET": target,
        "FUZZ_PYTHON": sys.executable,
        "FUZZ_STATS": str(stats),
    }


def start(target: str, stats: Path, *arguments: str, stack_depth: int = 0) -> subprocess.CompletedProcess[str]:
    command, variables = [str(BUILD / "fuzzer"), *arguments], environment(target, stats, stack_depth)
    return subprocess.run(command, env=variables, capture_output=True, text=True, errors="replace")


def settings_of(seed: bytes) -> bytes:
    """Read with 16-byte Node-IDs and KINDS; the fuzzer tries the others."""
    return b"\0" + seed


class Target:
    def __init__(self, name: str) -> None:
        self.name = name
        self.kept = CORPUS / f"{name}.txt"
        self.folder = BUILD / "corpus" / name
        self.crashes = BUILD / "crashes"
        self.stats = BUILD / "stats" / f"{name}.json"
        for folder in (self.folder, self.crashes, self.stats.parent):
            folder.mkdir(parents=True, exist_ok=True)

    def unpack(self, all_seeds: list[bytes]) -> None:
        kept = [bytes.fromhex(line) for line in self.kept.read_text().split()] if self.kept.exists() else []
        for i, data in enumerate(kept + [settings_of(seed) for seed in all_seeds if len(seed) < MAX_LENGTH]):
            (self.folder / f"seed{i:05}").write_bytes(data)

    def fuzz(self, runs: int, seconds: float, seed: int) -> dict[str, Any]:
        """The figures of one campaign of this target."""
        began = time.monotonic()
        limit = f"-runs={runs}" if runs else f"-max_total_time={max(1, round(seconds))}"
        prefix = f"-artifact_prefix={self.crashes}/{self.name}-"
        done = start(
            self.name, self.stats, limit, prefix, f"-seed={seed}", f"-max_len={MAX_LENGTH}", "-timeout=20",
            "-rss_limit_mb=2048", "-print_final_stats=1", "-len_control=50", "-entropic=0", str(self.folder),
        )  # fmt: skip
        found = PROGRESS.search(done.stderr)
        figures: dict[str, Any] = {"target": self.name, "seconds": round(time.monotonic() - began, 1), "seed": seed}
        if done.returncode or not found:
            return figures | {"failure": self.failure(done.stderr)}
        figures |= {"edges": int(found[1]), "features": int(found[2]), "corpus": int(found[3])}
        return figures | json.loads(self.stats.read_text())

    def failure(self, log: str) -> str:
        """What was broken, and the command that shows it again."""
        path = self.crashes / f"{self.name}.log"
        path.write_text(log)
        what = REASON.findall(log) or log.splitlines()[-1:]
        inputs = re.findall(r"Test unit written to (\S+)|Running: (\S+)", log)
        again = "".join(inputs[-1]) if inputs else "INPUT"
        return f"{what[0]}\n  {path}\n  python -m tests.fuzz --repeat {again} {self.name}"

    def long_lists(self) -> dict[str, Any]:
        """The largest shares of the allowed memory that lists of many thousand items take."""
        folder = BUILD / "long" / self.name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for i, (value, data) in enumerate(seeds.long_lists()):
            if self.name in ("decode_message", "signature_input", "stored_as_signed") or self.takes(value):
                (folder / str(i)).write_bytes(b"\0" + data)
        files = sorted(map(str, folder.iterdir()))
        if not files:
            return {}
        done = start(self.name, self.stats, *files)
        if done.returncode:
            return {"failure": self.failure(done.stderr)}
        figures = json.loads(self.stats.read_text())
        return {f"long_{name}": figures[name] for name in ("slowest_us", "largest_share", "most_share")}

    def takes(self, value: messages.Body) -> bool:
        return self.name == f"struct_{type(value).__name__}" or (
            self.name.startswith("body_") and not isinstance(value, messages.Message | messages.ForwardingHeader)
        )

    def minimise(self) -> None:
        """Keep what teaches something, the smallest first, as far as the repository has room for it."""
        smallest = BUILD / "merged" / self.name
        shutil.rmtree(smallest, ignore_errors=True)
        smallest.mkdir(parents=True)
        done = start(self.name, self.stats, "-merge=1", f"-max_len={MAX_LENGTH}", str(smallest), str(self.folder))
        if done.returncode:
            return
        inputs = sorted((path.read_bytes() for path in smallest.iterdir()), key=lambda data: (len(data), data))
        room, lines = MAX_KEPT, []
        for data in inputs:
            room -= len(data)
            if room >= 0:
                lines.append(data.hex())
        CORPUS.mkdir(exist_ok=True)
        self.kept.write_text("\n".join(lines) + "\n")


COLUMNS = {
    "executions": "executions", "per_second": "per s", "edges": "edges", "features": "features", "corpus": "corpus",
    "slowest_us": "slowest us", "largest_share": "largest", "most_share": "in all", "long_most_share": "long lists",
}  # fmt: skip


def table(rows: list[dict[str, Any]]) -> str:
    lines = [f"{'target':34}" + "".join(f"{title:>12}" for title in COLUMNS.values())]
    for row in rows:
        cells = "".join(f"{row.get(name, '-'):>12}" for name in COLUMNS)
        lines.append(f"{row['target']:34}{cells}" + ("  BROKEN" if "failure" in row else ""))
    total = sum(row.get("executions", 0) for row in rows)
    least = min(rows, key=lambda row: row.get("executions", 0))
    fewest = f"{least.get('executions', 0):,} on {least['target']}"
    lines.append(f"{total:,} executions on {len(rows)} parsers, the fewest {fewest}")
    lines.append(
        "slowest: CPU of one call, exact to 0.1 ms; the last three columns: parts of the memory allowed, 1 the limit"
    )
    return "\n".join(lines)


def campaign(arguments: argparse.Namespace, names: list[str]) -> int:
    all_seeds, rows = seeds.all_seeds(), []
    share = arguments.time * arguments.jobs / len(names)

    def run(name: str) -> dict[str, Any]:
        target = Target(name)
        target.unpack(all_seeds)
        row = target.fuzz(arguments.runs, share, arguments.seed)
        if "failure" not in row and not arguments.only_fuzz:
            target.minimise()
            row |= target.long_lists()
        row["per_second"] = round(row.get("executions", 0) / row["seconds"])
        print(f"{name}: {row.get('failure') or row['executions']}", file=sys.stderr, flush=True)
        rows.append(row)
        save(arguments.report, rows)
        return row

    with ThreadPoolExecutor(arguments.jobs) as pool:
        done = list(pool.map(run, names))
    print(table(done))
    for row in done:
        if "failure" in row:
            print(f"{row['target']}: {row['failure']}")
    return int(any("failure" in row for row in done))


def save(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows, indent=1) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="fuzz every parser")
    parser.add_argument("targets", nargs="*", default=["*"], help="names or patterns of targets")
    parser.add_argument("--time", type=float, default=60.0, help="seconds for all targets together")
    parser.add_argument("--runs", type=int, default=0, help="executions of each target, whatever time it takes")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only-fuzz", action="store_true", help="no long lists, and nothing kept in the repository")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--report", type=Path, default=BUILD / "report.json")
    parser.add_argument("--repeat", type=Path, help="a kept input, run once for the one target named")
    arguments = parser.parse_args()
    names = [name for name in parsers.TARGETS if any(fnmatch.fnmatch(name, each) for each in arguments.targets)]
    if not names:
        parser.error(f"no target is called {' or '.join(arguments.targets)}; there are {', '.join(parsers.TARGETS)}")
    if arguments.repeat:
        done = start(names[0], BUILD / "stats" / "repeat.json", str(arguments.repeat), stack_depth=30)
        print(done.stderr)
        return done.returncode
    return campaign(arguments, names)


if __name__ == "__main__":
    raise SystemExit(main())
