"""An exported model is a folder: two graphs, two dictionaries, the model of pieces, and a JSON file that tells of them.

There is no pickle in it and no code, so that a folder from a stranger runs nothing.
"""

import json
import os
import re
from typing import Any, Dict, List, NamedTuple, Optional

from ..text import read_lines, write_lines
from .search import Symbols
from .treatment import Text

FORMAT = 1  # of the folder; a change that an older program could not read is one more
DESCRIPTION, ENCODER, STEP, PIECES = "model.json", "encoder.onnx", "step.onnx", "spm.model"
SOURCE = ("keys", "values", "padding_mask")  # what the encoder gives, and every step reads and does not change
# fairseq's own words, which stand before those of a dictionary's file.
FIRST_WORDS = ["<s>", "<pad>", "</s>", "<unk>"]
UNKNOWN = "<unk>"


class Dictionary(NamedTuple):
    """Holds the words of a language, and the place of each."""

    words: List[str]
    places: Dict[str, int]

    @property
    def symbols(self) -> Symbols:
        """Returns the places of the words that are no others."""
        return Symbols(pad=self.places["<pad>"], eos=self.places["</s>"], unk=self.places[UNKNOWN])


class Description(NamedTuple):
    """Holds what the JSON file tells of an exported model."""

    format: int
    text: Text
    max_source_positions: int  # tokens, </s> included
    max_target_positions: int
    columns: int  # the least number that a batch of sources must have
    int8: bool
    options: Dict[str, Any]  # of the model, by fairseq's names
    versions: Dict[str, str]  # of what has written the folder


def dictionary_name(language: str) -> str:
    """Returns what the file of a dictionary is called, as in fairseq's folders of data."""
    return f"dict.{language}.txt"


def read_dictionary(path: str) -> Dictionary:
    """Reads a dictionary in fairseq's format, a word and its count a line.

    Raises:
        ValueError: another format, or a word twice
    """
    words = list(FIRST_WORDS)
    for number, line in enumerate(read_lines(path), start=1):
        word, space, count = line.rpartition(" ")
        if not space or not count.lstrip("-").isdigit():
            raise ValueError(f"{path}, line {number}: not a word and its count: '{line[:40]}'")
        words.append(word)
    places = {word: place for place, word in enumerate(words)}
    if len(places) < len(words):
        raise ValueError(f"{path} has a word twice")
    return Dictionary(words, places)


def write_description(folder: str, description: Description) -> None:
    """Writes the JSON file."""
    values = {**description._asdict(), "text": description.text._asdict()}
    write_lines(os.path.join(folder, DESCRIPTION), [json.dumps(values, indent=1, ensure_ascii=False)])


def read_description(folder: str) -> Description:
    """Reads the JSON file.

    Raises:
        ValueError: no exported model is there, or one that a later version has written
    """
    path = os.path.join(folder, DESCRIPTION)
    if not os.path.isfile(path):
        raise ValueError(f"{folder} is no exported model: it has no {DESCRIPTION}")
    try:
        values = json.loads("\n".join(read_lines(path)))
        if values["format"] != FORMAT:
            raise ValueError(f"{path} has format {values['format']}, and this program reads {FORMAT}: export it again")
        text = Text(**values["text"])
        if not all(re.fullmatch(r"\w[\w-]*", language) for language in text[:2]):  # they are parts of names of files
            raise TypeError("languages")
        return Description(**{**values, "text": text})
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not what an export writes ({error}): export it again") from error


def file_in(folder: str, name: str) -> str:
    """Returns the path of a file of the folder.

    Raises:
        ValueError: it is missing
    """
    path = os.path.join(folder, name)
    if not os.path.isfile(path):
        raise ValueError(f"{path} is missing: the folder is not whole, export it again")
    return path


def pieces_of(folder: str, text: Text) -> Optional[str]:
    """Returns the file of the model of pieces; None where words are tokens."""
    return file_in(folder, PIECES) if text.pieces == "sentencepiece" else None
