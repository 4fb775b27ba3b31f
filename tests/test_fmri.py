"""fMRI patterns: read from betas, estimated by GLM and LS-S, averaged over clips."""

import json
import warnings
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
from nibabel import gifti
from nibabel.cifti2 import BrainModelAxis, ScalarAxis
from scipy import stats

import rsa_faces as rf
from rsa_faces._core.errors import InputError
from rsa_faces.brain._region import Region
from rsa_faces.brain.betas import load_patterns
from rsa_faces.brain.bids_fmri import bids_patterns
from rsa_faces.brain.clip_responses import clip_patterns
from rsa_faces.brain.fmri import Patterns
from rsa_faces.brain.glm import glm_patterns
from rsa_faces.brain.spheres import Volume
from rsa_faces.rdm import noise_covariance

AFFINE = np.array([[-3.0, 0, 0, 20], [0, 3, 0.2, -30], [0, -0.2, 3, 5], [0, 0, 0, 1]])
SHAPE = (5, 4, 3)
T_R = 2.0
HAXBY = Path(__file__).parents[2] / "shared/data/haxby2001_slice/mvpa2/data/haxby2001"


def image(values, affine=AFFINE):
    return nibabel.Nifti1Image(np.asarray(values), affine)


def mask_of(seed=0, share=0.6):
    return np.random.default_rng(seed).random(SHAPE) < share


def region(mask, name="roi", affine=AFFINE):
    return Region(Volume(mask, affine), name=name)


def make_gii(rows, hemisphere=None):
    meta = gifti.GiftiMetaData({"AnatomicalStructurePrimary": hemisphere} if hemisphere else {})
    arrays = [gifti.GiftiDataArray(np.asarray(r, np.float32)) for r in rows]
    return gifti.GiftiImage(darrays=arrays, meta=meta)


# ---------------------------------------------------------------------------------------- betas


def test_voxels_have_the_order_of_the_mask(tmp_path):
    rng = np.random.default_rng(0)
    betas, mask = rng.normal(size=(*SHAPE, 6)), mask_of()
    expected = np.array(
        [
            [
                betas[i, j, k, m]
                for i in range(5)
                for j in range(4)
                for k in range(3)
                if mask[i, j, k]
            ]
            for m in range(6)
        ]
    )
    names, folds = list("abcabc"), [1, 1, 1, 2, 2, 2]
    path = tmp_path / "betas.nii.gz"
    nibabel.save(image(betas), path)
    whole = image(betas)
    several = [image(betas[..., m]) for m in range(6)]
    for img in (whole, several, path, str(path)):
        for given in (image(mask.astype(np.uint8)), region(mask), Volume(mask, AFFINE)):
            got = load_patterns(img, names, folds=folds, mask_img=given)
            np.testing.assert_array_equal(got.values, expected)
    assert got.conditions == tuple("abcabc")
    assert got.folds == (1, 1, 1, 2, 2, 2)
    assert got.left_out == {}
    back = got.to_img().get_fdata()
    np.testing.assert_allclose(back[mask].T, expected, rtol=1e-6)
    assert np.isnan(back[~mask]).all()
    np.testing.assert_allclose(got.to_img().affine, AFFINE, atol=1e-6)
    assert np.isnan(got.to_img(np.zeros(mask.sum())).get_fdata()).sum() == (~mask).sum()


def test_table_of_conditions(tmp_path):
    betas = np.random.default_rng(1).normal(size=(*SHAPE, 4))
    table = pd.DataFrame({"condition": ["n/a", "b", "n/a", "b"], "run": ["01", "01", "02", "02"]})
    table.to_csv(tmp_path / "c.tsv", sep="\t", index=False)
    table.to_csv(tmp_path / "c.csv", index=False)
    for given in (table, tmp_path / "c.tsv", str(tmp_path / "c.csv")):
        got = load_patterns(image(betas), given)
        assert got.conditions == ("n/a", "b", "n/a", "b")
        assert got.folds == ("01", "01", "02", "02")
    with pytest.raises(InputError, match="unknown column .*'condition'.* Did you mean"):
        load_patterns(image(betas), table.rename(columns={"condition": "conditions"}))
    with pytest.raises(InputError, match="does not exist"):
        load_patterns(image(betas), "nothing.tsv")


def test_hemispheres(tmp_path):
    rng = np.random.default_rng(2)
    left, right = rng.normal(size=(4, 12)), rng.normal(size=(4, 9))
    expected = np.hstack([left, right]).astype(np.float32)
    for part, rows, letter in (("left", left, "L"), ("right", right, "R")):
        nibabel.save(make_gii(rows), tmp_path / f"sub-1_hemi-{letter}_betas.func.gii")
        for i, row in enumerate(rows):
            nibabel.save(make_gii([row]), tmp_path / f"{part}{i}.func.gii")
    column = gifti.GiftiImage(darrays=[gifti.GiftiDataArray(left.T.astype(np.float32))])
    both = [
        {"left": make_gii(left), "right": make_gii(right)},
        {"right": right, "left": left},
        {
            p: tmp_path / f"sub-1_hemi-{letter}_betas.func.gii"
            for p, letter in (("left", "L"), ("right", "R"))
        },
        {p: [tmp_path / f"{p}{i}.func.gii" for i in range(4)] for p in ("left", "right")},
        {"left": column, "right": make_gii(right)},
    ]
    for img in both:
        got = load_patterns(img, list("abcd"))
        np.testing.assert_allclose(got.values, expected, rtol=1e-6)
    images = got.to_img()
    np.testing.assert_allclose(images["right"].darrays[2].data, right[2], rtol=1e-6)
    again = load_patterns(images, list("abcd"))
    np.testing.assert_array_equal(again.values, expected)
    one = load_patterns(tmp_path / "sub-1_hemi-R_betas.func.gii", list("abcd"))
    assert one.space.left is None
    np.testing.assert_array_equal(one.values, right.astype(np.float32))
    stated = load_patterns(make_gii(left, "CortexLeft"), list("abcd"))
    assert stated.space.right is None
    cortex = np.arange(9) % 3 > 0
    masked = load_patterns(both[0], list("abcd"), mask_img={"right": make_gii([cortex])})
    np.testing.assert_array_equal(masked.values, right.astype(np.float32)[:, cortex])
    with pytest.raises(InputError, match="hemisphere of img.*{'left'"):
        load_patterns(make_gii(left), list("abcd"))
    with pytest.raises(InputError, match="as many maps in both hemispheres"):
        load_patterns({"left": left, "right": right[:2]}, list("abcd"))
    with pytest.raises(InputError, match="unknown hemisphere.*Did you mean 'left'"):
        load_patterns({"lefft": left}, list("abcd"))


