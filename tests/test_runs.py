"""What every run keeps to: one configuration, one run in a folder, nothing left, nothing lost."""

import errno
import os
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Literal, get_args, get_origin

import h5py
import numpy as np
import pytest
from test_cli import make_project, rsa_faces, sentence

import rsa_faces as rf
from rsa_faces.runs import COMMANDS
from rsa_faces.runs._reading import Section
from rsa_faces.runs._run import Run
from rsa_faces.runs.analyse.run import AnalyseRun
from rsa_faces.runs.compare.run import CompareRun
from rsa_faces.runs.searchlight.run import SearchlightRun
from rsa_faces.runs.timecourse.run import TimecourseRun

RUNS = {run.command: run for run in (CompareRun, SearchlightRun, TimecourseRun, AnalyseRun)}


def parts_of(annotation):
    """Return all types that an annotation names."""
    found = [annotation]
    for argument in get_args(annotation):
        if get_origin(annotation) is not Literal:
            found += parts_of(argument)
    return found


def sections_in(annotation):
    """Return the kinds of sections that an annotation names."""
    return [p for p in parts_of(annotation) if isinstance(p, type) and issubclass(p, Section)]


def values_of(annotation):
    """Return two values of a key that is no section, different from each other."""
    for part in parts_of(annotation):
        if get_origin(part) is Literal:
            choices = get_args(part)
            return choices[:2] if len(choices) > 1 else (choices[0], None)
        if part is bool:
            return True, False
        if part in (int, float):
            return part(3), part(4)
        if part in (str, Path):
            return part("one"), part("other")
    raise AssertionError(f"no values for {annotation}")


def wrapped(annotation, section):
    """Return a section as its key takes it: alone, in a list, or by name."""
    for part in parts_of(annotation):
        if get_origin(part) in (list, dict) and type(section) in sections_in(part):
            return [section] if get_origin(part) is list else {"one": section}
    return section


def keys_of(kind, path=()):
    """Yield each key below a kind of section, with the fields and kinds that lead to it."""
    for name, field in kind.model_fields.items():
        below = sections_in(field.annotation)
        for section in below:
            yield from keys_of(section, (*path, (kind, name, section)))
        if not below:
            yield path, kind, name


def configuration(path, kind, name, value):
    """Return a configuration, unchecked, in which one key has a value."""
    section = kind.model_construct(**{name: value})
    for outer, field, _ in reversed(path):
        annotation = outer.model_fields[field].annotation
        section = outer.model_construct(**{field: wrapped(annotation, section)})
    return section.model_copy(update={"title": "x"}) if not path or name != "title" else section


KEYS = {
    command: [
        (".".join([*(field for _, field, _ in path), f"{kind.__name__}.{name}"]), path, kind, name)
        for path, kind, name in keys_of(RUNS[command].takes)
    ]
    for command in RUNS
}


class Stop(Exception):
    """Raised by a run that is only to claim its folder."""


def claim(command, config, folder, **options):
    """Claim a folder as the run of a command does, and make nothing."""

    class OnlyClaims(RUNS[command]):
        def check(self):
            pass

        def make(self):
            raise Stop

    with pytest.raises(Stop):
        OnlyClaims(config, folder, **options).run()


def content(folder):
    """Return all files with their bytes."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_all_commands_that_run_are_here():
    assert set(RUNS) == set(COMMANDS)
    assert all(issubclass(run, Run) for run in RUNS.values())
    assert {name: len(keys) > 25 for name, keys in KEYS.items()} == dict.fromkeys(RUNS, True)


@pytest.mark.parametrize("command", RUNS)
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
def test_each_key_makes_another_configuration(command, tmp_path):
    for i, (label, path, kind, name) in enumerate(KEYS[command]):
        one, other = values_of(kind.model_fields[name].annotation)
        folder = tmp_path / str(i)
        first = configuration(path, kind, name, one)
        if name == "title" and not path:
            first = first.model_copy(update={"title": one})
        second = configuration(path, kind, name, other)
        if name == "title" and not path:
            second = second.model_copy(update={"title": other})
        claim(command, first, folder)
        before = content(folder)
        with pytest.raises(rf.InputError, match="another configuration"):
            claim(command, second, folder)
        assert content(folder) == before, label
        claim(command, first, folder)
        claim(command, second, folder, fresh=True)
        assert content(folder) != before, label


def test_configurations_of_two_commands_do_not_mix(tmp_path):
    for one, other in pairwise(RUNS):
        folder = tmp_path / one
        for command, refused in ((one, False), (other, True)):
            config = RUNS[command].takes.model_construct(title="x")
            if refused:
                with pytest.raises(rf.InputError, match=rf"\(of `rsa-faces {one}`\)"):
                    claim(command, config, folder)
            else:
                claim(command, config, folder)


WAITS = """
import sys, time
from pathlib import Path
from rsa_faces.runs.compare.run import CompareRun
draw = CompareRun.draw
def waiting(self):
    Path(sys.argv[3]).touch()
    while not Path(sys.argv[4]).exists():
        time.sleep(0.05)
    draw(self)
