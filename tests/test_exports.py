"""The public names of xor_fast: this list, all of them loadable, each loaded only when it is first used."""

import subprocess
import sys

import pytest

import xor_fast

PUBLIC = {
    "Certificate", "ConfigError", "ErrorCode", "Identity", "Messenger", "Node", "NotBuilt", "Overlay", "OwnerError",
    "Peer", "RequestFailed", "StateError", "TrustError", "Verifier", "WireError", "XorFastError",
}  # fmt: skip


def test_the_public_names_are_these() -> None:
    program = "import xor_fast; print(*(n for n in dir(xor_fast) if n[0].isupper() and n != 'TYPE_CHECKING'))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert set(done.stdout.split()) == PUBLIC, done.stderr


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_a_public_name_is_there(name: str) -> None:
    value = getattr(xor_fast, name)
    assert value.__name__ == name
    assert value.__module__.startswith("xor_fast.")


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Pear'"):
        xor_fast.Pear  # noqa: B018
