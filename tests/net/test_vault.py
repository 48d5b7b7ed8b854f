"""A store file comes back as it was, or not at all."""

import os
import random
from pathlib import Path

import pytest

from xor_fast.net import vault


def test_what_was_saved_comes_back(tmp_path: Path, seed: int) -> None:
    path = str(tmp_path / "store")
    assert vault.load(path) == (None, "")
    for data in (b"", random.Random(seed).randbytes(100_000)):
        vault.save(path, data)
        assert vault.load(path) == (data, "")
    assert os.listdir(tmp_path) == ["store"]
    assert os.stat(path).st_mode & 0o777 == 0o600


def test_any_damage_is_found_and_the_file_set_aside(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "store"
    vault.save(str(path), b"values of others")
    content = path.read_bytes()
    random_ = random.Random(seed)
    damages = [content[:cut] for cut in range(len(content))]
    for at in range(len(content)):
        flipped = bytearray(content)
        flipped[at] ^= 1 << random_.randrange(8)
        damages.append(bytes(flipped))
    damages.append(content + b"\0")
    for damage in damages:
        path.write_bytes(damage)
        data, complaint = vault.load(str(path))
        assert data is None
        assert "is damaged" in complaint
        assert "\n" not in complaint
        assert not path.exists()
        assert (tmp_path / "store.damaged").read_bytes() == damage


def test_a_crash_within_a_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "store")
    vault.save(path, b"old")

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    for step in ("fsync", "rename"):
        with monkeypatch.context() as patch:
            patch.setattr(os, step, crash)
            with pytest.raises(KeyboardInterrupt):
                vault.save(path, b"new")
        assert vault.load(path) == (b"old", "")
