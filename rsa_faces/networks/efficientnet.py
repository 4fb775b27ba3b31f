"""EfficientNet-Lite0, trained on ImageNet: the object-trained control."""

from __future__ import annotations

from torch import nn


def build() -> nn.Module:
    """Return the network without its weights.

    timm's ``tf_efficientnet_lite0``: the weights were converted from TensorFlow, whose "same"
    padding is not symmetric and whose batch normalisation adds 1e-3 (``efficientnet_lite0`` of
    timm has the same parameters, pads symmetrically and adds 1e-5: other activations).
    """
    import timm

    return timm.create_model("tf_efficientnet_lite0", pretrained=False)
