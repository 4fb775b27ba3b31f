"""Compare what `--plan` says with what runs take: time of some, memory of many.

    python scripts/check_plan.py --random 50                    memory (and time) of random runs
    python scripts/check_plan.py configs/images92.yaml          time of whole configurations
    python scripts/check_plan.py --wall configs/images92.yaml   as a user waits for it

Each plan and each run is a process of its own. Time is the processor's, on one thread, so that
other work on the machine does not count; with ``--wall`` it is that of the clock on the wall, on
all threads, as the command prints it (the machine has to be quiet then). Memory is the
most that was resident, looked at a hundred times a second and at the end of each step. All data of
random runs are simulated.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from kill_runs import RUNS, make_project

from rsa_faces.runs import COMMANDS, _plan, _steps
from rsa_faces.runs._run import Run


def planned(command: str, config: str, settings: list[str], out: Path, wall: bool) -> None:
    """Write what the plan of a run says."""
    plan = made(command, config, settings, out, wall).plan()
    parts = {work.what: round(work.seconds, 2) for work in plan.works}
    said = {"seconds": plan.seconds, "bytes": plan.peak_bytes, "disk": plan.disk_bytes}
    (out / "planned.json").write_text(json.dumps({**said, "parts": parts}))


def made(command: str, config: str, settings: list[str], out: Path, wall: bool) -> Run:
    """Return a run whose clock is the processor's on one thread, or the wall's on all."""
    _steps.CLOCK = time.perf_counter if wall else time.process_time
    run, jobs = RUNS[command], None if wall else 1
    return run(run.takes.read(config, settings), out / "run", device="cpu", jobs=jobs)


def resident_bytes() -> int:
    """Return the bytes that are resident in this process now (Linux only)."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def done(command: str, config: str, settings: list[str], out: Path, wall: bool) -> None:
    """Write what a run takes."""
    most, over = [0], threading.Event()

    def look() -> None:
        while not over.wait(0.01):
            most[0] = max(most[0], resident_bytes())

    watcher = threading.Thread(target=look, daemon=True)
    run = made(command, config, settings, out, wall)
    watcher.start()
    start = _steps.CLOCK()
    run.run()
    seconds = _steps.CLOCK() - start
    over.set()
    watcher.join()
    provenance = json.loads((out / "run" / "provenance.json").read_text())
    peak = max(most[0], _plan.peak_bytes(), *provenance["peak_bytes_of_steps"].values())
    disk = sum(path.stat().st_size for path in (out / "run").rglob("*") if path.is_file())
    took = {"seconds": seconds, "bytes": peak, "disk": disk}
    took["parts"] = provenance["seconds_of_steps"]
    (out / "done.json").write_text(json.dumps(took))


def compared(
    command: str, config: str, settings: list[str], out: Path, wall: bool
) -> tuple[dict, dict]:
    """Plan and run in two processes; return what was said, and what was."""
    out.mkdir()
    for step in (planned, done):
        process = multiprocessing.get_context("forkserver").Process(
            target=step, args=(command, config, settings, out, wall)
        )
        process.start()
        process.join()
        if process.exitcode:
            raise SystemExit(f"{command} {config} {settings}: ended with {process.exitcode}")
    return tuple(json.loads((out / f"{s}.json").read_text()) for s in ("planned", "done"))


def draw(command: str, rng: np.random.Generator) -> list[str]:
    """Return random settings of a small run."""

    def one(*options):
        return options[rng.integers(len(options))]

    networks = [
        n
        for n in ("gabor-v1", "mini-xception", "untrained:mini-xception", "sface")
        if rng.random() < 0.4
    ]
    settings = [f"budget={one('100MB', '500MB', '2GB')}"]
    shown = f"networks={json.dumps(['pixels', *networks])}"
    if command == "compare":
        settings += [
            shown,
            "partition=null",
            f"inference.n_boot={one(100, 300, 1000)}",
            f"method={one('rho-a', 'spearman', 'tau-a', 'cosine')}",
            f"inference.generalise_to={one('both', 'subjects', 'conditions')}",
            f"measure={one('correlation', 'euclidean')}",
        ]
    if command == "searchlight":
        settings += [
            f"radius={one(4.0, 6.0, 9.0)}",
            f"test.n_permutations={one(99, 300)}",
            f"test.statistic={one('tfce', 'max')}",
            f"method={one('spearman', 'pearson')}",
            f"measure={one('correlation', 'crossnobis')}",
        ]
    if command == "timecourse":
        settings += [
            shown,
            f"step={one(0.05, 0.1)}",
            f"test.n_permutations={one(99, 500)}",
            f"test.along={one('time', 'time and layers')}",
        ]
    if command == "analyse":
        settings += [shown, f"analyses.0.n_permutations={one(19, 99, 199)}"]
    return settings


def main() -> None:
    """Plan, run and compare; print each, and end with 1 if memory was ever more than said."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("configs", nargs="*", help="configurations to run whole")
    parser.add_argument("--random", type=int, default=0, help="how many small runs of chance")
    parser.add_argument("--parts", action="store_true", help="print all parts, too")
    parser.add_argument("--wall", action="store_true", help="time as the clock on the wall has it")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    over = 0
    multiprocessing.set_forkserver_preload(["__main__"])
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        jobs = [(command_of(config), config, []) for config in options.configs]
        if options.random:
            paths = make_project(folder / "project")
            for i in range(options.random):
                command = list(RUNS)[i % len(RUNS)]
                jobs.append((command, str(paths[command]), draw(command, rng)))
        for i, job in enumerate(jobs):
            said, was = compared(*job, folder / str(i), options.wall)
            over += was["bytes"] > said["bytes"]
            print(
                f"{job[0]} {Path(job[1]).stem} {' '.join(job[2])}: seconds "
                f"{said['seconds']:.1f} / {was['seconds']:.1f} = "
                f"{said['seconds'] / was['seconds']:.2f}, MB {said['bytes'] / 1e6:.0f} / "
                f"{was['bytes'] / 1e6:.0f} = {said['bytes'] / was['bytes']:.2f}, disk "
                f"{said['disk'] / was['disk']:.2f}",
                flush=True,
            )
            if options.parts:
                print("  planned", said["parts"], "\n  took   ", was["parts"], flush=True)
    print(f"{len(jobs)} runs, {over} took more memory than their plan said")
    raise SystemExit(1 if over else 0)


def command_of(config: str) -> str:
    """Return the command that a configuration is for."""
    for command, kind in COMMANDS.items():
        try:
            kind.read(config)
        except ValueError:
            continue
        return command
    raise SystemExit(f"{config} is for no command")


if __name__ == "__main__":
    main()
