"""kill -9 and a loss of power around a write, in short; `make kill-points` and `make power-cuts` are the long forms."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(("program", "points"), [("kill_points", 30), ("power_cut", 100)])
def test_every_acknowledged_value_is_there_after_the_end_at_any_point(program: str, points: int) -> None:
    command = [sys.executable, "-m", f"tests.processes.{program}", "--points", str(points)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "none lost or torn" in done.stdout
