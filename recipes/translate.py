"""Translates raw text with a model that a recipe has trained; ``translate.sh`` calls it.

Text streams through: block by block it is read, translated and written, in order. Every line of the input has its line
in the output: lines are cut at ``\\n`` alone, bytes that are not UTF-8 are replaced, an empty line stays empty, and one
that is too long for the model is translated in parts. Of all that changes a text, standard error tells.
"""

import argparse
import itertools
import json
import logging
import sys
import warnings
from pathlib import Path
from typing import Iterator, List, NamedTuple, Optional, Tuple

import fairseq_bahdanau  # noqa: F401  the package itself, before modules that do without fairseq

# isort: split
from fairseq import options
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from moses import detokenize, lowercase, tokenize
from segment import processor
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
from fairseq_bahdanau.text import read_lines, stream_lines

PROGRAM = "translate.py"
LONGEST = 400  # tokens of a part: the limit of its translation is then below the 1,024 tokens that models are made for
BLOCK = 1000  # lines
CHARACTERS = 100_000  # from which on a block is full, too
HONOURED = [name for name in SEARCH if name not in ("data", "path", "source_lang", "target_lang", "left_pad_source")]


class Text(NamedTuple):
    """A text description tells how a recipe treats text: ``text.json`` in the folder of a language pair."""

    source: str
    target: str
    pieces: str
    moses: bool
    lowercase: bool
    tokenized: bool = False  # the recipe was given tokens, and knows nothing of how they were made


class Line(NamedTuple):
    """A line is held as its parts: none if it is blank, several if it is long."""

    name: str
    parts: List[List[str]]  # pieces


def find_pair(checkpoint: Path) -> Path:
    """Finds the folder of the language pair in which a checkpoint lies.

    Raises:
        ValueError: no such file, or one that is not in a recipe's folder
    """
    if not checkpoint.is_file():
        raise ValueError(f"no such checkpoint: {checkpoint}")
    for folder in checkpoint.resolve().parents:
        if (folder / "text.json").is_file():
            return folder
    raise ValueError(f"{checkpoint} does not lie where a recipe trained it: no folder above it has a text.json")


def read_text(pair: Path) -> Tuple[Text, Optional[str], Path]:
    """Reads how text is treated; returns that, the file of the model of pieces (None: words), and the folder of data.

    Raises:
        ValueError: a file that is missing or not what a recipe writes
    """
    path = pair / "text.json"
    try:
        text = Text(**json.loads("\n".join(read_lines(str(path)))))
    except (TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not what a recipe writes: run the recipe's stage 'binarize'") from error
    model = pair / "spm.model"
    if text.pieces == "sentencepiece" and not model.is_file():
        raise ValueError(f"{model} is missing: run the recipe's stage 'segment'")
    folders = [folder for folder in (pair / "bin", pair / "bin0") if folder.is_dir()]
    if not folders:
        raise ValueError(f"{pair / 'bin'} is missing: run the recipe's stage 'binarize'")
    return text, str(model) if text.pieces == "sentencepiece" else None, folders[0]


def encode_line(line: str, text: Text, model: Optional[str]) -> List[str]:
    """Turns a line into the tokens of the model."""
    line = tokenize(line, text.source) if text.moses else " ".join(line.split())
    if text.lowercase:
        line = lowercase(line)
    return line.split() if model is None else processor(model).encode(line, out_type=str)


def decode_line(tokens: str, text: Text, model: Optional[str]) -> str:
    """Turns tokens of the model into text."""
    line = tokens if model is None else processor(model).decode(tokens.split())
    return detokenize(line, text.target) if text.moses else line.strip()  # as fairseq does: a piece may be a lone ▁


def cut(tokens: List[str], longest: int, in_pieces: bool) -> List[List[str]]:
    """Cuts a long line into parts: behind the last end of a sentence that leaves a part of half the greatest length or
    more, else between words, else anywhere.

    Args:
        longest: the greatest number of tokens of a part
        in_pieces: tokens are pieces of words, of which the first begins with ``▁``
    """
    parts = []
    while len(tokens) > longest:
        ends = [
            n for n in range(longest, longest // 2, -1) if tokens[n - 1].endswith((".", "!", "?", "。", "！", "？"))
        ]
        words = [n for n in range(longest, 0, -1) if tokens[n].startswith("▁") or not in_pieces]
        end = (ends or words or [longest])[0]
        parts.append(tokens[:end])
        tokens = tokens[end:]
    return [*parts, tokens] if tokens else parts


def read_blocks(path: str, size: int) -> Iterator[List[Tuple[int, str]]]:
    """Yields the lines of a file with their numbers, so many at a time, or fewer of long lines."""
    block: List[Tuple[int, str]] = []
    characters = 0
    for number, line in enumerate(stream_lines(path, errors="replace"), start=1):
        block.append((number, line))
        characters += len(line)
        if len(block) >= size or characters >= CHARACTERS:
            yield block
            block, characters = [], 0
    if block:
        yield block


def prepare(number: int, line: str, text: Text, model: Optional[str], longest: int) -> Line:
    """Cuts a line into tokens and parts; says so where it is long, or where no token of it is left."""
    tokens, name = encode_line(line, text, model), f"line {number}"
    parts = cut(tokens, longest, model is not None)
    if len(parts) > 1:
        print(f"{PROGRAM}: {name} has {len(tokens)} tokens: translated in {len(parts)} parts", file=sys.stderr)
    if not parts and line.strip():
        print(f"{PROGRAM}: {name} has no token that the model could read: its translation is empty", file=sys.stderr)
    return Line(name, parts)


class Translator:
    """A translator turns blocks of lines into their translations.

    Args:
        cfg: fairseq's options
        text: how text is treated
        model: the file of the model of pieces, if there is one
    """

    def __init__(self, cfg, text: Text, model: Optional[str]):
        self.cfg, self.text, self.model = cfg, text, model
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
        return decode_line(" ".join(pieces[:-1]), self.text, self.model)

    def translate(self, block: List[Tuple[int, str]]) -> List[str]:
        """Translates lines, which are given with their numbers."""
        longest = min(LONGEST, self.longest[0] - 1)  # without </s>
        lines = [prepare(number, line, self.text, self.model, longest) for number, line in block]
        sources, names = [], []
        for line in lines:
            for part, pieces in enumerate(line.parts, start=1):
                names.append(line.name if len(line.parts) == 1 else f"{line.name}, part {part}")
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
    pair = find_pair(Path(checkpoint.split(":")[0]))
    text, model, data = read_text(pair)
    own = [str(data), "--path", checkpoint, "--source-lang", text.source, "--target-lang", text.target]
    args = parse(get_parser(), own, given, HONOURED)
    if text.tokenized:
        print(f"{PROGRAM}: this model reads and writes tokens: give lines that are tokenised as its training text was",
              file=sys.stderr)  # fmt: skip
    if args.sampling and args.beam != 1:
        raise ValueError("--sampling: give --beam 1, since one translation of a line is written")
    # A person at a terminal wants an answer to every line.
    size = args.buffer_size or (1 if args.input == "-" and sys.stdin.isatty() else BLOCK)
    translator = Translator(convert_namespace_to_omegaconf(args), text, model)
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
