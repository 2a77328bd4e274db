"""Licence: drop the rows of sources whose licence refuses the use that is planned.

Formula  a licence is refused where a pattern's words stand in it one behind the other; case and punctuation do not count, so the
         pattern "nc" is in "CC-BY-NC-4.0" and "non commercial" in "Non-Commercial research"
Source   ours; magpie-ultra and others are under licences of the models that wrote them, alpaca_eval is CC BY-NC
Flow     collect -> [curate: annotate -> DECIDE -> materialise] -> train; the data card lists the licences of what is kept
Run      skyloom run skywork_reward --set curate.licence.unstated=drop
Limits   words are matched, terms are not understood: this is a filter, no legal advice
Shapes   N rows of the ledger
"""

import re
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from skyloom.core.errors import BadInput
from skyloom.core.ledger.decide import DeciderConfig

READS: tuple[str, ...] = ("licence",)  # a key column: written when the rows are collected
UNSTATED: tuple[str, ...] = ("none", "unknown", "unstated", "as stated by its owner")
"""What sources write where they know no licence."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(DeciderConfig):
    """What is refused."""

    refuse: tuple[str, ...] = ("nc", "non commercial", "noncommercial", "research only", "local use only")
    """Patterns: words in a row."""
    unstated: Literal["keep", "drop"] = "keep"
    """What happens to rows whose licence is empty or not known."""


def decide(ledger_N: pl.DataFrame, config: Config) -> pl.Series:
    """The reason for dropping each row; null keeps it. Raises BadInput for a pattern without a word."""
    for pattern in config.refuse:
        if not _words(pattern).strip():
            raise BadInput(f"licence: refuse holds {pattern!r}; a pattern needs a word")
    patterns = [*config.refuse, *(UNSTATED if config.unstated == "drop" else ())]
    licence_N = ledger_N["licence"].cast(pl.String).fill_null("")
    refused = [each for each in licence_N.unique().to_list() if _refused(each, patterns, config.unstated == "drop")]
    over = pl.col("alive") & pl.Series(licence_N.is_in(refused))
    return ledger_N.select(pl.when(over).then(pl.lit("licence_refused")).alias("reason"))["reason"]


def _refused(licence: str, patterns: list[str], empty: bool) -> bool:
    words = _words(licence)
    return any(_words(pattern) in words for pattern in patterns) or (empty and not words.strip())


def _words(text: str) -> str:
    """Lower-case words, each between blanks, so that whole words are compared."""
    return f" {' '.join(re.findall(r'[a-z0-9]+', text.lower()))} "


EXAMPLE: tuple[tuple[dict[str, Any], str | None], ...] = (  # Any: column values
    ({"licence": "Apache-2.0"}, None),
    ({"licence": "CC-BY-NC-4.0"}, "licence_refused"),
    ({"licence": "Llama 3.1 licence, non-commercial"}, "licence_refused"),
    ({"licence": "none stated"}, None),
)
