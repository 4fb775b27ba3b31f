"""Files of a BIDS data set: preprocessed runs of a subject, with what goes with each."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rsa_faces._core.checks import nearest
from rsa_faces._core.errors import InputError

#: The space of images whose names state none: that of the scanner, before any template.
NATIVE = "native"
SPACE = "MNI152NLin2009cAsym"
# What tells versions of one run apart, not runs.
_VERSIONS = ("space", "res", "den", "desc", "echo", "label", "hemi", "cohort")
# What tells runs apart, in the order of their names.
_RUNS = ("ses", "acq", "ce", "rec", "dir", "run")


@dataclass(frozen=True)
class BidsRun:
    """A preprocessed run: its image, events and name, repetition time and reference slice."""

    path: Path
    events: Path
    name: str
    t_r: float | None
    slice_time_ref: float


def entities(path: Path) -> dict[str, str]:
    """Return the entities of a BIDS name, ``sub-01_task-faces_...``."""
    return dict(re.findall(r"(?:^|_)([A-Za-z]+)-([0-9A-Za-z+]+)(?=_|\.)", path.name))


def find_runs(
    bids_root: Any,
    *,
    task: str,
    subject: str,
    space: str | None,
    session: str | None,
    derivatives: str,
    res: str | None = None,
    echo: str | None = None,
) -> list[BidsRun]:
    """Find the preprocessed runs of a subject; what is missing or ambiguous is named."""
    root = Path(bids_root)
    folder = root / derivatives
    if not folder.is_dir():
        raise InputError(f"expected a folder {derivatives!r} in {str(root)!r}, but there is none.")
    own = folder / f"sub-{subject}"
    if not own.is_dir():
        others = sorted(p.name.removeprefix("sub-") for p in folder.glob("sub-*") if p.is_dir())
        raise InputError(
            f"expected the subject {subject!r} (a folder 'sub-{subject}') in {str(folder)!r}, got "
            f"{_listed(others)}.{nearest(subject, others)}"
        )
    paths = [
        p
        for p in sorted(own.rglob("func/*_bold.nii*"))
        if p.name.endswith(("_bold.nii", "_bold.nii.gz")) and entities(p).get("desc") == "preproc"
    ]
    where = f"subject {subject!r} in {str(folder)!r}"
    if not paths:
        raise InputError(
            f"expected preprocessed images (sub-{subject}_..._desc-preproc_bold.nii.gz) of "
            f"{where}, got none."
        )
    paths = _chosen(paths, "task", task, where)
    paths = paths if session is None else _chosen(paths, "ses", session, where, key="session")
    paths = _chosen(paths, "space", SPACE if space is None else space, where)
    for key, wanted in (("res", res), ("echo", echo)):
        values = _values(paths, key)
        if wanted is None and len(values) > 1:
            raise InputError(
                f"expected one `{key}` of task {task!r} of {where}, got {_listed(values)}: say "
                f"which with the option `{key}`."
            )
        paths = paths if wanted is None else _chosen(paths, key, wanted, where)
    names = _names(paths)
    raw = sorted((root / f"sub-{subject}").rglob("func/*")) + sorted(root.glob("task-*"))
    made = sorted(own.rglob("func/*.json"))
    return [_run(path, name, raw, made, root) for path, name in zip(paths, names, strict=True)]


def _values(paths: Iterable[Path], entity: str) -> list[str]:
    """Return the values of an entity, each once."""
    return sorted({entities(path).get(entity, NATIVE) for path in paths})


def _chosen(paths: list[Path], entity: str, wanted: str, where: str, *, key: str | None = None):
    """Return the images with a value of an entity, or say which values there are."""
    matching = [path for path in paths if entities(path).get(entity, NATIVE) == wanted]
    if not matching:
        values = _values(paths, entity)
        hint = nearest(wanted, values)
        how = "" if entity == "task" else f" Say which with the option `{key or entity}`."
        raise InputError(
            f"expected images of {key or entity} {wanted!r} of {where}, got {_listed(values)}."
            f"{hint}{how}"
        )
    return matching


def _listed(values: list[str]) -> str:
    """Show some values."""
    more = f" and {len(values) - 10} more" if len(values) > 10 else ""
    return (", ".join(map(repr, values[:10])) or "none") + more


def _names(paths: list[Path]) -> list[str]:
    """Return a name for each run: its run, and before it what else differs."""
    own = [entities(path) for path in paths]
    varies = [e for e in _RUNS[:-1] if len({o.get(e) for o in own}) > 1]
    names = []
    for i, found in enumerate(own):
        parts = [found[e] for e in varies if e in found]
        parts += [found["run"]] if "run" in found else []
        names.append("/".join(parts) or str(i + 1))
    if len(set(names)) < len(names):
        twice = [p.name for p, name in zip(paths, names, strict=True) if names.count(name) > 1]
        raise InputError(
            f"expected one image of each run, got {len(twice)} of the same: {', '.join(twice[:4])}."
        )
    return names


def _run(path: Path, name: str, raw: list[Path], made: list[Path], root: Path) -> BidsRun:
    """Return a run with its events and times."""
    events = _beside(path, raw, "_events.tsv")
    if not events:
        raise InputError(
            f"expected events, ..._events.tsv, of {path.name!r} in "
            f"{str(root / ('sub-' + entities(path)['sub']))!r}, got none."
        )
    own = [_json(p) for p in _beside(path, made, "_bold.json")]
    both = [*own, *(_json(p) for p in _beside(path, raw, "_bold.json"))]
    t_r = next((meta["RepetitionTime"] for meta in both if "RepetitionTime" in meta), None)
    start = next((meta["StartTime"] for meta in own if "StartTime" in meta), None)
    for key, value in (("RepetitionTime", t_r), ("StartTime", start)):
        if value is not None and not isinstance(value, (int, float)):
            raise InputError(f"expected {key} of {path.name!r} in s, got {value!r}.")
    return BidsRun(path, events[0], name, t_r, (start or 0.0) / t_r if t_r else 0.0)


def _beside(path: Path, files: list[Path], ending: str) -> list[Path]:
    """Return the files that belong to an image, those that say most about it first."""
    own = entities(path)
    known = [(p, entities(p)) for p in files if p.name.endswith(ending)]
    fitting = [(p, e) for p, e in known if all(own.get(k) == v for k, v in e.items())]
    return [p for p, _ in sorted(fitting, key=lambda pair: -len(pair[1]))]


def _json(path: Path) -> Mapping[str, Any]:
    """Return what a sidecar says."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as err:
        raise InputError(f"expected JSON in {path}, but it cannot be read: {err}.") from err
    if not isinstance(content, dict):
        raise InputError(f"expected names and values in {path}, got {type(content).__name__}.")
    return content
