"""A last layer with a row of weights per class, whole or divided among processes (needs torch)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rsa_faces._core.errors import InputError
from rsa_faces._core.optional import require

if TYPE_CHECKING:
    import torch
    from torch import distributed, nn
    from torch.nn import functional as F
else:
    torch = require("torch", purpose="A layer of classes")
    distributed, nn, F = torch.distributed, torch.nn, torch.nn.functional


class Classes(nn.Linear):
    """A last layer that hands on its input while training, for :func:`partial_loss`.

    It takes the place and the parameter names of a network's last linear layer, and answers as
    that when it is not trained.

    Parameters
    ----------
    in_features, out_features : int
        As for :class:`torch.nn.Linear`.
    cosines : bool, default False
        Whether outputs are cosines between the input and each row of the weights. The bias stays
        0. `fit` saves the rows at length one: in the network's own linear layer the same file
        gives cosines times the length of the input, which ranks the classes of an image alike.
    divided : bool, default False
        With several processes, whether `fit` gives each a share of the classes: of weights,
        gradients and the optimiser's state. Files hold the whole.

    Examples
    --------
    >>> import torch
    >>> from rsa_faces.networks.training.classes import Classes
    >>> layer = Classes(8, 3, cosines=True).eval()
    >>> bool((layer(torch.randn(5, 8)).abs() <= 1 + 1e-6).all())
    True
    """

    def __init__(
        self, in_features: int, out_features: int, *, cosines: bool = False, divided: bool = False
    ) -> None:
        super().__init__(in_features, out_features)
        self.cosines, self.divided = cosines, divided
        self.rank, self.n_ranks = 0, 1
        if cosines:
            nn.init.normal_(self.weight, std=0.01)
            nn.init.zeros_(self.bias).requires_grad_(False)

    def extra_repr(self) -> str:
        """Return what tells it from others; not how it is divided, which changes no result."""
        return f"{super().extra_repr()}, cosines={self.cosines}"

    def held(self, rank: int | None = None) -> slice:
        """Return the classes that a process holds, by default this one."""
        rank = self.rank if rank is None else rank
        return slice(*(k * self.out_features // self.n_ranks for k in (rank, rank + 1)))

    def outputs(
        self, x: torch.Tensor, classes: torch.Tensor | None = None, *, blank: bool = False
    ) -> torch.Tensor:
        """Return outputs of some of the rows held, (n, n_classes), default all; then maybe a 0."""
        weight, bias = self.weight, self.bias
        if classes is not None:
            weight, bias = weight[classes], bias[classes]
        if blank:
            weight, bias = (torch.cat([t, torch.zeros_like(t[:1])]) for t in (weight, bias))
        return (
            F.linear(F.normalize(x), F.normalize(weight))
            if self.cosines
            else F.linear(x, weight, bias)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the input while training, otherwise outputs of all classes."""
        return x if self.training else self.outputs(x)

    def divide(self, rank: int, n_ranks: int, where: torch.device) -> None:
        """Keep, on a device, this process's share of the rows that process 0 has."""
        if self.out_features < n_ranks:
            raise InputError(
                f"expected at least as many classes as processes to divide them, got "
                f"{self.out_features} for {n_ranks}."
            )
        self.rank, self.n_ranks = rank, n_ranks
        for parameter in self.parameters():
            for r in range(n_ranks):
                part = parameter.data[self.held(r)].to(where, copy=True)
                distributed.broadcast(part, 0)
                if r == rank:
                    mine = part
            parameter.data = mine

    def joined(self, tensor: torch.Tensor, *, everywhere: bool = False) -> torch.Tensor:
        """Return all processes' rows of a tensor, in process 0 or everywhere; elsewhere its own."""
        parts = []
        for r in range(self.n_ranks):
            rows = self.held(r)
            empty = tensor.new_empty((rows.stop - rows.start, *tensor.shape[1:]))
            part = tensor.contiguous() if r == self.rank else empty
            distributed.broadcast(part, r)
            if everywhere or self.rank == 0:
                parts.append(part)
        return torch.cat(parts) if parts else tensor


class _Gathered(torch.autograd.Function):
    """Rows of all processes, one after the other."""

    @staticmethod
    def forward(ctx, x):
        parts = [torch.empty_like(x) for _ in range(distributed.get_world_size())]
        distributed.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx, grad):
        grad = grad.contiguous().clone()
        distributed.all_reduce(grad)
        n_ranks, rank = distributed.get_world_size(), distributed.get_rank()
        # DistributedDataParallel takes the mean over processes where the sum is wanted.
        return grad.chunk(n_ranks)[rank] * n_ranks


gathered = _Gathered.apply


class _CrossEntropy(torch.autograd.Function):
    """Mean cross-entropy of outputs whose columns are divided among processes.

    Own classes are columns of this process, or one beyond the last where others hold them.
    """

    @staticmethod
    def forward(ctx, outputs, own):
        n_images, n_columns = outputs.shape
        # None of the classes that compete may be held here.
        most = outputs.amax(1) if n_columns else outputs.new_full((n_images,), -torch.inf)
        distributed.all_reduce(most, distributed.ReduceOp.MAX)
        here = (own < n_columns).nonzero()[:, 0]
        right = torch.zeros_like(most)
        right[here] = outputs[here, own[here]] - most[here]
        chances = (outputs - most[:, None]).exp_()
        sums = torch.stack([chances.sum(1), right])
        distributed.all_reduce(sums)
        chances /= sums[0][:, None]
        ctx.save_for_backward(chances, own)
        return (sums[0].log() - sums[1]).mean()

    @staticmethod
    def backward(ctx, grad):
        chances, own = ctx.saved_tensors
        slope = chances * (grad / len(own))
        here = (own < chances.shape[1]).nonzero()[:, 0]
        slope[here, own[here]] -= grad / len(own)
        return slope, None


divided_cross_entropy = _CrossEntropy.apply


def common_generator(device: torch.device) -> torch.Generator:
    """Return a generator that all processes have alike, seeded by torch's own of process 0."""
    seed = torch.randint(2**62, (1,)).to(device)
    distributed.broadcast(seed, 0)
    return torch.Generator(device).manual_seed(int(seed))


def use_classes(
    module: nn.Module, layer: str, *, cosines: bool = False, divided: bool = False
) -> Classes:
    """Replace the last linear layer, of this dotted name, for :func:`partial_loss`; return it.

    Parameters
    ----------
    module : Module
        Changed in place; without `cosines` the weights stay.
    layer : str
        Name of its last layer.
    cosines : bool, default False
        Whether outputs are cosines.
    divided : bool, default False
        Whether several processes each hold a share of its rows.

    Returns
    -------
    Classes
        For :func:`partial_loss`.

    Raises
    ------
    InputError
        If there is no linear layer of this name.

    Examples
    --------
    >>> from torch import nn
    >>> from rsa_faces.networks.training.classes import use_classes
    >>> use_classes(nn.Sequential(nn.Linear(4, 3)), "0", cosines=True)
    Classes(in_features=4, out_features=3, bias=True, cosines=True)
    """
    parent, _, name = layer.rpartition(".")
    try:
        old = module.get_submodule(layer)
    except AttributeError:
        old = None
    if not isinstance(old, nn.Linear):
        raise InputError(f"expected a linear layer {layer!r}, got {type(old).__name__}.")
    new = Classes(old.in_features, old.out_features, cosines=cosines, divided=divided)
    if not cosines:
        new.load_state_dict(old.state_dict())
    setattr(module.get_submodule(parent), name, new)
    return new
