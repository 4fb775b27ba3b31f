"""RDMs over time, courses of similarity, latencies, generalisation over time, their figures.

All recordings are simulated.
"""

import dataclasses
import warnings

import matplotlib as mpl
import numpy as np
import pytest
import rsatoolbox
from drawn import panels
from matplotlib.text import Text
from scipy import stats

import rsa_faces as rf
from rsa_faces.comparison import METHODS
from rsa_faces.figures.time import plot_generalization, plot_time
from rsa_faces.inference import (
    adjust,
    latency,
    latency_difference,
    time_course,
    time_generalization,
)
from rsa_faces.inference.bootstrap import Draws
from rsa_faces.inference.latencies import _latencies, _two_sided
from rsa_faces.rdm.movie import rdm_movie

pytestmark = pytest.mark.filterwarnings("ignore:.*too few to generalise")
mpl.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402 (after its backend)

K = 12
N_PAIRS = K * (K - 1) // 2
CONDITIONS = [f"c{i:02d}" for i in range(K)]
TIMES = np.arange(-10, 30) / 50  # -0.2 to 0.58 s
TRUTH = np.linalg.qr(np.random.default_rng(0).normal(size=(N_PAIRS, 3)))[0].T[1:]
TRUTH = (TRUTH - TRUTH.mean(axis=1, keepdims=True)) * np.sqrt(N_PAIRS)


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def gaussian(center, width=0.06, times=TIMES):
    return np.exp(-0.5 * ((times - center) / width) ** 2)


def recording(seed=0, centers=(0.12,), n_subjects=8, noise=1.0, times=TIMES, region=None, ids="s"):
    """Return models and simulated RDMs of subjects over time; responses vary over subjects."""
    rng = np.random.default_rng(seed)
    vectors = noise * rng.normal(size=(n_subjects, len(times), N_PAIRS))
    for truth, center in zip(TRUTH, centers, strict=False):
        own = center + 0.02 * rng.normal(size=(n_subjects, 1))
        height = np.maximum(1 + 0.3 * rng.normal(size=(n_subjects, 1)), 0.1)
        vectors += (height * gaussian(own, times=times))[:, :, None] * truth
    labels = {
        "subject": np.repeat([f"{ids}{i}" for i in range(n_subjects)], len(times)),
        "time": np.tile(times, n_subjects),
    }
    if region is not None:
        labels["region"] = region
    data = rf.RDMs(vectors.reshape(-1, N_PAIRS), CONDITIONS, "simulated", labels)
    names = {"name": ["a", "b"][: len(centers)]}
    return rf.RDMs(TRUTH[: len(centers)], CONDITIONS, "simulated", names), data


def quick(model, data, **options):
    """Return the course with few samples and no test of shared structure."""
    return time_course(
        model, data, **({"method": "pearson", "n_boot": 50, "n_permutations": 0} | options)
    )


def made_up(curves, times, samples=None):
    """Return a course with these mean similarities, for tests of latencies."""
    model, data = recording(n_subjects=6, times=times, centers=(0.12, 0.12)[: len(curves)])
    course = quick(model, data)
    curves = np.asarray(curves, float)
    samples = np.repeat(curves[None], 50, axis=0) if samples is None else np.asarray(samples)
    table = course.table.assign(similarity=curves.ravel(), p_corrected=0.001)
    return dataclasses.replace(course, table=table, samples=samples)


# --- RDM movies ----------------------------------------------------------------------------------


@pytest.mark.parametrize("pool", ["average", "concatenate"])
@pytest.mark.parametrize(
    "measure", ["euclidean", "sqeuclidean", "correlation", "cosine", "poisson"]
)
def test_each_window_is_the_rdm_of_its_samples(measure, pool):
    rng = np.random.default_rng(1)
    patterns = rng.integers(0, 9, size=(7, 5, 31)) + rng.random((7, 5, 31))
    names = list("abcdefg")
    times = np.arange(31) * 0.004 - 0.05
    movie = rdm_movie(
        patterns, times=times, conditions=names, measure=measure, window=0.02, step=0.008, pool=pool
    )
    starts = range(0, 27, 2)
    assert len(movie) == len(starts)
    for vector, center, start in zip(movie.vectors, movie.labels["time"], starts, strict=True):
        part = patterns[:, :, start : start + 5]
        part = part.mean(axis=2) if pool == "average" else part.reshape(7, -1)
        expected = rf.compute_rdms(part, conditions=names, measure=measure)
        np.testing.assert_allclose(vector, expected.vectors[0], rtol=1e-14, atol=0)
        assert center == pytest.approx(times[start : start + 5].mean(), abs=1e-9)


def test_measures_with_repeats_and_noise():
    rng = np.random.default_rng(2)
    patterns = rng.normal(size=(24, 4, 10))
    rows = list("abcd") * 6
    folds = np.repeat([0, 1, 2], 8)
    times = np.arange(10) / 10
    noise = np.cov(rng.normal(size=(4, 50)))
    for options in (
        {"measure": "crossnobis", "folds": folds},
        {"measure": "crossnobis", "folds": folds, "noise": noise},
        {"measure": "mahalanobis", "noise": "ledoit-wolf"},
    ):
        movie = rdm_movie(patterns, times=times, conditions=rows, **options)
        assert movie.conditions == tuple("abcd")
        for t in range(10):
            expected = rf.compute_rdms(patterns[:, :, t], conditions=rows, **options)
            np.testing.assert_allclose(movie.vectors[t], expected.vectors[0], rtol=1e-13)
    assert list(movie.labels) == ["time", "shrinkage"]


