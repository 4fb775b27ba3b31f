"""Brain images: odd and broken files, masks, lists of maps, and runs over subjects."""

import gzip
import warnings

import nibabel
import numpy as np
import pandas as pd
import pytest
from nibabel import gifti
from nibabel.cifti2 import BrainModelAxis, ScalarAxis
from situation import Situation, check, command, each

import rsa_faces as rf
from rsa_faces.brain import load_patterns, load_roi, load_surface, localiser_roi
from rsa_faces.brain.images import open_image
from rsa_faces.mapping import searchlight

SHAPE, AFFINE = (4, 4, 3), np.diag([3.0, 3, 3, 1])
NAMES = [f"f{i}" for i in range(4)]
VALUES = np.random.default_rng(0).normal(size=(*SHAPE, 4))
INSIDE = np.zeros(SHAPE, bool)
INSIDE[1:3] = True
VERTICES = np.random.default_rng(1).normal(size=(4, 30)).astype(np.float32)


def nifti(values, path, affine=AFFINE):
    nibabel.save(nibabel.Nifti1Image(values, affine), path)
    return path


def betas(folder, name="betas.nii.gz"):
    return nifti(VALUES, folder / name)


def mask_file(folder, inside, outside=0.0, name="mask.nii.gz"):
    return nifti(np.where(INSIDE, inside, outside).astype(np.float32), folder / name)


