"""cext/sha1.h in a library of its own, so that each of its two ways can be asked: the portable one, and the
processor's own instructions."""

import ctypes
import hashlib
import random
import shlex
import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

import xor_fast

SEED = 3174
CEXT = xor_fast.get_include()
SOURCE = """
#include "sha1.h"
void portable(const uint8_t *data, size_t size, uint8_t *digest) { sha1_by(sha1_block_portable, data, size, digest); }
void chosen(const uint8_t *data, size_t size, uint8_t *digest) { sha1(data, size, digest); }
#ifdef SHA1_HAS_INSTRUCTIONS
int has_instructions(void) { return sha1_has_instructions(); }
void instructions(const uint8_t *data, size_t size, uint8_t *digest) {
    sha1_by(sha1_block_instructions, data, size, digest);
}
#else
int has_instructions(void) { return 0; }
#endif
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    folder = tmp_path_factory.mktemp("sha1")
    (folder / "ways.c").write_text(SOURCE)
    compiler = shlex.split(sysconfig.get_config_var("CC") or "cc")
    flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", f"-I{CEXT}"]
    subprocess.run([*compiler, *flags, "-o", folder / "ways.so", folder / "ways.c"], check=True)
    return ctypes.CDLL(str(folder / "ways.so"))


@pytest.fixture(params=["portable", "instructions", "chosen"])
def sha1(request: pytest.FixtureRequest, library: ctypes.CDLL) -> Callable[[bytes], bytes]:
    if request.param == "instructions" and not library.has_instructions():
        pytest.skip("this processor has no SHA instructions")
    function = library[request.param]
    function.argtypes, function.restype = (ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p), None

    def digest_of(data: bytes) -> bytes:
        digest = ctypes.create_string_buffer(20)
        function(data, len(data), digest)
        return digest.raw

    return digest_of


def test_each_way_is_sha1_for_every_length(sha1: Callable[[bytes], bytes]) -> None:
    rng = random.Random(SEED)
    for size in range(301):
        data = rng.randbytes(size)
        assert sha1(data) == hashlib.sha1(data).digest(), f"seed {SEED}, {size} bytes"


def test_each_way_is_sha1_for_random_inputs(sha1: Callable[[bytes], bytes]) -> None:
    rng = random.Random(SEED)
    for _ in range(300):
        data = rng.choice([bytes, lambda n: b"\xff" * n, rng.randbytes])(rng.randrange(5000))
        assert sha1(data) == hashlib.sha1(data).digest(), f"seed {SEED}, {data.hex()}"


# FIPS 180-4's own examples (NIST, "SHA_All.pdf"), and a million times "a".
@pytest.mark.parametrize(
    ("data", "digest"),
    [
        (b"abc", "a9993e364706816aba3e25717850c26c9cd0d89d"),
        (b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "84983e441c3bd26ebaae4aa1f95129e5e54670f1"),
        (b"a" * 1_000_000, "34aa973cd4c4daa4f61eeb2bdbad27316534016f"),
    ],
)
def test_examples_of_the_standard(sha1: Callable[[bytes], bytes], data: bytes, digest: str) -> None:
    assert sha1(data).hex() == digest


def test_the_library_takes_the_instructions_where_the_kernel_lists_them(library: ctypes.CDLL) -> None:
    flags = {line.split(":")[0].strip(): line for line in Path("/proc/cpuinfo").read_text().splitlines()}.get("flags")
    if flags is None:
        pytest.skip("this kernel does not list an x86 processor's features")
    assert bool(library.has_instructions()) == ("sha_ni" in flags.split())
