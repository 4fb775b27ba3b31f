"""Light: whether evening it out helps a network to recognise people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pandas as pd

from rsa_faces._core.checks import as_rng, check_arguments, check_choice, check_count, check_seed
from rsa_faces._core.errors import InputError
from rsa_faces._core.labels import Labels
from rsa_faces._core.progress import progress_bar
from rsa_faces._core.result import keep_warnings
from rsa_faces.analyses._effects import Effects, Shown
from rsa_faces.analyses._gram import unit_length
from rsa_faces.analyses._inputs import as_layers, codes_of, matched
from rsa_faces.analyses._recognition import Recognition
from rsa_faces.analyses.quality.robustness import Comparison
from rsa_faces.extraction import extract
from rsa_faces.inference.multiple import adjust
from rsa_faces.stimuli.degradations import DEGRADATIONS, degrade
from rsa_faces.stimuli.light import METHODS, normalise_light

if TYPE_CHECKING:
    from rsa_faces.networks import Network
    from rsa_faces.stimuli import StimulusSet

LIGHTS = ("low-light", "half-light")


@dataclass(frozen=True, eq=False, repr=False)
class LightGain(Effects):
    """What recognition gains where light is evened out.

    Attributes
    ----------
    table : DataFrame
        One row per light and normalisation; see :func:`light_gain`.
    settings : dict
        Options, for provenance.

    See Also
    --------
    light_gain : Ask whether evening out light helps a network to recognise people.

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> images = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3)).astype(np.uint8)
    >>> faces = rf.StimulusSet.from_arrays(images, list("abcdefgh"))
    >>> person = dict(zip("abcdefgh", "11223344", strict=True))
    >>> found = rf.analyses.light_gain(rf.load_network("pixels"), faces, person,
    ...                                degradations=["low-light"], strengths=[3], n_boot=50)
    >>> found.table["light"].tolist()
    ['clean', 'clean', 'low-light 3', 'low-light 3']
    """

    shown: ClassVar[Shown] = Shown(
        "gain",
        "gain of recognition (AUC) by normalisation",
        name="light",
        series="normalisation",
        low="gain_low",
        high="gain_high",
    )


@keep_warnings
def light_gain(
    network: Network,
    stimuli: StimulusSet,
    identity: Labels,
    *,
    layer: str | None = None,
    methods: Sequence[str] = tuple(METHODS),
    degradations: Sequence[str] = LIGHTS,
    strengths: Sequence[int] = (1, 3, 5),
    n_boot: int = 2000,
    budget: str | int = "4GB",
    batch_size: int | None = None,
    seed: int = 0,
    progress: bool = True,
) -> LightGain:
    """Ask whether evening out light helps a network to recognise people.

    Parameters
    ----------
    network : Network
        From :func:`rsa_faces.load_network`.
    stimuli : StimulusSet
        Crops of faces, as the network was trained to see them.
    identity : mapping or Series, stimulus id to person
        At least 4 people with two images or more.
    layer : str, optional
        By default the last of ``network.layers()``.
    methods : sequence of {"equalisation", "self-quotient"}
        As for :func:`rsa_faces.stimuli.light.normalise_light`.
    degradations : sequence of str, default ("low-light", "half-light")
        Of ``rsa_faces.stimuli.degradations.DEGRADATIONS``.
    strengths : sequence of int from 1 to 5, default (1, 3, 5)
    n_boot : int, default 2000
        Samples of people.
    budget, batch_size
        As for :func:`rsa_faces.extract`.
    seed : int, default 0
        Of the degradations and the samples.
    progress : bool, default True
        Show a bar, on a terminal.

    Returns
    -------
    LightGain
        Its table: ``network``, ``layer``, ``light`` ("clean", or a degradation and its strength),
        ``degradation``, ``strength``, ``level``, ``unit``, ``normalisation``; ``auc_without`` and
        ``auc`` (0.5 is chance), ``gain`` = auc - auc_without with ``gain_low``, ``gain_high``
        (95 %), ``p`` (two-sided) and ``p_corrected`` (Holm, over the rows); ``n_people``,
        ``n_conditions``.

    Raises
    ------
    InputError
        If a method, degradation or strength is unknown, or there are too few people.
    ConditionMismatchError
        If names of stimuli and `identity` differ.

    See Also
    --------
    robustness : Measure stability of RDMs and verification of people against degradation.
    rsa_faces.figures.plot_effects : Draw effects with their intervals.

    Notes
    -----
    As in :func:`robustness`, an image in bad light meets the clean images of all people, never
    itself. With a normalisation both are normalised; without it neither is. All are judged on the
    same images, pairs and samples of people, so that the gain is paired. ``p`` is the larger of
    that of the samples of people and that of Student's t by their spread, and percentiles for the
    interval are further out for few people: samples of few people alone are too narrow.

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> rng = np.random.default_rng(0)
    >>> faces = rng.integers(60, 196, (8, 1, 16, 16, 3)) + rng.normal(0, 20, (8, 2, 16, 16, 3))
    >>> images = faces.reshape(16, 16, 16, 3).clip(0, 255).astype(np.uint8)  # simulated
    >>> names = [f"{i} {k}" for i in range(8) for k in "ab"]
    >>> found = rf.analyses.light_gain(
    ...     rf.load_network("pixels"), rf.StimulusSet.from_arrays(images, names),
    ...     {name: name[0] for name in names}, methods=["equalisation"],
    ...     degradations=["half-light"], strengths=[5], n_boot=99)
    >>> len(found.table)
    2
    """
    check_arguments(light_gain, locals())
    for method in methods:
        check_choice(method, METHODS, what="normalisation of light")
    for kind in degradations:
        check_choice(kind, DEGRADATIONS, what="degradation")
    strengths = sorted({check_count(s, what="strength") for s in strengths})
    if not len(methods) or not strengths or strengths[-1] > 5:
        raise InputError(
            f"expected methods, and strengths from 1 to 5, got {list(methods)} and {strengths}."
        )
    check_count(n_boot, what="n_boot")
    check_seed(seed)
    layer = network.layers()[-1] if layer is None else layer
    options = {"layers": layer, "budget": budget, "batch_size": batch_size, "progress": False}
    ways = ["", *dict.fromkeys(methods)]
    lights = [("", 0), *((kind, s) for kind in dict.fromkeys(degradations) for s in strengths)]
    clean, rows, comparison = {}, [], None
    with progress_bar("light", len(lights), show=progress) as tell:
        for n_done, (kind, strength) in enumerate(lights):
            worse = degrade(stimuli, kind, strength, seed=seed) if strength else stimuli
            areas = {}
            for way in ways:
                evened = normalise_light(worse, way) if way else worse
                features = extract(network, evened, **options)
                answers = unit_length(np.asarray(features[layer]).reshape(len(stimuli), -1))
                if comparison is None:
                    _, (who,), _ = matched(
                        as_layers(features, None), [("identity", identity)], None
                    )
                    people = codes_of(who)[0]
                    n_people = int(people.max()) + 1
                    comparison = Comparison.of(people, True, n_boot, 0.05, as_rng(seed))
                # The first are clean, and stay what others are compared with.
                areas[way] = comparison.auc(answers @ clean.setdefault(way, answers).T)
            for way in ways[1:]:
                gain = areas[way] - areas[""]
                summary = Recognition.summary(gain, n_people)
                rows.append(
                    {
                        "network": network.name,
                        "layer": layer,
                        "light": f"{kind} {strength}" if strength else "clean",
                        "degradation": kind or "none",
                        "strength": strength,
                        "level": DEGRADATIONS[kind].levels[strength - 1] if strength else np.nan,
                        "unit": DEGRADATIONS[kind].unit if strength else "",
                        "normalisation": way,
                        "auc_without": areas[""][0],
                        "auc": areas[way][0],
                        "gain": summary["value"],
                        "gain_low": summary["ci_low"],
                        "gain_high": summary["ci_high"],
                        "p": Recognition.p(gain, 0.0, n_people),
                    }
                )
            tell(n_done + 1)
    table = pd.DataFrame(rows)
    table = table.assign(
        p_corrected=adjust(table["p"].to_numpy(), method="holm"),
        n_people=n_people,
        n_conditions=len(people),
    )
    settings = {"methods": ways[1:], "degradations": list(degradations), "strengths": strengths}
    settings |= {"network": network.name, "layer": layer, "n_boot": n_boot, "seed": seed}
    return LightGain(table, settings=settings)
