"""Training: one function."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from rsa_faces._core.errors import InputError
from rsa_faces._core.files import atomic_path, locked, sha256_bytes
from rsa_faces._core.tables import write_table
from rsa_faces.networks._spec import Preprocessing
from rsa_faces.networks.training.augmentation import Augmentation
from rsa_faces.networks.training.faces import LabelledFaces
from rsa_faces.networks.training.recipe import Recipe

if TYPE_CHECKING:
    import torch

_log = logging.getLogger(__name__)

CHECKPOINT, WEIGHTS, LOG = "checkpoint.pt", "weights.safetensors", "log.csv"


def fit(
    module: torch.nn.Module,
    objective: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    faces: LabelledFaces,
    *,
    recipe: Recipe,
    preprocessing: Preprocessing,
    batches: Callable[[int], list[np.ndarray]],
    out: str | os.PathLike[str],
    augment: Augmentation | None = None,
    validate: Callable[[torch.nn.Module], Mapping[str, float]] | None = None,
    resume: bool = False,
    device: str = "auto",
    workers: int = 0,
    on_step: Callable[[int], None] | None = None,
) -> pd.DataFrame:
    """Train a network on labelled faces.

    Parameters
    ----------
    module : torch.nn.Module
        Trained in place; its weights now are where training starts.
    objective : callable
        From outputs and labels to a loss; see :mod:`rsa_faces.networks.training.objectives`.
        Whatever it learns must be part of `module`.
    faces : LabelledFaces
        The training images.
    recipe : Recipe
        Epochs, optimiser, learning rate, seed.
    preprocessing : Preprocessing
        The network's own; it also decides between grey and colour.
    batches : callable
        From the epoch (0, 1, ...) to a list of index arrays into `faces`:
        :func:`shuffled`, :func:`by_person` or :func:`pairwise` with their options bound.
    out : path-like
        Folder for ``weights.safetensors`` (opens with :func:`rsa_faces.load_network`),
        ``log.csv`` and ``checkpoint.pt``. All three are written after each epoch, to a temporary
        name first.
    augment : Augmentation, optional
        Random changes of the images; drawn from (seed, epoch, image).
    validate : callable, optional
        From the network, in eval mode, to measures by name; called after each epoch. They become
        columns of the log.
    resume : bool, default False
        Go on after the last epoch of ``checkpoint.pt`` in `out`, or start if there is none. The
        module's weights now have to be those that the training began with, and everything else
        the same.
    device : str, default "auto"
        "auto" (a CUDA GPU if there is one, else the CPU) or a torch device.
    workers : int, default 0
        Processes that read images; 0: this one does.
    on_step : callable, optional
        Called with the number of batches done (of all epochs together).

    Returns
    -------
    DataFrame
        The log, indexed by epoch (from 1): ``learning_rate`` (last), ``loss`` (mean over images of
        each batch's loss, at the weights of that time), ``seconds``, measures.

    Raises
    ------
    InputError
        If `out` holds a checkpoint and `resume` is False, or another training is writing there; if
        a checkpoint was made with other settings, images, batches, options of the objective,
        starting weights or another network (the differences are named); if all images have one
        label; if a label or index does not fit;
        if mixed precision is asked for without a GPU; if the loss is not finite any more.

    See Also
    --------
    rsa_faces.networks.training.Recipe : Epochs, optimiser and learning rate of a training run.
    rsa_faces.networks.training.accuracy : Return the share of right answers.
    rsa_faces.networks.training.verification

    Notes
    -----
    On one machine's CPU, with the same number of threads and release of torch, the same seed gives
    the same weights to the bit, with or without an interruption; elsewhere rounding differs, and
    grows over epochs. On GPUs some sums are added in varying order.

    Several GPUs: start the program with ``torchrun --nproc-per-node N``. Every batch is divided
    among the processes by groups, gradients are averaged (DistributedDataParallel); groups that
    cannot be divided evenly are left out of the epoch. An objective over pairs or triplets sees
    the pairs within each process, batch normalisation each process's part. Process 0 validates
    and writes. A last layer from :func:`rsa_faces.networks.training.objectives.use_classes` with
    ``divided=True`` is not copied: each process holds a share of its rows, and
    :func:`rsa_faces.networks.training.objectives.partial_loss` is what it is in one process.

    Examples
    --------
    >>> from functools import partial
    >>> import numpy as np
    >>> from rsa_faces.networks import get_spec
    >>> from rsa_faces.networks.families.siamese import SiameseNet
    >>> from rsa_faces.networks.training import LabelledFaces, Recipe, by_person, fit
    >>> from rsa_faces.networks.training.objectives import pair_loss
    >>> images = np.random.default_rng(0).integers(0, 256, (4, 120, 105, 3), dtype=np.uint8)
    >>> faces = LabelledFaces(images, ["a1", "a2", "b1", "b2"], [0, 0, 1, 1], ["a", "b"])
    >>> network = SiameseNet(n_out=4, width=2)
    >>> log = fit(
    ...     network, partial(pair_loss, head=network.head), faces, recipe=Recipe(epochs=2),
    ...     preprocessing=get_spec("siamese-lfw").preprocessing, device="cpu",
    ...     batches=partial(by_person, labels=faces.labels, n_people=2, n_images=2),
    ...     out=getfixture("tmp_path"),
    ... )
    >>> log.index.tolist(), sorted(path.name for path in getfixture("tmp_path").glob("[!.]*"))
    ([1, 2], ['checkpoint.pt', 'log.csv', 'weights.safetensors'])
    """
    from rsa_faces.networks._load import _device
    from rsa_faces.networks.training import _steps

    out = Path(out)
    if augment is not None:
        augment.check(faces.ids)
    settings = {
        "recipe": recipe.to_dict(),
        "preprocessing": preprocessing.to_dict(),
        "augment": None if augment is None else augment.to_dict(),
        "faces": faces.digest(),
        # What `batches` depends on cannot be seen: what it gives first stands for it.
        "first batches": sha256_bytes(*(batch.tobytes() for batch in batches(0))),
        "objective": _steps.described(objective),
        "network": sha256_bytes(repr(module).encode()),
        "starting weights": _steps.fingerprint(module),
    }
    if len(np.unique(faces.labels)) < 2:
        raise InputError(
            f"expected images of at least two labels to tell apart, got {len(faces)} of one: "
            f"{faces.names[faces.labels[0]]!r}."
        )
    if (out / CHECKPOINT).exists() and not resume:
        raise InputError(
            f"{out / CHECKPOINT} is there already. Give resume=True to go on with it, or another "
            "folder."
        )
    with _steps.world() as (rank, n_ranks), _alone(out, rank):
        where = _device(_steps.local(device, n_ranks))
        if recipe.mixed and where.type != "cuda":
            raise InputError(f"expected a CUDA GPU for mixed precision, got device {str(where)!r}.")
        trainer = _steps.Trainer(module, objective, recipe, where, rank, n_ranks)
        rows: list[dict[str, float]] = []
        if resume and (out / CHECKPOINT).exists():
            rows = trainer.restore(out / CHECKPOINT, settings)
            _log.info("going on after epoch %d of %s", len(rows), out)
        loader = _steps.Loader(faces, preprocessing, augment, recipe.seed, workers, where)
        for epoch in range(len(rows), recipe.epochs):
            start = time.monotonic()
            loss, rate = trainer.epoch(epoch, batches(epoch), loader, on_step)
            row = {"epoch": epoch + 1, "learning_rate": rate, "loss": loss}
            with trainer.whole():
                if rank == 0:
                    module.eval()
                    measures = {} if validate is None else dict(validate(module))
                    module.train()
                    rows.append({**row, "seconds": time.monotonic() - start, **measures})
                    _write(out, trainer, rows, settings)
                    _log.info("epoch %d: %s", epoch + 1, _shown(rows[-1]))
                else:
                    rows.append(row)
                trainer.wait()
        trainer.join()
    module.eval()
    return pd.DataFrame(rows).set_index("epoch")


@contextlib.contextmanager
def _alone(out: Path, rank: int) -> Iterator[None]:
    """Refuse a second training in the same folder."""
    if rank:
        yield
        return
    out.mkdir(parents=True, exist_ok=True)
    with locked(out):
        yield


def _write(out: Path, trainer, rows: list[dict], settings: dict) -> None:
    """Write weights, log and, last, the checkpoint that says the epoch is done."""
    with atomic_path(out / WEIGHTS) as path:
        trainer.save_weights(path, settings)
    write_table(pd.DataFrame(rows), out / LOG)
    with atomic_path(out / CHECKPOINT) as path:
        trainer.save(path, rows, settings)


def _shown(row: dict[str, float]) -> str:
    """Return a row of the log in one line."""
    return ", ".join(f"{name} {value:.4g}" for name, value in row.items() if name != "epoch")
