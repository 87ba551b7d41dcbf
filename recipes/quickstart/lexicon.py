"""The words of the quickstart corpus are read from lexicon.txt here, and inflected as German does by rule.

Genders are ``m``, ``f`` and ``n``; a German plural has the endings of none of them and counts as a fourth, ``p``.
Cases are ``nom``, ``dat`` and ``acc``; the grammar has no genitive. Verb forms are ``first`` (I), ``third`` (he) and
``plural`` (we, they).
"""

import sys
from pathlib import Path
from typing import Dict, List, NamedTuple

from fairseq_bahdanau.text import stream_lines

LEXICON = Path(__file__).resolve().parent / "lexicon.txt"
# The endings of an article like "dieser", and of an adjective without any article.
STRONG = {
    "nom": {"m": "er", "f": "e", "n": "es", "p": "e"},
    "dat": {"m": "em", "f": "er", "n": "em", "p": "en"},
    "acc": {"m": "en", "f": "e", "n": "es", "p": "e"},
}
# The endings of an adjective after an article that has an ending.
WEAK = {
    "nom": {"m": "e", "f": "e", "n": "e", "p": "en"},
    "dat": {"m": "en", "f": "en", "n": "en", "p": "en"},
    "acc": {"m": "en", "f": "e", "n": "e", "p": "en"},
}
# Where an article like "ein" has no ending.
BARE = (("nom", "m"), ("nom", "n"), ("acc", "n"))


class Noun(NamedTuple):
    """A noun has forms and a gender; ``kinds`` says which verbs, adjectives and prepositions it goes with."""

    english: str
    english_plural: str
    gender: str
    german: str
    german_plural: str
    kinds: str

    def decline(self, plural: bool, case: str) -> str:
        """Forms the German case: "den Männern", "dem Jungen"."""
        if not plural:
            return self.german.split()[0 if case == "nom" else -1]
        ending = "n" if case == "dat" and self.german_plural[-1] not in "ns" else ""
        return self.german_plural + ending


class Pronoun(NamedTuple):
    """A pronoun is a personal one, as a subject."""

    english: str
    german: str
    form: str


class Determiner(NamedTuple):
    """A determiner is an article, or what stands in its place; without ``english_plural`` it has none."""

    english: str
    english_plural: str
    german: str
    like: str
    weight: str

    def ending(self, case: str, gender: str) -> str:
        """Returns the German ending; it is empty where "ein" has none."""
        if self.like == "ein" and (case, gender) in BARE:
            return ""
        if self.like == "der" and case != "dat" and gender != "m":
            return "as" if gender == "n" else "ie"
        return STRONG[case][gender]


class Adjective(NamedTuple):
    """An adjective stands before nouns of its kinds; ``sort`` says which can stand before which."""

    english: str
    german: str
    sort: str
    kinds: str


class Verb(NamedTuple):
    """A verb has its forms, and says what goes with it.

    ``objects`` is what it takes: nothing, objects in cases such as ``dat acc``, a clause with ``that``, or a
    ``predicate``; with ``acc that`` it takes either.
    """

    english: str
    english_particle: str
    german: str
    german_particle: str
    perfect: str
    objects: str
    subjects: str
    object_kinds: str

    def english_form(self, form: str) -> str:
        """Returns a finite form, ``participle`` or ``infinitive``, without the particle."""
        forms = self.english.split()
        if len(forms) == 3:
            forms = [forms[0], forms[0], forms[1], forms[0], forms[2]]
        return forms[("infinitive", "first", "third", "plural", "participle").index(form)]

    def german_form(self, form: str) -> str:
        """Returns a finite form, ``participle`` or ``infinitive``, without particle; most infinitives are plurals."""
        forms = self.german.split()
        return [*forms, forms[2]][("first", "third", "plural", "participle", "infinitive").index(form)]


class Helper(NamedTuple):
    """A helper is the finite verb of a perfect or of a modal verb's clause; its German infinitive names it."""

    infinitive: str
    english: str
    german: str

    def finite(self, form: str) -> List[str]:
        """Returns the English and the German form."""
        which = ("first", "third", "plural").index(form)
        return [self.english.split()[which], self.german.split()[which]]


class Number(NamedTuple):
    """A number of the lexicon is one that other numbers are made of."""

    value: str
    english: str
    german: str


