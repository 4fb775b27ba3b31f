"""Configurations that ship: listed, written, and read by the command that they name."""

import re

import pytest
from test_cli import rsa_faces, sentence

from rsa_faces.behaviour.arrange import load_arrange_config
from rsa_faces.cli._example import command_of, examples
from rsa_faces.runs import COMMANDS
from rsa_faces.runs._cluster_config import load_cluster_config


def test_all_are_listed_with_what_they_do():
    shown = rsa_faces("example")
    assert shown.exit_code == 0, shown.output
    for name in examples():
        assert re.search(rf"^ *{name} +\w", shown.output, re.MULTILINE), name


@pytest.mark.parametrize("name", examples())
def test_each_is_written_and_read_by_its_command(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    written = rsa_faces("example", name)
    assert written.exit_code == 0, written.output
    text = (tmp_path / f"{name}.yaml").read_text(encoding="utf-8")
    assert "configs/" not in text
    command = command_of(text)
    assert command in " ".join(written.output.split())
    assert f"{name}.yaml" in command
    word = command.split()[1]
    if name == "cluster":
        load_cluster_config(tmp_path / "cluster.yaml")
    elif word == "arrange":
        load_arrange_config(tmp_path / f"{name}.yaml")
    else:
        COMMANDS[word].read(tmp_path / f"{name}.yaml")


def test_a_file_that_is_there_stays(tmp_path):
    (tmp_path / "x.yaml").write_text("mine")
    refused = rsa_faces("example", "images92", "--out", tmp_path / "x.yaml")
    assert refused.exit_code == 2
    assert "expected a new file" in sentence(refused)
    assert (tmp_path / "x.yaml").read_text() == "mine"
    unknown = rsa_faces("example", "image92")
    assert unknown.exit_code == 2
    assert "Did you mean 'images92'" in sentence(unknown)