def test_movie_of_rsatoolbox():
    rng = np.random.default_rng(3)
    patterns = rng.normal(size=(6, 5, 12))
    times = np.arange(12) / 100
    names = list("abcdef")
    dataset = rsatoolbox.data.TemporalDataset(
        patterns, obs_descriptors={"condition": names}, time_descriptors={"time": times}
    )
    bins = times.reshape(4, 3)
    for ours, theirs, scale in (("sqeuclidean", "euclidean", 5), ("correlation", "correlation", 1)):
        expected = rsatoolbox.rdm.calc_rdm_movie(dataset, method=theirs, descriptor="condition")
        movie = rdm_movie(patterns, times=times, conditions=names, measure=ours)
        np.testing.assert_allclose(movie.vectors / scale, expected.dissimilarities, atol=1e-12)
        expected = rsatoolbox.rdm.calc_rdm_movie(
            dataset, method=theirs, descriptor="condition", bins=bins
        )
        movie = rdm_movie(
            patterns, times=times, conditions=names, measure=ours, window=0.03, step=0.03
        )
        np.testing.assert_allclose(movie.vectors / scale, expected.dissimilarities, atol=1e-12)
        np.testing.assert_allclose(movie.labels["time"], bins.mean(axis=1), atol=1e-9)


def test_windows_stay_in_the_recording():
    patterns = np.random.default_rng(4).normal(size=(3, 4, 10))
    times = np.arange(10) / 10
    movie = rdm_movie(patterns, times=times, conditions=list("abc"), window=0.4)
    np.testing.assert_allclose(movie.labels["time"], np.arange(7) / 10 + 0.15, atol=1e-9)
    assert len(rdm_movie(patterns, times=times, conditions=list("abc"), window=1.0)) == 1
    # uneven times are fine where no length in seconds is asked for
    uneven = np.sort(np.random.default_rng(5).random(10))
    movie = rdm_movie(patterns, times=uneven, conditions=list("abc"))
    np.testing.assert_allclose(movie.labels["time"], uneven, atol=1e-9)


def test_whole_numbers_are_averaged_exactly():
    patterns = np.random.default_rng(6).integers(-100, 100, size=(4, 6, 9)).astype(np.int8)
    options = {"times": np.arange(9.0), "conditions": list("abcd"), "window": 3}
    np.testing.assert_allclose(
        rdm_movie(patterns, **options).vectors, rdm_movie(patterns.astype(float), **options).vectors
    )


def test_undefined_patterns_give_one_warning():
    patterns = np.random.default_rng(7).normal(size=(4, 5, 6))
    patterns[1, :, :3] = 2.0
    with pytest.warns(UserWarning, match="'b'.*NaN.*2 more windows") as caught:
        movie = rdm_movie(patterns, times=np.arange(6.0), conditions=list("abcd"))
    assert len(caught) == 1
    assert np.isnan(movie.vectors).sum() == 9
    assert not np.isnan(movie.vectors[3:]).any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"patterns": np.ones((3, 4))}, r"n_times\), got \(3, 4\)"),
        ({"times": [0.0, 1.0]}, r"expected 5 times.*\(2,\)"),
        ({"times": [0.0, 1, 1, 2, 3]}, "ascending.*got 1 after 1"),
        ({"times": [0.0, 1, np.nan, 3, 4]}, "finite times"),
        ({"times": [0.0, 1, 2, 3, 5], "window": 1.0}, "evenly spaced.*2 s after 3 s"),
        ({"window": 0.2}, r"window of at least one sample \(1 s\), got 0.2"),
        ({"window": 6}, r"window of at most the recording \(5 s\), got 6"),
        ({"window": "long"}, "window of at least one sample.*'long'"),
        ({"step": 0.0}, "step of at least one sample.*got 0.0"),
        ({"step": np.nan}, "step of at least one sample.*got nan"),
        ({"pool": "mean"}, "unknown pool 'mean'.*'average'"),
        ({"measure": "corelation"}, "Did you mean 'correlation'"),
        ({"conditions": None}, "expected `conditions`"),
        ({"conditions": list("abca")}, r"shape \(4, n_channels, n_times\)"),
        ({"measure": "crossnobis"}, "expected `folds`"),
        ({"patterns": np.full((3, 4, 5), np.nan)}, "'0.0 s'.*NaN or infinite"),
    ],
)
def test_movie_says_what_is_wrong(changes, message):
    options = {
        "patterns": np.random.default_rng(8).normal(size=(3, 4, 5)),
        "times": np.arange(5.0),
        "conditions": list("abc"),
    } | changes
    with pytest.raises(rf.InputError, match=message):
        rdm_movie(options.pop("patterns"), **options)


def test_one_sample_has_no_window_in_seconds():
    with pytest.raises(rf.InputError, match="at least 2 samples"):
        rdm_movie(np.ones((3, 4, 1)), times=[0.0], conditions=list("abc"), window=0.1)