class Preposition(NamedTuple):
    """A preposition takes a case; ``slot`` is where its phrase goes: company, place, or owner in a noun phrase."""

    english: str
    german: str
    case: str
    slot: str
    kinds: str


class Contraction(NamedTuple):
    """A contraction makes one word of a preposition and an article."""

    preposition: str
    article: str
    german: str


class Words(NamedTuple):
    """Adverbs, times and conjunctions have one form in each language."""

    english: str
    german: str


SECTIONS = {
    "nouns": Noun,
    "pronouns": Pronoun,
    "determiners": Determiner,
    "adjectives": Adjective,
    "verbs": Verb,
    "helpers": Helper,
    "numbers": Number,
    "adverbs": Words,
    "times": Words,
    "prepositions": Preposition,
    "contractions": Contraction,
    "conjunctions": Words,
    "connectors": Words,
}
# What may stand in a column, and how many words, where that is not free.
ALLOWED = {
    "gender": ("m", "f", "n"),
    "form": ("first", "third", "plural"),
    "like": ("der", "dieser", "ein"),
    "perfect": ("haben", "sein"),
    "objects": ("", "acc", "dat", "dat acc", "that", "acc that", "dat that", "predicate"),
    "case": ("dat", "acc"),
    "sort": ("quality", "colour"),
    "slot": ("company", "place", "owner"),
}
COUNTS = {
    Noun: {"german": (1, 2)},
    Verb: {"english": (3, 5), "german": (4, 5)},
    Helper: {"english": (3,), "german": (3,)},
}


def parse_row(section: str, line: str, place: str) -> NamedTuple:
    """Reads one row of a section.

    Raises:
        SystemExit: it has other columns than the section, or one that means nothing; names ``place``
    """
    kind = SECTIONS[section]
    cells = [" ".join(cell.split()) for cell in line.split("|")]
    if len(cells) != len(kind._fields):
        sys.exit(f"{place}: a row of [{section}] has {len(kind._fields)} columns, not {len(cells)}")
    row = kind(*cells)
    for column, cell in zip(kind._fields, cells):
        if column in ALLOWED and cell not in ALLOWED[column]:
            sys.exit(f"{place}: {column} is one of {', '.join(filter(None, ALLOWED[column]))}, not {cell!r}")
        counts = COUNTS.get(kind, {}).get(column)
        if counts is not None and len(cell.split()) not in counts:
            sys.exit(f"{place}: {column} has {' or '.join(map(str, counts))} words, not {len(cell.split())}: {cell!r}")
    if section == "times" and len(row.english.split()) != len(row.german.split()):
        sys.exit(f"{place}: a time has as many words in both languages, because they are linked one by one")
    return row


def check_kinds(rows: Dict[str, List[NamedTuple]], path: Path) -> None:
    """Stops when a verb or a preposition goes with a kind that no noun or no adjective has."""
    for section in ("nouns", "adjectives"):
        known = {kind for row in rows[section] for kind in row.kinds.split()}
        needed = [(row.english, f"{row.subjects} {row.object_kinds}") for row in rows["verbs"]]
        for english, kinds in needed + [(row.english, row.kinds) for row in rows["prepositions"]]:
            for kind in set(kinds.split()) - known:
                sys.exit(f"{path}: {english!r} goes with the kind {kind}, but [{section}] has none of it")


def read_lexicon(path: Path = LEXICON) -> Dict[str, List[NamedTuple]]:
    """Reads the rows of every section, in the order of the file.

    Raises:
        SystemExit: a line that is not understood, named with its number, or what is missing
    """
    rows: Dict[str, List[NamedTuple]] = {section: [] for section in SECTIONS}
    section = ""
    for number, line in enumerate(stream_lines(str(path)), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        place = f"{path}:{number}"
        if line.startswith("["):
            section = line.strip("[]")
            if section not in SECTIONS:
                sys.exit(f"{place}: no section {line}; there are {' '.join(SECTIONS)}")
        elif not section:
            sys.exit(f"{place}: a row before the first [section]")
        else:
            rows[section].append(parse_row(section, line, place))
    for section, found in rows.items():
        if not found:
            sys.exit(f"{path}: no rows of [{section}]")
    check_kinds(rows, path)
    return rows
