"""Homophily: against loops over pairs, planted ties, and ties that follow a group."""

import itertools
import sys

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from drawn import panels

from rsa_faces import ConditionMismatchError, InputError
from rsa_faces.analyses import homophily, similarity_scores
from rsa_faces.figures import plot_homophily

nx = pytest.importorskip("networkx")


def simulated(seed=0, *, n=30, effect=0.0, of_group=0.0, directed=False, signed=False):
    """Faces and ties; both may follow a group, and ties may follow faces beyond it."""
    rng = np.random.default_rng(seed)
    names = [f"p{i:02d}" for i in range(n)]
    group = np.arange(n) % 2
    x = rng.normal(size=(n, 12)) + of_group * np.outer(group, rng.normal(size=12))
    scores = similarity_scores({"fc": x}, conditions=names)
    same = (group[:, None] == group).astype(float)
    wish = effect * scores.to_numpy() + 0.6 * of_group * same + rng.normal(size=(n, n))
    if not directed:
        wish = np.triu(wish, 1) + np.triu(wish, 1).T
    tie = (wish > 1.2).astype(int)
    if signed:
        tie -= wish < -1.2
    np.fill_diagonal(tie, 0)
    people = pd.DataFrame({"group": group.astype(str), "age": rng.uniform(20, 60, n)}, names)
    return pd.DataFrame(tie, names, names), scores, people


def by_loop(ties, scores, people, directed):
    """Regression, and its variance by leaving out people and pairs, one by one."""
    names = list(ties.index)
    pairs = list(itertools.permutations(names, 2) if directed else itertools.combinations(names, 2))
    x = np.array(
        [
            [
                1,
                ties.loc[a, b],
                people.loc[a, "group"] == people.loc[b, "group"],
                abs(people.loc[a, "age"] - people.loc[b, "age"]),
            ]
            for a, b in pairs
        ],
        float,
    )
    y = np.array([scores.loc[a, b] for a, b in pairs])
    beta = np.linalg.lstsq(x, y, rcond=None)[0]
    u = y - x @ beta

    def fit(keep):
        return np.linalg.lstsq(x[keep], y[keep], rcond=None)[0]

    dyads = list(itertools.combinations(names, 2))
    without = np.array([fit([name not in pair for pair in pairs]) for name in names])
    single = np.array([fit([set(pair) != set(dyad) for pair in pairs]) for dyad in dyads])
    people_part = (
        (len(names) - 1) / len(names) * ((without - without.mean(axis=0)) ** 2).sum(axis=0)
    )
    dyad_part = ((single - beta) ** 2).sum(axis=0)
    variance = np.maximum(people_part - dyad_part, dyad_part)
    inverse = np.linalg.inv(x.T @ x)
    plain = np.sqrt(u @ u / (len(y) - 4) * np.diag(inverse))
    return beta, np.sqrt(variance), beta / plain


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_estimates_and_clustered_errors_equal_a_loop(seed, directed):
    ties, scores, people = simulated(seed, n=10, of_group=1.0, directed=directed)
    table = homophily(ties, scores, controls=people, n_permutations=9).table
    beta, error, t = by_loop(ties, scores, people, directed)
    assert list(table["term"]) == ["tie", "same group", "difference of age"]
    np.testing.assert_allclose(table["estimate"], beta[1:], atol=1e-10)
    np.testing.assert_allclose(table["se"], error[1:], atol=1e-10)
    np.testing.assert_allclose(table["t"], t[1:], atol=1e-8)
    assert table["n_pairs"].iloc[0] == (90 if directed else 45)


def test_the_permutation_test_equals_a_loop():
    ties, scores, people = simulated(1, n=12, of_group=0.5)
    n = 30
    table = homophily(ties, scores, controls=people, n_permutations=n, seed=4).table
    orders = np.argsort(np.random.default_rng(4).random((n, 12)), axis=1)
    row, col = np.triu_indices(12, 1)
    y, z = scores.to_numpy()[row, col], ties.to_numpy()[row, col].astype(float)
    group, age = people["group"].to_numpy(), people["age"].to_numpy()
    rest = np.column_stack([np.ones(66), group[row] == group[col], abs(age[row] - age[col])])
    left = z - rest @ np.linalg.lstsq(rest, z, rcond=None)[0]
    square = np.zeros((12, 12))
    square[row, col] = square[col, row] = left

    def t_of(values):
        x = np.column_stack([rest, values])
        beta, *_ = np.linalg.lstsq(x, y, rcond=None)
        u = y - x @ beta
        return beta[-1] / np.sqrt(u @ u / (66 - 4) * np.linalg.inv(x.T @ x)[-1, -1])

    found = [abs(t_of(square[np.ix_(o, o)][row, col])) for o in orders]
    assert table["p"][0] == (1 + np.sum(found >= abs(t_of(left)) - 1e-10)) / (1 + n)


