"""Synthesis: every augmenter of one pass over its seeds, through a teacher that may fail; rows with lineage come out.

Formula  jobs = seeds x samples, or `rows` shared out by `share`, spread evenly over the seeds; a job gives no, one or several rows;
         order: by augmenter, seed, sample, whatever order the replies came in
Source   two-stage synthesis of Skywork-Math (arXiv 2407.08348, section 3)
Flow     collect -> [synthesize, once a pass] -> curate -> train -> evaluate -> report
Run      skyloom mathqa synthesize --seeds FILE --source gsm8k --operator rephrase --teacher URL --out DIR
Resume   each reply is logged as it arrives (requests.sqlite in the run's folder): a killed run asks again at most for the calls
         that were in flight, and ends with the same rows. A call is keyed by its own text: an edited seed, another operator or
         setting asks its own calls only
Memory   one part file of seeds and a window of jobs, whatever the size of the pass
Layout   rows/ truth/ edges/ sources.json rejects.jsonl as in collect; teacher.json (tokens, money), timing.json (calls, faults)
"""

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import polars as pl

from skyloom.core import registry, store
from skyloom.core.errors import BadInput, FailedWork
from skyloom.core.ledger.rows import (
    RowWriter,
    SourceReport,
    count_rows,
    number_sources,
    read_sources,
    read_truth,
    row_parts,
    show_row,
    write_sources,
)
from skyloom.core.llm.account import Account
from skyloom.core.llm.chat import Reply, Request, Sampling, request_key
from skyloom.core.llm.request_log import RequestLog
from skyloom.core.llm.teacher import Task, TeacherConfig, sampling_of, work
from skyloom.core.progress import bar
from skyloom.core.records import Reject, from_row
from skyloom.core.rng import derive, stream
from skyloom.mathqa.operators import Asked, AugmentConfig, Draft, Job, Refused, Slots
from skyloom.mathqa.records import Instance, Problem
from skyloom.mathqa.settings import PassConfig, jobs_of

LOG: str = "requests.sqlite"
DRAWS: int = 1 << 16
"""Sample numbers between two draws of one prompt in a job: jobs of one problem have fewer."""
PASSES: int = 1 << 24
"""Sample numbers between two passes, which may ask the same prompt; up to 128 of them, so that a number has 31 bits."""
Judge = Callable[[str, str, str | None], Mapping[str, bool | int | float | str]]
"""(question, answer, gold) -> what a world knows of a row; apart from the rows, for truth alone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Seed:
    """A problem that rows are made from: a collected one, or a row of an earlier pass."""

    row: int
    licence: str
    problem: Problem
    sure: bool
    """Whether its answer is known to be right, so that what is made from it has a gold."""
    root: str
    """The collected problem behind it: id and text."""
    root_question: str
    leaked: bool | None
    """Planted copy of a benchmark item; None where nobody knows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pass:
    """One pass of synthesis: what is made from which rows."""

    config: PassConfig
    folders: Sequence[Path]
    """Folders whose rows are the seeds."""
    chosen: frozenset[int] | None = None
    """Of these rows, the keys of those that were selected; None: all."""
    before: Sequence[Path] = ()
    """Every folder of rows made so far: their sources keep their numbers."""
    judge: Judge | None = None
    seed: int = 0
    """Of the augmenters' own draws."""


class Spent(NamedTuple):
    """What a draft, or the rest of a job without one, took."""

    prompts: tuple[str, ...]
    keys: tuple[bytes, ...]
    prompt_tokens: int
    completion_tokens: int


class Made(NamedTuple):
    """What one job came to."""

    augmenter: int
    """Position in the pass."""
    part: int
    """Part file of its seed."""
    seed: Seed
    sample: int
    drafts: tuple[tuple[Draft, Spent], ...]
    refused: tuple[tuple[str, str], ...]
    """(call, reason) of every reply, or problem, that could not be used."""
    replies: tuple[tuple[bytes, Reply], ...]


@dataclass(slots=True)
class Tally:
    """What one augmenter's different requests were answered with; one asked before by another augmenter is that one's."""

    rows: int = 0
    refused: Counter[str] = field(default_factory=Counter[str])
    replies: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def book(self, reply: Reply) -> None:
        """Count a reply that was not counted before."""
        self.replies += 1
        self.prompt_tokens += reply.prompt_tokens
        self.completion_tokens += reply.completion_tokens


