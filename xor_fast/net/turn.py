"""The drain rule on an event loop: inputs pile up within one pass, then the node is drained once (ARCHITECTURE.md).

Compiled as it stands (setup.py): build again after a change.
"""

import asyncio
from collections.abc import Callable


class Turn:
    """Call it after every input of the node; `drain` then runs once, before the loop waits again.

    is_due   a drain is scheduled already: the path of bytes looks at it to spare the call
    """

    __slots__ = ("_drain", "_loop", "is_due")

    def __init__(self, drain: Callable[[], None]) -> None:
        self._drain = drain
        self._loop = asyncio.get_running_loop()
        self.is_due: bool = False

    def __call__(self) -> None:
        if not self.is_due:
            self.is_due = True
            self._loop.call_soon(self._run)

    def _run(self) -> None:
        self.is_due = False
        self._drain()
