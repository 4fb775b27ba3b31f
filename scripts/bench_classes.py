"""Memory of one training step over many classes, by the share drawn and, with torchrun, divided.

    python scripts/bench_classes.py --classes 100000
    torchrun --nproc-per-node 2 scripts/bench_classes.py --classes 100000

On the CPU (gloo), under Linux. Columns, of process 0: what is kept for the gradient besides the
weights (saved tensors, each storage once), the rows of weights with their gradient, and by how much
resident memory rose at most over the step.
"""

from __future__ import annotations

import argparse
import ctypes
import re
from functools import partial
from pathlib import Path

import torch

from rsa_faces.networks.training._steps import world
from rsa_faces.networks.training.objectives import Classes, cosface_logits, partial_loss

C = ctypes.CDLL("libc.so.6")


def resident(what: str) -> int:
    """Return this process's resident memory now ("VmRSS") or at most ("VmHWM"), in bytes."""
    text = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(rf"{what}:\s+(\d+) kB", text)[1])


def step(layer: Classes, n_images: int, share: float) -> tuple[int, int, int]:
    """Take one step; return bytes kept, of rows and their gradient, and of the peak."""
    labels = torch.arange(n_images) % layer.out_features
    x = torch.randn(len(labels), layer.in_features, requires_grad=True)
    layer.weight.grad = None
    C.malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
    before, kept = resident("VmRSS"), {}

    def pack(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = partial_loss(
            x, labels, layer=layer, share=share, logits=partial(cosface_logits, scale=64.0)
        )
    kept.pop(layer.weight.untyped_storage().data_ptr(), None)
    loss.backward()
    return sum(kept.values()), 2 * layer.weight.nbytes, resident("VmHWM") - before


def main() -> None:
    out = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    out.add_argument("--classes", type=int, default=100_000)
    out.add_argument("--inputs", type=int, default=128)
    out.add_argument("--images", type=int, default=128, help="of the whole batch")
    out.add_argument("--shares", type=float, nargs="+", default=[1.0, 0.5, 0.1, 0.01])
    args = out.parse_args()
    torch.set_num_threads(1)
    C.mallopt(-3, 1 << 20)  # M_MMAP_THRESHOLD: what is freed goes back at once, not to the heap
    with world() as (rank, n_ranks):
        layer, small = (
            Classes(args.inputs, n, cosines=True, divided=True) for n in (args.classes, 64)
        )
        for one in (layer, small) if n_ranks > 1 else ():
            one.divide(rank, n_ranks, torch.device("cpu"))
        step(small, args.images // n_ranks, 0.5)  # libraries load at their first use
        if rank == 0:
            print(f"{args.classes} classes, {n_ranks} process(es)")
            print(" share   kept MB   rows MB   peak MB")
        for share in args.shares:
            sizes = step(layer, args.images // n_ranks, share)
            if rank == 0:
                print(f"{share:6g}" + "".join(f"{s / 1e6:10.1f}" for s in sizes), flush=True)


if __name__ == "__main__":
    main()
