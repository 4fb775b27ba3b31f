"""Whether one line through electrodes holds in all regions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from rsa_faces._core.chance import p_of
from rsa_faces._core.checks import check_arguments, check_choice, check_count
from rsa_faces._core.errors import InputError
from rsa_faces._core.result import BaseResult, keep_warnings
from rsa_faces.comparison import align_pair
from rsa_faces.comparison.unique import semi_partial
from rsa_faces.inference._orders import exchanges
from rsa_faces.rdm import RDMs

__all__ = ["ElectrodeLines", "electrode_lines"]

_FEWEST = 3  # electrodes of a region: a line of its own has two coefficients


@dataclass(frozen=True, eq=False, repr=False)
class ElectrodeLines(BaseResult):
    """The outcome of :func:`electrode_lines`.

    Parameters
    ----------
    table : DataFrame
        One row per electrode: subject, electrode, region, and for each of the two networks, under
        its name, the sum over layers of semi-partial correlations.
    lines : DataFrame
        One row per line, "all regions" first: region, intercept, slope, n (electrodes), r.
    models : DataFrame
        The rows "one line" and "a line per region": n (electrodes), k (coefficients), mse, bic.
    difference : float
        BIC of "one line" minus that of "a line per region": negative where one line suffices.
    p : float
        Whether lines differ between regions more than they do when what the one line leaves is
        exchanged between electrodes of a patient; from 1 / (n_permutations + 1) to 1.

    See Also
    --------
    electrode_lines : Ask whether two networks are related in the same way in all regions.

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> rng = np.random.default_rng(0)
    >>> names = [f"image {i}" for i in range(20)]
    >>> model = rf.RDMs(rng.random((2, 190)), names, "simulated",
    ...                 {"network": ["identity", "expression"]})
    >>> labels = {"subject": np.repeat(["p1", "p2"], 6), "electrode": list("abcdef") * 2,
    ...           "region": (["ventral"] * 3 + ["lateral"] * 3) * 2}
    >>> data = rf.RDMs(model.vectors.sum(0) + rng.random((12, 190)), names, "simulated", labels)
    >>> found = rf.mapping.electrode_lines(model, data, x="identity", y="expression")
    >>> len(found.table), len(found.lines), found.models["k"].tolist()
    (12, 3, [2, 4])
    """

    table: pd.DataFrame
    lines: pd.DataFrame
    models: pd.DataFrame
    difference: float
    p: float


@keep_warnings
def electrode_lines(
    model: RDMs,
    data: RDMs,
    *,
    x: str,
    y: str,
    method: str = "kendall",
    n_permutations: int = 999,
    seed: int = 0,
) -> ElectrodeLines:
    """Ask whether two networks are related in the same way in all regions, by electrode.

    Parameters
    ----------
    model : RDMs
        Layers in order of computation, with the label ``network``; every pair measured.
    data : RDMs
        One or more (times: averaged) per electrode, with the labels ``subject``, ``electrode`` and
        ``region``. Electrodes of different patients may have the same name.
    x, y : str
        Networks: how much of an electrode the layers of `y` explain is regressed on how much those
        of `x` do. Schwartz and others regress the network of expression on that of identity.
    method : {"kendall", "spearman", "pearson"}, default "kendall"
        As in :func:`semi_partial`.
    n_permutations : int, default 999
        Exchanges of residuals within patients.
    seed : int, default 0
        Of these exchanges.

    Returns
    -------
    ElectrodeLines

    Raises
    ------
    InputError
        If labels or networks are not there, there is one region only, a region has fewer than
        3 electrodes, an electrode lies in two regions, a semi-partial correlation is undefined
        (NaN), electrodes do not vary, or no patient has two electrodes to exchange.

    See Also
    --------
    compare_region_models : Predict the RDMs of regions themselves, with one network or several.
    semi_partial : The values that are summed.

    Notes
    -----
    An electrode's value for a network is the sum over its layers of the semi-partial correlation
    of each layer, given those before it [1]_. If expression is read in one region and identity in
    another, electrodes of the two lie on different lines. With n electrodes and k coefficients,
    BIC = n ln(mse) + k ln n [2]_.

    The BIC takes electrodes for independent, which those of one patient are not; p does not: it
    exchanges what the one line leaves between electrodes of the same patient only [3]_, with the
    gain of separate lines, ln(mse one / mse per region), as statistic. In
    patients with one electrode nothing is exchanged. It says nothing about other patients.

    References
    ----------
    .. [1] Schwartz E. et al. (2023). Journal of Neuroscience 43(23), 4291.
    .. [2] Schwarz G. (1978). Annals of Statistics 6, 461-464. doi:10.1214/aos/1176344136
    .. [3] Freedman D., Lane D. (1983). Journal of Business & Economic Statistics 1, 292-298.
       doi:10.1080/07350015.1983.10509354

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> from rsa_faces.mapping import electrode_lines
    >>> rng = np.random.default_rng(0)
    >>> names = [f"image {i}" for i in range(20)]
    >>> model = rf.RDMs(rng.random((2, 190)), names, "simulated",
    ...                 {"network": ["identity", "expression"]})
    >>> labels = {"subject": np.repeat(["p1", "p2"], 6), "electrode": list("abcdef") * 2,
    ...           "region": ["ventral", "ventral", "ventral", "lateral", "lateral", "lateral"] * 2}
    >>> data = rf.RDMs(model.vectors.sum(0) + rng.random((12, 190)), names, "simulated", labels)
    >>> found = electrode_lines(model, data, x="identity", y="expression")
    >>> found.models["k"].tolist(), bool(found.difference < 0)
    ([2, 4], True)
    """
    check_arguments(electrode_lines, locals())
    check_count(n_permutations, what="n_permutations")
    model, data = align_pair(model, data)
    check_choice("network", model.labels.columns, what="label of models")
    for column in ("subject", "electrode", "region"):
        check_choice(column, data.labels.columns, what="label of data")
    if x == y:
        raise InputError(f"expected two networks, got {x!r} twice.")
    data = data.mean(by=["subject", "electrode", "region"])
    table = data.labels[["subject", "electrode", "region"]].reset_index(drop=True)
    _check_regions(table)
    for network in (x, y):
        check_choice(network, list(dict.fromkeys(model.labels["network"])), what="network")
        table[network] = semi_partial(model.sel(network=network), data, method=method).sum(axis=0)
    if (bad := table[[x, y]].isna().any(axis=1)).any():
        first = table[bad].iloc[0]
        raise InputError(
            f"expected a semi-partial correlation of every layer with every electrode, but it is "
            f"undefined for {int(bad.sum())} of {len(table)} electrodes, the first "
            f"{first['electrode']!r} of {first['subject']!r}. Leave out constant RDMs, and layers "
            "that those before them explain."
        )
    found, values = table[x].to_numpy(), table[y].to_numpy()
    whole = np.zeros(len(table), int)
    regions, names = pd.factorize(table["region"])
    for one in (whole, *(np.where(regions == r, 0, -1) for r in range(len(names)))):
        if np.ptp(found[one == 0]) <= 0 or np.ptp(values[one == 0]) <= 0:
            raise InputError("expected electrodes of a region to differ, but all have one value.")
    one, apart = _design(found, whole), _design(found, regions)
    rows = []
    for name, design in (("one line", one), ("a line per region", apart)):
        mse, (n, k) = float(_mse(design, values)), design.shape
        rows.append(
            {"model": name, "n": n, "k": k, "mse": mse, "bic": n * np.log(mse) + k * np.log(n)}
        )
    models = pd.DataFrame(rows).set_index("model")
    lines = [_line("all regions", found, values)]
    lines += [
        _line(name, found[regions == r], values[regions == r]) for r, name in enumerate(names)
    ]
    exchanged = _exchanged(one, values, table["subject"], n_permutations, seed)
    null = np.log(_mse(one, exchanged) / _mse(apart, exchanged))
    gain = np.log(models["mse"].iloc[0] / models["mse"].iloc[1])
    return ElectrodeLines(
        table,
        pd.DataFrame(lines),
        models,
        float(models["bic"].iloc[0] - models["bic"].iloc[1]),
        float(p_of(gain, null)[0]),
        settings={"x": x, "y": y, "method": method, "n_permutations": n_permutations, "seed": seed},
    )


def _check_regions(table: pd.DataFrame) -> None:
    """Refuse one region, regions of few electrodes, and electrodes in two regions."""
    if (twice := table.duplicated(["subject", "electrode"])).any():
        first = table[twice].iloc[0]
        raise InputError(
            f"expected each electrode in one region, got {first['electrode']!r} of "
            f"{first['subject']!r} in two."
        )
    counts = table["region"].value_counts()
    if len(counts) < 2:
        raise InputError(f"expected electrodes in at least 2 regions, got {len(counts)}.")
    if (few := counts[counts < _FEWEST]).size:
        raise InputError(
            f"expected at least {_FEWEST} electrodes in every region, got {int(few.iloc[0])} in "
            f"{few.index[0]!r}."
        )


def _design(x: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """Return intercept and slope of each region as columns, (n_electrodes, 2 n_regions)."""
    inside = regions[:, None] == np.arange(regions.max() + 1)
    return np.concatenate([inside, inside * x[:, None]], axis=1)


def _mse(design: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the mean squared error of least squares, of each row of values."""
    basis = np.linalg.qr(design)[0]
    residuals = values - (values @ basis) @ basis.T
    return np.square(residuals).mean(axis=-1)


def _line(region: str, x: np.ndarray, y: np.ndarray) -> dict:
    slope, intercept = np.polyfit(x, y, 1)
    return {
        "region": region,
        "intercept": intercept,
        "slope": slope,
        "n": len(x),
        "r": float(np.corrcoef(x, y)[0, 1]),
    }


def _exchanged(one: np.ndarray, values: np.ndarray, subjects, n: int, seed: int) -> np.ndarray:
    """Return values with what the one line leaves exchanged within patients, (n, n_electrodes)."""
    basis = np.linalg.qr(one)[0]
    fitted = basis @ (basis.T @ values)
    rng = np.random.default_rng(seed)
    draw = exchanges(np.arange(len(values)), pd.factorize(subjects)[0])
    return fitted + (values - fitted)[draw(rng, n)]
