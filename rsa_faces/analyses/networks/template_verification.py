"""Templates: people verified by several images of each, as IJB and YouTube Faces do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rsa_faces._core.checks import check_choice
from rsa_faces._core.errors import InputError, some
from rsa_faces._core.result import BaseResult, keep_warnings
from rsa_faces._core.student import half_width, t_test
from rsa_faces._core.words import counted
from rsa_faces.analyses._groups import check_share, error_of_people
from rsa_faces.analyses._inputs import as_layers, check_finite, codes_of
from rsa_faces.analyses._intervals import interval_of_rate

FARS = (1e-1, 1e-2, 1e-3, 1e-4)
_FEW_FALSE = 5  # pairs of two people that set a threshold; below, no interval is given
_BLOCK = 2**16  # pairs scored at a time
_CURVE = 200  # points


@dataclass(frozen=True, eq=False, repr=False)
class TemplateVerification(BaseResult, figure="plot_template_verification"):
    """How well templates of a person are told from those of others.

    Attributes
    ----------
    table : DataFrame
        One row per false accept rate; see :func:`template_verification`.
    curve : DataFrame
        The receiver operating characteristic at 200 rates, even in the logarithm: ``far``,
        ``tar``, ``threshold``.
    folds : DataFrame
        ``fold``, ``accuracy``, ``threshold``, ``n_pairs`` as of
        :func:`rsa_faces.networks.training.verification`; no rows where pairs have no folds.
    settings : dict
        Options, for provenance.

    See Also
    --------
    template_verification : Verify people by templates of several images.
    rsa_faces.figures.plot_template_verification

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from rsa_faces.analyses import template_verification
    >>> rng = np.random.default_rng(0)
    >>> x = np.repeat(rng.normal(size=(30, 8)), 4, axis=0) + rng.normal(size=(120, 8))
    >>> files = [f"p{i} {k}" for i in range(30) for k in "abcd"]
    >>> templates = pd.DataFrame({"file": files})
    >>> templates["subject"] = templates["file"].str.split().str[0]
    >>> templates["template"] = templates["subject"] + ["1", "1", "2", "2"] * 30  # two images each
    >>> found = template_verification({"fc": x}, templates, conditions=files)
    >>> found.table["tar"].isna().tolist(), len(found.folds)
    ([False, False, False, True], 0)
    """

    table: pd.DataFrame
    curve: pd.DataFrame
    folds: pd.DataFrame

    def __repr__(self) -> str:
        known = self.table.dropna(subset="tar")
        rates = ", ".join(f"{r.tar:.3f} at FAR {r.far:g}" for r in known.itertuples())
        notes = counted(len(self.notes), "note")
        return f"TemplateVerification(TAR {rates or 'not measurable'}; {notes})"


@keep_warnings
def template_verification(
    activations,
    templates: pd.DataFrame,
    pairs: pd.DataFrame | None = None,
    *,
    layer: str | None = None,
    against=None,
    conditions: Sequence[str] | None = None,
    fars: Sequence[float] = FARS,
    alpha: float = 0.05,
) -> TemplateVerification:
    """Verify people by templates of several images: true accept rates at false accept rates.

    Parameters
    ----------
    activations : Activations, or mapping of layer to ndarray (n_images, n_channels)
        Embeddings of the images; for a plain mapping give `conditions`.
    templates : DataFrame
        One row per image of a template: ``template``, ``subject``, ``file`` (the image's name
        among the activations) and optionally ``media`` (the frames of one video are one medium;
        without it every image is one), such as from
        :func:`rsa_faces.networks.training.read_templates`.
    pairs : DataFrame, optional
        Which templates are compared: ``first``, ``second``, optionally ``same`` (checked against
        the subjects) and ``fold``, such as from
        :func:`rsa_faces.networks.training.read_template_pairs`. By default all pairs.
    layer : str, optional
        By default the last.
    against : Activations or mapping, optional
        Another network's embeddings of the same images; its last layer is taken.
    conditions : sequence of str, optional
        The name of each row of plain mappings.
    fars : sequence of float, above 0 to 1, default (0.1, 0.01, 0.001, 0.0001)
        False accept rates.
    alpha : float, default 0.05
        Intervals cover 1 − alpha.

    Returns
    -------
    TemplateVerification
        Its table, one row per rate: ``network``, ``layer``, ``far``; ``tar``, the share of pairs
        of one person that score at least ``threshold``, the lowest score at which the share of
        pairs of two people is at most `far`; ``ci_low``, ``ci_high``; ``n_same``,
        ``n_different`` pairs, ``n_needed`` (1 / far), ``n_people``, ``n_templates``,
        ``n_conditions`` (images). `tar` is NaN with fewer than ``n_needed`` pairs of two people,
        and intervals are with fewer than 5 false accepts allowed: notes say so. With `against`
        also ``against`` (network and layer), ``difference``, `tar` less the other network's,
        ``difference_low``, ``difference_high`` and ``p_difference`` (two-sided), NaN where one of
        both rates has no interval.

    Raises
    ------
    InputError
        If columns are missing or have gaps; a template has two subjects, an image is listed twice
        in one or shows two subjects; an image has no embedding, or one without length; pairs name
        unknown templates, a template with itself, one pair twice, templates that share an image,
        or people that differ from `same`; one kind of pair is missing, or a person is in two
        folds.

    See Also
    --------
    template_embeddings : Average embeddings of images to those of templates.
    rsa_faces.networks.training.tar_at_far : The same rates of any scores.
    rsa_faces.figures.plot_template_verification

    Notes
    -----
    Scores are cosines of :func:`template_embeddings`. Images without a template are not used.

    Intervals hold for other people: the standard error of a rate sums, over people, what each
    person's own pairs do to it and what the pairs with others do by way of the threshold (dyadic
    [1]_; the rate's change over thresholds at half and at 1.5 times `far`), and the interval is
    that of Clopper and Pearson for as many independent pairs as give this error. Where all or
    no pairs of one person are accepted, its other end is from as many people as have such pairs.
    People count by their pairs: where a few have most of these, errors are those of leaving each
    out, and Student's t has as many degrees of freedom as that many even people, less one.
    In 400 simulated studies each (30 to 120 people, two or three templates, people of unlike
    noise) 95 % intervals held the rate of very many people in 94 to 99 %
    (``scripts/simulate_scores.py templates --simulations 400``).

    Differences are paired: what each person's and each two people's pairs do to one network's rate
    is subtracted from what they do to the other's before errors are summed, and interval and p are
    of t with these degrees of freedom; where all of
    them are alike (one network accepts every pair, the other none) p is that of a sign test. In 200
    simulated studies each (30 to 120 people, two or three templates, noise half shared) they held
    0 in 94 to 98 % for networks that are as good, and p was at most .05 in 2.5 to 6.5 %
    (``scripts/simulate_scores.py paired --simulations 200``).

    References
    ----------
    .. [1] Aronow P. M., Samii C., Assenova V. A. (2015). Political Analysis 23, 564-577.
       doi:10.1093/pan/mpv018
    .. [2] Maze B. et al. (2018). International Conference on Biometrics.
       doi:10.1109/ICB2018.2018.00033

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from rsa_faces.analyses import template_verification
    >>> rng = np.random.default_rng(0)
    >>> x = np.repeat(rng.normal(size=(60, 16)), 4, axis=0)  # simulated
    >>> x = x + 1.5 * rng.normal(size=x.shape)
    >>> files = [f"p{i} {k}" for i in range(60) for k in "abcd"]
    >>> templates = pd.DataFrame({"file": files})
    >>> templates["subject"] = templates["file"].str.split().str[0]
    >>> templates["template"] = templates["subject"] + ["1", "1", "2", "2"] * 60  # two images each
    >>> found = template_verification({"fc": x}, templates, conditions=files)
    >>> found.table[["far", "tar", "ci_low", "ci_high"]].round(2)
        far   tar  ci_low  ci_high
    0  0.10  0.75    0.62     0.86
    1  0.01  0.38    0.25     0.54
    2  0.00  0.07    0.02     0.18
    3  0.00   NaN     NaN      NaN
    """
    from rsa_faces.networks.training import roc, tar_at_far, verification

    check_share(alpha, "alpha")
    embedded, rows, place = _embedded(activations, templates, layer, conditions)
    who = rows.drop_duplicates("template").set_index("template")["subject"]
    subject, people = codes_of(who[embedded.index])
    index, fold = _pairs(pairs, rows, embedded.index, subject)
    persons = subject[index]
    same = persons[:, 0] == persons[:, 1]
    scores = _scores(embedded, index)
    rates = tar_at_far(scores, same, fars)
    of_people = _People(scores, persons, same, len(people))
    measured, notes = [], []
    if "media" not in templates and rows["template"].duplicated().any():
        notes.append(
            "Every image counts as a medium of its own, as templates have no column 'media': the "
            "frames of a video, if there are any, weigh as much as as many photographs."
        )
    for far, row in rates.iterrows():
        low, high = of_people.interval(far, row, alpha)
        needed, n = int(row["n_needed"]), int(row["n_impostors"])
        if needed > n:
            notes.append(
                f"No rate is given at FAR {far:g}: it needs {needed:,} pairs of two people, there "
                f"are {n:,}."
            )
        elif np.isnan(low):
            notes.append(
                f"The threshold at FAR {far:g} rests on "
                f"{counted(int(far * n * (1 + 1e-12)), 'pair')} of two people: no interval with "
                f"fewer than {_FEW_FALSE}."
            )
        measured.append((far, row["tar"], low, high, row["threshold"], n, needed))
    names = ["far", "tar", "ci_low", "ci_high", "threshold", "n_different", "n_needed"]
    table = pd.DataFrame(measured, columns=names)
    for position, (name, value) in enumerate(place.items()):
        table.insert(position, name, value)
    table.insert(len(place) + 5, "n_same", int(same.sum()))
    table = table.assign(
        n_people=len(people), n_templates=len(embedded), n_conditions=rows["file"].nunique()
    )
    # No rate below one of these pairs can be measured.
    grid = np.geomspace(1 / (~same).sum(), 1, _CURVE)
    whole = roc(scores, same)
    last = np.searchsorted(whole["far"], grid * (1 + 1e-12), side="right") - 1
    curve = whole.iloc[last].reset_index(drop=True).assign(far=grid)[["far", "tar", "threshold"]]
    folds = pd.DataFrame(columns=["fold", "accuracy", "threshold", "n_pairs"])
    if fold is not None:
        judged = verification(scores, same, fold)
        folds = judged.folds.reset_index()
        notes.append(
            f"Accuracy over {len(folds)} folds, thresholds from the others: {judged.accuracy:.4f} "
            f"(standard error {judged.standard_error:.4f})."
        )
    settings = {"fars": list(fars), "alpha": alpha, "all_pairs": pairs is None, **place}
    if against is not None:
        # Activations bring names of their own.
        names = conditions if getattr(against, "conditions", None) is None else None
        other, _, its = _embedded(against, templates, None, names)
        others = _scores(other.loc[embedded.index], index)
        theirs = tar_at_far(others, same, fars)
        of_theirs = _People(others, persons, same, len(people))
        settings["against"] = " ".join(filter(None, its.values()))
        differences = [
            of_people.difference(of_theirs, far, row, theirs.loc[far], alpha)
            for far, row in rates.iterrows()
        ]
        names = ["difference", "difference_low", "difference_high", "p_difference"]
        table = table.assign(against=settings["against"]).join(
            pd.DataFrame(differences, columns=names)
        )
    return TemplateVerification(table, curve, folds, notes=tuple(notes), settings=settings)


def template_embeddings(
    activations,
    templates: pd.DataFrame,
    *,
    layer: str | None = None,
    conditions: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Average embeddings of images to those of templates.

    Parameters
    ----------
    activations, templates, layer, conditions
        As for :func:`template_verification`.

    Returns
    -------
    DataFrame, shape (n_templates, n_channels)
        Of length 1, by template in the order of their first rows. Images are made of length 1,
        averaged within each medium, media are averaged, and the mean is made of length 1 [1]_.

    Raises
    ------
    InputError
        As :func:`template_verification`.

    See Also
    --------
    template_verification : Verify people by templates of several images.

    References
    ----------
    .. [1] Crosswhite N. et al. (2018). Image and Vision Computing 79, 35-48.
       doi:10.1016/j.imavis.2018.09.002

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from rsa_faces.analyses import template_embeddings
    >>> rows = pd.DataFrame({"template": ["t", "t"], "subject": "ann", "file": ["a", "b"]})
    >>> x = {"fc": np.array([[2.0, 0.0], [0.0, 5.0]])}
    >>> template_embeddings(x, rows, conditions=["a", "b"]).round(3)
           0      1
    t  0.707  0.707
    """
    return _embedded(activations, templates, layer, conditions)[0].rename_axis(None)


