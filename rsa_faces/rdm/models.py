"""Model RDMs from what is known of the conditions: labels or features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from rsa_faces._core.checks import check_choice
from rsa_faces._core.errors import InputError
from rsa_faces._core.labels import check_kinds
from rsa_faces._core.names import named
from rsa_faces.rdm._rdms import RDMs

_KINDS = ("category", "ordinal", "circular")


def model_rdm_from_labels(
    values: Sequence[Any] | Mapping[str, Any] | pd.Series,
    *,
    conditions: Sequence[str] | None = None,
    kind: str = "category",
    period: float = 360.0,
    name: str | None = None,
) -> RDMs:
    """Make a model RDM from one label per condition.

    Parameters
    ----------
    values : sequence, Series or mapping, length n_conditions
        Category names for "category"; numbers for the other kinds. A Series with conditions as
        its index and a mapping are matched by name.
    conditions : sequence of str, optional
        The condition each value belongs to, and the order of the RDM; by default the names, and
        the order, that `values` brings.
    kind : {"category", "ordinal", "circular"}, default "category"
        0 within a category and 1 between; the absolute difference; or the shorter way round a
        circle of `period` (head orientation in degrees).
    period : float, default 360
        Length of the circle, in the units of `values`.
    name : str, optional
        Kept as the label ``name``.

    Returns
    -------
    RDMs
        One RDM; measure "model".

    Raises
    ------
    InputError
        If there is not one value per condition, `values` bring other names, a value is missing,
        values are no finite numbers where numbers are needed, conditions are not unique, or the
        period is not above 0.

    See Also
    --------
    rsa_faces.compute_rdms : Build RDMs from patterns.

    Examples
    --------
    >>> from rsa_faces.rdm import model_rdm_from_labels
    >>> model_rdm_from_labels(["face", "face", "house"], conditions=list("abc")).vectors
    array([[0., 1., 1.]])
    >>> model_rdm_from_labels([0, 90, 350], conditions=list("abc"), kind="circular").vectors
    array([[ 90.,  10., 100.]])
    """
    check_choice(kind, _KINDS, what="kind of model")
    if not period > 0:
        raise InputError(f"expected a period above 0, got {period!r}.")
    labels, conditions = named(values, conditions, what="value", numbers=False)
    column = pd.Series(labels.tolist())
    if (missing := column.isna()).any():
        raise InputError(
            f"expected a value for every condition, but {conditions[int(np.argmax(missing))]!r} "
            "has none. Leave it out, or give it a category of its own."
        )
    row, col = np.triu_indices(len(conditions), k=1)
    if kind == "category":
        check_kinds(labels.tolist(), "value")
        codes = pd.factorize(column)[0]
        vector = (codes[row] != codes[col]).astype(float)
    else:
        try:
            numbers = column.astype(float).to_numpy()
        except (ValueError, TypeError) as err:
            raise InputError(f"expected numbers for a model of kind {kind!r}: {err}.") from err
        if (infinite := np.isinf(numbers)).any():
            raise InputError(
                f"expected finite numbers, but {conditions[int(np.argmax(infinite))]!r} has "
                f"{numbers[infinite][0]}."
            )
        vector = np.abs(numbers[row] - numbers[col])
        if kind == "circular":
            # Values can be more than a turn apart (370 and -10 degrees are 20 apart): the remainder
            # first, then the shorter way round.
            vector = vector % period
            vector = np.minimum(vector, period - vector)
    return RDMs(vector, conditions, "model", {} if name is None else {"name": [name]})
