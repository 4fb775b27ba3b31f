"""`rsa-faces searchlight`: from a configuration to maps, tests, peaks and figures."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from test_cli import rsa_faces, sentence
from test_fmri import write_bids

import rsa_faces as rf
from rsa_faces._core.errors import InputError
from rsa_faces.datasets import simulated_brain
from rsa_faces.runs._brains import read_volumes
from rsa_faces.runs.searchlight import outputs
from rsa_faces.runs.searchlight.config import SearchlightConfig

CONFIG = Path(__file__).parents[1] / "rsa_faces" / "configs" / "searchlight.yaml"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Four small simulated brains as files."""
    folder = tmp_path_factory.mktemp("brains")
    brain = simulated_brain(
        n_subjects=4, shape=(12, 12, 10), region_radius=6.0, planted=["simulated layer_1"]
    )
    subjects = {}
    for i, image in enumerate(brain.imgs):
        nibabel.save(image, folder / f"sub-{i}.nii.gz")
        subjects[f"sub-{i}"] = f"sub-{i}.nii.gz"
    nibabel.save(brain.mask_img, folder / "mask.nii.gz")
    # Anatomy on a grid of its own, twice as fine.
    fine = np.kron(brain.mask_img.get_fdata(), np.ones((2, 2, 2))) * 700
    affine = brain.mask_img.affine @ np.diag([0.5, 0.5, 0.5, 1])
    nibabel.save(nibabel.Nifti1Image(fine.astype(np.float32), affine), folder / "anatomy.nii.gz")
    brain.models.save(folder / "models.h5")
    table = pd.DataFrame({"condition": brain.conditions, "fold": brain.runs})
    table.to_csv(folder / "volumes.csv", index=False)
    config = {
        "title": "simulated",
        "data": {
            "subjects": subjects,
            "conditions": "volumes.csv",
            "mask": "mask.nii.gz",
            "anatomy": "anatomy.nii.gz",
        },
        "models": [{"rdms": "models.h5"}],
        "radius": 6.0,
        "test": {"n_permutations": 99, "alpha": 0.07},
    }
    (folder / "c.yaml").write_text(yaml.safe_dump(config))
    return folder, brain


FEW = ("--set", "models.0.select={name: [simulated layer_1, simulated layer_5]}")


def run(project, *arguments):
    return rsa_faces("searchlight", project[0] / "c.yaml", *arguments)


