"""Ping: is this node, or whoever is responsible there, reachable? (RFC 6940 6.5.3)"""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from xor_fast.core.request import Handlers, Request
from xor_fast.core.transactions import Answer
from xor_fast.errors import RequestFailed
from xor_fast.messages import Code, Destination, PingAns, PingReq

if TYPE_CHECKING:
    from xor_fast.core.node import Node


class Pong(NamedTuple):
    """node_id: who answered. hops: forwarders on the way back. rtt: seconds. time_ms: the answerer's clock."""

    node_id: bytes
    hops: int
    rtt: float
    time_ms: int


class PingService:
    def __init__(self, node: "Node") -> None:
        self._node = node
        self.handlers: Handlers = {Code.PING_REQ: self._on_ping}

    def ping(
        self,
        now: float,
        destination_list: tuple[Destination, ...],
        done: Callable[[float, Pong | RequestFailed], None],
        link: int = -1,
    ) -> None:
        def answered(now: float, outcome: Answer | RequestFailed) -> None:
            if isinstance(outcome, RequestFailed):
                done(now, outcome)
                return
            assert isinstance(outcome.body, PingAns)
            done(now, Pong(outcome.signer.node_id, outcome.hops, outcome.rtt, outcome.body.time))

        self._node.request(now, destination_list, Code.PING_REQ, PingReq(), answered, link=link)

    def _on_ping(self, now: float, request: Request) -> None:
        body = PingAns(self._node.rng.getrandbits(64), self._node.wall_ms(now))
        self._node.answer(now, request, Code.PING_ANS, body)
