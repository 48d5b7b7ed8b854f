"""Nodes as a person runs them: begin, join, ask, end in order, begin again."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from xor_fast.cli.children import Child

Start = Callable[..., Child]
Command = Callable[..., subprocess.CompletedProcess[str]]


def answer(done: subprocess.CompletedProcess[str]) -> dict[str, object]:
    assert done.returncode == 0, done
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_first_and_second_node(start: Start, command: Command, tmp_path: Path) -> None:
    first = start("quickstart", "--listen", "127.0.0.1:0")
    begun = first.until("listening")
    assert begun["new"]
    second = start("node", "--ca", "data/bootstrap", "--data", "data/second")
    node_id = second.until("joined")["node_id"]
    status = answer(command("status", "--json"))
    assert status["ring"] == {"joined": True, "peers": 1, "successors": [node_id], "predecessors": [node_id]}
    pong = answer(command("ping", node_id, "--json"))
    assert pong["node_id"] == node_id
    assert pong["hops"] == 1, "through the bootstrap node"
    assert answer(command("ping", str(begun["node_id"]), "--json"))["hops"] == 0
    assert "part of the ring, 1 peers known" in command("status", "--data", "data/second").stdout
    nobody = command("ping", os.urandom(16).hex())
    assert nobody.returncode == 1
    assert "no answer" in nobody.stderr
    for child in (second, first):
        child.signal(signal.SIGINT)
        child.until("left")
        assert child.end() == 0
        assert child.errors() == ""
    no_node = command("ping", node_id)
    assert no_node.returncode == 1, "nothing listens any more"
    assert len(no_node.stderr.splitlines()) == 1
    assert command("status").returncode == 2
    again = start("quickstart").until("listening")
    assert not again["new"]
    assert (again["node_id"], again["address"]) == (begun["node_id"], begun["address"])


def test_a_node_of_another_ca_gets_nowhere(start: Start, tmp_path: Path) -> None:
    first = start("quickstart", "--listen", "127.0.0.1:0")
    address = str(first.until("listening")["address"])
    start("quickstart", "--listen", "127.0.0.1:0", "--data", "data/other").until("listening")
    stranger = start("node", "--ca", "data/other", "--data", "data/x", "--overlay", "data/bootstrap/overlay.xml",
                     "--bootstrap", address)  # fmt: skip
    refusal = first.until("log", level="warning")
    assert "refused" in refusal["text"]
    assert "\n" not in refusal["text"]
    stranger.signal(signal.SIGINT)
    assert stranger.end() == 0
    assert not stranger.has("joined")


def test_a_wish_to_stop_told_twice_at_once_and_then_again(start: Start) -> None:
    """A process group's signal reaches us directly and through make: that is one wish. A later one ends at once."""
    first = start("quickstart", "--listen", "127.0.0.1:0")
    first.until("listening")
    second = start("node", "--ca", "data/bootstrap", "--data", "data/second")
    second.until("joined")
    second.signal(signal.SIGSTOP)  # it answers no Leave, so leaving takes its time
    try:
        first.signal(signal.SIGTERM)
        first.signal(signal.SIGTERM)
        first.until("leaving")
        time.sleep(1)
        assert first.is_running
        first.signal(signal.SIGTERM)
        assert first.end() == 130
        assert first.errors() == ""
    finally:
        second.signal(signal.SIGCONT)
