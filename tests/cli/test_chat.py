"""Two people who chat, found by their addresses; and what a first peer keeps over a stop in order."""

import json
import signal
import subprocess
from collections.abc import Callable

import pytest

from xor_fast.cli.children import Child

Start = Callable[..., Child]
Command = Callable[..., subprocess.CompletedProcess[str]]
ROMEO, JULIET = "romeo@montague.lit", "juliet@capulet.lit"
CA = ("--ca", "data/bootstrap")


@pytest.fixture
def first(start: Start) -> Child:
    child = start("quickstart", "--listen", "127.0.0.1:0")
    child.until("listening")
    return child


def test_two_people_talk(start: Start, command: Command, first: Child) -> None:
    romeo = start("chat", "--as", "Romeo@Montague.LIT", *CA, "--data", "data/romeo")
    romeo.until("registered")
    romeo.write_line("is anybody there?")
    assert romeo.until("not-sent")["body"] == "is anybody there?"
    juliet = start("chat", "ROMEO@montague.lit/orchard", "--as", JULIET, *CA, "--data", "data/juliet")
    juliet.until("stream-started", jid=ROMEO)
    juliet.write_line("<&'\"> \N{ROSE} wherefore?")
    assert romeo.until("message")["body"] == "<&'\"> \N{ROSE} wherefore?"
    juliet.write_line("\x1b[A")  # an arrow key
    assert juliet.until("not-sent")["body"] == "\x1b[A"
    romeo.write_line("by any other name")
    assert juliet.until("message", jid=ROMEO)["body"] == "by any other name"
    found = [json.loads(line) for line in command("lookup", ROMEO, "--json").stdout.splitlines()]
    assert [event["jid"] for event in found if event["event"] == "location"] == [ROMEO]
    juliet.write_line("/quit")
    assert romeo.until("stream-ended")["reason"] == "stream closed by both sides"
    assert juliet.end() == 0
    gone = command("lookup", JULIET)
    assert (gone.returncode, gone.stdout) == (1, "")
    assert "no location" in gone.stderr
    romeo.signal(signal.SIGTERM)
    romeo.until("left")
    assert romeo.end() == 0
    assert romeo.errors() + juliet.errors() == ""


def test_who_comes_later_is_found(start: Start, first: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    juliet = start("chat", ROMEO, "--as", JULIET, *CA, "--data", "data/juliet")
    juliet.until("not-reached", jid=ROMEO)
    romeo = start("chat", JULIET, "--as", ROMEO, *CA, "--data", "data/romeo")
    romeo.until("stream-started", jid=JULIET)
    juliet.until("stream-started", jid=ROMEO)


def test_the_first_peer_comes_back_with_its_data(start: Start, command: Command, first: Child) -> None:
    romeo = start("chat", "--as", ROMEO, *CA, "--data", "data/romeo")
    node_id = romeo.until("joined")["node_id"]
    romeo.until("registered")
    romeo.kill()  # its location is not removed, so it has to be there as long as it lives
    first.signal(signal.SIGINT)
    first.until("left")
    assert first.end() == 0
    again = start("quickstart").until("listening")
    assert not again["new"]
    assert again["values"] == 1
    found = command("lookup", ROMEO)
    assert found.returncode == 0, found
    assert node_id in found.stdout


def test_a_line_from_a_pipe_is_sent_before_the_end(start: Start, command: Command, first: Child) -> None:
    romeo = start("chat", "--as", ROMEO, *CA, "--data", "data/romeo")
    romeo.until("registered")
    assert command("enroll", JULIET, "--out", "data/juliet").returncode == 0
    sent = command("chat", ROMEO, "--data", "data/juliet", input="good night, good \udc9fight\n")
    assert sent.returncode == 0, sent
    assert romeo.until("message")["body"] == "good night, good \N{REPLACEMENT CHARACTER}ight"
