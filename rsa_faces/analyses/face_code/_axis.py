"""Axes of cells: fits of many response sets at once, lengths of parts, the space beside an axis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rsa_faces._core.chance import p_of
from rsa_faces._core.numbers import best_index
from rsa_faces.analyses._targets import LEVEL


@dataclass(frozen=True, eq=False)
class Fitted:
    """Linear predictions of response sets, one row each."""

    weights: np.ndarray  # (n_sets, n_dimensions)
    intercepts: np.ndarray  # (n_sets,), the response to the mean of the training faces
    center: np.ndarray  # (n_dimensions,), that mean
    chosen: np.ndarray  # (n_sets,) index of the strength

    def predict(self, faces: np.ndarray) -> np.ndarray:
        """Return responses to faces, (n_sets, n_faces)."""
        return self.intercepts[:, None] + self.weights @ (faces - self.center).T

    def positions(self, faces: np.ndarray) -> np.ndarray:
        """Return where faces lie on the axes, (n_sets, n_faces); 0 where there is no axis."""
        lengths = np.linalg.norm(self.weights, axis=1)
        steps = self.weights @ (faces - self.center).T
        return np.divide(
            steps, lengths[:, None], out=np.zeros_like(steps), where=lengths[:, None] > 0
        )


def fit_sets(
    faces: np.ndarray,
    sets: np.ndarray,
    strengths: np.ndarray,
    method: str,
    people: np.ndarray | None = None,
) -> Fitted:
    """Fit each response set, (n_sets, n_faces), on the coordinates of faces.

    "regression": ridge, its strength (times the mean squared length of the faces) chosen per set
    by leaving out one person's faces at a time. "sta": the response-weighted mean of the faces,
    scaled to fit the responses.
    """
    center = faces.mean(axis=0)
    intercepts = sets.mean(axis=1)
    centred = sets - intercepts[:, None]
    if method == "sta":
        weights = centred @ (faces - center)
        # An average of faces weighted by responses has the direction; how steep it is, a fit tells.
        along = weights @ (faces - center).T
        power = (along**2).sum(axis=1)
        slope = np.divide(
            (along * centred).sum(axis=1), power, out=np.zeros_like(power), where=power > 0
        )
        return Fitted(weights * slope[:, None], intercepts, center, np.zeros(len(sets), int))
    left, singular, right = np.linalg.svd(faces - center, full_matrices=False)
    squares = singular**2
    scale = squares.sum() / len(faces) or 1.0
    projected = centred @ left
    errors = np.zeros((len(strengths), len(sets)))
    people = np.arange(len(faces)) if people is None else people
    kinds, sizes = np.unique(people, return_counts=True)
    for size in np.unique(sizes):
        # People with as many faces are left out together: (n_people, size).
        rows = np.array([np.flatnonzero(people == who) for who in kinds[sizes == size]])
        own = left[rows]
        for k, strength in enumerate(strengths):
            shrunk = squares / (squares + strength * scale)
            rest = (centred - (projected * shrunk) @ left.T).T[rows]
            # Errors of people left out, from one fit: (I - H)⁻¹ times residuals, the intercept in H
            # as 1 / n.
            inside = np.eye(size) - 1 / len(faces) - (own * shrunk) @ own.transpose(0, 2, 1)
            errors[k] += (np.linalg.solve(inside, rest) ** 2).sum(axis=(0, 1))
    chosen = best_index(-errors, axis=0, last=True)
    factors = singular / (squares + (strengths * scale)[:, None])
    return Fitted((projected * factors[chosen]) @ right, intercepts, center, chosen)


def held_out(faces, sets, fold_of, strengths, method, people):
    """Return predictions and positions of faces left out, each (n_sets, n_faces), and baselines."""
    predicted, positions, baseline = (np.empty(sets.shape) for _ in range(3))
    for fold in np.unique(fold_of):
        test = fold_of == fold
        fitted = fit_sets(faces[~test], sets[:, ~test], strengths, method, people[~test])
        predicted[:, test] = fitted.predict(faces[test])
        positions[:, test] = fitted.positions(faces[test])
        baseline[:, test] = fitted.intercepts[:, None]
    return predicted, positions, baseline


def mapping(faces: np.ndarray, strength: float) -> np.ndarray:
    """Return the matrix that makes ridge weights of responses, (n_dimensions, n_faces)."""
    centred = faces - faces.mean(axis=0)
    products = centred.T @ centred
    ridge = strength * (np.trace(products) / len(faces) or 1.0)
    return np.linalg.solve(products + ridge * np.eye(len(products)), centred.T)


def preference(responses, to_weights, centred, in_shape, normals) -> tuple[float, ...]:
    """Return index, interval, and lengths of the shape and appearance parts of an axis.

    Squared lengths are freed of what noise adds to them; see `axis_tuning`.
    """
    y = responses - responses.mean()
    weights = to_weights @ y
    hat = centred @ to_weights
    rest = y - centred @ weights
    # What noise alone would leave on average: a ridge takes out less than whole dimensions.
    noise = (rest @ rest) / (len(y) - 1 - 2 * np.trace(hat) + (hat**2).sum())
    parts = [to_weights[in_shape], to_weights[~in_shape]]
    lengths, spread = np.empty(2), np.empty((2, 2))
    products = [[a @ b.T for b in parts] for a in parts]
    ours = [weights[in_shape], weights[~in_shape]]
    for i in range(2):
        # Noise makes any axis longer, by this much on average.
        lengths[i] = ours[i] @ ours[i] - noise * np.trace(products[i][i])
        for j in range(2):
            shared = products[i][j]
            signal = ours[i] @ shared @ ours[j]
            if i == j:
                signal = max(signal - noise * (shared**2).sum(), 0.0)
            # Covariances of squared lengths of normal weights.
            spread[i, j] = 4 * noise * signal + 2 * noise**2 * (shared**2).sum()
    root = _root(spread)
    drawn = np.sqrt(np.maximum(lengths + normals @ root.T, 0.0))
    with np.errstate(invalid="ignore", divide="ignore"):
        indices = (drawn[:, 0] - drawn[:, 1]) / drawn.sum(axis=1)
        shape, look = np.sqrt(np.maximum(lengths, 0.0))
        index = (shape - look) / (shape + look)
    known = indices[np.isfinite(indices)]
    low, high = np.percentile(known, LEVEL) if len(known) else (np.nan, np.nan)
    return float(index), float(low), float(high), float(shape), float(look)


def beside(faces, weights, responses, orders) -> dict:
    """Test whether responses change in the space beside an axis, and return the direction used.

    orders (n_permutations, n_left): permutations of the residuals; see `axis_tuning`.
    """
    n, k = faces.shape
    centred = faces - faces.mean(axis=0)
    axis = weights / (np.linalg.norm(weights) or 1.0)
    along = centred @ axis
    rest = centred - along[:, None] * axis
    direction = np.linalg.svd(rest, full_matrices=False)[2][0]
    direction = direction * np.sign(direction[np.abs(direction).argmax()])
    across = rest @ direction
    far = np.sqrt((rest**2).sum(axis=1))
    far = (far - far.mean()) / (far.std(ddof=1) or 1.0)
    out = {"direction": direction, "across": across, "far": far}
    if orders is None or not weights.any():
        return out | dict.fromkeys(["distance_r", "bend_r", "p_orthogonal"], np.nan)
    unit = along / along.std()
    # Responses along the axis may bend or saturate: that is no tuning beside it.
    known = np.column_stack([np.ones(n), centred, unit**2, unit**3])
    # Residuals depend on each other; coordinates in the space they lie in do not, and may change
    # places.
    basis = np.linalg.qr(known, mode="complete")[0][:, known.shape[1] :]
    tested = basis.T @ np.column_stack([(rest**2).sum(axis=1), across**2])
    tested /= np.linalg.norm(tested, axis=0)
    left = basis.T @ responses
    left = left / (np.linalg.norm(left) or 1.0)
    found = left @ tested
    null = np.abs(left[orders] @ tested).max(axis=1)
    p = p_of(np.abs(found).max(), null)[0]
    return out | {"distance_r": found[0], "bend_r": found[1], "p_orthogonal": p}


def binned(positions: np.ndarray, responses: np.ndarray, n_bins: int) -> list[dict]:
    """Return mean responses of faces in order of position, in bins of equal numbers."""
    rows = []
    for i, members in enumerate(np.array_split(np.argsort(positions, kind="stable"), n_bins)):
        values = responses[members]
        sem = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
        rows.append(
            {
                "bin": i,
                "position": positions[members].mean(),
                "response": values.mean(),
                "sem": sem,
                "n_faces": len(members),
            }
        )
    return rows


def _root(spread: np.ndarray) -> np.ndarray:
    """Return a matrix square root of a covariance."""
    values, vectors = np.linalg.eigh((spread + spread.T) / 2)
    return vectors * np.sqrt(np.maximum(values, 0.0))
