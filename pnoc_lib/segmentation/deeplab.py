"""DeepLabV2 and DeepLabV3+ on any timm backbone, in the form that Section 6.3 of the paper trains.

Both have an `encoder` (pretrained, rates x1) and a `head` (new, rates x10). They differ in how they see context:
V2 adds four dilated convolutions and looks at three sizes of the image; V3+ concatenates five views, image pooling
among them, and sharpens them with a map of the first stage.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pnoc_lib import files
from pnoc_lib.engine import backbones, backward, batchnorm
from pnoc_lib.engine.fixed import Encode
from pnoc_lib.segmentation import caffe

ARCHITECTURES = ("deeplabv2", "deeplabv3+")
ASPP_V2 = (6, 12, 18, 24)  # dilations, in positions of the map
ASPP_V3 = (6, 12, 18)
GROUPS = 4  # of every GroupNorm in the head of V3+
LOW_AND_DEEP = (1, -1)  # levels of the backbone: the first stage, of a stride of 4 pixels, and the last


class DeepLab(nn.Module):
    """What both networks are: a pretrained `encoder` with its normalisation, a new `head`, and logits for every class.

    `mean` and `std` (RGB, of values in [0, 1]) are the backbone's own. `stride`: pixels of the deepest map.
    `num_outputs`: background and the classes. `align_corners`: how coarse logits are enlarged.
    """

    architecture: str
    stride: int
    align_corners: bool

    def __init__(self, backbone: str, num_classes: int):
        super().__init__()
        if num_classes < 1:
            raise ValueError(f"num_classes must be at least 1, got {num_classes}: name the classes of the data set")
        self.backbone, self.num_classes, self.num_outputs = backbone, num_classes, num_classes + 1

    @property
    def mean(self) -> tuple[float, ...]:
        return self.encoder.mean

    @property
    def std(self) -> tuple[float, ...]:
        return self.encoder.std

    @property
    def looks(self) -> dict[str, list[float]]:
        """What decides the maps beside weights and backbone, for the identity of what is made with this network."""
        return {}

    def forward(self, images: Tensor, encoder: Encode | None = None) -> list[Tensor]:
        """The logit maps that a training compares with the masks, (N, C + 1, h, w) each; the last one is tested.

        encoder: what gives the maps in place of its own, such as a quick copy of it.
        """
        raise NotImplementedError

    def coarse(self, images: Tensor) -> Tensor:
        """The logits that are tested, as coarse as the network makes them."""
        raise NotImplementedError


class DeepLabV3Plus(DeepLab):
    """DeepLabV3+ (Chen et al., 2018) with the heads of the published code: GroupNorm, plain 3x3 convolutions.

    backbone: a timm model name; its last map has a stride of 16 pixels. num_classes: foreground classes.
    weights: as in `priors.networks.CAMNetwork`. seed: of what is initialised at random.
    width: channels of ASPP and decoder. low_width: channels of the low-level tap. Both must be multiples of 4.
    With ResNeSt-269 and 20 classes: ASPP 15,535,104, decoder 1,309,045, whole 125,724,629 parameters.
    Raises ValueError for widths or a backbone that do not fit.
    """

    architecture, stride, align_corners = "deeplabv3+", 16, True

    def __init__(
        self,
        backbone: str,
        num_classes: int,
        *,
        weights: str = "none",
        width: int = 256,
        low_width: int = 48,
        seed: int = 0,
    ):
        super().__init__(backbone, num_classes)
        if width % GROUPS or low_width % GROUPS or min(width, low_width) < GROUPS:
            raise ValueError(
                f"width and low_width must be multiples of {GROUPS}, the groups of the GroupNorm, got {width} and "
                f"{low_width}: the paper's are 256 and 48"
            )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.encoder = backbones.build_pyramid(backbone, weights, LOW_AND_DEEP, output_stride=self.stride)
            low, deep = self.encoder.channels
            self.head = Head(low, deep, self.num_outputs, width=width, low_width=low_width)
        self.widths = (width, low_width)

    def coarse(self, images: Tensor, encoder: Encode | None = None) -> Tensor:
        """Logits as the decoder leaves them: (N, 3, H, W) normalised -> (N, C + 1, H / 4, W / 4)."""
        return self.head(*(encoder or self.encoder)(images))

    def forward(self, images: Tensor, encoder: Encode | None = None) -> list[Tensor]:
        """One map: (N, 3, H, W) normalised images -> (N, C + 1, H, W), bilinear, corners aligned (Section 23)."""
        coarse = self.coarse(images, encoder).float()
        return [backward.resize(coarse, images.shape[-2:], align_corners=self.align_corners)]


class Head(nn.Module):
    """ASPP and decoder of DeepLabV3+: from a deep and a low-level map to logits at the size of the latter."""

    def __init__(self, low: int, deep: int, outputs: int, *, width: int, low_width: int):
        super().__init__()
        self.aspp = ASPP(deep, width)
        self.tap = _block(low, low_width)
        self.decoder = nn.Sequential(
            _block(width + low_width, width, 3),
            nn.Dropout(0.5),
            _block(width, width, 3),
            nn.Dropout(0.1),
            nn.Conv2d(width, outputs, 1),
        )
        _initialize(self)

    def forward(self, low: Tensor, deep: Tensor) -> Tensor:
        context = F.interpolate(self.aspp(deep), low.shape[-2:], mode="bilinear", align_corners=True)
        return self.decoder(torch.cat([context, self.tap(low)], dim=1))


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling of V3+: 1x1, three dilated 3x3, image pooling; concatenated, projected, dropout.

    torchvision's block of this name has BatchNorm where the published code has GroupNorm, and is otherwise the same.
    """

    def __init__(self, channels: int, width: int, dilations: Sequence[int] = ASPP_V3):
        super().__init__()
        self.views = nn.ModuleList([_block(channels, width), *(_block(channels, width, 3, d) for d in dilations)])
        self.pooling = _block(channels, width)
        self.project = nn.Sequential(_block((len(self.views) + 1) * width, width), nn.Dropout(0.5))

    def forward(self, x: Tensor) -> Tensor:
        whole = self.pooling(x.mean(dim=(-2, -1), keepdim=True)).expand(-1, -1, *x.shape[-2:])  # one value a channel
        return self.project(torch.cat([*(view(x) for view in self.views), whole], dim=1))


