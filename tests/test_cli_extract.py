"""`rsa-faces extract`, `rdm`, `faces`, `import`, `networks layers|check`: as a user runs them."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from test_cli import rsa_faces, sentence

import rsa_faces as rf
from rsa_faces.extraction import list_store
from rsa_faces.stimuli.images import write_images

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Eight faces of the 92 images, as files."""
    folder = tmp_path_factory.mktemp("photographs")
    stimuli = rf.datasets.images92().stimuli
    for name in [f"image_{i}" for i in range(13, 21)]:
        Image.fromarray(stimuli.image(name)).save(folder / f"{name}.png")
    return folder


def test_extract_then_rdm_gives_what_rdm_gives_at_once(photographs, tmp_path):
    store, at_once, kept = tmp_path / "acts", tmp_path / "once.h5", tmp_path / "kept.h5"
    done = rsa_faces("extract", photographs, "--network", "mini-xception", "--store", store)
    assert done.exit_code == 0, done.output
    assert "16 layers of mini-xception, 8 images" in done.output
    done = rsa_faces("rdm", photographs, "--network", "mini-xception", "--out", at_once)
    assert done.exit_code == 0, done.output
    assert rsa_faces("rdm", store, "--out", kept).exit_code == 0
    one, two = rf.load_rdms(at_once), rf.load_rdms(kept)
    assert one.conditions == two.conditions
    assert one.labels.equals(two.labels)
    np.testing.assert_allclose(one.vectors, two.vectors, atol=2e-6)
    listed = rsa_faces("store", "list", store)
    assert "mini-xception: 16 layers, 8 images" in listed.output
    assert "MB, used today, current" in listed.output
    would = rsa_faces("store", "prune", store, "--max-size", "1KB")
    assert "Would remove 1 file," in would.output
    activations = rf.load_activations(store)
    assert activations.network == "mini-xception"
    assert activations.conditions[0] == "image_13"
    assert "Removed" in rsa_faces("store", "prune", store, "--max-size", "1KB", "--yes").output
    assert list(store.rglob("*.part")) == list(store.glob("*.list")) == []


def test_reduced_layers_and_tables(photographs, tmp_path):
    table = tmp_path / "rdms.csv"
    done = rsa_faces(
        "rdm",
        photographs,
        "--network",
        "mini-xception",
        "--out",
        table,
        "--reduce",
        "mean",
        "--layers",
        "block*",
        "--layers",
        "conv1",
        "--measure",
        "cosine",
    )
    assert done.exit_code == 0, done.output
    layers = pd.read_csv(table)["layer"].unique()
    assert "conv1:mean" in layers
    assert all(layer.endswith(":mean") for layer in layers)
    assert rf.load_rdms(table).measure == "cosine"


def test_faces_are_found_told_and_cut(photographs, tmp_path):
    Image.fromarray(np.full((80, 80, 3), 200, np.uint8)).save(tmp_path / "grey.png")
    folder = tmp_path / "some"
    folder.mkdir()
    for name in ("image_13", "image_14"):
        (folder / f"{name}.png").write_bytes((photographs / f"{name}.png").read_bytes())
    (folder / "grey.png").write_bytes((tmp_path / "grey.png").read_bytes())
    table, crops = tmp_path / "faces.csv", tmp_path / "crops"
    done = rsa_faces("faces", folder, "--table", table)
    assert done.exit_code == 0, done.output
    assert "2 of 3 images have a face" in done.output
    assert "none: grey" in sentence(done)
    assert list(pd.read_csv(table, index_col="id")["found"]) == [False, True, True]
    refused = rsa_faces("faces", folder, "--crops", crops)
    assert refused.exit_code == 2
    assert "'grey'" in sentence(refused)
    assert not crops.exists()
    done = rsa_faces("faces", folder, "--crops", crops, "--template", "dlib-face", "--leave-out")
    assert done.exit_code == 0, done.output
    written = ["image_13.png", "image_14.png", "images.csv"]
    assert sorted(p.name for p in crops.iterdir()) == written
    assert Image.open(crops / "image_13.png").size == (150, 150)


def test_crops_go_through_the_network(photographs, tmp_path):
    target = tmp_path / "rdms.h5"
    done = rsa_faces("rdm", photographs, "--network", "sface", "--crop-faces", "--out", target)
    assert done.exit_code == 0, done.output
    stimuli = rf.load_stimuli(photographs)
    crops = rf.crop_faces(stimuli, rf.detect_faces(stimuli))
    expected = rf.layer_rdms(rf.load_network("sface", device="cpu"), crops, layers=["fc"])
    found = rf.load_rdms(target).sel(layer="fc")
    np.testing.assert_allclose(found.vectors, expected.vectors, atol=1e-6)


