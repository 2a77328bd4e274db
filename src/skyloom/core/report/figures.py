"""Figures: each drawn once with matplotlib, then saved as PNG for papers and as SVG for the page.

The SVG is transparent and takes its colours from the page's CSS variables, so that it follows dark mode; its text is text.
Equal input gives equal bytes: no dates, no version strings, element ids salted with the figure's name.

Flow  core.report.sections -> Figure(name, svg, png) -> index.html and <name>.png
Width every figure is drawn 3.9 inches wide, so that its text stays legible on a telephone
"""

import io
import re
import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator

from skyloom.core.metrics import Plot, Series
from skyloom.core.report.html import Html, clean, escape
from skyloom.core.stats import Interval

WIDTH: float = 3.9
"""Inches."""
INK, MUTED, RULE = "#1c2128", "#667080", "#dfe3e8"
# Okabe & Ito 2008 without black and yellow: told apart under every common colour blindness.
COLOURS: tuple[str, ...] = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
_VARIABLES: dict[str, str] = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    RULE: "var(--rule)",
    **{colour: f"var(--c{i})" for i, colour in enumerate(COLOURS, 1)},
}
_STYLE: dict[Any, Any] = {  # Any: matplotlib types the keys as a Literal of all its names
    "axes.edgecolor": RULE,
    "axes.grid": True,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 9,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.unicode_minus": False,
    "figure.constrained_layout.use": True,
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.6,
    "svg.fonttype": "none",
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": MUTED,
    "xtick.labelsize": 8.5,
    "ytick.color": MUTED,
    "ytick.labelsize": 8.5,
}
_TICKS: tuple[float, ...] = (1, 2, 2.5, 5, 10)
MARKERS: str = "osD^vP"
_FEW_POINTS: int = 30
"""Up to so many points a series shows its markers, and error bars instead of a band."""


class Figure(NamedTuple):
    """One picture in both forms."""

    name: str
    """File name without suffix; unique within a report."""
    svg: Html
    png: bytes


class DotRow(NamedTuple):
    """One row of an interval chart."""

    label: str
    intervals: tuple[Interval | None, ...]
    """One for each group of the chart, None where the row has no such number."""


class Bar(NamedTuple):
    """One row of a waterfall, from `start` to `start + length` rows."""

    label: str
    start: int
    length: int
    colour: str


def line_figure(plot: Plot, name: str) -> Figure:
    """Lines with their intervals: error bars on few points, a band on many."""
    with _style(name):
        canvas, axes = _axes(2.9)
        for i, series in enumerate(plot.series):
            _draw_series(axes, series, i)
        whole = all(float(x).is_integer() for series in plot.series for x in series.x)
        axes.xaxis.set_major_locator(MaxNLocator(6, steps=_TICKS, integer=whole))
        axes.set_xlabel(shorten(plot.x, 60))
        axes.set_ylabel(shorten(plot.y, 44))
        if len(plot.series) > 1:
            canvas.legend(loc="outside lower left", ncols=2)
        return _finish(canvas, name, plot.title)


def dot_figure(rows: Sequence[DotRow], groups: Sequence[str], name: str, title: str) -> Figure:
    """Points with their intervals, first row on top; groups differ in colour, marker and, within a row, in height."""
    with _style(name):
        canvas, axes = _axes(0.62 + 0.3 * len(rows))
        for k, group in enumerate(groups):
            there = [(i, row, value) for i, row in enumerate(rows) if (value := row.intervals[k]) is not None]
            heights = [i + _dodge(row, k) for i, row, _ in there]
            centres = [value.value for _, _, value in there]
            reach = [
                [value.value - value.low for _, _, value in there],
                [value.high - value.value for _, _, value in there],
            ]
            look: dict[str, Any] = {"color": COLOURS[k], "marker": MARKERS[k], "label": shorten(group, 28)}
            axes.errorbar(centres, heights, xerr=reach, capsize=2.5, ls="none", markersize=4.5, **look)
        axes.set_yticks(range(len(rows)), [shorten(row.label, 24) for row in rows])
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
        if len(groups) > 1:
            canvas.legend(loc="outside lower left", ncols=2)
        return _finish(canvas, name, title)


