"""Charts of a result as PNG or SVG, with matplotlib (the extra `plot`); the same result gives the same file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xor_fast.sim.scenarios.scenario import Chart

FORMATS = (".png", ".svg")
_WIDTH, _HEIGHT = 7.0, 3.2  # inches of one chart


class PlotError(Exception):
    """The plot cannot be made; says how to mend it."""


def check(path: Path) -> None:
    """Before hours of simulation: can this file be written as a plot?"""
    if path.suffix.lower() not in FORMATS:
        raise PlotError(f"a plot is a {' or '.join(FORMATS)} file, not {path.name!r}")
    if not path.absolute().parent.is_dir():
        raise PlotError(f"there is no directory {path.absolute().parent}")
    _matplotlib()


def draw(charts: Sequence[Chart], path: Path, note: str = "") -> None:
    """All charts below each other. note: small, at the bottom."""
    matplotlib = _matplotlib()
    matplotlib.rcParams["svg.hashsalt"] = "xor_fast"  # else every SVG has other ids
    figure = matplotlib.figure.Figure(figsize=(_WIDTH, _HEIGHT * max(1, len(charts))), layout="constrained")
    for position, chart in enumerate(charts, 1):
        _draw(figure.add_subplot(len(charts), 1, position), chart)
    figure.supxlabel(note, fontsize=6, color="gray", x=0.0, horizontalalignment="left")
    metadata = {"Date": None} if path.suffix.lower() == ".svg" else {}
    try:
        figure.savefig(path, dpi=110, metadata=metadata)
    except OSError as error:
        raise PlotError(f"cannot write {path}: {error.strerror}") from None


def _draw(axes: Any, chart: Chart) -> None:
    for name, points in chart.lines.items():
        x, y = [point[0] for point in points], [point[1] for point in points]
        if chart.labels:
            axes.bar(x, y, label=name)
        else:
            axes.plot(x, y, label=name, linewidth=1.4, marker="." if len(points) < 40 else "")
    axes.set_title(chart.title, fontsize=10)
    axes.set_xlabel(chart.x, fontsize=9)
    axes.set_ylabel(chart.y, fontsize=9)
    axes.grid(alpha=0.3)
    if chart.labels:
        axes.set_xticks([point[0] for points in chart.lines.values() for point in points], chart.labels)
    if chart.log_y:
        axes.set_yscale("symlog", linthresh=1)
    else:
        axes.set_ylim(bottom=0)
    if any(chart.lines) and len(chart.lines) > 1:
        axes.legend(fontsize=8)


def _matplotlib() -> Any:
    try:
        import matplotlib
        import matplotlib.figure
    except ImportError:
        raise PlotError("plots need matplotlib: pip install 'xor_fast[plot]'") from None
    return matplotlib
