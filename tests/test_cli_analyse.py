"""`rsa-faces analyse`: questions of a configuration become tables and figures."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from test_cli import rsa_faces, sentence

import rsa_faces as rf
from rsa_faces import analyses
from rsa_faces.analyses import congruence, readout
from rsa_faces.runs.analyse.config import AnalysesConfig
from rsa_faces.runs.analyse.run import AnalyseRun
from rsa_faces.runs.analyse.run import _stimuli as selected_stimuli

PEOPLE, EXPRESSIONS = 8, ("happy", "sad", "angry")
ANALYSES = [
    {"analysis": "readout", "labels": "expression", "across": "identity", "n_permutations": 19},
    {
        "analysis": "transfer",
        "n_permutations": 19,
        "tasks": {
            "identity": {"labels": "identity", "across": "expression", "people": "identity"},
            "expression": {"labels": "expression", "across": "identity"},
        },
    },
    {"analysis": "congruence", "first": "identity", "second": "expression", "n_permutations": 19},
    {
        "analysis": "groups",
        "groups": "gender",
        "people": "identity",
        "n_permutations": 19,
        "fmr": 0.1,
    },
]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Simulated pictures: the upper half tells who it is, the lower half the expression."""
    folder = tmp_path_factory.mktemp("faces")
    rng = np.random.default_rng(0)
    (folder / "faces").mkdir()
    upper = rng.integers(40, 216, (PEOPLE, 4, 8))
    lower = rng.integers(40, 216, (len(EXPRESSIONS), 4, 8))
    rows = []
    for i in range(PEOPLE):
        for j, expression in enumerate(EXPRESSIONS):
            cells = np.vstack([upper[i], lower[j]]) + rng.integers(-20, 20, (8, 8))
            name = f"{i}-{expression}.png"
            image = np.kron(cells, np.ones((4, 4))).clip(0, 255).astype(np.uint8)
            Image.fromarray(image).convert("RGB").save(folder / "faces" / name)
            rows.append([name, f"p{i}", expression, "female" if i % 2 else "male"])
    columns = ["file", "identity", "expression", "gender"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "faces.csv", index=False)
    config = {
        "title": "simulated",
        "stimuli": {"folder": "faces", "manifest": "faces.csv"},
        "networks": ["pixels", "gabor-v1"],
        "analyses": ANALYSES,
    }
    (folder / "c.yaml").write_text(yaml.safe_dump(config))
    return folder


def test_tables_are_those_of_the_functions(project, tmp_path):
    done = rsa_faces("analyse", project / "c.yaml", "--out", tmp_path / "o", "--device", "cpu")
    assert done.exit_code == 0, done.output
    assert "readout of expression across identity" in done.output
    assert "it must not be used to assign anyone to a group" in " ".join(done.output.split())
    stimuli = rf.load_stimuli(project / "faces", manifest=project / "faces.csv")
    labels = stimuli.metadata
    acts = rf.extract(rf.load_network("gabor-v1", device="cpu"), stimuli)
    found = pd.read_csv(tmp_path / "o" / "1-readout-of-expression-across-identity.csv")
    expected = readout(
        acts,
        labels["expression"],
        across=labels["identity"],
        people=labels["identity"],
        n_permutations=19,
        task="expression across identity",
    ).table
    assert (expected["n_people"] == PEOPLE).all()
    ours = found[found["network"] == "gabor-v1"].reset_index(drop=True)
    # Beside the function's columns the best layer in folds that did not choose it.
    assert [c for c in ours if c not in expected] == [c for c in ours if c.startswith("held_out")]
    assert ours["held_out"].nunique() == 1
    same(ours, expected)
    assert (found["accuracy"] > 0.9).all()  # planted in the lower half
    found = pd.read_csv(tmp_path / "o" / "3-congruence-of-identity-and-expression.csv")
    expected = congruence(
        acts,
        labels["identity"],
        labels["expression"],
        n_permutations=19,
        names=("identity", "expression"),
    ).table
    ours = found[found["network"] == "gabor-v1"].reset_index(drop=True)
    pd.testing.assert_frame_equal(ours, expected, check_dtype=False, atol=1e-12)
    transfer = pd.read_csv(tmp_path / "o" / "2-transfer.csv")
    assert list(transfer["trained"]) == ["pixels"] * 2 + ["gabor-v1"] * 2
    groups = pd.read_csv(tmp_path / "o" / "4-groups-by-gender.csv")
    assert len(groups) == 2 * 4
    for stem in ("2-transfer", "4-groups-by-gender"):
        for suffix in ("svg", "pdf", "png"):
            assert (tmp_path / "o" / "figures" / f"{stem}.{suffix}").stat().st_size > 1000
    record = json.loads((tmp_path / "o" / "provenance.json").read_text())
    assert record["stimuli_sha256"] == stimuli.hash
    assert set(record["weights_sha256"]) == {"pixels", "gabor-v1"}


