"""Functions here do what scripts of Moses do: tokenise, detokenise and lower-case lines, and choose clean pairs.

sacremoses, a translation of the Perl, does most of it; ``moses_as_perl.py`` has what it does otherwise.
"""

import functools
import re
from typing import TYPE_CHECKING, List, Sequence

if TYPE_CHECKING:
    from .moses_as_perl import Detokenizer, Tokenizer

LANGUAGES = ("de", "en", "fr")  # those of the recipes, in which lines were compared with the Perl's
# Perl deletes these; four of them count as white space in Python and not in Perl.
CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1f]")
BLANK = re.compile(r"[^\S\x1c-\x1f]*")  # Perl passes such a line on as it is
# To detokenizer.perl, words are what stands between spaces (so nothing is one), and other white space is part of them.
# sacremoses cuts at all white space; halves of surrogate pairs, which no text can hold, hide it meanwhile.
HIDE = {code: 0xD800 + number for number, code in enumerate(c for c in range(0x3001) if chr(c).isspace() and c != 0x20)}
SHOW = {hidden: code for code, hidden in HIDE.items()}
NOTHING = "\udfff"


def require_language(language: str) -> None:
    """Refuses a language for which nobody has compared the result with the Perl's.

    Raises:
        ValueError: the language is none of :data:`LANGUAGES`
    """
    if language not in LANGUAGES:
        raise ValueError(f"Moses' tokenisation is here for {', '.join(LANGUAGES)} alone, not for {language!r}")


def require_moses(source: str, target: str) -> None:
    """Makes what tokenises one language and puts another together, so that nothing is missing later.

    Raises:
        ValueError: a language that is none of :data:`LANGUAGES`, or sacremoses is not installed
    """
    try:
        tokenizer(source)
        detokenizer(target)
    except ModuleNotFoundError as error:
        raise ValueError(f"Moses' tokens need sacremoses: pip install sacremoses ({error})") from error


# sacremoses takes half a second to import, and its objects compile their rules: a process makes what it needs, once.


@functools.lru_cache(maxsize=None)
def tokenizer(language: str) -> "Tokenizer":
    """Makes the tokeniser of a language."""
    require_language(language)
    from .moses_as_perl import Tokenizer

    return Tokenizer(lang=language)


@functools.lru_cache(maxsize=None)
def detokenizer(language: str) -> "Detokenizer":
    """Makes the detokeniser of a language."""
    require_language(language)
    from .moses_as_perl import Detokenizer

    return Detokenizer(lang=language)


def tokenize(line: str, language: str) -> str:
    """Tokenises a line as ``tokenizer.perl`` does, special characters escaped (``&apos;``)."""
    if BLANK.fullmatch(line):
        return line
    return tokenizer(language).tokenize(CONTROLS.sub("", line), return_str=True)


def detokenize(line: str, language: str) -> str:
    """Undoes :func:`tokenize` as ``detokenizer.perl`` does; ``&apos;`` and the like become characters again.

    But a line from ``<`` to ``>``, which is markup to the Perl, is to us one from ``<unk>`` to ``<unk>``.
    """
    if BLANK.fullmatch(line):
        return line
    words = [word or NOTHING for word in line.translate(HIDE).split(" ")]
    text = detokenizer(language).detokenize(words).replace(NOTHING, "")
    return re.sub(" +", " ", text).strip(" ").translate(SHOW)


def lowercase(line: str) -> str:
    """Lower-cases a line as ``lowercase.perl`` does, which has one small sigma, also for the end of a word."""
    return line.replace("Σ", "σ").lower()


def tokenize_chunk(languages: List[str], rows: List[tuple]) -> List[tuple]:
    """Tokenises rows of lines, a language to each column."""
    return [tuple(tokenize(line, language) for line, language in zip(row, languages)) for row in rows]


def is_clean_pair(counts: Sequence[int], longest: int, ratio: float) -> bool:
    """Decides as ``clean-corpus-n.perl`` does whether a pair of sentences is one to train on.

    Args:
        counts: the numbers of words, or pieces, of both sides
        longest: the greatest number that a side may have; the least is 1
        ratio: how many times as long as the other a side may be
    """
    return 0 < min(counts) and max(counts) <= longest and max(counts) <= ratio * min(counts)
