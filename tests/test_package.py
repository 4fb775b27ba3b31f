"""The package as a whole: quick to import, typed, documented in its changelog."""

import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import rsa_faces as rf

HEAVY = ("torch", "nilearn", "mne", "matplotlib", "pandas", "scipy", "h5py")
COMMANDS = {
    "import rsa_faces": "import rsa_faces",
    "rsa-faces --help": (
        "import sys; sys.argv = ['rsa-faces', '--help']\n"
        "from rsa_faces.cli import main\n"
        "try: main()\nexcept SystemExit as e: assert not e.code"
    ),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_starts_without_heavy_packages(command):
    code = f"{COMMANDS[command]}\nimport sys; print('loaded:', *({HEAVY!r} & sys.modules.keys()))"
    code = code.replace(f"{HEAVY!r} &", f"set({HEAVY!r}) &")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].strip() == "loaded:"


def test_every_public_name_exists():
    for name in rf.__all__:
        assert getattr(rf, name) is not None
    assert set(dir(rf)) == set(rf.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = rf.nothing


def test_public_names_for_type_checkers_are_the_lazy_ones():
    text = Path(rf.__file__).read_text(encoding="utf-8")
    block = text[text.index("if TYPE_CHECKING") : text.index("def __getattr__")]
    for name in rf._HOME:
        assert name in block


def test_the_package_is_typed_and_the_changelog_names_the_version():
    assert importlib.util.find_spec("rsa_faces").submodule_search_locations
    assert Path(rf.__file__).with_name("py.typed").is_file()
    changelog = Path(__file__).parents[1] / "CHANGELOG.md"
    assert f"## {rf.__version__}" in changelog.read_text(encoding="utf-8")


def test_every_exemption_from_a_rule_has_its_reason():
    root = Path(__file__).parents[1]
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    checked = tuple(root / folder for folder in settings["tool"]["mypy"]["files"])
    exemption = re.compile(r"# (?:noqa: [A-Z0-9, ]+|(type: ignore)\[[a-z-]+\])(.*)$")
    for folder in ("rsa_faces", "scripts", "tests", "docs"):
        for path in (root / folder).rglob("*.py"):
            lines = path.read_text(encoding="utf-8").splitlines()
            for number, line in enumerate(lines):
                if not (found := exemption.search(line)):
                    continue
                of_types, reason = found.groups()
                above = [one.strip() for one in lines[max(number - 2, 0) : number]]
                told = reason or any(one.startswith("# ") for one in above)
                # What mypy does not look at needs no exemption, and gets none.
                is_looked_at = not of_types or any(top in path.parents for top in checked)
                assert told or not is_looked_at, f"{path}:{number + 1}: {line.strip()}"
