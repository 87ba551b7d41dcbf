"""Writes a checkpoint as a folder of ONNX graphs, with which ``fairseq_bahdanau.translate`` translates without fairseq.

A checkpoint of a recipe knows how its text is treated; for another, the options say so. The folder holds no pickle.
"""

import argparse
import contextlib
import dataclasses
import logging
import os
import shutil
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any, Iterator, List, NamedTuple, Optional

import onnx
from fairseq import checkpoint_utils
from fairseq.tasks.translation import TranslationTask
from omegaconf import DictConfig, OmegaConf
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.shape_inference import quant_pre_process

from fairseq_bahdanau import __version__
from fairseq_bahdanau.cli import make_output_folder, new_parser, run_and_print
from fairseq_bahdanau.model import BahdanauConfig, BahdanauModel
from fairseq_bahdanau.onnx_graphs import encoder_graph, least_columns, step_graph
from fairseq_bahdanau.portable import folder
from fairseq_bahdanau.portable.lines import load_pieces
from fairseq_bahdanau.portable.moses import require_language
from fairseq_bahdanau.portable.treatment import SENTENCEPIECE, WORDS, Text, find_pair, read_treatment

PACKAGES = ("torch", "onnx", "onnxscript", "onnxruntime")


class Given(NamedTuple):
    """Holds what a model needs beside its checkpoint."""

    data: str  # the folder of its dictionaries
    languages: Optional[List[str]]  # source and target, where they are known
    text: Optional[Text]  # how a recipe treats text
    pieces: Optional[str]  # the file of the model of pieces


def find(args: argparse.Namespace) -> Given:
    """Finds what a model needs: in the options, or where a recipe has left it.

    Raises:
        ValueError: an option that is missing, would have no effect, or names no model of pieces
    """
    if args.data is not None:
        if find_pair(Path(args.checkpoint)) is not None:
            raise ValueError(
                f"--data: {args.checkpoint} lies where a recipe trained it, and knows its data: leave it out"
            )
        load_pieces(args.sentencepiece_model)  # or it is no such model
        return Given(args.data, None, None, args.sentencepiece_model)
    for flag in ("sentencepiece_model", "moses", "lowercase"):
        if getattr(args, flag):
            raise ValueError(f"--{flag.replace('_', '-')} is for a model without a recipe's folder: give --data, too")
    try:
        text, pieces, data = read_treatment(Path(args.checkpoint))
    except ValueError as error:
        raise ValueError(f"{error}; or give --data, a folder of dictionaries") from error
    return Given(str(data), [text.source, text.target], text, pieces)


def load(path: str, given: Given) -> tuple:
    """Loads a model of this package; returns it, its task and the options of its checkpoint.

    Raises:
        ValueError: no such file, another architecture, or another task
    """
    if not os.path.isfile(path):
        raise ValueError(f"no such checkpoint: {path}")
    overrides = {"data": given.data}
    if given.languages is not None:
        overrides.update(source_lang=given.languages[0], target_lang=given.languages[1])
    (model,), cfg, task = checkpoint_utils.load_model_ensemble_and_task([path], overrides)
    if not isinstance(model, BahdanauModel):
        raise ValueError(f"{path}: a {type(model).__name__}, of another architecture; a BahdanauModel can be exported")
    if not isinstance(task, TranslationTask):
        raise ValueError(f"{path}: a model of --task {cfg.task._name}; that of a translation task can be exported")
    return model.float().eval(), task, cfg


