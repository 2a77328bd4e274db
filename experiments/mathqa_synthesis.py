"""What does each way of making problems give and cost, does their mix teach more than any one of them, and how much error is borne?

Question  On the problem world, whose truth is known: yield, cost, difficulty and diversity by augmenter, strategy and round; a small model
          trained on equal numbers of rows of one augmenter or of all; the same with a teacher that is wrong on 0 to 40 % of its answers,
          with and without the check against gold and votes
Rows      one world of seed problems for every seed; a simulated teacher that errs, drifts, breaks off and evolves badly at fixed rates. Truth
          is read for the tables and by nothing that makes, filters or trains
Equal     rows: every condition's kept rows are cut to the smallest condition's number, by a random draw of whole rows
Test      problems whose contents are in the world's evaluation part; rows that hold one (same words) are left out of training
Formula   yield = rows / jobs; steps = lines of the world's own solution of the row's question less those of its seed's; coverage = mean cosine
          distance from 2,000 fresh problems to the nearest question made (hashed embedding); templates = questions that differ after numbers
          and names are blotted out. Accuracy: items and seeds drawn anew, percentile interval; differences paired by item and seed
Command   python experiments/mathqa_synthesis.py --out DIR [--part operators|mix|error] [--seeds 3] [--epochs 8] [--quick]     (a second call goes on)
Shapes    N items, S seeds
"""

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from skyloom.core import store
from skyloom.core.ledger.curate import curate, read_kept
from skyloom.core.ledger.rows import collect, read_truth, row_parts
from skyloom.core.llm.simulated import Faults, SimulatedTeacher
from skyloom.core.llm.teacher import TeacherConfig
from skyloom.core.rng import stream
from skyloom.core.text.embed import EmbedConfig, embed
from skyloom.core.text.kcenter import nearest
from skyloom.core.text.normal import normal
from skyloom.mathqa import evaluate
from skyloom.mathqa.annotate import duplicates, verify
from skyloom.mathqa.augment import answer_augment, evol, fobar, rephrase, self_verification, xwin
from skyloom.mathqa.benchmark import Item
from skyloom.mathqa.decide import duplicates as drop_duplicates
from skyloom.mathqa.decide import wrong_answer
from skyloom.mathqa.evals import world as world_test
from skyloom.mathqa.operators import AugmentConfig
from skyloom.mathqa.records import Problem
from skyloom.mathqa.settings import PassConfig
from skyloom.mathqa.sources import world
from skyloom.mathqa.synthesize import Pass, synthesize
from skyloom.mathqa.train import examples_of, train
from skyloom.mathqa.verify.grading import grade
from skyloom.mathqa.world.problems import problems
from skyloom.mathqa.world.responder import Responder
from skyloom.recipes.mathqa import skywork_math

SINGLE: dict[str, AugmentConfig] = {
    "answer_augment": answer_augment.Config(),
    "rephrase": rephrase.Config(),
    "fobar": fobar.Config(),
    "self_verification": self_verification.Config(),
    "evol": evol.Config(rounds=3),
    "xwin": xwin.Config(),
}
MIX: str = "mix"
RATES: Mapping[str, float] = {"wrong": 0.15, "drift": 0.03, "careless": 0.02, "weak": 0.15, "unsolvable": 0.03}
ERRORS: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3, 0.4)
WORDS: re.Pattern[str] = re.compile(r"\b[A-Z][a-z]+\b|\d+")
RESAMPLES: int = 4_000
SAMPLE: int = 400
"""Rows of a group that its diversity is measured on."""


class Size(NamedTuple):
    """How much is made and measured."""

    seeds: int
    jobs: int
    items: int
    epochs: int


FULL, QUICK = Size(2_400, 2_400, 1_500, 8), Size(80, 120, 60, 1)


def seeds_of(out: Path, size: Size, seed: int) -> Path:
    folder = out / f"seeds-{seed}"
    if not (folder / "sources.json").is_file():
        source = world.Config(rows=size.seeds, seed=seed, shares=skywork_math.SHARES)
        collect([source], Problem, folder)
    return folder


def made(out: Path, name: str, size: Size, seed: int, rates: Mapping[str, float] = RATES) -> Path:
    """Rows of one condition; the mix is every augmenter at equal shares of rows."""
    folder = out / f"{name}-{seed}"
    if (folder / "sources.json").is_file():
        return folder
    augment = tuple(SINGLE.values()) if MIX in name else (SINGLE[name],)
    augment = tuple(replace(each, share=1 / 3) if isinstance(each, evol.Config) else each for each in augment)
    rows = size.jobs if MIX in name or name != "evol" else size.jobs // 3
    plan = Pass(
        config=PassConfig(augment=augment, rows=rows),
        folders=(seeds_of(out, size, seed),),
        judge=world.judge_instance,
        seed=seed,
    )
    with SimulatedTeacher(Responder(**rates), Faults(), seed=seed) as server:
        synthesize(plan, TeacherConfig(url=server.url, in_flight=64), folder)
    return folder


