"""Demographics: against loops and scikit-learn, planted groups, and groups that mean nothing."""

import functools
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from drawn import panels, said_in
from scipy.stats import binom
from sklearn.decomposition import PCA

import rsa_faces as rf
from rsa_faces import ConditionMismatchError, InputError
from rsa_faces.analyses import (
    SELF_REPORT,
    false_matches,
    group_components,
    score_distributions,
    similarity_scores,
)
from rsa_faces.analyses._groups import draws_of_people, grouped_faces
from rsa_faces.analyses.people.false_matches import _Pool
from rsa_faces.figures import (
    plot_false_matches,
    plot_group_components,
    plot_score_distributions,
)

LONDON = Path(__file__).parents[2] / "shared" / "data" / "london"
FAST = {"n_permutations": 99, "n_boot": 50}


def simulated(n_people=30, n_images=1, n_groups=3, effect=0.0, n_channels=20, seed=0):
    """Scores, groups and people: groups shift the embedding by `effect`."""
    rng = np.random.default_rng(seed)
    group = np.arange(n_people) % n_groups
    centre = rng.normal(size=(n_groups, n_channels))
    centre /= np.linalg.norm(centre, axis=1, keepdims=True)
    person = rng.normal(size=(n_people, n_channels)) + effect * centre[group]
    embedding = np.repeat(person, n_images, axis=0)
    embedding = embedding + 0.3 * rng.normal(size=embedding.shape)
    names = [f"p{i}_{k}" for i in range(n_people) for k in range(n_images)]
    groups = {c: f"g{group[int(c[1:].split('_')[0])]}" for c in names}
    people = {c: c.split("_")[0] for c in names}
    return similarity_scores({"fc": embedding}, conditions=names), groups, people


def with_gaps(scores, share, seed=0):
    """Take pairs out."""
    rng = np.random.default_rng(seed)
    gaps = np.triu(rng.random(scores.shape) < share, k=1)
    return scores.mask(gaps | gaps.T)


# ---- scores


@pytest.mark.parametrize("measure", ["cosine", "correlation", "euclidean", "sqeuclidean"])
def test_scores(measure):
    patterns = np.random.default_rng(0).normal(size=(6, 9))
    found = similarity_scores(
        {"a": patterns * 0, "fc": patterns}, conditions=list("uvwxyz"), measure=measure
    )
    difference = ((patterns[:, None] - patterns) ** 2).sum(axis=2)
    unit = patterns / np.linalg.norm(patterns, axis=1, keepdims=True)
    expected = {
        "cosine": unit @ unit.T,
        "correlation": np.corrcoef(patterns),
        "euclidean": -np.sqrt(difference),
        "sqeuclidean": -difference,
    }[measure]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert list(found.columns) == list("uvwxyz")


# ---- components


def test_components_agree_with_scikit_learn_and_a_loop():
    scores, groups, _ = simulated(effect=3.0)
    found = group_components(scores, groups, n_components=5, n_permutations=49)
    pca = PCA(5, svd_solver="full").fit(scores.to_numpy())
    np.testing.assert_allclose(found.table["explained"], pca.explained_variance_ratio_, atol=1e-10)
    positions = pca.transform(scores.to_numpy())
    np.testing.assert_allclose(np.abs(found.components), np.abs(positions), atol=1e-8)
    labels = np.array([groups[c] for c in scores.index])
    for k, row in found.table.iterrows():
        x = positions[:, k]
        inside = sum(((x[labels == g] - x[labels == g].mean()) ** 2).sum() for g in set(labels))
        expected = inside / ((x - x.mean()) ** 2).sum()
        assert row["clustering_index"] == pytest.approx(expected, abs=1e-10)
        assert row["between_group_share"] == pytest.approx(1 - expected, abs=1e-10)


def test_centring_of_both_sides_is_pca_of_the_embedding():
    rng = np.random.default_rng(1)
    embedding = rng.normal(size=(25, 8))
    embedding /= np.linalg.norm(embedding, axis=1, keepdims=True)
    names = [f"f{i}" for i in range(25)]
    scores = similarity_scores({"fc": embedding}, conditions=names)
    groups = {c: i % 2 for i, c in enumerate(names)}
    found = group_components(scores, groups, n_components=6, centring="both", n_permutations=9)
    pca = PCA(6, svd_solver="full").fit(embedding)
    np.testing.assert_allclose(found.table["explained"], pca.explained_variance_ratio_, atol=1e-10)
    np.testing.assert_allclose(
        np.abs(found.components), np.abs(pca.transform(embedding)), atol=1e-8
    )


