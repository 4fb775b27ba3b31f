"""Pages that are made from the package itself, so that they cannot say something else."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import re
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import click
import typer.main

import rsa_faces as rf

Words = tuple[str, ...]
#: Folders of scripts that are run while the site is built.
EXECUTED = {
    "tutorials": "tutorials",
    "gallery": "made/gallery_scripts",
    "reproductions": "reproductions",
}


def place(name: str) -> tuple[bool, str]:
    """Return where a script stands: by name, but the tutorial to begin with comes first."""
    return name != "own_betas.py", name


def write(docs: Path) -> None:
    """Write all pages below docs/made, and an example of each figure that has none of its own."""
    made = docs / "made"
    shutil.rmtree(made, ignore_errors=True)
    (made / "api").mkdir(parents=True)
    texts = {
        "command_line.md": command_line(),
        "configuration.md": configuration(),
        "networks.md": networks(),
        "outputs.md": outputs(),
        "data.md": data(),
        "measures_and_methods.md": measures_and_methods(),
        **api(),
    }
    for name, text in texts.items():
        (made / name).write_text(text, encoding="utf-8")
    scripts = made / "gallery_scripts"
    shutil.copytree(docs / "gallery", scripts)
    for name, text in figure_examples().items():
        if not (scripts / f"{name}.py").exists():
            (scripts / f"{name}.py").write_text(text, encoding="utf-8")


# ---- the interface in Python -------------------------------------------------------------------


def public_modules() -> Iterator[ModuleType]:
    """Yield the package and its public modules, the outer ones first."""
    names = ["rsa_faces"]
    for subpackage in rf._SUBPACKAGES:
        name = f"rsa_faces.{subpackage}"
        names.append(name)
        path = importlib.import_module(name).__path__
        names += [
            found.name
            for found in pkgutil.walk_packages(path, f"{name}.")
            if not any(part.startswith("_") for part in found.name.split("."))
        ]
    for name in sorted(names, key=lambda name: (name.count("."), name)):
        yield importlib.import_module(name)


def public_names() -> dict[str, list[str]]:
    """Return functions and classes under the shortest name that they have, by module."""
    names: dict[str, list[str]] = {}
    seen: set[int] = set()
    for module in public_modules():
        for name in getattr(module, "__all__", None) or shown_names(module):
            value = getattr(module, name)
            if not (
                inspect.isfunction(value) or inspect.isclass(value) or hasattr(value, "cache_info")
            ):
                continue
            if id(value) not in seen:
                seen.add(id(value))
                names.setdefault(module.__name__, []).append(name)
    return names


def shown_names(module: ModuleType) -> list[str]:
    """Return what users call of a module that names nothing itself: what has an example."""
    if ".families." in module.__name__:
        return []  # architectures, which `load_network` opens
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and getattr(value, "__module__", "") == module.__name__
        and ">>>" in (inspect.getdoc(value) or "")
    ]


def api() -> dict[str, str]:
    """Return a page for each part of the package, and the one that lists them."""
    names = public_names()
    pages, listed = {}, {}
    for part in ["rsa_faces", *(f"rsa_faces.{name}" for name in rf._SUBPACKAGES)]:
        inside = [
            m for m in names if m == part or (part != "rsa_faces" and m.startswith(f"{part}."))
        ]
        if not inside:
            continue
        lines = [part, "=" * len(part), "", _first_paragraph(importlib.import_module(part)), ""]
        for module in inside:
            if module != part:
                lines += [module, "-" * len(module), ""]
                lines += [_first_paragraph(importlib.import_module(module)), ""]
            lines += [f".. currentmodule:: {module}", "", ".. autosummary::"]
            lines += ["   :toctree: objects", "   :nosignatures:", ""]
            lines += [f"   {name}" for name in sorted(names[module], key=str.lower)]
            lines.append("")
        stem = part.replace("rsa_faces.", "")
        pages[f"api/{stem}.rst"] = "\n".join(lines)
        listed[stem] = (
            f":doc:`{part} <{stem}>`\n    {_first_paragraph(importlib.import_module(part))}"
        )
    head = ["In Python", "=========", "", "Every public function and class.", ""]
    head += [*listed.values(), ""]
    head += [".. toctree::", "   :hidden:", "", *(f"   {name}" for name in listed), ""]
    pages["api/index.rst"] = "\n".join(head)
    return pages


def find_reference(app: Any, env: Any, node: Any, text: Any) -> Any:
    """Return a link for a name that docstrings have, where it is not the one that is documented.

    A docstring says `searchlight` or `rsa_faces.mapping.searchlight.searchlight`; there is one
    page, under the shortest name. Nothing is linked where a name could be two.
    """
    from docutils import nodes
    from sphinx.addnodes import seealso
    from sphinx.util.nodes import make_refnode

    if node.get("refdomain") != "py":
        return None
    parents = [node.parent]
    while parents[-1].parent is not None:
        parents.append(parents[-1].parent)
    # Types are words of which some are classes: `table` is no property there.
    is_type = node["reftype"] == "obj" and not any(isinstance(one, seealso) for one in parents)
    kinds = ("class", "exception") if is_type else ("function", "class", "exception")
    target = node["reftarget"]
    objects = env.get_domain("py").objects.items()
    for ending in (f".{target}", f".{target.rpartition('.')[2]}"):
        entries = [one for one in objects if one[0].endswith(ending) and not one[1].aliased]
        # A method of the same name is not what a bare name means.
        named = [one for one in entries if one[1].objtype in kinds]
        entries = named if named or is_type else entries
        if len(entries) == 1:
            name, entry = entries[0]
            place = (node["refdoc"], entry.docname, entry.node_id)
            return make_refnode(app.builder, *place, text, name)
    return nodes.Text(text.astext()) if is_type else None


def _first_paragraph(value: object) -> str:
    """Return the first paragraph of a docstring in one line."""
    return " ".join((inspect.getdoc(value) or "").split("\n\n")[0].split())


# ---- the command line, and what runs read and leave --------------------------------------------


def command_line() -> str:
    """Return every command with its options."""
    from rsa_faces.cli import _app  # noqa: F401 (registers the commands)
    from rsa_faces.cli._console import app

    root = typer.main.get_command(app)
    lines = ["# Command line", "", "```text", "rsa-faces COMMAND --help", "```", ""]
    lines += ["Exit codes: 0 done, 1 the run failed, 2 the input is wrong.", ""]
    for path, command in _commands(root, ("rsa-faces",)):
        lines += [f"## {' '.join(path)}", "", _markdown(command.help or ""), ""]
        for parameter in command.params:
            if parameter.name in ("help", "install_completion", "show_completion"):
                continue
            names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
            if isinstance(parameter, click.Argument):
                names = f"`{parameter.human_readable_name}`"
            told = _markdown(getattr(parameter, "help", None) or "")
            usual = parameter.default
            if isinstance(usual, str | float | int | Path) and not isinstance(usual, bool):
                told += f" Default: {usual}."
            lines += [names, f": {told or 'see above'}", ""]
    return "\n".join(lines)


def _commands(command: click.Command, path: Words) -> Iterator[tuple[Words, click.Command]]:
    """Yield commands that do something, in the order of their help."""
    if isinstance(command, click.Group) or hasattr(command, "commands"):
        for name, child in command.commands.items():
            if not child.hidden:
                yield from _commands(child, (*path, name))
    else:
        yield path, command


def _markdown(text: str) -> str:
    """Return a help text as Markdown: what looks like a tag or a role is shown as it is."""
    paragraphs = (" ".join(part.split()) for part in inspect.cleandoc(text).split("\n\n"))
    return "\n\n".join(
        re.sub(r"([<>*_|])", r"\\\1", part) if "`" not in part else part for part in paragraphs
    )


def configuration() -> str:
    """Return every key of every configuration."""
    from rsa_faces.runs import AnalysesConfig, Config, SearchlightConfig, TimecourseConfig
    from rsa_faces.runs._help import help_text

    kinds = {
        "compare": Config,
        "searchlight": SearchlightConfig,
        "timecourse": TimecourseConfig,
        "analyse": AnalysesConfig,
    }
    lines = [
        "# Keys of configurations",
        "",
        "Each command prints its own: `rsa-faces compare --help-config`. Any key can be set for "
        "one run: `--set inference.n_boot=10000`. Configurations with comments that run as they "
        "are: `rsa-faces example`.",
        "",
    ]
    for command, kind in kinds.items():
        lines += [f"## rsa-faces {command}", "", "```text", help_text(kind, width=88), "```", ""]
    return "\n".join(lines)


def outputs() -> str:
    """Return what files and columns of an output folder are."""
    from rsa_faces.behaviour.arrange._export import _COLUMNS as TRIAL
    from rsa_faces.behaviour.arrange._export import EXPORTS
    from rsa_faces.runs._columns import COLUMNS, FILES
    from rsa_faces.runs.analyse.questions import QUESTIONS
    from rsa_faces.runs.compare.run import CompareRun
    from rsa_faces.runs.searchlight.run import SearchlightRun
    from rsa_faces.runs.timecourse.run import TimecourseRun

    exported = ", ".join(f"`{name}`" for name in EXPORTS)
    others = {
        "rdm`, `import`, `arrange fit`, `arrange import": "`--out`: RDMs (`rf.load_rdms` reads them); "
        "as .csv a row for each pair: labels, `condition_a`, `condition_b`, `dissimilarity`, `measure`",
        "extract": "`--store`: activations (`rf.load_activations` reads them)",
        "faces": "`--table`: `id` and the columns of `rsa_faces.stimuli.FaceTable`; `--crops`: a PNG "
        "of each face, `images.csv`",
        "arrange export": f"{exported}; columns of trials: {', '.join(f'`{c}`' for c in TRIAL)}",
    }
    lines = [
        "# What a run leaves",
        "",
        "The same is said in `README.md` of each output folder, with the columns of each table.",
        "",
    ]
    for run in (CompareRun, SearchlightRun, TimecourseRun):
        lines += [
            f"## Tables of rsa-faces {run.command}",
            "",
            "| name | meaning |",
            "| --- | --- |",
        ]
        lines += [f"| `{name}.csv` | {what} |" for name, what in run.writes.items()] + [""]
    lines += ["## Tables of rsa-faces analyse", "", "One for each question of the configuration, "]
    lines[-1] += "`1-….csv`, `2-….csv` in their order. Columns that others lack, or that mean more:"
    lines.append("")
    for question in QUESTIONS:
        kind = get_args(question.model_fields["analysis"].annotation)[0]
        told = {name: what for name, what in question.meanings.items() if name != "*"}
        lines += [f"- **{kind}**", *(f"  - `{name}`: {what}" for name, what in told.items())]
    lines.append("")
    lines += ["## Other commands", "", "| command | writes |", "| --- | --- |"]
    lines += [f"| `rsa-faces {command}` | {what} |" for command, what in others.items()] + [""]
    for title, meanings in (("Files", FILES), ("Columns", COLUMNS)):
        lines += [f"## {title}", "", "| name | meaning |", "| --- | --- |"]
        lines += [
            f"| `{name}` | {what.replace('|', chr(92) + '|')} |" for name, what in meanings.items()
        ]
        lines.append("")
    return "\n".join(lines)


# ---- networks, data, measures ------------------------------------------------------------------


def networks() -> str:
    """Return the networks by name, with task, origin, licence, size of input and weights."""
    from rsa_faces.networks import get_spec, list_networks

    lines = [
        "# Networks",
        "",
        "`rsa-faces networks show NAME` says more. `untrained:NAME` is the same architecture "
        "untrained; `timm:NAME` and `torchvision:NAME` are any of theirs.",
        "",
        "| name | trained on | architecture | input | weights | licence |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name in list_networks():
        if ":" in name:
            continue
        spec = get_spec(name)
        cells = (
            f"`{name}`",
            f"{spec.task}: {spec.training_set}" if spec.training_set else spec.task,
            spec.architecture,
            f"{spec.preprocessing.size} px" if spec.preprocessing else "",
            spec.weights_from,
            spec.licence,
        )
        lines.append("| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |")
    lines += ["", "## What to cite", ""]
    for name in list_networks():
        if ":" not in name and get_spec(name).citation:
            lines.append(f"- `{name}`: {get_spec(name).citation}")
    return "\n".join([*lines, ""])


def data() -> str:
    """Return the data sets: what ships, what is fetched."""
    from rsa_faces.datasets import DATASETS, images92, simulated_faces
    from rsa_faces.datasets.facesim3d import ARCHIVE as FACESIM3D
    from rsa_faces.datasets.london import ARCHIVE as LONDON

    lines = [
        "# Data sets",
        "",
        "`rf.datasets.NAME()` in Python, `dataset: NAME` in a configuration.",
        "",
    ]
    for load in (images92, simulated_faces):
        found = load()
        lines += [f"## {found.name}", "", _first_paragraph(load), "", "Ships with the package.", ""]
        lines += [f"- From: {found.origin}", f"- Licence: {found.licence}"]
        lines += [f"- Cite: {citation}" for citation in found.citations]
        lines += [f"- Mind: {note}" for note in found.notes] + [""]
    for archive in (LONDON, FACESIM3D):
        lines += [f"## {archive.name}", "", _first_paragraph(DATASETS[archive.name]), ""]
        lines += [f"Fetched once from <{archive.page}>, licence {archive.licence}.", ""]
    return "\n".join(lines)


def measures_and_methods() -> str:
    """Return the names of measures and methods with what they are called in figures."""
    from rsa_faces.comparison import METHODS
    from rsa_faces.rdm import MEASURES

    lines = ["# Names of measures and methods", ""]
    for title, registry in (
        ("Measures: patterns to RDM", MEASURES),
        ("Methods: RDM against RDM", METHODS),
    ):
        lines += [f"## {title}", "", "| name | in figures |", "| --- | --- |"]
        lines += [
            f"| `{name}` | {getattr(entry, 'label', name)} |" for name, entry in registry.items()
        ]
        lines.append("")
    return "\n".join(lines)


# ---- the gallery -------------------------------------------------------------------------------


def figure_examples() -> dict[str, str]:
    """Return a script for each figure that has an example."""
    scripts = {}
    for name in rf.figures.__all__:
        code = example_of(getattr(rf.figures, name))
        if code and name.startswith("plot_"):
            scripts[name] = gallery_page(name, code)
    return scripts


def example_of(function: Callable) -> str:
    """Return the code of a figure's example, without what its last line asks of the figure."""
    parts = doctest.DocTestParser().get_examples(inspect.getdoc(function) or "")
    if parts and function.__name__ not in parts[-1].source:
        parts.pop()
    return "".join(part.source for part in parts).rstrip()


