"""TLS of overlay links and application connections (RFC 6940 6.5.1.13, 13.2): both sides show a certificate.

There is no host name, no SNI and no ALPN: who the other side is, the Node reads from its certificate. OpenSSL checks
here that the chain leads to a root of the overlay and that the other side has the key; `trust.Verifier.link` does
the rest.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import NamedTuple

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from xor_fast import limits
from xor_fast.actions import Address
from xor_fast.config import Overlay
from xor_fast.net.openssl import Context, Session
from xor_fast.net.transport import Connection, TlsTransport
from xor_fast.trust.signatures import Identity


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


class Tls:
    """Connections of one node: what `accept` and `connect` return has finished its handshake.

    This is the seam of the driver: `pcap.TappedTls` has the same two methods, and so may later transports.
    """

    def __init__(self, credentials: Credentials, key_log: int = -1) -> None:
        """key_log: descriptor of a file for the keys of each connection, which then are no secret; -1 for none."""
        self._context = Context(*credentials, key_log)

    async def accept(
        self, sock: socket.socket, connection: Connection, greeted: Callable[[], None] = lambda: None
    ) -> None:
        """Serve one accepted socket until its handshake is done; then the connection is on its own.

        greeted is called when the hello of the other side has come as a whole.

        OSError or TimeoutError when the other side fails; the socket is closed then, and when cancelled.
        """
        await self._shake_hands(sock, connection, greeted, server=True)

    async def connect(self, address: Address, connection: Connection) -> None:
        """Connect to an IP address and port and finish the handshake as TLS client; OSError or TimeoutError if not."""
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            async with asyncio.timeout(limits.DIAL_TIMEOUT):
                await asyncio.get_running_loop().sock_connect(sock, address)
                await self._shake_hands(sock, connection, server=False)
        except BaseException:
            sock.close()
            raise

    async def _shake_hands(
        self, sock: socket.socket, connection: Connection, greeted: Callable[[], None] = lambda: None, *, server: bool
    ) -> None:
        _tune(sock)
        transport = TlsTransport(sock, Session(self._context, sock.fileno(), server), connection, greeted)
        try:
            async with asyncio.timeout(limits.HANDSHAKE_TIMEOUT):
                await transport.ready
        except BaseException:
            transport.abort()
            raise


def _tune(sock: socket.socket) -> None:
    """Messages leave at once; and a connection nobody writes to is looked after, for a host that has vanished sends
    no word of it (core/liveness.py)."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, limits.TCP_KEEPALIVE_IDLE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, limits.TCP_KEEPALIVE_INTERVAL)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, limits.TCP_KEEPALIVE_PROBES)
