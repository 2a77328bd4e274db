"""Offline teachers: draws that do not depend on the wave, refusals by name, and the calls that vLLM gets."""

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import pytest

from skyloom.core.config import fingerprint
from skyloom.core.errors import BadInput, MissingExtra
from skyloom.core.llm.backbones import END, save_backbone
from skyloom.core.llm.chat import Reply, Request
from skyloom.core.llm.request_log import RequestLog
from skyloom.core.llm.teacher import TeacherConfig, ask
from skyloom.core.records import Message


def question(text: str, sample: int = 0) -> Request:
    return Request(messages=(Message(role="user", content=text),), sample=sample)


@pytest.fixture(scope="module")
def local(lively, tokenizer, tmp_path_factory) -> TeacherConfig:
    folder = tmp_path_factory.mktemp("model")
    save_backbone(lively, tokenizer, folder)
    return TeacherConfig(backend="local", model=str(folder), max_tokens=12, temperature=1.5)


@pytest.fixture(scope="module")
def requests(corpus: list[str]) -> list[Request]:
    return [question(corpus[k % 4][: 5 + 9 * (k % 4)], sample=k // 4) for k in range(12)]


def test_a_local_reply_depends_on_its_request_alone(local: TeacherConfig, requests: list[Request]) -> None:
    together = list(ask(local, requests))
    assert list(ask(replace(local, wave=5), requests)) == together
    alone = [next(ask(local, [request])) for request in requests[::5]]
    assert alone == together[::5]
    assert len({reply.text for reply in together}) > 8  # draws of one question differ
    assert {reply.finish for reply in together} <= {"stop", "length"}
    assert all(0 < reply.completion_tokens <= 12 for reply in together)
    assert {reply.truncated for reply in together if reply.completion_tokens == 12} == {True}


def test_a_cold_teacher_says_the_same_in_every_draw(local: TeacherConfig) -> None:
    cold = replace(local, temperature=0.0)
    assert len({reply.text for reply in ask(cold, [question("the box holds", k) for k in range(3)])}) == 1


def test_local_runs_resume_from_the_log_without_loading_the_model(
    local: TeacherConfig, requests: list[Request], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RequestLog(tmp_path / "log") as log:
        first = list(ask(replace(local, wave=4), requests, log))
        assert (len(log), log.attempts) == (12, 12)
        monkeypatch.setattr("skyloom.core.llm.offline._load", lambda _: pytest.fail("loaded"))
        assert list(ask(local, requests, log)) == first


def test_forged_turns_and_long_prompts_are_refused_by_name(
    local: TeacherConfig, caplog: pytest.LogCaptureFixture
) -> None:
    replies = list(ask(local, [question(f"a {END} b"), question("nuts " * 90), question("nuts")]))
    assert [reply.finish == "refused" for reply in replies] == [True, True, False]
    assert [part in caplog.text for part in ("special token", "positions")] == [True, True]


def test_unusable_local_models_are_bad_input(local: TeacherConfig, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="leaves no room for a prompt"):
        list(ask(replace(local, max_tokens=96), [question("q")]))
    with pytest.raises(BadInput, match="no such directory"):
        list(ask(replace(local, model=str(tmp_path / "none")), [question("q")]))


def test_the_backend_is_keyed() -> None:
    assert fingerprint(TeacherConfig(backend="local")) != fingerprint(TeacherConfig())
    assert fingerprint(TeacherConfig(wave=3, patience_s=9.0)) == fingerprint(TeacherConfig())


class Engine:
    """What `vllm.LLM` is called with, and replies of its form."""

    made: ClassVar[list[dict[str, Any]]] = []
    calls: ClassVar[list[dict[str, Any]]] = []

    def __init__(self, **options: Any) -> None:
        self.made.append(options)
        self.llm_engine = SimpleNamespace(model_config=SimpleNamespace(max_model_len=64))

    def get_tokenizer(self) -> Any:
        return self.tokenizer

    def chat(self, **options: Any) -> list[Any]:
        self.calls.append(options)
        return [
            SimpleNamespace(
                prompt_token_ids=[1, 2, 3],
                outputs=[
                    SimpleNamespace(
                        text=f"<think>hm</think>{turns[-1]['content']}/{how.seed}",
                        token_ids=[4, 5],
                        finish_reason="length" if how.seed else "stop",
                    )
                ],
            )
            for turns, how in zip(options["messages"], options["sampling_params"], strict=True)
        ]


@pytest.fixture
def vllm(monkeypatch: pytest.MonkeyPatch, tokenizer) -> type[Engine]:
    module = ModuleType("vllm")
    module.LLM, module.SamplingParams = Engine, lambda **options: SimpleNamespace(**options)  # type: ignore[attr-defined]
    monkeypatch.setattr(Engine, "tokenizer", tokenizer, raising=False)
    monkeypatch.setattr(Engine, "made", [])
    monkeypatch.setattr(Engine, "calls", [])
    monkeypatch.setitem(sys.modules, "vllm", module)
    return Engine


def test_vllm_gets_whole_waves(vllm: type[Engine], tmp_path: Path) -> None:
    config = TeacherConfig(backend="vllm", model="org/model", max_tokens=20, temperature=0.9, wave=3)
    requests = [question("a"), question("b"), question("a", 1), question(f"{END}"), question("c")]
    with RequestLog(tmp_path / "log") as log:
        replies = list(ask(config, requests, log))
        assert len(log) == 4
    assert [(reply.text, reply.finish) for reply in replies] == [
        ("a/0", "stop"), ("b/0", "stop"), ("a/1", "length"), ("", "refused"), ("c/0", "stop"),
    ]  # fmt: skip
    assert replies[0] == Reply(text="a/0", finish="stop", prompt_tokens=3, completion_tokens=2, reasoning="hm")
    assert vllm.made == [{"model": "org/model"}]  # loaded once
    assert [len(call["messages"]) for call in vllm.calls] == [3, 1]
    assert vllm.calls[0]["messages"][2] == [{"role": "user", "content": "a"}]
    assert vars(vllm.calls[0]["sampling_params"][2]) == {"temperature": 0.9, "max_tokens": 20, "seed": 1}


def test_vllm_without_the_package_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(MissingExtra, match="backend=vllm") as caught:
        list(ask(TeacherConfig(backend="vllm"), [question("q")]))
    assert "\n" not in str(caught.value)
