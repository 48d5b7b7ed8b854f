"""Links that fall silent: out of the routing table after one RTO, closed after 30 s (RFC 6940 6.6.5), kept awake
by Pings while idle (notes 4.15)."""

from typing import TYPE_CHECKING

from xor_fast import limits
from xor_fast.actions import Hangup
from xor_fast.messages import WILDCARD_NODE_ID, Destination, DestinationType

if TYPE_CHECKING:
    from xor_fast.core.node import Node


class Liveness:
    def __init__(self, node: "Node") -> None:
        self._node = node
        self._silent_since: dict[int, float] = {}
        node.timers.at(0.0, self._check)

    def _check(self, now: float) -> None:
        silent = set(self._node.switch.silent_links(now))
        for link in sorted(silent):
            self._is_silent(now, link)
        for link in [link for link in self._silent_since if link not in silent]:
            del self._silent_since[link]
            node_id = self._node.switch.node_of(link)
            if node_id is not None:
                self._node.topology.speaks_again(now, node_id)
        self._keep_awake(now)
        self._node.timers.at(now + limits.SILENCE_CHECK, self._check)

    def _is_silent(self, now: float, link: int) -> None:
        node_id = self._node.switch.node_of(link)
        if node_id is None:
            return
        since = self._silent_since.setdefault(link, now)
        if since == now:
            self._node.count("links_silent")
            self._node.topology.lose(now, node_id, "it does not acknowledge what we send")
        elif now - since >= limits.LINK_RETENTION:
            self._node.act(Hangup(link, "silent for too long"))

    def _keep_awake(self, now: float) -> None:
        wildcard = (Destination(DestinationType.NODE, WILDCARD_NODE_ID),)
        for link in self._node.switch.links():
            if link not in self._silent_since and now - self._node.switch.idle_since(link) >= limits.KEEPALIVE_INTERVAL:
                self._node.pings.ping(now, wildcard, lambda now, outcome: None, link=link)
