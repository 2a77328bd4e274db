"""What the Magpie sets share: one list of categories, ArmoRM scores in three spellings, and the ready pairs of the DPO sets.

The DPO sets ship five responses a prompt, an ArmoRM score for each, and a ready pair: the highest and the lowest of the five. The pair is
taken as it stands; all five scores go along, because Skywork-Reward ranks by their mean. A side's own score is looked up by its text.
Mapping the sets' tags to one list is not stated in the paper: both follow the tags of Magpie's own labelling prompt, whose spellings of
case and of the joining word vary, and nothing else is guessed.

Source   Xu et al. 2024 (arXiv 2406.08464), appendix on tags; Liu et al. 2024 (arXiv 2410.18451), section 3
Flow     [collect] -> curate -> train -> evaluate -> report; magpie_ultra, magpie_pro31, magpie_pro and magpie_air read through it
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from skyloom.core.errors import BadRow
from skyloom.core.store import list_field, number_field, text_field
from skyloom.reward.records import Pair, pair
from skyloom.reward.sources._files import common_prompt, turns_field

CATEGORIES: dict[str, str] = {
    "math": "Math",
    "coding and debugging": "Coding & debugging",
    "information seeking": "Information seeking",
    "advice seeking": "Advice seeking",
    "reasoning": "Reasoning",
    "planning": "Planning",
    "brainstorming": "Brainstorming",
    "creative writing": "Creative writing",
    "data analysis": "Data analysis",
    "editing": "Editing",
    "role playing": "Role playing",
    "others": "Others",
}
"""Tag as `tag_key` writes it -> the name in the ledger, which is the paper's (its figure of the selection has no Others)."""


def category_field(raw: Mapping[str, Any], name: str) -> str:  # Any: parsed JSON or Parquet values
    """A tag as one of the twelve categories; raises BadRow naming an unknown one."""
    tag = text_field(raw, name)
    key = re.sub(r"[\s_-]+", " ", tag.lower().replace("&", " and ")).strip()
    if key not in CATEGORIES:
        raise BadRow(name, f"unknown category {tag[:60]!r}; known: {', '.join(CATEGORIES.values())}")
    return CATEGORIES[key]


def scores_field(raw: Mapping[str, Any], name: str) -> list[float]:  # Any: as above
    """A list of scores, each a number or an object with a number `score`; raises BadRow."""
    values = list_field(raw, name)
    scores = [cast(Mapping[str, Any], item)["score"] if _scored(item) else item for item in values]
    return [number_field({f"{name}[{k}]": score}, f"{name}[{k}]") for k, score in enumerate(scores)]


def dpo_pair(raw: Mapping[str, Any], origin: str) -> Pair:  # Any: as above
    """The ready pair of one row of a Magpie DPO set; raises BadRow."""
    prompt, chosen, rejected = common_prompt(turns_field(raw, "chosen"), turns_field(raw, "rejected"))
    scores = scores_field(raw, "rewards_armorm")
    score_of = dict(zip(_responses(raw, len(scores)), scores, strict=True))
    return pair(
        prompt,
        chosen,
        rejected,
        category=category_field(raw, "task_category"),
        origin=origin,
        score_chosen=score_of.get(chosen.strip()),
        score_rejected=score_of.get(rejected.strip()),
        scores=scores,
    )


def _responses(raw: Mapping[str, Any], count: int) -> Sequence[str]:  # Any: as above
    """The texts that the scores belong to, from the scores themselves or from `responses`."""
    rewards = list_field(raw, "rewards_armorm")
    if all(_scored(item) and "content" in item for item in rewards):
        return [text_field(item, "content", empty=True).strip() for item in rewards]
    responses = list_field(raw, "responses")
    if len(responses) != count:
        raise BadRow("rewards_armorm", f"{count} scores for {len(responses)} responses")
    return [text_field({"responses": item}, "responses", empty=True).strip() for item in responses]


def _scored(item: Any) -> bool:  # Any: as above
    return isinstance(item, dict) and "score" in item


def dpo_example(origin: str) -> tuple[Mapping[str, Any], Pair]:  # Any: as above
    """A row of a DPO set, and its pair."""
    ask = {"content": "Name a colour.", "role": "user"}
    raw = {
        "uuid": "0",
        "instruction": "Name a colour.",
        "task_category": "Information seeking",
        "responses": ["Seven.", "Blue.", "Red, I think.", "A colour.", "Green"],
        "rewards_armorm": [{"score": 0.02}, {"score": 0.18}, {"score": 0.15}, {"score": 0.04}, {"score": 0.11}],
        "chosen": [ask, {"content": "Blue.", "role": "assistant"}],
        "rejected": [ask, {"content": "Seven.", "role": "assistant"}],
    }
    prompt, chosen, rejected = common_prompt(turns_field(raw, "chosen"), turns_field(raw, "rejected"))
    return raw, Pair(
        prompt=tuple(prompt),
        chosen=chosen,
        rejected=rejected,
        category="Information seeking",
        origin=origin,
        score_chosen=0.18,
        score_rejected=0.02,
        scores=(0.02, 0.18, 0.15, 0.04, 0.11),
    )
