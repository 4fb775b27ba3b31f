"""Hyperalignment: against a loop over searchlights, planted rotations, and none."""

import numpy as np
import pytest
from scipy.linalg import orthogonal_procrustes
from scipy.spatial.distance import pdist
from scipy.stats import ortho_group

from rsa_faces import ConditionMismatchError, InputError
from rsa_faces.brain import Surface, Volume
from rsa_faces.brain._rotations import procrustes
from rsa_faces.brain.alignment import hyperalign


def volume(shape=(5, 4, 3), size=3.0):
    mask = np.ones(shape, bool)
    mask[0, 0, 0] = False
    return Volume(mask, np.diag([size, size, size, 1]))


def subjects_of(places, n=4, n_conditions=120, n_runs=2, noise=0.5, shared=True, seed=0):
    """Responses rotated locally, each subject in its own way: channels of a cell are mixed."""
    rng = np.random.default_rng(seed)
    cell = (places // 6.1).astype(int) @ [100, 10, 1]
    latent = rng.normal(size=(n_conditions, len(places)))
    data = {}
    for i in range(n):
        if not shared:
            latent = rng.normal(size=latent.shape)
        mixing = np.zeros((len(places),) * 2)
        for c in np.unique(cell):
            inside = np.flatnonzero(cell == c)
            if len(inside) > 1:
                mixing[np.ix_(inside, inside)] = ortho_group.rvs(len(inside), random_state=rng)
            else:
                mixing[inside, inside] = 1.0
        data[f"s{i}"] = latent @ mixing + noise * rng.normal(size=latent.shape)
    names = [f"c{k}" for k in range(n_conditions)]
    runs = np.arange(n_conditions) * n_runs // n_conditions
    return data, names, runs


# ---- an obvious loop, subject by subject and searchlight by searchlight


def loop_region(profiles, n_iterations=1):
    """Rotations of one searchlight, for full-rank profiles."""
    profiles = [p - p.mean(axis=0) for p in profiles]
    aligned = [profiles[0]]
    for p in profiles[1:]:
        aligned.append(p @ orthogonal_procrustes(p, np.mean(aligned, axis=0))[0])
    for _ in range(n_iterations):
        others = [
            np.mean([a for j, a in enumerate(aligned) if j != i], axis=0)
            for i in range(len(aligned))
        ]
        aligned = [
            p @ orthogonal_procrustes(p, o)[0] for p, o in zip(profiles, others, strict=True)
        ]
    template = np.mean(aligned, axis=0)
    return [orthogonal_procrustes(p, template)[0] for p in profiles]


def loop_searchlights(profiles, searchlights, n_iterations=1):
    """Dense matrices: means over searchlights that hold the column's channel."""
    n = searchlights.n_centers
    sums, counts = np.zeros((len(profiles), n, n)), np.zeros(n)
    for c in range(n):
        _, inside = searchlights.batch(np.array([c]))
        rotations = loop_region([p[:, inside] for p in profiles], n_iterations)
        for i, rotation in enumerate(rotations):
            sums[i][np.ix_(inside, inside)] += rotation
        counts[inside] += 1
    return sums / counts


def loop_report(patterns, searchlights, metric):
    """Mean correlation of RDMs over pairs of subjects, per searchlight."""
    means = []
    for c in range(searchlights.n_centers):
        _, inside = searchlights.batch(np.array([c]))
        r = np.corrcoef([pdist(p[:, inside], metric) for p in patterns])
        means.append(r[np.triu_indices(len(patterns), 1)].mean())
    return np.array(means)


@pytest.mark.parametrize("n_iterations", [0, 1, 2])
@pytest.mark.parametrize("surface", [False, True])
def test_agrees_with_a_loop(n_iterations, surface):
    rng = np.random.default_rng(n_iterations)
    if surface:
        x, y = np.meshgrid(np.arange(6.0), np.arange(5.0))
        vertices = np.stack([x.ravel(), y.ravel(), rng.normal(size=30) * 0.1], axis=1)
        faces = [[i, i + 1, i + 6] for i in range(23) if i % 6 < 5]
        faces += [[i + 1, i + 6, i + 7] for i in range(23) if i % 6 < 5]
        searchlights = Surface(vertices, faces).searchlights(2.0)
    else:
        searchlights = volume().searchlights(4.5)
    data = {f"s{i}": rng.normal(size=(150, searchlights.n_centers)) for i in range(4)}
    names, runs = [f"c{i}" for i in range(150)], np.repeat(["a", "b", "c"], 50)
    found = hyperalign(
        data,
        conditions=names,
        runs=runs,
        fit_runs=["a", "b"],
        searchlights=searchlights,
        n_iterations=n_iterations,
    )
    expected = loop_searchlights([d[:100] for d in data.values()], searchlights, n_iterations)
    for subject, matrix in zip(data, expected, strict=True):
        assert np.abs(found.matrices[subject].toarray() - matrix).max() < 1e-10
        new = found.transform(subject, data[subject][100:], runs="c")
        np.testing.assert_allclose(new, data[subject][100:] @ matrix, atol=1e-10)
    before = loop_report([d[100:] for d in data.values()], searchlights, "correlation")
    after = loop_report(
        [d[100:] @ m for d, m in zip(data.values(), expected, strict=True)],
        searchlights,
        "correlation",
    )
    np.testing.assert_allclose(found.report["before"], before, atol=1e-10)
    np.testing.assert_allclose(found.report["after"], after, atol=1e-10)
    np.testing.assert_allclose(found.summary["after"], after.mean(), atol=1e-10)
    np.testing.assert_allclose(found.pairs["after"].mean(), after.mean(), atol=1e-10)


@pytest.mark.parametrize("budget", ["200KB", "20MB", "2GB"])
def test_budget_changes_nothing(budget):
    space = volume((3, 3, 2))
    data, names, runs = subjects_of(space.coordinates, n_conditions=80)
    options = {"conditions": names, "runs": runs, "fit_runs": [0]}
    options["searchlights"] = space.searchlights(4.5)
    usual = hyperalign(data, **options)
    other = hyperalign(data, budget=budget, **options)
    for s in data:
        np.testing.assert_allclose(
            other.matrices[s].toarray(), usual.matrices[s].toarray(), atol=1e-12
        )
    np.testing.assert_allclose(other.report, usual.report, atol=1e-12)


def test_single_precision_is_close():
    space = volume()
    data, names, runs = subjects_of(space.coordinates)
    options = {"conditions": names, "runs": runs, "fit_runs": [0]}
    options["searchlights"] = space.searchlights(4.5)
    double = hyperalign(data, **options).matrices["s1"]
    single = hyperalign(data, dtype="float32", **options).matrices["s1"]
    assert single.dtype == np.float32
    assert abs(double - single).max() < 1e-6


@pytest.mark.parametrize("metric", ["correlation", "cosine", "euclidean", "sqeuclidean"])
def test_report_by_measure(metric):
    space = volume((3, 3, 2))
    data, names, runs = subjects_of(space.coordinates)
    searchlights = space.searchlights(3.0)
    found = hyperalign(
        data, conditions=names, runs=runs, fit_runs=[0], searchlights=searchlights, measure=metric
    )
    before = loop_report([d[60:] for d in data.values()], searchlights, metric)
    np.testing.assert_allclose(found.report["before"], before, atol=1e-10)


# ---- laws


@pytest.mark.parametrize("n_profiles", [40, 8])
def test_rotation_is_the_best_and_orthogonal(n_profiles):
    rng = np.random.default_rng(1)
    source, target = rng.normal(size=(2, 7, n_profiles, 12))
    rotation = procrustes(source, target)
    np.testing.assert_allclose(
        rotation @ rotation.swapaxes(1, 2), np.broadcast_to(np.eye(12), (7, 12, 12)), atol=1e-12
    )
    error = np.linalg.norm(source @ rotation - target, axis=(1, 2))
    for a, b, e in zip(source, target, error, strict=True):
        best = np.linalg.norm(a @ orthogonal_procrustes(a, b)[0] - b)
        assert e == pytest.approx(best, abs=1e-10)


def test_free_directions_stay_in_place():
    rng = np.random.default_rng(2)
    source = rng.normal(size=(1, 5, 12))
    np.testing.assert_allclose(procrustes(source, source)[0], np.eye(12), atol=1e-12)
    # A rotation within the first 3 channels only, seen through profiles of these channels only.
    narrow = np.zeros((1, 20, 12))
    narrow[..., :3] = rng.normal(size=(20, 3))
    turned = narrow.copy()
    turned[..., :3] = narrow[..., :3] @ ortho_group.rvs(3, random_state=rng)
    found = procrustes(narrow, turned)[0]
    np.testing.assert_allclose(found[3:, 3:], np.eye(9), atol=1e-12)
    np.testing.assert_allclose(narrow[0] @ found, turned[0], atol=1e-12)


def test_rotation_of_a_region_is_recovered_and_leaves_distances():
    rng = np.random.default_rng(3)
    shared = rng.normal(size=(90, 10))
    data = {s: shared @ ortho_group.rvs(10, random_state=rng) for s in "abcd"}
    names, runs = [f"c{i}" for i in range(90)], np.repeat([1, 2], 45)
    found = hyperalign(
        data, conditions=names, runs=runs, fit_runs=[1], measure="euclidean", reference="c"
    )
    new = {s: found.transform(s, data[s][45:], runs=2) for s in data}
    for s in data:
        np.testing.assert_allclose(new[s], data["c"][45:], atol=1e-10)
        np.testing.assert_allclose(pdist(new[s]), pdist(data[s][45:]), atol=1e-10)
    np.testing.assert_allclose(found.summary["before"], 1.0)
    np.testing.assert_allclose(found.summary["after"], 1.0)
    assert found.settings["reference"] == "c"


def test_subjects_with_fewer_channels_keep_their_distances():
    rng = np.random.default_rng(4)
    shared = rng.normal(size=(60, 5))
    data = {str(p): shared @ ortho_group.rvs(p, random_state=rng)[:5] for p in (7, 9, 8)}
    names, runs = [f"c{i}" for i in range(60)], np.repeat([1, 2], 30)
    found = hyperalign(data, conditions=names, runs=runs, fit_runs=[1])
    new = [found.transform(s, data[s][30:], runs=2) for s in data]
    assert {n.shape for n in new} == {(30, 9)}
    np.testing.assert_allclose(new[0], new[1], atol=1e-10)
    np.testing.assert_allclose(pdist(new[0]), pdist(shared[30:]), atol=1e-10)
    assert found.summary["after"].item() == pytest.approx(1.0)


def test_conditions_are_matched_by_name_and_repeats_averaged():
    data, names, runs = subjects_of(np.zeros((6, 3)), n=3)
    names, runs = np.array(names), np.array(runs)
    rng = np.random.default_rng(5)
    usual = hyperalign(data, conditions=names, runs=runs, fit_runs=[0])
    mixed, its_names, its_runs = {}, {}, {}
    for s, values in data.items():
        order = rng.permutation(len(names))
        mixed[s] = np.vstack([values[order] + 1, values[order] - 1])
        its_names[s], its_runs[s] = np.tile(names[order], 2), np.tile(runs[order], 2)
    other = hyperalign(mixed, conditions=its_names, runs=its_runs, fit_runs=[0])
    for s in data:
        np.testing.assert_allclose(other.matrices[s], usual.matrices[s], atol=1e-10)
    np.testing.assert_allclose(other.report, usual.report, atol=1e-10)


@pytest.mark.parametrize("searchlight", [False, True])
def test_connectivity(searchlight):
    # Time courses differ between subjects; what is shared is which channels go with which targets.
    rng = np.random.default_rng(6)
    space = volume()
    n = space.n_places if searchlight else 12
    loadings = rng.normal(size=(30, n))
    data, targets, names, runs = {}, {}, {}, {}
    held = rng.normal(size=(50, n))
    for i in range(4):
        n_fit = 2000 + 10 * i
        turn = ortho_group.rvs(n, random_state=rng) if not searchlight else np.eye(n)
        course = rng.normal(size=(n_fit, 30))
        data[i] = np.vstack([course @ loadings + 0.5 * rng.normal(size=(n_fit, n)), held]) @ turn
        targets[i] = np.vstack([course, np.zeros((50, 30))])
        names[i] = [f"rest{t}" for t in range(n_fit)] + [f"c{k}" for k in range(50)]
        runs[i] = ["rest"] * n_fit + ["task"] * 50
    found = hyperalign(
        {f"s{i}": v for i, v in data.items()},
        conditions={f"s{i}": v for i, v in names.items()},
        runs={f"s{i}": v for i, v in runs.items()},
        fit_runs="rest",
        by="connectivity",
        targets=None if searchlight else {f"s{i}": v for i, v in targets.items()},
        searchlights=space.searchlights(4.5) if searchlight else None,
        n_targets=20,
    )
    if searchlight:
        assert found.summary["before"].item() == pytest.approx(1.0)
        assert found.summary["after"].item() > 0.98
    else:
        # Correlations divide by each channel's length, which rotations do not keep: not exact.
        assert found.summary["after"].item() > found.summary["before"].item()
        new = [found.transform(f"s{i}", held @ np.eye(n), runs="task") for i in range(2)]
        assert new[0].shape == (50, 12)


# ---- truth and null


def test_planted_mixing_is_undone_on_held_out_runs():
    space = volume((6, 6, 4))
    data, names, runs = subjects_of(space.coordinates, n=6, n_conditions=400)
    found = hyperalign(
        data, conditions=names, runs=runs, fit_runs=[0], searchlights=space.searchlights(6.0)
    )
    row = found.summary.iloc[0]
    assert row["difference"] > 0.1
    assert row["n_rising"] > 0.95 * row["n_defined"]
    assert row["n_defined"] == space.n_places
    assert (found.pairs["difference"] > 0).all()


@pytest.mark.simulation
@pytest.mark.slow
def test_unrelated_subjects_do_not_rise():
    space = volume((5, 5, 3))
    rises = []
    for seed in range(40):
        data, names, runs = subjects_of(space.coordinates, shared=False, seed=seed)
        found = hyperalign(
            data, conditions=names, runs=runs, fit_runs=[0], searchlights=space.searchlights(4.5)
        )
        rises.append(found.summary["difference"].item())
    mean, sem = np.mean(rises), np.std(rises, ddof=1) / np.sqrt(len(rises))
    assert abs(mean) < 2.6 * sem
    assert abs(mean) < 0.003


# ---- what is refused


def small(**changes):
    data, names, runs = subjects_of(np.zeros((4, 3)), n=3, n_conditions=20)
    options = {"data": data, "conditions": names, "runs": runs, "fit_runs": [0], **changes}
    return hyperalign(options.pop("data"), **options)


def test_fitted_runs_are_refused():
    data, _, _ = subjects_of(np.zeros((4, 3)), n=3, n_conditions=20)
    found = small()
    assert found.fit_runs == (0,)
    assert found.held_out_runs == (1,)
    with pytest.raises(InputError, match=r"not fitted on, got \['0'\]; fitted runs: 0"):
        found.transform("s1", data["s1"][:3], runs=0)
    with pytest.raises(InputError, match="not fitted on"):
        found.transform("s1", data["s1"][9:12], runs=[0, 1, 1])
    with pytest.raises(InputError, match="1 of 3 are the same numbers .* row 0, run 'new'"):
        found.transform("s1", data["s1"][9:12], runs="new")
    with pytest.raises(InputError, match="each of 3 observations, got 2"):
        found.transform("s1", data["s1"][10:13], runs=[1, 1])
    with pytest.raises(InputError, match="unknown subject 's9'"):
        found.transform("s9", data["s1"][10:13], runs=1)
    with pytest.raises(InputError, match=r"\(n_observations, 4\) for subject 's1', got \(3, 2\)"):
        found.transform("s1", np.ones((3, 2)), runs=1)
    assert found.transform("s1", data["s1"][10:], runs=1).shape == (10, 4)


def test_input_errors():
    data, names, _ = subjects_of(np.zeros((4, 3)), n=3, n_conditions=20)
    with pytest.raises(InputError, match="at least 2 subjects, got 1"):
        small(data={"a": data["s0"]})
    with pytest.raises(InputError, match="a list"):
        small(data=[data["s0"]])
    with pytest.raises(InputError, match=r"among the runs \[0, 1\], got \[7\]"):
        small(fit_runs=[7])
    with pytest.raises(InputError, match="holds all of them"):
        small(fit_runs=[0, 1])
    with pytest.raises(InputError, match="held-out runs for every subject, 's0' has none"):
        small(runs={"s0": [0] * 20, "s1": [0, 1] * 10, "s2": [0, 1] * 10})
    with pytest.raises(InputError, match="one run for each of 20 observations .* got 3"):
        small(runs=[0, 1, 1])
    with pytest.raises(InputError, match=r"none for \['s1', 's2'\]"):
        small(conditions={"s0": names})
    with pytest.raises(ConditionMismatchError, match="only in subject 's2': 'x'"):
        small(conditions={"s0": names, "s1": names, "s2": ["x", *names[1:]]})
    with pytest.raises(InputError, match="at least 3 fitted conditions, got 1"):
        small(conditions=["a"] * 10 + names[10:])
    with pytest.raises(InputError, match="at least 3 held-out conditions, got 1"):
        small(conditions=names[:10] + ["a"] * 10)
    broken = {s: v.copy() for s, v in data.items()}
    broken["s1"][3, 2] = np.nan
    with pytest.raises(InputError, match="1 channels of subject 's1' .* first is 2"):
        small(data=broken)
    with pytest.raises(InputError, match=r"subject 's1', got \(80,\)"):
        small(data={**data, "s1": data["s1"].ravel()})
    with pytest.raises(InputError, match="unknown value of `by` 'response'"):
        small(by="response")
    with pytest.raises(InputError, match="unknown measure of the report 'crossnobis'"):
        small(measure="crossnobis")
    with pytest.raises(InputError, match="`targets` with by='connectivity'"):
        small(by="connectivity")
    with pytest.raises(InputError, match="no targets with by='responses'"):
        small(targets=data)
    with pytest.raises(InputError, match=r"shape \(20, 4\) for subject 's1', got \(19, 4\)"):
        small(by="connectivity", targets={**data, "s1": data["s1"][1:]})
    with pytest.raises(InputError, match=r"targets for every subject, none for \['s1', 's2'\]"):
        small(by="connectivity", targets={"s0": data["s0"]})
    with pytest.raises(InputError, match="from Volume.searchlights.* got a Volume"):
        small(searchlights=volume())
    with pytest.raises(InputError, match="expected 59 channels.* 's0' has 4"):
        small(searchlights=volume().searchlights(3.0))
    space = volume()
    wide, names, runs = subjects_of(space.coordinates)
    with pytest.raises(InputError, match="within the budget of 1e-05 GB"):
        small(
            data=wide,
            conditions=names,
            runs=runs,
            budget="10KB",
            searchlights=space.searchlights(4.5),
        )


def test_no_report_and_constant_channels():
    data, _, _ = subjects_of(np.zeros((4, 3)), n=3, n_conditions=20)
    found = small(report=False)
    assert len(found.report) == len(found.summary) == 0
    assert "fitted on 1 runs" in repr(found)
    flat = {s: v.copy() for s, v in data.items()}
    for v in flat.values():
        v[:, 1:] = 2.0
    found = small(data=flat, measure="cosine")
    np.testing.assert_allclose(np.abs(found.matrices["s2"]), np.eye(4), atol=1e-12)


def test_flat_rdms_are_undefined_and_left_out_of_means():
    space = Volume(np.ones((6, 1, 1), bool), np.diag([3.0, 3, 3, 1]))
    rng = np.random.default_rng(8)
    data = {s: rng.normal(size=(30, 6)) for s in "abc"}
    data["a"][15:, :3] = 1.0
    found = hyperalign(
        data,
        conditions=[f"c{i}" for i in range(30)],
        runs=[0] * 15 + [1] * 15,
        fit_runs=[0],
        searchlights=space.searchlights(3.0),
        measure="euclidean",
    )
    # Subject a has no RDM around the first two places; the other two subjects do.
    _, inside = space.searchlights(3.0).batch(np.array([0]))
    r = np.corrcoef(*[pdist(data[s][15:, inside]) for s in "bc"])[0, 1]
    assert found.report["before"][0] == pytest.approx(r)
    assert found.summary["n_defined"].item() == 6