# --- courses -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "bootstrap"),
    [
        *((m, "both") for m in METHODS),
        ("pearson", "subjects"),
        ("pearson", "conditions"),
        ("rho-a", "subjects"),
        ("rho-a", "conditions"),
    ],
)
def test_each_time_is_an_evaluation(method, bootstrap):
    model, data = recording(centers=(0.12, 0.3), n_subjects=5, times=TIMES[8:20:4])
    options = {"method": method, "generalise_to": bootstrap, "n_boot": 20, "seed": 3, "alpha": 0.1}
    if bootstrap == "conditions":
        options["groups"] = {name: i // 2 for i, name in enumerate(CONDITIONS)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        course = time_course(model, data, **options)
        for t, time in enumerate(course.times):
            expected = rf.evaluate(model, data.sel(time=time), **options)
            found = course.table[course.table["time"] == time]
            for column in (
                "similarity",
                "sem",
                "ci_low",
                "ci_high",
                "p",
                "ceiling_low",
                "ceiling_high",
                "n_subjects",
                "n_conditions",
            ):
                np.testing.assert_allclose(
                    found[column].to_numpy(float),
                    expected.table[column].to_numpy(float),
                    rtol=1e-9,
                    atol=1e-12,
                    err_msg=column,
                )
            assert (found["p_reliable"] == expected.ceilings["p_reliable"][0]).all()
            each = np.array(
                [rf.compare(model, rdm, method=method)[:, 0] for rdm in data.sel(time=time)]
            )
            np.testing.assert_allclose(course.subjects[:, :, t], each, atol=1e-12)
    np.testing.assert_allclose(
        course.table["p_corrected"], adjust(course.table["p"].to_numpy()), atol=1e-15
    )
    np.testing.assert_allclose(course.similarity, course.subjects.mean(axis=0), atol=1e-15)


def test_samples_are_resamples():
    model, data = recording(centers=(0.12, 0.3), n_subjects=5, times=TIMES[8:20:4])
    rng = np.random.default_rng(11)
    c = rng.multinomial(K, np.full(K, 1 / K), size=4)
    s = rng.multinomial(5, np.full(5, 1 / 5), size=4)
    with pytest.MonkeyPatch.context() as patch:
        draws = Draws(s.astype(float), c.astype(float), 5, K, K)
        patch.setattr("rsa_faces.inference.courses.draw", lambda *_, **__: draws)
        course = quick(model, data, generalise_to="both", n_boot=4)
    square = data.matrices()
    truth = model.matrices()
    for b in range(4):
        index = np.repeat(np.arange(K), c[b])
        row, col = np.triu_indices(K, k=1)
        a, z = index[row], index[col]
        kept = a != z
        a, z = a[kept], z[kept]
        for m in range(2):
            for t in range(3):
                each = [
                    stats.pearsonr(truth[m, a, z], square[i * 3 + t, a, z]).statistic
                    for i in range(5)
                ]
                assert course.samples[b, m, t] == pytest.approx(s[b] @ each / 5, abs=1e-12)


def test_chunks_of_time_change_nothing(monkeypatch):
    model, data = recording(centers=(0.12, 0.3), n_subjects=5, times=TIMES[8:18])
    for method in ("rho-a", "pearson"):
        whole = quick(model, data, generalise_to="both", n_boot=5, method=method)
        with monkeypatch.context() as patch:
            patch.setattr("rsa_faces.inference.courses._MEMORY", 8 * N_PAIRS * 5 * 2 * 3)
            parts = quick(model, data, generalise_to="both", n_boot=5, method=method)
        np.testing.assert_allclose(parts.samples, whole.samples, atol=1e-12)
        np.testing.assert_allclose(parts.table["sem"], whole.table["sem"], atol=1e-12)


def test_same_seed_same_course_and_order_does_not_matter():
    model, data = recording(centers=(0.12, 0.3))
    course = quick(model, data, generalise_to="both", seed=5)
    again = quick(model, data, generalise_to="both", seed=5)
    np.testing.assert_array_equal(course.samples, again.samples)
    assert not np.array_equal(
        course.samples, quick(model, data, generalise_to="both", seed=6).samples
    )
    # rows and subjects in another order, conditions in another order: matched by name
    order = np.random.default_rng(0).permutation(len(data))
    mixed = data[order].align(CONDITIONS[::-1])
    other = quick(model, mixed, generalise_to="conditions", seed=5)
    ours = quick(model, data, generalise_to="conditions", seed=5)
    assert set(other.subject_names) == set(ours.subject_names)
    np.testing.assert_array_equal(other.times, ours.times)
    for column in ("similarity", "sem", "p", "ceiling_low", "ceiling_high"):
        np.testing.assert_allclose(other.table[column], ours.table[column], atol=1e-12)
    np.testing.assert_allclose(other.samples, ours.samples, atol=1e-12)


def test_sessions_are_averaged_and_times_match_to_the_nanosecond():
    model, data = recording()
    noise = np.random.default_rng(1).normal(size=data.vectors.shape)
    sessions = rf.concat(
        [
            rf.RDMs(
                data.vectors + sign * noise,
                CONDITIONS,
                "simulated",
                data.labels.assign(session=str(sign), time=data.labels["time"] + sign * 1e-13),
            )
            for sign in (-1, 1)
        ]
    )
    one, two = quick(model, data), quick(model, sessions)
    assert two.subjects.shape == (8, 1, len(TIMES))
    np.testing.assert_allclose(two.subjects, one.subjects, atol=1e-12)


def test_regions_share_draws_and_may_have_other_subjects():
    model, ventral = recording(0, region="ventral", n_subjects=5)
    _, lateral = recording(1, region="lateral", n_subjects=6, centers=(0.3,))
    lateral = lateral.sel(subject=["s3", "s4", "s5"])
    with pytest.warns(UserWarning, match="region 'lateral': 3 subjects are too few"):
        course = quick(model, rf.concat([ventral, lateral]), n_boot=300)
    assert course.subjects.shape == (6, 2, len(TIMES))
    assert list(course.curves["region"]) == ["ventral", "lateral"]
    assert np.isnan(course.subjects[5, 0]).all()
    assert np.isnan(course.subjects[:3, 1]).all()
    assert not np.isnan(course.samples).any()
    for region, subjects in (("ventral", 5), ("lateral", 3)):
        part = course.sel(region=region)
        assert part.subjects.shape == (subjects, 1, len(TIMES))
        assert not np.isnan(part.subjects).any()
        assert (part.table["n_subjects"] == subjects).all()
        alone = quick(model, (ventral if region == "ventral" else lateral), n_boot=300)
        np.testing.assert_allclose(part.subjects, alone.subjects, atol=1e-15)
        np.testing.assert_allclose(part.similarity, alone.similarity, atol=1e-15)
    assert course.sel(region="lateral").subject_names == ("s3", "s4", "s5")
    # the same RDMs in two regions: the same samples, so that nothing differs
    same = rf.concat([ventral, ventral.with_labels(region="copy")])
    twins = quick(model, same)
    np.testing.assert_array_equal(twins.samples[:, 0], twins.samples[:, 1])
    found = latency_difference(twins, region_a="ventral", region_b="copy")
    assert found["difference"][0] == 0
    assert found["p"][0] == 1


def test_missing_pairs_and_undefined_similarities():
    model, data = recording(n_subjects=5, times=TIMES[8:20:4])
    vectors = data.vectors.copy()
    vectors[0, :4] = np.nan
    with_gap = rf.RDMs(vectors, CONDITIONS, "simulated", data.labels)
    course = quick(model, with_gap, generalise_to="both", n_boot=10)
    expected = stats.pearsonr(model.vectors[0, 4:], vectors[0, 4:]).statistic
    assert course.subjects[0, 0, 0] == pytest.approx(expected, abs=1e-12)
    vectors[0] = 1.0
    constant = rf.RDMs(vectors, CONDITIONS, "simulated", data.labels)
    with pytest.warns(UserWarning, match="no similarity is defined for 'a' at 1 of 3 times"):
        course = quick(model, constant)
    assert np.isnan(course.similarity).tolist() == [[True, False, False]]
    assert np.isnan(course.table["p"]).tolist() == [True, False, False]


def test_one_subject_has_no_ceiling():
    model, data = recording(n_subjects=1)
    with pytest.warns(UserWarning, match="12 conditions are too few"):
        course = quick(model, data, generalise_to="conditions", n_permutations=9)
    assert course.table["ceiling_low"].isna().all()
    assert course.table["reliable"].isna().all()
    with pytest.raises(rf.InputError, match="at least 2 subjects.*got 1"):
        quick(model, data)


def test_reliable_only_where_subjects_share_structure():
    model, data = recording(n_subjects=10, noise=0.5)
    course = time_course(model, data, method="pearson", n_boot=20, n_permutations=99)
    reliable = course.table["reliable"].to_numpy(bool)
    assert reliable[(TIMES > 0.06) & (TIMES < 0.18)].all()
    assert reliable[TIMES < -0.1].mean() < 0.5
    _, silent = recording(n_subjects=10, centers=())
    with pytest.warns(UserWarning, match="no reliable signal"):
        time_course(model, silent, method="pearson", n_boot=20, n_permutations=99)


def test_course_is_ready_to_use():
    model, data = recording(centers=(0.12, 0.3))
    course = quick(model, data)
    assert "2 curves, 40 times from -0.2 to 0.58 s, 8 subjects" in repr(course)
    frame = course.to_frame()
    frame["similarity"] = 0
    assert (course.table["similarity"] != 0).any()
    assert course.sel(model="b").samples.shape == (50, 1, 40)
    np.testing.assert_array_equal(course.sel(model="b").similarity[0], course.similarity[1])
    assert course.settings["generalises_to"] == "new subjects, but these conditions only"
    named = rf.RDMs(model.vectors, CONDITIONS, "x", {"network": "net", "layer": ["l1", "l2"]})
    assert list(quick(named, data).curves["model"]) == ["net l1", "net l2"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m, d: (m, d[:-2]), "subjects, but 1 lack.*'s7' lacks 2 of 40: 0.56, 0.58 s"),
        (
            lambda m, d: (m, d.with_labels(region=["v"] * 300 + ["l"] * 20)),
            "'s7' in region 'v' lacks 20",
        ),
        (
            lambda m, d: (
                m,
                rf.RDMs(d.vectors, d.conditions, "x", {"subject": d.labels["subject"]}),
            ),
            "expected a label 'time'.*'subject'",
        ),
        (
            lambda m, d: (m, d.with_labels(time=[np.nan] * 3 + [0.0] * 317)),
            "value of 'time' for every RDM, but 3 of 320",
        ),
        (
            lambda m, d: (m, d.with_labels(subject=[None] * 2 + ["s"] * 318)),
            "value of 'subject' for every RDM, but 2",
        ),
        (lambda m, d: (m.with_labels(name="same"), d), "different names, but 1.*'same'"),
        (
            lambda m, d: (
                rf.RDMs(
                    np.where(np.arange(N_PAIRS) < 2, np.nan, m.vectors), CONDITIONS, "x", m.labels
                ),
                d,
            ),
            "every pair measured in the model, but 4 are missing",
        ),
    ],
)
def test_course_says_what_is_wrong_with_data(change, message):
    model, data = recording(centers=(0.12, 0.3))
    with pytest.raises(rf.InputError, match=message):
        quick(*change(model, data))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "pearsn"}, "Did you mean 'pearson'"),
        ({"generalise_to": "subject"}, "Did you mean 'subjects'"),
        ({"correction": "none"}, "unknown correction 'none'"),
        ({"n_boot": 1}, "n_boot to be a whole number of at least 2, got 1"),
        ({"n_permutations": -1}, "n_permutations to be .* at least 0, got -1"),
        ({"alpha": 1.5}, "alpha between 0 and 1, got 1.5"),
        ({"by": "patient"}, "unknown label that tells subjects apart 'patient'"),
        ({"seed": -1}, "seed to be .* got -1"),
        ({"groups": {"c00": 1}}, "group for every condition, but 11"),
    ],
)
def test_course_says_what_is_wrong_with_options(options, message):
    with pytest.raises(rf.InputError, match=message):
        quick(*recording(), **options)


