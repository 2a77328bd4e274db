"""Who answers a benchmark: a model on this machine, or a server; every answer is on disk before the next batch is asked.

Formula  a query's draws come from the stream (seed, item, sample, distractors), so its answer depends on nothing else
Local    prompts in batches under `generate.batch_tokens`, KV cache reused, draws of one question read its prompt once. Every answer is a
         line of `.answers-NAME.jsonl` in the step's private folder; after a kill whole lines are taken as they are and the batches of the
         rest are written again as they were: the same command ends with the same bytes
Server   core.llm.teacher with its request log, retries and budget; nothing is paid for twice
Failed   a prompt that fills the model's window, or holds a special token, is not asked and never cut; a request that the server refuses,
         or that fails `retries` times in a row, is given up. Both are named in the report and count as not right
Flow     collect -> synthesize -> curate -> train -> [evaluate] -> report
Run      skyloom mathqa eval --url http://127.0.0.1:8000/v1 --model NAME --out DIR
"""

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from skyloom.core import store
from skyloom.core.errors import BadInput, BadRow, FailedWork
from skyloom.core.llm.chat import REFUSED, Request
from skyloom.core.llm.config import GenerateConfig
from skyloom.core.llm.request_log import RequestLog
from skyloom.core.llm.teacher import TeacherConfig, ask
from skyloom.mathqa.benchmark import Item
from skyloom.mathqa.reading import read_predictions
from skyloom.mathqa.records import chat

if TYPE_CHECKING:  # torch: only where a model is asked, so that servers and stored outputs need none
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

NLL_TOKENS: int = 4_096
"""Padded tokens of a batch whose reference solutions are scored: the logits of their vocabulary stand in memory at once."""


class Query(NamedTuple):
    """One question to be put to the model."""

    item: str
    """Id of the item."""
    text: str
    sample: int = 0
    """0: greedy; from 1: which draw."""
    distractors: int = 0

    @property
    def name(self) -> str:
        """Of the stream of its draws."""
        return f"{self.item}/{self.sample}/{self.distractors}"


class Output(NamedTuple):
    """What came back."""

    text: str
    finished: bool
    """False where it was cut at its longest length."""
    failed: str = ""
    """Why there is none; empty: there is one."""


