"""Translates sentences, and shows at which source words each target word looked.

``python -m fairseq_bahdanau.cli.align --help``. The options are those of fairseq-interactive, and four of our own.
"""

import argparse
import ast
import os
from typing import Callable, Dict, List, Optional, Tuple

import numpy as np
import torch
from fairseq import checkpoint_utils, options, tasks, utils
from fairseq.data import data_utils
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq.models import FairseqModel
from fairseq.tasks.translation import TranslationTask
from omegaconf import DictConfig

from fairseq_bahdanau.alignment.links import align, merge_subwords, subword_marker
from fairseq_bahdanau.alignment.output_files import Hypothesis, write_all
from fairseq_bahdanau.cli import make_output_folder
from fairseq_bahdanau.cli.batches import Sentence, encode, line_coders, make_batches
from fairseq_bahdanau.complaints import complaining
from fairseq_bahdanau.model import BahdanauModel
from fairseq_bahdanau.orders import FixedContextDecoder
from fairseq_bahdanau.text import read_lines, require_same_number_of_lines


def load(cfg: DictConfig) -> Tuple[TranslationTask, List[FairseqModel]]:
    """Loads the task and the models that the options name, ready to translate.

    Raises:
        ValueError: no such data or checkpoint, or those of another task or architecture
    """
    data, path = utils.split_paths(cfg.task.data)[0], cfg.common_eval.path
    if not os.path.isdir(data):
        raise ValueError(f"DATA_BIN: no such folder: {data}")
    if None in (cfg.task.source_lang, cfg.task.target_lang) and None in data_utils.infer_language_pair(data):
        raise ValueError(f"DATA_BIN: no file in {data} tells its languages: give --source-lang and --target-lang")
    try:
        task = tasks.setup_task(cfg.task)
    except OSError as error:
        raise ValueError(f"DATA_BIN: {data}: {error}") from error
    if not isinstance(task, TranslationTask):
        raise ValueError(f"--task {cfg.task._name}: only translation and the tasks derived from it")
    overrides = ast.literal_eval(cfg.common_eval.model_overrides)
    try:
        models, _ = checkpoint_utils.load_model_ensemble(utils.split_paths(path), overrides, task)
    except Exception as error:  # torch.load of a damaged file may raise anything
        raise ValueError(f"--path {path} cannot be loaded: {' '.join(str(error).split())[:300]}") from error
    for file, model in zip(utils.split_paths(path), models):
        if not isinstance(model, BahdanauModel):
            kind = type(model).__name__
            raise ValueError(
                f"--path {file}: a {kind}, of another architecture; only a BahdanauModel has attention here"
            )
        if isinstance(model.decoder, FixedContextDecoder):
            print(f"align: {file} has a fixed context and looks nowhere: its attention is drawn uniform", flush=True)
        if cfg.common.fp16:
            model.half()
        if torch.cuda.is_available() and not cfg.common.cpu:
            model.cuda()
        model.prepare_for_inference_(cfg)
    return task, models


def translate(
    cfg: DictConfig,
    task: TranslationTask,
    models: List[FairseqModel],
    sources: List[Sentence],
    targets: Optional[List[Sentence]],
    decode_line: Callable,
) -> List[Hypothesis]:
    """Searches for translations, or scores the given targets, and aligns them.

    The attention of an ensemble is the mean of its members', which fairseq computes.

    Returns:
        the best ``--nbest`` hypotheses of every sentence, in the order of the sentences
    """
    cfg.generation.score_reference = targets is not None
    generator = task.build_generator(models, cfg.generation)
    found: Dict[int, List[Hypothesis]] = {}
    for batch in make_batches(cfg, task, sources, targets):
        results = task.inference_step(generator, models, batch)
        for number, src_tokens, of_sentence in zip(batch["id"].tolist(), batch["net_input"]["src_tokens"], results):
            found[number] = []
            for rank, result in enumerate(of_sentence[: cfg.generation.nbest], start=1):
                if targets is None:
                    pieces = [task.target_dictionary[token] for token in result["tokens"]]
                    attention = result["attention"].t()  # a search returns (src_len, tgt_len)
                else:
                    pieces = targets[number].pieces
                    attention = result["attention"]
                alignment = align(sources[number].pieces, pieces, attention, src_tokens, task.source_dictionary.pad())
                found[number].append(Hypothesis(number, rank, decode_line(" ".join(pieces[:-1])), alignment))
    return [hypothesis for number in sorted(found) for hypothesis in found[number]]