def test_course_wants_the_same_conditions_and_whitening_every_pair():
    model, data = recording()
    with pytest.raises(rf.ConditionMismatchError, match="'c11'"):
        quick(model, data.subset(CONDITIONS[:-1]))
    vectors = data.vectors.copy()
    vectors[0, 0] = np.nan
    with pytest.raises(rf.InputError, match="'corr_cov' needs every pair"):
        quick(model, rf.RDMs(vectors, CONDITIONS, "x", data.labels), method="corr_cov")


# --- latencies -----------------------------------------------------------------------------------


def slow_latency(curve, times, kind, baseline_end=0.0, fraction=0.5):
    """Return the latency of one curve, by walking along it."""
    best = None
    for i, t in enumerate(times):
        if (
            t >= baseline_end
            and not np.isnan(curve[i])
            and (best is None or curve[i] > curve[best])
        ):
            best = i
    if best is None:
        return np.nan
    if kind == "peak":
        return times[best]
    level = np.mean([c for c, t in zip(curve, times, strict=True) if t < baseline_end])
    if not curve[best] > level:
        return np.nan
    criterion = level + fraction * (curve[best] - level)
    i = best
    while i > 0 and curve[i - 1] >= criterion:
        i -= 1
    return times[i] if i > 0 else np.nan