def synthesize(plan: Pass, teacher: TeacherConfig, out: Path, log: Path | None = None) -> tuple[SourceReport, ...]:
    """Make rows into `out`; returns one report an augmenter. `log`: file of the replies, which outlives `out`; LOG in `out` without it.

    Raises:
        BadInput: no augmenter, one that stands twice, no seeds, or a teacher that turns us away.
        FailedWork: the teacher gave up, the budget is spent, or no reply could be used; the replies so far are kept.
    """
    if not plan.config.augment:
        raise BadInput("synthesize: name at least one augmenter")
    started: float = time.monotonic()
    latest: dict[str, Account] = {}  # the client keeps one running account
    replies = log or out / LOG
    with RequestLog(replies) as told, store.jsonl_writer(out / "rejects.jsonl") as reject:
        desk = _Desk(plan, teacher, out, told, reject)
        results = work(teacher, desk.tasks(), told, lambda account: latest.update(now=account))
        with bar(f"synthesize {plan.config.name}".strip(), sum(desk.jobs)) as shown:
            for _, group in groupby(results, key=lambda made: (made.augmenter, made.seed.row)):
                jobs: list[Made] = list(group)
                desk.write(jobs)
                shown.advance(len(jobs))
        reports = desk.close()
    write_sources(out, reports)
    _write_costs(out, desk, latest.get("now"), time.monotonic() - started)
    if not any(report.rows for report in reports):
        counts = sum((tally.refused for tally in desk.tallies), Counter[str]())
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in sorted(counts.items()))
        raise FailedWork(f"synthesis: no reply could be used: {reasons}; ask another teacher, or read {replies}")
    return reports


