"""Geometries of layers as vectors over pairs of conditions, and how alike they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from rsa_faces import comparison
from rsa_faces._core.errors import InputError
from rsa_faces._kernels.ranks import average_ranks
from rsa_faces.analyses._gram import grams
from rsa_faces.analyses._inputs import check_finite

METHODS = ("spearman", "pearson", "cka", "procrustes")
_VALUES = 2**24  # of a block


@dataclass(frozen=True, eq=False)
class Geometry:
    """Some layers: RDMs, U-centred inner products, and roots of inner products.

    Each (n_layers, n_pairs), but `roots` (n_layers, n, n); None where no method needs it. `run` is
    that of each condition: pairs of conditions of different runs count nothing.
    """

    rdms: np.ndarray | None
    inner: np.ndarray | None
    roots: np.ndarray | None
    run: np.ndarray

    @classmethod
    def of(
        cls,
        patterns: np.ndarray,
        conditions: Sequence[str],
        name: str,
        methods: Sequence[str],
        measure: Callable[[np.ndarray], np.ndarray],
        run: np.ndarray | None = None,
    ) -> Geometry:
        """Return the geometry of one layer."""
        n = len(patterns)
        run = np.zeros(n, np.int64) if run is None else run
        if n < 4:
            raise InputError(f"expected at least 4 conditions, got {n}.")
        check_finite(patterns, conditions, name)
        rdms = inner = roots = None
        if set(comparison.METHODS) & set(methods):
            rdms = measure(np.asarray(patterns, np.float64))[None]
        if {"cka", "procrustes"} & set(methods):
            products, n_varying = grams(patterns, [np.arange(n)], standardize=False)
            if not n_varying.all():
                raise InputError(f"expected channels that vary, but layer {name!r} has none.")
            if "cka" in methods:
                inner = _u_centred(products[0], run)[None]
            if "procrustes" in methods:
                roots = root_of(products[0])[None]
        return cls(rdms, inner, roots, run)

    @staticmethod
    def join(parts: Sequence[Geometry]) -> Geometry:
        """Return several as one."""
        fields = [
            None
            if getattr(parts[0], key) is None
            else np.concatenate([getattr(part, key) for part in parts])
            for key in ("rdms", "inner", "roots")
        ]
        return Geometry(*fields, parts[0].run)

    @property
    def n(self) -> int:
        """Number of conditions."""
        return len(self.run)

    @property
    def runs(self) -> list[np.ndarray]:
        """The pairs of each run."""
        row, col = (self.run[index] for index in np.triu_indices(self.n, 1))
        return [np.flatnonzero((row == r) & (col == r)) for r in np.unique(self.run)]

    def vectors(self, method: str) -> np.ndarray:
        """Return vectors whose inner products are the similarities: (n_layers, n_pairs).

        Each run is ranked, centred and of one length on its own; pairs between runs are 0.
        """
        values, runs = self.inner if method == "cka" else self.rdms, self.runs
        out = np.zeros(values.shape)
        for pairs in runs:
            part = values[:, pairs]
            if method != "cka":
                part = average_ranks(part) if comparison.METHODS[method].uses_ranks else part
                part = part - part.mean(axis=1, keepdims=True)
            length = np.linalg.norm(part, axis=1, keepdims=True)
            if not (length > 0).all():
                raise InputError(
                    "expected dissimilarities that differ, but a layer has all the same."
                )
            out[:, pairs] = part / (length * np.sqrt(len(runs)))
        return out


def alike(a: Geometry, b: Geometry, method: str) -> np.ndarray:
    """Return how alike each layer of the one is to each of the other."""
    if method == "procrustes":
        return np.array(
            [np.linalg.svd(root @ b.roots, compute_uv=False).sum(axis=1) for root in a.roots]
        )
    x, y = (one.vectors(method) for one in (a, b))
    return x @ y.T


def alike_permuted(a: Geometry, b: Geometry, method: str, orders: np.ndarray) -> np.ndarray:
    """Return the same with conditions of the second permuted, (n_permutations, n_a, n_b)."""
    x, y = (one.vectors(method) for one in (a, b))
    row, col = np.triu_indices(a.n, 1)
    place = np.zeros((a.n, a.n), np.int64)
    place[row, col] = place[col, row] = np.arange(len(row))
    out = np.empty((len(orders), len(x), len(y)))
    step = max(1, _VALUES // y.size)
    for start in range(0, len(orders), step):
        order = orders[start : start + step]
        moved = y[:, place[order[:, row], order[:, col]]]  # (n_b, block, n_pairs)
        product = x @ moved.reshape(-1, x.shape[1]).T
        out[start : start + step] = product.reshape(len(x), len(y), -1).transpose(2, 0, 1)
    return out


def alike_resampled(
    a: Geometry, b: Geometry, method: str, draws: np.ndarray, people: np.ndarray
) -> np.ndarray:
    """Return the same with people drawn again, (n_samples, n_a, n_b).

    draws (n_samples, n_people). Pairs of two people count as often as the product of their
    counts, pairs of one person's conditions as often as the person.
    """
    x, y = (one.vectors(method) for one in (a, b))
    row, col = np.triu_indices(a.n, 1)
    out = np.empty((len(draws), len(x), len(y)))
    one, used = people[row] == people[col], a.run[row] == a.run[col]
    step = max(1, _VALUES // (x.size + y.size))
    for start in range(0, len(draws), step):
        part = draws[start : start + step][:, people]
        # A person who is drawn twice brings each own pair twice, not four times.
        weights = (part[:, row] * np.where(one, 1, part[:, col]) * used).astype(float)
        total = weights.sum(axis=1)[:, None]
        cross = (x[None] * weights[:, None]) @ y.T
        of_x, of_y = weights @ (x.T**2), weights @ (y.T**2)
        if method != "cka":
            mean_x, mean_y = weights @ x.T / total, weights @ y.T / total
            cross -= total[..., None] * mean_x[:, :, None] * mean_y[:, None]
            of_x, of_y = of_x - total * mean_x**2, of_y - total * mean_y**2
        scale = np.sqrt(np.maximum(of_x, 0))[:, :, None] * np.sqrt(np.maximum(of_y, 0))[:, None]
        similarity = np.divide(cross, scale, out=np.full(cross.shape, np.nan), where=scale > 0)
        out[start : start + step] = similarity
    return out


def _u_centred(products: np.ndarray, run: np.ndarray) -> np.ndarray:
    """Return the upper triangle of inner products, U-centred in each run: rows there sum to 0."""
    k = np.zeros_like(products)
    for r in np.unique(run):
        rows = np.flatnonzero(run == r)
        own, n = products[np.ix_(rows, rows)], len(rows)
        if n < 4:
            raise InputError(f"expected at least 4 conditions in each block for cka, got {n}.")
        # Noise adds up on the diagonal: with it CKA of few images is high whatever they show.
        own = own - np.diag(np.diag(own))
        means = own.sum(axis=1) / (n - 2)
        own = own - means[:, None] - means + own.sum() / ((n - 1) * (n - 2))
        k[np.ix_(rows, rows)] = own
    return k[np.triu_indices(len(k), 1)]


def root_of(products: np.ndarray) -> np.ndarray:
    """Return the root of inner products whose trace is made 1."""
    values, vectors = np.linalg.eigh(products / np.trace(products))
    values = np.where(values > 1e-14 * len(values), values, 0)  # rounding: its root is not small
    return (vectors * np.sqrt(values)) @ vectors.T
