"""Data directories: who may read them, whole or not there, one process at a time."""

import errno
import fcntl
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from xor_fast.cli.data import DataDirectory
from xor_fast.cli.enrolment import enroll, found_overlay
from xor_fast.errors import ConfigError


@pytest.fixture
def founded(tmp_path: Path) -> DataDirectory:
    data = DataDirectory(tmp_path / "first")
    found_overlay(data, "overlay.example", ("127.0.0.1", 6084))
    return data


def test_secrets_are_for_their_owner_only(founded: DataDirectory) -> None:
    modes = {path.relative_to(founded.path).as_posix(): path.stat().st_mode & 0o777 for path in founded.path.rglob("*")}
    assert modes["node.key"] == modes["ca/ca.key"] == 0o600
    assert modes["ca"] == founded.path.stat().st_mode & 0o777 == 0o700


def test_openssl_accepts_what_is_issued(founded: DataDirectory, tmp_path: Path) -> None:
    out = DataDirectory(tmp_path / "romeo")
    issued = enroll(founded, "Romeo@Montague.lit", out)
    verify = ["openssl", "verify", "-purpose", "sslclient", "-CAfile", str(founded.ca / "ca.crt"), str(out.certificate)]
    assert subprocess.run(verify, capture_output=True, text=True).stdout.strip().endswith("OK")
    shown = ["openssl", "x509", "-in", str(out.certificate), "-noout", "-text"]
    text = subprocess.run(shown, capture_output=True, text=True, check=True).stdout
    assert "email:romeo@montague.lit" in text
    assert f"reload://0110{issued.node_id.hex()}@overlay.example" in text.replace("01100110", "0110")


def test_an_enrolled_directory_stands_alone(founded: DataDirectory, tmp_path: Path) -> None:
    out = DataDirectory(tmp_path / "node")
    issued = enroll(founded, None, out)
    identity, _ = out.credentials(out.overlay())
    assert identity.node_id == issued.node_id
    assert out.overlay() == founded.overlay()
    assert not out.has_ca


def test_node_ids_and_keys_are_new_each_time(founded: DataDirectory, tmp_path: Path) -> None:
    issued = [enroll(founded, None, DataDirectory(tmp_path / str(i))) for i in range(4)]
    assert len({i.node_id for i in issued}) == len({i.key for i in issued}) == 4


def test_it_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path / "x")

    def fail_halfway() -> None:
        with data.made() as new:
            (new.path / "half").touch()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_halfway()
    assert list(tmp_path.iterdir()) == []


def test_one_process_at_a_time(founded: DataDirectory) -> None:
    program = (
        "import sys; from pathlib import Path; from xor_fast.cli.data import DataDirectory\n"
        "with DataDirectory(Path(sys.argv[1])).locked(): print('held', flush=True); sys.stdin.read()"
    )
    holder = [sys.executable, "-c", program, str(founded.path)]
    with subprocess.Popen(holder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert founded.is_locked
        with pytest.raises(ConfigError, match="in use by a running node"), founded.locked():
            pass
        process.kill()  # a killed process leaves no lock behind
    assert not founded.is_locked


def test_a_file_system_without_locks(founded: DataDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(_descriptor: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(ConfigError, match="lock cannot be locked: No locks"), founded.locked():
        pass


def test_a_control_socket_in_a_deep_directory(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 90) / ("e" * 90)
    deep.mkdir(parents=True)
    assert len(os.fsencode(DataDirectory(deep).control)) < 108
    assert Path(DataDirectory(deep).control).parent.samefile(deep)


@pytest.mark.req("fwd.ttl-config-advice")
@pytest.mark.parametrize("nodes", [1, 2, 64, 1000, 1024, 1 << 20, 1 << 40])
def test_a_new_overlay_s_initial_ttl_is_slightly_above_its_longest_way(tmp_path: Path, nodes: int) -> None:
    """13.6.5: "slightly larger than the longest expected path", for Chord log2 of the number of nodes and 5."""
    data = DataDirectory(tmp_path / "first")
    found_overlay(data, "overlay.example", ("127.0.0.1", 6084), nodes=nodes)
    longest = math.log2(nodes) + 5
    (ttl,) = re.findall(r"initial-ttl>(\d+)<", data.document.read_text())
    assert longest < int(ttl) == data.overlay().initial_ttl <= longest + 5
