"""A small overlay of processes that lasts for the tests of this folder that need only one."""

from collections.abc import Iterator

import pytest

from tests.processes.overlay import ProcessOverlay


@pytest.fixture(scope="package")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessOverlay]:
    with ProcessOverlay(tmp_path_factory.mktemp("small"), 3) as overlay:
        overlay.settle()
        yield overlay
