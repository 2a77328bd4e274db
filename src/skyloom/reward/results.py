"""Result files: what `rewardbench` writes, our own scores without loss, and the protocol they were made under.

Layout   scores.jsonl                                  {name, subset, credit, scores[]} an item; null: could not be scored
         protocol.json                                 scorer, special-token checks, versions, file hashes, counts; no date, no path
         rewardbench/<model>.json                      {accuracy, num_prompts, model, ref_model, tokenizer, chat_template, extra_results}
         rewardbench/<model>_outputs.jsonl             {prompt, results, scores_chosen, scores_rejected, text_chosen, text_rejected, id,
                                                       subset} a compared pair: more than one where an item has more responses
         rewardbench/eval-set/<model>.json             subset -> accuracy, model, model_type, chat_template
         rewardbench/eval-set-scores/<model>.json      the columns of the outputs as lists, model, model_type, chat_template
Source   allenai/reward-bench rewardbench/rewardbench.py, rewardbench/utils.py (save_to_hub), scripts/run_rm.py; what these files lack:
         its issues 255 (not recomputable), 273 (no protocol recorded)
Flow     reward/score.py -> evals -> [results] -> evals/_report.py compares two models item by item
Run      skyloom reward eval MODEL --bench FILE.jsonl --out results
Limits   `results` in the files of rewardbench is its strict comparison of the two scores; accuracies are means of the benchmark's credits,
         which is the same wherever an item is a pair. Texts are conversations (its `custom_dialogue` form), not rendered by a template.
"""

import contextlib
import importlib.metadata
import math
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from skyloom.core import store
from skyloom.core.config import JSON
from skyloom.core.errors import BadInput, BadRow
from skyloom.core.records import Message, Reject
from skyloom.reward.evals._items import Item, Scores

SCORES: str = "scores.jsonl"
PROTOCOL: str = "protocol.json"
REWARDBENCH: str = "rewardbench"
MODEL_TYPE: str = "Seq. Classifier"
"""The name that rewardbench gives to a model whose head returns one number."""
PACKAGES: tuple[str, ...] = ("skyloom", "torch", "transformers", "tokenizers", "numpy")


class Scored(NamedTuple):
    """One line of scores.jsonl."""

    name: str
    subset: str
    credit: float
    """0 to 1, by the benchmark's rule."""
    scores: Float[np.ndarray, " R"]
    """One number a response, bit for bit as scored; NaN where it could not be."""


def write(
    folder: Path,
    model: str,
    items: Sequence[Item],
    scores: Scores,
    credits: Float[np.ndarray, " N"],
    protocol: Mapping[str, JSON],
) -> None:
    """Every file of one model on one benchmark, each atomically; `protocol` is `manifest`'s.

    Raises BadInput where scores do not fit the items, where two items share a name, for an infinite score and for a model without a name.
    """
    _check(items, scores, credits)
    write_scores(folder / SCORES, items, scores, credits)
    store.write_json(folder / PROTOCOL, dict(protocol))
    place = folder / REWARDBENCH
    name = model_path(model)
    template = protocol.get("chat_template", "tokenizer")
    about: dict[str, JSON] = {"model": model, "model_type": MODEL_TYPE, "chat_template": template}
    subsets = accuracies(items, credits)
    outputs = [row for item, row_R in zip(items, scores, strict=True) for row in _outputs(item, row_R)]
    store.write_json(
        place / f"{name}.json",
        {
            "accuracy": float(np.mean(credits)),
            "num_prompts": len(items),
            "model": model,
            "ref_model": None,
            "tokenizer": model,
            "chat_template": template,
            "extra_results": subsets,
        },
    )
    store.write_jsonl(place / f"{name}_outputs.jsonl", outputs)
    store.write_json(place / "eval-set" / f"{name}.json", {**subsets, **about})
    columns = {key: [row[key] for row in outputs] for key in outputs[0]}
    store.write_json(place / "eval-set-scores" / f"{name}.json", {**columns, **about})


def write_scores(path: Path, items: Sequence[Item], scores: Scores, credits: Float[np.ndarray, " N"]) -> None:
    """scores.jsonl; raises as `write` does."""
    _check(items, scores, credits)
    rows = [
        {"name": item.name, "subset": item.subset, "credit": float(credit), "scores": [_number(one) for one in row_R]}
        for item, row_R, credit in zip(items, scores, credits, strict=True)
    ]
    store.write_jsonl(path, rows)


def read_scores(path: Path) -> tuple[Scored, ...]:
    """scores.jsonl in file order; BadInput names file, row and field."""
    found: list[Scored] = []
    for raw in store.read_json_rows(path):
        try:
            if isinstance(raw, Reject):
                raise BadRow(raw.field, raw.reason)
            found.append(_scored(raw.data))
        except BadRow as error:
            raise BadInput(f"{path}: row {raw.row}: {error}; score the model again") from error
    return tuple(found)