def make_cifti(values, seed=0):
    """Grayordinates without a medial wall, voxels of two structures in an order of their own."""
    rng = np.random.default_rng(seed)
    left, right = np.sort(rng.choice(12, 8, False)), np.sort(rng.choice(9, 5, False))
    voxels = np.argwhere(mask_of(seed, 0.2))
    voxels = voxels[rng.permutation(len(voxels))]
    half = len(voxels) // 2
    axis = BrainModelAxis.from_surface(left, 12, "CIFTI_STRUCTURE_CORTEX_LEFT")
    axis += BrainModelAxis.from_surface(right, 9, "CIFTI_STRUCTURE_CORTEX_RIGHT")
    for name, part in (("thalamus_left", voxels[:half]), ("thalamus_right", voxels[half:])):
        axis += BrainModelAxis(
            f"CIFTI_STRUCTURE_{name.upper()}", voxel=part, affine=AFFINE, volume_shape=SHAPE
        )
    values = values(len(axis))
    header = (ScalarAxis([str(i) for i in range(len(values))]), axis)
    return nibabel.Cifti2Image(values, header=header), left, right, voxels


def test_grayordinates(tmp_path):
    rng = np.random.default_rng(3)
    img, left, right, voxels = make_cifti(lambda n: rng.normal(size=(4, n)))
    nibabel.save(img, tmp_path / "betas.dscalar.nii")
    data = img.get_fdata()
    got = load_patterns(tmp_path / "betas.dscalar.nii", list("abcd"))
    np.testing.assert_allclose(got.values[:, :13], data[:, :13], rtol=1e-6)
    for n, voxel in enumerate(np.argwhere(got.space.volume.mask)):
        column = 13 + int(np.flatnonzero((voxels == voxel).all(axis=1))[0])
        np.testing.assert_allclose(got.values[:, 13 + n], data[:, column], rtol=1e-6)
    assert np.flatnonzero(got.space.left).tolist() == left.tolist()
    assert len(got.space.right) == 9
    again = load_patterns(got.to_img(), list("abcd"))
    np.testing.assert_array_equal(again.values, got.values.astype(np.float32))
    assert again.space.volume.equals(got.space.volume)
    roi = Region(left=np.arange(12) == left[3], right=np.arange(9) == right[1])
    np.testing.assert_array_equal(got.select(roi).values, got.values[:, [3, 9]])
    inside = got.space.volume.mask.copy()
    roi = region(inside)
    assert got.select(roi).n_channels == inside.sum()


def test_surface_image_of_nilearn():
    surface = pytest.importorskip("nilearn.surface")
    coordinates, faces = np.random.default_rng(0).normal(size=(6, 3)), np.array([[0, 1, 2]])
    mesh = surface.PolyMesh(
        left=surface.InMemoryMesh(coordinates, faces),
        right=surface.InMemoryMesh(coordinates, faces),
    )
    data = {
        p: np.random.default_rng(i).normal(size=(6, 3)) for i, p in enumerate(("left", "right"))
    }
    got = load_patterns(surface.SurfaceImage(mesh, data), list("abc"))
    np.testing.assert_array_equal(got.values, np.hstack([data["left"].T, data["right"].T]))


def test_unusable_places_are_counted():
    betas = np.random.default_rng(4).normal(size=(*SHAPE, 3))
    betas[0, 0, 1, 1] = np.nan
    betas[0, 1, 0] = 2.0
    betas[1, 0, 0] = 0.0
    img = image(betas)
    with pytest.raises(
        InputError,
        match=r"3 of 60 places of img cannot .* 1 not finite .*, 2 constant .*voxel \(0, 0, 1\)",
    ):
        load_patterns(img, list("abc"))
    with pytest.warns(UserWarning, match="3 of 60 .* left out"):
        got = load_patterns(img, list("abc"), unusable="drop")
    assert got.left_out == {"not finite (NaN or infinite)": 1, "constant": 2}
    assert got.n_channels == 57
    assert not got.space.volume.mask[0, 0, 1]
    assert got.rdms(measure="correlation").labels["n_missing"].tolist() == [0]
    roi = region(np.ones(SHAPE, bool), "whole")
    assert got.rdms(roi, measure="correlation").labels["n_missing"].tolist() == [3]
    with pytest.raises(InputError, match="Check the image"):
        load_patterns(image(np.zeros((*SHAPE, 3))), list("abc"), unusable="drop")
    with pytest.raises(InputError, match="unknown way.*'drop'"):
        load_patterns(img, list("abc"), unusable="dropp")


def test_grids_must_be_the_same():
    betas = np.random.default_rng(5).normal(size=(*SHAPE, 3))
    mask = mask_of()
    moved = AFFINE.copy()
    moved[0, 3] += 1.5
    with pytest.raises(InputError, match=r"on the grid of the patterns, shape.*resample=True"):
        load_patterns(image(betas), list("abc"), mask_img=image(mask.astype(np.int8), moved))
    with pytest.raises(InputError, match="affine"):
        load_patterns([image(betas[..., 0]), image(betas[..., 1], moved)], list("ab"))
    with pytest.raises(InputError, match="at least one place, but mask_img holds nothing"):
        load_patterns(image(betas), list("abc"), mask_img=image(np.zeros(SHAPE)))
    with pytest.raises(InputError, match="one condition for each of 3 maps, got 2"):
        load_patterns(image(betas), list("ab"))
    with pytest.raises(InputError, match="expected 3 fold labels, one per row, got 1"):
        load_patterns(image(betas), list("abc"), folds=[1])
    with pytest.raises(FileNotFoundError, match=r"x\.nii does not exist"):
        load_patterns("x.nii", list("abc"))
    with pytest.raises(TypeError, match="expected img to be a NIfTI"):
        load_patterns(3.0, list("abc"))


def test_missing_conditions_are_said():
    betas = np.random.default_rng(6).normal(size=(*SHAPE, 5))
    names, folds = list("abcab"), [1, 1, 1, 2, 2]
    with pytest.raises(InputError, match="1 are missing: 'c' in 2.*missing='drop'"):
        load_patterns(image(betas), names, folds=folds)
    with pytest.warns(UserWarning, match="1 of 3 conditions .* left out: 'c' in 2"):
        got = load_patterns(image(betas), names, folds=folds, missing="drop")
    assert got.conditions == tuple("abab")
    kept = load_patterns(image(betas), names, folds=folds, missing="keep")
    assert kept.conditions == tuple(names)
    with pytest.raises(InputError, match="1 are missing: 'c' in fold 2"):
        kept.rdms()
    assert kept.mean().conditions == tuple("abc")
    with pytest.raises(InputError, match="each is missing in some run"):
        load_patterns(image(betas[..., :2]), list("ab"), folds=[1, 2], missing="drop")


