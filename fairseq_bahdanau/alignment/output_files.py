"""``write_all`` writes what ``fairseq_bahdanau.cli.align`` leaves behind: pictures, a page, links, weights and text."""

import os
import re
from typing import List, NamedTuple, Optional

from ..text import part_names, write_lines
from .heat_maps import CannotDrawError, draw
from .html_page import Section, html_lines
from .links import Alignment, hard_links, soft_rows, to_pharaoh

PICTURE = re.compile(r"\d{4,}(-\d+)?\.(png|svg)|index\.html")  # and the page, which shows them


class Hypothesis(NamedTuple):
    """A hypothesis is a translation: its sentence's number from 0, its rank from 1, its text, and its alignment."""

    sentence: int
    rank: int
    text: str
    alignment: Alignment

    def name(self) -> str:
        """Returns the name of its picture without ending: the sentence's number, and the rank unless that is 1."""
        return f"{self.sentence:04}" if self.rank == 1 else f"{self.sentence:04}-{self.rank}"


def write_all(folder: str, hypotheses: List[Hypothesis], file_format: str) -> Optional[str]:
    """Writes ``hypotheses.txt``, ``alignment.pharaoh``, ``alignment.tsv``, ``index.html``, and a picture of every
    hypothesis, each file complete or not at all; pictures and page of an earlier call go first. What cannot be drawn
    stays without a picture. A line's end within a hypothesis, which pieces of bytes can spell, is written as a space:
    there is a line for every hypothesis.

    Args:
        folder: an existing one
        hypotheses: in the order of the input, those of one sentence together
        file_format: of the pictures, ``png`` or ``svg``; ``none`` leaves out pictures and page

    Returns:
        one line that says why pictures are missing; None when there are all
    """
    for name in os.listdir(folder):  # pictures of another text would pass for those of this one
        if PICTURE.fullmatch(name):
            os.remove(os.path.join(folder, name))
    write_lines(os.path.join(folder, "hypotheses.txt"), [re.sub(r"[\r\n]", " ", one.text) for one in hypotheses])
    links = [to_pharaoh(hard_links(one.alignment)) for one in hypotheses]
    write_lines(os.path.join(folder, "alignment.pharaoh"), links)
    rows = ["sentence\trank\tsource_index\ttarget_index\tsource\ttarget\tweight"]
    for one in hypotheses:
        rows += [f"{one.sentence}\t{one.rank}\t{row}" for row in soft_rows(one.alignment)]
    write_lines(os.path.join(folder, "alignment.tsv"), rows)
    if file_format == "none":
        return None
    sections = [Section(one.name(), one.text, one.alignment) for one in hypotheses]
    write_lines(os.path.join(folder, "index.html"), html_lines("Alignments", sections))

    reasons = []
    for one in hypotheses:
        try:
            with part_names(os.path.join(folder, f"{one.name()}.{file_format}")) as (part,):
                draw(one.alignment, part, file_format)
        except CannotDrawError as error:
            reasons.append(f"{one.name()}.{file_format}: {error}")
    if not reasons:
        return None
    more = f" ({len(reasons)} of {len(hypotheses)} pictures are missing)" if len(reasons) > 1 else ""
    return f"cannot draw {reasons[0]}; index.html shows it{more}"
