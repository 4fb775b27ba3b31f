"""Rendered faces: the rasteriser, the surface and the head against plain references; the door."""

import importlib.util

import numpy as np
import pandas as pd
import pytest

import rsa_faces as rf
from rsa_faces.stimuli import _mesh, _skin, _zbuffer, rendering
from rsa_faces.stimuli._head import _fibonacci, _looking_along, towards, turn

needs_anny = pytest.mark.skipif(
    importlib.util.find_spec("anny") is None, reason="the package anny is not installed"
)


@pytest.fixture(scope="module")
def person():
    return rendering.sample_identities(1, seed=3)


def plain_raster(points, faces, size):
    """Return face and depth of each pixel, one pixel and one face at a time."""
    face, depth = np.full((size, size), -1), np.full((size, size), np.inf)
    for i in range(size):
        for j in range(size):
            for f, corners in enumerate(faces):
                a = np.vstack([points[corners, :2].T, np.ones(3)])
                if abs(np.linalg.det(a)) < 1e-12:
                    continue
                weights = np.linalg.solve(a, [j + 0.5, i + 0.5, 1])
                z = weights @ points[corners, 2]
                if (weights >= 0).all() and z < depth[i, j]:
                    face[i, j], depth[i, j] = f, z
    return face, depth


@pytest.mark.parametrize("seed", range(3))
def test_rasteriser_against_one_pixel_at_a_time(seed):
    rng = np.random.default_rng(seed)
    points = rng.uniform(-4, 24, (30, 3))
    faces = rng.integers(0, 30, (25, 3)).astype(np.int32)
    face, weights, depth = _zbuffer.rasterise(points, faces, 20, 20)
    expected, expected_depth = plain_raster(points, faces, 20)
    np.testing.assert_array_equal(face, expected)
    np.testing.assert_allclose(depth, expected_depth, rtol=1e-5)
    hit = face >= 0
    np.testing.assert_allclose(weights[hit].sum(axis=1), 1, atol=1e-5)
    inside = (weights[hit, :, None] * points[faces[face[hit]]]).sum(axis=1)
    rows, columns = np.nonzero(hit)
    np.testing.assert_allclose(inside[:, 0], columns + 0.5, atol=1e-3)
    np.testing.assert_allclose(inside[:, 1], rows + 0.5, atol=1e-3)


def test_a_plate_above_a_floor_takes_its_light():
    def square(half, z, n):
        x, y = np.meshgrid(np.linspace(-half, half, n), np.linspace(-half, half, n))
        i = np.arange(n * n).reshape(n, n)
        a, b, c, d = (q.ravel() for q in (i[:-1, :-1], i[:-1, 1:], i[1:, :-1], i[1:, 1:]))
        corners = np.concatenate([np.stack([a, b, d], 1), np.stack([a, d, c], 1)])
        return np.stack([x.ravel(), y.ravel(), np.full(n * n, z)], 1), corners

    floor, floor_faces = square(2.0, 0.0, 21)
    plate, plate_faces = square(0.5, 1.0, 5)
    vertices = np.concatenate([floor, plate])
    faces = np.concatenate([floor_faces, plate_faces + len(floor)]).astype(np.int32)
    normals = np.tile([0.0, 0.0, 1.0], (len(vertices), 1))
    straight = np.array([[0.0, 0, 1], [0, 0, -1], [1 / 2**0.5, 0, 1 / 2**0.5]])
    seen = _zbuffer.visibility(vertices, normals, faces, _looking_along(straight), 200, 0.02)
    x, y = floor[:, 0], floor[:, 1]
    under, clear = (abs(x) < 0.45) & (abs(y) < 0.45), (abs(x) > 0.6) | (abs(y) > 0.6)
    assert (seen[: len(floor), 0][under] == 0).all()
    assert (seen[: len(floor), 0][clear] == 1).all()
    assert (seen[:, 1] == 0).all()  # from below: turned away
    slanted = (abs(x + 1) < 0.45) & (abs(y) < 0.45)  # light from the right: shadow to the left
    assert (seen[: len(floor), 2][slanted] == 0).all()
    assert (seen[: len(floor), 2][(x > -0.4)] == 1).all()


