"""Face alignment: a similarity transform that brings landmarks to dlib's face chip."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from rsa_faces._core.checks import check_arguments
from rsa_faces._core.errors import InputError
from rsa_faces.stimuli.images import check_side

if TYPE_CHECKING:
    from rsa_faces.stimuli._stimulus_set import StimulusSet

#: The widest margin around a face, in units of the face.
MAX_MARGIN = 10.0

#: dlib's five points: outer and inner corner of the eye on the image's right, outer and inner
#: corner of the eye on the image's left, base of the nose; x, y as fractions of the unpadded chip.
TEMPLATE_5 = np.array(
    [
        [0.8595674595992, 0.2134981538014],
        [0.6460604764104, 0.2289674387677],
        [0.1205750620789, 0.2137274526848],
        [0.3340850613712, 0.2290642403242],
        [0.4901123135679, 0.6277975316475],
    ]
)

#: dlib's mean face for 68 points: nose (27-35), eyes (36-47) and upper lip with the mouth's
#: corners (48-54, 60-64). Jaw, brows and lower lip are left out, as they move with expression.
POINTS_68 = np.r_[27:36, 36:48, 48:55, 60:65]
TEMPLATE_68 = np.array(
    [
        [0.490127, 0.203352],
        [0.490127, 0.307009],
        [0.490127, 0.409805],
        [0.490127, 0.515625],
        [0.366880, 0.587326],
        [0.426036, 0.609345],
        [0.490127, 0.628106],
        [0.554217, 0.609345],
        [0.613373, 0.587326],
        [0.121737, 0.216423],
        [0.187122, 0.178758],
        [0.265825, 0.179852],
        [0.334606, 0.231733],
        [0.260918, 0.245099],
        [0.182743, 0.244077],
        [0.645647, 0.231733],
        [0.714428, 0.179852],
        [0.793132, 0.178758],
        [0.858516, 0.216423],
        [0.797510, 0.244077],
        [0.719335, 0.245099],
        [0.254149, 0.780233],
        [0.340985, 0.745405],
        [0.428858, 0.727388],
        [0.490127, 0.742578],
        [0.551395, 0.727388],
        [0.639268, 0.745405],
        [0.726104, 0.780233],
        [0.290379, 0.784792],
        [0.428096, 0.778746],
        [0.490127, 0.785343],
        [0.552157, 0.778746],
        [0.689874, 0.784792],
    ]
)


def chip_transform(landmarks: np.ndarray, size: int = 150, padding: float = 0.25) -> np.ndarray:
    """Find the similarity transform from an image to dlib's face chip.

    Parameters
    ----------
    landmarks : array-like, shape (5, 2) or (68, 2)
        In pixels of the image (x, y); (0, 0) is the centre of its upper left pixel. Five points:
        eye corners on the image's right (outer, inner), on its left (outer, inner), base of the
        nose. 68 points: the iBUG 300-W scheme, of which nose, eyes and upper lip are used.
    size : int, default 150
        Height and width of the chip in pixels.
    padding : float, default 0.25
        Margin on each side, in units of the unpadded face.

    Returns
    -------
    ndarray, float64, shape (2, 3)
        ``transform @ (x, y, 1)`` is the place in the chip. Rotation, one scale and shift: the
        inverse of the least-squares fit of the template to the points; no mirroring.

    Raises
    ------
    InputError
        If the points are of another shape, not finite or all the same point.

    References
    ----------
    .. [1] King D. E. (2009), Dlib-ml: a machine learning toolkit, J Mach Learn Res 10:1755.
    .. [2] Umeyama S. (1991), IEEE TPAMI 13:376, doi:10.1109/34.88573

    Examples
    --------
    >>> from rsa_faces.stimuli.alignment import TEMPLATE_5, chip_transform
    >>> chip_transform(TEMPLATE_5 * 100 - 0.5, size=100, padding=0).round(3) + 0.0
    array([[1., 0., 0.],
           [0., 1., 0.]])
    """
    points = np.asarray(landmarks, dtype=float)
    if points.shape not in ((5, 2), (68, 2)):
        raise InputError(
            f"expected landmarks of shape (5, 2) or (68, 2), got {points.shape}; other schemes "
            "must be reduced to one of these."
        )
    if not np.isfinite(points).all():
        raise InputError("expected finite landmarks, but some are NaN or infinite.")
    check_side(size)
    if not 0 <= padding <= MAX_MARGIN:
        raise InputError(f"expected padding from 0 to {MAX_MARGIN:g}, got {padding!r}.")
    template = TEMPLATE_5
    if len(points) == 68:
        points, template = points[POINTS_68], TEMPLATE_68
    # Template coordinates 0 and 1 are the chip's edges, half a pixel outside the outer centres.
    target = (template + padding) / (1 + 2 * padding) * size - 0.5
    # Points as complex numbers: a similarity is one product and one sum. Like dlib, fit the chip
    # to the image and invert, so that distances are least squares in the image's pixels.
    source, target = points @ [1, 1j], target @ [1, 1j]
    centered = target - target.mean()
    turn = (centered.conj() * source).sum() / (np.abs(centered) ** 2).sum()
    if abs(turn) < 1e-9:
        raise InputError("expected landmarks of a face, but they fit it at no size above 0.")
    turn = 1 / turn
    shift = target.mean() - turn * source.mean()
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def warp(image: np.ndarray, transform: np.ndarray, size: int) -> np.ndarray:
    """Draw an image through a transform.

    Parameters
    ----------
    image : ndarray, uint8, shape (height, width, 3)
        The image.
    transform : ndarray, shape (2, 3)
        From image to result, as :func:`chip_transform` returns it.
    size : int
        Height and width of the result.

    Returns
    -------
    ndarray, uint8, shape (size, size, 3)
        Bilinear interpolation; black where the image ends. An image more than twice as fine as
        the result is first averaged over whole blocks of pixels, so that nothing is skipped.

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.stimuli.alignment import warp
    >>> image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    >>> bool((warp(image, np.eye(2, 3), 4) == image).all())
    True
    """
    inverse = np.linalg.inv(np.vstack([transform, [0, 0, 1]]))
    # Pillow puts pixel centres at halves: move there and back.
    inverse = _shift(0.5) @ inverse @ _shift(-0.5)
    picture = Image.fromarray(image)
    step = int(np.hypot(inverse[0, 0], inverse[1, 0]))
    if step > 1:
        picture = picture.reduce(step)
        inverse = np.diag([1 / step, 1 / step, 1]) @ inverse
    drawn = picture.transform(
        (size, size), Image.Transform.AFFINE, inverse[:2].ravel(), Image.Resampling.BILINEAR
    )
    return np.asarray(drawn)


def _shift(by: float) -> np.ndarray:
    """Return a translation of both axes."""
    return np.array([[1, 0, by], [0, 1, by], [0, 0, 1.0]])


def align_faces(
    stimuli: StimulusSet, landmarks: np.ndarray, *, size: int = 150, padding: float = 0.25
) -> StimulusSet:
    """Cut every face out in the same place and size, eyes level.

    Parameters
    ----------
    stimuli : StimulusSet
        One face per image.
    landmarks : array-like, shape (n_stimuli, 5, 2) or (n_stimuli, 68, 2)
        In the order of ``stimuli.ids``, as for :func:`chip_transform`; for example from
        :func:`rsa_faces.networks.detect_landmarks`.
    size : int, default 150
        Height and width of the chips; 150 is what "dlib-face" was trained on.
    padding : float, default 0.25
        Margin around the face.

    Returns
    -------
    StimulusSet
        The chips, with the same ids and metadata.

    Raises
    ------
    InputError
        If there is not one set of 5 or 68 points per image.

    See Also
    --------
    detect_faces : Find the face in each photograph, with five points and measures of quality.
    crop_faces : Cut every face out as a network was trained to see it.

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.stimuli import StimulusSet
    >>> from rsa_faces.stimuli.alignment import TEMPLATE_5, align_faces
    >>> image = np.zeros((200, 200, 3), dtype=np.uint8)
    >>> chips = align_faces(StimulusSet.from_arrays([image], ["a"]), [TEMPLATE_5 * 100 + 50])
    >>> chips.image("a").shape
    (150, 150, 3)
    """
    check_arguments(align_faces, locals())
    points = np.asarray(landmarks, dtype=float)
    if points.ndim != 3 or len(points) != len(stimuli):
        raise InputError(
            f"expected landmarks of shape ({len(stimuli)}, 5 or 68, 2), one set per image in the "
            f"order of stimuli.ids, got {points.shape}."
        )
    chips = []
    for name, these in zip(stimuli.ids, points, strict=True):
        try:
            transform = chip_transform(these, size, padding)
        except InputError as err:
            raise InputError(f"landmarks of {name!r}: {err}") from err
        chips.append(warp(stimuli.image(name), transform, size))
    return type(stimuli).from_arrays(chips, stimuli.ids, stimuli.metadata)
