"""Regions of interest: masks, atlases, FreeSurfer files, spheres and localisers."""

import nibabel
import numpy as np
import pandas as pd
import pytest
from nibabel import gifti
from nibabel.cifti2 import BrainModelAxis, LabelAxis, ScalarAxis
from nibabel.freesurfer import write_annot

from rsa_faces._core.errors import InputError
from rsa_faces.brain._region import Region
from rsa_faces.brain.betas import load_patterns
from rsa_faces.brain.roi import atlas_rois, load_roi, localiser_roi, roi_sphere
from rsa_faces.brain.spheres import Volume

AFFINE = np.array([[-3.0, 0, 0, 12], [0, 3, 0, -9], [0, 0, 4, 5], [0, 0, 0, 1]])
SHAPE = (9, 8, 7)


def image(values, affine=AFFINE):
    return nibabel.Nifti1Image(np.asarray(values), affine)


def brain(share=0.8, seed=0, affine=AFFINE, template=None):
    mask = np.random.default_rng(seed).random(SHAPE) < share
    return Region(Volume(mask, affine), name="brain", template=template)


def label_gii(values, names):
    table = gifti.GiftiLabelTable()
    for key, name in names.items():
        label = gifti.GiftiLabel(key=key)
        label.label = name
        table.labels.append(label)
    array = gifti.GiftiDataArray(np.asarray(values, np.int32), intent="NIFTI_INTENT_LABEL")
    return gifti.GiftiImage(darrays=[array], labeltable=table)


# ---------------------------------------------------------------------------------------- masks


def test_masks_of_voxels(tmp_path):
    mask = np.random.default_rng(0).random(SHAPE) < 0.2
    nibabel.save(image(mask.astype(np.uint8)), tmp_path / "FFA_space-MNI152NLin6Asym.nii.gz")
    got = load_roi(tmp_path / "FFA_space-MNI152NLin6Asym.nii.gz")
    assert got.name == "FFA_space-MNI152NLin6Asym"
    assert got.template == "MNI152NLin6Asym"
    np.testing.assert_array_equal(got.volume.mask, mask)
    with_nan = np.where(mask, 1.0, np.nan)
    np.testing.assert_array_equal(load_roi(image(with_nan)).volume.mask, mask)
    with pytest.raises(InputError, match=r"others, got 1 from 2.5 to 2.5.*threshold=1.25\)"):
        load_roi(image(2.5 * with_nan))
    np.testing.assert_array_equal(load_roi(image(2.5 * with_nan), threshold=1.25).volume.mask, mask)
    np.testing.assert_array_equal(got.to_img().get_fdata(), mask)
    assert load_roi(image(mask.astype(np.int32)), name="x", template="T1w").template == "T1w"


def test_masks_of_vertices(tmp_path):
    rng = np.random.default_rng(1)
    cortex = rng.random(20) < 0.5
    gii = gifti.GiftiImage(darrays=[gifti.GiftiDataArray(cortex.astype(np.float32))])
    nibabel.save(gii, tmp_path / "lh.FFA.shape.gii")
    got = load_roi(tmp_path / "lh.FFA.shape.gii")
    np.testing.assert_array_equal(got.left, cortex)
    np.testing.assert_array_equal(load_roi(gii, hemisphere="right").right, cortex)
    vertices = np.flatnonzero(cortex)
    lines = [f"{v} 0.0 0.0 0.0 0.0" for v in vertices]
    text = "\n".join(["#!ascii label", str(len(lines)), *lines])
    (tmp_path / "lh.FFA.label").write_text(text + "\n")
    got = load_roi(tmp_path / "lh.FFA.label", n_vertices=20)
    np.testing.assert_array_equal(got.left, cortex)
    assert got.name == "lh.FFA"
    (tmp_path / "FFA.label").write_text(text + "\n")
    got = load_roi(tmp_path / "FFA.label", n_vertices=20, hemisphere="right")
    np.testing.assert_array_equal(got.right, cortex)
    with pytest.raises(InputError, match=r"'lh\.' or 'rh\.', got 'FFA.label'"):
        load_roi(tmp_path / "FFA.label", n_vertices=20)
    with pytest.raises(InputError, match="expected n_vertices"):
        load_roi(tmp_path / "lh.FFA.label")
    with pytest.raises(InputError, match="from 0 to 4, got"):
        load_roi(tmp_path / "lh.FFA.label", n_vertices=5)


def test_masks_of_grayordinates():
    axis = BrainModelAxis.from_surface(np.arange(2, 8), 10, "CIFTI_STRUCTURE_CORTEX_LEFT")
    mask = np.zeros(SHAPE, bool)
    mask[3, 4, :3] = True
    axis += BrainModelAxis.from_mask(mask, "thalamus_left", affine=AFFINE)
    values = np.array([[0, 1, 1, 0, 0, 0, 0, 1, 0]], np.float32)
    got = load_roi(nibabel.Cifti2Image(values, header=(ScalarAxis(["m"]), axis)))
    assert np.flatnonzero(got.left).tolist() == [3, 4]
    assert np.argwhere(got.volume.mask).tolist() == [[3, 4, 1]]


