"""DAPO-Math-17k: competition problems whose answers are whole numbers; each prompt once, without the instructions baked into it.

Forms    Parquet of prompt = [{role, content}], reward_model = {ground_truth, style}, ...: 17,398 rows, or the 1.79 million rows in
         which about 17,000 prompts stand a hundred times each; the processed table with `prompt` and `solution` (the answer) as text
Source   Yu et al. 2025 (arXiv 2503.14476), BytedTsinghua-SIA/DAPO-Math-17k; open-r1/DAPO-Math-17k-Processed
Flow     [collect] -> synthesize -> curate -> train -> evaluate -> report
Run      skyloom mathqa synthesize --seeds PATH/train.parquet --source dapo ...
Limits   Rows are read as a stream, different prompts stand in memory; prompts that differ in blanks and case only are copies. Copies
         are logged as one count; a prompt with two answers is a reject. No worked solutions. It holds about 1,000 MATH test problems:
         curate with a contamination annotator.
"""

import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, cast

from skyloom.core.errors import BadRow
from skyloom.core.records import Raw, Reject
from skyloom.core.store import object_field, text_field
from skyloom.mathqa.records import Problem
from skyloom.mathqa.sources._files import FilesConfig, files_of, plain, posed, read_files, worked

LICENCE: str = "unknown (repository under Apache-2.0, terms of the problems not stated)"
BEFORE: re.Pattern[str] = re.compile(r"\A\s*(?:Solve the following math problem|Let's think) step by step\b[^\n]*\n+")
AFTER: re.Pattern[str] = re.compile(
    r"\s*(?:Remember to put your answer on its own line after|Let's think step by step\b)[^\n]*\Z"
)
CONFLICT: str = "copies of this prompt have other answers"


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(FilesConfig):
    """Where the table is."""


inputs = files_of


def split(config: Config) -> Literal["train", "test"]:
    """`test` where a file's name begins with test: other sets go round in this form too."""
    return "test" if any(file.name.startswith("test") for file in inputs(config)) else "train"


class _Prompt(NamedTuple):
    first: Raw
    answer: str
    conflict: bool


def rows(config: Config, shard: int) -> Iterator[Raw | Reject]:
    """The first row of every prompt, in file order; rows that cannot be read come as rejects at once."""
    del shard  # one
    prompts: dict[str, _Prompt] = {}
    copies: int = 0
    for raw in read_files(inputs(config)):
        try:
            key = None if isinstance(raw, Reject) else (_text(raw.data), _answer(raw.data))
        except BadRow as error:
            yield Reject(raw.file, raw.row, error.field, error.reason)
            continue
        if isinstance(raw, Reject) or key is None:
            yield raw
            continue
        answer = key[1]
        text = "".join(key[0].split()).lower()
        known = prompts.setdefault(text, _Prompt(raw, answer, conflict=False))
        copies += known.first is not raw
        if known.answer != answer:
            prompts[text] = known._replace(conflict=True)
    for known in prompts.values():
        file, row, _ = known.first
        yield Reject(file, row, "reward_model.ground_truth", CONFLICT) if known.conflict else known.first
    if copies:
        logging.getLogger(__name__).warning(
            "%s: %d different prompts; %d copies left out", config.path, len(prompts), copies
        )


def to_record(raw: Mapping[str, Any]) -> Problem:
    """The prompt without its instructions, and the answer.

    Raises:
        BadRow: a field is missing or empty, or the prompt is only a picture.
    """
    answer: str = _answer(raw)
    return Problem(question=_text(raw), answer=answer, solution=worked("", answer), level=None, subject="Mathematics")


def _text(raw: Mapping[str, Any]) -> str:  # Any: parsed JSON or Parquet values
    prompt = raw.get("prompt")
    if isinstance(prompt, list):
        turns = [turn for turn in cast(list[Any], prompt) if isinstance(turn, dict) and turn.get("role") == "user"]
        if not turns:
            raise BadRow("prompt", "no turn of the user")
        text: str = text_field(turns[-1], "content")
    else:
        text = text_field(raw, "prompt")
    return posed(AFTER.sub("", BEFORE.sub("", text)), "prompt")


def _answer(raw: Mapping[str, Any]) -> str:  # Any: as above
    stated = object_field(raw, "reward_model") if "reward_model" in raw else raw
    answer: str = plain(stated, "ground_truth") or plain(raw, "solution")
    if not answer:
        raise BadRow("reward_model.ground_truth", "missing or empty")
    return answer


EXAMPLE: tuple[Mapping[str, Any], Problem] = (
    {
        "data_source": "math_dapo",
        "prompt": [
            {
                "role": "user",
                "content": (
                    "Solve the following math problem step by step. End with a line Answer: $Answer.\n\n"
                    'What is $2+2$?\n\nRemember to put your answer on its own line after "Answer:".'
                ),
            }
        ],
        "ability": "MATH",
        "reward_model": {"ground_truth": "4", "style": "rule-lighteval/MATH_v2"},
        "extra_info": {"index": "0"},
    },
    Problem(question="What is $2+2$?", answer="4", solution="The answer is 4", level=None, subject="Mathematics"),
)
