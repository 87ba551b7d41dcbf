"""Functions here write alignments as one HTML page, which a browser opens without a server or any other file.

Every heat map is a table: the browser finds fonts and room for the words, and the tooltip of a cell tells its weight.
"""

from html import escape
from typing import List, NamedTuple

from ..tables import showable, showable_beside
from .links import Alignment

ISOLATED = "\u2068{}\u2069"  # keeps a right-to-left word from pulling the words beside it along
HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font-family: sans-serif; margin: 2em; }}
section {{ margin-bottom: 3em; overflow-x: auto; }}
table {{ border-collapse: collapse; }}
tbody td {{ border: 1px solid #555; width: 1.4em; min-width: 1.4em; height: 1.4em; padding: 0; }}
td:hover {{ outline: 2px solid #d33; }}
th {{ font-weight: normal; white-space: nowrap; padding: 0.2em 0.4em; }}
tbody th {{ text-align: right; }}
thead th {{ vertical-align: bottom; padding: 0.4em 0; }}
thead span {{ writing-mode: vertical-rl; text-orientation: sideways; transform: rotate(180deg); }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>Source words across, target words down; black is 0, white is 1. Point at a square to read its weight.</p>
"""


class Section(NamedTuple):
    """A section is what the page shows of one hypothesis: a heading, the text, and the alignment."""

    heading: str
    text: str
    alignment: Alignment


def shown(text: str) -> str:
    """Writes text as HTML, in an attribute too; what HTML cannot hold, as :func:`showable` has it."""
    return escape(showable(text))


def html_table(alignment: Alignment) -> str:
    """Writes the heat map of an alignment as an HTML table."""
    across = "".join(f'<th scope="col"><span dir="auto">{shown(word)}</span></th>' for word in alignment.source)
    rows = []
    for target, weights in zip(alignment.target, alignment.weights):
        cells = []
        for source, weight in zip(alignment.source, weights):
            grey = round(255 * min(1.0, float(weight)))
            tip = (
                f"{ISOLATED.format(showable_beside(source))} → {ISOLATED.format(showable_beside(target))}: {weight:.3f}"
            )
            cells.append(f'<td style="background:#{grey:02x}{grey:02x}{grey:02x}" title="{escape(tip)}"></td>')
        rows.append(f'<tr><th scope="row" dir="auto">{shown(target)}</th>{"".join(cells)}</tr>')
    body = "\n".join(rows)
    return f"<table>\n<thead><tr><td></td>{across}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"


def html_lines(title: str, sections: List[Section]) -> List[str]:
    """Returns the lines of a page that shows these sections one below the other."""
    lines = [HEAD.format(title=shown(title))]
    for section in sections:
        lines.append(f'<section>\n<h2>{shown(section.heading)}</h2>\n<p dir="auto">{shown(section.text)}</p>')
        lines.append(f"{html_table(section.alignment)}\n</section>")
    lines.append("</body>\n</html>")
    return lines
