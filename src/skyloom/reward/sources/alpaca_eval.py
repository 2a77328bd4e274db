"""AlpacaEval annotations: a judge's preference between a baseline and a tested model, often as a probability.

Reading rule  `preference` - 1 is P(output_2 is better): above 1.5 output_2 is chosen, below it output_1, and `confidence` is the larger of
              the two probabilities, which also stand in `scores`, output_1's first. 1.5, 0 and null name no winner: rejects, as are equal
              outputs. In most files output_1 is the baseline throughout and wins most of the time; so `origin` names the two generators
              in an order drawn from a hash of the row, and neither its place nor its name tells the winner. What the imbalance is can be
              read from `scores`. All of it is a test split: its prompts are AlpacaEval's.
Source   Li et al. 2023, tatsu-lab/alpaca_eval, results/*/*/annotations.json; weighted: Dubois et al. 2024 (arXiv 2404.04475)
Flow     [collect] -> curate -> train -> evaluate -> report
Run      skyloom reward curate --data alpaca_eval_weighted --source alpaca_eval --as-train
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from skyloom.core.config import canonical
from skyloom.core.errors import BadRow
from skyloom.core.records import Message
from skyloom.core.store import number_field, text_field
from skyloom.reward.records import Pair, pair
from skyloom.reward.sources._files import FilesConfig, benchmark_split, file_rows, files_of, user_turn

LICENCE: str = "CC-BY-NC-4.0"


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(FilesConfig):
    """Where the annotations stand."""


inputs, split, rows = files_of, benchmark_split, file_rows


def to_record(raw: Mapping[str, Any]) -> Pair:  # Any: parsed JSON
    """The pair of one annotation; raises BadRow."""
    instruction, *outputs = (text_field(raw, name) for name in ("instruction", "output_1", "output_2"))
    if outputs[0].strip() == outputs[1].strip():  # before the preference: the baseline against itself is judged 1.5
        raise BadRow("output_2", "identical to output_1")
    second = _second_wins(raw)
    chosen, rejected = outputs[::-1] if second > 0.5 else outputs
    likely = max(second, 1 - second)
    return pair(
        user_turn(instruction),
        chosen,
        rejected,
        category=text_field(raw, "dataset", empty=True),
        origin=_origin(raw, [instruction, *outputs]),
        score_chosen=likely,
        score_rejected=1 - likely,
        scores=(1 - second, second),
        confidence=likely,
    )


def _second_wins(raw: Mapping[str, Any]) -> float:  # Any: as above
    """P(output_2 is better), 0 to 1 and not one half; raises BadRow."""
    if "preference" in raw and raw["preference"] is None:
        raise BadRow("preference", "null: no winner")
    preference = number_field(raw, "preference")
    if preference in (0, 1.5):
        raise BadRow("preference", f"{preference:g}: no winner")
    if not 1 <= preference <= 2:
        raise BadRow("preference", f"expected 1 to 2, got {preference:g}")
    return preference - 1


def _origin(raw: Mapping[str, Any], texts: list[str]) -> str:  # Any: as above
    names = [text_field(raw, name) for name in ("generator_1", "generator_2")]
    drawn = {name: hashlib.blake2b(canonical([name, *names, *texts])).digest() for name in names}
    return " | ".join(sorted(names, key=lambda name: drawn[name]))


EXAMPLE: tuple[Mapping[str, Any], Pair] = (  # Any: as above
    {
        "instruction": "Name a colour.",
        "output_1": "Seven.",
        "generator_1": "baseline",
        "output_2": "Blue.",
        "generator_2": "tested",
        "annotator": "judge",
        "preference": 1.75,
        "dataset": "koala",
    },
    Pair(
        prompt=(Message(role="user", content="Name a colour."),),
        chosen="Blue.",
        rejected="Seven.",
        category="koala",
        origin="tested | baseline",
        score_chosen=0.75,
        score_rejected=0.25,
        scores=(0.25, 0.75),
        confidence=0.75,
    ),
)
