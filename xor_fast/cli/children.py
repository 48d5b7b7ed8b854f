"""Node processes as `xor-fast demo` and the tests run them: `python -m xor_fast ... --json`, read event by event."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from xor_fast.errors import XorFastError

Event = dict[str, Any]
PATIENCE = 60.0  # seconds until an event that should come counts as missing; a busy machine needs some


class EventMissing(XorFastError):
    """A process ended, or time ran out, before an event that was waited for."""


class Child:
    """One process. `until` waits for an event; events nobody asked for yet are kept."""

    def __init__(self, folder: Path, *arguments: str, name: str = "") -> None:
        self.name: str = name or " ".join(arguments)
        self.log: Path = folder / f"{name or arguments[0]}-{os.urandom(3).hex()}.log"
        self._news = threading.Condition()
        self._events: list[Event] = []  # not asked for yet
        self._is_over = False
        with self.log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "xor_fast", *arguments, "--json"],
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,  # a Ctrl-C on the terminal is for us; we pass it on
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                with self._news:
                    self._events.append(json.loads(line))
                    self._news.notify_all()
        with self._news:
            self._is_over = True
            self._news.notify_all()

    def until(self, event: str, patience: float = PATIENCE, **fields: object) -> Event:
        """The first event of this name with these fields that was not given before. EventMissing when none comes."""

        def is_it(found: Event) -> bool:
            return found["event"] == event and fields.items() <= found.items()

        with self._news:
            self._news.wait_for(lambda: self._is_over or any(map(is_it, self._events)), patience)
            for index, found in enumerate(self._events):
                if is_it(found):
                    return self._events.pop(index)
            why = "it has ended" if self._is_over else f"not within {patience:g} s"
            wanted = " ".join([event, *(f"{name}={value}" for name, value in fields.items())])
            raise EventMissing(f"{self.name}: no {wanted} ({why}); it said {self._events[-3:]} {self.errors()}")

    def has(self, event: str, **fields: object) -> bool:
        """Whether such an event has come and was not asked for yet."""
        with self._news:
            return any(found["event"] == event and fields.items() <= found.items() for found in self._events)

    def write_line(self, line: str) -> None:
        """A line on its standard input."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def end(self, patience: float = PATIENCE) -> int:
        """Its exit code, once it has ended. EventMissing when it does not."""
        try:
            code = self._process.wait(patience)
        except subprocess.TimeoutExpired:
            raise EventMissing(f"{self.name}: does not end") from None
        self._reader.join()
        return code

    def errors(self) -> str:
        """What it wrote to standard error."""
        return self.log.read_text()

    def kill(self) -> None:
        """End it at once, if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._reader.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill()
