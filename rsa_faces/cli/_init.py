"""`rsa-faces init`: a commented configuration for your folders."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rsa_faces._core.errors import InputError
from rsa_faces.cli._console import app, guarded, out

if TYPE_CHECKING:
    import pandas as pd

#: Fewer cannot be drawn.
_FEWEST_PEOPLE = 4

_TEMPLATE = """\
# Written by `rsa-faces init`. Check it, then:  rsa-faces compare {name}
# Every key is explained in the file that `rsa-faces example images92` writes.

title: {title}

stimuli:
  {key}: {folder}
{manifest}{rate}
# One entry per region; conditions must have the names of the images ({example}).
data:
{data}
# `rsa-faces networks list` shows all; `rsa-faces networks layers NAME` the layers.
# crop_faces: auto cuts faces out for networks trained on cut-out faces, where every image (or first
# frame of a clip) has one; true: for any network, false: whole images.
networks:
  - {{name: dlib-face, crop_faces: auto}}             # identity
  - {{name: face-api-expression, crop_faces: auto}}   # expression
  - efficientnet-lite0        # objects
  - untrained:dlib-face
  - gabor-v1
  - pixels

measure: correlation
method: rho-a

subsets:
  all: all
{columns}
inference:
  generalise_to: {generalise_to}
{by}{groups}  n_boot: 1000

budget: 2GB
seed: 0
"""


@app.command()
@guarded
def init(
    stimuli: Annotated[
        Path, typer.Option("--stimuli", metavar="DIR", help="Your folder of images, or of clips.")
    ],
    data: Annotated[
        list[Path] | None,
        typer.Option("--data", metavar="FILE", help="RDMs (.h5, .csv, .tsv); one per region."),
    ] = None,
    path: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="The configuration to write.")
    ] = Path("experiment.yaml"),
) -> None:
    """Write a commented configuration for your folders, with what is found in them filled in.

    Example: `rsa-faces init --stimuli faces/ --data FFA.csv --data OFA.csv`
    """
    from rsa_faces._core.files import write_text
    from rsa_faces.stimuli import _video, load_clips, load_stimuli

    if path.exists():
        raise InputError(f"expected a new file, but {path} exists. Choose another with --out.")
    manifest = _find_manifest(stimuli)
    clips = any(file.suffix.lower() in _video.SUFFIXES for file in stimuli.glob("*"))
    faces = (load_clips if clips else load_stimuli)(stimuli, manifest=manifest)
    kind = "clips" if clips else "images"
    blocks, generalise_to, by = _data_blocks(data or [], set(faces.ids), path.resolve().parent)
    columns = [c for c in faces.metadata.columns if faces.metadata[c].nunique() > 1]
    shown = f"  # columns of your table: {', '.join(map(str, columns))}; a subset is a query:\n"
    text = _TEMPLATE.format(
        name=path,
        title=f"Which layers see {len(faces)} {kind} the way people do",
        key="clips" if clips else "folder",
        folder=_relative(stimuli, path),
        rate="  rate: 5     # frames of a second that networks are shown\n" if clips else "",
        manifest="" if manifest is None else f"  manifest: {_relative(manifest, path)}\n",
        example=f"{faces.ids[0]}, …",
        data=blocks,
        columns=f"{shown}  # my subset: {columns[0]} == {faces.metadata[columns[0]].iloc[0]!r}\n"
        if columns
        else "",
        generalise_to=generalise_to,
        by=by,
        groups=_groups(faces.metadata),
    )
    write_text(path, text)
    told = by.partition("#")[0].strip() or "by: subject"
    out.print(f"Wrote {path}: {len(faces)} {kind}. Next: rsa-faces compare {path}", markup=False)
    out.print(
        "Faces are cut out where networks were trained so and every image has one (crop_faces: "
        f"auto); subjects are told apart by their label ({told}).",
        markup=False,
    )


def _groups(labels: pd.DataFrame) -> str:
    """Return the line that draws images of a person together, where images repeat enough people."""
    from rsa_faces.runs._people import people_column

    column = people_column(labels)
    n_people = labels[column].nunique() if column else 0
    return f"  groups: {column}  # images of one are drawn together\n" * (
        n_people >= _FEWEST_PEOPLE
    )


def _find_manifest(folder: Path) -> Path | None:
    """Return the one CSV in or beside a folder of images that has a `file` column."""
    from rsa_faces._core.tables import read_header

    fitting = []
    for path in [*sorted(folder.glob("*.csv")), *sorted(folder.parent.glob(f"{folder.name}*.csv"))]:
        with contextlib.suppress(InputError):  # a CSV that is no table is no manifest
            if "file" in read_header(path):
                fitting.append(path)
    return fitting[0] if len(fitting) == 1 else None


def _data_blocks(paths: list[Path], ids: set[str], folder: Path) -> tuple[str, str, str]:
    """Return the `data:` entries, what subjects allow to generalise to, and how they are told."""
    from rsa_faces.io import read_rdms

    if not paths:
        return (
            '  - {rdms: "PUT THE PATH OF YOUR RDMS HERE (.h5 or .csv)", region: IT}\n',
            "both",
            "",
        )
    lines, n_subjects, tell = [], [], []
    for path in paths:
        rdms = read_rdms(path)
        labels = rdms.labels
        column = _tells_apart(labels)
        tell.append(column)
        n_subjects.append(len(rdms) if column is None else labels[column].nunique())
        missing = len(ids - set(rdms.conditions)) + len(set(rdms.conditions) - ids)
        note = f"  # {n_subjects[-1]} subjects"
        if missing:
            note += f"; {missing} condition names differ from the image names: mend this first, or"
            note += " give `rename:` a table with the columns old and new"
        for region in labels["region"].unique() if "region" in labels else [None]:
            select = "" if region is None else f", select: {{region: {region!r}}}"
            name = path.stem if region is None else region
            file = os.path.relpath(path.resolve(), folder)
            lines.append(f"  - {{rdms: {file!r}{select}, region: {name!r}}}{note}\n")
    by = ""
    several = [c for c, n in zip(tell, n_subjects, strict=True) if n > 1]
    if several and several[0] not in (None, "subject", "rater"):
        by = f"  by: {several[0]}  # tells subjects apart, as there is no label subject\n"
    return "".join(lines), "both" if min(n_subjects) > 1 else "conditions", by


def _tells_apart(labels: pd.DataFrame) -> str | None:
    """Return the label that tells subjects apart: `subject`, or one that differs for each RDM."""
    for column in ("subject", "rater", "patient"):
        if column in labels:
            return column
    return next((c for c in labels if labels[c].nunique() == len(labels)), None)


def _relative(path: Path, config: Path) -> str:
    """Return a path as seen from the configuration's folder."""
    # In quotes: YAML would read some names as something else.
    return repr(os.path.relpath(path.resolve(), config.resolve().parent))
