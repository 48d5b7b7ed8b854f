"""`make wheels`: a wheel for each Python below, made from the sdist and tested where nothing else is installed.

Every Python 3.11, 3.12 and 3.13 on PATH or in pyenv. A version that is not on this machine is named. Exit code 1 when
one does not build or a test of the codec fails.
"""

import glob
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.packaging.builds import ROOT, Builder, codec_tests, make_sdist, requirements, run, unpack

VERSIONS = ("3.11", "3.12", "3.13")
TEST_PACKAGES = ("hypothesis", "lxml", "pytest", "pytest-timeout")


def interpreters(version: str) -> list[Path]:
    """Every interpreter of this version, by its true path, each once."""
    name = f"python{version}"
    pyenv = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
    candidates = [os.path.join(folder, name) for folder in os.get_exec_path()]
    candidates += sorted(glob.glob(f"{pyenv}/versions/{version}.*/bin/{name}"))
    # A shim of pyenv answers for whatever is chosen at the moment, or with an error; sys.executable is the real one.
    program = "import os, sys; print(os.path.realpath(sys.executable), '%d.%d' % sys.version_info[:2])"
    found: dict[Path, None] = {}
    for candidate in filter(os.path.exists, candidates):
        done = subprocess.run([candidate, "-c", program], capture_output=True, text=True)
        if done.returncode == 0 and done.stdout.split()[1:] == [version]:
            found[Path(done.stdout.split()[0])] = None
    return list(found)


def try_one(python: Path, sdist: Path, folder: Path) -> tuple[Path, str]:
    """(wheel, what pytest said)."""
    folder.mkdir()
    run(python, "-m", "venv", folder / "builder", cwd=folder)
    builder = Builder(folder / "builder" / "bin" / "python")
    wheel, _ = builder.wheel(unpack(sdist, folder / "source"), folder / "wheels")
    clean = builder.clean(folder / "clean", wheel, *requirements(*TEST_PACKAGES))
    return wheel, codec_tests(clean, folder / "tests")


def main(dist: Path = ROOT / "dist") -> int:
    dist.mkdir(exist_ok=True)
    failed, missing = False, []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        sdist = make_sdist(folder)
        shutil.copy(sdist, dist)
        for version in VERSIONS:
            found = interpreters(version)
            missing += [] if found else [version]
            for number, python in enumerate(found):
                try:
                    wheel, said = try_one(python, sdist, folder / f"{version}-{number}")
                except RuntimeError as error:
                    failed = True
                    print(f"Python {version}  {python}  FAILED: {error}", flush=True)
                else:
                    shutil.copy(wheel, dist)
                    print(f"Python {version}  {python}  {wheel.name}: {said}", flush=True)
    for version in missing:
        print(f"Python {version}  MISSING: no python{version} on PATH and none in pyenv, so no wheel of it was tried")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
