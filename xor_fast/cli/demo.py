"""`xor-fast demo`: an overlay of node processes on loopback, two users with three devices, and every step shown.

Each process is an ordinary `xor-fast` command whose JSON events are read. A step that does not happen ends the demo
with its reason and exit code 1.
"""

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from xor_fast.cli.children import Child, EventMissing
from xor_fast.cli.output import Exit, Output
from xor_fast.errors import XorFastError
from xor_fast.net import stats
from xor_fast.net.pcap import merge

ROMEO, JULIET = "romeo@montague.lit", "juliet@capulet.lit"
LISTEN = "127.0.0.1:0"
SETTLING = 60.0  # seconds for the ring to become one, on a busy machine


class StepFailed(XorFastError):
    """A step of the demo did not happen as it should."""


class Stage:
    """Where the demo plays: a folder, its processes, and the lines it shows."""

    def __init__(self, folder: Path, output: Output, tap: bool, processes: ExitStack) -> None:
        self.folder = folder
        self.children: list[Child] = []
        self._output = output
        self._tap = tap
        self._processes = processes
        self._number = 0
        self._began = time.monotonic()

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """One step with its title; errors inside end the demo."""
        self._number += 1
        self._output.say("step", f"\n{self._number:2}. {title}", number=self._number, title=title)
        yield
        self._output.say("step-done", None, number=self._number)

    def show(self, text: str, **fields: object) -> None:
        self._output.say("shown", f"    {text}", text=text, **fields)

    def begin(self, name: str, *arguments: str) -> Child:
        """A process of this name; its packets go to a file of its own."""
        tap = ("--pcap", f"{name}.pcapng") if self._tap else ()
        child = self._processes.enter_context(Child(self.folder, *arguments, *tap, name=name))
        self.children.append(child)
        return child

    def end(self, child: Child) -> None:
        """Leave in order, and be gone."""
        child.signal(signal.SIGINT)
        child.until("left")
        require(child.end() == Exit.DONE, f"{child.name} ended with an error: {child.errors()}")
        self.children.remove(child)

    def ask(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """One question, as a person would ask it."""
        command = [sys.executable, "-m", "xor_fast", *arguments]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True)

    def seconds(self) -> float:
        return time.monotonic() - self._began


def require(is_so: bool, text: str) -> None:
    if not is_so:
        raise StepFailed(text)


def demo(nodes: int, pcap: Path | None, keep: bool, as_json: bool) -> int:
    """nodes: how many node processes, at least 8; pcap: where to write the packets of all processes."""
    output = Output(as_json)
    if pcap is not None:
        pcap.open("ab").close()  # a file that cannot be written is to be known before the minute that fills it
    folder = Path(tempfile.mkdtemp(prefix="xor_fast-demo-"))
    with ExitStack() as at_end:
        if not keep:
            at_end.callback(_remove, folder)
        stage = Stage(folder, output, pcap is not None, at_end.enter_context(ExitStack()))
        try:
            _play(stage, nodes)
            if pcap is not None:
                with stage.step(f"Packets of {nodes + 3} processes in one file, with their keys"):
                    count = merge([str(path) for path in sorted(folder.glob("*.pcapng"))], str(pcap))
                    require(count > 0, "no packets were written")
                    stage.show(f"{pcap}: {count} packets; the clear frames: make pcap-frames PCAP={pcap}")
        except (StepFailed, EventMissing) as error:
            output.say("failed", f"    FAILED: {error}", text=str(error), exit=int(Exit.NO_SUCCESS))
            return Exit.NO_SUCCESS
        if keep:
            stage.show(f"kept: {folder}")
        output.say("done", f"\nAll steps happened, in {stage.seconds():.0f} s.", seconds=round(stage.seconds(), 1))
    return Exit.DONE


def _play(stage: Stage, count: int) -> None:
    with stage.step("A private overlay: CA, configuration document, first peer"):
        first = stage.begin("node-1", "quickstart", "--listen", LISTEN)
        listening = first.until("listening")
        address = str(listening["address"])
        stage.show(f"overlay {listening['overlay']}; Node-ID {listening['node_id']} on {address}")

    with stage.step(f"{count - 1} more node processes join, each let in by the peer that owns its place"):
        nodes = [first]
        for number in range(2, count + 1):
            nodes.append(stage.begin(f"node-{number}", "node", "--ca", "data/bootstrap", "--data", f"data/{number}"))
        for node in nodes[1:]:
            stage.show(f"joined: {node.until('joined')['node_id']}")

    with stage.step("They form one ring: each node's first successor is the next Node-ID"):
        ids = _await_one_ring(stage, count)
        stage.show(" -> ".join(node_id[:8] for node_id in [*ids, ids[0]]))

    with stage.step("A node with a certificate of another CA gets nowhere"):
        _impostor(stage, address, nodes)

    with stage.step(f"Identities: two devices of {ROMEO}, one of {JULIET}"):
        for name, jid in (("phone", ROMEO), ("laptop", ROMEO), ("juliet", JULIET)):
            done = stage.ask("enroll", jid, "--ca", "data/bootstrap", "--out", f"data/{name}")
            require(done.returncode == Exit.DONE, done.stderr)
            stage.show(done.stdout.strip())

    with stage.step("Registration: each device stores its location under the address of its user"):
        devices = {name: stage.begin(name, "chat", "--data", f"data/{name}") for name in ("phone", "laptop")}
        device_ids = {_show_registration(stage, name, device): name for name, device in devices.items()}

    _talk(stage, devices, device_ids)

    with stage.step("Everybody leaves in order: data handed on, Leave sent"):
        for child in reversed(list(stage.children)):
            stage.end(child)
            stage.show(f"{child.name} has left")


