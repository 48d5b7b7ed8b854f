"""The demo as a person runs it, and what tshark makes of its packets."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
Command = Callable[..., subprocess.CompletedProcess[str]]

# What the dissector of tshark 4.0 says of frames that are right, and why it says so.
KNOWN_FAULTS = {
    "Unknown Data Model": "it knows no Kind 0x5 (XMPP-LOCATION), so it cannot tell how the values are arranged",
}


def tshark(*arguments: str) -> list[str]:
    done = subprocess.run(["tshark", *arguments], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    folder = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "xor_fast", "demo", "--pcap", "demo.pcapng", "--json"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=400), folder


@pytest.mark.timeout(420)
def test_every_step_happens(played: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    done, _ = played
    assert done.returncode == 0, done
    events = [json.loads(line) for line in done.stdout.splitlines()]
    begun = [event["number"] for event in events if event["event"] == "step"]
    assert begun == [event["number"] for event in events if event["event"] == "step-done"]
    assert events[-1]["event"] == "done"
    text = done.stdout
    for promised in (
        "joined",
        "Registration",
        "looks up",
        "AppAttach",
        "certificate",
        "reaches both",
        "streams closed",
    ):
        assert promised in text


@pytest.mark.timeout(420)
def test_tshark_dissects_every_frame(played: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    _, folder = played
    capture, out = folder / "demo.pcapng", folder / "frames.pcap"
    extract = [sys.executable, str(ROOT / "tools" / "pcap_frames.py"), str(capture), str(out)]
    said = subprocess.run(extract, capture_output=True, text=True, check=True).stdout
    frames = tshark("-r", str(out), "-T", "fields", "-e", "frame.number")
    assert f"{len(frames)} frames" in said
    dissected = tshark("-r", str(out), "-Y", "reload-framing", "-T", "fields", "-e", "frame.number")
    assert dissected == frames
    assert tshark("-r", str(out), "-Y", "_ws.malformed") == []
    warned = tshark("-r", str(out), "-Y", "_ws.expert.severity >= 0x600000", "-T", "fields", "-e", "_ws.expert.message")
    assert {message for line in warned for message in line.split(",")} <= set(KNOWN_FAULTS)
    kinds = Counter(tshark("-r", str(out), "-Y", "reload", "-T", "fields", "-e", "_ws.col.Info"))
    for shown in ("Join", "Attach", "AppAttach", "Update", "Store", "Fetch", "Leave", "RouteQuery"):
        assert any(shown in info for info in kinds), f"no {shown} in {kinds}"


@pytest.mark.timeout(420)
def test_the_capture_needs_no_option_to_be_decrypted(played: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    """The streams of XMPP are in it too, readable by the keys inside."""
    capture = str(played[1] / "demo.pcapng")
    said = "wherefore art thou Romeo"
    assert said.encode() not in Path(capture).read_bytes(), "on the wire it is encrypted"
    hellos = tshark("-r", capture, "-Y", "tls.handshake.type == 1", "-T", "fields", "-e", "tcp.stream")
    follow = [option for stream in hellos for option in ("-z", f"follow,tls,ascii,{stream}")]
    clear = "\n".join(tshark("-r", capture, "-q", *follow)).split("Follow: tls")
    assert sum(said in connection for connection in clear) == 2, "one stream to each of Romeo's devices"