def _embedded(activations, templates, layer, conditions) -> tuple[pd.DataFrame, pd.DataFrame, dict]:
    """Return embeddings of templates, the checked rows that list them, and network and layer."""
    rows = _rows(templates)
    layers = as_layers(activations, conditions)
    names = list(layers.arrays)
    layer = names[-1] if layer is None else check_choice(layer, names, what="layer")
    position = {name: i for i, name in enumerate(layers.conditions)}
    if absent := sorted(set(rows["file"]) - position.keys()):
        raise InputError(
            f"expected an embedding of every file of the templates, but {len(absent)} have none: "
            f"{some(absent)}. Names must be those of the images, such as "
            f"{layers.conditions[0]!r}."
        )
    used = rows["file"].drop_duplicates()
    patterns = np.asarray(layers.arrays[layer])[[position[f] for f in used]].astype(np.float64)
    patterns = patterns.reshape(len(used), -1)
    check_finite(patterns, list(used), layer)
    unit = pd.DataFrame(_unit(patterns, list(used), "images"), index=used)
    media = unit.loc[rows["file"]].groupby(
        [rows["template"].to_numpy(), rows["media"].to_numpy()], sort=False
    )
    mean = media.mean().groupby(level=0, sort=False).mean()
    embedded = pd.DataFrame(_unit(mean.to_numpy(), list(mean.index), "templates"), mean.index)
    return embedded, rows, {"network": layers.network, "layer": layer}