# --------------------------------------------------------------------------------------- to RDMs


def simulate_patterns(seed=0, n_conditions=5, n_folds=4, n_scans=120, rank=8):
    rng = np.random.default_rng(seed)
    mask = mask_of(seed)
    n = int(mask.sum())
    names = [f"c{i}" for i in range(n_conditions)] * n_folds
    folds = np.repeat(np.arange(n_folds), n_conditions)
    mixing = np.eye(n) + rng.normal(size=(n, n)) / np.sqrt(n)
    residuals = {f: rng.normal(size=(n_scans, n)) @ mixing for f in range(n_folds)}
    # As of a model with a constant.
    residuals = {f: x - x.mean(axis=0) for f, x in residuals.items()}
    values = rng.normal(size=(len(names), n)) @ mixing
    return Patterns(
        values,
        names,
        region(mask, "brain"),
        folds.tolist(),
        residuals,
        dict.fromkeys(range(n_folds), rank),
        "s1",
    )


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
@pytest.mark.parametrize("method", ["ledoit-wolf", "schaefer-strimmer"])
@pytest.mark.parametrize("noise_from", ["fold", "all"])
def test_crossnobis_of_regions_is_that_of_rsatoolbox(method, noise_from):
    from rsatoolbox.data import Dataset
    from rsatoolbox.data.noise import cov_from_residuals
    from rsatoolbox.rdm import calc_rdm

    # It estimates shrinkage as if rows were degrees of freedom, which here they then are.
    patterns = simulate_patterns(rank=0 if method == "ledoit-wolf" else 8)

    def covariance(left, n_estimated):
        if method == "ledoit-wolf":
            return cov_from_residuals(left, dof=len(left), method="shrinkage_eye")
        # Its shrinkage to the diagonal is another estimator: the same noise for both.
        return noise_covariance(left, method=method, n_estimated=n_estimated).covariance

    roi_mask = patterns.space.volume.mask & mask_of(1, 0.3)
    rois = {"FFA": region(roi_mask), "brain": patterns.space}
    got = patterns.rdms(rois, noise=method, noise_from=noise_from)
    plain = patterns.rdms(rois)
    for i, mask in enumerate((roi_mask, patterns.space.volume.mask)):
        channels = mask[patterns.space.volume.mask]
        data = Dataset(
            patterns.values[:, channels],
            obs_descriptors={"c": list(patterns.conditions), "f": list(patterns.folds)},
        )
        left = [patterns.residuals[f][:, channels] for f in range(4)]
        if noise_from == "all":
            noise = np.linalg.inv(covariance(np.concatenate(left), 32))
        else:
            noise = [np.linalg.inv(covariance(x, 8)) for x in left]
        for ours, precision in ((got, noise), (plain, None)):
            expected = calc_rdm(
                data, "crossnobis", descriptor="c", cv_descriptor="f", noise=precision
            ).dissimilarities[0]
            tolerance = 1e-8 * np.abs(expected).max()
            np.testing.assert_allclose(ours.vectors[i], expected, rtol=0, atol=tolerance)
    labels = got.labels
    assert labels["subject"].tolist() == ["s1", "s1"]
    assert labels["region"].tolist() == ["FFA", "brain"]
    assert labels["n_channels"].tolist() == [roi_mask.sum(), patterns.n_channels]
    assert labels["shrinkage"].between(0, 1).all()


def test_noise_of_residuals_by_hand():
    patterns = simulate_patterns(3)
    noises = [noise_covariance(patterns.residuals[f], n_estimated=8).covariance for f in range(4)]
    expected = rf.compute_rdms(
        patterns.values,
        measure="crossnobis",
        conditions=patterns.conditions,
        folds=patterns.folds,
        noise=np.stack(noises),
    )
    got = patterns.rdms(noise="ledoit-wolf", noise_from="fold")
    np.testing.assert_array_equal(got.vectors, expected.vectors)
    pooled = noise_covariance(
        np.concatenate([patterns.residuals[f] for f in range(4)]), n_estimated=32
    )
    expected = rf.compute_rdms(
        patterns.values,
        measure="mahalanobis",
        conditions=patterns.conditions,
        noise=pooled.covariance,
    )
    got = patterns.rdms(measure="mahalanobis", noise="ledoit-wolf")
    np.testing.assert_allclose(got.vectors, expected.vectors, rtol=1e-12)
    fewer = Patterns(
        patterns.values,
        patterns.conditions,
        patterns.space,
        patterns.folds,
        {0: patterns.residuals[0]},
    )
    with pytest.raises(InputError, match="residuals of every fold, but 3 of 4 have none: 1, 2, 3"):
        fewer.rdms(noise="ledoit-wolf")


def test_rows_and_means():
    patterns = simulate_patterns(4)
    odd = patterns.subset(folds=[0, 2], conditions=["c3", "c1"])
    assert odd.conditions == ("c1", "c3") * 2
    assert odd.folds == (0, 0, 2, 2)
    assert set(odd.residuals) == {0, 2}
    mean = patterns.mean()
    rows = np.array(patterns.conditions)
    for i, name in enumerate(mean.conditions):
        np.testing.assert_allclose(mean.values[i], patterns.values[rows == name].mean(axis=0))
    assert mean.rdms(measure="correlation").conditions == mean.conditions
    with pytest.raises(InputError, match="Average them first with mean"):
        patterns.rdms(measure="correlation")
    with pytest.raises(InputError, match="unknown condition 'c9'"):
        patterns.subset(conditions=["c9"])
    with pytest.raises(InputError, match="patterns with folds"):
        mean.subset(folds=[0])
    with pytest.raises(InputError, match="uses no noise covariance"):
        mean.rdms(measure="correlation", noise="ledoit-wolf")