def test_compare_cuts_faces_and_reduces_layers(photographs, tmp_path):
    stimuli = rf.load_stimuli(photographs)
    rng = np.random.default_rng(0)
    vectors = rng.random((3, 28))
    rf.RDMs(vectors, stimuli.ids, "simulated", {"subject": ["s1", "s2", "s3"]}).save(
        tmp_path / "data.h5"
    )
    config = {
        "title": "simulated data, faces cut out",
        "stimuli": {"folder": str(photographs)},
        "data": [{"rdms": str(tmp_path / "data.h5"), "region": "simulated"}],
        "networks": [
            {"name": "sface", "crop_faces": True, "reduce": "mean", "layers": ["block13", "fc"]},
        ],
        "inference": {"n_boot": 100},
    }
    path, folder = tmp_path / "c.yaml", tmp_path / "out"
    path.write_text(json.dumps(config))
    done = rsa_faces("compare", path, "--out", folder)
    assert done.exit_code == 0, done.output
    assert len(pd.read_csv(folder / "faces.csv")) == 8
    assert set(pd.read_csv(folder / "results.csv")["layer"]) == {"block13:mean", "fc"}
    crops = rf.crop_faces(stimuli, rf.detect_faces(stimuli))
    expected = rf.layer_rdms(rf.load_network("sface", device="cpu"), crops, layers=["fc"])
    found = rf.load_rdms(folder / "rdms" / "sface.h5").sel(layer="fc")
    np.testing.assert_allclose(found.vectors, expected.vectors, atol=1e-6)
    config["networks"] = [{"name": "pixels", "crop_faces": True}]
    config["store"] = "shared"  # beside the configuration
    path.write_text(json.dumps(config))
    # A network that was not trained on cut-out faces is shown the box, in every command.
    done = rsa_faces("compare", path, "--out", tmp_path / "other")
    assert done.exit_code == 0, done.output
    options = rf.load_network("pixels", device="cpu").spec.crop_options
    assert options["template"] == "box"
    box = rf.crop_faces(stimuli, rf.detect_faces(stimuli), **options)
    expected = rf.layer_rdms(rf.load_network("pixels", device="cpu"), box)
    found = rf.load_rdms(tmp_path / "other" / "rdms" / "pixels.h5")
    np.testing.assert_allclose(found.vectors, expected.vectors, atol=1e-6)
    (kept,) = list_store(tmp_path / "shared").itertuples()
    assert (kept.network, kept.images) == ("pixels", 8)
    assert "the square about the face's box, margin" in (
        tmp_path / "other" / "methods.md"
    ).read_text(encoding="utf-8")


def test_import_reads_by_name(tmp_path):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(4, 9))
    np.save(tmp_path / "features.npy", features)
    (tmp_path / "names.txt").write_text("d\na\nc\nb\n")
    target = tmp_path / "rdms.h5"
    done = rsa_faces(
        "import",
        tmp_path / "features.npy",
        "--conditions",
        tmp_path / "names.txt",
        "--out",
        target,
    )
    assert done.exit_code == 0, done.output
    rdms = rf.load_rdms(target)
    assert set(rdms.conditions) == set("abcd")
    expected = 1 - np.corrcoef(features)[0, 1]
    assert rdms.align(list("dacb")).vectors[0, 0] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["import", "x.npy", "--out", "o.h5"], "x.npy does not exist"),
        (["rdm", ".", "--out", "o.h5"], "expected --network NAME for a folder of images"),
        (["store", "list", "."], "to be a store of activations, or empty, but it holds"),
        (["store", "prune", "nowhere", "--unused"], "nowhere is none, or an empty one"),
        (
            ["faces", "PHOTOS", "--crops", "c", "--template", "pixels"],
            "'pixels' was not trained on faces cut out",
        ),
        (["networks", "check", "arcface-ir50"], "'arcface-ir50' needs a weight file"),
        (["networks", "layers", "sfase"], "unknown network 'sfase'. Did you mean 'sface'"),
    ],
)
def test_wrong_input_is_one_sentence(photographs, arguments, match):
    run = rsa_faces(*[photographs if a == "PHOTOS" else a for a in arguments])
    assert run.exit_code == 2
    assert re.search(match, sentence(run)), sentence(run)