@pytest.mark.parametrize("directed", [False, True])
def test_planted_ties_are_found(directed):
    ties, scores, people = simulated(2, n=40, effect=3.0, of_group=1.0, directed=directed)
    table = homophily(ties, scores, controls=people, n_permutations=199).table
    assert table["p"][0] <= 0.01
    assert table["ci_low"][0] > 0
    assert table["mean_linked"][0] > table["mean_others"][0]


def test_signed_ties_are_two_terms():
    ties, scores, people = simulated(3, n=40, effect=3.0, signed=True)
    table = homophily(ties, scores, n_permutations=199).table.set_index("term")
    assert list(table.index) == ["positive tie", "negative tie"]
    assert table.loc["positive tie", "estimate"] > 0 > table.loc["negative tie", "estimate"]
    assert (table["p"] <= 0.01).all()
    graph = nx.Graph()
    graph.add_nodes_from(ties.index)
    linked = [p for p in itertools.combinations(ties.index, 2) if ties.loc[p]]
    graph.add_edges_from((*p, {"feeling": 2.0 * ties.loc[p]}) for p in linked)
    same = homophily(graph, scores, sign="feeling", n_permutations=199).table.set_index("term")
    pd.testing.assert_frame_equal(table, same)


def test_graphs_and_tables_in_any_order_give_the_same():
    for directed in (False, True):
        ties, scores, people = simulated(4, directed=directed)
        graph = (nx.DiGraph if directed else nx.Graph)()
        order = list(np.random.default_rng(0).permutation(ties.index))
        graph.add_nodes_from(order)
        graph.add_edges_from((a, b) for a in ties for b in ties if ties.loc[a, b])
        one = homophily(ties, scores, controls=people, n_permutations=9).table
        mixed = scores.loc[order[::-1], order]
        two = homophily(graph, mixed, controls=people.loc[order], n_permutations=9).table
        columns = ["estimate", "se", "t", "n_ties"]
        np.testing.assert_allclose(one[columns], two[columns])


@pytest.mark.simulation
@pytest.mark.slow
def test_level_where_faces_and_ties_follow_a_group():
    n, without, held, covered = 200, [], [], []
    for seed in range(n):
        ties, scores, people = simulated(seed, n=24, of_group=1.5)
        without.append(homophily(ties, scores, n_permutations=99, seed=seed).table["p"][0])
        row = homophily(ties, scores, controls=people, n_permutations=99, seed=seed).table.iloc[0]
        held.append(row["p"])
        covered.append(row["ci_low"] <= 0 <= row["ci_high"])
    assert np.mean(np.array(without) <= 0.05) > 0.3  # what leaving the group out does
    assert 0.02 <= np.mean(np.array(held) <= 0.05) <= 0.085
    assert 0.93 <= np.mean(covered) <= 0.995


def test_people_are_exchanged_within_strata_only():
    ties, scores, people = simulated(2, n=40, effect=3.0, of_group=1.0)
    table = homophily(ties, scores, controls=people, within=people["group"]).table
    assert table["p"][0] <= 0.01
    with pytest.raises(ConditionMismatchError, match="within"):
        homophily(ties, scores, within=people["group"].iloc[:9])
    with pytest.raises(InputError, match="none of 40 has as many conditions"):
        homophily(ties, scores, within={name: name for name in ties})
    with pytest.raises(InputError, match="expected within for every condition, but 1 are missing"):
        homophily(ties, scores, within=people["group"].where(people.index != "p03"))


@pytest.mark.simulation
@pytest.mark.slow
def test_level_within_strata_where_faces_and_ties_follow_a_strong_group():
    p = []
    for seed in range(200):
        ties, scores, people = simulated(seed, n=24, of_group=3.0)
        p.append(
            homophily(
                ties,
                scores,
                controls=people[["group"]],
                within=people["group"],
                n_permutations=99,
                seed=seed,
            ).table["p"][0]
        )
    assert 0.02 <= np.mean(np.array(p) <= 0.05) <= 0.08


