"""The sections of a report: facts of a run in, HTML and figures out.

Counts of rows are a census, so they carry a total and no interval; everything estimated from a sample shows its interval
and n.

Flow  RunFacts -> sections(run) -> core.report joins them into one page
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import quote

from skyloom.core import stats
from skyloom.core.metrics import Cell, Estimate, Evaluation, MetricRow, Plot, Series, Table
from skyloom.core.report import figures
from skyloom.core.report.figures import COLOURS, MUTED, Bar, DotRow, Figure
from skyloom.core.report.html import Html, join, tag
from skyloom.core.report.read import Decision, RunFacts, SourceFacts, StepFacts, Waterfall, place
from skyloom.core.stats import Interval

MOST_BARS: int = 14
"""A waterfall shows so many reasons; the table below it has all."""
MOST_CURVES: int = 6
CURVE_POINTS: int = 200
"""Longer training logs are drawn as means of equal stretches, with the range inside each as a band."""


class Section(NamedTuple):
    """One part of the page."""

    key: str
    """Anchor, unique within a run."""
    title: str
    body: Html
    figures: tuple[Figure, ...] = ()
    step: str = ""
    """Folder that it was read from."""


class Absent(NamedTuple):
    """A section that the run has no file for."""

    title: str
    missing: str


def sections(run: RunFacts, prefix: str, base: str = "..") -> Iterator[Section | Absent]:
    """All sections of a run in reading order; `prefix` makes figure names and anchors unique on the page.

    `base`: from the page's folder to the run directory."""
    yield _result(run.evaluation, prefix) if run.evaluation else Absent("Result", "evaluate/results.json")
    parts: tuple[tuple[str, str, Callable[[StepFacts, str], Section | None]], ...] = (
        ("Curation", "curate/waterfall.json", _curation),
        ("Sources and licences", "collect/sources.json", _sources),
        ("Planted truth", "curate/truth.json", _truth),
        ("Training", "train/metrics.jsonl", _training),
        ("Evaluation", "evaluate/tables.json, evaluate/plots.json", partial(_details, base=base)),
    )
    for title, missing, build in parts:
        found = [section for step in run.steps if (section := build(step, prefix))]
        alike = len({section.title for section in found}) < len(found)
        for section in found:  # a run with two ledgers has two such sections; their step names tell them apart
            yield section._replace(title=f"{title}: {section.step}") if alike else section
        if not found:
            yield Absent(title, missing)
    yield _provenance(run, prefix) if run.manifest else Absent("Provenance", "run.json")


def verdict(evaluation: Evaluation) -> Html:
    """Whether the headline beats the best null baseline, as a coloured word that also reads without colour."""
    if evaluation.best_null is None:
        return tag("span", "no baseline measured", class_="chip")
    won = evaluation.beats_null
    return tag("span", "beats the null" if won else "does not beat the null", class_="chip good" if won else "chip bad")


def interval_text(interval: Interval, n: bool = True) -> Html:
    """0.712 [0.684, 0.738] n=900, rounded to what the interval supports."""
    digits = _digits(interval.high - interval.low, interval.value)
    low, high = (f"{bound:,.{digits}f}" for bound in (interval.low, interval.high))
    bounds = f"[{low}, {high}]" + (f" n={interval.n:,}" if n else "")
    return join((f"{interval.value:,.{digits}f}", tag("span", bounds, class_="bounds")), " ")


def table(columns: Sequence[str], rows: Sequence[Sequence[Cell]], caption: str = "") -> Html:
    """A table in its own scrolling box; numeric columns are set right."""
    right = [any(_numeric(row[i]) for row in rows) for i in range(len(columns))]
    kinds = ["num" if each else "text" for each in right]
    head = tag("tr", *(tag("th", name, scope="col", class_=kind) for name, kind in zip(columns, kinds, strict=True)))
    body = [tag("tr", *(tag("td", _cell(c), class_=k) for c, k in zip(row, kinds, strict=True))) for row in rows]
    shown = (tag("caption", caption),) if caption else ()
    inner = tag("table", *shown, tag("thead", head), tag("tbody", *body))
    return tag("div", inner, class_="scroll", tabindex="0", role="region", aria_label=caption or "table")


def _digits(width: float, value: float) -> int:
    """Decimals that show two digits of the interval's width; three significant digits where it has none."""
    scale = width if width > 0 else abs(value) / 10
    return min(6, max(0, 1 - math.floor(math.log10(scale)))) if scale > 0 else 0


