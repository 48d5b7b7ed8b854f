"""What RELOAD hashes besides names: keys of self-signed certificates, and values whose metadata are asked for."""

import hashlib

from xor_fast.errors import TrustError
from xor_fast.messages import HashAlgorithm

_NAMES = {
    # Neither `none` nor MD5, with which two values of one digest are made in seconds.
    HashAlgorithm.SHA1: "sha1",
    HashAlgorithm.SHA224: "sha224",
    HashAlgorithm.SHA256: "sha256",
    HashAlgorithm.SHA384: "sha384",
    HashAlgorithm.SHA512: "sha512",
}


def digest(algorithm: int, data: bytes) -> bytes:
    """By a HashAlgorithm (6.3.4). Raises TrustError for one that is unknown or worth nothing."""
    try:
        name = _NAMES[HashAlgorithm(algorithm)]
    except (ValueError, KeyError):
        raise TrustError(f"hash algorithm {algorithm}: is not accepted") from None
    return hashlib.new(name, data).digest()


def value_digest(algorithm: int, value: bytes) -> bytes:
    """The hash_value of MetaData: over the value as it stands in a DataValue, 4 length bytes first (7.4.3.2).

    Raises TrustError as `digest` does."""
    return digest(algorithm, len(value).to_bytes(4) + value)


def self_signed_node_id(algorithm: int, public_key: bytes, length: int, index: int | None = None) -> bytes:
    """The Node-ID a self-signed certificate has to have (11.3.1).

    public_key  its subjectPublicKeyInfo in DER
    length      the overlay's node-id-length
    index       which Node-ID, from 1, where the certificate has several

    Raises TrustError as `digest` does."""
    prefix = b"" if index is None else index.to_bytes(4)
    return digest(algorithm, prefix + public_key)[:length]
