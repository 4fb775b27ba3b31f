"""Kill runs of all commands at random moments; each must go on and end with the same bytes.

    python scripts/kill_runs.py                25 kills of each of the four commands
    python scripts/kill_runs.py --kills 2      a few, as the slow tier of the tests does

Each run is a process of its own, killed (signal 9) after a random part of the time of a whole run,
then run to its end and compared with a run that was never killed: all files but those that
hold times (``provenance.json``, and the same in ``report.html``) must have the same bytes, and
there must be no temporary file, in the folder or in the temporary folder. All data are simulated.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import tempfile
import time
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import yaml
from PIL import Image

import rsa_faces as rf
from rsa_faces.datasets import simulated_brain
from rsa_faces.runs._run import Run
from rsa_faces.runs.analyse.run import AnalyseRun
from rsa_faces.runs.compare.run import CompareRun
from rsa_faces.runs.searchlight.run import SearchlightRun
from rsa_faces.runs.timecourse.run import TimecourseRun

RUNS: dict[str, type[Run]] = {
    run.command: run for run in (CompareRun, SearchlightRun, TimecourseRun, AnalyseRun)
}
#: Files that hold times.
TIMED = {"provenance.json", "report.html"}


def make_project(folder: Path) -> dict[str, Path]:
    """Write simulated images, subjects and brains, and a small configuration of each command."""
    rng = np.random.default_rng(0)
    (folder / "faces").mkdir(parents=True)
    rows = []
    for i in range(8):
        for j in range(3):
            cells = np.kron(rng.integers(0, 256, (6, 6, 3)), np.ones((8, 8, 1))).astype(np.uint8)
            Image.fromarray(cells).save(folder / "faces" / f"{i}-{j}.png")
            rows.append([f"{i}-{j}.png", f"person {i}", f"expression {j}"])
    table = pd.DataFrame(rows, columns=["file", "identity", "expression"])
    table.to_csv(folder / "faces.csv", index=False)
    stimuli = rf.load_stimuli(folder / "faces", manifest=folder / "faces.csv")
    true = rf.layer_rdms(rf.load_network("pixels", device="cpu"), stimuli)
    noise = rng.normal(scale=0.05, size=(5, true.n_pairs))
    labels = {"subject": [f"simulated {i}" for i in range(5)]}
    rf.RDMs(true.vectors + noise, true.conditions, "simulated", labels).save(folder / "data.h5")
    brain = simulated_brain(
        n_subjects=3, shape=(12, 12, 10), region_radius=6.0, planted=["simulated layer_1"]
    )
    for i, image in enumerate(brain.imgs):
        nibabel.save(image, folder / f"sub-{i}.nii.gz")
    nibabel.save(brain.mask_img, folder / "mask.nii.gz")
    brain.models.save(folder / "models.h5")
    volumes = pd.DataFrame({"condition": brain.conditions, "fold": brain.runs})
    volumes.to_csv(folder / "volumes.csv", index=False)
    seen = dict(zip(volumes["condition"].unique(), stimuli.ids, strict=True))
    volumes.replace({"condition": seen}).to_csv(folder / "faces_seen.csv", index=False)
    shown = {"folder": "faces", "manifest": "faces.csv"}
    planted = {
        "region": "simulated ventral",
        "network": "pixels",
        "layer": "pixels",
        "start": 0.1,
        "stop": 0.3,
    }
    images = {"subjects": {f"sub-{i}": f"sub-{i}.nii.gz" for i in range(3)}}
    configs = {
        "compare": {
            "stimuli": shown,
            "data": [
                {"rdms": "data.h5", "region": "simulated"},
                {
                    "fmri": {**images, "conditions": "faces_seen.csv", "roi": "mask.nii.gz"},
                    "region": "brain",
                },
            ],
            "networks": ["pixels", "gabor-v1"],
            "models": [{"metadata": "identity"}],
            "partition": {"images": ["pixels", "gabor-v1"], "people": ["identity"]},
            "inference": {"n_boot": 100},
        },
        "searchlight": {
            "data": {**images, "conditions": "volumes.csv", "mask": "mask.nii.gz"},
            "models": [{"rdms": "models.h5", "select": {"name": ["simulated layer_1"]}}],
            "radius": 6.0,
            "test": {"n_permutations": 99},
        },
        "timecourse": {
            "stimuli": shown,
            "data": {"simulated": [planted]},
            "networks": ["pixels"],
            "signal": "raw",
            "window": 0.1,
            "step": 0.1,
            "measure": "sqeuclidean",
            "test": {"along": "time", "n_permutations": 99},
        },
        "analyse": {
            "stimuli": shown,
            "networks": ["pixels", "gabor-v1"],
            "analyses": [
                {
                    "analysis": "readout",
                    "labels": "expression",
                    "across": "identity",
                    "n_permutations": 19,
                }
            ],
        },
    }
    paths = {}
    for command, config in configs.items():
        paths[command] = folder / f"{command}.yaml"
        paths[command].write_text(yaml.safe_dump({"title": "simulated", **config}))
    return paths


def run(command: str, config: Path, out: Path) -> None:
    """Run a command in this process, quietly."""
    os.setpgid(0, 0)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        RUNS[command](RUNS[command].takes.read(config), out, device="cpu", jobs=1).run()


def started(command: str, config: Path, out: Path) -> multiprocessing.Process:
    """Start a command in a new process that has the package loaded."""
    process = multiprocessing.get_context("forkserver").Process(
        target=run, args=(command, config, out)
    )
    process.start()
    return process


def content(folder: Path) -> dict[str, bytes]:
    """Return all files that hold no times, by name."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name not in TIMED)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def whole(command: str, config: Path, out: Path) -> float:
    """Run a command to its end; return the seconds it took."""
    start = time.perf_counter()
    process = started(command, config, out)
    process.join()
    if process.exitcode != 0:
        raise SystemExit(f"{command} ended with {process.exitcode}")
    return time.perf_counter() - start