class Answerer(Protocol):
    """Whoever answers."""

    def answers(self, queries: Sequence[Query], partial: Path, temperature: float = 0.0) -> list[Output]:
        """One output a query, in order; `partial` names a file in the step's private folder, where work may be kept."""
        ...

    def nll(self, items: Sequence[Item]) -> list[float | None]:
        """Nats per token of each item's reference solution; None where there is none, or nobody can tell."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Local:
    """A model in this process."""

    model: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"
    generate: GenerateConfig
    seed: int

    def answers(self, queries: Sequence[Query], partial: Path | None, temperature: float = 0.0) -> list[Output]:
        """As Answerer says; `partial` None: nothing is kept."""
        from skyloom.core.llm.generate import generate_each

        window = _window(self.model)
        found: dict[int, Output] = {}
        prompts: dict[int, list[int]] = {}
        for place, query in enumerate(queries):
            told = _prompt(self.tokenizer, query.text, window)
            if isinstance(told, Output):
                found[place] = told
            else:
                prompts[place] = told
        places = list(prompts)
        how = _fitting(replace(self.generate, temperature=temperature), list(prompts.values()))
        with closing(_Kept(partial)) as kept:
            stored = {queries[place].name: row for row, place in enumerate(places)}
            done = {stored[name]: output for name, output in kept.outputs.items() if name in stored}
            found |= {places[row]: output for row, output in done.items()}
            replies = generate_each(
                self.model,
                self.tokenizer,
                list(prompts.values()),
                how,
                seed=self.seed,
                names=[queries[place].name for place in places],
                label="answering",
                done=done,
                window=window,
            )
            for row, reply in replies:
                if row not in done:
                    found[places[row]] = Output(reply.text, reply.finished)
                    kept.add(queries[places[row]].name, found[places[row]])
        return [found[place] for place in range(len(queries))]

    def nll(self, items: Sequence[Item]) -> list[float | None]:
        """As Answerer says."""
        from skyloom.mathqa.likelihood import solution_nll

        return solution_nll(self.model, self.tokenizer, items, NLL_TOKENS)


def _window(model: "PreTrainedModel") -> int | None:
    room = getattr(model.config, "max_position_embeddings", None)
    return room if isinstance(room, int) else None


def _prompt(tokenizer: "PreTrainedTokenizerBase", text: str, window: int | None) -> list[int] | Output:
    """Its token ids, or why it cannot be asked."""
    from skyloom.core.llm.templates import render_prompt

    try:
        ids = render_prompt(tokenizer, chat(text))
    except BadRow as error:
        return Output("", False, error.reason)
    if window is not None and len(ids) >= window:
        return Output("", False, f"the prompt has {len(ids):,} tokens, and the model's window is {window:,}")
    return ids


def _fitting(config: GenerateConfig, prompts: Sequence[Sequence[int]]) -> GenerateConfig:
    """The same with room for the longest prompt alone in a batch."""
    longest = max((len(prompt) for prompt in prompts), default=0)
    return replace(config, batch_tokens=max(config.batch_tokens, longest + config.max_new_tokens))


class _Kept:
    """The answers that are on disk already, and where the next ones go; a torn last line, which a kill leaves, is cut off."""

    def __init__(self, path: Path | None) -> None:
        self.outputs: dict[str, Output] = {}
        self._file = None
        if path is None:
            return
        data = path.read_bytes() if path.exists() else b""
        whole = data[: data.rfind(b"\n") + 1]
        for line in whole.splitlines():
            row = json.loads(line)
            self.outputs[row["name"]] = Output(row["text"], row["finished"])
        if whole != data:
            store.write_bytes(path, whole)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab", buffering=0)

    def add(self, name: str, output: Output) -> None:
        """One line, written at once."""
        if self._file is None:
            return
        row = {"name": name, "text": output.text, "finished": output.finished}
        line = json.dumps(row, ensure_ascii=True).encode() + b"\n"
        try:
            if self._file.write(line) != len(line):  # a full disk may take half a line without an error
                raise OSError("no space left")
        except OSError as error:
            raise FailedWork(
                f"cannot write {self._file.name}: {error}; free space and run the same command again"
            ) from error

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()


@dataclass(frozen=True, kw_only=True, slots=True)
class Server:
    """A server that speaks the chat API."""

    teacher: TeacherConfig
    generate: GenerateConfig
    log: Path
    """Its replies by request: in the run directory, because they are paid for."""

    def __post_init__(self) -> None:
        if self.generate.top_p != 1.0:
            raise BadInput("generate.top_p: a server is asked with a temperature alone; leave it at 1")

    def answers(self, queries: Sequence[Query], partial: Path, temperature: float = 0.0) -> list[Output]:
        """As Answerer says. Raises BadInput and FailedWork as `teacher.work` does, and FailedWork where nothing was answered."""
        del partial  # the log has all
        most = self.generate.max_new_tokens
        how = replace(self.teacher, temperature=temperature, max_tokens=most, give_up="request")
        requests = (Request(messages=chat(query.text), sample=query.sample) for query in queries)
        with RequestLog(self.log) as log:
            outputs = [
                Output("", False, f"refused, or failed {how.retries} times in a row")
                if reply.finish == REFUSED
                else self._cut(reply.text, reply.finish)
                for reply in ask(how, requests, log)
            ]
        if queries and all(output.failed for output in outputs):
            raise FailedWork(
                f"{self.teacher.url}: none of {len(queries):,} questions was answered; look at the server's log"
            )
        return outputs

    def _cut(self, text: str, finish: str) -> Output:
        starts = [place for stop in self.generate.stop if (place := text.find(stop)) >= 0]
        return Output(text[: min(starts)], True) if starts else Output(text, finish != "length")

    def nll(self, items: Sequence[Item]) -> list[float | None]:
        """None of them: the chat API does not score given texts."""
        return [None] * len(items)


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """Outputs that another tool wrote: one a plain question, and no more."""

    path: Path
    field: str
    """Where a row holds the output; empty: the usual names."""

    def answers(self, queries: Sequence[Query], partial: Path, temperature: float = 0.0) -> list[Output]:
        """As Answerer says; raises BadInput as `read_predictions` does, and for draws or distracted questions."""
        del partial, temperature
        if any(query.sample or query.distractors for query in queries):
            raise BadInput("eval: stored outputs hold one answer a question; samples and distractors need a model")
        items = [Item(id=query.item, question=query.text, answer="", level=None, subject="") for query in queries]
        return [Output(text, True) for text in read_predictions(self.path, items, self.field)]

    def nll(self, items: Sequence[Item]) -> list[float | None]:
        """None of them."""
        return [None] * len(items)
