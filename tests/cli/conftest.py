"""Commands in the background and to their end, in the test's own folder; what still runs ends with the test."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from xor_fast.cli.children import PATIENCE, Child


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Child]]:
    """start(*arguments): a command in the background."""
    with ExitStack() as children:
        yield lambda *arguments: children.enter_context(Child(tmp_path, *arguments))


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """command(*arguments): one to its end."""

    def run(*arguments: str, input: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "xor_fast", *arguments],
            cwd=tmp_path, input=input, capture_output=True, text=True, errors="surrogateescape", timeout=PATIENCE,
        )  # fmt: skip

    return run
