"""What `rsa-faces compare` draws and reports of its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from rsa_faces._core.files import file_names
from rsa_faces._core.words import between, p_value, percent
from rsa_faces.inference import Partition, Result
from rsa_faces.rdm import MEASURES, RDMs, concat
from rsa_faces.report import (
    TABLES,
    Account,
    Table,
    answers,
    methods_text,
    references_used,
    result_tables,
)
from rsa_faces.runs._inputs import Inputs
from rsa_faces.runs._sources import crops, sources, whitening
from rsa_faces.runs.compare import held_out
from rsa_faces.runs.compare.config import Config, FmriConfig
from rsa_faces.stimuli import StimulusSet

if TYPE_CHECKING:
    from rsa_faces.runs.compare.run import CompareRun


def account(run: CompareRun) -> Account:
    """Return answers, tables, methods and sources."""
    config, networks, result = run.config, run.networks, run.evaluated
    names = [n.name for n in config.networks]
    return Account(
        lead=held_out.lead(run.best, result),
        findings=[
            *held_out.findings(run.best, result),
            *answers(result),
            *_shares(run.partitions),
        ],
        tables=[
            *result_tables(result),
            *held_out.tables(run.best),
            *_partition_tables(run.partitions),
        ],
        legend=TABLES,
        methods=_shown(run)
        + methods_text(result, measure=config.measure, networks=names)
        + _data(run)
        + crops(networks)
        + held_out.methods(run.best, config.inference.n_boot)
        + _methods_of_alpha(run.tables["ceilings"])
        + _methods_of_partition(run.partitions, config),
        references=references_used(result),
        sources=sources(
            [
                None if config.stimuli is None else config.stimuli.dataset,
                *(d.dataset for d in config.data),
                *(m.dataset for m in [*config.models, *config.given]),
            ],
            names,
        ),
    )


def _shown(run: CompareRun) -> str:
    """Return a sentence on what networks were shown; none where RDM files are compared."""
    stimuli, config = run.inputs.stimuli, run.config.stimuli
    if stimuli is None or config is None or not run.config.networks:
        return ""
    what = "images" if isinstance(stimuli, StimulusSet) else "clips"
    if config.dataset == "simulated_faces":
        what = "simulated faces"
    source = "" if config.dataset is None else f" of the data set {config.dataset}"
    rate = "" if config.rate is None else f", {config.rate:g} frames per second"
    return f"Networks were shown {len(stimuli.ids)} {what}{source}{rate}. "


def _data(run: CompareRun) -> str:
    """Return a sentence for each region on where its RDMs come from."""
    sentences = []
    for entry in run.config.data:
        data = run.inputs.data[entry.region]
        if entry.simulated is not None:
            planted = entry.simulated
            text = (
                f"simulated brains in which {planted.layer} of {planted.network} is planted "
                f"({planted.n_runs} runs, signal {planted.signal:g}; {data.measure})"
            )
        elif entry.fmri is not None:
            text = _of_fmri(entry.fmri, data)
        elif entry.dataset is not None:
            text = f"RDMs of the data set {entry.dataset} ({data.measure})"
        else:
            made = "" if data.measure == "unknown" else f" ({data.measure})"
            text = f"RDMs read from files{made}"
        sentences.append(f"{entry.region}, {text}")
    return f" Data: {'; '.join(sentences)}."


def _of_fmri(fmri: FmriConfig, data: RDMs) -> str:
    """Return how the RDMs of a region were made."""
    where = next(k for k in ("roi", "sphere", "atlas", "localiser") if getattr(fmri, k) is not None)
    of = {
        "roi": "a mask",
        "sphere": f"a sphere of {fmri.sphere.radius:g} mm" if fmri.sphere else "",
        "atlas": "labels of an atlas",
        "localiser": f"the {fmri.localiser.n_voxels} best places of a localiser in a parcel"
        if fmri.localiser
        else "",
    }[where]
    text = f"patterns in {of}"
    if "n_channels" in data.labels:
        low, high = data.labels["n_channels"].min(), data.labels["n_channels"].max()
        text += f", {low:g} voxels" if low == high else f", {low:g} to {high:g} voxels"
    source = "from a GLM of BOLD in BIDS" if fmri.bids is not None else "read from images"
    label = MEASURES[fmri.measure].label
    return f"{text}, {source}, {whitening(fmri)} ({label} as dissimilarity)"


def partition_tables(partitions: Mapping[tuple[str, str], Partition]) -> dict[str, pd.DataFrame]:
    """Return parts and regressions of all subsets and regions, as tables of the run."""
    return {
        name: pd.concat(
            [
                getattr(partition, attribute).assign(subset=subset, region=region)
                for (subset, region), partition in partitions.items()
            ],
            ignore_index=True,
        ).pipe(lambda t: t[["subset", "region", *t.columns.drop(["subset", "region"])]])
        for name, attribute in (("partition", "table"), ("partition_models", "models"))
    }


def _shares(partitions: Mapping[tuple[str, str], Partition]) -> list[str]:
    """Say what each set explains alone, and all together."""
    texts = []
    for (subset, region), partition in partitions.items():
        total = partition.models["r2_adjusted"].iloc[-1]
        unique = partition.table[partition.table["kind"] == "unique"]
        alone = ", ".join(f"{row.part} {percent(row.r2_adjusted)} %" for row in unique.itertuples())
        texts.append(
            f"{region}, {_of(subset)}: {' and '.join(partition.settings['predictors'])} explain "
            f"{percent(total)} % of the variance together; {alone}."
        )
    return texts


def _partition_tables(partitions: Mapping[tuple[str, str], Partition]) -> list[Table]:
    """Return the parts of each region and subset as text."""
    tables = []
    for (subset, region), partition in partitions.items():
        rows = pd.DataFrame(
            {
                "part": partition.table["part"],
                "variance explained": [f"{percent(v)} %" for v in partition.table["r2_adjusted"]],
                "interval": [
                    f"{between(100 * low, 100 * high, 1)} %"
                    for low, high in partition.table[["ci_low", "ci_high"]].to_numpy()
                ],
                "p": [*map(p_value, partition.table["p"])],
            }
        )
        caption = f"Variance of {region}, {_of(subset)}: {partition.n_pairs} pairs"
        tables.append(Table(caption, rows, ("variance explained", "interval", "p")))
    return tables


def _methods_of_alpha(ceilings: pd.DataFrame) -> str:
    """Return a sentence on the reliability of the data."""
    known = ceilings[ceilings["cronbach_alpha"].notna()]
    if known.empty:
        return ""
    values = "; ".join(
        f"{row.region}{'' if row.subset == 'all' else f', {row.subset}'} {row.cronbach_alpha:.2f}"
        for row in known.itertuples()
    )
    return f" Cronbach's α over subjects was {values}."


def _methods_of_partition(partitions: Mapping[tuple[str, str], Partition], config: Config) -> str:
    """Return a sentence on how variance was split."""
    if not partitions:
        return ""
    settings = next(iter(partitions.values())).settings
    sets = "; ".join(f"{name}: {', '.join(m)}" for name, m in (config.partition or {}).items())
    ranks = "ranks of the " if settings["transform"] == "rank" else ""
    return (
        f" The variance of the {ranks}dissimilarities (mean over subjects of z-scored RDMs) was "
        f"split by regression on those of {len(config.partition or {})} sets, each the mean of its "
        f"z-scored RDMs, of networks those of their last layers ({sets}); R² is adjusted, and p of "
        f"unique parts comes from {settings['n_permutations']} shuffles of conditions."
    )


def draw(run: CompareRun) -> None:
    """Draw the figures that are not there yet, and put them into the report."""
    from rsa_faces import figures

    inputs, models, result = run.inputs, run.models, run.evaluated
    # A figure is drawn again only if its numbers have changed: this is what it depends on.
    content = result.to_json()

    add = run.picture
    numbers = _numbers(result, run.tables["ceilings"]["cronbach_alpha"])
    interval = f"{100 * (1 - result.settings['alpha']):g} % interval"
    subsets, regions = file_names(inputs.subsets), file_names(inputs.data)
    points = run.config.figures.subjects
    for subset in inputs.subsets:
        add(
            f"layers-{subsets[subset]}",
            f"Similarity of layers, {_of(subset)}, in order of computation, with "
            f"{'; '.join(numbers[subset].values())}. Grey: noise ceiling. Coloured band: "
            f"{interval}. Dots below: differs from 0 after correction (open: untrained). Dashed: "
            f"the same architecture untrained, with its {interval}."
            + " Small points: single subjects."
            * points,
            f"Line plots of similarity by layer, {_of(subset)}: a row of panels per region, a "
            "panel per network. The tables below hold the values of last and highest layers.",
            lambda subset=subset: figures.plot_layers(result, subset=subset, subjects=points),
            content,
            subset,
            str(points),
        )
        add(
            f"heatmap-{subsets[subset]}",
            f"The same similarities as colours (white: 0), {_of(subset)}: regions, with their "
            "numbers of subjects (n), by layers, a block per network; a dot differs from 0 after "
            "correction. Right: noise ceiling (grey, lower to upper) and the highest layer (line), "
            "which was chosen on these data.",
            f"Colour images of similarity by layer and region, {_of(subset)}. The tables below "
            "hold the values of last and highest layers.",
            lambda subset=subset: figures.plot_heatmap(result, subset=subset),
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
            lambda region=region: figures.plot_models(result, region=region, subset=first),
            content,
            first,
            region,
        )
    for (subset, region), partition in run.partitions.items():
        add(
            f"partition-{subsets[subset]}-{regions[region]}",
            f"Variance of {numbers[subset][region]}, {_of(subset)}, that "
            f"{' and '.join(partition.settings['predictors'])} explain alone and together: "
            f"adjusted R² with {interval}.",
            f"Diagram of the variance of {region} that sets of networks explain. The tables below "
            "hold the values.",
            lambda partition=partition: figures.plot_partition(partition),
            partition.to_frame().to_json(double_precision=15),
            subset,
            region,
        )
    gallery, titles = _gallery(inputs, models)
    group = run.config.figures.group
    groups = None if group is None else _column(inputs, group)
    add(
        "rdms",
        f"RDMs of {gallery.n_conditions} conditions: of the regions (mean over subjects), of the "
        "last layer of each network, and of the models. Colours: percentiles of dissimilarity "
        "within each RDM; white: not measured.",
        "Square colour images, one per RDM, with conditions in rows and columns.",
        lambda: figures.plot_rdms(gallery, titles=titles, groups=groups),
        gallery.hash,
        *titles,
        str(group),
    )
    region = run.config.figures.mds_region
    if region is not None and not isinstance(inputs.stimuli, StimulusSet):
        run.notes.append(
            "the map of conditions (figures.mds_region) is left out: it shows images, and there "
            "are none."
        )
    elif region is not None:
        mean = inputs.data[region].mean()
        add(
            f"mds-{regions[region]}",
            f"Map of {mean.n_conditions} conditions in {region} (mean over subjects, "
            f"{numbers[first][region].partition(' (')[2].partition(',')[0]}): near means "
            "similar, as far as two dimensions allow (stress 0: exactly); distances have no unit. "
            "Frames: groups of the legend.",
            f"The stimuli as small pictures, placed so that those alike in {region} are near.",
            lambda: figures.plot_mds(
                mean,
                inputs.stimuli,
                color=run.config.figures.mds_color,
                title=region,
                seed=run.config.seed,
            ),
            mean.hash,
            inputs.stimuli.hash,
            str(run.config.figures.mds_color),
        )


def _gallery(inputs: Inputs, models: RDMs) -> tuple[RDMs, list[str]]:
    """Return the RDMs of the gallery and their titles."""
    labels = models.labels
    # The last layer is the one that can be named before looking: a gallery of the best ones would
    # show what was chosen on these data.
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
    return [str(v) for v in inputs.stimuli.metadata.loc[list(inputs.conditions), name]]


def _of(subset: str) -> str:
    """Return a subset in words."""
    return "all conditions" if subset == "all" else f"subset {subset!r}"


def _numbers(result: Result, alphas: Sequence[float]) -> dict[str, dict[str, str]]:
    """Return each region with its n, ceiling and alpha, by subset."""
    texts: dict[str, dict[str, str]] = {}
    for alpha, (_, row) in zip(alphas, result.ceilings.iterrows(), strict=True):
        ceiling = (
            "no noise ceiling"
            if row["n_subjects"] < 2
            else f"noise ceiling {between(row['ceiling_low'], row['ceiling_high'], 2)}"
            if row["reliable"]
            else "no reliable signal"
        )
        ceiling += "" if pd.isna(alpha) else f", Cronbach's α {alpha:.2f}"
        n = f"n = {row['n_subjects']}, {row['n_conditions']} conditions"
        texts.setdefault(row["subset"], {})[row["region"]] = f"{row['region']} ({n}, {ceiling})"
    return texts
