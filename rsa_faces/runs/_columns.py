"""What files and columns of an output folder are, for the README that lies there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path

import pandas as pd

#: Files of every command by their pattern; the first that fits describes a file.
FILES = {
    "report.html": "the report: one page that needs nothing else",
    "methods.md": "the methods paragraph of a paper, with references and sources",
    "notes.txt": "what a reader has to know, one line each",
    "config.yaml": "the configuration, with all defaults; the first line names the command",
    "provenance.json": "versions, seed, hashes, seconds and peak memory of each step, all files",
    "state.json": "which steps are done; a run that was stopped goes on from it",
    "README.md": "this list",
    "faces.csv": "the face that was found in each image, by which it was cut out; columns: "
    "rsa_faces.stimuli.FaceTable",
    "figures/*.html": "a map to look around in, in a browser",
    "figures/*": "figures, each as SVG, PNG and PDF",
    "rdms/models.h5": "RDMs of all layers and models, as they were compared",
    "rdms/data.h5": "RDMs of all regions and subjects, as they were compared",
    "rdms/patient-*.h5": "RDMs of a patient by region and time",
    "rdms/electrodes-*.csv": "electrodes of a patient; columns as in electrodes.csv",
    "rdms/*.h5": "RDMs of a network's layers (rsa_faces.rdm.load_rdms reads them)",
    "parts/best-layers--*.h5": "best layers of one region on held-out data",
    "parts/partition-*.h5": "what sets of networks explain of one region and set of conditions",
    "parts/*.h5": "RDMs of a region, of one subject or of simulated brains",
    "parts/*.json": "tests of one region and set of conditions, from which the tables are made",
    "activations/*": "features of a network's layers (rsa_faces.io.read_features reads them)",
    "maps/*.h5": "a subject's map (SearchlightMap.load reads it)",
    "betas/*_residuals.nii.gz": "residuals of a subject's GLM, run after run",
    "betas/*_residuals.csv": "`fold`: the run; `n_scans`: its scans; `n_estimated`: parameters "
    "that were estimated from it",
    "betas/*.nii.gz": "a subject's patterns from the GLM, one volume per condition and run",
    "betas/*.csv": "`condition` and `fold` (run) of each volume beside it",
    "mask.nii.gz": "voxels in the brain masks of all subjects",
    "ceilings/*.npz": "noise ceilings of every place, as arrays",
    "ceilings/*": "map of the lower or upper noise ceiling",
    "tests/*_t[._]*": "map of t over subjects of a model",
    "tests/*_p[._]*": "map of p of a model, corrected for all places",
    "best_model*": "map of the most similar model: its `number` in mean/models.csv",
    "mean/*models.csv": "`number` (from 1) and `name` of each model, in the order of the maps",
    "mean/*peaks.csv": "peaks of the mean map, by model; columns as in peaks.csv",
    "mean/*similarity*": "mean similarity over subjects: one map per model, in the order of "
    "models.csv",
    "mean/*n_voxels*": "voxels or vertices around each place",
    "mean/*n_left_out*": "of these, how many were left out",
}

#: Columns by name, in whichever table they stand.
COLUMNS = {
    "subset": "set of conditions",
    "region": "region of the brain, or behaviour; empty where there is one",
    "network": "network, or model",
    "layer": "layer of the network; empty for models",
    "network_a": "network or model that the other is subtracted from",
    "network_b": "network or model that is subtracted",
    "layer_a": "layer of the first network",
    "layer_b": "layer of the second network",
    "depth_a": "relative depth of the first layer, 0 to 1",
    "depth_b": "relative depth of the second layer, 0 to 1",
    "layer_index": "place of the layer in order of computation, from 0",
    "depth": "relative depth of the layer, 0 (input) to 1 (last)",
    "model": "model, or layer of a network",
    "method": "how RDMs, or layers, are compared",
    "similarity": "similarity of the RDMs, mean over subjects unless the table has subjects",
    "similarity_a": "similarity of the first network, mean over subjects",
    "similarity_b": "similarity of the second network, mean over subjects",
    "difference": "similarity of the first less that of the second",
    "sem": "standard error",
    "ci_low": "lower end of the 95 % interval",
    "ci_high": "upper end of the 95 % interval",
    "t": "t value over subjects",
    "p": "p value, not corrected unless this is said elsewhere in this file",
    "p_corrected": "p value, corrected for the tests of its kind",
    "p_max": "p value, corrected by the largest of its kind",
    "p_ceiling": "p value of the test against the lower noise ceiling",
    "p_ceiling_corrected": "the same, corrected",
    "p_reliable": "p value of the test that subjects share structure",
    "max_similarity": "the largest similarity that the ties of the model allow",
    "ceiling_low": "lower noise ceiling",
    "ceiling_high": "upper noise ceiling",
    "ceiling_low_sem": "standard error of the lower noise ceiling",
    "ceiling_high_sem": "standard error of the upper noise ceiling",
    "reliable": "whether subjects are shown to share structure",
    "subject": "subject: person, patient or rater",
    "patient": "patient",
    "n_subjects": "subjects that entered",
    "n_conditions": "conditions, or images, that entered",
    "n_pairs": "pairs of conditions that entered",
    "n_people": "people shown in the images that entered",
    "n_left_out": "images that lack a value and were left out",
    "n_a_larger": "subjects in whom the first is larger",
    "time": "middle of the window, in s",
    "degradation": "in which way images were made worse; none: they were not",
    "strength": "how much worse, from 1 to 5; 0: as they are",
    "cronbach_alpha": "Cronbach's alpha over subjects: how reliable their mean RDM is",
    # peaks, and partitions of variance
    "part": "part of the brain (volume, left or right), or of the variance",
    "kind": "unique (of one set), shared (by several) or all",
    "r2": "share of variance that the sets of `model` explain",
    "r2_adjusted": "share of variance explained, adjusted for the number of predictors",
    "share": "share of the variance that all sets explain together",
    "n_predictors": "predictors in the regression",
    "n_voxels": "voxels or vertices in the sphere or disc",
    "i": "voxel, first axis of the image",
    "j": "voxel, second axis",
    "k": "voxel, third axis",
    "vertex": "vertex of the surface",
    "x": "mm to the right in the space of the images",
    "y": "mm to the front",
    "z": "mm up",
    # clusters
    "label": "number of the cluster in its region",
    "sign": "1: similarity above 0; −1: below",
    "size": "cells (times, or times by layers) in the cluster",
    "mass": "sum of t over the cluster",
    "time_from": "first time of the cluster, in s",
    "time_to": "last time of the cluster, in s",
    "models": "layers in the cluster",
    "peak_time": "time of the largest t, in s",
    "peak_model": "layer of the largest t",
    "peak_t": "the largest t",
    # electrodes
    "name": "name of the electrode",
    "used": "whether the electrode entered",
    "n_faces": "trials of faces, on which the electrode was chosen",
    "n_others": "trials of others, on which the electrode was chosen",
    "statistic": "statistic of the test of faces against others",
    "selective": "whether the electrode is shown to prefer faces",
}


def describe_folder(
    folder: Path,
    tables: Mapping[str, pd.DataFrame],
    what: Mapping[str, str] | None = None,
    meanings: Mapping[str, Mapping[str, str]] | None = None,
) -> str:
    """Return the README of an output folder.

    Parameters
    ----------
    folder : Path
        What it holds is described.
    tables : mapping of str to DataFrame
        The tables that the run wrote, by name.
    what : mapping of str to str, optional
        What a table is; the number and title in its name say it where this does not.
    meanings : mapping of str to mapping, optional
        What columns of a table are where they are not what they are elsewhere; others that a
        table took over are described by ``*``.

    Returns
    -------
    str
        Markdown.
    """
    files = {"provenance.json", "README.md", *_files(folder)} - {f"{t}.csv" for t in tables}
    names = dict.fromkeys(pattern_of(name) or name for name in sorted(files, key=_order))
    lines = ["# What is in this folder", ""]
    lines += [_line(name, FILES.get(name, "")) for name in names]
    for name, table in tables.items():
        lines += ["", f"## `{name}.csv`: {len(table)} row{'' if len(table) == 1 else 's'}", ""]
        if what and name in what:
            lines += [f"{what[name][0].upper()}{what[name][1:]}.", ""]
        own = (meanings or {}).get(name, {})
        lines += [_line(column, meaning(column, own)) for column in table.columns]
    return "\n".join(lines) + "\n"


def _line(name: str, what: str) -> str:
    """Return a line of the list."""
    return f"- `{name}`: {what}." if what else f"- `{name}`"


def pattern_of(name: str) -> str:
    """Return the first pattern of :data:`FILES` that a file fits; "" if none does."""
    return next((pattern for pattern in FILES if fnmatchcase(name, pattern)), "")


def meaning(column: str, own: Mapping[str, str]) -> str:
    """Return what a column is: in this table, in every table, or one the table took over."""
    return own.get(column) or COLUMNS.get(column) or own.get("*", "")


def _order(name: str) -> tuple[int, str]:
    """Sort files by their place in :data:`FILES`."""
    pattern = pattern_of(name)
    return (list(FILES).index(pattern) if pattern else len(FILES), name)


def _files(folder: Path) -> Iterable[str]:
    """Yield the files of a folder but hidden ones."""
    for path in folder.rglob("*"):
        relative = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") for part in relative.parts):
            yield relative.as_posix()
