"""BIDS: what is missing, ambiguous or odd in data sets of fMRI and of intracranial recordings."""

import json
import re
import shutil

import nibabel
import numpy as np
import pandas as pd
import pytest
from situation import Situation, check, command, each
from test_fmri import image, with_confounds, write_bids
from test_ieeg import NAMES, simulated, table, write_bids_ieeg

from rsa_faces.brain import (
    bids_mask,
    bids_patterns,
    glm_patterns,
    ieeg_patterns,
    read_bids_ieeg,
    read_electrodes,
)
from rsa_faces.runs.timecourse.recordings import _epochs

pytestmark = pytest.mark.filterwarnings("ignore")
MOTION = {"strategy": ["motion"], "motion": "basic"}


@pytest.fixture(scope="session")
def data_sets(tmp_path_factory):
    """A data set of fMRI and one of intracranial recordings, to be copied and spoilt."""
    root = tmp_path_factory.mktemp("bids")
    write_bids(root / "fmri", conditions=("cat", "face", "house", "shoe"))
    write_bids_ieeg(root / "ieeg", tmp_path_factory.mktemp("source"))
    return root


def fmri(spoil=None, **options):
    """Estimate patterns of a copy of the data set in which something was spoilt."""

    def run(folder):
        if spoil is not None:
            spoil(folder / "fmri")
        given = {
            "task": "faces",
            "subject": "01",
            "derivatives": "derivatives/fmriprep",
            "noise_model": "ols",
        } | options
        return bids_patterns(folder / "fmri", **given)

    return run


def files(root, pattern):
    found = sorted(root.rglob(pattern))
    assert found, pattern
    return found


def renamed(old, new):
    """Rename files of the derivatives."""

    def spoil(root):
        for path in (root / "derivatives").rglob("*"):
            if path.is_file() and re.search(old, path.name):
                path.rename(path.with_name(re.sub(old, new, path.name)))

    return spoil


def copied(old, new):
    """Copy images of the derivatives to another version."""

    def spoil(root):
        for path in list((root / "derivatives").rglob("*")):
            if path.is_file() and re.search(old, path.name):
                shutil.copy(path, path.with_name(re.sub(old, new, path.name)))

    return spoil


def events(change, run="01"):
    """Change the events of a run."""

    def spoil(root):
        (path,) = files(root, f"*run-{run}_events.tsv")
        frame = pd.read_csv(path, sep="\t", dtype=str)
        change(frame).to_csv(path, sep="\t", index=False, na_rep="n/a")

    return spoil


def both(*spoils):
    def spoil(root):
        for one in spoils:
            one(root)

    return spoil


def without(pattern):
    return lambda root: [path.unlink() for path in files(root, pattern)]


def written(pattern, content):
    return lambda root: [path.write_text(content) for path in files(root, pattern)]


def truncated(pattern):
    return lambda root: [p.write_bytes(p.read_bytes()[:20000]) for p in files(root, pattern)]


def set_cell(column, value, row=0):
    def change(frame):
        frame.loc[row, column] = value
        return frame

    return change


def same_as_before(spoil, **options):
    """What is spoilt does not matter, or is chosen by an option."""

    def run(folder):
        want = fmri()(folder)
        got = fmri(spoil, **options)(folder)
        np.testing.assert_allclose(got.values, want.values)
        assert got.conditions == want.conditions

    return run


def with_modulation(folder):
    """Patterns are the response for one unit of the modulation."""
    want = fmri(model="condition")(folder)

    def change(frame):
        return frame.assign(modulation="2")

    got = fmri(both(events(change), events(change, "02")))(folder)
    np.testing.assert_allclose(got.values, want.values / 2, rtol=1e-6)


def stim_files(folder):
    want = fmri()(folder)

    def change(frame):
        name = "images/" + frame["trial_type"] + ".png"
        return frame.assign(stim_file=name, trial_type="stimulus")

    got = fmri(both(events(change), events(change, "02")), condition_column="stim_file")(folder)
    np.testing.assert_allclose(got.values, want.values)
    assert got.conditions == want.conditions


