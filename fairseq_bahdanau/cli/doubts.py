"""Functions here look for input of which every number would be computed, and mean something else than it seems to.

Each returns lines, or none; ``warn`` prints them on standard error, and the tool goes on.
"""

import sys
import unicodedata
from typing import Callable, Dict, Iterable, List, Sequence, Set, Tuple

from fairseq_bahdanau.alignment.links import Link
from fairseq_bahdanau.alignment.scores import flip, score

MANY = 0.5  # a share of lines that another text of the same sentences should come near to
BETTER = 0.1  # how much lower an AER must be before the other reading is worth a word
WITHOUT_SPACES = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")
LONGEST_WORD = 8  # characters; words of these scripts, once cut, have between one and five

Golds = List[Tuple[Set[Link], Set[Link]]]


def warn(tool: str, lines: Iterable[str]) -> None:
    """Prints warnings on standard error, one line each."""
    for line in lines:
        print(f"{tool}: warning: {line}", file=sys.stderr)


# ------------------------------------------------------------------------------------------------------------- texts


def share(lines: Sequence[str], holds: Callable[[str], bool]) -> float:
    """Returns the share of the lines of which something holds."""
    return sum(map(holds, lines)) / len(lines)


def is_not_cut(sources: Sequence[str]) -> bool:
    """Says whether a text is of a script that puts no spaces between words, and has not been cut into words."""
    words = [word for line in sources for word in line.split()]
    letters = [character for word in words for character in word]
    names = (unicodedata.name(letter, "").split(" ")[0].split("-")[0] for letter in letters)
    of_such_scripts = sum(name in WITHOUT_SPACES for name in names)
    return of_such_scripts * 2 > len(letters) > LONGEST_WORD * len(words)


def doubts_of_lengths(name: str, sources: Sequence[str], buckets: List[List[int]], title: str) -> List[str]:
    """Asks whether the lengths of the sources, by which sentences go into buckets, are numbers of words.

    Args:
        name: what the source is called
        sources: its lines
        buckets: the numbers of the sentences of every bucket
        title: of the first bucket
    """
    what_to_do = "a length is a number of words between spaces: give a source that is cut into words"
    if is_not_cut(sources):
        return [f"{name} has no spaces between its words (Chinese, Japanese, Thai ...), but {what_to_do}"]
    if len(buckets[0]) == len(sources):
        return [f"every sentence of {name} falls into the first bucket, {title}; {what_to_do}, or smaller --borders"]
    return []


MARKS: Dict[str, Callable[[str], bool]] = {
    "is cut into pieces (@@)": lambda line: "@@ " in line or line.endswith("@@"),
    "is cut into pieces (▁)": lambda line: "▁" in line,
    "is tokenised (' .' at the end)": lambda line: line.endswith((" .", " ?", " !", " 。")),
}


def doubts_of_systems(sources: Sequence[str], references: Sequence[str], systems: Dict[str, List[str]]) -> List[str]:
    """Asks whether hypotheses and references are texts of one kind, and not the same file.

    Args:
        sources: may be empty, where they are not at hand
        references: as many lines as every system has
        systems: hypotheses by what they are called
    """
    found = []
    if references == sources:
        found.append("the reference is the source itself")
    for name, hypotheses in systems.items():
        if hypotheses == references:
            found.append(f"{name} is the reference itself")
        elif hypotheses == sources:
            found.append(f"{name} is the source itself")
        for kind, holds in MARKS.items():
            difference = share(hypotheses, holds) - share(references, holds)
            if abs(difference) > MANY:
                text, other = (name, "the reference is not") if difference > 0 else ("the reference", f"{name} is not")
                found.append(f"{text} {kind}, {other}: BLEU compares plain, detokenised text")
        empty = sum(not one.strip() and bool(other.strip()) for one, other in zip(hypotheses, references))
        if empty:
            found.append(f"{name} has {empty} empty lines of {len(hypotheses)}, where the reference has text")
    return found


# -------------------------------------------------------------------------------------------------------- alignments


def doubts_of_indices(advice: Dict[str, str], links: Dict[str, List[Set[Link]]]) -> List[str]:
    """Asks whether some of the files, but not all, count words from 1: no word of either side then has the number 0.

    Args:
        advice: of every file that counts from 0 if nothing else is said, the option that says it
        links: of all files, sentence by sentence
    """
    from_1 = set()
    for name, sentences in links.items():
        indices = [index for of_sentence in sentences for link in of_sentence for index in link]
        if len(indices) > 10 and 0 not in indices:
            from_1.add(name)
    return [
        f"{name}: no link has a word 0, as if words were counted from 1: {option} reads it so"
        for name, option in advice.items()
        if name in from_1 and len(from_1) < len(links)
    ]


def error_rate(alignments: Iterable[Set[Link]], golds: Golds) -> float:
    """Returns the alignment error rate."""
    return score(alignments, golds).aer


def doubts_of_links(name: str, alignments: List[Set[Link]], golds: Golds, shifted: bool, flipped: str) -> List[str]:
    """Asks whether links agree much better with the gold standard when they are read in another way.

    Args:
        name: what the file is called
        alignments: its links of every sentence, as they are scored
        golds: the sure and possible links of every sentence
        shifted: whether to try numbers that are one greater and one less
        flipped: what to say where they agree better with their sides swapped
    """
    if not any(alignments):
        return [f"{name} has no link at all"]
    plain, found = error_rate(alignments, golds), []
    for step in (1, -1) if shifted else ():
        moved = [{(source + step, target + step) for source, target in links} for links in alignments]
        other = error_rate(moved, golds)
        if other < plain - BETTER:
            found.append(f"{name}: AER is {plain:.4f}, but {other:.4f} with {step:+d} added to every number: does one "
                         "file count words from 1 (--gold-index-from, --hypothesis-index-from)?")  # fmt: skip
    other = error_rate(map(flip, alignments), golds)
    if other < plain - BETTER:
        found.append(f"{name}: AER is {plain:.4f}, but {other:.4f} with the sides of its links swapped: {flipped}")
    return found
