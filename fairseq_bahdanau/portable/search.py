"""A beam search in NumPy, whose translations are those of fairseq's ``SequenceGenerator``.

It knows a model by two functions, encoder and step, and nothing of what computes them. As in fairseq, a hypothesis is
complete where ``</s>`` is among the best ``beam`` candidates of its sentence, and a sentence where ``beam`` hypotheses
are; it then leaves the batch.
"""

import math
from typing import List, NamedTuple, Protocol, Sequence, Tuple

import numpy as np


class Options(NamedTuple):
    """Says how to search, by fairseq's names."""

    beam: int = 5
    lenpen: float = 1.0
    unkpen: float = 0.0
    max_len_a: float = 2.0  # a translation has at most max_len_a times the source's tokens and max_len_b more
    max_len_b: int = 200
    min_len: int = 1

    def limit(self, src_len: int) -> int:
        """Returns the greatest number of tokens of a translation, ``</s>`` not counted."""
        return int(self.max_len_a * src_len + self.max_len_b)


class Symbols(NamedTuple):
    """Names the words that a search treats as no others, by their places in the dictionary."""

    pad: int
    eos: int
    unk: int


class Model(Protocol):
    """Gives a search what it needs of a model, or of several whose probabilities are averaged."""

    words: int  # in the dictionary of the target language
    longest: int  # tokens of a target, </s> included

    def encode(self, sources: Sequence[Sequence[int]]) -> "Running":
        """Reads sentences, each with its ``</s>``."""