def _scores(embedded: pd.DataFrame, index: np.ndarray) -> np.ndarray:
    """Return the cosine of each pair of templates."""
    unit = embedded.to_numpy()
    return np.concatenate(
        [
            np.einsum("ij,ij->i", *(unit[part] for part in index[start : start + _BLOCK].T))
            for start in range(0, len(index), _BLOCK)
        ]
    )


def _unit(patterns: np.ndarray, names: Sequence[str], what: str) -> np.ndarray:
    """Return rows of length 1; one without length has no direction to compare."""
    length = np.linalg.norm(patterns, axis=1, keepdims=True)
    if (empty := np.flatnonzero(length <= 1e-12)).size:
        raise InputError(
            f"expected {what} with an embedding that is not 0, but {len(empty)} are: "
            f"{some([names[i] for i in empty])}."
        )
    return patterns / length


def _rows(templates) -> pd.DataFrame:
    """Return which image belongs to which template, medium and subject, as text, once checked."""
    if not isinstance(templates, pd.DataFrame) or not len(templates):
        raise InputError(
            "expected templates as a DataFrame with a row per image, got "
            f"{'none' if isinstance(templates, pd.DataFrame) else type(templates).__name__}."
        )
    needed = ["template", "subject", "file"] + ["media"] * ("media" in templates)
    if missing := [c for c in needed if c not in templates]:
        raise InputError(
            f"expected the column {missing[0]!r} in templates, got {list(templates.columns)}."
        )
    rows = templates[needed].reset_index(drop=True)
    for column in needed:
        if rows[column].isna().any():
            row = int(rows[column].isna().idxmax())
            raise InputError(f"expected a value in column {column!r}, but row {row} has none.")
    rows = rows.astype(str)
    for column, of in (("template", "template"), ("file", "image")):
        several = rows.groupby(column)["subject"].nunique()
        if (several > 1).any():
            raise InputError(
                f"expected one subject of every {of}, but {of} {several.idxmax()!r} has "
                f"{several.max()}. Give each face its own name."
            )
    if (again := rows.duplicated(["template", "file"])).any():
        template, file = rows.loc[again.idxmax(), ["template", "file"]]
        raise InputError(
            f"expected an image once in a template, got {file!r} twice in {template!r}."
        )
    if "media" not in rows:
        rows["media"] = rows["file"]
    return rows


