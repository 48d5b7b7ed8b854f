"""Links that fall silent: out of the routing table after one RTO, closed after 30 s (RFC 6940 6.6.5).

What finds a dead neighbour on an idle link: a dead process, the reset of its connections; a dead host, the kernel's
keepalive, which the driver turns on (`limits.TCP_KEEPALIVE_*`); a hung process, the next message that it does not
acknowledge, at the latest a Ping after KEEPALIVE_INTERVAL. Notes 4.15 has Pings every 15 to 30 s, for want of the
kernel's: with fifty links and 1.3 kB for a signed Ping and its answer that would be three times all other upkeep.
"""

from functools import partial
from typing import TYPE_CHECKING

from xor_fast import limits
from xor_fast.actions import Hangup
from xor_fast.core.timers import Timer
from xor_fast.messages import WILDCARD_NODE_ID, Destination, DestinationType

if TYPE_CHECKING:
    from xor_fast.core.node import Node


class Liveness:
    def __init__(self, node: "Node") -> None:
        self._node = node
        self._hangups: dict[int, Timer] = {}  # of the links that are silent
        self._not_before = float("-inf")
        self._keeping_awake: Timer | None = None

    @property
    def deadline(self) -> float:
        """When `check` has something to do; infinity if never."""
        silence = self._node.switch.silence_at
        return silence if silence > self._not_before else self._not_before

    def check(self, now: float) -> None:
        """Silence that has begun or ended."""
        due = self.deadline
        if due > now:
            return
        if now - due > limits.OVERSLEPT and self._not_before < due:
            # It is we who had no time: their ACKs may be waiting to be read.
            self._not_before = now + limits.OVERSLEPT
            return
        for link, is_silent in self._node.switch.silence_changes(now):
            node_id = self._node.switch.node_of(link)
            assert node_id is not None
            if is_silent:
                later = now + limits.LINK_RETENTION
                self._hangups[link] = self._node.timers.at(later, partial(self._give_up, link))
                self._node.count("links_silent")
                self._node.topology.lose(now, node_id, "it does not acknowledge what we send")
            else:
                self._hangups.pop(link).cancel()
                self._node.topology.speaks_again(now, node_id)

    def linked(self, now: float) -> None:
        """A link is up: from now on there is one to keep awake."""
        if self._keeping_awake is None:
            self._keeping_awake = self._node.timers.at(now + limits.KEEPALIVE_INTERVAL, self._keep_awake)

    def link_down(self, link: int) -> None:
        timer = self._hangups.pop(link, None)
        if timer is not None:
            timer.cancel()

    def _give_up(self, link: int, now: float) -> None:
        self._node.act(Hangup(link, "silent for too long"))

    def _keep_awake(self, now: float) -> None:
        """Ping what has been idle for long; then again when the next link may have been, but not for each alone."""
        self._keeping_awake = None
        switch = self._node.switch
        wildcard = (Destination(DestinationType.NODE, WILDCARD_NODE_ID),)
        oldest = now
        for link in switch.links():
            heard_at = switch.idle_since(link)
            if now - heard_at < limits.KEEPALIVE_INTERVAL:
                oldest = min(oldest, heard_at)
            elif link not in self._hangups:
                self._node.pings.ping(now, wildcard, lambda now, outcome: None, link=link)
        if switch.links():
            pause = max(oldest + limits.KEEPALIVE_INTERVAL - now, limits.KEEPALIVE_INTERVAL / 10)
            self._keeping_awake = self._node.timers.at(now + pause, self._keep_awake)
