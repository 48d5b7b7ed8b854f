"""TLS of overlay links and application connections (RFC 6940 6.5.1.13, 13.2): both sides show a certificate.

There is no host name, no SNI and no ALPN: who the other side is, the Node reads from its certificate. OpenSSL checks
here that the chain leads to a root of the overlay and that the other side has the key; `trust.Verifier.link` does
the rest.
"""

import asyncio
import os
import socket
import ssl
from base64 import encodebytes
from collections.abc import Callable
from typing import Any, NamedTuple, Self, cast

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from xor_fast import limits
from xor_fast.actions import Address
from xor_fast.config import Overlay
from xor_fast.errors import ConfigError
from xor_fast.net.journal import explain
from xor_fast.trust.signatures import Identity


class Connection(asyncio.BufferedProtocol):
    """Who uses a connection. is_up: its handshake is done, `connection_made` was called."""

    __slots__ = ("is_up",)

    def __init__(self) -> None:
        self.is_up = False


ProtocolFactory = Callable[[], Connection]


class Credentials(NamedTuple):
    """certificates: DER, the own one first, then intermediates; key: PEM, not encrypted; roots: DER, of the overlay."""

    certificates: tuple[bytes, ...]
    key: bytes
    roots: tuple[bytes, ...]

    @classmethod
    def of(cls, identity: Identity, overlay: Overlay) -> "Credentials":
        """Of a node in an overlay."""
        certificates = tuple(generic.certificate for generic in identity.certificates)
        key = identity.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return cls(certificates, key, overlay.root_certs)


class _DirectSSLObject(ssl.SSLObject):
    """Spares a Python frame for each read, write and question: uvloop takes these methods from the object once."""

    @classmethod
    def _create(cls, *args: Any, **named: Any) -> Self:
        self = super()._create(*args, **named)  # type: ignore[misc]
        inner = self._sslobj
        self.read, self.write, self.pending = inner.read, inner.write, inner.pending
        return cast(Self, self)


class Tls:
    """Connections of one node: what `accept` and `connect` return has finished its handshake.

    This is the seam of the driver: `pcap.TappedTls` has the same two methods, and so may later transports.
    """

    def __init__(self, credentials: Credentials) -> None:
        self.server = _context(ssl.PROTOCOL_TLS_SERVER, credentials)
        # 300 us a handshake for session tickets nobody uses: a resumed session would not show its certificate again
        self.server.num_tickets = 0
        self.server.options |= ssl.OP_NO_TICKET
        self.client = _context(ssl.PROTOCOL_TLS_CLIENT, credentials)

    async def accept(self, sock: socket.socket, factory: ProtocolFactory) -> None:
        """Serve one accepted socket until its handshake is done; then the protocol is on its own.

        OSError (ssl.SSLError is one) when the other side fails; cancelling closes the socket.
        """
        await asyncio.get_running_loop().connect_accepted_socket(
            factory,
            sock,
            ssl=self.server,
            ssl_handshake_timeout=limits.HANDSHAKE_TIMEOUT,
            ssl_shutdown_timeout=limits.HANDSHAKE_TIMEOUT,
        )

    async def connect(self, address: Address, factory: ProtocolFactory) -> None:
        """Connect to an IP address and port and finish the handshake as TLS client; OSError or TimeoutError if not."""
        host, port = address
        async with asyncio.timeout(limits.DIAL_TIMEOUT):
            await asyncio.get_running_loop().create_connection(
                factory,
                host,
                port,
                ssl=self.client,
                server_hostname="",  # no SNI: a node has no name
                ssl_handshake_timeout=limits.HANDSHAKE_TIMEOUT,
                ssl_shutdown_timeout=limits.HANDSHAKE_TIMEOUT,
            )


def peer_certificates(transport: asyncio.BaseTransport) -> list[bytes]:
    """What the other side sent in the handshake, DER, its own certificate first."""
    ssl_object = transport.get_extra_info("ssl_object")
    if hasattr(ssl_object, "get_unverified_chain"):  # Python 3.13
        return cast(list[bytes], ssl_object.get_unverified_chain())
    return [certificate.public_bytes(_ENCODING_DER) for certificate in ssl_object._sslobj.get_unverified_chain()]


_ENCODING_DER: Any = 2  # _ssl.ENCODING_DER


def _context(side: int, credentials: Credentials) -> ssl.SSLContext:
    context = ssl.SSLContext(side)
    context.sslobject_class = _DirectSSLObject
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION  # the identity of a link is fixed by its one handshake
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        context.load_verify_locations(cadata=b"".join(credentials.roots))
    except (ssl.SSLError, ValueError) as error:
        raise ConfigError(f"root-cert of the configuration document cannot be read: {error}") from None
    pem = credentials.key + b"\n" + b"".join(map(_pem, credentials.certificates))
    # ssl reads keys from files only: one in memory, which vanishes with its descriptor
    descriptor = os.memfd_create("key")
    try:
        os.write(descriptor, pem)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}", password=_no_password)
    except ssl.SSLError as error:
        raise ConfigError(
            f"certificate and private key of the node do not fit together ({explain(error)}): enrol again"
        ) from None
    finally:
        os.close(descriptor)
    return context


def _no_password() -> bytes:
    raise ConfigError("the private key of the node is encrypted: store it without password, readable by its owner only")


def _pem(der: bytes) -> bytes:
    return b"-----BEGIN CERTIFICATE-----\n" + encodebytes(der) + b"-----END CERTIFICATE-----\n"