def _pairs(pairs, rows, names, subject) -> tuple[np.ndarray, np.ndarray | None]:
    """Return which templates are compared, (n_pairs, 2), and in which fold."""
    fold = None
    place = pd.Series(np.arange(len(names)), names)
    if pairs is None:
        index = np.stack(np.triu_indices(len(names), 1), axis=1)
    else:
        if missing := [c for c in ("first", "second") if c not in pairs]:
            raise InputError(
                f"expected a column {missing[0]!r} in pairs, got {list(pairs.columns)}."
            )
        ids = pairs[["first", "second"]].astype(str).to_numpy()
        if unknown := sorted(set(ids.ravel()) - set(names)):
            raise InputError(
                f"expected pairs of templates, but {len(unknown)} are not there: {some(unknown)}."
            )
        index = place[ids.ravel()].to_numpy().reshape(-1, 2)
        sides = pd.DataFrame(np.sort(index, axis=1))
        for wrong, what in (
            (sides[0] == sides[1], "two templates in every pair, but one is with itself"),
            (sides.duplicated(), "every pair once, but one is there twice"),
        ):
            if wrong.any():
                raise InputError(f"expected {what}: {', '.join(ids[wrong.argmax()])}.")
        same = subject[index[:, 0]] == subject[index[:, 1]]
        if "same" in pairs and pairs["same"].dtype != bool:
            raise InputError(f"expected `same` as true or false, got type {pairs['same'].dtype}.")
        if "same" in pairs and (apart := same != pairs["same"].to_numpy()).any():
            first, second = ids[apart.argmax()]
            raise InputError(
                f"expected `same` as the subjects of templates have it, but {first!r} and "
                f"{second!r} are of {'one person' if same[apart.argmax()] else 'two people'}."
            )
        fold = pairs["fold"].to_numpy() if "fold" in pairs else None
    _check_shared(index, rows, place)
    if fold is not None:
        of = pd.DataFrame({"person": subject[index].ravel(), "fold": np.repeat(fold, 2)})
        several = of.groupby("person")["fold"].nunique()
        if (several > 1).any():
            name = rows.drop_duplicates("subject")["subject"].iloc[int(several.idxmax())]
            raise InputError(
                f"expected every person in one fold, but {name!r} is in {several.max()}."
            )
    return index, fold


