"""Being a client (RFC 6940 4.2.1, 11.4): no part of the ring, all we send goes through the peer we are linked to."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from xor_fast import limits
from xor_fast.actions import Address
from xor_fast.core.timers import backoff
from xor_fast.errors import ErrorCode, RequestFailed

if TYPE_CHECKING:
    from xor_fast.core.node import Node


class Client:
    """Connects, and stays connected: when the link is lost, after a random pause that grows each time.

    Who starts it is told when there is a link, or after a few tries that there is none."""

    def __init__(self, node: "Node") -> None:
        self._node = node
        self._bootstrap: tuple[Address, ...] = ()
        self._done: Callable[[float, RequestFailed | None], None] | None = None
        self._tries = 0
        self._linked_at = 0.0

    def start(
        self, now: float, bootstrap: tuple[Address, ...], done: Callable[[float, RequestFailed | None], None]
    ) -> None:
        self._bootstrap = bootstrap
        self._done = done
        self._tries = 0
        self._connect(now)

    def alone(self, now: float) -> None:
        """The link to our peer is gone."""
        if not self._node.topology.is_client:
            return
        if now - self._linked_at > limits.JOIN_RETRY_CEILING:
            self._tries = 0  # it was a good one; who lets us in and hangs up is not asked every moment
        self._again(now)

    def _connect(self, now: float) -> None:
        if self._node.topology.is_client and not len(self._node.ring):
            self._node.attach.dial_bootstrap(now, self._bootstrap, self._linked)

    def _linked(self, now: float, outcome: bytes | RequestFailed) -> None:
        if not self._node.topology.is_client:
            return
        if isinstance(outcome, RequestFailed):
            may_pass = outcome.code == ErrorCode.REQUEST_TIMEOUT and self._tries + 1 < limits.CONNECT_TRIES
            if self._done is None or may_pass:
                self._again(now)
            else:
                self._tell(now, outcome)
            return
        self._linked_at = now
        self._node.topology.enter(now, outcome)  # 4.2.1: a client routes everything through its peer
        self._tell(now, None)

    def _tell(self, now: float, failure: RequestFailed | None) -> None:
        done, self._done = self._done, None
        if done is not None:
            done(now, failure)

    def _again(self, now: float) -> None:
        self._tries += 1
        self._node.count("connect_retries")
        self._node.timers.at(now + backoff(self._node.rng, self._tries), self._connect)
