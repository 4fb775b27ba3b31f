"""How often a classifier is right."""

from __future__ import annotations

import numpy as np

from rsa_faces._core.errors import InputError


def accuracy(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Return the share of right answers, over images and over classes.

    Parameters
    ----------
    logits : array-like, shape (n_images, n_classes)
        A classifier's outputs; the answer is the class of the highest, of several the first.
    labels : array-like of int, shape (n_images,)
        The right classes.

    Returns
    -------
    dict of str to float
        "accuracy": over images. "balanced accuracy": mean over the classes that occur of the share
        of their images answered right; chance is 1 / number of classes, however uneven they are.

    Raises
    ------
    InputError
        If shapes do not fit, or an output is NaN.

    See Also
    --------
    rsa_faces.networks.training.fit : Train a network on labelled faces.
    rsa_faces.networks.training.verification

    Examples
    --------
    >>> from rsa_faces.networks.training import accuracy
    >>> accuracy([[2, 1], [3, 0], [1, 0], [5, 4]], [0, 0, 0, 1])
    {'accuracy': 0.75, 'balanced accuracy': 0.5}
    """
    logits, labels = np.asarray(logits, float), np.asarray(labels)
    if logits.ndim != 2 or labels.shape != logits.shape[:1] or not len(labels):
        raise InputError(
            "expected one row of outputs and one label per image, got shapes "
            f"{logits.shape} and {labels.shape}."
        )
    if np.isnan(logits).any():
        raise InputError(f"expected outputs without NaN, got {np.isnan(logits).sum()} NaN.")
    right = logits.argmax(1) == labels
    classes = [right[labels == label].mean() for label in np.unique(labels)]
    return {"accuracy": float(right.mean()), "balanced accuracy": float(np.mean(classes))}