class DeepLabV2(DeepLab):
    """DeepLabV2 (Chen et al., 2017): output stride 8, four dilated classifiers added up, BatchNorm never trained.

    backbone, num_classes, weights, seed: as in `DeepLabV3Plus`. A timm ResNet is laid out as Caffe's
    (`caffe.like_caffe`), the form that DeepLabV2 was published in; other backbones keep timm's layout.
    scales: further sizes of the image, as factors of its side; their maps and the pixelwise maximum of all are the
    multi-scale wrapper. Empty for the bare network.
    """

    architecture, stride, align_corners = "deeplabv2", 8, False

    def __init__(
        self,
        backbone: str,
        num_classes: int,
        *,
        weights: str = "none",
        scales: Sequence[float] = (0.75, 0.5),
        seed: int = 0,
    ):
        super().__init__(backbone, num_classes)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.encoder = backbones.build_pyramid(backbone, weights, (-1,), output_stride=self.stride)
            self.head = SummedASPP(self.encoder.channels[-1], self.num_outputs)
        caffe.like_caffe(self.encoder.model)
        self.scales = tuple(scales)
        batchnorm.freeze_batchnorm(self)

    def train(self, mode: bool = True) -> DeepLabV2:
        """As usual, but BatchNorm stays as it is: frozen statistics and affine parameters (Section 22)."""
        super().train(mode)
        batchnorm.freeze_batchnorm(self)
        return self

    @property
    def looks(self) -> dict[str, list[float]]:
        return {"scales at once": list(self.scales)}

    def single(self, images: Tensor, encoder: Encode | None = None) -> Tensor:
        """Logits of one size: (N, 3, H, W) -> (N, C + 1, ceil(H / 8), ceil(W / 8)), one more under Caffe's layout."""
        return self.head((encoder or self.encoder)(images)[-1])

    def forward(self, images: Tensor, encoder: Encode | None = None) -> list[Tensor]:
        """Maps at scale 1, at the other scales, and the maximum of all at the size of the first."""
        first = self.single(images, encoder).float()
        smaller = (_smaller(images, scale) for scale in self.scales)
        others = [self.single(scaled, encoder).float() for scaled in smaller]
        resized = [F.interpolate(o, first.shape[-2:], mode="bilinear", align_corners=False) for o in others]
        return [first, *others, torch.stack([first, *resized]).amax(dim=0)] if others else [first]

    def coarse(self, images: Tensor) -> Tensor:
        """The maximum map: (N, 3, H, W) normalised images -> (N, C + 1, about H / 8, about W / 8)."""
        return self(images)[-1]


