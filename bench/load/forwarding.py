"""Messages a transit peer forwards: our node beside the plain C relay, between the same links (bench/README.md).

    python -m bench.load.forwarding [--seconds 2] [--rounds 9] [--depth 1 --depth 8] [--realtime] [--json FILE]

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

from bench.load.pki import PKI, SOURCES, TARGETS, write_certificates

HERE = Path(__file__).parent
BUILD = HERE.parents[1] / "build" / "bench"
REFERENCE, NODE = "C, OpenSSL and epoll", "xor_fast"


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

    @property
    def core_share(self) -> float:
        """How much of its core the relay had. It is always busy: what lacks was spent on something else."""
        return self.relay_cpu_seconds / self.seconds


def compile_programs() -> None:
    """relay.c and loadgen.c, with the compiler in CC; needs OpenSSL's headers."""
    BUILD.mkdir(parents=True, exist_ok=True)
    compiler = os.environ.get("CC", "cc")
    for name in ("relay", "loadgen"):
        source, program = HERE / f"{name}.c", BUILD / name
        newest = max(source.stat().st_mtime, (HERE / "link.h").stat().st_mtime)
        if program.exists() and program.stat().st_mtime >= newest:
            continue
        command = [compiler, "-O2", "-Wall", "-o", str(program), str(source), "-lssl", "-lcrypto"]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            raise SystemExit(
                f"{done.stderr}{source.name} does not compile (OpenSSL's headers: apt-get install libssl-dev)"
            )


def relays(directory: Path) -> dict[str, list[str]]:
    """The command of each relay; certificates are in `directory`."""
    return {
        REFERENCE: [str(BUILD / "relay"), str(directory)],
        NODE: [sys.executable, "-m", "bench.load.relay_node"],
    }


def settle(cpu: int, realtime: bool) -> None:
    """In a child process: stay on one CPU, and with `realtime` keep everybody else off it (needs root)."""
    os.sched_setaffinity(0, {cpu})
    if realtime:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))


def measure(command: Sequence[str], directory: Path, depth: int, seconds: float, realtime: bool = False) -> Run:
    """Start the relay, load it with `depth` messages under way on each source link, stop it."""
    cpus = sorted(os.sched_getaffinity(0))
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        preexec_fn=lambda: settle(cpus[0], realtime),
    ) as relay:
        try:
            assert relay.stdout is not None
            port = relay.stdout.readline().split()[1]
            numbers = [port, relay.pid, PKI.overlay.overlay_hash, SOURCES, TARGETS, depth, seconds]
            answer = subprocess.run(
                [str(BUILD / "loadgen"), str(directory), *map(str, numbers)],
                stdout=subprocess.PIPE,
                check=True,
                preexec_fn=lambda: settle(cpus[-1], realtime),
            )
        finally:
            relay.kill()
    figures = json.loads(answer.stdout)
    return Run(**{name: figures[name] for name in Run._fields})


def compare(
    depths: Sequence[int], seconds: float, rounds: int, realtime: bool = False
) -> dict[int, dict[str, list[Run]]]:
    """Every relay at every depth, `rounds` times in turn: {depth: {relay: runs}}."""
    compile_programs()
    runs: dict[int, dict[str, list[Run]]] = {depth: {REFERENCE: [], NODE: []} for depth in depths}
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        write_certificates(directory)
        for _ in range(rounds):
            for depth in depths:
                for relay, command in relays(directory).items():
                    runs[depth][relay].append(measure(command, directory, depth, seconds, realtime))
    return runs


def main() -> None:
    """Print one line a relay and depth, and the ratio to the C relay."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--depth", type=int, action="append", help="messages under way on each link (1 and 8)")
    parser.add_argument("--realtime", action="store_true", help="keep other programs off both CPUs (root)")
    parser.add_argument("--json", type=Path, help="raw figures go to this file")
    arguments = parser.parse_args()
    runs = compare(arguments.depth or [1, 8], arguments.seconds, arguments.rounds, arguments.realtime)
    for depth, by_relay in runs.items():
        reference = statistics.median(run.cpu_microseconds for run in by_relay[REFERENCE])
        for name, mine in by_relay.items():
            cost = statistics.median(run.cpu_microseconds for run in mine)
            rate = statistics.median(run.messages / run.seconds for run in mine)
            spread = " ".join(f"{run.cpu_microseconds:.2f}" for run in mine)
            print(f"depth {depth}  {name:20} {cost:6.2f} us CPU/message  ratio {reference / cost:.2f}", end="")
            print(f"  {rate:8.0f} messages/s  [{spread}]")
    if arguments.json:
        arguments.json.write_text(
            json.dumps({d: {n: [r._asdict() for r in m] for n, m in v.items()} for d, v in runs.items()})
        )


if __name__ == "__main__":
    main()
