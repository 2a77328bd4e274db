"""How many planted questions that are no problems are found, by kind and by number of draws, and how many fair ones are called so?

Question  On the problem world: recall and precision of annotate/validity and decide/validity for missing conditions, several answers,
          contradictions and questions without a solution, at 1, 4 and 8 draws, for teachers that err on 15 % and 40 % of fair problems
Rows      one row a question: evol and xwin over one world's seeds through the simulated teacher, which plants each kind at RATES and
          answers most of what it planted, one time in four with words that say so; only the first k answers count as votes
Truth     the world's judge; read for the tables by nothing else
Formula   recall = planted questions that are dropped / planted; named = those dropped under their own kind / dropped; precision = planted
          among the dropped; false alarms = dropped / fair; right lost = the same of
          fair rows whose answer is right. Wilson intervals of 95 %, seeds pooled
Limits    The sayings and wordings of the world and the rules that look for them were written by the same people: recall from words and
          formulas is of this world; recall from votes hangs on how much the teacher's guesses scatter
Command   python experiments/mathqa_validity.py --out DIR [--seeds 2] [--quick]     (a second call goes on)
"""

import argparse
import json
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from skyloom.core import store
from skyloom.core.ledger.rows import collect, read_truth, row_parts
from skyloom.core.llm.simulated import Faults, SimulatedTeacher
from skyloom.core.llm.teacher import TeacherConfig
from skyloom.core.stats import wilson
from skyloom.mathqa.annotate import backward, validity
from skyloom.mathqa.augment import evol, xwin
from skyloom.mathqa.decide import validity as drop
from skyloom.mathqa.records import Problem
from skyloom.mathqa.settings import PassConfig
from skyloom.mathqa.sources import world
from skyloom.mathqa.synthesize import Pass, synthesize
from skyloom.mathqa.validity import KINDS
from skyloom.mathqa.world.responder import Responder

RATES: dict[str, float] = {"missing": 0.06, "several": 0.06, "contradictory": 0.06, "impossible": 0.06, "bluff": 0.9}
ERRORS: tuple[float, ...] = (0.15, 0.4)
DRAWS: tuple[int, ...] = (1, 4, 8)
LEAST: tuple[float, ...] = (0.3, 0.5, 0.6, 0.75, 0.9)
SILENT: dict[str, pl.Expr] = {each: pl.lit(None, pl.Int64) for each in ("backward.asked", "backward.right")}


class Size(NamedTuple):
    """How much is made."""

    seeds: int
    jobs: int


FULL, QUICK = Size(600, 1_200), Size(80, 120)


def questions(out: Path, size: Size, seed: int, wrong: float) -> pl.DataFrame:
    """One row a question, with its truth and the columns of annotate/backward; kept on disk."""
    folder = out / f"wrong{wrong:g}-{seed}"
    file = folder / "questions.parquet"
    if file.is_file():
        return pl.read_parquet(file)
    seeds = out / f"seeds-{seed}"
    if not (seeds / "sources.json").is_file():
        collect([world.Config(rows=size.seeds, seed=seed)], Problem, seeds)
    augment = (evol.Config(rounds=1, answers=max(DRAWS)), xwin.Config(answers=max(DRAWS)))
    plan = Pass(
        config=PassConfig(augment=augment, rows=size.jobs), folders=(seeds,), judge=world.judge_instance, seed=seed
    )
    with SimulatedTeacher(Responder(wrong=wrong, **RATES), Faults(), seed=seed) as server:
        teacher = TeacherConfig(url=server.url, in_flight=32)
        synthesize(plan, teacher, folder / "made")
        rows = pl.concat([pl.read_parquet(part) for part in row_parts([folder / "made"])])
        truth = read_truth([folder / "made"])
        assert truth is not None
        found = rows.join(truth, on="row").unique("question", keep="first", maintain_order=True)
        asked = backward.annotate(found.select(backward.READS), backward.Config(teacher=teacher))
    store.write_parquet(file, pl.concat([found, asked], how="horizontal"))
    return pl.read_parquet(file)


def annotated(frame: pl.DataFrame, draws: int, *, asked: bool) -> pl.DataFrame:
    """The questions with only the first draws as votes, and what the annotator says of them."""
    seen = frame.with_columns(pl.col("votes").list.head(draws))
    seen = seen if asked else seen.with_columns(**SILENT)
    return pl.concat([seen, validity.annotate(seen.select(validity.READS), validity.Config())], how="horizontal")


def table(name: str, frame: pl.DataFrame, least: float) -> list[dict[str, Any]]:  # Any: JSON
    """Recall by kind, then precision and false alarms."""
    told = frame.with_columns(reason=drop.decide(frame, drop.Config(least=least)))
    found: list[dict[str, Any]] = []
    for kind in KINDS:
        planted = told.filter(pl.col("truth.invalid") == kind)
        dropped = planted.filter(pl.col("reason").is_not_null())
        named = dropped.filter(reason=kind)
        as_kind = told.filter(reason=kind)
        own = as_kind.filter(pl.col("truth.invalid") != "")
        found.append(
            {"condition": name, "kind": kind, "recall": share(dropped.height, planted.height),
             "named": share(named.height, dropped.height), "precision": share(own.height, as_kind.height)}
        )  # fmt: skip
    dropped, fair = told.filter(pl.col("reason").is_not_null()), told.filter(pl.col("truth.invalid") == "")
    right = fair.filter(~pl.col("truth.wrong"))
    bad = dropped.filter(pl.col("truth.invalid") != "").height
    found.append(
        {"condition": name, "kind": "any", "recall": share(bad, told.height - fair.height),
         "precision": share(bad, dropped.height), "false alarms": share(dropped.height - bad, fair.height),
         "right lost": share(right.filter(pl.col("reason").is_not_null()).height, right.height)}
    )  # fmt: skip
    return found


def share(hits: int, of: int) -> list[float] | None:
    """Share, both ends of its interval, n; None of nothing."""
    if not of:
        return None
    told = wilson(hits, of)
    return [round(told.value, 4), round(told.low, 4), round(told.high, 4), of]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args()
    size = QUICK if asked.quick else FULL
    rows: list[dict[str, Any]] = []
    for wrong in ERRORS:
        frame = pl.concat([questions(asked.out, size, seed, wrong) for seed in range(asked.seeds)])
        for draws in DRAWS:
            for back in (False, True):
                seen = annotated(frame, draws, asked=back)
                name = f"wrong {wrong:.0%}, {draws} draws{', backward' if back else ''}"
                rows += table(name, seen, drop.Config().least)
                if not back:
                    rows += [{"least": least, **table(name, seen, least)[-1]} for least in LEAST]
    store.write_json(asked.out / "validity.json", rows)
    for row in rows:
        print(json.dumps({key: value for key, value in row.items() if value is not None}))


if __name__ == "__main__":
    main()
