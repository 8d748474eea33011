"""Draws the plots of the documentation from the measurements."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.in_flight import CONCURRENCIES
from benchmarks.layers import OPERATIONS
from benchmarks.peers import AIOHTTP, HTTPX, OURS, OURS_FAST, REQUESTS, SDK
from benchmarks.walks import PREFETCHES

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from benchmarks.rounds import Measured

_COLOURS: Final = {
    OURS: "#0b6e4f",
    OURS_FAST: "#3fb68b",
    AIOHTTP: "#2b5fb3",
    HTTPX: "#8f6bb8",
    REQUESTS: "#c98b2b",
    SDK: "#b3392f",
}
_LAYERS: Final = ("#d5d9dd", "#a8dcc5", "#3fb68b", "#0b6e4f")  # from the lowest up
_INK: Final = "#33383d"


def draw(measured: Measured, folder: Path) -> None:
    """Draw each plot whose rows were measured."""
    with mpl.rc_context(_style()):
        _draw(measured, folder)


def _draw(measured: Measured, folder: Path) -> None:
    if "latency-1" in measured:
        _save(_concurrency(measured), folder / "concurrency.svg")
    if "list-time-0" in measured:
        _save(_list_time(measured), folder / "list-time.svg")
    if "memory-along" in measured:
        _save(_memory(measured), folder / "list-memory.svg")
    if "import" in measured:
        _save(_import(measured), folder / "import.svg")
    if "layers-get" in measured:
        _save(_layers(measured), folder / "layers.svg")


def _style() -> Any:
    return {
        "axes.edgecolor": "#c4c9ce",
        "axes.labelcolor": _INK,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlelocation": "left",
        "axes.titleweight": "bold",
        "font.size": 10,
        "legend.frameon": False,
        "svg.fonttype": "none",
        "svg.hashsalt": "plivo-endpoints",  # the same figures give the same file
        "text.color": _INK,
        "xtick.color": _INK,
        "ytick.color": _INK,
    }


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, metadata={"Date": None}, facecolor="white")


def _axes(title: str, x: str, y: str, *, height: float = 3.8) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7.2, height), layout="constrained")
    axes = figure.subplots()
    _label(axes, title, x, y)
    return figure, axes


def _label(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(axis="y", color="#e8ebee")
    axes.set_axisbelow(True)


def _concurrency(measured: Measured) -> Figure:
    figure = Figure(figsize=(9.6, 4.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    _label(left, "Calls a second, one core", "gets in flight", "gets per second")
    _label(right, "Latency of a get", "gets in flight", "median, ms")
    for peer in measured["rate-1"]:
        rates = [median(measured[f"rate-{count}"][peer]) for count in CONCURRENCIES]
        waits = [1000 * median(measured[f"latency-{count}"][peer]) for count in CONCURRENCIES]
        left.plot(CONCURRENCIES, rates, marker="o", markersize=4, color=_COLOURS[peer], label=peer)
        right.plot(CONCURRENCIES, waits, marker="o", markersize=4, color=_COLOURS[peer])
    for axes in (left, right):
        axes.set_xscale("log")
        axes.set_xticks(CONCURRENCIES, [str(count) for count in CONCURRENCIES])
        axes.minorticks_off()
    left.set_ylim(bottom=0)
    right.set_yscale("log")
    figure.legend(loc="outside lower center", ncols=5)
    return figure


def _list_time(measured: Measured) -> Figure:
    figure, axes = _axes("Listing 20,000 endpoints at 50 ms a page", "prefetch, pages", "seconds")
    places = range(len(PREFETCHES) + 1)
    seconds = [median(measured[f"list-time-{prefetch}"][OURS]) for prefetch in PREFETCHES]
    alone = median(measured["list-time-0"][SDK])
    colours = [_COLOURS[SDK]] + [_COLOURS[OURS]] * len(PREFETCHES)
    bars = axes.bar(places, [alone, *seconds], color=colours, width=0.7)
    axes.bar_label(bars, fmt="{:.1f}", padding=2)
    axes.margins(y=0.1)
    axes.set_xticks(places, [SDK, *[str(prefetch) for prefetch in PREFETCHES]])
    return figure


def _memory(measured: Measured) -> Figure:
    figure, axes = _axes("Memory along a walk over 100,000 endpoints", "share of the walk, %", "resident, MB")
    for peer, resident in measured["memory-along"].items():
        share = [100 * place / max(1, len(resident) - 1) for place in range(len(resident))]
        axes.plot(share, resident, color=_COLOURS[peer], label=peer)
    axes.set_ylim(bottom=0, top=1.15 * axes.get_ylim()[1])
    axes.legend(loc="lower right")
    return figure


def _import(measured: Measured) -> Figure:
    figure, axes = _axes("CPU of the import, over bare Python", "", "milliseconds")
    peers = sorted(measured["import"], key=lambda peer: median(measured["import"][peer]))
    values = [1000 * median(measured["import"][peer]) for peer in peers]
    names = [peer.replace(", ", ",\n") for peer in peers]
    bars = axes.bar(
        names, values, color=[_COLOURS.get(peer, _COLOURS[OURS_FAST]) for peer in peers], width=0.6
    )
    axes.bar_label(bars, fmt="{:.0f}", padding=2)
    axes.margins(y=0.1)
    return figure


def _layers(measured: Measured) -> Figure:
    figure, axes = _axes("CPU of one call, by layer, 50 in flight", "microseconds", "", height=4.8)
    for operation in OPERATIONS:
        _stack(axes, f"{operation}, {OURS}", measured[f"layers-{operation}"], labelled=operation == "get")
        for peer in (AIOHTTP, SDK):
            whole = 1e6 * median(measured[f"cpu-{operation}"][peer])
            axes.barh([f"{operation}, {peer}"], [whole], color=_COLOURS[peer], height=0.7)
    axes.invert_yaxis()
    axes.grid(axis="x", color="#e8ebee")
    axes.grid(visible=False, axis="y")
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def _stack(axes: Axes, name: str, layers: dict[str, list[float]], *, labelled: bool) -> None:
    left = 0.0
    for (layer, values), colour in zip(layers.items(), _LAYERS, strict=True):
        width = max(0.0, 1e6 * median(values))  # noise can exceed a layer this cheap
        axes.barh([name], [width], left=left, color=colour, height=0.7, label=layer if labelled else None)
        left += width
