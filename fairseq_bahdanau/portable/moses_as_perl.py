"""The classes here are sacremoses' tokeniser and detokeniser, put right where they differ from Moses' Perl."""

from typing import List, Tuple

import regex
from sacremoses import MosesDetokenizer, MosesTokenizer

FINAL_STOP = regex.compile(r"(?<=\S)\.\s*$")
LOWER = regex.compile(r"\p{Lowercase}")
ALPHABETIC = regex.compile(r"\p{Alphabetic}")
CONTRACTION = regex.compile(r"(?<=\p{Alnum}) (?='\p{Alphabetic})")
NEVER = regex.compile(r"(?!)")
PROPERTIES = {"IsAlnum": "Alnum", "IsAlpha": "Alphabetic", "IsN": "N", "IsSc": "Sc"}


def with_properties(owner: type, pattern: str) -> regex.Pattern:
    """Compiles a pattern of sacremoses with properties of characters, as Perl's has them, in place of its lists.

    The lists lack what is newer than Unicode 8, and Chinese, which would fall apart into single characters.

    Raises:
        RuntimeError: it has no such list, so that this sacremoses is another than this file was written for
    """
    new = pattern
    for characters, name in PROPERTIES.items():
        if hasattr(owner, characters):
            new = new.replace(getattr(owner, characters), rf"\p{{{name}}}")
    if new == pattern:
        raise RuntimeError(f"this sacremoses is not the one of requirements.txt: {pattern[:60]}")
    return regex.compile(new)


def rules(*names: str) -> List[Tuple[regex.Pattern, str]]:
    """Returns rules of the tokeniser by their names: each is a pattern, and what to put in its place."""
    found = (getattr(MosesTokenizer, name) for name in names)
    return [(with_properties(MosesTokenizer, old.pattern), new) for old, new in found]


class Tokenizer(MosesTokenizer):
    """A ``Tokenizer`` knows all scripts, and treats the last word of a line, as ``tokenizer.perl`` does."""

    PAD_NOT_ISALNUM, COMMA_SEPARATE_1, COMMA_SEPARATE_2, COMMA_SEPARATE_3 = rules(
        "PAD_NOT_ISALNUM", "COMMA_SEPARATE_1", "COMMA_SEPARATE_2", "COMMA_SEPARATE_3"
    )
    ENGLISH_SPECIFIC_APOSTROPHE = rules(*(f"EN_SPECIFIC_{number}" for number in range(1, 6)))
    FR_IT_SPECIFIC_APOSTROPHE = rules(*(f"FR_IT_SPECIFIC_{number}" for number in range(1, 5)))

    def islower(self, text: str) -> bool:
        """Decides whether a character is a lower-case letter."""
        return LOWER.match(text) is not None

    def isanyalpha(self, text: str) -> bool:
        """Decides whether the text has a letter."""
        return ALPHABETIC.search(text) is not None

    def handles_nonbreaking_prefixes(self, text: str) -> str:
        """Cuts the full stop off words that are no abbreviations, and off the last word of the line whatever it is."""
        return super().handles_nonbreaking_prefixes(FINAL_STOP.sub(" .", text))


class Detokenizer(MosesDetokenizer):
    """A ``Detokenizer`` knows all scripts, and joins English contractions, as ``detokenizer.perl`` does."""

    IS_CURRENCY_SYMBOL = with_properties(MosesDetokenizer, MosesDetokenizer.IS_CURRENCY_SYMBOL.pattern)
    IS_FRENCH_CONRTACTION = with_properties(MosesDetokenizer, MosesDetokenizer.IS_FRENCH_CONRTACTION.pattern)
    STARTS_WITH_ALPHA = with_properties(MosesDetokenizer, MosesDetokenizer.STARTS_WITH_ALPHA.pattern)
    IS_ENGLISH_CONTRACTION = NEVER  # it does not look at the word before; the following does

    def unescape_xml(self, text: str) -> str:
        """Makes characters of ``&apos;`` and the like, and joins contractions with the word or number before them."""
        text = super().unescape_xml(text)
        return CONTRACTION.sub("", text) if self.lang == "en" else text
