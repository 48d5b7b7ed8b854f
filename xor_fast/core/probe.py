"""Probe: what a peer tells about itself (RFC 6940 6.4.2.5)."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from xor_fast.cext import ids
from xor_fast.core.request import Handlers, Request
from xor_fast.messages import Code, ProbeAns, ProbeInformation, ProbeInformationType, ProbeReq

if TYPE_CHECKING:
    from xor_fast.core.node import Node

_BILLION = 10**9


class ProbeService:
    def __init__(self, node: "Node") -> None:
        self._node = node
        self.handlers: Handlers = {Code.PROBE_REQ: self._on_probe}
        self._told: dict[int, Callable[[float], int]] = {
            ProbeInformationType.RESPONSIBLE_SET: self._responsible_ppb,
            ProbeInformationType.NUM_RESOURCES: self._num_resources,
            ProbeInformationType.UPTIME: node.topology.updates.uptime,
        }

    def _on_probe(self, now: float, request: Request) -> None:
        body = request.message.body
        assert isinstance(body, ProbeReq)
        # 6.4.2.5.2: what was asked for and is known, in the order asked; once each.
        info = (
            ProbeInformation(type_, self._told[type_](now))
            for type_ in dict.fromkeys(body.requested_info)
            if type_ in self._told
        )
        self._node.answer(now, request, Code.PROBE_ANS, ProbeAns(tuple(info)))

    def _num_resources(self, now: float) -> int:
        return self._node.storage.shelves.resources_with_values

    def _responsible_ppb(self, now: float) -> int:
        """The share of the ring that is ours, in parts per billion."""
        ring = self._node.ring
        if not ring.is_responsible(self._node.node_id):
            return 0  # outside, or on the way in: nothing is ours yet (10.5)
        predecessors = ring.predecessors(1)
        if not predecessors:
            return _BILLION
        ours = int.from_bytes(ids.distance(predecessors[0], self._node.node_id))
        return ours * _BILLION >> 8 * len(self._node.node_id)
