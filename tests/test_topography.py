"""Topography: fields as arithmetic and gradients have them; the right part of the image wins."""

import numpy as np
import pandas as pd
import pytest
import torch
from drawn import panels
from torch import nn

import rsa_faces as rf
from rsa_faces.analyses.networks.topography import (
    central_bias,
    compare_topography,
    receptive_fields,
    topographic_rdms,
)
from rsa_faces.networks import Network, NetworkSpec, Preprocessing
from rsa_faces.rdm import concat
from rsa_faces.stimuli import StimulusSet

SIZE = 24


def network(module, size=SIZE, name="small"):
    spec = NetworkSpec(
        name=name,
        task="none",
        architecture="",
        training_set="none",
        licence="",
        origin="test",
        citation="",
        builder="",
        preprocessing=Preprocessing(size, "stretch", "RGB", (127.5,) * 3, (64.0,) * 3),
    )
    return Network(spec, module, torch.device("cpu"))


def convolutions(seed=0, act=nn.Tanh):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 5, 3, padding=1),
        act(),
        nn.Conv2d(5, 6, 5, stride=2, padding=2),
        act(),
        nn.MaxPool2d(3, 2, 1),
        nn.Conv2d(6, 4, 3),
        nn.Flatten(),
        nn.Linear(64, 7),
    )


STEPS = {"0": (3, 1, 1), "2": (5, 2, 2), "4": (3, 2, 1), "5": (3, 1, 0)}


def arithmetic(layers, size=SIZE):
    """Kernel, stride and padding put together: the uncut edges of each place on one axis."""
    found, start, jump, field, n = {}, 0, 1, 1, size
    for layer in layers:
        kernel, stride, padding = STEPS[layer]
        start -= padding * jump
        field += (kernel - 1) * jump
        jump *= stride
        n = (n + 2 * padding - kernel) // stride + 1
        # `start` is the first pixel of the first place.
        found[layer] = [(start + i * jump, start + i * jump + field - 1) for i in range(n)]
    return found


