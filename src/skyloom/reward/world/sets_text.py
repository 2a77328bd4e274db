"""Texts of the generated sets: tasks of the preference world under names that no two rows share.

A prompt is one of the world's tasks, asked for a person of three names; the number of the row picks the names, so no prompt stands
twice in any set, and the sets share no name with the benchmark. Only templates in which every seven words in a row hold a name are
used: seven words of a RewardBench prompt arise in training only where a leak was planted.

Flow     world/sets.py writes files with it
Run      python -c "from skyloom.reward.world.sets_text import tell, name_of; print(tell(0, 'x', 1, ('topic',), name_of(1)))"
"""

import functools
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from skyloom.core.rng import stream
from skyloom.reward.world import tasks
from skyloom.reward.world.language import Language, Part, language
from skyloom.reward.world.tasks import Dice, Draft, Task, pick

TASKS: dict[str, Task] = {
    task.__name__: task for group in tasks.SECTIONS.values() for task, _ in group if task is not tasks.compare
}
"""Tasks by name; `compare` asks without a name, so its prompts would repeat."""
PROMPTS: tuple[str, ...] = ("topic", "include", "avoid", "format", "ask", "sum", "parity", "vowel")
"""Keys of the templates that instructions are made of."""
GRAM: int = 7
"""Words in a row that Skywork-Reward's decontamination script takes for a leak."""
_STEP: int = 5_000_011
"""Prime to the numbers of names, so that neighbouring rows have unlike names."""


class Told(NamedTuple):
    """One instruction with two right and two wrong answers."""

    prompt: str
    rights: tuple[str, str]
    wrongs: tuple[str, str]


def name_of(number: int, part: Part = "train") -> str:
    """Three names for a number; equal names come again only after 8.4 million numbers (140,000 of the evaluation part)."""
    names = language().names[part]
    left = number * _STEP % len(names) ** 3
    return " ".join(names[left // len(names) ** k % len(names)] for k in range(3))


def tell(seed: int, where: str, index: int, asked: Sequence[str], name: str, look: str = "") -> Told:
    """Row `index` of a set: one of the tasks asked for, answered twice. Another `look` says the same in other words."""
    task = TASKS[pick(stream(seed, "sets", where, index, "task"), asked)]
    first, second = (_draft(task, seed, where, index, name, f"{look}{k}") for k in (0, 1))
    return Told(first.prompt, (first.right, second.right), (first.wrong, second.wrong))


def _draft(task: Task, seed: int, where: str, index: int, name: str, look: str) -> Draft:
    dice = Dice(stream(seed, "sets", where, index, "look", look), stream(seed, "sets", where, index, "meaning"))
    return task(dice, _spoken(), name)


@functools.cache
def _spoken() -> Language:
    """The world's language with the instructions that no seven words without a name are left of."""
    lang = language()
    kept = {key: tuple(filter(_named, lang.templates[key])) for key in PROMPTS}
    return replace(lang, templates={**lang.templates, **kept})


def _named(template: str) -> bool:
    """Whether fewer than GRAM words stand before, between and after the names, however the template is filled."""
    lang = language()
    act = f"{max(lang.verbs, key=_words)} {max((*lang.harmful, *lang.harmless), key=_words)}"
    filled = template.format(n="\n", t="t", w="w", a=act, x="x", y="y", style=max(lang.styles.values(), key=_words))
    return all(_words(part) < GRAM for part in filled.split("\n"))


def _words(text: str) -> int:
    return len(re.findall(r"\w+", text))