def test_order_of_faces_and_way_of_input_do_not_matter():
    scores, groups, people = simulated(effect=3.0, n_images=2)
    options = {"people": people, "n_permutations": 49, "n_components": 4}
    usual = group_components(scores, pd.Series(groups, name="ethnicity"), **options)
    assert usual.table["attribute"].unique() == ["ethnicity"]
    order = np.random.default_rng(2).permutation(len(scores))
    mixed = scores.iloc[order, order[::-1]]
    other = group_components(mixed, groups, **options)
    np.testing.assert_allclose(
        other.table["between_group_share"], usual.table["between_group_share"], atol=1e-10
    )
    distances = rf.RDMs.from_matrices(
        (1 - scores.to_numpy())[None] * (1 - np.eye(len(scores))), scores.index, "cosine"
    )
    other = group_components(distances, groups, centring="both", **options)
    usual = group_components(scores, groups, centring="both", **options)
    np.testing.assert_allclose(
        other.table["between_group_share"], usual.table["between_group_share"], atol=1e-8
    )


def test_several_attributes_and_strata():
    scores, groups, people = simulated(effect=4.0, n_people=40, n_groups=2, n_images=2)
    second = {c: f"h{(int(c[1:].split('_')[0]) // 2) % 2}" for c in groups}
    table = pd.DataFrame({"one": groups, "two": second})
    found = group_components(scores, table, people=people, n_permutations=199, n_components=3)
    assert found.summary["n_separating"].tolist() == [1, 0]
    assert "one: 1 of 3" in repr(found)
    # Within strata that are the groups themselves nothing can be exchanged.
    inside = group_components(
        scores, table, people=people, within=groups, n_permutations=99, n_components=3
    )
    one = inside.table[inside.table["attribute"] == "one"]
    assert (one["p"] == 1).all()
    np.testing.assert_allclose(one["expected_share"], one["between_group_share"])


def test_images_of_a_person_stay_together_in_permutations():
    # One image per person, or the same image three times: the same permutation distribution.
    scores, groups, people = simulated(effect=1.0)
    names = list(scores.index)
    thrice = [f"{c}x{k}" for c in names for k in range(3)]
    where = [c.split("x")[0] for c in thrice]
    copies = pd.DataFrame(scores.loc[where, where].to_numpy(), thrice, thrice)
    options = {"n_permutations": 99, "n_components": 4, "seed": 3}
    single = group_components(scores, groups, **options)
    tripled = group_components(
        copies,
        {c: groups[w] for c, w in zip(thrice, where, strict=True)},
        people={c: people[w] for c, w in zip(thrice, where, strict=True)},
        **options,
    )
    columns = ["explained", "between_group_share", "expected_share", "p", "p_max"]
    np.testing.assert_allclose(tripled.table[columns], single.table[columns], atol=1e-8)


# ---- distributions


def test_distributions_agree_with_a_loop():
    scores, groups, people = simulated(effect=2.0, n_people=15, n_images=2)
    scores = with_gaps(scores, 0.1)
    found = score_distributions(scores, groups, people=people, **FAST)
    names = list(scores.index)
    kinds = {}
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            kind = (
                "mated"
                if people[a] == people[b]
                else ("within" if groups[a] == groups[b] else "between")
            )
            if not np.isnan(scores.loc[a, b]):
                key = tuple(sorted([groups[a], groups[b]]))
                kinds.setdefault((kind, "", ""), []).append(scores.loc[a, b])
                kinds.setdefault((kind, *key), []).append(scores.loc[a, b])
    assert len(found.table) == len(kinds)
    for row in found.table.itertuples():
        values = kinds[row.kind, *sorted([row.group_a, row.group_b])]
        assert row.n_pairs == len(values)
        expected = [np.mean(values), np.std(values, ddof=1), np.median(values)]
        np.testing.assert_allclose([row.mean, row.sd, row.median], expected, atol=1e-12)
        assert row.ci_low <= row.ci_high
    difference = np.mean(kinds["within", "", ""]) - np.mean(kinds["between", "", ""])
    assert found.summary["difference"].item() == pytest.approx(difference, abs=1e-12)
    assert found.summary["n_missing"].item() > 0
    assert len(found.pairs) == sum(len(v) for (k, g, _), v in kinds.items() if g == "")


