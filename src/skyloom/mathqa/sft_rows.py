"""Rows of supervised fine-tuning as tokens: what carries loss, what is left out and why, what is held out, which phase learns a row.

Formula  held out: every row of a seed whose hash lies below valid_share, so that no question stands on both sides in another wording
Source   two stages: Skywork-Math (arXiv 2407.08348, section 3.2)
Flow     collect -> synthesize -> curate -> [train] -> evaluate -> report; mathqa/train.py learns what stands here
Run      skyloom run skywork_math --set train.over_long=cut
"""

from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from skyloom.core.errors import BadInput, BadRow
from skyloom.core.llm.templates import PLAIN_TEMPLATE, render_pair
from skyloom.core.progress import track
from skyloom.core.records import split_key
from skyloom.core.rng import derive, stream
from skyloom.mathqa.records import chat
from skyloom.mathqa.settings import TrainConfig


class Example(NamedTuple):
    """One training row."""

    question: str
    response: str
    weight: float
    seed: str
    """Rows of one seed stay on one side of the validation split."""
    stage: int = 1
    """1, or 2 for rows from hard seeds."""
    name: str = ""
    """What `skyloom why` takes; empty: its place in the data stands for it in messages."""


class Encoded(NamedTuple):
    """A row as tokens; `learn` is True, or 1, where a token is the response's."""

    ids: Sequence[int]
    learn: Sequence[bool]
    weight: float
    stage: int = 1
    name: str = ""

    @property
    def learnt(self) -> int:
        """Tokens that carry loss: the first of a row has nothing before it that could foretell it."""
        return sum(self.learn[1:])


class Rows(NamedTuple):
    """All rows by what became of them."""

    learn: list[Encoded]
    valid: list[Encoded]
    left_out: dict[str, dict[str, int]]
    """Stage (`stage 1`) -> reason -> rows that are neither learnt nor validated on."""
    cut: dict[str, int]
    """Stage -> rows whose response lost its end, and with it the answer."""


class Phase(NamedTuple):
    """Rows that are learnt together, with a schedule of their own."""

    name: str
    """Its folder; empty where there is one phase."""
    rows: list[Encoded]


def examples_of(rows: Sequence[Mapping[str, str | float | int]]) -> list[Example]:
    """Training rows from kept ledger rows: question, response, weight, seed, and where they are there stage, row and source."""
    return [
        Example(
            question=str(row["question"]),
            response=str(row["response"]),
            weight=float(row["weight"]),
            seed=str(row["seed"]),
            stage=int(row.get("stage", 1)),
            name=_name(row),
        )
        for row in rows
    ]


def prepare(examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, config: TrainConfig, seed: int) -> Rows:
    """Tokens of every row that can be learnt, split by seed; the others are counted by stage and reason.

    Raises:
        BadInput: a row of a stage other than 1 and 2, or of a negative weight; with `over_long=refuse`, a row that is too long.
    """
    left_out: dict[str, Counter[str]] = {}
    cut: Counter[str] = Counter()
    found: list[tuple[str, Encoded]] = []
    for place, example in enumerate(track(examples, "tokenising", len(examples)), 1):
        named: Example = example if example.name else example._replace(name=f"row {place}")
        if named.stage not in (1, 2) or not named.weight >= 0:
            told = f"stage={named.stage} must be 1 or 2, weight={named.weight} 0 or more"
            raise BadInput(f"training: {named.name}: {told}")
        encoded = _encode(named, tokenizer, config)
        if isinstance(encoded, str):
            left_out.setdefault(f"stage {named.stage}", Counter())[encoded] += 1
        else:
            row, was_cut = encoded
            cut[f"stage {row.stage}"] += was_cut
            found.append((named.seed, row))
    learn_N, valid_N = split_rows([name for name, _ in found], config.valid_share, seed)
    valid = _spread([found[k][1] for k in valid_N], config.valid_rows)
    counts = {stage: dict(sorted(reasons.items())) for stage, reasons in sorted(left_out.items())}
    return Rows([found[k][1] for k in learn_N], valid, counts, {k: n for k, n in sorted(cut.items()) if n})