@pytest.mark.parametrize("kind", ["peak", "onset"])
def test_latencies_against_a_walk(kind):
    rng = np.random.default_rng(12)
    times = np.arange(-4, 12) / 10
    # whole numbers: many ties; some undefined
    curves = rng.integers(-2, 4, size=(300, 16)).astype(float)
    curves[rng.random(curves.shape) < 0.05] = np.nan
    curves[:, :4] = np.nan_to_num(curves[:, :4])
    curves[0, 4:] = np.nan
    curves[1] = 0.0
    searched = times >= 0
    for fraction in (0.2, 0.5, 1.0):
        found = _latencies(curves, times, kind, searched, ~searched, fraction)
        expected = [slow_latency(c, times, kind, fraction=fraction) for c in curves]
        np.testing.assert_array_equal(found, expected)
    assert np.isnan(found[0])
    assert np.isnan(found[1]) == (kind == "onset")


def test_latency_of_a_known_curve():
    times = np.arange(-2, 8) / 10
    curve = [0.1, -0.1, 0.3, 0.0, 0.25, 0.5, 0.9, 1.0, 1.0, 0.2]
    course = made_up([curve], times)
    assert latency(course)["latency"][0] == 0.5
    # baseline 0; half of 1.0 is first reached without interruption at 0.3 s
    assert latency(course, kind="onset")["latency"][0] == pytest.approx(0.3)
    assert latency(course, kind="onset", fraction=0.25)["latency"][0] == pytest.approx(0.2)
    assert latency(course, kind="onset", fraction=1.0)["latency"][0] == pytest.approx(0.5)
    assert latency(course, between=(0.0, 0.3))["latency"][0] == pytest.approx(0.3)
    assert latency(course, baseline_end=0.6)["latency"][0] == pytest.approx(0.6)
    row = latency(course, baseline_end=None, kind="onset").iloc[0]
    assert row["latency"] == pytest.approx(0.3)
    assert (row["ci_low"], row["ci_high"], row["n_undefined"], row["se"]) == (
        pytest.approx(0.3),
        pytest.approx(0.3),
        0,
        pytest.approx(0.0),
    )


def test_a_later_signal_has_a_later_latency():
    model, data = recording(centers=(0.12, 0.3), noise=0.3)
    course = quick(model, data)
    n = 5
    shifted = data.with_labels(time=data.labels["time"] + n / 50)
    later = quick(model, shifted)
    for kind in ("peak", "onset"):
        first = latency(course, kind=kind)
        second = latency(later, kind=kind, baseline_end=n / 50)
        for column in ("latency", "ci_low", "ci_high"):
            np.testing.assert_allclose(second[column] - first[column], n / 50, atol=1e-9)
        np.testing.assert_allclose(second["se"], first["se"], atol=1e-9)
        assert first["latency"][0] < first["latency"][1]


def test_samples_without_a_latency_are_counted():
    times = np.arange(-2, 4) / 10
    good = [0.0, 0.0, 0.1, 0.6, 1.0, 0.5]
    never = [0.9, 0.9, 0.1, 0.2, 0.3, 0.2]  # nothing above the baseline
    always = [0.0, 1.0, 1.0, 1.0, 1.0, 1.1]  # nothing below the criterion but the first
    above = [0.5, 0.5, 0.9, 1.0, 1.0, 0.7]
    samples = np.array([good] * 45 + [never] * 3 + [always] + [above])[:, None]
    course = made_up([good], times, samples)
    with pytest.warns(UserWarning, match="3 of 50 bootstrap samples of 'a' have no onset"):
        row = latency(course, kind="onset").iloc[0]
    assert (row["n_undefined"], row["n_boot"]) == (3, 50)
    assert row["latency"] == pytest.approx(0.1)
    expected = np.quantile([0.1] * 45 + [-0.1, 0.0], [0.025, 0.975])
    np.testing.assert_allclose(row[["ci_low", "ci_high"]].astype(float), expected, atol=1e-12)
    with (
        pytest.warns(UserWarning, match="'a' has no onset"),
        pytest.warns(UserWarning, match="50 of 50"),
    ):
        row = latency(made_up([never], times), kind="onset").iloc[0]
    assert row[["latency", "ci_low", "se"]].isna().all()


