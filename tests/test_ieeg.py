"""Intracranial recordings: signals, electrodes, selection, RDMs, BIDS, figures.

All recordings are simulated.
"""

import json
import sys
import warnings

import matplotlib as mpl
import mne
import mne_bids
import mne_rsa
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.spatial.distance import pdist

import rsa_faces as rf
from rsa_faces.brain._signals import FLANK, half_filter, sub_bands
from rsa_faces.brain.bids import read_bids_ieeg
from rsa_faces.brain.electrode_rdms import POOLED, ieeg_rdms
from rsa_faces.brain.electrodes import COLUMNS, read_electrodes
from rsa_faces.brain.ieeg import ieeg_patterns
from rsa_faces.brain.selection import face_selective, select_electrodes, split_trials
from rsa_faces.figures.electrodes import plot_electrodes
from rsa_faces.rdm.movie import rdm_movie

mpl.use("Agg")
import matplotlib.pyplot as plt

mne.set_log_level("ERROR")
RATE = 500.0
CONDITIONS = [f"c{i}" for i in range(6)]
NAMES = ["A1", "A2", "A3", "B1"]


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def table(names=NAMES, patient="p1", regions=None):
    """Return simulated places."""
    n = len(names)
    regions = regions or ["ventral"] * (n - 1) + ["lateral"]
    return pd.DataFrame(
        {
            "patient": patient,
            "name": names,
            "region": regions,
            "x": np.linspace(-45, 45, n),
            "y": -50.0,
            "z": -15.0,
        }
    )


def simulated(
    conditions, names=NAMES, *, seed=0, tmin=-0.6, tmax=1.0, burst=None, rate=RATE, line=None
):
    """Return simulated noise as epochs; `burst` = (condition, electrode, from, to, gain)."""
    rng = np.random.default_rng(seed)
    n_times = round((tmax - tmin) * rate)
    field = rng.normal(0, 1e-5, (len(conditions), len(names), n_times))
    times = tmin + np.arange(n_times) / rate
    if burst is not None:
        condition, electrode, start, stop, gain = burst
        wave = np.zeros((len(conditions), n_times))
        inside = (times >= start) & (times < stop)
        wave[:, inside] = rng.normal(0, gain * 1e-5, (len(conditions), inside.sum()))
        rows = np.array(conditions) == condition
        field[rows, names.index(electrode)] += wave[rows]
    if line:
        field += 2e-4 * sum(np.sin(2 * np.pi * h * line * times + h) for h in range(1, 5))
    info = mne.create_info(list(names), rate, "seeg")
    with info._unlock():
        info["line_freq"] = 50.0
    return mne.EpochsArray(field, info, tmin=tmin)


def raw_patterns(conditions=None, *, seed=0, patient="p1", rate=100.0, **options):
    """Return patterns of the raw field of a simulated patient."""
    conditions = CONDITIONS * 3 if conditions is None else conditions
    names = options.pop("names", NAMES)
    places = options.pop("places", None)
    epochs = simulated(conditions, names, seed=seed, rate=rate, tmin=-0.2, tmax=0.6)
    places = table(names, patient) if places is None else places
    options = {"signal": "raw", "source": f"run of {patient} {seed}"} | options
    return ieeg_patterns(epochs, electrodes=places, conditions=conditions, **options)


# Signals


@pytest.mark.parametrize("band", [(70, 150), (65, 110), (40, 200), (80, 90)])
@pytest.mark.parametrize("line", [0.0, 50.0, 60.0])
def test_sub_bands_stay_away_from_line_noise(band, line):
    bands = sub_bands(band, line)
    assert bands == sorted(bands)
    for low, high in bands:
        assert band[0] <= low < high <= band[1]
        assert 5 <= high - low <= 20 + 1e-9
        if line:
            harmonics = line * np.arange(1, 10)
            outside = (harmonics <= low - FLANK + 1e-9) | (harmonics >= high + FLANK - 1e-9)
            assert outside.all()
    if not line:
        assert sum(high - low for low, high in bands) == pytest.approx(band[1] - band[0])


def test_sub_bands_of_the_documentation():
    assert sub_bands((70, 150), 50) == [(70, 90), (110, 125), (125, 140)]
    assert sub_bands((70, 150), 60) == [(70, 90), (90, 110), (130, 150)]
    with pytest.raises(rf.InputError, match="away from the harmonics of 50 Hz"):
        sub_bands((95, 105), 50)


def test_high_gamma_finds_a_planted_burst():
    conditions = CONDITIONS * 8
    epochs = simulated(conditions, burst=("c2", "A3", 0.2, 0.3, 2.0))
    patterns = ieeg_patterns(epochs, electrodes=table(), conditions=conditions)
    assert patterns.values.shape == (48, 4, len(patterns.times))
    means = np.stack(
        [patterns.values[np.array(patterns.conditions) == c].mean(axis=0) for c in CONDITIONS]
    )
    condition, electrode, sample = np.unravel_index(means.argmax(), means.shape)
    assert (CONDITIONS[condition], NAMES[electrode]) == ("c2", "A3")
    assert 0.2 <= patterns.times[sample] <= 0.3
    inside = (patterns.times > 0.2) & (patterns.times < 0.3)
    outside = (patterns.times < 0.1) | (patterns.times > 0.4)
    assert means[2, 2, inside].mean() > 1.0
    assert abs(means[2, 2, outside].mean()) < 0.1
    others = np.delete(means.reshape(24, -1), 2 * 4 + 2, axis=0)
    assert np.abs(others.mean(axis=1)).max() < 0.2