@pytest.mark.simulation
@pytest.mark.slow
def test_level_of_directed_ties_without_controls():
    n = 200
    p = [
        homophily(*simulated(seed, n=20, directed=True)[:2], n_permutations=99, seed=seed).table[
            "p"
        ][0]
        for seed in range(n)
    ]
    assert 0.02 <= np.mean(np.array(p) <= 0.05) <= 0.085


def test_wrong_input_is_told():
    ties, scores, people = simulated()
    with pytest.raises(InputError, match="networkx graph or an adjacency DataFrame, got a list"):
        homophily([("p00", "p01")], scores)
    with pytest.raises(InputError, match="one tie per pair, got a multigraph"):
        homophily(nx.MultiGraph([("p00", "p01")]), scores)
    with pytest.raises(InputError, match="'sign' of every edge, but 'p00'-'p01' has none"):
        homophily(nx.Graph([("p00", "p01")]), scores, sign="sign")
    with pytest.raises(ConditionMismatchError):
        homophily(ties.iloc[:-1, :-1], scores)
    few = homophily(ties.iloc[:-1, :-1], scores, match="intersection", n_permutations=9)
    assert (few.table["n_left_out"] == 1).all()
    with pytest.raises(InputError, match="at least 5 people, got 3"):
        homophily(ties.iloc[:3, :3], scores, match="intersection")
    with pytest.raises(InputError, match="ties and pairs without, but 'tie' is 0 for all"):
        homophily(ties * 0, scores)
    with pytest.raises(InputError, match="control that varies, but 'same group' is 1"):
        homophily(ties, scores, controls=people.assign(group="a"))
    with pytest.raises(InputError, match="terms that are not sums of each other"):
        homophily(ties, scores, controls=people.assign(again=people["group"]))
    with pytest.raises(InputError, match="a value of 'age' for every person, but 1 have none"):
        homophily(ties, scores, controls=people.assign(age=[np.nan, *people["age"][1:]]))
    gaps = scores.copy()
    gaps.iloc[0, 1] = gaps.iloc[1, 0] = np.nan
    with pytest.raises(InputError, match="every pair measured, but 2 entries"):
        homophily(ties, gaps)
    with pytest.raises(InputError, match="a number for every pair in `ties`"):
        homophily(ties.astype(float).replace(1.0, np.nan), scores)


@pytest.mark.parametrize("case", ["star", "one tie", "group of one", "directed tie"])
def test_no_interval_where_a_term_rests_on_one_person_or_pair(case):
    _, scores, people = simulated(3, n=12)
    names = list(scores.index)
    ties = pd.DataFrame(0, names, names)
    if case == "star":
        ties.iloc[0, 1:] = ties.iloc[1:, 0] = 1
    elif case == "directed tie":
        ties.iloc[0, 1] = 1
    else:
        ties.iloc[0, 1] = ties.iloc[1, 0] = 1
    controls = None
    if case == "group of one":
        ties, scores, _ = simulated(3, n=12)
        controls = pd.DataFrame({"group": ["a"] + ["b"] * 11}, names)
    with pytest.warns(UserWarning, match="rests on one person or pair"):
        found = homophily(ties, scores, controls=controls, n_permutations=99).table
    assert found[["se", "ci_low", "ci_high"]].isna().all(axis=None)
    assert np.isfinite(found[["estimate", "t", "p"]]).all(axis=None)


def test_figure():
    ties, scores, people = simulated(effect=2.0, of_group=1.0, signed=True)
    named = {
        "alone": homophily(ties, scores, n_permutations=19),
        "with controls": homophily(ties, scores, controls=people, n_permutations=19),
    }
    left, right = panels(plot_homophily(named))
    assert len(left.get_legend().get_texts()) == 3
    assert [t.get_text() for t in right.get_yticklabels()][-1] == "difference of age"
    with pytest.raises(InputError, match="1 to 8 results"):
        plot_homophily({})
    plt.close("all")


# --- what acts together, and what is known of pairs -----------------------------------------------


def crossed(seed, n=40):
    """Faces and ties that follow gender by group beyond both: the men of one group are alike."""
    rng = np.random.default_rng(seed)
    names = [f"p{i:02d}" for i in range(n)]
    gender, group = np.arange(n) % 2, np.arange(n) // 2 % 2
    both = gender * group
    x = rng.normal(size=(n, 12)) + 1.5 * np.outer(both, rng.normal(size=12))
    scores = similarity_scores({"fc": x}, conditions=names)
    wish = rng.normal(size=(n, n)) + 1.5 * np.outer(both, both)
    wish = np.triu(wish, 1) + np.triu(wish, 1).T
    ties = pd.DataFrame((wish > 1.2).astype(int), names, names)
    people = pd.DataFrame({"gender": gender.astype(str), "group": group.astype(str)}, names)
    return ties, scores, people


