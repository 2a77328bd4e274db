"""Synthesis: every augmenter over every seed, stage by stage, through a teacher that may fail; rows with lineage come out.

Formula  rows = seeds x samples, less the refused; order: by augmenter, seed, sample, whatever order the replies came in
Source   two-stage synthesis of Skywork-Math (arXiv 2407.08348, section 3); this is its first pass
Flow     collect -> [synthesize] -> curate -> train -> evaluate -> report
Run      skyloom mathqa synthesize --seeds FILE --source gsm8k --operator rephrase --teacher URL --out DIR
Resume   each reply is logged as it arrives (.requests.sqlite in the step's folder): a killed run asks again at most for the
         calls that were in flight, and ends with the same rows
Layout   rows/ truth/ edges/ sources.json rejects.jsonl as in collect; teacher.json (tokens, money), timing.json (calls, faults)
"""

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl

from skyloom.core import registry, store
from skyloom.core.errors import BadInput, FailedWork
from skyloom.core.ledger.rows import (
    RowWriter,
    SourceReport,
    number_sources,
    read_sources,
    read_truth,
    row_parts,
    show_row,
    write_reports,
)
from skyloom.core.llm.account import Account
from skyloom.core.llm.chat import Reply, Request, Sampling, request_key
from skyloom.core.llm.request_log import RequestLog
from skyloom.core.llm.teacher import TeacherConfig, ask
from skyloom.core.progress import bar
from skyloom.core.records import Message, Reject, from_row
from skyloom.mathqa.operators import AugmentConfig, Draft, Refused, Stage
from skyloom.mathqa.records import Instance, Problem

LOG: str = ".requests.sqlite"
Judge = Callable[[str, str, str], Mapping[str, bool | int | float | str]]
"""(question, answer, gold) -> what a world knows of a row; apart from the rows, for truth alone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Seed:
    """A seed problem and where it stands."""

    row: int
    shown: str
    licence: str
    problem: Problem
    leaked: bool | None
    """Planted copy of a benchmark item; None where nobody knows."""


@dataclass(slots=True)
class Job:
    """One row in the making: changed stage by stage."""

    seed: Seed
    sample: int
    slots: dict[str, str] = field(default_factory=dict[str, str])
    asked: list[str] = field(default_factory=list[str])
    refused: tuple[str, str] | None = None
    """Stage and reason."""


class _Desk:
    """The teacher's side of one synthesis: whom to ask, the log, and what has been asked so far."""

    def __init__(self, teacher: TeacherConfig, log: RequestLog) -> None:
        self.teacher = teacher
        self.accounts: list[Account] = []
        """One a round of asking; they depend on what was in flight together and on earlier, killed runs."""
        self.prompt_tokens = self.completion_tokens = 0
        self._sampling = Sampling(model=teacher.model, temperature=teacher.temperature, max_tokens=teacher.max_tokens)
        self._log = log
        self._known: set[bytes] = set()

    @property
    def replies(self) -> int:
        """Different requests answered: the same request twice is asked, and paid, once."""
        return len(self._known)

    @property
    def money(self) -> float:
        """What they cost."""
        return (self.prompt_tokens * self.teacher.price_in + self.completion_tokens * self.teacher.price_out) / 1e6

    def ask(self, asked: Sequence[tuple[Message, ...]], samples: Sequence[int], label: str) -> Iterator[Reply]:
        """Replies in order, with a progress bar; the budget holds for all rounds together."""
        requests = [Request(messages=each, sample=sample) for each, sample in zip(asked, samples, strict=True)]
        left: float | None = None if self.teacher.budget is None else self.teacher.budget - self.money
        latest: dict[str, Account] = {}  # the client keeps one running account a round
        replies = ask(
            replace(self.teacher, budget=left), requests, self._log, lambda account: latest.update(now=account)
        )
        with bar(label, len(asked)) as shown:
            for request, reply in zip(requests, replies, strict=True):
                self._count(request_key(request, self._sampling), reply)
                shown.advance()
                yield reply
        self.accounts += latest.values()

    def _count(self, key: bytes, reply: Reply) -> None:
        if key not in self._known:
            self._known.add(key)
            self.prompt_tokens += reply.prompt_tokens
            self.completion_tokens += reply.completion_tokens


def synthesize(
    seeds_folders: Sequence[Path],
    augment: Sequence[AugmentConfig],
    teacher: TeacherConfig,
    out: Path,
    judge: Judge | None = None,
) -> tuple[SourceReport, ...]:
    """Make rows from collected seeds into `out`; returns one report an augmenter.

    Raises:
        BadInput: no augmenter, one that stands twice, no seeds, or a teacher that turns us away.
        FailedWork: the teacher gave up, the budget is spent, or no reply could be used; the replies so far are kept.
    """
    if not augment:
        raise BadInput("synthesize.augment: name at least one augmenter")
    sources = read_sources(seeds_folders)
    labels: list[str] = [registry.plugin_of(config).name for config in augment]
    numbers: dict[str, int] = number_sources([*(source.label for source in sources), *labels])
    licence: str = " and ".join(sorted({source.licence for source in sources}))
    started: float = time.monotonic()
    reports: list[SourceReport] = []
    rejects: list[Reject] = []
    with RequestLog(out / LOG) as log:
        desk = _Desk(teacher, log)
        for config, label in zip(augment, labels, strict=True):
            made, bad = 0, list[Reject]()
            for shard, seeds in enumerate(_seed_parts(seeds_folders, sources)):
                writer = RowWriter(out, Instance, label, numbers[label], shard, licence)
                bad += _augment(seeds, config, desk, writer, judge)
                writer.close()
                made += writer.count
            reports.append(_report(config, numbers[label], licence, made, bad))
            rejects += bad
    write_reports(out, reports, rejects)
    _write_costs(out, desk, time.monotonic() - started)
    if not any(report.rows for report in reports):
        counts = Counter(f"{each.field}: {each.reason}" for each in rejects)
        told = ", ".join(f"{reason} {count:,}" for reason, count in sorted(counts.items()))
        raise FailedWork(
            f"synthesis: all {len(rejects):,} rows were refused: {told}; ask another teacher, or read {out / LOG}"
        )
    return tuple(reports)


