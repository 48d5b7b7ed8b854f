"""No block of memory grows with a length field before that many bytes are there."""

import json
import os
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.cext.hungry import LARGEST_BLOCK

ROOT = Path(__file__).parents[2]
BESIDES = 4096  # for what does not depend on the input: an exception, its text, its traceback


def test_no_block_is_larger_than_what_is_there(tmp_path: Path) -> None:
    if "LD_PRELOAD" in os.environ:
        pytest.skip("a sanitizer stands in front of malloc already")
    source, library = tmp_path / "largest.c", tmp_path / "largest.so"
    source.write_text(LARGEST_BLOCK)
    compiler = shlex.split(sysconfig.get_config_var("CC") or "cc")
    subprocess.run([*compiler, "-O1", "-fno-builtin", "-fPIC", "-shared", "-o", library, source], check=True)
    environment = os.environ | {"LD_PRELOAD": str(library), "PYTHONMALLOC": "malloc", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.cext.hungry"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    *found, bad = json.loads(done.stdout)
    assert bad[2] > 65535, "the meter does not see a block that grows with a length"
    assert len({what.split(":")[0] for what, _, _ in found}) == 3
    assert len(found) > 5000
    for what, size, largest in found:
        assert largest <= BESIDES + 8 * size, f"{what}: a block of {largest} bytes for an input of {size}"