def scrubbed(folder):
    def mark(frame):
        frame["framewise_displacement"] = np.where(np.arange(90) == 40, 3.0, 0.1)
        return frame.assign(std_dvars=1.0)

    def spoil(root):
        for run in ("01", "02"):
            with_confounds(root, mark, run)

    options = {"confounds": {**MOTION, "strategy": ["motion", "scrub"], "scrub": 0}}
    with pytest.warns(UserWarning, match="1 of 90 scans of run '02'"):
        got = fmri(spoil, **options)(folder)
    assert [len(rows) for rows in got.residuals.values()] == [89, 89]


def counted(spoil, sentence, **options):
    def run(folder):
        with pytest.warns(UserWarning, match=sentence):
            fmri(spoil, **options)(folder)

    return run


def glm(**options):
    """Fit one simulated run."""
    rng = np.random.default_rng(0)
    bold = image(100 + rng.normal(size=(3, 3, 3, 60)))
    frame = pd.DataFrame(
        {"onset": [4.0, 24, 44, 64], "duration": 4.0, "trial_type": ["face", "house"] * 2}
    )
    return lambda folder: glm_patterns([bold], [frame], t_r=2.0, **options)


def compare(spoil=None, **changes):
    """Compare a region of the data set on the command line."""

    def run(folder):
        import yaml
        from PIL import Image

        if spoil is not None:
            spoil(folder / "fmri")
        (folder / "faces").mkdir()
        names = ["cat", "face", "house", "shoe"]
        for i, name in enumerate(names):
            Image.new("RGB", (8, 8), (40 * i, 90, 0)).save(folder / "faces" / f"{name}.png")
        pd.DataFrame({"file": [f"{n}.png" for n in names], "kind": list("aabb")}).to_csv(
            folder / "faces.csv", index=False
        )
        bids = {
            "root": "fmri",
            "task": "faces",
            "subjects": ["01"],
            "derivatives": "derivatives/fmriprep",
            "noise_model": "ols",
        } | changes
        sphere = {"center": [20, -30, 5], "radius": 6}
        config = {
            "title": "t",
            "stimuli": {"folder": "faces", "manifest": "faces.csv"},
            "data": [{"region": "FFA", "fmri": {"bids": bids, "sphere": sphere}}],
            "models": [{"metadata": "kind"}],
            "inference": {"bootstrap": "conditions", "n_boot": 100},
        }
        (folder / "c.yaml").write_text(yaml.safe_dump(config))
        return command("compare", folder / "c.yaml", "--out", folder / "out")

    return run


def ieeg(spoil=None, **options):
    """Read the recording of a copy of the data set in which something was spoilt."""

    def run(folder):
        import mne_bids

        if spoil is not None:
            spoil(folder / "ieeg")
        path = mne_bids.BIDSPath(
            subject="07", task="faces", run="1", root=folder / "ieeg", datatype="ieeg"
        )
        return read_bids_ieeg(path, **options)

    return run


def tsv(name, change):
    """Change a table of the recording."""

    def spoil(root):
        (path,) = files(root, f"*_{name}.tsv")
        frame = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
        change(frame).to_csv(path, sep="\t", index=False)

    return spoil


def told(spoil, sentence, **options):
    def run(folder):
        with pytest.warns(UserWarning, match=sentence):
            ieeg(spoil, **options)(folder)

    return run


def channels_in_another_order(folder):
    want, _ = ieeg()(folder)
    got, _ = ieeg(tsv("channels", lambda frame: frame.iloc[::-1]))(folder)
    np.testing.assert_allclose(got.get_data(picks=NAMES[:3]), want.get_data(picks=NAMES[:3]))


def bad_channel_in_another_order(folder):
    def change(frame):
        return frame.assign(status=["bad", "good", "good"]).iloc[::-1]

    assert ieeg(tsv("channels", change))(folder)[0].info["bads"] == ["A1"]