def _seed_parts(folders: Sequence[Path], sources: Sequence[SourceReport]) -> Iterator[list[Seed]]:
    """Seeds, part file by part file: one part is what stands in memory with all its jobs."""
    truth: pl.DataFrame | None = read_truth(folders)
    known: dict[int, bool] = {}
    if truth is not None and "truth.leaked" in truth.columns:
        known = dict(truth.select("row", "truth.leaked").iter_rows())
    for path in row_parts(folders):
        yield [
            Seed(
                row=row["row"],
                shown=show_row(row["row"], sources),
                licence=row["licence"],
                problem=from_row(Problem, row),
                leaked=known.get(row["row"]),
            )
            for row in pl.read_parquet(path).iter_rows(named=True)
        ]


def _augment(
    seeds: Sequence[Seed], config: AugmentConfig, desk: _Desk, writer: RowWriter, judge: Judge | None
) -> list[Reject]:
    """All stages of one augmenter over one part of the seeds; returns what was refused."""
    module: ModuleType = registry.module_of(config)
    name: str = registry.plugin_of(config).name
    jobs: list[Job] = [Job(seed, sample) for seed in seeds for sample in range(config.samples)]
    for stage in module.STAGES:
        _run_stage([job for job in jobs if job.refused is None], stage, desk, f"{name}: {stage.name}")
    for start in range(0, len(jobs), config.samples):
        _write_seed(jobs[start : start + config.samples], module, name, desk.teacher.model, writer, judge)
    return [Reject(job.seed.shown, job.sample, *job.refused) for job in jobs if job.refused is not None]


def _run_stage(jobs: Sequence[Job], stage: Stage, desk: _Desk, label: str) -> None:
    asked: list[tuple[Message, ...]] = [stage.prompt(job.seed.problem, job.slots) for job in jobs]
    for job, messages, reply in zip(jobs, asked, desk.ask(asked, [job.sample for job in jobs], label), strict=True):
        job.asked += [f"{message.role}\x1f{message.content}" for message in messages]
        try:
            job.slots |= _read(reply, stage, job)
        except Refused as error:
            job.refused = (stage.name, error.reason)


def _read(reply: Reply, stage: Stage, job: Job) -> Mapping[str, str]:
    if reply.finish == "refused":
        raise Refused("refused_by_server")
    if reply.truncated:
        raise Refused("cut_off")
    return stage.parse(reply.text, job.seed.problem, job.slots)


def _write_seed(
    jobs: Sequence[Job], module: ModuleType, name: str, teacher: str, writer: RowWriter, judge: Judge | None
) -> None:
    """The rows of one seed; their answers are one another's votes."""
    done: list[tuple[Job, Draft]] = [
        (job, module.build(job.seed.problem, job.slots)) for job in jobs if job.refused is None
    ]
    votes: tuple[str, ...] = tuple(draft.answer for _, draft in done)
    for job, draft in done:
        problem: Problem = job.seed.problem
        record = Instance(
            question=draft.question,
            response=draft.response,
            answer=draft.answer,
            gold=problem.answer,
            level=problem.level,
            subject=problem.subject,
            operator=name,
            seed=job.seed.shown,
            seed_question=problem.question,
            sample=job.sample,
            teacher=teacher,
            prompts=hashlib.blake2b("\x1e".join(job.asked).encode(), digest_size=8).hexdigest(),
            votes=votes,
        )
        writer.add(record, parents=(job.seed.row,), truth=_truth(job.seed, draft, judge))


def _truth(seed: Seed, draft: Draft, judge: Judge | None) -> Mapping[str, Any] | None:  # Any: flat truth values
    if judge is None or seed.leaked is None:
        return None
    return {**judge(draft.question, draft.answer, seed.problem.answer), "leaked": seed.leaked}


def _report(config: AugmentConfig, number: int, licence: str, rows: int, bad: Sequence[Reject]) -> SourceReport:
    plugin = registry.plugin_of(config)
    return SourceReport(
        label=plugin.name,
        plugin=str(plugin),
        number=number,
        licence=licence,
        split="train",
        as_train=False,
        rows=rows,
        rejected=len(bad),
        reject_reasons=dict(sorted(Counter(f"{each.field}: {each.reason}" for each in bad).items())),
    )


def _write_costs(out: Path, desk: _Desk, seconds: float) -> None:
    """What the rows cost (a function of the replies), and apart from it what happened on the way (not hashed)."""
    names: tuple[str, ...] = ("replies", "prompt_tokens", "completion_tokens", "money")
    store.write_json(
        out / "teacher.json", {"model": desk.teacher.model, **{name: getattr(desk, name) for name in names}}
    )
    faults: Counter[str] = Counter()
    for account in desk.accounts:
        faults.update(account.faults)
    way = {name: sum(getattr(account, name) for account in desk.accounts) for name in ("calls", "logged", "money_now")}
    store.write_json(out / "timing.json", {**way, "faults": dict(sorted(faults.items())), "seconds": seconds})
