"""Stimuli: sets, folders, manifests, and what image files become."""

import copy
import hashlib
import pickle

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from rsa_faces import InputError
from rsa_faces.stimuli import StimulusSet, load_stimuli


def pixels(seed=0, size=(5, 4)):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path):
    """Three images whose names sort unlike their order of making, and a file that is no image."""
    for i, name in enumerate(["c.png", "a.png", "B.png"]):
        Image.fromarray(pixels(i)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "._a.png").write_bytes(b"made by an operating system")
    return tmp_path


def write(path, text):
    path.write_text(text)
    return path


def test_order_is_by_id_and_pixels_are_kept(folder):
    faces = load_stimuli(folder)
    assert faces.ids == ("B", "a", "c")
    assert list(faces) == ["B", "a", "c"]
    assert len(faces) == 3
    for seed, name in [(0, "c"), (1, "a"), (2, "B")]:
        np.testing.assert_array_equal(faces.image(name), pixels(seed))
    assert faces.metadata.index.tolist() == ["B", "a", "c"]
    assert faces.sha256[1] == hashlib.sha256((folder / "a.png").read_bytes()).hexdigest()
    assert "3 images" in repr(faces)


def test_manifest_gives_ids_and_metadata_in_any_row_order(folder):
    table = "age,file,id\n30,c.png,010\n20,a.png,002\n"
    with pytest.warns(UserWarning, match="1 of 3 images .* left out: 'B.png'"):
        faces = load_stimuli(folder, manifest=write(folder / "m.csv", table))
    assert faces.ids == ("002", "010")
    assert faces.metadata.to_dict() == {"age": {"002": 20, "010": 30}}
    np.testing.assert_array_equal(faces.image("010"), pixels(0))
    other = "file,id,age\na.png,002,20\nc.png,010,30\n"
    assert load_stimuli(folder, manifest=write(folder / "n.csv", other)).hash == faces.hash


def test_codes_that_begin_with_0_stay_text(folder):
    table = "file,person,share,age\na.png,007,0.5,30\nc.png,12,0,\n"
    faces = load_stimuli(folder, manifest=write(folder / "m.csv", table))
    assert faces.metadata["person"].tolist() == ["007", "12"]
    assert faces.metadata["share"].tolist() == [0.5, 0.0]
    assert faces.metadata["age"].iloc[0] == 30


def test_manifest_without_ids_takes_stems_and_subfolders(folder):
    (folder / "sub").mkdir()
    Image.fromarray(pixels(7)).save(folder / "sub" / "z.png")
    faces = load_stimuli(folder, manifest=write(folder / "m.csv", "file\nsub/z.png\na.png\n"))
    assert faces.ids == ("a", "z")
    np.testing.assert_array_equal(faces.image("z"), pixels(7))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("path\na.png\n", "column 'file' in .*got 'path'"),
        ("file\na.png\ngone.png\n", "1 of 2 images in .* are missing from .*'gone.png'"),
        ("file\na.png\n/nowhere/x.png\n", "'/nowhere/x.png'"),
        ("file,id\na.png,x\nc.png,x\n", "1 of 2 occur more than once: 'x'"),
        ("file,id\na.png,x\nc.png,\n", "column 'id' of .*line 3 has none"),
        ("file,age\na.png,1\n,2\n", "column 'file' of .*line 3 has none"),
        ("file\n", "expected rows in"),
        ("", "the file is empty"),
    ],
)
def test_wrong_manifest(folder, table, message):
    with pytest.raises(InputError, match=message):
        load_stimuli(folder, manifest=write(folder / "m.csv", table))


def test_missing_manifest_or_folder(folder):
    with pytest.raises(InputError, match="none.csv does not exist"):
        load_stimuli(folder, manifest=folder / "none.csv")
    with pytest.raises(InputError, match="a.png is not a folder"):
        load_stimuli(folder / "a.png")


def test_folder_without_images(tmp_path):
    with pytest.raises(InputError, match="found none.$"):
        load_stimuli(tmp_path)
    (tmp_path / "deep").mkdir()
    Image.fromarray(pixels()).save(tmp_path / "deep" / "a.png")
    with pytest.raises(InputError, match="list them in a manifest"):
        load_stimuli(tmp_path)


def test_two_files_of_one_stem(folder):
    Image.fromarray(pixels()).save(folder / "a.bmp")
    with pytest.raises(InputError, match="1 of 4 occur more than once: 'a'"):
        load_stimuli(folder)