def _check_shared(index: np.ndarray, rows: pd.DataFrame, place: pd.Series) -> None:
    """Raise if two templates that are compared share an image: they would be alike by it."""
    of = pd.DataFrame({"file": rows["file"], "t": place[rows["template"]].to_numpy()})
    both = of.merge(of, on="file")
    both = both[both["t_x"] < both["t_y"]]
    low, high = np.sort(index, axis=1).T
    shared = np.isin(low * len(place) + high, both["t_x"] * len(place) + both["t_y"])
    if shared.any():
        first, second = place.index[index[shared.argmax()]]
        raise InputError(
            f"expected templates without a common image in every pair, but {first!r} and "
            f"{second!r} share one. Give `pairs` without such."
        )


class _People:
    """Pairs by the people in them, and what people drawn anew would change."""

    def __init__(self, scores, persons, same, n_people: int) -> None:
        self.own, self.own_person = scores[same], persons[same, 0]
        order = np.argsort(-scores[~same], kind="stable")
        self.others, self.cells = scores[~same][order], persons[~same][order]
        self.n, self.n_own = n_people, len(np.unique(self.own_person))
        self.share = np.bincount(self.own_person, minlength=n_people) / len(self.own)
        # As many people with the same number of pairs would weigh as evenly.
        self.freedom = 1 / (self.share**2).sum() - 1

    def interval(self, far: float, rate: pd.Series, alpha: float) -> tuple[float, float]:
        """Return the interval of a true accept rate; NaN where too few pairs set the threshold."""
        parts = self.parts(far, rate)
        if parts is None:
            return np.nan, np.nan
        own, alone = parts
        error = error_of_people(own, np.ones((self.n, 1)), alone)
        if error > 0 and self.freedom > 0:
            error *= half_width(1.0, self.freedom, alpha) / half_width(1.0, np.inf, alpha)
        low, high = interval_of_rate(rate["tar"], error, self.n_own, alpha)
        return float(low), float(high)

    def difference(self, other: _People, far, rate, its, alpha: float) -> tuple[float, ...]:
        """Return a rate less that of another network over the same pairs, interval and p."""
        middle = rate["tar"] - its["tar"]
        mine, theirs = self.parts(far, rate), other.parts(far, its)
        if mine is None or theirs is None:
            return middle, np.nan, np.nan, np.nan
        own, alone = (a - b for a, b in zip(mine, theirs, strict=True))
        error = error_of_people(own, np.ones((self.n, 1)), alone)
        if error > 0 and self.freedom > 0:
            reach = half_width(error, self.freedom, alpha)
            p = float(t_test(middle, error, self.freedom))
        else:
            # All people are alike: accepted by both networks, which tells nothing, or by one of
            # them only, which is as likely as coins that all fall on one side.
            reach = interval_of_rate(0.0, 0.0, self.n_own, alpha)[1]
            p = 1.0 if abs(middle) < 1e-12 else min(1.0, 2.0 ** (1 - self.n_own))
        return middle, max(middle - reach, -1.0), min(middle + reach, 1.0), p

    def parts(self, far: float, rate: pd.Series) -> tuple[np.ndarray, np.ndarray] | None:
        """Return what two people's pairs, and a person's own, do to a rate; None if too few."""
        tar, threshold = rate["tar"], rate["threshold"]
        allowed = int(far * len(self.others) * (1 + 1e-12))
        if np.isnan(tar) or allowed < _FEW_FALSE:
            return None
        accepted = self.own >= threshold
        alone = np.bincount(self.own_person, (accepted - tar) / len(accepted), self.n)
        # Who has most of the pairs draws the rate to their own: as leaving out each person does.
        alone = np.divide(alone, 1 - self.share, out=alone, where=self.share < 1)
        # Pairs of two people move the threshold, and with it this rate.
        # A slope between neighbouring scores would be chance: it is taken over a range of rates.
        ends = [self._at(share * far) for share in (0.5, min(1.5, 1 / far))]
        (low, few), (high, many) = ends
        slope = (high - low) / (many - few) if many > few else 0.0
        count, above = (
            self._sums(part) for part in (len(self.others), int((self.others >= threshold).sum()))
        )
        reached = above.sum() / count.sum()
        # More false accepts raise the threshold, and lower this rate; each pair is in the sums
        # twice.
        return -2 * slope * (above - reached * count) / count.sum(), alone

    def _at(self, far: float) -> tuple[float, float]:
        """Return true and false accept rates reached at the threshold for a rate."""
        # A whole number that rounding left just below itself must not lose a pair.
        k = max(int(far * len(self.others) * (1 + 1e-12)), 1)
        threshold = self.others[k - 1]
        return (self.own >= threshold).mean(), (self.others >= threshold).mean()

    def _sums(self, n: int) -> np.ndarray:
        """Return the number of the n highest pairs per two people, (n_people, n_people)."""
        a, b = self.cells[:n].T
        sums = np.bincount(a * self.n + b, minlength=self.n**2).reshape(self.n, self.n)
        return (sums + sums.T).astype(float)
