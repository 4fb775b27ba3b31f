"""Further networks of faces without bundled weights: data, needs no torch."""

from __future__ import annotations

from rsa_faces.networks._spec import NetworkSpec, Preprocessing


def _ir_layers(*depths: int) -> tuple[str, ...]:
    """Return the residual sums, then the embedding before and after its normalisation."""
    sums = (f"layer{s}.{b}" for s, n in enumerate(depths, start=1) for b in range(n))
    return (*sums, "fc", "features")


_IR50_LAYERS = _ir_layers(3, 4, 14, 3)
_IR100_LAYERS = _ir_layers(3, 13, 30, 3)
_INCEPTION_LAYERS = (
    "conv2d_1a",
    "conv2d_2a",
    "conv2d_2b",
    "maxpool_3a",
    "conv2d_3b",
    "conv2d_4a",
    "conv2d_4b",
    *(f"repeat_1.{i}" for i in range(5)),
    "mixed_6a",
    *(f"repeat_2.{i}" for i in range(10)),
    "mixed_7a",
    *(f"repeat_3.{i}" for i in range(5)),
    "block8",
    "avgpool_1a",
    "last_linear",
    "last_bn",
    "embedding",
)
_SENET_LAYERS = (
    "relu",
    "maxpool",
    *(f"layer{s}.{b}" for s, n in enumerate((3, 4, 6, 3), start=1) for b in range(n)),
    "avgpool",
    "fc",
)

_IR_INPUT = Preprocessing(size=112, fit="pad", channels="RGB", mean=(127.5,) * 3, std=(127.5,) * 3)
_INCEPTION_INPUT = Preprocessing(
    size=160, fit="pad", channels="RGB", mean=(127.5,) * 3, std=(128.0,) * 3
)
_SENET_INPUT = Preprocessing(
    size=224,
    fit="crop",
    resize_to=256,
    channels="BGR",
    mean=(91.4953, 103.8827, 131.0912),
    std=(1.0,) * 3,
)

_OWN = "a file of yours; see weights_help"
_ARCFACE_CROP = "the five points of insightface's aligned crop (Deng et al. 2019)"
_FACENET_CROP = (
    "facenet's training (github.com/davidsandberg/facenet): 182 px with 44 px of margin, of which "
    "160 px are cut out"
)
_FORMS = "as .pth, .pt or .safetensors"
_ALIGNED = (
    "Photographs must be aligned to the eyes, nose and mouth, as in training: "
    "rsa_faces.stimuli.faces.crop_faces does it."
)
_ARCFACE = (
    "Deng J., Guo J., Xue N., Zafeiriou S. (2019), ArcFace, CVPR, arXiv:1801.07698, "
    "doi:10.1109/CVPR.2019.00482"
)
_JIAHUI = "Jiahui G. et al. (2023), PNAS 120(44), doi:10.1073/pnas.2304085120"
_SE = "Hu J., Shen L., Sun G. (2018), CVPR, doi:10.1109/CVPR.2018.00745"
_ARCFACE_SET = (
    "as your file was trained: MS1MV3 (5.2 million photographs of 93,000 identities), MS1MV2 "
    "(5.8 million of 87,000) or Glint360K (17.1 million of 360,000)"
)
_ARCFACE_LICENCE = "non-commercial research; see the authors' page"
_FACENET = (
    "Schroff F., Kalenichenko D., Philbin J. (2015), FaceNet, CVPR, arXiv:1503.03832, "
    "doi:10.1109/CVPR.2015.7298682; Szegedy C. et al. (2017), Inception-ResNet, AAAI, "
    "arXiv:1602.07261"
)
_FACENET_PAGE = "https://github.com/timesler/facenet-pytorch, table 'Pretrained models'"
_FACENET_LICENCE = "MIT (code); weights and training set: see the authors' pages"


def _arcface_help(backbone: str, short: str) -> str:
    """Say where InsightFace describes its files."""
    return (
        f"Get the file 'backbone.pth' of a network with backbone '{short}' from InsightFace's "
        "arcface_torch, table 'Model Zoo' "
        "(https://github.com/deepinsight/insightface/tree/master/recognition/arcface_torch), or "
        f"train its '{backbone}' yourself and save the state_dict, {_FORMS}. {_ALIGNED}"
    )