def noise_set(n, seed=0, size=SIZE, where=None):
    """Images of noise; those that differ only at the pixels `where`."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (n, size, size, 3), np.uint8)
    if where is not None:
        images[:, ~where] = images[0][~where]
    return StimulusSet.from_arrays(list(images), [f"c{i:02d}" for i in range(n)])


def disc(radius, size=SIZE):
    at = (np.arange(size) + 0.5) / size - 0.5
    return np.hypot(at[:, None], at) <= radius


def test_analytic_fields_are_those_of_kernels_strides_and_padding():
    net = network(convolutions())
    table = receptive_fields(net, list(STEPS)).table
    for layer, edges in arithmetic(STEPS).items():
        part = table[table["layer"] == layer]
        assert len(part) == len(edges) ** 2
        assert set(part["centre_from"]) == {"edges"}
        for row in part.itertuples():
            (top, bottom), (left, right) = edges[row.row], edges[row.column]
            assert (row.top, row.left) == (max(top, 0), max(left, 0))
            assert (row.bottom, row.right) == (min(bottom, SIZE - 1), min(right, SIZE - 1))
            assert row.x == pytest.approx(((left + right) / 2 + 0.5) / SIZE)
            assert row.y == pytest.approx(((top + bottom) / 2 + 0.5) / SIZE)
            assert row.eccentricity == pytest.approx(np.hypot(row.x - 0.5, row.y - 0.5))


def test_side_of_the_central_field_is_that_of_the_layer_table():
    net = rf.load_network("mini-xception", device="cpu")
    layers = ["conv2", "block1", "block2.conv1", "block3"]
    fields = receptive_fields(net, layers).table
    known = net.layer_table(layers, receptive_fields=True).set_index("layer")
    for layer in layers:
        part = fields[fields["layer"] == layer]
        middle = part[
            (part["row"] == part["row"].max() // 2 + part["row"].max() % 2)
            & (part["column"] == part["column"].max() // 2 + part["column"].max() % 2)
        ]
        assert middle["width"].item() * 64 == known.at[layer, "receptive_field"]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_gradients_lie_inside_the_analytic_box_and_fill_it(seed):
    net = network(convolutions(seed, nn.Tanh))
    for layer in ["0", "2", "5"]:
        box = receptive_fields(net, [layer]).table
        found = receptive_fields(net, [layer], method="gradient", maps=True, n_images=2)
        at = np.arange(SIZE)
        for row, field in zip(box.itertuples(), found.maps, strict=True):
            inside = np.outer(
                (at >= row.top) & (at <= row.bottom), (at >= row.left) & (at <= row.right)
            )
            assert not field[~inside].any()
            if layer != "5":  # a maximum takes one of its inputs only
                assert (field[inside] > 0).all()


def test_gradient_is_the_mean_sum_of_squares_of_a_loop():
    """A linear layer of one channel has no cross terms: exact; more channels on average."""
    torch.manual_seed(0)
    net = network(nn.Sequential(nn.Conv2d(3, 1, 3, padding=1), nn.Tanh(), nn.Conv2d(1, 1, 3)), 10)
    images = noise_set(3, size=10)
    found = receptive_fields(net, ["2"], method="gradient", stimuli=images, maps=True, budget=9_000)
    x = net.preprocess([images.image(i) for i in images]).requires_grad_()
    out = net.module(x)
    for row, field in zip(found.table.itertuples(), found.maps, strict=True):
        (g,) = torch.autograd.grad(out[:, 0, row.row, row.column].sum(), x, retain_graph=True)
        expected = (g**2).sum(1).mean(0).numpy()
        np.testing.assert_allclose(field, expected, rtol=1e-4, atol=1e-9)
        share = expected / expected.sum()
        at = (np.arange(10) + 0.5) / 10
        assert row.x == pytest.approx((share.sum(0) * at).sum(), abs=1e-5)
        assert row.y == pytest.approx((share.sum(1) * at).sum(), abs=1e-5)
        spread = (share.sum(0) * (at - row.x) ** 2).sum() + (share.sum(1) * (at - row.y) ** 2).sum()
        assert row.spread == pytest.approx(np.sqrt(spread / 2), abs=1e-5)


def test_random_signs_give_the_sum_over_channels():
    net = network(nn.Sequential(nn.Conv2d(3, 40, 3)), 8)
    found = receptive_fields(net, ["0"], method="gradient", maps=True, n_images=600)
    weights = (net.module[0].weight ** 2).sum(dim=(0, 1)).numpy()
    np.testing.assert_allclose(found.maps[0][:3, :3], weights, rtol=0.25)
    np.testing.assert_allclose(found.maps[0][:3, :3].sum(), weights.sum(), rtol=0.05)


def test_units_of_a_vector_one_by_one():
    net = network(convolutions())
    found = receptive_fields(net, ["7"], method="gradient", maps=True, n_images=2)
    images = net.preprocess(
        list(np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 3), np.uint8))
    ).requires_grad_()
    out = net.module(images)
    for k in range(7):
        (g,) = torch.autograd.grad(out[:, k].sum(), images, retain_graph=True)
        np.testing.assert_allclose(found.maps[k], (g**2).sum(1).mean(0), rtol=1e-4, atol=1e-12)
    assert (found.table["row"] == -1).all()


def test_memory_and_number_of_units_change_nothing():
    net = network(convolutions())
    how = {"method": "gradient", "n_images": 2}
    whole = receptive_fields(net, ["2"], **how).table
    small = receptive_fields(net, ["2"], budget=1, **how).table
    pd.testing.assert_frame_equal(whole, small, rtol=1e-5)
    some = receptive_fields(net, ["2"], n_units=9, **how).table
    assert len(some) == 9
    there = whole.set_index("unit").loc[some["unit"]]
    np.testing.assert_allclose(there["x"], some["x"], rtol=1e-5)


def test_nothing_is_left_behind():
    net = network(convolutions())
    receptive_fields(net, ["2"])
    receptive_fields(net, ["2"], method="gradient", n_images=1)
    central_bias(net, ["2"], n_images=1)
    assert not any(m._forward_hooks for m in net.module.modules())
    assert not any(p.requires_grad for p in net.module.parameters())


class Attention(nn.Module):
    """Every place sees everything."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 4, 4)
        self.mix = nn.Conv2d(4, 4, 1)

    def forward(self, x):
        x = self.first(x)
        return self.mix(x * x.mean(dim=(2, 3), keepdim=True))


def test_places_that_see_everything_are_laid_evenly():
    table = receptive_fields(network(Attention()), ["mix"]).table
    assert set(table["centre_from"]) == {"even"}
    assert (table[["width", "height"]] == 1).all().all()
    np.testing.assert_allclose(table["x"][:6], (np.arange(6) + 0.5) / 6)