def test_interactions_and_covariates_are_terms_of_the_regression():
    ties, scores, people = simulated(0, n=12, of_group=0.5)
    people["gender"] = list("ffffffmmmmmm")
    names = list(ties.index)
    far = pd.DataFrame(np.abs(np.subtract.outer(*[np.arange(12.0) ** 1.5] * 2)), names, names)
    table = homophily(
        ties,
        scores,
        controls=people,
        interactions=[("group", "gender")],
        covariates={"distance": far.iloc[::-1]},
        n_permutations=9,
    ).table
    assert table["term"].tolist() == [
        "tie",
        "same group",
        "difference of age",
        "same gender",
        "both 0 f",
        "both 0 m",
        "both 1 f",
        "both 1 m",
        "distance",
    ]
    kinds = ["tie"] + ["control"] * 3 + ["interaction"] * 4 + ["covariate"]
    assert table["kind"].tolist() == kinds
    row, col = np.triu_indices(12, 1)
    group, age = people["group"].to_numpy(), people["age"].to_numpy()
    same, apart = (group[row] == group[col]).astype(float), abs(age[row] - age[col])
    gender = people["gender"].to_numpy()
    cells = [(group == g) & (gender == s) for g in "01" for s in "fm"]
    design = np.column_stack(
        [
            np.ones(66),
            ties.to_numpy()[row, col],
            same,
            apart,
            gender[row] == gender[col],
            *(cell[row] & cell[col] for cell in cells),
            far.to_numpy()[row, col],
        ]
    )
    beta = np.linalg.lstsq(design, scores.to_numpy()[row, col])[0]
    np.testing.assert_allclose(table["estimate"], beta[1:], atol=1e-10)
    refuse_numbers = {"interactions": [("group", "age")]}

    def refused(message, **options):
        with pytest.raises(InputError, match=message):
            homophily(ties, scores, **({"controls": people} | options))

    refused(
        "unknown column of controls in interactions 'height'", interactions=[("group", "height")]
    )
    refused("columns of groups, got group and age: 12 cells for 12 people", **refuse_numbers)
    refused("two or more columns each, got 'group'", interactions=["group"])
    refused("'distance' as a DataFrame", covariates={"distance": far.to_numpy()})
    refused("'distance' to be symmetric", covariates={"distance": far + np.triu(far)})
    refused("'distance', got NaN", covariates={"distance": far.where(far < 9)})
    with pytest.raises(ConditionMismatchError, match="covariate 'distance'"):
        homophily(ties, scores, covariates={"distance": far.iloc[:9, :9]})


@pytest.mark.simulation
@pytest.mark.slow
def test_level_where_gender_and_group_act_together():
    """Of 150 studies 2 to 15 have p <= 0.05 with a probability of 99 %, if 5 % is true."""
    alone, together, inside = [], [], []
    for seed in range(150):
        ties, scores, people = crossed(seed)
        cell = people.apply(tuple, axis=1)
        options = {"controls": people, "n_permutations": 99, "seed": seed}
        both = {"interactions": [("gender", "group")]}
        for found, more in ((alone, {}), (together, both), (inside, both | {"within": cell})):
            found.append(homophily(ties, scores, **options, **more).table["p"].iloc[0] <= 0.05)
    sys.stdout.write(
        f"\nalone {np.mean(alone)}, together {np.mean(together)}, inside {np.mean(inside)}\n"
    )
    assert np.mean(alone) > 0.12
    assert sum(together) <= 15
    assert sum(inside) <= 15


def test_covariates_are_symmetric_but_for_rounding():
    ties, scores, _ = simulated()
    apart = np.abs(np.random.default_rng(0).normal(size=ties.shape))
    apart = pd.DataFrame(apart + apart.T, ties.index, ties.index)
    usual = homophily(ties, scores, covariates={"apart": apart}, n_permutations=19).table
    apart.iloc[0, 1] *= 1 + 1e-15
    other = homophily(ties, scores, covariates={"apart": apart}, n_permutations=19).table
    np.testing.assert_allclose(other["estimate"], usual["estimate"])
    apart.iloc[0, 1] *= 1.01
    with pytest.raises(InputError, match="covariate 'apart' to be symmetric"):
        homophily(ties, scores, covariates={"apart": apart}, n_permutations=19)