def gallery_page(name: str, code: str) -> str:
    """Return a script of the gallery."""
    what = _first_paragraph(getattr(rf.figures, name)).rstrip(".")
    title = what.partition(":")[0].removeprefix("Draw ").removeprefix("Show ")
    title = title[0].upper() + title[1:]
    remark = ""
    if "made up" in code:
        remark = (
            "\n\nThe numbers are made up, so that the example is short; they show the form only."
        )
    return "\n".join(
        [
            f'"""{title}',
            "=" * len(title),
            "",
            f"{what}. See :func:`rsa_faces.figures.{name}`.{remark}",
            '"""',
            "",
            code,
            "",
        ]
    )


# ---- reading the report ------------------------------------------------------------------------

#: Where numbers stand in each figure: of which panel, and at which share of its width and height.
MARKS = {
    "layers": [(0, -0.06, 1.12), (0, 0.5, 0.6), (0, 0.12, 0.12), (0, 0.7, 0.9), (2, 0.09, 0.16)]
    + [(0, 0.62, 0.28), (1, 0.45, 0.78)],
    "heatmap": [(0, 0.6, 0.75), (0, 0.17, 0.25), (1, 0.74, 0.75), (1, 0.32, 0.75)],
    "models": [(0, -0.25, 0.88), (0, 0.37, 0.98), (0, 0.54, 0.62), (0, 0.75, 0.3), (0, 0.9, 0.92)]
    + [(1, 0.3, 0.7)],
    "rdms": [(0, 0.32, 0.82), (0, 0.75, 0.75), (2, 0.5, 1.06)],
    "mds": [(0, 0.5, 0.22), (0, 0.02, 0.97)],
}