def kill_once(command: str, config: Path, out: Path, after: float) -> bool:
    """Kill a new run after some seconds, and let it go on; return whether it was still running."""
    process = started(command, config, out)
    process.join(after)
    alive = process.is_alive()
    if alive:
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    whole(command, config, out)
    return alive


def main() -> None:
    """Kill runs, and print how many ended with the same bytes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=25, help="of each command")
    parser.add_argument("--commands", nargs="+", choices=RUNS, default=list(RUNS))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    wrong = 0
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        scratch = folder / "tmp"
        scratch.mkdir()
        os.environ["TMPDIR"] = str(scratch)
        paths = make_project(folder / "project")
        multiprocessing.set_forkserver_preload(["__main__"])
        for command in options.commands:
            config = paths[command]
            whole(command, config, folder / f"{command}-first")  # compiles, if it must
            expected_in = folder / f"{command}-whole"
            seconds = whole(command, config, expected_in)
            expected = content(expected_in)
            killed = bad = 0
            for i in range(options.kills):
                out = folder / f"{command}-{i}"
                killed += kill_once(command, config, out, rng.uniform(0, seconds))
                made = content(out)
                differing = sorted(
                    name
                    for name in made.keys() | expected.keys()
                    if made.get(name) != expected.get(name)
                )
                left = [p.name for p in out.rglob(".*.part*")] + os.listdir(scratch)
                if differing or left:
                    bad += 1
                    print(f"{command} {i}: differ {differing[:5]}, left {left[:5]}", flush=True)
            wrong += bad
            print(
                f"{command}: {killed} of {options.kills} killed within {seconds:.1f} s, "
                f"{options.kills - bad} ended with the same bytes and nothing left",
                flush=True,
            )
    raise SystemExit(1 if wrong else 0)


if __name__ == "__main__":
    main()