def test_masks_are_checked():
    for empty in (np.zeros(SHAPE), np.full(SHAPE, np.nan)):
        with pytest.raises(InputError, match="mask with at least one place"):
            load_roi(image(empty))
    labels = np.zeros(SHAPE)
    labels[0, 0, :3] = [1, 2, 5]
    with pytest.raises(InputError, match="got 3 from 1 to 5. For labels use atlas_rois"):
        load_roi(image(labels))
    with pytest.raises(InputError, match="one map in the mask, got 2"):
        load_roi(image(np.ones((*SHAPE, 2))))
    with pytest.raises(InputError, match="at least one voxel or vertex"):
        Region(left=np.zeros(5, bool))
    with pytest.raises(InputError, match="vector of True and False"):
        Region(left=np.arange(5))


# ----------------------------------------------------------------------------------- resampling


def test_resampling_is_asked_for():
    rng = np.random.default_rng(2)
    fine_affine = AFFINE @ np.diag([0.5, 0.5, 0.5, 1])
    fine = rng.random((18, 16, 14)) < 0.3
    roi = Region(Volume(fine, fine_affine), name="FFA")
    patterns = load_patterns(image(rng.normal(size=(*SHAPE, 3))), list("abc"))
    with pytest.raises(InputError, match=r"'FFA' on the grid of the patterns, shape \(9, 8, 7\)"):
        patterns.rdms(roi, measure="correlation")
    got = patterns.rdms(roi, measure="correlation", resample=True)
    # Nearest: the voxel of the fine grid at the centre of each coarse voxel.
    expected = np.zeros(SHAPE, bool)
    for voxel in np.ndindex(SHAPE):
        mm = AFFINE @ [*voxel, 1]
        i, j, k, _ = np.rint(np.linalg.inv(fine_affine) @ mm).astype(int)
        expected[voxel] = fine[i, j, k]
    np.testing.assert_array_equal(roi.resample(patterns.space).volume.mask, expected)
    assert got.labels["n_channels"].tolist() == [expected.sum()]
    far = AFFINE.copy()
    far[:3, 3] += 500
    with pytest.raises(InputError, match="of 504 places none is left"):
        Region(Volume(np.ones(SHAPE, bool), far), name="V1").resample(patterns.space)
    with pytest.raises(InputError, match="only volumes can be resampled"):
        Region(left=np.ones(5, bool)).resample(patterns.space)
    surface = load_patterns({"left": rng.normal(size=(3, 12))}, list("abc"))
    with pytest.raises(InputError, match="12 vertices as the patterns have, got 5"):
        surface.rdms(Region(left=np.ones(5, bool)), measure="correlation", resample=True)
    native, mni = brain(template="T1w"), brain(template="MNI152NLin6Asym")
    with pytest.raises(InputError, match="Resampling does not move between spaces"):
        native.positions(mni, resample=True)
    assert mni.positions(brain(template="MNI152NLin2009cAsym")).all()


def test_voxels_at_the_edge_of_an_image_are_not_lost():
    # A mask cut to its bounding box, on a grid that is shifted by less than half a voxel.
    full = Region(Volume(np.ones(SHAPE, bool), AFFINE), name="FFA")
    for shift in (0.4, -0.4):
        moved = AFFINE.copy()
        moved[:3, 3] += AFFINE[:3, :3] @ ([shift] * 3)
        like = Region(Volume(np.ones(SHAPE, bool), moved))
        assert full.resample(like).n_places == np.prod(SHAPE)
        moved[:3, 3] += AFFINE[:3, :3] @ [shift, 0, 0]  # now more than half a voxel along x
        like = Region(Volume(np.ones(SHAPE, bool), moved))
        assert full.resample(like).n_places == np.prod(SHAPE) * (SHAPE[0] - 1) // SHAPE[0]


# --------------------------------------------------------------------------------------- atlases


