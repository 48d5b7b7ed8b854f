"""The control socket, asked from another thread as another process would."""

import asyncio
import os
import socket
from pathlib import Path

import pytest

from tests.net.drive import run
from xor_fast.errors import ConfigError, StateError
from xor_fast.net.stats import Control, ask


def test_a_question_gets_its_answer_and_the_socket_is_the_owners_only(tmp_path: Path) -> None:
    path = str(tmp_path / "control")

    async def main() -> None:
        control = await Control.serve(path, {"status": lambda: {"counters": {"forwarded": 3}}, "time": dict})
        assert os.stat(path).st_mode & 0o777 == 0o600
        assert await asyncio.to_thread(ask, path) == {"counters": {"forwarded": 3}}
        assert await asyncio.to_thread(ask, path, "time") == {}
        assert await asyncio.to_thread(ask, path, "nonsense") == {"error": "ask one of: status, time"}
        with pytest.raises(ConfigError, match="stop it first"):
            await asyncio.to_thread(asyncio.run, Control.serve(path, {}))
        control.close()

    run(main())
    assert not os.path.exists(path)
    with pytest.raises(StateError, match="is it running"):
        ask(path)


def test_a_socket_left_by_a_killed_process_is_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "control")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(path)

    async def main() -> None:
        control = await Control.serve(path, {"status": lambda: {"fine": True}})
        assert await asyncio.to_thread(ask, path) == {"fine": True}
        control.close()

    run(main())


def test_garbage_on_the_socket_does_no_harm(tmp_path: Path) -> None:
    path = str(tmp_path / "control")

    async def main() -> None:
        control = await Control.serve(path, {"status": lambda: {"fine": True}})
        for garbage in (b"\xff\xfe\n", b"[]\n", b'{"ask": 5}\n', b"x" * 200_000 + b"\n", b"no end"):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(garbage)
            writer.write_eof()
            await reader.read()
            writer.close()
        assert await asyncio.to_thread(ask, path) == {"fine": True}
        control.close()

    run(main())
