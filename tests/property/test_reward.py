"""Readers of preference data meet anything: a pair, a counted reject, or one line for the person, never a crash."""

import contextlib
import json
import string

import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skyloom.core.errors import BadInput, BadRow
from skyloom.core.records import Message, Raw
from skyloom.core.text.digests import digests
from skyloom.reward.annotate.control_tokens import cut
from skyloom.reward.records import Pair, check_prompt
from skyloom.reward.sources import hh_rlhf, pairs_file, rmb, skywork_80k
from skyloom.reward.world import defects
from skyloom.reward.world.defects import Sides

SOURCES = (hh_rlhf, pairs_file, rmb, skywork_80k)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
TURN = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["user", "assistant", "system", "tool"]) | LEAVES,
        "content": st.text(max_size=12) | LEAVES,
    }
)
VALUES = LEAVES | st.lists(TURN | LEAVES, max_size=4) | TURN
NAMES = [
    "chosen",
    "rejected",
    "prompt",
    "reject",
    "conversation_input",
    "source",
    "messages",
    "category",
    "score_chosen",
]
ROWS = st.dictionaries(st.sampled_from(NAMES), VALUES | st.text("\n HumanAssistant:", max_size=60))
TEXT = st.text(string.printable, max_size=60)


@given(ROWS)
def test_a_row_becomes_a_sound_pair_or_a_reject_with_a_field(raw):
    for source in SOURCES:
        try:
            made = source.to_record(raw)
        except BadRow as error:
            assert error.reason
            continue
        assert isinstance(made, Pair)
        check_prompt(made.prompt)
        assert made.chosen.strip() != made.rejected.strip()
        assert made.chosen.strip()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.binary(max_size=200), st.sampled_from([".jsonl", ".json", ".jsonl.gz", ".parquet"]))
def test_random_bytes_are_counted_or_told(tmp_path, data, suffix):
    file = tmp_path / f"pairs{suffix}"
    file.write_bytes(data)
    for source in SOURCES:
        try:
            found = list(source.rows(source.Config(path=file), 0))
        except BadInput as error:
            assert str(file) in str(error)
            continue
        for raw in found:
            if isinstance(raw, Raw):
                with contextlib.suppress(BadRow):
                    source.to_record(raw.data)


@given(
    st.lists(st.text(string.ascii_letters + " ?\n", min_size=1, max_size=30).filter(str.strip), min_size=3, max_size=7)
)
def test_hh_transcripts_round_trip(texts):
    texts = [text.strip() for text in texts[: (len(texts) - 1) // 2 * 2 + 1]]  # user first, user last
    lead = "".join(f"\n\n{('Human', 'Assistant')[k % 2]}: {text}" for k, text in enumerate(texts))
    made = hh_rlhf.to_record(
        json.loads(json.dumps({"chosen": f"{lead}\n\nAssistant: yes", "rejected": f"{lead}\n\nAssistant: no"}))
    )
    assert [turn.content for turn in made.prompt] == texts
    assert all(isinstance(turn, Message) for turn in made.prompt)


@given(TEXT, TEXT)
def test_cut_is_a_prefix_without_tokens_and_idempotent(left, right):
    text = f"{left}<im_start>{right}"
    kept = pl.select(cut(pl.lit(text))).item()
    assert left.startswith(kept)
    assert pl.select(cut(pl.lit(kept))).item() == kept


@given(TEXT)
def test_digests_are_blind_to_case_and_white_space(text):
    one, other = digests([text, f"  {text}\n".replace(" ", "\t ")])
    assert tuple(one) == tuple(other)
    assert tuple(digests([text.casefold()])[0]) == tuple(one)


@given(st.builds(Sides, TEXT, TEXT, TEXT), st.builds(Sides, TEXT, TEXT, TEXT))
def test_jaccard_is_a_symmetric_share(a, b):
    assert defects.jaccard(a, a) == 1
    assert 0 <= defects.jaccard(a, b) == defects.jaccard(b, a) <= 1
