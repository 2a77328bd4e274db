"""Does a curated quarter of a preference pool teach more than a random quarter, and than all of it, at equal compute?

Question  On the preference world, whose defects are planted and never read here: curated 25 % against random 25 % and against all pairs,
          accuracy against size, other backbones, and the quarter mixed into another, noisier set.
Pools     a world of its own for every seed (default shares of defects), curated by the chain of skywork_reward:smoke with learnt
          offsets: repair, copies, near copies, leaks, length, doubted labels; then the best-scored pairs of each category
Training  every condition reads about the same number of pairs: epochs = 4 * quarter / size, no checkpoint is chosen. Backbones read the
          texts of another world first (next-token loss; its preferences are blotted out by labels of 1/2), then train in full
Test      pairs of the evaluation parts of other worlds; items that any pool's text touches (8 words in a row) are left out
Formula   prompts and seeds are both drawn anew, n - 1 of n (Owen 2007, as in reward/lab_page.py); interval and p: Student's t with
          seeds - 1 degrees of freedom on the standard deviation of the drawn differences, because seeds are few; Holm over the table;
          least shown = (t_0.975 + t_0.8) * that deviation: what 80 % of such tests would find
Command   python experiments/reward_world.py --out DIR [--seeds 5] [--minutes 60]     (--quick: a minute; a second call goes on)
          skyloom reward lab --curated DIR/pool-1 --model DIR/backbones/shallow/model --keep 0.0625,0.125,0.25,0.5 \
              --losses bradley_terry --full DIR/full.json
Cost      some 15 s of one core a training, 110 trainings; curation of a pool 12 s, the texts of a backbone 50 s
Shapes    N test items, U prompts, S seeds, R resamples
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import torch
from scipy.stats import t as student
from transformers import GPT2Config, GPT2LMHeadModel

from skyloom.core import stats
from skyloom.core.config import PluginConfig
from skyloom.core.errors import BadInput
from skyloom.core.ledger.curate import read_kept
from skyloom.core.ledger.rows import row_parts
from skyloom.core.llm.backbones import load_tokenizer, pad_id, save_backbone
from skyloom.core.llm.config import BackboneConfig
from skyloom.core.optim import TrainerConfig
from skyloom.core.records import to_row
from skyloom.core.rng import derive, stream
from skyloom.core.run import open_run
from skyloom.core.store import remove_tree
from skyloom.core.text.ngrams import Rule
from skyloom.recipes.reward._cleaning import cleaning
from skyloom.reward.annotate import agreement as find_agreement
from skyloom.reward.annotate import length as find_length
from skyloom.reward.annotate import offsets
from skyloom.reward.annotate import scores as find_scores
from skyloom.reward.decide import agreement, length, top_k
from skyloom.reward.evals import reward_bench
from skyloom.reward.evals._items import Item
from skyloom.reward.evaluate import score_items, touched_items
from skyloom.reward.pipeline import collect_step, curate_step, scoring_of
from skyloom.reward.score import Scorer
from skyloom.reward.settings import RewardConfig, TrainConfig
from skyloom.reward.sources import world
from skyloom.reward.train import MODEL, train

QUARTER = 0.25
QUARTER_EPOCHS = 4
SIZES = (0.0625, 0.125, 0.5)
TEXTS_SEED, BASE_SEED, TEST_SEED = 7000, 500, 1000
"""Worlds of the texts, of the sets that a quarter is mixed into (plus the seed), and of the test (from here on)."""
TEST_ROWS = 2000
RULE = Rule(n=8, contain=6)
RESAMPLES = 4000
CURATED, RANDOM, ALL, LONG, CLEANED = (
    "curated",
    "random 25%",
    "all",
    "all, four times the compute",
    "cleaned, not ranked",
)
BASE, BASE_CURATED, BASE_RANDOM = "other set", "other set + curated", "other set + random 25%"
LAB_NAMES = (ALL, CURATED, RANDOM, *(f"random {share:.0%}" for share in SIZES))
"""Conditions that the lab has under the same names."""
COMPARED = (
    (CURATED, RANDOM),
    (CURATED, ALL),
    (CURATED, LONG),
    (ALL, RANDOM),
    (CLEANED, ALL),
    (BASE_CURATED, BASE_RANDOM),
    (BASE_CURATED, BASE),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """How much of everything."""

    out: Path
    seeds: tuple[int, ...]
    rows: int = 6000
    """Pairs of a pool."""
    test: int = 8000
    """Test pairs."""
    texts: int = 6000
    """Conversations that a backbone reads."""
    batch: int = 32

    @property
    def quarter(self) -> int:
        """Pairs of a quarter."""
        return round(QUARTER * self.rows)


class Shape(NamedTuple):
    """A backbone; a GPT-2 has learnt positions, layer norms and GELU in place of `tiny`'s Llama blocks."""

    hidden: int
    layers: int
    gpt2: bool = False


