"""A node's stored values in a file, from a clean end to the next start: whole or not at all, never wrong."""

import os
from hashlib import sha256

from xor_fast.net.journal import explain

_MAGIC = b"xor_fast store 1\n"
_HEAD = len(_MAGIC) + 32


def save(path: str, data: bytes) -> None:
    """Replace the file: a crash at any moment leaves the old one or the new one."""
    new = path + ".new"
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(_MAGIC + sha256(data).digest() + data)
        file.flush()
        os.fsync(file.fileno())
    os.rename(new, path)
    folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def load(path: str) -> tuple[bytes | None, str]:
    """What `save` wrote and "", or None and one line on what was wrong. (None, "") when there is no file.

    A damaged file is renamed, so that its owner can look at it; its values are never served.
    """
    try:
        with open(path, "rb") as file:
            content = file.read()
    except FileNotFoundError:
        return None, ""
    except OSError as error:
        return None, f"{path} cannot be read ({explain(error)}): starting with an empty store"
    data = content[_HEAD:]
    if content[:_HEAD] == _MAGIC + sha256(data).digest():
        return data, ""
    aside = path + ".damaged"
    os.replace(path, aside)
    return None, f"{path} is damaged: moved to {aside}, starting with an empty store"
