"""What a scenario is: a name, its parameters, the claim it stands for, and what a run of it gives.

`catalogue.SCENARIOS` is the one list of them; the command, its help and the documentation follow from it.
"""

import argparse
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec

from xor_fast import limits

Progress = Callable[[str, float, float], None]
"""progress(phase, done, total)"""
Value = int | float | str
Read = Callable[[str], Value]

MAX_NODES = 10_000
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}


class Parameter(NamedTuple):
    """One option of a scenario. read: from what a person writes, raises ArgumentTypeError."""

    name: str
    default: Value | None
    read: Read
    help: str

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")


class Claim(msgspec.Struct):
    """What a run has to show, and whether it did."""

    text: str
    held: bool


class Chart(msgspec.Struct):
    """Something to look at: lines of (x, y) by name. bars: x are the positions of bars named by `labels`."""

    title: str
    x: str
    y: str
    lines: dict[str, list[tuple[float, float]]]
    labels: list[str] = []
    log_y: bool = False


class Result(msgspec.Struct):
    """figures: what a program reads, by name; rows: what a person reads."""

    seed: int
    trace: str
    figures: dict[str, object]
    rows: dict[str, str]
    claims: list[Claim]
    charts: list[Chart] = []
    problems: list[str] = []

    @property
    def ok(self) -> bool:
        return all(claim.held for claim in self.claims) and not self.problems


class Options(NamedTuple):
    """What one run is asked for: a seed, and a value for each parameter."""

    seed: int
    values: Mapping[str, Value | None]

    def count(self, name: str) -> int:
        value = self.values[name]
        assert isinstance(value, int)
        return value

    def number(self, name: str) -> float:
        value = self.values[name]
        assert isinstance(value, int | float)
        return float(value)

    def text(self, name: str) -> str:
        return str(self.values[name])

    def maybe(self, name: str) -> int | None:
        value = self.values[name]
        assert value is None or isinstance(value, int)
        return value


class Scenario(NamedTuple):
    """summary: one line. run(options, progress)."""

    name: str
    summary: str
    parameters: tuple[Parameter, ...]
    run: Callable[[Options, Progress], Result]

    def options(self, seed: int = 1, **given: Value | None) -> Options:
        """Its defaults, and what is given otherwise."""
        values = {parameter.name: parameter.default for parameter in self.parameters}
        unknown = sorted(given.keys() - values.keys())
        if unknown:
            raise ValueError(f"scenario {self.name} has no parameter {', '.join(unknown)}")
        return Options(seed, values | given)


# --- how parameters are read ---------------------------------------------------------------------------


def whole(low: int, high: int) -> Read:
    def read(text: str) -> int:
        if not re.fullmatch("[0-9]{1,20}", text) or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {low} to {high}")
        return int(text)

    return read


def seconds(text: str) -> float:
    found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]+)?)([smh]?)", text)
    if found is None or float(found[1]) * _UNITS[found[2]] <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time: write 90s, 1.5m or 2h")
    return float(found[1]) * _UNITS[found[2]]


def share(text: str) -> float:
    found = re.fullmatch(r"\d*\.?\d+", text)
    if found is None or not 0 <= float(text) <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share from 0 to 1")
    return float(text)


def one_of(*names: str) -> Read:
    def read(text: str) -> str:
        if text not in names:
            raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(names)}")
        return text

    return read


def rate(text: str) -> float:
    found = re.fullmatch(r"\d*\.?\d+", text)
    if found is None or float(text) <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return float(text)


def nodes(default: int, least: int = 1) -> Parameter:
    return Parameter("nodes", default, whole(least, MAX_NODES), f"peers, {least} to {MAX_NODES}")


def neighbours(default: int | None) -> Parameter:
    otherwise = " (default: log2 of the nodes)" if default is None else ""
    read = whole(limits.NEIGHBOURS_EACH_SIDE, limits.MAX_NEIGHBOURS)
    return Parameter("neighbours", default, read, "successors and predecessors each" + otherwise)


FINGERS = Parameter("fingers", limits.FINGERS, whole(limits.FINGERS, limits.MAX_FINGERS), "long links")
