"""HTML as a tree of calls: text is escaped, markup is a type of its own, so nothing read from a run can become markup.

Flow  core.report.sections builds every element with `tag`
Run   tag("td", "a < b", class_="text") -> '<td class="text">a &lt; b</td>'
"""

import html
import re
from collections.abc import Iterable
from typing import Final

VOID: Final[frozenset[str]] = frozenset({"meta", "br", "hr"})
# Control characters, lone surrogates (they cannot be encoded) and the marks that turn the direction of all text after them.
_UNPRINTABLE: Final[re.Pattern[str]] = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


class Html(str):
    """Finished markup; a plain `str` is text."""

    __slots__ = ()


def clean(text: str) -> str:
    """Text that any file can hold: control and direction characters and lone surrogates become U+FFFD."""
    return _UNPRINTABLE.sub("\ufffd", text)


def escape(text: str) -> Html:
    """Text as markup; markup stays as it is."""
    return text if isinstance(text, Html) else Html(html.escape(clean(text), quote=True))


def tag(name: str, /, *children: str, **attributes: str) -> Html:
    """One element; an attribute's trailing underscore is dropped (`class_`), inner ones become hyphens."""
    pairs = [f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"' for key, value in attributes.items()]
    opening = f"<{name}{''.join(pairs)}>"
    return Html(opening if name in VOID else f"{opening}{join(children)}</{name}>")


def join(children: Iterable[str], between: str = "") -> Html:
    """Elements and texts one after another, `between` escaped in between."""
    return Html(escape(between).join(escape(child) for child in children))
