"""An exported model is a folder: two graphs, two dictionaries, the model of pieces, and a JSON file that tells of them.

There is no pickle in it and no code, so that a folder from a stranger runs nothing.
"""

import hashlib
import json
import os
import re
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from ..text import read_lines, write_lines
from .search import Symbols
from .treatment import SENTENCEPIECE, Text, text_of

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
    files: Dict[str, str]  # the names of the other files, and the SHA-256 of each

    def shared(self) -> Tuple[Text, List[str]]:
        """Returns what the models of an ensemble have in common: how text is treated, dictionaries and pieces."""
        names = [name for name in names_of_files(self.text) if name not in (ENCODER, STEP)]
        return self.text, [self.files[name] for name in names]


# Of what is a number or such in the JSON file: its type, and the least that makes sense.
PLAIN: Dict[str, Tuple[type, int]] = {
    "max_source_positions": (int, 2),
    "max_target_positions": (int, 2),
    "columns": (int, 1),
    "int8": (bool, 0),
}


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


def checksum(path: str) -> str:
    """Returns the SHA-256 of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(2**20), b""):
            digest.update(block)
    return digest.hexdigest()


def description_of(values: Any) -> Description:
    """Makes a description of what the JSON file holds.

    Raises:
        KeyError, TypeError, ValueError: what an export does not write
    """
    text = text_of(values["text"])
    for language in text[:2]:  # they are parts of names of files
        if not re.fullmatch(r"\w[\w.-]*", language):
            raise ValueError(f"language {language!r}")
    for name, (kind, least) in PLAIN.items():
        if type(values[name]) is not kind or values[name] < least:
            raise TypeError(f"{name} is {values[name]!r}")
    return Description(**{**values, "text": text, "files": dict(values["files"])})


def read_description(folder: str) -> Description:
    """Reads the JSON file, and compares the others with what it tells of them.

    Raises:
        ValueError: no exported model is there, one that is not whole, or one that a later version has written
    """
    path = os.path.join(folder, DESCRIPTION)
    if not os.path.isfile(path):
        raise ValueError(f"{folder} is no exported model: it has no {DESCRIPTION}")
    try:
        values = json.loads("\n".join(read_lines(path)))
        found = values["format"]
        description = description_of(values) if found == FORMAT else None
    except (KeyError, TypeError, AttributeError, ValueError) as error:  # that of JSON is a ValueError
        raise ValueError(f"{path} is not what an export writes ({error}): export it again") from error
    if description is None:
        raise ValueError(f"{path} has format {found!r}, and this program reads {FORMAT}: export it again")
    for name in names_of_files(description.text):
        file = os.path.join(folder, name)
        if not os.path.isfile(file):
            raise ValueError(f"{file} is missing: the folder is not whole, export it again")
        if checksum(file) != description.files.get(name):
            raise ValueError(f"{file} is not what was exported: damaged, or of another model; export it again")
    return description


def names_of_files(text: Text) -> List[str]:
    """Returns what is in a folder beside the description."""
    dictionaries = [dictionary_name(language) for language in text[:2]]
    return [ENCODER, STEP, *dictionaries, *([PIECES] if text.pieces == SENTENCEPIECE else [])]


def pieces_of(folder: str, text: Text) -> Optional[str]:
    """Returns the file of the model of pieces; None where words are tokens."""
    return os.path.join(folder, PIECES) if text.pieces == SENTENCEPIECE else None
