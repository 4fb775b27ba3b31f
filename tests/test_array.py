"""Runs shared out to a job array: the same bytes as in one process, and nothing left."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from test_cli import make_project, rsa_faces, sentence

import rsa_faces as rf
from rsa_faces.runs._cluster_config import ClusterConfig
from rsa_faces.runs._parts import write_array
from rsa_faces.runs.analyse.run import AnalyseRun
from rsa_faces.runs.searchlight.run import SearchlightRun
from rsa_faces.runs.timecourse.run import TimecourseRun

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
from kill_runs import content
from kill_runs import make_project as make_projects

# Does at once what SLURM does later: each job of an array after the other.
SBATCH = """#!/bin/sh
echo "$@" >> "$(dirname "$0")/asked"
for word in "$@"; do
  case "$word" in
    --array=*) last="${word##*-}" ;;
    --*) ;;
    *) script="$word" ;;
  esac
done
for SLURM_ARRAY_TASK_ID in $(seq 0 "${last:-0}"); do
  export SLURM_ARRAY_TASK_ID
  sh "$script" >> "$(dirname "$0")/said" 2>&1 || echo "failed: $SLURM_ARRAY_TASK_ID" >&2
done
echo "$(wc -l < "$(dirname "$0")/asked");cluster"
"""
SMALL = ["networks=[pixels, gabor-v1]", "inference.n_boot=100", "subsets={all: all}", "figures={}"]


def executable(path, text):
    path.write_text(text)
    path.chmod(0o755)


@pytest.mark.slow
def test_slurm_is_given_the_arrays_and_their_jobs_make_the_same_bytes(tmp_path, monkeypatch):
    project, bin_ = make_project(tmp_path), tmp_path / "bin"
    bin_.mkdir()
    executable(bin_ / "sbatch", SBATCH)
    code = "from rsa_faces.cli import main; main()"
    executable(bin_ / "rsa-faces", f"#!/bin/sh\nexec {sys.executable} -c '{code}' \"$@\"\n")
    array = {
        "kind": "array",
        "workers": 2,
        "memory": "2GB",
        "queue": "short",
        "directives": ["--gres=gpu:0"],
    }
    (project / "array.yaml").write_text(yaml.safe_dump(array))
    settings = [word for setting in SMALL for word in ("--set", setting)]
    alone = rsa_faces(
        "compare", project / "c.yaml", "--out", project / "alone", "--jobs", 1, *settings
    )
    assert alone.exit_code == 0, alone.output
    monkeypatch.setenv("PATH", f"{bin_}{os.pathsep}{os.environ['PATH']}")
    sent = rsa_faces(
        "compare",
        project / "c.yaml",
        "--out",
        project / "array",
        "--cluster",
        project / "array.yaml",
        *settings,
    )
    assert sent.exit_code == 0, sent.output
    assert "taken 2 arrays, one after the other (1, 2), and a job that gathers" in re.sub(
        r"\s+", " ", sent.stdout
    )
    first, second, last = (bin_ / "asked").read_text().splitlines()
    assert first.startswith("--parsable --array=0-1 ")
    assert second.startswith("--parsable --dependency=afterany:1 --array=0-1 ")
    assert last.startswith("--parsable --dependency=afterany:2 ")
    assert last.endswith("gather.sh")
    assert content(project / "array") == content(project / "alone"), (bin_ / "said").read_text()
    took = [
        json.loads((project / name / "provenance.json").read_text()) for name in ("array", "alone")
    ]
    assert set(took[0]["seconds_of_steps"]) == set(took[1]["seconds_of_steps"])


@pytest.fixture(scope="module")
def projects(tmp_path_factory):
    folder = tmp_path_factory.mktemp("array") / "project"
    return make_projects(folder)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [SearchlightRun, TimecourseRun])
def test_shares_make_what_a_run_makes(kind, projects, tmp_path):
    config = kind.takes.read(projects[kind.command])
    alone = kind(config, tmp_path / "alone", device="cpu", jobs=1).run()
    with pytest.raises(rf.InputError, match="Start it without --part first"):
        kind(config, tmp_path / "shared", device="cpu", jobs=1, share=(0, 2)).do_share()
    array = ClusterConfig(kind="array", workers=2, memory="2GB")
    said = kind(config, tmp_path / "shared", device="cpu").send(array)
    assert "no `sbatch` here" in said[0]
    done = []
    for _ in range(kind(config, tmp_path).n_stages() if kind is TimecourseRun else 3):
        for k in range(2):
            kind(config, tmp_path / "shared", device="cpu", jobs=1, share=(k, 2)).do_share()
        done.append(len(list((tmp_path / "shared" / ".array").glob("*.json"))))
    assert done[-1] > done[0] > 0 or kind is SearchlightRun
    assert not (tmp_path / "shared" / "report.html").exists()
    told = []
    whole = kind(
        config,
        tmp_path / "shared",
        device="cpu",
        jobs=1,
        on_step=lambda done, total, what: told.append(what),
    ).run()
    assert content(whole.folder) == content(alone.folder)
    provenance = json.loads((whole.folder / "provenance.json").read_text())
    assert not provenance["steps_reused"]


def test_scripts_say_what_each_job_may_take(tmp_path):
    array = ClusterConfig(
        kind="array",
        workers=20,
        threads=4,
        memory="16GiB",
        queue="short",
        account="faces",
        walltime="02:00:00",
        before=["source here"],
        directives=["--gres=gpu:1"],
        scratch="/s c",
    )
    folder = tmp_path / "the results"
    submit = write_array(folder, "compare", "--device auto --jobs 4", array, 2)
    share = (submit.parent / "share.sh").read_text().splitlines()
    for line in (
        "#SBATCH --cpus-per-task=4 --mem=16384M",
        "#SBATCH --time=02:00:00",
        "#SBATCH --partition=short",
        "#SBATCH --account=faces",
        "#SBATCH --gres=gpu:1",
        "mkdir -p '/s c' && export TMPDIR='/s c'",
        "source here",
    ):
        assert line in share
    assert share[-1] == (
        f"rsa-faces compare '{folder}/config.yaml' --out '{folder}' --device auto --jobs 4 "
        '--part "$SLURM_ARRAY_TASK_ID/20"'
    )
    assert subprocess.run(["sh", "-n", submit], check=False).returncode == 0
    assert submit.read_text().count("--array=0-19") == 2


@pytest.mark.parametrize("part", ["3", "2/2", "a/b", "-1/2", "1/0"])
def test_a_share_that_is_none_is_one_sentence(part, tmp_path):
    project = make_project(tmp_path)
    run = rsa_faces("compare", project / "c.yaml", "--out", project / "out", f"--part={part}")
    assert run.exit_code == 2
    assert "expected --part K/N, such as 0/20" in sentence(run)
    assert not (project / "out").exists()


def test_a_run_with_nothing_to_share_says_so(tmp_path):
    config = AnalyseRun.takes.model_construct(title="x")

    class ReadsNothing(AnalyseRun):
        def check(self):
            pass

    array = ClusterConfig(kind="array", memory="1GB")
    with pytest.raises(rf.InputError, match="cannot: give it one job of its own"):
        ReadsNothing(config, tmp_path / "out").send(array)
    for asked in ({"cluster": ClusterConfig(kind="local", memory="1GB")}, {"share": (0, 2)}):
        with pytest.raises(rf.InputError, match="without --cluster and --part"):
            ReadsNothing(config, tmp_path / "out", **asked).run()
    assert not (tmp_path / "out").exists()


def test_what_sbatch_refuses_is_one_sentence(tmp_path, monkeypatch):
    project = make_project(tmp_path)
    executable(tmp_path / "sbatch", "#!/bin/sh\necho 'no such partition' >&2\nexit 1\n")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    (project / "array.yaml").write_text("{kind: array, memory: 1GB}")
    run = rsa_faces(
        "compare",
        project / "c.yaml",
        "--out",
        project / "out",
        "--cluster",
        project / "array.yaml",
        "--set",
        "networks=[pixels]",
    )
    assert run.exit_code == 2
    assert "sbatch said: no such partition." in sentence(run)


def test_both_shares_may_be_at_work_but_no_whole_run_beside_them(tmp_path):
    from rsa_faces.runs._steps import joined, locked

    (tmp_path / "config.yaml").write_text("x")
    refused = "another run is writing there"
    with (
        joined(tmp_path, "x"),
        joined(tmp_path, "x"),
        pytest.raises(rf.InputError, match=refused),
        locked(tmp_path),
    ):
        pass
    with locked(tmp_path), pytest.raises(rf.InputError, match=refused), joined(tmp_path, "x"):
        pass
