"""README and pages of the site: what they show runs, and what they name is there."""

import ast
import inspect
import re
import shlex
import subprocess
import sys
import textwrap
import warnings
from importlib import import_module
from pathlib import Path

import click
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import typer.main
import yaml
from drawn import boxes, broken_rules

import rsa_faces as rf
from rsa_faces import InputError
from rsa_faces.cli import _app  # noqa: F401 (registers the commands)
from rsa_faces.cli._console import app

ROOT = Path(__file__).parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
PAGES = [page for page in PAGES if not {"made", "_build", "project", "results"} & set(page.parts)]


def blocks(page: Path, language: str) -> list[str]:
    """Return the blocks of a page in one language."""
    text = page.read_text(encoding="utf-8")
    found = re.findall(rf"^ *```{language}\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(block) for block in found]


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python")], ids=named)
def test_python_blocks_run(page, tmp_path, monkeypatch):
    code = "\n".join(blocks(page, "python"))
    monkeypatch.chdir(tmp_path)
    mpl.use("Agg")
    # Scripts whose functions are pickled need a module; these blocks need names only.
    exec(compile(code, named(page), "exec"), {"__name__": "page"})
    plt.close("all")


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "sh")], ids=named)
def test_commands_are_commands(page):
    root = typer.main.get_command(app)
    text = "\n".join(blocks(page, "sh")).replace("\\\n", " ")
    for line in text.splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] == ["rsa-faces"]:
            assert parses(root, words[1:]), line
            for folder in folders(root, words[1:]):
                assert not Path(folder).suffix, f"{line}: {folder} will be a folder"
        elif words and words[0].startswith("./scripts/"):
            assert (ROOT / words[0]).is_file(), line


def parses(command: click.Command, words: list[str]) -> bool:
    """Whether a command line is one: its command and options exist; files need not."""
    while isinstance(command, click.Group) or hasattr(command, "commands"):
        command, words = command.commands[words[0]], words[1:]
    parser = command.make_parser(click.Context(command))
    _, rest, _ = parser.parse_args(list(words))
    return not rest


def folders(command: click.Command, words: list[str]) -> list[str]:
    """Return what a command line gives to options that take a folder to write."""
    while hasattr(command, "commands"):
        command, words = command.commands[words[0]], words[1:]
    values, _, _ = command.make_parser(click.Context(command)).parse_args(list(words))
    options = {one.name for one in command.params if "--out" in one.opts and one.metavar == "DIR"}
    return [str(values[name]) for name in options & set(values)]


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "yaml")], ids=named)
def test_keys_of_configurations_are_keys(page):
    from rsa_faces.behaviour.arrange._config import ArrangeConfig
    from rsa_faces.runs import Config
    from rsa_faces.runs._cluster_config import ClusterConfig

    whole = {
        "title": "x",
        "stimuli": {"dataset": "images92"},
        "data": [{"dataset": "images92", "region": "x", "select": {"region": "human IT"}}],
        "networks": ["pixels"],
    }
    for block in blocks(page, "yaml"):
        given = yaml.safe_load(block)
        if "kind" in given:
            ClusterConfig.model_validate(given)
        elif set(given) <= set(Config.model_fields):
            Config.model_validate({**whole, **given})
        else:
            assert set(given) <= set(ArrangeConfig.model_fields), block


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_to_files(page):
    for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text(encoding="utf-8")):
        path = (page.parent / target).resolve()
        made = "made" in path.relative_to(ROOT).parts
        assert made or path.exists() or path.with_suffix(".md").exists(), target


#: Whatever a reader is told of: pages, scripts of tutorials, the draft of the paper.
TOLD = [
    *ROOT.glob("*.md"),
    *(ROOT / "paper").glob("*.md"),
    *(p for p in (ROOT / "docs").rglob("*.*") if p.suffix in (".md", ".rst", ".py")),
]
TOLD = [p for p in TOLD if not {"made", "_build", "results"} & set(p.parts)]
TOLD = [p for p in TOLD if p.name not in ("CHANGELOG.md", "pages.py")]


@pytest.mark.parametrize("page", TOLD, ids=named)
def test_files_and_names_that_are_mentioned_are_there(page):
    text = page.read_text(encoding="utf-8")
    folders = r"(?:rsa_faces|tests|scripts|docs|configs|conda|paper|requirements|\.ci)"
    for path in re.findall(rf"(?<![\w/.]){folders}/[\w./*<>-]*\w", text):
        pattern = re.sub(r"<\w+>", "*", path)
        assert list(ROOT.glob(pattern)) or "made" in path, path
    for dotted in re.findall(r"\b(?:rf|rsa_faces)((?:\.[a-zA-Z]\w*)+)(?![\w.]*/)", text):
        value = rf
        for part in dotted.split(".")[1:]:
            if inspect.ismodule(value):  # else a method, or an attribute of a result
                value = getattr(value, part, None) or import_module(f"{value.__name__}.{part}")


