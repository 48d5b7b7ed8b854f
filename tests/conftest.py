"""What every test run does: one seed, printed; the time of each part; the requirements whose tests passed."""

import json
import os
import random
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).parent.parent
PARTS = {"vectors": "vectors", "sim": "sim", "fuzz": "fuzz"} | dict.fromkeys(
    ("net", "cli", "interop", "processes", "isolated"), "process"
)
SEED = int(os.environ.get("XOR_FAST_SEED") or random.SystemRandom().randrange(1 << 32))

# No deadline: a busy machine is not a fault of the code. The seed comes from SEED below, so a failure repeats.
settings.register_profile(
    "xor_fast", deadline=None, max_examples=100, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("xor_fast")


def part_of(item: pytest.Item) -> str:
    """The part of the run a test is counted under: its marker `part`, else its folder, else "unit"."""
    marker = item.get_closest_marker("part")
    return str(marker.args[0]) if marker else PARTS.get(item.path.relative_to(ROOT / "tests").parts[0], "unit")


class Ledger:
    """Counts time by part, and which functions passed with all their parameters."""

    def __init__(self) -> None:
        self.part: dict[str, str] = {}
        self.requirements: dict[str, tuple[str, ...]] = {}
        self.outcomes: dict[str, set[str]] = defaultdict(set)
        self.seconds: dict[str, float] = defaultdict(float)
        self.tests: dict[str, int] = defaultdict(int)
        self.is_whole_run = False

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, session: pytest.Session, items: list[pytest.Item]) -> None:
        option = session.config.option
        given = {str(Path(argument).resolve()) for argument in session.config.args}
        self.is_whole_run = not option.keyword and not option.markexpr and given <= {str(ROOT), str(ROOT / "tests")}
        for item in items:
            self.part[item.nodeid] = part_of(item)
            self.requirements[item.nodeid] = tuple(str(id_) for mark in item.iter_markers("req") for id_ in mark.args)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        part = self.part[report.nodeid]
        self.seconds[part] += report.duration
        self.tests[part] += report.when == "call"
        if report.when == "call" or report.outcome != "passed":
            self.outcomes[report.nodeid].add("failed" if hasattr(report, "wasxfail") else report.outcome)

    def passed(self) -> list[str]:
        """Requirements with at least one test that passed, none of whose tests did anything else."""
        good: set[str] = set()
        bad: set[str] = set()
        for nodeid, ids in self.requirements.items():
            (good if self.outcomes.get(nodeid) == {"passed"} else bad).update(ids)
        return sorted(good - bad)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        # A run of some tests only would shrink the list, so it leaves the last whole run's.
        if self.is_whole_run:
            path = ROOT / "build" / "requirements.json"
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(self.passed(), indent=0) + "\n")
            terminalreporter.write_line(
                f"requirements with passing tests: {len(self.passed())} (build/requirements.json)"
            )
        for part, seconds in sorted(self.seconds.items(), key=lambda pair: pair[1]):
            terminalreporter.write_line(f"part {part:8} {self.tests[part]:5} tests {seconds:8.1f} s")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Ledger(), "xor_fast-ledger")
    if config.option.hypothesis_seed is None:  # one seed for all that is random, unless hypothesis was given its own
        config.option.hypothesis_seed = str(SEED)


def pytest_report_header() -> str:
    return f"seed of the random tests: {SEED} (again: XOR_FAST_SEED={SEED})"


@pytest.fixture(autouse=True)
def seed(request: pytest.FixtureRequest) -> Iterator[int]:
    """A number that depends on the run's seed and on the test; the module `random` starts from it."""
    number = random.Random(f"{SEED}:{request.node.nodeid}").getrandbits(64)
    state = random.getstate()
    random.seed(number)
    yield number
    random.setstate(state)


@pytest.fixture
def rng(seed: int) -> random.Random:
    """A generator of the test's own."""
    return random.Random(seed)
