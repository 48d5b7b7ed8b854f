"""A node's records in one SQLite file, written by a thread of their own: what has piled up goes in one transaction.

SQLite and not LMDB, by measurement (records of 450 bytes, each transaction synced, per second of CPU time):

    records in a transaction     1        10       100
    SQLite 3, WAL, FULL          4,100    27,000   52,000
    LMDB 0.9                     4,200    32,000  111,000

Where few Stores are under way the system calls of the sync cost most, and both are equal; where many are, a record is
cheap beside the signatures of its Store (10 us against several hundred). For that SQLite takes two thirds of the room,
checks its log by checksums, and reads the file by system calls. LMDB maps it into memory: a file that is cut short, or
a disk that fails, ends the whole process with SIGBUS, and the node could not go on routing and reading.

A flipped bit or a torn page is noticed at the start, by the checksum that every record carries or by SQLite, and such
a record is never given back: the file is set aside, and all of it that is sound is saved into a new one.
"""

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from hashlib import blake2b
from queue import Empty, SimpleQueue
from threading import Thread

from xor_fast.errors import ConfigError

Record = tuple[bytes, bytes]
Change = tuple[bytes, bytes | None]
Reports = list[tuple[int, str | None]]
"""(ticket, None or why it is not written) of all that a transaction carried."""

_SUM = 8  # bytes
_SETTINGS = (
    "locking_mode = EXCLUSIVE",  # the first: so no shared memory is mapped, which a cut file would kill us with
    "journal_mode = WAL",
    "synchronous = FULL",  # what is committed is on the disk
)
_TABLE = "CREATE TABLE records (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID"
_PUT = "INSERT OR REPLACE INTO records VALUES (?, ?)"
_REMOVE = "DELETE FROM records WHERE key = ?"
_FAILURES = (sqlite3.Error, UnicodeDecodeError)  # the second where SQLite quotes a damaged schema
_CHANGE_COUNTER = 24  # where it is in the file
_PREFIX = 2  # bytes of a key: what cannot be read through is read in parts that begin alike
_PAST_ALL = b"\xff" * 64  # behind all keys with the same prefix


