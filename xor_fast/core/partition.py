"""Noticing that the overlay has split, and healing it (RFC 6940 10.7.4.4): a Ping for our own place through a bootstrap
node or a peer that we lost, whose answer must come from our own successor. Who has lost everybody gets in again so,
and who starts anew: where others can be reached is on its disk.
"""

from collections import OrderedDict
from typing import TYPE_CHECKING

from xor_fast import limits
from xor_fast.actions import Address
from xor_fast.cext import ids
from xor_fast.core.ping import Pong
from xor_fast.core.timers import Timer
from xor_fast.core.transactions import NO_LINK
from xor_fast.errors import RequestFailed
from xor_fast.messages import Code, Destination, DestinationType, JoinReq

if TYPE_CHECKING:
    from xor_fast.core.node import Node


class Partition:
    def __init__(self, node: "Node") -> None:
        self._node = node
        self.bootstrap: tuple[Address, ...] = ()
        self._is_lost = False  # without any peer since we were in the ring
        self._found_at: dict[Address, bytes] = {}  # bootstrap nodes, so that a link serves again
        self.peers: OrderedDict[bytes, tuple[Address, ...]] = OrderedDict()  # where they are; the one met last is last
        self._probing: Timer | None = None
        self._recording: Timer | None = None

    def start(self, now: float) -> None:
        if not self.bootstrap:
            self.bootstrap = self._node.topology.elsewhere(self._node.overlay.bootstrap_nodes)
        self._schedule(now)
        if self.peers and not len(self._node.ring):  # the first peer is back: the others may have gone on
            self._is_lost = True
            self._probe_at(now)

    # --- where others are ----------------------------------------------------------------------------

    def remember(self, now: float, node_id: bytes, addresses: tuple[Address, ...]) -> None:
        """Where a node can be reached, as it told us: when all links are lost, so are all ways to ask for it."""
        if not addresses:
            return
        is_news = self.peers.get(node_id) != addresses[: limits.MAX_REMEMBERED_ADDRESSES]
        self.peers[node_id] = addresses[: limits.MAX_REMEMBERED_ADDRESSES]
        self.peers.move_to_end(node_id)
        if len(self.peers) > limits.MAX_REMEMBERED:
            self.peers.popitem(last=False)
        if is_news and (self._recording is None or not self._recording.active):
            self._recording = self._node.timers.at(now + limits.REMEMBER_PAUSE, self._record)

    def _record(self, now: float) -> None:
        self._node.storage.ledger.peers()

    def known_addresses(self) -> tuple[Address, ...]:
        """Of some peers that we remember: a dial of those that are not there takes its time for each."""
        chosen = self._node.rng.sample(list(self.peers.values()), min(2, len(self.peers)))
        return tuple(addresses[0] for addresses in chosen)

    def alone(self, now: float) -> None:
        """We have lost every peer: all of them have gone, or only our way to them has (10.7.1). Ask soon."""
        if self._node.ring.joined:
            self._is_lost = True
            self._probe_at(now + limits.FINGER_SEARCH_DELAY)

    # --- when ----------------------------------------------------------------------------------------

    def _schedule(self, now: float) -> None:
        """Any one peer that finds the other half begins to heal both, so in a large ring each of them asks seldom."""
        size = 2 ** self._node.topology.neighbourhood.log2_size()
        pause = limits.PARTITION_PROBE * max(1.0, size / limits.PARTITION_PEERS)
        pause = min(pause, max(limits.PARTITION_PROBE, self._node.overlay.update_interval))
        self._probe_at(now + pause * self._node.rng.uniform(0.75, 1.25))

    def _probe_at(self, when: float) -> None:
        if self._probing is not None:
            self._probing.cancel()
        self._probing = self._node.timers.at(when, self._probe)

    def _probe(self, now: float) -> None:
        if not self._node.ring.joined:
            return
        self._schedule(now)
        self._is_lost = self._is_lost and not len(self._node.ring)  # others may have come to us
        rng = self._node.rng
        lost = [node_id for node_id in self.peers if self._node.switch.link_of(node_id) == NO_LINK]
        rng.shuffle(lost)
        bootstrap = rng.sample(self.bootstrap, len(self.bootstrap))
        if self._is_lost:
            self._dial(now, (*bootstrap, *(address for node_id in lost for address in self.peers[node_id])))
        elif lost and (not bootstrap or rng.random() < 0.5):
            self._dial(now, self.peers[lost[0]])
        else:
            self._dial(now, tuple(bootstrap))

    # --- how -----------------------------------------------------------------------------------------

    def _dial(self, now: float, addresses: tuple[Address, ...]) -> None:
        """The discovery of the initial join: one address after the other until somebody is there (11.4)."""
        if not addresses:
            return
        address, *rest = addresses
        known = self._found_at.get(address)
        if known is not None and self._node.switch.link_of(known) != NO_LINK:
            self._reached(now, known)
            return

        def dialled(now: float, outcome: bytes | RequestFailed) -> None:
            if isinstance(outcome, RequestFailed):
                self._dial(now, tuple(rest))
                return
            if address in self.bootstrap:
                self._found_at[address] = outcome
            self._reached(now, outcome)

        self._node.attach.dial_bootstrap(now, (address,), dialled)

    def _reached(self, now: float, through: bytes) -> None:
        """Ping for own Node-ID + 1 as a Resource-ID: the true successor answers, or the stranger S' (notes 6.14)."""
        place = Destination(DestinationType.RESOURCE, ids.successor_id(self._node.node_id))
        link = self._node.switch.link_of(through)

        def answered(now: float, outcome: Pong | RequestFailed) -> None:
            if not isinstance(outcome, RequestFailed):
                self._compare(now, outcome.node_id, through)

        if link != NO_LINK:
            self._node.pings.ping(now, (place,), answered, link=link)

    def _compare(self, now: float, answerer: bytes, through: bytes) -> None:
        ring = self._node.ring
        if not ring.joined or answerer == self._node.node_id or (answerer in ring.successors(1) and not self._is_lost):
            return
        self._node.count("partitions_noticed")

        def attached(now: float, outcome: bytes | RequestFailed) -> None:
            # The link's first Update, which tells the other ring of us, follows from its being up (10.7.4.4).
            if self._is_lost and not isinstance(outcome, RequestFailed):
                self._is_lost = False
                self._join_again(now, answerer)

        if self._node.switch.link_of(answerer) == NO_LINK:
            self._node.topology.attach_to(now, answerer, through, attached)
            return
        if answerer not in ring:
            self._node.topology.ask_for_update(now, answerer)
        attached(now, answerer)

    def _join_again(self, now: float, peer: bytes) -> None:
        """10.7.1: who has lost all successors sends a Join to the peer found by Ping; it hands over what is ours."""
        destination = (Destination(DestinationType.NODE, peer),)
        link = self._node.switch.link_of(peer)
        self._node.count("joined_again")
        body = JoinReq(self._node.node_id)
        self._node.request(now, destination, Code.JOIN_REQ, body, lambda now, outcome: None, link=link)
