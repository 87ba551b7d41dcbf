"""Averages the parameters of several checkpoints into one: ``python -m fairseq_bahdanau.cli.average --help``.

Options and result are those of fairseq's ``scripts/average_checkpoints.py``, which the fairseq wheels leave out. The
checkpoints may be of any fairseq model.
"""

import argparse
import os
from typing import Any, Dict, List, Optional

import torch
from fairseq.checkpoint_utils import checkpoint_paths
from fairseq.models import ARCH_MODEL_NAME_REGISTRY
from torch import Tensor

import fairseq_bahdanau.plugin  # noqa: F401  the guards
from fairseq_bahdanau.cli import new_parser, run_and_print
from fairseq_bahdanau.guards.dictionaries import NAME, other_side
from fairseq_bahdanau.guards.loading import read
from fairseq_bahdanau.guards.saving import save_atomically

FAMILY = "bigru_bahdanau_maxout"
# What a member of the family is by, beside the shapes of its parameters.
STRUCTURE = (
    *("cell", "gru_reset", "context", "decoder_order", "attention_score", "attention", "hard_attention_top_k"),
    *("maxout_pool_size", "encoder_bidirectional", "encoder_layers"),
)


def select(inputs: List[str], epochs: int, updates: int, upper_bound: int) -> List[str]:
    """Chooses the checkpoint files to average.

    Args:
        inputs: files, or one directory when ``epochs`` or ``updates`` is not 0
        epochs: take this many newest ``checkpointN.pt``
        updates: or this many newest ``checkpoint_E_N.pt``
        upper_bound: none with a greater N (0: no bound)

    Raises:
        ValueError: a missing file, or fewer checkpoints than asked for
    """
    if not epochs and not updates:
        for path in inputs:
            if os.path.isdir(path):
                raise ValueError(f"--inputs: {path} is a folder: name its files, or give --num-epoch-checkpoints N")
            if not os.path.isfile(path):
                raise ValueError(f"--inputs: no such file: {path}")
        return inputs
    if len(inputs) != 1 or not os.path.isdir(inputs[0]):
        raise ValueError(
            "--inputs must be one existing directory with --num-epoch-checkpoints or --num-update-checkpoints"
        )
    wanted, option = (epochs, "epoch") if epochs else (updates, "update")
    number = r"(\d+)" if epochs else r"\d+_(\d+)"
    found = checkpoint_paths(inputs[0], pattern=rf"checkpoint_?{number}\.pt", keep_match=True)
    paths = [path for path, last in found if not upper_bound or last <= upper_bound]
    if len(paths) < wanted:
        raise ValueError(f"--num-{option}-checkpoints {wanted}: {inputs[0]} has only {len(paths)} such checkpoints")
    return paths[:wanted]


def require_alike(path: str, parameters: Dict[str, Tensor], first: str, totals: Dict[str, Tensor]) -> None:
    """Checks that a checkpoint has the parameters of the first one, and that they are numbers.

    Raises:
        ValueError: other names or shapes, or a parameter that holds NaN; names the file and the parameter
    """
    for name in {**totals, **parameters}:
        one, other = (list(side[name].shape) if name in side else "missing" for side in (parameters, totals))
        if one != other:
            raise ValueError(f"--inputs: {path} has other parameters than {first}: {name} is {one} in place of {other}")
    for name, parameter in parameters.items():
        if not parameter.isfinite().all():
            raise ValueError(f"--inputs: {path}: {name} holds NaN or infinity: this checkpoint's training has failed")


def structure_of(checkpoint: dict) -> Dict[str, Any]:
    """Returns the options of a model of this package that say what its parameters mean; none of another model."""
    model = (checkpoint.get("cfg") or {}).get("model")
    options = vars(model) if isinstance(model, argparse.Namespace) else dict(model or {})
    named = ARCH_MODEL_NAME_REGISTRY.get(options.get("_name") or options.get("arch"))
    return {} if named != FAMILY else {name: str(value) for name, value in options.items() if name in STRUCTURE}


def require_same_structure(path: str, found: Dict[str, Any], first: str, wanted: Dict[str, Any]) -> None:
    """Checks that parameters of one name and shape mean the same in two checkpoints.

    Raises:
        ValueError: they are of different members of the family; names the file and the option
    """
    for name, value in wanted.items():
        if name in found and found[name] != value:
            flag = f"--{name.replace('_', '-')}"
            raise ValueError(f"--inputs: {path} has {flag} {found[name]}, and {first} {flag} {value}")