def recorded_stimuli(folder):
    def change(frame):
        files = [f"faces/f{i // 2}.png" if i % 3 else "n/a" for i in range(len(frame))]
        return frame.assign(stim_file=files)

    epochs, _ = ieeg(tsv("events", change), events="stim_file")(folder)
    assert set(epochs.metadata["stim_file"]) == {f"f{i // 2}" for i in range(18) if i % 3}


def typed(kind):
    epochs = simulated([f"c{i}" for i in range(6)])
    epochs.set_channel_types(dict.fromkeys(epochs.ch_names, kind), verbose="error")
    return lambda folder: ieeg_patterns(
        epochs, electrodes=table(), conditions=list("abcdef"), signal="raw"
    )


def electrodes_twice(folder):
    return read_electrodes(pd.concat([table(), table()]))


def broken_epochs(folder):
    (folder / "p1-epo.fif").write_bytes(b"no epochs" * 50)
    return _epochs(folder / "p1-epo.fif")


SITUATIONS = [
    # Which images
    Situation(
        "a subject that is not there",
        fmri(subject="1"),
        "subject '1' .*derivatives/fmriprep', got '01'. Did you mean '01'",
    ),
    Situation("a task that is not there", fmri(task="houses"), "task 'houses'.*got 'faces'"),
    Situation(
        "derivatives that are not there",
        fmri(derivatives="derivatives/none"),
        "a folder 'derivatives/none'",
    ),
    Situation(
        "a space that is not there",
        fmri(space="T1w"),
        "space 'T1w'.*got 'MNI152NLin2009cAsym'. Say which with the option `space`",
    ),
    Situation(
        "images of the scanner's space only",
        fmri(renamed("_space-MNI152NLin2009cAsym", "")),
        "space 'MNI152NLin2009cAsym'.*got 'native'.*option `space`",
    ),
    Situation(
        "the scanner's space asked for",
        same_as_before(renamed("_space-MNI152NLin2009cAsym", ""), space="native"),
    ),
    Situation(
        "the anatomical space asked for",
        same_as_before(renamed("MNI152NLin2009cAsym", "T1w"), space="T1w"),
    ),
    Situation(
        "several resolutions",
        fmri(both(renamed("Asym_desc", "Asym_res-1_desc"), copied("res-1", "res-2"))),
        "one `res` .*got '1', '2': say which with the option `res`",
    ),
    Situation(
        "one of several resolutions asked for",
        same_as_before(
            both(renamed("Asym_desc", "Asym_res-1_desc"), copied("res-1", "res-2")), res="2"
        ),
    ),
    Situation(
        "several echoes",
        fmri(both(renamed("_space-", "_echo-1_space-"), copied("echo-1", "echo-2"))),
        "one `echo` .*got '1', '2': say which",
    ),
    Situation(
        "an echo that is not there",
        fmri(both(renamed("_space-", "_echo-1_space-"), copied("echo-1", "echo-2")), echo="3"),
        "echo '3'.*got '1', '2'",
    ),
    Situation("a session that is not there", fmri(session="2"), "session '2'.*option `session`"),
    Situation(
        "no preprocessed images",
        fmri(without("*_desc-preproc_bold.nii.gz")),
        "preprocessed images .* of subject '01'",
    ),
    Situation(
        "no events",
        fmri(without("*run-02_events.tsv")),
        r"expected events.* of 'sub-01_task-faces_run-02.*got none",
    ),
    Situation("no repetition time", fmri(without("*_bold.json")), "not stated. Give t_r"),
    Situation(
        "runs with other repetition times",
        fmri(written("*run-02*_bold.json", json.dumps({"RepetitionTime": 1.0}))),
        "one t_r of all runs",
    ),
    Situation(
        "a sidecar that is no JSON",
        fmri(written("*run-02*desc-preproc_bold.json", "{")),
        r"expected JSON in .*run-02",
    ),
    Situation(
        "a repetition time in words",
        fmri(written("*_bold.json", json.dumps({"RepetitionTime": "2 s"}))),
        "RepetitionTime of .* in s, got '2 s'",
    ),
    Situation("no brain mask", fmri(without("*run-02*brain_mask*")), "the brain mask .*run-02"),
    Situation(
        "a brain mask of probabilities",
        fmri(
            lambda root: [
                nibabel.save(image(0.9 * nibabel.load(p).get_fdata()), p)
                for p in files(root, "*brain_mask*")
            ]
        ),
        "exactly 0 and 1 in .*brain_mask.*threshold=0.45",
    ),
    Situation(
        "BOLD that ends too early",
        fmri(truncated("*run-02*desc-preproc_bold.nii.gz")),
        r"image of run '02' \(.*truncated",
    ),
    # Confounds
    Situation(
        "confounds of one run are missing",
        fmri(without("*run-02_desc-confounds*"), confounds=MOTION),
        "table of confounds of .*run-02.*asked for, got none",
    ),
    Situation(
        "a column of confounds is missing",
        fmri(
            lambda root: with_confounds(root, lambda t: t.drop(columns="rot_x"), "02"),
            confounds=MOTION,
        ),
        "run-02.*got: .*rot_x",
    ),
    Situation(
        "an unknown strategy of confounds",
        fmri(confounds={"strategy": ["movement"]}),
        "confounds .*'movement'.*run-01",
    ),
    Situation(
        "confounds without a strategy",
        fmri(confounds={"motion": "basic"}),
        "expected confounds with a strategy",
    ),
    Situation("confounds that leave scans out", scrubbed),
    Situation(
        "all scans are excluded",
        glm(sample_masks=[np.zeros(60, bool)]),
        "scans of run 1 to be left, but all are excluded",
    ),
    Situation(
        "a sample mask of another length",
        glm(sample_masks=[np.ones(59, bool)]),
        "True or False for each of 60 scans, .* got bool of shape .59",
    ),
    Situation(
        "a sample mask beyond the run",
        glm(sample_masks=[[0, 60]]),
        "numbers of scans that are kept",
    ),
    Situation(
        "unsteady scans where no confounds are asked for",
        counted(
            lambda root: with_confounds(
                root, lambda t: t.assign(non_steady_state_outlier00=0, non_steady_state_outlier01=0)
            ),
            "unsteady .2 of run '01'. and are fitted",
        ),
    ),
    # Events
    Situation(
        "an event before the first scan",
        fmri(events(set_cell("onset", "-4.0"))),
        r"run '01' from its first scan on, but 1 of 8 are before it: '\w+' at -4 s",
    ),
    Situation(
        "an event after the last scan",
        fmri(events(set_cell("onset", "400"))),
        "within the 180 s of run '01'",
    ),
    Situation("an onset n/a", fmri(events(set_cell("onset", "n/a"))), "onset in s of every event"),
    Situation(
        "an event without a trial type",
        counted(
            events(set_cell("trial_type", "n/a")),
            "1 of 8 events of run '01' have no trial_type .n/a.: .* not modelled",
            missing="keep",
        ),
    ),
    Situation("a column modulation", with_modulation),
    Situation(
        "a modulation that varies is said",
        counted(
            events(lambda t: t.assign(modulation=[str(i + 1) for i in range(8)])),
            "column modulation of the events of run '01' is used",
        ),
    ),
    Situation(
        "a modulation n/a",
        fmri(events(lambda t: set_cell("modulation", "n/a")(t.assign(modulation="1")))),
        "modulation of every event",
    ),
    Situation("stimulus files name the conditions", stim_files),
    Situation(
        "stimulus files that differ in folders only",
        fmri(
            events(lambda t: t.assign(stim_file=["a/1.png", "b/1.png"] * 4)),
            condition_column="stim_file",
        ),
        "files of different names in run '01'",
    ),
    Situation(
        "a column of conditions that is not there",
        fmri(condition_column="stim_file"),
        "column 'stim_file' in .*run-01_events.tsv",
    ),
    # On the command line
    Situation("compare with BIDS where all is well", compare(missing="keep")),
    Situation(
        "compare with a subject that is not in BIDS",
        compare(subjects=["01", "02"]),
        r"region 'FFA', subject '02', .*got '01'",
    ),
    Situation("compare with subjects as numbers", compare(subjects=[1]), "as text, in quotes"),
    Situation(
        "compare with a condition that is in one run only",
        compare(events(lambda t: t.assign(trial_type="cat"))),
        "region 'FFA', subject '01'.*Say `missing: drop`",
    ),
    Situation(
        "compare with confounds that are missing",
        compare(without("*run-02_desc-confounds*"), confounds=MOTION),
        "region 'FFA', subject '01'.*table of confounds",
    ),
    # Intracranial recordings
    Situation(
        "intracranial: an onset n/a",
        ieeg(tsv("events", set_cell("onset", "n/a"))),
        "onset in s of every event, but 1 of 18 have none",
    ),
    Situation(
        "intracranial: two events at one time",
        ieeg(tsv("events", set_cell("onset", "2.0", row=1))),
        "2 share a sample .at 500 Hz.: 'face' at 2 s and 'house' at 2 s",
    ),
    Situation(
        "intracranial: a query of an unknown column",
        ieeg(query="trial_typ == 'face'"),
        "'trial_typ' is no column. Did you mean 'trial_type'",
    ),
    Situation(
        "intracranial: a query that is none",
        ieeg(query="trial_type = 'face'"),
        "cannot evaluate \"trial_type = 'face'\"",
    ),
    Situation(
        "intracranial: a query that would run code",
        ieeg(query="trial_type.str.contains('f')"),
        "is not allowed",
    ),
    Situation("intracranial: a query of numbers", lambda f: ieeg(query="onset > 10")(f)),
    Situation("intracranial: channels.tsv in another order", channels_in_another_order),
    Situation(
        "intracranial: a bad channel, channels.tsv in another order", bad_channel_in_another_order
    ),
    Situation(
        "intracranial: channels.tsv with another name",
        ieeg(tsv("channels", set_cell("name", "X1"))),
        "channels.tsv .* same names.*X1",
    ),
    Situation(
        "intracranial: epochs beyond the recording",
        told(
            None, "of 18 epochs are left out: .* not within the recording of", between=(-0.5, 5.0)
        ),
    ),
    Situation(
        "intracranial: epochs in BAD",
        told(
            tsv(
                "events",
                lambda t: pd.concat(
                    [
                        t,
                        t.iloc[:1].assign(
                            trial_type="BAD_move", onset="6.0", duration="3.0", stimulus="n/a"
                        ),
                    ]
                ),
            ),
            "overlap an annotation BAD",
            query="trial_type != 'BAD_move'",
        ),
    ),
    Situation("intracranial: stimulus files name the events", recorded_stimuli),
    Situation(
        "intracranial: a recording that ends too early",
        ieeg(lambda root: [p.write_text("none") for p in files(root, "*_ieeg.vhdr")]),
        "recording in BIDS-iEEG",
    ),
    Situation(
        "intracranial: scalp EEG",
        typed("eeg"),
        "ecog, seeg, dbs .* got 4 eeg. Recordings from outside the skull",
    ),
    Situation("intracranial: MEG", typed("mag"), "got 4 mag. Recordings from outside"),
    Situation("intracranial: an electrode twice", electrodes_twice, "each electrode .* once"),
    Situation("intracranial: epochs that are none", broken_epochs, r"p1-epo\.fif, but they cannot"),
    Situation(
        "a brain mask of a subject that is not there",
        lambda f: bids_mask(
            f / "fmri", task="faces", subject="9", derivatives="derivatives/fmriprep"
        ),
        "the subject '9'",
    ),
]


@each(SITUATIONS)
def test_situation(situation, tmp_path, data_sets):
    shutil.copytree(data_sets, tmp_path, dirs_exist_ok=True)
    check(situation, tmp_path)


def test_advice_for_scalp_recordings_is_not_to_relabel_them():
    for kind in ("eeg", "mag"):
        with pytest.raises(ValueError, match=kind) as caught:
            typed(kind)(None)
        assert "set_channel_types" not in str(caught.value)
