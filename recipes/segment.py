"""Trains a sentencepiece model, and cuts text into its pieces."""

import argparse
import collections
import functools
import os
from typing import Iterator, List, Optional, Tuple

import sentencepiece
from parallel import in_parallel

from fairseq_bahdanau.complaints import complaining
from fairseq_bahdanau.portable.cores import cores
from fairseq_bahdanau.portable.lines import load_pieces
from fairseq_bahdanau.portable.moses import is_clean_pair
from fairseq_bahdanau.text import stream_lines, stream_parallel_lines, writing


def train(inputs: list, prefix: str, vocab_size: int, sample: int) -> None:
    """Trains one byte-pair encoding on several files; ``PREFIX.model`` appears when it is finished.

    Args:
        inputs: the files
        prefix: of the two files that are written
        vocab_size: number of pieces
        sample: how many lines are drawn at random to train on, so that memory is bounded; 0: all

    Raises:
        ValueError: a file that is not there or not UTF-8, or of which sentencepiece cannot make so many pieces
    """
    for path in inputs:
        collections.deque(stream_lines(path), maxlen=0)  # sentencepiece itself would leave out what is not UTF-8
    if not os.access(os.path.dirname(os.path.abspath(prefix)), os.W_OK | os.X_OK):
        raise ValueError(f"--prefix {prefix}: no folder that can be written to")
    partial = f"{prefix}.part"
    sentencepiece.set_random_generator_seed(1)  # of the sample: else another one every time
    sampling = {"input_sentence_size": sample, "shuffle_input_sentence": True} if sample else {}
    try:
        sentencepiece.SentencePieceTrainer.train(
            input=inputs,
            model_prefix=partial,
            vocab_size=vocab_size,
            model_type="bpe",
            character_coverage=1.0,
            num_threads=1,  # more give other pieces
            minloglevel=2,
            **sampling,
        )
    except RuntimeError as error:
        raise ValueError(f"--vocab-size {vocab_size} does not suit {' '.join(inputs)}: {error}") from error
    # sentencepiece makes both names from the prefix itself, so that no part_names can be given to it.
    os.replace(f"{partial}.vocab", f"{prefix}.vocab")
    os.replace(f"{partial}.model", f"{prefix}.model")


processor = functools.lru_cache(maxsize=1)(load_pieces)  # once in every process


def encode_chunk(
    model: str, longest: Optional[int], ratio: Optional[float], rows: List[Tuple[str, ...]]
) -> List[Tuple[str, ...]]:
    """Cuts rows of lines into pieces, and drops rows that are not clean; without both limits, all rows are kept."""
    encoded = [[processor(model).encode(line, out_type=str) for line in row] for row in rows]
    if longest is not None and ratio is not None:
        encoded = [row for row in encoded if is_clean_pair([len(pieces) for pieces in row], longest, ratio)]
    return [tuple(" ".join(pieces) for pieces in row) for row in encoded]


def require_short(paths: List[str], number: int, row: Tuple[str, ...], refused: int) -> None:
    """Checks a row of lines that are cut into pieces.

    Raises:
        ValueError: a line has more pieces than may be; names its file
    """
    for path, line in zip(paths, row):
        count = len(line.split())
        if count > refused:
            raise ValueError(f"{path}, line {number} has {count:,} pieces, more than the {refused} that a model can be "
                             "counted on to read: shorten it, or leave out the pair")  # fmt: skip


def encode(
    model: str,
    sources: List[str],
    targets: List[str],
    longest: Optional[int],
    ratio: Optional[float],
    refused: Optional[int],
    workers: int,
) -> None:
    """Cuts the lines of the files ``sources``, which belong together, into pieces, and writes the files ``targets``.

    Args:
        model: the file of the model of pieces
        sources: files that are read
        targets: files that are written
        longest: leaves out pairs with a side of more pieces; None: keeps all
        ratio: ..., or with one that is more than so many times as long as the other
        refused: the greatest number of pieces that is no error; None: any
        workers: processes

    Raises:
        ValueError: what is wrong with a file or a line, or no pair keeps to the limits
    """
    read = kept = 0

    def rows() -> Iterator[tuple]:
        nonlocal read
        for row in stream_parallel_lines(sources):
            read += 1
            yield row

    with writing(*targets) as files:
        function = functools.partial(encode_chunk, model, longest, ratio)
        for row in in_parallel(function, rows(), workers):
            kept += 1
            if refused is not None:
                require_short(sources, kept, row, refused)
            for file, line in zip(files, row):
                file.write(line + "\n")
        if longest is not None:
            found = f"{kept:,} of {read:,} pairs of {sources[0]} kept: --max-pieces {longest}, --max-ratio {ratio:g}"
            if not kept:
                raise ValueError(found)
            print(f"segment.py: {found}")


def get_parser() -> argparse.ArgumentParser:
    """Makes the parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    trainer = commands.add_parser("train", help="train a model")
    trainer.add_argument("--input", nargs="+", required=True, metavar="FILE")
    trainer.add_argument("--prefix", required=True, help="PREFIX.model and PREFIX.vocab are written")
    trainer.add_argument("--vocab-size", type=int, required=True)
    trainer.add_argument("--sample", type=int, default=0, metavar="N", help="train on N random lines (default: all)")
    encoder = commands.add_parser("encode", help="segment files that belong together line by line")
    encoder.add_argument("--model", required=True, metavar="FILE")
    encoder.add_argument("--input", nargs="+", required=True, metavar="TEXT")
    encoder.add_argument("--output", nargs="+", required=True, metavar="PIECES")
    encoder.add_argument("--max-pieces", type=int, metavar="N", help="leave out pairs with a side that is longer, ...")
    encoder.add_argument("--max-ratio", type=float, metavar="X", help="... or more than X times as long as the other")
    encoder.add_argument("--refuse-longer", type=int, metavar="N", help="refuse a text with a line of more pieces")
    encoder.add_argument("--workers", type=int, default=cores(), metavar="N", help="processes (default: all cores)")
    return parser


def main() -> None:
    """Trains or cuts as the command line says."""
    parser = get_parser()
    args = parser.parse_args()
    if args.command == "encode":
        if len(args.input) != len(args.output) or (args.max_pieces is None) != (args.max_ratio is None):
            parser.error("--input needs as many files as --output, and --max-pieces goes with --max-ratio")
        if args.refuse_longer is not None and args.max_pieces is not None:
            parser.error("--refuse-longer and --max-pieces exclude each other")  # which would shift the lines' numbers
        require_at_least_1(parser, "--workers", args.workers)
        limits = (args.max_pieces, args.max_ratio, args.refuse_longer)
        with complaining("segment.py"):
            encode(args.model, args.input, args.output, *limits, args.workers)
    else:
        require_at_least_1(parser, "--vocab-size", args.vocab_size)
        with complaining("segment.py"):
            train(args.input, args.prefix, args.vocab_size, args.sample)


def require_at_least_1(parser: argparse.ArgumentParser, flag: str, value: int) -> None:
    """Ends the program with a complaint about a number below 1."""
    if value < 1:
        parser.error(f"{flag} must be at least 1, not {value}")


if __name__ == "__main__":
    main()
