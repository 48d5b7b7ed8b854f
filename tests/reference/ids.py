"""Ids as Python integers (RFC 6940 10.1, 10.2)."""

import hashlib


def resource_id(name: bytes) -> bytes:
    return hashlib.sha1(name).digest()[:16]


def overlay_hash(name: bytes) -> int:
    return int.from_bytes(hashlib.sha1(name).digest()[-4:], "big")


def number(id_: bytes) -> int:
    return int.from_bytes(id_, "big")


def ring_size(id_: bytes) -> int:
    return 1 << (8 * len(id_))


def clockwise(a: bytes, b: bytes) -> int:
    """Steps from a to b."""
    return (number(b) - number(a)) % ring_size(a)


def distance(a: bytes, b: bytes) -> bytes:
    return clockwise(a, b).to_bytes(len(a), "big")


def between(a: bytes, x: bytes, b: bytes) -> bool:
    """In (a, b]; the whole ring when a == b."""
    return a == b or 0 < clockwise(a, x) <= clockwise(a, b)


def add_power(a: bytes, exponent: int) -> bytes:
    return ((number(a) + 2**exponent) % ring_size(a)).to_bytes(len(a), "big")
