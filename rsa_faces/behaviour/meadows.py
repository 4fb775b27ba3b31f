"""Files downloaded from the Meadows platform for online behaviour."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rsa_faces._core.checks import check_choice, check_unique_names
from rsa_faces._core.errors import ConditionMismatchError, InputError
from rsa_faces.behaviour._report import Findings, RaterReport
from rsa_faces.behaviour._tables import read_table
from rsa_faces.behaviour._trials import Arrangements, Trial, shown_pairs
from rsa_faces.rdm import RDMs


@dataclass(frozen=True, eq=False)
class MeadowsData:
    """What :func:`read_meadows` found in a file.

    Parameters
    ----------
    rdms : RDMs or None
        The RDMs that Meadows computed, as stored (unit sum of squares), one per rater and task,
        labels rater and task; None if the file holds none.
    arrangements : dict of (rater, task) to Arrangements
        The trials; empty for files without trials (MAT).
    report : RaterReport
        What is missing or was left out.
    """

    rdms: RDMs | None
    arrangements: dict[tuple[str, str], Arrangements]
    report: RaterReport


def read_meadows(path: str | Path, *, task: str | None = None) -> MeadowsData:
    """Read multi-arrangement data from a Meadows tree (JSON) or matrix (MAT) file.

    Parameters
    ----------
    path : path
        A file of the "tree" structure (.json: one or all tasks, one or all participants) or of the
        "1D" structure (.mat: one or all participants), named as downloaded.
    task : str, optional
        Take only this multi-arrangement task. Needed when tasks have different images.

    Returns
    -------
    MeadowsData
        Conditions in the order of the file (of its first rater and task), without the ending of
        an image file (.png, …).

    Raises
    ------
    InputError
        If the file is none of these, holds no multi-arrangement data or not the task, or an RDM
        does not fit the number of images.
    ConditionMismatchError
        If raters or tasks have different images.

    Notes
    -----
    Meadows weighs distances in its own coordinates (today the arena's radius is 1, in early files
    the window's height), with a floor of 0.2. So that :func:`~rsa_faces.behaviour.inverse_mds`
    gives the RDM that Meadows gives, ``arena_diameter`` is 1 in the arrangements read here: the
    coordinate 1 counts as 1.

    Examples
    --------
    >>> from rsa_faces.behaviour import inverse_mds, read_meadows
    >>> data = read_meadows("Meadows_faces_v_v1_informed-mole_tree.json")  # doctest: +SKIP
    >>> fits = {who: inverse_mds(trials)
    ...         for who, trials in data.arrangements.items()}  # doctest: +SKIP
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"expected a Meadows file, but there is none at {str(path)!r}.")
    suffix = path.suffix.lower()
    if suffix == ".json":
        return _read_tree(path, task)
    if suffix == ".mat":
        return _read_mat(path, task)
    raise InputError(
        f"expected a Meadows file of type .json (tree) or .mat (1D), got {path.name!r}. For "
        "annotations (.csv) use read_meadows_annotations()."
    )


def read_meadows_annotations(source: pd.DataFrame | str | Path, *, task: str) -> pd.DataFrame:
    """Read ratings or choices from a Meadows "annotations" file (CSV).

    Parameters
    ----------
    source : path or DataFrame
        With columns task, participation, label and stim1_name (up to stim3_name), as downloaded.
    task : str
        The task to take.

    Returns
    -------
    DataFrame
        Columns rater and seconds (from presentation to response; NaN if not recorded), and: for
        two images a, b, rating (as :func:`~rsa_faces.behaviour.pair_rating_rdms` takes); for three
        a, b, c, odd (as :func:`~rsa_faces.behaviour.triplet_rdms` takes); for one stimulus, label.
        Rows are all kept.

    Raises
    ------
    InputError
        If a column or the task is missing, or a choice among three is neither name, id nor 1 to 3.

    Examples
    --------
    >>> import pandas as pd
    >>> from rsa_faces.behaviour import read_meadows_annotations
    >>> table = pd.DataFrame({"task": "t", "participation": "mole", "label": ["4"],
    ...                       "stim1_name": ["x"], "stim2_name": ["y"]})
    >>> read_meadows_annotations(table, task="t")[["rater", "a", "b", "rating"]]
      rater  a  b  rating
    0  mole  x  y     4.0
    """
    text = ["task", "participation", "stim1_name"]
    kept = ["label", *(f"stim{i}_{what}" for i in (1, 2, 3) for what in ("id", "name"))]
    table = read_table(source, [*text, "label"], text=text, kept=kept)
    check_choice(task, table["task"].unique(), what="task")
    table = table[table["task"] == task].reset_index(drop=True)
    n = 1
    while f"stim{n + 1}_name" in table and _filled(table[f"stim{n + 1}_name"]).any():
        n += 1
    out = pd.DataFrame({"rater": table["participation"]})
    names = [table[f"stim{i}_name"].astype(str) for i in range(1, n + 1)]
    if n == 1:
        out["stimulus"], out["label"] = names[0], table["label"]
    elif n == 2:
        out["a"], out["b"] = names
        out["rating"] = pd.to_numeric(table["label"], errors="coerce").astype(float)
    else:
        out["a"], out["b"], out["c"] = names[:3]
        out["odd"] = _chosen(table, out)
    out["seconds"] = np.nan
    if {"start", "resp"} <= set(table.columns):
        times = [pd.to_datetime(table[c], errors="coerce", utc=True) for c in ("start", "resp")]
        out["seconds"] = (times[1] - times[0]).dt.total_seconds()
    return out


