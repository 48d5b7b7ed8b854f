"""What is used of a key. Not all types of `cryptography` are complete, so a type checker had better not follow them.

The objects are those of `cryptography`: ECDSA on P-256 or RSA (RFC 6940 6.3.4).
"""

from typing import Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    KeySerializationEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from xor_fast.errors import ConfigError


class PublicKey(Protocol):
    """The key of a certificate."""

    @property
    def key_size(self) -> int:
        """In bits."""

    def public_bytes(self, encoding: Encoding, format: PublicFormat) -> bytes:
        """As PEM or DER."""


class PrivateKey(Protocol):
    """The key of an identity or of a CA."""

    @property
    def key_size(self) -> int:
        """In bits."""

    def public_key(self) -> PublicKey:
        """Its other half."""

    def private_bytes(
        self, encoding: Encoding, format: PrivateFormat, encryption_algorithm: KeySerializationEncryption
    ) -> bytes:
        """As PEM or DER."""


def any_key_from_pem(data: bytes) -> object:
    """A private key of whatever kind. Raises ConfigError when `data` is none in PEM without password."""
    try:
        return load_pem_private_key(data, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as e:
        # A text of the library's may go on with what OpenSSL has to say.
        raise ConfigError(f"private key: not readable as PEM: {str(e)[:160]!r}") from None
