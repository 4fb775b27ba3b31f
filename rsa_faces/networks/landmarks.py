"""Sixty-eight landmarks on face crops."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rsa_faces._core.checks import check_arguments
from rsa_faces.networks._load import load_network
from rsa_faces.networks._preprocess import place

if TYPE_CHECKING:
    from rsa_faces.stimuli import StimulusSet

BATCH = 64


def detect_landmarks(stimuli: StimulusSet, *, device: str = "auto") -> np.ndarray:
    """Find 68 landmarks in images that show one upright face each.

    Parameters
    ----------
    stimuli : StimulusSet
        Face crops: one face each, upright, filling most of the image (a face detector's box, or
        a portrait from chin to hair). There is no face detection here: on other images the
        points mean nothing, and nothing says so.
    device : str, default "auto"
        As for :func:`load_network`.

    Returns
    -------
    ndarray, float64, shape (n_stimuli, 68, 2)
        In pixels of each image (x, y), in the set's order: jaw 0-16 (from the image's left),
        brows 17-26, nose 27-35, eyes 36-47, mouth 48-67 (the iBUG 300-W scheme [1]_). (0, 0) is
        the centre of the upper left pixel.

    See Also
    --------
    rsa_faces.detect_faces : Find the face in each photograph.
    rsa_faces.analyses.measure_landmarks : Measure faces.

    Notes
    -----
    The network is "face-api-landmarks": it sees the image at 112 px, centred on a black square,
    and gives each point as a fraction of the square's side.

    References
    ----------
    .. [1] Sagonas C. et al. (2016), Image Vis Comput 47:3, doi:10.1016/j.imavis.2016.01.002

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.networks import detect_landmarks
    >>> from rsa_faces.stimuli import StimulusSet
    >>> crops = StimulusSet.from_arrays(np.full((2, 90, 80, 3), 128, np.uint8), ["a", "b"])
    >>> detect_landmarks(crops, device="cpu").shape
    (2, 68, 2)
    """
    check_arguments(detect_landmarks, locals())
    network = load_network("face-api-landmarks", device=device)
    import torch  # once it is known to be there

    size = network.spec.preprocessing.size
    ids = list(stimuli.ids)
    points = np.empty((len(ids), 68, 2))
    for start in range(0, len(ids), BATCH):
        images = [stimuli.image(i) for i in ids[start : start + BATCH]]
        with torch.inference_mode():
            out = network.module(network.preprocess(images).to(network.device)).cpu().numpy()
        for i, (image, fractions) in enumerate(zip(images, out, strict=True), start=start):
            height, width = image.shape[:2]
            new, corner = place(width, height, size)
            in_square = fractions.reshape(68, 2).astype(float) * size
            points[i] = (in_square - corner) * [width / new[0], height / new[1]] - 0.5
    return points
