"""The words of the preference world: topics, names, templates, read once from `words.toml`.

Flow   tasks.py writes instructions and answers with it, defects.py edits them
Run    python -c "from skyloom.reward.world.language import language; print(language().names['eval'][:5])"
"""

import functools
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Part = Literal["train", "eval"]
PARTS: int = 5
"""One part in five of names and prompts belongs to the evaluation."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Language:
    """Everything that can be said in the world."""

    topics: dict[str, tuple[str, ...]]
    """Topic -> its words; no word stands in two topics."""
    plain: tuple[str, ...]
    """Sentences about words {w}, {v}, {u} of one topic."""
    filler: tuple[str, ...]
    """Sentences that say nothing: what a length bias is padded with."""
    templates: dict[str, tuple[str, ...]]
    """Instructions and answers by task."""
    styles: dict[str, str]
    """Answer format -> how an instruction asks for it."""
    verbs: tuple[str, ...]
    harmful: tuple[str, ...]
    """Objects that make any verb a harmful act."""
    harmless: tuple[str, ...]
    """Objects that make the same verbs harmless."""
    swaps: tuple[tuple[str, str], ...]
    """Edits that leave the meaning alone."""
    openers: tuple[str, ...]
    closers: tuple[str, ...]

    names: dict[Part, tuple[str, ...]]
    """The names of each part; train and eval share none."""


@functools.cache
def language() -> Language:
    """The shipped language."""
    data: dict[str, Any] = tomllib.loads(  # Any: TOML of the shape that the lines below spell out
        Path(__file__).with_name("words.toml").read_text(encoding="utf-8")
    )
    sections = {**data["chat"], **data["chat_hard"], **data["safety"], **data["reasoning"]}
    styles = sections.pop("styles")
    names = [head + tail for head in data["names"]["heads"] for tail in data["names"]["tails"]]
    return Language(
        topics={topic: tuple(words) for topic, words in data["topics"].items()},
        plain=tuple(data["sentences"]["plain"]),
        filler=tuple(data["sentences"]["filler"]),
        templates={name: tuple(lines) for name, lines in sections.items()},
        styles=dict(styles),
        verbs=tuple(data["safety"]["verbs"]),
        harmful=tuple(data["safety"]["harmful"]),
        harmless=tuple(data["safety"]["harmless"]),
        swaps=tuple((old, new) for old, new in data["edits"]["swaps"]),
        openers=tuple(data["edits"]["openers"]),
        closers=tuple(data["edits"]["closers"]),
        names={"train": tuple(n for k, n in enumerate(names) if k % PARTS), "eval": tuple(names[::PARTS])},
    )
