"""Every key of every configuration has a line of help, and `--help-config` prints it."""

import pytest
from test_cli import rsa_faces

from rsa_faces.runs import COMMANDS
from rsa_faces.runs._cluster_config import ClusterConfig
from rsa_faces.runs._help import keys
from rsa_faces.runs.analyse.questions import QUESTIONS


@pytest.mark.parametrize("kind", [*COMMANDS.values(), ClusterConfig])
def test_no_key_lacks_its_line_of_help(kind):
    without = [f"{key.section.__name__}.{key.path[-1]}" for key in keys(kind) if not key.help]
    assert without == []
    paths = [key.path for key in keys(kind)]
    assert len(set(paths)) == len(paths)
    assert all(key.help[-1] == "." and "\n" not in key.help for key in keys(kind))


@pytest.mark.parametrize("command", COMMANDS)
def test_help_config_prints_every_key(command):
    done = rsa_faces(command, "--help-config")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 100
    text = " ".join(done.stdout.split())
    for key in keys(COMMANDS[command]):
        assert any(line.strip().startswith(f"{key.path[-1]}:") for line in lines)
        assert key.help in text


def test_kinds_and_defaults_are_those_of_the_models():
    told = {key.path: key for key in keys(COMMANDS["compare"])}
    assert told["inference", "correction"].kind == "fdr | bonferroni | holm"
    assert told["inference", "correction"].default == "fdr"
    assert told["networks", "crop_faces"].kind == "true | false | auto"
    assert told["title",].required
    questions = {
        key.path[1]
        for key in keys(COMMANDS["analyse"])
        if key.path[0] == "analyses" and len(key.path) > 1
    }
    assert "analysis: readout" in questions
    assert len(questions) == len(QUESTIONS)