def test_networks_are_looked_into_and_checked():
    shown = rsa_faces("networks", "layers", "mini-xception", "--fields", "--json")
    rows = json.loads(shown.output)
    assert rows[0]["layer"] == "conv1"
    assert rows[0]["receptive_field"] == 3
    shown = rsa_faces("networks", "layers", "densenet-fer2013")  # its weights do not ship
    assert shown.exit_code == 0
    assert "dense1.layer1" in shown.output
    checked = rsa_faces("networks", "check", "mini-xception", "--device", "cpu")
    assert checked.exit_code == 0, checked.output
    assert "mini-xception sees what it should: yes, because it answers three" in checked.output
    assert "identity: AUC 0.54" in checked.output
    assert "as published" in checked.output


def test_a_weight_file_of_the_user_is_checked_where_it_is_opened(tmp_path, monkeypatch):
    monkeypatch.setenv("RSA_FACES_DATA", str(tmp_path / "kept"))
    weights = rf.networks.NETWORKS["mini-xception"].weights_path
    faces = rf.datasets.simulated_faces().stimuli
    write_images(faces.subset(faces.ids[:3]), tmp_path / "faces")
    done = rsa_faces(
        *("rdm", tmp_path / "faces", "--network", "mini-xception", "--weights", weights),
        *("--layers", "pool", "--whole", "--out", tmp_path / "rdms.h5"),
    )
    assert done.exit_code == 0, done.output
    text = " ".join(done.output.split())
    assert "mini-xception sees what it should: yes, because it tells expression apart" in text


@pytest.mark.slow
def test_regions_of_simulated_brains_show_the_planted_layers(tmp_path):
    config = rf.__path__[0] + "/configs/regions.yaml"
    done = rsa_faces("compare", config, "--out", tmp_path / "o", "--set", "inference.n_boot=100")
    assert done.exit_code == 0, done.output
    table = pd.read_csv(tmp_path / "o" / "results.csv")
    table = table[table["network"] == "face-api-expression"]
    for region, layer in (
        ("simulated early region", "block1.relu2"),
        ("simulated late region", "block4.relu4"),
    ):
        rows = table[table["region"] == region]
        best = rows.loc[rows["similarity"].idxmax()]
        assert best["layer"] == layer
        assert best["similarity"] > best["ceiling_low"]
        assert rows["n_subjects"].iloc[0] == 8


def test_regions_are_read_from_images(photographs, tmp_path):
    import nibabel

    stimuli = rf.load_stimuli(photographs)
    rng = np.random.default_rng(0)
    affine = np.diag([3.0, 3, 3, 1])
    runs = ["a"] * 8 + ["b"] * 8
    names = [*stimuli.ids, *stimuli.ids[::-1]]
    pd.DataFrame({"condition": names, "fold": runs}).to_csv(tmp_path / "v.csv", index=False)
    mask = np.zeros((5, 5, 5), np.uint8)
    mask[1:4, 1:4, 1:4] = 1
    nibabel.save(nibabel.Nifti1Image(mask, affine), tmp_path / "roi.nii.gz")
    betas = {}
    for subject in ("s1", "s2", "s3"):
        betas[subject] = rng.normal(size=(5, 5, 5, 16))
        nibabel.save(nibabel.Nifti1Image(betas[subject], affine), tmp_path / f"{subject}.nii.gz")
    config = {
        "title": "simulated betas",
        "stimuli": {"folder": str(photographs)},
        "data": [
            {
                "region": "ROI",
                "fmri": {
                    "subjects": {s: f"{s}.nii.gz" for s in betas},
                    "conditions": "v.csv",
                    "roi": "roi.nii.gz",
                },
            }
        ],
        "networks": ["pixels"],
        "inference": {"n_boot": 100},
    }
    path = tmp_path / "c.yaml"
    path.write_text(json.dumps(config))
    done = rsa_faces("compare", path, "--out", tmp_path / "o")
    assert done.exit_code == 0, done.output
    inside = mask.astype(bool)
    expected = [
        rf.compute_rdms(
            betas[s][inside].T, conditions=names, folds=runs, measure="crossnobis"
        ).align(stimuli.ids)
        for s in betas
    ]
    pixels = rf.layer_rdms(rf.load_network("pixels"), stimuli)
    sims = [rf.compare(pixels, data, method="rho-a")[0, 0] for data in expected]
    found = pd.read_csv(tmp_path / "o" / "results.csv")["similarity"][0]
    assert found == pytest.approx(np.mean(sims), abs=1e-9)
    config["data"][0]["fmri"]["roi"] = {"s1": "roi.nii.gz"}
    path.write_text(json.dumps(config))
    refused = rsa_faces("compare", path, "--out", tmp_path / "o2")
    assert refused.exit_code == 2
    assert "expected roi of the same subjects" in sentence(refused)
