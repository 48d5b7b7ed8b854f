"""The first peer over a clean end: its data is handed on, and the same node with the same data comes back."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop

from tests.processes.overlay import Member, ProcessOverlay, User, run_command
from xor_fast.cli.running import passing_client


@pytest.fixture
def overlay(tmp_path: Path) -> Iterator[ProcessOverlay]:
    """The first peer alone."""
    with ProcessOverlay(tmp_path) as overlay:
        yield overlay


def register(overlay: ProcessOverlay, *jids: str) -> None:
    async def store() -> None:
        for jid in jids:
            await overlay.add_user(jid).store_through(overlay.first)

    uvloop.run(store())


def found_through(overlay: ProcessOverlay, member: Member) -> list[User]:
    async def look() -> list[User]:
        async with passing_client(overlay.askers[0], [member.address]) as peer:
            return [user for user in overlay.users if await user.is_found(peer)]

    return uvloop.run(look())


def test_the_first_run_makes_the_overlay_and_the_next_goes_on_with_it(overlay: ProcessOverlay) -> None:
    first = overlay.first
    assert overlay.said["new"]
    assert overlay.said["values"] == 0
    document, certificate = first.data.document.read_bytes(), first.data.certificate.read_bytes()
    node_id, address = first.node_id, first.address
    register(overlay, "romeo@montague.lit", "juliet@capulet.lit")
    assert first.stop() < 10, "nobody is there to take the data or to be told"

    first.start()
    again = first.listening()
    assert not again["new"]
    assert (first.node_id, first.address) == (node_id, address)
    assert (first.data.document.read_bytes(), first.data.certificate.read_bytes()) == (document, certificate)
    assert again["values"] == 2
    assert found_through(overlay, first) == overlay.users


@pytest.mark.req("topo.leave-send", "topo.chord-leave")
def test_at_its_end_the_others_get_its_data_and_its_leave(overlay: ProcessOverlay) -> None:
    first = overlay.first
    register(overlay, *(f"user{number}@capulet.lit" for number in range(8)))
    overlay.add(1)
    second = overlay.members[1]
    first.stop()
    assert "it left" in second.complaint(first.node_id.hex())
    assert second.status()["ring"] == {"joined": True, "peers": 0, "successors": [], "predecessors": []}
    assert found_through(overlay, second) == overlay.users


@pytest.mark.req("topo.partition-probe")
def test_it_comes_back_to_those_who_stayed_and_the_newest_values_win(overlay: ProcessOverlay) -> None:
    """Its saved values are older than what was stored meanwhile; those who stayed look for it as bootstrap node."""
    first = overlay.first
    register(overlay, *(f"user{number}@capulet.lit" for number in range(6)))
    overlay.add(2)
    first.stop()
    overlay.settle()

    async def store_again() -> None:
        for user in overlay.users[::2]:
            await user.store_through(overlay.members[1])

    uvloop.run(store_again())
    first.start()
    assert first.listening()["values"] == len(overlay.users)
    overlay.settle()
    uvloop.run(overlay.all_found(20))


def test_a_second_process_on_the_same_directory_gets_one_clear_line(overlay: ProcessOverlay) -> None:
    data = str(overlay.first.data)
    for command in ("quickstart", "node"):
        line = [sys.executable, "-m", "xor_fast", command, "--data", data]
        second = subprocess.run(line, cwd=overlay.folder, capture_output=True, text=True, timeout=60)
        assert second.returncode == 2
        assert second.stdout == ""
        assert second.stderr.count("\n") == 1
        assert "in use by a running node: stop it first" in second.stderr
    assert run_command(overlay.folder, "status", "--data", data)["ring"]["joined"], "the first serves on"


def test_a_killed_one_starts_again_without_anything_left_in_its_way(overlay: ProcessOverlay) -> None:
    node_id = overlay.first.node_id
    overlay.first.child.kill()
    overlay.first.start()
    overlay.first.listening()
    assert overlay.first.node_id == node_id
    assert run_command(overlay.folder, "status", "--data", str(overlay.first.data))["ring"]["joined"]