def merge_pieces(task: TranslationTask, hypotheses: List[Hypothesis]) -> List[Hypothesis]:
    """Replaces the alignments of pieces by alignments of words.

    Raises:
        ValueError: no dictionary has pieces
    """
    source, target = (subword_marker(side.symbols) for side in (task.source_dictionary, task.target_dictionary))
    if source is None and target is None:
        raise ValueError("--merge-subwords: no word of either dictionary begins with ▁ or ends in @@")
    return [one._replace(alignment=merge_subwords(one.alignment, source, target)) for one in hypotheses]


def run(args: argparse.Namespace) -> Optional[str]:
    """Aligns the sentences that the command line names; returns why pictures are missing, if any are.

    Raises:
        ValueError: what is wrong with an option or a file
    """
    cfg = convert_namespace_to_omegaconf(args)
    if cfg.common_eval.path is None:
        raise ValueError("--path CHECKPOINT is required")
    if cfg.generation.score_reference or cfg.generation.constraints:
        raise ValueError("--score-reference and --constraints: give --target FILE instead")
    if cfg.generation.sampling and cfg.generation.nbest != cfg.generation.beam:
        raise ValueError("--sampling requires --nbest to be equal to --beam")
    lines = read_lines(cfg.interactive.input)
    if not any(line.strip() for line in lines):
        raise ValueError("the input is empty: give one sentence a line on standard input, or --input FILE")
    references = None if args.target is None else read_lines(args.target)
    if references is not None:
        require_same_number_of_lines(f"--target {args.target}", references, "the input", lines)
    if cfg.common.seed is not None and not cfg.generation.no_seed_provided:
        np.random.seed(cfg.common.seed)
        utils.set_torch_seed(cfg.common.seed)

    task, models = load(cfg)
    make_output_folder(args.output)
    encode_line, decode_line = line_coders(cfg, task)
    longest = [min(model.max_positions()[side] for model in models) for side in (0, 1)]
    sources = encode("the input", lines, encode_line, task.source_dictionary, longest[0])
    targets = None
    if references is not None:
        targets = encode(f"--target {args.target}", references, encode_line, task.target_dictionary, longest[1])
    hypotheses = translate(cfg, task, models, sources, targets, decode_line)
    if args.merge_subwords:
        hypotheses = merge_pieces(task, hypotheses)
    missing = write_all(args.output, hypotheses, args.format)
    print(f"align: {len(hypotheses)} hypotheses of {len(lines)} sentences are in {args.output}")
    return missing


def get_parser() -> argparse.ArgumentParser:
    """Makes the parser of fairseq-interactive's command line, and adds our options."""
    parser = options.get_interactive_generation_parser()
    parser.prog = "python -m fairseq_bahdanau.cli.align"
    parser.usage = "%(prog)s DATA_BIN --path CHECKPOINT[:CHECKPOINT...] --output DIR [options] < SENTENCES"
    parser.description = " ".join(__doc__.split("\n\n")[0].split())
    group = parser.add_argument_group("Alignments")
    group.add_argument("--output", required=True, metavar="DIR", help="where all files go; is made")
    group.add_argument("--format", default="png", choices=("png", "svg", "none"),
                       help="of the picture of every sentence; none: no pictures and no page")  # fmt: skip
    group.add_argument("--merge-subwords", action="store_true",
                       help="align words, not pieces (▁ of sentencepiece, @@ of subword-nmt): weights are summed over "
                       "the pieces of a source word and averaged over those of a target word")  # fmt: skip
    group.add_argument("--target", metavar="FILE",
                       help="a translation of every line of the input, to be aligned instead of searched")  # fmt: skip
    return parser


def main(arguments: Optional[List[str]] = None) -> None:
    """Writes the alignments that the command line asks for (``arguments``, or the program's own)."""
    parser = get_parser()
    args = options.parse_args_and_arch(parser, input_args=arguments)
    with complaining(f"{parser.prog}: error", code=2):
        missing = run(args)
    if missing:
        parser.exit(1, f"align: {missing}\n")


if __name__ == "__main__":
    main()
