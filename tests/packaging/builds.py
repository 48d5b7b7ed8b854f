"""Builds and installs the package as a stranger does: from its sdist, with what pyproject.toml names, away from the
checkout, so that nothing of the checkout is imported by mistake."""

import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
CODEC_TESTS = ("tests/cext", "tests/vectors")
MADE = shutil.ignore_patterns("*.egg-info", "*.so", "*.c.o", "__pycache__", ".*_cache", ".hypothesis")
MADE_AT_THE_TOP = {".git", ".venv", "build", "data", "dist"}
HIDDEN_OPENSSL = '#error "openssl/ssl.h: No such file or directory"\n'


def environment(**more: str) -> dict[str, str]:
    """Ours without what makes a build or an import another than a stranger's."""
    ours = {k: v for k, v in os.environ.items() if not k.startswith(("XOR_FAST_", "PYTEST_", "PYTHON", "LD_", "COV"))}
    return ours | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"} | more


def run(*command: str | Path, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """stdout holds both streams. The output is the error's text when the command fails."""
    done = answer(*command, cwd=cwd, **more)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout}")
    return done


def answer(*command: str | Path, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=cwd, env=environment(**more), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def make_sdist(folder: Path) -> Path:
    """The source distribution, made from a copy: a list of files left by an earlier build would decide otherwise."""
    copy = folder / "checkout"

    def made(folder: str, names: list[str]) -> set[str]:
        return MADE(folder, names) | (MADE_AT_THE_TOP if Path(folder) == ROOT else set())

    shutil.copytree(ROOT, copy, symlinks=True, ignore=made)
    program = f"from setuptools.build_meta import build_sdist; build_sdist({str(folder)!r})"
    run(sys.executable, "-c", program, cwd=copy)
    return next(folder.glob("*.tar.gz"))


def unpack(sdist: Path, folder: Path) -> Path:
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    return next(folder.iterdir())


def hide_openssl(folder: Path) -> dict[str, str]:
    """Variables with which a compiler finds no headers of OpenSSL that it could use."""
    header = folder / "openssl" / "ssl.h"
    header.parent.mkdir(parents=True)
    header.write_text(HIDDEN_OPENSSL)
    return {"CPATH": str(folder)}


@dataclass
class Builder:
    """python: an interpreter that has pip; everything is built for its version."""

    python: Path

    def wheel(self, source: Path, folder: Path, *options: str, **more: str) -> tuple[Path, str]:
        """(the wheel, what the build said). pip itself fetches what build-system.requires names, and nothing else."""
        pip = ("-m", "pip", "wheel", "-v", "--no-deps", "--no-cache-dir", *options, "-w", folder, source)
        log = run(self.python, *pip, cwd=folder.parent, **more).stdout
        return next(folder.glob("*.whl")), log

    def clean(self, folder: Path, *requirements: str | Path) -> Path:
        """The interpreter of a new virtual environment with nothing but `requirements` and what they require."""
        run(self.python, "-m", "venv", "--without-pip", folder, cwd=folder.parent)
        python = folder / "bin" / "python"
        self.install(python, *requirements)
        return python

    def copy(self, python: Path, folder: Path, *arguments: str | Path) -> Path:
        """A copy of a `clean` environment, and `arguments` of pip that change it."""
        shutil.copytree(python.parents[1], folder, symlinks=True)
        self.install(folder / "bin" / "python", *arguments)
        return folder / "bin" / "python"

    def install(self, python: Path, *requirements: str | Path) -> None:
        pip = ("-m", "pip", "--python", python, "install", "--quiet", "--no-compile")
        run(self.python, *pip, *requirements, cwd=python.parent)


def requirements(*names: str) -> list[str]:
    """Those of the extra `test`, with their versions."""
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["test"]
    return [line for line in extra if line.split(">")[0] in names]


def copy_tests(folder: Path) -> None:
    """The tests without the package: what they import is what is installed."""
    shutil.copytree(ROOT / "tests", folder / "tests", ignore=MADE, dirs_exist_ok=True)
    shutil.copy(ROOT / "pyproject.toml", folder)


def codec_tests(python: Path, folder: Path, *arguments: str) -> str:
    """Run tests of the codec against what is installed for `python`; the last line of pytest.

    RuntimeError with pytest's output when one fails, or when another xor_fast than the installed one was imported.
    """
    copy_tests(folder)
    imported = run(python, "-c", "import xor_fast; print(xor_fast.__file__)", cwd=folder).stdout.strip()
    if not Path(imported).is_relative_to(python.parents[1]):
        raise RuntimeError(f"the tests would import {imported}")
    done = run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(arguments or CODEC_TESTS), cwd=folder)
    return done.stdout.splitlines()[-1]