def _filled(values: pd.Series) -> pd.Series:
    """Return which values are neither missing nor empty."""
    return values.notna() & (values.astype(str).str.strip() != "")


def _chosen(table: pd.DataFrame, out: pd.DataFrame) -> pd.Series:
    """Return the name of the image that a label among three stands for."""
    label = table["label"].astype(str).str.strip()
    odd = pd.Series(pd.NA, index=table.index, dtype=object)
    for i, column in reversed(list(enumerate("abc", start=1))):
        odd = odd.mask(label == str(i), out[column])
    for i, column in enumerate("abc", start=1):
        if f"stim{i}_id" in table:
            odd = odd.mask(label == table[f"stim{i}_id"].astype(str), out[column])
    for column in "abc":
        odd = odd.mask(label == out[column], out[column])
    wrong = odd.isna() & _filled(table["label"])
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        raise InputError(
            "expected the name, the id or the position (1 to 3) of the image chosen, but row "
            f"{row} has the label {label[row]!r}."
        )
    return odd


def _read_tree(path: Path, task: str | None) -> MeadowsData:
    """Read a tree file."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as err:
        raise InputError(f"expected a JSON file at {str(path)!r}, but {err}.") from err
    findings = Findings()
    arrangements: dict[tuple[str, str], Arrangements] = {}
    vectors: list[np.ndarray] = []
    labels: list[tuple[str, str]] = []
    conditions: tuple[str, ...] | None = None
    found = [
        (rater, name, part)
        for rater, one in _participations(data, path)
        for name, part in _arrangement_tasks(one)
    ]
    if task is not None:
        check_choice(task, dict.fromkeys(name for _, name, _ in found), what="task")
        found = [one for one in found if one[1] == task]
    if not found:
        raise InputError(
            f"expected multi-arrangement data in {path.name!r}, but it holds none. Is it a tree "
            "file of this task?"
        )
    for rater, name, part in found:
        findings.raters.append(rater)
        images = part.get("stimuli") or []
        if not images or not all(isinstance(s, Mapping) and "name" in s for s in images):
            raise InputError(
                f"expected the list of images of task {name!r} of rater {rater!r} in "
                f"{path.name!r}, got none. Download the tree of the whole experiment."
            )
        shown = _conditions([s["name"] for s in images])
        conditions = conditions or shown
        _same(conditions, shown, labels[0] if labels else (rater, name), (rater, name))
        if part.get("status") not in (None, "finished"):
            findings.add(rater, "task not finished", 1, "kept", [f"{name}: {part['status']}"])
        names = {str(s.get("id", s["name"])): c for s, c in zip(images, shown, strict=True)}
        one = _arrangements(rater, name, part, names, conditions, findings)
        arrangements[rater, name] = one
        never = int((~shown_pairs(one)).sum()) if len(one) else 0
        findings.add(rater, "pair never shown together", never, "NaN in the RDM", [name])
        labels.append((rater, name))
        stored = part.get("rdm")
        findings.add(rater, "no RDM in the file", not stored, "use inverse_mds()", [name])
        vectors.append(_vector(stored, shown, conditions, rater))
    vectors = np.array(vectors)
    rdms = _rdms(vectors, conditions, labels) if not np.isnan(vectors).all() else None
    return MeadowsData(rdms, arrangements, findings.report())


def _participations(data: Any, path: Path) -> list[tuple[str, Mapping]]:
    """Return participants' names with their part of a tree."""
    if isinstance(data, Mapping) and ("tasks" in data or "trials" in data):
        return [(_rater_of(path), data)]
    if isinstance(data, Mapping) and all(isinstance(v, Mapping) for v in data.values()):
        return [(str(k), v) for k, v in data.items()]
    raise InputError(
        f"expected a Meadows tree in {path.name!r}: tasks, the trials of one task, or participants "
        "by name."
    )


def _arrangement_tasks(one: Mapping) -> list[tuple[str, Mapping]]:
    """Return the multi-arrangement tasks of a participant, with names."""
    tasks = one.get("tasks", [one])
    tasks = list(tasks.values()) if isinstance(tasks, Mapping) else tasks
    out = []
    for i, part in enumerate(tasks):
        about = part.get("task") or {}
        kind = about.get("task_type", "multiarrange" if "trials" in part else None)
        if kind == "multiarrange":
            out.append((str(about.get("name", f"task{i + 1}")), part))
    return out


