"""What every test leaves as it was."""

import logging
import sys
from zlib import crc32

import pytest


def pytest_addoption(parser):
    parser.addoption(
        "--turn",
        metavar="K/N",
        help="of the simulations only those whose turn it is: the K-th of N parts, K from 0 on",
    )


def pytest_collection_modifyitems(config, items):
    """Leave out the simulations whose turn it is not."""
    if config.getoption("--turn") is None:
        return
    k, n = map(int, config.getoption("--turn").split("/"))
    left_out = [
        item
        for item in items
        if item.get_closest_marker("simulation") and crc32(item.nodeid.encode()) % n != k
    ]
    items[:] = [item for item in items if item not in set(left_out)]
    config.hook.pytest_deselected(items=left_out)


@pytest.fixture(autouse=True)
def log_level():
    """Undo the level that the command line sets."""
    yield
    logging.getLogger("rsa_faces").setLevel(logging.NOTSET)


@pytest.fixture(autouse=True)
def weights_are_not_looked_at(request, monkeypatch):
    """Weights drawn at random see nothing: only the tests of the check look at them."""
    load = sys.modules.get("rsa_faces.networks._load")
    if load is not None and request.path.name != "test_networks_check.py":
        monkeypatch.setattr(load, "_look_at", lambda *_: None)


@pytest.fixture(autouse=True)
def keys_are_given_back(monkeypatch):
    """End the processes with the key of an arrangement task that a test started and left."""
    keys = sys.modules.get("rsa_faces.behaviour.arrange._keys")
    if keys is None:
        yield
        return
    started, start = [], keys.Keeper._start

    def noted(keeper):
        start(keeper)
        started.append(keeper)

    monkeypatch.setattr(keys.Keeper, "_start", noted)
    yield
    for keeper in started:
        keeper.close()


@pytest.fixture(scope="session", autouse=True)
def folders_are_described():
    """Whatever command a test runs: each file and column has its line in the folder's README."""
    if not {"rsa_faces.cli", "rsa_faces.runs"} & set(sys.modules):
        yield  # no test of this session runs a command
        return
    from rsa_faces.runs import _run
    from rsa_faces.runs._columns import describe_folder

    def checked(folder, tables, what, meanings):
        text = describe_folder(folder, tables, what, meanings)
        assert not what or set(tables) <= set(what), "a table that the command does not name"
        bare = [line for line in text.splitlines() if line.startswith("- `") and line[-1] == "`"]
        assert not bare, f"not described in the README of an output folder: {bare}"
        return text

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_run, "describe_folder", checked)
        yield


@pytest.fixture
def figures_keep_the_rules(monkeypatch):
    """Look at each figure that a run saves: n, units, sizes, legends; nothing is cut off."""
    from drawn import broken_rules

    from rsa_faces import figures

    def checked(figure, path):
        assert broken_rules(figure) == [], path
        return save(figure, path)

    save = figures.save_figure
    monkeypatch.setattr(figures, "save_figure", checked)