def test_high_gamma_is_the_mean_of_standardised_log_power():
    # The same by MNE's own methods on long epochs, whose edges are far away.
    conditions = CONDITIONS * 2
    epochs = simulated(conditions, tmin=-1.5, tmax=2.0)
    patterns = ieeg_patterns(epochs, electrodes=table(), conditions=conditions, between=(-0.2, 0.5))
    expected, bands = 0, [(70, 90), (110, 125), (125, 140)]
    for low, high in bands:
        part = epochs.copy().filter(low, high, l_trans_bandwidth=10, h_trans_bandwidth=10)
        power = np.log(part.apply_hilbert(envelope=True).get_data() ** 2)
        base = power[..., (epochs.times >= -0.2) & (epochs.times <= 0)]
        mean, sd = base.mean(axis=(0, 2)), base.std(axis=(0, 2))
        expected = expected + (power - mean[:, None]) / sd[:, None] / len(bands)
    inside = (epochs.times >= -0.2 - 1e-9) & (epochs.times <= 0.5 + 1e-9)
    difference = patterns.values - expected[..., inside]
    assert np.abs(difference).max() < 0.05  # log power near 0 magnifies differences
    assert np.median(np.abs(difference)) < 1e-4


def test_edges_of_short_epochs_are_those_of_the_whole_recording():
    conditions = CONDITIONS * 2
    long = simulated(conditions, tmin=-1.5, tmax=2.0)
    short = long.copy().crop(-0.4, 0.8)
    options = {"electrodes": table(), "conditions": conditions, "baseline": (-0.1, 0.0)}
    whole, cut, mirrored = (
        ieeg_patterns(e, **options, edges=edges)
        for e, edges in ((long, "cut"), (short, "cut"), (short, "mirror"))
    )
    reach = half_filter(RATE) / RATE
    assert cut.times[0] == pytest.approx(-0.4 + reach)
    assert cut.times[-1] == pytest.approx(0.8 - reach, abs=1 / RATE)
    assert len(mirrored.times) == len(short.times)

    def difference(patterns):
        there = np.isin(whole.times.round(6), patterns.times.round(6))
        return np.abs(whole.values[..., there] - patterns.values)

    assert np.median(difference(cut)) < 0.005
    assert difference(cut)[..., [0, -1]].mean() < 0.1
    assert difference(mirrored)[..., [0, -1]].mean() > 0.5


def test_line_noise_does_not_enter_high_gamma():
    conditions = CONDITIONS * 2
    options = {"electrodes": table(), "conditions": conditions}
    clean = ieeg_patterns(simulated(conditions), **options)
    noisy = ieeg_patterns(simulated(conditions, line=50), **options)
    wrong = ieeg_patterns(simulated(conditions, line=50), **options, line_noise=0)
    r = [np.corrcoef(clean.values.ravel(), p.values.ravel())[0, 1] for p in (noisy, wrong)]
    assert r[0] > 0.95
    assert r[1] < 0.8


def test_raw_field_is_that_of_mne_in_microvolts():
    epochs = simulated(CONDITIONS)
    patterns = ieeg_patterns(
        epochs,
        electrodes=table(),
        conditions=CONDITIONS,
        signal="raw",
        baseline=(-0.2, 0.0),
        between=(0.0, 0.5),
    )
    expected = epochs.copy().apply_baseline((-0.2, 0.0)).crop(0.0, 0.5)
    np.testing.assert_allclose(patterns.values, expected.get_data() * 1e6, atol=1e-9)
    np.testing.assert_allclose(patterns.times, expected.times)


def test_bins_are_means_of_whole_samples():
    fine, coarse = (
        ieeg_patterns(
            simulated(CONDITIONS),
            electrodes=table(),
            conditions=CONDITIONS,
            signal="raw",
            bin_width=w,
        )
        for w in (None, 0.02)
    )
    n = len(coarse.times)
    assert n == len(fine.times) // 10
    np.testing.assert_allclose(coarse.values[..., 3], fine.values[..., 30:40].mean(axis=2))
    # The middle of the time they cover, which does not depend on the sampling rate.
    np.testing.assert_allclose(coarse.times[3], fine.times[30] + 0.01)


