"""Files downloaded from the Meadows platform for online behaviour."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rsa_faces._core.checks import check_choice
from rsa_faces._core.errors import (
    InputError,
    MissingFileError,
    check_same_names,
)
from rsa_faces._core.names import as_names, check_unique_names
from rsa_faces._core.result import BaseResult, keep_warnings
from rsa_faces._core.tables import read_table
from rsa_faces.behaviour._report import Findings, RaterReport
from rsa_faces.behaviour._trials import Arrangements, Trial, shown_pairs
from rsa_faces.rdm import RDMs

_NICKNAMES = ("participation", "participant", "nickname", "name")


@dataclass(frozen=True, eq=False, repr=False)
class MeadowsData(BaseResult):
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

    See Also
    --------
    read_meadows : Read multi-arrangement data from a Meadows tree (JSON) or matrix (MAT) file.
    rsa_faces.behaviour.fit_raters : Estimate one RDM per rater.

    Examples
    --------
    >>> from rsa_faces.behaviour import read_meadows
    >>> data = read_meadows("Meadows_faces_v_v1_tree.json")  # doctest: +SKIP
    >>> data.arrangements["informed-mole", "faces"]  # doctest: +SKIP
    """

    rdms: RDMs | None
    arrangements: dict[tuple[str, str], Arrangements]
    report: RaterReport

    @property
    def table(self) -> pd.DataFrame:
        """What is missing or was left out: the table of the report."""
        return self.report.table


