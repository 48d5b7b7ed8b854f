"""The packets a node writes of its own connections, as tshark reads them: decrypted by the keys in the file."""

import errno
import os
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.net.drive import dial, do, peer_of, run, until
from tests.net.pki import credentials
from xor_fast.actions import Dial, OpenPort, Purpose
from xor_fast.errors import ConfigError
from xor_fast.net.pcap import PcapFile, TappedTls, merge

PING = b"\x80\0\0\0\1\0\0\4\xd2ELO"


def tshark(*arguments: str) -> str:
    program = shutil.which("tshark")
    assert program is not None, "install tshark: make packages"
    ended = subprocess.run([program, *arguments], capture_output=True, text=True, check=True)
    return ended.stdout


def fields(path: Path, shown: str, *names: str) -> list[list[str]]:
    wanted = [argument for name in names for argument in ("-e", name)]
    return [line.split("\t") for line in tshark("-r", str(path), "-Y", shown, "-T", "fields", *wanted).splitlines()]


def follow(path: Path, stream: int) -> list[bytes]:
    """The decrypted bytes of one TLS connection, piece by piece, of both directions in their order."""
    text = tshark("-r", str(path), "-q", "-z", f"follow,tls,raw,{stream}")
    lines = [line.strip() for line in text.splitlines()]
    return [bytes.fromhex(line) for line in lines if line and set(line) <= set("0123456789abcdef")]


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "a.pcapng", tmp_path / "b.pcapng"


def record(files: tuple[Path, Path], loop: str = "uvloop") -> None:
    """A link from b to a, a link from a to b, and an application connection to a port of a."""

    async def main() -> None:
        taps = [PcapFile(str(path)) for path in files]
        async with (
            peer_of(credentials(1), tls=lambda own: TappedTls(own, taps[0])) as (a, peer_a),
            peer_of(credentials(2), tls=lambda own: TappedTls(own, taps[1])) as (b, peer_b),
        ):
            a.echo = True
            dial(b, peer_b, peer_a, ticket=1)
            await until(lambda: 100 in a.received and 100 in b.received, "first link")
            b.say(100, PING + bytes(70_000))
            peer_b.turn()
            await until(lambda: len(b.received[100]) == 70_012, "echo")
            dial(a, peer_a, peer_b, ticket=2)
            await until(lambda: 101 in a.received and 101 in b.received, "second link")
            b.say(101, b"from b")
            peer_b.turn()
            await until(lambda: a.received[101] == b"from b" == b.received[101], "echo")
            do(a, peer_a, OpenPort(3))
            await until(lambda: a.events("port_opened"), "port")
            do(b, peer_b, Dial(4, a.events("port_opened")[0][1], Purpose.APPLICATION))
            await until(lambda: a.events("app_up") and b.events("app_up"), "application connection")
            peer_a.take_application(3).write(b"<stream>")
            await until(lambda: len(peer_b._applications._waiting[4]._early) == 8, "its bytes")
        for tap in taps:
            tap.close()

    run(main(), loop)


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_tshark_decrypts_each_connection_once(files: tuple[Path, Path], tmp_path: Path, loop: str) -> None:
    record(files, loop)
    merged = tmp_path / "all.pcapng"
    assert merge(map(str, files), str(merged)) > 0
    assert merged.stat().st_mode & 0o777 == 0o600  # it holds keys
    hellos = fields(merged, "tls.handshake.type == 1", "tcp.stream")
    assert sorted(stream for (stream,) in hellos) == ["0", "1", "2"]
    assert b"".join(follow(merged, 0)) == (PING + bytes(70_000)) * 2
    assert b"".join(follow(merged, 1)) == b"from b" * 2
    assert b"".join(follow(merged, 2)) == b"<stream>"
    assert not fields(merged, "_ws.malformed || tcp.analysis.flags", "frame.number")
    checked = ("-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE")
    wrong = 'tcp.checksum.status != "Good" || ip.checksum.status != "Good"'
    assert not tshark("-r", str(merged), *checked, "-Y", wrong)
    # Both ends are said to have ended, so that a reader sees whole connections.
    ends = Counter(stream for (stream,) in fields(merged, "tcp.flags.fin == 1", "tcp.stream"))
    assert ends == {"0": 2, "1": 2, "2": 2}


@pytest.mark.req("xor.tls", "xor.no-alpn")
def test_an_application_connection_is_tls_at_once_without_alpn(files: tuple[Path, Path]) -> None:
    record(files)
    first = fields(files[0], "tcp.stream == 1 && tcp.len > 0", "tls.handshake.type", "tls.handshake.extension.type")
    assert first[0][0] == "1", "the first bytes are a ClientHello"
    extensions = {number for _, numbers in first for number in numbers.split(",") if number}
    assert extensions, "tshark shows the extensions of both Hellos"
    assert "16" not in extensions
    assert "0" not in extensions, "no server name either"


@pytest.mark.req("link.client-auth")
def test_the_server_asks_for_the_clients_certificate(files: tuple[Path, Path]) -> None:
    record(files)
    asked = {stream for (stream,) in fields(files[0], "tls.handshake.type == 13", "tcp.stream")}
    assert asked == {"0", "1"}, "decrypted CertificateRequests of both connections this node accepted"


def test_a_file_cut_by_a_kill_merges_up_to_the_cut(files: tuple[Path, Path], tmp_path: Path) -> None:
    record(files)
    whole = merge([str(files[0])], str(tmp_path / "whole"))
    content = files[0].read_bytes()
    cut = tmp_path / "cut"
    cut.write_bytes(content[:-30])
    assert merge([str(cut)], str(tmp_path / "merged")) == whole - 1


def test_a_full_disk_ends_the_file_and_no_connection(
    tmp_path: Path, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="no space left"):
        PcapFile("/dev/full")
    tap = PcapFile(str(tmp_path / "x.pcapng"))
    there = (tmp_path / "x.pcapng").read_bytes()

    def full(_descriptor: int, _data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        for _ in range(3):
            tap.packet(0, b"packet")
    tap.secrets(b"keys")
    tap.close()
    assert (tmp_path / "x.pcapng").read_bytes() == there
    assert caplog.text.count("no space left") == 1


def test_a_stranger_on_a_tapped_port_is_refused_as_on_any_other(tmp_path: Path, caplog: Any) -> None:
    async def main() -> None:
        tap = PcapFile(str(tmp_path / "x.pcapng"))
        async with (
            peer_of(credentials(1), tls=lambda own: TappedTls(own, tap)) as (a, peer_a),
            peer_of(credentials(2, expired=True), listens=False) as (b, peer_b),
        ):
            dial(b, peer_b, peer_a)
            await until(lambda: peer_a.counters["failed_handshakes"] == 1, "refused")
            await until(lambda: b.events("link_down") or b.events("dial_failed"), "told")
            assert not a.events("link_up")
        tap.close()

    run(main())
    assert "certificate has expired" in caplog.text
