"""Importers: what other tools write, names that are checked, files that are refused."""

import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
import torch
from rsatoolbox.data import Dataset
from rsatoolbox.data.dataset import TemporalDataset
from rsatoolbox.rdm import RDMs as ToolboxRDMs
from scipy.spatial.distance import pdist, squareform

import rsa_faces as rf
from rsa_faces import ConditionMismatchError, InputError
from rsa_faces.io import _foreign, read_features, read_rdms

NAMES = ["d", "a", "c", "b"]  # not sorted: an importer that sorts rows is found out


def vectors(n=4, seed=0):
    return pdist(np.random.default_rng(seed).normal(size=(n, 20)), "correlation")


def rows(seed=0, shape=(4, 3, 2, 2)):
    return np.random.default_rng(seed).normal(size=shape)


class Attack:
    """Something that would leave a file behind if it were unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


# thingsvision


def save_thingsvision(folder, features, kind, names=NAMES):
    """Write features as thingsvision's save_features does."""
    folder.mkdir(parents=True, exist_ok=True)
    if names:
        (folder / "file_names.txt").write_text("".join(f"{name}.jpg\n" for name in names))
    path = folder / f"features.{kind}"
    if kind == "npy":
        np.save(path, features)
    elif kind == "txt":
        np.savetxt(path, features.reshape(len(features), -1))
    elif kind == "pt":
        torch.save(torch.from_numpy(features), path)
    elif kind == "hdf5":
        with h5py.File(path, "w") as file:
            file["features"] = features
    elif names:  # one variable per image, here in another order than the names
        scipy.io.savemat(path, dict(sorted(zip(names, features, strict=True))))
    else:
        scipy.io.savemat(path, {"features": features})


@pytest.mark.parametrize("kind", ["npy", "txt", "pt", "hdf5", "mat"])
def test_thingsvision_kinds(tmp_path, kind):
    save_thingsvision(tmp_path / "resnet" / "layer4.1", rows(), kind)
    acts = read_features(tmp_path)
    assert acts.layers == ("resnet/layer4.1",)
    assert acts.conditions == tuple(NAMES)
    np.testing.assert_allclose(acts["resnet/layer4.1"], rows().reshape(4, -1), atol=1e-12)


@pytest.mark.parametrize("kind", ["npy", "mat"])
def test_thingsvision_without_names(tmp_path, kind):
    save_thingsvision(tmp_path / "fc", rows(), kind, names=None)
    with pytest.raises(InputError, match="expected `conditions`: layer 'fc' does not say"):
        read_features(tmp_path)
    acts = read_features(tmp_path, conditions=NAMES)
    assert acts.conditions == tuple(NAMES)
    np.testing.assert_array_equal(acts["fc"], rows().reshape(4, -1))
    (tmp_path / "names.txt").write_text("d\na\n\nc\nb\n", encoding="utf-8-sig")
    assert read_features(tmp_path, conditions=tmp_path / "names.txt").conditions == tuple(NAMES)


def test_thingsvision_names_are_checked(tmp_path):
    save_thingsvision(tmp_path, rows(), "npy")
    assert read_features(tmp_path, conditions=NAMES).conditions == tuple(NAMES)
    raw = [f"{name}.jpg" for name in NAMES]
    assert read_features(tmp_path, conditions=raw).conditions == tuple(raw)
    with pytest.raises(InputError, match="in another order: 'a' was given where it has 'd'"):
        read_features(tmp_path, conditions=sorted(NAMES))
    with pytest.raises(InputError, match="other names: 'e' was given where it has 'b'"):
        read_features(tmp_path, conditions=["d", "a", "c", "e"])
    with pytest.raises(InputError, match="expected 4 names.* but 3 were given"):
        read_features(tmp_path, conditions=NAMES[:3])
    (tmp_path / "file_names.txt").write_text("d.jpg\na.jpg\n")
    with pytest.raises(InputError, match="expected 4 names.* but 2 are in the file"):
        read_features(tmp_path)
    (tmp_path / "file_names.txt").write_text("d.jpg\na.jpg\na.jpg\nb.jpg\n")
    with pytest.raises(InputError, match="unique condition names.*'a'"):
        read_features(tmp_path)