@pytest.mark.usefixtures("figures_keep_the_rules")
def test_the_planted_model_is_found_where_it_is(project, tmp_path):
    folder, brain = project
    done = run(project, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    out = tmp_path / "out"
    peaks = pd.read_csv(out / "peaks.csv")
    top = peaks[peaks["model"] == "simulated layer_1"].iloc[0]
    place = brain.regions.iloc[0][["x", "y", "z"]].to_numpy(float)
    assert np.linalg.norm(top[["x", "y", "z"]].to_numpy(float) - place) <= 6
    best = pd.read_csv(out / "best_layers.csv")  # chosen by other subjects than judge it
    assert best["network"].iloc[0] == "simulated layer_1"
    assert set(best["n_subjects"]) == {4}
    assert best["similarity"].iloc[0] == pytest.approx(top["similarity"], abs=0.1)
    assert "Grey: anatomy." in (out / "report.html").read_text(encoding="utf-8")
    methods = (out / "methods.md").read_text(encoding="utf-8")
    assert "of the file models.h5" in methods
    assert "chosen in one half of the subjects and judged in the other" in methods
    said = " ".join(done.stdout.split())
    assert "Best layer of each network, with its place chosen by other subjects" in said
    told = re.findall(r"\[(\d+)/(\d+)\] (\S.*)", done.output)
    assert [int(done) for done, _, _ in told] == [*range(len(told) - 1), len(told) - 1]
    assert {int(total) for _, total, _ in told} == {len(told) - 1}  # each step once, with its name
    # The maps of subjects are those of the function.
    maps = rf.mapping.SearchlightMap.load(out / "maps" / "sub-2.h5")
    expected = rf.searchlight(
        brain.imgs[2],
        mask_img=brain.mask_img,
        conditions=brain.conditions,
        models=brain.models,
        radius=6.0,
    )
    np.testing.assert_allclose(maps.similarity, expected.similarity, atol=1e-12)
    t = nibabel.load(out / "tests" / "simulated-layer_1_t.nii.gz").get_fdata()
    assert t.shape == (12, 12, 10)
    for name in ("mean/similarity.nii.gz", "best_model.nii.gz", "provenance.json"):
        assert (out / name).is_file()
    drawn = {path.stem for path in (out / "figures").glob("*.png")}
    assert drawn == {"best_model", "noise_ceiling", *(f"simulated-layer_{k}" for k in range(1, 6))}
    assert drawn == {path.stem for path in (out / "figures").glob("*.html")}
    ceilings = rf.mapping.ceiling_map(
        brain.imgs, mask_img=brain.mask_img, conditions=brain.conditions, radius=6.0
    )
    lower = nibabel.load(out / "ceilings" / "lower.nii.gz").get_fdata()
    np.testing.assert_allclose(lower[maps.space.mask], ceilings.lower, rtol=1e-6)
    i, j, k = top[["i", "j", "k"]].astype(int)
    assert top["ceiling_low"] == pytest.approx(lower[i, j, k], rel=1e-6)
    assert set(json.loads((out / "provenance.json").read_text())["data_sha256"]) == {
        "sub-0",
        "sub-1",
        "sub-2",
        "sub-3",
        "mask",
    }


def test_a_second_run_makes_no_map_anew_and_ends_the_same(project, tmp_path):
    out = tmp_path / "out"
    assert run(project, "--out", out, *FEW).exit_code == 0
    first = {p: p.read_bytes() for p in out.rglob("*.nii.gz")} | {
        out / "peaks.csv": (out / "peaks.csv").read_bytes()
    }
    (out / "maps" / "sub-1.h5").unlink()  # as if it had been stopped there
    done = run(project, "--out", out, "--json", *FEW)
    assert done.exit_code == 0, done.output
    reused = json.loads((out / "provenance.json").read_text())["steps_reused"]
    assert reused == ["map sub-0", "map sub-2", "map sub-3", "ceilings volume"]
    assert all(path.read_bytes() == content for path, content in first.items())
    assert json.loads(done.stdout)["tables"]["peaks"][0]["model"] == "simulated layer_1"


def test_crossnobis_takes_the_runs_as_folds(project, tmp_path):
    folder, brain = project
    done = run(
        project,
        "--out",
        tmp_path / "o",
        "--set",
        "measure=crossnobis",
        "--set",
        "method=cosine",
        *FEW,
    )
    assert done.exit_code == 0, done.output
    maps = rf.mapping.SearchlightMap.load(tmp_path / "o" / "maps" / "sub-0.h5")
    expected = rf.searchlight(
        brain.imgs[0],
        mask_img=brain.mask_img,
        conditions=brain.conditions,
        models=brain.models,
        radius=6.0,
        measure="crossnobis",
        method="cosine",
        folds=brain.runs,
    )
    np.testing.assert_allclose(maps.similarity, expected.similarity[[0, 4]], atol=1e-12)


def test_noise_is_estimated_from_residuals(project, tmp_path):
    folder, brain = project
    rng = np.random.default_rng(0)
    config = yaml.safe_load((folder / "c.yaml").read_text())
    config |= {"measure": "crossnobis", "method": "kendall", "noise": "ledoit-wolf"}
    left, residuals = {}, {}
    for name in ("sub-0", "sub-1"):
        left[name] = nibabel.Nifti1Image(
            rng.normal(size=(12, 12, 10, 60)).astype(np.float32), brain.mask_img.affine
        )
        nibabel.save(left[name], folder / f"{name}_residuals.nii")
        residuals[name] = f"{name}_residuals.nii"
    config["data"]["subjects"] = {name: f"{name}.nii.gz" for name in residuals}
    config["data"] |= {"residuals": residuals, "n_estimated": 12}
    (folder / "residuals.yaml").write_text(yaml.safe_dump(config))
    done = rsa_faces("searchlight", folder / "residuals.yaml", "--out", tmp_path / "o", *FEW)
    assert done.exit_code == 0, done.output
    assert (tmp_path / "o" / "ceilings" / "volume.npz").is_file()
    maps = rf.mapping.SearchlightMap.load(tmp_path / "o" / "maps" / "sub-1.h5")
    expected = rf.searchlight(
        brain.imgs[1],
        mask_img=brain.mask_img,
        conditions=brain.conditions,
        models=brain.models,
        radius=6.0,
        measure="crossnobis",
        method="kendall",
        folds=brain.runs,
        noise="ledoit-wolf",
        residuals=left["sub-1"],
        n_estimated=12,
    )
    np.testing.assert_allclose(maps.similarity, expected.similarity[[0, 4]], atol=1e-12)
    refused = rsa_faces(
        "searchlight", folder / "residuals.yaml", "--out", tmp_path / "o", "--set", "noise=null"
    )
    assert refused.exit_code == 2
    assert "expected `noise` beside `residuals`" in sentence(refused)


def cortex_project(folder, n_subjects=4):
    """GIFTI and CIFTI of simulated subjects on two small sheets, with one model planted."""
    gifti = nibabel.gifti
    rng = np.random.default_rng(0)
    models = rf.datasets.simulated_layers(2, n_conditions=12)
    models.save(folder / "models.h5")
    pd.DataFrame({"condition": models.conditions}).to_csv(folder / "v.csv", index=False)
    x, y = np.meshgrid(np.arange(9), np.arange(9))
    corner = (np.arange(8)[:, None] * 9 + np.arange(8)).ravel()
    faces = np.r_[np.c_[corner, corner + 1, corner + 9], np.c_[corner + 1, corner + 9, corner + 10]]
    points = gifti.GiftiDataArray(
        np.c_[x.ravel(), y.ravel(), 0 * x.ravel()].astype(np.float32), "NIFTI_INTENT_POINTSET"
    )
    triangles = gifti.GiftiDataArray(faces.astype(np.int32), "NIFTI_INTENT_TRIANGLE")
    mesh = gifti.GiftiImage(darrays=[points, triangles])
    nibabel.save(mesh, folder / "sheet.surf.gii")
    features = np.linalg.cholesky(np.eye(12) * 1e-6 + _gram(models.matrices()[0]))
    inside = (np.hypot(x - 4, y - 4) <= 2).ravel()
    sides = {}
    for s in range(n_subjects):
        data = {side: rng.normal(size=(12, 81)).astype(np.float32) for side in ("left", "right")}
        data["right"][:, inside] += 2 * features @ rng.normal(size=(12, inside.sum()))
        sides[f"sub-{s}"] = data
        for side, rows in data.items():
            nibabel.save(
                gifti.GiftiImage(darrays=[gifti.GiftiDataArray(row) for row in rows]),
                folder / f"sub-{s}_{side}.func.gii",
            )
        axis = nibabel.cifti2.BrainModelAxis.from_surface(np.arange(81), 81, "cortex_left")
        axis += nibabel.cifti2.BrainModelAxis.from_surface(np.arange(81), 81, "cortex_right")
        rows = nibabel.cifti2.ScalarAxis([f"map {i}" for i in range(12)])
        both = np.hstack([data["left"], data["right"]])
        nibabel.save(
            nibabel.Cifti2Image(both, header=(rows, axis)), folder / f"sub-{s}.dscalar.nii"
        )
    return sides, models, inside


def _gram(distances):
    """Inner products of points with these squared distances."""
    centring = np.eye(len(distances)) - 1.0 / len(distances)
    gram = -0.5 * centring @ distances @ centring
    return gram / np.trace(gram) * len(gram)


def test_hemispheres_from_gifti_and_cifti_are_tested_together(tmp_path):
    sides, models, inside = cortex_project(tmp_path)
    data = {
        "subjects": {s: {k: f"{s}_{k}.func.gii" for k in ("left", "right")} for s in sides},
        "conditions": "v.csv",
        "mesh": {"left": "sheet.surf.gii", "right": "sheet.surf.gii"},
    }
    config = {
        "title": "simulated",
        "data": data,
        "models": [{"rdms": "models.h5"}],
        "radius": 1.5,
        "test": {"n_permutations": 99, "alpha": 0.07},
    }
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    done = rsa_faces("searchlight", tmp_path / "c.yaml", "--out", tmp_path / "o")
    assert done.exit_code == 0, done.output
    peaks = pd.read_csv(tmp_path / "o" / "peaks.csv")
    top = peaks[peaks["model"] == "simulated layer_1"].iloc[0]
    assert (top["part"], inside[int(top["vertex"])]) == ("right", True)
    surface = rf.brain.load_surface(tmp_path / "sheet.surf.gii")
    expected = {
        side: [
            rf.searchlight(
                rows[side], mesh=surface, conditions=models.conditions, models=models, radius=1.5
            )
            for rows in sides.values()
        ]
        for side in ("left", "right")
    }
    test = rf.mapping.group_test_parts(
        expected, model="simulated layer_1", tail="greater", n_permutations=99
    )
    p = nibabel.load(tmp_path / "o" / "tests" / "simulated-layer_1_p_left.shape.gii").agg_data()
    np.testing.assert_allclose(p, test["left"].p, rtol=1e-6)
    img = nibabel.load(tmp_path / "o" / "mean" / "similarity.dscalar.nii")
    means = np.hstack([np.mean([m.similarity for m in expected[k]], 0) for k in ("left", "right")])
    np.testing.assert_allclose(img.get_fdata(), means, atol=1e-6)
    for name in ("simulated-layer_1_left", "best_model_right", "noise_ceiling_left"):
        for suffix in ("png", "html"):
            assert (tmp_path / "o" / "figures" / f"{name}.{suffix}").is_file()
    config["data"]["subjects"] = {s: f"{s}.dscalar.nii" for s in sides}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    done = rsa_faces(
        "searchlight",
        tmp_path / "c.yaml",
        "--out",
        tmp_path / "o2",
        "--set",
        "models.0.select.name=simulated layer_1",
    )
    assert done.exit_code == 0, done.output
    own = peaks[peaks["model"] == "simulated layer_1"]
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "o2" / "peaks.csv"), own)
    del config["data"]["mesh"]["right"]
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    refused = rsa_faces("searchlight", tmp_path / "c.yaml", "--out", tmp_path / "o3")
    assert refused.exit_code == 2
    assert "expected the mesh of the right hemisphere, got 'left'" in sentence(refused)


