"""Functions here draw an alignment as in figure 3 of Bahdanau et al. 2014: source across, target down, white is 1.

They need matplotlib 3.6; from 3.11 on it sets right-to-left and joined scripts itself (libraqm).
"""

import unicodedata
from functools import lru_cache
from typing import FrozenSet, Iterable, List, Tuple

from matplotlib import ft2font, rc_context
from matplotlib.figure import Figure
from matplotlib.font_manager import FontManager, fontManager, get_font

from ..tables import showable
from .links import Alignment

FIRST_FAMILY = "DejaVu Sans"  # comes with matplotlib: Latin, Greek, Cyrillic, Hebrew, Arabic
CELL = 0.28  # inches
LONGEST_SIDE = 60  # inches, from which on cells become smaller
LONGEST_LABEL = 60  # characters
DPI = 100
PACKAGES = {
    "CJK": "fonts-noto-cjk",
    "HIRAGANA": "fonts-noto-cjk",
    "KATAKANA": "fonts-noto-cjk",
    "HANGUL": "fonts-noto-cjk",
}


class CannotDrawError(ValueError):
    """The error says that this machine's fonts or matplotlib cannot show a label."""


def characters(labels: Iterable[str]) -> List[str]:
    """Returns the different characters of these labels that need a glyph."""
    invisible = ("Cc", "Cf", "Zs")
    return [
        character
        for character in sorted(set("".join(labels)))
        if unicodedata.category(character) not in invisible
        and not unicodedata.name(character, "").startswith("VARIATION SELECTOR")
    ]


def find_families(labels: Iterable[str]) -> List[str]:
    """Chooses font families that together have every character of the labels, in the order in which to ask them.

    Raises:
        CannotDrawError: a character that no installed font has, or right-to-left text and a matplotlib before 3.11
    """
    wanted = characters(labels)
    if not hasattr(ft2font, "__libraqm_version__"):
        for character in wanted:
            if unicodedata.bidirectional(character) in ("R", "AL"):
                raise CannotDrawError(
                    f"{describe(character)} is right-to-left text, which matplotlib sets from 3.11 on"
                )
    families, missing = [FIRST_FAMILY], without_glyph(wanted, glyphs_of(fontManager.findfont(FIRST_FAMILY)))
    for family, path, glyphs in installed_fonts() if missing else []:
        left = without_glyph(missing, glyphs)
        if len(left) < len(missing):
            fontManager.addfont(path)
            families.append(family)
            missing = left
    if missing:
        raise CannotDrawError(f"no installed font has {describe(missing[0])}; install one, {advice(missing[0])}")
    return families


@lru_cache(maxsize=None)
def installed_fonts() -> List[Tuple[str, str, FrozenSet[int]]]:
    """Lists family, file and characters of every font on this machine, upright regular sans-serif first; it finds those
    that were installed after matplotlib made its own list, too."""
    return [
        (entry.name, entry.fname, glyphs_of(entry.fname))
        for entry in sorted(FontManager().ttflist, key=preference)
        # Faces of a collection after its first, and matplotlib's font of boxes for every character, do not count.
        if "LastResort" not in entry.fname and get_font(entry.fname).family_name == entry.name
    ]


def glyphs_of(path: str) -> FrozenSet[int]:
    """Returns the characters that a font file has a glyph for."""
    return frozenset(get_font(path).get_charmap())


def preference(entry) -> tuple:
    """Returns the key that sorts an entry of matplotlib's list of fonts, the plainest first."""
    fancy = any(word in entry.name for word in ("Serif", "Mono", "Display"))
    regular = entry.weight in (400, "normal", "regular")
    return (entry.style != "normal", not regular, fancy, entry.name, entry.fname)


def without_glyph(wanted: List[str], glyphs: FrozenSet[int]) -> List[str]:
    """Returns those of the wanted characters that a font does not have."""
    return [character for character in wanted if ord(character) not in glyphs]


def describe(character: str) -> str:
    """Names a character: itself, its number, and what Unicode calls it, which begins with its script."""
    return f"'{character}' (U+{ord(character):04X}, {unicodedata.name(character, 'without a name')})"


def advice(character: str) -> str:
    """Says what to install for a character's script."""
    script = unicodedata.name(character, "?").split()[0].split("-")[0]
    return f"on Debian the package {PACKAGES.get(script, 'fonts-noto-core')}"


def label_of(word: str) -> str:
    """Returns what stands at a word's row or column; a very long one is cut, since a picture has room for all of it."""
    shown = showable(word)
    return shown if len(shown) <= LONGEST_LABEL else f"{shown[: LONGEST_LABEL - 1]}…"


def draw(alignment: Alignment, path: str, file_format: str) -> None:
    """Draws an alignment as a heat map into a file, its words as :func:`showable` has them.

    Args:
        alignment: what to draw; columns and rows run from left to right and from top to bottom whatever the script,
            the letters of a word as the script wants
        path: where
        file_format: ``png`` or ``svg``; an SVG holds its letters as shapes and needs no font

    Raises:
        CannotDrawError: no font for a label, or text that this matplotlib cannot set
    """
    source, target = ([label_of(word) for word in side] for side in (alignment.source, alignment.target))
    families = find_families(source + target)
    rows, columns = alignment.weights.shape
    cell = min(CELL, LONGEST_SIDE / max(rows, columns))
    # The hash salt and the missing date make the same alignment the same file.
    with rc_context(
        {"font.family": families, "font.size": cell * 72 * 0.6, "svg.hashsalt": "", "svg.fonttype": "path"}
    ):
        figure = Figure(figsize=(columns * cell, rows * cell))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.imshow(alignment.weights, cmap="gray", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
        axes.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, length=2)
        # Labels are plain words: matplotlib would take what stands between two dollar signs for a formula.
        axes.set_xticks(range(columns), source, rotation=90, parse_math=False)
        axes.set_yticks(range(rows), target, parse_math=False)
        metadata = {"Date": None} if file_format == "svg" else None
        figure.savefig(path, format=file_format, dpi=DPI, bbox_inches="tight", pad_inches=0.05, metadata=metadata)