CompareRun.draw = waiting
CompareRun(CompareRun.takes.read(sys.argv[1], {options!r}), sys.argv[2]).run()
"""
SMALL = ["networks=[pixels]", "inference.n_boot=100", "subsets={all: all}"]


def test_a_second_run_in_a_folder_is_refused_and_the_first_unharmed(tmp_path):
    project = make_project(tmp_path)
    config, out = project / "c.yaml", project / "out"
    settings = [word for setting in SMALL for word in ("--set", setting)]
    alone = rsa_faces("compare", config, "--out", project / "alone", *settings)
    assert alone.exit_code == 0, alone.output
    here, go = project / "here", project / "go"
    code = WAITS.replace("{options!r}", repr(SMALL))
    first = subprocess.Popen([sys.executable, "-c", code, config, out, here, go])
    try:
        while first.poll() is None and not here.exists():
            time.sleep(0.05)
        before = content(out)
        for more in ((), ("--fresh",), ("--fresh", "--set", "seed=7"), ("--set", "seed=7")):
            second = rsa_faces("compare", config, "--out", out, *settings, *more)
            assert second.exit_code == 2, second.output
            assert "another run is writing there" in sentence(second)
            assert content(out) == before
        go.touch()
        assert first.wait(timeout=300) == 0
    finally:
        first.kill()
        first.wait()
    for name in ("results.csv", "tests.csv", "subjects.csv", "notes.txt", "methods.md"):
        assert (out / name).read_bytes() == (project / "alone" / name).read_bytes(), name
    assert not list(out.rglob(".*.part*"))


@pytest.mark.parametrize("command", RUNS)
def test_a_folder_that_cannot_be_made_is_said_before_anything_is_read(command, tmp_path):
    (tmp_path / "file").write_text("mine")

    class NeverReads(RUNS[command]):
        def check(self):
            raise AssertionError("it read before it knew where to write")

    run = NeverReads(RUNS[command].takes.model_construct(title="x"), tmp_path / "file" / "out")
    with pytest.raises(rf.InputError, match="file is a file. Choose another with --out"):
        run.run()
    assert (tmp_path / "file").read_text() == "mine"


def test_temporary_files_of_killed_runs_go_and_others_stay(tmp_path):
    config = CompareRun.takes.model_construct(title="x")
    claim("compare", config, tmp_path)
    (tmp_path / "rdms").mkdir()
    (tmp_path / "rdms" / ".pixels.abc123.part.h5").write_bytes(b"half")
    (tmp_path / "mine.part.txt").write_text("mine")
    claim("compare", config, tmp_path)
    assert not list(tmp_path.rglob(".*.part*"))
    assert (tmp_path / "mine.part.txt").exists()


FULL = """
import sys
import rsa_faces as rf
rdms = rf.RDMs([[1.0, 2, 3]] * 2000, list("abc"), "x", {"subject": [str(i) for i in range(2000)]})
try:
    rdms.save(sys.argv[1])
except OSError as error:
    print(error.errno)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of file sizes")
def test_a_file_that_does_not_fit_is_an_error_not_a_crash_and_leaves_nothing(tmp_path):
    # A limit of the size of files stands for a full disk: writing fails in the middle of HDF5.
    limit = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    limit += "resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))"
    done = subprocess.run(
        [sys.executable, "-c", FULL.replace("try:", f"{limit}\ntry:"), tmp_path / "x.h5"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "NUMBA_CACHE_DIR": "", "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == errno.EFBIG
    assert not list(tmp_path.iterdir())


def test_a_full_disk_ends_with_a_sentence(tmp_path, monkeypatch):
    project = make_project(tmp_path)

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    run = rsa_faces(
        "compare",
        project / "c.yaml",
        "--out",
        project / "out",
        *[word for setting in SMALL for word in ("--set", setting)],
    )
    assert run.exit_code == 1
    assert "the disk is full: [Errno 28] No space left on device. Make room" in sentence(run)
    assert not list((project / "out").rglob(".*.part*"))


def test_files_are_the_same_bytes_each_time(tmp_path):
    rdms = rf.RDMs(np.arange(6.0)[None], list("abcd"), "x", {"name": ["x"]})
    for name in ("a", "b"):
        rdms.save(tmp_path / f"{name}.h5")
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["vectors"].shape == (1, 6)


@pytest.mark.slow
@pytest.mark.simulation
@pytest.mark.parametrize("command", RUNS)
def test_killed_runs_go_on_and_end_with_the_same_bytes(command):
    script = Path(__file__).parents[1] / "scripts" / "kill_runs.py"
    asked = [sys.executable, script, "--kills", "1", "--commands", command]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 ended with the same bytes and nothing left" in done.stdout