def _numeric(cell: Cell) -> bool:
    if isinstance(cell, str):
        return cell.endswith("%")
    return isinstance(cell, Interval) or (isinstance(cell, int | float) and not isinstance(cell, bool))


def _cell(cell: Cell) -> str:
    match cell:
        case None:
            return tag("span", "–", class_="bounds")
        case bool():
            return "yes" if cell else "no"
        case int():
            return f"{cell:,}"
        case float():
            return f"{cell:,.{_digits(0.0, cell)}f}" if 1e-4 <= abs(cell) < 1e15 or not cell else f"{cell:.3g}"
        case Interval():
            return interval_text(cell)
        case str():
            return cell


def _share(part: int, whole: int) -> str:
    if not whole:
        return "–"
    return "<0.1%" if 0 < part < 0.0005 * whole else f"{part / whole:.1%}"


def _figure(figure: Figure, caption: str) -> Html:
    return tag("figure", figure.svg, tag("figcaption", caption))


def _result(evaluation: Evaluation, prefix: str) -> Section:
    head, null = evaluation.headline, evaluation.best_null
    digits = _digits(head.high - head.low, head.value)
    bounds = f"{head.low:,.{digits}f} to {head.high:,.{digits}f}"
    card = tag(
        "div",
        tag("p", tag("span", head.name, class_="what"), verdict(evaluation), class_="name"),
        tag("p", f"{head.value:,.{digits}f}", class_="big"),
        tag("p", f"interval {bounds} · n = {head.n:,} · {head.method}", class_="fine"),
        tag("p", _against(head, null), class_="fine"),
        class_="card",
    )
    marks = [DotRow(head.name, (head.interval, None))]
    marks += [DotRow(each.name, (None, each.interval)) for each in evaluation.baselines]
    figure = figures.dot_figure(marks, ("trained", "null baseline"), f"{prefix}result", f"{head.name} and baselines")
    roles = [("headline", head), *(("null baseline", each) for each in evaluation.baselines)]
    roles += [("further number", other) for other in evaluation.others]
    rows = [(each.name, interval_text(each.interval, n=False), each.n, role, each.method) for role, each in roles]
    numbers = table(("number", "value and interval", "n", "role", "method"), rows, "Every number of the evaluation")
    body = join((card, _figure(figure, f"{head.name}: the trained system and the null baselines"), numbers))
    return Section(f"{prefix}result", "Result", body, (figure,))


def _against(head: Estimate, null: Estimate | None) -> Html:
    if null is None:
        return join(("No null baseline was measured, so nothing was beaten.",))
    verb = "lies above" if head.low > null.value else "does not lie above"
    told = (f"Its lower bound {verb} the best null baseline, {null.name}: ", interval_text(null.interval), ".")
    return join(told)


def _details(step: StepFacts, prefix: str, base: str) -> Section | None:
    if not step.tables and not step.plots:
        return None
    drawn = [figures.line_figure(plot, f"{prefix}{step.name}-{i}") for i, plot in enumerate(step.plots or (), 1)]
    plots = [_figure(figure, plot.title) for figure, plot in zip(drawn, step.plots or (), strict=True)]
    grid = (tag("div", *plots, class_="grid"),) if plots else ()
    links = (tag("a", page, href=f"{base}/{quote(step.name)}/{quote(page)}") for page in step.pages or ())
    pages = (tag("p", "Every output, to browse: ", join(links, " · "), class_="note"),) if step.pages else ()
    body = join((*pages, *grid, *(_told_table(each) for each in step.tables or ())))
    title = "Evaluation" if step.name == "evaluate" else f"{step.name.capitalize()} in numbers"
    return Section(f"{prefix}numbers-{step.name}", title, body, tuple(drawn), step.name)


def _told_table(told: Table) -> Html:
    note = (tag("p", told.note, class_="note"),) if told.note else ()
    return join((tag("h3", told.title), *note, table(told.columns, told.rows)))


