"""What training minimises: plain functions of a network's outputs and labels (needs torch).

All take float32 outputs, shape (n_images, n), and labels, int64 (n_images,), and return one
number. :func:`rsa_faces.networks.training.fit` calls ``objective(outputs, labels)``; bind options
with :func:`functools.partial`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING

from rsa_faces._core.checks import check_choice
from rsa_faces._core.errors import InputError
from rsa_faces._core.optional import require
from rsa_faces.networks.training import classes
from rsa_faces.networks.training.classes import Classes as Classes
from rsa_faces.networks.training.classes import use_classes as use_classes

if TYPE_CHECKING:
    import torch
    from torch import nn
    from torch.nn import functional as F
else:
    torch = require("torch", purpose="An objective of training")
    nn, F = torch.nn, torch.nn.functional

# --- pairs ------------------------------------------------------------------------------------


def pair_loss(
    embeddings: torch.Tensor,
    labels: torch.Tensor,
    *,
    head: Callable[[torch.Tensor], torch.Tensor],
    pairs: str = "all",
) -> torch.Tensor:
    """Cross-entropy of "same or different" over pairs of images.

    Parameters
    ----------
    embeddings : Tensor, shape (n_images, n)
        A Siamese network's outputs.
    labels : Tensor of int, shape (n_images,)
        Who is shown.
    head : callable
        From absolute differences of embeddings, (n_pairs, n), to logits (n_pairs, 2): different,
        same. ``SiameseNet.head``, so that ``head((a - b).abs())`` is ``SiameseNet.compare``.
    pairs : {"all", "given"}, default "all"
        "all": every pair of the batch (:func:`by_person`). "given": images 0 and 1, 2 and 3, ...
        (:func:`pairwise`).

    Returns
    -------
    Tensor
        Half the mean over the same plus half the mean over the different pairs, as if half of
        all pairs were the same; where the batch has one kind only, the mean over that kind.
    """
    check_choice(pairs, ("all", "given"), what="choice of pairs")
    if pairs == "all":
        i, j = torch.triu_indices(len(labels), len(labels), 1, device=labels.device)
    else:
        i = torch.arange(0, len(labels), 2, device=labels.device)
        j = i + 1
    same = (labels[i] == labels[j]).long()
    loss = F.cross_entropy(head((embeddings[i] - embeddings[j]).abs()), same, reduction="none")
    n_same = same.sum()
    sums = torch.stack([(loss * (1 - same)).sum(), (loss * same).sum()])
    counts = torch.stack([len(same) - n_same, n_same])
    return (sums / counts.clamp(min=1)).sum() / (counts > 0).sum()


def start_head(head: nn.Linear, embeddings: torch.Tensor) -> None:
    """Let a Siamese network's head start with "farther is more different".

    Parameters
    ----------
    head : Linear
        ``SiameseNet.head``.
    embeddings : Tensor, shape (n_images, n)
        Of some training images, by the network as it starts.

    Notes
    -----
    With d the sum of absolute differences and m its mean over the pairs, the logits start at
    ``2 (d / m - 1)`` for different and its negative for same. From random signs instead, the head
    learns the training people by heart: on 6 of the ORL people, with 24 others for training, the
    area under the ROC was 0.75 where this start gave 0.97.

    Examples
    --------
    >>> import torch
    >>> from rsa_faces.networks.training.objectives import start_head
    >>> head = torch.nn.Linear(2, 2)
    >>> start_head(head, torch.tensor([[0.0, 0.0], [1.0, 0.0]]))
    >>> head(torch.tensor([[1.0, 0.0], [0.0, 0.0], [1.0, 1.0]])).tolist()
    [[0.0, 0.0], [-2.0, 2.0], [2.0, -2.0]]
    """
    mean = torch.pdist(embeddings, p=1).mean()
    sign = torch.tensor([1.0, -1.0], device=mean.device)
    with torch.no_grad():
        head.weight.copy_((2 * sign / mean)[:, None].expand_as(head.weight))
        head.bias.copy_(-2 * sign)


def triplet_loss(
    embeddings: torch.Tensor, labels: torch.Tensor, *, margin: float = 0.2
) -> torch.Tensor:
    """Triplet loss with semi-hard negatives, on embeddings brought to length one.

    Parameters
    ----------
    embeddings : Tensor, shape (n_images, n)
        A network's outputs.
    labels : Tensor of int, shape (n_images,)
        Who is shown.
    margin : float, default 0.2
        How much farther (squared distance) another person should be.

    Returns
    -------
    Tensor
        Mean over all ordered pairs of anchor and positive of
        ``max(0, d(a, p) - d(a, n) + margin)``, d the squared Euclidean distance.

    Notes
    -----
    As in [1]_, the negative of an anchor and positive is the nearest image of another person
    that is farther from the anchor than the positive is; if none is farther, the farthest of the
    other people. 0 if the batch has no two images of one person, or one person only.

    References
    ----------
    .. [1] Schroff F., Kalenichenko D., Philbin J. (2015), FaceNet, CVPR,
       doi:10.1109/CVPR.2015.7298682
    """
    x = F.normalize(embeddings)
    distance = (2 - 2 * x @ x.T).clamp(min=0)
    other = labels[:, None] != labels
    positive = ~other & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    anchor, near = positive.nonzero(as_tuple=True)
    keep = other[anchor].any(1)
    anchor, near = anchor[keep], near[keep]
    if not len(anchor):
        # Not a plain 0: a backward pass has to find its way through the network.
        return embeddings.sum() * 0
    d_positive = distance[anchor, near]
    to_others = distance[anchor]
    farther = other[anchor] & (to_others > d_positive[:, None])
    nearest = to_others.masked_fill(~farther, math.inf).amin(1)
    farthest = to_others.masked_fill(~other[anchor], -math.inf).amax(1)
    d_negative = torch.where(farther.any(1), nearest, farthest)
    return (d_positive - d_negative + margin).clamp(min=0).mean()


# --- classes ----------------------------------------------------------------------------------


def softmax_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of the softmax over all classes: people or expressions."""
    return F.cross_entropy(logits, labels)