# ---- false matches


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("fmr", [0.01, 0.07, 0.4])
def test_threshold_and_rates_agree_with_a_loop(fmr, ties):
    scores, groups, people = simulated(effect=2.0, n_people=16, n_images=2)
    scores = with_gaps(scores.round(1) if ties else scores, 0.1)
    found = false_matches(scores, groups, fmr=fmr, people=people, **FAST)
    names = list(scores.index)
    others = [
        (a, b, scores.loc[a, b])
        for i, a in enumerate(names)
        for b in names[i + 1 :]
        if people[a] != people[b] and not np.isnan(scores.loc[a, b])
    ]
    values = np.array([s for _, _, s in others])
    allowed = [t for t in np.unique(values) if (values >= t).mean() <= fmr]
    threshold = min(allowed, default=np.inf)
    assert found.overall["threshold"].item() == threshold
    assert found.overall["achieved"].item() == pytest.approx((values >= threshold).mean())
    for row in found.table.itertuples():
        cell = [s for a, b, s in others if {groups[a], groups[b]} == {row.group_a, row.group_b}]
        assert row.n_pairs == len(cell)
        assert row.n_false == sum(s >= threshold for s in cell)
        assert row.rate == pytest.approx(row.n_false / len(cell), abs=1e-12)
    for row in found.groups.itertuples():
        own = [
            scores.loc[a, b]
            for i, a in enumerate(names)
            for b in names[i + 1 :]
            if people[a] == people[b] and groups[a] == row.group
        ]
        own = [s for s in own if not np.isnan(s)]
        assert row.n_mated == len(own)
        assert row.fnmr == pytest.approx(np.mean([s < threshold for s in own]))


def test_threshold_of_samples_is_that_of_drawn_pairs():
    scores, groups, people = simulated(effect=2.0, n_people=12)
    faces = grouped_faces(scores.round(1), [("groups", groups)], people, None, "same")
    _, codes, kinds = faces.attributes[0]
    onehot = np.eye(len(kinds))[faces.person_codes(codes)]
    draws = draws_of_people(onehot, 20, np.random.default_rng(0))
    pool = _Pool(faces, onehot)
    for per_group in (False, True):
        thresholds = pool.thresholds(draws, 0.1, per_group)
        for b, weights in enumerate(draws):
            repeats = (weights[pool.a] * weights[pool.b]).astype(int)
            for g in range(3):
                inside = (pool.first == g) & (pool.second == g)
                among = np.repeat(pool.score, repeats * inside if per_group else repeats)
                allowed = [t for t in np.unique(among) if (among >= t).mean() <= 0.1]
                assert thresholds[b, g] == min(allowed, default=np.inf)


def test_per_group_thresholds_and_given_threshold():
    scores, groups, people = simulated(effect=3.0, n_people=60)
    found = false_matches(scores, groups, fmr=0.05, level="per-group", people=people, **FAST)
    assert (found.groups["fmr"] <= 0.05).all()
    assert (found.groups["fmr"] > 0.03).all()
    assert found.groups["p"].isna().all()
    assert found.groups["threshold"].nunique() == 3
    given = false_matches(scores, groups, threshold=0.3, people=people, **FAST)
    assert (given.table["threshold"] == 0.3).all()
    matrix = given.matrix()
    assert matrix.shape == (3, 3)
    np.testing.assert_allclose(matrix, matrix.T)
    with pytest.raises(InputError, match="unknown column 'group_a'"):
        given.matrix("group_a")


def test_no_match_has_an_upper_end_and_notes():
    scores, groups, people = simulated(n_people=24)
    found = false_matches(scores, groups, threshold=2.0, people=people, **FAST)
    assert (found.table["rate"] == 0).all()
    within = found.table[found.table["group_a"] == found.table["group_b"]]
    np.testing.assert_allclose(within["ci_high"], 1 - 0.025 ** (1 / 4))
    assert "Fewer than 10 people in g0 (8), g1 (8), g2 (8)" in found.notes[0]
    assert "9 of 9 cells fewer than 10 pairs match" in found.notes[1]
    found = false_matches(scores, groups, fmr=1e-6, people=people, **FAST)
    assert np.isinf(found.overall["threshold"].item())
    assert any("nothing matches" in note for note in found.notes)


def test_same_seed_same_result():
    scores, groups, people = simulated(n_images=2)
    # Of false matches chance is in p and in intervals of misses, which stand by group.
    matches = functools.partial(false_matches, fmr=0.05)
    for function, name in ((score_distributions, "table"), (matches, "groups")):
        one, two, other = (
            getattr(function(scores, groups, people=people, seed=s, **FAST), name)
            for s in (4, 4, 5)
        )
        pd.testing.assert_frame_equal(one, two)
        assert not one.equals(other)


