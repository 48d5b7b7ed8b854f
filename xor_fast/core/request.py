"""A verified request addressed to us, and the way to refuse it."""

from collections.abc import Callable
from typing import NamedTuple

from xor_fast.errors import ErrorCode
from xor_fast.messages import Message
from xor_fast.trust.signatures import Signer


class Request(NamedTuple):
    """link: it came over, or SELF. previous_hop: the Node-ID bound to that link. signer: who made it. encoded: the
    message as it came."""

    link: int
    previous_hop: bytes
    message: Message
    signer: Signer
    encoded: bytes

    @property
    def transaction_id(self) -> int:
        return self.message.header.transaction_id

    @property
    def is_direct(self) -> bool:
        """It came straight from its signer, over a link bound to that Node-ID (6.4.2.1, 6.4.2.2)."""
        return self.previous_hop == self.signer.node_id and not self.message.header.via_list


Handlers = dict[int, Callable[[float, Request], None]]
"""Message code -> handler(now, request); a handler answers the request or raises Refuse."""


class Refuse(Exception):
    """Raised by a handler to answer its request with an Error; never leaves the core."""

    def __init__(self, code: ErrorCode, text: str = "", info: bytes = b"") -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.info = info
