"""A page to browse every output of an evaluation: filters, text search, fifty at a time; one file that needs nothing else.

Safety   the rows are JSON in which no `<` stands, in a block that browsers do not run; the script writes them as text nodes alone; the
         page's policy allows that one script by its hash and no network, so a model's output cannot become markup
Flow     evaluate writes outputs-NAME.html beside outputs-NAME.jsonl; the report links to it
Run      open RUN/evaluate/outputs-gsm8k.html
Limits   LaTeX is shown as it was written. The whole file is in the page: MATH's 5,000 outputs make some ten megabytes.
"""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from skyloom.core import store
from skyloom.core.report.html import Html, clean, tag

STYLE: Path = Path(__file__).with_name("browse.css")
SCRIPT: Path = Path(__file__).with_name("browse.js")


def write_page(path: Path, title: str, rows: Sequence[Mapping[str, Any]]) -> None:  # Any: JSON values
    """The page of rows as outputs-*.jsonl has them; `disputed` and `votes` are shown where a row has them."""
    script = SCRIPT.read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{title}: outputs"),
        tag("style", Html(STYLE.read_text(encoding="utf-8"))),
    )
    body = tag(
        "body",
        tag("h1", f"{title}: every output"),
        tag("form", id="filters", role="search"),
        tag("p", id="count", aria_live="polite"),
        tag("main", id="rows"),
        tag("nav", id="pages"),
        tag(
            "noscript",
            "This page needs its own script to show the outputs; they also stand in the .jsonl file beside it.",
        ),
        tag("script", _data(rows), type="application/json", id="data"),
        tag("script", Html(script)),
    )
    store.write_text(path, f"<!doctype html>\n{tag('html', head, body, lang='en')}\n")


def _data(rows: Sequence[Mapping[str, Any]]) -> Html:  # Any: as above
    """JSON without a character that could end its element; control characters are shown, not obeyed."""
    told = [{key: clean(value) if isinstance(value, str) else value for key, value in row.items()} for row in rows]
    text = json.dumps(told, ensure_ascii=False, allow_nan=False)
    return Html(text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))
