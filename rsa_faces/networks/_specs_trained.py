"""Networks that this project trained itself: data, needs no torch."""

from __future__ import annotations

from rsa_faces.networks._spec import NetworkSpec, Preprocessing

#: Made by ``OMP_NUM_THREADS=1 python scripts/train_siamese.py --orl PATH --out FOLDER``; measured
#: by scripts/demo_training.py. A small example: it has seen 30 people, and is hardly better than
#: plain pixels at telling others apart (weights/siamese-orl.LICENSE.txt has the numbers).
SPECS: tuple[NetworkSpec, ...] = (
    NetworkSpec(
        name="siamese-orl",
        crop="box",
        crop_source="photographs it was trained on: their square is 0.99 times the detector's box",
        task="identity",
        architecture=(
            "Siamese network, 4 convolutions (16 to 64 channels), linear 256-d embedding"
        ),
        training_set=(
            "a small example: 300 photographs of 30 people, the first of the AT&T/ORL Database of "
            "Faces; pairs, same or different person"
        ),
        licence="BSD-3-Clause",
        origin="rsa-faces, scripts/train_siamese.py --orl",
        citation=(
            "Samaria F., Harter A. (1994), WACV, doi:10.1109/ACV.1994.341300 (faces: AT&T "
            "Laboratories Cambridge); Koch G., Zemel R., Salakhutdinov R. (2015), Siamese neural "
            "networks, ICML Deep Learning Workshop"
        ),
        preprocessing=Preprocessing(
            size=105, fit="crop", resize_to=105, channels="L", mean=(0.0,), std=(255.0,)
        ),
        builder="siamese:build_orl",
        layers=tuple(
            f"embedding.{name}"
            for name in ("relu1", "pool1", "relu2", "pool2", "relu3", "pool3", "relu4", "fc")
        ),
        weights="siamese-orl.safetensors",
        sha256="f0bacc3f60517bba6e02c969549b5c24496bf4dfd4c0d97b0399d27c29ecdac2",
    ),
)
