"""tools/requirements.py GROUP...: the PyPI requirements of pyproject.toml, one a line.

`build` is what builds the package, `run` its dependencies, any other name one of its extras. The Makefile installs
from this, so that a new extra costs no second compilation of the package itself.
"""

import pathlib
import sys
import tomllib


def main(groups: list[str]) -> None:
    settings = tomllib.loads((pathlib.Path(__file__).parent.parent / "pyproject.toml").read_text())
    project = settings["project"]
    known = {"build": settings["build-system"]["requires"], "run": project["dependencies"]}
    known |= project["optional-dependencies"]
    for group in groups:
        print(*known[group], sep="\n")


main(sys.argv[1:])