SHAPES: dict[str, Shape] = {
    "shallow": Shape(64, 1),
    "deep": Shape(48, 3),
    "gpt2": Shape(64, 2, gpt2=True),
}


class Job(NamedTuple):
    """One training."""

    condition: str
    backbone: str
    seed: int

    @property
    def file(self) -> str:
        """Its outcomes."""
        plain = "".join(c if c.isalnum() else "_" for c in self.condition)
        return f"{plain}-{self.backbone}-{self.seed}.npz"


class Test(NamedTuple):
    """Items and their prompts' numbers."""

    items: list[Item]
    unit_N: np.ndarray


def jobs(seeds: Sequence[int]) -> Iterator[Job]:
    """World by world first what was asked, then the rest: a run that is cut short has fewer worlds, and every condition in them."""
    random, curated = ([f"{way} {share:.0%}" for share in SIZES] for way in ("random", "curated"))
    asked = (
        ("shallow", (CURATED, RANDOM, ALL)),
        ("deep", (CURATED, RANDOM, ALL)),
        ("shallow", (BASE_CURATED, BASE_RANDOM, BASE)),
        ("shallow", random),
    )
    rest = (
        ("gpt2", (CURATED, RANDOM, ALL)),
        ("shallow", curated),
        ("shallow", (CLEANED, LONG)),
        ("deep", (BASE_CURATED, BASE_RANDOM)),
    )
    for blocks in (asked, *((block,) for block in rest)):
        for seed in seeds:
            for backbone, conditions in blocks:
                yield from (Job(condition, backbone, seed) for condition in conditions)


def chain(share: float) -> tuple[PluginConfig, ...]:
    """Clean, doubt, rank: skywork_reward:smoke with offsets learnt in place of the hand-set one; 0 where none can be learnt."""
    return (
        *cleaning(),
        find_length.Config(),
        length.Config(max_ratio=3.0),
        find_agreement.Config(),
        find_scores.Config(),
        offsets.Config(),
        agreement.Config(),
        top_k.Config(share=share, learnt=True, offsets=dict.fromkeys(world.GENERATORS, 0.0)),
    )


