"""The log of a node: one line a matter, and strangers cannot fill it."""

import logging
from time import monotonic

from xor_fast import limits


class Journal:
    """Writes to the logger `xor_fast`. Lines above the budget are counted and named with the next."""

    def __init__(self, name: str = "xor_fast") -> None:
        self._log = logging.getLogger(name)
        self._budget = float(limits.LOG_BURST)
        self._since = monotonic()
        self._left_out = 0
        self._remarked: dict[str, float] = {}

    def remark(self, text: str) -> None:
        """A warning about ourselves, of a few fixed ones: no stranger can use up its budget. Once in a while each."""
        now = monotonic()
        if now - self._remarked.get(text, float("-inf")) >= limits.LOG_REMARK_INTERVAL:
            self._remarked[text] = now
            self._log.warning("%s", text)

    def say(self, level: str, text: str) -> None:
        """level: "info", "warning" or "error"."""
        now = monotonic()
        self._budget = min(limits.LOG_BURST, self._budget + (now - self._since) * limits.LOG_RATE)
        self._since = now
        if self._budget < 1:
            self._left_out += 1
            return
        self._budget -= 1
        if self._left_out:
            self._log.warning("%d lines left out: more than %g a second", self._left_out, limits.LOG_RATE)
            self._left_out = 0
        self._log.log(logging.getLevelNamesMapping()[level.upper()], "%s", text)


def explain(error: BaseException) -> str:
    """One line on why a handshake or a connection failed, for the log: no traceback, no C file names."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ConnectionResetError):
        return "closed by the other side"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__
