"""Which images come together, in which order: functions of an epoch's number and a seed.

Every function returns a list of index arrays of shape (n_groups, n_members). Groups stay together
when a batch is divided among several processes.
"""

from __future__ import annotations

import numpy as np

from rsa_faces._core.checks import check_arguments, check_count
from rsa_faces._core.errors import InputError


def shuffled(epoch: int, *, n_images: int, batch_size: int, seed: int = 0) -> list[np.ndarray]:
    """Put all images in random order: for classification.

    Parameters
    ----------
    epoch : int
        From 0; each has its own order.
    n_images, batch_size : int
        Every image occurs once. The last batch may be smaller; a last batch of a single image
        joins the one before, because batch normalisation needs two.
    seed : int, default 0
        Seed of the order.

    Returns
    -------
    list of ndarray, shape (n, 1)
        Groups of one image.

    See Also
    --------
    by_person : Put several images of several people into each batch: for pairs and triplets.
    pairwise : Put given pairs in random order, as those of LFW's ``pairsDevTrain.txt``.
    rsa_faces.networks.training.fit : Train a network on labelled faces.

    Examples
    --------
    >>> from rsa_faces.networks.training import shuffled
    >>> [batch.shape for batch in shuffled(0, n_images=9, batch_size=4)]
    [(4, 1), (5, 1)]
    """
    check_count(n_images, what="n_images")
    order = np.random.default_rng([seed, epoch]).permutation(n_images)
    return _cut(order[:, None], batch_size)


def by_person(
    epoch: int, *, labels: np.ndarray, n_people: int, n_images: int, seed: int = 0
) -> list[np.ndarray]:
    """Put several images of several people into each batch: for pairs and triplets.

    Parameters
    ----------
    epoch : int
        From 0; each has its own draw.
    labels : ndarray of int
        Who is shown, per image.
    n_people : int
        Groups per batch, usually of as many people (one person may have two).
    n_images : int
        Images per group, all different, of one person. Each person's images are shuffled and cut
        into groups: what is left over waits for another epoch; people with fewer are never used.
    seed : int, default 0
        Seed of the draw.

    Returns
    -------
    list of ndarray, shape (n_groups, n_images)
        `n_people` groups each; the last batch may have fewer, but not one alone.

    Raises
    ------
    InputError
        If fewer than two people have `n_images` images.

    See Also
    --------
    shuffled : Put all images in random order: for classification.
    pairwise : Put given pairs in random order, as those of LFW's ``pairsDevTrain.txt``.
    rsa_faces.networks.training.fit : Train a network on labelled faces.

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.networks.training import by_person
    >>> labels = np.array([0, 0, 0, 1, 1, 2, 2, 2])
    >>> batches = by_person(0, labels=labels, n_people=2, n_images=2)
    >>> [batch.shape for batch in batches], bool((labels[batches[0]].std(axis=1) == 0).all())
    ([(3, 2)], True)
    """
    check_count(n_people, what="n_people", low=2)
    check_count(n_images, what="n_images", low=2)
    labels = np.asarray(labels)
    counts = np.bincount(labels)
    if (counts >= n_images).sum() < 2:
        raise InputError(
            f"expected at least two people with {n_images} images each, but "
            f"{(counts >= n_images).sum()} of {(counts > 0).sum()} have as many."
        )
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(labels))
    # Stable: within each person the random order stays.
    order = order[np.argsort(labels[order], kind="stable")]
    # The place of an image among its person's, in this epoch's order.
    starts = np.r_[0, counts.cumsum()[:-1]]
    place = np.arange(len(labels)) - starts[labels[order]]
    # What is left over of a person comes in another epoch, in another order.
    whole = place < (counts // n_images * n_images)[labels[order]]
    groups = order[whole].reshape(-1, n_images)
    return _cut(rng.permutation(groups), n_people)


def pairwise(epoch: int, *, pairs: np.ndarray, batch_size: int, seed: int = 0) -> list[np.ndarray]:
    """Put given pairs in random order, as those of LFW's ``pairsDevTrain.txt``.

    Parameters
    ----------
    epoch : int
        From 0; each has its own order.
    pairs : ndarray of int, shape (n_pairs, 2)
        Positions of the images, as :meth:`FacePairs.index` gives them.
    batch_size : int
        Pairs per batch.
    seed : int, default 0
        Seed of the order.

    Returns
    -------
    list of ndarray, shape (n, 2)
        Every pair once.

    See Also
    --------
    shuffled : Put all images in random order: for classification.
    by_person : Put several images of several people into each batch: for pairs and triplets.
    rsa_faces.networks.training.fit : Train a network on labelled faces.

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.networks.training import pairwise
    >>> batches = pairwise(0, pairs=np.array([[0, 1], [2, 3], [4, 5]]), batch_size=2)
    >>> sorted(np.concatenate(batches).tolist())
    [[0, 1], [2, 3], [4, 5]]
    """
    check_arguments(pairwise, locals())
    order = np.random.default_rng([seed, epoch]).permutation(len(pairs))
    return _cut(np.asarray(pairs)[order], batch_size)


def _cut(groups: np.ndarray, size: int) -> list[np.ndarray]:
    """Cut into batches of `size` groups; one group alone at the end joins the batch before."""
    check_count(size, what="batch size")
    cuts = list(range(size, len(groups), size))
    if size > 1 and cuts and len(groups) - cuts[-1] == 1:
        cuts.pop()
    return np.split(groups, cuts)