def drawn_small(figure, path):
    """Draw once, in few pixels; the first test of this file looks at files as they are made."""
    figure.savefig(f"{path}.png", dpi=40)
    for suffix in ("svg", "pdf"):
        shutil.copy(f"{path}.png", f"{path}.{suffix}")


def asked(project, tmp_path, *entries, networks=("pixels", "gabor-v1"), **changes):
    """Run some questions; tables and names of figures by number."""
    raw = yaml.safe_load((project / "c.yaml").read_text())
    raw |= {"networks": list(networks), "analyses": list(entries)} | changes
    path = project / f"{tmp_path.name}.yaml"
    path.write_text(yaml.safe_dump(raw))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rf.figures, "save_figure", drawn_small)
        config = AnalysesConfig.read(path)
        output = AnalyseRun(config, tmp_path / "o", device="cpu", fresh=True).run()
    assert all(path.stat().st_size > 1000 for path in output.figures)
    stems = [path.stem for path in output.figures]
    numbers = [name.partition("-")[0] for name in output.tables]
    figures = [[stem for stem in stems if stem.partition("-")[0] == n] for n in numbers]
    return list(output.tables.values()), figures


def acts(project, name="gabor-v1"):
    stimuli = rf.load_stimuli(project / "faces", manifest=project / "faces.csv")
    return stimuli.metadata, rf.extract(rf.load_network(name, device="cpu"), stimuli)


def same(found, expected):
    expected = expected.reset_index(drop=True)
    found = found[expected.columns].reset_index(drop=True)
    pd.testing.assert_frame_equal(found, expected, check_dtype=False, atol=1e-12)


def test_maps_agreement_and_choice_of_stimuli_are_those_of_the_functions(project, tmp_path):
    (maps, agree, chosen), figures = asked(
        project,
        tmp_path,
        {
            "analysis": "map",
            "people": "identity",
            "target": "gabor-v1",
            "n_pairs": [8],
            "n_draws": 2,
        },
        {"analysis": "agreement", "methods": ["spearman"], "n_boot": 99, "n_permutations": 99},
        {"analysis": "stimuli", "n": 6},
    )
    labels, gabor = acts(project)
    _, pixels = acts(project, "pixels")
    expected = analyses.embedding_map(
        pixels, gabor, labels["identity"], n_pairs=[8], n_draws=2, progress=False
    )
    same(maps, expected.table)
    assert set(maps["source_network"]) == {"pixels"}
    expected = analyses.layer_agreement(
        pixels,
        gabor,
        people=labels["identity"],
        methods=["spearman"],
        n_boot=99,
        n_permutations=99,
        progress=False,
    )
    same(agree, expected.table)
    assert figures == [["1-map"], ["2-agreement-pixels-and-gabor-v1"], ["3-stimuli"]]
    assert chosen["stimulus"].is_unique
    assert len(chosen) == 6
    assert set(chosen["identity"]) <= set(labels["identity"])


def test_robustness_and_topography_are_those_of_the_functions(project, tmp_path):
    (robust, central), figures = asked(
        project,
        tmp_path,
        {
            "analysis": "robustness",
            "people": "identity",
            "degradations": ["blur"],
            "strengths": [1, 5],
        },
        {"analysis": "topography", "n_units": 3},
        networks=["mini-xception"],
    )
    stimuli = rf.load_stimuli(project / "faces", manifest=project / "faces.csv")
    network = rf.load_network("mini-xception", device="cpu")
    last = list(network.layers())[-1]
    expected = analyses.robustness(
        network,
        stimuli,
        layers=last,
        identity=stimuli.metadata["identity"],
        degradations=["blur"],
        strengths=[1, 5],
        progress=False,
    )
    same(robust, expected.table.drop(columns="unit"))
    expected = analyses.central_bias(network, n_units=3, progress=False)
    pd.testing.assert_frame_equal(central, expected, check_dtype=False, atol=1e-6)
    assert figures == [["1-robustness-RDMs", "1-robustness-recognition"], ["2-topography"]]


