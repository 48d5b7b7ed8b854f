from pathlib import Path

import pytest

from tests.trust.openssl import Files


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """A folder of certificates made by openssl, with a CA in it; each test adds what it needs."""
    return Files(Path(tmp_path_factory.mktemp("openssl")))
