"""Noticing that the overlay has split, and healing it (RFC 6940 10.7.4.4): a Ping for our own place through a bootstrap
node, whose answer must come from our own successor."""

from typing import TYPE_CHECKING

from xor_fast import limits
from xor_fast.actions import Address
from xor_fast.cext import ids
from xor_fast.core.ping import Pong
from xor_fast.core.transactions import NO_LINK
from xor_fast.errors import RequestFailed
from xor_fast.messages import Destination, DestinationType

if TYPE_CHECKING:
    from xor_fast.core.node import Node


class Partition:
    def __init__(self, node: "Node") -> None:
        self._node = node
        self.bootstrap: tuple[Address, ...] = ()
        self._asked: bytes | None = None  # the bootstrap node we spoke with last

    def start(self, now: float) -> None:
        if not self.bootstrap:
            self.bootstrap = self._node.topology.elsewhere(self._node.overlay.bootstrap_nodes)
        self._schedule(now)

    def alone(self, now: float) -> None:
        """We have lost every peer: all of them have gone, or only our way to them has (10.7.1). Ask soon."""
        self._node.timers.at(now + limits.FINGER_SEARCH_DELAY, self._ask)

    def _schedule(self, now: float) -> None:
        pause = limits.PARTITION_PROBE * (0.75 + 0.5 * self._node.rng.random())
        self._node.timers.at(now + pause, self._probe)

    def _probe(self, now: float) -> None:
        if not self._node.ring.joined:
            return
        self._schedule(now)
        self._ask(now)

    def _ask(self, now: float) -> None:
        if not self._node.ring.joined:
            return
        if self._asked is not None and self._node.switch.link_of(self._asked) != NO_LINK:
            self._reached(now, self._asked)
        elif self.bootstrap:
            self._node.attach.dial_bootstrap(now, self.bootstrap, self._reached)

    def _reached(self, now: float, outcome: bytes | RequestFailed) -> None:
        if isinstance(outcome, RequestFailed):
            return  # nobody to ask; the next probe will
        self._asked = outcome
        # Own Node-ID + 1 as a Resource-ID: the true successor answers, or the stranger S' (notes 6.14).
        place = Destination(DestinationType.RESOURCE, ids.successor_id(self._node.node_id))
        link = self._node.switch.link_of(outcome)
        through = outcome

        def answered(now: float, outcome: Pong | RequestFailed) -> None:
            if not isinstance(outcome, RequestFailed):
                self._compare(now, outcome.node_id, through)

        if link != NO_LINK:
            self._node.pings.ping(now, (place,), answered, link=link)

    def _compare(self, now: float, answerer: bytes, through: bytes) -> None:
        if answerer == self._node.node_id or answerer in self._node.ring.successors(1):
            return
        self._node.count("partitions_noticed")
        if answerer != through:
            self._node.topology.attach_to(now, answerer, through, lambda now, outcome: None)
        # The link's first Update, which tells the other ring of us, follows from its being up (10.7.4.4).
        elif answerer not in self._node.ring:
            self._node.topology.ask_for_update(now, answerer)
