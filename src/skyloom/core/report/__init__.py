"""The report of a run: one HTML file that needs nothing else, and every figure as a PNG for papers.

It reads the files of a run directory and knows no system: collect/sources.json, */waterfall.json, */truth.json,
train/metrics.jsonl, evaluate/{results,tables,plots}.json, run.json. A section whose file is absent is left out and named at
the end. No script, no network, no clock: equal files give equal bytes.

Flow  collect -> curate -> train -> evaluate -> [report]
Run   skyloom report RUN        one run -> RUN/report/index.html
      skyloom demo              all systems on one page
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from skyloom.core import store
from skyloom.core.report.html import Html, join, tag
from skyloom.core.report.read import RunFacts, read_run
from skyloom.core.report.sections import Absent, Section, interval_text, sections, slug, verdict

_STYLE: Path = Path(__file__).with_name("report.css")
# Scripts, network and frames stay refused even if markup should ever slip in.
_POLICY: str = "default-src 'none'; style-src 'unsafe-inline'"
_FOOT: str = (
    "Intervals are two-sided, 95% unless their method says otherwise; n counts independent observations. "
    "Every figure also stands beside this file as a PNG."
)


class Chapter(NamedTuple):
    """One run on the page."""

    key: str
    """Anchor."""
    run: RunFacts
    sections: tuple[Section, ...]
    absent: tuple[Absent, ...]


def render(run_dir: Path) -> Path:
    """Write RUN/report/index.html and its PNG figures; returns the path of the HTML file.

    Raises BadInput where the directory is missing or one of its files is damaged, FailedWork where the disk refuses.
    """
    chapter = _chapter(run_dir, "", "..")
    return _write(run_dir / "report", chapter.run.name, join((_kicker(), *_body(chapter))), [chapter])


def render_many(run_dirs: Sequence[Path], out: Path) -> Path:
    """Write one page for several runs, a chapter each, into the folder `out`; returns the path of its index.html.

    Raises like render.
    """
    chapters = [
        _chapter(run_dir, f"{i}-{slug(run_dir.name)}-", quote(os.path.relpath(run_dir, out)))
        for i, run_dir in enumerate(run_dirs, 1)
    ]
    title = f"{len(chapters)} runs"
    overview = tag("div", *(_card(each) for each in chapters), class_="grid")
    articles = [tag("article", *_body(each), id=each.key) for each in chapters]
    return _write(out, title, join((_kicker(), tag("h1", title), overview, *articles)), chapters)


def _chapter(run_dir: Path, prefix: str, base: str) -> Chapter:
    run = read_run(run_dir)
    parts = list(sections(run, prefix, base))
    there = tuple(part for part in parts if isinstance(part, Section))
    return Chapter(f"{prefix}run", run, there, tuple(part for part in parts if isinstance(part, Absent)))


def _kicker() -> Html:
    return tag("p", "Skyloom report", class_="kicker")


def _body(chapter: Chapter) -> list[Html]:
    """Heading, links to the sections, the sections, and what was left out."""
    manifest = chapter.run.manifest
    told = [f"{key} {manifest[key]}" for key in ("seed", "fingerprint", "started") if key in manifest]
    nav = tag("nav", *(tag("a", each.title, href=f"#{each.key}") for each in chapter.sections))
    shown = [tag("h1", chapter.run.name), tag("p", " · ".join(told), class_="fine"), nav]
    shown += [tag("section", tag("h2", each.title), each.body, id=each.key) for each in chapter.sections]
    if chapter.absent:
        missing = "; ".join(f"{each.title} ({each.missing} is missing)" for each in chapter.absent)
        shown.append(tag("p", f"Left out: {missing}.", class_="note"))
    return shown


def _card(chapter: Chapter) -> Html:
    """One run of the overview: its verdict, its headline and what that had to beat."""
    name = tag("a", chapter.run.name, href=f"#{chapter.key}")
    evaluation = chapter.run.evaluation
    if evaluation is None:
        return tag("div", tag("p", name, tag("span", "not evaluated", class_="chip"), class_="name"), class_="card")
    head, null = evaluation.headline, evaluation.best_null
    lines = [tag("p", f"{head.name} ", interval_text(head.interval))]
    if null is not None:
        lines.append(tag("p", f"best null, {null.name}: ", interval_text(null.interval), class_="fine"))
    return tag("div", tag("p", name, verdict(evaluation), class_="name"), *lines, class_="card")


def _write(out: Path, title: str, body: Html, chapters: Sequence[Chapter]) -> Path:
    for figure in (figure for chapter in chapters for section in chapter.sections for figure in section.figures):
        store.write_bytes(out / f"{figure.name}.png", figure.png)
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{title} · Skyloom"),
        tag("style", Html(_STYLE.read_text(encoding="utf-8"))),
    )
    page = tag("html", head, tag("body", tag("main", body, tag("footer", _FOOT))), lang="en")
    store.write_text(out / "index.html", f"<!doctype html>\n{page}\n")
    return out / "index.html"