def test_regions_and_patterns_must_fit():
    patterns = simulate_patterns(5)
    outside = ~patterns.space.volume.mask
    with pytest.raises(InputError, match="'FFA' to share places .* lies outside the mask"):
        patterns.rdms({"FFA": region(outside)})
    with pytest.raises(InputError, match="'FFA' on the grid of the patterns"):
        patterns.rdms({"FFA": region(np.ones(SHAPE, bool), affine=np.eye(4))})
    with pytest.raises(InputError, match="at least 2 folds .runs. .* got only 0"):
        patterns.subset(folds=[0]).rdms()
    with pytest.raises(InputError, match="different name for each region"):
        patterns.rdms([patterns.space, patterns.space])
    with pytest.raises(TypeError, match="'FFA' to be a Region"):
        patterns.rdms({"FFA": "mask.nii"})
    with pytest.raises(InputError, match="values of shape"):
        Patterns(np.zeros((2, 3)), ["a", "b"], patterns.space)
    with pytest.raises(InputError, match="finite values, but 1 of"):
        values = patterns.values.copy()
        values[0, 0] = np.nan
        Patterns(values, patterns.conditions, patterns.space)
    half = outside | patterns.space.volume.mask
    labels = patterns.rdms({"FFA": region(half)}).labels
    assert labels["n_missing"].tolist() == [outside.sum()]


def test_residuals_are_read():
    patterns = simulate_patterns(6)
    images = {f: patterns.to_img(x) for f, x in patterns.residuals.items()}
    got = load_patterns(
        patterns.to_img(),
        patterns.conditions,
        folds=patterns.folds,
        mask_img=patterns.space,
        residuals=images,
        n_estimated=8,
    )
    np.testing.assert_allclose(got.residuals[2], patterns.residuals[2], rtol=1e-5, atol=1e-6)
    expected = patterns.rdms(noise="ledoit-wolf").vectors
    np.testing.assert_allclose(got.rdms(noise="ledoit-wolf").vectors, expected, atol=1e-4)


def test_residuals_of_all_folds_together_are_one_covariance():
    patterns = simulate_patterns(6)
    together = patterns.to_img(np.concatenate(list(patterns.residuals.values())))
    got = load_patterns(
        patterns.to_img(),
        patterns.conditions,
        folds=patterns.folds,
        mask_img=patterns.space,
        residuals=together,
        n_estimated=32,
    )
    expected = patterns.rdms(noise="ledoit-wolf", noise_from="all")
    np.testing.assert_allclose(
        got.rdms(noise="ledoit-wolf").vectors, expected.vectors, rtol=1e-4, atol=1e-4
    )
    kept = got.subset(folds=sorted(set(got.folds))[:2])
    assert kept.rdms(noise="ledoit-wolf").labels["shrinkage"][0] == pytest.approx(
        expected.labels["shrinkage"][0], abs=1e-4
    )


# ------------------------------------------------------------------------------------------- GLM


def simulate_bold(
    seed=0, n_runs=2, n_scans=90, conditions=("face", "house", "cat"), reps=2, shape=SHAPE
):
    rng = np.random.default_rng(seed)
    bold, events, confounds = [], [], []
    for _ in range(n_runs):
        onsets = np.sort(rng.choice(np.arange(2, n_scans - 12, 3), len(conditions) * reps, False))
        types = rng.permutation(np.repeat(conditions, reps))
        # Not all are multiples of the repetition time.
        events.append(
            pd.DataFrame({"onset": onsets * T_R + 0.3, "duration": 3.0, "trial_type": types})
        )
        noise = rng.normal(size=(n_scans, *shape))
        noise[1:] += 0.4 * noise[:-1]
        bold.append(image(np.moveaxis(100 + rng.normal(size=shape) + noise, 0, -1)))
        confounds.append(
            pd.DataFrame(rng.normal(size=(n_scans, 3)), columns=["x", "constant", "z"])
        )
    return bold, events, confounds


@pytest.mark.parametrize("noise_model", ["ols", "ar1"])
@pytest.mark.filterwarnings("ignore:.*Given mask will be used", "ignore:.*residuals. is deprecated")
@pytest.mark.parametrize(
    "options",
    [
        {},
        dict(
            hrf_model="spm + derivative",
            slice_time_ref=0.5,
            drift_model="polynomial",
            drift_order=3,
        ),
    ],
)
def test_glm_is_that_of_nilearn(noise_model, options):
    from nilearn.glm.first_level import FirstLevelModel

    bold, events, confounds = simulate_bold()
    confounds = [c.rename(columns={"constant": "y"}) for c in confounds]
    mask = mask_of()
    got = glm_patterns(
        bold,
        events,
        t_r=T_R,
        confounds=confounds,
        noise_model=noise_model,
        mask_img=image(mask.astype(np.int8)),
        conditions=["cat", "face", "house"],
        **options,
    )
    assert got.conditions == ("cat", "face", "house") * 2
    assert got.folds == (1, 1, 1, 2, 2, 2)
    for run in range(2):
        model = FirstLevelModel(
            t_r=T_R,
            noise_model=noise_model,
            minimize_memory=False,
            mask_img=image(mask.astype(np.int8)),
            **options,
        )
        model.fit(bold[run], events[run], confounds[run])
        for i, name in enumerate(("cat", "face", "house")):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                beta = model.compute_contrast(name, output_type="effect_size").get_fdata()[mask]
            np.testing.assert_allclose(got.values[3 * run + i], beta, rtol=0, atol=1e-6)
        assert got.n_estimated[run + 1] == model.design_matrices_[0].shape[1]
        if noise_model == "ols":
            left = model.residuals[0].get_fdata()[mask].T
            np.testing.assert_allclose(got.residuals[run + 1], left, rtol=0, atol=1e-6)


def test_glm_is_least_squares():
    from nilearn.glm.first_level import make_first_level_design_matrix

    bold, events, confounds = simulate_bold(1)
    got = glm_patterns(
        bold,
        events,
        t_r=T_R,
        confounds=confounds,
        noise_model="ols",
        conditions={"face": "living", "cat": "living", "house": "thing"},
        runs=["A", "B"],
    )
    names = {"face": "living", "cat": "living", "house": "thing"}
    for r, run in enumerate("AB"):
        table = events[r].assign(trial_type=events[r]["trial_type"].map(names))
        design = make_first_level_design_matrix(np.arange(90) * T_R, table, hrf_model="glover")
        x = np.column_stack([design.to_numpy(), confounds[r].to_numpy()])
        data = bold[r].get_fdata().reshape(-1, 90)
        for v in range(0, len(data), 7):
            y = 100 * (data[v] / data[v].mean() - 1)
            theta, *_ = np.linalg.lstsq(x, y, rcond=None)
            for name in ("living", "thing"):
                row = [i for i in range(4) if (got.conditions[i], got.folds[i]) == (name, run)]
                beta = theta[design.columns.get_loc(name)]
                np.testing.assert_allclose(got.values[row, v], beta, rtol=0, atol=1e-8)
            np.testing.assert_allclose(got.residuals[run][:, v], y - x @ theta, atol=1e-8)