def cut(path, share=0.5):
    """Keep the beginning of a file only."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def surface_volume(folder, name):
    """Values of vertices as FreeSurfer writes them: (n_vertices, 1, 1, n_maps)."""
    path = folder / name
    kind = nibabel.MGHImage if path.suffix == ".mgh" else nibabel.Nifti1Image
    nibabel.save(kind(VERTICES.T[:, None, None], AFFINE), path)
    return path


def func_gii(folder, name="lh.betas.func.gii", values=VERTICES, structure=None):
    meta = gifti.GiftiMetaData(
        {} if structure is None else {"AnatomicalStructurePrimary": structure}
    )
    image = gifti.GiftiImage(darrays=[gifti.GiftiDataArray(v) for v in values], meta=meta)
    nibabel.save(image, folder / name)
    return folder / name


def dscalar(folder):
    axis = BrainModelAxis.from_surface(np.arange(20), 20, "CIFTI_STRUCTURE_CORTEX_LEFT")
    header = (ScalarAxis(NAMES), axis)
    nibabel.save(nibabel.Cifti2Image(VERTICES[:, :20], header=header), folder / "b.dscalar.nii")
    return folder / "b.dscalar.nii"


def geometry(folder):
    points = gifti.GiftiDataArray(np.eye(3, dtype=np.float32), intent="NIFTI_INTENT_POINTSET")
    faces = gifti.GiftiDataArray(np.array([[0, 1, 2]], np.int32), intent="NIFTI_INTENT_TRIANGLE")
    nibabel.save(gifti.GiftiImage(darrays=[points, faces]), folder / "lh.white.surf.gii")
    return folder / "lh.white.surf.gii"


def maps(folder, n=12, affines=None):
    """3-D maps without zeros in their numbers: beta2 comes before beta10."""
    folder = folder / "betas"
    folder.mkdir()
    values = np.random.default_rng(2).normal(size=(*SHAPE, n))
    for i in range(n):
        nifti(values[..., i], folder / f"beta{i + 1}.nii", (affines or {}).get(i, AFFINE))
    return folder, values[INSIDE].T


def same(got, want):
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)


def models():
    return rf.RDMs(np.arange(6.0), NAMES, "simulated", {"name": ["a"]})


def light(img, mask, **options):
    return searchlight(img, mask_img=mask, conditions=NAMES, models=models(), radius=6.0, **options)


def is_surface(path):
    image = open_image(path)
    assert image.kind == "surface"
    same(image.read(image.space), VERTICES)


def reads(img, want, conditions=None, mask=INSIDE):
    mask = nibabel.Nifti1Image(mask.astype(np.uint8), AFFINE)
    same(
        load_patterns(img, conditions or [str(i) for i in range(len(want))], mask_img=mask).values,
        want,
    )


def with_transforms(folder, sform_code, qform_code, shift=0.0):
    img = nibabel.Nifti1Image(VALUES, AFFINE)
    moved = AFFINE.copy()
    moved[0, 3] += shift
    img.set_sform(AFFINE, sform_code)
    img.set_qform(moved, qform_code)
    nibabel.save(img, folder / "betas.nii")
    return folder / "betas.nii"


def notes(act, match):
    with pytest.warns(UserWarning, match=match):
        act()


def says_nothing(act):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        act()


def table_of_files(folder, names):
    _, want = maps(folder)
    table = pd.DataFrame({"condition": [f"c{i}" for i in range(len(names))], "file": names})
    table.to_csv(folder / "t.csv", index=False)
    return folder / "betas", folder / "t.csv", want


def picked(folder):
    images, table, want = table_of_files(folder, ["beta10.nii", "beta2.nii", "beta3.nii"])
    mask = nibabel.Nifti1Image(INSIDE.astype(np.uint8), AFFINE)
    same(load_patterns(images, table, mask_img=mask).values, want[[9, 1, 2]])


def hemispheres(folder):
    for side in ("lh", "rh"):
        func_gii(folder, f"{side}.betas.func.gii", VERTICES + (side == "rh"))
    got = load_patterns(folder / "*.func.gii", NAMES)
    same(got.values, np.hstack([VERTICES, VERTICES + 1]))


def moved_affine():
    moved = AFFINE.copy()
    moved[0, 3] = 7
    return moved


def study(folder, **changes):
    """A configuration for regions of two subjects; returns its path."""
    import yaml
    from PIL import Image

    (folder / "faces").mkdir()
    rng = np.random.default_rng(0)
    for name in NAMES:
        Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(
            folder / "faces" / f"{name}.png"
        )
    pd.DataFrame({"file": [f"{n}.png" for n in NAMES], "kind": list("aabb")}).to_csv(
        folder / "faces.csv", index=False
    )
    pd.DataFrame({"condition": NAMES}).to_csv(folder / "volumes.csv", index=False)
    for subject in ("01", "02"):
        own = np.random.default_rng(int(subject)).normal(size=VALUES.shape)
        nifti(own, folder / f"sub-{subject}.nii.gz")
        mask_file(folder, 1, name=f"sub-{subject}_FFA.nii.gz")
    fmri = {
        "subjects": ["01", "02"],
        "images": "sub-{subject}.nii.gz",
        "conditions": "volumes.csv",
        "roi": "sub-{subject}_{region}.nii.gz",
        "measure": "euclidean",
    } | changes
    config = {
        "title": "t",
        "stimuli": {"folder": "faces", "manifest": "faces.csv"},
        "data": [{"region": "FFA", "fmri": fmri}],
        "models": [{"metadata": "kind"}],
        "inference": {"bootstrap": "subjects", "n_boot": 100},
    }
    (folder / "c.yaml").write_text(yaml.safe_dump(config))
    return folder / "c.yaml"


def compare(folder, spoil=lambda folder: None, **changes):
    path = study(folder, **changes)
    spoil(folder)
    return command("compare", path, "--out", folder / "out")


def map_run(folder, **changes):
    import yaml

    study(folder)
    models().align(NAMES).save(folder / "m.h5")
    mask_file(folder, 1)
    data = {
        "subjects": "all",
        "images": "sub-{subject}.nii.gz",
        "conditions": "volumes.csv",
        "mask": "mask.nii.gz",
    } | changes
    config = {
        "title": "t",
        "data": data,
        "models": [{"rdms": "m.h5"}],
        "radius": 6,
        "method": "cosine",
        "test": {"n_permutations": 99},
    }
    (folder / "s.yaml").write_text(yaml.safe_dump(config))
    return command("searchlight", folder / "s.yaml", "--out", folder / "out")


SITUATIONS = [
    # What a file is
    Situation(
        "FreeSurfer's .mgh of a surface, by its path",
        lambda f: is_surface(surface_volume(f, "lh.betas.mgh")),
    ),
    Situation(
        "NIfTI of a surface, by its path",
        lambda f: is_surface(surface_volume(f, "rh.betas.nii.gz")),
    ),
    Situation("GIFTI whose name says the hemisphere", lambda f: is_surface(func_gii(f))),
    Situation(
        "NIfTI of a surface that does not say the hemisphere",
        lambda f: open_image(surface_volume(f, "b.nii")),
        r"hemisphere of img \(b.nii\)",
    ),
    Situation(
        "a searchlight over a surface without its mesh",
        lambda f: light(surface_volume(f, "lh.betas.mgh"), mask_file(f, 1)),
        r"expected `mesh`.*lh\.betas\.mgh\) holds vertices",
    ),
    Situation(
        "a searchlight over CIFTI",
        lambda f: light(dscalar(f), mask_file(f, 1)),
        "got CIFTI: split it with rsa_faces.mapping.image_parts",
    ),
    Situation(
        "the geometry of a surface as values",
        lambda f: open_image(geometry(f)),
        r"lh\.white\.surf\.gii\), but it is the geometry",
    ),
    Situation("a volume in MGH", lambda f: reads(_mgh(f), VALUES[INSIDE].T)),
    Situation(
        "five dimensions, as some programs write statistics",
        lambda f: reads(nifti(VALUES[:, :, :, None], f / "b.nii"), VALUES[INSIDE].T),
    ),
    Situation(
        "two dimensions",
        lambda f: open_image(nifti(VALUES[:, :, 0, 0], f / "b.nii")),
        r"3 dimensions, or 4 .* got \(4, 4\)",
    ),
    Situation(
        "complex numbers",
        lambda f: reads(nifti(VALUES + 1j, f / "b.nii"), VALUES),
        r"real numbers in img \(b.nii\), got complex128",
    ),
    Situation("both hemispheres by one pattern", hemispheres),
    # Broken files
    Situation(
        "a compressed NIfTI that ends too early",
        lambda f: load_patterns(cut(betas(f)), NAMES),
        r"betas\.nii\.gz\).*truncated",
    ),
    Situation(
        "a NIfTI that ends too early",
        lambda f: load_patterns(cut(betas(f, "b.nii")), NAMES),
        r"b\.nii\).*truncated",
    ),
    Situation(
        "a NIfTI without the end of its header",
        lambda f: load_patterns(cut(betas(f, "b.nii"), 0.02), NAMES),
        r"b\.nii.*truncated",
    ),
    Situation(
        "a searchlight over a file that ends too early",
        lambda f: light(cut(betas(f)), mask_file(f, 1)),
        r"betas\.nii\.gz\).*truncated",
    ),
    Situation(
        "a mask that ends too early",
        lambda f: load_roi(cut(mask_file(f, 1))),
        r"mask\.nii\.gz\).*truncated",
    ),
    Situation(
        "a GIFTI that ends too early",
        lambda f: open_image(cut(func_gii(f))),
        r"lh\.betas\.func\.gii.*truncated",
    ),
    Situation(
        "a CIFTI that ends too early",
        lambda f: load_patterns(cut(dscalar(f), 0.97), NAMES),
        r"b\.dscalar\.nii.*truncated",
    ),
    Situation(
        "text named as an image", lambda f: open_image(_text(f / "b.nii")), r"b\.nii.*no image"
    ),
    Situation(
        "text compressed and named as an image",
        lambda f: open_image(_gz(f / "b.nii.gz")),
        r"b\.nii\.gz.*no image",
    ),
    Situation("an empty file", lambda f: open_image(_text(f / "b.nii", "")), r"b\.nii.*no image"),
    Situation(
        "a label of FreeSurfer that is none",
        lambda f: load_roi(_text(f / "lh.A.label"), n_vertices=9),
        r"lh\.A\.label.*broken",
    ),
    Situation(
        "a surface that is none",
        lambda f: load_surface(_text(f / "lh.white")),
        r"geometry of a surface.*lh\.white",
    ),
    Situation(
        "a file that does not exist", lambda f: open_image(f / "b.nii"), r"b\.nii does not exist"
    ),
    # Masks
    Situation(
        "a mask of probabilities",
        lambda f: load_roi(mask_file(f, 0.8, 0.01)),
        r"mask\.nii\.gz\), but 48 of 48 values are others.*threshold=0.405",
    ),
    Situation(
        "a mask of probabilities with a threshold",
        lambda f: same(load_roi(mask_file(f, 0.8, 0.01), threshold=0.4).volume.mask, INSIDE),
    ),
    Situation(
        "a threshold above all values",
        lambda f: load_roi(mask_file(f, 0.8), threshold=0.9),
        "the largest is 0.8",
    ),
    Situation("a mask with -1 outside", lambda f: load_roi(mask_file(f, 1, -1)), "threshold=0\\)"),
    Situation("a mask of 0 and 255", lambda f: load_roi(mask_file(f, 255)), "threshold=127.5"),
    Situation(
        "a mask with the ringing of an interpolation",
        lambda f: load_roi(mask_file(f, 1.04, -0.04)),
        "from -0.04 to 1.04.*threshold=0.5",
    ),
    Situation(
        "a mask with NaN outside",
        lambda f: same(load_roi(mask_file(f, 1, np.nan)).volume.mask, INSIDE),
    ),
    Situation(
        "labels as a mask",
        lambda f: load_roi(nifti(np.arange(48.0).reshape(SHAPE), f / "a.nii")),
        "got 47 from 1 to 47. For labels use atlas_rois",
    ),
    Situation("an empty mask", lambda f: load_roi(mask_file(f, 0)), "nothing other than 0"),
    Situation(
        "a searchlight in a mask of probabilities",
        lambda f: light(betas(f), mask_file(f, 0.7)),
        r"mask_img \(mask.*threshold=0.35",
    ),
    Situation(
        "patterns in a mask of probabilities",
        lambda f: load_patterns(betas(f), NAMES, mask_img=mask_file(f, 0.7)),
        "threshold=0.35",
    ),
    Situation(
        "a parcel of probabilities",
        lambda f: localiser_roi(nifti(VALUES[..., 0], f / "t.nii"), mask_file(f, 0.7), 3),
        r"parcel \(mask.*threshold=0.35",
    ),
    Situation(
        "a mask of several maps", lambda f: load_roi(betas(f)), "one map in the mask.*, got 4"
    ),
    Situation(
        "a searchlight in a mask on another grid",
        lambda f: light(betas(f), nifti(1.0 * INSIDE, f / "m.nii", moved_affine())),
        "mask_img on the grid of img",
    ),
    # Lists, patterns, folders
    Situation("a folder of twelve maps", lambda f: reads(*maps(f))),
    Situation(
        "a pattern of twelve maps", lambda f: (lambda p, want: reads(p / "*.nii", want))(*maps(f))
    ),
    Situation("a pattern in a searchlight", lambda f: _light_of_pattern(f)),
    Situation(
        "a pattern that nothing matches",
        lambda f: open_image(f / "*.nii"),
        r"none matches .*\*\.nii",
    ),
    Situation("a folder without images", lambda f: open_image(f), "images as img in the folder"),
    Situation(
        "one map on another grid",
        lambda f: reads(*maps(f, affines={3: moved_affine()})),
        r"one affine for all images of img, but img 0 \(beta1.nii\).* img 3 \(beta4.nii\)",
    ),
    Situation(
        "volumes and surfaces in one list",
        lambda f: open_image([betas(f), surface_volume(f, "lh.b.mgh")]),
        "one kind as img, but img 0 .* a volume and img 1 .* a surface",
    ),
    Situation("a table that names the files of maps", picked),
    Situation(
        "a table that names a file that is not there",
        lambda f: load_patterns(*table_of_files(f, ["beta13.nii"])[:2]),
        "one file 'beta13.nii' .* among 12 files of img, got 0. Did you mean 'beta",
    ),
    Situation(
        "fewer conditions than maps",
        lambda f: load_patterns(maps(f)[0], NAMES),
        "one condition for each of 12 maps, got 4",
    ),
    # Orientation and hemispheres
    Situation(
        "sform and qform that differ",
        lambda f: notes(
            lambda: open_image(with_transforms(f, 1, 1, 5.0)),
            r"betas\.nii\) has an sform and a qform that differ, by up to 5 mm",
        ),
    ),
    Situation(
        "sform and qform that agree",
        lambda f: says_nothing(lambda: open_image(with_transforms(f, 1, 1))),
    ),
    Situation(
        "neither sform nor qform",
        lambda f: notes(lambda: open_image(with_transforms(f, 0, 0)), "no orientation"),
    ),
    Situation(
        "a hemisphere that is not that of the name",
        lambda f: notes(
            lambda: open_image(func_gii(f, structure="CortexRight")),
            "states the right hemisphere, but is named as the left one",
        ),
    ),
    Situation(
        "a hemisphere given as the other one",
        lambda f: notes(
            lambda: open_image({"left": func_gii(f, structure="CortexRight")}),
            "states the right hemisphere, and is given as the left one",
        ),
    ),
    # Runs over subjects
    Situation("compare where all is well", lambda f: compare(f)),
    Situation(
        "compare with a truncated file of one subject",
        lambda f: compare(f, lambda f: cut(f / "sub-02.nii.gz")),
        r"region 'FFA', subject '02', \S*sub-02\.nii\.gz: .*truncated",
    ),
    Situation(
        "compare with a mask of probabilities of one subject",
        lambda f: compare(f, lambda f: mask_file(f, 0.6, name="sub-02_FFA.nii.gz")),
        r"region 'FFA', subject '02'.*`threshold: 0.3` beside the `file` of the mask",
    ),
    Situation(
        "compare with that threshold",
        lambda f: compare(
            f,
            lambda f: mask_file(f, 0.6, name="sub-02_FFA.nii.gz"),
            roi={"file": "sub-{subject}_{region}.nii.gz", "threshold": 0.3},
        ),
    ),
    Situation(
        "compare with a region on another grid",
        lambda f: compare(
            f, lambda f: nifti(INSIDE.astype(np.uint8), f / "sub-01_FFA.nii.gz", moved_affine())
        ),
        r"region 'FFA', subject '01'.*say `resample: true`",
    ),
    Situation(
        "compare with values that are not finite",
        lambda f: compare(
            f, lambda f: nifti(np.where(INSIDE[..., None], np.nan, VALUES), f / "sub-02.nii.gz")
        ),
        r"region 'FFA', subject '02'.*not finite",
    ),
    Situation(
        "compare with a subject without images",
        lambda f: compare(f, subjects=["01", "03"]),
        r"region 'FFA', subject '03', \S*sub-03\.nii\.gz.*does not exist",
    ),
    Situation("a searchlight run where all is well", lambda f: map_run(f)),
    Situation(
        "a searchlight run in a mask of probabilities",
        lambda f: (mask_file(f, 0.6, name="p.nii.gz"), map_run(f, mask="p.nii.gz")),
        r"data\.mask: .*p\.nii\.gz.*`threshold: 0.3` beside the `file`",
    ),
    Situation(
        "a searchlight run with numbers for names of subjects",
        lambda f: map_run(f, subjects=[1, 2]),
        "as text, in quotes",
    ),
    Situation(
        "an expression that would run code",
        lambda f: rf.datasets.images92().stimuli.query("__import__('os').system('ls') == 0"),
        "is not allowed. An expression is made of",
    ),
]


def _mgh(folder):
    nibabel.save(nibabel.MGHImage(VALUES.astype(np.float32), AFFINE), folder / "b.mgz")
    return folder / "b.mgz"


def _text(path, content="this is no image, but a text of some length\n" * 20):
    path.write_text(content)
    return path


def _gz(path):
    path.write_bytes(gzip.compress(b"this is no image" * 100))
    return path


def _light_of_pattern(folder):
    images, want = maps(folder, 4)
    found = light(images / "beta*.nii", mask_file(folder, 1))
    whole = np.zeros((*SHAPE, 4))
    whole[INSIDE] = want.T
    again = light(nibabel.Nifti1Image(whole, AFFINE), mask_file(folder, 1))
    same(found.similarity, again.similarity)


@each(SITUATIONS)
def test_situation(situation, tmp_path):
    check(situation, tmp_path)
