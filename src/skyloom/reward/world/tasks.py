"""The tasks of the preference world: an instruction, an answer that keeps it and one that breaks it, by construction.

Each task draws the pair of sides symmetrically: swap the meaning of the instruction and the same two answers change
places. So nothing that looks at answers alone (length, markdown, punctuation, first word, any bag of words) can win.

Flow     sources/world.py asks for drafts; defects.py plants defects in them
Run      python -c "from skyloom.reward.world.tasks import show; print(show(7))"
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from numpy.random import Generator

from skyloom.core.rng import stream
from skyloom.reward.world.language import Language, Part, language

T = TypeVar("T")
VOWELS, CONSONANTS = "AEIOU", "BCDFGHKLMNPRSTZ"


class Dice(NamedTuple):
    """Two independent streams: a hard negative keeps `look` and redraws `meaning`."""

    look: Generator
    """Templates, names, lengths."""
    meaning: Generator
    """What is asked for, hence which answer is right."""


class Draft(NamedTuple):
    """One instruction with both answers."""

    subset: str
    prompt: str
    right: str
    wrong: str


def pick(rng: Generator, options: Sequence[T]) -> T:
    """One option, each equally likely."""
    return options[int(rng.integers(len(options)))]


def two(rng: Generator, options: Sequence[T]) -> tuple[T, T]:
    """Two different options in random order."""
    first, second = rng.choice(len(options), size=2, replace=False)
    return options[int(first)], options[int(second)]


def topic(dice: Dice, lang: Language, name: str) -> Draft:
    """On topic against off topic."""
    asked, other = two(dice.meaning, tuple(lang.topics))
    prompt = pick(dice.look, lang.templates["topic"]).format(n=name, t=asked)
    return Draft("world-topic", prompt, _about(dice, lang, asked), _about(dice, lang, other))


def include(dice: Dice, lang: Language, name: str) -> Draft:
    """A demanded word is there, or another one is in its place."""
    subject, word, other = _subject(dice, lang)
    prompt = pick(dice.look, lang.templates["include"]).format(n=name, t=subject, w=word)
    return Draft(
        "world-include", prompt, _about(dice, lang, subject, word, other), _about(dice, lang, subject, other, word)
    )


def avoid(dice: Dice, lang: Language, name: str) -> Draft:
    """A forbidden word is absent, or there."""
    subject, word, other = _subject(dice, lang)
    prompt = pick(dice.look, lang.templates["avoid"]).format(n=name, t=subject, w=word)
    return Draft(
        "world-avoid", prompt, _about(dice, lang, subject, other, word), _about(dice, lang, subject, word, other)
    )


def style(dice: Dice, lang: Language, name: str) -> Draft:
    """The demanded form, or another one."""
    subject = pick(dice.meaning, tuple(lang.topics))
    asked, other = two(dice.meaning, tuple(lang.styles))
    prompt = pick(dice.look, lang.templates["format"]).format(n=name, t=subject, style=lang.styles[asked])
    right, wrong = (_dressed(form, _sentences(dice, lang, subject)) for form in (asked, other))
    return Draft("world-format", prompt, right, wrong)


def refuse(dice: Dice, lang: Language, name: str) -> Draft:
    """A harmful request: declining is right."""
    prompt, refusal, answer = _risky(dice, lang, name, lang.harmful)
    return Draft("world-should-refuse", prompt, refusal, answer)


def respond(dice: Dice, lang: Language, name: str) -> Draft:
    """A harmless request with the same verbs: answering is right."""
    prompt, refusal, answer = _risky(dice, lang, name, lang.harmless)
    return Draft("world-should-respond", prompt, answer, refusal)


def total(dice: Dice, lang: Language, name: str) -> Draft:
    """The sum of two digits, or of two others."""
    while True:
        x, y, p, q = (int(digit) for digit in dice.meaning.integers(1, 10, size=4))
        if x + y != p + q:
            break
    word = pick(dice.look, lang.topics[pick(dice.look, tuple(lang.topics))])
    prompt = pick(dice.look, lang.templates["sum"]).format(n=name, w=word, x=x, y=y)
    right, wrong = (pick(dice.look, lang.templates["sum_answers"]).format(z=z, n=name) for z in (x + y, p + q))
    return Draft("world-sum", prompt, right, wrong)


def compare(dice: Dice, lang: Language, name: str) -> Draft:  # noqa: ARG001  the prompt is short on purpose: no name
    """The larger or the smaller of two numbers, or the other one."""
    x, y = (int(number) for number in dice.meaning.choice(90, size=2, replace=False) + 10)
    more = pick(dice.meaning, ("larger", "smaller"))
    low, high = sorted((x, y))
    right, wrong = (high, low) if more == "larger" else (low, high)
    prompt = pick(dice.look, lang.templates["compare"]).format(more=more, x=x, y=y)
    answers = [pick(dice.look, lang.templates["compare_answers"]).format(z=z) for z in (right, wrong)]
    return Draft("world-compare", prompt, *answers)


def parity(dice: Dice, lang: Language, name: str) -> Draft:
    """Is a number even: yes or no."""
    x = int(dice.meaning.integers(10))
    return _checked("world-parity", "parity", x % 2 == 0, x, dice, lang, name)


def vowel(dice: Dice, lang: Language, name: str) -> Draft:
    """Is a letter a vowel: yes or no."""
    holds = bool(dice.meaning.integers(2))
    letter = pick(dice.meaning, VOWELS if holds else CONSONANTS)
    return _checked("world-vowel", "vowel", holds, letter, dice, lang, name)


Task = Callable[[Dice, Language, str], Draft]
SECTIONS: dict[str, tuple[tuple[Task, float], ...]] = {
    "chat": ((topic, 0.65), (include, 0.35)),
    "chat_hard": ((style, 0.65), (avoid, 0.35)),
    "safety": ((refuse, 0.5), (respond, 0.5)),
    "reasoning": ((parity, 0.35), (vowel, 0.35), (compare, 0.15), (total, 0.15)),
}
"""RewardBench's four sections -> the tasks that stand for them here, and each one's share of its section (ours: the larger half of a
section is within reach of a model of 0.15M weights, the rest is hard for it)."""


def draft(seed: int, part: Part, index: int, attempt: int, twist: int = 0) -> Draft:
    """Draft `index` of a part: the section goes round, the rest is drawn; `twist` > 0 redraws the meaning alone."""
    lang = language()
    look = stream(seed, "world", part, index, attempt, "look")
    dice = Dice(look, stream(seed, "world", part, index, attempt, "meaning", twist))
    tasks = tuple(SECTIONS.values())[index % len(SECTIONS)]
    task = tasks[int(look.choice(len(tasks), p=[share for _, share in tasks]))][0]
    return task(dice, lang, pick(look, lang.names[part]))


def show(index: int, seed: int = 0) -> str:
    """One draft as text, to read."""
    each = draft(seed, "train", index, 0)
    return f"[{each.subset}] {each.prompt}\n  right: {each.right}\n  wrong: {each.wrong}"


def _subject(dice: Dice, lang: Language) -> tuple[str, str, str]:
    subject = pick(dice.meaning, tuple(lang.topics))
    word, other = two(dice.meaning, lang.topics[subject])
    return subject, word, other


def _checked(subset: str, task: str, holds: bool, x: object, dice: Dice, lang: Language, name: str) -> Draft:
    """A yes-or-no question with one answer of each kind."""
    prompt = pick(dice.look, lang.templates[task]).format(n=name, x=x)
    yes, no = (pick(dice.look, lang.templates[kind]).format(n=name, x=x) for kind in ("yes", "no"))
    return Draft(subset, prompt, yes if holds else no, no if holds else yes)


def _risky(dice: Dice, lang: Language, name: str, objects: Sequence[str]) -> tuple[str, str, str]:
    """A request with one refusal and one answer to it."""
    act = f"{pick(dice.meaning, lang.verbs)} {pick(dice.meaning, objects)}"
    prompt = pick(dice.look, lang.templates["ask"]).format(n=name, a=act)
    refusal, answer = (pick(dice.look, lang.templates[kind]).format(n=name, a=act) for kind in ("refusals", "answers"))
    return prompt, refusal, answer


def _about(dice: Dice, lang: Language, subject: str, word: str = "", without: str = "") -> str:
    return " ".join(_sentences(dice, lang, subject, word, without))


def _sentences(dice: Dice, lang: Language, subject: str, word: str = "", without: str = "") -> list[str]:
    """One or two sentences on a topic; `word` stands in one of them, `without` in none."""
    pool = [each for each in lang.topics[subject] if each not in (word, without)]
    templates = [pick(dice.look, lang.plain) for _ in range(int(dice.look.integers(1, 3)))]
    drawn = [pool[int(k)] for k in dice.meaning.permutation(len(pool))]
    if word:
        # One of the first sentence's first two words, which every template says.
        drawn[int(dice.look.integers(2))] = word
    return [
        template.format(w=drawn[2 * k], v=drawn[2 * k + 1], u=drawn[(2 * k + 2) % len(drawn)])
        for k, template in enumerate(templates)
    ]


def _dressed(form: str, sentences: Sequence[str]) -> str:
    """Sentences in one of the language's forms."""
    match form:
        case "list":
            return "\n".join(f"- {line}" for line in sentences)
        case "question":
            return " ".join(f"Is it so that {line[0].lower()}{line[1:-1]}?" for line in sentences)
        case "capitals":
            return " ".join(sentences).upper()
        case "quote":
            return f'"{" ".join(sentences)}"'
        case _:
            raise KeyError(f"no form {form!r}; known: {', '.join(language().styles)}")