SPECS: tuple[NetworkSpec, ...] = (
    NetworkSpec(
        name="arcface-ir50",
        crop="arcface",
        crop_source=_ARCFACE_CROP,
        task="identity",
        architecture="IR-50, 24 residual blocks with PReLU, 512-d embedding",
        training_set=_ARCFACE_SET,
        licence=_ARCFACE_LICENCE,
        origin=_OWN,
        citation=_ARCFACE,
        preprocessing=_IR_INPUT,
        builder="arcface:build_ir50",
        layers=_IR50_LAYERS,
        weights_help=_arcface_help("iresnet50", "r50"),
    ),
    NetworkSpec(
        name="arcface-ir100",
        crop="arcface",
        crop_source=_ARCFACE_CROP,
        task="identity",
        architecture="IR-100, 49 residual blocks with PReLU, 512-d embedding",
        training_set=_ARCFACE_SET,
        licence=_ARCFACE_LICENCE,
        origin=_OWN,
        citation=f"{_ARCFACE}; {_JIAHUI}",
        preprocessing=_IR_INPUT,
        builder="arcface:build_ir100",
        layers=_IR100_LAYERS,
        weights_help=_arcface_help("iresnet100", "r100"),
    ),
    NetworkSpec(
        name="arcface-ir50-evolve",
        crop="arcface",
        crop_source=_ARCFACE_CROP,
        task="identity",
        architecture="IR-50 with one normalisation fewer in each block, 512-d embedding",
        training_set="MS-Celeb-1M, aligned, as face.evoLVe's page or your file's says",
        licence="MIT (code); weights and training set: see the authors' page",
        origin=_OWN,
        citation=f"{_ARCFACE}; Zhao J., face.evoLVe (2019)",
        preprocessing=_IR_INPUT,
        builder="arcface:build_ir50_plain",
        layers=_IR50_LAYERS,
        weights_help=(
            "Get face.evoLVe's IR-50 for 112 px, 'backbone_ir50_ms1m_epoch120.pth' "
            "(https://github.com/ZhaoJ9014/face.evoLVe), or another network in its form or that "
            "of InsightFace_Pytorch (mode 'ir', 50 layers; names input_layer, body, output_layer), "
            f"{_FORMS}. {_ALIGNED}"
        ),
    ),
    NetworkSpec(
        name="arcface-irse50",
        crop="arcface",
        crop_source=_ARCFACE_CROP,
        task="identity",
        architecture="IR-SE-50, 24 residual blocks with squeeze and excitation, 512-d embedding",
        training_set="MS-Celeb-1M, refined; see the authors' page",
        licence="MIT (code); weights and training set: see the authors' page",
        origin=_OWN,
        citation=f"{_ARCFACE}; {_SE}",
        preprocessing=_IR_INPUT,
        builder="arcface:build_ir50_se",
        layers=_IR50_LAYERS,
        weights_help=(
            "Get 'model_ir_se50.pth' of InsightFace_Pytorch "
            "(https://github.com/TreB1eN/InsightFace_Pytorch, 'Pretrained Models'), or another "
            f"network in its form (mode 'ir_se', 50 layers), {_FORMS}. {_ALIGNED} Its authors "
            "divide the last layer by its length; here it is left as it is."
        ),
    ),
    NetworkSpec(
        name="inception-resnet-vggface2",
        crop="box",
        crop_margin=0.16,
        crop_source=_FACENET_CROP,
        task="identity",
        architecture="Inception-ResNet-v1, 512-d embedding of length 1",
        training_set="VGGFace2, the 8,631 identities for training",
        licence=_FACENET_LICENCE,
        origin=_OWN,
        citation=f"{_FACENET}; Cao Q. et al. (2018), VGGFace2, FG, doi:10.1109/FG.2018.00020",
        preprocessing=_INCEPTION_INPUT,
        builder="inception_resnet:build_vggface2",
        layers=_INCEPTION_LAYERS,
        weights_help=(
            f"Get '20180402-114759-vggface2.pt' of facenet-pytorch ({_FACENET_PAGE}), {_FORMS}. "
            "Photographs should be cut to the face with a small margin."
        ),
        published=(
            (
                "20180402-114759-vggface2.pt",
                "281cebca8662831adb987a874bdcb36e73f5b1c6dc5ee5878f305e985625d99b",
            ),
        ),
    ),
    NetworkSpec(
        name="inception-resnet-casia",
        crop="box",
        crop_margin=0.16,
        crop_source=_FACENET_CROP,
        task="identity",
        architecture="Inception-ResNet-v1, 512-d embedding of length 1",
        training_set="CASIA-WebFace, 10,575 identities",
        licence=_FACENET_LICENCE,
        origin=_OWN,
        citation=f"{_FACENET}; Yi D. et al. (2014), CASIA-WebFace, arXiv:1411.7923",
        preprocessing=_INCEPTION_INPUT,
        builder="inception_resnet:build_casia",
        layers=_INCEPTION_LAYERS,
        weights_help=(
            f"Get '20180408-102900-casia-webface.pt' of facenet-pytorch ({_FACENET_PAGE}), "
            f"{_FORMS}. Photographs should be cut to the face with a small margin."
        ),
    ),
    NetworkSpec(
        name="senet50-vggface2",
        crop="box",
        crop_margin=0.3,
        crop_source="Cao Q. et al. (2018), VGGFace2: the detector's box extended by a factor 0.3",
        task="identity",
        architecture="SE-ResNet-50, stride in the first 1x1 convolution, ceil-mode pooling",
        training_set=(
            "VGGFace2, the 8,631 identities for training; 'senet50_ft' on MS-Celeb-1M before"
        ),
        licence="see the authors' page",
        origin=_OWN,
        citation=f"Cao Q. et al. (2018), VGGFace2, FG, doi:10.1109/FG.2018.00020; {_SE}",
        preprocessing=_SENET_INPUT,
        builder="se_resnet:build",
        layers=_SENET_LAYERS,
        weights_help=(
            "Get the SE-ResNet-50 'senet50_ft' or 'senet50_scratch' that the VGGFace2 authors "
            "trained (https://www.robots.ox.ac.uk/~vgg/data/vgg_face2/), in its PyTorch form: "
            ".pkl, .pth or .safetensors (https://github.com/cydonia999/VGGFace2-pytorch, table "
            "'Pretrained models'). Not the variants with 128 or 256 features."
        ),
    ),
)