def test_a_latency_of_noise_is_called_that():
    model, _ = recording()
    _, silent = recording(centers=())
    course = quick(model, silent)
    assert course.table["p_corrected"].min() > 0.05
    with pytest.warns(UserWarning, match="above 0 at no time searched.*that of noise"):
        latency(course)


def test_difference_of_two_curves():
    rng = np.random.default_rng(13)
    times = np.arange(-2, 10) / 10
    curves = np.array([gaussian(0.2, 0.1, times), gaussian(0.5, 0.1, times)])
    samples = curves + 0.4 * rng.normal(size=(50, 2, 12))
    course = made_up(curves, times, samples)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        row = latency_difference(course, model_a="a", model_b="b").iloc[0]
        back = latency_difference(course, model_a="b", model_b="a").iloc[0]
    each = np.array([[slow_latency(c, times, "peak") for c in sample] for sample in samples])
    difference = each[:, 0] - each[:, 1]
    assert row["difference"] == pytest.approx(-0.3)
    assert (row["latency_a"], row["latency_b"]) == (pytest.approx(0.2), pytest.approx(0.5))
    low, high = np.quantile(difference, [0.025, 0.975])
    assert (row["ci_low"], row["ci_high"]) == (pytest.approx(low), pytest.approx(high))
    expected = 2 * (1 + min((difference <= 0).sum(), (difference >= 0).sum())) / 51
    assert row["p"] == pytest.approx(min(1, expected))
    assert 2 / 51 < row["p"] < 1
    assert back["difference"] == -row["difference"]
    assert back["p"] == row["p"]


def test_p_of_paired_samples():
    assert _two_sided(np.full(99, 0.1)) == pytest.approx(0.02)
    assert _two_sided(np.zeros(99)) == 1.0
    assert _two_sided(np.array([1.0, 1.0, -1.0, np.nan])) == 1.0
    assert np.isnan(_two_sided(np.array([np.nan])))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "begin"}, "unknown kind of latency 'begin'"),
        ({"kind": "onset", "fraction": 0.0}, "fraction above 0 and at most 1, got 0.0"),
        ({"kind": "onset", "fraction": 1.2}, "got 1.2"),
        ({"kind": "onset", "baseline_end": -0.2}, "expected times before baseline_end=-0.2 s"),
        ({"baseline_end": "0"}, "baseline_end in seconds, or None.*'0'"),
        ({"between": (0.3, 0.1)}, r"\(first, last\) time in seconds, got \(0.3, 0.1\)"),
        ({"between": 0.3}, "got 0.3"),
        ({"between": (2.0, 3.0)}, r"none of -0.2 to 0.58 s is left by .*between=\(2.0, 3.0\)"),
    ],
)
def test_latency_says_what_is_wrong(options, message):
    course = quick(*recording())
    with pytest.raises(rf.InputError, match=message):
        latency(course, **options)


def test_difference_says_what_is_wrong():
    course = quick(*recording(centers=(0.12, 0.3)))
    with pytest.raises(rf.InputError, match="expected model_a, because there are 2: 'a', 'b'"):
        latency_difference(course)
    with pytest.raises(rf.InputError, match="the same one twice"):
        latency_difference(course, model_a="a")
    with pytest.raises(rf.InputError, match="unknown model 'c'"):
        latency_difference(course, model_a="c", model_b="a")
    with pytest.raises(rf.InputError, match="unknown region 'FFA'"):
        course.sel(region="FFA")


# --- generalisation over time --------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_generalization_against_a_loop(method):
    model, data = recording(n_subjects=4, times=TIMES[8:20:4])
    rounded = rf.RDMs(data.vectors.round(1), CONDITIONS, "simulated", data.labels)  # ties
    found = time_generalization(rounded, method=method)
    for s in range(4):
        own = rounded.sel(subject=f"s{s}")
        others = rounded.sel(subject=[f"s{i}" for i in range(4) if i != s])
        for t, time in enumerate(found.times):
            pooled = [_pooled(others.sel(time=u).vectors, method) for u in found.times]
            expected = rf.compare(
                own.sel(time=time), rf.RDMs(pooled, CONDITIONS, "pooled"), method=method
            )
            np.testing.assert_allclose(found.subjects[s, t], expected[0], atol=1e-12)
    np.testing.assert_allclose(found.similarity, found.subjects.mean(axis=0), atol=1e-15)
    for t, time in enumerate(found.times):
        ceiling = rf.noise_ceiling(rounded.sel(time=time), method=method)
        assert found.similarity[t, t] == pytest.approx(ceiling.lower, abs=1e-10)


def _pooled(vectors, method):
    """Pool RDMs as the method wants."""
    if method in {"spearman", "rho-a", "kendall", "tau-a"}:
        # rounded, because means of equal sums of ranks differ in the last digit
        return np.mean([stats.rankdata(v) for v in vectors], axis=0).round(9)
    if method in {"cosine", "cosine_cov"}:
        return np.mean([v / np.sqrt((v**2).mean()) for v in vectors], axis=0)
    return np.mean([(v - v.mean()) / v.std() for v in vectors], axis=0)


