"""The simulation with real certificates and signatures, as one call."""

from xor_fast.sim.real import real_overlay
from xor_fast.sim.run import Report, overlay_for, simulate


def simulate_real(nodes: int, seed: int) -> Report:
    overlay, make_identity = real_overlay(overlay_for(nodes), seed)
    return simulate(nodes, seed, overlay=overlay, make_identity=make_identity)
