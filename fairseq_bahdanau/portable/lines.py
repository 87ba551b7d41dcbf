"""Lines of raw text become the tokens of a model here, and tokens become lines.

Every line of an input has its line in the output: an empty one stays empty, and one that is too long for a model is
translated in parts.
"""

import re
from typing import Callable, Iterator, List, NamedTuple, Optional, Tuple

import sentencepiece

from ..text import stream_lines
from .moses import detokenize, lowercase, tokenize
from .treatment import Text

LONGEST = 400  # tokens of a part: the limit of its translation is then below the 1,024 tokens that models are made for
BLOCK = 1000  # lines
CHARACTERS = 100_000  # from which on a block is full, too
Pieces = Optional[sentencepiece.SentencePieceProcessor]  # a model of pieces; None: words


class Line(NamedTuple):
    """Holds a line as its parts: none if it is blank, several if it is long."""

    name: str
    parts: List[List[str]]  # pieces


def names_of_parts(line: Line) -> List[str]:
    """Says what to call each part of a line."""
    several = len(line.parts) > 1
    return [f"{line.name}, part {part}" if several else line.name for part in range(1, len(line.parts) + 1)]


def load_pieces(model: Optional[str]) -> Pieces:
    """Loads a model of pieces from its file; None stays None.

    Raises:
        ValueError: it is not there, or no model of sentencepiece
    """
    if model is None:
        return None
    try:
        return sentencepiece.SentencePieceProcessor(model_file=model)
    except (OSError, RuntimeError) as error:
        raise ValueError(f"{model} is no model of sentencepiece: {error}") from error


def encode_line(line: str, text: Text, pieces: Pieces) -> List[str]:
    """Turns a line into the tokens of a model."""
    line = tokenize(line, text.source) if text.moses else " ".join(line.split())
    if text.lowercase:
        line = lowercase(line)
    return line.split() if pieces is None else pieces.encode(line, out_type=str)


def decode_line(tokens: str, text: Text, pieces: Pieces) -> str:
    """Turns tokens of a model into text, which stays one line: a piece may be the byte of a line's end."""
    line = tokens if pieces is None else re.sub(r"[\r\n]", " ", pieces.decode(tokens.split()))
    return detokenize(line, text.target) if text.moses else line.strip()  # as fairseq does: a piece may be a lone ▁


def cut(tokens: List[str], longest: int, in_pieces: bool) -> List[List[str]]:
    """Cuts a long line into parts.

    Behind the last end of a sentence that leaves a part of half the greatest length or more, else between words, else
    anywhere.

    Args:
        longest: the greatest number of tokens of a part
        in_pieces: tokens are pieces of words, of which the first begins with ``▁``
    """
    parts = []
    while len(tokens) > longest:
        words = [n for n in range(longest, 0, -1) if tokens[n].startswith("▁") or not in_pieces]
        ends = [n for n in words if n > longest // 2 and tokens[n - 1].endswith((".", "!", "?", "。", "！", "？"))]
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


def prepare(number: int, line: str, text: Text, pieces: Pieces, longest: int, say: Callable[[str], None]) -> Line:
    """Cuts a line into tokens and parts; ``say`` is told where it is long, or where no token of it is left."""
    tokens, name = encode_line(line, text, pieces), f"line {number}"
    parts = cut(tokens, longest, pieces is not None)
    if len(parts) > 1:
        say(f"{name} has {len(tokens)} tokens: translated in {len(parts)} parts")
    if not parts and line.strip():
        say(f"{name} has no token that the model could read: its translation is empty")
    return Line(name, parts)
