"""A way through the states as lines that a person can read: who sent what to whom."""

from collections.abc import Iterator, Sequence

from xor_fast.cext import codec
from xor_fast.messages import AttachReqAns, Code, ErrorResponse
from xor_fast.sim.modelcheck.world import DOWN, UP, Step, World


def lines(world: World, steps: Sequence[Step]) -> Iterator[str]:
    for step in steps:
        yield _line(world, step)


def _line(world: World, step: Step) -> str:
    node = f"n{step.node + 1}"
    if step.kind == "time":
        return "time passes"
    if step.kind == "operation":
        return f"** {world.operations[step.what]} **"  # type: ignore[index]
    if step.kind == "dial":
        return f"{node} dials {', '.join(address for address, _ in step.what[0])}"  # type: ignore[index]
    source = f"n{step.what[0] + 1}"  # type: ignore[index]
    if step.item == UP:
        return f"{source} -> {node} is connected"
    if step.item == DOWN:
        return f"{node} sees its connection with {source} end"
    return f"{source} -> {node} {_said(world.locals.messages[step.item])}"


def _said(data: bytes) -> str:
    message = codec.decode_message(data)
    body = message.body
    if isinstance(body, ErrorResponse):
        return f"Error {body.error_code}: {body.error_info.decode('utf-8', 'replace')}"
    if isinstance(body, AttachReqAns):
        return "AttachReq" if message.code == Code.ATTACH_REQ else "AttachAns"
    return type(body).__name__
