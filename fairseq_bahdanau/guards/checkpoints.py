"""Says what a checkpoint may hold, and whether a file is whole."""

import argparse
import ast
import collections
import contextlib
import os
import re
import typing
import zipfile
from typing import Iterator

import torch
from fairseq.data import Dictionary
from fairseq.distributed.utils import _TensorPlaceholder
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.base import ContainerMetadata, Metadata
from omegaconf.errors import OmegaConfBaseException
from omegaconf.nodes import AnyNode

from . import saved_arrays

NEEDLESS = "which no checkpoint of fairseq needs: nothing of it was run"
# Names of options that hold places and titles, which nothing evaluates: a folder may well be called "data (2)".
PLACE = re.compile(
    r"(.*_)?(data|\w*dir|path|file|url|project|model|codes|repo|hash|subset|vocab|json|dict|name|title|prefix|suffix)"
)

# ---------------------------------------------------------------------------------------------- what a file may hold


def allow_fairseq_checkpoints() -> None:
    """Tells PyTorch which classes fairseq puts into checkpoints, so that ``weights_only`` may stay on.

    From PyTorch 2.6 on, ``torch.load`` refuses every class that it was not told of. All named here only hold data; a
    file that holds any other class is still refused. This serves the checkpoints of every fairseq model.
    """
    allowed: list = [argparse.Namespace]  # options of legacy architectures, tasks and optimizers (lstm, adadelta)
    allowed += saved_arrays.stand_ins()  # the meters of --eval-bleu
    # Options and placeholders: what process 0 sends to the others when several resume.
    allowed += [DictConfig, ListConfig, ContainerMetadata, Metadata, AnyNode, _TensorPlaceholder]
    allowed += [dict, list, int, collections.defaultdict]
    allowed += [Dictionary]  # the state of tasks for speech, lists and a dict of words
    if hasattr(typing.Any, "__qualname__"):  # Python 3.10 and later; PyTorch asks for it
        allowed += [typing.Any]
    torch.serialization.add_safe_globals(allowed)


@contextlib.contextmanager
def only_data() -> Iterator[None]:
    """Has every ``torch.load`` within the block refuse what it was not told of.

    That is PyTorch's default since 2.6, but not before, and some versions of fairseq ask for the opposite. A user who
    has set ``TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD`` gets what it promises.
    """
    force, forbid = "TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(force)
    if os.environ.get(forbid, "0").lower() not in ("1", "y", "yes", "true"):
        os.environ[force] = "1"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(force, None)
        else:
            os.environ[force] = before


class Refused(ValueError):
    """Says why a checkpoint is not taken; whoever knows the file's name adds that."""


def require_whole(path: str) -> None:
    """Compares a file with the checksums that PyTorch has written into it, and does not look at when it reads.

    Raises:
        Refused: the file is empty, cut short or damaged
    """
    with open(path, "rb") as file:
        head = file.read(4)
    if not head:
        raise Refused("the file is empty")
    if head != b"PK\x03\x04":
        return  # PyTorch's format before 1.6 has no checksums
    try:
        with zipfile.ZipFile(path) as archive:
            # torch.serialization.set_crc32_options(False) has PyTorch write zeros.
            checked = any(entry.CRC for entry in archive.infolist())
            damaged = archive.testzip() if checked else None
    except Exception as error:  # of a damaged file, zipfile may raise anything
        raise Refused(f"the file is cut short or damaged ({type(error).__name__}: {error})") from error
    if damaged is not None:
        raise Refused(f"the file is damaged: {damaged} in it differs from its checksum")


def require_parameters(state: object) -> dict:
    """Returns the parameters of a checkpoint.

    Raises:
        Refused: it has none
    """
    parameters = state.get("model") if isinstance(state, dict) else None
    if not isinstance(parameters, dict) or not parameters:
        raise Refused("no checkpoint of fairseq: it has no 'model'")
    return parameters


def calls(text: str) -> bool:
    """Whether a text is a Python expression in which something is called."""
    try:
        return any(isinstance(node, ast.Call) for node in ast.walk(ast.parse(text.strip(), mode="eval")))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False


def require_no_code(options: object, name: str = "") -> None:
    """Looks for code in the options of a checkpoint: some models of fairseq evaluate theirs (fconv, wav2vec).

    Raises:
        Refused: there is some; names the option
    """
    if isinstance(options, (DictConfig, ListConfig)):
        try:
            options = OmegaConf.to_container(options, resolve=True)
        except OmegaConfBaseException as error:
            raise Refused(f"its options cannot be resolved: {error}") from error
    if isinstance(options, argparse.Namespace):
        options = vars(options)
    if isinstance(options, dict):
        for key, value in options.items():
            require_no_code(value, str(key))
    elif isinstance(options, (list, tuple)):
        for value in options:
            require_no_code(value, name)
    elif isinstance(options, bytes) or (isinstance(options, str) and not PLACE.fullmatch(name) and calls(options)):
        raise Refused(f"its option {name} is code, {options[:60]!r}, {NEEDLESS}")


def install() -> None:
    """Makes this process load safely."""
    allow_fairseq_checkpoints()