def average(paths: List[str]) -> dict:
    """Returns the first file's checkpoint with every parameter replaced by its mean over all files.

    Means are computed in float32 or wider.

    Raises:
        ValueError: a file that is no checkpoint, or whose parameters or dictionaries are others
    """
    result: dict = {}
    totals: Dict[str, Tensor] = {}
    dictionaries: Optional[Tensor] = None
    for path in paths:
        checkpoint = read(path)
        parameters = checkpoint["model"]
        record = parameters.pop(NAME, None)  # older checkpoints have none
        side = None if record is None or dictionaries is None else other_side(record, dictionaries)
        if side is not None:
            raise ValueError(f"--inputs: {path} was trained with another {side} dictionary than those before it")
        dictionaries = dictionaries if record is None else record
        result = result or checkpoint
        require_alike(path, parameters, paths[0], totals or parameters)
        require_same_structure(path, structure_of(checkpoint), paths[0], structure_of(result))
        for name, parameter in parameters.items():
            wide = parameter.float() if parameter.dtype in (torch.float16, torch.bfloat16) else parameter.clone()
            totals[name] = totals[name] + wide if name in totals else wide
    result["model"] = {
        name: total / len(paths) if total.is_floating_point() else total // len(paths) for name, total in totals.items()
    }
    if dictionaries is not None:
        result["model"][NAME] = dictionaries
    return result


def save(checkpoint: dict, path: str) -> None:
    """Writes a checkpoint, which is afterwards complete or as before; makes its folder.

    Raises:
        ValueError: it cannot be written; begins with the option
    """
    try:
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        save_atomically(checkpoint, path)
    except OSError as error:
        raise ValueError(f"--output {path}: {error.strerror or error}") from error


def run(args: argparse.Namespace) -> List[str]:
    """Averages and writes the checkpoint; returns a line that says of which files.

    Raises:
        ValueError: an option out of range, a missing file, fewer checkpoints than asked for, or those of other models
    """
    for option in ("num_epoch_checkpoints", "num_update_checkpoints", "checkpoint_upper_bound"):
        number = getattr(args, option)
        if number is not None and number < 1:
            raise ValueError(f"--{option.replace('_', '-')} must be at least 1, not {number}")
    if os.path.exists(args.output) and not os.path.isfile(args.output):
        raise ValueError(f"--output {args.output}: there is something of this name that is not a file")
    if args.checkpoint_upper_bound is not None and not (args.num_epoch_checkpoints or args.num_update_checkpoints):
        raise ValueError("--checkpoint-upper-bound needs --num-epoch-checkpoints or --num-update-checkpoints")
    bounds = (args.num_epoch_checkpoints or 0, args.num_update_checkpoints or 0, args.checkpoint_upper_bound or 0)
    paths = select(args.inputs, *bounds)
    if os.path.realpath(args.output) in map(os.path.realpath, paths):
        raise ValueError(f"--output {args.output} is one of the checkpoints to average")
    save(average(paths), args.output)
    return [f"averaged {len(paths)} checkpoints into {args.output}: {' '.join(paths)}"]


def get_parser() -> argparse.ArgumentParser:
    """Makes the parser of the command line, whose options are named as in fairseq's script."""
    parser = new_parser("average", __doc__.split("\n")[0])
    parser.add_argument("--inputs", required=True, nargs="+", help="checkpoint files, or a directory of them")
    parser.add_argument("--output", required=True, metavar="FILE", help="where the averaged checkpoint goes")
    newest = parser.add_mutually_exclusive_group()
    newest.add_argument("--num-epoch-checkpoints", type=int, help="average this many newest checkpointN.pt")
    newest.add_argument("--num-update-checkpoints", type=int, help="or this many newest checkpoint_E_N.pt")
    parser.add_argument("--checkpoint-upper-bound", type=int, help="leave out a greater epoch or update N")
    return parser


def main(arguments: Optional[List[str]] = None) -> None:
    """Averages checkpoints as the command line says (``arguments``, or the program's own)."""
    run_and_print(get_parser(), run, arguments)


if __name__ == "__main__":
    main()