class _Desk:
    """One pass at work: the jobs that go out, and the rows and counts that come back."""

    def __init__(
        self,
        plan: Pass,
        teacher: TeacherConfig,
        out: Path,
        log: RequestLog,
        reject: Callable[[Mapping[str, Any]], None],
    ) -> None:
        self.plan, self.teacher = plan, teacher
        self._out, self._log, self._reject = out, log, reject
        self._sources = read_sources(plan.folders)
        self.labels: list[str] = labels_of(plan.config)
        taken = [source.label for source in read_sources([*dict.fromkeys([*plan.before, *plan.folders])])]
        self._numbers: dict[str, int] = number_sources([*taken, *self.labels])
        self._licence: str = " and ".join(sorted({source.licence for source in self._sources}))
        seeds: int = count_rows(plan.folders) if plan.chosen is None else len(plan.chosen)
        if not seeds:
            raise BadInput("synthesize: no seeds; the selection kept none")
        self.jobs: list[int] = jobs_of(plan.config, seeds)
        self._offset: int = first_sample(plan.config.name)
        self._seeds = seeds
        self.tallies: list[Tally] = [Tally() for _ in self.labels]
        self._writers: dict[tuple[int, int], RowWriter] = {}
        self._sampling = sampling_of(teacher)
        log.forget_uses("rows")

    def tasks(self) -> Iterator[Task[Made]]:
        """Every job, by augmenter, seed and sample."""
        for k, (config, jobs) in enumerate(zip(self.plan.config.augment, self.jobs, strict=True)):
            done = 0
            for part, seeds in enumerate(_seed_parts(self.plan, self._sources)):
                for seed in seeds:
                    for sample in range((done + 1) * jobs // self._seeds - done * jobs // self._seeds):
                        yield self._task(k, config, part, seed, sample)
                    done += 1

    def _task(self, k: int, config: AugmentConfig, part: int, seed: Seed, sample: int) -> Task[Made]:
        module: ModuleType = registry.module_of(config)
        name: str = registry.plugin_of(config).name
        draws = stream(self.plan.seed, "augment", self.plan.config.name, name, seed.problem.question, sample)
        program = module.make(Job(seed.problem, sample, draws), config)
        trail = _Trail(self._sampling, self._offset + sample)
        send: Callable[[], Asked | Draft] = lambda: next(program)  # noqa: E731 - what the program hears next
        while True:
            try:
                step = send()
            except StopIteration:
                break
            except Refused as error:  # the program let it end the job
                trail.ended(error)
                break
            if isinstance(step, Draft):
                trail.drafted(step)
                send = _sender(program, {})
                continue
            reply = yield trail.request(step)
            try:
                send = _sender(program, trail.read(step, reply))
            except Refused as error:
                send = _thrower(program, trail.refuse(step, error))
        return Made(k, part, seed, sample, tuple(trail.drafts), tuple(trail.refused), tuple(trail.replies))

    def write(self, jobs: Sequence[Made]) -> None:
        """The rows of one seed; those that mean the same are one another's votes."""
        k, part, seed = jobs[0].augmenter, jobs[0].part, jobs[0].seed
        writer = self._writer(k, part)
        votes: dict[str, list[str]] = {}
        for draft, _ in (each for made in jobs for each in made.drafts):
            votes.setdefault(draft.meaning or draft.question, []).append(draft.answer)
        for made in jobs:
            rows: list[int] = []
            for draft, spent in made.drafts:
                record = self._record(k, made, draft, spent, tuple(votes[draft.meaning or draft.question]))
                parent: int = seed.row if draft.parent is None else rows[draft.parent]
                rows.append(writer.add(record, parents=(parent,), truth=self._truth(seed, record)))
            self._count(k, made)

    def _record(self, k: int, made: Made, draft: Draft, spent: Spent, votes: tuple[str, ...]) -> Instance:
        problem: Problem = made.seed.problem
        cost: float = spent.prompt_tokens * self.teacher.price_in + spent.completion_tokens * self.teacher.price_out
        return Instance(
            question=draft.question,
            response=draft.response,
            answer=draft.answer,
            gold=draft.gold if made.seed.sure else None,
            level=problem.level,
            subject=problem.subject,
            operator=registry.plugin_of(self.plan.config.augment[k]).name,
            strategy=draft.strategy,
            round=draft.round,
            made_in=self.plan.config.name,
            stage=self.plan.config.stage,
            seed=made.seed.root,
            seed_question=made.seed.root_question,
            sample=made.sample,
            teacher=self.teacher.model,
            prompts=hashlib.blake2b("\x1e".join(spent.prompts).encode(), digest_size=8).hexdigest(),
            requests=tuple(key.hex() for key in spent.keys),
            prompt_tokens=spent.prompt_tokens,
            completion_tokens=spent.completion_tokens,
            cost=cost / 1e6,
            votes=votes,
        )

    def _truth(self, seed: Seed, record: Instance) -> Mapping[str, Any] | None:  # Any: flat truth values
        if self.plan.judge is None or seed.leaked is None:
            return None
        return {**self.plan.judge(record.question, record.answer, record.gold), "leaked": seed.leaked}

    def _count(self, k: int, made: Made) -> None:
        tally = self.tallies[k]
        tally.rows += len(made.drafts)
        for call, reason in made.refused:
            tally.refused[f"{call}: {reason}"] += 1
            self._reject(Reject(f"{self.labels[k]} of {made.seed.root}", made.sample, call, reason)._asdict())
        for key, reply in made.replies:
            if self._log.first_use(key, "rows"):
                tally.book(reply)

    def _writer(self, k: int, part: int) -> RowWriter:
        """The writer of one augmenter and part; results come in that order, so the one before it is finished."""
        if (k, part) not in self._writers:
            self._close_writers()
            label = self.labels[k]
            self._writers = {
                (k, part): RowWriter(self._out, Instance, label, self._numbers[label], part, self._licence)
            }
        return self._writers[k, part]

    def _close_writers(self) -> None:
        for writer in self._writers.values():
            writer.close()

    def close(self) -> tuple[SourceReport, ...]:
        """Finish the files; one report an augmenter."""
        self._close_writers()
        return tuple(
            SourceReport(
                label=label,
                plugin=str(registry.plugin_of(config)),
                number=self._numbers[label],
                licence=self._licence,
                split="train",
                as_train=False,
                rows=tally.rows,
                rejected=tally.refused.total(),
                reject_reasons=dict(sorted(tally.refused.items())),
            )
            for label, config, tally in zip(self.labels, self.plan.config.augment, self.tallies, strict=True)
        )


class _Trail:
    """What happens in one job: drafts with what each took, refusals, replies."""

    def __init__(self, sampling: Sampling, sample: int) -> None:
        self._sampling, self._sample = sampling, sample
        self.drafts: list[tuple[Draft, Spent]] = []
        self.refused: list[tuple[str, str]] = []
        self.replies: list[tuple[bytes, Reply]] = []
        self._last = "start"
        self._told: Refused | None = None
        self._prompts: list[str] = []
        self._since = 0

    def request(self, asked: Asked) -> Request:
        """The call as it is sent."""
        request = Request(messages=asked.messages, sample=self._sample + DRAWS * asked.draw)
        self._last = asked.call.name
        self._prompts += [f"{message.role}\x1f{message.content}" for message in request.messages]
        self._key = request_key(request, self._sampling)
        return request

    def read(self, asked: Asked, reply: Reply) -> Slots:
        """The slots of a reply; raises Refused."""
        self.replies.append((self._key, reply))
        if reply.finish == "refused":
            raise Refused("refused_by_server")
        if reply.truncated:
            raise Refused("cut_off")
        return asked.call.parse(reply.text, asked.slots)

    def refuse(self, asked: Asked, error: Refused) -> Refused:
        """Note a reply that could not be used."""
        self.refused.append((asked.call.name, error.reason))
        self._told = error
        return error

    def ended(self, error: Refused) -> None:
        """Note why the job ended, unless that is what it was told itself."""
        if error is not self._told:
            self.refused.append((self._last, error.reason))

    def drafted(self, draft: Draft) -> None:
        """Note a row and what was spent since the one before it."""
        fresh = self.replies[self._since :]
        tokens = [(reply.prompt_tokens, reply.completion_tokens) for _, reply in fresh]
        spent = Spent(
            tuple(self._prompts), tuple(key for key, _ in fresh), sum(p for p, _ in tokens), sum(c for _, c in tokens)
        )
        self.drafts.append((draft, spent))
        self._prompts, self._since = [], len(self.replies)


def _sender(program: Generator[Any, Slots, None], slots: Slots) -> Callable[[], Asked | Draft]:
    return lambda: program.send(slots)


def _thrower(program: Generator[Any, Slots, None], error: Refused) -> Callable[[], Asked | Draft]:
    return lambda: program.throw(error)


def first_sample(name: str) -> int:
    """The first sample number of a pass: 0 for the one without a name, else drawn from the name, so that no pass moves another's."""
    return PASSES * (1 + derive(0, "pass", name) % 127) if name else 0


def labels_of(config: PassConfig) -> list[str]:
    """One label an augmenter: its name, behind the pass's where that has one."""
    prefix = f"{config.name}." if config.name else ""
    return [f"{prefix}{registry.plugin_of(each).name}" for each in config.augment]


def _seed_parts(plan: Pass, sources: Sequence[SourceReport]) -> Iterator[list[Seed]]:
    """Seeds, part file by part file: one part is what stands in memory."""
    truth: pl.DataFrame | None = read_truth(plan.folders)
    known: dict[int, bool] = {}
    if truth is not None and "truth.leaked" in truth.columns:
        known = dict(truth.select("row", "truth.leaked").iter_rows())
    for path in row_parts(plan.folders):
        rows = pl.read_parquet(path).iter_rows(named=True)
        yield [
            _seed(row, sources, known.get(row["row"]))
            for row in rows
            if plan.chosen is None or row["row"] in plan.chosen
        ]


def _seed(row: Mapping[str, Any], sources: Sequence[SourceReport], leaked: bool | None) -> Seed:  # Any: column values
    made: bool = "operator" in row
    if made:
        problem = Problem(
            question=row["question"],
            answer=row["answer"] if row["gold"] is None else row["gold"],
            solution=row["response"],
            level=row["level"],
            subject=row["subject"],
        )
    else:
        problem = from_row(Problem, row)
    return Seed(
        row=row["row"],
        licence=row["licence"],
        problem=problem,
        sure=not made or row["gold"] is not None,
        root=row["seed"] if made else show_row(row["row"], sources),
        root_question=row["seed_question"] if made else problem.question,
        leaked=leaked,
    )


def _write_costs(out: Path, desk: _Desk, account: Account | None, seconds: float) -> None:
    """What the rows cost (a function of the replies), and apart from it what happened on the way (not hashed)."""
    price = desk.teacher.price_in, desk.teacher.price_out
    by = {
        label: {
            "rows": tally.rows,
            "replies": tally.replies,
            "prompt_tokens": tally.prompt_tokens,
            "completion_tokens": tally.completion_tokens,
            "money": (tally.prompt_tokens * price[0] + tally.completion_tokens * price[1]) / 1e6,
        }
        for label, tally in zip(desk.labels, desk.tallies, strict=True)
    }
    names: tuple[str, ...] = ("replies", "prompt_tokens", "completion_tokens", "money")
    whole = {name: sum(each[name] for each in by.values()) for name in names}
    store.write_json(out / "teacher.json", {"model": desk.teacher.model, **whole, "by": by})
    way = {name: getattr(account, name) if account else 0 for name in ("calls", "logged", "money_now")}
    faults = dict(sorted(account.faults.items())) if account else {}
    store.write_json(out / "timing.json", {**way, "faults": faults, "seconds": seconds})