@pytest.mark.filterwarnings("ignore")
def test_bids_goes_through_the_glm(tmp_path):
    for i, subject in enumerate(("01", "02")):
        write_bids(tmp_path / "study", subject, seed=i, conditions=("a", "b", "c", "d"), reps=2)
    rng = np.random.default_rng(0)
    model = rf.RDMs(rng.random(6), list("abcd"), "simulated", {"name": ["a model"]})
    model.save(tmp_path / "models.h5")
    bids = {
        "root": "study",
        "task": "faces",
        "subjects": ["01", "02"],
        "derivatives": "derivatives/fmriprep",
        "noise_model": "ols",
        "confounds": {"strategy": ["motion"], "motion": "basic"},
    }
    config = {
        "title": "simulated",
        "data": {"bids": bids},
        "models": [{"rdms": "models.h5"}],
        "radius": 4.0,
        "measure": "crossnobis",
        "method": "cosine",
        "noise": "ledoit-wolf",
        "test": {"n_permutations": 99, "statistic": "max"},
    }
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    done = rsa_faces("searchlight", tmp_path / "c.yaml", "--out", tmp_path / "o")
    assert done.exit_code == 0, done.output
    assert "voxels in the brain masks of all subjects" in sentence(done)
    patterns = rf.brain.bids_patterns(
        tmp_path / "study",
        task="faces",
        subject="02",
        derivatives="derivatives/fmriprep",
        noise_model="ols",
        confounds={"strategy": ("motion",), "motion": "basic"},
    )
    left = {fold: patterns.to_img(rows) for fold, rows in patterns.residuals.items()}
    assert min(patterns.n_estimated.values()) > 4

    def expected(noise_from):
        return rf.searchlight(
            patterns.to_img(),
            mask_img=patterns.space.to_img(),
            conditions=patterns.conditions,
            folds=patterns.folds,
            models=model,
            radius=4.0,
            measure="crossnobis",
            method="cosine",
            noise="ledoit-wolf",
            noise_from=noise_from,
            residuals=left,
            n_estimated=patterns.n_estimated,
        ).similarity

    got = rf.mapping.SearchlightMap.load(tmp_path / "o" / "maps" / "02.h5")
    np.testing.assert_allclose(got.similarity, expected("all"), atol=1e-9)
    done = rsa_faces(
        "searchlight", tmp_path / "c.yaml", "--out", tmp_path / "f", "--set", "noise_from=fold"
    )
    assert done.exit_code == 0, done.output
    by_fold = rf.mapping.SearchlightMap.load(tmp_path / "f" / "maps" / "02.h5")
    np.testing.assert_allclose(by_fold.similarity, expected("fold"), atol=1e-9)
    assert np.nanmax(np.abs(by_fold.similarity - got.similarity)) > 1e-3
    done = rsa_faces("searchlight", tmp_path / "c.yaml", "--out", tmp_path / "o")
    assert json.loads((tmp_path / "o" / "provenance.json").read_text())["steps_reused"] == [
        "betas 01",
        "betas 02",
        "map 01",
        "map 02",
        "ceilings volume",
    ]
    refused = rsa_faces(
        "searchlight",
        tmp_path / "c.yaml",
        "--out",
        tmp_path / "h",
        "--set",
        "data.bids.task=houses",
    )
    assert refused.exit_code == 2
    assert "task 'houses'" in sentence(refused)


