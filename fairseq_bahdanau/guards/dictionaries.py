"""A model remembers by the functions here with which dictionaries it was trained, and refuses others."""

import hashlib
from typing import Dict, Optional

import torch
from fairseq.data import Dictionary
from torch import Tensor

# fairseq's moving average of the parameters (--store-ema) leaves alone what has "version" in its name, and would fail
# at any other tensor of whole numbers.
NAME = "dictionaries_version"
SIDES = ("source", "target")

fairseq_add_from_file = Dictionary.add_from_file


def checksums(source: Dictionary, target: Dictionary) -> Tensor:
    """Returns the SHA-256 of the words of both dictionaries in their order, ``(2, 32)``.

    A byte is an int64, so that whoever averages the tensors of several checkpoints gets the same number again.
    """
    words = ("\n".join(side.symbols).encode("utf-8", "surrogatepass") for side in (source, target))
    return torch.tensor([list(hashlib.sha256(one).digest()) for one in words])


def other_side(saved: Tensor, own: Tensor) -> Optional[str]:
    """Returns which dictionary two results of :func:`checksums` do not share; None: they share both."""
    for side, one, other in zip(SIDES, saved.double().round().tolist(), own.tolist()):
        if one != other:
            return side
    return None


def require_same(state_dict: Dict[str, Tensor], own: Tensor, source: Dictionary, target: Dictionary) -> None:
    """Checks that a model's parameters were trained with the dictionaries of the data.

    Args:
        state_dict: of the checkpoint; where it is older than this record, ``own`` is put in its place
        own: what :func:`checksums` returns for the data
        source, target: the dictionaries of the data

    Raises:
        ValueError: another dictionary; says which, and the sizes
    """
    side = other_side(state_dict.setdefault(NAME, own), own)
    if side is None:
        return
    sizes = {"source": len(source), "target": len(target)}
    trained = state_dict.get({"source": "encoder", "target": "decoder"}[side] + ".embed_tokens.weight")
    had = "" if trained is None else f" of {trained.size(0)} words"
    raise ValueError(
        f"it was trained with another {side} dictionary{had} than that of the data, of {sizes[side]} words: give the "
        "data folder of its training, or preprocess the data with the dictionaries from there (--srcdict, --tgtdict)"
    )


def add_from_file(self: Dictionary, f: object) -> None:
    """Stands in for the method by which fairseq's ``Dictionary`` reads a file: the same, but complaints name the file.

    Raises:
        ValueError: the file is no dictionary, or damaged
    """
    try:
        fairseq_add_from_file(self, f)
    except OSError:
        raise
    except Exception as error:  # fairseq raises ValueError, RuntimeError and Exception
        if not isinstance(f, str):  # of a file that is open already; the call with its name is under way
            raise
        raise ValueError(f"dictionary {f}: {' '.join(str(error).split())[:200]}") from error


def install() -> None:
    """Has this process read dictionaries by the function above."""
    Dictionary.add_from_file = add_from_file
