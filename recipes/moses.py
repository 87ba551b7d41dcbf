"""Functions here do what scripts of Moses do: tokenise and detokenise lines (by sacremoses), and choose clean pairs."""

import functools
from typing import List, Sequence

# sacremoses takes half a second to import, and its objects compile their rules: a process makes what it needs, once.


@functools.lru_cache(maxsize=None)
def tokenizer(language: str):
    """Makes the tokeniser of a language."""
    from sacremoses import MosesTokenizer

    return MosesTokenizer(lang=language)


@functools.lru_cache(maxsize=None)
def detokenizer(language: str):
    """Makes the detokeniser of a language."""
    from sacremoses import MosesDetokenizer

    return MosesDetokenizer(lang=language)


def tokenize(line: str, language: str) -> str:
    """Tokenises a line as ``tokenizer.perl`` does, special characters escaped (``&apos;``)."""
    return tokenizer(language).tokenize(line, return_str=True)


def detokenize(line: str, language: str) -> str:
    """Undoes :func:`tokenize` as far as that is possible; ``&apos;`` and the like become characters again."""
    return detokenizer(language).detokenize(line.split())


def tokenize_chunk(languages: List[str], lowercase: bool, rows: List[tuple]) -> List[tuple]:
    """Tokenises rows of lines, a language to each column, and lower-cases them where that is asked for."""
    tokenized = [tuple(tokenize(line, language) for line, language in zip(row, languages)) for row in rows]
    return [tuple(line.lower() for line in row) for row in tokenized] if lowercase else tokenized


def is_clean_pair(counts: Sequence[int], longest: int, ratio: float) -> bool:
    """Decides as ``clean-corpus-n.perl`` does whether a pair of sentences is one to train on.

    Args:
        counts: the numbers of words, or pieces, of both sides
        longest: the greatest number that a side may have; the least is 1
        ratio: how many times as long as the other a side may be
    """
    return 0 < min(counts) and max(counts) <= longest and max(counts) <= ratio * min(counts)