def test_one_subject_has_a_map_and_no_test(project, tmp_path):
    folder, _ = project
    config = yaml.safe_load((folder / "c.yaml").read_text())
    config["data"]["subjects"] = {"sub-0": "sub-0.nii.gz"}
    (folder / "one.yaml").write_text(yaml.safe_dump(config))
    done = rsa_faces("searchlight", folder / "one.yaml", "--out", tmp_path / "o", *FEW)
    assert done.exit_code == 0, done.output
    peaks = pd.read_csv(tmp_path / "o" / "peaks.csv")
    assert "p" not in peaks
    assert not (tmp_path / "o" / "tests").exists()


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        (["radius=-1"], "radius: input should be greater than 0"),
        (["radios=8"], "unknown key 'radios'. Did you mean 'radius'"),
        (["method=spaerman"], "unknown comparison method 'spaerman'. Did you mean 'spearman'"),
        (["data.mask=nothing.nii.gz"], "data.mask: expected an image file as the mask"),
        (["data.conditions=c.yaml"], "expected the column 'condition'"),
        (["networks=[pixels]"], "expected `stimuli` for the networks to look at"),
        (["measure=mahalanobis"], "noise"),
        (["data.anatomy=nothing.nii"], "data.anatomy: expected an image file as the anatomy"),
        (["measure=crossnobis", "noise=ledoit-wolf"], "data, subject 'sub-0': expected repeats"),
    ],
)
def test_wrong_input_is_one_sentence(project, tmp_path, settings, match):
    arguments = [part for setting in settings for part in ("--set", setting)]
    done = run(project, "--out", tmp_path / "o", *arguments)
    assert done.exit_code == 2, done.output
    assert match in sentence(done)
    assert not (tmp_path / "o").exists()  # known before the folder was claimed


