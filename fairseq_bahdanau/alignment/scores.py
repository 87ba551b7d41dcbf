"""Functions here tell how good an alignment is, and make one alignment out of those of two directions.

Och and Ney 2003 ("A systematic comparison of various statistical alignment models") define the measures, section 6;
Koehn, Och and Marcu 2003 ("Statistical phrase-based translation") grow the diagonal, section 2.3 and figure 1.
"""

from typing import Iterable, NamedTuple, Set, Tuple

from .links import Link

NEIGHBOURS = [(-1, 0), (0, -1), (1, 0), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1)]


class Quality(NamedTuple):
    """A quality is three fractions between 0 and 1: of precision and recall more is better, of ``aer`` less."""

    precision: float
    recall: float
    aer: float


def score(hypotheses: Iterable[Set[Link]], golds: Iterable[Tuple[Set[Link], Set[Link]]]) -> Quality:
    """Computes precision, recall and alignment error rate (AER) of a corpus, whose links are counted together.

    With links A, sure links S and possible links P, which include S: precision = |A ∩ P| / |A|,
    recall = |A ∩ S| / |S|, AER = 1 - (|A ∩ S| + |A ∩ P|) / (|A| + |S|).

    Args:
        hypotheses: A of every sentence
        golds: S and P of every sentence

    Returns:
        the fractions; a precision without any link is nan

    Raises:
        ValueError: no sure link in the whole gold standard
    """
    in_sure = in_possible = links = sure_links = 0
    for hypothesis, (sure, possible) in zip(hypotheses, golds):
        in_sure += len(hypothesis & sure)
        in_possible += len(hypothesis & (possible | sure))
        links += len(hypothesis)
        sure_links += len(sure)
    if not sure_links:
        raise ValueError("there is no sure link (i-j)")
    precision = in_possible / links if links else float("nan")
    return Quality(precision, in_sure / sure_links, 1 - (in_sure + in_possible) / (links + sure_links))


def flip(links: Iterable[Link]) -> Set[Link]:
    """Swaps the sides of every link, so that the other language comes first."""
    return {(target, source) for source, target in links}


def grow_diag(forward: Set[Link], backward: Set[Link]) -> Set[Link]:
    """Starts from the links that both directions have, and adds neighbouring links of either one as long as they give a
    word its first link.

    Neighbours are the eight places around a link. Each pass goes target word by target word and source word by source
    word, and looks around a link that it has added in its turn; passes end when one adds nothing.

    Args:
        forward, backward: the links of both directions, source word first in both
    """
    union, grown = forward | backward, forward & backward
    sources, targets = {i for i, _ in grown}, {j for _, j in grown}

    def pass_once() -> bool:
        added = False
        for i, j in sorted(union, key=lambda link: (link[1], link[0])):
            if (i, j) not in grown:
                continue
            for step_i, step_j in NEIGHBOURS:
                near = (i + step_i, j + step_j)
                if near in union and near not in grown and (near[0] not in sources or near[1] not in targets):
                    grown.add(near)
                    sources.add(near[0])
                    targets.add(near[1])
                    added = True
        return added

    while pass_once():
        pass
    return grown


def finish(grown: Set[Link], directions: Iterable[Set[Link]]) -> Set[Link]:
    """Adds, after :func:`grow_diag`, every link of each direction in turn that gives a word its first: the step that
    Koehn et al. call "final"."""
    finished = set(grown)
    sources, targets = {i for i, _ in grown}, {j for _, j in grown}
    for direction in directions:
        for i, j in sorted(direction, key=lambda link: (link[1], link[0])):
            if i not in sources or j not in targets:
                finished.add((i, j))
                sources.add(i)
                targets.add(j)
    return finished
