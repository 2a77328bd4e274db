"""The preference world: generated instructions with verifiable preferences and planted, known defects.

Four sections as in RewardBench (chat, chat hard, safety, reasoning); three simulated generators with their own skill; an
annotator whose scores favour one generator. The parts `train` and `eval` share no name and no prompt, so no eight words of an
evaluation prompt arise in training unless a leak was planted. The evaluation part carries no defect.

Formula  quality q ~ N(skill of the generator, 0.15) in [0, 1]; mean score = q + generator's offset + N(0, 0.05);
         P(label swapped) = label_noise * (1 - q) / mean(1 - q): bad pairs are mislabelled more often, so a selection by score
         (with the offset taken out) is worth something
Source   ours; offsets and their harm after Skywork-Reward (arXiv 2410.18451), leaks after its v0.1, the token after RM-R1
Flow     [collect] -> curate -> train -> evaluate -> report
Run      skyloom run skywork_reward --smoke
"""

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from zlib import crc32

from skyloom.core.errors import BadInput
from skyloom.core.records import Message, Raw, SourceConfig
from skyloom.core.rng import stream
from skyloom.core.store import list_field, number_field, object_field, text_field
from skyloom.reward.records import Pair, pair
from skyloom.reward.world import defects
from skyloom.reward.world.defects import Sides, sides_of
from skyloom.reward.world.language import PARTS, Part
from skyloom.reward.world.tasks import draft

