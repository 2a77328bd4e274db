"""What does more data buy, and which data: size, mix, order, diversity, verification and the width of the n-gram filter.

Question  planted: does the fitter find laws that are known? sizes: what does a doubling buy on the problem world, by which law? mix: do all
          augmenters together teach more than the best alone? order: normal then hard, mixed, or hard then normal? diversity: many seed
          problems with few rewordings, or few with many? verified: what does checking buy at 20 % teacher error, at equal raw rows and at
          equal kept rows? ngram: what does a 10-gram filter cost against a 30-gram one?
Rows      one world of seed problems and a simulated teacher for every data seed; truth is read by nothing that makes, filters or trains
Equal     rows of a condition are cut to the smallest condition's number in a random order, but where the table says otherwise; training is
          equal in all (same epochs, or with --updates fixed the same updates), one seed the same for all conditions
Test      problems whose contents are in the world's evaluation part; rows that ask one word for word are left out, and counted
Formula   accuracy and held-out NLL a token; differences to the first condition paired by item and seed, items drawn anew, the seeds' part
          Student's t with the variance of all conditions pooled (mathqa/scaling/value.py); sizes: mathqa/scaling/fit.py
Power     one training of `tiny` differs from the next by about 0.05 in accuracy: with three seeds a difference below about 0.08 is not told
          from none. NLL moves long before accuracy does and is told apart sooner. Every table says its half width
Command   python experiments/mathqa_scaling.py --out DIR [--part planted|sizes|mix|order|diversity|verified|ngram] [--seeds 3] [--quick]
          a cell takes 30 to 120 s of one core; a second call goes on, a killed cell from its checkpoint
Shapes    N items, S seeds, G conditions
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from mathqa_synthesis import MIX, RATES, SINGLE

from skyloom.core import store
from skyloom.core.ledger.curate import curate, read_kept
from skyloom.core.ledger.rows import collect
from skyloom.core.llm.simulated import Faults, SimulatedTeacher
from skyloom.core.llm.teacher import TeacherConfig
from skyloom.core.rng import stream
from skyloom.core.stats import wilson
from skyloom.mathqa.annotate import contamination, duplicates, verify
from skyloom.mathqa.augment import answer_augment, evol, rephrase
from skyloom.mathqa.benchmark import index_of
from skyloom.mathqa.decide import contamination as drop_contaminated
from skyloom.mathqa.decide import duplicates as drop_duplicates
from skyloom.mathqa.decide import wrong_answer
from skyloom.mathqa.evals import world as world_test
from skyloom.mathqa.operators import AugmentConfig
from skyloom.mathqa.records import Problem
from skyloom.mathqa.scaling import planted as known
from skyloom.mathqa.scaling import told as tell
from skyloom.mathqa.scaling.cells import ALL, Cell, Done, Grid, Setting, clash, run_grid
from skyloom.mathqa.scaling.fit import analyse
from skyloom.mathqa.scaling.study import curves
from skyloom.mathqa.scaling.value import paired
from skyloom.mathqa.settings import PassConfig
from skyloom.mathqa.sources import world
from skyloom.mathqa.synthesize import Pass, synthesize
from skyloom.mathqa.world.responder import Responder
from skyloom.recipes.mathqa import skywork_math

PLAIN: tuple[AugmentConfig, ...] = (rephrase.Config(), answer_augment.Config())
"""A model so small learns most from questions like those of the test."""
HARD: tuple[float, ...] = (0.0, 0.0, 0.0, 0.6, 0.4)
COPIES = (duplicates.Config(), drop_duplicates.Config())
CHECKED = (verify.Config(), wrong_answer.Config(), *COPIES)


class Size(NamedTuple):
    """How much is made, trained and measured."""

    sizes: tuple[int, ...]
    """Of part sizes; its pool is made by twice as many jobs as the last one."""
    jobs: int
    """Rows asked for by each condition of the other parts."""
    items: int
    epochs: int
    """Of the largest size in part sizes; of every training in the others."""
    simulations: int
    longest: int
    """Tokens of an answer."""


FULL = Size(known.SIZES, 3_000, 1_500, 6, 300, 96)
QUICK = Size((16, 32, 64, 128), 64, 16, 1, 2, 8)


class Bench(NamedTuple):
    """Where a part works and with what."""

    out: Path
    size: Size
    seeds: int
    updates: str


# --- rows ------------------------------------------------------------------------------------------------------------------


def made(
    bench: Bench,
    name: str,
    augment: Sequence[AugmentConfig],
    jobs: int,
    seeds: int,
    *,
    shares: tuple[float, ...] = skywork_math.SHARES,
    rates: Mapping[str, float] = RATES,
    stage: int = 1,
) -> Path:
    """One pass of a simulated teacher over a world of `seeds` problems; kept on disk."""
    folder = bench.out / "rows" / name
    if (folder / "sources.json").is_file():
        return folder
    problems = bench.out / "rows" / f"{name}-seeds"
    collect([world.Config(rows=seeds, seed=0, shares=shares)], Problem, problems)
    config = PassConfig(augment=tuple(augment), rows=jobs, stage=stage)
    plan = Pass(config=config, folders=(problems,), judge=world.judge_instance, seed=0)
    with SimulatedTeacher(Responder(**rates), Faults(), seed=0) as server:
        synthesize(plan, TeacherConfig(url=server.url, in_flight=64), folder)
    return folder


def kept(
    bench: Bench, folders: Sequence[Path], chain: Sequence[Any], name: str
) -> pl.DataFrame:  # Any: plug-in configs
    """What a chain keeps, without rows that ask a test item word for word."""
    out = bench.out / "kept" / name
    if not (out / "decisions.parquet").is_file():
        curate(folders, chain, out, bench.out / "cache")
    rows = read_kept(out)
    held = {item.question for item in world_test.items(test_of(bench))}
    clean = rows.filter(~pl.col("question").is_in(sorted(held)))
    bad = clash(clean, world_test.items(test_of(bench)))
    if bad.rows:  # the same words in another case or punctuation
        clean = clean.filter(
            pl.col("question").map_elements(
                lambda text: not clash(_row(text), world_test.items(test_of(bench))).rows, bool
            )
        )
    print(f"{name}: {clean.height:,} rows, {rows.height - clean.height} test items left out", flush=True)
    return clean


def _row(text: str) -> pl.DataFrame:
    return pl.DataFrame({"question": [text]})


def test_of(bench: Bench) -> world_test.Config:
    return world_test.Config(rows=bench.size.items, seed=77, shares=skywork_math.SHARES)


# --- training --------------------------------------------------------------------------------------------------------------


def trained(bench: Bench, part: str, name: str, rows: pl.DataFrame, sizes: Sequence[int], **changes: Any) -> list[Done]:
    """Every size and seed of one condition; `changes`: fields of the training."""
    recipe = skywork_math.smoke()
    train = replace(
        recipe.train, epochs=bench.size.epochs, valid_share=0.02 if bench.size.jobs > 1_000 else 0.3, **changes
    )
    generate = replace(recipe.evaluate.generate, max_new_tokens=bench.size.longest)
    fixed = "fixed" if bench.updates == "fixed" and part == "sizes" else "epochs"
    setting = Setting(benchmark=test_of(bench), train=train, generate=generate, updates=fixed)
    content = store.digest({"rows": str(rows.hash_rows(seed=0).sum()), "count": str(rows.height)})
    grid = Grid(rows, content, setting, bench.out / part / name)
    cells = [Cell(ALL, size, seed) for size in sizes for seed in range(bench.seeds)]
    return run_grid(grid, cells, lambda line: print(f"{part}/{name}: {line}", file=sys.stderr, flush=True))


def compared(
    done: Mapping[str, Sequence[Done]], level_N: np.ndarray | None = None
) -> list[dict[str, Any]]:  # Any: JSON
    """A row a condition: accuracy, NLL, and both less the first condition's; `level_N`: the same for hard items alone."""
    first = next(iter(done))
    found: list[dict[str, Any]] = [
        {"condition": name, "rows": cells[0].rows, "seeds": len(cells), "tokens": cells[0].tokens}
        for name, cells in done.items()
    ]
    for label, measure in (("accuracy", "right"), ("nll", "nll")):
        scored = [k for k, one in enumerate(getattr(done[first][0], measure)) if one is not None]
        value = {
            name: np.array([[getattr(each, measure)[k] for k in scored] for each in cells], dtype=np.float64)
            for name, cells in done.items()
        }
        groups = {label: np.ones(len(scored), bool)}
        if level_N is not None:
            groups[f"{label} of levels 4 and 5"] = level_N[scored] >= 4
        for group, here_N in groups.items():
            whole = paired(np.stack([each[:, here_N] for each in value.values()]), stream(0, "resample"))
            gaps = paired(
                np.stack([each[:, here_N] - value[first][:, here_N] for each in value.values()]), stream(0, "gap")
            )
            for row, own, gap in zip(found, whole, gaps, strict=True):
                row[group] = [round(each, 4) for each in own[:3]]
                if row["condition"] != first:
                    row[f"{group} less {first}"] = [round(each, 4) for each in gap[:3]]
                    row[f"half width of {group}"] = round((gap.high - gap.low) / 2, 4)
    return found


