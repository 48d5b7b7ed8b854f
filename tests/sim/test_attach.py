"""Attach and AppAttach between real nodes in virtual time (RFC 6940 6.5.1, 6.5.2)."""

import pytest

from tests.sim.overlays import Overlay
from xor_fast import limits
from xor_fast.core.node import AppConnection
from xor_fast.errors import ErrorCode, RequestFailed
from xor_fast.messages import Destination, DestinationType
from xor_fast.sim.world import Connection, Host
from xor_fast.trust.certificates import Certificate

APPLICATION = 5222


def strangers(overlay: Overlay) -> tuple[Host, Host]:
    """Two peers without a link between them."""
    for one in overlay.hosts:
        for other in overlay.hosts:
            if one is not other and one.node.switch.link_of(other.node.node_id) < 0:
                return one, other
    raise AssertionError("everybody is linked with everybody")


def to(host: Host) -> tuple[Destination, ...]:
    return (Destination(DestinationType.NODE, host.node.node_id),)


def anybody(certificate: Certificate) -> str | None:
    return None


def serve(host: Host, taken: list[AppConnection]) -> None:
    def accept(now: float, connection: AppConnection) -> bool:
        taken.append(connection)
        return True

    host.node.register_application(APPLICATION, accept)


@pytest.mark.req("ice.glare-smaller", "ice.glare-larger")
def test_two_attaches_that_cross_make_one_link(seed: int) -> None:
    overlay = Overlay(24, seed)
    one, other = strangers(overlay)
    outcomes: list[object] = []
    for own, peer in ((one, other), (other, one)):
        own.node.attach.attach(overlay.world.now, to(peer), lambda now, outcome: outcomes.append(outcome))
        overlay.world.drain(own)
    assert overlay.world.run(30, lambda: len(outcomes) == 2)
    assert set(outcomes) == {one.node.node_id, other.node.node_id}
    overlay.world.run(15)
    between = {c for c in one.links.values() if set(c.hosts) == {one, other}}
    assert len(between) == 1
    assert between == {c for c in other.links.values() if set(c.hosts) == {one, other}}


def test_an_attach_and_an_app_attach_between_the_same_two_at_the_same_moment(seed: int) -> None:
    overlay = Overlay(24, seed)
    one, other = strangers(overlay)
    taken: list[AppConnection] = []
    serve(other, taken)
    links: list[object] = []
    connections: list[AppConnection | RequestFailed] = []
    one.node.attach.attach(overlay.world.now, to(other), lambda now, outcome: links.append(outcome))
    one.node.app_attach(overlay.world.now, to(other), APPLICATION, anybody, lambda now, c: connections.append(c))
    overlay.world.drain(one)
    assert overlay.world.run(30, lambda: bool(links and connections and taken))
    assert links == [other.node.node_id]
    (mine,), (theirs,) = connections, taken
    assert isinstance(mine, AppConnection)
    assert (mine.node_id, mine.initiator, theirs.node_id, theirs.initiator) == (
        other.node.node_id,
        True,
        one.node.node_id,
        False,
    )
    link = {c for c in one.links.values() if set(c.hosts) == {one, other}}
    application: Connection = one.applications[mine.ticket]
    assert application is other.applications[theirs.ticket]
    assert len(link) == 1
    assert application not in link
    assert not one.ports, "the port is closed after the match"


@pytest.mark.req("xor.application-accept", "ice.app-attach-unsupported")
def test_an_application_that_is_not_served(seed: int) -> None:
    overlay = Overlay(4, seed)
    one, other = overlay.hosts[:2]
    outcome = overlay.ask(one, lambda now, done: one.node.app_attach(now, to(other), APPLICATION, anybody, done))
    assert isinstance(outcome, RequestFailed)
    assert outcome.code == ErrorCode.NOT_FOUND
    assert not one.ports


def test_a_certificate_that_the_application_refuses_ends_the_attempt(seed: int) -> None:
    overlay = Overlay(4, seed)
    one, other = overlay.hosts[:2]
    taken: list[AppConnection] = []
    serve(other, taken)
    outcome = overlay.ask(
        one,
        lambda now, done: one.node.app_attach(now, to(other), APPLICATION, lambda certificate: "another user", done),
    )
    assert isinstance(outcome, RequestFailed)
    assert (outcome.code, outcome.text) == (ErrorCode.FORBIDDEN, "another user")
    assert not one.applications


@pytest.mark.req("xor.responder-cert-mismatch", "xor.responder-cert")
def test_a_stranger_at_the_port_is_turned_away_and_the_right_one_still_gets_in(seed: int) -> None:
    overlay = Overlay(6, seed)
    one, other, stranger = overlay.hosts[:3]
    taken: list[AppConnection] = []
    serve(other, taken)
    connections: list[AppConnection | RequestFailed] = []
    one.node.app_attach(overlay.world.now, to(other), APPLICATION, anybody, lambda now, c: connections.append(c))
    overlay.world.drain(one)
    (ticket,) = one.ports
    certificates = [c.certificate for c in stranger.node.identity.certificates]
    assert one.node.app_up(overlay.world.now, ticket, certificates) is False
    assert overlay.world.run(20, lambda: bool(connections))
    assert isinstance(connections[0], AppConnection)
    assert connections[0].node_id == other.node.node_id
    assert one.node.counters["refused_app_connections"] == 1


def test_a_port_that_nobody_comes_to_is_closed(seed: int) -> None:
    overlay = Overlay(6, seed)
    one, other = overlay.hosts[:2]
    other.is_mute = True
    outcome = overlay.ask(one, lambda now, done: one.node.app_attach(now, to(other), APPLICATION, anybody, done))
    assert isinstance(outcome, RequestFailed)
    assert outcome.code == ErrorCode.REQUEST_TIMEOUT
    assert overlay.world.now > limits.APP_ATTACH_TIMEOUT
    assert not one.ports