def frame_of(folder: Path) -> pl.DataFrame:
    rows = pl.concat([pl.read_parquet(part) for part in row_parts([folder])])
    truth = read_truth([folder])
    assert truth is not None
    return rows.join(truth, on="row")


# --- operators -------------------------------------------------------------------------------------------------------------


def operators(out: Path, size: Size, seeds: int) -> list[dict[str, Any]]:  # Any: JSON
    """A row a condition, and for evol one a round and one a strategy; means over seeds."""
    fresh = embed([posed.text for posed in problems("train", 991, 2_000)], EmbedConfig())
    found: dict[str, list[dict[str, float]]] = {}
    for seed in range(seeds):
        for name in (*SINGLE, MIX):
            folder = made(out, name, size, seed)
            frame = frame_of(folder)
            refused = sum(1 for _ in store.read_json_rows(folder / "rejects.jsonl"))
            cost = json.loads((folder / "teacher.json").read_text())
            tokens = cost["prompt_tokens"] + cost["completion_tokens"]
            right = frame.height - int(frame["truth.wrong"].sum())
            told = {"yield": frame.height / (frame.height + refused), "tokens a row": tokens / frame.height}
            found.setdefault(name, []).append({**told, "tokens a right row": tokens / right, **measured(frame, fresh)})
            if name == "evol":
                for k in (1, 2, 3):
                    found.setdefault(f"evol round {k}", []).append(measured(frame.filter(round=k), fresh))
                for each in evol.STRATEGIES:
                    found.setdefault(f"evol {each}", []).append(measured(frame.filter(strategy=each), fresh))
    return [
        {"condition": label, **{key: float(np.mean([each[key] for each in told])) for key in told[0]}}
        for label, told in found.items()
    ]


def measured(rows: pl.DataFrame, fresh: np.ndarray) -> dict[str, float]:
    """What one group of rows is like; diversity is measured on as many rows of every group."""
    some = rows[stream(0, "diversity").permutation(rows.height)[:SAMPLE].tolist()]["question"].to_list()
    readable = rows.filter("truth.readable")
    before = [world.judge_instance(text, "", None)["steps"] for text in readable["seed_question"]]
    after = readable["truth.steps"].to_list()
    return {
        "rows": float(rows.height),
        "right": 1 - float(rows["truth.wrong"].sum()) / rows.height,
        "drifted": float(rows["truth.drifted"].sum()) / rows.height,
        "steps more": float(np.mean([b - int(a) for a, b in zip(before, after, strict=True)])),
        "distance": float(nearest(fresh, embed(some, EmbedConfig())).mean()),
        "templates": len({normal(WORDS.sub("#", text)) for text in some}) / len(some),
    }


# --- training --------------------------------------------------------------------------------------------------------------


def kept_of(folder: Path, filtered: bool, cache: Path) -> pl.DataFrame:
    """What curation keeps: without copies; `filtered` also drops what gold or votes speak against."""
    out = folder / ("checked" if filtered else "unchecked")
    if not (out / "decisions.parquet").is_file():
        check = (verify.Config(), wrong_answer.Config()) if filtered else ()
        curate((folder,), (*check, duplicates.Config(), drop_duplicates.Config()), out, cache)
    return read_kept(out, ("question", "response", "weight", "seed"))


def score(out: Path, name: str, rows: pl.DataFrame, size: Size, seed: int) -> list[bool]:
    """Right or wrong on every item after training on these rows; kept on disk."""
    return learnt(out, f"{name}-{seed}-{size.epochs}", rows.to_dicts(), items_of(size), size.epochs, seed)


def learnt(
    out: Path, name: str, rows: list[dict[str, Any]], items: Sequence[Item], epochs: int, seed: int
) -> list[bool]:  # Any: column values
    """As `score`, for any items; rows that ask one of them are left out. `name` tells the training from the others in `out`."""
    file = out / "scores" / f"{name}.json"
    if not file.is_file():
        held = {normal(item.question) for item in items}
        clean = [row for row in rows if normal(row["question"]) not in held]
        recipe = skywork_math.smoke()
        config = replace(recipe.train, epochs=epochs)
        folder = out / "models" / name
        train(examples_of(clean), config, seed, folder)
        model, tokenizer = evaluate.load_trained(config, folder / "model", seed)
        outputs = evaluate.write_answers(model, tokenizer, items, recipe.evaluate.generate, seed)
        right = [grade(item.answer, each.text).equal for item, each in zip(items, outputs, strict=True)]
        store.write_json(file, {"rows": len(clean), "right": right})
        store.remove_tree(folder)
    return json.loads(file.read_text())["right"]