class Running(Protocol):
    """Holds the states of all rows of a search, ``beam`` for each sentence, which stand together."""

    def step(self, words: np.ndarray, count: int, everything: bool) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Reads one more word of every row.

        Args:
            words: ``(rows,)``
            count: how many of the likeliest next words are wanted
            everything: all next words are, in the order of the dictionary

        Returns:
            log-probabilities and words, ``(rows, count)`` or ``(rows, vocabulary)``, and attention ``(rows, src_len)``
        """

    def keep(self, rows: np.ndarray, sentences: np.ndarray) -> None:
        """Keeps these rows in this order, and these sentences."""


class Hypothesis(NamedTuple):
    """Holds a translation as tokens."""

    tokens: List[int]  # with </s>
    score: float  # log-probability by length ** lenpen, as fairseq prints it
    attention: np.ndarray  # (tokens, source tokens), </s> the last of each
    cut: bool  # whether the limit of its length has ended it


class Step(NamedTuple):
    """Keeps of one step what a hypothesis is read from, backwards."""

    words: np.ndarray  # (rows,): what it read
    parents: np.ndarray  # (rows,): the row of the step before that it goes on from
    attention: np.ndarray  # (rows, src_len)


class Candidates(NamedTuple):
    """Holds the best ways on of every sentence, best first, ``(sentences, 2 * beam)`` each."""

    scores: np.ndarray  # log-probabilities of all words so far
    rows: np.ndarray  # that they go on from
    words: np.ndarray


def trace(steps: List[Step], row: int) -> Tuple[List[int], List[np.ndarray]]:
    """Reads what a row of the last step has read, without the first ``</s>``, and what it has looked at."""
    words: List[int] = []
    attention: List[np.ndarray] = []
    for step in reversed(steps):
        words.append(int(step.words[row]))
        attention.append(step.attention[row])
        row = int(step.parents[row])
    return words[::-1][1:], attention[::-1]


def best_candidates(scores: np.ndarray, words: np.ndarray, beam: int, first: bool) -> Candidates:
    """Finds the best ways on of every sentence.

    Args:
        scores: ``(rows, count)``, log-probabilities of all words up to these
        words: ``(rows, count)``
        first: whether all rows of a sentence are the same, as they are at the first step, and one is looked at
    """
    sentences, count = scores.shape[0] // beam, scores.shape[1]
    by_sentence = scores.reshape(sentences, beam, count)[:, : 1 if first else beam].reshape(sentences, -1)
    wanted = min(2 * beam, by_sentence.shape[1])
    best = np.argpartition(-by_sentence, wanted - 1, axis=1)[:, :wanted]
    order = np.argsort(-np.take_along_axis(by_sentence, best, axis=1), axis=1, kind="stable")
    best = np.take_along_axis(best, order, axis=1)
    rows = best // count + np.arange(sentences)[:, None] * beam
    return Candidates(np.take_along_axis(by_sentence, best, axis=1), rows, words[rows, best % count])


def require_sensible(options: Options, model: Model) -> None:
    """Raises ``ValueError`` for an option with which nothing can be found, or nothing compared."""
    if not 1 <= options.beam < model.words:
        raise ValueError(f"--beam must be from 1 to {model.words - 1}, so many words there are, not {options.beam}")
    for flag, value, least, most in (
        ("--lenpen", options.lenpen, -100, 100),
        ("--unkpen", options.unkpen, -math.inf, math.inf),
        ("--max-len-a", options.max_len_a, 0, 1e6),
        ("--max-len-b", options.max_len_b, 0, 1e9),
    ):
        if not least <= value <= most:  # NaN is not
            raise ValueError(f"{flag} must be from {least:g} to {most:g}, not {value}")


class Search:
    """Searches the translations of a batch.

    Args:
        model: gives probabilities
        symbols: of the target dictionary
        options: how to search
        sources: sentences as tokens, each with its ``</s>``

    Raises:
        ValueError: more beams than words; from :meth:`run`, a model that gives NaN
    """

    def __init__(self, model: Model, symbols: Symbols, options: Options, sources: Sequence[Sequence[int]]):
        require_sensible(options, model)
        self.symbols, self.options, self.beam = symbols, options, options.beam
        self.lengths = np.array([len(source) for source in sources])
        self.limits = np.array([min(options.limit(len(source)), model.longest - 1) for source in sources])
        self.found: List[List[Hypothesis]] = [[] for _ in sources]
        self.count = min(2 * self.beam + 2, model.words)  # two of them, padding and </s>, may be ruled out
        self.running = model.encode(sources)
        self.sentences = np.arange(len(sources))  # that are not complete
        self.totals = np.zeros(len(sources) * self.beam, dtype=np.float32)  # log-probabilities of the rows
        self.steps: List[Step] = []

    def run(self) -> List[List[Hypothesis]]:
        """Returns the hypotheses of every sentence, best first."""
        words = np.full(len(self.totals), self.symbols.eos, dtype=np.int64)
        parents = np.arange(len(words))
        while len(self.sentences):
            candidates = self.extend(words, parents)
            ends = self.complete(candidates)
            parents, words = self.go_on(candidates, ends)
        for hypotheses in self.found:
            if not hypotheses:
                raise ValueError("the model gives no probabilities, but NaN: its training has failed")
            hypotheses.sort(key=lambda hypothesis: -hypothesis.score)
        return self.found

    def extend(self, words: np.ndarray, parents: np.ndarray) -> Candidates:
        """Takes a step of the model, and ranks what can follow."""
        number, symbols = len(self.steps), self.symbols
        at_limit = np.repeat(self.limits[self.sentences] <= number, self.beam)
        everything = bool(at_limit.any() or self.options.unkpen)  # where a word that is not likely may be wanted
        log_probs, following, attention = self.running.step(words, self.count, everything)
        self.steps.append(Step(words, parents, attention))
        log_probs = np.where(np.isnan(log_probs) | (following == symbols.pad), -math.inf, log_probs)
        if self.options.unkpen:
            log_probs = np.where(following == symbols.unk, log_probs - self.options.unkpen, log_probs)
        if number < self.options.min_len:
            log_probs = np.where((following == symbols.eos) & ~at_limit[:, None], -math.inf, log_probs)
        log_probs = np.where(at_limit[:, None] & (following != symbols.eos), -math.inf, log_probs)
        return best_candidates(self.totals[:, None] + log_probs, following, self.beam, first=number == 0)

    def complete(self, candidates: Candidates) -> np.ndarray:
        """Takes out the hypotheses that are complete; returns which candidates end, ``(sentences, 2 * beam)``."""
        number, beam = len(self.steps) - 1, self.beam
        ends = (candidates.words == self.symbols.eos) & (candidates.scores > -math.inf)
        for place, rank in zip(*np.nonzero(ends[:, :beam])):
            sentence, row = self.sentences[place], int(candidates.rows[place, rank])
            if len(self.found[sentence]) < beam:
                score = float(candidates.scores[place, rank] / (number + 1) ** self.options.lenpen)
                tokens, attention = trace(self.steps, row)
                seen = np.stack(attention)[:, : self.lengths[sentence]]
                cut = bool(number >= self.limits[sentence])
                self.found[sentence].append(Hypothesis([*tokens, self.symbols.eos], score, seen, cut))
        return ends

    def go_on(self, candidates: Candidates, ends: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """Chooses the rows that go on; returns which row each of them continues, and by which word."""
        number, beam = len(self.steps) - 1, self.beam
        kept = np.array(
            [
                place
                for place, sentence in enumerate(self.sentences)
                if len(self.found[sentence]) < beam and number < self.limits[sentence]
            ],
            dtype=np.int64,
        )
        self.sentences = self.sentences[kept]
        # The best that do not end. They are enough, since every row ends in one way, and there are twice as many ways.
        ranks = np.argsort(ends[kept], axis=1, kind="stable")[:, :beam]
        rows, words, totals = (np.take_along_axis(values[kept], ranks, axis=1).reshape(-1) for values in (
            candidates.rows, candidates.words, candidates.scores))  # fmt: skip
        self.totals = totals
        self.running.keep(rows, kept)
        return rows, words
