"""Builds xor_fast.cext.* from cext/*.pyx, and what the driver does for every read and write of a link; everything else
stands in pyproject.toml.

XOR_FAST_BUILD chooses the kind of build: "" (optimised), "debug" (assertions, no optimisation),
"asan" (address and undefined-behaviour sanitizers), "coverage" (line tracing of the .pyx files).
`xor_fast/cext` is a link to `cext/`, so that a module's .pyx, .pxd and .pyi stand side by side and
Cython finds the .pxd by the module's full name.
"""

import os

from Cython.Build import cythonize
from setuptools import Extension, setup

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
KINDS: dict[str, tuple[list[str], list[str]]] = {
    "": (["-O2", "-Wall", "-Wno-unreachable-code"], []),
    "debug": (["-O0", "-g", "-UNDEBUG", "-Wall", "-Wno-unreachable-code"], []),
    "asan": (
        ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer"],
        ["-fsanitize=address,undefined"],
    ),
    "coverage": (["-O0", "-g"], []),
}

kind = os.environ.get("XOR_FAST_BUILD", "")
if kind not in KINDS:
    raise SystemExit(f"setup.py: XOR_FAST_BUILD={kind!r} is not one of {', '.join(map(repr, KINDS))}")
compile_args, link_args = KINDS[kind]
coverage = kind == "coverage"
jobs = int(os.environ.get("XOR_FAST_JOBS", "2"))


def source(name: str) -> str:
    path = name.replace(".", "/")
    return f"{path}.pyx" if os.path.exists(f"{path}.pyx") else f"{path}.py"


setup(
    ext_modules=cythonize(
        [
            Extension(
                name,
                [source(name)],
                include_dirs=["cext"],
                libraries=libraries,
                extra_compile_args=compile_args,
                extra_link_args=link_args,
                define_macros=[("CYTHON_TRACE", "1"), ("CYTHON_TRACE_NOGIL", "1")] if coverage else [],
            )
            for name, libraries in MODULES.items()
        ],
        compiler_directives={
            "language_level": "3",
            "boundscheck": kind != "",
            "wraparound": False,
            "cdivision": True,
            "initializedcheck": False,
            "binding": True,
            "embedsignature": False,
            "linetrace": coverage,
        },
        # Line coverage of a .pyx needs the generated C beside it; every other build keeps the tree clean. One folder a
        # kind: the directives above change the C, and Cython compares only dates.
        build_dir=None if coverage else f"build/c/{kind or 'release'}",
        nthreads=jobs,
    ),
    options={"build_ext": {"parallel": jobs}},
)
