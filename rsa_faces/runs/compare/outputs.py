"""What `rsa-faces compare` draws and reports of its numbers."""

from __future__ import annotations

from rsa_faces._core.files import file_names
from rsa_faces.inference import Result
from rsa_faces.rdm import RDMs, concat
from rsa_faces.report import (
    TABLES,
    Account,
    answers,
    methods_text,
    references_used,
    result_tables,
)
from rsa_faces.runs._inputs import Inputs
from rsa_faces.runs._networks import Networks
from rsa_faces.runs._run import Run
from rsa_faces.runs._sources import crops, sources
from rsa_faces.runs.compare.config import Config


def account(config: Config, networks: Networks, result: Result) -> Account:
    """Return answers, tables, methods and sources."""
    names = [n.name for n in config.networks]
    return Account(
        findings=answers(result),
        tables=result_tables(result),
        legend=TABLES,
        methods=f"{methods_text(result, measure=config.measure, networks=names)}{crops(networks)}",
        references=references_used(result),
        sources=sources(
            [
                config.stimuli.dataset,
                *(d.dataset for d in config.data),
                *(m.dataset for m in config.models),
            ],
            names,
        ),
    )


def draw(run: Run, inputs: Inputs, models: RDMs, result: Result) -> None:
    """Draw the figures that are not there yet, and put them into the report."""
    from rsa_faces import figures

    content = result.to_json()

    add = run.picture
    numbers = _numbers(result)
    interval = f"{100 * (1 - result.settings['alpha']):g} % interval"
    subsets, regions = file_names(inputs.subsets), file_names(inputs.data)
    for subset in inputs.subsets:
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
    first = next(iter(inputs.subsets))
    for region in inputs.data:
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
    gallery, titles = _gallery(inputs, models)
    group = run.config.figures.group
    groups = None if group is None else _column(inputs, group)
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
        mean = inputs.data[region].mean()
        add(
            f"mds-{regions[region]}",
            f"Map of the conditions in {region} (mean over subjects): near means similar, as far "
            "as two dimensions allow (stress 0: exactly).",
            f"The stimuli as small pictures, placed so that those alike in {region} are near.",
            lambda: figures.plot_mds(
                mean, inputs.stimuli, color=run.config.figures.mds_color, title=region,
                seed=run.config.seed,
            ).figure,
            mean.hash,
            inputs.stimuli.hash,
            str(run.config.figures.mds_color),
        )  # fmt: skip


def _gallery(inputs: Inputs, models: RDMs) -> tuple[RDMs, list[str]]:
    """Return the RDMs of the gallery and their titles."""
    labels = models.labels
    last = labels.groupby("network", sort=False)["layer_index"].idxmax().tolist()
    parts = [data.mean().with_labels(title=region) for region, data in inputs.data.items()]
    chosen = models[last]
    names = [
        (f"{network}\n{layer}" if layer not in {"", network} else network).replace(
            "untrained:", "untrained "
        )
        for network, layer in zip(chosen.labels["network"], chosen.labels["layer"], strict=True)
    ]
    gallery = concat([*parts, chosen.with_labels(title=names)])
    return gallery, gallery.labels["title"].tolist()


def _column(inputs: Inputs, name: str) -> list[str]:
    """Return a column of the stimulus table as text."""
    return [str(v) for v in inputs.stimuli.metadata[name]]


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