def split_rows(seeds: Sequence[str], valid_share: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row numbers to learn from and to validate on: all rows of one seed problem go to the same side."""
    held: dict[str, bool] = {name: derive(seed, "valid", name) < valid_share * 2**63 for name in dict.fromkeys(seeds)}
    held_N: NDArray[np.bool_] = np.array([held[name] for name in seeds], dtype=np.bool_)
    return np.flatnonzero(~held_N), np.flatnonzero(held_N)


def phases_of(rows: Sequence[Encoded], config: TrainConfig, seed: int) -> list[Phase]:
    """The rows of each phase: two where `order` asks for it and both stages have rows."""
    first, second = (2, 1) if config.order == "reversed" else (1, 2)
    early, late = ([row for row in rows if row.stage == stage] for stage in (first, second))
    if config.order == "mixed" or not early or not late:
        return [Phase("", list(rows))]
    drawn_N = stream(seed, "replay").permutation(len(early))[: round(config.replay * len(early))]
    again = [early[k] for k in np.sort(drawn_N)]
    return [Phase(f"stage-{first}", early), Phase(f"stage-{second}", [*late, *again])]


def use_template(tokenizer: PreTrainedTokenizerBase, config: TrainConfig) -> int:
    """Give the tokenizer the template that is trained with, so that it is saved with the model; the token that ends a reply.

    Raises BadInput where nothing ends a reply: a model so trained would never stop.
    """
    if config.template == "plain" or not tokenizer.chat_template:
        tokenizer.chat_template = PLAIN_TEMPLATE
    if tokenizer.eos_token_id is None:
        raise BadInput(
            "tokenizer: has no end token, so a model trained with it would never stop; set eos_token in its tokenizer_config.json"
        )
    rendered = render_pair(tokenizer, chat("1 + 1?"), "2")
    special = {*tokenizer.all_special_ids, *_marked(tokenizer)}
    ends = [token for token, flag in zip(rendered.ids, rendered.reply, strict=True) if flag and token in special]
    if not ends:
        raise BadInput(
            "chat template: writes no end token behind a reply, so a model trained with it would never stop; set template=plain"
        )
    return ends[0]


def _marked(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Added tokens that say of themselves that they are special, whether or not the tokenizer lists them as such."""
    added = tokenizer.added_tokens_decoder
    return [token for token, told in added.items() if told.special]


def _encode(example: Example, tokenizer: PreTrainedTokenizerBase, config: TrainConfig) -> tuple[Encoded, bool] | str:
    """The row as tokens and whether it was cut, or why it is left out."""
    if not example.response.strip():
        return "empty response" if not example.response else "response of blanks"
    if not example.weight:
        return "weight 0"
    try:
        ids, learn = render_pair(tokenizer, chat(example.question), example.response)
    except BadRow as error:
        return error.reason
    most = config.backbone.max_length
    # Five bytes a token, where lists of Python numbers take forty: the paper's rows have a billion.
    packed = array("i", ids), cast(Sequence[bool], array("b", learn))
    row = Encoded(*packed, example.weight, example.stage, example.name)
    if len(ids) <= most:
        return row, False
    if config.over_long == "refuse":
        raise BadInput(
            f"training: {example.name}: {len(ids)} tokens, more than max_length={most}; set over_long=drop or cut"
        )
    if config.over_long == "drop":
        return f"longer than {most} tokens"
    row = row._replace(ids=row.ids[:most], learn=row.learn[:most])
    return (row, True) if row.learnt else f"the question alone is longer than {most} tokens"


def _spread(rows: Sequence[Encoded], most: int) -> list[Encoded]:
    """At most about `most` rows, evenly spaced over those of each stage, at least one of each."""
    found: list[Encoded] = []
    for stage in (1, 2):
        own = [row for row in rows if row.stage == stage]
        count = min(len(own), max(1, round(most * len(own) / len(rows)))) if own else 0
        found += [own[k * len(own) // count] for k in range(count)]
    return found


def _name(row: Mapping[str, str | float | int]) -> str:
    if "row" not in row or "source" not in row:
        return ""
    _, shard, ordinal = split_key(int(row["row"]))
    return f"{row['source']}:{shard}:{ordinal}"
