"""Selection inside groups for deciders: the first of each cluster, the best k of each category.

Both are linear in the rows (one radix sort, one partition a group), because a ledger holds tens of millions of them; window functions of
a frame take ten times as long and several times the memory on as many clusters.

Flow    collect -> [curate: annotate -> DECIDE -> materialise] -> train
Shapes  N rows, G groups
"""

from collections.abc import Callable

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Integer


def codes_of(group_N: pl.Series) -> tuple[Integer[np.ndarray, " N"], list[str]]:
    """Dense codes 0 ... G-1 of a text or categorical column, and the groups' names in code order; nulls are a last group named ""."""
    text_N = group_N.cast(pl.Categorical)
    physical_N = text_N.to_physical()
    groups_G = pl.DataFrame({"code": physical_N, "name": text_N}).unique("code").sort("code", nulls_last=True)
    known = groups_G["code"].drop_nulls()
    code_N = known.search_sorted(physical_N.fill_null(2**32 - 1)).to_numpy()
    return code_N, groups_G["name"].cast(pl.String).fill_null("").to_list()


def first_of_clusters(cluster_N: pl.Series, living_N: Bool[np.ndarray, " N"]) -> Bool[np.ndarray, " N"]:
    """Which rows are the first living member of their cluster; a row without a cluster (null) is its own.

    `cluster_N`: any int64 labels. Labels from 0 to a few N, such as the position of a cluster's first row, are looked up in a table;
    others, such as hashes, go through a hash table at some five times the cost.
    """
    lone_N = cluster_N.is_null().to_numpy() & living_N
    label_N = cluster_N.fill_null(0).to_numpy()
    at = np.flatnonzero(living_N & ~lone_N)
    first_N = lone_N.copy()
    if at.size == 0:
        return first_N
    low, high = int(label_N[at].min()), int(label_N[at].max())
    if low >= 0 and high < 4 * len(label_N) + 1024:
        owner = np.full(high + 1, -1, np.int64)
        owner[label_N[at[::-1]]] = at[::-1]  # the last write wins: the smallest position
        first_N[owner[owner >= 0]] = True
    else:
        members = pl.DataFrame({"at": at, "label": label_N[at]})
        first_N[members.unique("label", keep="first")["at"].to_numpy()] = True
    return first_N


def best_of_groups(
    code_N: Integer[np.ndarray, " N"],
    value_N: Float[np.ndarray, " N"],
    living_N: Bool[np.ndarray, " N"],
    take: Callable[[int, int], int],
) -> Bool[np.ndarray, " N"]:
    """Which living rows are among the best `take(group code, group size)` of their group; equal values are ranked by position.

    Values must be finite where a row is living.
    """
    at = np.flatnonzero(living_N)
    at = at[np.argsort(code_N[at].astype(np.uint32, copy=False), kind="stable")]
    sizes_G = np.bincount(code_N[at]) if at.size else np.zeros(0, np.int64)
    best_N = np.zeros(len(code_N), bool)
    start = 0
    for group, size in enumerate(sizes_G.tolist()):
        members = at[start : start + size]
        start += size
        best_N[members[_best(value_N[members], min(take(group, size), size))]] = True
    return best_N


def _best(value_M: Float[np.ndarray, " M"], count: int) -> Integer[np.ndarray, " K"]:
    """Positions of the `count` highest values, the earlier of equal ones first."""
    if count <= 0:
        return np.zeros(0, np.int64)
    cut = np.partition(value_M, len(value_M) - count)[len(value_M) - count]
    above = np.flatnonzero(value_M > cut)
    return np.concatenate([above, np.flatnonzero(value_M == cut)[: count - above.size]])
