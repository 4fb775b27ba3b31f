"""Steps of a run: done once, redone when their input or files change, locked."""

import multiprocessing
import time

import pytest

import rsa_faces as rf
from rsa_faces.runs._steps import Steps, locked


@pytest.fixture
def step(tmp_path):
    calls = []

    def run(key="k"):
        def make():
            calls.append(key)
            (tmp_path / "a.txt").write_text(key)

        steps = Steps(tmp_path)
        steps.run("a", [key], ["a.txt"], make)
        return steps

    run.calls = calls
    return run


def test_a_done_step_is_not_repeated(step):
    step()
    assert step().reused == ["a"]
    assert step.calls == ["k"]


def test_another_key_repeats_the_step(step):
    step()
    step("other")
    assert step.calls == ["k", "other"]


@pytest.mark.parametrize("damage", ["change", "remove"])
def test_a_changed_or_missing_file_repeats_the_step(step, tmp_path, damage):
    step()
    if damage == "change":
        (tmp_path / "a.txt").write_text("something else")
    else:
        (tmp_path / "a.txt").unlink()
    step()
    assert step.calls == ["k", "k"]


def test_a_step_that_fails_is_not_done(step, tmp_path):
    steps = Steps(tmp_path)
    with pytest.raises(RuntimeError):
        steps.run("a", ["k"], ["a.txt"], lambda: (_ for _ in ()).throw(RuntimeError()))
    step()
    assert step.calls == ["k"]


def test_parts_of_a_key_cannot_be_confused(tmp_path):
    made = []
    (tmp_path / "x").touch()
    Steps(tmp_path).run("a", ["ab", "c"], ["x"], lambda: made.append(1))
    Steps(tmp_path).run("a", ["a", "bc"], ["x"], lambda: made.append(2))
    assert made == [1, 2]


def test_a_damaged_record_means_starting_over(step, tmp_path):
    step()
    (tmp_path / "state.json").write_text("{half")
    step()
    assert step.calls == ["k", "k"]


def _hold(folder, ready):
    with locked(folder):
        ready.set()
        time.sleep(60)


def test_two_runs_cannot_share_a_folder_and_a_killed_one_leaves_it_free(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=_hold, args=(tmp_path, ready))
    process.start()
    try:
        assert ready.wait(30)
        with pytest.raises(rf.InputError, match="another run is writing there"), locked(tmp_path):
            pass
    finally:
        process.kill()
        process.join()
    with locked(tmp_path):
        pass
