"""What is used of a key. Not all types of `cryptography` are complete, so a type checker had better not follow them.

The objects are those of `cryptography`: ECDSA on P-256 or RSA (RFC 6940 6.3.4).
"""

from typing import Protocol

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    KeySerializationEncryption,
    PrivateFormat,
    PublicFormat,
)


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