def test_groups_of_people_are_asked_of_the_functions(project, tmp_path):
    (parts, scores), figures = asked(
        project,
        tmp_path,
        {
            "analysis": "components",
            "groups": ["gender"],
            "people": "identity",
            "n_components": 3,
            "n_permutations": 99,
        },
        {"analysis": "scores", "groups": "gender", "people": "identity", "n_permutations": 99},
    )
    labels, gabor = acts(project)
    options = {"people": labels["identity"], "n_permutations": 99}
    given = analyses.similarity_scores(gabor)
    expected = analyses.group_components(given, labels[["gender"]], n_components=3, **options)
    same(parts[parts["network"] == "gabor-v1"], expected.table)
    expected = analyses.score_distributions(given, labels["gender"], **options)
    ours = scores[scores["network"] == "gabor-v1"].fillna({"group_a": "", "group_b": ""})
    same(ours, expected.table)
    assert (ours["p"] == expected.summary["p"][0]).all()
    assert figures == [
        ["1-components-pixels-by-gender", "1-components-gabor-v1-by-gender"],
        ["2-scores-by-gender-pixels", "2-scores-by-gender-gabor-v1"],
    ]


def test_confidence_is_that_of_the_function(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "faces").mkdir()
    rows = []
    for i in range(16):
        face = rng.integers(40, 200, (8, 8, 3))
        for k in "ab":
            image = np.kron(face + rng.integers(-20, 20, face.shape), np.ones((4, 4, 1)))
            Image.fromarray(image.astype(np.uint8)).save(tmp_path / "faces" / f"{i}{k}.png")
            rows.append([f"{i}{k}.png", f"p{i}", "female" if i % 2 else "male"])
    table = pd.DataFrame(rows, columns=["file", "identity", "gender"])
    table.to_csv(tmp_path / "faces.csv", index=False)
    options = {"degradations": ["jpeg"], "strengths": [5], "n_variants": 1, "alpha": 0.2}
    config = {
        "title": "simulated",
        "stimuli": {"folder": "faces", "manifest": "faces.csv"},
        "networks": ["mini-xception"],
        "analyses": [
            {"analysis": "confidence", "people": "identity", "groups": "gender", **options}
        ],
    }
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    config = AnalysesConfig.read(tmp_path / "c.yaml")
    output = AnalyseRun(config, tmp_path / "o", device="cpu").run()
    (found,), figures = output.tables.values(), output.figures
    assert analyses.SELF_REPORT in output.notes
    stimuli = rf.load_stimuli(tmp_path / "faces", manifest=tmp_path / "faces.csv")
    expected = analyses.check_confidence(
        rf.load_network("mini-xception", device="cpu"),
        stimuli,
        stimuli.metadata["identity"],
        groups=stimuli.metadata["gender"],
        progress=False,
        **options,
    )
    pd.testing.assert_frame_equal(
        found[expected.table.columns], expected.table, check_dtype=False, atol=1e-6
    )
    assert [p.stem for p in figures] == [
        "1-confidence-flags-of-mini-xception",
        "1-confidence-stability-of-mini-xception",
    ]


def test_topography_of_data(project, tmp_path):
    stimuli = rf.load_stimuli(project / "faces", manifest=project / "faces.csv")
    rng = np.random.default_rng(0)
    parts = [
        rf.compute_rdms(rng.normal(size=(len(stimuli.ids), 9)), conditions=stimuli.ids).with_labels(
            subject=f"s{i}", region="FFA"
        )
        for i in range(6)
    ]
    rf.rdm.concat(parts).save(project / "ffa.h5")
    (found,), figures = asked(
        project,
        tmp_path,
        {"analysis": "topography", "rdms": "ffa.h5", "generalise_to": "subjects"},
        networks=[{"name": "mini-xception", "layers": ["conv1", "block2"]}],
    )
    assert found["layer"].tolist() == ["conv1", "block2"]
    assert {"central", "peripheral", "difference", "p"} <= set(found)
    assert figures == [["1-topography-mini-xception"]]


@pytest.fixture(scope="module")
def known(project):
    """What is known of the people in the pictures: landmarks, ratings, ties, membership."""
    table = pd.read_csv(project / "faces.csv")
    rng = np.random.default_rng(1)
    points = rng.normal(size=(len(table), 12, 2)) + rng.uniform(6, 25, (12, 2))
    np.savez(project / "points.npz", files=table["file"].to_numpy(str), points=points)
    people = [f"p{i}" for i in range(PEOPLE)]
    pd.DataFrame({"a": people[:-1], "b": people[1:]}).to_csv(project / "ties.csv", index=False)
    table["warm"] = rng.normal(size=len(table))
    table["age"] = rng.uniform(20, 60, len(table))
    table["member"] = table["identity"].isin(people[:4])
    table.to_csv(project / "known.csv", index=False)
    return {"stimuli": {"folder": "faces", "manifest": "known.csv"}}


