"""Words of any characters in pictures, on the page and in tables: other programs can read all of it."""

import sys
import unicodedata
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest

from fairseq_bahdanau.alignment.html_page import Section, html_lines
from fairseq_bahdanau.alignment.links import Alignment
from fairseq_bahdanau.alignment.output_files import Hypothesis, write_all
from fairseq_bahdanau.tables import markdown_table, showable, showable_beside

CONTROLS = [chr(code) for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)) in ("Cc", "Cf", "Cs")]
NONCHARACTERS = [chr(code) for code in (*range(0xFDD0, 0xFDF0), *(p + e for p in range(0, 0x110000, 0x10000)
                                                                  for e in (0xFFFE, 0xFFFF)))]  # fmt: skip
MARKUP = list("<>&\"'|$\\`") + ["--", "]]>", "<!--", "&lt;", "\u2028", "\u2029"]
ODD = [*CONTROLS, *NONCHARACTERS, *MARKUP]


def may_be_xml(character: str) -> bool:
    """The production Char of XML 1.0, without what its second note asks authors to leave out."""
    code = ord(character)
    allowed = code in (9, 10, 13) or 0x20 <= code <= 0xD7FF or 0xE000 <= code <= 0xFFFD or 0x10000 <= code
    return allowed and not (0x7F <= code <= 0x9F or 0xFDD0 <= code <= 0xFDEF or code & 0xFFFE == 0xFFFE)


def test_what_is_shown_is_one_line_of_xml():
    assert len(CONTROLS) > 2200 and len(NONCHARACTERS) == 66
    for odd in ODD:
        shown = showable(f"a{odd}b")
        assert all(map(may_be_xml, shown)) and len(shown.splitlines()) == 1 and len(shown) == len(odd) + 2, ascii(odd)
        assert shown == f"a{odd}b" or shown == "a\ufffdb"
        # What turns the text around would turn what stands beside it.
        assert unicodedata.bidirectional(showable_beside(odd)[0]) not in (
            "LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")  # fmt: skip
    for kept in (
        "Straße",
        "天",
        "שלום",
        "می\u200cروم",
        "e\u0301",
        "\U0001f468\u200d\U0001f469",
        "co\u00adop",
        "\ufeffa",
    ):
        assert showable(kept) == showable_beside(kept) == kept


class Page(HTMLParser):
    """Headings, paragraphs, words and tooltips of a page, and its tags."""

    def __init__(self):
        super().__init__()
        self.texts, self.tips, self.tags, self.open = [], [], [], None

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.open = tag
        self.tips += [value for name, value in attrs if name == "title"]

    def handle_data(self, data):
        if data.strip() or self.open in ("th", "span", "p"):
            self.texts.append((self.open, data))
        self.open = None


def alignment_of(words):
    weights = np.full((len(words) + 1, 2), 0.5)
    return Alignment(["x", "</s>"], [*words, "</s>"], weights)


@pytest.mark.parametrize("part", range(0, len(ODD), 400))
def test_the_page_holds_every_word(part):
    words = [f"a{odd}b" for odd in ODD[part : part + 400]]

    page = "\n".join(html_lines("T", [Section(words[0], " ".join(words), alignment_of(words))]))
    page.encode("utf-8")
    assert all(may_be_xml(character) for character in page)
    parser = Page()
    parser.feed(page)
    shown = [showable(word) for word in words]
    assert [data for tag, data in parser.texts if tag == "th"] == [*shown, "</s>"]
    assert ("h2", shown[0]) in parser.texts and ("p", showable(" ".join(words))) in parser.texts
    tips = [tip.split(" → ")[1].rpartition(": ")[0] for tip in parser.tips[::2]]
    assert tips == [f"\u2068{showable_beside(word)}\u2069" for word in [*words, "</s>"]]
    assert set(parser.tags) <= set(
        "html head meta title style body h1 p section h2 table thead tbody tr th td span".split()
    )


def test_pictures_can_be_read(tmp_path):
    some = [*CONTROLS[:65], "\u202e", "\u200d", "\ufffe", "\U0001ffff", *MARKUP]
    words = [f"a{odd}b" for odd in some]
    hypotheses = [Hypothesis(0, 1, "a\nb\r\nc", alignment_of(words))]
    assert write_all(str(tmp_path), hypotheses, "svg") is None
    root = ElementTree.parse(tmp_path / "0000.svg").getroot()
    assert root.tag.endswith("svg")
    text = (tmp_path / "0000.svg").read_bytes().decode("utf-8")
    assert all(may_be_xml(character) for character in text) and "a\ufffdb" in text  # in a comment beside its shape
    assert write_all(str(tmp_path), hypotheses, "png") is None
    assert (tmp_path / "0000.png").read_bytes().startswith(b"\x89PNG")
    # Every word has its row, every hypothesis its line.
    rows = (tmp_path / "alignment.tsv").read_bytes().decode("utf-8").split("\n")[1:-1]
    assert len(rows) == 2 * (len(words) + 1) and {row.count("\t") for row in rows} == {6}
    assert (tmp_path / "hypotheses.txt").read_bytes() == b"a b  c\n"
    assert rows[0].split("\t")[5] == "a\x00b"  # a file of text keeps what it can hold


def test_a_cell_of_a_table_keeps_to_itself():
    head, rule, row = markdown_table(["a|b", "c"], [["x\ny|", "\u202e\x1b[0m"]])
    assert head == r"| a\|b | c |" and rule == "|---|---|" and row == "| x\ufffdy\\| | \ufffd\ufffd[0m |"
