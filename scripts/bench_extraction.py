"""Time and memory of RDMs of all layers of a network.

    python scripts/bench_extraction.py resnet50    # 54 layers x 92 images, beside the forward pass
    python scripts/bench_extraction.py vgg16       # all layers x 707 images, within 4 GB
    python scripts/bench_extraction.py clips       # all layers of sface x 707 clips of 4 s, 4 GB
    python scripts/bench_extraction.py device --device cuda    # under four minutes; also on cpu

Weights are drawn at random (they do not change what is measured), but for sface. The images are the
92 that ship; for vgg16, 707 random cuts of them; for clips, a window that moves over each
(simulated, 25 frames per second, 2 of them taken). Resident memory is looked at every 10 ms.
`resnet50` also times the usual way: one plain pass with hooks that append, concatenate,
`numpy.corrcoef`. `device` shows images per second of bare passes, of `extract` and of `layer_rdms`,
bytes that came from the device and how fast a plain copy is, how far layers are from the
processor's, and how much the answer to an image depends on the others in its batch, at each
precision.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import torch

import rsa_faces as rf

SIZES = (1, 4, 8, 92)  # of batches
ROUNDS = 7


class Memory:
    """Largest resident memory in GB while it is open."""

    def __enter__(self) -> Memory:
        self.peak, self._open = 0.0, True
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while self._open:
            with open("/proc/self/statm") as file:
                self.peak = max(self.peak, int(file.read().split()[1]) * 4096 / 1e9)
            time.sleep(0.01)

    def __exit__(self, *error) -> None:
        self._open = False
        self._thread.join()


def timed(function, repeats: int = 1) -> tuple[float, object]:
    """Return the shortest time and the last result."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = function()
        times.append(time.perf_counter() - start)
    return min(times), result


def the_usual_way(network, batch, layers) -> dict[str, np.ndarray]:
    """Append, concatenate, `numpy.corrcoef`."""
    kept = {layer: [] for layer in layers}
    modules = dict(network.module.named_modules())
    handles = [
        modules[layer].register_forward_hook(
            lambda m, i, out, layer=layer: kept[layer].append(out.flatten(1).clone().numpy())
        )
        for layer in layers
    ]
    with torch.inference_mode():
        for start in range(0, len(batch), 8):
            network.module(batch[start : start + 8])
    for handle in handles:
        handle.remove()
    return {layer: 1 - np.corrcoef(np.concatenate(kept.pop(layer))) for layer in layers}


def resnet50(budget: str) -> None:
    stimuli = rf.datasets.images92().stimuli
    network = rf.load_network("untrained:torchvision:resnet50", device="cpu")
    layers = [
        name
        for name, module in network.module.named_modules()
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear))
    ]
    batch = network.preprocess([stimuli.image(name) for name in stimuli.ids])
    print(f"{len(layers)} layers of ResNet-50, {len(batch)} images, budget {budget}")

    def forward(module, images, size: int) -> None:
        with torch.inference_mode():
            for start in range(0, len(images), size):
                module(images[start : start + size])

    def ours() -> rf.RDMs:
        return rf.layer_rdms(network, stimuli, layers=layers, budget=budget, progress=False)

    # First of all, so that its memory is its own.
    with Memory() as memory:
        ours()
        rdms = ours()
    # The weights channels last as well, as a careful user would have them.
    careful = rf.load_network("untrained:torchvision:resnet50", device="cpu").module
    careful.to(memory_format=torch.channels_last)
    last = batch.contiguous(memory_format=torch.channels_last)
    plain = {
        f"{how}, batches of {size}": lambda m=module, images=images, size=size: forward(
            m, images, size
        )
        for how, module, images in (
            ("plain", network.module, batch),
            ("channels last", careful, last),
        )
        for size in SIZES
    }
    first = {name: timed(function, 2)[0] for name, function in plain.items()}
    # In turns, so that both meet the same moods of the machine.
    names = sorted(first, key=first.get)[:2]
    rounds = [[min(timed(plain[name])[0] for name in names), timed(ours)[0]] for _ in range(ROUNDS)]
    times, all_ours = np.array(rounds).T
    best, time_ours = min(times.min(), *first.values()), all_ours.min()
    print(f"best plain forward pass: {best:.2f} s ({names[0]})")
    print(
        f"layer_rdms: {time_ours:.2f} s, {time_ours / best:.2f} x the best plain pass; median of "
        f"{ROUNDS} rounds {np.median(all_ours / times):.2f} x; resident memory up to "
        f"{memory.peak:.2f} GB"
    )
    time_usual, usual = timed(lambda: the_usual_way(network, batch, layers))
    print(f"append, concatenate, corrcoef: {time_usual:.2f} s, {time_usual / best:.2f} x")
    row, col = np.triu_indices(len(stimuli), k=1)
    differences = [
        np.abs(rdms.sel(layer=layer).vectors[0] - usual[layer][row, col]).max() for layer in layers
    ]
    print(f"largest difference of a dissimilarity: {max(differences):.1e}")


