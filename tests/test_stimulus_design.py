"""Stimuli that tell models apart: chosen, found sooner, and synthesised."""

import itertools
from importlib.util import find_spec

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from drawn import panels

import rsa_faces as rf
from rsa_faces import InputError
from rsa_faces.analyses import (
    choose_stimuli,
    simulate_selection,
    synthesise_faces,
    synthesise_heads,
    synthesise_images,
)
from rsa_faces.analyses.design._design_information import (
    information,
    information_bounds,
    squared_distances,
)
from rsa_faces.analyses.design.stimulus_design import _Search, _standardised
from rsa_faces.figures import plot_stimulus_design, plot_synthesis


def pool(n=30, n_models=3, seed=0, *, common=0.8):
    """Simulated models that share most of their dissimilarities."""
    rng = np.random.default_rng(seed)
    names = [f"face {i:02d}" for i in range(n)]
    shared = rng.normal(size=(n, 5))
    rdms = []
    for k in range(n_models):
        x = common * shared + (1 - common) * 2 * rng.normal(size=(n, 5))
        rdm = rf.compute_rdms(x, conditions=names, measure="euclidean")
        rdms.append(rdm.with_labels(name=[f"model {k}"]))
    return rf.concat(rdms)


def search_of(models, noise=3.0):
    return _Search(_standardised(models, list(models.labels["name"])), noise)


def by_loop(models, chosen, noise):
    """Distances and the lower bound from the dissimilarities themselves."""
    square = models.matrices()[:, chosen][:, :, chosen]
    row, col = np.triu_indices(len(chosen), 1)
    z = square[:, row, col]
    z = (z - z.mean(axis=1, keepdims=True)) / z.std(axis=1, keepdims=True)
    distances = np.array([[((a - b) ** 2).sum() for b in z] for a in z])
    terms = [np.log(np.mean([np.exp(-d / (8 * noise**2)) for d in line])) for line in distances]
    return distances, -np.mean(terms)


@pytest.mark.parametrize("seed", range(4))
def test_sums_kept_up_to_date_equal_a_loop(seed):
    models = pool(12, seed=seed)
    search = search_of(models, 1.0)
    rng = np.random.default_rng(seed)
    chosen = list(map(int, rng.choice(12, 6, replace=False)))
    distances, value = by_loop(models, chosen, 1.0)
    np.testing.assert_allclose(search.distances(chosen), distances, atol=1e-8)
    assert search.value(chosen) == pytest.approx(value, abs=1e-10)
    within, to = search.sums(chosen)
    more = search.with_one_more(6, within, to)
    for c in set(range(12)) - set(chosen):
        assert more[c] == pytest.approx(by_loop(models, [*chosen, c], 1.0)[1], abs=1e-9)
    grown = search.grown(chosen[:3], 8)
    for size in range(4, 9):
        values = {
            c: search.value([*grown[: size - 1], c])
            for c in set(range(12)) - set(grown[: size - 1])
        }
        assert values[grown[size - 1]] == pytest.approx(max(values.values()), abs=1e-10)


@pytest.mark.parametrize("seed", range(3))
def test_the_search_is_nearly_as_good_as_trying_all_subsets(seed):
    models = pool(12, seed=seed)
    search = search_of(models)
    design = choose_stimuli(models, 5, n_starts=5, n_random=50, progress=False)
    best = max(search.value(list(s)) for s in itertools.combinations(range(12), 5))
    lower = design.table["lower"][0]
    assert 0.97 * best <= lower <= best + 1e-10
    assert lower >= design.random.max() - 1e-10


def test_bounds_hold_the_information_and_both_meet_at_the_ends():
    rng = np.random.default_rng(0)
    for k, scale in itertools.product((2, 5), (0.1, 1.0, 5.0)):
        points = scale * rng.normal(size=(k, 4))
        distances = ((points[:, None] - points) ** 2).sum(axis=2)
        lower, upper = information_bounds(distances, 1.5)
        value = information(distances, 1.5, 4000, rng)
        assert lower - 0.02 <= value <= upper + 0.02
        assert 0 <= lower <= upper <= np.log(k) + 1e-12
    far = np.full((4, 4), 1e4) * (1 - np.eye(4))
    assert information(far, 1.0, 500, rng) == pytest.approx(np.log(4), abs=1e-3)
    assert information(np.zeros((4, 4)), 1.0, 500, rng) == pytest.approx(0, abs=1e-9)


