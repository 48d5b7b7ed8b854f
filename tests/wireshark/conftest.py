"""Certificates that a dissector takes apart; random ones would be malformed."""

import subprocess

import pytest


@pytest.fixture(scope="session")
def certificates() -> list[bytes]:
    found = []
    for key in (["rsa:1024"], ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]):
        command = ["openssl", "req", "-x509", "-newkey", *key, "-noenc", "-keyout", "/dev/null", "-subj", "/CN=a"]
        done = subprocess.run([*command, "-outform", "DER"], capture_output=True, check=True)
        found.append(done.stdout)
    return found