def equal(bench: Bench, part: str, pools: Mapping[str, pl.DataFrame]) -> list[dict[str, Any]]:  # Any: JSON
    """Conditions at the smallest one's number of rows."""
    least = min(each.height for each in pools.values())
    return compared({name: trained(bench, part, name, rows, (least,)) for name, rows in pools.items()})


# --- parts -----------------------------------------------------------------------------------------------------------------


def planted(bench: Bench) -> list[dict[str, Any]]:  # Any: JSON
    """Coverage of the slope's interval, with the law given and with the law chosen by AICc."""
    found: list[dict[str, Any]] = []
    for name, curve in known.CURVES.items():
        plan = known.Plan(seeds=bench.seeds)
        truth = known.true_slope(curve, plan)
        for law in (name, ""):
            told = [
                analyse(known.grid(curve, plan, stream(k, "planted", name)), seed=k, resamples=500, law=law)
                for k in range(bench.size.simulations)
            ]
            hits = sum(each.slope.low <= truth <= each.slope.high for each in told)
            error = np.array([each.slope.value - truth for each in told])
            width = np.array([each.slope.high - each.slope.low for each in told])
            found.append(
                {
                    "law": name, "fitted": law or "by AICc", "simulations": len(told), "true slope": round(float(truth), 4),
                    "coverage": [round(float(each), 4) for each in wilson(hits, len(told))[:3]],
                    "mean error": round(float(error.mean()), 5), "mean width": round(float(width.mean()), 4),
                    "same law": round(float(np.mean([each.chosen.name == name for each in told])), 3),
                    "asymptotes told": len(limits := [a for each in told if (a := each.asymptote) and not a.refusal]),
                    "of these with 0.7 inside": sum(each.low <= 0.7 <= each.high for each in limits),
                }
            )  # fmt: skip
            print(found[-1], flush=True)
    return found