@pytest.mark.parametrize("between", [(-0.2, 0.6), None])
def test_sampling_rates_give_one_set_of_bins_and_windows(between):
    """500, 512 and 1000 Hz: the same bins and windows, nearly the same RDMs of slow signals."""
    rng = np.random.default_rng(0)
    waves = rng.normal(size=(6, 4, 2)) * 1e-5
    made, movies = [], []
    for i, rate in enumerate((500.0, 512.0, 1000.0)):
        times = np.arange(round(-0.4 * rate), round(0.9 * rate)) / rate
        field = sum(waves[..., k, None] * np.sin(2 * np.pi * (k + 1) * times + k) for k in range(2))
        info = mne.create_info(NAMES, rate, "seeg")
        epochs = mne.EpochsArray(field, info, tmin=times[0], verbose="error")
        options = dict(
            electrodes=table(patient=f"p{i}"),
            conditions=CONDITIONS,
            signal="raw",
            baseline=None,
            between=between,
            patient=f"p{i}",
        )
        made.append(ieeg_patterns(epochs, bin_width=0.05, **options))
        movies.append(
            ieeg_rdms(ieeg_patterns(epochs, **options), per="patient", window=0.1, step=0.02)
        )
    for other in made[1:]:
        np.testing.assert_array_equal(other.times, made[0].times)
        np.testing.assert_allclose(other.values, made[0].values, rtol=0, atol=1.0)
    assert len(made[0].times) == (16 if between else 26)
    for other in movies[1:]:
        np.testing.assert_array_equal(other.labels["time"], movies[0].labels["time"])
        np.testing.assert_allclose(other.vectors, movies[0].vectors, atol=0.05)
    together = rf.concat(movies)
    model = rf.RDMs(rng.random(15), CONDITIONS, "any", {"network": ["n"], "layer": ["l"]})
    found = rf.mapping.layer_map(model, together, n_permutations=0)
    assert len(found.times) == len(movies[0])


def test_conditions_from_metadata_events_or_a_list():
    epochs = simulated(CONDITIONS)
    options = {"electrodes": table(), "signal": "raw"}
    epochs.metadata = pd.DataFrame({"stimulus": CONDITIONS[::-1], "run": [1, 1, 1, 2, 2, 2]})
    patterns = ieeg_patterns(epochs, conditions="stimulus", folds="run", **options)
    assert patterns.conditions == tuple(CONDITIONS[::-1])
    assert patterns.folds == (1, 1, 1, 2, 2, 2)
    epochs.events[:, 2] = [1, 2, 1, 2, 1, 2]
    epochs.event_id = {"face": 1, "house": 2}
    assert ieeg_patterns(epochs, **options).conditions == ("face", "house") * 3
    with pytest.raises(rf.InputError, match="expected 6 conditions, one per epoch, got 2"):
        ieeg_patterns(epochs, conditions=["a", "b"], **options)
    with pytest.raises(rf.InputError, match="unknown column of the metadata.*Did you mean"):
        ieeg_patterns(epochs, conditions="stimulu", **options)
    epochs.metadata = pd.DataFrame({"stimulus": ["n/a", *CONDITIONS[1:]]})
    with pytest.raises(rf.InputError, match="value of 'stimulus' for every epoch, but 1 of 6"):
        ieeg_patterns(epochs, conditions="stimulus", **options)
    epochs.metadata = None
    with pytest.raises(rf.InputError, match="expected epochs with metadata"):
        ieeg_patterns(epochs, conditions="stimulus", **options)


def test_bad_channels_and_other_types_are_left_out():
    epochs = simulated(CONDITIONS)
    epochs.info["bads"] = ["A2"]
    epochs.set_channel_types({"B1": "misc"})
    patterns = ieeg_patterns(epochs, electrodes=table(), conditions=CONDITIONS, signal="raw")
    assert list(patterns.electrodes["name"]) == ["A1", "A3"]
    epochs.set_channel_types(dict.fromkeys(NAMES, "eeg"))
    with pytest.raises(rf.InputError, match="expected channels of type ecog, seeg, dbs"):
        ieeg_patterns(epochs, electrodes=table(), conditions=CONDITIONS)


@pytest.mark.parametrize(
    "change, options, message",
    [
        ({}, {"stimuli": CONDITIONS[1:]}, r"1 conditions \(1 of 6 epochs\) are not in the"),
        ({"rate": 250.0}, {}, "sampling rate of at least 320 Hz for a band up to 150 Hz"),
        ({"tmin": 0.0, "tmax": 0.2}, {"baseline": None}, r"longer than the filter \(0.33 s\), got"),
        ({"tmin": -0.2}, {}, "expected a baseline within -0.034 to"),
        ({}, {"between": (0.0, 2.0)}, "expected a time to keep within"),
        ({}, {"line_noise": -1}, "expected the frequency of line noise in Hz, got -1"),
        ({}, {"band": (150, 70)}, "expected a band"),
        ({}, {"signal": "gamma"}, "unknown signal 'gamma'"),
        ({}, {"edges": "zero"}, "unknown way with edges"),
        ({}, {"bin_width": 9.0}, "expected a bin_width from 0.002 to"),
        ({}, {"unplaced": "yes"}, "unknown way with electrodes without a place"),
    ],
)
def test_refusals_of_patterns(change, options, message):
    with pytest.raises(rf.InputError, match=message):
        ieeg_patterns(
            simulated(CONDITIONS, **change), electrodes=table(), conditions=CONDITIONS, **options
        )