def test_thingsvision_folders_that_tell_names_apart(tmp_path):
    save_thingsvision(tmp_path, rows(), "npy")
    paths = [f"/data/{c}/{i}.png" for c in ("cat", "dog") for i in (1, 2)]
    (tmp_path / "file_names.txt").write_text("\n".join(paths))
    assert read_features(tmp_path).conditions == ("cat/1", "cat/2", "dog/1", "dog/2")


def test_thingsvision_layers_and_parts(tmp_path):
    for layer in ["layer10", "layer2", "layer1"]:
        save_thingsvision(tmp_path / layer, rows(len(layer)), "npy", names=None)
    (tmp_path / "file_names.txt").write_text("\n".join(f"{n}.JPG" for n in NAMES))
    assert read_features(tmp_path).layers == ("layer1", "layer2", "layer10")
    assert read_features(tmp_path, layers=["layer10", "layer1"]).layers == ("layer10", "layer1")
    with pytest.raises(InputError, match="unknown layer 'layer3'.* Did you mean"):
        read_features(tmp_path, layers=["layer3"])
    # Chunks of extract_features(output_dir=…) sort 10 before 2 as text.
    many = np.random.default_rng(0).normal(size=(24, 5))
    folder = tmp_path / "chunks" / "conv"
    folder.mkdir(parents=True)
    for start in range(0, 24, 2):
        np.save(folder / f"features_{start}-{start + 2}.npy", many[start : start + 2])
    names = [f"i{k}" for k in range(24)]
    (tmp_path / "chunks" / "file_names.txt").write_text("\n".join(names))
    np.testing.assert_array_equal(read_features(tmp_path / "chunks")["conv"], many)
    (folder / "features_4-6.npy").unlink()
    with pytest.raises(InputError, match=r"without gaps .* after 4 rows comes features_6-8\.npy"):
        read_features(tmp_path / "chunks")


@pytest.mark.parametrize("kind", ["npy", "txt", "hdf5", "mat"])
def test_thingsvision_splits(tmp_path, kind):
    many = np.random.default_rng(0).normal(size=(24, 5))
    names = [f"i{k}" for k in range(24)]
    (tmp_path / "file_names.txt").write_text("\n".join(names))
    for i in range(12):
        part, path = many[2 * i : 2 * i + 2], tmp_path / f"features_{i + 1:02d}.{kind}"
        if kind == "npy":
            np.save(path, part)
        elif kind == "txt":
            np.savetxt(path, part)
        elif kind == "hdf5":
            with h5py.File(tmp_path / "features.hdf5", "a") as file:
                file[f"features_{i + 1:02d}"] = part
        else:
            scipy.io.savemat(path, dict(zip(names[2 * i : 2 * i + 2], part, strict=True)))
    acts = read_features(tmp_path)
    np.testing.assert_allclose(acts[tmp_path.name], many)
    if kind == "npy":
        (tmp_path / "features_03.npy").unlink()
        with pytest.raises(InputError, match="A part is missing"):
            read_features(tmp_path)