def test_atlas_of_voxels(tmp_path):
    values = np.random.default_rng(3).integers(0, 4, SHAPE).astype(np.int16)
    table = pd.DataFrame(
        {"index": [0, 1, 2, 3, 9], "name": ["Background", "V1", "FG1", "FG2", "x"]}
    )
    nibabel.save(image(values), tmp_path / "atlas.nii.gz")
    table.to_csv(tmp_path / "atlas.tsv", sep="\t", index=False)
    ours = [
        atlas_rois(tmp_path / "atlas.nii.gz", table=tmp_path / "atlas.tsv"),
        atlas_rois(image(values), table=table),
        atlas_rois(image(values), table=dict(zip(table["index"], table["name"], strict=True))),
    ]
    for got in ours:
        assert list(got) == ["V1", "FG1", "FG2"]
        for i, roi in enumerate(got.values(), start=1):
            np.testing.assert_array_equal(roi.volume.mask, values == i)
    joined = atlas_rois(image(values), {"FG": ["FG1", "FG2"]}, table=table)
    np.testing.assert_array_equal(joined["FG"].volume.mask, values >= 2)
    assert joined["FG"].name == "FG"
    with pytest.raises(InputError, match="unknown label .* 'FG3'. Did you mean 'FG"):
        atlas_rois(image(values), ["FG3"], table=table)
    with pytest.raises(InputError, match="no place of the atlas has it"):
        atlas_rois(image(values), "x", table=table)
    with pytest.raises(InputError, match="1 have none: 3"):
        atlas_rois(image(values), table={1: "V1", 2: "FG1"})
    with pytest.raises(InputError, match="expected `table`"):
        atlas_rois(image(values))
    with pytest.raises(InputError, match=r"whole numbers, got \d\.5"):
        atlas_rois(image(values / 2), table=table)


@pytest.mark.parametrize("how", ["lut", "labels", "background"])
def test_atlas_of_nilearn(how):
    from sklearn.utils import Bunch

    values = np.random.default_rng(4).integers(0, 3, SHAPE).astype(np.int16)
    extra = {
        "lut": {
            "lut": pd.DataFrame({"index": [0, 1, 2], "name": ["Background", "A", "B"]}),
            "labels": ["Background", "A", "B"],
        },
        "labels": {"labels": [b"A", b"B"]},
        "background": {"labels": ["Background", "A", "B"]},
    }[how]
    atlas = Bunch(
        maps=image(values), atlas_type="deterministic", template="MNI152NLin6Asym", **extra
    )
    got = atlas_rois(atlas)
    assert list(got) == ["A", "B"]
    np.testing.assert_array_equal(got["B"].volume.mask, values == 2)
    assert got["A"].template == "MNI152NLin6Asym"
    with pytest.raises(InputError, match="probabilistic"):
        atlas_rois(Bunch(maps=image(values), atlas_type="probabilistic", labels=["A"]))


def test_atlases_of_surfaces(tmp_path):
    rng = np.random.default_rng(5)
    left, right = rng.integers(-1, 3, 30), rng.integers(0, 3, 25)
    colours = np.array([[i, 10 + i, 20 + i, 0, 0] for i in range(3)])
    names = ["unknown", "fusiform", "lingual"]
    for path, index in (("lh.aparc.annot", left), ("rh.aparc.annot", right)):
        write_annot(str(tmp_path / path), index, colours, names, fill_ctab=True)
    one = atlas_rois(tmp_path / "lh.aparc.annot")
    assert list(one) == ["fusiform", "lingual"]
    np.testing.assert_array_equal(one["fusiform"].left, left == 1)
    both = atlas_rois({"left": tmp_path / "lh.aparc.annot", "right": tmp_path / "rh.aparc.annot"})
    np.testing.assert_array_equal(both["lingual"].left, left == 2)
    np.testing.assert_array_equal(both["lingual"].right, right == 2)
    with pytest.raises(InputError, match="'fusifrom'. Did you mean 'fusiform'"):
        atlas_rois(tmp_path / "lh.aparc.annot", "fusifrom")
    # The same index has another name on the right.
    gii = {
        "left": label_gii(np.maximum(left, 0), {0: "???", 1: "V1", 2: "V2"}),
        "right": label_gii(right, {0: "???", 1: "V2", 2: "V3"}),
    }
    got = atlas_rois(gii)
    assert list(got) == ["V1", "V2", "V3"]
    np.testing.assert_array_equal(got["V2"].left, left == 2)
    np.testing.assert_array_equal(got["V2"].right, right == 1)
    assert got["V1"].right is None or not got["V1"].right.any()


def test_atlas_of_grayordinates():
    axis = BrainModelAxis.from_surface(np.arange(2, 8), 10, "CIFTI_STRUCTURE_CORTEX_LEFT")
    labels = LabelAxis(
        ["a"], [{0: ("???", (0, 0, 0, 0)), 1: ("L_FFC", (1, 0, 0, 1)), 2: ("L_V1", (0, 1, 0, 1))}]
    )
    img = nibabel.Cifti2Image(np.array([[0, 1, 1, 2, 2, 0]], np.float32), header=(labels, axis))
    got = atlas_rois(img)
    assert list(got) == ["L_FFC", "L_V1"]
    assert np.flatnonzero(got["L_FFC"].left).tolist() == [3, 4]


# ------------------------------------------------------------------------- spheres and localisers


