"""Behaviour: files of Meadows, arrangements, ratings, traits and triplets."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.io import savemat
from situation import Situation, check, command, each

import rsa_faces as rf
from rsa_faces.behaviour import (
    inverse_mds,
    matrix_rdms,
    pair_rating_rdms,
    read_arrangements,
    read_meadows,
    read_meadows_annotations,
    trait_rdms,
    triplet_rdms,
)
from rsa_faces.cli import _arrange  # noqa: F401 (registers the commands)

IMAGES = [("1", "x.png"), ("2", "y.png"), ("3", "z.png")]
PLACES = {"1": (0.0, 0.0), "2": (0.6, 0.0), "3": (0.0, 0.8)}
EPOCH = 1_700_000_000


def _trial(places=PLACES, **more):
    return {"positions": [{"id": i, "x": x, "y": y} for i, (x, y) in places.items()]} | more


def _task(*trials, name="ma", images=IMAGES, **more):
    return {
        "task": {"name": name, "task_type": "multiarrange"},
        "status": "finished",
        "stimuli": [{"id": i, "name": n} for i, n in images],
        "trials": list(trials),
    } | more


def _meadows(folder, content, name="Meadows_e_v_v1_mole-x_tree.json", **options):
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_meadows(path, **options)


def _is_right(arrangements) -> None:
    """The RDM of one whole trial is that of its distances."""
    vector = inverse_mds(arrangements).rdms.vectors[0]
    np.testing.assert_allclose(vector / vector[0], [1, 0.8 / 0.6, 1 / 0.6])


def _participations_as_arrays(folder):
    info = {"task": {"name": "hello", "task_type": "info"}, "trials": []}
    found = _meadows(
        folder,
        {
            "good-bee": [info, _task(_trial())],
            "odd-ant": [{"token": "t", "tasks": {"ma": _task(_trial())}}],
            "shy-elk": [{"token": None, "tasks": [info, _task(_trial())]}],
        },
    )
    assert list(found.arrangements) == [(r, "ma") for r in ("good-bee", "odd-ant", "shy-elk")]
    for one in found.arrangements.values():
        _is_right(one)


def _array_of_participants(folder):
    found = _meadows(
        folder,
        [
            {"participation": "good-bee", "tasks": [_task(_trial())]},
            {"participation": "odd-ant", "tasks": [_task(_trial(), rdm=[1.0, 2.0, 3.0])]},
        ],
    )
    assert list(found.arrangements) == [("good-bee", "ma"), ("odd-ant", "ma")]
    assert found.rdms.vectors[1].tolist() == [1.0, 2.0, 3.0]


def _array_of_tasks(folder):
    found = _meadows(folder, [_task(_trial()), _task(_trial(), name="mb")])
    assert list(found.arrangements) == [("mole-x", "ma"), ("mole-x", "mb")]


def _tasks_by_name(folder):
    one = {"sorting": {"trials": [_trial()], "stimuli": _task()["stimuli"]}}
    found = _meadows(folder, {"tasks": one})
    assert list(found.arrangements) == [("mole-x", "sorting")]


def _seconds(folder, start, end, **more):
    found = _meadows(folder, _task(_trial(start=start, end=end, **more)))
    return found.arrangements["mole-x", "ma"].trials[0].seconds


def _times(folder):
    assert _seconds(folder, EPOCH, EPOCH + 12.5) == 12.5
    assert _seconds(folder, EPOCH * 1000, EPOCH * 1000 + 12_500) == 12.5
    assert _seconds(folder, "2020-09-14T18:18:43.000Z", "2020-09-14T18:18:55.500Z") == 12.5


def _times_of_no_use(folder):
    assert _seconds(folder, "soon", EPOCH) is None
    assert _seconds(folder, EPOCH + 1, EPOCH) is None
    log = [[EPOCH * 1000, "logStarted", {}], [EPOCH * 1000 + 2000, "end", {}]]
    assert _seconds(folder, None, None, log=log) == 2.0


def _null_position(folder):
    images = [*IMAGES, ("4", "w.png")]
    found = _meadows(folder, _task(_trial(PLACES | {"4": (None, 0.5)}), images=images))
    row = found.report.table.set_index("rule").loc["position missing"]
    assert row["where"] == "trial 1 of task 'ma' of rater 'mole-x'"
    (trial,) = found.arrangements["mole-x", "ma"].trials
    assert trial.names == ("x", "y", "z")
    np.testing.assert_allclose(trial.distances(), [0.6, 0.8, 1.0])
    vector = inverse_mds(found.arrangements["mole-x", "ma"]).rdms.vectors[0]
    assert np.isnan(vector).sum() == 3


def _null_in_the_rdm(folder):
    found = _meadows(folder, _task(_trial(), rdm=[1.0, None, 3.0]))
    np.testing.assert_array_equal(found.rdms.vectors, [[1.0, np.nan, 3.0]])
    assert found.report.count("pair without value") == 1


def _mat(folder, content, name="Meadows_e_v_v1_sorting_1D.mat"):
    savemat(folder / name, content)
    return read_meadows(folder / name)


def _stimuli_once(folder):
    found = _mat(
        folder,
        {
            "stimuli": ["x.png", "y.png", "z.png"],
            "rdmutv_a_b": [[1.0, 2.0, 3.0]],
            "rdmutv_c_d": [[3.0, 2.0, 1.0]],
        },
    )
    assert found.rdms.labels["rater"].tolist() == ["a-b", "c-d"]
    assert found.rdms.conditions == ("x", "y", "z")
    assert found.rdms.vectors.tolist() == [[1, 2, 3], [3, 2, 1]]


def _cells(folder):
    names = np.array(["x.png", "long name.png", "z.png"], dtype=object)
    found = _mat(folder, {"stimuli": names, "rdmutv_a_b": [[1.0, 2.0, 3.0]]})
    assert found.rdms.conditions == ("x", "long name", "z")


ROW = {"task": "t", "participation": "mole", "stim1_id": "i1", "stim1_name": "x"}


def _annotations(folder, rows, task="t"):
    path = folder / "Meadows_e_v_v1_annotations.json"
    path.write_text(json.dumps(rows))
    return read_meadows_annotations(path, task=task)


def _annotations_in_json(folder):
    pair = ROW | {"stim2_id": "i2", "stim2_name": "y", "start": EPOCH, "resp": EPOCH + 2.5}
    table = _annotations(folder, [pair | {"label": 4}, pair | {"label": "2.5"}])
    assert table["rating"].tolist() == [4.0, 2.5]
    assert table["seconds"].tolist() == [2.5, 2.5]
    rdms = pair_rating_rdms(table, direction="dissimilarity").rdms
    assert rdms.vectors.tolist() == [[3.25]]


def _annotations_by_rater(folder):
    three = {"task": "t"} | {f"stim{i}_name": n for i, n in enumerate("xyz", start=1)}
    three |= {f"stim{i}_id": f"i{i}" for i in (1, 2, 3)}
    table = _annotations(
        folder,
        {"01": [three | {"label": "i3"}], "02": [three | {"label": 1}, three | {"label": "y"}]},
    )
    assert table["rater"].tolist() == ["01", "02", "02"]
    assert table["odd"].tolist() == ["z", "x", "y"]


def _annotations_of_a_table(folder, label):
    path = folder / "a.csv"
    path.write_text(f'task,participation,stim1_name,stim2_name,label\nt,01,x,y,"{label}"\n')
    table = read_meadows_annotations(path, task="t")
    assert table["rater"].tolist() == ["01"]
    return table["rating"].tolist()


def _one_number(folder):
    assert _annotations_of_a_table(folder, "4.5") == [4.5]


# ---- tables --------------------------------------------------------------------------------------


def _csv(folder: Path, content: str) -> Path:
    path = folder / "t.csv"
    path.write_text(content)
    return path


def _traits_say_what_they_take(folder):
    path = _csv(folder, "rater,stimulus,trial,trust,group\nr,01,1,2,a\nr,02,2,4,b\nr,03,3,9,a\n")
    found = trait_rdms(path, by="trait")
    assert found.rdms.labels["trait"].tolist() == ["trial", "trust"]
    row = found.report.table.set_index("rule").loc["columns taken as traits"]
    assert (row["rater"], row["n"], row["action"]) == ("all", 2, "'trial', 'trust'")
    named = trait_rdms(path, traits=["trust"], by="trait")
    assert named.rdms.vectors.tolist() == [[2.0, 7.0, 5.0]]
    assert named.rdms.conditions == ("01", "02", "03")
    assert named.report.count("columns taken as traits") == 0


def _traits_with_an_index(folder):
    table = pd.DataFrame({"stimulus": list("xyz"), "trust": [1.0, 2.0, 4.0]})
    table.to_csv(folder / "t.csv")
    for source in (folder / "t.csv", pd.read_csv(folder / "t.csv")):
        with pytest.warns(UserWarning, match="Unnamed: 0"):
            found = trait_rdms(source, by="trait")
        assert found.rdms.labels["trait"].tolist() == ["trust"]


def _raters_and_images_with_zeros(folder):
    path = _csv(folder, "rater,a,b,rating\n01,001,1,2\n1,001,1,5\nNA,001,1,NA\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = pair_rating_rdms(path, direction="dissimilarity")
    assert found.rdms.labels["rater"].tolist() == ["01", "1", "NA"]
    assert found.rdms.conditions == ("001", "1")
    np.testing.assert_array_equal(found.rdms.vectors, [[2.0], [5.0], [np.nan]])


def _trials_called_by_name(folder):
    path = _csv(
        folder,
        "rater,trial,stimulus,x,y\n"
        + "".join(f"r,{t},{s},{x},0\n" for t in ("b", "NA") for s, x in (("p", 0), ("q", 0.5))),
    )
    (one,), _ = read_arrangements(path)
    assert len(one) == 2
    path.write_text(path.read_text().replace("NA", "10").replace(",b,", ",9,"))
    (one,), _ = read_arrangements(path)
    assert [trial.distances().tolist() for trial in one.trials] == [[0.5], [0.5]]


def _pixels_with_decimal_commas(folder):
    path = _csv(folder, "rater;trial;stimulus;x;y\nr;1;p;0,0;0\nr;1;q;0,3;0,4\n")
    with pytest.warns(UserWarning, match="decimal comma"):
        (one,), _ = read_arrangements(path)
    np.testing.assert_allclose(one.trials[0].distances(), [0.5])


def _choices_of_none(folder):
    path = _csv(folder, "rater,a,b,c,odd\nr,NA,None,null,None\nr,NA,None,null,\n")
    found = triplet_rdms(path)
    assert found.rdms.conditions == ("NA", "None", "null")
    # None was the odd one: NA and null are alike.
    assert found.rdms.sel().matrices()[0].tolist() == [[0, 1, 0], [1, 0, 1], [0, 1, 0]]
    assert found.report.count("no choice") == 1


def _many_names(columns):
    def run(folder):
        rows = "".join(
            ",".join(["r", *(f"{c}{i}" for c in columns), "1"]) + "\n" for i in range(20_000)
        )
        if len(columns) == 2:
            path = _csv(folder, "rater,a,b,rating\n" + rows)
            pair_rating_rdms(path, direction="dissimilarity")
        else:
            trait_rdms(_csv(folder, "rater,stimulus,trust\n" + rows))

    return run


def _import(folder, kind, content, *options, name="t.csv"):
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return command("arrange", "import", kind, path, "--out", folder / "r.h5", *options)


def _import_arrays(folder):
    text = _import(
        folder, "meadows", {"good-bee": [_task(_trial(), rdm=[0.6, 0.8, 1.0])]}, name="tree.json"
    )
    assert "1 RDM" in text
    rdms = rf.load_rdms(folder / "r.h5")
    assert rdms.vectors.tolist() == [[0.6, 0.8, 1.0]]
    assert rdms.labels["rater"].tolist() == ["good-bee"]


def _import_annotations(folder):
    pair = ROW | {"stim2_id": "i2", "stim2_name": "y"}
    _import(
        folder,
        "meadows",
        [pair | {"label": 4}],
        "--task",
        "t",
        "--direction",
        "dissimilarity",
        name="annotations.json",
    )
    assert rf.load_rdms(folder / "r.h5").vectors.tolist() == [[4.0]]


def _import_traits(folder):
    text = _import(folder, "traits", "rater,stimulus,trust,rt\nr,01,1,500\nr,02,3,700\n")
    assert "columns taken as traits: 2, 'trust', 'rt'" in text
    assert rf.load_rdms(folder / "r.h5").conditions == ("01", "02")


SITUATIONS = [
    Situation("Meadows: participations as arrays", _participations_as_arrays),
    Situation("Meadows: participants in an array", _array_of_participants),
    Situation("Meadows: tasks in an array, nothing around them", _array_of_tasks),
    Situation("Meadows: tasks by name, without a description", _tasks_by_name),
    Situation("Meadows: times in seconds, milliseconds and text", _times),
    Situation("Meadows: times that are none", _times_of_no_use),
    Situation("Meadows: a position null", _null_position),
    Situation("Meadows: a pair of the RDM null", _null_in_the_rdm),
    Situation(
        "Meadows: a position in words",
        lambda f: _meadows(f, {"bee": _task(_trial(), _trial(PLACES | {"2": ("left", 0)}))}),
        "position of 'y' in trial 2 of task 'ma' of rater 'bee', got .'left', 0.",
    ),
    Situation(
        "Meadows: a position that is not finite",
        lambda f: _meadows(f, {"bee": _task(_trial(PLACES | {"2": (float("nan"), 0)}))}),
        "position of 'y' in trial 1 of task 'ma' of rater 'bee', got .nan, 0.",
    ),
    Situation(
        "Meadows: an image twice in a trial",
        lambda f: _meadows(
            f, _task({"positions": [{"id": "1", "x": 0, "y": i} for i in range(2)]})
        ),
        "once in trial 1 of task 'ma' of rater 'mole-x', but 'x' is there again",
    ),
    Situation(
        "Meadows: a trial that is a number",
        lambda f: _meadows(f, _task(_trial(), 7)),
        "in trial 2 of task 'ma' of rater 'mole-x', got 7",
    ),
    Situation(
        "Meadows: a task that is text",
        lambda f: _meadows(f, {"bee": ["ma"]}),
        "tasks of rater 'bee' in .*got 'ma'",
    ),
    Situation(
        "Meadows: a task twice",
        lambda f: _meadows(f, {"bee": [_task(_trial()), _task(_trial())]}),
        "rater 'bee' has task 'ma' again",
    ),
    Situation(
        "Meadows: words in the RDM",
        lambda f: _meadows(f, _task(_trial(), rdm=["a", "b", "c"])),
        "numbers in the RDM of rater 'mole-x', got",
    ),
    Situation(
        "Meadows: annotations where a tree is expected",
        lambda f: _meadows(f, [ROW | {"label": 4}]),
        "holds annotations: use read_meadows_annotations",
    ),
    Situation("Meadows: JSON cut off", lambda f: _meadows(f, "{"), "expected a JSON file"),
    Situation("Meadows: one list of images for several raters (MAT)", _stimuli_once),
    Situation("Meadows: names in cells (MAT)", _cells),
    Situation(
        "Meadows: RDMs without images (MAT)",
        lambda f: _mat(f, {"rdmutv_a_b": [[1.0, 2.0, 3.0]]}),
        "variables 'stimuli' and 'rdmutv'.*got rdmutv_a_b",
    ),
    Situation(
        "Meadows: more images than the RDM has (MAT)",
        lambda f: _mat(f, {"stimuli": ["x", "y", "z"], "rdmutv_a_b": [[1.0]]}),
        "3 pairs for 3 images of rater 'a-b', got 1",
    ),
    Situation("annotations in JSON, times in seconds", _annotations_in_json),
    Situation("annotations in JSON by rater, 01 and 02", _annotations_by_rater),
    Situation(
        "annotations in JSON: text", lambda f: _annotations(f, "no"), "array of annotations.*'no'"
    ),
    Situation(
        "annotations: a task that is not there",
        lambda f: _annotations(f, [ROW | {"label": 4}], task="q"),
        "unknown task 'q'",
    ),
    Situation("annotations: a rating of 4.5, rater 01", _one_number),
    Situation(
        "annotations: a rating of 4,5",
        lambda f: _annotations_of_a_table(f, "4,5"),
        "numbers in column 'label' of task 't'.*'4,5'",
    ),
    Situation(
        "annotations: an image is missing in some rows",
        lambda f: _annotations(
            f, [ROW | {"label": 1, "stim2_name": "y"}, ROW | {"label": 2, "stim2_name": None}]
        ),
        "2 images in every row of task 't'.*rater 'mole', has none in column 'stim2_name'",
    ),
    Situation("traits: no columns named", _traits_say_what_they_take),
    Situation("traits: with the index of pandas", _traits_with_an_index),
    Situation(
        "traits: a rating in words",
        lambda f: trait_rdms(_csv(f, "stimulus,trust\nx,1\ny,much\n"), traits=["trust"]),
        "'trust'.*line 3 has 'much'",
    ),
    Situation(
        "traits: no column of numbers",
        lambda f: trait_rdms(_csv(f, "stimulus,trust\nx,a\ny,b\n")),
        "at least one column of numbers, a trait, got 'stimulus', 'trust'",
    ),
    Situation("pairs: raters 01, 1 and NA, images 001 and 1", _raters_and_images_with_zeros),
    Situation(
        "pairs: a rating of 4,5",
        lambda f: pair_rating_rdms(
            _csv(f, 'rater,a,b,rating\nr,x,y,"4,5"\n'), direction="similarity"
        ),
        "'rating'.*line 2 has '4,5'",
    ),
    Situation(
        "pairs: an image without a name",
        lambda f: pair_rating_rdms(_csv(f, "rater,a,b,rating\nr,x, ,4\n"), direction="similarity"),
        "'b'.*line 2 has none",
    ),
    Situation("pairs: 20,000 rows of different names", _many_names("ab"), "40000 different"),
    Situation("traits: 20,000 rows of different names", _many_names("s"), "20000 different"),
    Situation("arrangements: trials called b and NA, 9 and 10", _trials_called_by_name),
    Situation("arrangements: decimal commas", _pixels_with_decimal_commas),
    Situation(
        "arrangements: a comma too many",
        lambda f: read_arrangements(_csv(f, "rater,trial,stimulus,x,y\nr,1,a,0,0,\n")),
        "line 2 has 6",
    ),
    Situation("triplets: images called NA, None and null", _choices_of_none),
    Situation(
        "triplets: a choice that is none of the three",
        lambda f: triplet_rdms(_csv(f, "rater,a,b,c,odd\nr,x,y,z,w\n")),
        "one of 'x', 'y', 'z'.*'w'",
    ),
    Situation(
        "matrix of similarities that holds text",
        lambda f: matrix_rdms([["a", 1], [1, 0]], ["x", "y"], direction="similarity"),
        "expected real numbers as matrices",
    ),
    Situation("command line: Meadows with participations as arrays", _import_arrays),
    Situation("command line: annotations in JSON", _import_annotations),
    Situation("command line: traits, no columns named", _import_traits),
    Situation(
        "command line: a position in words",
        lambda f: _import(
            f, "meadows", {"bee": _task(_trial(PLACES | {"1": ("?", 0)}))}, name="tree.json"
        ),
        "trial 1 of task 'ma' of rater 'bee'",
    ),
    Situation(
        "command line: a rating of 4,5",
        lambda f: _import(
            f, "pairs", 'rater,a,b,rating\nr,x,y,"4,5"\n', "--direction", "similarity"
        ),
        "line 2 has '4,5'",
    ),
    Situation(
        "command line: trials with a row that is wider",
        lambda f: command(
            "arrange",
            "fit",
            _csv(f, "rater,trial,stimulus,x,y\nr,1,a,0,0,1\n"),
            "--out",
            f / "r.h5",
        ),
        "line 2 has 6",
    ),
]


@each(SITUATIONS)
def test_situation(situation, tmp_path):
    check(situation, tmp_path)