def test_statement_is_carried():
    scores, groups, people = simulated()
    found = [
        group_components(scores, groups, n_permutations=9),
        score_distributions(scores, groups, **FAST),
        false_matches(scores, groups, fmr=0.05, **FAST),
    ]
    assert all(SELF_REPORT in f.notes for f in found)
    assert found[2].notes[-1] == SELF_REPORT
    assert "biology" in SELF_REPORT


# ---- truth and null


def test_planted_groups_are_found():
    scores, groups, people = simulated(effect=4.0, n_people=60, n_images=2)
    components = group_components(scores, groups, people=people, n_permutations=499)
    assert components.table.loc[0, "clustering_index"] < 0.3
    assert components.summary["n_separating"].item() == 2
    distributions = score_distributions(
        scores, groups, people=people, n_permutations=499, n_boot=200
    )
    row = distributions.summary.iloc[0]
    assert row["p"] == 1 / 500
    assert 0 < row["ci_low"] < row["difference"] < row["ci_high"]
    matches = false_matches(scores, groups, fmr=0.02, people=people, n_boot=200)
    table = matches.table
    same = table["group_a"] == table["group_b"]
    assert table.loc[same, "rate"].min() > table.loc[~same, "rate"].max()
    # A group is denser than a random one: its own people are mistaken for one another.
    assert matches.groups["p_max"].min() < 0.01


@pytest.mark.simulation
@pytest.mark.slow
def test_false_positive_rates():
    n = 120
    low, high = binom.interval(0.99, n, 0.05)
    hits = {"component": 0, "any component": 0, "difference": 0, "any group": 0}
    for seed in range(n):
        scores, groups, people = simulated(n_people=24, n_images=2, seed=seed)
        options = {"people": people, "n_permutations": 99, "seed": seed}
        table = group_components(scores, groups, n_components=5, **options).table
        hits["component"] += table["p"][0] <= 0.05
        hits["any component"] += (table["p_max"] <= 0.05).any()
        summary = score_distributions(scores, groups, n_boot=2, **options).summary
        hits["difference"] += summary["p"].item() <= 0.05
        matches = false_matches(scores, groups, fmr=0.1, n_boot=2, **options).groups
        hits["any group"] += (matches["p_max"] <= 0.05).any()
    for name, number in hits.items():
        assert low <= number <= high, (name, number)


@pytest.mark.simulation
@pytest.mark.slow
def test_intervals_cover():
    """The rate among 1,200 people, from 40 of each group."""
    scores, groups, _ = simulated(n_people=1200, n_groups=3, effect=2.0, seed=999)
    code = np.arange(1200) % 3
    above = (scores.to_numpy() >= 0.35) & ~np.eye(1200, dtype=bool)
    cells = [(0, 0), (1, 1), (2, 2), (0, 1)]
    truth = [above[np.ix_(code == a, code == b)].sum() / (400 * (400 - (a == b))) for a, b in cells]
    n = 150
    covered = np.zeros(4)
    for i in range(n):
        rng = np.random.default_rng(i)
        rows = np.concatenate([rng.choice(np.flatnonzero(code == g), 40, False) for g in range(3)])
        found = false_matches(
            scores.iloc[rows, rows],
            groups,
            threshold=0.35,
            n_boot=2,
            n_permutations=2,
            match="intersection",
            seed=i,
        )
        low, high = (found.matrix(c).to_numpy() for c in ("ci_low", "ci_high"))
        covered += [low[c] <= t <= high[c] for c, t in zip(cells, truth, strict=True)]
    # Nominally 0.95; rates of 3 to 10 %.
    assert (covered / n > 0.88).all(), (covered / n, truth)
    # Percentiles of drawn people held 98.7 to 100 %: pairs are counted twice there.
    assert covered.mean() / n < 0.985


# ---- real faces


@pytest.mark.slow
@pytest.mark.skipif(not LONDON.exists(), reason="the London faces are not here")
def test_london_faces():
    info = pd.read_csv(LONDON / "info.csv", dtype=str).set_index("face_id")
    stimuli = rf.load_stimuli(LONDON / "images", manifest=LONDON / "images.csv")
    crops = rf.align_faces(stimuli, rf.networks.detect_landmarks(stimuli))
    features = rf.extract(rf.load_network("dlib-face"), crops, layers="fc", progress=False)
    people = {c: Path(c).stem.split("_")[0] for c in features.conditions}
    gender = pd.DataFrame({"gender": {c: info.loc[p, "face_gender"] for c, p in people.items()}})
    found = group_components(similarity_scores(features), gender, people=people, n_permutations=999)
    assert found.table["p_max"].min() < 0.01


