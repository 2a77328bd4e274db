import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from skyloom.core.ledger.select import best_of_groups, codes_of, first_of_clusters

ROWS = st.lists(
    st.tuples(st.sampled_from(["a", "b", "", None]), st.integers(-3, 3), st.booleans(), st.none() | st.integers(0, 5)),
    max_size=40,
)


@given(rows=ROWS)
def test_codes_name_their_groups(rows):
    texts = [row[0] for row in rows]
    code_N, names = codes_of(pl.Series("g", texts, dtype=pl.String))
    assert [names[code] for code in code_N] == [text or "" for text in texts]
    assert all((texts[i] == texts[j]) == (code_N[i] == code_N[j]) for i in range(len(texts)) for j in range(i))


@given(rows=ROWS, spread=st.sampled_from([1, -7, 2**40]))
def test_the_first_living_member_of_each_cluster_is_found(rows, spread):
    alive = [row[2] for row in rows]
    cluster = [None if row[3] is None else row[3] * spread for row in rows]
    first = first_of_clusters(pl.Series("c", cluster, dtype=pl.Int64), np.array(alive, bool))
    seen, expected = set(), []
    for label, living in zip(cluster, alive, strict=True):
        expected.append(living and (label is None or label not in seen))
        if living:
            seen.add(label)
    assert first.tolist() == expected


@given(rows=ROWS, share=st.floats(0, 1))
def test_the_best_of_each_group_equal_the_plain_sort(rows, share):
    code_N, _ = codes_of(pl.Series("g", [row[0] for row in rows], dtype=pl.String))
    value_N = np.array([row[1] for row in rows], np.float64)
    alive_N = np.array([row[2] for row in rows], bool)
    best = best_of_groups(code_N, value_N, alive_N, lambda _group, size: int(np.ceil(share * size)))
    for group in set(code_N.tolist()):
        members = [k for k in range(len(rows)) if code_N[k] == group and alive_N[k]]
        ranked = sorted(members, key=lambda k: (-value_N[k], k))
        wanted = ranked[: int(np.ceil(share * len(members)))]
        assert sorted(np.flatnonzero(best & (code_N == group)).tolist()) == sorted(wanted)