def sizes(bench: Bench) -> list[dict[str, Any]]:  # Any: JSON
    """Five doublings, and what the fitter says of them."""
    largest = bench.size.sizes[-1]
    folder = made(bench, "sizes", PLAIN, largest * 2, largest)
    done = trained(bench, "sizes", "pool", kept(bench, [folder], CHECKED, "sizes"), bench.size.sizes)
    told = [
        analyse(each, (0.8, 0.9) if each.measure == "accuracy" else ()) for each in curves("tiny on the world", done)
    ]
    for each in told:
        print("\n".join(tell.lines(each)), flush=True)
    cells = [{"rows": each.rows, "seed": each.cell.seed, "accuracy": float(np.mean(each.right))} for each in done]
    return [*(tell.answer(each) for each in told), {"updates": bench.updates, "cells": cells}]


def mix(bench: Bench) -> list[dict[str, Any]]:  # Any: JSON
    """All augmenters at equal shares, and each alone, at equal kept rows."""
    pools: dict[str, pl.DataFrame] = {}
    jobs = bench.size.jobs
    for name in (MIX, *SINGLE):
        chosen = tuple(SINGLE.values()) if name == MIX else (SINGLE[name],)
        # evol's rounds make three rows of one job
        chosen = tuple(replace(each, share=1 / 3) if isinstance(each, evol.Config) else each for each in chosen)
        asked = jobs // 3 if name == "evol" else jobs
        pools[name] = kept(bench, [made(bench, f"mix-{name}", chosen, asked, jobs)], CHECKED, f"mix-{name}")
    return equal(bench, "mix", pools)