class Tokens(nn.Module):
    """Patches as tokens, after one that stands for the image."""

    class_token = True

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 5, 4, 4)
        self.norm = nn.LayerNorm(5)

    def forward(self, x):
        x = self.first(x).flatten(2).transpose(1, 2)
        return self.norm(torch.cat([torch.zeros(len(x), 1, 5), x], dim=1))


def test_tokens_of_patches_have_places():
    net = network(Tokens())
    table = receptive_fields(net, ["norm"]).table
    assert len(table) == 36
    assert table.loc[7, ["top", "bottom", "left", "right"]].tolist() == [4, 7, 4, 7]
    images = noise_set(6)
    rdms = topographic_rdms(net, images, layers=["norm"], equal=False)
    assert rdms.labels["n_channels"].tolist() == (5 * rdms.labels["n_places"]).tolist()
    assert rdms.labels["n_places"].sum() == 36


class Looking(nn.Module):
    """Two units of a vector, and two channels of a map, that look at the middle or the rim."""

    def __init__(self):
        super().__init__()
        self.map = nn.Identity()
        self.gate = Gate()
        self.sum = nn.Conv2d(2, 2, SIZE, groups=2, bias=False)
        self.sum.weight.data.fill_(1.0)

    def forward(self, x):
        return self.sum(self.gate(x))


class Gate(nn.Module):
    """The image in the middle, and at the rim."""

    def forward(self, x):
        mask = torch.from_numpy(disc(0.25).astype(np.float32))
        grey = x.mean(dim=1, keepdim=True)
        return torch.cat([grey * mask, grey * (1 - mask)], dim=1)