def test_information_of_two_models_is_that_of_an_integral():
    from scipy.integrate import quad
    from scipy.stats import norm

    for d in (0.5, 1.5, 3.0):

        def entropy(t, d=d):
            p = 0.5 * (norm.pdf(t) + norm.pdf(t - d))
            return -p * np.log(p) if p > 0 else 0.0

        truth = quad(entropy, -10, 10 + d)[0] - 0.5 * np.log(2 * np.pi * np.e)
        found = information(
            np.array([[0, d**2], [d**2, 0]]), 1.0, 200_000, np.random.default_rng(0)
        )
        assert found == pytest.approx(truth, abs=0.005)


def test_models_that_do_not_vary_over_the_pairs_cannot_be_told_apart():
    sums, products = np.array([3.0, 6.0]), np.array([[3.0, 6.0], [6.0, 12.0]])
    assert (squared_distances(3, sums, products) == 0).all()


def test_the_right_model_is_found_sooner_than_with_random_stimuli():
    models = pool(40, 5, common=0.9)
    design = choose_stimuli(models, 8, n_starts=2, n_random=50, progress=False)
    found = simulate_selection(models, design, n_simulations=1000)
    wide = found.pivot(index="n_measurements", columns="choice", values="correct")
    assert (wide["designed"] > wide["random"]).all()
    assert wide.loc[8, "designed"] > wide.loc[16, "random"]
    assert (found["chance"] == 0.2).all()


def test_selection_is_at_chance_where_models_are_the_same():
    one = pool(20, 1)
    models = rf.concat([one.with_labels(name=["a"]), one.with_labels(name=["b"])])
    design = choose_stimuli(models, 6, n_starts=1, n_random=5, progress=False)
    assert design.table["information"].abs().max() < 1e-6
    found = simulate_selection(models, design, n_simulations=2000)
    assert abs(found["correct"] - 0.5).max() < 1e-9  # ties share


def test_order_is_good_from_the_first_and_the_seed_decides():
    models = pool(30)
    search = search_of(models)
    design = choose_stimuli(models, 12, n_starts=2, n_random=20, progress=False)
    place = {name: i for i, name in enumerate(models.conditions)}
    first = [place[name] for name in design.stimuli[:6]]
    rng = np.random.default_rng(0)
    random = [search.value(list(rng.choice(30, 6, replace=False))) for _ in range(50)]
    assert search.value(first) > np.percentile(random, 90)
    again = choose_stimuli(models, 12, n_starts=2, n_random=20, progress=False)
    assert design.stimuli == again.stimuli
    pd.testing.assert_frame_equal(design.table, again.table)


@pytest.fixture(scope="module")
def networks():
    return tuple(rf.load_network(n, device="cpu") for n in ("mini-xception", "face-api-expression"))