def test_what_is_known_of_people_is_asked_of_the_functions(project, known, tmp_path):
    (space, traits, members), figures = asked(
        project,
        tmp_path,
        {"analysis": "face space", "landmarks": "points.npz", "n_shape": 4, "n_appearance": 4},
        {
            "analysis": "traits",
            "ratings": ["warm"],
            "across": "identity",
            "baseline": ["age"],
            "n_permutations": 19,
        },
        {"analysis": "membership", "members": "member", "people": "identity", "n_permutations": 99},
        **known,
    )
    table = pd.read_csv(project / "known.csv")
    table.index = table["file"].str.removesuffix(".png")
    _, gabor = acts(project)
    stimuli = rf.load_stimuli(project / "faces", manifest=project / "known.csv")
    points = analyses.read_landmarks(project / "points.npz")
    expected = analyses.face_space(stimuli, points, n_shape=4, n_appearance=4, progress=False)
    pd.testing.assert_frame_equal(space, expected.components, check_dtype=False, atol=1e-9)
    x = {
        name: pd.DataFrame(np.asarray(a[list(a)[-1]]).reshape(len(a.conditions), -1), a.conditions)
        for name, a in (("pixels", acts(project, "pixels")[1]), ("gabor-v1", gabor))
    }
    expected = analyses.trait_readout(
        x,
        table[["warm"]],
        across=table["identity"],
        baseline=table[["age"]],
        n_permutations=19,
        progress=False,
    )
    same(traits, expected.table)
    expected = analyses.membership(
        analyses.similarity_scores(gabor),
        table["member"],
        people=table["identity"],
        n_permutations=99,
    )
    same(members[members["network"] == "gabor-v1"], expected.table)
    assert figures[1:] == [
        ["2-traits", "2-traits-specificity-of-pixels", "2-traits-specificity-of-gabor-v1"],
        ["3-membership-pixels", "3-membership-gabor-v1"],
    ]


def test_homophily_takes_one_image_of_each_person(project, known, tmp_path):
    entry = {
        "analysis": "homophily",
        "ties": "ties.csv",
        "people": "identity",
        "controls": ["gender"],
        "n_permutations": 99,
    }
    with pytest.raises(rf.InputError, match="'p0' has several: choose one with `select`"):
        asked(project, tmp_path, entry, **known)
    (found,), _ = asked(project, tmp_path, entry, select={"expression": "sad"}, **known)
    labels, gabor = acts(project)
    keep = labels["expression"] == "sad"
    names = [str(name) for name in labels["identity"][keep]]
    scores = analyses.similarity_scores(gabor)
    scores = scores.loc[list(labels.index[keep]), list(labels.index[keep])]
    ties = pd.DataFrame(0, names, names)
    for i in range(PEOPLE - 1):
        ties.loc[f"p{i}", f"p{i + 1}"] = ties.loc[f"p{i + 1}", f"p{i}"] = 1
    expected = analyses.homophily(
        ties,
        scores.set_axis(names).set_axis(names, axis=1),
        n_permutations=99,
        controls=labels.loc[keep, ["gender"]].set_axis(names),
    )
    same(found[found["network"] == "gabor-v1"], expected.table)
    for text, words in (
        ("a,b\np0,nobody\n", "1 are not there, such as 'nobody'"),
        ("from,to\np0,p1\n", "expected the column 'a'.*got 'from'"),
    ):
        (project / "wrong.csv").write_text(text)
        with pytest.raises(rf.InputError, match=words):
            asked(
                project,
                tmp_path,
                entry | {"ties": "wrong.csv"},
                select={"expression": "sad"},
                **known,
            )