def test_formulas_are_drawn_by_every_browser():
    """An accent is left out where there is no font for mathematics: docs/mathml.py refuses it."""
    accents = re.compile(r"\\(?:bar|hat|tilde|vec|dot|overline|widehat)\b")
    texts = [*TOLD, *(ROOT / "rsa_faces").rglob("*.py")]
    assert not [p for p in texts if accents.search(p.read_text(encoding="utf-8"))]


def test_concepts_say_what_the_code_does():
    folder = ROOT / "docs" / "concepts"
    texts = {kind: (folder / f"{kind}.md").read_text("utf-8") for kind in ("measures", "methods")}
    for kind, known in (("measures", rf.rdm.MEASURES), ("methods", rf.comparison.METHODS)):
        rows = "".join(re.findall(r"^\| (`.+?) \|", texts[kind], re.MULTILINE))
        assert re.findall(r"`([\w-]+)`", rows) == list(known)
    rng = np.random.default_rng(0)
    # Without noise nothing is whitened, or it is refused.
    assert "`mahalanobis` is refused" in texts["measures"]
    patterns, names = rng.normal(size=(8, 5)), ["a", "b", "c", "d"] * 2
    options = {"conditions": names, "folds": [1] * 4 + [2] * 4}
    bare, given = (
        rf.compute_rdms(patterns, measure="crossnobis", noise=noise, **options).vectors
        for noise in (None, np.eye(5))
    )
    np.testing.assert_allclose(bare, given)
    with pytest.raises(InputError, match="expected `noise`"):
        rf.compute_rdms(patterns, measure="mahalanobis", conditions=names)
    # How similar a model of two categories can get, and what is undefined.
    assert "under `rho-a` its square" in texts["methods"]
    kind = np.repeat([0, 1], 20)
    model = rf.rdm.model_rdm_from_labels(kind, conditions=[f"c{i}" for i in range(40)])
    order = model.vectors + 1e-3 * rng.normal(size=model.vectors.shape)
    data, share = rf.RDMs(order, model.conditions, "simulated"), model.vectors.mean()
    largest = 3 * share * (1 - share)
    assert rf.compare(model, data, method="rho-a") == pytest.approx(largest, abs=1e-3)
    assert rf.compare(model, data, method="spearman") == pytest.approx(largest**0.5, abs=1e-3)
    # The pool that the upper ceiling takes is the best model for these methods.
    subjects = rf.RDMs(
        rng.normal(size=(5, 780)), model.conditions, "simulated", {"subject": list("abcde")}
    )
    near = subjects.mean().vectors + 0.1 * rng.normal(size=(50, 780))
    models = rf.RDMs(near, model.conditions, "simulated", {"name": [f"m{i}" for i in range(50)]})
    for method in ("pearson", "cosine", "spearman", "rho-a"):
        highest = rf.compare(models, subjects, method=method).mean(axis=1).max()
        assert highest < rf.noise_ceiling(subjects, method=method).upper, method
    same = rf.RDMs(np.ones_like(order), model.conditions, "constant")
    for method in rf.comparison.METHODS:
        with warnings.catch_warnings(action="ignore"):
            value = rf.compare(same, data, method=method)
        assert np.isnan(value).all() == (not method.startswith("cosine")), method


#: Where the names of other tools are that a page says ours beside.
PEERS = [
    "rsatoolbox.rdm",
    "rsatoolbox.inference",
    "rsatoolbox.model",
    "mne_rsa",
    "nilearn.decoding",
]
PEERS += ["rsatoolbox.model.fitter", "nilearn.maskers", "nilearn.glm.first_level"]


def test_names_of_other_tools_are_those_they_have():
    pytest.importorskip("mne_rsa")
    text = (ROOT / "docs" / "howto" / "other_tools.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.+?) \|", text.partition("**thingsvision**")[0], re.MULTILINE)
    rows += re.findall(
        r"^\| (\*\*(?:nilearn|mne-rsa).+?|`(?:Nifti|First).+?) \|", text, re.MULTILINE
    )
    names = re.findall(r"`(?:rsatoolbox\.rdm\.)?([A-Za-z]\w{3,})(?=[`(,])", " ".join(rows))
    assert {"calc_rdm", "rsa_epochs", "NiftiMasker", "fit_optimize"} <= set(names)
    homes = [import_module(name) for name in PEERS]
    assert [n for n in names if not any(hasattr(home, n) for home in homes)] == ["mask_img"]