def test_bias_of_units_that_look_at_the_middle_or_the_rim():
    found = central_bias(network(Looking()), ["gate", "sum"], n_images=2).set_index(
        ["layer", "unit"]
    )
    area = disc(0.25).mean()
    np.testing.assert_allclose(found["field_share"], [1, 0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(found["field_bias"], [1 - area, -area] * 2)
    np.testing.assert_allclose(found.loc["gate", "activation_share"], [1, 0], atol=1e-12)
    assert found.loc["sum", "activation_bias"].isna().all()


def test_a_network_that_treats_all_alike_has_no_bias():
    torch.manual_seed(0)
    found = central_bias(network(nn.Sequential(nn.Conv2d(3, 30, 1))), ["0"], n_images=20)
    assert found["field_bias"].abs().max() < 0.02
    assert abs(found["activation_bias"].mean()) < 0.01


def test_units_that_never_answer_are_nan():
    net = network(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()))
    net.module[0].weight.data[0] = 0
    net.module[0].bias.data[0] = -1
    found = central_bias(net, ["1"], n_images=2)
    assert found.loc[0, ["field_share", "activation_share"]].isna().all()
    assert found.loc[1:, "field_share"].notna().all()


def test_rdms_are_those_of_the_units_by_hand():
    net, images = network(convolutions()), noise_set(7)
    rdms = topographic_rdms(net, images, layers=["0", "2"], equal=False, measure="euclidean")
    assert rdms.conditions == images.ids
    x = net.preprocess([images.image(i) for i in images])
    with torch.inference_mode():
        outputs = {"0": net.module[:1](x).numpy(), "2": net.module[:3](x).numpy()}
    for layer, edges in arithmetic(["0", "2"]).items():
        at = np.array([(a + b) / 2 + 0.5 for a, b in edges]) / SIZE - 0.5
        near = np.hypot(at[:, None], at) <= 0.25
        for part, mask in (("central", near), ("peripheral", ~near)):
            patterns = outputs[layer][:, :, mask].reshape(7, -1).astype(float)
            row = rdms.sel(layer=f"{layer}:{part}")
            i, j = np.triu_indices(7, 1)
            expected = np.linalg.norm(patterns[i] - patterns[j], axis=1)
            np.testing.assert_allclose(row.vectors[0], expected, rtol=1e-5)
            assert row.labels["n_channels"].item() == patterns.shape[1]


def test_activations_give_the_same_as_images():
    net, images = network(convolutions()), noise_set(7)
    activations = rf.extract(net, images, layers=["0", "2", "5"])
    for chosen in (["2", "0"], "all"):
        one = topographic_rdms(net, activations, layers=chosen)
        two = topographic_rdms(net, images, layers=list(one.labels["source_layer"].unique()))
        np.testing.assert_allclose(one.vectors, two.vectors, atol=1e-6)


def test_equal_numbers_and_samples():
    net, images = network(convolutions()), noise_set(6)
    kept = topographic_rdms(net, images, layers=["2"], n_samples=5)
    labels = kept.labels
    assert labels["n_channels"].nunique() == 1
    assert labels["part"].value_counts().to_dict() == {"peripheral": 5, "central": 1}
    assert len(np.unique(kept.vectors.round(9), axis=0)) == 6
    again = topographic_rdms(net, images, layers=["2"], n_samples=5)
    np.testing.assert_array_equal(kept.vectors, again.vectors)
    one = topographic_rdms(net, images, layers=["2"])
    np.testing.assert_array_equal(one.vectors, kept.vectors[:2])
    assert not np.allclose(one.vectors, topographic_rdms(net, images, layers=["2"], seed=1).vectors)
    halves = topographic_rdms(net, images, layers=["2"], radius="median", equal=False)
    near, far = halves.labels["n_available"]
    assert near >= far >= 144 / 2 - 8


def test_units_of_vectors_are_divided_by_gradient():
    rdms = topographic_rdms(
        network(convolutions()),
        noise_set(6),
        layers=["7"],
        radius="median",
        method="gradient",
        measure="euclidean",
        n_images=2,
    )
    assert rdms.labels["n_channels"].tolist() == [3, 3]


def test_the_rdms_go_on_to_compare_evaluate_and_searchlight():
    net, images = network(convolutions()), noise_set(8)
    rdms = topographic_rdms(net, images, layers=["0"])
    data = rf.layer_rdms(net, images, layers=["0"])
    assert rf.compare(rdms, data).shape == (2, 1)
    rng = np.random.default_rng(0)
    subjects = rf.RDMs(
        data.vectors + 0.01 * rng.normal(size=(6, data.n_pairs)),
        data.conditions,
        "correlation",
        {"subject": [f"s{i}" for i in range(6)]},
    )
    with pytest.warns(UserWarning, match="too few"):
        result = rf.evaluate(rdms, subjects, n_boot=50)
    assert result.table["layer"].tolist() == ["0:central", "0:peripheral"]
    volumes = rng.normal(size=(4, 4, 4, 8))
    import nibabel as nib

    from rsa_faces.mapping import searchlight

    img = nib.Nifti1Image(volumes, np.diag([2.0, 2.0, 2.0, 1.0]))
    mask = nib.Nifti1Image(np.ones((4, 4, 4), np.uint8), img.affine)
    found = searchlight(img, conditions=images.ids, models=rdms, mask_img=mask, radius=3.0)
    assert found.labels["layer"].tolist() == result.table["layer"].tolist()


def subjects_of(vector, conditions, rng, n_subjects=12, noise=1.0, region="roi"):
    z = (vector - vector.mean()) / vector.std()
    values = z + noise * rng.normal(size=(n_subjects, len(z)))
    return rf.RDMs(
        values,
        conditions,
        "simulated",
        {
            "subject": [f"s{i}" for i in range(n_subjects)],
            "region": region,
        },
    )


@pytest.mark.parametrize("winner", ["central", "peripheral"])
def test_the_part_in_which_conditions_differ_wins_in_early_layers(winner):
    """The region holds distances between images inside one part; all else is noise of its own."""
    net, rng = network(convolutions(act=nn.ReLU)), np.random.default_rng(1)
    images = noise_set(24, seed=3)
    pixels = np.stack([images.image(i) for i in images]).astype(float)
    inside = disc(0.25) if winner == "central" else ~disc(0.3)
    x = pixels[:, inside].reshape(24, -1)
    i, j = np.triu_indices(24, 1)
    truth = np.linalg.norm(x[i] - x[j], axis=1)
    data = subjects_of(truth, images.ids, rng)
    rdms = topographic_rdms(net, images, layers=["0", "2"], measure="euclidean", n_samples=5)
    found = compare_topography(rdms, data, n_boot=200)
    sign = 1 if winner == "central" else -1
    assert (sign * found.table["difference"] > 0).all()
    assert found.table["p_corrected"].iloc[0] < 0.05
    wide = found.subjects.groupby("layer", sort=False)["difference"].mean()
    np.testing.assert_allclose(wide.to_numpy(), found.table["difference"])


def test_images_that_differ_in_one_part_only():
    """Units of the other part answer the same to all images."""
    net = network(convolutions(act=nn.ReLU))
    for where, part in ((disc(0.2), "peripheral"), (~disc(0.36), "central")):
        images = noise_set(6, where=where)
        rdms = topographic_rdms(
            net,
            images,
            layers=["0"],
            measure="euclidean",
            equal=False,
            radius=0.28,
        )
        same = rdms.sel(part=part)
        assert np.abs(same.vectors).max() < 1e-3
        other = rdms.sel(part="central" if part == "peripheral" else "peripheral")
        assert other.vectors.min() > 1


def simulated(rng, n_conditions, n_features, noise_units, n_parts=(1, 5)):
    """RDMs of parts whose units are random mixtures of the same features."""
    features = rng.normal(size=(n_conditions, n_features))
    i, j = np.triu_indices(n_conditions, 1)

    def rdm(n):
        x = features @ rng.normal(size=(n_features, n))
        return np.linalg.norm(x[i] - x[j], axis=1)

    made = [rdm(noise_units) for _ in range(sum(n_parts))]
    labels = pd.DataFrame(
        {
            "network": "n",
            "layer": "l",
            "source_layer": "l",
            "n_places": 1,
            "part": ["central"] * n_parts[0] + ["peripheral"] * n_parts[1],
            "sample": [*range(n_parts[0]), *range(n_parts[1])],
        }
    )
    conditions = [f"c{k}" for k in range(n_conditions)]
    truth = np.linalg.norm(features[i] - features[j], axis=1)
    return rf.RDMs(made, conditions, "euclidean", labels), truth


@pytest.mark.simulation
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_no_difference_no_finding():
    """New subjects, conditions and units in every data set; as good in both parts."""
    rng = np.random.default_rng(5)
    differences, p = [], []
    for _ in range(120):
        rdms, truth = simulated(rng, 24, 12, 30)
        data = subjects_of(truth, rdms.conditions, rng, noise=2.0)
        table = compare_topography(rdms, data, n_boot=100, method="pearson").table
        differences.append(table["difference"][0])
        p.append(table["p"][0])
    mean, sem = np.mean(differences), np.std(differences) / np.sqrt(len(differences))
    assert abs(mean) < 3 * sem
    assert np.mean(np.array(p) < 0.05) < 0.1


@pytest.mark.simulation
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("n_parts", [(1, 1), (1, 4)])
def test_false_positives_are_nominal_where_the_null_holds_exactly(n_parts):
    """These units, new subjects: what subjects share is equally near to both parts."""
    rng = np.random.default_rng(6)
    n_sets, p = 250, []
    for _ in range(n_sets):
        rdms, _ = simulated(rng, 12, 6, 20, n_parts)
        z = rdms.vectors - rdms.vectors.mean(axis=1, keepdims=True)
        z /= np.linalg.norm(z, axis=1, keepdims=True)
        near, far = z[: n_parts[0]].mean(axis=0), z[n_parts[0] :].mean(axis=0)
        a, b = far @ far - near @ far, near @ near - near @ far
        shared = a * near + b * far
        assert near @ shared == pytest.approx(far @ shared)
        data = subjects_of(shared, rdms.conditions, rng, n_subjects=16, noise=1.0)
        options = {"generalise_to": "subjects", "method": "pearson", "n_boot": 100}
        p.append(compare_topography(rdms, data, **options).table["p"][0])
    assert 0.015 < np.mean(np.array(p) < 0.05) < 0.095


def test_one_sample_each_is_the_pair_of_evaluate():
    rng = np.random.default_rng(2)
    rdms, truth = simulated(rng, 22, 10, 10, (1, 1))
    data = concat([subjects_of(truth, rdms.conditions, rng, region=r) for r in ("a", "b")])
    found = compare_topography(rdms, data, n_boot=100, seed=3, method="pearson").table
    result = rf.evaluate(rdms, data, n_boot=100, seed=3, method="pearson")
    for column in ("difference", "sem", "p"):
        np.testing.assert_allclose(found[column], result.pairs[column])
    assert found["region"].tolist() == ["a", "b"]
    assert (found["ci_low"] < found["difference"]).all()


def test_errors():
    net, images = network(convolutions()), noise_set(5)
    with pytest.raises(rf.InputError, match="unknown method"):
        receptive_fields(net, ["0"], method="exact")
    with pytest.raises(rf.InputError, match="method='gradient' for vectors"):
        receptive_fields(net, ["7"])
    with pytest.raises(rf.InputError, match="with method='gradient' only"):
        receptive_fields(net, ["0"], maps=True)
    with pytest.raises(rf.InputError, match="Did you mean|unknown"):
        receptive_fields(net, ["conv"])
    with pytest.raises(rf.InputError, match="n_images"):
        receptive_fields(net, ["0"], method="gradient", n_images=0)
    with pytest.raises(rf.InputError, match="n_units"):
        central_bias(net, ["0"], n_units=0)
    for radius in (0, 0.5, "half", None):
        with pytest.raises(rf.InputError, match="radius as a number|a number as `radius`"):
            central_bias(net, ["0"], radius=radius)
    with pytest.raises(rf.InputError, match="both sides of radius"):
        topographic_rdms(net, images, layers=["0"], radius=0.001)
    with pytest.raises(rf.InputError, match="none of"):
        topographic_rdms(net, images, radius=0.001)
    with pytest.raises(rf.InputError, match="n_samples"):
        topographic_rdms(net, images, layers=["0"], n_samples=0)
    other = network(convolutions(), name="other")
    activations = rf.extract(other, images, layers=["0"])
    with pytest.raises(rf.InputError, match="activations of small, got those of 'other'"):
        topographic_rdms(net, activations)
    reduced = rf.extract(net, images, layers=["0"], reduce="mean")
    with pytest.raises(rf.InputError, match="without `reduce`"):
        topographic_rdms(net, reduced)
    rdms = topographic_rdms(net, images, layers=["0"])
    with pytest.raises(rf.InputError, match="'part'"):
        compare_topography(rf.RDMs(rdms.vectors, rdms.conditions, "x"), rdms)
    data = subjects_of(rdms.vectors[0], rdms.conditions, np.random.default_rng(0))
    with pytest.raises(rf.InputError, match="only 'central'"):
        compare_topography(rdms.sel(part="central"), data)
    with pytest.raises(rf.ConditionMismatchError):
        compare_topography(rdms, data.subset(rdms.conditions[:4]))


def test_a_layer_without_gradient():
    class Numbers(nn.Module):
        def forward(self, x):
            return (x > 0).float().detach()

    net = network(nn.Sequential(Numbers()))
    with pytest.raises(rf.InputError, match="no gradient"):
        receptive_fields(net, ["0"], method="gradient", n_images=1)


def test_figures():
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from rsa_faces.figures.topography import (
        plot_central_bias,
        plot_receptive_fields,
        plot_topography,
    )

    net = network(convolutions())
    fields = receptive_fields(net, ["0", "2"])
    ax = panels(plot_receptive_fields(fields, layer="2"))[0]
    drawn = sum(len(line.get_xdata()) for line in ax.lines)
    assert drawn == 144
    units = receptive_fields(net, ["7"], method="gradient", n_images=1)
    assert "units" in panels(plot_receptive_fields(units, radius=None))[0].get_title(loc="left")
    with pytest.raises(rf.InputError, match="unknown layer"):
        plot_receptive_fields(fields, layer="9")
    bias = central_bias(net, ["0", "2", "7"], n_images=1)
    ax = panels(plot_central_bias(bias))[0]
    medians = bias.groupby("layer", sort=False)["field_bias"].median()
    np.testing.assert_allclose(ax.lines[0].get_ydata(), medians)
    assert len(panels(plot_central_bias(bias, of="activation"))[0].lines[0].get_ydata()) == 2
    with pytest.raises(rf.InputError, match="unknown bias"):
        plot_central_bias(bias, of="size")
    rng = np.random.default_rng(0)
    rdms, truth = simulated(rng, 22, 10, 10, (1, 1))
    found = compare_topography(rdms, subjects_of(truth, rdms.conditions, rng), n_boot=50)
    ax = panels(plot_topography(found))[0]
    np.testing.assert_allclose(ax.lines[0].get_ydata(), found.table["central"])
    with pytest.raises(rf.InputError, match="unknown region"):
        plot_topography(found, region="V1")
    plt.close("all")


def test_error_of_averages_is_that_of_the_subjects_differences():
    rng = np.random.default_rng(4)
    rdms, truth = simulated(rng, 22, 6, 6, (2, 6))
    data = subjects_of(truth, rdms.conditions, rng, n_subjects=20)
    found = compare_topography(rdms, data, generalise_to="subjects", n_boot=3000, method="pearson")
    difference = found.subjects["difference"]
    assert found.table["sem"][0] == pytest.approx(difference.std() / np.sqrt(20), rel=0.06)


def test_a_first_module_that_works_in_place():
    net = network(nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(3, 2, 3)))
    table = receptive_fields(net, ["1"], method="gradient", n_images=1).table
    assert table["x"].notna().all()