def test_landmarks_are_read_out(project, known, tmp_path):
    rng = np.random.default_rng(2)
    table = pd.read_csv(project / "known.csv")
    points = rng.normal(size=(len(table), 189, 2)) + 9 * rng.normal(size=(189, 2)) + 16
    np.savez(project / "many.npz", files=table["file"].to_numpy(str), points=points)
    (found,), figures = asked(
        project,
        tmp_path,
        {
            "analysis": "landmarks",
            "landmarks": "many.npz",
            "across": "identity",
            "n_permutations": 19,
        },
        networks=["pixels"],
        **known,
    )
    _, pixels = acts(project, "pixels")
    given = analyses.read_landmarks(project / "many.npz")
    expected = analyses.landmark_readout(
        pixels,
        analyses.measure_landmarks(given),
        across=dict(zip(table["file"].str.removesuffix(".png"), table["identity"], strict=True)),
        baseline=analyses.face_size(given)[["size"]],
        n_permutations=19,
        progress=False,
    )
    same(found, expected.table)
    assert figures == [["1-landmarks-pixels"]]


def test_what_is_done_is_not_done_again(project, tmp_path):
    config = AnalysesConfig.read(project / "c.yaml", ["networks=[pixels]"])
    first = AnalyseRun(config, tmp_path / "o", device="cpu").run()
    before = {p.name: p.read_bytes() for p in first.folder.glob("*.csv")}
    done = rsa_faces(
        "analyse",
        project / "c.yaml",
        "--set",
        "networks=[pixels]",
        "--json",
        "--out",
        tmp_path / "o",
        "--device",
        "cpu",
    )
    assert done.exit_code == 0, done.output
    assert list(json.loads(done.stdout)["tables"]) == list(first.tables)
    record = json.loads((tmp_path / "o" / "provenance.json").read_text())
    assert len(record["steps_reused"]) == len(first.tables)
    assert {p.name: p.read_bytes() for p in first.folder.glob("*.csv")} == before
    # Other labels are another configuration.
    table = pd.read_csv(project / "faces.csv")
    table["expression"] = table["expression"].replace("sad", "afraid")
    table.to_csv(project / "other.csv", index=False)
    changed = AnalysesConfig.read(
        project / "c.yaml", ["networks=[pixels]", f"stimuli.manifest={project / 'other.csv'}"]
    )
    with pytest.raises(rf.InputError, match="differs in stimuli"):
        AnalyseRun(changed, tmp_path / "o", device="cpu").run()
    AnalyseRun(changed, tmp_path / "o", device="cpu", fresh=True).run()
    record = json.loads((tmp_path / "o" / "provenance.json").read_text())
    assert record["steps_reused"] == []


@pytest.mark.parametrize("nested", [False, True])
def test_names_of_kdef_are_read_and_some_are_selected(tmp_path, nested):
    rng = np.random.default_rng(0)
    (tmp_path / "KDEF").mkdir()
    for person in ("F01", "F02", "M01", "M02"):
        for expression in ("AN", "HA"):
            for view in ("S", "HL"):
                image = rng.integers(0, 255, (16, 16, 3)).astype(np.uint8)
                folder = tmp_path / "KDEF" / (f"A{person}" if nested else "")
                folder.mkdir(exist_ok=True)
                Image.fromarray(image).save(folder / f"A{person}{expression}{view}.JPG")
    config = {
        "title": "simulated",
        "stimuli": {"folder": "KDEF"},
        "labels": "kdef",
        "select": {"view": 0},
        "networks": ["pixels"],
        "analyses": [
            {
                "analysis": "readout",
                "labels": "expression",
                "across": "identity",
                "n_permutations": 19,
            }
        ],
    }
    (tmp_path / "k.yaml").write_text(yaml.safe_dump(config))
    config = AnalysesConfig.read(tmp_path / "k.yaml")
    output = AnalyseRun(config, tmp_path / "o", device="cpu").run()
    (table,) = output.tables.values()
    assert (table["n_conditions"] == 8).all()
    assert (table["n_classes"] == 2).all()