def partial_loss(
    embeddings: torch.Tensor,
    labels: torch.Tensor,
    *,
    layer: Classes,
    share: float = 1.0,
    correct: bool = True,
    logits: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None = None,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Cross-entropy over the batch's classes and some others, of which alone logits are computed.

    Parameters
    ----------
    embeddings : Tensor, shape (n_images, n)
        What goes into `layer`: a network whose last layer :func:`use_classes` replaced gives it
        while it trains.
    labels : Tensor of int, shape (n_images,)
        The right classes.
    layer : Classes
        The network's last layer.
    share : float, above 0 to 1, default 1
        Share of the classes that nobody in the batch has which are drawn (rounded up), without
        replacement, for the whole batch. With 1 this is exactly the loss over all classes.
    correct : bool, default True
        Add ``log(n_others / n_drawn)`` to the logits of drawn classes, so that the sum of
        exponentials has the mean of the full one, whatever the share. Without it (as in [1]_) the
        negatives count for less and the loss is lower.
    logits : callable, optional
        From outputs of `layer` and labels to logits: :func:`arcface_logits` or
        :func:`cosface_logits`, options bound. By default the outputs are the logits.
    generator : torch.Generator, optional
        Default: torch's own, which `fit` seeds from (seed, epoch). Of a divided layer all
        processes need it alike; the default is.

    Returns
    -------
    Tensor
        Mean over images; of a divided layer over those of all processes, the same in each.

    Raises
    ------
    InputError
        If `share` is out of range.

    Notes
    -----
    What is kept for the gradient is (n_images, number of classes that compete) instead of
    (n_images, n_classes): it falls with the share. Weights, their gradient and the optimiser's
    state stay whole, unless `layer` is divided: then embeddings travel between processes, each
    compares those of all with the drawn classes among its own rows, and loss and gradients are
    those of one process that holds all rows. ``scripts/bench_classes.py`` measures memory.

    References
    ----------
    .. [1] An X. et al. (2022), Killing two birds with one stone: efficient and robust training of
       face recognition CNNs by Partial FC, CVPR, doi:10.1109/CVPR52688.2022.00401

    Examples
    --------
    >>> import torch
    >>> from rsa_faces.networks.training.objectives import Classes, partial_loss
    >>> layer = Classes(2, 3)
    >>> x, labels = torch.ones(4, 2), torch.tensor([0, 1, 2, 0])
    >>> whole = torch.nn.functional.cross_entropy(layer.outputs(x), labels)
    >>> bool(torch.isclose(partial_loss(x, labels, layer=layer, share=0.1), whole))
    True
    """
    if not 0 < share <= 1:
        raise InputError(f"expected share above 0 and up to 1, got {share!r}.")
    held, apart = layer.held(), layer.n_ranks > 1
    if apart:
        embeddings, labels = classes.gathered(embeddings), classes.gathered(labels)
        if generator is None and share < 1:
            generator = classes.common_generator(labels.device)
    shift = 0.0
    if share == 1:
        competing, own = None, labels - held.start
        n_held = n_here = held.stop - held.start
    else:
        here, drawn, n_others = _draw(labels, layer.out_features, share, generator)
        # Each class that is drawn stands for n_others / n_drawn: a factor before, a shift of
        # logits.
        shift = math.log(n_others / len(drawn)) if correct and len(drawn) else 0.0
        here, drawn = (c[(held.start <= c) & (c < held.stop)] - held.start for c in (here, drawn))
        competing, own = torch.cat([here, drawn]), torch.searchsorted(here, labels - held.start)
        n_held, n_here = len(competing), len(here)
    if apart:  # a column for images whose own class another process holds, to be cut off again
        away = (labels < held.start) | (labels >= held.stop)
        own = own.masked_fill(away, n_held)
    outputs = layer.outputs(embeddings, competing, blank=apart)
    outputs = outputs if logits is None else logits(outputs, own)
    if apart:
        outputs = outputs[:, :n_held]
    if shift:
        outputs = torch.cat([outputs[:, :n_here], outputs[:, n_here:] + shift], 1)
    return (classes.divided_cross_entropy if apart else F.cross_entropy)(outputs, own)


def _draw(
    labels: torch.Tensor, n_classes: int, share: float, generator: torch.Generator | None
) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Return the classes that labels name, in order, those drawn of the others, and of how many."""
    absent = torch.ones(n_classes, dtype=torch.bool, device=labels.device)
    absent[labels] = False
    here, others = (~absent).nonzero()[:, 0], absent.nonzero()[:, 0]
    where = labels.device if generator is None else generator.device
    order = torch.randperm(len(others), generator=generator, device=where)
    return here, others[order[: math.ceil(share * len(others))].to(others.device)], len(others)


def arcface_logits(
    cosines: torch.Tensor, labels: torch.Tensor, *, scale: float = 64.0, margin: float = 0.5
) -> torch.Tensor:
    """Logits of ArcFace: an angle is added between an image and its own class.

    Parameters
    ----------
    cosines : Tensor, shape (n_images, n_classes), from -1 to 1
        Between embeddings and classes: outputs of :class:`Classes` with cosines.
    labels : Tensor of int, shape (n_images,)
        The right classes.
    scale : float, default 64
        Factor of all cosines.
    margin : float, in radians, default 0.5
        The angle added.

    Returns
    -------
    Tensor, shape (n_images, n_classes)
        For :func:`softmax_loss`, or as `logits` of :func:`partial_loss`.

    Notes
    -----
    ``scale * cos(theta + margin)`` for the right class and ``scale * cos(theta)`` for the others
    [1]_. Beyond ``theta = pi - margin``, where the cosine would rise again, the right class gets
    ``scale * (cos(theta) - margin * sin(margin))``, as the authors' program does.

    References
    ----------
    .. [1] Deng J., Guo J., Xue N., Zafeiriou S. (2019), ArcFace, CVPR, doi:10.1109/CVPR.2019.00482
    """
    own = cosines.gather(1, labels[:, None])
    # The sine's slope is infinite at 0 and pi.
    sine = (1 - own.square()).clamp(min=1e-7).sqrt()
    turned = own * math.cos(margin) - sine * math.sin(margin)
    # Beyond π - margin the cosine would rise again: there the own class is pushed by a line.
    beyond = own - margin * math.sin(margin)
    turned = torch.where(own > math.cos(math.pi - margin), turned, beyond)
    return scale * cosines.scatter(1, labels[:, None], turned)


def cosface_logits(
    cosines: torch.Tensor, labels: torch.Tensor, *, scale: float = 64.0, margin: float = 0.35
) -> torch.Tensor:
    """Logits of the large-margin cosine loss: an image's cosine with its own class is lowered.

    Parameters
    ----------
    cosines : Tensor, shape (n_images, n_classes), from -1 to 1
        Between embeddings and classes: outputs of :class:`Classes` with cosines.
    labels : Tensor of int, shape (n_images,)
        The right classes.
    scale : float, default 64
        Factor of all cosines.
    margin : float, default 0.35
        What is subtracted.

    Returns
    -------
    Tensor, shape (n_images, n_classes)
        ``scale * (cos(theta) - margin)`` for the right class and ``scale * cos(theta)`` for the
        others [1]_.

    See Also
    --------
    arcface_logits : The margin is an angle.

    References
    ----------
    .. [1] Wang H. et al. (2018), CosFace: large margin cosine loss for deep face recognition, CVPR,
       doi:10.1109/CVPR.2018.00552

    Examples
    --------
    >>> import torch
    >>> from rsa_faces.networks.training.objectives import cosface_logits
    >>> cosface_logits(torch.tensor([[0.75, 0.25]]), torch.tensor([0]), scale=4, margin=0.5)
    tensor([[1., 1.]])
    """
    own = torch.zeros_like(cosines).scatter(1, labels[:, None], margin)
    return scale * (cosines - own)


def use_dropout(module: nn.Module, share: float) -> None:
    """Let whole channels drop out after each ReLU that follows a convolution, while training.

    Names of weights, and what the network answers when it is not trained, stay as they are.

    Parameters
    ----------
    module : Module
        Changed in place.
    share : float, from 0 to below 1
        Probability that a channel is left out.

    Raises
    ------
    InputError
        If `share` is out of range, or no ReLU follows a convolution in the same block.

    Examples
    --------
    >>> from torch import nn
    >>> from rsa_faces.networks.training.objectives import use_dropout
    >>> module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU())
    >>> use_dropout(module, 0.5)
    >>> list(module.state_dict()), module[1][1]
    (['0.weight', '0.bias'], Dropout2d(p=0.5, inplace=False))
    """
    if not 0 <= share < 1:
        raise InputError(f"expected a share of dropout from 0 to below 1, got {share!r}.")
    places = [
        (parent, after)
        for parent in module.modules()
        for before, after in pairwise(parent.named_children())
        if isinstance(before[1], nn.Conv2d) and isinstance(after[1], nn.ReLU)
    ]
    if not places:
        raise InputError(
            "expected a network with a ReLU after a convolution for dropout, got none."
        )
    for parent, (name, relu) in places:
        setattr(parent, name, nn.Sequential(relu, nn.Dropout2d(share)))
