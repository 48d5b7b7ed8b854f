"""A person's mistake: one line that says what is wrong, exit code 2, and never a traceback."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from xor_fast.cli.children import Child
from xor_fast.cli.data import DataDirectory
from xor_fast.cli.enrolment import found_overlay

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
        (["quickstart", "--listen", "127.0.0.1:0", "--name", "my overlay"], ["'my overlay'", "DNS name"]),
        (["quickstart", "--listen", "127.0.0.1:0", "--hold-down", "inf"], ["hold_down is inf"]),
        (["quickstart", "--listen", "127.0.0.1:0", "--advertise", "127.0.0.1:0"], ["--advertise 127.0.0.1:0"]),
        (["node", "--data", "x", "--bootstrap", "127.0.0.1:" + "9" * 5000], ["--bootstrap 127.0.0.1:999"]),
        (["ping", "zz", "--data", "a\nb"], ["a\\nb/overlay.xml"]),
        (["lookup", "a@b", "--data", "\udcff"], ["\\udcff/overlay.xml"]),
        (["status", "--data", "x" * 300], ["File name too long"]),
        (["node", "--data", "x/" * 3000], ["File name too long"]),
        (["enroll", "--node", "--out", "x" * 300], ["holds no CA"]),
        (["demo", "--pcap", "."], [".: Is a directory"]),
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


@pytest.mark.parametrize("listen", ["0.0.0.0:6084", "[::]:0", "192.0.2.1:6084"])
def test_no_overlay_is_made_where_nobody_could_reach_it(command: Command, tmp_path: Path, listen: str) -> None:
    """Its document would name that place for good."""
    assert_one_line(command("quickstart", "--listen", listen), listen.rpartition(":")[0].strip("[]"))
    assert not (tmp_path / "data").exists()


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

    def test_half_an_identity(self, command: Command, tmp_path: Path) -> None:
        """It is not taken for none, in whose place a new one could be put."""
        for name in ("node.crt", "node.key"):
            assert command("enroll", "--node", "--out", name + "-lost").returncode == 0
            (tmp_path / (name + "-lost") / name).unlink()
            assert_one_line(command("node", "--data", name + "-lost", "--ca", "data/bootstrap"), f"{name} is not there")

    def test_a_ca_of_another_overlay(self, command: Command, tmp_path: Path) -> None:
        found_overlay(DataDirectory(tmp_path / "other"), "xor.home.arpa", ("127.0.0.1", 6084))
        (tmp_path / "other" / "overlay.xml").write_bytes((tmp_path / "data/bootstrap/overlay.xml").read_bytes())
        assert_one_line(command("enroll", "--node", "--ca", "other", "--out", "x"), "other/ca", "no root-cert")
        assert not (tmp_path / "x").exists()

    def test_a_first_peer_that_all_others_will_refuse(self, start: Callable[..., Child], tmp_path: Path) -> None:
        found_overlay(DataDirectory(tmp_path / "other"), "xor.home.arpa", ("127.0.0.1", 6084))
        (tmp_path / "other" / "overlay.xml").write_bytes((tmp_path / "data/bootstrap/overlay.xml").read_bytes())
        first = start("quickstart", "--data", "other", "--listen", "127.0.0.1:0")
        text = first.until("log", level="warning")["text"]
        assert all(word in text for word in ("other/node.crt", "another CA", "enrol again"))

    def test_a_document_without_a_bootstrap_node(self, command: Command, tmp_path: Path) -> None:
        assert command("enroll", "--node", "--out", "a").returncode == 0
        document = tmp_path / "a" / "overlay.xml"
        document.write_text(re.sub("<bootstrap-node.*/>", "", document.read_text()))
        for arguments in (["node"], ["ping", "0" * 32]):
            assert_one_line(command(*arguments, "--data", "a"), "no bootstrap node", "--bootstrap")

    def test_a_name_that_is_no_utf_8(self, command: Command, tmp_path: Path) -> None:
        done = command("enroll", "--node", "--out", "\udcff")
        assert (done.returncode, done.stderr) == (0, "")
        assert "\\udcff" in done.stdout

    def test_a_damaged_document(self, command: Command, tmp_path: Path) -> None:
        assert command("enroll", "--node", "--out", "a").returncode == 0
        (tmp_path / "a" / "overlay.xml").write_text("<overlay")
        assert_one_line(command("node", "--data", "a"), "a/overlay.xml")
