from dataclasses import dataclass

import pytest

from skyloom.core import store
from skyloom.core.config import Config
from skyloom.core.errors import BadInput, FailedWork
from skyloom.core.run import open_run, output_digests, read_manifest


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings(Config):
    size: int = 1


def writer(calls, text):
    def work(folder):
        calls.append(text)
        store.write_text(folder / "out.txt", text)

    return work


def test_a_finished_step_is_not_done_again_until_its_key_changes(tmp_path):
    calls = []
    source = tmp_path / "in.txt"
    source.write_text("one")
    for settings, content in [
        (Settings(), "one"),
        (Settings(), "one"),
        (Settings(size=2), "one"),
        (Settings(size=2), "two"),
    ]:
        source.write_text(content)
        with open_run("toy", settings, tmp_path / "run", seed=0) as run:
            work = writer(calls, f"{settings.size}{content}")
            folder = run.step("collect", work, config=settings, inputs=(source,))
            assert (folder / "out.txt").read_text() == f"{settings.size}{content}"
    assert calls == ["1one", "2one", "2two"]
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [".lock", "collect", "run.json"]


def test_a_later_step_is_keyed_by_the_content_of_an_earlier_one(tmp_path):
    calls = []
    for text in ("a", "a", "b"):
        with open_run("toy", Settings(), tmp_path / "run", seed=0) as run:
            first = run.step("collect", writer([], text), config=Settings(size=ord(text)))
            run.step("curate", writer(calls, text), config=Settings(), inputs=(first,))
    assert calls == ["a", "b"]


def test_work_that_failed_resumes_in_the_same_folder(tmp_path):
    def fails(folder):
        store.write_text(folder / "half.txt", "half")
        raise FailedWork("cut")

    def resumes(folder):
        assert (folder / "half.txt").read_text() == "half"
        store.write_text(folder / "whole.txt", "whole")

    with pytest.raises(FailedWork), open_run("toy", Settings(), tmp_path / "run", seed=0) as run:
        run.step("collect", fails, config=Settings())
    assert not (tmp_path / "run" / "collect").exists()
    with open_run("toy", Settings(), tmp_path / "run", seed=0) as run:
        folder = run.step("collect", resumes, config=Settings())
    assert (folder / "whole.txt").exists()


def test_hidden_files_and_timings_do_not_enter_the_digest(tmp_path):
    digests = []
    for k in range(2):
        with open_run("toy", Settings(), tmp_path / str(k), seed=0) as run:

            def work(folder, k=k):
                store.write_text(folder / "out.txt", "same")
                store.write_text(folder / ".scratch", str(k))
                store.write_json(folder / "timing.json", {"seconds": k})

            run.step("train", work, config=Settings())
        digests.append(output_digests(tmp_path / str(k)))
    assert digests[0] == digests[1] != {}


def test_foreign_directories_other_recipes_and_second_processes_are_refused(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(BadInput, match="holds no run.json"), open_run("toy", Settings(), tmp_path / "mine", seed=0):
        pass
    with open_run("toy", Settings(), tmp_path / "run", seed=0):
        with pytest.raises(BadInput, match="another process"), open_run("toy", Settings(), tmp_path / "run", seed=0):
            pass
    with pytest.raises(BadInput, match="holds a run of 'toy'"), open_run("other", Settings(), tmp_path / "run", seed=0):
        pass
    (tmp_path / "file").write_text("x")
    with pytest.raises(BadInput, match="is a file"), open_run("toy", Settings(), tmp_path / "file", seed=0):
        pass


def test_the_manifest_tells_config_seed_and_versions(tmp_path):
    with open_run("toy", Settings(size=3), tmp_path / "run", seed=5) as run:
        run.note(as_train=["hh_rlhf"])
    manifest = read_manifest(tmp_path / "run")
    assert manifest["config"] == {"size": 3}
    assert manifest["seed"] == 5
    assert manifest["as_train"] == ["hh_rlhf"]
    assert {"python", "skyloom", "numpy"} <= set(manifest["versions"])


def test_a_run_that_is_refused_before_any_work_leaves_nothing(tmp_path):
    def refuses(folder):
        raise BadInput("a test split")

    with pytest.raises(BadInput), open_run("toy", Settings(), tmp_path / "run", seed=0) as run:
        run.step("collect", refuses, config=Settings())
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(BadInput), open_run("toy", Settings(), tmp_path / "run", seed=0) as run:
        run.step("collect", writer([], "kept"), config=Settings())
        run.step("curate", refuses, config=Settings())
    assert (tmp_path / "run" / "collect" / "out.txt").exists()