def _arrangements(rater, name, part, names, conditions, findings) -> Arrangements:
    """Return the trials of one task."""
    trials = []
    for number, trial in enumerate(part.get("trials") or [], start=1):
        where = [f"{name} trial {number}"]
        positions = trial.get("positions") or []
        ids = [str(p.get("id", p.get("name"))) for p in positions]
        unknown = [i for i in ids if i not in names]
        if unknown:
            raise InputError(
                f"expected images of task {name!r} in trial {number} of rater {rater!r}, got the "
                f"unknown id {unknown[0]!r}."
            )
        if len(positions) < 2:
            findings.add(rater, "fewer than 2 images in a trial", 1, "trial left out", where)
            continue
        xy = [[float(p["x"]), float(p["y"])] for p in positions]
        times = trial.get("start"), trial.get("end")
        seconds = (times[1] - times[0]) / 1000 if all(
            isinstance(t, (int, float)) for t in times) else _logged(trial.get("log"))  # fmt: skip
        trials.append(Trial(tuple(names[i] for i in ids), xy, seconds))
    findings.add(rater, "no trial", not trials, "kept without trials", [name])
    return Arrangements(rater, tuple(trials), conditions)


def _logged(log: Any) -> float | None:
    """Return the seconds between the first and the last event of a trial's log."""
    if not log or not all(isinstance(e, list) and isinstance(e[0], (int, float)) for e in log):
        return None
    return (log[-1][0] - log[0][0]) / 1000


def _vector(stored: Any, shown, conditions, rater: str) -> np.ndarray:
    """Return a stored RDM in the order of conditions, NaN if there is none."""
    n_pairs = len(conditions) * (len(conditions) - 1) // 2
    if not stored:
        return np.full(n_pairs, np.nan)
    vector = np.array(stored, dtype=np.float64)
    if vector.shape != (n_pairs,):
        raise InputError(
            f"expected an RDM of {n_pairs} pairs for {len(conditions)} images of rater {rater!r}, "
            f"got {vector.size} values."
        )
    return RDMs(vector, shown, "arrangement").align(conditions).vectors[0]


def _read_mat(path: Path, task: str | None) -> MeadowsData:
    """Read a matrix file."""
    from scipy.io import loadmat

    try:
        data = loadmat(path)
    except (ValueError, TypeError, NotImplementedError, OSError) as err:
        raise InputError(f"expected a MATLAB 5 file at {str(path)!r}, but {err}.") from err
    segments = path.stem.split("_")
    name = segments[-2] if len(segments) > 2 else path.stem
    if task is not None:
        check_choice(task, [name], what="task")
    findings = Findings()
    conditions: tuple[str, ...] | None = None
    vectors, labels = [], []
    single = "stimuli" in data
    raters = [""] if single else [
        k.removeprefix("stimuli_") for k in data if k.startswith("stimuli_")]  # fmt: skip
    if not raters:
        raise InputError(
            f"expected the variables 'stimuli' and 'rdmutv' (of each rater) in {path.name!r}, got "
            f"{', '.join(k for k in data if not k.startswith('__')) or 'none'}."
        )
    for key in raters:
        rater = _rater_of(path) if single else key.replace("_", "-")
        findings.raters.append(rater)
        variable = "rdmutv" if single else f"rdmutv_{key}"
        if variable not in data or np.size(data[variable]) == 0:
            findings.add(rater, "no RDM in the file", 1, "rater left out", [variable])
            continue
        stimuli = data["stimuli" if single else f"stimuli_{key}"]
        shown = _conditions([str(s).strip() for s in np.ravel(stimuli)])
        conditions = conditions or shown
        _same(conditions, shown, labels[0] if labels else (rater, name), (rater, name))
        vectors.append(_vector(np.ravel(data[variable]).tolist(), shown, conditions, rater))
        findings.add(rater, "pair without value", np.isnan(vectors[-1]).sum(), "NaN in the RDM")
        labels.append((rater, name))
    if not vectors:
        raise InputError(f"expected RDMs in {path.name!r}, but no rater has one.")
    return MeadowsData(_rdms(np.array(vectors), conditions, labels), {}, findings.report())


def _rdms(vectors: np.ndarray, conditions, labels) -> RDMs:
    """Return RDMs with labels rater and task."""
    raters, tasks = zip(*labels, strict=True)
    return RDMs(vectors, conditions, "arrangement", {"rater": list(raters), "task": list(tasks)})


def _same(conditions, shown, first, this) -> None:
    """Raise if two lists of images hold different ones."""
    if set(conditions) != set(shown):
        raise ConditionMismatchError(
            conditions, shown, left_name=f"task {first[1]!r} of rater {first[0]!r}",
            right_name=f"task {this[1]!r} of rater {this[0]!r}",
            hint="Name one task with task=.",
        )  # fmt: skip


def _conditions(names: list[str]) -> tuple[str, ...]:
    """Return names without the ending of an image file, where they stay unique."""
    plain = [re.sub(r"\.(png|jpe?g|gif|bmp|webp|svg|mp4|webm|wav|mp3)$", "", n, flags=re.I)
             for n in names]  # fmt: skip
    return check_unique_names(plain if len(set(plain)) == len(names) else names, what="image")


def _rater_of(path: Path) -> str:
    """Return the participant's nickname in a file name, or the file's name."""
    nick = [s for s in path.stem.split("_") if re.fullmatch(r"[a-z]+-[a-z]+", s)]
    return nick[-1] if nick else path.stem