def test_refusals_of_recordings():
    options = {"electrodes": table(), "conditions": CONDITIONS}
    with pytest.raises(TypeError, match="expected mne epochs, got ndarray"):
        ieeg_patterns(np.zeros((6, 4, 10)), **options)
    epochs = simulated(CONDITIONS)
    with epochs.info._unlock():
        epochs.info["lowpass"] = 100.0
    with pytest.raises(rf.InputError, match="it was low-pass filtered at 100 Hz"):
        ieeg_patterns(epochs, **options)
    epochs = simulated(CONDITIONS)
    with epochs.info._unlock():
        epochs.info["line_freq"] = None
    with pytest.raises(rf.InputError, match="line_noise=50 or 60"):
        ieeg_patterns(epochs, **options)
    epochs = simulated(CONDITIONS)
    epochs._data[2, 1] = 1e-5
    with pytest.raises(rf.InputError, match="1 electrodes are flat in 1 trials: 'A2'"):
        ieeg_patterns(epochs, **options)
    epochs._data[2, 1, 3] = np.nan
    with pytest.raises(rf.InputError, match="1 electrodes hold NaN or infinite ones: 'A2'"):
        ieeg_patterns(epochs, **options)


def test_mne_is_an_optional_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "mne", None)
    with pytest.raises(rf.MissingExtraError, match=r"pip install 'rsa-faces\[ieeg\]'"):
        ieeg_patterns(None, electrodes=table())


# Electrodes


def test_electrodes_without_a_place_are_counted():
    places = table()
    places.loc[0, "region"] = "n/a"
    places.loc[1, "x"] = np.nan
    places = places.iloc[:3]  # B1 has no row
    counted = r"3 of 4 electrodes of 'p1' have no place \(2 no region, 2 no coordinates\): 'A1', "
    with pytest.raises(rf.InputError, match=counted):
        raw_patterns(CONDITIONS, places=places)
    with pytest.warns(UserWarning, match=counted + ".*left out"):
        dropped = raw_patterns(CONDITIONS, places=places, unplaced="drop")
    assert list(dropped.electrodes["name"]) == ["A3"]
    with pytest.warns(UserWarning, match=counted + ".*kept as 'unknown'"):
        kept = raw_patterns(CONDITIONS, places=places, unplaced="keep")
    assert list(kept.electrodes["region"]) == ["unknown", "ventral", "ventral", "unknown"]
    with pytest.warns(UserWarning, match="2 of 4 electrodes have an unknown region"):
        rdms = ieeg_rdms(kept, step=0.1)
    assert set(rdms.labels["region"]) == {"ventral"}
    with pytest.raises(rf.InputError, match="expected electrodes to be left"):
        raw_patterns(CONDITIONS, places=table(["Z1"]), unplaced="drop")


def test_electrodes_of_several_patients_are_told_apart():
    both = pd.concat([table(), table(patient="p2", regions=["lateral"] * 4)], ignore_index=True)
    options = {"electrodes": both, "conditions": CONDITIONS, "signal": "raw"}
    epochs = simulated(CONDITIONS)
    assert ieeg_patterns(epochs, **options, patient="p2").regions == ("lateral",)
    with pytest.raises(rf.InputError, match="expected the electrodes of one patient, got 2"):
        ieeg_patterns(epochs, **options)
    with pytest.raises(rf.InputError, match="unknown patient 'p3'"):
        ieeg_patterns(epochs, **options, patient="p3")


def test_read_electrodes_from_files(tmp_path):
    path = tmp_path / "sub-07_space-MNI152_electrodes.tsv"
    path.write_text(
        "name\tx\ty\tz\tsize\tanatomy\nA1\t0.04\t-0.05\t-0.02\t5\tFusiform\n"
        "A2\tn/a\tn/a\tn/a\t5\tn/a\n"
    )
    beside = path.with_name("sub-07_space-MNI152_coordsystem.json")
    with pytest.raises(rf.InputError, match="expected the unit of the coordinates"):
        read_electrodes(path, region="anatomy")
    beside.write_text(json.dumps({"iEEGCoordinateUnits": "m"}))
    found = read_electrodes(path, region="anatomy", regions={"Fusiform": "ventral"})
    assert tuple(found.columns) == COLUMNS
    assert list(found["patient"]) == ["07", "07"]
    assert found["region"].tolist() == ["ventral", None]
    np.testing.assert_allclose(found[["x", "y", "z"]], [[40, -50, -20], [np.nan] * 3])
    assert read_electrodes(path, unit="mm")["x"][0] == 0.04
    assert read_electrodes(found).equals(found)
    beside.write_text(json.dumps({"iEEGCoordinateUnits": "pixels"}))
    with pytest.raises(rf.InputError, match="iEEGCoordinateUnits .* got 'pixels'"):
        read_electrodes(path)


@pytest.mark.parametrize(
    "change, options, message",
    [
        ({"name": ["A1", "A1"]}, {}, "each electrode of a patient once, but 1 occur again: 'A1'"),
        ({"x": ["1", "left"]}, {}, "numbers in column 'x'.*'left'"),
        ({}, {"region": "regions"}, "Did you mean 'region'"),
        ({}, {"regions": {"ventra": "v"}}, "unknown region 'ventra'. Did you mean 'ventral'"),
        ({}, {"unit": "inch"}, "unknown unit of coordinates"),
    ],
)
def test_refusals_of_electrodes(change, options, message):
    with pytest.raises(rf.InputError, match=message):
        read_electrodes(table(["A1", "A2"]).assign(**change), **options)


