"""Averages the parameters of several checkpoints into one: ``python -m fairseq_bahdanau.cli.average --help``.

Options and result are those of fairseq's ``scripts/average_checkpoints.py``, which the fairseq wheels leave out. The
checkpoints may be of any fairseq model.
"""

import argparse
import os
from typing import Dict, List, Optional

import torch
from fairseq.checkpoint_utils import checkpoint_paths, torch_persistent_save
from torch import Tensor

import fairseq_bahdanau  # noqa: F401  names to torch.load what a checkpoint may hold
from fairseq_bahdanau.cli import new_parser, run_and_print


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


def average(paths: List[str]) -> dict:
    """Returns the first file's checkpoint with every parameter replaced by its mean over all files.

    Means are computed in float32 or wider.

    Raises:
        ValueError: a file whose parameters have other names or shapes
    """
    result: dict = {}
    totals: Dict[str, Tensor] = {}
    for path in paths:
        checkpoint = torch.load(path, map_location="cpu")
        parameters = checkpoint["model"]
        if not result:
            result = checkpoint
        elif {name: p.shape for name, p in parameters.items()} != {name: t.shape for name, t in totals.items()}:
            raise ValueError(f"--inputs: {path} has other parameters than {paths[0]}")
        for name, parameter in parameters.items():
            wide = parameter.float() if parameter.dtype in (torch.float16, torch.bfloat16) else parameter.clone()
            totals[name] = totals[name] + wide if name in totals else wide
    result["model"] = {
        name: total / len(paths) if total.is_floating_point() else total // len(paths) for name, total in totals.items()
    }
    return result


def run(args: argparse.Namespace) -> List[str]:
    """Averages and writes the checkpoint; returns a line that says of which files.

    Raises:
        ValueError: a missing file, fewer checkpoints than asked for, or those of different models
    """
    paths = select(args.inputs, args.num_epoch_checkpoints, args.num_update_checkpoints, args.checkpoint_upper_bound)
    checkpoint = average(paths)
    os.makedirs(os.path.dirname(os.path.abspath(args.output)), exist_ok=True)
    torch_persistent_save(checkpoint, args.output)
    return [f"averaged {len(paths)} checkpoints into {args.output}: {' '.join(paths)}"]


def get_parser() -> argparse.ArgumentParser:
    """Makes the parser of the command line, whose options are named as in fairseq's script."""
    parser = new_parser("average", __doc__.split("\n")[0])
    parser.add_argument("--inputs", required=True, nargs="+", help="checkpoint files, or a directory of them")
    parser.add_argument("--output", required=True, metavar="FILE", help="where the averaged checkpoint goes")
    newest = parser.add_mutually_exclusive_group()
    newest.add_argument("--num-epoch-checkpoints", type=int, default=0, help="average this many newest checkpointN.pt")
    newest.add_argument("--num-update-checkpoints", type=int, default=0, help="or this many newest checkpoint_E_N.pt")
    parser.add_argument("--checkpoint-upper-bound", type=int, default=0, help="leave out a greater epoch or update N")
    return parser


def main(arguments: Optional[List[str]] = None) -> None:
    """Averages checkpoints as the command line says (``arguments``, or the program's own)."""
    run_and_print(get_parser(), run, arguments)


if __name__ == "__main__":
    main()