# ---- figures


def test_figures():
    scores, groups, people = simulated(n_people=24, n_images=2, effect=3.0)
    options = {"people": people, "n_permutations": 99}
    found = group_components(scores, groups, **options)
    left, right = panels(plot_group_components(found))
    assert len(left.lines) == 3
    assert "48 faces" in left.get_title(loc="left")
    assert len(right.patches) == len(found.table)
    assert "described themselves" in said_in(right.figure)
    ax = panels(
        plot_score_distributions(score_distributions(scores, groups, n_boot=50, **options))
    )[0]
    labels = [t.get_text() for t in ax.get_yticklabels()]
    assert labels[0].startswith("one person")
    assert labels[-1].startswith("two people, different groups")
    matches = false_matches(scores, groups, fmr=0.05, n_boot=50, **options)
    ax = panels(plot_false_matches(matches))[0]
    rate = matches.matrix().iat[0, 0]
    assert ax.texts[0].get_text().startswith(f"{100 * rate:.2f} %")
    with pytest.raises(InputError, match="attribute"):
        plot_group_components(found, attribute="age")
    one = group_components(scores, groups, n_components=1, **options)
    with pytest.raises(InputError, match="at least 2 components"):
        plot_group_components(one)
    plt.close("all")


# ---- what is refused


def test_input_errors():
    scores, groups, people = simulated(n_people=12, n_images=2)
    names = list(scores.index)
    with pytest.raises(InputError, match="got a ndarray"):
        group_components(scores.to_numpy(), groups)
    with pytest.raises(InputError, match="but 2 are on one only"):
        group_components(scores.rename(columns={names[0]: "x"}), groups)
    tilted = scores.copy()
    tilted.iloc[1, 2] = 7
    with pytest.raises(InputError, match="'p0_1' with 'p1_0' is 7 and the other way round"):
        group_components(tilted, groups)
    with pytest.raises(InputError, match="got infinity"):
        group_components(scores.replace(scores.iloc[0, 1], np.inf), groups)
    with pytest.raises(InputError, match=r"every pair measured, but \d+ entries"):
        group_components(with_gaps(scores, 0.1), groups)
    with pytest.raises(ConditionMismatchError, match="only in groups: 'new'"):
        group_components(scores, {**groups, "new": "g1"})
    with pytest.raises(ConditionMismatchError, match="only in the scores: 'p0_0'"):
        group_components(scores, {c: g for c, g in groups.items() if c != "p0_0"})
    found = group_components(scores, {**groups, "new": "g1"}, match="intersection")
    assert found.settings["n_left_out"] == 0
    with pytest.raises(InputError, match=r"at least 2 values of groups, got \['x'\]"):
        group_components(scores, dict.fromkeys(names, "x"))
    with pytest.raises(InputError, match="'p0' has 'g9' and 'g0'"):
        group_components(scores, {**groups, "p0_0": "g9"}, people=people)
    with pytest.raises(InputError, match="within per person"):
        group_components(scores, groups, people=people, within={c: i for i, c in enumerate(names)})
    with pytest.raises(InputError, match="groups for every condition, but 1 are missing: 'p0_0'"):
        group_components(scores, {**groups, "p0_0": None})
    with pytest.raises(InputError, match="unknown centring 'rows'"):
        group_components(scores, groups, centring="rows")
    with pytest.raises(InputError, match="no variance"):
        group_components(scores * 0 + 1, groups)
    with pytest.raises(InputError, match="alpha between 0 and 1, got 5"):
        score_distributions(scores, groups, alpha=5)
    with pytest.raises(InputError, match="without columns"):
        group_components(scores, pd.DataFrame(index=names))
    with pytest.raises(InputError, match="`fmr` or `threshold`, got fmr=None, threshold=None"):
        false_matches(scores, groups)
    with pytest.raises(InputError, match="fmr=0.1, threshold=0.3"):
        false_matches(scores, groups, fmr=0.1, threshold=0.3)
    with pytest.raises(InputError, match="fmr between 0 and 1, got 1.5"):
        false_matches(scores, groups, fmr=1.5)
    with pytest.raises(InputError, match="finite threshold, got nan"):
        false_matches(scores, groups, threshold=np.nan)
    with pytest.raises(InputError, match="unknown level 'group'"):
        false_matches(scores, groups, fmr=0.1, level="group")
    with pytest.raises(InputError, match="in every group, 'g9' has 1"):
        false_matches(scores, {**groups, "p0_0": "g9", "p0_1": "g9"}, fmr=0.1, people=people)
    with pytest.raises(InputError, match="between groups, got 0 and"):
        score_distributions(scores, people, people=people)
    two = rf.RDMs(np.ones((2, 3)), list("abc"), "cosine")
    with pytest.raises(InputError, match="one RDM, got 2"):
        group_components(two, {"a": 1, "b": 2, "c": 2})
    with pytest.raises(InputError, match="unknown layer 'fd'.*'fc'"):
        similarity_scores({"fc": np.eye(3)}, conditions=list("abc"), layer="fd")
    with pytest.raises(InputError, match="none that was measured"):
        false_matches(scores * np.nan, groups, fmr=0.1)


