"""Real certificates and signatures for small worlds: all of it from the seed, ECDSA by RFC 6979."""

from random import Random

import msgspec

from xor_fast.config import Overlay
from xor_fast.sim.run import MakeIdentity
from xor_fast.sim.world import START_MS
from xor_fast.trust.authority import Authority, new_key
from xor_fast.trust.certificates import parse_certificate
from xor_fast.trust.signatures import Identity, Verifier

_YEAR_MS = 365 * 86_400_000


def real_overlay(overlay: Overlay, seed: int) -> tuple[Overlay, MakeIdentity]:
    """The overlay with a CA of its own, and how its members get their identities."""
    random = Random(f"{seed}/authority")
    dates = {"not_before_ms": START_MS - _YEAR_MS, "not_after_ms": START_MS + _YEAR_MS}
    key = new_key(random.getrandbits(256))
    authority = Authority.create(overlay.instance_name, key, serial=1, deterministic=True, **dates)
    trusted = msgspec.structs.replace(overlay, root_certs=(authority.certificate,))
    verifier = Verifier(trusted)

    def make(overlay: Overlay, random: Random, index: int) -> tuple[Identity, Verifier]:
        own = new_key(random.getrandbits(256))
        node_id = random.getrandbits(128).to_bytes(16, "big")
        user = f"user{index}@{overlay.instance_name}"
        der = authority.issue_user(user, [node_id], own.public_key(), serial=index + 2, **dates)
        return Identity(parse_certificate(der, overlay.instance_name), own, deterministic=True), verifier

    return trusted, make
