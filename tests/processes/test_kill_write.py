"""kill -9 around a write, in its short form; `make kill-points` is the long one."""

import subprocess
import sys


def test_every_acknowledged_value_is_there_after_kill_9_at_any_point() -> None:
    command = [sys.executable, "-m", "tests.processes.kill_points", "--points", "30"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "none lost or torn" in done.stdout
