"""Sixty-eight landmarks on face crops."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rsa_faces._core.checks import check_arguments
from rsa_faces._core.errors import some
from rsa_faces._core.warning import warn
from rsa_faces.networks._load import load_network
from rsa_faces.networks._preprocess import place

if TYPE_CHECKING:
    from rsa_faces.networks import Network
    from rsa_faces.stimuli import StimulusSet

BATCH = 64
_APART = 0.15  # of the eyes' distance: how far points may move when the image is mirrored
#: Of each point, the one that takes its place when left and right are swapped.
_MIRRORED = np.array(
    [
        *range(16, -1, -1),  # jaw
        *range(26, 16, -1),  # brows
        *range(27, 31),  # bridge of the nose
        *range(35, 30, -1),  # its base
        *(45, 44, 43, 42, 47, 46),  # eyes
        *(39, 38, 37, 36, 41, 40),
        *range(54, 47, -1),  # lips, outer
        *range(59, 54, -1),
        *range(64, 59, -1),  # and inner
        *range(67, 64, -1),
    ]
)


def detect_landmarks(stimuli: StimulusSet, *, device: str = "auto") -> np.ndarray:
    """Find 68 landmarks in images that show one upright face each.

    Parameters
    ----------
    stimuli : StimulusSet
        Face crops: one face each, upright, filling most of the image (a face detector's box, or
        a portrait from chin to hair). There is no face detection here: on other images the
        points mean nothing; see Warns.
    device : str, default "auto"
        As for :func:`load_network`.

    Returns
    -------
    ndarray, float64, shape (n_stimuli, 68, 2)
        In pixels of each image (x, y), in the set's order: jaw 0-16 (from the image's left),
        brows 17-26, nose 27-35, eyes 36-47, mouth 48-67 (the iBUG 300-W scheme [1]_). (0, 0) is
        the centre of the upper left pixel.

    Warns
    -----
    UserWarning
        Of images in which the points are not to be relied on: in the mirrored image they are found
        elsewhere, more than 0.15 of the eyes' distance apart on average.

    See Also
    --------
    rsa_faces.detect_faces : Find the face in each photograph.
    rsa_faces.analyses.measure_landmarks : Measure faces.

    Notes
    -----
    The network is "face-api-landmarks": it sees the image at 112 px, centred on a black square,
    and gives each point as a fraction of the square's side.

    It finds points in whatever it is shown. Of cut-out faces (12 of London, 54 simulated, from the
    front and turned by 30 degrees) the points moved by .03 to .10 of the eyes' distance when the
    image was mirrored; of 68 images without a face by .12 to 22, median 1.4, 95 % of them by more
    than .24; of whole photographs of 12 people by .05 to .79.

    References
    ----------
    .. [1] Sagonas C. et al. (2016), Image Vis Comput 47:3, doi:10.1016/j.imavis.2016.01.002

    Examples
    --------
    >>> import rsa_faces as rf
    >>> from rsa_faces.networks import detect_landmarks
    >>> faces = rf.datasets.simulated_faces().stimuli.query("yaw == 0 and expression == 'sad'")
    >>> faces = faces.subset(faces.ids[:2])
    >>> crops = rf.crop_faces(faces, rf.detect_faces(faces, progress=False), template="box")
    >>> detect_landmarks(crops, device="cpu").shape
    (2, 68, 2)
    """
    check_arguments(detect_landmarks, locals())
    network = load_network("face-api-landmarks", device=device)
    ids = list(stimuli.ids)
    points, off = np.empty((len(ids), 68, 2)), np.empty(len(ids))
    for start in range(0, len(ids), BATCH):
        images = [stimuli.image(i) for i in ids[start : start + BATCH]]
        mirrored = [np.ascontiguousarray(image[:, ::-1]) for image in images]
        both = zip(images, _points(network, images), _points(network, mirrored), strict=True)
        for i, (image, one, other) in enumerate(both, start=start):
            points[i] = one
            # A face looks the same in the mirror; what a regression makes of no face hangs on the
            # pixels.
            back = other[_MIRRORED] * [-1, 1] + [image.shape[1] - 1, 0]
            eyes = np.linalg.norm(one[36:42].mean(axis=0) - one[42:48].mean(axis=0))
            off[i] = np.linalg.norm(one - back, axis=1).mean() / max(eyes, 1e-9)
    if doubtful := [name for name, value in zip(ids, off, strict=True) if value > _APART]:
        warn(
            f"landmarks are not to be relied on in {len(doubtful)} of {len(ids)} images, as they "
            f"are found elsewhere in the mirrored image: {some(doubtful)}. They should show one "
            "upright face each, cut out (detect_faces, crop_faces with template='box')."
        )
    return points


def _points(network: Network, images: list[np.ndarray]) -> np.ndarray:
    """Return the 68 points of each image in its pixels."""
    import torch

    size = network.spec.preprocessing.size
    points = np.empty((len(images), 68, 2))
    with torch.inference_mode():
        out = network.module(network.preprocess(images).to(network.device)).cpu().numpy()
    for own, image, fractions in zip(points, images, out, strict=True):
        height, width = image.shape[:2]
        new, corner = place(width, height, size)
        in_square = fractions.reshape(68, 2).astype(float) * size
        own[:] = (in_square - corner) * [width / new[0], height / new[1]] - 0.5
    return points