def test_conditions_that_models_do_not_have_are_named(project, tmp_path):
    folder, _ = project
    table = pd.read_csv(folder / "volumes.csv").replace("simulated 01", "simulated XX")
    table.to_csv(folder / "other.csv", index=False)
    done = run(project, "--out", tmp_path / "o", "--set", "data.conditions=other.csv")
    assert done.exit_code == 2
    assert "simulated XX" in sentence(done)
    assert not (tmp_path / "o").exists()


def test_planted_layers_are_found_on_the_simulated_cortex():
    config = SearchlightConfig.read(CONFIG.with_name("surface.yaml"))
    cortex = rf.datasets.simulated_cortex(n_subjects=3)
    assert repr(cortex).startswith("SimulatedCortex(3 subjects, 24 conditions")
    meshes = {side: rf.brain.fsaverage(side) for side in ("left", "right")}
    maps = {side: [] for side in meshes}
    for sides in cortex.imgs:
        for side, part in rf.mapping.image_parts(sides, meshes=meshes).items():
            maps[side].append(
                rf.searchlight(
                    **part, conditions=cortex.conditions, models=cortex.models, radius=config.radius
                )
            )
    assert list(cortex.regions["hemisphere"]) == ["left", "right", "right"]
    for row in cortex.regions.itertuples():
        best = rf.mapping.best_model_map(maps[row.hemisphere])
        where = cortex.truth[row.hemisphere] == best.names.index(row.model)
        assert where.sum() == row.n_vertices
        assert (best.index[where] == best.names.index(row.model)).mean() > 0.9
        assert np.nanargmax(
            rf.mapping.mean_map(maps[row.hemisphere]).similarity[best.names.index(row.model)]
        ) in np.flatnonzero(where)
    # Far from all regions nothing is similar on average.
    far = np.linalg.norm(meshes["left"].vertices - meshes["left"].vertices[8555], axis=1) > 40
    mean = rf.mapping.mean_map(maps["left"]).similarity[:, far]
    assert np.abs(mean.mean(axis=1)).max() < 0.02
    with pytest.raises(InputError, match="overlaps with another"):
        rf.datasets.simulated_cortex(
            n_subjects=1,
            planted={"simulated layer_1": ("left", 5), "simulated layer_2": ("left", 5)},
        )
    with pytest.raises(InputError, match="a vertex from 0 to 10241, got 20000"):
        rf.datasets.simulated_cortex(n_subjects=1, planted={"simulated layer_1": ("left", 20000)})
    with pytest.raises(InputError, match="Did you mean 'left'"):
        rf.datasets.simulated_cortex(n_subjects=1, planted={"simulated layer_1": ("lefft", 2)})
    with pytest.raises(InputError, match="Did you mean 'simulated layer_1'"):
        rf.datasets.simulated_cortex(n_subjects=1, planted={"simulated layer1": ("left", 2)})