def test_generalization_of_a_constant_signal_is_flat():
    signal = TRUTH[0] + 0.01 * np.random.default_rng(0).normal(size=(6, 1, N_PAIRS))
    values = np.repeat(signal, 5, axis=1).reshape(-1, N_PAIRS)
    labels = {"subject": np.repeat(range(6), 5), "time": np.tile(np.arange(5.0), 6)}
    data = rf.RDMs(values, CONDITIONS, "simulated", labels)
    found = time_generalization(data)
    assert np.ptp(found.similarity) < 1e-12
    assert found.similarity.min() > 0.99
    order = np.random.default_rng(1).permutation(30)
    again = time_generalization(data[order])
    np.testing.assert_allclose(again.similarity, found.similarity, atol=1e-12)
    assert "5 times from 0 to 4 s, 6 subjects, method='pearson'" in repr(found)


def test_a_subjects_own_noise_does_not_generalise():
    # each subject has a pattern of its own at all times, and nothing is shared
    own = np.random.default_rng(2).normal(size=(20, 1, N_PAIRS))
    values = np.repeat(own, 4, axis=1).reshape(-1, N_PAIRS)
    labels = {"subject": np.repeat(range(20), 4), "time": np.tile(np.arange(4.0), 20)}
    found = time_generalization(rf.RDMs(values, CONDITIONS, "simulated", labels))
    assert np.abs(found.similarity).max() < 0.1


def test_columns_of_little_agreement_are_larger():
    times = TIMES[10:22]
    _, data = recording(n_subjects=30, noise=2.0, times=times)
    found = time_generalization(data).similarity
    weak, strong = np.argmin(np.abs(times - 0.22)), np.argmin(np.abs(times - 0.12))
    assert found[strong, weak] > found[weak, strong]


@pytest.mark.parametrize("method", ["pearson", "rho-a"])
def test_undefined_generalization_stays_where_it_is(method):
    _, data = recording(n_subjects=4, times=TIMES[8:20:3])
    vectors = data.vectors.copy()
    vectors[1] = 3.0
    constant = rf.RDMs(vectors, CONDITIONS, "simulated", data.labels)
    with pytest.warns(UserWarning, match="1 of 4 times.*constant: 0.02 s"):
        found = time_generalization(constant, method=method)
    assert np.isnan(found.subjects[0, 1]).all()
    assert np.isnan(found.subjects[1:, :, 1]).all()
    assert not np.isnan(found.subjects[0, [0, 2, 3]]).any()
    clean = time_generalization(data, method=method)
    np.testing.assert_allclose(found.subjects[0, 2], clean.subjects[0, 2], atol=1e-15)


def test_generalization_says_what_is_wrong():
    _, data = recording(n_subjects=4)
    with pytest.raises(rf.InputError, match="unknown comparison method 'r'"):
        time_generalization(data, method="r")
    with pytest.raises(rf.InputError, match="at least 2 subjects, got 1"):
        time_generalization(data.sel(subject="s0"))
    regions = rf.concat([data.with_labels(region=r) for r in ("v", "l")])
    with pytest.raises(rf.InputError, match="RDMs of one region, got 2: 'v', 'l'"):
        time_generalization(regions)
    vectors = data.vectors.copy()
    vectors[0, :3] = np.nan
    with pytest.raises(rf.InputError, match="but 3 are missing"):
        time_generalization(rf.RDMs(vectors, CONDITIONS, "x", data.labels))


# --- figures -------------------------------------------------------------------------------------


def texts(figure):
    return [t.get_text() for t in figure.findobj(Text) if t.get_visible() and t.get_text()]


@pytest.fixture(scope="module")
def two_regions():
    model, ventral = recording(0, (0.12, 0.3), region="ventral", noise=0.5)
    _, lateral = recording(1, (0.2, 0.4), region="lateral", noise=0.5)
    return time_course(
        model, rf.concat([ventral, lateral]), method="pearson", n_boot=50, n_permutations=99
    )


def test_figure_of_a_course(two_regions):
    axes = panels(plot_time(two_regions))
    figure = axes[0].figure
    assert axes.shape == (2,)
    assert {
        "ventral: 8 subjects, 12 conditions",
        "lateral: 8 subjects, 12 conditions",
        "time (ms)",
        "similarity\n(Pearson r)",
        "noise ceiling (lower to upper)",
        "a",
        "b",
        "differs from 0, corrected p < 0.05",
        "95 % interval, each time",
    } <= set(texts(figure))
    assert axes[0].get_ylim() == axes[1].get_ylim()
    curve = axes[0].get_lines()[2]
    np.testing.assert_allclose(curve.get_xdata(), TIMES * 1000, atol=1e-6)
    np.testing.assert_allclose(curve.get_ydata(), two_regions.similarity[0], atol=1e-15)
    dots = axes[0].get_lines()[3]
    significant = two_regions.table["p_corrected"].to_numpy()[: len(TIMES)] < 0.05
    np.testing.assert_allclose(dots.get_xdata(), TIMES[significant] * 1000, atol=1e-6)
    assert figure.get_figwidth() * 25.4 <= 89.01
    figure.canvas.draw()
    boxes = [
        t.get_window_extent()
        for t in figure.findobj(Text)
        if t.get_text().strip() and t in figure.legends[0].get_texts()
    ]
    assert max(b.x1 for b in boxes) <= figure.bbox.x1


