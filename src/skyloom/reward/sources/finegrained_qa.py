"""FineGrained QA feedback: four predictions to a question over passages, compared in pairs by people.

Reading rule  `preference` holds six numbers for the predictions (1,2) (1,3) (1,4) (2,3) (2,4) (3,4): 1 the first is better, 2 the
              second, 0 a tie, which is a reject. That order is the only one but its mirror without a circle among the choices
              (development file: 0 contradictions in 1,449 chains; the next best order has 220), and it is that of the set's own scripts.
              The passages stand in the prompt, behind the question.
Source   Wu et al. 2023 (arXiv 2306.01693); allenai/FineGrainedRLHF, tasks/qa_feedback/data, dev_feedback.json 500 questions
Flow     [collect] -> curate -> train -> evaluate -> report
Run      skyloom reward curate --data finegrained_qa/dev_feedback.json --source finegrained_qa --as-train
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from skyloom.core.errors import BadRow
from skyloom.core.records import Message, Raw, Reject
from skyloom.core.store import list_field, number_field, text_field
from skyloom.reward.records import Pair, pair
from skyloom.reward.sources._files import FilesConfig, file_rows, files_of, split_of, user_turn

LICENCE: str = "Apache-2.0"
COUPLES: tuple[tuple[int, int], ...] = tuple(combinations((1, 2, 3, 4), 2))


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(FilesConfig):
    """Where the file stands."""


inputs, split = files_of, split_of


def rows(config: Config, shard: int) -> Iterator[Raw | Reject]:
    """Six rows a question, {question, passages, first, second, preference}, in the order of its preferences."""
    del shard
    for raw in file_rows(config):
        if isinstance(raw, Reject):
            yield raw
            continue
        try:
            yield from (Raw(raw.file, raw.row, couple) for couple in _couples(raw.data))
        except BadRow as error:
            yield Reject(raw.file, raw.row, error.field, error.reason)


def to_record(raw: Mapping[str, Any]) -> Pair:  # Any: parsed JSON
    """The pair of two predictions; raises BadRow, also for a tie."""
    preference = number_field(raw, "preference")
    if preference == 0:
        raise BadRow("preference", "0: a tie")
    if preference not in (1, 2):
        raise BadRow("preference", f"expected 0, 1 or 2, got {preference:g}")
    sides = text_field(raw, "first"), text_field(raw, "second")
    chosen, rejected = sides if preference == 1 else sides[::-1]
    shown = [f"[{k}] {_passage(item)}" for k, item in enumerate(list_field(raw, "passages", empty=True), 1)]
    question = text_field(raw, "question")
    prompt = "\n\n".join([question, "Passages:", *shown]) if shown else question
    return pair(user_turn(prompt), chosen, rejected)


def _couples(raw: Mapping[str, Any]) -> list[dict[str, Any]]:  # Any: as above
    preferences = list_field(raw, "preference")
    if len(preferences) != len(COUPLES):
        raise BadRow("preference", f"expected {len(COUPLES)} numbers, got {len(preferences)}")
    texts = {k: text_field(raw, f"prediction {k}") for k in (1, 2, 3, 4)}
    shared = {"question": text_field(raw, "question"), "passages": list_field(raw, "passages", empty=True)}
    return [
        {**shared, "first": texts[a], "second": texts[b], "preference": preference}
        for (a, b), preference in zip(COUPLES, preferences, strict=True)
    ]


def _passage(item: Any) -> str:  # Any: as above
    """[title, sentence, ...] as one text; the title is not repeated where the first sentence begins with it."""
    title, *sentences = [
        text_field({"passages": text}, "passages") for text in list_field({"passages": item}, "passages")
    ]
    body = " ".join(sentences)
    return body if body.startswith(title) else f"{title}\n\n{body}"


FILE_ROW: Mapping[str, Any] = {  # Any: as above
    "question": "Which colour is the sky?",
    "passages": [["Sky", "Sky\n\nThe sky is blue.", "At night it is black."]],
    "prediction 1": "Blue.",
    "prediction 2": "Seven.",
    "prediction 3": "Black at night.",
    "prediction 4": "Blue or black.",
    "preference": [1, 1, 2, 2, 2, 0],
}
"""One row as the file holds it."""
EXAMPLE: tuple[Mapping[str, Any], Pair] = (  # Any: as above
    {
        "question": FILE_ROW["question"],
        "passages": FILE_ROW["passages"],
        "first": "Blue.",
        "second": "Seven.",
        "preference": 1,
    },
    Pair(
        prompt=(
            Message(
                role="user",
                content="Which colour is the sky?\n\nPassages:\n\n[1] Sky\n\nThe sky is blue. At night it is black.",
            ),
        ),
        chosen="Blue.",
        rejected="Seven.",
    ),
)