@pytest.mark.parametrize("inside", [True, False])
def test_dyadic_error_is_a_jackknife_over_people_less_pairs_counted_twice(inside):
    from rsa_faces.analyses._groups import dyadic_error

    rng = np.random.default_rng(0)
    n, code = 24, np.repeat([0, 1], 12)
    own = rng.normal(size=n)
    scores = own[:, None] + own + rng.normal(size=(n, n))
    scores = (scores + scores.T) / 2
    np.fill_diagonal(scores, 0)
    weights = np.eye(2) if inside else 1 - np.eye(2)
    chosen = weights[code][:, code] * (1 - np.eye(n))
    cells = [(0, 0), (1, 1)] if inside else [(0, 1)]

    def means(kept):
        """Return the mean of each cell, whose shares of all pairs stay as they are."""
        rows = [np.flatnonzero(kept & (code == g)) for g in (0, 1)]
        parts = [(scores[np.ix_(rows[a], rows[b])], a == b) for a, b in cells]
        return [part.sum() / (part.size - same * len(part)) for part, same in parts]

    jackknife = np.array([np.mean(means(np.arange(n) != i)) for i in range(n)])
    cell = np.zeros((2, 2))
    for (a, b), mean in zip(cells, means(np.ones(n, bool)), strict=True):
        cell[a, b] = cell[b, a] = mean
    off = chosen * (scores - cell[code][:, code])
    spread = sum(
        11 / 12 * ((jackknife[code == g] - jackknife[code == g].mean()) ** 2).sum() for g in (0, 1)
    )
    expected = np.sqrt(spread - (off**2).sum() / 2 / (chosen.sum() / 2) ** 2)
    error = dyadic_error(scores, 1 - np.eye(n), np.eye(2)[code], weights)
    assert error == pytest.approx(expected, rel=0.02)


def test_intervals_of_scores_are_as_wide_as_estimates_vary():
    """Of the difference within less between, over studies of two groups of 10 people."""
    found, widths = [], []
    for seed in range(100):
        x = np.random.default_rng(seed).normal(size=(20, 16))
        x[10:, 0] += 1
        names = [f"face {i}" for i in range(20)]
        scores = similarity_scores({"fc": x}, conditions=names)
        groups = {name: "one" if i < 10 else "other" for i, name in enumerate(names)}
        row = score_distributions(scores, groups, n_permutations=1, n_boot=2).summary.iloc[0]
        found.append(row["difference"])
        widths.append(row["ci_high"] - row["ci_low"])
    # t with 18 degrees of freedom; the deviation of 100 estimates is known to 7 %.
    assert np.mean(widths) == pytest.approx(2 * 2.1 * np.std(found), rel=0.2)


def test_p_of_scores_has_no_unit():
    scores, groups, people = simulated(effect=1.0, n_images=2)
    found = {
        unit: score_distributions(scores * unit, groups, people=people, **FAST).summary["p"][0]
        for unit in (1.0, 1e-14, 1e14)
    }
    assert found[1.0] < 1
    assert set(found.values()) == {found[1.0]}


def test_groups_may_be_cells_of_several_factors():
    scores, groups, people = simulated(effect=1.0, n_images=2)
    plain = score_distributions(scores, groups, people=people, **FAST)
    cells = {name: (group, "seen") for name, group in groups.items()}
    found = score_distributions(scores, cells, people=people, **FAST)
    assert repr(found).startswith("ScoreDistributions(30 people;")
    assert found.pairs["group_a"].tolist() == [(g, "seen") for g in plain.pairs["group_a"]]
    np.testing.assert_array_equal(found.table["mean"], plain.table["mean"])