class Pools:
    """Pools and what curation keeps of them, made when they are asked for."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def config(self, seed: int, share: float) -> RewardConfig:
        """Collection and curation of one pool, against the benchmark that its leaks come from."""
        source = world.Config(rows=self.plan.rows, seed=seed)
        leaked = world.Config(part="eval", rows=source.eval_rows, seed=seed, history=0.0)
        return RewardConfig(
            collect=(source,), curate=chain(share), evaluate=reward_bench.Config(world=leaked), seed=seed
        )

    def collected(self, seed: int) -> Path:
        """The pool itself."""
        config = self.config(seed, 1.0)
        with open_run("experiment", config, self.plan.out / f"clean-{seed}", seed) as run:
            return collect_step(config, run)

    def pool(self, seed: int) -> pl.DataFrame:
        """All pairs as the world labels them."""
        return _plain(pl.concat([pl.read_parquet(part) for part in row_parts([self.collected(seed)])]))

    def cleaned(self, seed: int) -> pl.DataFrame:
        """Everything that survives, before the ranking."""
        return self._curated(seed, 1.0, "clean")

    def curated(self, seed: int, size: int) -> pl.DataFrame:
        """The best-scored `size` pairs of what survives, a few more because every category rounds up."""
        share = min(1.0, size / self.cleaned(seed).height)
        name = "pool" if size == self.plan.quarter else f"size-{size}"
        return self._curated(seed, share, name)

    def _curated(self, seed: int, share: float, name: str) -> pl.DataFrame:
        config = self.config(seed, share)
        with open_run("experiment", config, self.plan.out / f"{name}-{seed}", seed) as run:
            return read_kept(curate_step(config, run, collect_step(config, run)))

    def base(self, seed: int) -> pl.DataFrame:
        """As many pairs of another world, with twice the noise and artefacts, that nobody curates."""
        config = world.Config(rows=self.plan.quarter, seed=BASE_SEED + seed, label_noise=0.2, artefacts=0.12)
        return _frame(config, 1.0)


def given(pools: Pools, job: Job) -> pl.DataFrame:
    """The pairs that a condition trains on."""
    plan = pools.plan
    name, _, share = job.condition.rpartition(" ")
    columns = ["prompt", "chosen", "rejected", "weight", "label"]

    def drawn(size: int) -> pl.DataFrame:
        pool = pools.pool(job.seed)
        keep = stream(job.seed, "random", size).permutation(pool.height)[:size]
        return pool[np.sort(keep).tolist()]

    makers: dict[str, Callable[[], pl.DataFrame]] = {
        ALL: lambda: pools.pool(job.seed),
        LONG: lambda: pools.pool(job.seed),
        CURATED: lambda: pools.curated(job.seed, plan.quarter),
        RANDOM: lambda: drawn(plan.quarter),
        CLEANED: lambda: pools.cleaned(job.seed),
        BASE: lambda: pools.base(job.seed),
        BASE_CURATED: lambda: _both(pools.base(job.seed), pools.curated(job.seed, plan.quarter), columns),
        BASE_RANDOM: lambda: _both(pools.base(job.seed), drawn(plan.quarter), columns),
    }
    if job.condition in makers:
        return makers[job.condition]()
    size = round(next(each for each in SIZES if f"{each:.0%}" == share) * plan.rows)
    return drawn(size) if name == "random" else pools.curated(job.seed, size)


def settings(plan: Plan, backbone: str, pairs: int, seed: int) -> TrainConfig:
    """Training of one condition: so many epochs that all read about 4 quarters of a pool."""
    return TrainConfig(
        backbone=BackboneConfig(model=str(plan.out / "backbones" / backbone / MODEL), max_length=128),
        optim=_optim(2e-3),
        epochs=max(1, round(QUARTER_EPOCHS * plan.quarter / pairs)),
        batch_pairs=plan.batch,
        budget=8192,
        layout="padded",
        valid_share=0.05,
        evaluations=1,  # the last checkpoint stays: nothing is chosen on noisy labels
        posterior_pairs=0,
        seed=seed,
    )


def read_texts(plan: Plan, backbone: str) -> None:
    """Give a backbone its language: next-token loss on another world; labels of 1/2 say nothing of which side is better."""
    folder, shape = plan.out / "backbones" / backbone, SHAPES[backbone]
    if (folder / MODEL / "config.json").is_file():
        return
    texts = _frame(world.Config(rows=plan.texts, seed=TEXTS_SEED, history=0.0), 0.5)
    start = BackboneConfig(hidden=shape.hidden, layers=shape.layers, heads=4, max_length=128)
    if shape.gpt2:
        start = replace(start, model=str(_gpt2(plan, folder.with_name(f"{backbone}-start"), shape)))
    config = TrainConfig(
        backbone=start,
        optim=_optim(4e-3),
        epochs=1,
        batch_pairs=plan.batch,
        budget=8192,
        layout="padded",
        valid_share=0.05,
        evaluations=1,
        posterior_pairs=0,
        language_weight=1.0,
        language_epochs=2,
    )
    train(texts, config, folder)


def run(plan: Plan, pools: Pools, test: Test, job: Job) -> None:
    """One training and its outcomes on the test, written once."""
    started = time.process_time()
    read_texts(plan, job.backbone)
    pairs = given(pools, job)
    config = settings(plan, job.backbone, pairs.height, job.seed)
    if job.condition == LONG:
        config = replace(config, epochs=QUARTER_EPOCHS)
    out = plan.out / "training"
    if out.exists():  # training resumes what it finds; every condition starts anew
        remove_tree(out)
    counts = train(pairs, config, out)
    scores = score_items(Scorer.load(out / MODEL, scoring_of(config)), test.items).scores
    right_N = reward_bench.credits(test.items, scores).astype(bool)
    np.savez(plan.out / job.file, right_N=right_N, pairs=pairs.height, updates=counts.updates)
    spent = time.process_time() - started
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {job.file} {right_N.mean():.4f} {spent:.0f} s of a core\n")


def test_of(plan: Plan, pools: Pools) -> Test:
    """Distinct evaluation pairs that no training text touches."""
    found: dict[tuple[str, ...], Item] = {}
    trained = [pools.pool(seed) for seed in plan.seeds] + [pools.base(seed) for seed in plan.seeds]
    rows = pl.concat([each.select("prompt", "chosen", "rejected") for each in trained])
    seed = TEST_SEED
    while len(found) < plan.test:
        each = reward_bench.Config(world=world.Config(part="eval", rows=TEST_ROWS, seed=seed, history=0.0))
        items = [replace(item, name=f"{seed}:{item.name}") for item in reward_bench.items(each)]
        touched = set(touched_items(items, rows, RULE))
        for item in items:
            if item.name not in touched:
                found.setdefault((item.prompt[-1].content, *item.responses), item)
        seed += 1
    items = list(found.values())[: plan.test]
    _, unit_N = np.unique([item.unit for item in items], return_inverse=True)
    return Test(items, unit_N)


class Outcomes(NamedTuple):
    """What the finished trainings of one backbone say."""

    right: dict[str, dict[int, np.ndarray]]
    """Condition -> seed -> right_N."""
    pairs: dict[str, int]
    updates: dict[str, int]


def outcomes(plan: Plan, backbone: str) -> Outcomes:
    """All that is on disk."""
    found = Outcomes({}, {}, {})
    for job in jobs(plan.seeds):
        if job.backbone == backbone and (plan.out / job.file).is_file():
            with np.load(plan.out / job.file, allow_pickle=False) as each:
                found.right.setdefault(job.condition, {})[job.seed] = each["right_N"]
                found.pairs[job.condition], found.updates[job.condition] = int(each["pairs"]), int(each["updates"])
    return found


class Effect(NamedTuple):
    """A mean over items and seeds."""

    value: float
    half: float
    """Half the 95 % interval."""
    p: float
    least: float
    seeds: int
    positive: int
    """Seeds with a value above 0."""


def effect(value_SN: np.ndarray, unit_N: np.ndarray, rng: np.random.Generator) -> Effect:
    """Mean of value_SN with prompts and seeds drawn anew; a single seed leaves nothing to say about seeds, and is refused."""
    seeds, _ = value_SN.shape
    if seeds < 2:
        raise ValueError("an interval over seeds needs two of them")
    sum_US = np.stack([np.bincount(unit_N, weights=value_N) for value_N in value_SN], axis=1)
    size_U = np.bincount(unit_N).astype(np.float64)
    drawn: list[np.ndarray] = []
    units = len(size_U)
    for _ in range(RESAMPLES // 400):
        times_RU = rng.multinomial(units - 1, np.full(units, 1 / units), size=400).astype(np.float64)
        times_RS = rng.multinomial(seeds - 1, np.full(seeds, 1 / seeds), size=400).astype(np.float64)
        drawn.append(((times_RU @ sum_US) * times_RS).sum(axis=1) / ((times_RU @ size_U) * (seeds - 1)))
    value, spread = float(value_SN.mean()), float(np.concatenate(drawn).std(ddof=1))
    sure, power = (float(student.ppf(level, seeds - 1)) for level in (0.975, 0.8))
    p = float(2 * student.sf(abs(value) / spread, seeds - 1)) if spread else 1.0
    positive = int((value_SN.mean(axis=1) > 0).sum())
    return Effect(value, sure * spread, p, (sure + power) * spread, seeds, positive)


class Accuracy(NamedTuple):
    """A row of the first table."""

    backbone: str
    condition: str
    pairs: int
    updates: int
    at: Effect


class Difference(NamedTuple):
    """A row of the second."""

    backbone: str
    what: str
    at: Effect


class Report(NamedTuple):
    """All that the finished trainings say."""

    accuracies: list[Accuracy]
    differences: list[Difference]
    held: list[float]
    """p of each difference after Holm."""
    full: dict[str, float]
    """Condition, by the lab's name -> accuracy on `shallow`, mean over seeds."""


