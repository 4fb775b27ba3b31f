"""Vision transformers and ConvNeXt through timm: DINOv2, CLIP, SigLIP, FaRL; trained by users."""

from __future__ import annotations

from dataclasses import replace

from rsa_faces.networks._spec import (
    IMAGENET_INPUT,
    OWN_FILE,
    OWN_LICENCE,
    NetworkSpec,
    Preprocessing,
)

_BLOCKS = tuple(f"blocks.{i}" for i in range(12))
_CLIP_INPUT = Preprocessing(
    size=224,
    fit="crop",
    resize_to=224,
    channels="RGB",
    mean=tuple(255 * m for m in (0.48145466, 0.4578275, 0.40821073)),
    std=tuple(255 * s for s in (0.26862954, 0.26130258, 0.27577711)),
    interpolation="bicubic",
)
_CLIP = NetworkSpec(
    name="clip-vitb16",
    task="images and text",
    architecture="ViT-B/16, image tower of CLIP; class token and 196 patches",
    training_set="WebImageText, 400 million images with text",
    licence="MIT",
    origin="timm vit_base_patch16_clip_quickgelu_224.openai, from its hub",
    citation="Radford A. et al. (2021), CLIP, ICML, arXiv:2103.00020",
    preprocessing=_CLIP_INPUT,
    builder="timm:vit_base_patch16_clip_quickgelu_224.openai",
    layers=("patch_embed", *_BLOCKS, "norm", "head"),
)
_DINO = replace(
    _CLIP,
    name="dinov2-vits14",
    task="none (without labels)",
    architecture="ViT-S/14; class token and 1,369 patches",
    training_set="LVD-142M, 142 million images without labels",
    licence="Apache-2.0",
    origin="timm vit_small_patch14_dinov2.lvd142m, from its hub",
    citation="Oquab M. et al. (2023), DINOv2, TMLR, arXiv:2304.07193",
    preprocessing=replace(IMAGENET_INPUT, size=518, resize_to=518, interpolation="bicubic"),
    builder="timm:vit_small_patch14_dinov2.lvd142m",
    layers=("patch_embed", *_BLOCKS, "norm"),
)
_FACES = replace(
    _CLIP,
    name="vit-faces",
    crop="box",
    crop_margin=0.3,
    crop_source="assumed, as of VGGFace2; your file may have seen other crops",
    task="identity",
    architecture="ViT-B/16; class token and 196 patches",
    training_set="faces, as your file was trained",
    licence=OWN_LICENCE,
    origin=OWN_FILE,
    citation="Dosovitskiy A. et al. (2021), ViT, ICLR, arXiv:2010.11929",
    preprocessing=replace(IMAGENET_INPUT, mean=(127.5,) * 3, std=(127.5,) * 3),
    builder="timm:vit_base_patch16_224",
    weights_help=(
        "Train timm's vit_base_patch16_224 on faces and save its state_dict. The number of outputs "
        "is read from the file. Assumed input: timm's (RGB, shorter side 256, centre of 224, from "
        "-1 to 1)."
    ),
)

SPECS = (
    _DINO,
    replace(
        _DINO,
        name="dinov2-vitb14",
        architecture="ViT-B/14; class token and 1,369 patches",
        origin="timm vit_base_patch14_dinov2.lvd142m, from its hub",
        builder="timm:vit_base_patch14_dinov2.lvd142m",
    ),
    _CLIP,
    replace(
        _CLIP,
        name="siglip-vitb16",
        architecture="ViT-B/16, image tower of SigLIP; 196 patches, pooled by attention",
        training_set="WebLI, images with text",
        licence="Apache-2.0",
        origin="timm vit_base_patch16_siglip_224.webli, from its hub",
        citation="Zhai X. et al. (2023), SigLIP, ICCV, arXiv:2303.15343",
        preprocessing=replace(
            _CLIP_INPUT, fit="stretch", resize_to=None, mean=(127.5,) * 3, std=(127.5,) * 3
        ),
        builder="timm:vit_base_patch16_siglip_224.webli",
        layers=("patch_embed", *_BLOCKS, "norm", "attn_pool"),
    ),
    replace(
        _CLIP,
        name="farl-vitb16",
        task="images of faces and text",
        architecture="ViT-B/16, image tower of FaRL; class token and 196 patches",
        training_set="LAION-Face, 20 or 50 million images with a face and text",
        licence="MIT (code); weights and training set: see the authors' page",
        origin=OWN_FILE,
        citation="Zheng Y. et al. (2022), FaRL, CVPR, arXiv:2112.03109",
        weights_help=(
            "Get 'FaRL-Base-Patch16-LAIONFace20M-ep64.pth' or another of its backbones "
            "(https://github.com/FacePerceiver/FaRL, table 'Pre-trained Backbones'); of its two "
            "towers that of images is taken."
        ),
    ),
    _FACES,
    replace(
        _FACES,
        name="convnext-faces",
        architecture="ConvNeXt-B, 36 blocks in four stages",
        citation="Liu Z. et al. (2022), ConvNeXt, CVPR, arXiv:2201.03545",
        preprocessing=IMAGENET_INPUT,
        builder="timm:convnext_base",
        layers=(
            "stem",
            *(
                f"stages.{s}.blocks.{b}"
                for s, n in enumerate((3, 3, 27, 3))
                for b in range(0, n, 3)
            ),
            "head.global_pool",
            "head.fc",
        ),
        weights_help=(
            "Train timm's convnext_base on faces and save its state_dict. The number of outputs is "
            "read from the file. Assumed input: torchvision's (RGB, shorter side 256, centre of "
            "224, ImageNet's mean and standard deviation)."
        ),
    ),
)


def rename(state: dict) -> dict:
    """Return `state` without the text tower that files of CLIP's form hold."""
    if "visual.conv1.weight" not in state:
        return state
    return {name: value for name, value in state.items() if name.startswith("visual.")}
