"""Members that do not do their part: they acknowledge frames and say nothing, or answer Fetches with lies.

They hold right certificates and keep the framing, so no link shows what they are.
"""

from collections.abc import Sequence
from typing import Protocol

from xor_fast.cext import codec, wire
from xor_fast.core.node import Node
from xor_fast.core.request import Refuse, Request
from xor_fast.errors import ErrorCode
from xor_fast.messages import (
    Body,
    Code,
    DataValue,
    FetchAns,
    FetchKindResponse,
    GenericCertificate,
    StoredData,
)

DATA = 128
LIES = ("nothing", "forged", "stale", "refuse")
_ANSWERS_ABOUT_VALUES = frozenset({Code.STORE_ANS, Code.FETCH_ANS, Code.STAT_ANS, Code.FIND_ANS})


class Say(Protocol):
    """`Node.answer`"""

    def __call__(
        self,
        now: float,
        request: Request,
        code: int,
        body: Body | bytes,
        certificates: Sequence[GenericCertificate] = (),
    ) -> None: ...


def swallow(data: bytes, initial_ttl: int, sly: bool) -> bytes:
    """What a dropper really sends of the frames its node gave: each message it withholds becomes an empty one.

    The empty message is acknowledged and forgotten by whoever gets it, so the link stays up and its own node believes
    to be heard. sly: only what it forwards and what it says about values is withheld; it stays in all tables."""
    frames, _ = wire.split_frames(data)
    sent = []
    for kind, sequence, rest in frames:
        if kind != DATA:
            assert isinstance(rest, int)
            sent.append(wire.ack_frame(sequence, rest))
            continue
        assert isinstance(rest, bytes)
        withheld = not sly or not rest or _is_for_others(rest, initial_ttl)
        sent.append(wire.data_frame(sequence, b"" if withheld else rest))
    return b"".join(sent)


def _is_for_others(message: bytes, initial_ttl: int) -> bool:
    header = wire.peek(message)
    code = int.from_bytes(message[header.header_size : header.header_size + 2], "big")
    return header.ttl < initial_ttl or code in _ANSWERS_ABOUT_VALUES  # a forwarder subtracts one


class Liar:
    """Answers the Fetches that reach a node as `how` says, until `stop`.

    nothing: there is no value. forged: the values with other contents. stale: for ever what it said first. refuse: an
    Error."""

    def __init__(self, node: Node, how: str) -> None:
        if how not in LIES:
            raise ValueError(f"{how!r} is none of {', '.join(LIES)}")
        self._node = node
        self._how = how
        self._said: dict[bytes, tuple[FetchAns, tuple[GenericCertificate, ...]]] = {}
        self._handlers = node._handlers
        self._honest = self._handlers[Code.FETCH_REQ]
        self._handlers[Code.FETCH_REQ] = self._lie

    def stop(self) -> None:
        self._handlers[Code.FETCH_REQ] = self._honest

    def _lie(self, now: float, request: Request) -> None:
        if self._how == "refuse":
            raise Refuse(ErrorCode.FORBIDDEN, "not for you")
        honestly: Say = self._node.answer

        def answer(
            now: float,
            request: Request,
            code: int,
            body: Body | bytes,
            certificates: Sequence[GenericCertificate] = (),
        ) -> None:
            if isinstance(body, FetchAns):
                body, certificates = self._bent(request, body, tuple(certificates))
            honestly(now, request, code, body, certificates)

        self._node.answer = answer  # type: ignore[method-assign]
        try:
            self._honest(now, request)
        finally:
            del self._node.answer

    def _bent(
        self, request: Request, body: FetchAns, certificates: tuple[GenericCertificate, ...]
    ) -> tuple[FetchAns, tuple[GenericCertificate, ...]]:
        if self._how == "stale":
            return self._said.setdefault(request.message.body.resource, (body, certificates))  # type: ignore[union-attr]
        values = _without_values if self._how == "nothing" else _forged
        return FetchAns(tuple(map(values, body.kind_responses))), certificates


def _without_values(response: FetchKindResponse) -> FetchKindResponse:
    return FetchKindResponse(response.kind, response.generation, ())


def _forged(response: FetchKindResponse) -> FetchKindResponse:
    return FetchKindResponse(response.kind, response.generation, tuple(map(_forged_value, response.values)))


def _forged_value(data: StoredData) -> StoredData:
    """A value is served as it was signed: key, value and signature, one behind the other (7.1)."""
    signed = data.value
    if not isinstance(signed, bytes):
        return data  # a synthetic one
    key = signed[: 2 + int.from_bytes(signed[:2])]
    signature = signed[len(key) + 5 + int.from_bytes(signed[len(key) + 1 : len(key) + 5]) :]
    forged = key + codec.encode_struct(DataValue(True, b"forged")) + signature
    return StoredData(data.storage_time + 1, data.lifetime, forged)
