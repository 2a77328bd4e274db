"""Prompts of benchmark files: what training data must not contain.

RewardBench 1 and 2, RM-Bench, JudgeBench, LLMBar, RMB, PPE and AlpacaEval are known by their columns; any other file needs one of the
usual prompt columns. Every user turn is an item of its own, named after its file and id, so that evidence points at one place.

Source   columns: allenai/reward-bench, allenai/reward-bench-2, THU-KEG/RM-Bench, ScalerLab/JudgeBench, princeton-nlp/LLMBar,
         Zhou-Zoey/RMB-Reward-Model-Benchmark, lmarena/PPE, tatsu-lab/alpaca_eval
Flow     benchmark files -> prompts_of -> core.text.ngrams -> annotate/contamination.py
Run      skyloom reward index FILE ... --out benchmarks.npz
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from skyloom.core.errors import BadInput, BadRow
from skyloom.core.records import Message, Reject
from skyloom.core.store import find_files, read_json_rows
from skyloom.core.text.ngrams import NgramIndex, Rule
from skyloom.reward.sources._files import text_or_turns


class Prompt(NamedTuple):
    """One user turn of a benchmark."""

    name: str
    """file stem:id, with the turn's number where the prompt has several."""
    text: str


class Format(NamedTuple):
    """How a benchmark is told by its columns."""

    name: str
    columns: frozenset[str]
    prompt: str
    id: str


FORMATS: tuple[Format, ...] = (
    Format("RewardBench 2", frozenset({"prompt", "chosen", "rejected", "num_correct", "subset"}), "prompt", "id"),
    Format("RewardBench", frozenset({"prompt", "chosen", "rejected", "subset"}), "prompt", "id"),
    Format("RM-Bench", frozenset({"prompt", "chosen", "rejected", "domain"}), "prompt", "id"),
    Format(
        "JudgeBench", frozenset({"pair_id", "question", "response_A", "response_B", "label"}), "question", "pair_id"
    ),
    Format("LLMBar", frozenset({"input", "output_1", "output_2", "label"}), "input", ""),
    Format("RMB", frozenset({"conversation_input", "category_path"}), "conversation_input", "pair_uid"),
    Format("PPE", frozenset({"question_id", "prompt", "response_1", "response_2"}), "prompt", "question_id"),
    Format("AlpacaEval", frozenset({"instruction", "output_1", "output_2"}), "instruction", ""),
)
"""The narrower first. An empty id: the file states none, so the row's number names the item."""
PROMPT_NAMES: tuple[str, ...] = ("prompt", "question", "instruction", "input", "problem", "messages", "conversation")
"""Columns that may hold the prompt of any other file; the first one that is there counts."""


def prompts_of(path: Path) -> tuple[Prompt, ...]:
    """Every user turn of a file, or of all files below a folder, in path and row order.

    Raises BadInput naming file, row and columns where a row has no prompt: a benchmark is indexed whole or not at all.
    """
    return tuple(prompt for file in find_files(path) for prompt in _file_prompts(file))


def index_of(prompts: Sequence[Prompt], rule: Rule) -> NgramIndex:
    """The index that contamination annotators read: hashes and names, no text. Raises BadInput where there is no prompt."""
    if not prompts:
        raise BadInput("benchmark index: no prompt to index")
    return NgramIndex.build([prompt.text for prompt in prompts], rule, [prompt.name for prompt in prompts])


def format_name(raw: Mapping[str, Any]) -> str | None:  # Any: parsed JSON or Parquet values
    """Which known benchmark a row's columns belong to; None for any other file."""
    known = _format_of(raw)
    return known.name if known is not None and known in FORMATS else None


def _file_prompts(file: Path) -> Iterator[Prompt]:
    stem = file.name.partition(".")[0]
    count = 0
    for raw in read_json_rows(file):
        count += 1
        if isinstance(raw, Reject):
            raise BadInput(
                f"{file}: row {raw.row}: {raw.field or 'row'}: {raw.reason}; a benchmark is indexed whole or not at all"
            )
        known = _format_of(raw.data)
        if known is None:
            raise BadInput(
                f"{file}: row {raw.row}: no prompt column; it has {', '.join(sorted(raw.data)) or 'none'}; "
                f"known benchmarks: {', '.join(each.name for each in FORMATS)}; "
                f"any other file needs one of {', '.join(PROMPT_NAMES)}"
            )
        try:
            turns = _user_turns(raw.data, known.prompt)
        except BadRow as error:
            raise BadInput(f"{file}: row {raw.row}: {error} ({known.name})") from error
        name = f"{stem}:{raw.data.get(known.id) or raw.row}"
        yield from (Prompt(name if len(turns) == 1 else f"{name}[{k}]", text) for k, text in enumerate(turns))
    if not count:
        raise BadInput(f"{file}: holds no row, so nothing to keep out of training")


def _format_of(raw: Mapping[str, Any]) -> Format | None:  # Any: parsed JSON or Parquet values
    keys = raw.keys()
    for known in FORMATS:
        if known.columns <= keys:
            return known
    column = next((name for name in PROMPT_NAMES if raw.get(name) is not None), None)
    return Format("a file of prompts", frozenset(), column, "id") if column else None


def _user_turns(raw: Mapping[str, Any], column: str) -> list[str]:  # Any: as above
    value = text_or_turns(raw, column)
    turns = [Message(role="user", content=value)] if isinstance(value, str) else value
    return [turn.content for turn in turns if turn.role == "user"]
