"""The .pyi of each compiled module names exactly what the built module has, with the same parameters."""

import ast
import importlib
import inspect
import re
import types
from pathlib import Path

import pytest

import xor_fast
from xor_fast import messages

PACKAGE = Path(xor_fast.__file__).parent
MODULES = sorted(f"{folder}.{path.stem}" for folder in ("cext", "net") for path in (PACKAGE / folder).glob("*.pyx"))
Function = ast.FunctionDef


def is_public(name: str) -> bool:
    return not name.startswith("_") or name == "__init__"


def beside(name: str, ending: str) -> Path:
    return PACKAGE / f"{name.replace('.', '/')}{ending}"


def stub_of(name: str) -> ast.Module:
    return ast.parse(beside(name, ".pyi").read_text())


def parameters(function: Function) -> list[tuple[str, bool]]:
    """(name, has a default) of each parameter in order."""
    given = function.args
    plain = given.posonlyargs + given.args
    first_default = len(plain) - len(given.defaults)
    found = [(a.arg, i >= first_default) for i, a in enumerate(plain)]
    return found + [(a.arg, d is not None) for a, d in zip(given.kwonlyargs, given.kw_defaults, strict=True)]


def built_parameters(function: object) -> list[tuple[str, bool]] | None:
    """The same of a built function, or None for a slot, whose signature C keeps to itself."""
    try:
        signature = inspect.signature(function)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return [(p.name, p.default is not p.empty) for p in signature.parameters.values()]


def is_property(function: Function) -> bool:
    return any(ast.unparse(decorator) == "property" for decorator in function.decorator_list)


def is_final(cls: ast.ClassDef) -> bool:
    return any(ast.unparse(decorator) == "final" for decorator in cls.decorator_list)


def may_be_subclassed(cls: type) -> bool:
    return bool(cls.__flags__ & 1 << 10)  # Py_TPFLAGS_BASETYPE


def assigned(node: ast.stmt) -> set[str]:
    """Names of a constant, a field or an enum's member; a type variable is for the type checker alone."""
    if isinstance(node, ast.Assign) and ast.unparse(node.value).startswith("TypeVar("):
        return set()
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return {target.id for target in targets if isinstance(target, ast.Name)}


def differences(name: str) -> list[str]:
    module = importlib.import_module(f"xor_fast.{name}")
    found: list[str] = []

    def compare(where: str, function: Function, built: object) -> None:
        has = None if is_property(function) else built_parameters(built)
        if has is not None and has != parameters(function):
            found.append(f"{where}: stub {parameters(function)}, module {has}")

    stubbed: set[str] = set()
    for node in stub_of(name).body:
        if isinstance(node, Function):
            stubbed.add(node.name)
            if not callable(getattr(module, node.name, None)):
                found.append(f"{node.name}: in the stub only")
            else:
                compare(node.name, node, getattr(module, node.name))
        elif isinstance(node, ast.ClassDef):
            stubbed.add(node.name)
            cls = getattr(module, node.name, None)
            if cls is None:
                found.append(f"{node.name}: in the stub only")
                continue
            if is_final(node) == may_be_subclassed(cls):
                found.append(f"{node.name}: a subclass is possible in one of stub and module only")
            members = {m.name: m for m in node.body if isinstance(m, Function)}
            data = {name for m in node.body for name in assigned(m)}
            for member, function in members.items():
                if not hasattr(cls, member):
                    found.append(f"{node.name}.{member}: in the stub only")
                elif not member.startswith("__"):  # a slot knows no names
                    compare(f"{node.name}.{member}", function, inspect.getattr_static(cls, member))
            built_members = {m for m in vars(cls) if not m.startswith("_")}
            found += [f"{node.name}.{m}: in the module only" for m in built_members - set(members) - data]
        else:
            stubbed |= assigned(node)
            found += [f"{constant}: in the stub only" for constant in assigned(node) if not hasattr(module, constant)]
    for public, value in vars(module).items():
        own = getattr(value, "__module__", None) == module.__name__
        if public.startswith("_") or isinstance(value, types.ModuleType) or public in stubbed:
            continue
        if own or (public.isupper() and isinstance(value, (int, bytes, str))):
            found.append(f"{public}: in the module only")
    return found


@pytest.mark.parametrize("name", MODULES)
def test_stub_and_module_agree(name: str) -> None:
    assert differences(name) == []


def test_every_compiled_module_has_a_stub() -> None:
    assert {"cext.codec", "cext.ids", "cext.ring", "cext.switch", "cext.wire", "net.openssl"} <= set(MODULES)
    assert [name for name in MODULES if not beside(name, ".pyi").exists()] == []


def test_every_module_of_cext_has_a_declaration_file() -> None:
    assert [n for n in MODULES if n.startswith("cext.") and not beside(n, ".pxd").exists()] == []


@pytest.mark.parametrize("name", MODULES)
def test_a_planted_difference_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stub = stub_of(name)
    victim = next(node for node in stub.body if isinstance(node, Function | ast.ClassDef))
    victim.name = "renamed"
    monkeypatch.setattr(f"{__name__}.stub_of", lambda _: stub)
    assert any("renamed" in line for line in differences(name))


def test_the_codec_names_the_fields_of_structs_in_their_order() -> None:
    """It finds them by their place: two that change places would be read for each other."""
    text = (PACKAGE / "cext" / "codec_structs.pxi").read_text()
    structs = re.findall(r"cdef struct (\w+)Fields:\n    PyTypeObject\* cls\n((?:    Py_ssize_t .*\n)*)", text)
    assert len(structs) > 50
    for name, lines in structs:
        assert tuple(re.findall(r"\b(?!Py_ssize_t)\w+", lines)) == getattr(messages, name).__struct_fields__, name