def report_figures(folder: Path) -> None:
    """Draw the figures of a report, small, with numbers that the page on reading it explains."""
    import matplotlib.pyplot as plt

    d92 = rf.datasets.images92()
    layers = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # whole images, and four subjects: the run's notes say so
        for name in ("mini-xception", "untrained:mini-xception"):
            network = rf.load_network(name, device="cpu")
            layers.append(rf.layer_rdms(network, d92.stimuli, progress=False))
        models = rf.concat([*layers, d92.models.sel(name=["animacy", "HMAX", "V1"])])
        regions = [d92.rdms.sel(region=region) for region in ("human IT", "behaviour")]
        result = rf.evaluate(models, rf.concat(regions), n_boot=200)
    means = [data.mean() for data in regions]
    category = d92.stimuli.metadata["category"].tolist()
    drawn = {
        "layers": rf.figures.plot_layers(result),
        "heatmap": rf.figures.plot_heatmap(result, networks=["mini-xception"]),
        "models": rf.figures.plot_models(result, region="human IT"),
        "rdms": rf.figures.plot_rdms(
            rf.concat(means), titles=["human IT", "behaviour"], groups=category
        ),
        "mds": rf.figures.plot_mds(means[0], d92.stimuli, color="category", title="human IT"),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in drawn.items():
        for number, (panel, x, y) in enumerate(MARKS[name], start=1):
            axes = figure.axes[panel]
            axes.text(
                *(x, y, number),
                transform=axes.transAxes,
                ha="center",
                va="center",
                size=6,
                color="white",
                bbox={"boxstyle": "circle,pad=0.25", "facecolor": "black", "edgecolor": "none"},
                zorder=20,
            )
        figure.savefig(folder / f"{name}.png", dpi=180)
        plt.close(figure)  # what is open belongs to the first script that is run