def describe(model: BahdanauModel, cfg: DictConfig, text: Text, int8: bool, place: str) -> folder.Description:
    """Tells what the folder of a model, ``place``, holds; its other files are there already."""
    options: Any = OmegaConf.to_container(cfg.model, resolve=True, enum_to_str=True)
    own = {field.name: options[field.name] for field in dataclasses.fields(BahdanauConfig) if field.name in options}
    versions = {"fairseq_bahdanau": __version__, **{name: version(name) for name in PACKAGES}}
    source, target = model.max_positions()
    files = {name: folder.checksum(os.path.join(place, name)) for name in folder.names_of_files(text)}
    return folder.Description(folder.FORMAT, text, source, target, least_columns(model), int8, own, versions, files)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps silent what tells of every node that it passes, and of packages that it could have used."""
    loggers = [logging.getLogger(name) for name in (None, "torch.onnx")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)


def write_graph(graph: onnx.ModelProto, path: str, int8: bool) -> None:
    """Writes a graph; ``int8`` makes the weights of its products integers, and rounds what is multiplied as it goes.

    The encoder's recurrence, an operator that onnxruntime cannot quantise, stays as it is.
    """
    onnx.save(graph, path)
    if int8:
        quant_pre_process(path, path, skip_symbolic_shape=True)  # W_o is a transposed embedding, where these are tied
        # The scores of the attention are no large product, and need their digits.
        columns = {value.name for value in graph.graph.initializer if list(value.dims[1:]) == [1]}
        kept = [node.name for node in graph.graph.node if node.op_type == "MatMul" and columns & set(node.input)]
        quantize_dynamic(path, path, ["MatMul"], per_channel=True, weight_type=QuantType.QInt8, nodes_to_exclude=kept)


def write_folder(place: str, model: BahdanauModel, task: TranslationTask, pieces: Optional[str], int8: bool) -> None:
    """Writes all but the description into a folder that is empty; ``pieces`` is the file of the model of pieces."""
    write_graph(encoder_graph(model), os.path.join(place, folder.ENCODER), int8)
    write_graph(step_graph(model), os.path.join(place, folder.STEP), int8)
    languages = (task.cfg.source_lang, task.cfg.target_lang)
    for dictionary, language in zip((task.source_dictionary, task.target_dictionary), languages):
        dictionary.save(os.path.join(place, folder.dictionary_name(language)))
    if pieces is not None:
        shutil.copyfile(pieces, os.path.join(place, folder.PIECES))


def require_readable(place: str, text: Text, output: str) -> None:
    """Reads what was written as who translates will, so that it is refused now and not there.

    Raises:
        ValueError: names of languages or dictionaries that cannot be read
    """
    try:
        folder.read_description(place)
        for language in text[:2]:
            folder.read_dictionary(os.path.join(place, folder.dictionary_name(language)))
    except ValueError as error:
        raise ValueError(f"cannot be exported: {str(error).replace(place, output)}") from error


def require_free(output: str, given: str) -> None:
    """Refuses a place where a folder cannot be put.

    Raises:
        ValueError: something is there
    """
    if os.path.lexists(output) and (not os.path.isdir(output) or os.listdir(output)):
        raise ValueError(f"--output {given}: is there already: remove it, or give another name")
    if os.path.ismount(output):
        raise ValueError(f"--output {given}: is where a disk is mounted: name a folder in it that is not there yet")
    make_output_folder(os.path.dirname(output))


def advice(task: TranslationTask, text: Text, int8: bool) -> List[str]:
    """Returns what a user should know of what was written."""
    lines = []
    cut = any(word.startswith("▁") for word in task.source_dictionary.symbols)
    if text.pieces == WORDS and cut and not text.tokenized:
        lines.append("its words are pieces (▁): give lines that are cut into them, or --sentencepiece-model")
    if int8:
        lines.append("--int8 rounds by all sentences that are translated at once: other neighbours, another rounding")
    return lines


def run(args: argparse.Namespace) -> List[str]:
    """Writes the folder; returns a line that says what is in it.

    Raises:
        ValueError: what is wrong with a file or an option
    """
    output = os.path.realpath(args.output)
    require_free(output, args.output)
    given = find(args)
    model, task, cfg = load(args.checkpoint, given)
    pieces = WORDS if given.pieces is None else SENTENCEPIECE
    source, target = task.cfg.source_lang, task.cfg.target_lang
    text = given.text or Text(source, target, pieces, moses=args.moses, lowercase=args.lowercase)
    if text.moses:
        require_language(source)
        require_language(target)
    try:
        with quiet(), tempfile.TemporaryDirectory(dir=os.path.dirname(output), prefix=".export") as place:
            written = os.path.join(place, "model")
            os.mkdir(written)
            write_folder(written, model, task, given.pieces, args.int8)
            folder.write_description(written, describe(model, cfg, text, args.int8, written))
            require_readable(written, text, args.output)
            size = sum(file.stat().st_size for file in os.scandir(written)) / 1e6
            os.replace(written, output)
    except OSError as error:  # a disk that is full names no file
        raise ValueError(f"--output {args.output}: {error.strerror or error}") from error
    command = f"python -m fairseq_bahdanau.translate {args.output}"
    exported = f"exported {args.checkpoint}, {size:.1f} MB; it translates by: {command}"
    return [exported, *advice(task, text, args.int8)]


def get_parser() -> argparse.ArgumentParser:
    """Makes the parser of the command line."""
    parser = new_parser("export", __doc__.split("\n")[0])
    parser.add_argument(
        "checkpoint", metavar="CHECKPOINT", help="of this package's model, such as a recipe's averaged.pt"
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="the folder to write")
    parser.add_argument(
        "--int8", action="store_true", help="weights of products as integers: smaller, faster, less exact"
    )
    parser.add_argument("--data", metavar="DATA-BIN", help="folder of its dictionaries; not for a recipe's checkpoint")
    parser.add_argument("--sentencepiece-model", metavar="FILE", help="what cuts lines into pieces (default: words)")
    parser.add_argument(
        "--moses", action="store_true", help="lines are tokenised by Moses' rules first, and last again"
    )
    parser.add_argument("--lowercase", action="store_true", help="lines are lower-cased first")
    return parser


def main(arguments: Optional[List[str]] = None) -> None:
    """Runs the command line, or the arguments that are given."""
    run_and_print(get_parser(), run, arguments)


if __name__ == "__main__":
    main()
