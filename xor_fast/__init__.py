"""xor_fast: a RELOAD (RFC 6940) peer and XMPP over RELOAD (XEP-0415).

Four doors of growing size, each usable without the next:

    from xor_fast.cext import ids, wire     # placement and headers: no event loop, no cryptography
    from xor_fast.cext.switch import Switch # a relay inside any loop: bytes in, bytes out
    from xor_fast import Node               # a whole peer without I/O, driven by your own loop
    from xor_fast import Peer, Messenger    # a peer on asyncio or uvloop, and XMPP between users

Importing the package itself loads nothing heavy: a public name is loaded when it is first used.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xor_fast.config import Overlay as Overlay
    from xor_fast.core.node import Node as Node
    from xor_fast.errors import ConfigError as ConfigError
    from xor_fast.errors import ErrorCode as ErrorCode
    from xor_fast.errors import NotBuilt as NotBuilt
    from xor_fast.errors import OwnerError as OwnerError
    from xor_fast.errors import RequestFailed as RequestFailed
    from xor_fast.errors import StateError as StateError
    from xor_fast.errors import TrustError as TrustError
    from xor_fast.errors import WireError as WireError
    from xor_fast.errors import XorFastError as XorFastError
    from xor_fast.messenger import Messenger as Messenger
    from xor_fast.net.peer import Peer as Peer
    from xor_fast.trust.certificates import Certificate as Certificate
    from xor_fast.trust.signatures import Identity as Identity
    from xor_fast.trust.signatures import Verifier as Verifier

__version__ = "0.1.0"

_HOMES = {
    "Certificate": "trust.certificates",
    "ConfigError": "errors",
    "ErrorCode": "errors",
    "Identity": "trust.signatures",
    "Messenger": "messenger",
    "Node": "core.node",
    "NotBuilt": "errors",
    "Overlay": "config",
    "OwnerError": "errors",
    "Peer": "net.peer",
    "RequestFailed": "errors",
    "StateError": "errors",
    "TrustError": "errors",
    "Verifier": "trust.signatures",
    "WireError": "errors",
    "XorFastError": "errors",
}


def get_include() -> str:
    """Directory of the C headers that the .pxd files of `xor_fast.cext` name: for `include_dirs` of an Extension whose
    Cython code cimports them."""
    return os.path.join(os.path.dirname(os.path.abspath(__file__)), "cext")


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'xor_fast' has no attribute {name!r}")
    value: object = getattr(import_module(f"xor_fast.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