def order(bench: Bench) -> list[dict[str, Any]]:  # Any: JSON
    """The same rows of both stages in three orders, and of all items also the hard ones."""
    jobs = bench.size.jobs
    normal = made(bench, "order-normal", PLAIN, jobs, jobs // 2)
    hard = made(bench, "order-hard", PLAIN, jobs // 3, jobs // 6, shares=HARD, stage=2)
    frames = [kept(bench, [each], CHECKED, each.name) for each in (normal, hard)]
    rows = pl.concat(frames, how="vertical_relaxed").unique("question", maintain_order=True)
    done = {name: trained(bench, "order", name, rows, (0,), order=name) for name in ("in_order", "mixed", "reversed")}
    level_N = np.array([item.level or 0 for item in world_test.items(test_of(bench))])
    return compared(done, level_N)


def diversity(bench: Bench) -> list[dict[str, Any]]:  # Any: JSON
    """Equal rows from many seed problems with one rewording each, down to few with sixteen."""
    jobs = bench.size.jobs
    pools: dict[str, pl.DataFrame] = {}
    for times in (1, 4, 16):
        folder = made(bench, f"diversity-{times}", (rephrase.Config(),), jobs, max(jobs // times, 8))
        pools[f"{times} a seed"] = kept(bench, [folder], CHECKED, f"diversity-{times}")
    return equal(bench, "diversity", pools)


def verified(bench: Bench) -> list[dict[str, Any]]:  # Any: JSON
    """A teacher wrong on one answer in five: unchecked, checked (equal raw rows), and unchecked cut to what checking keeps."""
    folder = made(bench, "verified", PLAIN, bench.size.jobs, bench.size.jobs // 2, rates={**RATES, "wrong": 0.2})
    raw = kept(bench, [folder], COPIES, "verified-unchecked")
    checked = kept(bench, [folder], CHECKED, "verified-checked")
    return compared(
        {
            "unchecked": trained(bench, "verified", "unchecked", raw, (0,)),
            "checked, equal raw rows": trained(bench, "verified", "checked", checked, (0,)),
            "unchecked, equal kept rows": trained(bench, "verified", "unchecked", raw, (checked.height,)),
        }
    )


def ngram(bench: Bench) -> list[dict[str, Any]]:  # Any: JSON
    """The 30-gram filter, the 10-gram filter, and the 30-gram filter cut to what the narrower one leaves."""
    folder = made(bench, "ngram", PLAIN, bench.size.jobs, bench.size.jobs // 2)
    pools: dict[int, pl.DataFrame] = {}
    for n in (30, 10):
        index = bench.out / f"index-{n}.npz"
        if not index.is_file():
            index_of(world_test.items(test_of(bench)), n).save(index)
        layers = drop_contaminated.Config(layers=("ngram", "whole"))
        pools[n] = kept(bench, [folder], (contamination.Config(index=index), layers, *CHECKED), f"ngram-{n}")
    if pools[10].height < bench.size.jobs // 20:
        print(f"ngram: a 10-gram filter leaves {pools[10].height:,} rows, too few to train on", flush=True)
        return [{"condition": f"{n}-gram", "rows": rows.height} for n, rows in pools.items()]
    return compared(
        {
            "30-gram": trained(bench, "ngram", "30", pools[30], (0,)),
            "10-gram": trained(bench, "ngram", "10", pools[10], (0,)),
            "30-gram, equal rows": trained(bench, "ngram", "30", pools[30], (pools[10].height,)),
        }
    )


PARTS: Mapping[str, Callable[[Bench], list[dict[str, Any]]]] = {  # Any: JSON
    each.__name__: each for each in (planted, sizes, mix, order, diversity, verified, ngram)
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--part", choices=list(PARTS), action="append")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=0, help="6 without it")
    parser.add_argument(
        "--updates", choices=["fixed", "epochs"], default="fixed", help="of part sizes: equal updates or equal epochs"
    )
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args()
    size = QUICK if asked.quick else FULL
    if asked.epochs:
        size = size._replace(epochs=asked.epochs)
    bench = Bench(asked.out, size, asked.seeds, asked.updates)
    for part in asked.part or PARTS:
        rows = PARTS[part](bench)
        store.write_json(asked.out / f"{part}.json", rows)
        for row in rows:
            print(row, flush=True)


if __name__ == "__main__":
    main()
