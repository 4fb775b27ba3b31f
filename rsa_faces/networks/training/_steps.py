"""The parts of training that need torch: processes, reading ahead, steps, checkpoints."""

from __future__ import annotations

import contextlib
import importlib
import itertools
import json
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import distributed, nn
from torch.nn import functional as F

from rsa_faces._core.errors import InputError
from rsa_faces._core.files import read_tensors
from rsa_faces.networks import _preprocess
from rsa_faces.networks._weights import DAMAGED, reason
from rsa_faces.networks.training.classes import Classes
from rsa_faces.networks.training.recipe import Recipe

# Between fingerprints: far above what another order of adding changes.
_SAME = 1e-3
_groups = itertools.count()  # of processes that were joined in this program


def described(function: Callable) -> dict[str, Any]:
    """Return a function's name and the options that :func:`functools.partial` gave it, as text."""
    options = getattr(function, "keywords", {})
    inner = getattr(function, "func", function)
    name = getattr(inner, "__qualname__", type(inner).__name__)
    shown = {
        key: described(value)
        if callable(value) and not isinstance(value, nn.Module)
        else repr(value)
        for key, value in options.items()
    }
    return {"function": name, **shown}


def fingerprint(module: nn.Module) -> list[float]:
    """Return a number per tensor of a network, by which other weights are known.

    Rounding of another machine, or number of threads, changes them by less than `_SAME`.
    """
    out = []
    for tensor in module.state_dict().values():
        values = tensor.detach().double().cpu().flatten()
        # Weights of either sign that differ from place to place: a sum would not see values that
        # change places.
        waves = torch.cos(torch.arange(len(values), dtype=torch.float64))
        out.append(float(values @ waves / (values.norm() + 1e-12)))
    return out


@contextlib.contextmanager
def world() -> Iterator[tuple[int, int]]:
    """Yield this process's number and how many there are; join the others if torchrun says so."""
    n_ranks = int(os.environ.get("WORLD_SIZE", "1"))
    if n_ranks == 1:
        yield 0, 1
        return
    ours = not distributed.is_initialized()
    if ours:
        # DistributedDataParallel imports this anyhow. Imported after the group is made it keeps the
        # group, whose threads then end a process that exits under load with SIGABRT.
        importlib.import_module("torch._dynamo")
        backend = "nccl" if torch.cuda.is_available() else "gloo"
        # The store of torchrun outlives a group. Under the keys of the last one a program that
        # trains twice would look for the other processes where they no longer listen.
        store, rank, n_ranks = next(distributed.rendezvous("env://"))
        own = distributed.PrefixStore(f"rsa_faces {next(_groups)}", store)
        distributed.init_process_group(backend, store=own, rank=rank, world_size=n_ranks)
    try:
        yield distributed.get_rank(), n_ranks
    finally:
        if ours:
            distributed.destroy_process_group()


def local(device: str, n_ranks: int) -> str:
    """Return the device of this process: one GPU each."""
    if n_ranks > 1 and device in ("auto", "cuda") and torch.cuda.is_available():
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        torch.cuda.set_device(device)
    return device


class Loader:
    """Reads, changes and preprocesses the images of batches."""

    def __init__(self, faces, preprocessing, augment, seed: int, workers: int, where) -> None:
        self.faces, self.preprocessing, self.augment = faces, preprocessing, augment
        self.seed, self.workers, self.where = seed, workers, where

    def __call__(self, epoch: int, batches: list[np.ndarray]) -> Iterator:
        """Yield images, (n, channels, size, size), and labels, (n,), of each batch."""
        loader = torch.utils.data.DataLoader(
            _Items(self, epoch),
            batch_sampler=[batch.ravel().tolist() for batch in batches],
            num_workers=self.workers,
            pin_memory=self.where.type == "cuda",
        )
        for images, labels in loader:
            yield (
                images.to(self.where, non_blocking=True),
                labels.to(self.where, non_blocking=True),
            )


class _Items(torch.utils.data.Dataset):
    """One epoch's images, each changed by its own generator, whoever reads it."""

    def __init__(self, loader: Loader, epoch: int) -> None:
        self.loader, self.epoch = loader, epoch

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        it = self.loader
        image = it.faces.image(i)
        if it.augment is not None:
            image = it.augment(
                image, np.random.default_rng([it.seed, self.epoch, i]), it.faces.ids[i]
            )
        x = _preprocess.apply(it.preprocessing, [image])[0]
        return torch.from_numpy(x), int(it.faces.labels[i])