def align(items: Sequence[Item], scored: Sequence[Scored]) -> list[Float[np.ndarray, " R"]]:
    """The stored scores in the order of the items, whatever order the file has.

    Raises BadInput where an item is missing, stands twice, is left over, or has another number of responses: then the two were not scored
    on the same benchmark.
    """
    stored = {each.name: each for each in scored}
    if len(stored) != len(scored):
        raise BadInput("stored scores: an item stands there twice; score the model again")
    missing = [item.name for item in items if item.name not in stored]
    if missing or len(stored) != len(items):
        left = sorted(stored.keys() - {item.name for item in items})
        named = f"no scores of {missing[0]!r}" if missing else f"{left[0]!r} is no item"
        raise BadInput(f"stored scores: {named}; both must come from the same benchmark file")
    for item in items:
        if len(stored[item.name].scores) != len(item.responses):
            raise BadInput(
                f"stored scores: {item.name!r} has {len(stored[item.name].scores)} scores for {len(item.responses)} responses; "
                "both must come from the same benchmark file"
            )
    return [stored[item.name].scores for item in items]


def manifest(
    benchmark: str, items: Sequence[Item], scores: Scores, files: Sequence[Path], scorer: Mapping[str, JSON]
) -> dict[str, JSON]:
    """What must be equal for two results to be comparable, and what was left out; it holds no date and no absolute path.

    `files`: the benchmark's files or folders; `scorer`: the scorer's own protocol (dtype, attention, template hash, max_length,
    truncations, special-token checks), taken over as it is.
    """
    unscored = [item.name for item, row_R in zip(items, scores, strict=True) if np.isnan(row_R).any()]
    return {
        "benchmark": benchmark,
        "files": dict(_hashes(files)),
        "items": len(items),
        "responses": sum(len(item.responses) for item in items),
        "unscored_items": len(unscored),
        "unscored_names": list(unscored),
        "chat_template": scorer.get("chat_template", "tokenizer"),
        "scorer": dict(scorer),
        "versions": dict(_versions()),
    }


def read_protocol(folder: Path) -> dict[str, JSON]:
    """protocol.json of a folder of results; BadInput names the file."""
    for raw in store.read_json_rows(folder / PROTOCOL):
        if isinstance(raw, Reject):
            raise BadInput(f"{folder / PROTOCOL}: {raw.reason}; score the model again")
        return dict(raw.data)
    raise BadInput(f"{folder / PROTOCOL}: empty; score the model again")


def accuracies(items: Sequence[Item], credits: Float[np.ndarray, " N"]) -> dict[str, JSON]:
    """Subset -> mean credit, by name."""
    places: dict[str, list[float]] = {}
    for item, credit in zip(items, credits, strict=True):
        places.setdefault(item.subset, []).append(float(credit))
    return {subset: float(np.mean(part)) for subset, part in sorted(places.items())}


def model_path(model: str) -> str:
    """Where files of a model stand: a hub name keeps its slash, so its owner is a folder; a path on disk gives its last part."""
    parts = [part for part in PurePosixPath(model.replace("\\", "/")).parts if part not in ("/", ".")]
    if not parts or parts[-1] == "..":
        raise BadInput(f"result files: {model!r} names no model; give a folder or OWNER/NAME")
    on_disk = model.startswith(("/", ".")) or ".." in parts or len(parts) > 2
    return parts[-1] if on_disk else "/".join(parts)


def _check(items: Sequence[Item], scores: Scores, credits: Float[np.ndarray, " N"]) -> None:
    if not items or len(items) != len(scores) or len(items) != len(credits):
        raise BadInput(f"result files: {len(items)} items, {len(scores)} scores, {len(credits)} credits")
    if len({item.name for item in items}) != len(items):
        raise BadInput("result files: two items share a name")
    for item, row_R in zip(items, scores, strict=True):
        if len(row_R) != len(item.responses) or np.isinf(row_R).any():
            raise BadInput(f"result files: {item.name!r}: needs {len(item.responses)} scores, none infinite: {row_R}")


def _outputs(item: Item, row_R: Float[np.ndarray, " R"]) -> list[dict[str, Any]]:  # Any: a row of JSON
    turns = [_turn(message) for message in item.prompt]
    single = len(turns) == 1
    return [
        {
            "prompt": item.prompt[0].content if single else turns,
            "results": int(row_R[better] > row_R[worse]),
            "scores_chosen": _number(row_R[better]),
            "scores_rejected": _number(row_R[worse]),
            "text_chosen": [*turns, {"role": "assistant", "content": item.responses[better]}],
            "text_rejected": [*turns, {"role": "assistant", "content": item.responses[worse]}],
            "id": item.name,
            "subset": item.subset,
        }
        for better, worse in item.compared
    ]


def _turn(message: Message) -> dict[str, str]:
    return {"role": message.role, "content": message.content}


def _number(score: float) -> float | None:
    return None if math.isnan(score) else float(score)


def _scored(raw: Mapping[str, Any]) -> Scored:  # Any: parsed JSON
    credit = store.number_field(raw, "credit")
    if not 0 <= credit <= 1:
        raise BadRow("credit", f"expected 0 to 1, got {credit}")
    listed = store.list_field(raw, "scores")
    one = [math.nan if value is None else store.number_field({"scores": value}, "scores") for value in listed]
    name, subset = store.text_field(raw, "name"), store.text_field(raw, "subset", empty=True)
    return Scored(name, subset, credit, np.asarray(one, dtype=np.float64))


def _hashes(files: Sequence[Path]) -> dict[str, str]:
    """Name -> SHA-256; files of a folder are named from that folder on."""
    found: dict[str, str] = {}
    for path in files:
        for each in store.find_files(path):
            name = each.name if each == path else f"{path.name}/{each.relative_to(path).as_posix()}"
            while name in found:  # two files of one name from two places: both are told
                name = f"{name} (another)"
            found[name] = store.sha256(each)
    return found


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found