@pytest.mark.parametrize("noise_model", ["ols", "ar1"])
def test_single_trials_are_those_of_a_loop(noise_model):
    from nilearn.glm.first_level import make_first_level_design_matrix, run_glm

    bold, events, confounds = simulate_bold(2, shape=(2, 2, 2))
    got = glm_patterns(
        bold,
        events,
        t_r=T_R,
        confounds=confounds,
        model="trial",
        noise_model=noise_model,
        nuisance=["cat"],
    )
    expected, names, folds = [], [], []
    for run in range(2):
        y = bold[run].get_fdata().reshape(-1, 90).T
        y = 100 * (y / y.mean(axis=0) - 1)
        for t in range(len(events[run])):
            kind = events[run]["trial_type"][t]
            if kind == "cat":
                continue
            types = np.where(events[run]["trial_type"] == "cat", "cat", "others").astype(object)
            types[t] = "target"
            design = make_first_level_design_matrix(
                np.arange(90) * T_R,
                events[run].assign(trial_type=types),
                add_regs=confounds[run].to_numpy(),
                add_reg_names=["p", "q", "r"],
            )
            labels, results = run_glm(y, design.to_numpy(), noise_model=noise_model)
            beta = np.empty(y.shape[1])
            for label, result in results.items():
                beta[labels == label] = result.theta[design.columns.get_loc("target")]
            expected.append(beta)
            names.append(kind)
            folds.append(run + 1)
    np.testing.assert_allclose(got.values, expected, rtol=0, atol=1e-6)
    assert got.conditions == tuple(names)
    assert got.folds == tuple(folds)
    by_condition = glm_patterns(
        bold, events, t_r=T_R, confounds=confounds, nuisance=["cat"], noise_model=noise_model
    )
    np.testing.assert_array_equal(got.residuals[2], by_condition.residuals[2])
    assert got.rdms(noise="ledoit-wolf").n_conditions == 2


def test_one_trial_and_trials_that_cannot_be_told_apart():
    bold, events, _ = simulate_bold(3, n_runs=1, shape=(2, 2, 2))
    one = glm_patterns(bold, [events[0][:1]], t_r=T_R, model="trial", noise_model="ols")
    same = glm_patterns(bold, [events[0][:1]], t_r=T_R, noise_model="ols")
    np.testing.assert_allclose(one.values, same.values, atol=1e-10)
    doubled = pd.concat([events[0], events[0][:1].assign(trial_type="dog")])
    for noise_model in ("ols", "ar1"):
        glm_patterns(bold, [events[0]], t_r=T_R, model="trial", noise_model=noise_model)
    pair = doubled.iloc[[0, -1]]
    for noise_model in ("ols", "ar1"):
        with pytest.raises(InputError, match="not determined"):
            glm_patterns(bold, [pair], t_r=T_R, model="trial", noise_model=noise_model)


def test_glm_of_surfaces_and_grayordinates():
    bold, events, _ = simulate_bold(4)
    flat = [b.get_fdata().reshape(-1, 90).T for b in bold]
    expected = glm_patterns(bold, events, t_r=T_R)
    got = glm_patterns([{"left": x[:, :20], "right": x[:, 20:]} for x in flat], events, t_r=T_R)
    np.testing.assert_allclose(got.values, expected.values, atol=1e-12)
    assert got.space.left.sum() == 20


def test_events_are_checked():
    bold, events, confounds = simulate_bold(5, shape=(2, 2, 2))

    def fit(events=events, **options):
        return glm_patterns(bold, events, t_r=T_R, **options)

    with pytest.raises(InputError, match="1 of 3 are not: 'cat'.*nuisance"):
        fit(conditions=["face", "house"])
    assert fit(conditions=["face", "house"], nuisance=["cat"]).conditions == ("face", "house") * 2
    table = pd.DataFrame({"trial_type": ["face", "cat"], "condition": ["animate", "animate"]})
    with pytest.raises(InputError, match="among the conditions.*'house'"):
        fit(conditions=table)
    with pytest.raises(InputError, match="no interest 'cats'.*Did you mean 'cat'"):
        fit(nuisance=["cats"])
    without = [events[0][events[0]["trial_type"] != "cat"], events[1]]
    with pytest.raises(InputError, match="1 are missing: 'cat' in 1"):
        fit(without)
    with pytest.warns(UserWarning, match="left out: 'cat' in 1"):
        got = fit(without, missing="drop")
    assert set(got.conditions) == {"face", "house"}
    # The events are modelled all the same: the other betas are those of the whole model.
    rows = [i for i, c in enumerate(fit().conditions) if c != "cat"]
    np.testing.assert_allclose(got.values[2:], fit().values[rows][2:], atol=1e-12)
    kept = fit(without, missing="keep")
    assert len(kept.values) == 5
    with pytest.raises(InputError, match="'cat' in fold 1"):
        kept.rdms()
    with pytest.raises(InputError, match="column 'trial_type' in the events of run 1"):
        fit([e.drop(columns="trial_type") for e in events])
    late = [events[0], events[1].assign(onset=events[1]["onset"] + 100)]
    with pytest.raises(InputError, match="events within the 180 s of run 2, but"):
        fit(late)
    with pytest.raises(InputError, match="'onset' of the events of run 1.*'soon'"):
        fit([events[0].assign(onset="soon"), events[1]])
    same = [pd.concat([e, e[e["trial_type"] == "cat"].assign(trial_type="dog")]) for e in events]
    with pytest.raises(
        InputError, match="not determined: 'cat', 'dog'|not determined: 'dog', 'cat'"
    ):
        fit(same)
    with pytest.raises(InputError, match="confounds of run 1 of shape"):
        fit(confounds=[confounds[0][:5], confounds[1]])
    bad = [c.copy() for c in confounds]
    bad[0].iloc[0, 0] = np.nan
    fit(confounds=bad)
    bad[1].iloc[7, 2] = np.nan
    with pytest.raises(InputError, match="confounds of run 2 after its first scan.*'z'"):
        fit(confounds=bad)
    for options, message in (
        ({"model": "trials"}, "unknown model.*'trial'"),
        ({"noise_model": "ar"}, "'ols' or 'arN'"),
        ({"hrf_model": "fir"}, "unknown haemodynamic"),
        ({"model": "trial", "hrf_model": "spm + derivative"}, "for model='trial'"),
        ({"runs": [1, 1]}, "different name for each run"),
        ({"runs": [1]}, "runs for each of 2 images"),
        ({"scaling": "none"}, "unknown scaling"),
    ):
        with pytest.raises(InputError, match=message):
            fit(**options)
    with pytest.raises(InputError, match="t_r"):
        glm_patterns(bold, events, t_r=0)
    with pytest.raises(InputError, match="events for each of 2 images"):
        fit(events[:1])
    with pytest.raises(InputError, match="at least 2 folds"):
        glm_patterns(bold[:1], events[:1], t_r=T_R).rdms()


