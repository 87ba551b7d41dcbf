"""Translates sentences, and shows at which source words each target word looked.

``python -m fairseq_bahdanau.cli.align --help``. The options are those of fairseq-interactive, and four of our own.
"""

import argparse
from typing import Callable, List, Optional, Tuple

from fairseq import options, utils
from fairseq.data import Dictionary
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq.models import FairseqModel
from fairseq.tasks.translation import TranslationTask
from omegaconf import DictConfig

from fairseq_bahdanau.alignment.links import align, merge_subwords, subword_marker
from fairseq_bahdanau.alignment.output_files import Hypothesis, write_all
from fairseq_bahdanau.cli import log_as_fairseq, make_output_folder
from fairseq_bahdanau.cli.batches import Sentence, count_unknown, encode, line_coders
from fairseq_bahdanau.cli.translating import (
    LIMIT,
    SEARCH,
    Translation,
    align_pieces,
    build_generator,
    load,
    longest_sentence,
    parse,
    replace_unknown,
    report_unknown,
    require_attention,
    search,
)
from fairseq_bahdanau.complaints import complaining
from fairseq_bahdanau.guards.hypotheses import load_align_dict
from fairseq_bahdanau.orders import FixedContextDecoder
from fairseq_bahdanau.text import read_lines, require_same_number_of_lines

OWN = ["output", "format", "merge_subwords", "target"]
HONOURED = [*SEARCH, *OWN, "nbest", "tokenizer", "bpe", "post_process"]
# Of these, what has a meaning only where something is searched, not for --target.
SEARCHING = """
beam nbest max_len_a max_len_b min_len match_source_len unnormalized lenpen unkpen no_repeat_ngram_size sampling
sampling_topk sampling_topp temperature diversity_rate
""".split()


def report_fixed_contexts(cfg: DictConfig, models: List[FairseqModel]) -> None:
    """Says which models look nowhere."""
    for file, model in zip(utils.split_paths(cfg.common_eval.path), models):
        if isinstance(model.decoder, FixedContextDecoder):
            print(f"align: {file} has a fixed context and looks nowhere: its attention is drawn uniform", flush=True)


def encode_lines(
    path: str, lines: List[str], encode_line: Callable, dictionary: Dictionary, longest: Tuple[int, str]
) -> List[Sentence]:
    """Makes sentences out of the lines of a file.

    Raises:
        ValueError: a line that is too long; names the file and the line
    """
    return [
        encode(f"{path}, line {number}", encode_line(line.strip()), dictionary, longest)
        for number, line in enumerate(lines, start=1)
    ]


def hypotheses_of(
    cfg: DictConfig,
    task: TranslationTask,
    sources: List[Sentence],
    targets: Optional[List[Sentence]],
    found: List[List[Translation]],
    decode_line: Callable,
) -> List[Hypothesis]:
    """Aligns what a search has found, or the given targets, in the order of the sentences.

    The attention of an ensemble is the mean of its members', which fairseq computes.
    """
    translations = load_align_dict(cfg.generation.replace_unk)
    hypotheses = []
    for number, of_sentence in enumerate(found):
        for rank, one in enumerate(of_sentence, start=1):
            if targets is None:
                alignment = align_pieces(task, sources[number], one)
            else:
                pieces, attention = targets[number].pieces, one.hypothesis["attention"]
                padding = task.source_dictionary.pad()
                alignment = align(sources[number].pieces, pieces, attention, one.src_tokens, padding)
            if translations is not None:
                alignment = replace_unknown(alignment, task.target_dictionary.unk_string(), translations)
            hypotheses.append(Hypothesis(number, rank, decode_line(" ".join(alignment.target[:-1])), alignment))
    return hypotheses


def merge_pieces(task: TranslationTask, hypotheses: List[Hypothesis]) -> List[Hypothesis]:
    """Replaces the alignments of pieces by alignments of words.

    Raises:
        ValueError: no dictionary has pieces
    """
    source, target = (subword_marker(side.symbols) for side in (task.source_dictionary, task.target_dictionary))
    if source is None and target is None:
        raise ValueError("--merge-subwords: no word of either dictionary begins with ▁ or ends in @@")
    return [one._replace(alignment=merge_subwords(one.alignment, source, target)) for one in hypotheses]


def check_options(cfg: DictConfig, target: Optional[str]) -> None:
    """Refuses options that contradict each other.

    Raises:
        ValueError: one line that names them
    """
    if cfg.generation.sampling and cfg.generation.nbest != cfg.generation.beam:
        raise ValueError("--sampling requires --nbest to be equal to --beam")
    if target is not None and cfg.generation.replace_unk is not None:
        raise ValueError("--replace-unk and --target exclude each other: a given translation is not changed")


def run(args: argparse.Namespace) -> Optional[str]:
    """Aligns the sentences that the command line names; returns why pictures are missing, if any are.

    Raises:
        ValueError: what is wrong with an option or a file
    """
    cfg = convert_namespace_to_omegaconf(args)
    check_options(cfg, args.target)
    cfg.generation.score_reference = args.target is not None
    lines = read_lines(cfg.interactive.input)
    if not any(line.strip() for line in lines):
        raise ValueError("the input is empty: give one sentence a line on standard input, or --input FILE")
    references = None if args.target is None else read_lines(args.target)
    if references is not None:
        require_same_number_of_lines(f"--target {args.target}", references, "the input", lines)

    task, models = load(cfg)
    require_attention(cfg, models)
    report_fixed_contexts(cfg, models)
    make_output_folder(args.output)
    encode_line, decode_line = line_coders(cfg, task)
    longest = [longest_sentence(cfg, models, side) for side in (0, 1)]
    sources = encode_lines("the input", lines, encode_line, task.source_dictionary, longest[0])
    targets = None
    if references is not None:
        targets = encode_lines(f"--target {args.target}", references, encode_line, task.target_dictionary, longest[1])
    names = [f"the input, line {number}" for number in range(1, len(lines) + 1)]
    found = search(cfg, task, models, build_generator(cfg, task, models, True), sources, names, targets)
    hypotheses = hypotheses_of(cfg, task, sources, targets, found, decode_line)
    if args.merge_subwords:
        hypotheses = merge_pieces(task, hypotheses)
    report_unknown("align", *count_unknown(sources, task.source_dictionary))
    if targets is not None:
        report_unknown("align", *count_unknown(targets, task.target_dictionary), "target")
    missing = write_all(args.output, hypotheses, args.format)
    print(f"align: {len(hypotheses)} hypotheses of {len(lines)} sentences are in {args.output}")
    return missing


def get_parser() -> argparse.ArgumentParser:
    """Makes the parser of fairseq-interactive's command line, and adds our options."""
    parser = options.get_interactive_generation_parser()
    parser.prog = "python -m fairseq_bahdanau.cli.align"
    parser.usage = "%(prog)s DATA_BIN --path CHECKPOINT[:CHECKPOINT...] --output DIR [options] < SENTENCES"
    parser.description = " ".join(__doc__.split("\n\n")[0].split())
    parser.set_defaults(**LIMIT)
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
    with complaining(f"{parser.prog}: error", code=2):
        log_as_fairseq()
        args = parse(parser, [], arguments, HONOURED)
        if args.target is not None:
            parse(get_parser(), [], arguments, [name for name in HONOURED if name not in SEARCHING])
        missing = run(args)
    if missing:
        parser.exit(1, f"align: {missing}\n")


if __name__ == "__main__":
    main()
