"""Arguments of a wrong type: one sentence of ours at the door of every public function."""

import functools
import inspect
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from public import parameters, public_functions

import rsa_faces as rf
from rsa_faces._core.checks import check_arguments, check_count, check_is
from rsa_faces.stimuli import StimulusSet

NAMES = [f"face {i}" for i in range(8)]


@functools.cache
def good():
    """Arguments of the main kinds that are right."""
    rng = np.random.default_rng(0)
    labels = {
        "subject": list("123"),
        "name": list("abc"),
        "layer": list("abc"),
        "network": "n",
        "time": [0.0, 1, 2],
    }
    images = rng.integers(0, 255, (8, 32, 32, 3), dtype=np.uint8)
    return {
        "RDMs": rf.RDMs(rng.random((3, 28)), NAMES, "euclidean", labels),
        "StimulusSet": StimulusSet.from_arrays(images, NAMES),
        "Network": rf.load_network("pixels"),
    }


#: What is given instead, for each kind of argument.
WRONG = {
    "RDMs": [np.zeros((8, 8)), "rdms.h5", None, ["RDMs"]],
    "StimulusSet": ["folder", np.zeros((2, 4, 4, 3)), None],
    "Network": ["pixels", None, torch.nn.Identity()],
    "layers": [None, 3, [3], "no such layer"],
    "folds": [3, [1, "1"] * 4, {1, 2}, "12", [1, None] * 4],
    "int": [10**9, "many", None, [3]],
    "seed": ["many", 2.5, -3],
}


def kind_of(name, parameter):
    """Return the kind of an argument, None if it is none of the main ones."""
    if name in ("layers", "folds", "seed"):
        return name
    text = str(parameter.annotation).removesuffix(" | None")
    return text if text in WRONG else None


def tries():
    """Every public function and argument of a main kind."""
    for name, function in public_functions().items():
        arguments = parameters(function)
        if (inspect.isclass(function) and name not in ("RDMs", "Activations")) or (
            "self" in arguments
        ):
            continue
        for argument, parameter in arguments.items():
            if kind_of(argument, parameter):
                yield name, argument


TRIES = list(tries())


def test_the_walk_is_not_empty():
    assert len({name for name, _ in TRIES}) > 100
    assert len(TRIES) > 250


@pytest.mark.parametrize(("name", "argument"), TRIES)
def test_a_wrong_type_is_one_sentence(name, argument):
    function = public_functions()[name]
    arguments = parameters(function)
    usual = {
        "conditions": NAMES,
        "names": NAMES,
        "act": lambda *_: None,
    }
    right = {
        key: good().get(str(p.annotation), usual.get(key))
        for key, p in arguments.items()
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    }
    if argument == "folds" and "measure" in arguments:
        patterns = np.random.default_rng(1).normal(size=(8, 5, 3))
        own = {"data": patterns[..., 0], "patterns": patterns, "times": [0.0, 1, 2]}
        right |= {key: own[key] for key in own if key in arguments} | {"measure": "crossnobis"}
    if "progress" in arguments:
        right["progress"] = False
    optional = "None" in str(arguments[argument].annotation)
    for value in WRONG[kind_of(argument, arguments[argument])]:
        if value is None and optional:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with pytest.raises((rf.InputError, TypeError, ImportError)) as caught:
                function(**{**right, argument: value})
        sentence = str(caught.value)
        assert "expected" in sentence or "unknown" in sentence or "needs" in sentence, sentence
        assert "\n" not in sentence


def test_arguments_are_checked_by_their_annotations():
    def function(rdms: "rf.RDMs", table: "pd.DataFrame | None", n: "int", name: "str", seed: "int"):
        check_arguments(function, locals())

    function(None, None, 3, "a", None)  # a dotted name is not resolved, and seeds are as_rng's
    function(None, None, np.int64(3), "a", 10**12)
    with pytest.raises(TypeError, match=r"a DataFrame or None as `table`, got 3 \(int\)"):
        function(None, 3, 3, "a", 0)
    with pytest.raises(TypeError, match="a whole number as `n`, got a list"):
        function(None, None, [1] * 100, "a", 0)
    with pytest.raises(rf.InputError, match="n to be at most 10,000,000, got 1,000,000,000"):
        function(None, None, 10**9, "a", 0)
    function(None, None, 1, object(), 0)  # a choice


def test_a_class_that_is_known_to_type_checkers_only_is_found_by_its_name():
    with pytest.raises(TypeError, match=r"expected Network as `network`, got 'pixels' \(str\)"):
        rf.layer_rdms("pixels", good()["StimulusSet"])


def test_a_value_of_another_type():
    assert check_is(3, int, what="x") == 3
    assert check_is(None, int, what="x", optional=True) is None
    with pytest.raises(TypeError, match="expected a number as `x`, got 'a'"):
        check_is("a", int, what="x", hint="a number")
    with pytest.raises(rf.InputError, match="expected int or float as `x`, got None"):
        check_is(None, (int, float), what="x")
    with pytest.raises(rf.InputError, match="expected n_boot to be at most 10,000,000"):
        check_count(10**9, what="n_boot")
    assert check_count(10**9, what="n", high=10**10) == 10**9
