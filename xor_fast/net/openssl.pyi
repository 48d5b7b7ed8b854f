"""TLS on a socket, by OpenSSL itself (openssl.pyx)."""

from collections.abc import Iterable

class TlsError(ConnectionError):
    """A handshake or a connection that failed; the text is one line for the log."""

class Context:
    """What all connections of one node share: its certificates (DER, own first), its key (PEM), and its roots (DER).

    key_log: descriptor of a file for the keys of each connection, -1 for none; it must outlive all connections."""

    def __init__(
        self, certificates: Iterable[bytes], key: bytes, roots: Iterable[bytes], key_log: int = -1
    ) -> None: ...

class Session:
    """One connection, on a socket that does not block. The socket belongs to the caller and must outlive it."""

    wants_write: bool
    """The last handshake call stopped because the socket takes no more; else it waits for bytes to come."""
    reads_on: bool
    """The last read did not stop for lack of bytes: read again, the socket may say nothing."""

    def __init__(self, context: Context, descriptor: int, server: bool) -> None: ...
    def handshake(self) -> bool:
        """True once it is done. TlsError when it fails."""
    @property
    def is_greeted(self) -> bool:
        """The hello of the other side has come as a whole: the cipher is chosen."""
    def read(self, buffer: memoryview | bytearray) -> int:
        """Fill the buffer: the number of bytes, 0 at the end of the connection, -1 for nothing yet."""
    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Write what the socket takes now: the number of bytes. The rest is to be given again, with more behind it."""
    def shutdown(self) -> None:
        """Say that we send nothing more (close_notify), if the connection still can."""
    def certificates(self) -> list[bytes]:
        """What the other side sent, DER, its own certificate first."""
