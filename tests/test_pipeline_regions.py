"""Regions of `compare`: betas or BIDS, and every way to say where a region is."""

import nibabel
import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from test_fmri import AFFINE, SHAPE, write_bids

import rsa_faces as rf
from rsa_faces._core.errors import InputError
from rsa_faces.brain.images import VolumeImage
from rsa_faces.runs.compare.config import Config, FmriConfig
from rsa_faces.runs.compare.regions import _make_regions, sources, stand_ins

NAMES = [f"c{i}" for i in range(5)]
PARCEL = np.zeros(SHAPE, np.int16)
PARCEL[:3, :3] = 2
PARCEL[3:, :3] = 5


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Betas, residuals and contrasts of two simulated subjects, a mask and an atlas."""
    folder = tmp_path_factory.mktemp("regions")
    rng = np.random.default_rng(0)
    for s in ("s1", "s2"):
        for name, n in (("betas", 10), ("left", 60), ("t", 1)):
            values = rng.normal(size=(*SHAPE, n)).astype(np.float32)
            nibabel.save(
                nibabel.Nifti1Image(np.squeeze(values), AFFINE), folder / f"{s}_{name}.nii"
            )
    nibabel.save(nibabel.Nifti1Image(PARCEL, AFFINE), folder / "atlas.nii")
    nibabel.save(nibabel.Nifti1Image((PARCEL == 2).astype(np.uint8), AFFINE), folder / "mask.nii")
    moved = AFFINE.copy()
    moved[:3, 3] += 0.4
    nibabel.save(nibabel.Nifti1Image((PARCEL == 2).astype(np.uint8), moved), folder / "moved.nii")
    pd.DataFrame({"index": [2, 5], "name": ["FG1", "FG2"]}).to_csv(
        folder / "atlas.tsv", sep="\t", index=False
    )
    table = pd.DataFrame({"condition": NAMES * 2, "fold": np.repeat(["a", "b"], 5)})
    table.to_csv(folder / "v.csv", index=False)
    return folder


def entry(files, **changes):
    options = {
        "subjects": {s: files / f"{s}_betas.nii" for s in ("s1", "s2")},
        "conditions": files / "v.csv",
    }
    return FmriConfig(**options | changes)


def region_rdms(fmri, *regions, folder, notes=None):
    """The RDMs of regions that are read from the same images, as a run makes and reads them."""
    data = [{"region": region, "fmri": fmri} for region in regions]
    config = Config(title="t", data=data, models=[{"rdms": "m.h5"}])
    (source,), checked = sources(config), stand_ins(config, None)
    parts = {region: [] for region in regions}
    for subject in source.subjects:
        paths = {region: folder / f"{region}-{subject}.h5" for region in regions}
        said = _make_regions(source, subject, paths)
        if notes is not None:
            notes += said
        for region, path in paths.items():
            parts[region].append(rf.load_rdms(path))
    made = {region: rf.concat(rdms) for region, rdms in parts.items()}
    for region, rdms in made.items():
        # What was known before any value was read.
        assert checked[region].conditions == rdms.conditions
        assert checked[region].measure == rdms.measure
        assert list(checked[region].labels["subject"]) == list(rdms.labels["subject"])
    return made if len(made) > 1 else made[regions[0]]


def expected(files, mask, subject):
    data = nibabel.load(files / f"{subject}_betas.nii").get_fdata()[mask].T
    return rf.compute_rdms(
        data, conditions=NAMES * 2, folds=list("aaaaabbbbb"), measure="crossnobis"
    ).vectors[0]


def test_regions_by_mask_atlas_sphere_and_localiser(files, tmp_path):
    center = (AFFINE @ [1, 1, 1, 1])[:3]
    where = np.indices(SHAPE).reshape(3, -1).T @ AFFINE[:3, :3].T + AFFINE[:3, 3]
    ball = (np.linalg.norm(where - center, axis=1) <= 4).reshape(SHAPE)
    masks = {
        "mask": (entry(files, roi=files / "mask.nii"), lambda s: PARCEL == 2),
        "atlas": (
            entry(
                files,
                atlas={
                    "image": files / "atlas.nii",
                    "table": files / "atlas.tsv",
                    "labels": ["FG1", "FG2"],
                },
            ),
            lambda s: PARCEL > 0,
        ),
        "sphere": (entry(files, sphere={"center": center, "radius": 4}), lambda s: ball),
        "localiser": (
            entry(
                files,
                localiser={
                    "contrasts": {s: files / f"{s}_t.nii" for s in ("s1", "s2")},
                    "parcel": files / "mask.nii",
                    "n_voxels": 9,
                },
            ),
            lambda s: _best(nibabel.load(files / f"{s}_t.nii").get_fdata(), 9),
        ),
    }
    for name, (config, mask_of) in masks.items():
        rdms = region_rdms(config, name, folder=tmp_path)
        assert list(rdms.labels["region"]) == [name] * 2
        for i, subject in enumerate(("s1", "s2")):
            mask = mask_of(subject)
            np.testing.assert_allclose(
                rdms.align(NAMES).vectors[i], expected(files, mask, subject), atol=1e-9
            )
            assert rdms.labels["n_channels"][i] == mask.sum()


def _best(contrast, n):
    """The n largest of the parcel."""
    inside = np.where(PARCEL == 2, contrast, -np.inf)
    return inside >= np.sort(inside, axis=None)[-n]


def test_regions_of_the_same_images_read_them_once(files, tmp_path, monkeypatch):
    atlas = {"image": files / "atlas.nii", "table": files / "atlas.tsv", "labels": "{region}"}
    left = {s: files / f"{s}_left.nii" for s in ("s1", "s2")}
    fmri = entry(files, atlas=atlas, residuals=left, noise="ledoit-wolf", measure="mahalanobis")
    alone = [region_rdms(fmri, region, folder=tmp_path) for region in ("FG1", "FG2")]
    fill, filled = VolumeImage.fill, []
    monkeypatch.setattr(
        VolumeImage, "fill", lambda self, *to: (filled.append(self.path), fill(self, *to))
    )
    together = region_rdms(fmri, "FG1", "FG2", folder=tmp_path)
    read = [path.name for path in filled if path is not None]
    assert sorted(n for n in read if n[0] == "s") == sorted(
        f"{s}_{what}.nii" for s in ("s1", "s2") for what in ("betas", "left")
    )
    for region, rdms in zip(("FG1", "FG2"), alone, strict=True):
        np.testing.assert_array_equal(together[region].vectors, rdms.vectors)


def test_another_grid_is_an_error_unless_asked_for(files, tmp_path):
    with pytest.raises(
        InputError, match="region 'FFA', subject 's1', .*s1_betas.nii: .* say `resample: true`"
    ):
        region_rdms(entry(files, roi=files / "moved.nii"), "FFA", folder=tmp_path)
    moved = entry(files, roi=files / "moved.nii", resample=True)
    rdms = region_rdms(moved, "FFA", folder=tmp_path)
    np.testing.assert_allclose(rdms.vectors[0], expected(files, PARCEL == 2, "s1"), atol=1e-9)


def test_noise_from_residuals_of_the_whole_session(files, tmp_path):
    left = {s: files / f"{s}_left.nii" for s in ("s1", "s2")}
    rdms = region_rdms(
        entry(files, roi=files / "mask.nii", residuals=left, n_estimated=7, noise="ledoit-wolf"),
        "FFA",
        folder=tmp_path,
    )
    rows = nibabel.load(left["s2"]).get_fdata()[PARCEL == 2].T
    noise = rf.rdm.noise_covariance(rows, n_estimated=7)
    data = nibabel.load(files / "s2_betas.nii").get_fdata()[PARCEL == 2].T
    own = rf.compute_rdms(
        data, conditions=NAMES * 2, folds=list("aaaaabbbbb"), measure="crossnobis", noise=noise
    )
    np.testing.assert_allclose(rdms.vectors[1], own.vectors[0], atol=1e-9)
    assert rdms.labels["shrinkage"][1] == pytest.approx(noise.shrinkage)


@pytest.mark.filterwarnings("ignore")
def test_bold_in_bids_is_estimated_in_the_region_only(tmp_path, files):
    for i, subject in enumerate(("01", "02")):
        write_bids(tmp_path, subject, seed=i)
    bids = {
        "root": tmp_path,
        "task": "faces",
        "subjects": ["01", "02"],
        "derivatives": "derivatives/fmriprep",
    }
    config = FmriConfig(bids=bids, roi=files / "mask.nii", noise="ledoit-wolf")
    notes = []
    rdms = region_rdms(config, "FFA", folder=tmp_path, notes=notes)
    n = int((PARCEL == 2).sum())
    for subject in ("01", "02"):
        inside = rf.brain.bids_mask(
            tmp_path, task="faces", subject=subject, derivatives="derivatives/fmriprep"
        ).volume.mask
        n_out = int((~inside & (PARCEL == 2)).sum())
        assert n_out
        said = f"region 'FFA' of {subject}: {n_out} of {n} voxels lie outside the brain mask"
        assert sum(said in note for note in notes) == 1
    whole = rf.brain.bids_patterns(
        tmp_path, task="faces", subject="02", derivatives="derivatives/fmriprep"
    )
    roi = rf.brain.load_roi(files / "mask.nii", name="FFA")
    want = whole.rdms(roi, noise="ledoit-wolf")
    np.testing.assert_allclose(rdms.vectors[1], want.vectors[0], atol=1e-9)
    assert list(rdms.labels["subject"]) == ["01", "02"]
    sphere = FmriConfig(bids=bids, sphere={"center": (500, 0, 0), "radius": 8})
    with pytest.raises(InputError, match="the sphere lies outside the brain"):
        region_rdms(sphere, "FFA", folder=tmp_path)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({}, "exactly one of roi, sphere, atlas, localiser, got none"),
        ({"roi": "a", "sphere": {"center": (0, 0, 0), "radius": 8}}, "got roi and sphere"),
        ({"roi": "a", "conditions": None}, "expected `conditions`"),
        (
            {"roi": "a", "bids": {"root": "a", "task": "b", "subjects": ["1"]}},
            "exactly one of subjects, bids",
        ),
        ({"roi": {"s1": "a"}}, "roi of the same subjects"),
        ({"localiser": {"contrasts": {"s1": "a"}, "parcel": "b"}}, "contrasts of the same"),
    ],
)
def test_wrong_entries_are_one_sentence(files, changes, match):
    with pytest.raises(ValidationError, match=match):
        entry(files, **changes)


# ------------------------------------------------------- three regions of twenty subjects

STUDY = """
title: Three regions of twenty subjects
stimuli: {folder: faces, manifest: faces.csv}
data:
  - regions: [FFA, OFA, STS]
    fmri:
      subjects: all
      images: sub-{subject}/betas/*.nii.gz
      conditions: volumes.csv
      roi: rois/sub-{subject}_{region}.nii.gz
models: [{metadata: kind}]
method: cosine
inference: {bootstrap: subjects, n_boot: 100}
"""
SMALL = (4, 4, 3)
FACES = [f"f{i}" for i in range(5)]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Twenty subjects, ten 3-D betas each, as GLM packages write them; a region each of three."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("study")
    rng = np.random.default_rng(0)
    (folder / "faces").mkdir()
    for name in FACES:
        pixels = rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "faces" / f"{name}.png")
    pd.DataFrame({"file": [f"{n}.png" for n in FACES], "kind": list("aabbb")}).to_csv(
        folder / "faces.csv", index=False
    )
    pd.DataFrame({"condition": FACES * 2, "fold": ["1"] * 5 + ["2"] * 5}).to_csv(
        folder / "volumes.csv", index=False
    )
    (folder / "rois").mkdir()
    for s in range(1, 21):
        (folder / f"sub-{s:02d}" / "betas").mkdir(parents=True)
        values = rng.normal(size=(*SMALL, 10)).astype(np.float32)
        for i in range(10):
            # Numbers without zeros: the tenth comes after the ninth, not after the first.
            path = folder / f"sub-{s:02d}" / "betas" / f"cope{i + 1}.nii.gz"
            nibabel.save(nibabel.Nifti1Image(values[..., i], np.eye(4)), path)
        for r, region in enumerate(("FFA", "OFA", "STS")):
            mask = np.zeros(SMALL, np.uint8)
            mask[..., r] = 1
            path = folder / "rois" / f"sub-{s:02d}_{region}.nii.gz"
            nibabel.save(nibabel.Nifti1Image(mask, np.eye(4)), path)
    return folder


def compare(folder, text, out, *settings):
    from typer.testing import CliRunner

    from rsa_faces.cli import _runs  # noqa: F401 (registers its command)
    from rsa_faces.cli._app import app

    (folder / "study.yaml").write_text(text)
    arguments = ["compare", folder / "study.yaml", "--out", out]
    arguments += [part for setting in settings for part in ("--set", setting)]
    return CliRunner().invoke(app, list(map(str, arguments)))


def betas_of(folder, subject, r):
    """The patterns of a region, read without the package."""
    paths = [folder / f"sub-{subject}" / "betas" / f"cope{i + 1}.nii.gz" for i in range(10)]
    return np.stack([nibabel.load(p).get_fdata()[..., r].ravel() for p in paths])


def test_three_regions_of_twenty_subjects_are_a_few_lines(study, tmp_path):
    assert len(STUDY.strip().splitlines()) < 15
    done = compare(study, STUDY, tmp_path / "out")
    assert done.exit_code == 0, done.output
    table = pd.read_csv(tmp_path / "out" / "results.csv")
    assert set(table["region"]) == {"FFA", "OFA", "STS"}
    config = Config.read(study / "study.yaml")
    made = region_rdms(config.data[0].fmri, *(e.region for e in config.data), folder=tmp_path)
    for r, rdms in enumerate(made.values()):
        assert list(rdms.labels["subject"]) == [f"{s:02d}" for s in range(1, 21)]
        for i in (0, 9, 19):
            want = rf.compute_rdms(
                betas_of(study, f"{i + 1:02d}", r),
                conditions=FACES * 2,
                folds=[1] * 5 + [2] * 5,
                measure="crossnobis",
            )
            np.testing.assert_allclose(rdms.align(FACES).vectors[i], want.vectors[0], atol=1e-5)


def test_images_can_be_given_in_every_way(study, tmp_path):
    """A folder, a list, one 4-D file, a table that names files: the same RDMs."""
    base = {"conditions": study / "volumes.csv", "roi": study / "rois" / "sub-01_OFA.nii.gz"}
    files = [study / "sub-01" / "betas" / f"cope{i + 1}.nii.gz" for i in range(10)]
    whole = np.stack([nibabel.load(p).get_fdata() for p in files], axis=-1)
    nibabel.save(nibabel.Nifti1Image(whole, np.eye(4)), tmp_path / "sub-01_all.nii.gz")
    table = pd.read_csv(study / "volumes.csv").assign(file=[p.name for p in files])
    shuffled = table.sample(frac=1, random_state=0)
    shuffled[shuffled["condition"] != "f4"].to_csv(tmp_path / "named.csv", index=False)
    entries = {
        "mapping": {"subjects": {"01": study / "sub-01" / "betas"}, **base},
        "list": {"subjects": {"01": files}, **base},
        "pattern": {"subjects": ["01"], "images": study / "sub-{subject}/betas/*.nii.gz", **base},
        "4-D": {"subjects": ["01"], "images": tmp_path / "sub-{subject}_all.nii.gz", **base},
        "all": {"subjects": "all", "images": tmp_path / "sub-{subject}_all.nii.gz", **base},
        "named": {
            "subjects": ["01"],
            "images": study / "sub-{subject}/betas",
            "roi": base["roi"],
            "conditions": tmp_path / "named.csv",
        },
    }
    want = rf.compute_rdms(
        betas_of(study, "01", 1),
        conditions=FACES * 2,
        folds=[1] * 5 + [2] * 5,
        measure="crossnobis",
    )
    for name, options in entries.items():
        rdms = region_rdms(FmriConfig(**options), "OFA", folder=tmp_path)
        names = FACES[:4] if name == "named" else FACES
        np.testing.assert_allclose(
            rdms.align(names).vectors[0], want.subset(names).vectors[0], atol=1e-5, err_msg=name
        )


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            ["data.0.fmri.subjects=['21']"],
            "region 'FFA', subject '21', .*sub-21/betas.*none matches",
        ),
        (
            ["data.0.fmri.roi=rois/sub-{subject}_PPA.nii.gz"],
            "region 'FFA', subject '01', .*sub-01_PPA.nii.gz does not exist",
        ),
        (["data.0.fmri.subjects=[01]"], "as text, in quotes: YAML reads 01 as a number .got 1"),
        (["data.0.fmri.images=betas.nii"], "expected {subject} in `images`"),
        (["data.0.fmri.images=sub-{subjects}/betas"], "unknown {subjects}.*Did you mean 'subject'"),
        (["data.0.fmri.images=ses-{subject}/*.nii"], "none matches `images`.*ses-{subject}"),
        (["data.0.regions=FFA"], "`regions`, a list of names"),
        (
            ["data.0.fmri.roi=sub-{subject}/betas/cope1.nii.gz"],
            "region 'FFA', subject '01', .*cope1.nii.gz.* `threshold: .*beside the `file`",
        ),
        (
            ["data.0.fmri.images=sub-{subject}/betas/cope1*.nii.gz"],
            "region 'FFA', subject '01', .*one condition for each of 2 maps, got 10",
        ),
    ],
)
def test_errors_of_runs_name_subject_region_file_and_keys(study, tmp_path, settings, sentence):
    done = compare(study, STUDY, tmp_path / "out", *settings)
    text = " ".join(done.output.split())
    assert done.exit_code == 2, text
    import re

    assert re.search(sentence, text), text
    assert "mask_img" not in text
    assert "load_roi" not in text


# --------------------------------------------------------------- BOLD in BIDS, as steps of a run


@pytest.fixture(scope="module")
def bold(tmp_path_factory):
    """BOLD of two subjects, two regions, and a model of four conditions."""
    folder = tmp_path_factory.mktemp("bold")
    for i, subject in enumerate(("01", "02")):
        write_bids(folder, subject, seed=i, conditions=("a", "b", "c", "d"), reps=2)
    for name, label in (("FFA", 2), ("OFA", 5)):
        mask = nibabel.Nifti1Image((label == PARCEL).astype(np.uint8), AFFINE)
        nibabel.save(mask, folder / f"{name}.nii")
    vectors = np.random.default_rng(0).random((1, 6))
    rf.RDMs(vectors, list("abcd"), "euclidean", {"name": ["model"]}).save(folder / "model.h5")
    bids = {
        "root": str(folder),
        "task": "faces",
        "subjects": ["01", "02"],
        "derivatives": "derivatives/fmriprep",
    }
    fmri = {"bids": bids, "roi": str(folder / "{region}.nii"), "noise": "ledoit-wolf"}
    return Config(
        title="t",
        data=[{"regions": ["FFA", "OFA"], "fmri": fmri}],
        models=[{"rdms": str(folder / "model.h5")}],
        method="cosine",
        inference={"generalise_to": "subjects", "n_boot": 100},
    )


@pytest.mark.filterwarnings("ignore")
def test_glms_are_steps_of_a_run_and_done_once(bold, tmp_path, monkeypatch):
    from rsa_faces.runs import _brains
    from rsa_faces.runs.compare.run import CompareRun

    fitted = []

    def fit(root, **options):
        fitted.append(options["subject"])
        return rf.brain.bids_patterns(root, **options)

    monkeypatch.setattr(_brains, "bids_patterns", fit)
    out = tmp_path / "out"
    wrong = bold.model_dump(mode="json")
    for entry in wrong["data"]:
        entry["fmri"]["bids"]["condition_column"] = "trial_tipe"
    wrong = Config.model_validate(wrong)
    with pytest.raises(InputError, match="region 'FFA, OFA', subject '01'.*trial_tipe"):
        CompareRun(wrong, out).run()
    assert not out.exists()
    assert not fitted
    told = []
    CompareRun(bold, out, on_step=lambda done, total, what: told.append((done, total, what))).run()
    assert fitted == ["01", "02"]  # one for both regions
    assert (0, told[0][1], "GLM of 01 (FFA, OFA)") in told
    assert told[-1][0] == told[-1][1] == len(told) - 1
    whole = (out / "results.csv").read_bytes()
    (out / "parts" / "OFA--02.h5").unlink()
    CompareRun(bold, out).run()
    assert fitted == ["01", "02", "02"]
    assert (out / "results.csv").read_bytes() == whole
    data = rf.load_rdms(out / "rdms" / "data.h5")
    mask = rf.brain.load_roi(bold.data[1].fmri.roi.file.with_name("OFA.nii"), name="OFA")
    own = rf.brain.bids_patterns(
        bold.data[1].fmri.bids.root,
        task="faces",
        subject="02",
        derivatives="derivatives/fmriprep",
    ).rdms(mask, noise="ledoit-wolf")
    one = data.sel(region="OFA", subject="02")
    np.testing.assert_allclose(one.vectors, own.align(one.conditions).vectors, atol=1e-9)
    plan = CompareRun(bold, tmp_path / "planned").plan()
    parts = [work.what for work in plan.works]
    assert parts[1:3] == ["GLM of 01 (FFA, OFA)", "GLM of 02 (FFA, OFA)"]
    assert fitted[3:] == ["01"]
    assert not (tmp_path / "planned").exists()
