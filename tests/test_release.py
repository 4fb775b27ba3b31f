"""What a release holds: files of the wheel and of the sdist, and one version everywhere."""

import ast
import re
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

import rsa_faces as rf

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The names in the wheel and in the sdist, and the wheel's metadata."""
    import os

    from hatchling import build

    folder, before = tmp_path_factory.mktemp("dist"), os.getcwd()
    os.chdir(ROOT)
    try:
        wheel = folder / build.build_wheel(str(folder))
        sdist = folder / build.build_sdist(str(folder))
    finally:
        os.chdir(before)
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = next(name for name in names if name.endswith("METADATA"))
        text = archive.read(metadata).decode()
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    return names, inside, text


def tracked(folder: str) -> set[str]:
    """Return the files of a folder of the package but compiled ones."""
    paths = (ROOT / folder).rglob("*")
    return {
        path.relative_to(ROOT).as_posix()
        for path in paths
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_holds_the_package_and_nothing_else(built):
    wheel, _, _ = built
    extra = {name for name in wheel if not name.startswith("rsa_faces/")}
    assert {name.partition("/")[0] for name in extra} == {f"rsa_faces-{rf.__version__}.dist-info"}
    assert tracked("rsa_faces") <= wheel
    assert any(name.endswith("configs/images92.yaml") for name in wheel)
    assert any(name.endswith(".safetensors") for name in wheel)


def test_the_sdist_holds_what_a_packager_needs(built):
    _, sdist, _ = built
    for name in (
        ".ci/run",
        "CHANGELOG.md",
        "CITATION.cff",
        "CONTRIBUTING.md",
        "LICENSE",
        "README.md",
        "SECURITY.md",
        "docs/index.md",
        "docs/conf.py",
        "pyproject.toml",
        "rsa_faces/configs/london.yaml",
        "scripts/docs",
        "tests/test_release.py",
    ):
        assert name in sdist, name
    assert not any(name.startswith(("docs/made", "docs/_build")) for name in sdist)


def test_metadata_says_what_an_index_shows(built):
    _, _, metadata = built
    assert "License-Expression: BSD-3-Clause" in metadata
    assert "Description-Content-Type: text/markdown" in metadata
    assert "# rsa-faces" in metadata
    for extra in ("arrange", "cluster", "docs", "ieeg", "video"):
        assert f"Provides-Extra: {extra}" in metadata


def test_one_version_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == rf.__version__
    recipe = (ROOT / "conda" / "recipe.yaml").read_text(encoding="utf-8")
    assert f'version: "{rf.__version__}"' in recipe
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (.+)$", changelog, re.MULTILINE)[0] == rf.__version__


def test_the_install_page_names_every_dependency_and_extra():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    page = (ROOT / "docs" / "start" / "install.md").read_text(encoding="utf-8")
    line = re.search(r"pip install (h5py.+?)\npip install --no-deps", page, re.DOTALL).group(1)
    wanted = {re.match(r"[\w-]+", one).group() for one in project["dependencies"]}
    of_networks = {"torch", "torchvision", "timm", "safetensors"}
    assert set(line.replace("\\", "").split()) == wanted - of_networks
    told = set(re.findall(r"rsa-faces\[(\w+)\]", page))
    assert told == set(project["optional-dependencies"]) - {"dev", "docs", "test"}


def test_what_is_missing_is_said_with_an_extra_that_brings_it():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    extras = tomllib.loads(text)["project"]["optional-dependencies"]
    asked = set()
    for path in (ROOT / "rsa_faces").rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(call, ast.Call) or getattr(call.func, "id", "") != "require":
                continue
            given = {one.arg: getattr(one.value, "value", None) for one in call.keywords}
            purpose = given["purpose"]
            assert not isinstance(purpose, str) or purpose[0].isupper(), (path, purpose)
            module = getattr(call.args[0], "value", "")
            if module and given.get("extra"):
                brought = [re.match(r"[\w-]+", one).group() for one in extras[given["extra"]]]
                assert module.replace("_", "-") in brought, (path, module)
                asked.add(given["extra"])
    assert asked == {"arrange", "attribution", "cluster", "ieeg", "video"}


def test_what_is_imported_is_a_dependency_by_name():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(text)["project"]
    extras = [one for some in project["optional-dependencies"].values() for one in some]
    named = {re.match(r"[\w-]+", one).group() for one in [*project["dependencies"], *extras]}
    others = {"PIL": "pillow", "cv2": "opencv-python-headless", "sklearn": "scikit-learn"}
    others["yaml"] = "pyyaml"
    for path in (ROOT / "rsa_faces").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules = [one.name for one in node.names]
            else:
                modules = [node.module] if isinstance(node, ast.ImportFrom) else []
            for top in {module.partition(".")[0] for module in modules}:
                if top not in {*sys.stdlib_module_names, "rsa_faces"}:
                    assert others.get(top, top.replace("_", "-")) in named, (path, top)


def test_the_recipe_has_the_dependencies_of_the_package():
    named = {
        "opencv-python-headless": "py-opencv",
        "torch": "pytorch",
        "matplotlib": "matplotlib-base",
    }
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    block = text[text.index("dependencies = [") : text.index("[project.optional-dependencies]")]
    wanted = {
        f"{named.get(name, name)} >={version}"
        for name, version in re.findall(r'"([\w-]+)>=([\d.]+)"', block)
    }
    recipe = yaml.safe_load((ROOT / "conda" / "recipe.yaml").read_text(encoding="utf-8"))
    assert wanted | {"python >=3.11"} == set(recipe["requirements"]["run"])
