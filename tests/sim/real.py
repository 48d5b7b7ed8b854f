"""The simulation with real certificates and signatures."""

from random import Random

from tests.pki import Pki
from xor_fast.config import Overlay
from xor_fast.sim.run import KIND, Report, simulate
from xor_fast.trust.signatures import Identity, Verifier


def simulate_real(nodes: int, seed: int) -> Report:
    pki = Pki(seed, kinds=(KIND,))
    verifier = pki.verifier()

    def make(overlay: Overlay, random: Random, index: int) -> tuple[Identity, Verifier]:
        return pki.identity(index, f"user{index}@example.net"), verifier

    return simulate(nodes, seed, overlay=pki.overlay, make_identity=make)
