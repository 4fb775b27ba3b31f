"""Linear 3-D faces fitted to landmarks: planted parameters come back, from any view."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import rsa_faces as rf
from rsa_faces.stimuli import heads
from rsa_faces.stimuli._head import turn
from rsa_faces.stimuli.heads import fit_heads


def planted(n=6, noise=0.0, seed=0):
    """Return landmarks of random faces, and what they were made from."""
    rng = np.random.default_rng(seed)
    model = heads._model()
    identity = rng.normal(size=(n, len(model.identity)))
    actions = 0.3 * np.abs(rng.normal(size=(n, len(model.actions))))
    angles = rng.uniform([-25, -15, -20], [25, 15, 20], (n, 3))
    points = []
    for who, what, (yaw, pitch, roll) in zip(identity, actions, angles, strict=True):
        shape = model.mean + np.tensordot(who, model.identity, 1)
        shape = (shape + np.tensordot(what, model.expression, 1))[:68]
        rolled = Rotation.from_euler("z", roll, degrees=True).as_matrix() @ turn(yaw, pitch)
        seen = 1.7 * (shape @ rolled.T)[:, :2] * [1, -1] + [130, 90]
        points.append(seen + noise * 1.7 * 64 * rng.normal(size=seen.shape))
    return np.array(points), identity, angles


def angle(a, b):
    """Return the mean angle of two maps of normals where both are, in degrees."""
    return np.degrees(np.nanmean(np.arccos(np.clip((a * b).sum(axis=-1), -1, 1)), axis=(1, 2)))


def test_planted_faces_come_back():
    points, identity, angles = planted()
    exact = fit_heads(points, noise=1e-3)
    assert exact.table["converged"].all()
    assert (exact.table["error"] < 2e-3).all()
    np.testing.assert_allclose(exact.table[["yaw", "pitch", "roll"]], angles, atol=1.5)
    assert np.corrcoef(exact.identity.ravel(), identity.ravel())[0, 1] > 0.8
    assert exact.table["scale"].to_numpy() == pytest.approx(1.7, rel=0.1)
    # Far above chance with noise; nearer to the planted face than the average one is, each time.
    noisy, identity, _ = planted(noise=0.02, seed=1)
    fit = fit_heads(noisy, noise=0.02)
    true, mean = (
        replace(fit, identity=values).normals(size=48)
        for values in (identity, np.zeros(identity.shape))
    )
    off, without = angle(fit.normals(size=48), true), angle(mean, true)
    assert (off < without).all()
    assert off.mean() < 0.75 * without.mean()
    # Who it is: each fit is nearest to its own planted parameters.
    similar = np.corrcoef(fit.identity, identity)[:6, 6:]
    assert (similar.argmax(axis=1) == np.arange(6)).all()


def test_normals_are_units_and_pictures_code_them():
    fit = fit_heads(planted(2)[0], conditions=["a", "b"])
    normals = fit.normals(size=40)
    there = np.isfinite(normals[..., 0])
    np.testing.assert_allclose(np.linalg.norm(normals[there], axis=1), 1, atol=1e-5)
    assert (normals[there][:, 2] > 0).all()
    assert 0.4 < there.mean() < 0.9
    left, right = normals[:, 20, 8:14, 0], normals[:, 20, 26:32, 0]
    assert np.nanmean(left) < -0.2 < 0.2 < np.nanmean(right)  # cheeks look to their own side
    pictures = fit.normal_images(size=40)
    assert pictures.ids == ("a", "b") or list(pictures.ids) == ["a", "b"]
    back = pictures.image("a").astype(float) / 127.5 - 1
    np.testing.assert_allclose(back[there[0]], normals[0][there[0]], atol=0.005)
    assert (pictures.image("a")[~there[0]] == 128).all()
    assert not np.allclose(fit.surfaces(expression=True), fit.surfaces())


def test_no_place_or_size_of_the_face_in_the_image_matters():
    points = planted(2, 0.01)[0]
    a, b = fit_heads(points), fit_heads(3 * points + [40, -7])
    np.testing.assert_allclose(a.identity, b.identity, atol=1e-5)
    np.testing.assert_allclose(3 * a.table["scale"], b.table["scale"], rtol=1e-5)


def test_what_is_refused():
    points = planted(2)[0]
    with pytest.raises(rf.InputError, match=r"shape \(n, 68, 2\), from detect_landmarks, got \(2,"):
        fit_heads(points[:, :5])
    with pytest.raises(rf.InputError, match="noise above 0, got 0"):
        fit_heads(points, noise=0)
    with pytest.raises(rf.InputError, match="one row for each of 1 condition names, got"):
        fit_heads(points, conditions=["a"])
    with pytest.raises(rf.InputError, match="two eyes apart from each other, not so in 'face 001'"):
        fit_heads(np.zeros((1, 68, 2)))


def test_figure_shows_landmarks_and_how_far_they_are_apart():
    points = planted(3, 0.03)[0]
    fit = fit_heads(points, conditions=["a", "b", "c"])
    photographs = rf.StimulusSet.from_arrays(np.full((2, 200, 260, 3), 90, np.uint8), ["b", "c"])
    figure = rf.figures.plot_head_fit(fit, photographs, faces=["c", "b"])
    above, below = np.reshape(figure.axes, (2, 2))
    for one, row in zip(above, (2, 1), strict=True):
        measured, fitted = (line.get_xydata() for line in one.lines)
        np.testing.assert_allclose(measured, points[row])
        off = np.sqrt(((fitted - points[row]) ** 2).sum(axis=1).mean())
        eyes = np.linalg.norm(points[row, 36:42].mean(axis=0) - points[row, 42:48].mean(axis=0))
        assert off == pytest.approx(fit.table["error"][row] * eyes)
        assert one.get_title() == f"{'abc'[row]}\n{off:.1f} px"
    seen = below[0].images[0].get_array()
    assert (seen == fit.normal_images(size=224, expression=True).image("c")).all()
    assert len(fit.plot().axes) == 6
    with pytest.raises(rf.InputError, match="photograph of every face, but 'a' has none"):
        rf.figures.plot_head_fit(fit, photographs)
    with pytest.raises(rf.InputError, match="1 to 8 faces, got 0"):
        rf.figures.plot_head_fit(fit, faces=[])