class _Loss(nn.Module):
    """From images and labels to the loss, so that several processes can share its gradients."""

    def __init__(self, module: nn.Module, objective: Callable, mixed: bool) -> None:
        super().__init__()
        self.module, self.objective, self.mixed = module, objective, mixed

    def forward(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cuda", torch.float16, enabled=self.mixed):
            outputs = self.module(images)
        # In float32: exponentials of a loss overflow in half precision.
        return self.objective(outputs.float(), labels)


class Trainer:
    """A network, its optimiser and how far they are."""

    def __init__(self, module, objective, recipe: Recipe, where, rank: int, n_ranks: int) -> None:
        self.module, self.recipe, self.where = module, recipe, where
        self.rank, self.n_ranks = rank, n_ranks
        self.loss: nn.Module = _Loss(module, objective, recipe.mixed)
        self.divided = [
            layer
            for layer in module.modules()
            if isinstance(layer, Classes) and layer.divided and n_ranks > 1
        ]
        for layer in self.divided:  # before the device sees the whole
            layer.divide(rank, n_ranks, where)
        module.to(where).train()
        if n_ranks > 1:
            theirs = {id(p) for layer in self.divided for p in layer.parameters()}
            nn.parallel.DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(
                self.loss, [name for name, p in self.loss.named_parameters() if id(p) in theirs]
            )
            self.loss = nn.parallel.DistributedDataParallel(self.loss, find_unused_parameters=True)
        self.optimizer = _optimizer(module, recipe)
        self.scaler = torch.amp.GradScaler("cuda", enabled=recipe.mixed)
        self.n_steps = 0

    def epoch(
        self, epoch: int, batches: list[np.ndarray], loader: Loader, on_step
    ) -> tuple[float, float]:
        """Pass once over the images; return the mean loss and the last learning rate."""
        batches = [part for batch in batches if len(part := self._part(batch))]
        if not batches:
            raise InputError(
                f"expected at least one batch of {self.n_ranks} groups or more in epoch "
                f"{epoch + 1}, got none."
            )
        losses, sizes = [], []  # losses stay on the device until the epoch's end
        cuda = [self.where] if self.where.type == "cuda" else []
        with torch.random.fork_rng(devices=cuda):
            # By epoch: a training that goes on draws what an uninterrupted one would.
            torch.manual_seed(_seed(self.recipe.seed, epoch, self.rank))
            for i, (images, labels) in enumerate(loader(epoch, batches)):
                rate = self.recipe.rate(epoch + (i + 0.5) / len(batches))
                losses.append(self._step(images, labels, rate))
                sizes.append(len(labels))
                self.n_steps += 1
                if on_step is not None:
                    on_step(self.n_steps)
        sizes = torch.tensor(sizes, dtype=torch.float64)
        total = torch.stack([torch.stack(losses).cpu().double() @ sizes, sizes.sum()])
        if self.n_ranks > 1:
            total = total.to(self.where)
            distributed.all_reduce(total)
        mean = float(total[0] / total[1])
        if not math.isfinite(mean):
            raise InputError(
                f"the loss became {mean} in epoch {epoch + 1}: lower the learning rate (now "
                f"{self.recipe.learning_rate:g}) or give clip=1. The files hold the epoch before."
            )
        return mean, rate

    def _part(self, batch: np.ndarray) -> np.ndarray:
        """Return this process's groups of a batch, as many as each other process has."""
        # A process with more batches than another would wait for its gradients for ever.
        n_each = len(batch) // self.n_ranks
        return batch[self.rank * n_each : (self.rank + 1) * n_each]

    def _step(self, images, labels, rate: float) -> torch.Tensor:
        """Move the weights once; return the loss before."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(images, labels)
        self.scaler.scale(loss).backward()
        if self.recipe.clip is not None:
            # Gradients are scaled up in half precision; how long they are shows only without.
            self.scaler.unscale_(self.optimizer)
            self._clip(self.recipe.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss.detach()

    def _clip(self, longest: float) -> None:
        """Shorten the gradient, of whose length each process knows a part if a layer is divided."""
        grads = [p.grad for p in self.module.parameters() if p.grad is not None]
        divided = (p for layer in self.divided for p in layer.parameters())
        shares = [p.grad for p in divided if p.grad is not None]
        if not shares:
            nn.utils.clip_grad_norm_(self.module.parameters(), longest)
            return
        of_shares = torch.stack([grad.square().sum() for grad in shares]).sum()
        common = torch.stack([grad.square().sum() for grad in grads]).sum() - of_shares
        distributed.all_reduce(of_shares)
        # As torch's clip_grad_norm_, whose numbers these are where nothing is divided.
        factor = (longest / ((common + of_shares).sqrt() + 1e-6)).clamp(max=1)
        for grad in grads:
            grad.mul_(factor)

    @contextlib.contextmanager
    def whole(self) -> Iterator[None]:
        """Let process 0 have all rows of divided layers for a time, to judge and to write."""
        shares = []
        for layer in self.divided:
            for parameter in layer.parameters():
                state = self.optimizer.state.get(parameter, {})
                shares.append((parameter, parameter.data, state, dict(state)))
                for key, value in state.items():
                    if torch.is_tensor(value) and value.shape == parameter.shape:
                        state[key] = layer.joined(value)
                parameter.data = layer.joined(parameter.data)
        yield
        for parameter, data, state, values in shares:
            parameter.data = data
            state.update(values)

    def join(self) -> None:
        """Give every process all rows again."""
        for layer in self.divided:
            for parameter in layer.parameters():
                parameter.data = layer.joined(parameter.data, everywhere=True)
            layer.rank, layer.n_ranks = 0, 1

    def _cut(self, state: dict) -> None:
        """Keep this process's rows of divided layers in a checkpoint."""
        names = {id(p): name for name, p in self.module.named_parameters()}
        order = [id(p) for group in self.optimizer.param_groups for p in group["params"]]
        for layer in self.divided:
            for parameter in layer.parameters():
                whole = state["module"][names[id(parameter)]]
                state["module"][names[id(parameter)]] = whole[layer.held()]
                if id(parameter) in order:
                    slots = state["optimizer"]["state"].get(order.index(id(parameter)), {})
                    for key, value in slots.items():
                        if torch.is_tensor(value) and value.shape == whole.shape:
                            slots[key] = value[layer.held()]

    def wait(self) -> None:
        """Wait for the other processes."""
        if self.n_ranks > 1:
            distributed.barrier()

    def save_weights(self, path: Path, settings: dict) -> None:
        """Write the network's weights; rows that give cosines at length one."""
        from safetensors.torch import save_file

        state = {
            name: tensor.detach().cpu().contiguous().clone()
            for name, tensor in self.module.state_dict().items()
        }
        for name, child in self.module.named_modules():
            if isinstance(child, Classes) and child.cosines:
                key = f"{name}.weight".removeprefix(".")
                state[key] = F.normalize(state[key])
        save_file(state, path, {"settings": json.dumps(settings, sort_keys=True)})

    def save(self, path: Path, rows: list[dict], settings: dict) -> None:
        """Write all that going on needs."""
        torch.save(
            {
                "settings": json.dumps(settings, sort_keys=True),
                "log": rows,
                "n_steps": self.n_steps,
                "module": self.module.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "scaler": self.scaler.state_dict(),
            },
            path,
        )

    def restore(self, path: Path, settings: dict) -> list[dict]:
        """Take up a checkpoint of the same settings; return its log."""
        # Divided, not even a moment's whole goes to the device.
        try:
            state = read_tensors(path, "cpu" if self.divided else self.where)
        except DAMAGED as err:
            raise InputError(
                f"{path} cannot be gone on with ({reason(err)}): start anew in another folder."
            ) from err
        _check_settings(json.loads(state["settings"]), settings, path)
        self._cut(state)
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.n_steps = state["n_steps"]
        return state["log"]


def _optimizer(module: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Return the optimiser; biases and normalisation do not decay."""
    learned = [p for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in learned if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in learned if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, recipe.learning_rate, momentum=recipe.momentum)
    return torch.optim.AdamW(groups, recipe.learning_rate)


def _seed(*numbers: int) -> int:
    """Mix numbers into one seed."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])


def _check_settings(old: dict, new: dict, path: Path) -> None:
    """Refuse to go on with other settings, and name them."""
    different = [
        f"{name}: {before!r} then, {now!r} now"
        for part in new
        for name, before, now in _compared(part, old.get(part), new[part])
    ]
    if different:
        raise InputError(
            f"{path} was made with other settings ({'; '.join(different)}). Give the same again, "
            "or another folder to start anew."
        )


def _compared(name: str, old, new) -> Iterator[tuple[str, object, object]]:
    """Yield what differs, field by field."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in {**old, **new}:
            yield from _compared(f"{name}.{key}", old.get(key), new.get(key))
    elif name == "starting weights":
        if old is None or len(old) != len(new) or np.abs(np.subtract(old, new)).max() > _SAME:
            yield name, "others", "these"
    elif json.loads(json.dumps(new)) != old:
        yield name, old, new