@pytest.mark.slow
def test_the_example_shows_planted_layers_in_their_places(tmp_path):
    done = rsa_faces(
        "searchlight", CONFIG, "--out", tmp_path / "o", "--set", "test.n_permutations=199"
    )
    assert done.exit_code == 0, done.output
    assert "these brains are simulated" in sentence(done)
    brain = simulated_brain()
    peaks = pd.read_csv(tmp_path / "o" / "peaks.csv")
    assert len(brain.regions) == 3
    for row in brain.regions.itertuples():
        top = peaks[peaks["model"] == row.model].iloc[0]
        assert np.linalg.norm(top[["x", "y", "z"]] - [row.x, row.y, row.z]) <= 5
        assert top["p"] < 0.01
    best = nibabel.load(tmp_path / "o" / "best_model.nii.gz").get_fdata()
    for row in brain.regions.itertuples():
        number = list(brain.models.labels["name"]).index(row.model)
        assert best[row.i, row.j, row.k] == number + 1  # 0 is outside


@pytest.mark.parametrize(
    ("name", "text", "folds"),
    [
        ("v.csv", "condition\nA\nNA\n", None),
        ("v.tsv", "fold\tcondition\n1\tA\n2\tNA\n", "12"),
        ("v.txt", "condition,fold\nA,1\nNA,2\n", "12"),
    ],
)
def test_tables_of_volumes_are_read_as_written(tmp_path, name, text, folds):
    (tmp_path / name).write_text(text)
    table = read_volumes(tmp_path / name)
    assert list(table["condition"]) == ["A", "NA"]
    assert ("fold" in table) == (folds is not None)
    assert folds is None or "".join(table["fold"]) == folds


