"""Movement: how layers change from frame to frame of a clip, and what that explains of data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
from scipy.spatial.distance import squareform

from rsa_faces._core.chance import p_of
from rsa_faces._core.checks import as_rng, check_arguments, check_count
from rsa_faces._core.errors import InputError
from rsa_faces._core.labels import Labels
from rsa_faces._core.result import keep_warnings
from rsa_faces._core.student import half_width
from rsa_faces._core.warning import warn
from rsa_faces.analyses._effects import Effects, Shown
from rsa_faces.analyses._inputs import as_labels, codes_of
from rsa_faces.extraction import FramePatterns
from rsa_faces.inference import adjust, variance_partition
from rsa_faces.rdm import RDMs, frame_rdms
from rsa_faces.rdm.measures import Measure, resolve_plain

_FEWEST = 3  # frames: two have one order only


@dataclass(frozen=True, eq=False, repr=False)
class Movement(Effects):
    """How far layers follow the order of frames.

    Attributes
    ----------
    table : DataFrame
        One row per layer; see :func:`movement`.
    clips : DataFrame
        One row per clip and layer: ``clip``, ``layer``, ``change``, ``change_shuffled``, ``order``.
    settings : dict
        Options, for provenance.

    See Also
    --------
    movement : Ask how far layers follow the movement of clips.

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.analyses import movement
    >>> from rsa_faces.extraction import FramePatterns
    >>> walks = np.random.default_rng(0).normal(size=(6, 20, 8)).cumsum(axis=2)
    >>> found = movement(FramePatterns({"fc": walks}, list("abcdef"), np.arange(8) / 5))
    >>> found.clips.columns.tolist()
    ['clip', 'layer', 'change', 'change_shuffled', 'order']
    """

    clips: pd.DataFrame

    shown: ClassVar[Shown] = Shown("order", "order of frames (0: none)")


@dataclass(frozen=True, eq=False, repr=False)
class MovementParts(Effects):
    """What movement and average frames explain of data, each alone and both.

    Attributes
    ----------
    table : DataFrame
        Three rows per region and layer, and one with shuffled frames; see :func:`movement_adds`.
    settings : dict
        Options, for provenance.

    See Also
    --------
    movement_adds : Ask what movement adds to average frames.

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> from rsa_faces.analyses import movement_adds
    >>> from rsa_faces.extraction import FramePatterns
    >>> x = np.random.default_rng(0).normal(size=(8, 20, 5))
    >>> frames = FramePatterns({"fc": x}, list("abcdefgh"), [0, 0.2, 0.4, 0.6, 0.8])
    >>> data = rf.RDMs(np.random.default_rng(1).random((3, 28)), list("abcdefgh"), "simulated",
    ...                {"subject": ["p", "q", "r"]})
    >>> movement_adds(frames, data, n_boot=20, n_permutations=19).table["part"].tolist()
    ['movement only', 'average only', 'both', 'movement only, frames shuffled']
    """

    shown: ClassVar[Shown] = Shown("r2_adjusted", "adjusted R²", series="part", panel="region")


@keep_warnings
def movement(
    frames: FramePatterns,
    *,
    measure: str | Measure | Callable[..., np.ndarray] = "correlation",
    people: Labels | None = None,
    n_permutations: int = 999,
    seed: int = 0,
) -> Movement:
    """Ask how far layers follow the movement of clips: change from frame to frame.

    Parameters
    ----------
    frames : FramePatterns
        From :func:`rsa_faces.extraction.extract_frames`, of at least 3 frames.
    measure : str, Measure or callable, default "correlation"
        How far apart two frames are: euclidean, sqeuclidean, correlation, cosine or poisson.
    people : mapping or Series, clip to person, optional
        Clips of a person are averaged first; by default every clip is another person.
    n_permutations : int, default 999
        Shuffles of frames, in each clip on its own.
    seed : int, default 0

    Returns
    -------
    Movement
        Its table has one row per layer: ``network``, ``layer``, ``layer_index``, ``depth``;
        ``change`` (mean distance of neighbouring frames) and ``change_shuffled`` (what it is on
        average with frames in random order), means over clips; ``order``, mean over people of
        1 − change / change_shuffled, with ``ci_low``, ``ci_high`` (t, over people), ``p``
        (two-sided, shuffles) and ``p_corrected`` (by the largest of all layers); ``n_people``,
        ``n_clips``, ``n_frames``. ``order`` is at most 1, about 0 where frames follow each other
        as if drawn by lot, and below 0 where neighbours differ more than others (flicker).

    Raises
    ------
    InputError
        If there are fewer than 3 frames, fewer than 2 people whose clips move, a clip has no
        person, or the measure is undefined for a frame (it is named).

    Warns
    -----
    UserWarning
        If clips do not move in a layer (all frames are equal): they are left out there.

    See Also
    --------
    movement_adds : Ask what movement adds to average frames.
    rsa_faces.stimuli.ClipSet.pixel_change : How much pixels change, frame by frame.

    Notes
    -----
    A layer's ``change`` alone says little: it grows with noise as with movement. In a clip whose
    frames were shuffled, neighbours are any two frames, and their mean distance is that of all
    pairs: ``order`` says how much closer neighbours are. It is not how much there is to see, and
    depends on the rate: more frames per second, closer neighbours. p is for these clips: shuffling
    says that frames have an order, the interval how far that holds for other people.

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.analyses import movement
    >>> from rsa_faces.extraction import FramePatterns
    >>> noise = np.random.default_rng(0).normal(size=(6, 20, 8))
    >>> layers = {"flicker": noise, "smooth": noise.cumsum(axis=2)}  # made up
    >>> found = movement(FramePatterns(layers, list("abcdef"), np.arange(8) / 5))
    >>> (found.table["p_corrected"] < 0.05).tolist()
    [False, True]
    """
    check_arguments(movement, locals())
    measure = resolve_plain(measure)
    check_count(n_permutations, what="n_permutations", low=19)
    n_frames, names = len(frames.times), frames.conditions
    if n_frames < _FEWEST:
        raise InputError(f"expected at least {_FEWEST} frames, whose order counts, got {n_frames}.")
    whom = _people(people, names)
    orders = np.argsort(
        as_rng(seed).random((len(names), n_permutations, n_frames)), axis=2
    )  # the same in all layers
    rows, nulls, clips, still = [], [], [], {}
    for i, layer in enumerate(frames):
        own, null = _orders(frames[layer], orders, measure, names, layer)
        moves = np.isfinite(own["order"].to_numpy())
        if not moves.all():
            still[layer] = int((~moves).sum())
        kinds, whose = np.unique(whom[moves], return_inverse=True)
        if len(kinds) < 2:
            raise InputError(
                f"expected at least 2 people (or clips) that move in layer {layer!r}, got "
                f"{len(kinds)} of {len(np.unique(whom))}."
            )
        # Every person counts the same, however many clips there are.
        share = 1 / (np.bincount(whose)[whose] * len(kinds))
        each = np.bincount(whose, own["order"][moves] * share) * len(kinds)
        half = half_width(each.std(ddof=1) / np.sqrt(len(kinds)), len(kinds) - 1)
        nulls.append(share @ null[moves])
        rows.append(
            {
                "network": frames.network,
                "layer": layer,
                "layer_index": i,
                "depth": frames.depth[layer],
                "change": own["change"][moves].mean(),
                "change_shuffled": own["change_shuffled"][moves].mean(),
                "order": each.mean(),
                "ci_low": each.mean() - half,
                "ci_high": each.mean() + half,
                "n_people": len(kinds),
                "n_clips": int(moves.sum()),
                "n_frames": n_frames,
            }
        )
        own.insert(1, "layer", layer)
        clips.append(own)
    table = pd.DataFrame(rows)
    # Layers have shuffles of different spread: in its units they share a largest.
    null = np.array(nulls)
    spread = np.maximum(null.std(axis=1), 1e-12)
    null, observed = np.abs(null) / spread[:, None], np.abs(table["order"]) / spread - 1e-9
    p, corrected = p_of(observed, null)
    table.insert(9, "p", p)
    table.insert(10, "p_corrected", corrected)
    for layer, n in still.items():
        warn(f"{n} of {len(names)} clips do not move in layer {layer!r} and are left out there.")
    settings = {"measure": measure.name, "n_permutations": n_permutations, "seed": seed}
    return Movement(table, pd.concat(clips, ignore_index=True), settings=settings)


@keep_warnings
def movement_adds(
    frames: FramePatterns,
    data: RDMs,
    *,
    measure: str | Measure | Callable[..., np.ndarray] = "correlation",
    groups: Labels | None = None,
    blocks: Labels | None = None,
    generalise_to: str = "conditions",
    n_boot: int = 1000,
    n_permutations: int = 999,
    by: str = "subject",
    transform: str | None = None,
    seed: int = 0,
) -> MovementParts:
    """Ask what movement adds to average frames, layer by layer.

    Parameters
    ----------
    frames : FramePatterns
        From :func:`rsa_faces.extraction.extract_frames`.
    data : RDMs
        Of the same clips (matched by name): subjects, without a label ``time``; with a label
        ``region`` each region on its own.
    measure : str, Measure or callable, default "correlation"
        As for :func:`rsa_faces.rdm.frame_rdms`.
    groups, blocks, generalise_to, n_boot, n_permutations, by, transform
        As for :func:`rsa_faces.variance_partition`.
    seed : int, default 0
        Also of shuffled frames.

    Returns
    -------
    MovementParts
        Its table has four rows per region and layer: ``region``, ``network``, ``layer``,
        ``layer_index``, ``depth``; ``part``: "movement only", "average only", "both", and "movement
        only, frames shuffled", the control: what is left of the first where frames of each clip
        are in random order; ``r2_adjusted`` with ``sem``, ``ci_low``, ``ci_high`` and ``p``;
        ``p_corrected`` (Holm, over the layers of a region and part); ``n_subjects``,
        ``n_clips``.

    Raises
    ------
    InputError
        If data are of many times (see :func:`rsa_faces.inference.compare_movies`), or as
        :func:`rsa_faces.variance_partition` does.

    See Also
    --------
    movement : Ask how far layers follow the movement of clips.
    rsa_faces.rdm.frame_rdms : The RDMs of movement and of averages that are compared.
    rsa_faces.variance_partition : Makes the parts, their intervals and tests.

    Notes
    -----
    Averages are the same in any order of frames, so that "movement only, frames shuffled" is what
    differences between frames explain without being a movement (a clip with much variance is unlike
    others in any order).

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> from rsa_faces.analyses import movement_adds
    >>> from rsa_faces.extraction import FramePatterns
    >>> x = np.random.default_rng(0).normal(size=(12, 30, 6))
    >>> frames = FramePatterns({"fc": x}, list("abcdefghijkl"), np.arange(6) / 5)
    >>> data = rf.rdm.frame_rdms(frames, of="movement").with_labels(subject=["made up"])
    >>> found = movement_adds(frames, data, n_boot=20, n_permutations=99)
    >>> print(found.table.set_index("part").loc["movement only", "r2_adjusted"].round(1))
    1.0
    """
    check_arguments(movement_adds, locals())
    if "time" in data.labels:
        raise InputError(
            "expected data without a label 'time'; for RDMs over time use "
            "rsa_faces.inference.compare_movies, or take one time with data.sel(time=...)."
        )
    options = {"groups": groups, "blocks": blocks, "generalise_to": generalise_to, "by": by}
    options |= {"n_boot": n_boot, "transform": transform, "seed": seed}
    average = frame_rdms(frames, of="average", measure=measure)
    moving = frame_rdms(frames, of="movement", measure=measure)
    shuffled = frame_rdms(frames.shuffled(seed=seed), of="movement", measure=measure)
    regions = list(dict.fromkeys(data.labels.get("region", [""])))
    tables = []
    for region in regions:
        own = data.sel(region=region) if "region" in data.labels else data
        for i in range(len(average)):
            labels = average.labels.iloc[i][["network", "layer", "layer_index", "depth"]]
            for name, those in (("", moving), (", frames shuffled", shuffled)):
                partition = variance_partition(
                    own,
                    {"movement": those[i], "average": average[i]},
                    n_permutations=n_permutations,
                    **options,
                )
                part = partition.table.assign(n_subjects=partition.n_subjects)
                part["n_clips"] = partition.n_conditions
                part["part"] = part["part"].replace("movement & average", "both") + name
                # Shuffled frames have the average they had: only what movement adds can differ.
                part = part.iloc[:1] if name else part
                tables.append(part.drop(columns=["kind", "share"]).assign(region=region, **labels))
    table = pd.concat(tables, ignore_index=True)
    front = ["region", "network", "layer", "layer_index", "depth", "part"]
    table = table[[*front, *table.columns.drop(front)]]
    families = table.groupby(["region", "part"], sort=False)["p"]
    corrected = families.transform(lambda p: adjust(p.to_numpy(), method="holm"))
    table.insert(table.columns.get_loc("p") + 1, "p_corrected", corrected)
    settings = {"measure": average.measure, "n_permutations": n_permutations}
    settings |= {k: v for k, v in options.items() if k not in ("groups", "blocks")}
    return MovementParts(table, settings=settings)


def _people(people, names) -> np.ndarray:
    """Return the number of each clip's person."""
    if people is None:
        return np.arange(len(names))
    found = as_labels(people, "people")
    if lacking := [name for name in names if name not in found]:
        raise InputError(
            f"expected a person for every clip, but {len(lacking)} have none: "
            f"{', '.join(map(repr, lacking[:5]))}."
        )
    return codes_of([found[name] for name in names])[0]


def _orders(patterns, orders, measure: Measure, names, layer: str):
    """Return each clip's changes and order, and order where its frames are shuffled."""
    rows, null = [], np.full(orders.shape[:2], np.nan)
    for i, (name, own) in enumerate(zip(names, patterns, strict=True)):
        change = usual = order = np.nan
        if (own != own[:, :1]).any():
            pairs = measure(np.ascontiguousarray(own.T, np.float64))
            if np.isnan(pairs).any():
                raise InputError(
                    f"expected frames that vary over channels, but {measure.name!r} is undefined "
                    f"for one of {name!r} in layer {layer!r}. Use the measure euclidean."
                )
            matrix = squareform(pairs)
            change, usual = float(np.diagonal(matrix, 1).mean()), float(pairs.mean())
            if usual > 0:
                order = 1 - change / usual
                steps = matrix[orders[i, :, :-1], orders[i, :, 1:]]
                null[i] = 1 - steps.mean(axis=1) / usual
        rows.append((name, change, usual, order))
    return pd.DataFrame(rows, columns=["clip", "change", "change_shuffled", "order"]), null
