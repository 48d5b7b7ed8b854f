"""Every exception of xor_fast, and the RELOAD error codes (RFC 6940 6.3.3.1, 14.9).

    XorFastError
    ├── OwnerError            the owner of the node did something wrong; the text says how to mend it
    │   ├── ConfigError       configuration document or command line
    │   ├── StateError        a call at a time when it makes no sense (a store before the join, ...)
    │   └── NotBuilt          a part of this package that could not be compiled when it was installed
    ├── WireError             bytes that are not what the RFC describes
    ├── TrustError            a certificate or signature that does not hold
    ├── StreamEnded           a stream with another device that is no more; the text says why
    └── RequestFailed         a request that ended without success; carries the RELOAD error code

What a peer sends never raises out of `xor_fast.core`: WireError and TrustError are caught there and counted.
"""

from enum import IntEnum


class ErrorCode(IntEnum):
    """RELOAD error codes (RFC 6940 14.9)."""

    FORBIDDEN = 0x2
    NOT_FOUND = 0x3
    REQUEST_TIMEOUT = 0x4
    GENERATION_COUNTER_TOO_LOW = 0x5
    INCOMPATIBLE_WITH_OVERLAY = 0x6
    UNSUPPORTED_FORWARDING_OPTION = 0x7
    DATA_TOO_LARGE = 0x8
    DATA_TOO_OLD = 0x9
    TTL_EXCEEDED = 0xA
    MESSAGE_TOO_LARGE = 0xB
    UNKNOWN_KIND = 0xC
    UNKNOWN_EXTENSION = 0xD
    RESPONSE_TOO_LARGE = 0xE
    CONFIG_TOO_OLD = 0xF
    CONFIG_TOO_NEW = 0x10
    IN_PROGRESS = 0x11
    EXP_A = 0x12
    EXP_B = 0x13
    INVALID_MESSAGE = 0x14


class XorFastError(Exception):
    """Base of all errors of this package."""


class OwnerError(XorFastError):
    """The owner of a node (the program or person that runs it) did something wrong."""


class ConfigError(OwnerError):
    """A configuration document, a data directory or a command line cannot be used."""


class StateError(OwnerError):
    """A call at a time when it makes no sense."""


class NotBuilt(OwnerError):
    """A part of this package is not there, because what it needs was missing when the package was built."""


class WireError(XorFastError):
    """Bytes that break a rule of RFC 6940.

    offset     of the field that breaks it, from the start of the outermost input; when encoding: bytes written so far
    structure  the structure that was being read, by its RFC name
    rule       what was broken
    """

    def __init__(self, offset: int, structure: str, rule: str) -> None:
        super().__init__(offset, structure, rule)
        self.offset = offset
        self.structure = structure
        self.rule = rule

    def __str__(self) -> str:
        return f"{self.structure} at byte {self.offset}: {self.rule}"


class TrustError(XorFastError):
    """A certificate or a signature that does not hold; the text is one line for a log."""


class StreamEnded(XorFastError):
    """A stream with an application of another node that has ended, or was never opened; the text says why."""


class RequestFailed(XorFastError):
    """A request that ended without success.

    code  RELOAD error code: the one a peer answered with, or REQUEST_TIMEOUT when no answer came
    text  what the peer said, or what happened here
    info  error_info as received (a StoreAns for GENERATION_COUNTER_TOO_LOW, Kind-IDs for UNKNOWN_KIND)
    said_by  Node-ID of the peer that answered with it; empty when none did
    """

    def __init__(self, code: int, text: str, info: bytes = b"", said_by: bytes = b"") -> None:
        super().__init__(code, text)
        self.code = code
        self.text = text
        self.info = info
        self.said_by = said_by

    def __str__(self) -> str:
        try:
            name = ErrorCode(self.code).name.title()
        except ValueError:
            name = f"0x{self.code:x}"
        return f"Error_{name}: {self.text}" if self.text else f"Error_{name}"
