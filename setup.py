"""Builds xor_fast.cext.* from cext/*.pyx, and what the driver does for every read and write of a link; everything else
stands in pyproject.toml.

XOR_FAST_BUILD chooses the kind of build: "" (optimised), "debug" (assertions, no optimisation),
"asan" (address and undefined-behaviour sanitizers), "fuzz" (these and libFuzzer's counters, with clang and only the
modules of cext/, for tests/fuzz/build), "coverage" (line tracing of the .pyx files).
`xor_fast/cext` is a link to `cext/`, so that a module's .pyx, .pxd and .pyi stand side by side and
Cython finds the .pxd by the module's full name.
"""

import os
import pathlib
import subprocess
import sys
import tempfile

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

MODULES: dict[str, list[str]] = {  # with the libraries they need
    "xor_fast.cext.ids": [],
    "xor_fast.cext.wire": [],
    "xor_fast.cext.ring": [],
    "xor_fast.cext.switch": [],
    "xor_fast.cext.codec": [],
    "xor_fast.net.openssl": ["ssl", "crypto"],
    # Python, compiled as it stands: half of what a link costs above plain C is the interpreter's (bench/README.md)
    "xor_fast.net.transport": [],
    "xor_fast.net.links": [],
    "xor_fast.net.turn": [],
}
# What gcc does with -O2, and what it has to be told:
FAST = [
    "-O2",
    # What is said to be inline in cext/*.pxd and *.pxi shall be so. Left alone, gcc finds many of these functions too
    # big, and forwarding takes 1.5 times as long. (-O3 inlines them too, but makes the codec slower at encoding.)
    *("--param", "max-inline-insns-single=1000", "--param", "inline-unit-growth=200"),
    # Three slots of a struct are set to NULL faster where they are than by a call of memset, and Python's functions are
    # called faster without the table of the linker: together 5 % of decoding.
    *("-fno-tree-loop-distribute-patterns", "-fno-plt"),
]
KINDS: dict[str, tuple[list[str], list[str]]] = {
    "": ([*FAST, "-Wall", "-Wno-unreachable-code"], []),
    "debug": (["-O0", "-g", "-UNDEBUG", "-Wall", "-Wno-unreachable-code"], []),
    "asan": (
        ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer"],
        ["-fsanitize=address,undefined"],
    ),
    "fuzz": (
        [
            *["-O1", "-g", "-w", "-fno-omit-frame-pointer"],
            *["-fsanitize=address,undefined,fuzzer-no-link", "-fno-sanitize-recover=undefined"],
        ],
        [],  # the program that loads them brings the sanitizers
    ),
    "coverage": (["-O0", "-g"], []),
}
OPENSSL_PROBE = """
#include <openssl/ssl.h>
#if OPENSSL_VERSION_NUMBER < 0x30000000L
#error "OpenSSL 3 is needed"
#endif
int probe(void) { return TLS_method() == NULL; }
"""

kind = os.environ.get("XOR_FAST_BUILD", "")
if kind not in KINDS:
    raise SystemExit(f"setup.py: XOR_FAST_BUILD={kind!r} is not one of {', '.join(map(repr, KINDS))}")
compile_args, link_args = KINDS[kind]
coverage = kind == "coverage"
if kind == "fuzz":
    MODULES = {name: libraries for name, libraries in MODULES.items() if name.startswith("xor_fast.cext.")}
jobs = int(os.environ.get("XOR_FAST_JOBS", "2"))


def source(name: str) -> str:
    path = name.replace(".", "/")
    return f"{path}.pyx" if os.path.exists(f"{path}.pyx") else f"{path}.py"


class BuildExt(build_ext):
    """Runs Cython when something is compiled and not before, and leaves out what this machine has no OpenSSL for:
    the compiled codec is of use without the network driver, so it must not need the driver's headers."""

    def build_extensions(self) -> None:
        left_out = [] if self._has_openssl() else [e for e in self.extensions if "ssl" in e.libraries]
        self.extensions = [e for e in self.extensions if e not in left_out]
        self._cythonize()
        super().build_extensions()
        if left_out:
            print(
                "xor_fast: built without TLS (xor_fast.net): the headers of OpenSSL 3 are missing (Debian: libssl-dev)",
                file=sys.stderr,
            )

    def _has_openssl(self) -> bool:
        with tempfile.TemporaryDirectory() as folder:
            program, compiled, linked = (f"{folder}/probe.{ending}" for ending in ("c", "o", "so"))
            pathlib.Path(program).write_text(OPENSSL_PROBE)
            paths = [f"-I{d}" for d in self.compiler.include_dirs] + [f"-L{d}" for d in self.compiler.library_dirs]
            commands = (
                [*self.compiler.compiler_so, *paths, "-c", program, "-o", compiled],
                [*self.compiler.linker_so, compiled, *paths, "-lssl", "-lcrypto", "-o", linked],
            )
            return all(subprocess.run(command, capture_output=True).returncode == 0 for command in commands)

    def _cythonize(self) -> None:
        from Cython.Build import cythonize

        made = cythonize(
            self.extensions,
            compiler_directives={
                "language_level": "3",
                "boundscheck": kind not in ("", "fuzz"),
                "wraparound": False,
                "cdivision": True,
                "initializedcheck": False,
                "binding": True,
                "embedsignature": False,
                "linetrace": coverage,
            },
            # Line coverage of a .pyx needs the generated C beside it; every other build keeps the tree clean. One
            # folder a kind: the directives above change the C, and Cython compares only dates.
            build_dir=None if coverage else f"build/c/{kind or 'release'}",
            nthreads=jobs,
        )
        # Cython gives copies, without the marks that setuptools has made on ours.
        for extension, with_c in zip(self.extensions, made, strict=True):
            extension.sources, extension.depends = with_c.sources, with_c.depends


setup(
    ext_modules=[
        Extension(
            name,
            [source(name)],
            include_dirs=["xor_fast/cext"],
            libraries=libraries,
            extra_compile_args=compile_args,
            extra_link_args=link_args,
            define_macros=[("CYTHON_TRACE", "1"), ("CYTHON_TRACE_NOGIL", "1")] if coverage else [],
        )
        for name, libraries in MODULES.items()
    ],
    cmdclass={"build_ext": BuildExt},
    options={"build_ext": {"parallel": jobs}},
)
