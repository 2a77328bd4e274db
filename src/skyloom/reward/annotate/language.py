"""Language: what the prompt and each side are written in.

Formula  ISO 639 code of the most probable language of the first `characters` characters; `und` (undetermined, ISO 639-2) where the
         text has no letters, or its probability is below `least`
Source   py3langid 0.4 (Lui & Baldwin 2012, langid.py: naive Bayes over byte n-grams, 140 languages, numpy only, no random numbers)
Flow     collect -> [curate: ANNOTATE -> decide -> materialise] -> train
Run      skyloom run skywork_reward --smoke
Limits   a text of one or two words is mostly undetermined; code counts as the language of its words
Shapes   N rows of the ledger
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
from py3langid.langid import MODEL_FILE, LanguageIdentifier

from skyloom.core.errors import BadInput
from skyloom.core.ledger.annotate import AnnotatorConfig

KIND: str = "map"
READS: tuple[str, ...] = ("prompt", "chosen", "rejected")
WRITES: dict[str, pl.DataType] = {f"language.{part}": pl.String() for part in READS}
UNKNOWN: str = "und"


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(AnnotatorConfig):
    """How much is read, and how sure it must be."""

    characters: int = 200
    """First characters that are read, at least 1; more costs time and changes little. Of a prompt, the user's turns are read."""
    least: float = 0.5
    """Smallest probability that is believed, 0 to 1; ours: below it, English of three words comes out as anything."""


def annotate(rows_N: pl.DataFrame, config: Config) -> pl.DataFrame:
    """Language of each part. Raises BadInput for settings out of range."""
    if config.characters < 1 or not 0 <= config.least <= 1:
        raise BadInput(f"language: characters={config.characters} must be at least 1, least={config.least} in 0 to 1")
    written: dict[str, list[str]] = {name: [] for name in WRITES}
    for prompt, chosen, rejected in rows_N.select(READS).iter_rows():
        for name, text in zip(WRITES, (_asked(prompt), chosen, rejected), strict=True):
            written[name].append(language_of(text[: config.characters], config.least))
    return pl.DataFrame(written, schema=WRITES)


def language_of(text: str, least: float) -> str:
    """ISO 639 code of a text's language, or `und`."""
    if not any(letter.isalpha() for letter in text):
        return UNKNOWN
    code, probability = _identifier().classify(text)
    return code if probability >= least else UNKNOWN


def _asked(prompt: Sequence[Mapping[str, str]]) -> str:
    return "\n".join(turn["content"] for turn in prompt if turn["role"] == "user")


@functools.cache
def _identifier() -> LanguageIdentifier:
    """The shipped model: an own instance, because the library's module-level one can be reset by anyone."""
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def _row(prompt: str, chosen: str, rejected: str) -> dict[str, Any]:  # Any: column values
    return {"prompt": [{"role": "user", "content": prompt}], "chosen": chosen, "rejected": rejected}


EXAMPLE: tuple[tuple[dict[str, Any], ...], tuple[dict[str, Any], ...]] = (  # Any: as above
    (
        _row(
            "Guten Tag, wie geht es Ihnen heute?",
            "Mir geht es gut, danke der Nachfrage.",
            "I am fine, thank you very much.",
        ),
    ),
    ({"language.prompt": "de", "language.chosen": "de", "language.rejected": "en"},),
)
