"""tools/structures.py [--write]: the table of every structure of the codec, as docs/codec.md shows it."""

import inspect
import pathlib
import sys
import types
import typing

import msgspec

from xor_fast import messages

PAGE = pathlib.Path(__file__).parent.parent / "docs" / "codec.md"
MARK = "<!-- python tools/structures.py writes what follows; tests/test_docs.py compares it -->\n"


def structures() -> list[type[messages.Body]]:
    found = [v for v in vars(messages).values() if inspect.isclass(v) and issubclass(v, messages.Body)]
    return [cls for cls in found if cls is not messages.Body]


def codes(cls: type[messages.Body]) -> str:
    """The message codes whose body it is."""
    names = {cls.__name__, cls.__name__.replace("ReqAns", "Req"), cls.__name__.replace("ReqAns", "Ans")}
    if cls is messages.ErrorResponse:
        names = {"Error"}
    return ", ".join(f"0x{code:x}" for code in messages.Code if code.name.title().replace("_", "") in names)


def written(type_: object) -> str:
    """A type as a person writes it."""
    if isinstance(type_, types.UnionType) or typing.get_origin(type_) is typing.Union:
        return " or ".join(written(member) for member in typing.get_args(type_))
    if typing.get_origin(type_) is tuple:
        return f"({written(typing.get_args(type_)[0])}, ...)"
    return "None" if type_ is type(None) else getattr(type_, "__name__", str(type_))


def table() -> str:
    lines = ["| Structure | Fields | Body of |", "|---|---|---|"]
    for cls in structures():
        hints = typing.get_type_hints(cls)
        fields = [f"{f.name}: {written(hints[f.name])}" for f in msgspec.structs.fields(cls)]
        lines.append(f"| `{cls.__name__}` | {'<br>'.join(fields) or 'none'} | {codes(cls)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        PAGE.write_text(PAGE.read_text().split(MARK)[0] + MARK + "\n" + table())
    else:
        print(table(), end="")
