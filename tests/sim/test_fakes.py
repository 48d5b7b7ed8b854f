"""Fakes are as long as what they stand for: else the figures of a simulation would flatter."""

from random import Random

from xor_fast.sim.fakes import CERTIFICATE_SIZE, SIGNATURE_SIZE
from xor_fast.sim.real import real_overlay
from xor_fast.sim.run import fake_identity, overlay_for


def test_fakes_are_as_long_as_real_certificates_and_signatures(rng: Random) -> None:
    overlay, make_real = real_overlay(overlay_for(8), rng.getrandbits(32))
    for index in range(8):
        real, _ = make_real(overlay, rng, index)
        assert abs(len(real.certificate.der) - CERTIFICATE_SIZE) <= 10
        assert abs(len(real.sign(b"data").signature_value) - SIGNATURE_SIZE) <= 2
        fake, _ = fake_identity(overlay, rng, index)
        assert len(fake.certificate.der) == CERTIFICATE_SIZE
        assert len(fake.sign(b"data").signature_value) == SIGNATURE_SIZE
