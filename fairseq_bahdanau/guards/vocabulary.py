"""No word of a text acts as a control symbol: ``</s>`` that somebody has written is an unknown word, not an end.

fairseq's dictionary looks a word up by its spelling, so that ``<pad>`` in a line is padding to the model, and ``</s>``
ends the sentence. :func:`install` puts the function here in the place of the method that reads lines. Who asks for no
``</s>`` at the end writes control symbols himself: the interfaces of RoBERTa and BART do, and get what they mean.
"""

from typing import Callable, List

import torch
from fairseq.data import Dictionary
from fairseq.tokenizer import tokenize_line

fairseq_encode_line = Dictionary.encode_line


def encode_line(
    self,
    line: str,
    line_tokenizer: Callable[[str], List[str]] = tokenize_line,
    add_if_not_exist: bool = True,
    consumer=None,
    append_eos: bool = True,
    reverse_order: bool = False,
) -> torch.IntTensor:
    """Returns the numbers of the words of a line as fairseq does, but no word has that of a control symbol.

    Arguments are those of fairseq's method. A word that is spelt as ``<s>``, ``<pad>`` or ``</s>`` is looked up with a
    space behind it, which no word of a dictionary has. With ``append_eos=False`` this is fairseq's method.
    """
    if not append_eos:
        return fairseq_encode_line(self, line, line_tokenizer, add_if_not_exist, consumer, append_eos, reverse_order)
    control = {self[number] for number in (self.bos(), self.pad(), self.eos())}

    def words_of(text: str) -> List[str]:
        return [f"{word} " if word in control else word for word in line_tokenizer(text)]

    return fairseq_encode_line(self, line, words_of, add_if_not_exist, consumer, append_eos, reverse_order)


def install() -> None:
    """Makes this process read lines so."""
    Dictionary.encode_line = encode_line