LICENCE: str = "Apache-2.0"
GENERATORS: dict[str, tuple[float, float]] = {"amber": (0.30, 0.35), "birch": (0.40, 0.60), "cedar": (0.30, 0.75)}
"""Generator -> (share of the rows, mean quality): ours."""
BIASED: str = "amber"
"""The generator that the annotator overrates: the weakest one, as Magpie-Air was."""
MEAN_BADNESS: float = 0.43
"""Mean of 1 - q over the generators: makes `label_noise` the share of swapped labels."""
HISTORY: tuple[Message, ...] = (
    Message(role="user", content="Hello there."),
    Message(role="assistant", content="Hello, what do you need?"),
)
MOST_TRIES: int = 400
MOST_PARTNERS: int = 12
MOST_TWISTS: int = 8
"""How long a fitting row is looked for before the share of a defect falls short (ours)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(SourceConfig):
    """Size, seed and the share of rows that each defect gets; the shares add up to 1 at most."""

    part: Part = "train"
    """`eval` has no defects and counts as a test split."""
    rows: int = 4000
    seed: int = 0
    parts: int = 1
    """Shards: each can be read alone."""
    eval_rows: int = 400
    """Size of the evaluation part that leaks are copied from."""
    history: float = 0.1
    """Share of pairs with an earlier exchange in their prompt."""
    label_noise: float = 0.1
    """Share of swapped labels."""
    generator_bias: float = 0.35
    """What the annotator adds to the scores of the weakest generator, in score units (qualities lie in 0 to 1)."""
    copies: float = 0.04
    near_copies: float = 0.04
    hard_negatives: float = 0.03
    contradictions: float = 0.02
    length: float = 0.05
    """Share of pairs whose chosen side is padded to three times the longer side."""
    artefacts: float = 0.06
    """Share of pairs with a chat-control token in the rejected side."""
    leaks: float = 0.03
    """Share of pairs that hold an evaluation prompt: a third verbatim, a third embedded, a third inside a response."""
    near_contradictions: float = 0.0
    """Share of pairs that are an earlier one, edited and with its sides swapped."""


KINDS: tuple[str, ...] = (
    "copy",
    "near_copy",
    "hard_negative",
    "contradiction",
    "length",
    "artefact",
    "leak_verbatim",
    "leak_embedded",
    "leak_response",
    "near_contradiction",
)
"""Defects that exclude one another; a wrong label comes on top."""


class Planted(NamedTuple):
    """The truth of one row."""

    kind: str
    """The defect's name, or empty."""
    right: bool
    """Whether the chosen side is the right one."""
    generator: str
    quality: float
    like: int
    """Ordinal of the earlier row of this shard that a copy resembles; -1 for none."""
    jaccard: float
    """Resemblance to that row; 0 where there is none."""
    contradicted: bool = False
    """Whether another row of this shard is the same pair with its sides swapped."""
    near_contradicted: bool = False
    """The same for an edited pair."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Plain:
    """A row without a defect, which later rows may copy."""

    index: int
    attempt: int
    subset: str
    sides: Sides
    generator: str
    quality: float
    scores: tuple[float, float]
    right: bool
    history: bool


def split(config: Config) -> str:
    """`test` for the evaluation part."""
    return "test" if config.part == "eval" else "train"


def shards(config: Config) -> int:
    """How many parts can be read alone."""
    return config.parts


def rows(config: Config, shard: int) -> Iterator[Raw]:
    """The rows of one shard, in order; raises BadInput for shares or sizes that make no sense."""
    shares = _shares(config)
    seen: set[str] = set()
    plain: list[tuple[int, _Plain]] = []  # (ordinal, row) of rows that nothing has copied yet
    made: list[dict[str, Any]] = []  # Any: JSON
    for ordinal, index in enumerate(range(shard, config.rows, config.parts)):
        rng = stream(config.seed, "world", config.part, index, "defect")
        kind = defects.kind_of(float(rng.random()), shares)
        row = _plain(config, index, shard, seen)
        at, data = _planted(config, kind, row, plain, seen, rng) if kind else (-1, None)
        if data is None:  # no defect, or none of this kind could be made of this row
            plain.append((ordinal, row))
            data = _raw(row, row.sides, Planted("", row.right, row.generator, row.quality, -1, 0.0))
        elif at >= 0:
            first = made[plain.pop(at)[0]]
            for planted in (first["planted"], data["planted"]):
                planted["contradicted"] = kind == "contradiction"
                planted["near_contradicted"] = kind == "near_contradiction"
        made.append(data)
    return (Raw(f"world/{config.part}/{shard}", number, data) for number, data in enumerate(made, 1))


def to_record(raw: Mapping[str, Any]) -> Pair:  # Any: one generated row, checked field by field like a foreign one
    """The pair that a raw row states."""
    messages = [Message(role=str(turn["role"]), content=str(turn["content"])) for turn in list_field(raw, "prompt")]
    return pair(
        messages,
        text_field(raw, "chosen"),
        text_field(raw, "rejected"),
        category=text_field(raw, "category"),
        origin=text_field(raw, "origin"),
        score_chosen=number_field(raw, "score_chosen"),
        score_rejected=number_field(raw, "score_rejected"),
    )


def truth(raw: Mapping[str, Any]) -> Mapping[str, bool | int | float | str]:  # Any: as above
    """What was planted in the row: one flag a defect, and what it was made from."""
    planted = Planted(**object_field(raw, "planted"))
    flags = {kind: planted.kind == kind for kind in KINDS}
    return {
        **flags,
        "contradiction": planted.contradicted,
        "near_contradiction": planted.near_contradicted,
        "leak": planted.kind.startswith("leak_"),
        "wrong_label": not planted.right,
        "generator": planted.generator,
        "quality": planted.quality,
        "like": planted.like,
        "jaccard": planted.jaccard,
    }


def _shares(config: Config) -> dict[str, float]:
    leak = config.leaks / 3
    own = (
        config.copies,
        config.near_copies,
        config.hard_negatives,
        config.contradictions,
        config.length,
        config.artefacts,
    )
    shares = dict(zip(KINDS, (*own, leak, leak, leak, config.near_contradictions), strict=True))
    if config.rows < 1 or config.parts < 1 or config.eval_rows < 1:
        raise BadInput("world: rows, parts and eval_rows must be at least 1")
    if min(*shares.values(), config.label_noise, config.history) < 0 or sum(shares.values()) > 1:
        raise BadInput("world: the shares of defects must be 0 or more and add up to 1 at most")
    return {} if config.part == "eval" else shares


def _plain(config: Config, index: int, shard: int, seen: set[str]) -> _Plain:
    """Row `index` without a defect: the first attempt whose prompt belongs to this part and shard and is new."""
    for attempt in range(MOST_TRIES):
        each = draft(config.seed, config.part, index, attempt)
        where = crc32(each.prompt.encode())
        own = (where % PARTS == 0) == (config.part == "eval") and (where // PARTS) % config.parts == shard
        if own and each.prompt not in seen:
            seen.add(each.prompt)
            return _told(config, index, attempt, each.subset, sides_of(each))
    raise BadInput(f"world: no new prompt for row {index} in {MOST_TRIES} tries; ask for fewer rows")


def _told(config: Config, index: int, attempt: int, subset: str, sides: Sides) -> _Plain:
    """Generator, quality, scores and label of a plain row."""
    rng = stream(config.seed, "world", config.part, index, "generator")
    names = tuple(GENERATORS)
    generator = names[int(rng.choice(len(names), p=[share for share, _ in GENERATORS.values()]))]
    quality = min(1.0, max(0.0, float(rng.normal(GENERATORS[generator][1], 0.15))))
    offset = config.generator_bias if generator == BIASED else 0.0
    mean, gap = quality + offset + float(rng.normal(0, 0.05)), abs(float(rng.normal(0.2, 0.1)))
    noise = config.label_noise * (1 - quality) / MEAN_BADNESS if config.part == "train" else 0.0
    right = float(rng.random()) >= noise
    return _Plain(
        index=index,
        attempt=attempt,
        subset=subset,
        sides=sides if right else sides.swapped(),
        generator=generator,
        quality=quality,
        scores=(round(mean + gap / 2, 4), round(mean - gap / 2, 4)),
        right=right,
        history=float(rng.random()) < config.history,
    )


def _raw(row: _Plain, sides: Sides, planted: Planted) -> dict[str, Any]:  # Any: JSON
    history = [{"role": turn.role, "content": turn.content} for turn in HISTORY] if row.history else []
    return {
        "prompt": [*history, {"role": "user", "content": sides.prompt}],
        "chosen": sides.chosen,
        "rejected": sides.rejected,
        "category": row.subset,
        "origin": row.generator,
        "score_chosen": row.scores[0],
        "score_rejected": row.scores[1],
        "planted": planted._asdict(),
    }


def _planted(
    config: Config, kind: str, row: _Plain, plain: list[tuple[int, _Plain]], seen: set[str], rng: defects.Generator
) -> tuple[int, dict[str, Any] | None]:  # Any: JSON
    """(position in `plain` of the row that is copied, or -1; the raw row, or None where the defect cannot be made)."""
    truth_of = Planted(kind, row.right, row.generator, row.quality, -1, 0.0)
    match kind:
        case "copy" | "near_copy" | "hard_negative" | "contradiction" | "near_contradiction":
            return _copied(config, kind, plain, rng)
        case "length":
            return -1, _raw(row, defects.padded(rng, row.sides), truth_of)
        case "artefact":
            return -1, _raw(row, defects.controlled(rng, row.sides), truth_of)
        case "leak_response":
            return -1, _raw(row, defects.quoted(rng, row.sides, _leak(config, rng).sides.prompt), truth_of)
        case "leak_verbatim" | "leak_embedded":
            leaked = _leak(config, rng)
            sides = defects.embedded(rng, leaked.sides) if kind == "leak_embedded" else leaked.sides
            if leaked.sides.prompt in seen:  # leaked before, embedded or not: it would be a copy, too
                return -1, None
            seen.add(leaked.sides.prompt)
            return -1, _raw(leaked, sides, Planted(kind, True, leaked.generator, leaked.quality, -1, 0.0))
        case _:
            raise KeyError(f"no defect {kind!r}; known: {', '.join(_shares(config))}")


def _leak(config: Config, rng: defects.Generator) -> _Plain:
    """A row of the evaluation part with the same seed."""
    return _evaluation(config.seed, config.eval_rows)[int(rng.integers(config.eval_rows))]


@functools.lru_cache(maxsize=4)
def _evaluation(seed: int, count: int) -> tuple[_Plain, ...]:
    """The whole evaluation part, without earlier exchanges."""
    config = Config(part="eval", rows=count, seed=seed, history=0.0)
    seen: set[str] = set()
    return tuple(_plain(config, index, 0, seen) for index in range(count))


def _copied(
    config: Config, kind: str, plain: list[tuple[int, _Plain]], rng: defects.Generator
) -> tuple[int, dict[str, Any] | None]:  # Any: JSON
    """A row made from an earlier plain one; several are tried, because not every row has a near twin."""
    for _ in range(MOST_PARTNERS if plain else 0):
        at = int(rng.integers(len(plain)))
        ordinal, row = plain[at]
        sides = _likeness(config, kind, row, rng)
        if sides is not None:
            right = True if kind == "hard_negative" else row.right != kind.endswith("contradiction")
            near = round(defects.jaccard(row.sides, sides), 4)
            return at, _raw(row, sides, Planted(kind, right, row.generator, row.quality, ordinal, near))
    return -1, None


def _likeness(config: Config, kind: str, row: _Plain, rng: defects.Generator) -> Sides | None:
    match kind:
        case "copy":
            return defects.respelled(rng, row.sides)
        case "near_copy":
            return defects.reworded(rng, row.sides)
        case "contradiction":
            return row.sides.swapped()
        case "near_contradiction":
            sides = defects.reworded(rng, row.sides)
            return sides.swapped() if sides is not None else None
        case _:
            return _twisted(config, row)


def _twisted(config: Config, row: _Plain) -> Sides | None:
    """The row's looks with another meaning, Jaccard in the range; None where no redraw gives one."""
    for twist in range(1, MOST_TWISTS):
        each = draft(config.seed, config.part, row.index, row.attempt, twist)
        sides = sides_of(each)
        own = (crc32(each.prompt.encode()) % PARTS == 0) == (config.part == "eval")
        near = defects.NEAR_LOW <= defects.jaccard(row.sides, sides) <= defects.NEAR_HIGH
        if own and near and each.prompt != row.sides.prompt:
            return sides
    return None


EXAMPLE: tuple[Mapping[str, Any], Pair] = (  # Any: as above
    {
        "prompt": [{"role": "user", "content": "Which is larger, 12 or 71?"}],
        "chosen": "It is 71.",
        "rejected": "It is 12.",
        "category": "world-compare",
        "origin": "birch",
        "score_chosen": 0.7,
        "score_rejected": 0.5,
        "planted": Planted("", True, "birch", 0.6, -1, 0.0)._asdict(),
    },
    Pair(
        prompt=(Message(role="user", content="Which is larger, 12 or 71?"),),
        chosen="It is 71.",
        rejected="It is 12.",
        category="world-compare",
        origin="birch",
        score_chosen=0.7,
        score_rejected=0.5,
    ),
)