def test_thingsvision_errors(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_features(tmp_path / "none")
    with pytest.raises(InputError, match="is a folder that holds none"):
        read_features(tmp_path)
    save_thingsvision(tmp_path, rows(), "npy")
    save_thingsvision(tmp_path, rows(), "hdf5")
    with pytest.raises(InputError, match="several formats in .*'hdf5', 'npy'"):
        read_features(tmp_path)
    (tmp_path / "features.hdf5").unlink()
    np.save(tmp_path / "features_train.npy", rows())
    with pytest.raises(InputError, match="several sets of images"):
        read_features(tmp_path)
    (tmp_path / "features_train.npy").unlink()
    bad = rows()
    bad[2, 0, 0, 0] = np.nan
    save_thingsvision(tmp_path, bad, "npy")
    with pytest.raises(InputError, match="NaN or infinite values for 1 of 4 images: 'c'"):
        read_features(tmp_path)
    np.save(tmp_path / "features.npy", np.array([["x"]]))
    (tmp_path / "file_names.txt").unlink()
    with pytest.raises(InputError, match="expected real numbers"):
        read_features(tmp_path, conditions=["d"])
    (tmp_path / "features.npy").unlink()
    scipy.io.savemat(tmp_path / "features.mat", dict(zip("da", rows(), strict=False)))
    (tmp_path / "file_names.txt").write_text("d\ne\n")
    with pytest.raises(InputError, match="1 are missing: 'e'"):
        read_features(tmp_path)


# Net2Brain features


def save_net2brain(folder, how, names=NAMES, seed=0):
    """Write two layers in one of the forms of Net2Brain's FeatureExtractor."""
    layers = {"layer2": rows(seed, (4, 1, 3, 2)), "layer10": rows(seed + 1, (4, 1, 7))}
    folder.mkdir(exist_ok=True)
    if how in {"image", "image.jpg"}:
        for i, name in enumerate(names):
            arrays = {layer: values[i] for layer, values in layers.items()}
            np.savez(folder / f"{name}{how.removeprefix('image')}.npz", **arrays)
    elif how == "pair":
        for layer, values in layers.items():
            for i, name in enumerate(names):
                np.savez(folder / f"{layer}_{name}.jpg.npz", **{f"{name}.jpg": values[i]})
    else:
        start, end = ("consolidated_", "") if how == "consolidated" else ("", ".jpg")
        for layer, values in layers.items():
            arrays = {f"{name}{end}": values[i] for i, name in enumerate(names)}
            np.savez_compressed(folder / f"{start}{layer}.npz", **arrays)
    order = np.argsort(names)
    return {layer: values[order].reshape(4, -1) for layer, values in layers.items()}


@pytest.mark.parametrize("how", ["image", "image.jpg", "consolidated", "layer", "pair"])
def test_net2brain_features(tmp_path, how):
    expected = save_net2brain(tmp_path, how)
    acts = read_features(tmp_path)
    assert acts.conditions == ("a", "b", "c", "d")
    assert set(acts.layers) == {"layer2", "layer10"}
    if how != "pair":
        assert acts.layers == ("layer2", "layer10")
    for layer, values in expected.items():
        np.testing.assert_array_equal(acts[layer], values)
    one = read_features(tmp_path, layers=["layer10"], conditions=NAMES)
    np.testing.assert_array_equal(one["layer10"], expected["layer10"])
    with pytest.raises(InputError, match="unknown layer 'layer3'"):
        read_features(tmp_path, layers=["layer3"])
    with pytest.raises(ConditionMismatchError, match="only in `conditions`: 'e'"):
        read_features(tmp_path, conditions=["a", "b", "c", "e"])
    with pytest.raises(InputError, match="unknown per 'images'"):
        read_features(tmp_path, per="images")


def test_net2brain_layers_with_plain_keys_need_to_be_told(tmp_path):
    np.savez(tmp_path / "conv.npz", a=np.ones(3), b=np.zeros(3))
    np.savez(tmp_path / "fc.npz", a=np.ones(2), b=np.zeros(2))
    acts = read_features(tmp_path, per="layer")
    assert acts.layers == ("conv", "fc")
    assert acts.conditions == ("a", "b")
    np.testing.assert_array_equal(acts["fc"], [[1, 1], [0, 0]])
    assert read_features(tmp_path / "fc.npz").layers == ("fc",)
    with pytest.raises(InputError, match="one shape for all images in layer 'a'"):
        read_features(tmp_path)


def test_net2brain_feature_errors(tmp_path):
    save_net2brain(tmp_path, "image")
    np.savez(tmp_path / "c.npz", layer2=np.ones((1, 5, 2)), layer10=np.ones((1, 7)))
    with pytest.raises(InputError, match=r"layer 'layer2', but 'c' has \(1, 5, 2\) and most have"):
        read_features(tmp_path)
    np.savez(tmp_path / "c.npz", layer2=np.ones((1, 3, 2)))
    with pytest.raises(InputError, match="layer 'layer10' of every image, but 1 of 4 lack it: 'c'"):
        read_features(tmp_path)
    np.savez(tmp_path / "c.npz", layer2=np.ones((1, 3, 2)), layer10=np.full((1, 7), np.inf))
    with pytest.raises(InputError, match="NaN or infinite values for 1 of 4 images: 'c'"):
        read_features(tmp_path)
    np.savez(tmp_path / "consolidated_fc.npz", a=np.ones(3))
    with pytest.raises(InputError, match="holds both"):
        read_features(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="is a folder that holds none"):
        read_features(tmp_path / "empty")


# Net2Brain RDMs


def save_net2brain_rdm(folder, layer, names=NAMES, kind="npz", seed=0):
    """Write an RDM as Net2Brain's LayerRDM.save does."""
    data = {
        "rdm": torch.from_numpy(vectors(seed=seed)),
        "stimuli_name": tuple(names),
        "layer_name": layer,
        "meta": {"distance": "pearson"},
    }
    path = folder / f"RDM_{layer.replace('.', '_')}.{kind}"
    if kind == "pt":
        torch.save(data, path)
    else:
        np.savez(path, **data)  # meta becomes a pickled object
    return path


@pytest.mark.parametrize("kind", ["npz", "pt"])
def test_net2brain_rdms(tmp_path, kind):
    for i, layer in enumerate(["layer10.bn", "layer2.bn"]):
        save_net2brain_rdm(tmp_path, layer, kind=kind, seed=i)
    rdms = read_rdms(tmp_path, measure="correlation", label={"network": "alexnet"})
    assert rdms.conditions == tuple(NAMES)
    assert rdms.measure == "correlation"
    assert rdms.labels.to_dict("list") == {
        "network": ["alexnet"] * 2,
        "layer": ["layer2.bn", "layer10.bn"],
    }
    np.testing.assert_array_equal(rdms.vectors, [vectors(seed=1), vectors(seed=0)])
    assert read_rdms(tmp_path, conditions=NAMES).measure == "unknown"
    with pytest.raises(InputError, match="in another order"):
        read_rdms(tmp_path, conditions=sorted(NAMES))
    with pytest.raises(InputError, match="4 names.*but 3 were given"):
        read_rdms(tmp_path, conditions=NAMES[:3])


def test_net2brain_rdms_are_aligned_by_name(tmp_path):
    save_net2brain_rdm(tmp_path, "a")
    order = [2, 0, 3, 1]
    turned = squareform(squareform(vectors())[np.ix_(order, order)])
    np.savez(
        tmp_path / "RDM_b.npz", rdm=turned, stimuli_name=[NAMES[i] for i in order], layer_name="b"
    )
    rdms = read_rdms(tmp_path)
    np.testing.assert_array_equal(rdms.vectors[0], rdms.vectors[1])


def test_net2brain_rdms_without_names(tmp_path):
    square = squareform(vectors())
    np.savez(tmp_path / "layer4.npz", square)
    with pytest.raises(InputError, match="expected `conditions`: .*which of its 4 rows"):
        read_rdms(tmp_path / "layer4.npz")
    rdms = read_rdms(tmp_path / "layer4.npz", conditions=NAMES)
    assert rdms.labels["layer"].tolist() == ["layer4"]
    np.testing.assert_array_equal(rdms.vectors, [vectors()])
    np.savez(tmp_path / "RDM_x.npz", rdm=vectors(), stimuli_name=None, layer_name=None)
    with pytest.raises(InputError, match="expected `conditions`"):
        read_rdms(tmp_path / "RDM_x.npz")
    assert read_rdms(tmp_path / "RDM_x.npz", conditions=NAMES).labels["layer"].tolist() == ["x"]
    stack = np.stack([[squareform(vectors(seed=s + t)) for t in range(3)] for s in range(2)])
    np.savez(tmp_path / "meg.npz", stack)
    rdms = read_rdms(tmp_path / "meg.npz", conditions=NAMES)
    assert len(rdms) == 6
    for row in rdms:
        s, t = row.labels[["index_0", "index_1"]].iloc[0]
        np.testing.assert_array_equal(row.vectors[0], vectors(seed=s + t))
    np.savez(tmp_path / "other.npz", conv1=np.ones(3))
    with pytest.raises(InputError, match="RDMs in every file of .* but other.npz holds something"):
        read_rdms(tmp_path, conditions=NAMES)


DATA = Path(__file__).parents[2] / "shared" / "data" / "net2brain_algonauts78"


@pytest.mark.skipif(not DATA.is_dir(), reason="the published RDMs are not here")
def test_net2brain_published_rdms():
    names = [f"image{i:02d}" for i in range(78)]
    rdms = read_rdms(DATA / "case1" / "rdm", conditions=names)
    assert rdms.labels["layer"].tolist() == ["layer3.1.conv2", "layer4.1.bn2"]
    assert rdms.n_conditions == 78
    brain = read_rdms(DATA / "fmri_IT_RDMs.npz", conditions=names)
    assert len(brain) == 15
    with np.load(DATA / "fmri_IT_RDMs.npz") as file:
        np.testing.assert_allclose(brain.matrices()[3], file["arr_0"][3], rtol=1e-13)


# MNE-RSA and NumPy


def test_mne_rsa(tmp_path):
    mne_rsa = pytest.importorskip("mne_rsa")
    patterns = np.random.default_rng(0).normal(size=(4, 30))
    theirs = mne_rsa.compute_rdm(patterns, metric="correlation")
    ours = rf.compute_rdms(patterns, conditions=NAMES)
    rdms = read_rdms(theirs, conditions=NAMES, measure="correlation")
    np.testing.assert_allclose(rdms.vectors, ours.vectors)
    assert rdms.conditions == ours.conditions
    assert list(rdms.labels) == []
    np.save(tmp_path / "rdm.npy", theirs)
    assert read_rdms(tmp_path / "rdm.npy", conditions=NAMES, measure="correlation").equals(rdms)
    several = read_rdms([theirs, theirs + 1], conditions=NAMES)
    assert several.labels["index"].tolist() == [0, 1]
    square = read_rdms([squareform(theirs)] * 2, conditions=NAMES)
    np.testing.assert_allclose(square.vectors, [theirs, theirs])
    patches = np.random.default_rng(0).normal(size=(4, 3, 20))
    moving = mne_rsa.rdm_array(
        patches, mne_rsa.searchlight(patches.shape, temporal_radius=2, samples_from=2)
    )
    moving = np.array(list(moving)) if not isinstance(moving, np.ndarray) else moving
    rdms = read_rdms(moving, conditions=NAMES)
    np.testing.assert_array_equal(rdms.vectors, moving.reshape(-1, 6))
    with pytest.raises(InputError, match="RDMs of one shape"):
        read_rdms([theirs, theirs[:3]], conditions=NAMES)
    with pytest.raises(InputError, match="RDMs of one shape, got 0"):
        read_rdms([], conditions=NAMES)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_rounding_of_single_precision_is_no_asymmetry(tmp_path, dtype):
    square = squareform(vectors(30)).astype(dtype)
    names = [f"i{k}" for k in range(30)]
    one_off = np.spacing(square[0, 1])
    square[1, 0] += one_off
    square[3, 3] = np.finfo(dtype).eps
    np.save(tmp_path / "rdm.npy", square)
    rdms = read_rdms(tmp_path / "rdm.npy", conditions=names, format="npy")
    np.testing.assert_allclose(rdms.vectors[0], vectors(30), rtol=2 * np.finfo(dtype).eps)
    square[3, 3] = 0
    square[1, 0] += 100 * one_off if dtype != np.float64 else 1e-5
    np.save(tmp_path / "rdm.npy", square)
    with pytest.raises(InputError, match=r"rdm\.npy: expected symmetric matrices, but matrix 0"):
        read_rdms(tmp_path / "rdm.npy", conditions=names, format="npy")


def test_arrays_that_are_no_rdms(tmp_path):
    path, square = tmp_path / "rdm.npy", squareform(vectors())

    def refused(array, match, names=NAMES):
        np.save(path, array)
        with pytest.raises(InputError, match=match):
            read_rdms(path, conditions=names, format="npy")

    nan = square.copy()
    np.fill_diagonal(nan, np.nan)
    refused(nan, "expected zeros on the diagonal, but matrix 0 .* has NaN at position 0")
    refused(1 - square, "expected a zero diagonal")
    refused(np.arange(5.0), "fits no number n of conditions")
    refused(np.ones((4, 5)), "fits no number n of conditions")
    refused(vectors(), "expected 4 names.* but 3 were given", names=["a", "b", "c"])
    refused(square, "expected 4 names.* but 5 were given", names=list("abcde"))
    refused(square, "unique condition names.*'a'", names=["a", "a", "b", "c"])
    refused(vectors().astype(complex), "expected real numbers")
    refused(np.array(1.0), "fits no number")
    broken = square.copy()
    broken[0, 1] = np.inf
    broken[1, 0] = np.inf
    refused(broken, r"expected finite dissimilarities.* has inf at \(0, 1\)")
    refused(np.where(np.arange(6) == 2, np.inf, vectors()), "expected finite dissimilarities")
    missing = square.copy()
    missing[0, 1] = missing[1, 0] = np.nan
    np.save(path, missing)
    # A pair that was not measured.
    assert np.isnan(read_rdms(path, conditions=NAMES, format="npy").vectors[0, 0])
    # 6 vectors of 4 conditions are square too: the number of names decides.
    np.save(path, np.stack([vectors(seed=s) for s in range(6)]))
    assert len(read_rdms(path, conditions=NAMES, format="npy")) == 6


def test_npy_features(tmp_path):
    np.save(tmp_path / "fc.npy", rows())
    acts = read_features(tmp_path / "fc.npy", conditions=NAMES, format="npy")
    np.testing.assert_array_equal(acts["fc"], rows().reshape(4, -1))
    np.save(tmp_path / "fc.npy", np.ones(4))
    with pytest.raises(InputError, match="expected features of shape"):
        read_features(tmp_path / "fc.npy", conditions=NAMES, format="npy")
    np.save(tmp_path / "fc.npy", rows())
    with pytest.raises(InputError, match=r"names\.txt does not exist"):
        read_features(tmp_path / "fc.npy", conditions=tmp_path / "names.txt", format="npy")


# rsatoolbox


def test_rsatoolbox_rdms(tmp_path):
    path = tmp_path / "rdms.hdf5"
    theirs = ToolboxRDMs(
        np.stack([vectors(), vectors(seed=1)]),
        dissimilarity_measure="correlation",
        rdm_descriptors={"subject": ["s1", "s2"], "session": [1, 2], "mixed": ["x", 3]},
        pattern_descriptors={"face": NAMES},
    )
    theirs.save(str(path), file_type="hdf5")
    rdms = read_rdms(path)
    assert rdms.conditions == tuple(NAMES)
    assert rdms.measure == "correlation"
    np.testing.assert_array_equal(rdms.vectors, theirs.dissimilarities)
    assert rdms.labels["subject"].tolist() == ["s1", "s2"]
    assert rdms.labels["session"].tolist() == [1, 2]
    expected = rf.RDMs.from_rsatoolbox(theirs, conditions="face")
    columns = ["session", "subject"]
    assert rdms.labels[columns].equals(expected.labels[columns])
    assert set(rdms.labels) == set(expected.labels)
    with pytest.raises(InputError, match="in another order"):
        read_rdms(path, conditions=sorted(NAMES))
    with pytest.raises(InputError, match="unknown pattern_descriptors 'faces'.* Did you mean"):
        read_rdms(path, descriptor="faces")


def test_rsatoolbox_descriptors(tmp_path):
    bare = ToolboxRDMs(vectors()[None])
    bare.save(str(tmp_path / "bare.hdf5"), file_type="hdf5")
    with pytest.raises(InputError, match="expected `conditions`"):
        read_rdms(tmp_path / "bare.hdf5")
    rdms = read_rdms(tmp_path / "bare.hdf5", conditions=NAMES)
    assert rdms.conditions == tuple(NAMES)
    assert rdms.measure == "unknown"
    both = ToolboxRDMs(vectors()[None], pattern_descriptors={"id": NAMES, "kind": [1, 2, 3, 4]})
    both.save(str(tmp_path / "both.hdf5"), file_type="hdf5")
    with pytest.raises(InputError, match="expected `descriptor`.* 2 .*'id', 'kind'"):
        read_rdms(tmp_path / "both.hdf5")
    assert read_rdms(tmp_path / "both.hdf5", descriptor="kind").conditions == tuple("1234")


def test_rsatoolbox_datasets(tmp_path):
    data = Dataset(rows(shape=(4, 6)), obs_descriptors={"face": NAMES})
    data.save(str(tmp_path / "V1.hdf5"), file_type="hdf5")
    acts = read_features(tmp_path / "V1.hdf5")
    assert acts.layers == ("V1",)
    assert acts.conditions == tuple(NAMES)
    np.testing.assert_array_equal(acts["V1"], data.measurements)
    twice = Dataset(rows(shape=(4, 6)), obs_descriptors={"face": ["a", "b", "a", "b"]})
    twice.save(str(tmp_path / "twice.hdf5"), file_type="hdf5")
    with pytest.raises(InputError, match="4 rows have 2 names. Average the repeats"):
        read_features(tmp_path / "twice.hdf5")
    time = TemporalDataset(rows(shape=(4, 6, 3)), obs_descriptors={"face": NAMES})
    time.save(str(tmp_path / "time.hdf5"), file_type="hdf5")
    with pytest.raises(InputError, match="Take one time window"):
        read_features(tmp_path / "time.hdf5")
    ToolboxRDMs(vectors()[None]).save(str(tmp_path / "rdms.hdf5"), file_type="hdf5")
    with pytest.raises(InputError, match=r"holds RDMs \(rsatoolbox\): .*io\.read_rdms"):
        read_features(tmp_path / "rdms.hdf5")
    with h5py.File(tmp_path / "other.hdf5", "w") as file:
        file["x"] = 1
    with pytest.raises(InputError, match="HDF5 of another program"):
        read_rdms(tmp_path / "other.hdf5")


# Pickles are never opened


def test_nothing_is_unpickled(tmp_path):
    mark = tmp_path / "ran"
    attack = np.array([Attack(mark)], dtype=object)

    def refused(read, path, match="pickled"):
        with pytest.raises(InputError, match=match):
            read(path)
        assert not mark.exists()

    np.save(tmp_path / "a.npy", attack, allow_pickle=True)
    refused(lambda path: read_rdms(path, conditions=NAMES, format="npy"), tmp_path / "a.npy")
    refused(lambda path: read_rdms(path, conditions=NAMES), tmp_path / "a.npy")
    refused(lambda path: read_features(path, conditions=NAMES, format="npy"), tmp_path / "a.npy")
    (tmp_path / "raw.npy").write_bytes(pickle.dumps(Attack(mark)))
    refused(lambda path: read_rdms(path, conditions=NAMES, format="npy"), tmp_path / "raw.npy")
    for key in ["arr_0", "rdm"]:
        np.savez(tmp_path / "a.npz", **{key: attack})
        refused(lambda path: read_rdms(path, conditions=NAMES), tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", rdm=vectors(), stimuli_name=attack, layer_name=attack, meta=attack)
    assert read_rdms(tmp_path / "b.npz", conditions=NAMES).labels["layer"].tolist() == ["b"]
    assert not mark.exists()
    np.savez(tmp_path / "c.npz", conv=attack)
    refused(read_rdms, tmp_path / "c.npz")
    torch.save({"rdm": Attack(mark)}, tmp_path / "a.pt")
    refused(read_rdms, tmp_path / "a.pt")
    (tmp_path / "tv").mkdir()
    torch.save([Attack(mark)], tmp_path / "tv" / "features.pt")
    refused(lambda path: read_features(path, conditions=NAMES), tmp_path / "tv")
    theirs = ToolboxRDMs(vectors()[None])
    theirs.save(str(tmp_path / "rdms.pkl"), file_type="pkl")
    refused(read_rdms, tmp_path / "rdms.pkl", "file_type='hdf5'")
    (tmp_path / "rdms.pkl").rename(tmp_path / "rdms.hdf5")
    refused(read_rdms, tmp_path / "rdms.hdf5", "file_type='hdf5'")


def test_old_torch_reads_no_pt(tmp_path, monkeypatch):
    torch.save(torch.ones(4, 2), tmp_path / "features.pt")
    monkeypatch.setattr(torch, "__version__", "2.5.1+cpu")
    with pytest.raises(InputError, match="from torch 2.6 on"):
        read_features(tmp_path, conditions=NAMES)


def test_damaged_files_are_named(tmp_path):
    for name, read in {
        "a.npy": lambda path: read_rdms(path, conditions=NAMES, format="npy"),
        "a.npz": lambda path: read_rdms(path, conditions=NAMES),
        "a.pt": lambda path: read_rdms(path, conditions=NAMES),
        "a.hdf5": read_rdms,
    }.items():
        path = tmp_path / name
        for data in [b"", b"PK\x03\x04 no archive", b"\x93NUMPY no header", b"no file"]:
            path.write_bytes(data)
            with pytest.raises(InputError, match=name.replace(".", r"\.")):
                read(path)
    np.savez(tmp_path / "a.npz", arr_0=squareform(vectors(40)))
    data = bytearray((tmp_path / "a.npz").read_bytes())
    data[3000:3100] = bytes(100)
    (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(InputError, match="cannot be read"):
        read_rdms(tmp_path / "a.npz", conditions=[str(i) for i in range(40)])
    np.save(tmp_path / "b.npz", np.ones(3))
    (tmp_path / "b.npz.npy").rename(tmp_path / "b.npz")
    with pytest.raises(InputError, match="is one array"):
        read_rdms(tmp_path / "b.npz", conditions=NAMES)
    np.savez(tmp_path / "b.npy", np.ones(3))
    (tmp_path / "b.npy.npz").rename(tmp_path / "b.npy")
    with pytest.raises(InputError, match="it is an archive"):
        read_rdms(tmp_path / "b.npy", conditions=NAMES, format="npy")


@pytest.mark.parametrize(
    ("files", "short"),
    [
        (["x/a.jpg", "x/b.JPEG"], ["a", "b"]),
        (["a.1", "a.2"], ["a.1", "a.2"]),  # no suffix of an image
        (["C:\\pictures\\a.png"], ["a"]),
        (["x/a.jpg", "y/a.jpg"], ["x/a", "y/a"]),
        (["/d/x/a.jpg", "/d/y/a.jpg"], ["x/a", "y/a"]),
        (["a.jpg", "a.jpg"], ["a", "a"]),
    ],
)
def test_short_names(files, short):
    assert _foreign.short_names(files) == short