def bar_figure(bars: Sequence[Bar], name: str, title: str) -> Figure:
    """A waterfall: one horizontal bar a row, its label above it and its count at the right."""
    with _style(name):
        canvas, axes = _axes(0.3 + 0.4 * len(bars))
        widest = max((bar.start + bar.length for bar in bars), default=0) or 1
        for row, bar in enumerate(bars):
            axes.barh(row, bar.length, left=bar.start, height=0.42, color=bar.colour)
            axes.text(0, row - 0.3, shorten(bar.label, 52), va="bottom", ha="left", fontsize=8.5)
            axes.text(widest, row - 0.3, f"{bar.length:,}", va="bottom", ha="right", fontsize=8.5, color=MUTED)
        axes.set_xlim(0, widest)
        axes.set_ylim(len(bars) - 0.6, -0.85)
        axes.set_axis_off()
        return _finish(canvas, name, title)


def shorten(text: str, length: int) -> str:
    """At most `length` characters, printable, on one line."""
    line = " ".join(clean(text).split())
    return line if len(line) <= length else f"{line[: length - 1]}…"


def _style(name: str) -> AbstractContextManager[None]:
    return mpl.rc_context({**_STYLE, "svg.hashsalt": name})


def _axes(height: float) -> tuple[Canvas, Axes]:
    canvas = Canvas(figsize=(WIDTH, height))
    axes = canvas.add_subplot()
    axes.set_axisbelow(True)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=_TICKS))
    return canvas, axes


def _dodge(row: DotRow, k: int) -> float:
    """Height of group k beside the row's middle, so that several points of one row do not hide each other."""
    there = [i for i, value in enumerate(row.intervals) if value is not None]
    return 0.3 * (there.index(k) - (len(there) - 1) / 2)


def _draw_series(axes: Axes, series: Series, i: int) -> None:
    colour = COLOURS[i % len(COLOURS)]
    # Beyond six series the colours come round again; another dash keeps them apart.
    dash = "--" if series.dashed else ("-", "--", ":", "-.")[i // len(COLOURS) % 4]
    look: dict[str, Any] = {"color": colour, "ls": dash}
    look["label"] = shorten(series.name, 28)
    few = len(series.x) <= _FEW_POINTS
    if few:
        look |= {"marker": MARKERS[i % len(MARKERS)], "markersize": 4}
    reach = None
    if series.low is not None and series.high is not None:
        if few:
            reach = [np.subtract(series.y, series.low), np.subtract(series.high, series.y)]
        else:
            axes.fill_between(series.x, series.low, series.high, color=colour, alpha=0.18, linewidth=0)
    # Without bounds errorbar draws a plain line; one call for all keeps the legend in the order of the series.
    axes.errorbar(series.x, series.y, yerr=reach, capsize=2.5, elinewidth=1, **look)


def _finish(canvas: Canvas, name: str, title: str) -> Figure:
    png, svg = io.BytesIO(), io.StringIO()
    with warnings.catch_warnings():
        # A script that DejaVu Sans lacks shows boxes in the PNG; the page's own fonts draw it.
        warnings.filterwarnings("ignore", message="Glyph .* missing", category=UserWarning)
        FigureCanvasAgg(canvas)
        canvas.savefig(png, format="png", dpi=200, facecolor="white", metadata={"Software": None})
        FigureCanvasSVG(canvas)
        dropped = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        canvas.savefig(svg, format="svg", transparent=True, metadata=dropped)
    return Figure(name, _themed(svg.getvalue(), title), png.getvalue())


def _themed(svg: str, title: str) -> Html:
    """The bare <svg> element: colours from CSS, fonts from the page, no fixed size, no page-wide style, no group ids."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>|<style.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r'<g id="[^"]*"', "<g", body)
    body = re.sub(r"(fill|stroke): (#[0-9a-f]{6})", lambda m: f"{m[1]}: {_VARIABLES.get(m[2], m[2])}", body)
    body = body.replace("'DejaVu Sans'", "system-ui, sans-serif")
    view = re.search(r'viewBox="[^"]*"', body)
    opening = f'<svg {view[0] if view else ""} role="img" aria-label="{escape(title)}">'
    return Html(re.sub(r"^<svg[^>]*>", lambda _: opening, body).strip())