def test_spheres():
    space = brain()
    center = (AFFINE @ [4, 4, 3, 1])[:3]
    for radius in (0.5, 4.0, 6.0, 9.3):
        got = roi_sphere(center, radius, like=space)
        expected = np.zeros(SHAPE, bool)
        for voxel in np.argwhere(space.volume.mask):
            mm = (AFFINE @ [*voxel, 1])[:3]
            expected[tuple(voxel)] = np.linalg.norm(mm - center) <= radius * (1 + 1e-6)
        np.testing.assert_array_equal(got.volume.mask, expected)
    grid = image(np.zeros(SHAPE))
    assert roi_sphere(center, 9.3, like=grid).n_places >= got.n_places
    patterns = load_patterns(
        image(np.random.default_rng(0).normal(size=(*SHAPE, 3))), list("abc"), mask_img=space
    )
    inside = patterns.rdms(
        roi_sphere(center, 9.3, like=patterns, name="FFA"), measure="correlation"
    )
    assert inside.labels["n_channels"].tolist() == [got.n_places]
    assert roi_sphere(center, 3, like=space).name == "(0, 3, 17)"
    with pytest.raises(InputError, match="nearest is .* mm away: the sphere lies outside"):
        roi_sphere((200, 0, 0), 8, like=space)
    with pytest.raises(InputError, match="length in mm above 0, got 0"):
        roi_sphere(center, 0, like=space)
    with pytest.raises(InputError, match="x, y, z in mm"):
        roi_sphere((1, 2), 3, like=space)
    with pytest.raises(InputError, match="vertices of surfaces only"):
        roi_sphere(center, 3, like=Region(left=np.ones(4, bool)))
    with pytest.raises(InputError, match="in the space 'T1w'"):
        roi_sphere(center, 3, like=brain(template="T1w"), template="MNI152NLin6Asym")


def test_localisers():
    rng = np.random.default_rng(6)
    contrast = np.round(rng.normal(size=SHAPE), 1) + 5  # with ties
    parcel = brain(0.3, 7)
    got = localiser_roi(image(contrast), parcel, 20, name="FFA")
    inside = np.argwhere(parcel.volume.mask)
    ranked = sorted(range(len(inside)), key=lambda i: (-contrast[tuple(inside[i])], i))
    expected = np.zeros(SHAPE, bool)
    for i in ranked[:20]:
        expected[tuple(inside[i])] = True
    np.testing.assert_array_equal(got.volume.mask, expected)
    assert got.name == "FFA"
    assert localiser_roi(image(contrast), parcel, 20).name == "brain"
    same = localiser_roi(image(contrast), image(parcel.volume.mask.astype(np.int8)), 20)
    np.testing.assert_array_equal(same.volume.mask, expected)
    contrast[tuple(inside[ranked[0]])] = np.nan
    with pytest.warns(UserWarning, match="1 of .* are NaN"):
        got = localiser_roi(image(contrast), parcel, 19)
    assert (expected & ~got.volume.mask).sum() == 1
    n = len(inside)
    with pytest.raises(InputError, match=f"at least {n} places .* got {n - 1} of {n}"):
        localiser_roi(image(contrast), parcel, n)
    with pytest.warns(UserWarning, match="contrast of 0 or below"):
        localiser_roi(image(np.nan_to_num(contrast) - 50), parcel, 3)
    with pytest.raises(InputError, match="one map as contrast, got 2"):
        localiser_roi(image(np.zeros((*SHAPE, 2))), parcel, 3)
    moved = AFFINE + np.eye(4) * 0.5
    with pytest.raises(InputError, match="resample=True"):
        localiser_roi(image(contrast, moved), parcel, 3)
    left, right = rng.normal(size=(2, 30)) + 5
    cortex = np.ones(30, bool)
    both = localiser_roi({"left": left, "right": right}, Region(left=cortex, right=cortex), 7)
    top = np.argsort(-np.concatenate([left, right]))[:7]
    chosen = np.concatenate(
        [m if m is not None else np.zeros(30, bool) for m in (both.left, both.right)]
    )
    np.testing.assert_array_equal(np.flatnonzero(chosen), np.sort(top))


# ---------------------------------------------------------------------------------------- regions


def test_regions():
    space = brain()
    with pytest.raises(InputError, match="values of shape"):
        space.to_img(np.zeros(3))
    with pytest.raises(InputError, match="True or False for each of"):
        space.keep(np.ones(3, bool))
    with pytest.raises(InputError, match="at least one voxel or vertex"):
        space.keep(np.zeros(space.n_places, bool))
    with pytest.raises(TypeError, match="to be a Volume"):
        Region(np.ones(3))
    assert repr(Region(left=np.ones(4, bool), name="V1")) == (
        "Region('V1', 4 vertices of 4 (left))"
    )
    with pytest.raises(ValueError, match="read-only"):
        Region(left=np.ones(4, bool)).left[0] = False