def faces(n=5, size=48, seed=0):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(60, 200, (n, 6, 6, 3))
    images = [np.kron(c, np.ones((size // 6, size // 6, 1))).astype(np.uint8) for c in coarse]
    return rf.StimulusSet.from_arrays(images, [f"face {i}" for i in range(n)])


def test_the_stand_in_of_preprocessing_is_near_the_real_one(networks):
    import torch

    from rsa_faces.analyses.design._ascent import prepared

    images = [faces(size=96).image(name) for name in faces().ids]
    tensor = torch.tensor(np.stack(images), dtype=torch.float32).permute(0, 3, 1, 2)
    for network in networks:
        real = network.preprocess(images)
        ours = prepared(tensor, network.spec.preprocessing)
        assert ours.shape == real.shape
        grey = 1 / min(network.spec.preprocessing.std)
        assert abs(ours - real).max() <= 1.51 * grey  # Pillow rounds to whole grey values, twice


def test_images_are_made_to_disagree_and_say_by_how_much(networks):
    start = faces()
    made = synthesise_images(networks, ("conv1", "block1.relu1"), start, n_steps=15, progress=False)
    before, after = made.disagreement["disagreement"]
    assert after > before + 0.1
    # The numbers are those of anyone's RDMs of the 8-bit images.
    rdms = [
        rf.layer_rdms(network, made.stimuli, layers=[layer], progress=False).vectors[0]
        for network, layer in zip(networks, ("conv1", "block1.relu1"), strict=True)
    ]
    assert after == pytest.approx(1 - np.corrcoef(*rdms)[0, 1], abs=1e-5)
    assert made.stimuli.ids == start.ids
    assert 0 < made.disagreement["change"][1] < 60
    assert not any(module._forward_hooks for module in networks[0].module.modules())
    held = synthesise_images(
        networks, ("conv1", "block1.relu1"), start, n_steps=15, stay=50.0, progress=False
    )
    assert held.disagreement["change"][1] < made.disagreement["change"][1]


def test_faces_of_a_space_are_made_to_disagree_within_limits(networks):
    rng = np.random.default_rng(0)
    axes = rng.normal(size=(6, 24, 24, 3)) * 25

    def decode(z):
        return list((128 + np.tensordot(z, axes, 1)).clip(0, 255).astype(np.uint8))

    start = rng.normal(size=(5, 6))
    made = synthesise_faces(
        networks,
        ("conv1", "block1.relu1"),
        decode,
        start,
        n_steps=4,
        n_directions=3,
        progress=False,
    )
    before, after = made.disagreement["disagreement"]
    assert after > before
    assert (np.diff(made.trace["disagreement"]) >= 0).all()
    assert abs(made.coordinates).max() <= 3
    assert after == pytest.approx(made.trace["disagreement"].iloc[-1], abs=1e-9)


def test_disagreement_of_many_is_the_mean_over_pairs_and_of_two_what_it_was():
    import torch

    from rsa_faces.analyses.design._ascent import disagreement_of

    rng = np.random.default_rng(0)
    patterns = [rng.normal(size=(6, n)) for n in (5, 9, 7, 4)]
    rdms = [1 - np.corrcoef(x)[np.triu_indices(6, 1)] for x in patterns]
    tensors = [torch.tensor(x) for x in patterns]
    by_loop = [1 - np.corrcoef(rdms[a], rdms[b])[0, 1] for a in range(4) for b in range(a)]
    assert float(disagreement_of(tensors)) == pytest.approx(np.mean(by_loop), abs=1e-10)
    two = 1 - np.corrcoef(rdms[0], rdms[1])[0, 1]
    assert float(disagreement_of(tensors[:2])) == pytest.approx(two, abs=1e-10)


def test_more_than_two_networks_and_random_sets_beside(networks):
    rng = np.random.default_rng(0)
    axes = rng.normal(size=(6, 24, 24, 3)) * 25

    def decode(z):
        return list((128 + np.tensordot(z, axes, 1)).clip(0, 255).astype(np.uint8))

    # Planted: the first and the third network are the same one.
    three = (*networks, networks[0])
    layers = ("conv1", "block1.relu1", "conv1")
    options = {"n_steps": 4, "n_directions": 3, "n_random": 6, "progress": False}
    start = rng.normal(size=(5, 6))
    made = synthesise_faces(three, layers, decode, start, **options)
    shown = made.pairs.query("images == 'made'").set_index(["network_a", "network_b"])
    values = shown["disagreement"].to_numpy()
    names = ["mini-xception conv1", "face-api-expression block1.relu1"]
    assert values[1] == pytest.approx(0, abs=1e-9)
    assert values[0] == pytest.approx(values[2], abs=1e-9)
    assert list(shown.index)[0] == tuple(names)
    assert made.table["disagreement"][1] == pytest.approx(values.mean(), abs=1e-12)
    two = synthesise_faces(networks, layers[:2], decode, start, **options)
    assert len(two.pairs) == 2
    # The same search: all that differs is a factor of 2 / 3.
    np.testing.assert_allclose(
        made.trace["disagreement"], 2 / 3 * two.trace["disagreement"], atol=1e-9
    )
    # Information by the loop over dissimilarities, and more of it than random sets give.
    rdms = [
        rf.layer_rdms(n, two.stimuli, layers=[layer], progress=False).vectors[0]
        for n, layer in zip(networks, layers[:2], strict=True)
    ]
    z = [(r - r.mean()) / r.std() for r in rdms]
    distance = ((z[0] - z[1]) ** 2).sum()
    expected = -np.log((1 + np.exp(-distance / (8 * 3.0**2))) / 2)
    assert two.table["lower"][1] == pytest.approx(expected, abs=1e-5)
    assert len(two.random) == 6
    assert two.table["lower"][1] > two.random["lower"].max()


@pytest.mark.skipif(find_spec("anny") is None, reason="the package anny is not installed")
def test_heads_are_made_to_disagree(networks):
    made = synthesise_heads(
        networks,
        ("conv1", "block1.relu1"),
        4,
        size=32,
        n_steps=1,
        n_directions=1,
        n_random=2,
        seed=3,
        progress=False,
    )
    before, after = made.table["disagreement"]
    assert after >= before
    assert made.coordinates.shape == (4, 94)
    assert abs(made.coordinates).max() <= 2 or after == before
    assert made.stimuli.metadata["simulated"].all()
    assert list(made.stimuli.ids)[0] == "simulated01"
    assert len(made.random) == 2
    with pytest.raises(InputError, match="parameters of sample_identities, but 94 are missing"):
        synthesise_heads(networks, ("conv1", "block1.relu1"), pd.DataFrame({"age": [0.1] * 4}))


def test_wrong_input_is_told(networks):
    models = pool(12)
    with pytest.raises(InputError, match="models as RDMs, got a ndarray"):
        choose_stimuli(np.ones((2, 3)), 4)
    with pytest.raises(InputError, match="at most 12 stimuli, the size of the pool, got 20"):
        choose_stimuli(models, 20)
    with pytest.raises(InputError, match="noise above 0, got 0"):
        choose_stimuli(models, 5, noise=0)
    with pytest.raises(InputError, match="at least 2 models with names of their own"):
        choose_stimuli(models.with_labels(name=["a", "a", "b"]), 5)
    gaps = models.vectors.copy()
    gaps[1, 3] = np.nan
    broken = rf.RDMs(gaps, models.conditions, "euclidean", {"name": ["a", "b", "c"]})
    with pytest.raises(InputError, match="every pair in every model, not so 'b'"):
        choose_stimuli(broken, 5)
    design = choose_stimuli(models, 5, n_starts=1, n_random=5, progress=False)
    with pytest.raises(InputError, match="stimuli among the models' conditions"):
        simulate_selection(pool(12).subset(models.conditions[:6]), design)
    with pytest.raises(InputError, match="at least 4 images"):
        synthesise_images(networks, ("conv1", "fc"), faces(3))
    with pytest.raises(InputError, match="two networks and a layer of each, got 2 and 3"):
        synthesise_images(networks, ("conv1", "fc", "fc"), faces())
    with pytest.raises(InputError, match="a layer of mini-xception, such as .*, got 'conv99'"):
        synthesise_images(networks, ("conv99", "fc"), faces())
    wide = rf.StimulusSet.from_arrays([np.zeros((8, 9, 3), np.uint8)] * 4, list("abcd"))
    with pytest.raises(InputError, match="square images of one size, but 'a' has 9 x 8"):
        synthesise_images(networks, ("conv1", "fc"), wide)
    with pytest.raises(InputError, match="finite coordinates of at least 4 faces"):
        synthesise_faces(networks, ("conv1", "fc"), None, np.ones((2, 3)))


def test_figures(networks):
    models = pool(20)
    design = choose_stimuli(models, 6, n_starts=1, n_random=20, progress=False)
    axes = panels(
        plot_stimulus_design(design, simulate_selection(models, design, n_simulations=50))
    )
    assert "simulated" in axes[2].get_title(loc="left")
    assert len(panels(plot_stimulus_design(design))) == 2
    start = faces()
    made = synthesise_images(networks, ("conv1", "block1.relu1"), start, n_steps=1, progress=False)
    axes = panels(plot_synthesis(start, made)).reshape(2, -1)
    assert axes.shape == (2, 5)
    plt.close("all")
