"""Images evened out in light: what people do before recognition where light differs."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from rsa_faces._core.checks import check_choice
from rsa_faces.stimuli._stimulus_set import StimulusSet

_LUMA = np.array([0.299, 0.587, 0.114])
_AROUND = 0.08  # standard deviation of what counts as surroundings, share of the image's width


def normalise_light(stimuli: StimulusSet, method: str = "equalisation") -> StimulusSet:
    """Even out the light of images.

    Parameters
    ----------
    stimuli : StimulusSet
        Crops of faces.
    method : {"equalisation", "self-quotient"}
        "equalisation": each image's brightness gets a flat histogram [1]_ (of the whole image;
        equally bright pixels stay so). "self-quotient": brightness over that of the
        surroundings [2]_ (plain Gaussian, σ 8 % of the width), 128 where they are alike.

    Returns
    -------
    StimulusSet
        The same ids, sizes and metadata. Colours are scaled as their brightness (Rec. 601) is;
        what would exceed 255 is 255. A uniform image is grey (128) in brightness.

    Raises
    ------
    InputError
        If the method is unknown.

    See Also
    --------
    rsa_faces.stimuli.degradations.degrade : Make images worse, in light among others.
    rsa_faces.analyses.light_gain : Ask whether this helps recognition.

    References
    ----------
    .. [1] Pizer S. M. et al. (1987). Computer Vision, Graphics, and Image Processing 39, 355-368.
       doi:10.1016/S0734-189X(87)80186-X
    .. [2] Wang H., Li S. Z., Wang Y. (2004). Automatic Face and Gesture Recognition, 819-824.
       doi:10.1109/AFGR.2004.1301635

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> from rsa_faces.stimuli.light import normalise_light
    >>> dark = np.random.default_rng(0).integers(0, 40, (1, 32, 32, 3)).astype(np.uint8)
    >>> evened = normalise_light(rf.StimulusSet.from_arrays(dark, ["a"]))
    >>> bool(dark.mean() < 20 and 100 < evened.image("a").mean() < 150)
    True
    """
    act = METHODS[check_choice(method, METHODS, what="normalisation of light")]
    images = []
    for name in stimuli.ids:
        image = stimuli.image(name).astype(np.float64)
        luma = image @ _LUMA
        wanted = np.full_like(luma, 128.0) if np.ptp(luma) == 0 else act(luma)
        # Black has no colour that could be scaled.
        scale = np.divide(wanted, luma, out=np.zeros_like(luma), where=luma > 0)
        evened = np.where(luma[..., None] > 0, image * scale[..., None], wanted[..., None])
        images.append(np.clip(np.rint(evened), 0, 255).astype(np.uint8))
    return StimulusSet.from_arrays(images, stimuli.ids, stimuli.metadata)


def _equalised(luma: np.ndarray) -> np.ndarray:
    """Return 255 times the share of pixels that are darker, ties counted half."""
    # Grey made of three channels differs by rounding between pixels that are equal; they are ties.
    values, place, counts = np.unique(luma.round(6), return_inverse=True, return_counts=True)
    share = (counts.cumsum() - counts / 2) / luma.size
    return 255 * share[place.reshape(luma.shape)]


def _quotient(luma: np.ndarray) -> np.ndarray:
    """Return 128 times the brightness over that of the surroundings."""
    around = gaussian_filter(luma, _AROUND * luma.shape[1], mode="nearest")
    return 128 * luma / np.maximum(around, 1e-6)


#: Ways to even out light.
METHODS = {"equalisation": _equalised, "self-quotient": _quotient}
