"""Cython's plugin for coverage.py, which sees a .pxd only through the C file of its own name.

Ours are compiled into modules of other names: the lines of a .pxd are those that any C file has of it.
"""

import os
from pathlib import Path
from typing import Any

from coverage.files import canonical_filename
from Cython.Coverage import Plugin

FOLDERS = ("cext", "xor_fast/net")  # where the C files of a coverage build lie


class AllModules(Plugin):  # type: ignore[misc]
    def file_reporter(self, filename: str) -> Any:
        path = canonical_filename(os.path.abspath(filename))
        lines: dict[int, str] = {}
        for c_file in sorted(file for folder in FOLDERS for file in Path(folder).resolve().glob("*.c")):
            self._read_source_lines(str(c_file), path)
            found = self._c_files_map.get(path)
            if found and found[0] == str(c_file):
                lines |= found[2]
                self._c_files_map[path] = (*found[:2], lines)
        return super().file_reporter(filename)


def coverage_init(registry: Any, options: dict[str, str]) -> None:
    plugin = AllModules()
    registry.add_configurer(plugin)
    registry.add_file_tracer(plugin)