def vgg16(budget: str) -> None:
    photographs = rf.datasets.images92().stimuli
    rng = np.random.default_rng(0)
    images = []
    for k in range(707):
        image = photographs.image(photographs.ids[k % 92])
        y, x = rng.integers(0, 40, 2)
        images.append(np.ascontiguousarray(image[y : y + 130, x : x + 130]))
    stimuli = rf.StimulusSet.from_arrays(images, [f"cut {k:03d}" for k in range(707)])
    network = rf.load_network("untrained:vgg16-imagenet", device="cpu")
    print(f"{len(network.layers())} layers of VGG16, {len(stimuli)} images, budget {budget}")
    with Memory() as memory:
        before = memory.peak
        time_ours, rdms = timed(lambda: rf.layer_rdms(network, stimuli, budget=budget))
    print(
        f"layer_rdms: {time_ours:.0f} s, resident memory up to {memory.peak:.2f} GB "
        f"({before:.2f} GB before)"
    )
    some = stimuli.ids[::24]
    part = rf.extract(network, stimuli.subset(some), progress=False)
    row, col = np.triu_indices(len(some), k=1)
    worst = 0.0
    for layer, patterns in part.items():
        ours = rdms.sel(layer=layer).subset(some).vectors[0]
        expected = 1 - np.corrcoef(patterns.astype(np.float64))[row, col]
        worst = max(worst, np.abs(ours - expected).max())
    print(f"largest difference from float64, {len(some)} images, all layers: {worst:.1e}")


