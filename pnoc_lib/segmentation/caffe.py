"""A timm ResNet laid out as Caffe's, the form in which DeepLabV2 was published (Section 22)."""

from __future__ import annotations

from torch import nn


def like_caffe(model: nn.Module) -> nn.Module:
    """Move strides to the first 1x1 convolutions, pool in ceil mode, and dilate stages from their first block on.

    model: a timm model at output stride 8; changed in place where it is a ResNet of bottlenecks, and returned; others
    are left alone. Weights keep their shapes, so that ImageNet weights still fit.
    Maps of a ResNet-101: 41 x 41 for images of 321 x 321 pixels, 65 for 513, 48 x 63 for 375 x 500.
    """
    stages = [getattr(model, f"layer{number}", None) for number in (1, 2, 3, 4)]
    pool = getattr(model, "maxpool", None)
    if None in stages or not isinstance(pool, nn.MaxPool2d):
        return model
    if not all(hasattr(block, "conv3") and isinstance(block.conv2, nn.Conv2d) for stage in stages for block in stage):
        return model
    pool.ceil_mode = True
    for stage in stages:
        first, *rest = stage
        if first.conv2.stride != (1, 1):
            first.conv1.stride, first.conv2.stride = first.conv2.stride, (1, 1)
        if rest:
            first.conv2.dilation, first.conv2.padding = rest[-1].conv2.dilation, rest[-1].conv2.padding
    return model