def report(plan: Plan, test: Test) -> Report:
    """Accuracies and differences of everything that two seeds at least have finished."""
    accuracies: list[Accuracy] = []
    differences: list[Difference] = []
    for backbone in SHAPES:
        found = outcomes(plan, backbone)
        for name, by_seed in found.right.items():
            if len(by_seed) > 1:
                right_SN = np.stack(list(by_seed.values())).astype(np.float64)
                at = effect(right_SN, test.unit_N, stream(0, "accuracy", backbone, name))
                accuracies.append(Accuracy(backbone, name, found.pairs[name], found.updates[name], at))
        for a, b in COMPARED:
            shared = sorted(set(found.right.get(a, ())) & set(found.right.get(b, ())))
            if len(shared) > 1:
                gap_SN = np.stack([found.right[a][s].astype(np.float64) - found.right[b][s] for s in shared])
                at = effect(gap_SN, test.unit_N, stream(0, "difference", backbone, a, b))
                differences.append(Difference(backbone, f"{a} - {b}", at))
    held = stats.holm([each.at.p for each in differences]).tolist()
    full = {each.condition: each.at.value for each in accuracies if each.backbone == "shallow"}
    return Report(accuracies, differences, held, {name: full[name] for name in LAB_NAMES if name in full})


def show(found: Report, test: Test, plan: Plan) -> None:
    """The tables."""
    say = sys.stdout.write
    say(f"{len(test.items):,} test pairs of {int(test.unit_N.max()) + 1:,} prompts; pools of {plan.rows:,} pairs\n\n")
    say("| backbone | condition | pairs | updates | seeds | accuracy |\n|---|---|---:|---:|---:|---|\n")
    for each in found.accuracies:
        value, half = each.at.value, each.at.half
        say(f"| {each.backbone} | {each.condition} | {each.pairs:,} | {each.updates} | {each.at.seeds} ")
        say(f"| {value:.3f} [{value - half:.3f}, {value + half:.3f}] |\n")
    say("\n| backbone | difference | value | p | p, Holm | least shown | seeds above 0 |\n")
    say("|---|---|---|---:|---:|---:|---:|\n")
    for each, held in zip(found.differences, found.held, strict=True):
        value, half, p, least, seeds, positive = each.at
        say(f"| {each.backbone} | {each.what} | {value:+.3f} [{value - half:+.3f}, {value + half:+.3f}] ")
        say(f"| {p:.4f} | {held:.4f} | {least:.3f} | {positive} of {seeds} |\n")


