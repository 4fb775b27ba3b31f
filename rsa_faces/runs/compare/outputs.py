"""What a run writes once everything is computed: tables, figures, report, provenance."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

from rsa_faces import __version__, datasets
from rsa_faces._core.files import file_names, sha256_bytes, write_text
from rsa_faces.inference import Result
from rsa_faces.networks import get_spec
from rsa_faces.rdm import RDMs, concat
from rsa_faces.report import Picture, methods_text, references_used, write_report, write_results

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from rsa_faces.runs.compare.run import RunOutput, _Run

_SUFFIXES = ("svg", "png", "pdf")


def write_outputs(run: _Run, models: RDMs, result: Result) -> RunOutput:
    """Write everything that is read by people, and return where it is."""
    from rsa_faces.runs.compare.run import RunOutput, write_json

    folder = run.folder
    models.save(folder / "rdms" / "models.h5")
    concat(run.inputs.data.values()).save(folder / "rdms" / "data.h5")
    write_results(result, folder)
    pictures = _figures(run, models, result)
    networks = [n.name for n in run.config.networks]
    methods = methods_text(result, measure=run.config.measure, networks=networks)
    references, sources = references_used(result), _sources(run)
    numbered = "\n".join(f"{i}. {r}" for i, r in enumerate(references, start=1))
    listed = "\n".join(f"- {source}" for source in sources)
    write_text(
        folder / "methods.md",
        f"# Methods\n\n{methods}\n\n{numbered}\n\n## Sources of data and networks\n\n{listed}\n",
    )
    provenance = run.provenance(models)
    write_report(
        folder / "report.html",
        title=run.config.title,
        result=result,
        pictures=pictures,
        methods=methods,
        references=references,
        sources=sources,
        provenance=provenance,
    )
    write_json(folder / "provenance.json", provenance)
    return RunOutput(folder, result, pictures[0].path, folder / "report.html")


def _figures(run: _Run, models: RDMs, result: Result) -> list[Picture]:
    """Draw the figures that are not there yet; return them with their captions."""
    from rsa_faces import figures

    pictures = []
    content = result.to_json()

    def add(
        name: str, caption: str, alt: str, draw: Callable[[], Figure], *depends_on: str
    ) -> None:
        """Draw one figure unless it is done."""

        def make() -> None:
            import matplotlib.pyplot as plt

            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                figure = draw()
                figures.save_figure(figure, run.folder / "figures" / name)
            plt.close(figure)

        files = [f"figures/{name}.{suffix}" for suffix in _SUFFIXES]
        key = [__version__, sha256_bytes(*(d.encode() for d in depends_on))]
        run.steps.run(f"figure {name}", key, files, make)
        pictures.append(Picture(run.folder / files[1], caption, alt))

    numbers = _numbers(result)
    interval = f"{100 * (1 - result.settings['alpha']):g} % interval"
    subsets, regions = file_names(run.inputs.subsets), file_names(run.inputs.data)
    for subset in run.inputs.subsets:
        add(
            f"layers-{subsets[subset]}",
            f"Similarity of layers, {_of(subset)}, in order of computation, with "
            f"{'; '.join(numbers[subset].values())}. Grey: noise ceiling. Coloured band: "
            f"{interval} of trained networks. Dots below: differs from 0 after correction. Dashed: "
            "the same architecture untrained.",
            f"Line plots of similarity by layer, {_of(subset)}: a row of panels per region, a "
            "panel per network. The tables below hold the values of last and highest layers.",
            lambda subset=subset: figures.plot_layers(result, subset=subset).flat[0].figure,
            content,
            subset,
        )
        add(
            f"heatmap-{subsets[subset]}",
            f"The same similarities as colours, {_of(subset)}: regions by layers, a block per "
            "network; a dot differs from 0 after correction. Right: noise ceiling (grey) and the "
            "highest layer, which was chosen on these data.",
            f"Colour images of similarity by layer and region, {_of(subset)}. The tables below "
            "hold the values of last and highest layers.",
            lambda subset=subset: figures.plot_heatmap(result, subset=subset).flat[0].figure,
            content,
            subset,
        )
    first = next(iter(run.inputs.subsets))
    for region in run.inputs.data:
        add(
            f"models-{regions[region]}",
            f"Models and last layers compared with {numbers[first][region]}, {_of(first)}: mean "
            f"similarity with {interval}, subjects as dots, noise ceiling grey, * differs from 0 "
            "after correction. Right: pairs that differ after correction. Last layers were chosen "
            "before looking.",
            f"Point plot of the similarity of models with {region}, sorted, and a matrix of "
            "pairwise tests. The tables below hold the values.",
            lambda region=region: (
                figures.plot_models(result, region=region, subset=first)[0].figure
            ),
            content,
            first,
            region,
        )
    gallery, titles = _gallery(run, models)
    group = run.config.figures.group
    groups = None if group is None else _column(run, group)
    add(
        "rdms",
        "RDMs of the regions (mean over subjects), of the last layer of each network, and of the "
        "models; percentiles within each RDM.",
        "Square colour images, one per RDM, with conditions in rows and columns.",
        lambda: figures.plot_rdms(gallery, titles=titles, groups=groups)[0].figure,
        gallery.hash,
        *titles,
        str(group),
    )
    region = run.config.figures.mds_region
    if region is not None:
        mean = run.inputs.data[region].mean()
        add(
            f"mds-{regions[region]}",
            f"Map of the conditions in {region} (mean over subjects): near means similar, as far "
            "as two dimensions allow (stress 0: exactly).",
            f"The stimuli as small pictures, placed so that those alike in {region} are near.",
            lambda: figures.plot_mds(
                mean, run.inputs.stimuli, color=run.config.figures.mds_color, title=region,
                seed=run.config.seed,
            ).figure,
            mean.hash,
            run.inputs.stimuli.hash,
            str(run.config.figures.mds_color),
        )  # fmt: skip
    return pictures


def _gallery(run: _Run, models: RDMs) -> tuple[RDMs, list[str]]:
    """Return the RDMs of the gallery and their titles."""
    labels = models.labels
    last = labels.groupby("network", sort=False)["layer_index"].idxmax().tolist()
    parts = [data.mean().with_labels(title=region) for region, data in run.inputs.data.items()]
    chosen = models[last]
    names = [
        (f"{network}\n{layer}" if layer not in {"", network} else network).replace(
            "untrained:", "untrained "
        )
        for network, layer in zip(chosen.labels["network"], chosen.labels["layer"], strict=True)
    ]
    gallery = concat([*parts, chosen.with_labels(title=names)])
    return gallery, gallery.labels["title"].tolist()


def _column(run: _Run, name: str) -> list[str]:
    """Return a column of the stimulus table as text."""
    return [str(v) for v in run.inputs.stimuli.metadata[name]]


def _of(subset: str) -> str:
    """Return a subset in words."""
    return "all conditions" if subset == "all" else f"subset {subset!r}"


def _numbers(result: Result) -> dict[str, dict[str, str]]:
    """Return each region with its n and ceiling, by subset."""
    texts: dict[str, dict[str, str]] = {}
    for _, row in result.ceilings.iterrows():
        ceiling = (
            "no noise ceiling"
            if row["n_subjects"] < 2
            else f"noise ceiling {row['ceiling_low']:.2f} to {row['ceiling_high']:.2f}"
            if row["reliable"]
            else "no reliable signal"
        )
        n = f"n = {row['n_subjects']}, {row['n_conditions']} conditions"
        texts.setdefault(row["subset"], {})[row["region"]] = f"{row['region']} ({n}, {ceiling})"
    return texts


def _sources(run: _Run) -> list[str]:
    """Return where data and networks come from, with licence and citation."""
    config = run.config
    names = [config.stimuli.dataset, *(d.dataset for d in config.data),
             *(m.dataset for m in config.models)]  # fmt: skip
    sources = []
    for name in dict.fromkeys(n for n in names if n is not None):
        data = datasets.load_dataset(name)
        sources += [f"{name}: {data.origin}; {data.licence}"]
        sources += [f"{name}: {citation}" for citation in data.citations]
        sources += [f"{name}: {note}" for note in data.notes]
    origins: dict[str, list[str]] = {}
    for network in config.networks:
        spec = get_spec(network.name)
        if spec.citation:
            origin = f"{spec.origin}; {spec.licence}; {spec.citation}"
            origins.setdefault(origin, []).append(network.name)
    return sources + [f"{', '.join(names)}: {origin}" for origin, names in origins.items()]