@pytest.mark.parametrize("kind", ["text", "truncated", "empty"])
def test_unreadable_image_is_named(folder, kind):
    data = (folder / "a.png").read_bytes()
    broken = {"text": b"not an image", "truncated": data[: len(data) // 2], "empty": b""}[kind]
    (folder / "broken.png").write_bytes(broken)
    with pytest.raises(InputError, match="broken.png cannot be read as one"):
        load_stimuli(folder)


def test_sixteen_bit_grey_is_refused_not_clipped(folder):
    Image.fromarray(np.full((4, 4), 4000, np.uint16)).save(folder / "deep.png")
    with pytest.raises(InputError, match=r"8 bits per channel, but .*deep.png has .*'I;16'"):
        load_stimuli(folder)


def test_file_changed_or_gone_after_loading(folder):
    faces = load_stimuli(folder)
    Image.fromarray(pixels(9)).save(folder / "a.png")
    with pytest.raises(InputError, match="a.png has changed since"):
        faces.image("a")
    (folder / "c.png").unlink()
    with pytest.raises(InputError, match="c.png: No such file"):
        faces.image("c")


def test_grey_transparency_palette_and_orientation(tmp_path):
    grey = np.arange(20, dtype=np.uint8).reshape(5, 4)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    clear = np.dstack([pixels(), np.zeros((5, 4), np.uint8)])
    clear[0, 0, 3] = 255
    Image.fromarray(clear, "RGBA").save(tmp_path / "clear.png")
    palette = Image.fromarray(pixels()).quantize(200)
    palette.save(tmp_path / "palette.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 270 degrees to see it upright
    Image.fromarray(pixels()).save(tmp_path / "turned.png", exif=exif)
    faces = load_stimuli(tmp_path)
    np.testing.assert_array_equal(faces.image("grey"), np.repeat(grey[..., None], 3, axis=2))
    assert (faces.image("clear")[1:] == 255).all()
    np.testing.assert_array_equal(faces.image("clear")[0, 0], pixels()[0, 0])
    np.testing.assert_array_equal(faces.image("palette"), np.asarray(palette.convert("RGB")))
    np.testing.assert_array_equal(faces.image("turned"), np.rot90(pixels(), -1))


def in_memory(**changes):
    parts = {
        "images": [pixels(i) for i in range(3)],
        "ids": ["b", "c", "a"],
        "metadata": {"face": [True, True, False], "n": [1, 0, 1], "text": ["x", "y", "z"]},
    }
    return StimulusSet.from_arrays(**(parts | changes))


def test_from_arrays_copies_sorts_and_is_read_only():
    images = [pixels(i) for i in range(3)]
    faces = in_memory(images=images)
    images[0][:] = 0
    assert faces.ids == ("a", "b", "c")
    np.testing.assert_array_equal(faces.image("b"), pixels(0))
    with pytest.raises(ValueError, match="read-only"):
        faces.image("b")[:] = 0
    assert faces.metadata["text"].to_dict() == {"a": "z", "b": "x", "c": "y"}
    table = faces.metadata
    table["text"] = "changed"
    assert faces.metadata["text"].to_dict() == {"a": "z", "b": "x", "c": "y"}


def test_metadata_indexed_by_id_is_matched_by_name():
    table = pd.DataFrame({"n": [1, 2, 3]}, index=["a", "b", "c"])
    assert in_memory(metadata=table).metadata["n"].to_dict() == {"a": 1, "b": 2, "c": 3}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ids": ["a", "a", "b"]}, "1 of 3 occur more than once: 'a'"),
        ({"ids": ["a", "b"]}, "3 images and 2 ids"),
        ({"images": [], "ids": []}, "0 images and 0 ids"),
        ({"images": [pixels(), pixels(), np.zeros((5, 4, 3))]}, "'a' has type float64"),
        ({"images": [pixels(), pixels()[..., 0], pixels()]}, r"'c' has .* shape \(5, 4\)"),
        ({"metadata": {"n": [1, 2]}}, "3 rows, one per image, got 2"),
        ({"metadata": {"n": [1, 2], "m": [1, 2, 3]}}, "one value per image"),
        (
            {"metadata": pd.DataFrame({"n": range(3)}, index=list("abd"))},
            "only in the names that the metadata bring: 'd'; only in .*: 'c'",
        ),
    ],
)
def test_wrong_arrays(changes, message):
    with pytest.raises(InputError, match=message):
        in_memory(**changes)


def test_subset_stays_sorted_and_names_the_nearest():
    faces = in_memory()
    assert faces.subset(["c", "a"]).ids == ("a", "c")
    assert faces.subset(["c", "a"]).metadata["text"].to_dict() == {"a": "z", "c": "y"}
    np.testing.assert_array_equal(faces.subset(["c"]).image("c"), pixels(1))
    assert "a" in faces
    for act in (faces.image, lambda name: faces.subset([name])):
        with pytest.raises(InputError, match="unknown stimulus 'A'. Did you mean 'a'"):
            act("A")
    with pytest.raises(InputError, match="more than once: 'a'"):
        faces.subset(["a", "a"])
    with pytest.raises(InputError, match="at least one stimulus id, got none"):
        faces.subset([])


@pytest.mark.parametrize(
    ("expression", "ids"),
    [
        ("face", ("b", "c")),
        ("not face", ("a",)),
        ("face and n", ("b",)),
        ("face and n == 0", ("c",)),
        ("text in ['x', 'z']", ("a", "b")),
        ("id != 'a'", ("b", "c")),
    ],
)
def test_query(expression, ids):
    assert in_memory().query(expression).ids == ids


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("fase", "cannot evaluate 'fase'.*Did you mean 'face'.*columns are: face, n, text"),
        ("face and", "cannot evaluate 'face and'"),
        ("face > 'x'", "cannot evaluate"),
        ("text", "true or false for each of 3 stimuli"),
        ("not n", "true or false for each of 3 stimuli, got int64"),
        ("n > 5", "none of 3 has"),
    ],
)
def test_wrong_query(expression, message):
    with pytest.raises(InputError, match=message):
        in_memory().query(expression)


@pytest.mark.parametrize("twin", [lambda s: pickle.loads(pickle.dumps(s)), copy.deepcopy])
def test_pickle_and_deepcopy(twin, folder):
    for faces in (in_memory(), load_stimuli(folder)):
        other = twin(faces)
        assert other.hash == faces.hash
        np.testing.assert_array_equal(other.image("a"), faces.image("a"))
    with pytest.raises(ValueError, match="read-only"):
        twin(in_memory()).image("a")[:] = 0


def test_hash_follows_content():
    base = in_memory().hash
    assert in_memory().hash == base
    assert in_memory(images=[pixels(i + 1) for i in range(3)]).hash != base
    assert in_memory(ids=["b", "c", "d"]).hash != base
    assert in_memory(metadata={"n": [1, 2, 3]}).hash != base
    wide = in_memory(images=[pixels(i).reshape(4, 5, 3) for i in range(3)])
    assert wide.hash != base