def test_of(size: Size) -> world_test.Config:
    return world_test.Config(rows=size.items, seed=77, shares=skywork_math.SHARES)


@lru_cache(maxsize=2)
def items_of(size: Size) -> tuple[Item, ...]:
    return world_test.items(test_of(size))


def mix(out: Path, size: Size, seeds: int) -> list[dict[str, Any]]:  # Any: JSON
    """One augmenter against all, at equal kept rows."""
    right: dict[str, list[list[bool]]] = {}
    for seed in range(seeds):
        kept = {name: kept_of(made(out, name, size, seed), True, out / "cache") for name in (*SINGLE, MIX)}
        least = min(each.height for each in kept.values())
        for name, rows in kept.items():
            draw = np.sort(stream(seed, "equal rows").permutation(rows.height)[:least])
            right.setdefault(name, []).append(score(out, f"mix-{name}", rows[draw.tolist()], size, seed))
            print(f"{name} seed {seed}: {least} rows, {np.mean(right[name][-1]):.3f}", flush=True)
    return [told(name, right[name], right[MIX] if name != MIX else None) for name in (*SINGLE, MIX)]


def error(out: Path, size: Size, seeds: int) -> list[dict[str, Any]]:  # Any: JSON
    """A teacher that is wrong more and more often, its rows checked and not."""
    right: dict[tuple[float, bool], list[list[bool]]] = {}
    shares: dict[tuple[float, bool], list[float]] = {}
    for seed in range(seeds):
        for wrong in ERRORS:
            folder = made(out, f"{MIX}-wrong{wrong:g}", size, seed, {**RATES, "wrong": wrong})
            for checked in (False, True):
                rows = kept_of(folder, checked, out / "cache")
                name = f"wrong{wrong:g}-{'checked' if checked else 'unchecked'}"
                right.setdefault((wrong, checked), []).append(score(out, name, rows, size, seed))
                shares.setdefault((wrong, checked), []).append(share_right(folder, checked))
                print(f"{name} seed {seed}: {rows.height} rows, {np.mean(right[wrong, checked][-1]):.3f}", flush=True)
    return [
        {**told(f"{wrong:.0%} {'checked' if checked else 'unchecked'}", each, right[0.0, False] if (wrong or checked) else None),
         "right rows": float(np.mean(shares[wrong, checked]))}
        for (wrong, checked), each in right.items()
    ]  # fmt: skip


def share_right(folder: Path, checked: bool) -> float:
    kept = read_kept(folder / ("checked" if checked else "unchecked"), ("row",))
    return 1 - float(frame_of(folder).join(kept, on="row")["truth.wrong"].mean() or 0.0)


def told(name: str, right: list[list[bool]], other: list[list[bool]] | None) -> dict[str, Any]:  # Any: JSON
    """Accuracy, and the difference to another condition, with items and seeds drawn anew."""
    value_SN = np.asarray(right, dtype=np.float64)
    found: dict[str, Any] = {"condition": name, "n": value_SN.shape[1], "seeds": value_SN.shape[0]}
    found["accuracy"] = [round(each, 4) for each in interval(value_SN)]
    if other is not None:
        found["difference"] = [round(each, 4) for each in interval(value_SN - np.asarray(other, dtype=np.float64))]
    return found


def interval(value_SN: np.ndarray) -> tuple[float, float, float]:
    """Mean and 95 % percentile interval."""
    rng = stream(0, "resample")
    seeds, items = value_SN.shape
    draws = [
        value_SN[rng.integers(seeds, size=seeds)][:, rng.integers(items, size=items)].mean() for _ in range(RESAMPLES)
    ]
    low, high = np.quantile(draws, (0.025, 0.975))
    return float(value_SN.mean()), float(low), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--part", choices=["operators", "mix", "error"], action="append")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=0, help="of every training; 8 without it")
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args()
    size = QUICK if asked.quick else FULL
    size = size._replace(epochs=asked.epochs or size.epochs)
    parts = {"operators": operators, "mix": mix, "error": error}
    for part in asked.part or parts:
        rows = parts[part](asked.out, size, asked.seeds)
        store.write_json(asked.out / f"{part}-{size.epochs}.json", rows)
        print(pl.DataFrame(rows).write_ndjson(), end="")


if __name__ == "__main__":
    main()