def test_stimuli_are_selected_by_an_expression(tmp_path):
    (tmp_path / "faces").mkdir()
    rows = ["file,age"]
    for k, age in enumerate(["18", "", "40"]):
        Image.new("RGB", (8, 8), (k, 0, 0)).save(tmp_path / "faces" / f"{k}.png")
        rows.append(f"{k}.png,{age}")
    (tmp_path / "faces.csv").write_text("\n".join(rows))
    config = AnalysesConfig(
        title="ages",
        stimuli={"folder": tmp_path / "faces", "manifest": tmp_path / "faces.csv"},
        select="age > 0",
        networks=["pixels"],
        analyses=[{"analysis": "readout", "labels": "age"}],
    )
    assert selected_stimuli(config)[0].ids == ("0", "2")
    with pytest.raises(rf.InputError, match="but none has all of these"):
        selected_stimuli(config.model_copy(update={"select": "age > 99"}))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["analyses.0.labels=expresion"], "unknown column for `labels` 'expresion'"),
        (["analyses.3.groups=age"], "unknown column for `groups` 'age'"),
        (["analyses.0.analysis=regress"], "regress"),
        (["select={gender: other}"], "none has all of these"),
        (["select={sex: male}"], "unknown column of `select` 'sex'"),
        (["networks=[pixels, pixels]"], "each network once"),
        (["analyses.3.layer=conv9"], "unknown layer of pixels: 'conv9'"),
        (["analyses.3.layer={pixels: image}"], "`layer` for the networks pixels, gabor-v1"),
        (["labels=kdef"], "KDEF"),
        (["analyses.0={analysis: robustness, degradations: [fog]}"], "unknown degradation 'fog'"),
        (["networks=[pixels]", "analyses.0={analysis: map, people: identity}"], "2 networks"),
        (["analyses.0={analysis: map, people: identity, target: x}"], "among the networks"),
        (["analyses.0={analysis: traits, ratings: [gender]}"], "expected numbers in column"),
        (["analyses.0.values=number"], "expected numbers in column 'expression' for `labels`"),
        (["select={expression: sad}"], "2 values in column 'expression' for `labels`, but all"),
        (["analyses.0={analysis: readout, labels: identity, across: gender}"], "for `across`"),
        (["analyses.1.tasks.identity.across=gender"], "tasks.identity: expected every class"),
        (["analyses.0.within=expression"], "Leave out of `within` what goes with the labels"),
        (["analyses.3.groups=expression"], "one value of column 'expression' for `groups` per"),
        (["analyses.0={analysis: membership, members: expression}"], "for `members` per person"),
        (["analyses.0={analysis: encoding, responses: r.csv, beside: [x]}"], "for `beside` 'x'"),
    ],
)
def test_wrong_input_is_one_sentence_before_networks_see_anything(
    project, tmp_path, settings, words
):
    responses = pd.read_csv(project / "faces.csv")[["file"]].assign(cell=np.arange(24.0))
    responses["stimulus"] = responses.pop("file").str.removesuffix(".png")
    responses.to_csv(project / "r.csv", index=False)
    options = [part for setting in settings for part in ("--set", setting)]
    done = rsa_faces("analyse", project / "c.yaml", "--out", tmp_path / "o", *options)
    assert done.exit_code == 2
    assert words in sentence(done)
    assert not (tmp_path / "o" / "activations").exists()


def test_people_are_filled_in_and_a_plan_says_so(project, tmp_path):
    question = "analyses=[{analysis: congruence, first: gender, second: expression}]"
    options = ["--set", question, "--out", tmp_path / "o", "--device", "cpu"]
    done = rsa_faces("analyse", project / "c.yaml", *options, "--plan", "--json")
    assert done.exit_code == 0, done.output
    assert "the column 'identity' tells which images show the same person" in done.output
    config = AnalysesConfig.read(project / "c.yaml", [question])
    run = AnalyseRun(config, tmp_path / "o", "cpu")
    run.check()
    assert run.questions[0].across == "identity"


def test_repeated_people_are_refused_where_each_has_to_have_one_image(project, tmp_path):
    question = "analyses=[{analysis: averageness, landmarks: p.npz, ratings: [age]}]"
    table = pd.read_csv(project / "faces.csv").assign(age=np.arange(24.0))
    table.to_csv(project / "ages.csv", index=False)
    np.savez(project / "p.npz", files=table["file"].to_numpy(str), points=np.zeros((24, 5, 2)))
    options = ["--set", question, "--set", "stimuli.manifest=ages.csv", "--out", tmp_path / "o"]
    done = rsa_faces("analyse", project / "c.yaml", *options)
    assert done.exit_code == 2
    assert "one image of each person, but column 'identity' has 8 people" in sentence(done)


def test_an_empty_label_is_named(project, tmp_path):
    table = pd.read_csv(project / "faces.csv")
    table.loc[3, "gender"] = None
    table.to_csv(project / "gaps.csv", index=False)
    done = rsa_faces(
        "analyse", project / "c.yaml", "--set", "stimuli.manifest=gaps.csv", "--out", tmp_path / "o"
    )
    assert done.exit_code == 2
    said = sentence(done)
    assert (
        "a value in column 'gender' for every stimulus, but '1-happy' has none (`groups`)" in said
    )
