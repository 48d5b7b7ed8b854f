"""A data directory: everything one node keeps, and nothing of any other.

overlay.xml       the Configuration Document of its overlay (public; this is what others need)
node.crt node.key its certificate chain and private key (PEM; the key 0600)
ca/ca.crt ca.key  only where the overlay was made: the CA that enrols others
store.db          what it stores for others (SQLite); store.db-wal belongs to it
control           socket of `xor-fast status`
lock              held by the process that runs the node
"""

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import time_ns
from typing import TYPE_CHECKING

from xor_fast import config, limits
from xor_fast.config import Overlay
from xor_fast.errors import ConfigError, TrustError
from xor_fast.trust import authority
from xor_fast.trust.authority import Authority
from xor_fast.trust.signatures import Identity

if TYPE_CHECKING:
    from xor_fast.net.tls import Credentials

_HOUR_MS = 3_600_000
CLOCK_SKEW_MS = _HOUR_MS  # a certificate is valid from so long ago, for nodes whose clock is behind
CA_LIFE_MS = 20 * 365 * 24 * _HOUR_MS
CERTIFICATE_LIFE_MS = 5 * 365 * 24 * _HOUR_MS
_SOCKET_PATH_MAX = 100  # bytes; the kernel's bound is 107


class DataDirectory:
    """Reads and makes one. What is missing or unreadable raises ConfigError that names the file and the way out."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.document: Path = path / "overlay.xml"
        self.certificate: Path = path / "node.crt"
        self.key: Path = path / "node.key"
        self.ca: Path = path / "ca"
        self.store: Path = path / "store.db"
        self._control = path / "control"
        self._lock = path / "lock"

    def __str__(self) -> str:
        return str(self.path)

    # --- what is in it -------------------------------------------------------------------------------

    @property
    def has_overlay(self) -> bool:
        return self.document.is_file()

    @property
    def has_identity(self) -> bool:
        """Or what is left of one, which then is said to be damaged."""
        return self.certificate.exists() or self.key.exists()

    @property
    def has_ca(self) -> bool:
        return self.ca.is_dir()

    def overlay(self) -> Overlay:
        return read_overlay(self.document)

    def credentials(self, overlay: Overlay) -> "tuple[Identity, Credentials]":
        """The identity, and the same for TLS."""
        from xor_fast.net.tls import Credentials  # enrolling and reading need no TLS, which may not have been built

        hint = "enrol an identity: xor-fast enroll"
        key, certificate = _read(self.key, hint), _read(self.certificate, hint)
        try:
            identity = Identity.from_pem(certificate, key, overlay)
        except TrustError as error:
            raise ConfigError(f"{self.certificate}: {error}; enrol again: xor-fast enroll") from None
        except ConfigError as error:
            raise ConfigError(f"{self}: {error}") from None
        certificates = tuple(certificate.certificate for certificate in identity.certificates)
        return identity, Credentials(certificates, key, overlay.root_certs)

    def authority(self, overlay: Overlay) -> Authority:
        hint = "the overlay's CA is in the directory that `xor-fast quickstart` made"
        pem, key = _read(self.ca / "ca.crt", hint), _read(self.ca / "ca.key", hint)
        try:
            certificate = authority.certificate_from_pem(pem)
            if certificate not in overlay.root_certs:
                raise ConfigError(f"ca.crt is no root-cert of {self.document}, so nobody would trust what it issues")
            return Authority(overlay.instance_name, certificate, authority.key_from_pem(key))
        except ConfigError as error:
            raise ConfigError(f"{self.ca}: {error}") from None

    @property
    def control(self) -> str:
        """Path of the control socket, short enough for the kernel wherever the directory is."""
        path = os.fsencode(self._control)
        if len(path) <= _SOCKET_PATH_MAX:
            return str(self._control)
        return f"/proc/self/fd/{os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)}/{self._control.name}"

    # --- one process at a time -----------------------------------------------------------------------

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Held while a node runs with this identity; ConfigError when another process holds it."""
        try:
            descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise ConfigError(f"{self._lock} cannot be written: {error.strerror}") from None
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ConfigError(
                    f"{self} is in use by a running node: stop it first, or take another directory with --data"
                ) from None
            except OSError as error:  # of a file system without locks
                raise ConfigError(f"{self._lock} cannot be locked: {error.strerror}") from None
            yield
        finally:
            os.close(descriptor)

    @property
    def is_locked(self) -> bool:
        with suppress(ConfigError), self.locked():
            return False
        return True

    # --- making it -----------------------------------------------------------------------------------

    @contextmanager
    def made(self) -> Iterator["DataDirectory"]:
        """A new directory to fill; it appears under its own name complete or not at all."""
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise ConfigError(f"{self} exists and is not an empty directory: choose another place")
        new = DataDirectory(self.path.with_name(f"{self.path.name}.new-{secrets.token_hex(4)}"))
        try:
            new.path.mkdir(mode=0o700, parents=True)
            yield new
            for directory in (new.path, *(path for path in new.path.iterdir() if path.is_dir())):
                _sync(directory)
            os.rename(new.path, self.path)
            _sync(self.path.parent)
        except OSError as error:
            raise ConfigError(f"cannot write {self}: {error.strerror}") from None
        finally:
            shutil.rmtree(new.path, ignore_errors=True)

    def write_identity(self, overlay: bytes, certificates: bytes, key: bytes) -> None:
        """overlay: the document as it is; certificates: PEM, the own one first; key: PEM."""
        _write(self.document, overlay, 0o644)
        _write(self.certificate, certificates, 0o644)
        _write(self.key, key, 0o600)

    def write_authority(self, certificate: bytes, key: bytes) -> None:
        self.ca.mkdir(mode=0o700)
        _write(self.ca / "ca.crt", authority.certificate_to_pem(certificate), 0o644)
        _write(self.ca / "ca.key", key, 0o600)


def read_overlay(document: Path) -> Overlay:
    """The Configuration Document in a file, or in overlay.xml of a directory."""
    if document.is_dir():
        document = document / "overlay.xml"
    try:
        return config.parse_overlay(_read(document, "make an overlay with `xor-fast quickstart` or copy one here"))
    except ConfigError as error:
        raise ConfigError(f"{document}: {error}" if str(document) not in str(error) else str(error)) from None


def wall_ms() -> int:
    """Milliseconds since 1970."""
    return time_ns() // 1_000_000


def _read(path: Path, hint: str) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(limits.MAX_CONFIG_SIZE + 1)  # more than any of them may have
    except FileNotFoundError:
        raise ConfigError(f"{path} is not there; {hint}") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None


def _write(path: Path, content: bytes, mode: int) -> None:
    """A new file that has its mode before it has a byte."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with open(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)


def _sync(directory: Path) -> None:
    """What has its name there has it after a crash of the machine too."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
