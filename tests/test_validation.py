"""Checks at the door, and files written whole or not at all."""

import numpy as np
import pytest

import rsa_faces as rf
from rsa_faces._core.checks import as_rng, check_choice, check_count, parse_bytes
from rsa_faces._core.files import atomic_path, sha256_bytes, sha256_file, write_text
from rsa_faces._core.optional import require


@pytest.mark.parametrize(
    ("text", "n_bytes"),
    [("4GB", 4e9), ("500 MiB", 500 * 2**20), ("1.5g", 1.5e9), (1024, 1024), ("10", 10)],
)
def test_memory_sizes(text, n_bytes):
    assert parse_bytes(text) == n_bytes


@pytest.mark.parametrize("text", ["lots", "4 XB", "-1GB", "0", ""])
def test_wrong_memory_sizes(text):
    with pytest.raises(rf.InputError, match="memory size"):
        parse_bytes(text)


def test_a_choice_names_the_nearest():
    assert check_choice("cosine", ["cosine"], what="measure") == "cosine"
    with pytest.raises(rf.InputError, match="unknown measure 'Cosin'. Did you mean 'cosine'"):
        check_choice("Cosin", ["cosine", "euclidean"], what="measure")
    with pytest.raises(rf.InputError, match="unknown layer 'zzz'. Valid: .* and 10 more"):
        check_choice("zzz", [f"conv{i}" for i in range(40)], what="layer")


@pytest.mark.parametrize("value", [0, 1.5, True, "3", None])
def test_counts(value):
    with pytest.raises(rf.InputError, match="whole number of at least 1"):
        check_count(value, what="n_boot")


def test_seeds():
    assert as_rng(3).random() == np.random.default_rng(3).random()
    generator = np.random.default_rng(0)
    assert as_rng(generator) is generator
    with pytest.raises(rf.InputError, match="seed to be a whole number of at least 0, got -1"):
        as_rng(-1)


def test_a_missing_extra_says_how_to_install_it():
    with pytest.raises(rf.MissingExtraError, match=r"pip install 'rsa-faces\[ieeg\]'"):
        require("no_such_module_here", extra="ieeg", purpose="Reading recordings")


def test_an_interrupted_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old\n")
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_bytes() == b"old\n"
    assert list(tmp_path.iterdir()) == [path]


def test_hashes_are_those_of_the_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_file(tmp_path / "a").startswith("ba7816bf8f01cfea")
    assert sha256_bytes(b"ab", b"c") != sha256_bytes(b"a", b"bc")
