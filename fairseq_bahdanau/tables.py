"""Commands and recipes take and print small tables by the functions here, and make text fit to be shown.

The standard library is all that they need.
"""

import re
from typing import Dict, Iterable, List, Sequence


def named_values(flag: str, given: Iterable[str], form: str) -> Dict[str, str]:
    """Reads the values of an option that is given again and again, each time with another name: ``NAME=VALUE``.

    Args:
        flag: the option
        given: its values
        form: what a complaint says that they must be

    Raises:
        ValueError: another form, or a name given twice; begins with flag and value
    """
    values: Dict[str, str] = {}
    for one in given:
        name, _, value = one.partition("=")
        if not (name and value):
            raise ValueError(f"{flag} {one}: must be {form}")
        if name in values:
            raise ValueError(f"{flag} {one}: the name {name} is given twice")
        values[name] = value
    return values


# What a picture, a page or a table cannot hold: control characters, separators of lines and paragraphs, lone
# surrogates, marks of annotations, and what is no character at all.
UNSHOWABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufdd0-\ufdef\ufff9-\ufffb"
    + "".join(f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0, 0x110000, 0x10000))
    + "]"
)
TURNS = re.compile("[\u202a-\u202e\u2066-\u2069]")  # what changes the direction of the text that follows


def showable(text: str) -> str:
    """Returns a form of a text for pictures and pages, in one line: SVG and HTML cannot hold all of it.

    Each character that they cannot hold becomes U+FFFD. Files of text alone keep what they have.
    """
    return UNSHOWABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def showable_beside(text: str) -> str:
    """Returns what :func:`showable` does, for a place where other text stands in the same line: nothing turns it."""
    return TURNS.sub("\N{REPLACEMENT CHARACTER}", showable(text))


def markdown_row(cells: Iterable[object]) -> str:
    """Writes a row of a Markdown table; a cell keeps to itself whatever stands in it."""
    return f"| {' | '.join(showable_beside(str(cell)).replace('|', chr(92) + '|') for cell in cells)} |"


def markdown_table(head: Sequence[object], rows: Iterable[Iterable[object]]) -> List[str]:
    """Returns the lines of a Markdown table: its head, the rule below that, and the rows."""
    return [markdown_row(head), f"|{'---|' * len(head)}", *map(markdown_row, rows)]
