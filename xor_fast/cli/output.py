"""What a command says: lines for a person, or with --json one JSON object a line for a program; and its exit code."""

import asyncio
import functools
import json
import logging
import os
import sys
import traceback
from collections.abc import Callable
from enum import IntEnum
from typing import Any, ParamSpec

import typer

from xor_fast.errors import OwnerError, RequestFailed, TrustError

P = ParamSpec("P")
_LONGEST = 1000  # characters of a line about a mistake


class Exit(IntEnum):
    """Exit codes of every command."""

    DONE = 0
    NO_SUCCESS = 1  # nobody found, no answer in time, refused by the overlay
    WRONG_USE = 2  # a mistake on the command line or in a file of the owner
    INTERNAL = 3  # a fault of this program


class Output:
    """as_json: every event as one JSON object with its name under "event"; otherwise the text, if there is one."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json

    def say(self, event: str, text: str | None, /, **fields: object) -> None:
        if self.as_json:
            print(json.dumps({"event": event, **fields}), flush=True)
        elif text is not None:
            print(text, flush=True)

    def capture_log(self) -> None:
        """Lines of the node's log go the same way: as events, or to standard error."""
        logger = logging.getLogger("xor_fast")
        logger.handlers = [_LogHandler(self)]
        logger.setLevel(logging.INFO)
        logger.propagate = False


class _LogHandler(logging.Handler):
    def __init__(self, output: Output) -> None:
        super().__init__()
        self._output = output

    def emit(self, record: logging.LogRecord) -> None:
        level, text = record.levelname.lower(), record.getMessage()
        if self._output.as_json:
            self._output.say("log", None, level=level, text=text)
        else:
            print(f"{level}: {_one_line(text)}", file=sys.stderr, flush=True)


def program() -> str:
    """This program as the person called it, for commands we tell them to type."""
    called = sys.argv[0]
    if os.path.basename(called) == "__main__.py":
        return f"{os.path.basename(sys.executable)} -m xor_fast"
    in_path = any(os.path.dirname(os.path.abspath(called)) == p for p in os.environ.get("PATH", "").split(os.pathsep))
    return os.path.basename(called) if in_path else os.path.relpath(called)


def reported(command: Callable[P, int | None]) -> Callable[P, None]:
    """The errors of `command` become one line on standard error and an exit code, with --json an event as well."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        output = Output(bool(kwargs.get("as_json")))
        try:
            code = command(*args, **kwargs) or Exit.DONE
        except RequestFailed as error:
            code = _complain(output, Exit.NO_SUCCESS, str(error))
        except (OwnerError, TrustError) as error:
            code = _complain(output, Exit.WRONG_USE, str(error))
        except (KeyboardInterrupt, asyncio.CancelledError):  # a second Ctrl-C, while it was leaving
            code = 130  # as a shell says it; a running node never comes here, it leaves in order
        except typer.Exit:
            raise
        except BrokenPipeError:  # whoever reads us has seen enough, as `head` and `less` do
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = Exit.NO_SUCCESS
        except OSError as error:  # a file of the owner, or a want of this machine
            code = _complain(output, Exit.WRONG_USE, _why(error))
        except Exception as error:
            code = _complain(output, Exit.INTERNAL, _internal(error))
        raise typer.Exit(code)

    return run


def _complain(output: Output, code: Exit, text: str) -> Exit:
    if output.as_json:
        output.say("error", None, text=text, exit=int(code))
    print(f"xor-fast: {_one_line(text)}", file=sys.stderr, flush=True)
    return code


def _one_line(text: str) -> str:
    """Names and words of others may hold anything."""
    clean = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return clean if len(clean) <= _LONGEST else f"{clean[: _LONGEST // 2]} ... {clean[-_LONGEST // 2 :]}"


def _why(error: OSError) -> str:
    _show_traceback()
    name = error.filename.decode(errors="replace") if isinstance(error.filename, bytes) else error.filename
    return f"{name}: {error.strerror}" if name else str(error)


def _show_traceback() -> None:
    if os.environ.get("XOR_FAST_TRACEBACK"):
        traceback.print_exc()


def _internal(error: Exception) -> str:
    _show_traceback()
    where: Any = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{os.path.basename(where.filename)}:{where.lineno}"
    return f"a fault of this program: {type(error).__name__}: {error} ({place}); XOR_FAST_TRACEBACK=1 shows all of it"