def test_refusals_of_tables(tmp_path):
    with pytest.raises(rf.InputError, match="whose electrodes"):
        read_electrodes(table().drop(columns="patient"))
    with pytest.raises(rf.InputError, match="electrodes.tsv does not exist"):
        read_electrodes(tmp_path / "electrodes.tsv")
    with pytest.raises(TypeError, match="expected a DataFrame or a path, got int"):
        read_electrodes(3)


# Choice of electrodes


def localiser(seed=1, gain=1.0, n=40, source="localiser"):
    """Return simulated trials of faces and houses; A1 and A3 prefer faces."""
    conditions = ["face", "house"] * n
    epochs = simulated(conditions, seed=seed, rate=100.0, tmin=-0.2, tmax=0.6)
    inside = (epochs.times > 0.1) & (epochs.times < 0.4)
    epochs._data[::2, ::2] += gain * 1e-5 * inside
    return ieeg_patterns(
        epochs, electrodes=table(), conditions=conditions, signal="raw", source=source
    )


@pytest.mark.parametrize("test", ["rank", "t"])
def test_face_selective_is_a_one_sided_test_with_fdr(test):
    patterns = localiser(3, gain=0.2)
    found = face_selective(patterns, faces=["face"], others=["house"], test=test).table
    inside = (patterns.times >= 0.1 - 1e-9) & (patterns.times <= 0.4 + 1e-9)
    response = patterns.values[..., inside].mean(axis=2)
    p = []
    for e in range(4):
        a, b = response[::2, e], response[1::2, e]
        if test == "rank":
            p.append(stats.mannwhitneyu(a, b, alternative="greater").pvalue)
        else:
            p.append(stats.ttest_ind(a, b, alternative="greater", equal_var=False).pvalue)
    np.testing.assert_allclose(found["p"], p, rtol=1e-10)
    order = np.argsort(p)
    expected = np.empty(4)
    running = 1.0
    for rank in range(4, 0, -1):
        running = min(running, p[order[rank - 1]] * 4 / rank)
        expected[order[rank - 1]] = running
    np.testing.assert_allclose(found["p_corrected"], expected, rtol=1e-10)
    assert found["selective"].tolist() == [True, False, True, False]


def test_selected_electrodes_need_independent_trials():
    patterns = localiser()
    odd, even = split_trials(patterns)
    assert not set(odd.trials) & set(even.trials)
    assert odd.conditions == even.conditions == ("face", "house") * 20
    selection = face_selective(odd, faces=["face"], others=["house"])
    assert list(select_electrodes(even, selection).electrodes["name"]) == ["A1", "A3"]
    assert list(select_electrodes(localiser(4, source="main"), selection).regions) == ["ventral"]
    with pytest.raises(rf.InputError, match="40 of 40 trials were used for it"):
        select_electrodes(odd, selection)
    with pytest.raises(rf.InputError, match="40 of 80 trials were used for it"):
        select_electrodes(patterns, selection)
    # The same data under another name are known by their values, ...
    renamed = localiser(source="another")
    with pytest.raises(rf.InputError, match="40 of 80 trials were used for it"):
        select_electrodes(renamed, selection)
    # ... and other values of the same events by the events.
    with pytest.raises(rf.InputError, match="40 of 80 trials were used for it"):
        select_electrodes(localiser(5), selection)


def test_refusals_of_selection():
    patterns = localiser()
    sides = {"faces": ["face"], "others": ["house"]}
    with pytest.raises(rf.InputError, match="independent of the analysis must be declared"):
        face_selective(localiser(source=""), **sides)
    selection = face_selective(patterns, **sides)
    with pytest.raises(rf.InputError, match="source of the recording to analyse, got none"):
        select_electrodes(localiser(3, source=""), selection)
    with pytest.raises(rf.InputError, match="1 are in both: 'face'"):
        face_selective(patterns, faces=["face"], others=["face", "house"])
    with pytest.raises(rf.InputError, match="unknown condition 'faces'. Did you mean 'face'"):
        face_selective(patterns, faces=["faces"], others=["house"])
    with pytest.raises(TypeError, match="got the single string 'face'"):
        face_selective(patterns, faces="face", others=["house"])
    with pytest.raises(rf.InputError, match="at least 3 trials of faces, got 2"):
        face_selective(localiser(n=2), **sides)
    with pytest.raises(rf.InputError, match="expected a window within"):
        face_selective(patterns, **sides, window=(0.1, 4.0))
    with pytest.raises(rf.InputError, match="unknown test"):
        face_selective(patterns, **sides, test="z")
    with pytest.raises(rf.InputError, match="expected alpha between 0 and 1"):
        face_selective(patterns, **sides, alpha=5)
    other = localiser(2, source="main")
    other.electrodes["name"] = ["X1", "A2", "A3", "B1"]
    with pytest.raises(rf.InputError, match="1 were not in it: 'X1'"):
        select_electrodes(other, selection)
    nothing = face_selective(patterns, faces=["house"], others=["face"])
    with pytest.raises(rf.InputError, match="none of 4 does"):
        select_electrodes(localiser(2, source="main"), nothing)
    with pytest.raises(rf.InputError, match="at least 2 trials of each condition"):
        split_trials(raw_patterns(CONDITIONS))


