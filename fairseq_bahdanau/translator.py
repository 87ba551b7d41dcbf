"""An exported model translates here, without fairseq and without PyTorch.

:class:`Translator` reads a folder that ``python -m fairseq_bahdanau.cli.export`` has written; it needs NumPy,
onnxruntime and, for pieces of words, sentencepiece.
"""

import logging
import os
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Dict, Iterable, List, NamedTuple, Sequence

import numpy as np

from .portable import folder
from .portable.cores import cores
from .portable.lines import LONGEST, Line, decode_line, load_pieces, names_of_parts, prepare
from .portable.moses import require_moses
from .portable.runtime import Ensemble, OnnxModel
from .portable.search import Hypothesis, Model, Options, Search, require_sensible

LOG = logging.getLogger(__name__)
SENTENCES = 64  # translated at once
MOST_THREADS = 1024
SURROGATE = re.compile("[\ud800-\udfff]")  # half of a character, as JSON can have it


class Translation(NamedTuple):
    """Holds a translation, and how the model came to it."""

    text: str
    score: float  # log-probability of the tokens by their number ** lenpen
    target: List[str]  # tokens; </s> ends every part of a line
    source: List[str]
    attention_of_parts: List[np.ndarray]  # (target tokens, source tokens) of each part, rows that sum to 1

    @property
    def attention(self) -> np.ndarray:
        """Returns the attention ``(target tokens, source tokens)``; that of a part is 0 on the others."""
        attention, row, column = np.zeros((len(self.target), len(self.source)), dtype=np.float32), 0, 0
        for part in self.attention_of_parts:
            height, width = part.shape
            attention[row : row + height, column : column + width] = part
            row, column = row + height, column + width
        return attention


class Translator:
    """Translates lines of text.

    Args:
        folders: exported models; the probabilities of several are averaged
        threads: batches that are translated at once, each on one core; 0: as many as there are cores

    Raises:
        ValueError: a folder that is no exported model, or not whole; models that do not belong together; a package that
            is missing
    """

    def __init__(self, *folders: str, threads: int = 0):
        if not folders:
            raise ValueError("no folder of an exported model was given")
        if not 0 <= threads <= MOST_THREADS:
            raise ValueError(f"--threads must be from 0 to {MOST_THREADS}, not {threads}")
        described = [folder.read_description(path) for path in folders]
        self.text = described[0].text
        for path, description in zip(folders[1:], described[1:]):
            if description.shared() != described[0].shared():
                raise ValueError(f"{path} and {folders[0]} have different dictionaries or treat text differently")
        names = [folder.dictionary_name(language) for language in self.text[:2]]
        self.source, self.target = (folder.read_dictionary(os.path.join(folders[0], name)) for name in names)
        self.pieces = load_pieces(folder.pieces_of(folders[0], self.text))
        if self.text.moses:
            require_moses(self.text.source, self.text.target)
        self.threads = threads or cores()
        models = [self.load(path, description) for path, description in zip(folders, described)]
        self.model: Model = Ensemble(models) if len(models) > 1 else models[0]
        self.longest = min(description.max_source_positions for description in described)

    def load(self, path: str, description: folder.Description) -> OnnxModel:
        """Opens the graphs of an exported model."""
        encoder, step = (os.path.join(path, name) for name in (folder.ENCODER, folder.STEP))
        words, pad = len(self.target.words), self.source.symbols.pad
        return OnnxModel(encoder, step, words, description.max_target_positions, description.columns, pad)

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
            TypeError: one line, where several are expected
        """
        if isinstance(lines, str):
            raise TypeError("translate takes a list of lines, such as ['A man in a hat.'], not one line")
        options = Options(beam, lenpen, unkpen, max_len_a, max_len_b)
        require_sensible(options, self.model)
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
        longest, prepared = min(LONGEST, self.longest - 1), []  # without </s>
        for number, line in enumerate(lines, start=first_number):
            whole = SURROGATE.sub("\ufffd", line)
            if whole != line:
                LOG.warning("line %d: halves of characters (surrogates) are replaced by \ufffd", number)
            prepared.append(prepare(number, whole, self.text, self.pieces, longest, LOG.warning))
        return prepared

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
        batches = [order[first : first + batch_size] for first in range(0, len(order), batch_size)]

        def best_of(batch: List[int]) -> List[Hypothesis]:
            search = Search(self.model, self.target.symbols, options, [sources[number] for number in batch])
            return [hypotheses[0] for hypotheses in search.run()]

        found: Dict[int, Hypothesis] = {}
        with ThreadPoolExecutor(self.threads) as pool:
            for batch, best in zip(batches, pool.map(best_of, batches)):
                found.update(zip(batch, best))
        in_order = [found[number] for number in range(len(sources))]
        for name, hypothesis in zip(names, in_order):
            if hypothesis.cut:
                length = len(hypothesis.tokens) - 1
                LOG.warning("%s: its translation reached the limit of %d tokens: it may be cut", name, length)
        return in_order

    def join(self, line: Line, hypotheses: List[Hypothesis], options: Options) -> Translation:
        """Puts the translations of a line's parts together."""
        target = [[self.target.words[token] for token in hypothesis.tokens] for hypothesis in hypotheses]
        source = [[*part, "</s>"] for part in line.parts]
        total = sum(hypothesis.score * len(hypothesis.tokens) ** options.lenpen for hypothesis in hypotheses)
        spelt = " ".join(decode_line(" ".join(words[:-1]), self.text, self.pieces) for words in target)
        words_written, words_read = ([word for words in side for word in words] for side in (target, source))
        score = total / len(words_written) ** options.lenpen if hypotheses else 0.0
        return Translation(spelt, score, words_written, words_read, [each.attention for each in hypotheses])

    def __repr__(self) -> str:
        """Names the languages."""
        return f"<Translator {self.text.source}-{self.text.target}>"
