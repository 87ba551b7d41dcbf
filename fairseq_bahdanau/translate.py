"""Makes ``python -m fairseq_bahdanau.translate DIR < in > out`` translate by an exported model: raw text in and out.

There is a line out for every line in, as soon as its block is done. Standard error tells of all that changes a text:
bytes that are not UTF-8, a line that is translated in parts, a translation that its limit ended, tokens that the model
does not know. On a terminal it answers every line, and shows its progress.
"""

import argparse
import logging
import sys
from typing import List, Optional

from tqdm import tqdm

from .complaints import complaining
from .portable.lines import BLOCK, read_blocks
from .portable.search import Options
from .translator import SENTENCES, Translator

PROGRAM = "translate"


SEARCH = Options()
# Options with a value: their defaults, what stands for the value, and what they mean.
OPTIONS = {
    "--beam": (SEARCH.beam, "N", "beam size"),
    "--lenpen": (SEARCH.lenpen, "X", "length penalty: above 1 favours long translations"),
    "--unkpen": (SEARCH.unkpen, "X", "what an unknown word costs"),
    "--max-len-a": (SEARCH.max_len_a, "A", "a translation has at most A tokens for each of its source"),
    "--max-len-b": (SEARCH.max_len_b, "B", "and B more"),
    "--batch-size": (SENTENCES, "N", "sentences at once"),
    "--buffer-size": (0, "N", f"lines to a block; 0: {BLOCK}, from a terminal 1"),
    "--threads": (0, "N", "batches that are translated at once, each on one core; 0: one for each core"),
}


def get_parser() -> argparse.ArgumentParser:
    """Makes the parser of the command line; its names are fairseq-interactive's."""
    head = __doc__.splitlines()[0]
    parser = argparse.ArgumentParser(prog=f"python -m fairseq_bahdanau.{PROGRAM}", description=head, allow_abbrev=False)
    parser.add_argument("folder", metavar="DIR", nargs="+", help="an exported model; several are an ensemble")
    parser.add_argument("--input", default="-", metavar="FILE", help="text to translate (default: standard input)")
    for flag, (value, form, meaning) in OPTIONS.items():
        told = f"{meaning} (default: %(default)s)"
        parser.add_argument(flag, type=type(value), default=value, metavar=form, help=told)
    parser.add_argument("--no-progress-bar", action="store_true", help="show no progress on a terminal")
    return parser


def run(args: argparse.Namespace) -> None:
    """Translates a file, or standard input.

    Raises:
        ValueError: what is wrong with an option or a folder
    """
    if args.buffer_size < 0:
        raise ValueError(f"--buffer-size must be at least 0, not {args.buffer_size}")
    translator = Translator(*args.folder, threads=args.threads)
    if translator.text.tokenized:
        logging.warning("this model reads and writes tokens: give lines that are tokenised as its training text was")
    # A person at a terminal wants an answer to every line.
    size = args.buffer_size or (1 if args.input == "-" and sys.stdin.isatty() else BLOCK)
    options = {
        name: getattr(args, name) for name in ("beam", "lenpen", "unkpen", "max_len_a", "max_len_b", "batch_size")
    }
    translator.translate([], **options)  # refuses them before a line is waited for
    with tqdm(unit=" lines", disable=args.no_progress_bar or None) as progress:  # None: but for a terminal
        for block in read_blocks(args.input, size):
            found = translator.translate([line for _, line in block], first_number=block[0][0], **options)
            sys.stdout.buffer.write("".join(f"{each.text}\n" for each in found).encode())
            sys.stdout.buffer.flush()
            progress.update(len(block))


def main(given: Optional[List[str]] = None) -> None:
    """Runs the command line, or the arguments that are given."""
    logging.basicConfig(format=f"{PROGRAM}: %(message)s", level=logging.WARNING)
    args = get_parser().parse_args(given)
    with complaining(PROGRAM):
        run(args)


if __name__ == "__main__":
    main()
