"""Files of questions and outputs: benchmark items through their source plug-in, and stored predictions joined to them.

Flow     evals/gsm8k.py and evals/math.py read items; `skyloom mathqa eval --predictions` grades outputs that another tool wrote
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from skyloom.core.errors import BadInput, BadRow
from skyloom.core.records import Raw, Reject, SourceConfig
from skyloom.core.store import read_json_rows, text_field
from skyloom.core.text.normal import normal
from skyloom.mathqa.benchmark import Item
from skyloom.mathqa.records import Problem

OUTPUTS: tuple[str, ...] = (
    "output",
    "prediction",
    "response",
    "completion",
    "model_output",
    "generated_text",
    "solution",
)
"""Fields that may hold a model's output, in the order in which they are looked for."""
QUERIES: tuple[str, ...] = ("query", "question", "problem", "instruction")
TAKEN: tuple[str, ...] = ("question", "answer", "level", "subject", "solution")
"""What an item takes from a problem."""
RESPONSES: tuple[str, ...] = ("response", "solution", "output")
QUESTIONS: tuple[str, ...] = ("question", "problem", "input", "prompt", "query")


def read_items(source: ModuleType, config: SourceConfig, name: str) -> tuple[Item, ...]:
    """Every row of a source plug-in as an item called name/number, numbered from 0; raises as `items_from`."""
    return items_from(name, source.rows(config, 0), source.to_record, source.inputs(config))


def items_from(
    name: str, rows: Iterable[Raw | Reject], to_record: Callable[[Mapping[str, Any]], Problem], files: Sequence[Path]
) -> tuple[Item, ...]:
    """Every row as an item called name/number, numbered from 0.

    Raises:
        BadInput: naming file, row and field of the first row that cannot be used, or an empty file.
    """
    found: list[Item] = []
    for raw in _whole(rows):
        try:
            problem: Problem = to_record(raw.data)
        except BadRow as error:
            raise BadInput(f"{raw.file}: row {raw.row}: {error.field}: {error.reason}") from error
        fields: dict[str, Any] = {field: getattr(problem, field) for field in TAKEN}
        found.append(Item(id=f"{name}/{len(found)}", **fields))
    if not found:
        raise BadInput(f"{name}: no rows in {', '.join(map(str, files))}")
    return tuple(found)


def read_predictions(path: Path, items: Sequence[Item], output_field: str = "") -> list[str]:
    """One output an item, in the order of the items.

    Rows are joined by `id` where they have one, else by the question's text; a file with neither must have one row an item in the
    same order. Raises BadInput for a missing output, a question that is no item, or an item without an output.
    """
    rows: list[Raw] = list(_whole(read_json_rows(path)))
    outputs: list[str] = [_output(raw, output_field) for raw in rows]
    keys: list[str | None] = [_key(raw.data) for raw in rows]
    if all(key is None for key in keys):
        if len(rows) != len(items):
            raise BadInput(f"{path}: {len(rows)} rows without id or question for {len(items)} items; give either field")
        return outputs
    by_key: dict[str, str] = {}
    for raw, key, output in zip(rows, keys, outputs, strict=True):
        if key is None:
            raise BadInput(f"{path}: row {raw.row}: question: missing, and other rows have one")
        if key in by_key:
            raise BadInput(f"{path}: row {raw.row}: question: stands twice; give one output an item")
        by_key[key] = output
    chosen: list[str | None] = [by_key.get(item.id, by_key.get(normal(item.question))) for item in items]
    missing: list[Item] = [item for item, output in zip(items, chosen, strict=True) if output is None]
    if missing:
        raise BadInput(
            f"{path}: no output for {len(missing)} of {len(items)} items, first {missing[0].id}; --limit cuts the items"
        )
    return [output for output in chosen if output is not None]


def read_examples(path: Path) -> tuple[list[dict[str, str | float]], list[Reject]]:
    """Rows to train on: query (or question, problem), response (or solution, output, answer with its working), and stage where it is there.

    Rows without either are rejects; BadInput where none is left. Each row is a seed of its own for the validation split.
    """
    rows: list[dict[str, str | float]] = []
    rejects: list[Reject] = []
    for raw in read_json_rows(path):
        if isinstance(raw, Reject):
            rejects.append(raw)
            continue
        try:
            question, response = (_first(raw.data, names) for names in (QUERIES, RESPONSES))
            stage = raw.data.get("stage", 1)
            if stage not in (1, 2):
                raise BadRow("stage", f"{stage!r} is neither 1 nor 2")
            rows.append({"question": question, "response": response, "weight": 1.0, "seed": question, "stage": stage})
        except BadRow as error:
            rejects.append(Reject(raw.file, raw.row, error.field, error.reason))
    if not rows:
        first = f"; first: row {rejects[0].row}: {rejects[0].field}: {rejects[0].reason}" if rejects else ""
        raise BadInput(f"{path}: no usable row, {len(rejects)} rejected{first}")
    return rows, rejects


def _first(row: Mapping[str, Any], names: Sequence[str]) -> str:  # Any: JSON values
    """The text of the first of the fields that is there."""
    found: str | None = next((name for name in names if name in row), None)
    if found is None:
        raise BadRow(names[0], f"none of {', '.join(names)} is there")
    return text_field(row, found)


def _whole(rows: Iterable[Raw | Reject]) -> Iterator[Raw]:
    """Rows only; a reject is an error here."""
    for row in rows:
        if isinstance(row, Reject):
            raise BadInput(f"{row.file}: row {row.row}: {row.field or 'row'}: {row.reason}")
        yield row


def _output(raw: Raw, field: str) -> str:
    names: tuple[str, ...] = (field,) if field else OUTPUTS
    found: str | None = next((name for name in names if name in raw.data), None)
    if found is None:
        raise BadInput(
            f"{raw.file}: row {raw.row}: output: none of {', '.join(names)} is there; name it with --output-field"
        )
    try:
        return text_field(raw.data, found, empty=True)
    except BadRow as error:
        raise BadInput(f"{raw.file}: row {raw.row}: {error.field}: {error.reason}") from error


def _key(row: Mapping[str, Any]) -> str | None:  # Any: JSON values
    if isinstance(row.get("id"), str):
        return str(row["id"])
    found: str | None = next((name for name in QUESTIONS if isinstance(row.get(name), str)), None)
    return None if found is None else normal(str(row[found]))