class Disk:
    """path: of the database, made if need be. complaints: what was wrong with it, a line each.

    Read `records` first, then `start`; `write` from then on. ConfigError when there can be no database at `path`."""

    def __init__(self, path: str) -> None:
        self.complaints: list[str] = []
        self._path = path
        self._queue: SimpleQueue[tuple[int, Sequence[Change]] | None] = SimpleQueue()
        self._thread: Thread | None = None
        try:
            self._database, self._records = self._opened()
        except (sqlite3.Error, OSError) as error:
            raise ConfigError(f"{path} cannot be used: {error}") from None

    def records(self) -> Iterator[Record]:
        """What is there, in the order of the keys; once."""
        records, self._records = self._records, []
        return ((key, value[_SUM:]) for key, value in records)

    # --- writing ----------------------------------------------------------------------------------------

    def start(self, report: Callable[[Reports], None]) -> None:
        """report: called in the writing thread."""
        self._thread = Thread(target=self._write, args=(report,), name="xor-fast disk", daemon=True)
        self._thread.start()

    def write(self, ticket: int, changes: Sequence[Change]) -> None:
        self._queue.put((ticket, changes))

    def close(self) -> None:
        """After what was given to it is written."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
        with suppress(sqlite3.Error):
            self._database.close()

    def _write(self, report: Callable[[Reports], None]) -> None:
        goes_on = True
        while goes_on:
            waiting = [self._queue.get()]
            with suppress(Empty):
                while True:
                    waiting.append(self._queue.get_nowait())
            batches = [batch for batch in waiting if batch is not None]
            goes_on = len(batches) == len(waiting)
            if batches:
                failure = self._transaction([change for _, changes in batches for change in changes])
                report([(ticket, failure) for ticket, _ in batches])

    def _transaction(self, changes: list[Change]) -> str | None:
        """None, or in a few words why nothing of it was written."""
        try:
            with self._database as database:
                database.execute("BEGIN IMMEDIATE")
                for key, value in changes:
                    if value is None:
                        database.execute(_REMOVE, (key,))
                    else:
                        database.execute(_PUT, (key, _sum(key, value) + value))
        except (sqlite3.Error, OSError, MemoryError) as error:
            return str(error)
        return None

    # --- damage -----------------------------------------------------------------------------------------

    def _opened(self) -> tuple[sqlite3.Connection, list[Record]]:
        path, mended = self._path, self._path + ".new"
        if os.path.exists(mended) and not os.path.exists(path):
            os.rename(mended, path)  # the process was killed while it did so
        try:
            return _open_and_read(path)
        except (_Damaged, *_FAILURES) as error:
            if not _is_damage(error, path):
                raise
            saved = _salvage(path)
            _make(mended, saved)
            aside = _set_aside(path)  # not before what could be saved is safe
            os.rename(mended, path)
            self.complaints.append(f"{path} is damaged ({error}): moved to {aside}, {len(saved)} records saved")
            return _open(path), saved


def _sum(key: bytes, value: bytes) -> bytes:
    digest = blake2b(key, digest_size=_SUM)
    digest.update(value)
    return digest.digest()


def _is_sound(key: object, value: object) -> bool:
    return isinstance(key, bytes) and isinstance(value, bytes) and value[:_SUM] == _sum(key, value[_SUM:])


def _open(path: str) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=8)
    try:
        for setting in _SETTINGS:
            database.execute(f"PRAGMA {setting}").fetchall()
        database.execute(_TABLE.replace("TABLE", "TABLE IF NOT EXISTS"))
        os.chmod(path, 0o600)
    except BaseException:
        database.close()
        raise
    return database


def _open_and_read(path: str) -> tuple[sqlite3.Connection, list[Record]]:
    database = _open(path)
    try:
        if database.execute("SELECT sql FROM sqlite_schema").fetchall() != [(_TABLE,)]:
            raise _Damaged("another table is in it")
        verdict: str = database.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":  # a write into it could cost records that are sound
            raise _Damaged(verdict)
        records = list(_read(database))
        damaged = sum(not _is_sound(key, value) for key, value in records)
        if damaged:  # one with a wrong key is out of order: others could not be found, nor this one removed
            raise _Damaged(f"{damaged} records do not fit their checksums")
        database.execute("BEGIN IMMEDIATE")
        database.execute(_PUT, (b"?", b""))  # a bit of the first page says whether it may be written to
        database.execute("ROLLBACK")
        return database, records
    except BaseException:
        database.close()  # or it would keep the file locked
        raise


def _make(path: str, records: list[Record]) -> None:
    """A whole database, in the place of what may lie there."""
    for left in (path, path + "-wal"):
        with suppress(FileNotFoundError):
            os.unlink(left)
    database = _open(path)
    try:
        with database:
            database.execute("BEGIN")
            database.executemany(_PUT, records)
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()  # all of it into the one file
    finally:
        database.close()


class _Damaged(Exception):
    """Found by ourselves, where SQLite would go on."""


def _is_damage(error: Exception, path: str) -> bool:
    """Of the file itself; else something keeps us from using it."""
    # Without a code it is of Python's module, which has met a blob that has become a text, and no UTF-8.
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
    if code & 0xFF == sqlite3.SQLITE_READONLY:
        return os.access(path, os.W_OK)  # only the file says so
    return code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)


def _read(database: sqlite3.Connection, where: str = "", parameters: tuple[bytes, ...] = ()) -> Iterator[Record]:
    """As they lie there, with their checksums."""
    yield from database.execute(f"SELECT key, value FROM records {where}", parameters)


def _set_aside(path: str) -> str:
    number = 0
    while os.path.exists(aside := f"{path}.damaged{number or ''}"):
        number += 1
    with suppress(FileNotFoundError):
        os.rename(path + "-wal", aside + "-wal")  # the first: beside another file it would ruin that
    os.rename(path, aside)
    return aside


def _salvage(path: str) -> list[Record]:
    """What can be read around the damaged pages. Without the first, which says what is in the file, nothing can: then
    as if it were that of an empty database, which differs in nothing that matters."""
    found = _read_around(path)
    if not found:
        copy = path + ".salvage"
        _make(copy, [])
        page = os.path.getsize(copy) // 2
        with open(path, "rb") as damaged, open(copy, "r+b") as file:
            file.seek(_CHANGE_COUNTER)
            file.write(bytes(4))  # which belies the number of pages beside it: the size of the file counts
            damaged.seek(page)
            file.seek(page)
            shutil.copyfileobj(damaged, file)
        with suppress(FileNotFoundError):
            shutil.copyfile(path + "-wal", copy + "-wal")
        found = _read_around(copy)
        for left in (copy, copy + "-wal"):
            with suppress(FileNotFoundError):
                os.unlink(left)
    return sorted(found.items())


def _read_around(path: str) -> dict[bytes, bytes]:
    """What is sound: all that begins alike, from its beginning and from its end, or else in 256 parts."""
    found: dict[bytes, bytes] = {}

    def read(database: sqlite3.Connection, prefix: bytes) -> None:
        where, bounds = "WHERE key BETWEEN ? AND ? ORDER BY key", (prefix, prefix + _PAST_ALL)
        try:
            keep(_read(database, where, bounds))
        except _FAILURES:
            with suppress(*_FAILURES):
                keep(_read(database, where + " DESC", bounds))
            if len(prefix) < _PREFIX:
                for byte in range(256):
                    read(database, prefix + bytes([byte]))

    def keep(records: Iterator[Record]) -> None:
        found.update((key, value) for key, value in records if _is_sound(key, value))

    with suppress(*_FAILURES), closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as database:
        list(_read(database, "LIMIT 0"))  # where there is no such table, no part of it can be read
        read(database, b"")
    return found