def _await_one_ring(stage: Stage, count: int) -> list[str]:
    """The Node-IDs in their order, once every node knows its true neighbours."""
    folders = [stage.folder / "data" / ("bootstrap" if number == 1 else str(number)) for number in range(1, count + 1)]
    deadline = time.monotonic() + SETTLING
    while True:
        found: list[dict[str, Any]] = [stats.ask(str(folder / "control")) for folder in folders]
        ids = sorted(status["node_id"] for status in found)
        after = dict(zip(ids, [*ids[1:], ids[0]], strict=True))
        rings = {status["node_id"]: status["ring"] for status in found}
        if all(ring["joined"] and ring["successors"][:1] == [after[node_id]] for node_id, ring in rings.items()):
            return ids
        require(time.monotonic() < deadline, f"no single ring within {SETTLING:g} s")
        time.sleep(0.2)


def _impostor(stage: Stage, address: str, nodes: list[Child]) -> None:
    other = stage.begin("other-overlay", "quickstart", "--listen", LISTEN, "--data", "data/other")
    other.until("listening")
    stage.end(other)
    impostor = stage.begin(
        "impostor", "node", "--ca", "data/other", "--data", "data/impostor",
        "--overlay", "data/bootstrap/overlay.xml", "--bootstrap", address,
    )  # fmt: skip
    refusal = nodes[0].until("log", level="warning")
    stage.show(f"log of the first peer: {refusal['text']}")
    impostor.signal(signal.SIGINT)
    impostor.end()
    stage.children.remove(impostor)
    require(not impostor.has("joined"), "the impostor was let in")


def _show_registration(stage: Stage, name: str, device: Child) -> str:
    """Gives its Node-ID."""
    joined = device.until("joined")
    stored = device.until("registered")
    stage.show(
        f"{name} {joined['node_id'][:8]}: acknowledged by {stored['owner'][:8]} and kept by "
        f"{stored['replicas']} more, over {stored['hops']} forwarders"
    )
    return str(joined["node_id"])


def _talk(stage: Stage, devices: dict[str, Child], device_ids: dict[str, str]) -> None:
    with stage.step(f"{JULIET} looks up {ROMEO}"):
        juliet = stage.begin("juliet", "chat", ROMEO, "--data", "data/juliet")
        juliet_id = _show_registration(stage, "juliet", juliet)
        found = juliet.until("locations")
        stage.show(f"{len(found['node_ids'])} devices, answered over {found['hops']} forwarders")
        for node_id in found["node_ids"]:
            stage.show(f"{node_id}: signature and right to store checked by Juliet herself")
        require(set(found["node_ids"]) == set(device_ids), "found should be Romeo's two devices, and nobody else")

    with stage.step("AppAttach to both, certificates checked, streams started"):
        for node_id, name in device_ids.items():
            juliet.until("stream-started", node_id=node_id, jid=ROMEO, initiator=True)
            stage.show(f"Juliet to {name}: certificate has Node-ID {node_id[:8]} and {ROMEO}; stream open")
        for name, device in devices.items():
            device.until("stream-started", node_id=juliet_id, jid=JULIET, initiator=False)
            stage.show(f"{name} with Juliet: certificate has Node-ID {juliet_id[:8]} and {JULIET}; stream open")

    with stage.step("A message to Romeo reaches both of his devices"):
        text = "O Romeo, Romeo! wherefore art thou Romeo?"
        juliet.write_line(text)
        for name, device in devices.items():
            got = device.until("message", body=text)
            stage.show(f"{name} reads, from {got['jid']}: {got['body']}")

    with stage.step("Each of them answers"):
        for name, device in devices.items():
            text = f"Call me but love ({name})"
            device.write_line(text)
            got = juliet.until("message", body=text)
            stage.show(f"Juliet reads, from {got['jid']} at {got['node_id'][:8]}: {got['body']}")

    with stage.step("Juliet ends: streams closed on both sides, her location removed"):
        juliet.write_line("/quit")
        for name, device in devices.items():
            ended = device.until("stream-ended", jid=JULIET)
            stage.show(f"{name}: {ended['reason']}")
        juliet.until("left")
        require(juliet.end() == Exit.DONE, f"juliet ended with an error: {juliet.errors()}")
        stage.children.remove(juliet)
        gone = stage.ask("lookup", JULIET, "--data", "data/bootstrap")
        require(gone.returncode == Exit.NO_SUCCESS, f"her location is still there: {gone.stdout}")
        stage.show(gone.stderr.strip())


def _remove(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()
