"""What a run will take is said before it: every part, nothing written, and what does not fit."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest
from test_cli import rsa_faces

from rsa_faces.runs._plan import Plan, Trials, Work, duration, size, trials

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
from kill_runs import make_project

SCRIPTS = Path(__file__).parents[1] / "scripts"

PARTS = {
    "searchlight": ["searchlights of sub-0", "searchlights of sub-2", "noise ceilings", "group"],
    "timecourse": ["layers of pixels", "layers and times"],
    "analyse": ["layers of gabor-v1", "1 readout of expression across identity"],
}


@pytest.fixture(scope="module")
def projects(tmp_path_factory):
    return make_project(tmp_path_factory.mktemp("plan") / "project")


@pytest.mark.slow
@pytest.mark.parametrize("command", PARTS)
def test_a_plan_names_all_parts_and_writes_nothing(command, projects, tmp_path):
    out = tmp_path / "out"
    before = sorted(projects[command].parent.rglob("*"))
    done = rsa_faces(
        command, projects[command], "--out", out, "--device", "cpu", "--plan", "--json"
    )
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["command"] == command
    parts = {part["part"]: part for part in told["parts"]}
    assert set(PARTS[command]) <= set(parts)
    assert "reading and checking" in parts
    assert told["seconds"] == pytest.approx(sum(p["seconds"] for p in parts.values()), abs=0.1)
    assert told["disk_bytes"] == sum(p["disk_bytes"] for p in parts.values())
    assert told["peak_bytes"] == max(p["peak_bytes"] for p in parts.values()) > 2e8
    assert all(part["seconds"] >= 0 for part in parts.values())
    assert not out.exists()
    assert sorted(projects[command].parent.rglob("*")) == before


@pytest.mark.slow
@pytest.mark.simulation
def test_a_run_takes_no_more_memory_than_its_plan_says():
    done = subprocess.run(
        [sys.executable, SCRIPTS / "check_plan.py", "--random", "1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "compare compare" in done.stdout
    assert "1 runs, 0 took more memory than their plan said" in done.stdout


def test_time_is_what_takes_the_time_and_what_is_there_anyway():
    asked = []
    clock = {"now": 0.0}

    def make(n):
        asked.append(n)
        clock["now"] += 2 + 0.5 * n

    with pytest.MonkeyPatch.context() as patch, trials() as found:
        patch.setattr("rsa_faces.runs._steps.CLOCK", lambda: clock["now"])
        assert found.seconds("a", make, 1000, (10, 50)) == pytest.approx(2 + 500)
        assert asked == [10, 10, 50]
        assert found.seconds("a", make, 1000, (10, 50)) == pytest.approx(502)  # known
        assert asked == [10, 10, 50]
        assert found.seconds("b", make, 5, (10, 50)) == pytest.approx(4.5)
        assert asked[3:] == [5, 5]
        assert found.seconds("c", lambda n: make(n / 1e3 - 4), 1000, (10, 50)) == pytest.approx(0.5)
        assert len(asked) == 10  # short ones twice
        assert isinstance(found, Trials)
    assert not found.scratch.exists()


def test_what_does_not_fit_says_what_to_change():
    works = (
        Work("layers of vgg16", 60, 9 * 10**9, 10**9, shared=True),
        Work("layers of pixels", 20, 10**9, 10**12, shared=True),
        Work("figures", 10, 10**9, 0),
    )
    plan = Plan(works, 2, free_disk=10**10, memory=8 * 10**9)
    memory, disk = plan.advice
    assert memory == (
        "layers of vgg16 may take 9.0 GB of memory, and there are 8.0 GB: give a smaller `budget` "
        "or fewer layers, or run it where there is more (`memory` of --cluster)."
    )
    assert "results take 1001 GB of disk, and 10 GB are free" in disk
    assert "leave less of layers of pixels" in disk
    assert plan.seconds == 10 + 60  # the longest of two that are done side by side
    assert Plan(works, 1, 10**13, 10**10).advice == Plan(works, 1, 10**13, 10**10).notes == ()
    assert Plan(works, 1, 10**13, 10**10).seconds == 90
    assert plan.shown().iloc[0].tolist() == ["layers of vgg16", "60 s", "9.0 GB", "1.0 GB"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.04 s"), (9.4, "9.4 s"), (99, "99 s"), (600, "10 min"), (7200, "2.0 h")],
)
def test_times_are_said_shortly(seconds, text):
    assert duration(seconds) == text
    assert size(2048) == "2.0 KB"


def test_trials_do_not_tell_what_their_few_images_show():
    faces = logging.getLogger("rsa_faces.stimuli.faces")
    with trials():
        assert not faces.isEnabledFor(logging.WARNING)
    assert faces.isEnabledFor(logging.WARNING)