def test_tutorials_draw_people_where_they_draw_images():
    for script in (ROOT / "docs" / "tutorials").glob("*.py"):
        text = script.read_text(encoding="utf-8")
        assert "generalise_to: both" not in text or "groups: identity" in text, script.name


@pytest.mark.parametrize("page", TOLD, ids=named)
def test_calls_in_sentences_have_the_arguments_of_their_functions(page):
    homes = [rf, *(getattr(rf, name) for name in rf._SUBPACKAGES)]
    for code in re.findall(r"`([^`]+)`", page.read_text(encoding="utf-8")):
        code = " ".join(code.split()).replace("=…", "=0").replace("…, ", "")
        try:
            with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
                parsed = ast.parse(code)  # of formulas, too
        except SyntaxError:
            continue
        calls = [one for one in ast.walk(parsed) if isinstance(one, ast.Call)]
        for call in calls:
            name = getattr(call.func, "attr", getattr(call.func, "id", ""))
            home = next((home for home in homes if name in getattr(home, "__all__", ())), None)
            if home is not None:
                named = {one.arg: 0 for one in call.keywords if one.arg}
                inspect.signature(getattr(home, name)).bind_partial(*call.args, **named)


def test_every_page_is_reached():
    listed = "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "docs").rglob("*.md"))
    for page in (ROOT / "docs").glob("**/*.md"):
        if page.name != "index.md" and "made" not in page.parts and "_build" not in page.parts:
            assert re.search(rf"{re.escape(page.stem)}(\.md)?\b", listed), page


def test_pages_are_made_from_the_package(tmp_path):
    (tmp_path / "gallery").mkdir()
    folders = str(ROOT / "docs"), str(tmp_path)
    code = (
        "import sys; from pathlib import Path\n"
        "sys.path.insert(0, sys.argv[1]); import pages; pages.write(Path(sys.argv[2]))"
    )
    subprocess.run([sys.executable, "-c", code, *folders], check=True, timeout=300)
    made = {path.name: path.read_text() for path in (tmp_path / "made").rglob("*.*")}
    assert "## rsa-faces arrange forget" in made["command_line.md"]
    assert (
        "`--min-score`\n: What counts as a face, 0 to 1. Default: 0.6." in made["command_line.md"]
    )
    assert "n_boot" in made["configuration.md"]
    assert "| `dlib-face` | identity" in made["networks.md"]
    assert "`similarity`" in made["outputs.md"]
    assert "| `best_layers.csv` | the best layer" in made["outputs.md"]
    assert "- **transfer**" in made["outputs.md"]
    assert "`arrangements.h5`; columns of trials: `rater`" in made["outputs.md"]
    assert "   compute_rdms" in made["rsa_faces.rst"]
    assert "   plot_layers" in made["figures.rst"]


@pytest.fixture
def pages(monkeypatch):
    """The module that makes pages from the package."""
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    return import_module("pages")


def test_every_figure_has_a_page_of_the_gallery(pages):
    written = {path.stem for path in (ROOT / "docs" / "gallery").glob("plot_*.py")}
    drawn = {name for name in rf.figures.__all__ if name.startswith("plot_")}
    assert written <= drawn
    assert drawn <= written | set(pages.figure_examples())


@pytest.mark.slow
def test_figures_of_the_gallery_keep_the_rules(pages):
    mpl.use("Agg")
    for name, text in pages.figure_examples().items():
        plt.close("all")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exec(compile(text, name, "exec"), {"__name__": "page"})
        for figure in map(plt.figure, plt.get_fignums()):
            # Pictures and maps that are given alone have no n; boxes of arrows lie on each other.
            broken = broken_rules(figure)
            assert not [r for r in broken if not r.startswith(("no n", "on each other"))], name
            edge = figure.bbox.padded(1)
            cut = [s for s, box in boxes(figure) if box.x0 < edge.x0 or box.x1 > edge.x1]
            assert not cut, name
    plt.close("all")


def test_every_page_of_the_reference_has_an_example(pages):
    objects = {
        f"{module}.{name}": getattr(import_module(module), name)
        for module, names in pages.public_names().items()
        for name in names
    }
    assert len(objects) > 400
    errors = {k for k, v in objects.items() if isinstance(v, type) and issubclass(v, Exception)}
    bare = {k for k, v in objects.items() if ">>>" not in (inspect.getdoc(v) or "")}
    assert bare <= errors
