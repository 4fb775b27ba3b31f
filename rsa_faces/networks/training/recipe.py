"""How a network is trained, in plain data."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

from rsa_faces._core.checks import check_choice, check_count, check_seed
from rsa_faces._core.errors import InputError

OPTIMIZERS = ("sgd", "adamw")
SCHEDULES = ("cosine", "steps", "constant")


@dataclass(frozen=True)
class Recipe:
    """Epochs, optimiser and learning rate of a training run.

    Parameters
    ----------
    epochs : int
        Passes over the training images.
    optimizer : {"sgd", "adamw"}, default "sgd"
        Stochastic gradient descent with momentum, or AdamW [1]_.
    learning_rate : float, default 0.01
        The highest one; AdamW wants about 0.001.
    momentum : float, from 0 to below 1, default 0.9
        For "sgd".
    weight_decay : float, default 0.0005
        On weights of two dimensions or more; not on biases and normalisation.
    schedule : {"cosine", "steps", "constant"}, default "cosine"
        "cosine": half a cosine from `learning_rate` to 0 over the run [2]_. "steps": multiplied by
        `decay` at each of `milestones`.
    milestones : tuple of int, optional
        Epochs for "steps", counted from 0.
    decay : float, above 0 to 1, default 0.1
        Factor for "steps".
    warmup : float, default 0
        Epochs over which the learning rate first rises evenly from 0.
    clip : float, optional
        Longest gradient allowed (Euclidean norm over all parameters); longer ones are shortened.
    mixed : bool, default False
        Compute in half precision where that is safe; on CUDA GPUs only.
    seed : int, default 0
        Seed of the augmentation and of what the network or objective draws.

    Raises
    ------
    InputError
        If a value is not valid.

    See Also
    --------
    rsa_faces.networks.training.fit : Train a network on labelled faces.
    rsa_faces.networks.training.Augmentation : A random window of the image, mirrored in some cases.

    References
    ----------
    .. [1] Loshchilov I., Hutter F. (2019), Decoupled weight decay regularization, ICLR,
       arXiv:1711.05101
    .. [2] Loshchilov I., Hutter F. (2017), SGDR, ICLR, arXiv:1608.03983

    Examples
    --------
    >>> from rsa_faces.networks.training import Recipe
    >>> recipe = Recipe(epochs=10, learning_rate=0.1, warmup=1)
    >>> [round(recipe.rate(epoch), 4) for epoch in (0, 0.5, 1, 5, 10)]
    [0.0, 0.0497, 0.0976, 0.05, 0.0]
    """

    epochs: int
    optimizer: str = "sgd"
    learning_rate: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 5e-4
    schedule: str = "cosine"
    milestones: tuple[int, ...] = ()
    decay: float = 0.1
    warmup: float = 0.0
    clip: float | None = None
    mixed: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        check_count(self.epochs, what="epochs")
        check_seed(self.seed)
        check_choice(self.optimizer, OPTIMIZERS, what="optimizer")
        check_choice(self.schedule, SCHEDULES, what="schedule")
        object.__setattr__(self, "milestones", tuple(self.milestones))
        for name, low in (("learning_rate", 0), ("weight_decay", 0), ("warmup", 0)):
            value = getattr(self, name)
            if not (low <= value < math.inf):
                raise InputError(f"expected {name} of at least {low}, got {value!r}.")
        if not 0 <= self.momentum < 1:
            raise InputError(f"expected momentum from 0 to below 1, got {self.momentum!r}.")
        if not 0 < self.decay <= 1:
            raise InputError(f"expected decay above 0 and up to 1, got {self.decay!r}.")
        if self.clip is not None and not self.clip > 0:
            raise InputError(f"expected clip above 0 or None, got {self.clip!r}.")
        if self.schedule == "steps" and not self.milestones:
            raise InputError("expected milestones for the schedule 'steps', got none.")

    def rate(self, epoch: float) -> float:
        """Return the learning rate at a time in epochs; 1.5 is in the middle of the second."""
        rate = self.learning_rate * (min(1.0, epoch / self.warmup) if self.warmup else 1.0)
        if self.schedule == "cosine":
            return rate * (1 + math.cos(math.pi * min(1.0, epoch / self.epochs))) / 2
        if self.schedule == "steps":
            return rate * self.decay ** sum(epoch >= m for m in self.milestones)
        return rate

    def to_dict(self) -> dict:
        """Return the fields as plain data."""
        return asdict(self) | {"milestones": list(self.milestones)}