def _training(step: StepFacts, prefix: str) -> Section | None:
    if not step.metrics:
        return None
    names = list(dict.fromkeys(name for row in step.metrics for name in row.values))
    # The loss first, then as logged.
    names.sort(key=lambda name: name != "loss")
    drawn = [
        figures.line_figure(_curve(step.metrics, name), f"{prefix}{step.name}-{slug(name)}-{i}")
        for i, name in enumerate(names[:MOST_CURVES], 1)
    ]
    captions = (f"{name} by step" for name in names)
    grid = tag(
        "div", *(_figure(figure, caption) for figure, caption in zip(drawn, captions, strict=False)), class_="grid"
    )
    first, last = step.metrics[0], step.metrics[-1]
    told = f"{len(step.metrics):,} logged steps, {first.step:,} to {last.step:,}."
    if len(step.metrics) > CURVE_POINTS:
        told += f" Long lines are means of {math.ceil(len(step.metrics) / CURVE_POINTS)} steps, bands their range."
    if names[MOST_CURVES:]:
        told += f" Logged but not drawn: {', '.join(names[MOST_CURVES:])}."
    return Section(
        f"{prefix}training-{step.name}",
        "Training",
        join((tag("p", told, class_="note"), grid)),
        tuple(drawn),
        step.name,
    )


def _curve(rows: Sequence[MetricRow], name: str) -> Plot:
    points = [(row.step, row.values[name]) for row in rows if name in row.values]
    stretch = math.ceil(len(points) / CURVE_POINTS)
    chunks = [points[i : i + stretch] for i in range(0, len(points), stretch)]
    values = [[value for _, value in chunk] for chunk in chunks]
    series = Series(
        name=name,
        x=tuple(chunk[-1][0] for chunk in chunks),
        y=tuple(math.fsum(each) / len(each) for each in values),
        low=tuple(min(each) for each in values) if stretch > 1 else None,
        high=tuple(max(each) for each in values) if stretch > 1 else None,
    )
    return Plot(title=f"{name} by step", x="step", y=name, series=(series,))


def _curation(step: StepFacts, prefix: str) -> Section | None:
    flow = step.waterfall
    if flow is None:
        return None
    dropped = flow.rows_in - flow.kept
    told = f"{flow.kept:,} of {flow.rows_in:,} rows kept ({_share(flow.kept, flow.rows_in)}), {dropped:,} dropped."
    figure = figures.bar_figure(_bars(flow), f"{prefix}{step.name}-waterfall", "Rows kept and dropped by reason")
    rows: list[tuple[Cell, ...]] = [("rows in", "", flow.rows_in, _share(flow.rows_in, flow.rows_in), flow.rows_in)]
    left = flow.rows_in
    for decision in flow.steps:
        left -= decision.dropped
        parts = list(_parts(decision)) or [("nothing", 0)]
        for i, (reason, count) in enumerate(parts):
            after = left if i == len(parts) - 1 else None
            rows.append((decision.step, reason, count, _share(count, flow.rows_in), after))
    rows.append(("kept", "", flow.kept, _share(flow.kept, flow.rows_in), flow.kept))
    listed = table(("decider", "reason", "rows", "share of all", "left after"), rows, "Decisions in order")
    note = tag("p", f"{told} Counts are of every row, so they carry no interval.", class_="note")
    body = join((note, _figure(figure, "Rows in, dropped by reason in the order of the deciders, kept"), listed))
    return Section(f"{prefix}curation-{step.name}", "Curation", body, (figure,), step.name)


def _parts(decision: Decision) -> Iterator[tuple[str, int]]:
    """Reasons with their rows; where a decider also changes rows, its reasons count both, so the split is told apart."""
    yield from decision.reasons.items()
    if decision.changed:
        yield "of these flipped or mended, not dropped", decision.changed


def _bars(flow: Waterfall) -> list[Bar]:
    drops = [
        (reason if reason == decision.step else f"{decision.step}: {reason}", count)
        for decision in flow.steps
        # Reasons of a decider that also changes rows do not say which rows were dropped: one bar for them all.
        for reason, count in (("dropped", decision.dropped),) * bool(decision.changed) or decision.reasons.items()
        if count
    ]
    if len(drops) > MOST_BARS:
        small = sorted(drops, key=lambda drop: drop[1])[: len(drops) - MOST_BARS + 1]
        rest = sum(count for _, count in small)
        drops = [drop for drop in drops if drop not in small] + [(f"{len(small)} smaller reasons", rest)]
    bars = [Bar("rows in", 0, flow.rows_in, MUTED)]
    left = flow.rows_in
    for label, count in drops:
        left -= count
        bars.append(Bar(label, left, count, COLOURS[1]))
    return [*bars, Bar("kept", 0, flow.kept, COLOURS[0])]


