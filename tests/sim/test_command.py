"""xor-fast sim as a person and a program call it."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

# A minute is enough by far; a machine that runs benchmarks beside may take several.
pytestmark = pytest.mark.timeout(600)


def run(*arguments: str, hash_seed: str = "0") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "xor_fast", "sim", *arguments],
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.getcwd()},
        capture_output=True,
        text=True,
        timeout=300,
    )


def figures(*arguments: str, hash_seed: str = "0") -> dict[str, Any]:
    done = run(*arguments, "--json", hash_seed=hash_seed)
    assert done.returncode == 0, done.stdout + done.stderr
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def test_256_nodes_make_one_ring_find_everything_and_replay() -> None:
    first = figures("--nodes", "256", "--seed", "7", hash_seed="1")
    assert (first["one_ring"], first["stored"], first["found"], first["lookups"]) == (True, 256, 256, 256)
    assert first["virtual_seconds"] > 0 < first["real_seconds"]
    again = figures("--nodes", "256", "--seed", "7", hash_seed="2")
    assert again["trace"] == first["trace"]


def test_a_person_reads_what_came_of_it() -> None:
    done = run("--nodes", "8", "--seed", "2", "--signatures", "real")
    assert done.returncode == 0
    assert "8, one ring" in done.stdout
    assert "8 of 8 found" in done.stdout
    assert "seconds a second" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr  # no progress bar where no person looks


def test_a_terminal_shows_progress() -> None:
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "xor_fast", "sim", "--nodes", "48", "--seed", "3"],
        env={**os.environ, "PYTHONPATH": os.getcwd(), "TERM": "xterm", "COLUMNS": "100"},
        stdout=subprocess.DEVNULL,
        stderr=follower,
    )
    os.close(follower)
    shown = b""
    try:
        while chunk := os.read(leader, 65536):
            shown += chunk
    except OSError:  # the other end is closed: all was shown
        pass
    os.close(leader)
    assert process.wait(60) == 0
    assert b"joining" in shown
    assert b"48/48" in shown


def test_wrong_use_is_one_line_and_exit_code_2() -> None:
    done = run("--nodes", "none")
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].endswith("'none' is not a number from 1 to 10000")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("weather",), "there is no scenario 'weather'; xor-fast sim list names them"),
        (("churn", "--session", "long"), "'long' is not a time: write 90s, 1.5m or 2h"),
        (("mute", "--share", "1.5"), "'1.5' is not a share from 0 to 1"),
        (("paths", "--neighbours", "2"), "'2' is not a number from 3 to 32"),
        (("half", "--neighbours", "33"), "'33' is not a number from 3 to 32"),
        (("churn", "--lookups-per-minute", "0"), "'0' is not a number above 0"),
        (("bridge", "--nodes", "3"), "'3' is not a number from 4 to 10000"),
        (("paths", "--plot", "paths.gif"), "a plot is a .png or .svg file, not 'paths.gif'"),
        (("torture", "--seeds", "0"), "'0' is not a number from 1 to 4294967296"),
        (("torture", "--jobs", "-1"), "'-1' is not a number from 1 to 1024"),
        (
            ("torture", "--plan", "nowhere"),
            "--plan nowhere cannot be read: [Errno 2] No such file or directory: 'nowhere'",
        ),
        (("modelcheck", "--window", "nan"), "'nan' is not a time: write 90s, 1.5m or 2h"),
        (("paths", "--json", "/nowhere/paths.json"), "cannot write /nowhere/paths.json: No such file or directory"),
    ],
)
def test_what_cannot_be_is_said_before_anything_runs(arguments: tuple[str, ...], says: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].endswith(says)
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_the_list_names_every_scenario_and_one_has_help() -> None:
    done = run("list")
    assert done.returncode == 0
    names = [line.split()[0] for line in done.stdout.splitlines()[:-1]]
    assert {"grow", "paths", "half", "churn", "mute", "torture"} <= set(names)
    for name in ("grow", "churn"):
        assert "--seed" in run(name, "--help").stdout


def test_figures_and_charts_go_into_files(tmp_path: Path) -> None:
    small = ("paths", "--nodes", "64", "--lookups", "100", "--seed", "5")
    for name in ("one.svg", "two.svg", "one.png"):
        done = run(*small, "--json", str(tmp_path / "paths.json"), "--plot", str(tmp_path / name))
        assert done.returncode == 0, done.stdout + done.stderr
        assert "holds" in done.stdout
    written = json.loads((tmp_path / "paths.json").read_bytes())
    assert (written["scenario"], written["seed"], written["parameters"]["nodes"]) == ("paths", 5, 64)
    assert written["ok"] is True
    assert written["trace"] in done.stdout
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    assert (tmp_path / "one.png").read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_one_line_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "matplotlib.py").write_text("raise ImportError")
    done = subprocess.run(
        [sys.executable, "-m", "xor_fast", "sim", "paths", "--nodes", "8", "--plot", str(tmp_path / "paths.svg")],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{os.getcwd()}"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 2
    assert done.stderr == "xor-fast sim: plots need matplotlib: pip install 'xor_fast[plot]'\n"
