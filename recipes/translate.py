"""Translates raw text with a model that a recipe has trained; ``translate.sh`` calls it.

Text streams through: block by block it is read, translated and written, in order. Every line of the input has its line
in the output: lines are cut at ``\\n`` alone, bytes that are not UTF-8 are replaced, an empty line stays empty, and one
that is too long for the model is translated in parts. Of all that changes a text, standard error tells.
"""

import argparse
import itertools
import logging
import sys
import warnings
from pathlib import Path
from typing import List, Tuple

from fairseq import options
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from tqdm import tqdm

from fairseq_bahdanau.cli.batches import Sentence, count_unknown, encode
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
    search,
)
from fairseq_bahdanau.complaints import complaining
from fairseq_bahdanau.guards.hypotheses import load_align_dict
from fairseq_bahdanau.portable.lines import (
    BLOCK,
    LONGEST,
    Pieces,
    decode_line,
    load_pieces,
    names_of_parts,
    prepare,
    read_blocks,
)
from fairseq_bahdanau.portable.treatment import Text, read_treatment

PROGRAM = "translate.py"
HONOURED = [name for name in SEARCH if name not in ("data", "path", "source_lang", "target_lang", "left_pad_source")]


def say(message: str) -> None:
    """Tells standard error what is done to the text."""
    print(f"{PROGRAM}: {message}", file=sys.stderr)


class Translator:
    """A translator turns blocks of lines into their translations.

    Args:
        cfg: fairseq's options
        text: how text is treated
        pieces: its model of pieces, if there is one
    """

    def __init__(self, cfg, text: Text, pieces: Pieces):
        self.cfg, self.text, self.pieces = cfg, text, pieces
        self.task, self.models = load(cfg)
        self.translations = load_align_dict(cfg.generation.replace_unk)
        self.generator = build_generator(cfg, self.task, self.models, with_attention=self.translations is not None)
        self.longest = longest_sentence(cfg, self.models, 0)
        self.unknown = self.tokens = 0

    def spell(self, source: Sentence, translation: Translation) -> str:
        """Returns the words of a hypothesis, unknown ones replaced where that is asked for."""
        dictionary = self.task.target_dictionary
        if self.translations is None:
            pieces = [dictionary[token] for token in translation.hypothesis["tokens"].tolist()]
        else:
            alignment = align_pieces(self.task, source, translation)
            pieces = replace_unknown(alignment, dictionary.unk_string(), self.translations).target
        return decode_line(" ".join(pieces[:-1]), self.text, self.pieces)

    def translate(self, block: List[Tuple[int, str]]) -> List[str]:
        """Translates lines, which are given with their numbers."""
        longest = min(LONGEST, self.longest[0] - 1)  # without </s>
        lines = [prepare(number, line, self.text, self.pieces, longest, say) for number, line in block]
        sources, names = [], []
        for line in lines:
            for name, pieces in zip(names_of_parts(line), line.parts):
                names.append(name)
                sources.append(encode(names[-1], " ".join(pieces), self.task.source_dictionary, self.longest))
        unknown, tokens = count_unknown(sources, self.task.source_dictionary)
        self.unknown, self.tokens = self.unknown + unknown, self.tokens + tokens
        found = iter(zip(sources, search(self.cfg, self.task, self.models, self.generator, sources, names)))
        spelt = (self.spell(source, best) for source, (best, *_) in found)
        return [" ".join(itertools.islice(spelt, len(line.parts))) for line in lines]


def get_parser() -> argparse.ArgumentParser:
    """Makes the parser of fairseq-interactive's command line, with defaults of our own."""
    parser = options.get_interactive_generation_parser()
    parser.prog, parser.usage = PROGRAM, "bash recipes/translate.sh CHECKPOINT [options] < in > out"
    parser.set_defaults(batch_size=64, max_tokens=4000, **LIMIT)
    return parser


def run(checkpoint: str, given: List[str]) -> None:
    """Translates text by a checkpoint, or by several joined by ``:``.

    Args:
        given: options

    Raises:
        ValueError: what is wrong with an option or a file
    """
    text, model, data = read_treatment(Path(checkpoint.split(":")[0]))
    own = [str(data), "--path", checkpoint, "--source-lang", text.source, "--target-lang", text.target]
    args = parse(get_parser(), own, given, HONOURED)
    if text.tokenized:
        print(f"{PROGRAM}: this model reads and writes tokens: give lines that are tokenised as its training text was",
              file=sys.stderr)  # fmt: skip
    if args.sampling and args.beam != 1:
        raise ValueError("--sampling: give --beam 1, since one translation of a line is written")
    # A person at a terminal wants an answer to every line.
    size = args.buffer_size or (1 if args.input == "-" and sys.stdin.isatty() else BLOCK)
    translator = Translator(convert_namespace_to_omegaconf(args), text, load_pieces(model))
    with tqdm(unit=" lines", disable=args.no_progress_bar or None) as progress:  # None: but for a terminal
        for block in read_blocks(args.input, size):
            translated = translator.translate(block)
            sys.stdout.buffer.write("".join(f"{line}\n" for line in translated).encode())
            sys.stdout.buffer.flush()
            progress.update(len(block))
    report_unknown(PROGRAM, translator.unknown, translator.tokens)


def main() -> None:
    """Translates standard input by the checkpoint that the command line names first."""
    # Standard error tells of the text alone: neither of fairseq's steps, nor of the age of what it is built upon.
    logging.getLogger().setLevel(logging.WARNING)
    warnings.simplefilter("ignore", UserWarning)
    with complaining(PROGRAM):
        if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
            raise ValueError("the first argument must be a CHECKPOINT, or several joined by ':'")
        run(sys.argv[1], sys.argv[2:])


if __name__ == "__main__":
    main()
