"""Messages a transit peer forwards: our node beside the plain C relay, between the same links (bench/README.md).

    python -m bench.load.forwarding [--seconds 0.6] [--rounds 25] [--depth 1 --depth 8] [--realtime] [--json FILE]

The relays run on the first CPU, the load generators on the last. They take turns, one at work and the other idle, round
by round, so that a slow moment of the machine hits both; what counts is the median of the rounds' ratios.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
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


@contextmanager
def loaded(relay: Sequence[str], directory: Path, realtime: bool) -> Iterator[Callable[[int, float], Run]]:
    """A relay with a load generator connected to it; gives the function that measures once: (depth, seconds) -> Run."""
    cpus = sorted(os.sched_getaffinity(0))

    def start(command: Sequence[str], cpu: int) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: settle(cpu, realtime),
        )

    def measure(depth: int, seconds: float) -> Run:
        print(depth, seconds, file=load.stdin, flush=True)
        line = load.stdout.readline() if load.stdout else ""
        if not line:
            raise SystemExit(f"the load generator has failed on {relay[0]} (its reason stands above)")
        figures = json.loads(line)
        return Run(**{name: figures[name] for name in Run._fields})

    with start(relay, cpus[0]) as serving:
        try:
            assert serving.stdout is not None
            numbers = [serving.stdout.readline().split()[1], serving.pid, PKI.overlay.overlay_hash, SOURCES, TARGETS]
            with start([str(BUILD / "loadgen"), str(directory), *map(str, numbers)], cpus[-1]) as load:
                try:
                    yield measure
                finally:
                    load.kill()
        finally:
            serving.kill()


def compare(
    depths: Sequence[int], seconds: float, rounds: int, realtime: bool = False
) -> dict[int, dict[str, list[Run]]]:
    """Both relays at every depth, `rounds` times in turn: {depth: {relay: runs}}."""
    compile_programs()
    runs: dict[int, dict[str, list[Run]]] = {depth: {REFERENCE: [], NODE: []} for depth in depths}
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        directory = Path(name)
        write_certificates(directory)
        measures = {
            relay: stack.enter_context(loaded(command, directory, realtime))
            for relay, command in relays(directory).items()
        }
        for _ in range(rounds):
            for depth, by_relay in runs.items():
                for relay, of_relay in by_relay.items():
                    of_relay.append(measures[relay](depth, seconds))
    return runs


def ratio(by_relay: dict[str, list[Run]]) -> float:
    """Our messages per CPU second by those of the C relay: the median of the rounds."""
    return statistics.median(
        reference.cpu_microseconds / ours.cpu_microseconds
        for ours, reference in zip(by_relay[NODE], by_relay[REFERENCE], strict=True)
    )


def main() -> None:
    """Print one line a relay and depth, and the ratio to the C relay."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=0.6)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--depth", type=int, action="append", help="messages under way on each link (1 and 8)")
    parser.add_argument("--realtime", action="store_true", help="keep other programs off both CPUs (root)")
    parser.add_argument("--json", type=Path, help="raw figures go to this file")
    arguments = parser.parse_args()
    runs = compare(arguments.depth or [1, 8], arguments.seconds, arguments.rounds, arguments.realtime)
    for depth, by_relay in runs.items():
        for name, mine in by_relay.items():
            cost = statistics.median(run.cpu_microseconds for run in mine)
            rate = statistics.median(run.messages / run.seconds for run in mine)
            low, high = (end(run.cpu_microseconds for run in mine) for end in (min, max))
            print(
                f"depth {depth}  {name:20} {cost:6.2f} us CPU/message ({low:.2f} to {high:.2f}) {rate:8.0f} messages/s"
            )
        print(f"depth {depth}  ratio {ratio(by_relay):.2f}")
    if arguments.json:
        raw = {d: {n: [run._asdict() for run in of] for n, of in both.items()} for d, both in runs.items()}
        arguments.json.write_text(json.dumps(raw))


if __name__ == "__main__":
    main()