def write_clip(path: Path, image: np.ndarray, rng: np.random.Generator) -> None:
    """Write 4 s of a window of 130 px that moves over an image in a line."""
    import av

    ends = rng.integers(0, np.array(image.shape[:2]) - 130, (2, 2))
    with av.open(str(path), "w") as container:  # noqa: TID251 (writes)
        stream = container.add_stream("mpeg4", rate=25)
        stream.height = stream.width = 130
        stream.pix_fmt = "yuv420p"
        for k in range(100):
            y, x = (ends[0] + (ends[1] - ends[0]) * k / 99).round().astype(int)
            picture = np.ascontiguousarray(image[y : y + 130, x : x + 130])
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def clips(budget: str, n_clips: int = 707) -> None:
    photographs = rf.datasets.images92().stimuli
    rng = np.random.default_rng(0)
    network = rf.load_network("sface", device="cpu")
    with tempfile.TemporaryDirectory(prefix="rsa-faces-") as folder:
        for k in range(n_clips):
            image = photographs.image(photographs.ids[k % 92])
            write_clip(Path(folder) / f"clip_{k:03d}.mp4", image, rng)
        found = rf.load_clips(folder)
        print(f"{len(network.layers())} layers of sface, {n_clips} clips of 4 s, budget {budget}")
        with Memory() as memory:
            before = memory.peak
            time_ours, rdms = timed(lambda: rf.clip_rdms(network, found, rate=2, budget=budget))
        print(
            f"clip_rdms: {time_ours:.0f} s, resident memory up to {memory.peak:.2f} GB "
            f"({before:.2f} GB before)"
        )
        some = found.ids[:: max(1, n_clips // 20)]
        means: dict[str, list[np.ndarray]] = {}
        for name in some:
            frames = {f"{k:03d}": f for k, f in enumerate(found.frames(name, rate=2))}
            shown = rf.StimulusSet.from_arrays(list(frames.values()), list(frames))
            for layer, patterns in rf.extract(network, shown, progress=False).items():
                means.setdefault(layer, []).append(patterns.astype(np.float64).mean(axis=0))
    row, col = np.triu_indices(len(some), k=1)
    worst = max(
        np.abs(
            rdms.sel(layer=layer).subset(some).vectors[0] - (1 - np.corrcoef(patterns))[row, col]
        ).max()
        for layer, patterns in means.items()
    )
    print(f"largest difference from float64, {len(some)} clips, all layers: {worst:.1e}")


def as_tf32(values: torch.Tensor) -> torch.Tensor:
    """Round to the digits that TF32 has, to the nearest, ties to even."""
    bits = values.contiguous().view(torch.int32)
    return ((bits + 0xFFF + ((bits >> 13) & 1)) & ~0x1FFF).view(torch.float32)


def emulate_tf32(module: torch.nn.Module) -> None:
    """Let the products of convolutions and linear layers be of numbers in TF32, on a processor."""
    for part in module.modules():
        if isinstance(part, (torch.nn.Conv2d, torch.nn.Linear)):
            with torch.no_grad():
                part.weight.copy_(as_tf32(part.weight))
            part.register_forward_pre_hook(lambda _, inputs: (as_tf32(inputs[0]),))


def device(where: str, name: str) -> None:
    """Throughput, bytes moved, agreement with the processor, dependence on the batch."""
    network = rf.load_network(name, device=where)
    gpu = network.device.type == "cuda"
    if not gpu:
        print("no GPU is asked for: these are the processor's numbers, of fewer images")
    photographs = rf.datasets.images92().stimuli
    n = 64 * 8 if gpu else 24
    images = [photographs.image(photographs.ids[k % 92])[k // 92 :] for k in range(n)]
    stimuli = rf.StimulusSet.from_arrays(images, [f"{k:03d}" for k in range(n)])
    kinds = (torch.nn.Conv2d, torch.nn.Linear)
    layers = [name for name, m in network.module.named_modules() if isinstance(m, kinds)]

    def wait() -> None:
        if gpu:
            torch.cuda.synchronize()

    size = 64 if gpu else 8
    batch = network.preprocess(images[:size]).to(network.device)

    def bare() -> None:
        with torch.inference_mode():
            for _ in range(n // size):
                network.module(batch)
        wait()

    def ours() -> rf.Activations:
        return rf.extract(network, stimuli, layers=layers, budget="24GB", progress=False)

    timed(bare)  # libraries choose how they compute
    time_bare, _ = timed(bare, 3)
    time_extract, acts = timed(ours)
    time_rdms, _ = timed(lambda: rf.layer_rdms(network, stimuli, layers=layers, progress=False))
    n_bytes = sum(values.nbytes for values in acts.values())
    some = torch.empty(2**26, device=network.device)  # 256 MB
    time_copy, _ = timed(lambda: (wait(), some.to("cpu", copy=True)), 3)
    for what, seconds in (
        (f"bare passes, batches of {size}", time_bare),
        ("extract, all in memory", time_extract),
        ("layer_rdms", time_rdms),
    ):
        print(f"{what}: {n / seconds:.0f} images/s, {seconds / time_bare:.2f} x the bare pass")
    print(
        f"{len(layers)} layers of {n} images: {n_bytes / 1e9:.2f} GB came from the device, "
        f"{n_bytes / time_extract / 1e9:.2f} GB/s; a copy: {some.nbytes / time_copy / 1e9:.1f} GB/s"
    )
    few = stimuli.subset(stimuli.ids[:8])
    here = rf.load_network(name, device="cpu")
    expected = rf.extract(here, few, layers=layers, progress=False)
    precisions = (
        ("float32", "tf32", "bfloat16") if gpu else ("float32", "bfloat16", "emulated tf32")
    )
    for precision in precisions:
        if precision == "emulated tf32":
            emulate_tf32(network.module)
            precision = "float32"
            print("from here on in TF32, emulated; layers lie in memory in another order:")
        how = {"layers": layers, "precision": precision, "progress": False}
        alone = rf.extract(network, few, batch_size=1, **how)
        among = rf.extract(network, stimuli.subset(stimuli.ids[:size]), batch_size=size, **how)

        def worst(a, b, shown=1) -> float:
            return max(
                np.abs(a[k][:shown] - b[k][:shown]).max() / np.abs(b[k][:shown]).max()
                for k in layers
            )

        print(
            f"{precision}: from the processor's float32 by up to {worst(alone, expected, 8):.1e} "
            "of a layer's largest value; the first image in its batch, from alone by "
            f"{worst(among, alone):.1e} (refused from 1e-3 on, in float32)"
        )


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["resnet50", "vgg16", "clips", "device"])
    parser.add_argument("--budget", default="4GB")
    parser.add_argument("--device", default="auto", help="for `device`: cuda, cpu (default: auto)")
    parser.add_argument("--network", default="untrained:torchvision:resnet50", help="for `device`")
    options = parser.parse_args()
    if options.what == "device":
        device(options.device, options.network)
        raise SystemExit
    {"resnet50": resnet50, "vgg16": vgg16, "clips": clips}[options.what](options.budget)