@keep_warnings
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

    See Also
    --------
    fit_raters : Estimate one RDM per rater.
    read_meadows_annotations : Read ratings or choices from a Meadows "annotations" file.

    Notes
    -----
    A participation may be one task, tasks by name or in an array, or an array of these. Times are
    seconds or milliseconds since 1970, or text. An image without a position (null) is left out of
    its trial, and reported.

    Meadows weighs distances in its own coordinates (today the arena's radius is 1, in early files
    the window's height), with a floor of 0.2. So that :func:`~rsa_faces.behaviour.inverse_mds`
    gives the RDM that Meadows gives, ``arena_diameter`` is 1 in the arrangements read here: the
    coordinate 1 counts as 1.

    Examples
    --------
    >>> import json, pathlib, tempfile
    >>> from rsa_faces.behaviour import inverse_mds, read_meadows
    >>> places = [("1", 0.0, 0.0), ("2", 0.6, 0.0), ("3", 0.0, 0.8)]
    >>> trial = [{"id": image, "x": x, "y": y} for image, x, y in places]
    >>> task = {
    ...     "task": {"name": "faces", "task_type": "multiarrange"},
    ...     "stimuli": [{"id": image, "name": f"face {image}"} for image, *_ in places],
    ...     "trials": [{"positions": trial}, {"positions": trial[:1]}],
    ... }
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "Meadows_faces_v_v1_tree.json"
    >>> _ = path.write_text(json.dumps({"informed-mole": task}))
    >>> data = read_meadows(path)
    >>> inverse_mds(data.arrangements["informed-mole", "faces"]).rdms.vectors.round(3)
    array([[0.735, 0.98 , 1.225]])
    >>> data.table["rule"].tolist()
    ['fewer than 2 images in a trial', 'no RDM in the file']
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"expected a Meadows file, but {path} does not exist.")
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
    """Read ratings or choices from a Meadows "annotations" file (CSV or JSON).

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
        If a column or the task is missing, a rating is no number, an image is missing in some rows,
        or a choice among three is neither name, id nor 1 to 3.

    See Also
    --------
    read_meadows : Read multi-arrangement data from a Meadows tree (JSON) or matrix (MAT) file.

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
    if isinstance(source, (str, Path)) and Path(source).suffix.lower() == ".json":
        source = _annotations(Path(source))
    names = [f"stim{i}_name" for i in (1, 2, 3)]
    gaps = ["label", *names[1:], *(f"stim{i}_id" for i in (1, 2, 3))]
    table = read_table(
        source,
        what="a table of annotations",
        text=["task", "participation", names[0], *gaps],
        gaps=gaps,
        optional=gaps[1:],
    )
    check_choice(task, table["task"].unique(), what="task")
    table = table[table["task"] == task].reset_index(drop=True)
    n = 1
    while n < 3 and names[n] in table and table[names[n]].notna().any():
        n += 1
    for column in names[1:n]:
        if (gaps := table[column].isna()).any():
            row = int(gaps.to_numpy().argmax())
            raise InputError(
                f"expected {n} images in every row of task {task!r}, but row {row} of the task, of "
                f"rater {table['participation'][row]!r}, has none in column {column!r}."
            )
    out = pd.DataFrame({"rater": table["participation"]})
    if n == 1:
        out["stimulus"], out["label"] = table[names[0]], table["label"]
    elif n == 2:
        out["a"], out["b"] = (table[name] for name in names[:2])
        ratings = pd.DataFrame({"label": table["label"]})
        out["rating"] = read_table(ratings, what=f"task {task!r}", numbers=["label"])["label"]
    else:
        out["a"], out["b"], out["c"] = (table[name] for name in names)
        out["odd"] = _chosen(table, out)
    out["seconds"] = np.nan
    if {"start", "resp"} <= set(table.columns):
        times = zip(table["start"], table["resp"], strict=True)
        out["seconds"] = np.array([_duration(*pair) for pair in times], dtype=float)
    return out


def holds_annotations(path: Path) -> bool:
    """Whether a file of Meadows holds annotations: a table, or such an array in JSON."""
    suffix = path.suffix.lower()
    return suffix not in (".json", ".mat") or suffix == ".json" and _are_annotations(_json(path))


def _are_annotations(data: Any) -> bool:
    """Whether the content of a JSON file is annotations: an array, or arrays by participant."""
    parts = list(data.values()) if isinstance(data, Mapping) else [data]
    rows = [row for part in parts if isinstance(part, list) for row in part]
    return bool(rows) and all(isinstance(row, Mapping) and "stim1_name" in row for row in rows)


def _annotations(path: Path) -> pd.DataFrame:
    """Return the annotations in a JSON file: an array of them, or one by participant."""
    if not path.is_file():
        raise MissingFileError(f"expected annotations, but {path} does not exist.")
    data = _json(path)
    if not _are_annotations(data):
        raise InputError(
            f"expected an array of annotations in {path.name!r}, each with task, participation, "
            f"label and stim1_name, got {str(data)[:40]!r}."
        )
    if isinstance(data, Mapping):
        data = [{"participation": rater, **row} for rater, rows in data.items() for row in rows]
    return pd.DataFrame([dict(row) for row in data])


def _chosen(table: pd.DataFrame, out: pd.DataFrame) -> pd.Series:
    """Return the name of the image that a label among three stands for."""
    label = table["label"]
    odd = pd.Series(pd.NA, index=table.index, dtype=object)
    for i, column in reversed(list(enumerate("abc", start=1))):
        odd = odd.mask(label == str(i), out[column])
    for i, column in enumerate("abc", start=1):
        if f"stim{i}_id" in table:
            odd = odd.mask(label == table[f"stim{i}_id"], out[column])
    for column in "abc":
        odd = odd.mask(label == out[column], out[column])
    wrong = odd.isna() & label.notna()
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        raise InputError(
            "expected the name, the id or the position (1 to 3) of the image chosen, but row "
            f"{row} has the label {label[row]!r}."
        )
    return odd


def _read_tree(path: Path, task: str | None) -> MeadowsData:
    """Read a tree file."""
    findings = Findings()
    arrangements: dict[tuple[str, str], Arrangements] = {}
    vectors: list[np.ndarray] = []
    conditions: tuple[str, ...] | None = None
    found = [
        (rater, name, part)
        for rater, one in _participations(_json(path), path)
        for name, part in _arrangement_tasks(one, f"rater {rater!r} in {path.name!r}")
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
        if (rater, name) in arrangements:
            raise InputError(
                f"expected each task of a rater once in {path.name!r}, but rater {rater!r} has "
                f"task {name!r} again."
            )
        images = part.get("stimuli") or []
        if not images or not all(isinstance(s, Mapping) and "name" in s for s in images):
            raise InputError(
                f"expected the list of images of task {name!r} of rater {rater!r} in "
                f"{path.name!r}, got none. Download the tree of the whole experiment."
            )
        shown = _conditions([s["name"] for s in images])
        conditions = conditions or shown
        first = next(iter(arrangements), (rater, name))
        _same(conditions, shown, first, (rater, name))
        if part.get("status") not in (None, "finished"):
            findings.add(rater, "task not finished", 1, "kept", [f"{name}: {part['status']}"])
        names = {str(s.get("id", s["name"])): c for s, c in zip(images, shown, strict=True)}
        one = _arrangements(rater, name, part, names, conditions, findings)
        arrangements[rater, name] = one
        never = int((~shown_pairs(one)).sum()) if len(one) else 0
        findings.add(rater, "pair never shown together", never, "NaN in the RDM", [name])
        stored = part.get("rdm")
        findings.add(rater, "no RDM in the file", not stored, "use inverse_mds()", [name])
        vectors.append(_vector(stored, shown, conditions, rater))
        if stored:
            n_missing = np.isnan(vectors[-1]).sum()
            findings.add(rater, "pair without value", n_missing, "NaN in the RDM", [name])
    vectors = np.array(vectors)
    whole = None if np.isnan(vectors).all() else _rdms(vectors, conditions, list(arrangements))
    return MeadowsData(whole, arrangements, findings.report())


def _json(path: Path) -> Any:
    """Return the content of a JSON file."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as err:
        raise InputError(f"expected a JSON file at {str(path)!r}, but {err}.") from err