def _truth(step: StepFacts, prefix: str) -> Section | None:
    if not step.truth:
        return None
    rows: list[tuple[Cell, ...]] = []
    marks: list[DotRow] = []
    for each in step.truth:
        precision, recall = stats.precision_recall(each.hits, each.found, each.planted)
        rows.append((each.defect, precision, recall, each.planted, each.found, each.hits))
        marks.append(DotRow(each.defect, (precision, recall)))
    columns = ("defect", "precision", "recall", "planted", "found", "both")
    note = (
        "The world planted these defects and curation never saw the list. Precision: of the rows found, the share that "
    )
    note += "was planted; recall: of the rows planted, the share that was found. Wilson intervals."
    figure = figures.dot_figure(marks, ("precision", "recall"), f"{prefix}{step.name}-truth", "Planted truth")
    shown = _figure(figure, "Precision and recall by planted defect")
    body = join((tag("p", note, class_="note"), shown, table(columns, rows, "Planted against found")))
    return Section(f"{prefix}truth-{step.name}", "Planted truth", body, (figure,), step.name)


def _sources(step: StepFacts, prefix: str) -> Section | None:
    if not step.sources:
        return None
    rows = [
        (
            each.label,
            each.plugin,
            each.licence,
            _split(each),
            each.rows,
            each.rejected,
            _share(each.rejected, _read(each)),
        )
        for each in step.sources
    ]
    columns = ("source", "plug-in", "licence", "split", "rows", "rejected", "share rejected")
    blocks = [
        table(columns, rows),
        table(("licence", "sources", "rows"), _licences(step.sources), "Licences"),
    ]
    reasons = [
        (each.label, reason, count, _share(count, _read(each)))
        for each in step.sources
        for reason, count in each.reject_reasons.items()
    ]
    if reasons:
        blocks.append(table(("source", "reason", "rows", "share of rows read"), reasons, "Rejected rows by reason"))
    return Section(f"{prefix}sources-{step.name}", "Sources and licences", join(blocks), (), step.name)


def _read(source: SourceFacts) -> int:
    return source.rows + source.rejected


def _split(source: SourceFacts) -> str:
    return tag("strong", f"{source.split}, trained on purpose") if source.as_train else source.split


def _licences(sources: Sequence[SourceFacts]) -> list[tuple[Cell, ...]]:
    names = dict.fromkeys(source.licence for source in sources)
    under = {name: [source for source in sources if source.licence == name] for name in names}
    return [(name, ", ".join(s.label for s in each), sum(s.rows for s in each)) for name, each in under.items()]


def _provenance(run: RunFacts, prefix: str) -> Section:
    plain = {key: value for key, value in run.manifest.items() if key not in ("config", "steps")}
    steps = run.manifest.get("steps")
    blocks = [tag("dl", *_definitions(plain))]
    if isinstance(steps, dict) and steps:
        blocks.append(_step_table(steps))
    if "config" in run.manifest:
        pretty = json.dumps(run.manifest["config"], indent=2, ensure_ascii=False, sort_keys=True)
        blocks.append(tag("details", tag("summary", "Whole configuration"), tag("pre", tag("code", pretty))))
    return Section(f"{prefix}provenance", "Provenance", join(blocks))


def _definitions(values: Mapping[str, Any]) -> Iterator[Html]:  # Any: JSON, shown as it is
    for key, value in values.items():
        inner = ", ".join(f"{k} {_plain(v)}" for k, v in value.items()) if isinstance(value, dict) else _plain(value)
        yield tag("dt", key)
        yield tag("dd", inner or "–")


def _plain(value: Any) -> str:  # Any: JSON, shown as it is
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)


def _step_table(steps: Mapping[str, Any]) -> Html:  # Any: JSON, shown as it is
    """Name, fingerprint and seconds first, whatever else run.json says of a step after them."""
    facts = {
        name: steps[name] if isinstance(steps[name], dict) else {"note": steps[name]}
        for name in sorted(steps, key=place)
    }
    extra = dict.fromkeys(key for value in facts.values() for key in value if key not in ("key", "seconds"))
    columns = ("key", "seconds", *extra)
    rows = [(name, *(_fact(value.get(key)) for key in columns)) for name, value in facts.items()]
    return table(("step", "fingerprint", "seconds", *extra), rows, "Steps")


def _fact(value: Any) -> Cell:  # Any: JSON, shown as it is
    return value if value is None or isinstance(value, str | int | float) else _plain(value)


def slug(text: str) -> str:
    """Letters and digits only, for file names and anchors."""
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in text)[:40]
