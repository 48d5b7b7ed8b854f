"""RELOAD messages and structures <-> the structs of `xor_fast.messages` (RFC 6940 6.3 to 7.4, 9, 10.7 to 10.9,
XEP-0415 4.2).

For every valid input encode(decode(x)) == x. What is not valid raises WireError with offset, structure and rule.
Encoding raises WireError for what decoding would refuse or would not give back (an integer too large for its field, a
field that its type does not have), TypeError for what is no structure. Two things it leaves to the caller: that a body
given as bytes fits its code, and that all values of a Kind are of its data model.
Loads no event loop, no TLS, no XML and no cryptography.
"""

from collections.abc import Mapping
from typing import TypeVar

from xor_fast.messages import (
    Body,
    DataModel,
    ForwardingHeader,
    Message,
    MessageExtension,
    SecurityBlock,
    SignerIdentity,
    StoredDataValue,
)

T = TypeVar("T", bound=Body)

def decode_message(data: bytes, node_id_length: int = 16, kinds: Mapping[int, DataModel] | None = None) -> Message:
    """A whole message. Values of a Kind that is not in `kinds` stay bytes; so does the body of a code without a struct.
    A fragment (offset above 0 or not the last) raises WireError: join it first."""

def encode_message(message: Message) -> bytes: ...
def decode_body(
    code: int,
    data: bytes,
    node_id_length: int = 16,
    kinds: Mapping[int, DataModel] | None = None,
) -> Body | bytes: ...
def encode_body(code: int, body: Body | bytes) -> bytes: ...
def decode_struct(
    cls: type[T],
    data: bytes,
    node_id_length: int = 16,
    kinds: Mapping[int, DataModel] | None = None,
) -> T:
    """One structure that fills `data` exactly. StoredData alone names no Kind, so its value stays bytes. The length of
    a ForwardingHeader alone counts the header alone; the header of a fragment with its payload is read by `wire.peek`.
    """

def encode_struct(value: Body) -> bytes: ...
def signature_input(data: bytes) -> bytes:
    """What the signature of a message covers, cut from its own bytes (6.3.4):
    overlay || transaction_id || MessageContents || SignerIdentity."""

def stored_as_signed(data: bytes) -> tuple[bytes, ...]:
    """Of each StoredData in a whole Store or answer to a Fetch, in order, what follows its lifetime, as it came: the
    StoredDataValue and its Signature. `StoredData(storage_time, lifetime, these_bytes)` encodes to what was sent, with
    whatever lifetime is left (7.4.1.1). The message has to be one that decodes."""

def encode_contents(code: int, body: Body | bytes, extensions: tuple[MessageExtension, ...] = ()) -> bytes:
    """MessageContents (6.3.3)."""

def assemble(header: ForwardingHeader, contents: bytes, security: SecurityBlock) -> bytes:
    """A whole message from already encoded contents; the length field is set here."""

def value_signature_input(
    resource_id: bytes,
    kind: int,
    storage_time: int,
    value: StoredDataValue,
    identity: SignerIdentity,
) -> bytes:
    """What the signature of a stored value covers (7.1): resource_id with its length byte || kind u32 ||
    storage_time u64 || StoredDataValue (an array index as zero) || SignerIdentity (notes 3.2, 3.3). TypeError for a
    value of an unknown Kind: where it ends is not known."""