def test_bold_without_signal_is_counted():
    bold, events, _ = simulate_bold(6)
    first, second = (b.get_fdata().copy() for b in bold)
    first[0, 0, 0] = 100.0
    first[1, 0, 0, 3] = np.nan
    second[2, 0, 0] -= 100.0
    imgs = [image(first), image(second)]
    with pytest.raises(InputError, match=r"3 of 60 .* 1 not finite .* 1 constant, 1 with a mean"):
        glm_patterns(imgs, events, t_r=T_R)
    with pytest.warns(UserWarning, match="left out"):
        got = glm_patterns(imgs, events, t_r=T_R, unusable="drop")
    assert sum(got.left_out.values()) == 3
    whole = glm_patterns(bold, events, t_r=T_R)
    np.testing.assert_allclose(got.values, whole.select(got.space).values, atol=1e-12)
    with pytest.warns(UserWarning, match="2 of 60"):
        glm_patterns(imgs, events, t_r=T_R, scaling=None, unusable="drop")


def write_bids(root, subject="01", seed=7, **options):
    """Write two simulated runs of a subject; return BOLD, events, confounds and masks."""
    bold, events, confounds = simulate_bold(seed, **options)
    raw = root / f"sub-{subject}" / "func"
    folder = root / "derivatives" / "fmriprep" / f"sub-{subject}" / "func"
    raw.mkdir(parents=True)
    folder.mkdir(parents=True)
    (root / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.8.0"}')
    masks = [mask_of(1, 0.9), mask_of(2, 0.9)]
    for i, run in enumerate(("01", "02")):
        stem = f"sub-{subject}_task-faces_run-{run}"
        nibabel.save(bold[i], raw / f"{stem}_bold.nii.gz")
        (raw / f"{stem}_bold.json").write_text(json.dumps({"RepetitionTime": T_R}))
        events[i].to_csv(raw / f"{stem}_events.tsv", sep="\t", index=False)
        space = f"{stem}_space-MNI152NLin2009cAsym"
        nibabel.save(bold[i], folder / f"{space}_desc-preproc_bold.nii.gz")
        meta = {"RepetitionTime": T_R, "StartTime": 1.0}
        (folder / f"{space}_desc-preproc_bold.json").write_text(json.dumps(meta))
        nibabel.save(image(masks[i].astype(np.int8)), folder / f"{space}_desc-brain_mask.nii.gz")
        motion = confounds[i].set_axis(["trans_x", "trans_y", "rot_z"], axis=1)
        for name in ("trans_z", "rot_x", "rot_y"):
            motion[name] = np.random.default_rng(i).normal(size=90)
        motion.to_csv(folder / f"{stem}_desc-confounds_timeseries.tsv", sep="\t", index=False)
    return bold, events, confounds, masks


@pytest.mark.filterwarnings("ignore")
def test_bids(tmp_path):
    bold, events, _, masks = write_bids(tmp_path)
    options = {"task": "faces", "subject": "01", "derivatives": "derivatives/fmriprep"}
    got = bids_patterns(tmp_path, **options)
    both = masks[0] & masks[1]
    expected = glm_patterns(bold, events, t_r=T_R, slice_time_ref=0.5, mask_img=region(both))
    np.testing.assert_allclose(got.values, expected.values, atol=1e-6)
    assert got.folds == ("01",) * 3 + ("02",) * 3
    assert got.subject == "01"
    assert got.space.template == "MNI152NLin2009cAsym"
    mask = rf.brain.bids_mask(tmp_path, **options)
    np.testing.assert_array_equal(mask.volume.mask, both)
    with_motion = bids_patterns(
        tmp_path,
        **options,
        confounds={"strategy": ("motion",), "motion": "basic"},
        model="trial",
        noise_model="ols",
        nuisance=["cat"],
    )
    assert len(with_motion.values) == 8
    assert not np.allclose(with_motion.mean().values[0], got.mean().values[0])
    with pytest.raises(InputError, match="task 'houses'"):
        bids_patterns(tmp_path, **{**options, "task": "houses"})
    with pytest.raises(InputError, match="'derivatives/none'"):
        bids_patterns(tmp_path, **{**options, "derivatives": "derivatives/none"})
    with pytest.raises(InputError, match="run-01.*no column 'framewise_displacement'"):
        bids_patterns(tmp_path, **options, confounds={"strategy": ("motion", "scrub")})
    next((tmp_path / "derivatives").rglob("*run-02*mask*")).unlink()
    with pytest.raises(InputError, match="expected the brain mask .*run-02.*Give mask_img"):
        bids_patterns(tmp_path, **options)
    native = Region(Volume(both, AFFINE), name="FFA", template="T1w")
    with pytest.raises(InputError, match="'FFA' in the space 'MNI152NLin2009cAsym'.*got 'T1w'"):
        got.rdms(native, resample=True)


def with_confounds(root, change, run="01"):
    """Change the table of confounds of a run."""
    (path,) = (root / "derivatives").rglob(f"*run-{run}_desc-confounds_timeseries.tsv")
    change(pd.read_csv(path, sep="\t")).to_csv(path, sep="\t", index=False)


@pytest.mark.filterwarnings("ignore")
def test_scans_that_the_strategy_excludes_are_not_fitted(tmp_path):
    """Unsteady scans and scans with movement: crossnobis is that of the steady scans alone."""
    from nilearn.glm.first_level import make_first_level_design_matrix

    bold, events, _, masks = write_bids(tmp_path, reps=6)
    rng = np.random.default_rng(0)
    responses = rng.normal(0, 10, (len(set(events[0]["trial_type"])), *SHAPE))
    for i, table in enumerate(events):
        design = make_first_level_design_matrix(T_R * (np.arange(90) + 0.5), table)
        courses = design[sorted(set(table["trial_type"]))].to_numpy()
        bold[i] = image(bold[i].get_fdata() + np.einsum("tc,cxyz->xyzt", courses, responses))
    bad = {"01": [0, 1, 2, 3, 40, 41], "02": [0, 1, 2, 60]}
    for i, run in enumerate(("01", "02")):
        values = bold[i].get_fdata().copy()
        for scan in bad[run]:
            values[..., scan] *= 1 + 20 * rng.random(SHAPE)
        (path,) = (tmp_path / "derivatives").rglob(f"*run-{run}*_desc-preproc_bold.nii.gz")
        nibabel.save(image(values), path)

        def mark(table, run=run):
            unsteady = [scan for scan in bad[run] if scan < 4]
            table = table.assign(framewise_displacement=0.1, std_dvars=1.0)
            for n, scan in enumerate(unsteady):
                table[f"non_steady_state_outlier{n:02d}"] = np.eye(90)[scan].astype(int)
            table.loc[[scan for scan in bad[run] if scan >= 4], "framewise_displacement"] = 3.0
            return table

        with_confounds(tmp_path, mark, run)
    options = {"task": "faces", "subject": "01", "derivatives": "derivatives/fmriprep"}
    strategy = {"strategy": ["motion", "scrub"], "motion": "basic", "scrub": 0}
    with pytest.warns(UserWarning, match="6 of 90 scans of run '01' are unsteady"):
        got = bids_patterns(tmp_path, **options, confounds=strategy)
    kept = [np.setdiff1d(np.arange(90), bad[run]) for run in ("01", "02")]
    motion = [
        pd.read_csv(path, sep="\t")[["trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z"]]
        for path in sorted((tmp_path / "derivatives").rglob("*timeseries.tsv"))
    ]
    shared = {"t_r": T_R, "slice_time_ref": 0.5, "mask_img": region(masks[0] & masks[1])}
    want = glm_patterns(bold, events, confounds=motion, sample_masks=kept, **shared)
    np.testing.assert_allclose(got.values, want.values, atol=1e-6)
    whitened = {"measure": "crossnobis", "noise": "ledoit-wolf"}
    clean = glm_patterns(bold, events, confounds=motion, **shared).rdms(**whitened).vectors[0]
    spoilt = sorted((tmp_path / "derivatives").rglob("*_desc-preproc_bold.nii.gz"))
    fitted = glm_patterns(spoilt, events, confounds=motion, **shared).rdms(**whitened).vectors[0]
    found = got.rdms(**whitened).vectors[0]
    assert np.abs(found / clean - 1).max() < 0.1
    assert (np.abs(fitted) < 0.05 * clean).all()
    left = {fold: len(rows) for fold, rows in got.residuals.items()}
    assert left == {"01": 84, "02": 86}
    masks_of_bool = [np.isin(np.arange(90), scans) for scans in kept]
    again = glm_patterns(bold, events, confounds=motion, sample_masks=masks_of_bool, **shared)
    np.testing.assert_array_equal(again.values, want.values)


def test_one_run_with_sample_mask_is_nilearns():
    from nilearn.glm.first_level import FirstLevelModel

    bold, events, _ = simulate_bold(3)
    kept = np.setdiff1d(np.arange(90), [0, 1, 30])
    model = FirstLevelModel(
        t_r=T_R,
        mask_img=image(np.ones(SHAPE, np.int8)),
        signal_scaling=0,
        noise_model="ols",
    )
    model.fit(bold[0], events[0], sample_masks=kept)
    got = glm_patterns(
        bold[:1], events[:1], t_r=T_R, noise_model="ols", sample_masks=[kept], missing="keep"
    )
    for i, name in enumerate(got.conditions):
        want = model.compute_contrast(name, output_type="effect_size").get_fdata().ravel()
        np.testing.assert_allclose(got.values[i], want, rtol=1e-4, atol=1e-5)


# ----------------------------------------------------------------------------------------- clips


def test_clips_are_weighted_means_of_scans():
    rng = np.random.default_rng(8)
    bold = [image(rng.normal(size=(*SHAPE, 30))) for _ in range(2)]
    columns = ["clip", "onset", "duration"]
    clips = [
        pd.DataFrame([["a", 0.0, 4.0], ["b", 4.5, 3.3], ["c", 20.0, 1.0]], columns=columns),
        pd.DataFrame([["e", 12.0, 4.0], ["d", 2.0, 4.0]], columns=columns),
    ]
    got = clip_patterns(bold, clips, t_r=2.0, delay=4.7, standardize=False)
    assert got.conditions == ("a", "b", "c", "d", "e")
    assert got.folds == (1, 1, 1, 2, 2)
    step = 0.1  # every time is a multiple of it
    fine = (np.arange(600) + 0.5) * step
    row = 0
    for run, table in enumerate(clips):
        data = bold[run].get_fdata().reshape(-1, 30)
        for clip in table.sort_values("onset").itertuples():
            start = clip.onset + 4.7
            inside = (fine > start) & (fine < start + clip.duration)
            expected = data[:, (fine[inside] // 2.0).astype(int)].mean(axis=1)
            np.testing.assert_allclose(got.values[row], expected, atol=1e-9)
            row += 1
    plain = clip_patterns(bold, clips, t_r=2.0, delay=4.0, standardize=False)
    first = bold[0].get_fdata().reshape(-1, 30)
    np.testing.assert_allclose(plain.values[0], first[:, 2:4].mean(axis=1), atol=1e-12)
    scored = clip_patterns(bold, clips, t_r=2.0, delay=4.0)
    z = (first - first.mean(axis=1, keepdims=True)) / first.std(axis=1, ddof=1, keepdims=True)
    np.testing.assert_allclose(scored.values[0], z[:, 2:4].mean(axis=1), atol=1e-9)
    confound = [rng.normal(size=(30, 2)) for _ in range(2)]
    cleaned = clip_patterns(bold, clips, t_r=2.0, delay=4.0, confounds=confound)
    x = np.column_stack([np.ones(30), confound[0]])
    left = first.T - x @ np.linalg.lstsq(x, first.T, rcond=None)[0]
    left = left / left.std(axis=0, ddof=1)
    np.testing.assert_allclose(cleaned.values[0], left[2:4].mean(axis=0), atol=1e-6)
    assert scored.mean().rdms(measure="correlation").n_conditions == 5


def test_scans_that_are_left_out_are_in_no_clip():
    rng = np.random.default_rng(11)
    data = rng.normal(size=(*SHAPE, 30))
    clean = [image(data)]
    data = data.copy()
    data[..., [3, 20, 21]] += 500.0  # scans with much movement
    clips = pd.DataFrame({"clip": ["a", "b", "c"], "onset": [0.0, 12.0, 36.0], "duration": 4.0})
    options = {"t_r": 2.0, "delay": 4.0, "outside": "drop"}
    kept = np.setdiff1d(np.arange(30), [3, 20, 21])
    for mask in (kept, np.isin(np.arange(30), kept)):
        with pytest.warns(UserWarning, match="1 of 3 clips, .*'c' in run 1"):
            got = clip_patterns(
                [image(data)], [clips], sample_masks=[mask], standardize=False, **options
            )
        assert got.conditions == ("a", "b")
        signal = clean[0].get_fdata().reshape(-1, 30)
        np.testing.assert_allclose(got.values[0], signal[:, 2], atol=1e-12)
        np.testing.assert_allclose(got.values[1], signal[:, 8:10].mean(axis=1), atol=1e-12)
    confound = rng.normal(size=(30, 2))
    with pytest.warns(UserWarning, match="left out"):
        got = clip_patterns(
            [image(data)], [clips], sample_masks=[kept], confounds=[confound], **options
        )
    x = np.column_stack([np.ones(27), confound[kept]])
    left = signal.T[kept] - x @ np.linalg.lstsq(x, signal.T[kept], rcond=None)[0]
    left = left / left.std(axis=0, ddof=1)
    np.testing.assert_allclose(got.values[0], left[2], atol=1e-6)
    with pytest.raises(InputError, match="sample_masks of 1 runs, got 2"):
        clip_patterns([image(data)], [clips], sample_masks=[kept, kept], **options)


def test_clips_are_checked():
    bold = [image(np.random.default_rng(9).normal(size=(*SHAPE, 30)))]
    clips = pd.DataFrame({"clip": ["a", "b", "c"], "onset": [0.0, 30, 54], "duration": 4.0})
    with pytest.raises(InputError, match="1 of 3 clips, delayed by 5 s, .*'c' in run 1"):
        clip_patterns(bold, [clips], t_r=2.0)
    with pytest.warns(UserWarning, match="left out"):
        got = clip_patterns(bold, [clips], t_r=2.0, outside="drop")
    assert got.conditions == ("a", "b")
    clip_patterns(bold, [clips], t_r=2.0, delay=2.0)
    with pytest.raises(InputError, match="duration .above 0. .* 'b'"):
        clip_patterns(bold, [clips.assign(duration=[4, 0, 4])], t_r=2.0)
    with pytest.raises(InputError, match="expected the column 'clip'.*'movie'"):
        clip_patterns(bold, [clips.rename(columns={"clip": "movie"})], t_r=2.0)
    with pytest.raises(InputError, match="delay in s"):
        clip_patterns(bold, [clips], t_r=2.0, delay=np.nan)
    with pytest.raises(InputError, match="clips for each of 2 images"):
        clip_patterns(bold * 2, [clips], t_r=2.0, delay=0.0)
    with pytest.raises(InputError, match="missing: 'a' in 2"):
        clip_patterns(bold * 2, [clips, clips[1:]], t_r=2.0, delay=0.0, missing="raise")


# ----------------------------------------------------------------------------- on simulated BOLD


@pytest.mark.slow
@pytest.mark.parametrize("noise", [None, "ledoit-wolf"])
def test_crossnobis_of_simulated_bold_is_unbiased(noise):
    """Two conditions have equal patterns: mean 0. The third differs: without noise, the truth."""
    from nilearn.glm.first_level import make_first_level_design_matrix

    rng = np.random.default_rng(10)
    n_simulations, n_scans, n_voxels = 150, 60, 20
    shared, other = rng.normal(size=(2, n_voxels))
    mixing = np.eye(n_voxels) + rng.normal(size=(n_voxels, n_voxels)) / 5
    planted = np.stack([shared, shared, other])
    got = []
    for _ in range(n_simulations):
        bold, events = [], []
        for _ in range(3):
            onsets = np.sort(rng.choice(np.arange(1, 50, 4), 6, False)) * T_R
            types = rng.permutation(["a", "b", "c"] * 2)
            table = pd.DataFrame({"onset": onsets, "duration": 2.0, "trial_type": types})
            design = make_first_level_design_matrix(
                np.arange(n_scans) * T_R, table, drift_model=None
            )
            signal = design[["a", "b", "c"]].to_numpy() @ planted
            signal += rng.normal(size=(n_scans, n_voxels)) @ mixing
            bold.append(image(signal.T.reshape(5, 4, 1, n_scans)))
            events.append(table)
        patterns = glm_patterns(bold, events, t_r=T_R, noise_model="ols", scaling=None)
        got.append(patterns.rdms(noise=noise).align(["a", "b", "c"]).vectors[0])
    got = np.array(got)
    z = stats.norm.ppf(0.995)
    sem = got.std(axis=0, ddof=1) / np.sqrt(n_simulations)
    assert abs(got[:, 0].mean()) < z * sem[0]
    assert (got[:, 0] < 0).mean() > 0.2
    if noise is None:
        truth = ((shared - other) ** 2).mean()
        assert (np.abs(got[:, 1:].mean(axis=0) - truth) < z * sem[1:]).all()
    else:
        assert (got[:, 1:].mean(axis=0) > z * sem[1:]).all()


def haxby():
    runs = range(1, 13)
    folder = HAXBY / "sub001/BOLD"
    bold = [folder / f"task001_run{r:03d}/bold_1slice.nii.gz" for r in runs]
    events = [folder / f"task001_run{r:03d}/bold_events.tsv" for r in runs]
    confounds = [np.loadtxt(folder / f"task001_run{r:03d}/bold_moest.txt") for r in runs]
    mean = np.mean([nibabel.load(p).get_fdata().mean(axis=-1) for p in bold], axis=0)
    mask = mean > 0.4 * np.percentile(mean, 98)
    return bold, events, confounds, Region(Volume(mask, nibabel.load(bold[0]).affine), name="slice")


@pytest.mark.slow
@pytest.mark.skipif(not HAXBY.is_dir(), reason="the slice of Haxby 2001 is not here")
def test_categories_of_haxby_2001():
    bold, events, confounds, mask = haxby()
    patterns = glm_patterns(
        bold, events, t_r=2.5, confounds=confounds, mask_img=mask, unusable="drop", subject="1"
    )
    assert len(patterns.values) == 12 * 8
    halves = [patterns.subset(folds=folds) for folds in (range(1, 13, 2), range(2, 13, 2))]
    means = [half.mean() for half in halves]
    odd, even = (m.values[[m.conditions.index(c) for c in sorted(m.conditions)]] for m in means)
    odd, even = odd - odd.mean(axis=0), even - even.mean(axis=0)
    r = np.corrcoef(odd, even)[:8, 8:]
    within, between = np.diag(r).mean(), r[~np.eye(8, dtype=bool)].mean()
    rdms = [half.rdms(noise="ledoit-wolf").align(sorted(set(half.conditions))) for half in halves]
    reliability = np.corrcoef(rdms[0].vectors[0], rdms[1].vectors[0])[0, 1]
    whole = patterns.rdms(noise="ledoit-wolf")
    assert within > between + 0.1
    assert reliability > 0.3
    assert whole.vectors.mean() > 0
