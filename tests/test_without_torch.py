"""Where torch, torchvision and timm are not installed: all but networks and extraction works."""

import json
import subprocess
import sys

import pytest

BLOCKER = """
import sys


class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "torchvision", "timm"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Absent())
import matplotlib
matplotlib.use("Agg")
import numpy as np
import rsa_faces as rf
"""

WORKS = {
    "RDMs and comparison": """
rng = np.random.default_rng(0)
rdms = rf.compute_rdms(rng.normal(size=(5, 9)), conditions=list("abcde"), measure="euclidean")
assert rf.compare(rdms, rdms).round(6) == 1
rdms.save("rdms.h5")
assert rf.io.read_rdms("rdms.h5").equals(rdms)
assert rf.RDMs.from_rsatoolbox(rdms.to_rsatoolbox()).conditions == rdms.conditions
""",
    "inference and figures": """
d92 = rf.datasets.images92()
data = d92.rdms.sel(region="human IT").subset(d92.stimuli.ids[:20])
models = d92.models.sel(name=["V1", "HMAX"]).subset(d92.stimuli.ids[:20])
result = rf.evaluate(models, data, method="spearman", n_boot=20)
result.plot()
rf.noise_ceiling(data)
rf.inference.permutation_test(models, data, n_permutations=9)
rf.variance_partition(data, {"a": models.sel(name="V1"), "b": models.sel(name="HMAX")},
                      n_boot=9, n_permutations=9)
rf.figures.plot_rdms(models)
rf.figures.plot_mds(models.sel(name="HMAX"), d92.stimuli.subset(d92.stimuli.ids[:20]))
""",
    "behaviour": """
import pandas as pd
table = pd.DataFrame({"rater": "r", "a": ["x", "x"], "b": ["y", "y"], "c": ["z", "w"],
                      "odd": ["z", "x"]})
rf.behaviour.triplet_rdms(table)
""",
    "brain": """
made = rf.datasets.simulated_brain(n_subjects=2, shape=(8, 8, 8), planted=[])
patterns = rf.brain.load_patterns(made.imgs[0], list(made.conditions), folds=list(made.runs),
                                  mask_img=made.mask_img)
patterns.rdms(measure="crossnobis")
""",
    "faces are found and cut out": """
stimuli = rf.datasets.images92().stimuli.subset(["image_13"])
rf.crop_faces(stimuli, rf.detect_faces(stimuli, progress=False))
""",
    "networks are described": """
assert "dlib-face" in rf.list_networks()
assert rf.networks.get_spec("dlib-face").task == "identity"
""",
    "absence is one sentence": """
import importlib
for action in (
    lambda: rf.load_network("dlib-face"),
    lambda: rf.load_network("timm:resnet18"),
    lambda: rf.networks.get_spec("torchvision:resnet18"),
    lambda: importlib.import_module("rsa_faces.networks.training.objectives"),
    lambda: importlib.import_module("rsa_faces.networks.training.classes"),
):
    try:
        action()
    except rf.MissingExtraError as error:
        assert "pip install torch torchvision timm" in str(error), error
        assert "\\n" not in str(error)
    else:
        raise AssertionError("opened")
""",
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What each piece of code said: one process for all of them."""
    code = f"{BLOCKER}\nimport json, traceback, warnings\nwarnings.simplefilter('ignore')\n"
    code += f"said = {{}}\nfor name, text in {WORKS!r}.items():\n"
    code += "    try: exec(text, dict(globals())); said[name] = ''\n"
    code += "    except BaseException: said[name] = traceback.format_exc()\n"
    code += "print('said', json.dumps(said))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path_factory.mktemp("without"),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.rpartition("said ")[2])


@pytest.mark.parametrize("name", WORKS)
def test_works(answers, name):
    assert answers[name] == ""


def rsa_faces(*words, cwd):
    """Run a command without torch."""
    code = f"{BLOCKER}\nimport sys\nsys.argv[0] = 'rsa-faces'\n"
    code += "from rsa_faces.cli import main\nmain()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, words)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=600,
    )


def test_compare_of_rdm_files(tmp_path):
    import rsa_faces as rf

    d92 = rf.datasets.images92()
    some = d92.stimuli.ids[:12]
    d92.rdms.sel(region="human IT").subset(some).save(tmp_path / "data.h5")
    d92.models.sel(name=["animacy", "HMAX"]).subset(some).save(tmp_path / "models.h5")
    config = {
        "title": "files only",
        "data": [{"rdms": "data.h5", "region": "human IT"}],
        "models": [{"rdms": "models.h5"}],
        "inference": {"n_boot": 100},
    }
    (tmp_path / "c.yaml").write_text(json.dumps(config))
    done = rsa_faces("compare", "c.yaml", "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr + done.stdout
    assert (tmp_path / "out" / "report.html").is_file()
    config["stimuli"], config["networks"] = {"dataset": "images92"}, ["pixels"]
    config["data"] = [{"dataset": "images92", "select": {"region": "human IT"}, "region": "IT"}]
    del config["models"]
    (tmp_path / "n.yaml").write_text(json.dumps(config))
    done = rsa_faces("compare", "n.yaml", "--out", "out2", cwd=tmp_path)
    assert done.returncode == 2, done.stderr + done.stdout
    said = " ".join(done.stderr.split())
    assert "pip install torch torchvision timm" in said
    assert "Traceback" not in said


def test_doctor_does_not_send_for_weights(tmp_path):
    done = rsa_faces("doctor", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert "none opens without torch" in said
    assert "weights to get" not in said
