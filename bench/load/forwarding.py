"""Messages a transit peer forwards: our node beside the plain C relay, between the same links (bench/README.md).

    python -m bench.load.forwarding [--seconds 4] [--rounds 3] [--depth 1 --depth 8] [--json FILE]

Each relay runs on the first CPU, the load generator on the last. The relays take turns, round by round, so that a
slow minute of the machine hits both; the ratio is that of the medians.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bench.load.pki import OVERLAY, write_certificates
from xor_fast.cext.ids import overlay_hash

HERE = Path(__file__).parent
BUILD = HERE.parents[1] / "build" / "bench"
SOURCES, TARGETS = 64, 16
RELAYS = {
    "C": [str(BUILD / "relay")],
    "xor_fast": [sys.executable, "-m", "bench.load.relay_node"],
}


class Run(NamedTuple):
    """One run of the load generator against one relay."""

    messages: int
    seconds: float
    relay_cpu_seconds: float
    acks: int
    wrong: int
    """Messages that did not arrive as RFC 6940 6.1.2 wants them: always 0, or the run has failed."""

    @property
    def cpu_microseconds(self) -> float:
        """CPU time of the relay for one message."""
        return self.relay_cpu_seconds / self.messages * 1e6


def compile_programs() -> None:
    """relay.c and loadgen.c, with the compiler in CC; needs OpenSSL's headers (Debian: libssl-dev)."""
    BUILD.mkdir(parents=True, exist_ok=True)
    for name in ("relay", "loadgen"):
        source, program = HERE / f"{name}.c", BUILD / name
        newest = max(source.stat().st_mtime, (HERE / "link.h").stat().st_mtime)
        if not program.exists() or program.stat().st_mtime < newest:
            command = [os.environ.get("CC", "cc"), "-O2", "-Wall", "-o", str(program), str(source), "-lssl", "-lcrypto"]
            subprocess.run(command, check=True)


def measure(command: Sequence[str], directory: Path, sources: int, targets: int, depth: int, seconds: float) -> Run:
    """Start the relay, load it with `depth` messages under way on each of `sources` links, stop it."""
    cpus = sorted(os.sched_getaffinity(0))
    with subprocess.Popen(
        [*command, str(directory)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, cpus[:1]),
    ) as relay:
        try:
            assert relay.stdout is not None
            port = relay.stdout.readline().split()[1]
            load = [str(BUILD / "loadgen"), str(directory), port, str(relay.pid), str(overlay_hash(OVERLAY.encode()))]
            answer = subprocess.run(
                [*load, str(sources), str(targets), str(depth), str(seconds)],
                stdout=subprocess.PIPE,
                check=True,
                preexec_fn=lambda: os.sched_setaffinity(0, cpus[-1:]),
            )
        finally:
            relay.kill()
    figures = json.loads(answer.stdout)
    return Run(**{name: figures[name] for name in Run._fields})


def compare(
    depths: Sequence[int], seconds: float, rounds: int, sources: int = SOURCES, targets: int = TARGETS
) -> dict[int, dict[str, list[Run]]]:
    """Every relay at every depth, `rounds` times in turn: {depth: {relay: runs}}."""
    compile_programs()
    runs: dict[int, dict[str, list[Run]]] = {depth: {name: [] for name in RELAYS} for depth in depths}
    with tempfile.TemporaryDirectory() as directory:
        write_certificates(Path(directory), sources, targets)
        for _ in range(rounds):
            for depth in depths:
                for name, command in RELAYS.items():
                    run = measure(command, Path(directory), sources, targets, depth, seconds)
                    runs[depth][name].append(run)
    return runs


def main() -> None:
    """Print one line a relay and depth, and the ratio to the C relay."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--depth", type=int, action="append", help="messages under way on each link (1 and 8)")
    parser.add_argument("--json", type=Path, help="raw figures go to this file")
    arguments = parser.parse_args()
    runs = compare(arguments.depth or [1, 8], arguments.seconds, arguments.rounds)
    for depth, relays in runs.items():
        reference = statistics.median(run.cpu_microseconds for run in relays["C"])
        for name, mine in relays.items():
            cost = statistics.median(run.cpu_microseconds for run in mine)
            rate = statistics.median(run.messages / run.seconds for run in mine)
            spread = " ".join(f"{run.cpu_microseconds:.2f}" for run in mine)
            print(f"depth {depth}  {name:12} {cost:6.2f} us CPU/message  ratio {reference / cost:.2f}", end="")
            print(f"  {rate:8.0f} messages/s  [{spread}]")
    if arguments.json:
        arguments.json.write_text(json.dumps({d: {n: [r._asdict() for r in m] for n, m in v.items()} for d, v in runs.items()}))


if __name__ == "__main__":
    main()
