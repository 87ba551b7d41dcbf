"""An exported model translates here, without fairseq and without PyTorch.

:class:`Translator` reads a folder that ``python -m fairseq_bahdanau.cli.export`` has written; it needs NumPy,
onnxruntime and, for pieces of words, sentencepiece.
"""

import logging
from typing import Dict, Iterable, List, NamedTuple, Sequence

import numpy as np

from .portable import folder
from .portable.lines import LONGEST, Line, decode_line, names_of_parts, prepare
from .portable.runtime import Ensemble, OnnxModel
from .portable.search import Hypothesis, Model, Options, Search, require_beam

LOG = logging.getLogger(__name__)
SENTENCES = 64  # translated at once


class Translation(NamedTuple):
    """Holds a translation, and how the model came to it."""

    text: str
    score: float  # log-probability of the tokens by their number ** lenpen
    attention: np.ndarray  # (target tokens, source tokens), rows that sum to 1
    target: List[str]  # tokens; </s> ends every part of a line
    source: List[str]


class Translator:
    """Translates lines of text.

    Args:
        folders: exported models; the probabilities of several are averaged
        threads: that an operator may use; 0: as many as there are cores

    Raises:
        ValueError: a folder that is no exported model, or not whole; models that do not belong together
    """

    def __init__(self, *folders: str, threads: int = 0):
        if not folders:
            raise ValueError("no folder of an exported model was given")
        described = [folder.read_description(path) for path in folders]
        self.text = described[0].text
        self.source, self.target = self.dictionaries(folders[0])
        for path, description in zip(folders[1:], described[1:]):
            if description.text != self.text or self.dictionaries(path) != [self.source, self.target]:
                raise ValueError(f"{path} and {folders[0]} have different dictionaries or treat text differently")
        self.pieces = folder.pieces_of(folders[0], self.text)
        models = [self.load(path, description, threads) for path, description in zip(folders, described)]
        self.model: Model = Ensemble(models) if len(models) > 1 else models[0]
        self.longest = min(description.max_source_positions for description in described)

    def dictionaries(self, path: str) -> List[folder.Dictionary]:
        """Reads the dictionaries of an exported model, that of the source first."""
        files = [folder.file_in(path, folder.dictionary_name(language)) for language in self.text[:2]]
        return [folder.read_dictionary(file) for file in files]

    def load(self, path: str, description: folder.Description, threads: int) -> OnnxModel:
        """Opens the graphs of an exported model."""
        encoder, step = (folder.file_in(path, name) for name in (folder.ENCODER, folder.STEP))
        words, pad = len(self.target.words), self.source.symbols.pad
        return OnnxModel(encoder, step, words, description.max_target_positions, description.columns, pad, threads)

    def translate(
        self,
        lines: Iterable[str],
        beam: int = 5,
        lenpen: float = 1.0,
        unkpen: float = 0.0,
        max_len_a: float = 2.0,
        max_len_b: int = 200,
        batch_size: int = SENTENCES,
        first_number: int = 1,
    ) -> List[Translation]:
        """Translates lines; what is cut, cannot be read or is not known is said by a warning of :mod:`logging`.

        Args:
            lines: raw text; tokens, where the model was trained on tokens
            beam, lenpen, unkpen, max_len_a, max_len_b: as fairseq-generate takes them
            batch_size: sentences that are translated at once
            first_number: of the first line, for what is said of it

        Raises:
            ValueError: an option that makes no sense
        """
        options = Options(beam, lenpen, unkpen, max_len_a, max_len_b)
        require_beam(options, self.model)
        if batch_size < 1:
            raise ValueError(f"--batch-size must be at least 1, not {batch_size}")
        prepared = self.prepare(lines, first_number)
        names = [name for line in prepared for name in names_of_parts(line)]
        sources = self.encode([pieces for line in prepared for pieces in line.parts])
        best = iter(self.search(names, sources, options, batch_size))
        spelt = ([next(best) for _ in line.parts] for line in prepared)
        return [self.join(line, hypotheses, options) for line, hypotheses in zip(prepared, spelt)]

    def prepare(self, lines: Iterable[str], first_number: int) -> List[Line]:
        """Cuts lines into tokens, and long ones into parts."""
        longest = min(LONGEST, self.longest - 1)  # without </s>
        numbered = enumerate(lines, start=first_number)
        return [prepare(number, line, self.text, self.pieces, longest, LOG.warning) for number, line in numbered]

    def encode(self, sentences: Sequence[Sequence[str]]) -> List[List[int]]:
        """Returns the places of each sentence's pieces in the dictionary, and that of ``</s>``."""
        symbols, encoded = self.source.symbols, []
        for pieces in sentences:
            # No word of a text is a control symbol, whatever it looks like.
            places = [self.source.places.get(piece, symbols.unk) for piece in pieces]
            encoded.append([symbols.unk if place < len(folder.FIRST_WORDS) else place for place in places])
        unknown, tokens = sum(places.count(symbols.unk) for places in encoded), sum(map(len, encoded))
        if unknown:
            LOG.warning("%d of %d source tokens are not in the dictionary: the model reads <unk>", unknown, tokens)
        return [[*places, symbols.eos] for places in encoded]

    def search(self, names: List[str], sources: List[List[int]], options: Options, batch_size: int) -> List[Hypothesis]:
        """Finds the best translation of every sentence, those of one length together."""
        order = sorted(range(len(sources)), key=lambda number: -len(sources[number]))
        found: Dict[int, Hypothesis] = {}
        for first in range(0, len(order), batch_size):
            batch = order[first : first + batch_size]
            search = Search(self.model, self.target.symbols, options, [sources[number] for number in batch])
            found.update(zip(batch, (hypotheses[0] for hypotheses in search.run())))
        in_order = [found[number] for number in range(len(sources))]
        for name, hypothesis in zip(names, in_order):
            if hypothesis.cut:
                length = len(hypothesis.tokens) - 1
                LOG.warning("%s: its translation reached the limit of %d tokens: it may be cut", name, length)
        return in_order

    def join(self, line: Line, hypotheses: List[Hypothesis], options: Options) -> Translation:
        """Puts the translations of a line's parts together; the attention of one part is 0 on the others."""
        target = [[self.target.words[token] for token in hypothesis.tokens] for hypothesis in hypotheses]
        source = [[*part, "</s>"] for part in line.parts]
        rows, columns = sum(map(len, target)), sum(map(len, source))
        attention, total, row, column = np.zeros((rows, columns), dtype=np.float32), 0.0, 0, 0
        for hypothesis in hypotheses:
            height, width = hypothesis.attention.shape
            attention[row : row + height, column : column + width] = hypothesis.attention
            row, column, total = row + height, column + width, total + hypothesis.score * height**options.lenpen
        spelt = " ".join(decode_line(" ".join(words[:-1]), self.text, self.pieces) for words in target)
        flat = [[word for words in side for word in words] for side in (target, source)]
        return Translation(spelt, total / rows**options.lenpen if rows else 0.0, attention, *flat)

    def __repr__(self) -> str:
        """Names the languages."""
        return f"<Translator {self.text.source}-{self.text.target}>"