def test_turns_and_directions():
    nose = np.array([0, 0, 1.0])
    assert (turn(30, 0) @ nose)[0] == pytest.approx(0.5)  # to the image's right
    assert (turn(0, 30) @ nose)[1] == pytest.approx(0.5)  # up
    for view in ((0, 0), (30, -20), (-75, 10)):
        np.testing.assert_allclose(turn(*view) @ turn(*view).T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(towards(90, 0), [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(towards(0, 90), [0, 1, 0], atol=1e-12)
    around = _fibonacci(96)
    np.testing.assert_allclose(around.mean(axis=0), 0, atol=1e-2)
    np.testing.assert_allclose(
        _looking_along(around) @ around[:, :, None],
        np.tile([[0.0], [0], [1]], (96, 1, 1)),
        atol=1e-12,
    )


def test_subdivision_of_a_cube_and_of_a_sheet():
    corners = np.array([[x, y, z] for x in (-1.0, 1) for y in (-1.0, 1) for z in (-1.0, 1)])
    quads = np.array(
        [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
    )
    refine, fine = _mesh._catmull_clark(quads, 8)
    points = refine @ corners
    assert points.shape == (8 + 12 + 6, 3)
    assert fine.shape == (24, 4)
    np.testing.assert_allclose(abs(points[:8]), 5 / 9)  # known for Catmull-Clark
    np.testing.assert_allclose(np.sort(abs(points[8:20]), axis=1)[:, 1:], 0.75)
    np.testing.assert_allclose(np.sort(abs(points[20:]), axis=1)[:, 2], 1)
    np.testing.assert_allclose(refine.sum(axis=1), 1)
    # A flat sheet stays flat, and its border corners move as a curve's do.
    sheet = np.array([[x, y, 0.0] for y in range(3) for x in range(3)])
    quads = np.array([[0, 1, 4, 3], [1, 2, 5, 4], [3, 4, 7, 6], [4, 5, 8, 7]])
    refine, _ = _mesh._catmull_clark(quads, 9)
    points = refine @ sheet
    np.testing.assert_allclose(points[4], [1, 1, 0])
    np.testing.assert_allclose(points[1], [1, 0, 0])
    np.testing.assert_allclose(points[0], [0.125, 0.125, 0])


def test_colour_there_and_back():
    values = np.arange(0, 231)
    np.testing.assert_array_equal(_skin.encode(_skin.linear(values)), values)  # below the roll-off
    assert (np.diff(_skin.encode(np.linspace(0, 4, 500)).astype(int)) >= 0).all()


def test_macro_weights_are_shares():
    rng = np.random.default_rng(0)
    for _ in range(20):
        ancestry = rng.dirichlet([1, 1, 1])
        weights = _mesh.macro_weights(*rng.uniform(0, 1, 4), ancestry)
        for kind in ("universal", "an-"):
            total = sum(w for name, w in weights.items() if kind in name)
            assert total == pytest.approx(1) or kind != "universal"
        assert sum(weights.values()) == pytest.approx(2)  # universal and ancestry, each 1
    only = _mesh.macro_weights(0, 0, 0.5, 0.5, np.array([0, 1, 0]))
    assert only == {
        "macrodetails/universal-male-young-averagemuscle-averageweight": 1.0,
        "macrodetails/asian-male-young": 1.0,
    }


def test_expressions_are_documented():
    table = rendering.expression_table()
    assert set(table["expression"]) == set(rendering.EXPRESSIONS) - {"neutral"}
    assert set(table["role"]) == {"always", "often", "added"}
    assert not table.duplicated(["expression", "unit", "action"]).any()
    assert rendering.expression_actions("neutral") == {}
    half = rendering.expression_actions("happy", intensity=0.5)
    assert half["mouthSmileLeft"] == half["mouthSmileRight"] == pytest.approx(1.35 / 2)
    assert half["jawOpen"] == pytest.approx(0.075)
    with pytest.raises(rf.InputError, match="unknown expression 'hapy'. Did you mean 'happy'"):
        rendering.expression_actions("hapy")


@pytest.mark.parametrize(
    "kwargs, message",
    [
        ({"size": 4}, "size to be a whole number of pixels from 16 to 8192, got 4"),
        ({"supersampling": 0}, "supersampling to be a whole number of at least 1, got 0"),
        ({"intensity": 3}, "intensity from 0 to 2, got 3"),
        ({"expressions": []}, "at least one expression, got none"),
        ({"expressions": ["hapy"]}, "unknown expression 'hapy'"),
        ({"expressions": ["sad", "sad"]}, "unique expression names"),
        ({"views": []}, "views that all differ"),
        ({"views": [0, 0]}, "views that all differ"),
        ({"views": [120]}, r"yaw from -90 to 90 .* got \(120, 0\)"),
        ({"views": [(0, 70)]}, r"pitch from -60 to 60 degrees, got \(0, 70\)"),
        ({"lights": ["fron"]}, "unknown light 'fron'. Did you mean 'front'"),
        ({"lights": []}, "at least one light, got none"),
    ],
)
def test_what_is_refused(kwargs, message):
    with pytest.raises(rf.InputError, match=message):
        rendering.render_faces(1, **kwargs)


@needs_anny
def test_what_is_refused_of_people(person):
    for wrong, message in (
        ("all", "a number or a table of sample_identities, got str"),
        (person.drop(columns="melanin"), "1 are missing: melanin"),
        (person.assign(age=np.nan), f"1 rows, of which 1 lack some: '{person.index[0]}'"),
        (person.iloc[:0], "got 0 rows"),
        (0, "n_identities to be a whole number of at least 1, got 0"),
    ):
        with pytest.raises(rf.InputError, match=message):
            rendering.render_faces(wrong, ["happy"], [0])
    with pytest.raises(rf.InputError, match="unknown paint 'none'"):
        rendering.render_faces(person, paint="none")
    with pytest.raises(rf.InputError, match="unknown facial action 'mouthSmile'"):
        rendering.render_faces(person, {"grin": {"mouthSmile": 1}})
    with pytest.raises(rf.InputError, match="3 people at least 90 mm apart, but found 1"):
        rendering.sample_identities(3, min_distance=90)


@pytest.mark.skipif(importlib.util.find_spec("anny") is not None, reason="anny is installed")
def test_without_anny_the_install_line_is_named():
    with pytest.raises(ImportError, match=r"pip install 'rsa-faces\[rendering\]'"):
        rendering.render_faces(1, ["happy"], [0])


@needs_anny
def test_the_model_against_its_files(person):
    import gzip

    folder, model = _mesh.data_folder(), _mesh.head_model()
    lines = (folder / "mpfb2" / "3dobjs" / "base.obj").read_text().splitlines()
    every = np.array([line.split()[1:] for line in lines if line.startswith("v ")], float)
    # Which vertex of the file is which of ours: places are unique but for a few.
    kept = [int(np.abs(every - point).sum(axis=1).argmin()) for point in model.base[::97]]
    np.testing.assert_array_equal(every[kept], model.base[::97])
    for name in ("nose/nose-hump-incr", "faceunits/jawOpen"):
        folder_of = "faceunits01" if "units" in name else "mpfb2"
        path = (
            folder
            / folder_of
            / "targets"
            / ("faceunits/jawOpen.target" if "units" in name else f"{name}.target.gz")
        )
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rt") as file:
            rows = [line.split() for line in file if line.strip() and not line.startswith("#")]
        found = {int(row[0]): [float(v) for v in row[1:]] for row in rows}
        expected = [found.get(i, [0, 0, 0]) for i in kept]
        np.testing.assert_array_equal(model.offsets[name][::97], expected)
    assert len(model.actions) == 52
    assert len(model.shapes) == 94
    assert {
        action for name in rendering.EXPRESSIONS for action in rendering.expression_actions(name)
    } <= set(model.actions)


@needs_anny
def test_identities_differ_by_what_is_asked():
    from rsa_faces.stimuli._head import face_front

    people = rendering.sample_identities(5, seed=4, min_distance=6)
    faces = [face_front(row) for _, row in people.iterrows()]
    apart = [
        np.sqrt(((a - b) ** 2).sum(axis=1).mean()) for i, a in enumerate(faces) for b in faces[:i]
    ]
    assert min(apart) >= 6
    pd.testing.assert_frame_equal(people, rendering.sample_identities(5, seed=4, min_distance=6))
    assert not people.equals(rendering.sample_identities(5, seed=5, min_distance=6))
    np.testing.assert_allclose(people[["african", "asian", "caucasian"]].sum(axis=1), 1)


@needs_anny
def test_pictures(person):
    faces = rendering.render_faces(
        person,
        ["neutral", "surprised"],
        [-30, (0, 10)],
        ["front", "left", "right"],
        size=64,
        supersampling=2,
        progress=False,
    )
    assert len(faces) == 12
    name = "simulated01_surprised_yaw+0pitch+10_left"
    row = faces.metadata.loc[name]
    assert (row["yaw"], row["pitch"], row["light"], row["intensity"]) == (0, 10, "left", 1)
    assert faces.metadata["simulated"].all()
    assert row["melanin"] == person["melanin"].iloc[0]
    again = rendering.render_faces(
        person, ["surprised"], [(0, 10)], ["left"], size=64, supersampling=2, progress=False
    )
    assert again.image(name).tobytes() == faces.image(name).tobytes()
    for name in faces:
        assert (faces.image(name)[0, 0] == 128).all()  # grey around the head
    left, right = (
        faces.image(f"simulated01_neutral_yaw+0pitch+10_{side}").astype(float)
        for side in ("left", "right")
    )
    assert left[20:50, 16:32].mean() > left[20:50, 32:48].mean() + 15
    assert right[20:50, 16:32].mean() < right[20:50, 32:48].mean() - 15


@needs_anny
def test_surfaces_are_those_of_the_pictures(person):
    from rsa_faces.stimuli import _head

    views = [0, (30, 10)]
    found = rendering.render_surfaces(person, ["happy"], views, size=96, progress=False)
    assert found.metadata.index.tolist()[1] == "simulated01_happy_yaw+30pitch+10"
    head = _head.Head(person.iloc[0].to_dict(), rendering.expression_actions("happy"))
    picture = rendering.render_faces(
        person, ["happy"], views, ["even"], size=96, supersampling=1, progress=False
    )
    for k, (yaw, pitch) in enumerate([(0, 0), (30, 10)]):
        depth, normals, albedo = found.depth[k], found.normals[k], found.albedo[k]
        there = np.isfinite(depth)
        np.testing.assert_allclose(np.linalg.norm(normals[there], axis=1), 1, atol=1e-5)
        # Depth and place of a pixel are a point of the surface: some vertex is near it.
        rows, columns = np.nonzero(there)
        far = depth[there][:, None] / 100
        across = np.column_stack([columns + 0.5 - 48, 48 - rows - 0.5]) * _head.FIELD / 96
        points = np.column_stack([across * far / _head.DISTANCE, _head.DISTANCE - far])
        turned = (head.vertices - head.middle) @ turn(yaw, pitch).T
        gap = np.sqrt(((points[::41, None] - turned) ** 2).sum(axis=2)).min(axis=1)
        assert gap.max() < 0.12  # decimetres: less than the side of a triangle
        # Normals are those of the depth map, away from edges.
        place = np.full((96, 96, 3), np.nan)
        place[there] = points
        dx, dy = place[1:-1, 2:] - place[1:-1, :-2], place[:-2, 1:-1] - place[2:, 1:-1]
        slope = np.cross(dx, dy)
        slope /= np.linalg.norm(slope, axis=2, keepdims=True)
        agree = (slope * normals[1:-1, 1:-1]).sum(axis=2)
        assert np.nanmedian(agree) > 0.98
        # Light from all around on normals, times albedo, is the picture, but for hollows and gloss.
        from_up = 0.8 * (1 + 0.35 * 2 / 3 * normals[there][:, 1]) + 0.35 * np.clip(
            normals[there] @ towards(0, 30), 0, 1
        )
        seen = _skin.linear(picture.image(picture.ids[k]))[there]
        shaded = albedo[there] * from_up[:, None]
        assert np.corrcoef(seen.ravel(), shaded.ravel())[0, 1] > 0.95
        assert 0.75 < np.median(seen / shaded) < 1.05


@needs_anny
def test_teeth_are_seen_through_the_mouth_only(person):
    """Also where the lips would be thin and the jaw small: the teeth stay within the lips."""
    from rsa_faces.stimuli import _head

    rows = rendering.sample_identities(3, seed=12, spread=1.5)
    seen = 0
    for _, row in rows.iterrows():
        for expression, open_mouth in (("neutral", False), ("angry", False), ("happy", True)):
            head = _head.Head(row.to_dict(), rendering.expression_actions(expression))
            for yaw in (0, 40):
                turned = (head.vertices - head.middle) @ turn(yaw, 0).T
                scale = 160 / _head.FIELD
                screen = np.stack(
                    [80 + turned[:, 0] * scale, 80 - turned[:, 1] * scale, -turned[:, 2]], axis=1
                )
                face = _head._visible(head, screen, 160)[0]
                teeth = (face >= 0) & (head.part[face] == _mesh.TEETH)
                lips = screen[head.lips > 0.5]
                rows_of, columns = np.nonzero(teeth)
                seen += open_mouth * teeth.sum()
                assert (rows_of >= lips[:, 1].min()).all()
                assert (rows_of <= lips[:, 1].max()).all()
                assert (columns >= lips[:, 0].min() - 1).all()
                assert (columns <= lips[:, 0].max() + 1).all()
                if not open_mouth:
                    assert teeth.sum() < 15
    assert seen > 100


@needs_anny
def test_same_paint_leaves_shape(person):
    two = rendering.sample_identities(2, seed=8)
    faces = rendering.render_faces(two, ["neutral"], [0], size=48, paint="same", progress=False)
    assert faces.metadata["melanin"].nunique() == 1
    assert faces.metadata["gender"].nunique() == 2
    assert faces.sha256[0] != faces.sha256[1]


@needs_anny
def test_random_views(person):
    a, b, other = (
        rendering.render_random_views(
            3, person, ["happy", "sad"], max_yaw=40, max_pitch=5, size=32, seed=seed, progress=False
        )
        for seed in (1, 1, 2)
    )
    assert a.hash == b.hash
    assert a.hash != other.hash
    assert a.ids[0].startswith("00001_simulated01_")
    table = a.metadata
    assert table["yaw"].abs().max() <= 40
    assert table["pitch"].abs().max() <= 5
    assert table["intensity"].between(0.4, 1).all()
    assert table["light"].str.startswith("key ").all()
    with pytest.raises(rf.InputError, match="n_images to be a whole number"):
        rendering.render_random_views(0, person)
    with pytest.raises(rf.InputError, match="yaw from -90 to 90"):
        rendering.render_random_views(1, person, max_yaw=100)
