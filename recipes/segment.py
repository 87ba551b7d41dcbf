"""Trains a sentencepiece model and segments text with it.

Lines are cut at ``\\n`` alone and a carriage return counts as a space, so that no line is ever split or lost.
"""

import argparse
import os
from typing import Iterator

import sentencepiece


def lines(path: str) -> Iterator[str]:
    """The lines of a UTF-8 file."""
    with open(path, encoding="utf-8", newline="\n") as file:
        for line in file:
            yield line.rstrip("\n").replace("\r", " ")


def train(inputs: list, prefix: str, vocab_size: int) -> None:
    """Trains a byte-pair encoding on the files ``inputs`` together; ``prefix.model`` appears when it is finished."""
    partial = f"{prefix}.part"
    sentencepiece.SentencePieceTrainer.train(
        input=inputs,
        model_prefix=partial,
        vocab_size=vocab_size,
        model_type="bpe",
        character_coverage=1.0,
        num_threads=1,
        minloglevel=2,
    )
    os.replace(f"{partial}.vocab", f"{prefix}.vocab")
    os.replace(f"{partial}.model", f"{prefix}.model")


def encode(model: str, source: str, target: str) -> None:
    """Writes the lines of ``source`` as pieces to ``target``."""
    processor = sentencepiece.SentencePieceProcessor(model_file=model)
    with open(f"{target}.part", "w", encoding="utf-8", newline="\n") as file:
        for line in lines(source):
            file.write(" ".join(processor.encode(line, out_type=str)) + "\n")
    os.replace(f"{target}.part", target)


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    trainer = commands.add_parser("train", help="train a model")
    trainer.add_argument("--input", nargs="+", required=True, metavar="FILE")
    trainer.add_argument("--prefix", required=True, help="PREFIX.model and PREFIX.vocab are written")
    trainer.add_argument("--vocab-size", type=int, required=True)
    encoder = commands.add_parser("encode", help="segment a file")
    encoder.add_argument("--model", required=True, metavar="FILE")
    encoder.add_argument("source", metavar="TEXT")
    encoder.add_argument("target", metavar="PIECES")
    args = parser.parse_args()
    if args.command == "encode":
        encode(args.model, args.source, args.target)
        return
    try:
        train(args.input, args.prefix, args.vocab_size)
    except RuntimeError as error:
        parser.error(f"--vocab-size {args.vocab_size} does not suit {' '.join(args.input)}: {error}")


if __name__ == "__main__":
    main()
