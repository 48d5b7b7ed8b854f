"""The XMPP usage of a node (XEP-0415 4 to 6): its own location, the devices of others, and connections with them.

Sans-I/O like the node it stands on: methods take `now`, outcomes come by `done(now, outcome)`, RequestFailed included.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from xor_fast import limits
from xor_fast.cext import ids
from xor_fast.config import KindDefinition
from xor_fast.core.node import AppConnection, NewValue, Node, Stored
from xor_fast.core.timers import Timer
from xor_fast.errors import ErrorCode, RequestFailed
from xor_fast.trust.certificates import Certificate
from xor_fast.usages.xmpp.jid import JIDError, prepare_bare
from xor_fast.usages.xmpp.kind import APPLICATION, forward_to, location_kind, route_to
from xor_fast.usages.xmpp.lookup import Location, Locations, Lookup


class StreamReady(NamedTuple):
    """A connection with another device, its certificate checked; the stream is to be started on it.

    ticket      where the driver keeps the connection
    initiator   we sent the AppAttach and open the stream (notes 8.13)
    peer_jid    the address in the peer's certificate
    """

    ticket: int
    initiator: bool
    own_jid: str
    peer_jid: str
    peer_node_id: bytes


class Contacted(NamedTuple):
    """What became of a contact, one entry for each other device that was found; at least one stream.

    streams    with each device that was reached, a connection that was there before included
    failures   the others, and why
    """

    locations: Locations
    streams: tuple[StreamReady, ...]
    failures: tuple[tuple[Location, RequestFailed], ...]


class XmppUsage:
    """Makes `node` an XMPP device. The address is that of the node's certificate.

    on_stream      called with each StreamReady, whoever asked for it
    on_superseded  called with the ticket of a connection that gave way to another with the same device: close it.
                   on_stream may not have been called with it
    """

    def __init__(
        self,
        node: Node,
        on_stream: Callable[[float, StreamReady], None],
        on_superseded: Callable[[float, int], None],
        *,
        lifetime: int = limits.LOCATION_LIFETIME,
    ) -> None:
        self._node = node
        self._on_stream = on_stream
        self._on_superseded = on_superseded
        self._lifetime = lifetime
        self.kind: KindDefinition = location_kind(node.overlay.kinds)
        node.kinds.add(self.kind)
        self._location: Callable[[], bytes] | None = None  # what is to be stored under our key now
        self._refresh: Timer | None = None
        self._streams: dict[bytes, tuple[StreamReady, float]] = {}  # by the peer's Node-ID; and since when
        self._attempts: dict[tuple[str, bytes], list[Callable[[float, StreamReady | RequestFailed], None]]] = {}

    @property
    def jid(self) -> str:
        """The own address. JIDError if the certificate names none, or none that was prepared (notes 8.5)."""
        name = self._node.identity.user_name.decode("utf-8", "replace")
        if prepare_bare(name) != name:
            raise JIDError(name, f"the certificate should carry it as {prepare_bare(name)!a}: enrol again")
        return name

    # --- the own location (4) ------------------------------------------------------------------------

    def register(self, now: float, done: Callable[[float, Stored | RequestFailed], None]) -> None:
        """Store the way to this device under its own Node-ID, keep it fresh, and accept connections.

        done gets the outcome of the first Store; a failed one is tried again until `unregister`.
        """
        self._node.register_application(APPLICATION, self._accept)
        self._publish(now, self._own_route, done)

    def forward(self, now: float, jid: str, done: Callable[[float, Stored | RequestFailed], None]) -> None:
        """Store another address in the place of the way to this device. JIDError if it is none."""
        location = forward_to(jid)
        self._publish(now, lambda: location, done)

    def unregister(self, now: float, done: Callable[[float, Stored | RequestFailed], None]) -> None:
        """Remove the location (notes 8.20). Without it, it ends by its lifetime, and others wait in vain meanwhile."""
        self._stop()
        gone = NewValue(self._node.node_id, b"", self._lifetime, exists=False)
        self._node.store(now, self._resource, self.kind.id, (gone,), done)

    @property
    def _resource(self) -> bytes:
        return ids.resource_id(self.jid.encode())

    def _own_route(self) -> bytes:
        """A client is reached through the peer it is connected to (notes 8.22), a peer by its Node-ID alone."""
        ring = self._node.ring
        return route_to([*([] if ring.joined else ring.successors(1)), self._node.node_id])

    def _publish(
        self, now: float, location: Callable[[], bytes], done: Callable[[float, Stored | RequestFailed], None]
    ) -> None:
        resource = self._resource  # before anything is changed: it may raise
        self._stop()
        self._location = location
        self._store(now, resource, done)

    def _store(self, now: float, resource: bytes, done: Callable[[float, Stored | RequestFailed], None]) -> None:
        location = self._location
        if location is None:
            return

        def stored(now: float, outcome: Stored | RequestFailed) -> None:
            if self._location is location:  # neither replaced nor removed meanwhile
                failed = isinstance(outcome, RequestFailed)
                self._node.count("xmpp_registrations_failed" if failed else "xmpp_registrations")
                wait = min(limits.LOCATION_RETRY, self._lifetime / 4) if failed else self._lifetime / 2
                self._refresh = self._node.timers.at(now + wait, partial(self._again, resource))
            done(now, outcome)

        # The key is the own Node-ID: USER-NODE-MATCH lets nobody else write there (4.3, 4.4).
        value = NewValue(self._node.node_id, location(), self._lifetime)
        self._node.store(now, resource, self.kind.id, (value,), stored)

    def _again(self, resource: bytes, now: float) -> None:
        self._store(now, resource, lambda now, outcome: None)

    def _stop(self) -> None:
        self._location = None
        if self._refresh is not None:
            self._refresh.cancel()
            self._refresh = None

    # --- others (5, 6.1) -----------------------------------------------------------------------------

    def lookup(self, now: float, jid: str, done: Callable[[float, Locations | RequestFailed], None]) -> None:
        """Find the devices of a user; the address is prepared here. JIDError if it is none. Outcome: Locations."""
        Lookup(self._node, self.kind, prepare_bare(jid), done).start(now)

    def contact(self, now: float, jid: str, done: Callable[[float, Contacted | RequestFailed], None]) -> None:
        """Connect to all devices of a user at once, this one excepted. Each success is told to on_stream at once.

        Outcome: Contacted, when all attempts have ended; RequestFailed if none succeeded. JIDError if this is no
        address, or if we have none of our own.
        """
        _ = self.jid

        def found(now: float, outcome: Locations | RequestFailed) -> None:
            if isinstance(outcome, RequestFailed):
                done(now, outcome)
            else:
                self._connect_all(now, outcome, done)

        self.lookup(now, jid, found)

    def ended(self, ticket: int) -> None:
        """The stream on this connection is over."""
        for node_id, (stream, _) in list(self._streams.items()):
            if stream.ticket == ticket:
                del self._streams[node_id]

    @property
    def streams(self) -> tuple[StreamReady, ...]:
        """Those that have not ended."""
        return tuple(stream for stream, _ in self._streams.values())

    def _connect_all(
        self, now: float, locations: Locations, done: Callable[[float, Contacted | RequestFailed], None]
    ) -> None:
        targets = [location for location in locations.routes if location.node_id != self._node.node_id]
        outcomes: dict[Location, StreamReady | RequestFailed] = {}

        def ended(location: Location, now: float, outcome: StreamReady | RequestFailed) -> None:
            outcomes[location] = outcome
            if len(outcomes) == len(targets):
                done(now, _summary(locations, outcomes))

        if not targets:
            done(now, RequestFailed(ErrorCode.NOT_FOUND, f"{locations.jid} has no device but this one"))
        for location in targets:  # all at once (6.1), the smallest priority first
            self._connect(now, location, partial(ended, location))

    def _connect(
        self, now: float, location: Location, done: Callable[[float, StreamReady | RequestFailed], None]
    ) -> None:
        there = self._streams.get(location.node_id)
        if there is not None:
            same_user = there[0].peer_jid == location.jid
            done(now, there[0] if same_user else _not_theirs(location, there[0].peer_jid))
            return
        attempts = self._attempts.setdefault((location.jid, location.node_id), [])
        attempts.append(done)
        if len(attempts) == 1:  # else one is under way: both callers get what comes of it
            self._node.app_attach(
                now,
                location.destination_list,
                APPLICATION,
                partial(self._check, location),
                partial(self._attached, location),
            )

    def _check(self, location: Location, certificate: Certificate) -> str | None:
        """The node has seen to the Node-ID of the last destination entry (6.1); the address is ours to compare."""
        if certificate.user_name != location.jid.encode():
            name = certificate.user_name.decode("utf-8", "replace")
            return (
                f"node {location.node_id.hex()} is of {name[:200]!a}, not of {location.jid!a}, whose location names it"
            )
        return None

    def _attached(self, location: Location, now: float, outcome: AppConnection | RequestFailed) -> None:
        waiting = self._attempts.pop((location.jid, location.node_id))
        result: StreamReady | RequestFailed
        there = self._streams.get(location.node_id)
        if isinstance(outcome, AppConnection):
            result = self._admit(now, self._ready(outcome))
            if result.ticket != outcome.ticket:
                self._on_superseded(now, outcome.ticket)
        elif there is not None and there[0].peer_jid == location.jid:
            result = there[0]  # the device connected to us meanwhile
        else:
            result = outcome
        for done in waiting:
            done(now, result)

    def _accept(self, now: float, connection: AppConnection) -> bool:
        """The answering side: the AppAttach came from elsewhere, and its sender's certificate is checked."""
        try:
            stream = self._ready(connection)
            if prepare_bare(stream.peer_jid) != stream.peer_jid:
                raise JIDError(stream.peer_jid, "it is not prepared")
        except JIDError as error:
            self._node.count("xmpp_streams_refused")
            self._node.notice("warning", f"refused a stream of node {connection.node_id.hex()}: {error}")
            return False
        if len(self._streams) >= limits.MAX_STREAMS and connection.node_id not in self._streams:
            self._node.count("xmpp_streams_refused")
            return False
        return self._admit(now, stream) is stream

    def _ready(self, connection: AppConnection) -> StreamReady:
        peer_jid = connection.certificate.user_name.decode("utf-8", "replace")
        return StreamReady(connection.ticket, connection.initiator, self.jid, peer_jid, connection.node_id)

    def _admit(self, now: float, stream: StreamReady) -> StreamReady:
        """One stream with each device: the new one or the one that is there, whichever is kept."""
        there = self._streams.get(stream.peer_node_id)
        if there is not None:
            if self._keeps(now, *there, stream):
                return there[0]
            self._on_superseded(now, there[0].ticket)
        self._streams[stream.peer_node_id] = (stream, now)
        self._node.count("xmpp_streams")
        self._on_stream(now, stream)
        return stream

    def _keeps(self, now: float, old: StreamReady, since: float, new: StreamReady) -> bool:
        """Two devices may ask each other at the same moment: kept is what the larger Node-ID asked for, as with Attach.

        (notes 8.18.) Both ends decide alike. But a second stream that is not of that moment means that the peer has
        lost the first, even if we have not noticed: then the newer is kept.
        """
        if old.initiator == new.initiator or now - since > limits.APP_ATTACH_TIMEOUT:
            return False
        we_are_larger = self._node.node_id > new.peer_node_id
        return old.initiator == we_are_larger


def _summary(locations: Locations, outcomes: dict[Location, StreamReady | RequestFailed]) -> Contacted | RequestFailed:
    """In the order of the routes, not in that of the answers."""
    ordered = [(location, outcomes[location]) for location in locations.routes if location in outcomes]
    streams = tuple(outcome for _, outcome in ordered if isinstance(outcome, StreamReady))
    failures = tuple((location, outcome) for location, outcome in ordered if isinstance(outcome, RequestFailed))
    if streams:
        return Contacted(locations, streams, failures)
    reasons = "; ".join(f"{location.node_id.hex()}: {failure.text}" for location, failure in failures[:3])
    return RequestFailed(failures[0][1].code, f"no device of {locations.jid} can be reached ({reasons})")


def _not_theirs(location: Location, jid: str) -> RequestFailed:
    text = f"node {location.node_id.hex()} is of {jid!a}, not of {location.jid!a}, whose location names it"
    return RequestFailed(ErrorCode.FORBIDDEN, text)
