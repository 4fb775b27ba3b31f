"""Networks without bundled weights that are plain chains or dense blocks: data, needs no torch."""

from __future__ import annotations

from rsa_faces.networks._spec import NetworkSpec, Preprocessing

_VGG_LAYERS = (
    *(
        name
        for stage, n in enumerate((2, 2, 3, 3, 3), start=1)
        for name in (*(f"relu{stage}_{i}" for i in range(1, n + 1)), f"pool{stage}")
    ),
    "relu6",
    "relu7",
    "fc8",
)
_ALEXNET_LAYERS = (
    "relu1",
    "pool1",
    "relu2",
    "pool2",
    "relu3",
    "relu4",
    "relu5",
    "pool5",
    "relu6",
    "relu7",
    "fc8",
)
_DENSENET_LAYERS = (
    "conv1",
    *(f"dense1.layer{i}" for i in range(1, 4)),
    "trans1",
    *(f"dense2.layer{i}" for i in range(1, 4)),
    "trans2",
    *(f"dense3.layer{i}" for i in range(1, 4)),
    "pool",
    "fc",
)
_SIAMESE_LAYERS = tuple(
    f"embedding.{name}"
    for name in ("relu1", "pool1", "relu2", "pool2", "relu3", "pool3", "relu4", "fc")
)

_TORCHVISION_INPUT = Preprocessing(
    size=224,
    fit="crop",
    resize_to=256,
    channels="RGB",
    mean=tuple(255 * m for m in (0.485, 0.456, 0.406)),
    std=tuple(255 * s for s in (0.229, 0.224, 0.225)),
)
_DENSENET_INPUT = Preprocessing(
    size=48, fit="crop", resize_to=48, channels="L", mean=(0.0,), std=(255.0,)
)

_VGG = "VGG16, 13 convolutions and 3 fully connected layers"
_ALEXNET = "AlexNet, 5 convolutions and 3 fully connected layers (one column, 64 channels first)"
_DENSENET = "DenseNet, three blocks of three 7x7 convolutions, growth 32"
_IMAGENET = "ImageNet-1k, 1.28 million photographs in 1,000 classes"
_VGGFACE2 = "faces, as your file was trained; Jiahui et al. (2023): VGGFace2"
_OWN = "a file of yours; see weights_help"
_VGG_CROP = "assumed, as of VGGFace2: the authors name no margin"
_OWN_CROP = "VGGFace2: the detector's box extended by a factor 0.3"
_OWN_LICENCE = "as your file's"
_TORCHVISION_LICENCE = "BSD-3-Clause (code); weights: see torchvision's page"
_JIAHUI = "Jiahui G. et al. (2023), PNAS 120(44), doi:10.1073/pnas.2304085120"
_SCHWARTZ = (
    "Schwartz E., O'Nell K., Saxe R., Anzellotti S. (2023), Brain Sciences 13:296, "
    "doi:10.3390/brainsci13020296; Huang G. et al. (2017), DenseNet, CVPR, arXiv:1608.06993"
)
_ANY = (
    "The number of outputs is read from the file. Assumed input: torchvision's (RGB, shorter side "
    "256, centre of 224, ImageNet's mean and standard deviation)."
)
_DENSENET_HELP = (
    "The authors' weights are not published: train the network as the paper describes "
    "(https://doi.org/10.3390/brainsci13020296), or ask the authors, and save its state_dict alone "
    "as .pth or .safetensors. The number of outputs is read from the file. Assumed, after the "
    "authors' training script: one grey channel of 48 px from 0 to 1, growth 32, three layers per "
    "block, 7x7 convolutions, half the channels after a transition, average over the first 8x8 "
    "positions of the last map. "
)

