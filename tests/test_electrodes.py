"""One line through electrodes, or one per region."""

import numpy as np
import pandas as pd
import pytest

import rsa_faces as rf
from rsa_faces.inference._orders import exchanges
from rsa_faces.mapping import electrode_lines, semi_partial

N_PAIRS = 190
CONDITIONS = [f"face {i}" for i in range(20)]
NETWORKS = {"x": "identity", "y": "expression"}


def networks(seed=0):
    """Return two layers of each of two networks."""
    rng = np.random.default_rng(seed)
    labels = {"network": np.repeat(["identity", "expression"], 2), "layer": ["a", "b"] * 2}
    return rf.RDMs(rng.normal(size=(4, N_PAIRS)), CONDITIONS, "simulated", labels)


def electrodes(model, seed=0, *, apart=0.0, n_patients=8, n_each=3, patient=0.0):
    """Return electrodes of two regions; in the lateral one, expression counts `apart` more."""
    rng = np.random.default_rng(seed)
    rows, vectors = [], []
    for p in range(n_patients):
        shift = patient * rng.normal()
        for region in ("ventral", "lateral"):
            for e in range(n_each):
                identity = rng.normal() + (region == "ventral")
                expression = 0.5 * identity + shift + 0.3 * rng.normal()
                expression += apart * (region == "lateral")
                strengths = np.repeat([identity, expression], 2)
                vectors.append(strengths @ model.vectors + 2 * rng.normal(size=N_PAIRS))
                rows.append((f"p{p}", f"{region} {e}", region))
    labels = pd.DataFrame(rows, columns=["subject", "electrode", "region"])
    return rf.RDMs(np.array(vectors), CONDITIONS, "simulated", labels)


def test_lines_and_bic_are_those_of_regressions():
    model = networks()
    data = electrodes(model, n_patients=3)
    found = electrode_lines(model, data, **NETWORKS, n_permutations=9)
    sums = {
        name: semi_partial(model.sel(network=name), data).sum(axis=0) for name in NETWORKS.values()
    }
    table = found.table
    for name, values in sums.items():
        np.testing.assert_allclose(table[name], values)
    left, k = {"one line": [], "a line per region": []}, {"one line": 2, "a line per region": 4}
    for name, parts in (("one line", [table]), ("a line per region", table.groupby("region"))):
        for part in parts:
            rows = part if name == "one line" else part[1]
            slope, intercept = np.polyfit(rows["identity"], rows["expression"], 1)
            left[name].append(rows["expression"] - intercept - slope * rows["identity"])
        mse = np.mean(np.concatenate(left[name]) ** 2)
        row = found.models.loc[name]
        assert (row["n"], row["k"]) == (18, k[name])
        assert row["mse"] == pytest.approx(mse)
        assert row["bic"] == pytest.approx(18 * np.log(mse) + k[name] * np.log(18))
    assert found.difference == pytest.approx(
        found.models["bic"].iloc[0] - found.models["bic"].iloc[1]
    )
    ventral = found.lines.set_index("region").loc["ventral"]
    rows = table[table["region"] == "ventral"]
    assert ventral["n"] == 9
    np.testing.assert_allclose(
        ventral[["slope", "intercept"]].astype(float),
        np.polyfit(rows["identity"], rows["expression"], 1),
    )


def test_p_exchanges_what_one_line_leaves_inside_patients():
    """A loop over the exchanges: fit both models to the line plus residuals of other electrodes."""
    model = networks()
    data = electrodes(model, seed=3, apart=0.3, n_patients=4)
    found = electrode_lines(model, data, **NETWORKS, n_permutations=40, seed=5)
    table = found.table
    x, y, regions = (table[c].to_numpy() for c in ("identity", "expression", "region"))
    slope, intercept = np.polyfit(x, y, 1)
    line = intercept + slope * x

    def gain(values):
        left = values - np.polyval(np.polyfit(x, values, 1), x)
        apart = np.empty(len(values))
        for region in set(regions):
            own = regions == region
            apart[own] = values[own] - np.polyval(np.polyfit(x[own], values[own], 1), x[own])
        return np.log(np.mean(left**2) / np.mean(apart**2))

    orders = exchanges(np.arange(len(x)), pd.factorize(table["subject"])[0])
    null = [gain(line + (y - line)[o]) for o in orders(np.random.default_rng(5), 40)]
    assert 0.05 < found.p < 0.95  # neither end says anything
    assert found.p == (1 + np.sum(np.array(null) >= gain(y) - 1e-12)) / 41


def test_planted_lines_are_found():
    model = networks()
    same = electrode_lines(model, electrodes(model), **NETWORKS)
    assert same.difference < 0
    assert same.p > 0.05
    apart = electrode_lines(model, electrodes(model, apart=1.5), **NETWORKS)
    assert apart.difference > 0
    assert apart.p == 0.001


def test_names_decide_and_times_are_averaged():
    model = networks()
    data = electrodes(model, n_patients=3)
    expected = electrode_lines(model, data, **NETWORKS, n_permutations=9).table
    order = np.random.default_rng(1).permutation(len(CONDITIONS))
    shuffled = data.subset([CONDITIONS[i] for i in order])
    pd.testing.assert_frame_equal(
        electrode_lines(model, shuffled, **NETWORKS, n_permutations=9).table, expected
    )
    noise = np.random.default_rng(2).normal(size=data.vectors.shape)
    labels = pd.concat([data.labels.assign(time=t) for t in (0.1, 0.2)])
    twice = rf.RDMs(
        np.concatenate([data.vectors + noise, data.vectors - noise]), CONDITIONS, "any", labels
    )
    found = electrode_lines(model, twice, **NETWORKS, n_permutations=9).table
    pd.testing.assert_frame_equal(found, expected)


@pytest.mark.simulation
@pytest.mark.slow
@pytest.mark.parametrize("design", [{"patient": 1.0}, {"n_patients": 3, "n_each": 8}])
def test_false_positives(design):
    """The 99 % range of 200 studies is 4 to 17 (2 to 8.5 %)."""
    model = networks()
    p = [
        electrode_lines(
            model,
            electrodes(model, seed, **design),
            **NETWORKS,
            method="pearson",
            n_permutations=99,
            seed=seed,
        ).p
        for seed in range(200)
    ]
    assert (np.array(p) <= 0.05).sum() <= 17


def test_refusals():
    model = networks()
    data = electrodes(model, n_patients=2)

    def refused(message, model=model, data=data, **options):
        with pytest.raises(rf.InputError, match=message):
            electrode_lines(model, data, **(NETWORKS | options))

    refused("expected two networks, got 'identity' twice", y="identity")
    refused("unknown network", y="objects")
    refused("at least 2 regions, got 1", data=data.sel(region="ventral"))
    labels = data.labels.drop(columns="electrode")
    refused("label of data", data=rf.RDMs(data.vectors, CONDITIONS, "any", labels))
    labels = data.labels.assign(electrode=["one"] * len(data))
    refused("'one' of 'p0' in two", data=rf.RDMs(data.vectors, CONDITIONS, "any", labels))
    few = data[[0, 1, 2, 3, 4, 6, 7]]
    refused("at least 3 electrodes in every region, got 2 in 'lateral'", data=few)
    vectors = data.vectors.copy()
    vectors[4] = 1.0
    with pytest.warns(UserWarning, match="constant|undefined"):
        refused(
            "undefined for 1 of 12 electrodes, the first 'lateral 1' of 'p0'",
            data=rf.RDMs(vectors, CONDITIONS, "any", data.labels),
        )
    refused("n_permutations", n_permutations=0)
