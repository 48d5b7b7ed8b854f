"""Python modules that are compiled as they stand: what runs must be what stands there."""

import importlib
import os
from pathlib import Path

import pytest


@pytest.mark.parametrize("name", ["transport", "links", "turn"])
def test_the_compiled_module_is_not_older_than_its_source(name: str) -> None:
    built = importlib.import_module(f"xor_fast.net.{name}").__file__ or ""
    assert built.endswith(".so"), f"xor_fast.net.{name} is not compiled: make build"
    source = Path(built).parent / f"{name}.py"
    assert os.path.getmtime(built) >= os.path.getmtime(source), f"{source.name} has changed since: make build"