SPECS: tuple[NetworkSpec, ...] = (
    NetworkSpec(
        name="vgg16-vggface",
        crop="box",
        crop_margin=0.3,
        crop_source=_VGG_CROP,
        task="identity",
        architecture=_VGG,
        training_set="VGG-Face, 2.6 million photographs of 2,622 identities",
        licence="non-commercial research, Creative Commons Attribution; see the authors' page",
        origin=_OWN,
        citation=(
            "Parkhi O. M., Vedaldi A., Zisserman A. (2015), Deep face recognition, BMVC, "
            "doi:10.5244/C.29.41"
        ),
        preprocessing=Preprocessing(
            size=224,
            fit="crop",
            resize_to=256,
            channels="RGB",
            mean=(129.1863, 104.7624, 93.5940),
            std=(1.0,) * 3,
        ),
        builder="vgg:build_vggface",
        layers=_VGG_LAYERS,
        weights_help=(
            "Get 'vgg_face_dag.pth' (https://www.robots.ox.ac.uk/~albanie/pytorch-models.html), "
            "the authors' MatConvNet network (https://www.robots.ox.ac.uk/~vgg/software/vgg_face/) "
            "in PyTorch form. It takes RGB; conversions of the authors' Caffe or Torch files take "
            "BGR and give wrong activations here."
        ),
    ),
    NetworkSpec(
        name="vgg16-imagenet",
        task="objects",
        architecture=_VGG,
        training_set=_IMAGENET,
        licence=_TORCHVISION_LICENCE,
        origin=_OWN,
        citation="Simonyan K., Zisserman A. (2015), ICLR, arXiv:1409.1556",
        preprocessing=_TORCHVISION_INPUT,
        builder="vgg:build_imagenet",
        layers=_VGG_LAYERS,
        weights_help=(
            "Get torchvision's vgg16, weights IMAGENET1K_V1 "
            "(https://pytorch.org/vision/stable/models/vgg.html)."
        ),
        published=(
            (
                "vgg16-397923af.pth",
                "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
            ),
        ),
    ),
    NetworkSpec(
        name="vgg16-faces",
        crop="box",
        crop_margin=0.3,
        crop_source=_OWN_CROP,
        task="identity",
        architecture=_VGG,
        training_set=_VGGFACE2,
        licence=_OWN_LICENCE,
        origin=_OWN,
        citation=f"{_JIAHUI}; Simonyan K., Zisserman A. (2015), ICLR, arXiv:1409.1556",
        preprocessing=_TORCHVISION_INPUT,
        builder="vgg:build_faces",
        layers=_VGG_LAYERS,
        weights_help=f"Train torchvision's vgg16 on faces and save its state_dict. {_ANY}",
        any_outputs="fc8",
    ),
    NetworkSpec(
        name="alexnet-imagenet",
        task="objects",
        architecture=_ALEXNET,
        training_set=_IMAGENET,
        licence=_TORCHVISION_LICENCE,
        origin=_OWN,
        citation="Krizhevsky A. (2014), One weird trick, arXiv:1404.5997",
        preprocessing=_TORCHVISION_INPUT,
        builder="alexnet:build_imagenet",
        layers=_ALEXNET_LAYERS,
        weights_help=(
            "Get torchvision's alexnet, weights IMAGENET1K_V1 "
            "(https://pytorch.org/vision/stable/models/alexnet.html)."
        ),
        published=(
            (
                "alexnet-owt-7be5be79.pth",
                "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
            ),
            ("alexnet-owt-4df8aa71.pth", "4df8aa71"),
        ),
    ),
    NetworkSpec(
        name="alexnet-faces",
        crop="box",
        crop_margin=0.3,
        crop_source=_OWN_CROP,
        task="identity",
        architecture=_ALEXNET,
        training_set=_VGGFACE2,
        licence=_OWN_LICENCE,
        origin=_OWN,
        citation=f"{_JIAHUI}; Krizhevsky A. (2014), One weird trick, arXiv:1404.5997",
        preprocessing=_TORCHVISION_INPUT,
        builder="alexnet:build_faces",
        layers=_ALEXNET_LAYERS,
        weights_help=f"Train torchvision's alexnet on faces and save its state_dict. {_ANY}",
        any_outputs="fc8",
    ),
    NetworkSpec(
        name="densenet-celeba",
        crop="box",
        crop_margin=0.6,
        crop_source=(
            "the central 178 px of CelebA's aligned photographs, whose eyes are 38 px apart; the "
            "detector's box is 2.9 times that (London)"
        ),
        task="identity",
        architecture=_DENSENET,
        training_set="CelebA, a subset of 1,503 identities",
        licence=_OWN_LICENCE,
        origin=_OWN,
        citation=_SCHWARTZ,
        preprocessing=_DENSENET_INPUT,
        builder="densenet:build_celeba",
        layers=_DENSENET_LAYERS,
        weights_help=_DENSENET_HELP
        + "CelebA's aligned photographs were cut to their central 178 px square first.",
        any_outputs="fc",
    ),
    NetworkSpec(
        name="densenet-fer2013",
        crop="box",
        crop_margin=-0.1,
        crop_source="as mini-xception, which was trained on the same images",
        task="expression",
        architecture=_DENSENET,
        training_set="FER2013, grey faces of 48 px in seven expressions",
        licence=_OWN_LICENCE,
        origin=_OWN,
        citation=_SCHWARTZ,
        preprocessing=_DENSENET_INPUT,
        builder="densenet:build_fer2013",
        layers=_DENSENET_LAYERS,
        outputs=("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"),
        weights_help=_DENSENET_HELP + "`outputs` are FER2013's seven labels in their order.",
        any_outputs="fc",
    ),
    NetworkSpec(
        name="siamese-lfw",
        crop="box",
        crop_margin=1.2,
        crop_source="Huang G. B. et al. (2007), LFW: the detector's square times 2.2",
        task="identity",
        architecture="Siamese network, 4 convolutions and one linear embedding layer",
        training_set="pairs of Labeled Faces in the Wild, same or different person",
        licence=_OWN_LICENCE,
        origin=_OWN,
        citation=(
            "Schwartz E., O'Nell K., Anzellotti S., poster; Koch G., Zemel R., Salakhutdinov R. "
            "(2015), Siamese neural networks, ICML Deep Learning Workshop"
        ),
        preprocessing=Preprocessing(
            size=105, fit="crop", resize_to=105, channels="L", mean=(0.0,), std=(255.0,)
        ),
        builder="siamese:build",
        layers=_SIAMESE_LAYERS,
        weights_help=(
            "No weights are published: scripts/train_siamese.py trains it on the pairs of "
            "http://vis-www.cs.umass.edu/lfw/. Assumed, after Koch et al. "
            "(2015) where the poster is silent: one grey channel of 105 px from 0 to 1. The length "
            "of the embedding is read from the file."
        ),
        any_outputs="embedding.fc",
    ),
)
