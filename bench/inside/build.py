"""Compiles loops.pyx with forward.c, as fast as the compiler can make them; needs OpenSSL's headers.

    python bench/inside/build.py

It is no part of the package: it stands beside its source, and is made anew when that or cext/ has changed.
"""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def build() -> None:
    """In a process of its own: setuptools is not loaded into what is measured."""
    done = subprocess.run(
        [sys.executable, __file__], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        raise SystemExit(f"{done.stdout}bench/inside does not compile (OpenSSL's headers: apt-get install libssl-dev)")


def main() -> None:
    from Cython.Build import cythonize
    from setuptools import Extension, setup

    os.chdir(ROOT)
    headers = [str(path.relative_to(ROOT)) for path in (*ROOT.glob("cext/*.h"), *HERE.glob("*.h"))]
    extension = Extension(
        "bench.inside.loops",
        ["bench/inside/loops.pyx", "bench/inside/forward.c"],
        include_dirs=["cext", "bench/inside"],
        libraries=["crypto"],
        extra_compile_args=["-O3", "-Wall", "-Wno-unreachable-code", "-Wno-deprecated-declarations"],
        depends=headers,
    )
    setup(
        name="bench",
        packages=[],
        ext_modules=cythonize(
            [extension],
            include_path=[str(ROOT)],
            compiler_directives={"language_level": "3", "boundscheck": False, "wraparound": False, "cdivision": True},
            build_dir="build/c/bench",
            quiet=True,
        ),
        script_args=["--quiet", "build_ext", "--inplace", "--build-temp", "build/temp/bench"],
    )


if __name__ == "__main__":
    main()
