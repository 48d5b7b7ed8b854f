"""What the codec says to a program that calls it wrongly: TypeError or ConfigError by name, never a crash, and nothing
written. (What a peer may send wrongly is WireError's, in the other tests.)"""

from collections import UserDict
from collections.abc import Callable
from typing import Any

import pytest

from xor_fast import messages as m
from xor_fast.cext import codec
from xor_fast.errors import ConfigError, WireError
from xor_fast.messages import DataModel

HEADER = m.ForwardingHeader(1, 2, 3, 4, (m.Destination(1, b"\x50" * 16),))
SECURITY = m.SecurityBlock((), m.UNSIGNED)
MESSAGE = m.Message(HEADER, m.Code.PING_REQ, m.PingReq(), (), SECURITY)
STORE = codec.encode_struct(m.StoreReq(b"", 0, (m.StoreKindData(1, 0, ()),)))
anything: Any = object()


class LongerPing(m.PingReq, frozen=True, gc=False):
    """A subclass: what it adds would be left out."""

    more: int = 0


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: codec.decode_message(None), "bytes expected, not None"),  # type: ignore[arg-type]
        (lambda: codec.decode_struct(m.PingReq, None), "bytes expected, not None"),  # type: ignore[arg-type]
        (lambda: codec.encode_struct(anything), "object is no RELOAD structure"),
        (lambda: codec.encode_struct(m.FetchAns((anything,))), "FetchKindResponse expected, not object"),
        (lambda: codec.encode_body(m.Code.PING_REQ, LongerPing()), "LongerPing is not the body of message code 0x17"),
        (lambda: codec.encode_struct(m.DataValue(1, b"")), "True or False expected, not 1"),  # type: ignore[arg-type]
        (lambda: codec.encode_struct(m.PingReq("text")), "bytes expected, not str"),  # type: ignore[arg-type]
        (lambda: codec.encode_struct(m.PingAns("7", 0)), "'str' object cannot be interpreted as an integer"),  # type: ignore[arg-type]
        (lambda: codec.encode_contents(m.Code.PING_REQ, anything), "object is not the body of message code 0x17"),
        (lambda: codec.value_signature_input(b"", 1, 0, anything, m.SignerIdentity(3)), "object"),
        (lambda: codec.assemble(HEADER, b"", anything), "SecurityBlock expected, not object"),
    ],
)
def test_a_wrong_type_is_named(call: Callable[[], object], says: str) -> None:
    with pytest.raises(TypeError, match=says):
        call()


@pytest.mark.parametrize("kinds", [{1: 9}, {1: -1}, {1: "SINGLE"}, UserDict({1: 1 << 70}), UserDict({1: None})])
def test_a_mapping_that_names_no_data_model_is_refused(kinds: Any) -> None:
    with pytest.raises((ConfigError, OverflowError)):
        codec.decode_struct(m.StoreReq, STORE, 16, kinds)


def test_any_mapping_will_do_for_the_kinds() -> None:
    known = UserDict({1: DataModel.SINGLE})
    assert codec.decode_struct(m.StoreReq, STORE, 16, known) == codec.decode_struct(
        m.StoreReq, STORE, 16, {1: DataModel.SINGLE}
    )


def test_only_a_whole_message_is_assembled() -> None:
    fragment = m.ForwardingHeader(1, 2, 3, 4, HEADER.destination_list, fragment=0x80000010)
    with pytest.raises(WireError, match="a fragment, not a whole message"):
        codec.assemble(fragment, b"", SECURITY)
    assert codec.assemble(HEADER, codec.encode_contents(MESSAGE.code, MESSAGE.body), SECURITY) == codec.encode_message(
        MESSAGE
    )


@pytest.mark.parametrize("number", [-1, 1 << 64, 1 << 200])
def test_integers_out_of_range_are_refused(number: int) -> None:
    with pytest.raises(WireError, match="negative or too large"):
        codec.encode_struct(m.PingAns(number, 0))
