"""A ring of 16 processes under `kill -9`: within 5 s every user is found again, and nothing acknowledged is lost."""

import contextlib
import random
import signal
from collections.abc import Callable, Iterator
from time import monotonic

import pytest
import uvloop

from tests.processes.overlay import Member, ProcessOverlay, User

NODES = 16
USERS = 12
FOUND_AGAIN = 5.0  # seconds on loopback, a requirement
PATIENCE = 20.0  # seconds, where nothing is required but that it happens

pytestmark = pytest.mark.timeout(300)  # a first peer that begins anew is found after 20 to 40 s, by RFC 6940 10.7.4.4


@pytest.fixture(scope="module")
def overlay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessOverlay]:
    """One ring for all tests here; each leaves it whole. Every user's location is acknowledged."""
    with ProcessOverlay(tmp_path_factory.mktemp("ring16"), NODES) as overlay:
        overlay.settle()

        async def register() -> None:
            for number in range(USERS):
                user = overlay.add_user(f"user{number}@capulet.lit")
                stored = await user.store_through(random.choice(overlay.members))
                holders = [member.node_id for member in overlay.clockwise(user.resource)[:3]]
                assert [stored.owner, *stored.replicas] == holders

        uvloop.run(register())
        yield overlay


def kill_and_find(overlay: ProcessOverlay, victim: Member) -> None:
    began = monotonic()
    victim.kill()
    victim.child.end()
    uvloop.run(overlay.all_found(began + FOUND_AGAIN - monotonic()))
    print(f"{victim} killed: all {USERS} users found again after {monotonic() - began:.2f} s")


def whole_again(overlay: ProcessOverlay, *victims: Member) -> None:
    """The killed come back with their identity, and the ring is as before."""
    for victim in victims:
        overlay.restart(victim)
    overlay.settle()
    uvloop.run(overlay.all_found(PATIENCE))


def test_sixteen_processes_are_one_ring_in_which_every_node_finds_every_user(overlay: ProcessOverlay) -> None:
    assert len(overlay.alive) == NODES
    assert overlay.wrong_neighbours() == []
    for _ in range(NODES // 3):
        uvloop.run(overlay.all_found(PATIENCE))
    held = sum(member.status()["store"]["values"] for member in overlay.members)
    assert held == 3 * USERS, "the owner and two replicas"


def heir(overlay: ProcessOverlay, user: User) -> Member:
    return overlay.clockwise(user.resource)[1]


def owner(overlay: ProcessOverlay, user: User) -> Member:
    return overlay.clockwise(user.resource)[0]


def no_holder(overlay: ProcessOverlay, user: User) -> Member:
    return random.choice(overlay.clockwise(user.resource)[3:])


@pytest.mark.parametrize("choose", [owner, heir, no_holder])
@pytest.mark.req("topo.neighbour-lost", "topo.replicate")
def test_one_is_killed(overlay: ProcessOverlay, choose: Callable[[ProcessOverlay, User], Member]) -> None:
    victim = choose(overlay, random.choice(overlay.users))
    kill_and_find(overlay, victim)
    whole_again(overlay, victim)


def test_the_owner_is_killed_and_then_its_heir(overlay: ProcessOverlay) -> None:
    """Long before the hold-down ends (RFC 6940 10.7.1), so that no new copies are made between the two."""
    victims = overlay.clockwise(random.choice(overlay.users).resource)[:2]
    for victim in victims:
        kill_and_find(overlay, victim)
    whole_again(overlay, *victims)


def test_five_are_killed_one_after_another(overlay: ProcessOverlay) -> None:
    """No two of them among three neighbours: THREATS.md tells what is lost if all three holders die at once."""
    order = sorted(overlay.alive, key=lambda member: member.node_id)
    start = random.randrange(NODES)
    victims = [order[(start + 3 * step) % NODES] for step in range(5)]
    random.shuffle(victims)
    for victim in victims:
        kill_and_find(overlay, victim)
    whole_again(overlay, *victims)


def test_those_that_stand_still_for_a_while_are_peers_again(overlay: ProcessOverlay) -> None:
    """As on a machine with too little to give: their silence takes them out of the others' tables."""
    sleepers = random.sample(overlay.members, 3)
    for member in sleepers:
        member.child.signal(signal.SIGSTOP)
    with contextlib.suppress(AssertionError):  # they may own some; asking is what makes the others notice
        uvloop.run(overlay.all_found(3.0, [member for member in overlay.alive if member not in sleepers]))
    for member in sleepers:
        member.child.signal(signal.SIGCONT)
    overlay.settle()
    uvloop.run(overlay.all_found(PATIENCE))


def test_the_owner_is_killed_in_the_instant_after_its_answer(overlay: ProcessOverlay) -> None:
    for user in random.sample(overlay.users, 3):
        victim = owner(overlay, user)
        through = random.choice([member for member in overlay.alive if member is not victim])
        began = monotonic()

        async def store(user: User = user, victim: Member = victim, through: Member = through) -> None:
            await user.store_through(through, answered=victim.kill)

        uvloop.run(store())
        victim.child.end()
        uvloop.run(overlay.all_found(began + FOUND_AGAIN - monotonic()))
        whole_again(overlay, victim)
