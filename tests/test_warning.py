"""A warning points at the line that called the package."""

import inspect
import warnings

import numpy as np
import pytest

import rsa_faces as rf
from rsa_faces._core.configurations import Section, key


def rdms(n, **labels):
    vectors = np.random.default_rng(0).uniform(size=(n, 15))
    labels = {name: [f"{name}{k}" for k in range(n)] for name in labels} or None
    return rf.RDMs(vectors, list("abcdef"), "euclidean", labels)


MODEL, DATA = rdms(1), rdms(4, subject=True)
CONSTANT = rf.RDMs(np.ones((1, 15)), list("abcdef"), "euclidean")


class Old(Section):
    renamed = {"colour": "color"}
    color: str = key("A colour.", "red")


CALLS = {
    # by a decorator around another decorator, and the notes of the result
    "old keyword": lambda: rf.evaluate(MODEL, DATA, bootstrap="subjects", n_boot=10),
    "note of a result": lambda: rf.evaluate(CONSTANT, DATA, n_boot=10),
    # by helpers of a helper
    "constant": lambda: rf.compare(CONSTANT, DATA),
    "names": lambda: rf.RDMs(np.ones((1, 3)), ["e\u0301", "b", "c"], "euclidean"),
    # by pydantic, which makes the object
    "old key": lambda: Old(colour="blue"),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_warning_is_at_the_line_that_called(name):
    call = CALLS[name]
    line = inspect.getsourcelines(call)[1]
    with warnings.catch_warnings(record=True, action="always") as caught:
        call()
    assert caught
    assert {(w.filename, w.lineno) for w in caught} == {(__file__, line)}