def test_band_only_where_reliable(two_regions):
    table = two_regions.table.copy()
    reliable = np.zeros(len(TIMES), dtype=bool)
    reliable[[5, 20, 21, 22]] = True
    table["reliable"] = np.tile(reliable, 4).astype(object)
    axes = panels(plot_time(dataclasses.replace(two_regions, table=table)))
    # one run as a band, one time alone as a line
    assert len(axes[0].collections[0].get_paths()) == 1
    assert len(axes[0].collections[1].get_paths()) == 1
    x = axes[0].collections[0].get_paths()[0].vertices[:, 0]
    assert (x.min(), x.max()) == pytest.approx((TIMES[20] * 1000, TIMES[22] * 1000))
    plain = panels(plot_time(dataclasses.replace(two_regions, table=table.assign(reliable=None))))
    assert "noise ceiling (lower to upper)" not in texts(plain[0].figure)


def test_figure_in_given_axes(two_regions):
    _, ax = plt.subplots()
    (drawn,) = panels(plot_time(two_regions.sel(region="ventral"), unit="s", ax=ax))
    assert drawn is ax
    assert ax.get_xlabel() == "time (s)"
    assert ax.get_xlim() == pytest.approx((TIMES[0], TIMES[-1]))
    with pytest.raises(rf.InputError, match=r"expected 2 axes.*got 1"):
        plot_time(two_regions, ax=ax)
    with pytest.raises(rf.InputError, match="unknown unit of time 'min'"):
        plot_time(two_regions, unit="min")
    with pytest.raises(rf.InputError, match="unknown unit of time 'h'"):
        plot_generalization(None, unit="h")
    curves = np.random.default_rng(0).normal(size=(9, N_PAIRS))
    many = rf.RDMs(curves, CONDITIONS, "x", {"name": list("abcdefghi")})
    with pytest.raises(rf.InputError, match="at most 8 models.*got 9"):
        plot_time(quick(many, recording()[1], n_boot=2))


def test_figure_of_generalization():
    _, data = recording(n_subjects=4)
    found = time_generalization(data.with_labels(region="ventral"))
    ax = panels(plot_generalization(found))[0]
    (mesh,) = ax.collections
    np.testing.assert_allclose(mesh.get_array().reshape(40, 40), found.similarity)
    assert mesh.get_clim() == pytest.approx(
        (-np.abs(found.similarity).max(), np.abs(found.similarity).max())
    )
    assert {
        "ventral: 4 subjects, 12 conditions",
        "time of one subject (ms)",
        "similarity (Pearson r)",
        "time of the other subjects (ms)",
    } <= set(texts(ax.figure))
    box = ax.get_position()
    size = ax.figure.get_size_inches()
    ax.figure.canvas.draw()
    box = ax.get_position()
    assert box.width * size[0] == pytest.approx(box.height * size[1])
    undefined = dataclasses.replace(found, similarity=np.full((40, 40), np.nan))
    assert panels(plot_generalization(undefined))[0].collections[0].get_clim() == (-1, 1)


# --- calibration ---------------------------------------------------------------------------------


@pytest.mark.simulation
@pytest.mark.slow
def test_false_positives_at_each_time():
    n, times, below, any_fdr = 300, TIMES[:4], 0, 0
    for seed in range(n):
        model, silent = recording(seed, centers=(), n_subjects=10, times=times)
        model = rf.RDMs(TRUTH[:1], CONDITIONS, "x", {"name": ["a"]})
        course = quick(model, silent, n_boot=200, seed=seed)
        below += (course.table["p"] < 0.05).sum()
        any_fdr += (course.table["p_corrected"] < 0.05).any()
    low, high = stats.binom.ppf([0.005, 0.995], n * 4, 0.05)
    assert low <= below <= high
    # under the null hypothesis the false discovery rate is the rate of any discovery
    assert any_fdr <= stats.binom.ppf(0.995, n, 0.05)


@pytest.mark.simulation
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["peak", "onset"])
def test_intervals_cover_the_true_latency(kind):
    model, many = recording(99, (0.12, 0.26), n_subjects=1500, noise=1.5)
    course = quick(model, many, n_boot=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        true = latency(course, kind=kind)["latency"].to_numpy()
        n, covered, difference = 150, np.zeros(2), 0
        for seed in range(n):
            _, data = recording(seed, (0.12, 0.26), n_subjects=12, noise=1.5)
            course = quick(model, data, n_boot=300, seed=seed)
            found = latency(course, kind=kind)
            covered += (found["ci_low"] <= true + 1e-9) & (found["ci_high"] >= true - 1e-9)
            row = latency_difference(course, model_a="a", model_b="b", kind=kind).iloc[0]
            gap = true[0] - true[1]
            difference += row["ci_low"] - 1e-9 <= gap <= row["ci_high"] + 1e-9
    # Latencies are samples of a grid: coverage is at least the level, and often above it.
    low = stats.binom.ppf(0.005, n, 0.95)
    assert (covered >= low).all()
    assert difference >= low


@pytest.mark.simulation
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["peak", "onset"])
def test_equal_latencies_seldom_differ(kind):
    n, below = 150, 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for seed in range(n):
            model, data = recording(seed, (0.14, 0.14), n_subjects=12, noise=1.5)
            course = quick(model, data, n_boot=199, seed=seed)
            below += latency_difference(course, model_a="a", model_b="b", kind=kind)["p"][0] < 0.05
    assert below <= stats.binom.ppf(0.995, n, 0.05)