def _smaller(images: Tensor, scale: float) -> Tensor:
    """Images at another size, as the published code has it; where no pixel would be left, one."""
    size = [int(scale * side) for side in images.shape[-2:]]
    given = {"scale_factor": scale} if all(size) else {"size": [max(1, side) for side in size]}
    return F.interpolate(images, **given, mode="bilinear", align_corners=False)


class SummedASPP(nn.Module):
    """The classifier of V2: 3x3 convolutions with bias, dilations 6, 12, 18, 24, added up; weights from N(0, 0.01)."""

    def __init__(self, channels: int, outputs: int, dilations: Sequence[int] = ASPP_V2):
        super().__init__()
        self.views = nn.ModuleList(nn.Conv2d(channels, outputs, 3, padding=d, dilation=d) for d in dilations)
        for view in self.views:
            nn.init.normal_(view.weight, std=0.01)
            nn.init.zeros_(view.bias)

    def forward(self, x: Tensor) -> Tensor:
        return sum(view(x) for view in self.views)


def build(architecture: str, backbone: str, num_classes: int, **options) -> DeepLab:
    """The network of that name: "deeplabv2" or "deeplabv3+"; options: of its class. ValueError for another name."""
    if architecture not in ARCHITECTURES:
        raise ValueError(f"unknown architecture {architecture!r}: choose one of {', '.join(ARCHITECTURES)}")
    return (DeepLabV2 if architecture == "deeplabv2" else DeepLabV3Plus)(backbone, num_classes, **options)


def begin_with(network: DeepLab, path: Path | str) -> None:
    """Take the encoder of a network that was trained on labels alone, in place of ImageNet's.

    path: weights of a CAM network of the same backbone. Raises FileNotFoundError when they are missing, ValueError
    when they are of another backbone.
    Beyond the paper: it begins with ImageNet; on a few hundred images the labels' own features save much training.
    """
    tensors, made_of = files.read_tensors(path)
    if made_of.get("backbone") != network.backbone:
        raise ValueError(f"{path} is of backbone {made_of.get('backbone')!r}, the network of {network.backbone!r}")
    wanted = network.encoder.state_dict()
    given = {name.removeprefix("encoder."): tensor for name, tensor in tensors.items()}
    absent = [name for name in wanted if name not in given or given[name].shape != wanted[name].shape]
    if absent:
        raise ValueError(f"{path} lacks {len(absent)} tensors of the encoder, such as {absent[0]}")
    network.encoder.load_state_dict({name: given[name] for name in wanted})


def save_network(network: DeepLab, path: Path | str) -> None:
    """Write the weights as safetensors, with what is needed to build the network again beside them."""
    made_of = {"architecture": network.architecture, "backbone": network.backbone}
    made_of |= {"num_classes": str(network.num_classes)}
    if isinstance(network, DeepLabV3Plus):
        made_of |= {"width": str(network.widths[0]), "low_width": str(network.widths[1])}
    else:
        made_of |= {"scales": ",".join(map(str, network.scales))}
    files.write_tensors(path, network.state_dict(), made_of)


def load_network(path: Path | str) -> DeepLab:
    """Build the network that `save_network` wrote at `path`, in evaluation mode.

    Raises FileNotFoundError when there is none, ValueError when the file is truncated or of another kind.
    """
    tensors, made_of = files.read_tensors(path)
    if "architecture" not in made_of:
        raise ValueError(
            f"{path} is no segmentation network (it names no architecture): give weights of 06_segmentation"
        )
    options: dict = {name: int(made_of[name]) for name in ("width", "low_width") if name in made_of}
    if "scales" in made_of:
        options["scales"] = [float(scale) for scale in made_of["scales"].split(",") if scale]
    network = build(made_of["architecture"], made_of["backbone"], int(made_of["num_classes"]), **options)
    network.load_state_dict(tensors)
    return network.eval()


def _block(channels: int, width: int, side: int = 1, dilation: int = 1) -> nn.Sequential:
    """Convolution without bias, GroupNorm, ReLU."""
    padding = dilation if side == 3 else 0
    conv = nn.Conv2d(channels, width, side, padding=padding, dilation=dilation, bias=False)
    return nn.Sequential(conv, nn.GroupNorm(GROUPS, width), nn.ReLU(inplace=True))


def _initialize(head: nn.Module) -> None:
    for module in head.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
