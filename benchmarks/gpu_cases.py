"""Paths, precisions, sizes and layouts that are compared on a GPU are listed here, and made into modules and inputs."""

import copy
import functools
import importlib.util
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

import torch
from batches import make_dictionary
from gpu_report import Setting
from omegaconf import OmegaConf
from systems import LIMITS
from torch import Tensor, nn

from fairseq_bahdanau.decoder import BahdanauDecoder
from fairseq_bahdanau.fused import Fused
from fairseq_bahdanau.model import BahdanauConfig, BahdanauModel, build_decoder

# Every path by what it gives a decoder and an encoder of an order as ``fused``: None is the readable code.
PATHS: Dict[str, Callable[[str], Optional[Any]]] = {
    "reference": lambda order: None,
    "fused": Fused,
}
if importlib.util.find_spec("triton") is not None and torch.cuda.is_available():
    PATHS["triton"] = functools.partial(Fused, in_triton=True)
FAST = [path for path in PATHS if path != "reference"]
ORDERS = ("look-update-generate", "update-look-generate", "update-look-update-generate")


class Precision(NamedTuple):
    """Names a type, and whether autocast brings a float32 module to it or the module has it."""

    name: str
    dtype: torch.dtype
    autocast: bool = False

    def of_module(self) -> torch.dtype:
        """Returns the type of the parameters."""
        return torch.float32 if self.autocast else self.dtype

    def eps(self) -> float:
        """Returns the distance from 1 to the next number of this type."""
        return torch.finfo(self.dtype).eps

    def cast(self, device: torch.device) -> torch.autocast:
        """Returns the autocast of the forward pass; it does nothing where the module has the type."""
        dtype = self.dtype if self.autocast else torch.bfloat16
        return torch.autocast(device.type, dtype=dtype, enabled=self.autocast)


EXACT = Precision("float64", torch.float64)
MODULES = [
    Precision("fp32", torch.float32),
    Precision("fp16", torch.float16),
    Precision("bf16", torch.bfloat16),
]
AUTOCAST_FP16 = Precision("autocast-fp16", torch.float16, autocast=True)
AUTOCAST_BF16 = Precision("autocast-bf16", torch.bfloat16, autocast=True)


def precisions(setting: Setting) -> List[Precision]:
    """Returns all precisions of a device."""
    return [*MODULES, *([AUTOCAST_FP16] if setting.on_gpu else []), AUTOCAST_BF16]


class Size(NamedTuple):
    """Holds the sizes of a decoder, how often inputs are drawn, and what is added to v.

    The ratio of two errors of few numbers is chance, so small sizes need more draws. A shift makes the sum of v large.
    """

    embed: int
    encoder: int
    hidden: int
    attention: int
    draws: int = 1
    shift: float = 0.0


# Sizes that no tensor core likes, usual ones, and those of the paper. The shifted one is left out of a quick check.
SIZES = {
    "hidden-6": Size(7, 5, 6, 9, draws=4),
    "hidden-40": Size(33, 36, 40, 44, draws=3),
    "hidden-512": Size(256, 256, 512, 512),
    "hidden-512-shifted-v": Size(256, 256, 512, 512, shift=0.05),
    "hidden-1000": Size(620, 1000, 1000, 1000),
}
QUICK = ("hidden-40",)


class Layout(NamedTuple):
    """Holds the rows of a source, a dot where padding stands, and the number of target words."""

    rows: Tuple[str, ...]
    tgt_len: int = 6


LAYOUTS = {
    "no padding": Layout(("wwwwwwww",) * 3),
    "right": Layout(("wwwwwwww", "www.....", "w.......", "wwwww...")),
    "left": Layout(("wwwwwwww", ".....www", ".......w", "...wwwww")),
    "middle": Layout(("w.ww.w.w", "..w.w...", "w......w", ".w...w..")),
    "all padding": Layout(("wwww....", "........", "....wwww")),
    "one source word": Layout(("w", "w", "w")),
    "one target word": Layout(("wwwwwwww", "www.....", ".....www", "wwwwwww."), tgt_len=1),
    "long": Layout(("w" * 24, "w" * 3 + "." * 21), tgt_len=8),
}


def rounded(tensor: Tensor) -> Tensor:
    """Rounds to numbers that every precision has, so that an error is one of the computation."""
    return tensor.bfloat16().half().float()


def config(size: Size, order: str) -> BahdanauConfig:
    """Makes the options of a model of these sizes, without dropout."""
    return OmegaConf.structured(
        BahdanauConfig(
            encoder_embed_dim=size.embed,
            encoder_hidden_size=size.encoder,
            decoder_embed_dim=size.embed,
            decoder_hidden_size=size.hidden,
            attention_dim=size.attention,
            maxout_dim=size.embed,
            dropout=0.0,
            decoder_order=order,
            recurrence="reference",
            **LIMITS,
        )
    )


def fill(module: nn.Module, shift: float = 0.0) -> None:
    """Gives every parameter random numbers of a size at which mistakes show."""
    generator = torch.Generator().manual_seed(3)
    for name, parameter in module.named_parameters():
        drawn = torch.randn(parameter.shape, generator=generator)
        if name.endswith("energy"):
            drawn = drawn * 2 * parameter.numel() ** -0.5 + shift
        else:
            drawn = drawn * (parameter.size(1) ** -0.5 if parameter.dim() == 2 else 0.3)
        parameter.data.copy_(rounded(drawn))


def make_decoder(size: Size, order: str) -> BahdanauDecoder:
    """Makes a readable decoder, in training."""
    dictionary = make_dictionary(16)
    decoder = build_decoder(config(size, order), dictionary, nn.Embedding(len(dictionary), size.embed))
    fill(decoder, size.shift)
    return decoder.train()


def along(path: str, order: str, module: nn.Module, precision: Precision, device: torch.device) -> nn.Module:
    """Returns a copy of a decoder, an encoder or a model that takes this path."""
    twin = copy.deepcopy(module).to(device, precision.of_module())
    parts = [twin.encoder, twin.decoder] if isinstance(twin, BahdanauModel) else [twin]
    for part in parts:
        part.fused = PATHS[path](order)
        if part.fused is not None and isinstance(part, BahdanauDecoder) and not part.fused.covers(part):
            raise RuntimeError(f"{path} does not cover this decoder")
    return twin


def random_inputs(size: Size, layout: Layout, draw: int) -> Dict[str, Tensor]:
    """Draws what a decoder's loop reads, and the gradients of what it returns."""
    generator = torch.Generator().manual_seed(5 + draw)
    batch, src_len, tgt_len, annotation = len(layout.rows), len(layout.rows[0]), layout.tgt_len, 2 * size.encoder
    shapes = {
        "embedded": (batch, tgt_len, size.embed),
        "state": (batch, size.hidden),
        "context": (batch, annotation),
        "annotations": (batch, src_len, annotation),
        "by states": (batch, tgt_len, size.hidden),
        "by contexts": (batch, tgt_len, annotation),
        "by attention": (batch, tgt_len, src_len),
    }
    drawn = {name: rounded(torch.randn(shape, generator=generator)) for name, shape in shapes.items()}
    drawn["state"] = rounded(drawn["state"].tanh())
    mask = torch.tensor([[place == "." for place in row] for row in layout.rows])
    drawn["annotations"].masked_fill_(mask.unsqueeze(2), 0.0)
    return {**drawn, "padding_mask": mask}
