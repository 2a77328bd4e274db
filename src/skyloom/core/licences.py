"""Licences: whether rows under a licence name may go into a product. A reading of the notices, not legal advice.

Names are SPDX's where it has one. What stands in brackets behind a name, or after a comma, is the source's own remark; "A and B" is as
strict as the stricter of the two.

Flow   collect -> [curate: annotate -> decide -> materialise] -> train -> evaluate -> report; the data card's roll-up reads it
Run    edit licences.toml to add a name
"""

import functools
import re
import tomllib
from pathlib import Path
from typing import NamedTuple

TABLE: Path = Path(__file__).with_name("licences.toml")
STRICTEST: tuple[str, ...] = ("no", "unknown", "yes")


class Terms(NamedTuple):
    """What a licence asks."""

    commercial: str
    """yes, no or unknown."""
    note: str
    """Its conditions in a few words; empty where nothing is known."""


def terms(licence: str) -> Terms:
    """The terms of a licence name; a name that the table does not hold is unknown, or `no` where it says non-commercial itself."""
    known = [_one(part.strip()) for part in licence.split(" and ")]
    strictest = min(known, key=lambda each: STRICTEST.index(each.commercial))
    return Terms(strictest.commercial, "; ".join(dict.fromkeys(each.note for each in known if each.note)))


def mark(licence: str, gated: bool = False) -> str:
    """What a reader must not miss: `non-commercial`, `unknown` and `gated`, as far as they hold, else empty."""
    word = {"no": "non-commercial", "unknown": "unknown", "yes": ""}[terms(licence).commercial]
    return ", ".join(filter(None, (word, "gated" if gated else "")))


def _one(name: str) -> Terms:
    found = _table().get(name) or _table().get(name.partition(" (")[0])
    if found is not None:
        return found
    return Terms("no" if re.search(r"(?i)non-?commercial|\bNC\b", name) else "unknown", "")


@functools.cache
def _table() -> dict[str, Terms]:
    with TABLE.open("rb") as file:
        return {name: Terms(**entry) for name, entry in tomllib.load(file).items()}