@pytest.mark.parametrize(
    ("name", "text", "match"),
    [
        ("v.csv", "condition,fold\nA,1\nB,\n", "'fold'.*line 3 has none"),
        ("v.csv", "name\nA\n", "the column 'condition'.*got 'name'"),
    ],
)
def test_tables_of_volumes_are_checked(tmp_path, name, text, match):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=match):
        read_volumes(tmp_path / name)


def test_runs_of_stimuli_are_a_column_of_their_table(project, tmp_path):
    folder, brain = project
    (tmp_path / "faces").mkdir()
    for name in set(brain.conditions):
        Image.fromarray(np.full((8, 8, 3), 99, np.uint8)).save(tmp_path / "faces" / f"{name}.png")
    names = sorted(set(brain.conditions))
    run_of = {name: f"run {i % 2}" for i, name in enumerate(names)}
    table = pd.DataFrame({"file": [f"{n}.png" for n in names], "run": list(run_of.values())})
    table.to_csv(tmp_path / "faces.csv", index=False)
    stimuli = f"stimuli={{folder: {tmp_path}/faces, manifest: {tmp_path}/faces.csv}}"
    wrong = run(project, "--out", tmp_path / "o", "--set", stimuli, "--set", "blocks=runn", *FEW)
    assert wrong.exit_code == 2
    assert "Did you mean 'run'" in sentence(wrong)
    assert not (tmp_path / "o").exists()
    done = run(project, "--out", tmp_path / "o", "--set", stimuli, "--set", "blocks=run", *FEW)
    assert done.exit_code == 0, done.output
    maps = rf.mapping.SearchlightMap.load(tmp_path / "o" / "maps" / "sub-2.h5")
    models = brain.models.sel(name=["simulated layer_1", "simulated layer_5"])
    of = {"mask_img": brain.mask_img, "conditions": brain.conditions, "models": models}
    expected = rf.searchlight(brain.imgs[2], **of, radius=6.0, blocks=run_of)
    np.testing.assert_allclose(maps.similarity, expected.similarity, atol=1e-12)
    whole = rf.searchlight(brain.imgs[2], **of, radius=6.0)
    assert np.nanmax(abs(maps.similarity - whole.similarity)) > 0.05


def test_the_methods_say_how_rdms_of_layers_are_made():
    run = SimpleNamespace(
        networks=SimpleNamespace(entries=["sface"], layers={"sface": ["fc"]}),
        stimuli=SimpleNamespace(ids=range(12)),
        brains=SimpleNamespace(models=None),
        config=SimpleNamespace(models=[]),
    )
    said = " (of sface (1 layer), shown 12 stimuli, by 1 − Pearson correlation)"
    assert outputs._models(run) == said