@pytest.mark.simulation
@pytest.mark.slow
def test_face_selective_keeps_the_false_discovery_rate():
    # Without any preference the rate of patients with a selected electrode is alpha.
    n, hits = 400, 0
    patterns = localiser(gain=0.0, n=15)
    rng = np.random.default_rng(0)
    for _ in range(n):
        patterns.values[...] = rng.normal(size=patterns.values.shape)
        hits += face_selective(patterns, faces=["face"], others=["house"]).table["selective"].any()
    low, high = stats.binom.ppf([0.005, 0.995], n, 0.05)
    assert low <= hits <= high


# RDMs


def obvious_rdms(patterns, electrodes, n_samples, pool="concatenate"):
    """Return correlation distances of mean patterns in sliding windows, one loop per window."""
    names = np.array(patterns.conditions)
    means = np.array([patterns.values[names == c].mean(axis=0) for c in sorted(set(names))])
    means = means[:, electrodes]
    vectors = []
    for start in range(means.shape[2] - n_samples + 1):
        part = means[:, :, start : start + n_samples]
        part = part.mean(axis=2) if pool == "average" else part.reshape(len(part), -1)
        vectors.append(pdist(part, "correlation"))
    return np.array(vectors)


def test_rdms_per_electrode_region_and_patient():
    patterns = raw_patterns()
    per = {p: ieeg_rdms(patterns, per=p, window=0.1) for p in ("electrode", "region", "patient")}
    n = len(patterns.times) - 9
    assert [len(r) for r in per.values()] == [4 * n, 2 * n, n]
    tolerance = {"atol": 1e-12}
    for i, name in enumerate(NAMES):
        found = per["electrode"].sel(electrode=name)
        np.testing.assert_allclose(found.vectors, obvious_rdms(patterns, [i], 10), **tolerance)
    found = per["region"].sel(region="ventral")
    np.testing.assert_allclose(found.vectors, obvious_rdms(patterns, [0, 1, 2], 10), **tolerance)
    assert found.labels["n_electrodes"].unique() == [30 // 10]
    np.testing.assert_allclose(
        per["patient"].vectors, obvious_rdms(patterns, range(4), 10), **tolerance
    )
    average = ieeg_rdms(patterns, per="patient", window=0.1, pool="average")
    np.testing.assert_allclose(
        average.vectors, obvious_rdms(patterns, range(4), 10, "average"), **tolerance
    )
    times = per["patient"].labels["time"]
    np.testing.assert_allclose(times.iloc[0], patterns.times[:10].mean(), atol=1e-9)
    assert list(per["electrode"].labels.columns) == [
        "subject",
        "region",
        "electrode",
        "time",
        "n_electrodes",
        "signal",
    ]


def test_pooled_rdms_are_of_all_electrodes_and_one_subject():
    patients = [raw_patterns(seed=i, patient=f"p{i}") for i in range(3)]
    # Another order of recording: conditions go by name.
    patients[1] = patients[1].take_trials(np.arange(18)[::-1])
    pooled = ieeg_rdms(patients, per="region", pooled=True, step=0.1)
    assert list(dict.fromkeys(pooled.labels["region"])) == ["ventral", "lateral"]
    assert set(pooled.labels["subject"]) == {POOLED}
    assert set(pooled.labels["n_patients"]) == {3}
    one = pooled.sel(region="ventral")
    assert set(one.labels["n_electrodes"]) == {9}

    def mean(patterns, name):
        return patterns.values[np.array(patterns.conditions) == name].mean(axis=0)[:3]

    values = np.stack([np.concatenate([mean(p, c) for p in patients]) for c in CONDITIONS])
    expected = rdm_movie(
        values,
        times=patients[0].times,
        conditions=CONDITIONS,
        window=0.1,
        step=0.1,
        pool="concatenate",
    )
    np.testing.assert_allclose(one.align(CONDITIONS).vectors, expected.vectors, atol=1e-12)
    with pytest.raises(rf.InputError, match="at least 2 subjects"):
        rf.inference.time_course(rf.RDMs(np.arange(15.0), CONDITIONS, "any"), one)


def test_rdms_of_patients_are_matched_by_name():
    patients = [raw_patterns(seed=i, patient=f"p{i}") for i in range(2)]
    shuffled = patients[1].take_trials(np.random.default_rng(0).permutation(18))
    both, other = (ieeg_rdms([patients[0], p], step=0.1) for p in (patients[1], shuffled))
    np.testing.assert_allclose(both.vectors, other.vectors, atol=1e-12)


def test_crossnobis_over_runs_is_unbiased_and_follows_folds():
    conditions = CONDITIONS * 6
    epochs = simulated(conditions, rate=100.0, tmin=-0.2, tmax=0.6)
    epochs.metadata = pd.DataFrame({"run": np.repeat([1, 2, 3], 12)})
    patterns = ieeg_patterns(
        epochs, electrodes=table(), conditions=conditions, signal="raw", folds="run"
    )
    found = ieeg_rdms(patterns, per="patient", measure="crossnobis", step=0.1)
    expected = rdm_movie(
        patterns.values,
        times=patterns.times,
        conditions=conditions,
        window=0.1,
        step=0.1,
        measure="crossnobis",
        pool="concatenate",
        folds=patterns.folds,
    )
    assert found.align(expected.conditions).vectors == pytest.approx(expected.vectors)
    assert (found.vectors < 0).any()
    with pytest.raises(rf.InputError, match="expected patterns with folds"):
        ieeg_rdms(raw_patterns(), measure="crossnobis")


def test_time_courses_are_those_of_mne_rsa():
    patterns = raw_patterns()
    model = rf.RDMs(np.random.default_rng(1).random(15), CONDITIONS, "any")
    names = np.array(patterns.conditions)
    info = mne.create_info(NAMES, 100.0, "eeg")
    evokeds = [
        mne.EvokedArray(patterns.values[names == c].mean(axis=0) * 1e-6, info, patterns.times[0])
        for c in CONDITIONS
    ]
    theirs = mne_rsa.rsa_evokeds(
        evokeds,
        model.vectors[0],
        temporal_radius=0.05,
        evoked_rdm_metric="correlation",
        rsa_metric="spearman",
    )
    data = ieeg_rdms(patterns, per="patient", window=0.11)  # 5 samples to each side and one
    ours = rf.compare(model, data, method="spearman")[0]
    np.testing.assert_allclose(theirs.times, data.labels["time"], atol=1e-9)
    np.testing.assert_allclose(ours, theirs.data[0], atol=1e-8)


def test_refusals_of_rdms():
    patterns = raw_patterns()
    other = raw_patterns(CONDITIONS[1:] * 2, seed=1, patient="p2")
    with pytest.raises(rf.ConditionMismatchError, match="only in patient 'p1': 'c0'"):
        ieeg_rdms([patterns, other])
    assert len(ieeg_rdms([patterns.take_conditions(CONDITIONS[1:]), other], step=0.4)) == 8
    with pytest.raises(rf.InputError, match="'p1' occurs more than once"):
        ieeg_rdms([patterns, patterns])
    with pytest.raises(TypeError, match="expected IeegPatterns"):
        ieeg_rdms([])
    with pytest.raises(rf.InputError, match="unknown unit of RDMs"):
        ieeg_rdms(patterns, per="layer")
    with pytest.raises(rf.InputError, match="expected to pool the electrodes"):
        ieeg_rdms(patterns, per="electrode", pooled=True)
    shorter = raw_patterns(seed=1, patient="p2", between=(0.0, 0.4))
    with pytest.raises(rf.InputError, match="same times in pooled patients"):
        ieeg_rdms([patterns, shorter], pooled=True)
    with pytest.raises(rf.InputError, match="2 channels .* 'p1' has one electrode in 'A1'"):
        ieeg_rdms(patterns, per="electrode", pool="average")
    with pytest.raises(rf.InputError, match="at least 2 channels .* in 'lateral'"):
        ieeg_rdms(patterns, window=None)
    with pytest.raises(rf.InputError, match="expected at least one electrode"):
        patterns.take_electrodes(np.zeros(4, bool))
    with pytest.raises(rf.InputError, match="True or False for each of 4"):
        patterns.take_electrodes([0, 1])
    with pytest.raises(rf.InputError, match="expected at least one trial"):
        patterns.take_trials(np.zeros(18, bool))


# BIDS


def brain_vision(folder, field, names, rate):
    """Write a recording in volts as BrainVision files and return its header."""
    header, markers, data = (folder / f"simulated.{e}" for e in ("vhdr", "vmrk", "eeg"))
    (field.T * 1e6).astype("<f4").tofile(data)
    markers.write_text(
        "Brain Vision Data Exchange Marker File, Version 1.0\n\n[Common Infos]\nCodepage=UTF-8\n"
        f"DataFile={data.name}\n\n[Marker Infos]\nMk1=New Segment,,1,1,0\n"
    )
    channels = "".join(f"Ch{i}={name},,1,µV\n" for i, name in enumerate(names, start=1))
    header.write_text(
        "Brain Vision Data Exchange Header File Version 1.0\n\n[Common Infos]\nCodepage=UTF-8\n"
        f"DataFile={data.name}\nMarkerFile={markers.name}\nDataFormat=BINARY\n"
        f"DataOrientation=MULTIPLEXED\nNumberOfChannels={len(names)}\n"
        f"SamplingInterval={1e6 / rate:g}\n\n[Binary Infos]\nBinaryFormat=IEEE_FLOAT_32\n\n"
        f"[Channel Infos]\n{channels}",
        encoding="utf-8",
    )
    return header


def write_bids_ieeg(root, source, subject="07", seed=0):
    """Write a simulated recording of a patient in BIDS-iEEG; return its path and the recording."""
    rng = np.random.default_rng(seed)
    rate, names = 500.0, ["A1", "A2", "A3"]
    field = rng.normal(0, 1e-5, (3, int(30 * rate)))
    header = brain_vision(source, field, names, rate)
    raw = mne.io.read_raw_brainvision(header)
    raw.set_channel_types(dict.fromkeys(names, "seeg"))
    with raw.info._unlock():
        raw.info["line_freq"] = 50
    places = {n: np.array([0.04, -0.05, -0.02 + 0.01 * i]) for i, n in enumerate(names)}
    raw.set_montage(mne.channels.make_dig_montage(places, coord_frame="mni_tal"))
    onsets = 2.0 + 1.4 * np.arange(18)
    raw.set_annotations(mne.Annotations(onsets, 0.0, ["face", "house", "fixation"] * 6))
    path = mne_bids.BIDSPath(subject=subject, task="faces", run="1", root=root, datatype="ieeg")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mne_bids.write_raw_bids(raw, path, overwrite=True, verbose="error")
    events = path.copy().update(suffix="events", extension=".tsv").fpath
    frame = pd.read_csv(events, sep="\t")
    frame["stimulus"] = [f"image {i // 3}" if i % 3 < 2 else "n/a" for i in range(18)]
    frame.to_csv(events, sep="\t", index=False, na_rep="n/a")
    (electrodes,) = path.directory.rglob("*electrodes.tsv")
    frame = pd.read_csv(electrodes, sep="\t")
    frame["region"] = ["fusiform", "fusiform", "STS"]
    frame.to_csv(electrodes, sep="\t", index=False, na_rep="n/a")
    return path, raw


@pytest.fixture(scope="module")
def bids_root(tmp_path_factory):
    """A simulated BIDS-iEEG data set of one patient."""
    return write_bids_ieeg(tmp_path_factory.mktemp("bids"), tmp_path_factory.mktemp("source"))


@pytest.mark.filterwarnings("ignore")
def test_a_bids_data_set_is_read(bids_root):
    path, raw = bids_root
    regions = {"fusiform": "ventral", "STS": "lateral"}
    epochs, electrodes = read_bids_ieeg(
        path, between=(-0.5, 0.8), query="trial_type == 'face'", regions=regions
    )
    assert len(epochs) == 6
    assert list(epochs.metadata["stimulus"]) == [f"image {i}" for i in range(6)]
    onset = int(2.0 * 500)
    np.testing.assert_allclose(
        epochs.get_data()[0], raw.get_data()[:, onset - 250 : onset + 401], atol=2e-7
    )
    assert electrodes["region"].tolist() == ["ventral", "ventral", "lateral"]
    np.testing.assert_allclose(electrodes[["x", "y", "z"]].iloc[0], [40, -50, -20], atol=1e-3)
    patterns = ieeg_patterns(epochs, electrodes=electrodes, conditions="stimulus")
    assert patterns.patient == "07"
    assert patterns.settings["sub_bands"] == sub_bands((70, 150), 50)
    rdms = ieeg_rdms(patterns, step=0.1)
    assert set(rdms.labels["region"]) == {"ventral", "lateral"}
    by_stimulus, _ = read_bids_ieeg(path, events="stimulus")
    assert len(by_stimulus) == 12
    with pytest.raises(rf.InputError, match="expected events with a value of 'trial_type'"):
        read_bids_ieeg(path, query="trial_type == 'none'")
    with pytest.raises(rf.InputError, match="expected the column 'stimuli'"):
        read_bids_ieeg(path, events="stimuli")
    with pytest.raises(rf.InputError, match=r"expected a file events\.tsv"):
        read_bids_ieeg(path.copy().update(subject="08"))


# Figures


def test_glass_brain_counts_what_it_shows():
    places = pd.concat([table(patient="p1"), table(patient="p2")], ignore_index=True)
    places.loc[0, "y"] = np.nan
    figure = plot_electrodes(places)
    texts = [t.get_text() for t in figure.texts]
    assert "7 electrodes of 2 patients; 1 without coordinates not shown" in texts
    labels = [t.get_text() for t in figure.legends[0].get_texts()]
    assert labels == ["ventral (5)", "lateral (2)"]
    figure = plot_electrodes([table(), table(patient="p2")], values=np.arange(8.0), label="z")
    assert not figure.legends
    assert any(a.get_ylabel() == "z" for a in figure.axes)
    many = table([f"A{i}" for i in range(12)], regions=[f"r{i:02}" for i in range(12)])
    labels = [t.get_text() for t in plot_electrodes(many).legends[0].get_texts()]
    assert len(labels) == 9
    assert labels[-1] == "others (4)"


def test_refusals_of_the_glass_brain():
    with pytest.raises(rf.InputError, match="none of 4 electrodes has any"):
        plot_electrodes(table().assign(x=np.nan))
    with pytest.raises(rf.InputError, match="in mm in MNI space, but the largest is 0.05"):
        plot_electrodes(table().assign(x=0.04, y=-0.05, z=0.0))
    with pytest.raises(rf.InputError, match="expected 4 values"):
        plot_electrodes(table(), values=[1.0])
    with pytest.raises(rf.InputError, match="unknown meaning of colours"):
        plot_electrodes(table(), by="size")
