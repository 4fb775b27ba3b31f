"""Every class of results: made by the examples of its function, saved, loaded, drawn, unchanged."""

import contextlib
import doctest
import importlib
import inspect
import pkgutil
import re
from dataclasses import fields, is_dataclass

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from matplotlib.figure import Figure

import rsa_faces as rf
from rsa_faces import figures
from rsa_faces._core import stored
from rsa_faces._core.result import BaseResult
from rsa_faces.analyses._effects import Effects

MODULES = [
    importlib.import_module(module.name)
    for module in pkgutil.walk_packages(rf.__path__, "rsa_faces.")
]


def subclasses(cls=BaseResult):
    """Yield all classes of results that the package defines; `Effects` is a base only."""
    for sub in cls.__subclasses__():
        if sub.__module__.startswith("rsa_faces.") and sub is not Effects:
            yield sub
        yield from subclasses(sub)


CLASSES = sorted(set(subclasses()), key=lambda cls: cls.__name__)
#: Their examples look at images with networks, or draw a bootstrap.
SLOW = {"BestLayer", "ConfidenceCheck", "Result", "Synthesis", "TopographyComparison"}


def params(classes):
    """Return one parameter for each class; those that take long are in the slow tier."""
    return [
        pytest.param(cls, id=cls.__name__, marks=[pytest.mark.slow] if cls.__name__ in SLOW else [])
        for cls in classes
    ]


def examples_of(cls):
    """Return the functions whose examples may make a result: they return it, or it has its own."""
    makers = [cls]
    for module in MODULES:
        for function in vars(module).values():
            if not inspect.isfunction(function) or function.__module__ != module.__name__:
                continue
            returns = str(inspect.unwrap(function).__annotations__.get("return", ""))
            if cls.__name__ in re.findall(r"\w+", returns):
                makers.append(function)
    return makers


_MADE = {}


def made_by_examples(cls):
    """Run the examples until one has made a result of the class."""
    if cls in _MADE:
        return _MADE[cls]
    made = []
    before = BaseResult.__post_init__

    def remember(self):
        before(self)
        made.append(self)

    BaseResult.__post_init__ = remember
    try:
        for maker in examples_of(cls):
            module = importlib.import_module(maker.__module__)
            finder = doctest.DocTestFinder(recurse=False)
            flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
            for test in finder.find(maker, globs={"__name__": "__main__"}, module=False):
                with contextlib.redirect_stdout(None), contextlib.suppress(Exception):
                    doctest.DocTestRunner(optionflags=flags).run(test, out=lambda text: None)
            assert module
            if found := [one for one in made if type(one) is cls]:
                _MADE[cls] = found[-1]
                return found[-1]
    finally:
        BaseResult.__post_init__ = before
    pytest.fail(f"no example in a docstring makes a {cls.__name__}")


@pytest.fixture(params=params(CLASSES))
def result(request):
    return made_by_examples(request.param)


def test_saved_loaded_equal(result, tmp_path):
    result.save(tmp_path / "r.h5")
    again = rf.load_result(tmp_path / "r.h5")
    assert type(again) is type(result)
    assert again.equals(result)
    assert repr(again) == repr(result)


def test_repr_and_html(result):
    lines = repr(result).splitlines()
    assert 1 <= len(lines) <= 8
    assert max(map(len, lines)) <= 200
    assert type(result).__name__ in lines[0]
    assert "<table" in result._repr_html_()


def test_nothing_in_it_can_be_changed(result):
    names = [f.name for f in fields(result)]
    before = {name: getattr(result, name) for name in names}
    tables = [name for name, value in before.items() if isinstance(value, pd.DataFrame)]
    for name in [*tables, "table"]:
        table = getattr(result, name)
        table["something new"] = 1
        del table[table.columns[0]]
    frame = result.to_frame()
    frame["something new"] = 1
    result.settings["something new"] = 1
    assert stored.same({name: getattr(result, name) for name in names}, before)
    assert isinstance(result.notes, tuple)
    assert all(isinstance(note, str) for note in result.notes)
    assert len(result.to_frame().columns)


@pytest.mark.parametrize("cls", params(cls for cls in CLASSES if cls.figure is not None))
def test_plot_calls_its_figure(cls):
    assert cls.figure in figures.__all__
    result = made_by_examples(cls)
    options = {"start": result.stimuli} if cls.__name__ == "Synthesis" else {}
    assert isinstance(result.plot(**options), Figure)
    plt.close("all")


def test_results_are_frozen_dataclasses_of_one_base():
    """A public dataclass with a table is a result, or one of the few that are data."""
    data = {
        "FaceTable",
        "Faces",
        "IeegPatterns",
        "RDMs",
        "SimulatedFaces",
        "SimulatedRecordings",
        "SimulatedBrain",
        "SimulatedCortex",
        "StimulusSet",
        "Study",
        "Table",
        "Turns",
    }
    public = {
        value
        for module in MODULES
        for name in getattr(module, "__all__", ())
        if is_dataclass(value := getattr(module, name)) and isinstance(value, type)
    }
    assert not set(CLASSES) - public
    for cls in public - set(CLASSES):
        tables = [f.name for f in fields(cls) if str(f.type) in ("pd.DataFrame", "DataFrame")]
        assert not tables or cls.__name__ in data, cls
    assert len(CLASSES) >= 40