def _participations(data: Any, path: Path) -> list[tuple[str, Any]]:
    """Return participants' names with their part of a tree, a mapping or an array."""
    if _are_annotations(data):
        raise InputError(
            f"expected a Meadows tree in {path.name!r}, but it holds annotations: use "
            "read_meadows_annotations()."
        )
    if isinstance(data, Mapping) and ("tasks" in data or "trials" in data):
        return [(_rater_of(path), data)]
    if isinstance(data, Mapping) and all(isinstance(v, (Mapping, list)) for v in data.values()):
        return [(str(k), v) for k, v in data.items()]
    if isinstance(data, list) and data and all(isinstance(one, Mapping) for one in data):
        for key in _NICKNAMES:
            if all(isinstance(one.get(key), str) for one in data):
                return [(one[key], one) for one in data]
        if all("trials" in one or "tasks" in one for one in data):
            return [(_rater_of(path), data)]
    raise InputError(
        f"expected a Meadows tree in {path.name!r}: tasks, the trials of one task, or participants "
        "by name."
    )


def _arrangement_tasks(one: Any, where: str) -> list[tuple[str, Mapping]]:
    """Return the multi-arrangement tasks of a participant, with names.

    A participation is a task, holds tasks (an array, or by name), or is an array of either.
    """
    if isinstance(one, list):
        parts = list(enumerate(one))
    elif isinstance(one, Mapping) and "tasks" in one:
        tasks = one["tasks"] or []
        parts = list(tasks.items() if isinstance(tasks, Mapping) else enumerate(tasks))
    else:
        parts = [(0, one)]
    out = []
    for key, part in parts:
        if not isinstance(part, Mapping):
            raise InputError(f"expected tasks of {where}, got {part!r}.")
        if "tasks" in part:
            out += _arrangement_tasks(part, where)
            continue
        about = part.get("task") or {}
        about = about if isinstance(about, Mapping) else {"name": about}
        kind = about.get("task_type", "multiarrange" if "trials" in part else None)
        if kind == "multiarrange":
            name = key if isinstance(key, str) else f"task{key + 1}"
            out.append((str(about.get("name", name)), part))
    return out


def _arrangements(rater, name, part, names, conditions, findings) -> Arrangements:
    """Return the trials of one task."""
    trials = []
    for number, trial in enumerate(part.get("trials") or [], start=1):
        where = f"trial {number} of task {name!r} of rater {rater!r}"
        if not isinstance(trial, Mapping):
            raise InputError(f"expected positions of images in {where}, got {trial!r}.")
        shown, xy = [], []
        for place in trial.get("positions") or []:
            if not isinstance(place, Mapping):
                raise InputError(f"expected positions of images in {where}, got {place!r}.")
            image = str(place.get("id", place.get("name")))
            if image not in names:
                raise InputError(f"expected images of the task in {where}, got the id {image!r}.")
            at = _position(place, names[image], where)
            if at is None:
                findings.add(rater, "position missing", 1, "image left out", [where])
                continue
            shown.append(names[image])
            xy.append(at)
        if len(shown) < 2:
            findings.add(
                rater,
                "fewer than 2 images in a trial",
                1,
                "trial left out",
                [f"{name} trial {number}"],
            )
            continue
        if len(set(shown)) < len(shown):
            twice = next(image for image in shown if shown.count(image) > 1)
            raise InputError(f"expected each image once in {where}, but {twice!r} is there again.")
        seconds = _duration(trial.get("start"), trial.get("end"))
        log = trial.get("log")
        if seconds is None and log and all(isinstance(e, list) and e for e in log):
            seconds = _duration(log[0][0], log[-1][0])
        trials.append(Trial(tuple(shown), xy, seconds))
    findings.add(rater, "no trial", not trials, "kept without trials", [name])
    return Arrangements(rater, tuple(trials), conditions)


