"""portable/moses.py against what the Perl of Moses makes of lines: it wrote those below, each by its script."""

import os
import sys
from pathlib import Path

import pytest
from support import ROOT

sys.path.insert(0, str(ROOT / "recipes"))
import iwslt14

from fairseq_bahdanau.portable import moses, moses_as_perl
from fairseq_bahdanau.text import read_lines, stream_lines

# A folder with NAME.LANGUAGE.xml of the campaign, and beside each NAME.LANGUAGE.tok, which grep, sed, tokenizer.perl
# and lowercase.perl have made of it, as in fairseq's prepare-iwslt14.sh.
CAMPAIGN = os.environ.get("IWSLT14_TOK", "")

TOKENIZED = [
    # The last word of a line loses its full stop, whatever it is.
    ("en", "I live in the U.S.", "I live in the U.S ."),
    ("en", "He left at 5 p.m.", "He left at 5 p.m ."),
    ("en", "on www.ted.com.", "on www.ted.com ."),
    ("en", "Meet Mr.", "Meet Mr ."),
    ("en", "It is No.", "It is No ."),
    ("en", "vitamin C.", "vitamin C ."),
    ("de", "Das ist z.B.", "Das ist z.B ."),
    ("de", "Es war am 3.", "Es war am 3 ."),
    ("de", "Nr.", "Nr ."),
    ("fr", "aujourd'hui l'été, c.-à-d.", "aujourd&apos; hui l&apos; été , c.-à-d ."),
    ("en", "the end.'", "the end . &apos; "),
    ("en", 'the end."', "the end . &quot;"),
    ("en", "a .\x1c", "a ."),
    # One before it does not.
    ("en", "No. 5 and No. Five", "No. 5 and No . Five"),
    ("en", "Mr. Smith, e.g. the U.S. army. Then", "Mr. Smith , e.g. the U.S. army . Then"),
    ("en", "approx. two. Two", "approx. two . Two"),
    ("de", "am 3. Mai, usw. Das", "am 3. Mai , usw. Das"),
    # Apostrophes, quotes, dots, commas, what is escaped.
    ("en", "It's the dogs' 1990's rock'n'roll, 'tis 'so'.",
     "It &apos;s the dogs &apos; 1990 &apos;s rock &apos;n&apos;roll , &apos; tis &apos; so &apos; ."),
    ("de", "Er geht's an.", "Er geht &apos; s an ."),
    ("fr", "M. X n'a qu'une idée, p.ex. l'été.", "M. X n&apos; a qu&apos; une idée , p.ex. l&apos; été ."),
    ("fr", "C'est 5 % : « oui » ?", "C&apos; est 5 % : « oui » ?"),
    ("en", '"Why?" he said ... "etc..."', "&quot; Why ? &quot; he said ... &quot; etc ... &quot;"),
    ("en", "1,000 and 1,2,x, 5, a,b,c,", "1,000 and 1,2 , x , 5 , a , b , c ,"),
    ("en", 'a|b <i> [x] & "y" &amp; `z`',
     "a &#124; b &lt; i &gt; &#91; x &#93; &amp; &quot; y &quot; &amp; amp ; `z`"),
    # Letters of every script, also the newer ones; white space and control characters.
    ("en", "東京 and Ελλάς, 한국어.", "東京 and Ελλάς , 한국어 ."),
    ("en", "x. Ა y. ა", "x . Ა y. ა"),
    ("de", "हिन्दी e\u0301", "हिन \u094d दी e \u0301"),
    ("en", "a\x1cb \x07c\u2028d\xa0e", "ab c d e"),
    ("en", " \u3000 ", " \u3000 "),
    ("en", "\x01", ""),
    ("en", "", ""),
]  # fmt: skip
DETOKENIZED = [
    ("en", "it &apos;s the dogs &apos; &quot; house &quot; , isn &apos;t it ?", "it's the dogs' \"house\", isn't it?"),
    ("en", ". &apos;s and &quot; &apos;ll", ". 's and \"'ll"),  # nothing to join them with
    ("en", "( $ 5 ) [ a ] & amp ; &amp;lt;", "($5) [a] & amp; &lt;"),
    ("en", "5 &apos;s a @-@ b @-@ c", "5's a-b-c"),
    ("en", "the end  . &apos; ", "the end . '"),
    ("en", "₿ 5 東京 都 a", "₿5 東京都 a"),
    ("en", "a\xa0b .", "a\xa0b."),
    ("en", "\u2028", "\u2028"),
    ("fr", "l&apos; homme : qu&apos; il dit : 5 % ?", "l'homme : qu'il dit : 5 % ?"),
    ("fr", "« oui » , aujourd&apos; hui", "« oui », aujourd'hui"),
    ("de", "&quot; Ja &quot; , sagt &apos; er &apos; .", "\"Ja\", sagt 'er'."),
    ("de", "„ a “ ` b `", "„a“ `b`"),
    ("de", "&bar; &bra; &ket; &#124; &#91; &#93; &lt; &gt;", "| [] | [] < >"),
]


@pytest.mark.parametrize(("language", "line", "wanted"), TOKENIZED)
def test_a_line_is_tokenised_as_by_the_perl(language, line, wanted):
    assert moses.tokenize(line, language) == wanted


@pytest.mark.parametrize(("language", "line", "wanted"), DETOKENIZED)
def test_a_line_is_detokenised_as_by_the_perl(language, line, wanted):
    assert moses.detokenize(line, language) == wanted


def test_unknown_words_at_both_ends_are_no_markup():
    assert moses.detokenize("<unk> &apos;s a , <unk>", "en") == "<unk> 's a, <unk>"


@pytest.mark.parametrize(
    ("line", "wanted"), [("ΟΔΟΣ ΣΟΦΟΣ", "οδοσ σοφοσ"), ("ÉCOLE İ ẞ Ǆ Ა", "école i̇ ß ǆ ა"), ("Σ", "σ")]
)
def test_a_line_is_lower_cased_as_by_the_perl(line, wanted):
    assert moses.lowercase(line) == wanted


@pytest.mark.skipif(not CAMPAIGN, reason="no files of the campaign: IWSLT14_TOK=FOLDER names where they are")
def test_no_line_of_the_campaign_differs():
    files = sorted(Path(CAMPAIGN).glob("*.xml"))
    assert files, f"IWSLT14_TOK={CAMPAIGN} has no .xml"
    for path in files:
        language = path.name.split(".")[-2]
        sentences = iwslt14.test_text(stream_lines(str(path)))
        ours = [moses.lowercase(line) for (line,) in moses.tokenize_chunk([language], [(line,) for line in sentences])]
        perls = read_lines(str(path.with_suffix(".tok")))
        assert len(ours) == len(perls) > 0
        assert [(line, perl) for line, perl in zip(ours, perls) if line != perl] == []


@pytest.mark.parametrize("function", [moses.tokenize, moses.detokenize])
@pytest.mark.parametrize("language", ["cs", "EN", "", "deu"])
def test_a_language_that_was_not_compared_is_refused(function, language):
    with pytest.raises(ValueError, match=rf"for de, en, fr alone, not for '{language}'"):
        function("a", language)


def test_rules_of_another_sacremoses_are_not_taken_for_ours():
    with pytest.raises(RuntimeError, match=r"this sacremoses is not the one of requirements.txt: \[a-z\]"):
        moses_as_perl.with_properties(moses_as_perl.MosesTokenizer, "[a-z]")
