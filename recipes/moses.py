"""Moses' tokenisation, by sacremoses, of lists of lines."""

import functools
from typing import List

from sacremoses import MosesDetokenizer, MosesTokenizer

# The objects are made once by every process: they compile their rules.
tokenizer = functools.lru_cache(maxsize=None)(lambda language: MosesTokenizer(lang=language))
detokenizer = functools.lru_cache(maxsize=None)(lambda language: MosesDetokenizer(lang=language))


def tokenize(line: str, language: str) -> str:
    """A line as Moses' ``tokenizer.perl`` writes it, special characters escaped (``&apos;``)."""
    return tokenizer(language).tokenize(line, return_str=True)


def detokenize(line: str, language: str) -> str:
    """The inverse, as far as there is one; ``&apos;`` and the like become characters again."""
    return detokenizer(language).detokenize(line.split())


def tokenize_chunk(languages: List[str], lowercase: bool, rows: List[tuple]) -> List[tuple]:
    """Rows of lines, a language to each column, tokenised and where asked for lower-cased."""
    tokenized = [tuple(tokenize(line, language) for line, language in zip(row, languages)) for row in rows]
    return [tuple(line.lower() for line in row) for row in tokenized] if lowercase else tokenized
