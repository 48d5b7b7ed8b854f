"""A person's mistake: one line that says what is wrong, exit code 2, and never a traceback."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from xor_fast.cli.children import Child

Command = Callable[..., subprocess.CompletedProcess[str]]


def assert_one_line(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2, done
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    for word in words:
        assert word in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["ping", "zz"], ["no data directory", "quickstart"]),
        (["ping", "zz", "--data", "nowhere"], ["nowhere/overlay.xml"]),
        (["status"], ["no data directory"]),
        (["enroll", "--out", "x"], ["--node"]),
        (["enroll", "romeo@montague.lit", "--out", "x"], ["holds no CA"]),
        (["node", "--data", "x"], ["holds no identity", "--ca"]),
        (["quickstart", "--listen", "localhost:6084"], ["--listen localhost:6084"]),
        (["quickstart", "--listen", "127.0.0.1:66000"], ["--listen"]),
        (["quickstart", "--listen", "127.0.0.1:-1"], ["--listen"]),
        (["quickstart", "--pcap", "x", "--keylog", "y"], ["leave out --keylog"]),
        (["quickstart", "--listen", "127.0.0.1:0", "--keylog", "nowhere/keys"], ["nowhere/keys", "cannot be written"]),
    ],
)
def test_one_line(command: Command, arguments: list[str], words: list[str]) -> None:
    assert_one_line(command(*arguments), *words)


@pytest.mark.parametrize(
    "arguments",
    [["nothing"], ["ping"], ["enroll", "--what"], ["demo", "--nodes", "7"], ["quickstart", "--neighbours", "2"]],
)
def test_wrong_use_of_the_command_line(command: Command, arguments: list[str]) -> None:
    done = command(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


class TestWithAnOverlay:
    @pytest.fixture(autouse=True)
    def overlay(self, start: Callable[..., Child]) -> None:
        start("quickstart", "--listen", "127.0.0.1:0").until("listening")

    def test_a_second_process_on_the_same_directory(self, command: Command) -> None:
        assert_one_line(command("quickstart", "--listen", "127.0.0.1:0"), "in use by a running node")

    def test_a_taken_directory(self, command: Command, tmp_path: Path) -> None:
        (tmp_path / "full").mkdir()
        (tmp_path / "full" / "file").touch()
        assert_one_line(command("enroll", "--node", "--out", "full"), "full", "not an empty directory")
        assert [path.name for path in tmp_path.glob("full*")] == ["full"]

    def test_what_is_no_jid(self, command: Command, tmp_path: Path) -> None:
        assert_one_line(command("enroll", "romeo montague", "--out", "x"), "romeo montague")
        assert not (tmp_path / "x").exists()

    def test_what_is_no_node_id(self, command: Command) -> None:
        assert_one_line(command("ping", "12"), "12 is not a Node-ID")

    def test_a_key_of_another(self, command: Command, tmp_path: Path) -> None:
        for name in "ab":
            assert command("enroll", "--node", "--out", name).returncode == 0
        (tmp_path / "a" / "node.key").write_bytes((tmp_path / "b" / "node.key").read_bytes())
        assert_one_line(command("node", "--data", "a"), "private key")

    def test_a_damaged_document(self, command: Command, tmp_path: Path) -> None:
        assert command("enroll", "--node", "--out", "a").returncode == 0
        (tmp_path / "a" / "overlay.xml").write_text("<overlay")
        assert_one_line(command("node", "--data", "a"), "a/overlay.xml")
