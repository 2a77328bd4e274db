"""Export: what `datasets` and TRL load, the card, the whole ledger, and all or nothing."""

import json

import polars as pl
import pytest

from skyloom.core import store
from skyloom.core.errors import BadInput, FailedWork
from skyloom.core.ledger.curate import read_decisions
from skyloom.core.ledger.export import card_head
from skyloom.core.ledger.query import why
from skyloom.core.run import open_run
from skyloom.reward import export as export_module
from skyloom.reward import pipeline
from skyloom.reward.annotate import control_tokens as find_control_tokens
from skyloom.reward.annotate import exact_duplicates as find_duplicates
from skyloom.reward.annotate import scores as find_scores
from skyloom.reward.decide import control_tokens, duplicates, top_k
from skyloom.reward.evals import held_out
from skyloom.reward.export import LEDGER, export
from skyloom.reward.settings import RewardConfig
from skyloom.reward.sources import pairs_file, world

ROWS = 400


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A world and a file of pairs, the latter with an earlier exchange and a licence that nobody knows."""
    folder = tmp_path_factory.mktemp("export")
    prompt = [
        {"role": "user", "content": "Hi."},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "One."},
    ]
    file = folder / "own.jsonl"
    file.write_text(json.dumps({"prompt": prompt, "chosen": "1", "rejected": "2"}) + "\n")
    config = RewardConfig(
        collect=(world.Config(rows=ROWS, eval_rows=50), pairs_file.Config(path=file)),
        curate=(
            find_control_tokens.Config(),
            control_tokens.Config(),
            find_duplicates.Config(),
            duplicates.Config(),
            find_scores.Config(),
            top_k.Config(share=0.7, unscored="keep"),
        ),
        evaluate=held_out.Config(),
    )
    with open_run("toy", config, folder / "run", 0) as opened:
        pipeline.curate_step(config, opened, pipeline.collect_step(config, opened))
    return folder / "run"


@pytest.fixture(scope="module")
def exported(run):
    folder = run.parent / "out"
    return export(run, folder)


def test_datasets_loads_what_was_kept(run, exported, tmp_path):
    datasets = pytest.importorskip("datasets")
    loaded = datasets.load_dataset(str(exported.folder), split="train", cache_dir=str(tmp_path))
    kept = read_decisions(run / "curate").filter("kept")
    assert loaded.num_rows == kept.height == exported.pairs > 100
    assert set(loaded.column_names) == {
        "chosen", "rejected", "weight", "label", "source", "category", "origin", "licence", "id", "content"
    }  # fmt: skip
    for row in loaded:
        assert [turn["role"] for turn in row["chosen"]][-2:] == ["user", "assistant"]
        assert row["chosen"][:-1] == row["rejected"][:-1]
        assert "<im_start>" not in json.dumps(row)  # repaired as curation decided
    assert [turn["content"] for turn in loaded[0]["chosen"]] == ["Hi.", "Hello.", "One.", "1"]
    trail = why(run, loaded[-1]["id"])
    assert trail.record["content"].hex() == loaded[-1]["content"]
    assert trail.record["chosen"] == loaded[-1]["chosen"][-1]["content"]


def test_trl_takes_it_for_conversations(exported, tmp_path):
    datasets, data_utils = pytest.importorskip("datasets"), pytest.importorskip("trl.data_utils")
    loaded = datasets.load_dataset(str(exported.folder), split="train", cache_dir=str(tmp_path))
    assert data_utils.is_conversational(loaded[0])
    split = data_utils.extract_prompt(loaded[0])
    assert [turn["content"] for turn in split["prompt"]] == ["Hi.", "Hello.", "One."]
    assert split["rejected"] == [{"role": "assistant", "content": "2"}]


def test_the_ledger_holds_every_row_and_every_reason(run, exported):
    ledger, decisions = pl.read_parquet(exported.folder / LEDGER), read_decisions(run / "curate")
    assert ledger.height == exported.rows == decisions.height == ROWS + 1
    assert ledger.columns == [
        "id", "content", "source", "licence", "kept", "action", "reason", "00-control_tokens", "01-duplicates", "02-top_k"
    ]  # fmt: skip
    assert ledger["id"].n_unique() == ledger.height
    for row in ledger.gather_every(37).iter_rows(named=True):
        trail = why(run, row["id"])
        assert (row["kept"], row["reason"], row["content"]) == (
            trail.kept,
            trail.decision["reason"],
            trail.record["content"].hex(),
        )
        assert [row[name] for name in ledger.columns[7:]] == [ruling.reason for ruling in trail.rulings]


def test_the_card_has_a_head_that_parses_and_the_runs_card(run, exported):
    yaml = pytest.importorskip("yaml")
    head, body = (exported.folder / "README.md").read_text().removeprefix("---\n").split("---\n", 1)
    told = yaml.safe_load(head)
    assert told["license"] == ["apache-2.0", "other"]  # nobody knows the file's
    assert told["size_categories"] == ["n<1K"]
    assert told["configs"][0]["data_files"] == [{"split": "train", "path": "data/train-*.parquet"}]
    own = (run / "curate" / "card.md").read_text()
    assert own.removeprefix("# Data card\n").strip() in body
    assert "## Decisions, in order" in body
    assert f"{exported.pairs:,} preference pairs" in body


@pytest.mark.parametrize(
    ("pairs", "size"), [(999, "n<1K"), (1000, "1K<n<10K"), (77_016, "10K<n<100K"), (10**7, "n>10M")]
)
def test_size_categories(pairs, size):
    assert f"- {size}" in card_head(["MIT"], pairs, [], [], "data/*")


def test_licences_by_their_names_on_the_hub():
    names = ["Llama-3.1", "ODC-BY", "CC-BY-NC-4.0", "as stated by its owner", "MIT and CC-BY-4.0"]
    head = card_head(names, 5, [], [], "data/*")
    listed = head[1 : head.index("task_categories:")]
    assert listed == ["- cc-by-4.0", "- cc-by-nc-4.0", "- llama3.1", "- mit", "- odc-by", "- other"]


def test_files_are_cut_into_shards(run, tmp_path, monkeypatch):
    monkeypatch.setattr(export_module, "SHARD_ROWS", 100)
    done = export(run, tmp_path / "out")
    files = sorted((tmp_path / "out" / "data").iterdir())
    assert [file.name for file in files] == [f"train-{k:05d}-of-{done.files:05d}.parquet" for k in range(done.files)]
    heights = [pl.read_parquet(file).height for file in files]
    assert sum(heights) == done.pairs
    assert set(heights[:-1]) == {100}
    whole = pl.concat([pl.read_parquet(file) for file in files])
    assert whole["id"].to_list() == pl.read_parquet(tmp_path / "out" / LEDGER).filter("kept")["id"].to_list()


def test_equal_runs_give_equal_bytes(run, exported, tmp_path):
    again = export(run, tmp_path / "again")
    read = lambda folder: {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}  # noqa: E731
    assert read(again.folder) == read(exported.folder)


def test_a_folder_that_holds_something_is_not_overwritten(run, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    export(run, out)  # an empty one is taken
    with pytest.raises(BadInput, match="not empty.*--force"):
        export(run, out)
    (out / "README.md").write_text("old")
    export(run, out, force=True)
    assert (out / "README.md").read_text() != "old"
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("years of work")
    with pytest.raises(BadInput, match="something else"):
        export(run, other, force=True)
    assert (other / "thesis.tex").read_text() == "years of work"
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(BadInput, match="is a file"):
        export(run, file)


def test_a_failed_export_leaves_the_earlier_one(run, tmp_path, monkeypatch):
    out = tmp_path / "out"
    export(run, out)
    before = (out / "README.md").read_text()

    def full(*_):
        raise FailedWork("cannot write: disk full")

    monkeypatch.setattr(store, "write_text", full)
    with pytest.raises(FailedWork):
        export(run, out, force=True)
    assert (out / "README.md").read_text() == before
    monkeypatch.undo()
    export(run, tmp_path / "out", force=True)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_run_without_curation_is_refused(tmp_path):
    with pytest.raises(BadInput, match="not a run directory"):
        export(tmp_path, tmp_path / "out")
