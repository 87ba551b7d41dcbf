"""Functions here load checkpoints in place of fairseq's, and refuse by name, in one line, what cannot be loaded."""

import contextlib
import pickle
import re
from typing import Iterator, List, Optional

import torch
from fairseq import checkpoint_utils
from fairseq.file_io import PathManager
from fairseq.trainer import Trainer

from .checkpoints import NEEDLESS, Refused, only_data, require_no_code, require_parameters, require_whole

fairseq_load_to_cpu = checkpoint_utils.load_checkpoint_to_cpu
fairseq_load_ema = checkpoint_utils.load_ema_from_checkpoint
fairseq_load_ensemble = checkpoint_utils.load_model_ensemble_and_task
fairseq_resume = Trainer.load_checkpoint
GUESS = "the file is damaged, or no checkpoint of fairseq"

# -------------------------------------------------------------------------------------------------- what is wrong


def asked_for(error: pickle.UnpicklingError) -> Optional[str]:
    """Returns the class or function that a file asked for and PyTorch refused; None: another error."""
    found = re.search(r"GLOBAL ([\w.]+)|(?:function|got) <(?:class |function |built-in \S+ )'?([\w.]+)", str(error))
    return None if found is None else found.group(1) or found.group(2)


def reason(path: str, error: BaseException, guess: str) -> str:
    """Says in one line why a checkpoint cannot be loaded.

    Args:
        path: the file
        error: what loading it raised
        guess: what an error most likely means that nobody foresaw
    """
    text = " ".join(str(error).split())
    if isinstance(error, Refused):
        return text
    if isinstance(error, OSError) and (error.strerror or text.startswith("Model file not found")):
        place = "" if error.filename in (None, path) else f"{error.filename}: "
        return f"{place}{error.strerror or 'no such file'}"
    name = asked_for(error) if isinstance(error, pickle.UnpicklingError) else None
    if name is not None:
        return f"it asks for {name}, {NEEDLESS}"
    if "Error(s) in loading state_dict" in text:
        first, *others = [" ".join(line.split()) for line in str(error).split("\n")[1:] if line.strip()]
        more = f", and {len(others)} differences more" if others else ""
        return f"its parameters are not those of the model that the options describe: {first.rstrip('.')[:250]}{more}"
    if text.startswith("Could not infer task type") or (isinstance(error, KeyError) and "_name" in text):
        return "its task or architecture is not known here: give the --user-dir of its training"
    if guess:  # PyTorch's own text is about its options, and long
        return f"{guess} ({type(error).__name__})"
    return text[:250] if isinstance(error, (ValueError, AssertionError)) else f"{type(error).__name__}: {text[:250]}"


@contextlib.contextmanager
def naming(path: str, guess: str = "") -> Iterator[None]:
    """Turns every error that leaves the block into a ValueError of one line that names a checkpoint.

    Args:
        path: the file
        guess: as :func:`reason` takes it
    """
    try:
        yield
    except Exception as error:  # torch.load of a damaged file may raise anything
        if type(error) is ValueError and str(error).startswith("cannot load "):
            raise
        raise ValueError(f"cannot load {path}: {reason(path, error, guess)}") from error


# ----------------------------------------------------------------------------------- loading, in place of fairseq's


def read(path: str) -> dict:
    """Reads a checkpoint of any fairseq model, and checks no more than that its parameters are tensors.

    Raises:
        ValueError: it cannot be loaded; names the file
    """
    with naming(path, GUESS), only_data():
        require_whole(path)
        state = torch.load(path, map_location="cpu")
        for name, parameter in require_parameters(state).items():
            if not isinstance(parameter, torch.Tensor):
                raise Refused(f"no checkpoint of fairseq: its {name} is no tensor")
        return state


def load_to_cpu(path: str, arg_overrides: Optional[dict] = None, load_on_all_ranks: bool = False) -> dict:
    """Stands in for fairseq's ``load_checkpoint_to_cpu``: the same, and checks the file and its options.

    Raises:
        ValueError: it cannot be loaded; names the file
    """
    with naming(path, GUESS), only_data():
        if not PathManager.path_requires_pathmanager(path):
            require_whole(path)
        state = fairseq_load_to_cpu(path, arg_overrides, load_on_all_ranks)
        require_parameters(state)
        if state.get("args") is None and state.get("cfg") is None:
            raise Refused("no checkpoint of fairseq: it has no options, 'cfg'")
        for name in ("args", "cfg"):
            require_no_code(state.get(name))
        return state


def load_ema(fpath: str) -> dict:
    """Stands in for fairseq's ``load_ema_from_checkpoint`` in the same way."""
    with naming(fpath, GUESS), only_data():
        if not PathManager.path_requires_pathmanager(fpath):
            require_whole(fpath)
        return fairseq_load_ema(fpath)


def load_ensemble(
    filenames: List[str],
    arg_overrides: Optional[dict] = None,
    task: Optional[object] = None,
    strict: bool = True,
    suffix: str = "",
    num_shards: int = 1,
    state: Optional[dict] = None,
) -> tuple:
    """Stands in for fairseq's ``load_model_ensemble_and_task``, by which all its commands load models.

    Raises:
        ValueError: a file cannot be loaded, or does not fit; names it
    """
    if state is not None and len(filenames) != 1:
        raise ValueError(f"one state is of one model, not of {len(filenames)}: {', '.join(filenames)}")
    ensemble: list = []
    cfg = None
    for filename in filenames:
        with naming(filename):
            models, cfg, task = fairseq_load_ensemble(
                [filename], arg_overrides, task, strict, suffix, num_shards, state
            )
        ensemble += models
    return ensemble, cfg, task


def resume(
    self: Trainer,
    filename: str,
    reset_optimizer: bool = False,
    reset_lr_scheduler: bool = False,
    optimizer_overrides: Optional[dict] = None,
    reset_meters: bool = False,
) -> Optional[dict]:
    """Stands in for fairseq's ``Trainer.load_checkpoint``, which begins anew where the file is not there.

    Raises:
        ValueError: the file cannot be loaded, or does not fit, or was asked for and is not there; names it
    """
    restore_file = self.cfg.checkpoint.restore_file
    if not PathManager.isfile(filename):
        if PathManager.exists(filename):
            raise ValueError(f"cannot load {filename}: it is no file")
        if restore_file != "checkpoint_last.pt":
            raise ValueError(f"--restore-file {restore_file}: no such file")
    with naming(filename):
        try:
            return fairseq_resume(
                self, filename, reset_optimizer, reset_lr_scheduler, optimizer_overrides, reset_meters
            )
        except Exception as error:
            # fairseq keeps what is wrong with the parameters to itself.
            hidden = error.__context__ if str(error).startswith("Cannot load model parameters") else None
            raise error if hidden is None else hidden  # noqa: B904


def install() -> None:
    """Has this process load checkpoints by the functions above."""
    checkpoint_utils.load_checkpoint_to_cpu = load_to_cpu
    checkpoint_utils.load_ema_from_checkpoint = load_ema
    checkpoint_utils.load_model_ensemble_and_task = load_ensemble
    Trainer.load_checkpoint = resume