def _position(place: Mapping, image: str, where: str) -> tuple[float, float] | None:
    """Return where an image lies, None if a coordinate is missing."""
    at = place.get("x"), place.get("y")
    if any(value is None for value in at):
        return None
    try:
        x, y = map(float, at)
    except (TypeError, ValueError):
        x = y = np.nan
    if not (np.isfinite(x) and np.isfinite(y)):
        raise InputError(f"expected numbers as the position of {image!r} in {where}, got {at!r}.")
    return x, y


def _duration(start: Any, end: Any) -> float | None:
    """Return the seconds between two times: since 1970 in s or ms, or as text; None if unknown."""
    seconds = _seconds(end) - _seconds(start)
    return seconds if seconds >= 0 else None


def _seconds(time: Any) -> float:
    """Return a time in s, NaN if it is none."""
    if isinstance(time, str):
        try:
            time = float(time)
        except ValueError:
            try:
                moment = datetime.fromisoformat(time)
            except ValueError:
                return np.nan
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if not isinstance(time, (int, float)) or isinstance(time, bool):
        return np.nan
    # Seconds since 1970 have ten digits, milliseconds thirteen.
    return float(time) if 1e9 <= abs(time) < 1e11 else time / 1000


def _vector(stored: Any, shown, conditions, rater: str) -> np.ndarray:
    """Return a stored RDM in the order of conditions, NaN if there is none."""
    n_pairs = len(conditions) * (len(conditions) - 1) // 2
    if not stored:
        return np.full(n_pairs, np.nan)
    try:
        vector = np.array(stored, dtype=np.float64)
    except (TypeError, ValueError) as err:
        raise InputError(
            f"expected numbers in the RDM of rater {rater!r}, got {str(stored)[:40]!r}."
        ) from err
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
    # Of one rater `rdmutv`, of several one each; images are named once or for each rater.
    names = [k.split("_", 1)[1] for k in data if k.startswith(("rdmutv_", "stimuli_"))]
    raters = {f"rdmutv_{key}": key.replace("_", "-") for key in names}
    if not raters or "rdmutv" in data:
        raters["rdmutv"] = _rater_of(path)
    findings = Findings()
    conditions: tuple[str, ...] | None = None
    vectors, labels = [], []
    for variable, rater in raters.items():
        own = variable.replace("rdmutv", "stimuli")
        stimuli = data.get(own, data.get("stimuli"))
        if stimuli is None:
            raise InputError(
                f"expected the variables 'stimuli' and 'rdmutv' (of each rater) in {path.name!r}, "
                f"got {', '.join(k for k in data if not k.startswith('__')) or 'none'}."
            )
        findings.raters.append(rater)
        if variable not in data or np.size(data[variable]) == 0:
            findings.add(rater, "no RDM in the file", 1, "rater left out", [variable])
            continue
        shown = _conditions([s.strip() for s in as_names(np.ravel(stimuli), what="image")])
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
    sides = (f"task {task!r} of rater {rater!r}" for rater, task in (first, this))
    check_same_names(conditions, shown, *sides, "Name one task with task=.")


def _conditions(names: list[str]) -> tuple[str, ...]:
    """Return names without the ending of an image file, where they stay unique."""
    plain = [
        re.sub(r"\.(png|jpe?g|gif|bmp|webp|svg|mp4|webm|wav|mp3)$", "", n, flags=re.I)
        for n in names
    ]
    return check_unique_names(plain if len(set(plain)) == len(names) else names, what="image")


def _rater_of(path: Path) -> str:
    """Return the participant's nickname in a file name, or the file's name."""
    nick = [s for s in path.stem.split("_") if re.fullmatch(r"[a-z]+-[a-z]+", s)]
    return nick[-1] if nick else path.stem
