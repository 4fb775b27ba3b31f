"""Whether confidence measures keep their word on people who did not set them, group by group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from rsa_faces._core.checks import as_rng, check_arguments, check_choice, check_count, check_seed
from rsa_faces._core.errors import InputError
from rsa_faces._core.labels import Labels
from rsa_faces._core.progress import progress_bar
from rsa_faces._core.result import BaseResult, keep_warnings
from rsa_faces.analyses._gram import unit_length
from rsa_faces.analyses._groups import SELF_REPORT
from rsa_faces.analyses._inputs import as_layers, codes_of, matched
from rsa_faces.analyses._intervals import percentile_interval
from rsa_faces.analyses.quality._outliers import METHODS, OutlierFlag, check_alpha, flag_rates
from rsa_faces.analyses.quality.confidence import SimilarityInterval, image_confidence
from rsa_faces.extraction import extract
from rsa_faces.inference.bootstrap import draws_of
from rsa_faces.stimuli.degradations import DEGRADATIONS, degrade

if TYPE_CHECKING:
    from rsa_faces.networks import Network
    from rsa_faces.stimuli import StimulusSet


@dataclass(frozen=True, eq=False, repr=False)
class ConfidenceCheck(BaseResult, figure="plot_flags"):
    """What flags, stability and intervals say of images that get worse.

    Attributes
    ----------
    table : DataFrame
        One row per degradation, strength and group; see :func:`check_confidence`.
    images : DataFrame
        One row per degradation, strength and image: ``degradation``, ``strength``,
        ``condition``, ``person``, ``group``, ``p``, ``flagged``, ``stability``, ``similarity``
        (with the person's other clean images), ``expected_low``, ``expected_high``.
    notes : tuple of str
        :data:`rsa_faces.analyses.SELF_REPORT`.
    settings : dict
        Options, for provenance.

    See Also
    --------
    check_confidence : Degrade images and see whether confidence falls and flags rise.
    rsa_faces.figures.plot_flags : Draw the share of flagged images.

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> rng = np.random.default_rng(0)
    >>> faces = np.kron(rng.integers(0, 200, (20, 8, 8, 3)), np.ones((1, 4, 4, 1)))  # made up
    >>> images = np.repeat(faces, 2, axis=0) + rng.integers(0, 50, (40, 32, 32, 3))
    >>> names = [f"p{i} {k}" for i in range(20) for k in "ab"]
    >>> result = rf.analyses.check_confidence(
    ...     rf.load_network("pixels"), rf.StimulusSet.from_arrays(images.astype(np.uint8), names),
    ...     {name: name.split()[0] for name in names}, degradations=["contrast"], alpha=0.2,
    ...     strengths=[5], n_variants=1)
    >>> result.table[["degradation", "strength", "n_images"]]
      degradation  strength  n_images
    0        none         0        40
    1    contrast         5        40
    """

    table: pd.DataFrame
    images: pd.DataFrame

    def _drawn(self) -> pd.DataFrame:
        return self.table

    def __repr__(self) -> str:
        clean = self.table.iloc[0]
        return (
            f"ConfidenceCheck({self.settings['network']!r}, {clean['n_images']} images; clean "
            f"images flagged {clean['share']:.1%}, asked for {self.settings['alpha']:.1%})"
        )


@keep_warnings
def check_confidence(
    network: Network,
    stimuli: StimulusSet,
    people: Labels,
    *,
    groups: Labels | None = None,
    equal_groups: bool = False,
    layer: str | None = None,
    degradations: Sequence[str] | None = None,
    strengths: Sequence[int] = (1, 3, 5),
    method: str = "neighbours",
    alpha: float = 0.05,
    n_variants: int = 4,
    seed: int = 0,
    progress: bool = True,
) -> ConfidenceCheck:
    """Degrade images and see whether confidence falls and flags rise, on people left out.

    Parameters
    ----------
    network : Network
        From :func:`rsa_faces.load_network`.
    stimuli : StimulusSet
        Crops of faces; two images or more of every person.
    people : mapping or Series, stimulus id to person
    groups : mapping or Series, stimulus id to group, optional
        Such as gender or ethnicity: rates are given for each as well.
    equal_groups : bool, default False
        Give each group its own reference, and so the same rate of false flags, as in
        :meth:`OutlierFlag.fit`.
    layer : str, optional
        By default the last of ``network.layers()``.
    degradations : sequence of str, optional
        Of ``rsa_faces.stimuli.degradations.DEGRADATIONS``; by default all.
    strengths : sequence of int from 1 to 5, default (1, 3, 5)
    method : {"neighbours", "mahalanobis"}, default "neighbours"
        Of the flag.
    alpha : float, default 0.05
        Rate of false flags, and one minus the coverage of the intervals.
    n_variants : int, default 4
        Changed copies of each image, as for :func:`image_confidence`.
    seed : int, default 0
    progress : bool, default True
        Show a bar, on a terminal.

    Returns
    -------
    ConfidenceCheck
        Its table: ``degradation`` ("none" first), ``strength``, ``group`` ("all" first),
        ``n_images``, ``n_people``; ``share`` flagged with ``low``, ``high``; ``stability`` (mean
        over people) with ``stability_low``, ``stability_high``; ``covered``, the share of images
        whose similarity to the person's other images was inside the interval said beforehand,
        with ``covered_low``, ``covered_high``.

    Raises
    ------
    ConditionMismatchError
        If names of stimuli, people and groups differ.
    InputError
        If there are fewer than 16 people, a person has one image or is in two groups, or an
        option is not valid.

    See Also
    --------
    image_confidence : Measure how little an image's embedding moves under changes.
    flag_rates : Count flags by group, with exact intervals.
    rsa_faces.figures.plot_flags : Draw the share of flagged images.

    Notes
    -----
    The people are halved (within groups). Clean images of one half set the flag. Of each of
    these people one image with one degradation and strength, or none, drawn at random, sets the
    line of similarity against stability and the margin (:class:`SimilarityInterval`): one person,
    one pair. All is then tried on clean and degraded images of the other half, and the halves
    change places: nobody is judged by what was set on them.

    Intervals are 95 % and over people: of shares exact (Clopper-Pearson) with each person counted
    once, however many images there are; of stability percentiles of samples of people, further out
    the fewer these are (Student's t). Coverage is promised on
    average over people and degradations, not for each: where degradations are strong it may be
    lower, where they are weak higher. It is shown to be seen.

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces import load_network
    >>> from rsa_faces.analyses import check_confidence
    >>> from rsa_faces.stimuli import StimulusSet
    >>> rng = np.random.default_rng(0)  # simulated
    >>> faces = np.kron(rng.integers(0, 200, (40, 8, 8, 3)), np.ones((1, 4, 4, 1)))
    >>> images = np.repeat(faces, 2, axis=0) + rng.integers(0, 50, (80, 32, 32, 3))
    >>> names = [f"p{i} {k}" for i in range(40) for k in "ab"]
    >>> found = check_confidence(
    ...     load_network("pixels"), StimulusSet.from_arrays(images.astype(np.uint8), names),
    ...     {name: name.split()[0] for name in names}, degradations=["contrast"], alpha=0.1,
    ...     strengths=[5], n_variants=2)
    >>> bool(found.table["stability"].between(0, 1).all())
    True
    """
    check_arguments(check_confidence, locals())
    kinds = list(DEGRADATIONS) if degradations is None else list(degradations)
    for kind in kinds:
        check_choice(kind, DEGRADATIONS, what="degradation")
    strengths = sorted({check_count(s, what="strength") for s in strengths})
    if not kinds or not strengths or strengths[-1] > 5:
        raise InputError(
            f"expected degradations and strengths from 1 to 5, got {kinds} and {strengths}."
        )
    check_choice(method, METHODS, what="method")
    check_alpha(alpha)
    check_count(n_variants, what="n_variants")
    check_seed(seed)
    if equal_groups and groups is None:
        raise InputError("expected `groups` for equal_groups=True, got none.")
    layer = network.layers()[-1] if layer is None else layer
    (clean,) = extract(network, stimuli, layers=[layer], progress=False).values()
    shell = as_layers({layer: clean}, stimuli.ids)
    wanted = [("people", people)] + [("groups", groups)] * (groups is not None)
    _, found, _ = matched(shell, wanted, None)
    person, group = codes_of(found[0])[0], codes_of(found[1] if groups is not None else found[0])[0]
    _check_people(person, group, groups is not None)
    rng = as_rng(seed)
    half = _halves(person, group if groups is not None else np.zeros_like(group), rng)
    conditions = [("none", 0), *((kind, s) for kind in kinds for s in strengths)]
    # One condition of each person, below one image: the interval asks for independent pairs.
    drawn = rng.integers(len(conditions), size=person.max() + 1)
    shown = rng.random(len(person))  # which image of a person sets the interval: the smallest
    ids, clean_unit = list(stimuli.ids), unit_length(clean)
    own = dict(zip(ids, found[1], strict=True)) if groups is not None else None
    whom = dict(zip(ids, found[0], strict=True))
    flags = [
        OutlierFlag.fit(
            {layer: clean[half == k]},
            conditions=_of(ids, half == k),
            people=_only(whom, half == k),
            method=method,
            seed=seed,
            groups=_only(own, half == k) if equal_groups else None,
        )
        for k in (0, 1)
    ]
    rows = []
    with progress_bar("confidence", len(conditions), show=progress) as tell:
        for done, (kind, strength) in enumerate(conditions):
            images = degrade(stimuli, kind, strength, seed=seed) if strength else stimuli
            (patterns,) = extract(network, images, layers=[layer], progress=False).values()
            stable = image_confidence(
                network, images, layer=layer, n_variants=n_variants, seed=seed, progress=False
            )["stability"].to_numpy()
            frame = pd.DataFrame(
                {
                    "degradation": kind,
                    "strength": strength,
                    "condition": ids,
                    "person": found[0],
                    "group": found[1] if groups is not None else "all",
                    "p": np.nan,
                    "flagged": False,
                    "stability": stable,
                    "similarity": _similarity(unit_length(patterns), clean_unit, person),
                }
            )
            for k in (0, 1):
                test = half != k
                flagged = flags[k].apply(
                    {layer: patterns[test]},
                    conditions=_of(ids, test),
                    alpha=alpha,
                    groups=_only(own, test) if equal_groups else None,
                )
                frame.loc[test, ["p", "flagged"]] = flagged[["p", "flagged"]].to_numpy()
            rows.append(frame.astype({"flagged": bool}))
            tell(done + 1)
    table = pd.concat(rows, ignore_index=True)
    return _result(
        table,
        conditions,
        drawn,
        shown,
        person,
        half,
        network,
        groups,
        {
            "network": network.name,
            "layer": layer,
            "method": method,
            "alpha": alpha,
            "equal_groups": equal_groups,
            "degradations": kinds,
            "strengths": strengths,
            "n_variants": n_variants,
            "seed": seed,
        },
    )


def _result(table, conditions, drawn, shown, person, half, network, groups, settings):
    """Return the outcome: intervals set by each half for the other, and rates by group."""
    n, place = len(person), {condition: i for i, condition in enumerate(conditions)}
    which = np.array([place[c] for c in zip(table["degradation"], table["strength"], strict=True)])
    image = np.arange(len(table)) % n
    first = np.full(person.max() + 1, np.inf)
    np.minimum.at(first, person, shown)
    setting = (drawn[person[image]] == which) & (shown[image] == first[person[image]])
    ends = np.empty((len(table), 2))
    for k in (0, 1):
        known = table[setting & (half[image] == k)]
        interval = SimilarityInterval.fit(
            known["similarity"],
            known["person"],
            stability=known["stability"],
            alpha=settings["alpha"],
            seed=settings["seed"],
        )
        test = half[image] != k
        ends[test] = np.stack(interval.predict(table.loc[test, "stability"].to_numpy()), axis=1)
    table["expected_low"], table["expected_high"] = ends.T
    table["covered"] = table["similarity"].between(*ends.T)
    rng = as_rng(settings["seed"])
    rows = []
    for (kind, strength), part in table.groupby(["degradation", "strength"], sort=False):
        part = part.set_index("condition")
        by = part["group"] if groups is not None else None
        flags = flag_rates(part[["flagged"]], by, people=part["person"])
        covered = flag_rates(
            part[["covered"]].set_axis(["flagged"], axis=1), by, people=part["person"]
        )
        for one, other in zip(flags.itertuples(), covered.itertuples(), strict=True):
            inside = part if one.group == "all" else part[part["group"] == one.group]
            means = inside.groupby("person")["stability"].mean().to_numpy()
            draws = draws_of(len(means), 1000, rng) / len(means)
            low, high = percentile_interval(draws @ means, len(means))
            rows.append(
                {
                    "degradation": kind,
                    "strength": strength,
                    "group": one.group,
                    "n_images": one.n_images,
                    "n_people": len(means),
                    "share": one.share,
                    "low": one.low,
                    "high": one.high,
                    "stability": means.mean(),
                    "stability_low": low,
                    "stability_high": high,
                    "covered": other.share,
                    "covered_low": other.low,
                    "covered_high": other.high,
                }
            )
    return ConfidenceCheck(
        pd.DataFrame(rows),
        table.drop(columns="covered"),
        notes=(SELF_REPORT,),
        settings=settings,
    )


def _check_people(person: np.ndarray, group: np.ndarray, grouped: bool) -> None:
    """Raise unless there are enough people, with two images each, in one group each."""
    images = np.bincount(person)
    if len(images) < 16:
        raise InputError(f"expected at least 16 people, to halve them, got {len(images)}.")
    if images.min() < 2:
        raise InputError(
            f"expected at least 2 images of every person, but {(images < 2).sum()} people have "
            "one: leave them out."
        )
    if grouped and len(np.unique(np.stack([person, group]), axis=1).T) > len(images):
        raise InputError("expected each person in one group, but some are in two.")


def _halves(person: np.ndarray, group: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return 0 or 1 for each image: people of each group are dealt out in turn."""
    of_person = np.empty(person.max() + 1, np.int64)
    of_person[person] = group
    order = np.lexsort((rng.random(len(of_person)), of_person))
    side = np.empty(len(of_person), np.int64)
    side[order] = np.arange(len(of_person)) % 2
    return side[person]


def _similarity(patterns: np.ndarray, clean: np.ndarray, person: np.ndarray) -> np.ndarray:
    """Return each image's mean cosine with the clean other images of its person."""
    same = person[:, None] == person
    np.fill_diagonal(same, False)
    return (same * (patterns @ clean.T)).sum(axis=1) / same.sum(axis=1)


def _of(names: list, chosen: np.ndarray) -> list:
    """Return the chosen names."""
    return [name for name, keep in zip(names, chosen, strict=True) if keep]


def _only(labels: dict, chosen: np.ndarray) -> dict:
    """Return labels of the chosen names; labels are in the order of the stimuli."""
    return dict(pair for pair, keep in zip(labels.items(), chosen, strict=True) if keep)