def settled(plan: Plan) -> None:
    """Note the plan in its folder; raises BadInput where outcomes of another plan lie there."""
    file = plan.out / "plan.json"
    told = json.dumps({"seeds": plan.seeds, "rows": plan.rows, "test": plan.test, "texts": plan.texts})
    if file.exists() and file.read_text(encoding="utf-8") != told:
        raise BadInput(f"{plan.out}: holds outcomes of {file.read_text(encoding='utf-8')}; choose another --out")
    plan.out.mkdir(parents=True, exist_ok=True)
    file.write_text(told, encoding="utf-8")


def main() -> int:
    """Train what is missing, as long as there is time, then tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of pools, backbones and outcomes")
    parser.add_argument("--seeds", type=int, default=5, help="worlds; each has its own pool, subsets and training seed")
    parser.add_argument("--first", type=int, default=1, help="number of the first world")
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="start no training after so many; 0 tells what is there"
    )
    parser.add_argument("--quick", action="store_true", help="a minute, for tests: far too small to show anything")
    parser.add_argument("--full", type=Path, help="file for the lab's --full; without it OUT/full.json")
    args = parser.parse_args()
    seeds = tuple(range(args.first, args.first + args.seeds))
    plan = Plan(out=args.out, seeds=seeds)
    if args.quick:
        plan = replace(plan, seeds=seeds[:2], rows=1600, test=300, texts=300)
    settled(plan)
    torch.set_num_threads(1)
    started = time.monotonic()
    pools = Pools(plan)
    test = test_of(plan, pools)
    for job in jobs(plan.seeds):
        if args.quick and (job.backbone != "shallow" or job.condition not in (CURATED, RANDOM, ALL)):
            continue
        if time.monotonic() - started > 60 * args.minutes:
            break
        if not (plan.out / job.file).is_file():
            run(plan, pools, test, job)
    found = report(plan, test)
    (args.full or plan.out / "full.json").write_text(json.dumps(found.full, indent=1), encoding="utf-8")
    show(found, test, plan)
    return 0


def _optim(lr: float) -> TrainerConfig:
    return TrainerConfig(lr=lr, warmup_ratio=0.05, checkpoint_every=100_000, threads=1)


def _frame(config: world.Config, label: float) -> pl.DataFrame:
    """A world as training rows."""
    rows = [to_row(world.to_record(raw.data)) for raw in world.rows(config, 0)]
    return _plain(pl.DataFrame(rows, infer_schema_length=None), label)


def _plain(rows: pl.DataFrame, label: float = 1.0) -> pl.DataFrame:
    return rows.with_columns(weight=pl.lit(1.0), label=pl.lit(label))


def _both(one: pl.DataFrame, other: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    return pl.concat([one.select(columns), other.select(columns)], how="vertical_relaxed")


def _gpt2(plan: Plan, folder: Path, shape: Shape) -> Path:
    """Random weights of another architecture as a local directory, with the tokenizer of `shallow`."""
    read_texts(plan, "shallow")
    shallow = BackboneConfig(model=str(plan.out / "backbones" / "shallow" / MODEL))
    tokenizer = load_tokenizer(shallow)
    size = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=128,
        n_embd=shape.hidden,
        n_layer=shape.layers,
        n_head=4,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        pad_token_id=pad_id(tokenizer),
    )
    torch.manual_seed(derive(0, "gpt2"))
    save_backbone(GPT2LMHeadModel(size), tokenizer, folder)
    return folder


if __name__ == "__main__":
    sys.exit(main())
