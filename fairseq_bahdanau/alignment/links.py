"""Functions here turn the attention of a hypothesis into words and the links between them.

``</s>`` is the last word of both sides throughout: a row of attention sums to 1 only with the source's ``</s>``, which
figure 3 of Bahdanau et al. 2014 also shows. Links are between words proper: ``</s>`` has none.
"""

from typing import TYPE_CHECKING, Iterable, List, NamedTuple, Optional, Sequence, Set, Tuple

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

EOS = "</s>"
NO_CELL = str.maketrans(dict.fromkeys("\t\n\r", "\N{REPLACEMENT CHARACTER}"))  # what ends a cell of a TSV file
SENTENCEPIECE = "▁"  # begins a piece that begins a word
SUBWORD_NMT = "@@"  # ends a piece that does not end a word
Link = Tuple[int, int]  # source word, target word, both counted from 0


class Alignment(NamedTuple):
    """An alignment holds the words of a sentence and of its translation, and how much each target word looked at each
    source word.

    ``source`` and ``target`` are words or pieces of words, the last of each is ``</s>``; ``weights`` is
    ``(len(target), len(source))``, float64, with rows that sum to 1.
    """

    source: List[str]
    target: List[str]
    weights: np.ndarray


def align(
    source: List[str], target: List[str], attention: "Tensor", src_tokens: "Tensor", padding_idx: int
) -> Alignment:
    """Cuts out of a batch's attention the part that belongs to one hypothesis, without padding.

    Args:
        source: the sentence, ``</s>`` included
        target: the hypothesis, ``</s>`` included
        attention: ``(tgt_len, src_len)``, columns in the order of ``src_tokens``; rows after the last of ``target``
            are padding
        src_tokens: ``(src_len,)``, padded on either side; a word of the sentence that is itself ``<pad>`` stays, with
            weight 0
        padding_idx: of the source dictionary

    Raises:
        ValueError: an attention with fewer rows or columns than there are words
    """
    end = int(src_tokens.ne(padding_idx).nonzero().max()) + 1  # after </s>, which ends every sentence
    start = end - len(source)
    if start < 0 or attention.size(1) != src_tokens.size(0) or attention.size(0) < len(target):
        shape = tuple(attention.shape)
        raise ValueError(f"attention {shape} is not that of {len(target)} target and {len(source)} source words")
    return Alignment(source, target, attention[: len(target), start:end].double().cpu().numpy())


def subword_marker(symbols: Iterable[str]) -> Optional[str]:
    """Tells from the symbols of a dictionary how pieces of words are marked: by the sign of sentencepiece or of
    subword-nmt, or not at all (None), where symbols are whole words.

    More symbols decide: a lone ▁ may be a character of the text.
    """
    begin = end = 0
    for symbol in symbols:
        begin += symbol.startswith(SENTENCEPIECE) and symbol != SENTENCEPIECE
        end += symbol.endswith(SUBWORD_NMT) and symbol != SUBWORD_NMT
    if begin == end == 0:
        return None
    return SENTENCEPIECE if begin >= end else SUBWORD_NMT


def group(pieces: Sequence[str], marker: Optional[str]) -> List[List[int]]:
    """Returns the positions of the pieces of every word; ``</s>``, the last piece, is a word of its own."""
    words: List[List[int]] = []
    for position, piece in enumerate(pieces):
        if marker == SENTENCEPIECE:
            goes_on = not piece.startswith(SENTENCEPIECE)
        else:
            goes_on = marker == SUBWORD_NMT and position > 0 and pieces[position - 1].endswith(SUBWORD_NMT)
        if goes_on and words and position < len(pieces) - 1:
            words[-1].append(position)
        else:
            words.append([position])
    return words


def spell(pieces: Sequence[str], marker: Optional[str]) -> str:
    """Joins pieces into the word that they make; a lone mark stays as it is."""
    if marker == SENTENCEPIECE:
        return "".join(pieces).replace(SENTENCEPIECE, "") or SENTENCEPIECE
    if marker == SUBWORD_NMT:
        return "".join(piece[: -len(SUBWORD_NMT)] if piece.endswith(SUBWORD_NMT) else piece for piece in pieces)
    return "".join(pieces)


def merge_subwords(alignment: Alignment, source_marker: Optional[str], target_marker: Optional[str]) -> Alignment:
    """Makes an alignment of words out of one of pieces: weights are summed over the pieces of a source word and
    averaged over those of a target word, so that rows still sum to 1.

    Args:
        alignment: of pieces
        source_marker, target_marker: as :func:`subword_marker` returns them
    """
    source, target = group(alignment.source, source_marker), group(alignment.target, target_marker)
    summed = np.stack([alignment.weights[:, positions].sum(axis=1) for positions in source], axis=1)
    return Alignment(
        [spell([alignment.source[position] for position in word], source_marker) for word in source],
        [spell([alignment.target[position] for position in word], target_marker) for word in target],
        np.stack([summed[positions].mean(axis=0) for positions in target]),
    )


def hard_links(alignment: Alignment) -> List[Link]:
    """Links every target word with its most attended source word, the first of equals; ``</s>`` is linked with nothing.

    Links are in the order of the target; there are none when the source has no word. ``--replace-unk`` copies from the
    same source words (:meth:`TranslationUnkTask.most_attended`).
    """
    words = alignment.weights[:-1, :-1]
    if not words.size:
        return []
    return [(int(source), target) for target, source in enumerate(words.argmax(axis=1))]


def to_pharaoh(links: Iterable[Link]) -> str:
    """Writes links in the Pharaoh format: ``i-j``, source word first, sorted."""
    return " ".join(f"{source}-{target}" for source, target in sorted(links))


def read_pharaoh(line: str) -> Tuple[Set[Link], Set[Link]]:
    """Reads a line of links ``i-j`` (sure) and ``i?j`` (possible only); sure links are also possible ones.

    Returns:
        the sure links, the possible ones

    Raises:
        ValueError: anything else in the line
    """
    sure: Set[Link] = set()
    possible: Set[Link] = set()
    for field in line.split():
        is_sure = "-" in field
        source, _, target = field.partition("-" if is_sure else "?")
        if not (source.isdecimal() and target.isdecimal()):
            raise ValueError(f"'{field}' is neither a sure link such as 3-4 nor a possible one such as 3?4")
        possible.add((int(source), int(target)))
        if is_sure:
            sure.add((int(source), int(target)))
    return sure, possible


def soft_rows(alignment: Alignment) -> List[str]:
    """Writes an alignment as rows of five fields: source index, target index, source word, target word, weight.

    Rows go target word by target word, ``</s>`` included, so that the weights of a target word sum to 1. A tab or a
    line's end within a word, which a dictionary may have, is written as U+FFFD.
    """
    sources, targets = ([word.translate(NO_CELL) for word in side] for side in (alignment.source, alignment.target))
    return [
        f"{i}\t{j}\t{source}\t{target}\t{alignment.weights[j, i]:.6f}"
        for j, target in enumerate(targets)
        for i, source in enumerate(sources)
    ]
