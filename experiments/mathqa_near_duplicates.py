"""Which rewordings of real problems does each kind of near-duplicate search find, and how many natural pairs does it flag?

Question  GSM8K and MATH, train and test together. Test problems are reworded by rule and planted with their answer. Recall of the planted
          rows, and natural rows that are called near an earlier one, by words in a row (J >= 0.8), hashed vectors and a sentence model
Rows      all problems with an answer, and `planted` rewordings of test problems in which a word can be swapped
Formula   recall = planted rows that are called near any earlier row / planted; Wilson's interval
Limits    Rewordings by rule are easier for words in a row than a teacher's. Where a rewording changes a number (names and openings may hold
          one) it is another problem by the rule, and counts as missed. What is flagged is for the reader to judge: `--show` prints pairs
Command   python experiments/mathqa_near_duplicates.py --data DIR [--model FOLDER] [--planted 300] [--show 10] [--out FILE.json]
Layout    DIR/MATH/{train,test}.jsonl, DIR/gsm8k/{train,test}.jsonl; FOLDER: a sentence model such as all-MiniLM-L6-v2
"""

import argparse
from pathlib import Path
from typing import Any

import polars as pl
from mathqa_decontamination import SWAP, reworded

from skyloom.core import store
from skyloom.core.errors import BadRow
from skyloom.core.records import Reject
from skyloom.core.rng import stream
from skyloom.core.stats import wilson
from skyloom.core.text.embed import EmbedConfig
from skyloom.mathqa.annotate import near_duplicates
from skyloom.mathqa.sources import gsm8k, math_hendrycks

SETS: dict[str, tuple[Any, str]] = {"GSM8K": (gsm8k, "gsm8k"), "MATH": (math_hendrycks, "MATH")}  # Any: source modules


def problems(module: Any, file: Path) -> list[tuple[str, str]]:  # Any: a source module
    """Question and answer of every row that can be used."""
    found: list[tuple[str, str]] = []
    for raw in module.rows(module.Config(path=file, as_train=True), 0):
        try:
            record = None if isinstance(raw, Reject) else module.to_record(raw.data)
        except BadRow:
            continue
        if record is not None and record.answer:
            found.append((record.question, record.answer))
    return found


def searches(model: str) -> dict[str, near_duplicates.Config]:
    """The three kinds, at the thresholds that their docstring names."""
    found = {
        "words, 0.8": near_duplicates.Config(),
        "hashed, 0.65": near_duplicates.Config(threshold=1.0, cosine=0.65),
    }
    if model:
        embed = EmbedConfig(model=model)
        found["sentence model, 0.85"] = near_duplicates.Config(threshold=1.0, cosine=0.85, embed=embed)
    return found


def measured(name: str, folder: Path, model: str, planted: int, show: int) -> list[dict[str, Any]]:  # Any: JSON
    """A row a kind of search."""
    module, where = SETS[name]
    train, test = (problems(module, folder / where / f"{part}.jsonl") for part in ("train", "test"))
    rng = stream(0, "near", name)
    fit = [each for each in test if SWAP.search(each[0])]
    drawn = [fit[k] for k in rng.permutation(len(fit))[:planted].tolist()]
    rows = [*train, *test, *((reworded(question, rng), answer) for question, answer in drawn)]
    frame = pl.DataFrame(rows, schema=["question", "answer"], orient="row").with_row_index("row")
    told: list[dict[str, Any]] = []
    for kind, config in searches(model).items():
        found = near_duplicates.fit(frame.select(near_duplicates.READS), config)
        near_N = found["near_duplicates.like"].is_not_null()
        natural = len(train) + len(test)
        recall = wilson(int(near_N[natural:].sum()), len(drawn))
        flagged = [k for k in range(natural) if near_N[k]]
        told.append({"set": name, "search": kind, "natural": natural, "flagged": len(flagged), "recall": recall[:3]})
        print(told[-1], flush=True)
        for k in flagged[:show]:
            print(f"    {rows[k][0]!r}\n    {rows[int(found['near_duplicates.like'][k])][0]!r}\n")
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="")
    parser.add_argument("--planted", type=int, default=300)
    parser.add_argument("--show", type=int, default=0)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    rows = [row for name in SETS for row in measured(name, asked.data, asked.model, asked.planted, asked.show)]
    if asked.out:
        store.write_json(asked.out, rows)


if __name__ == "__main__":
    main()
