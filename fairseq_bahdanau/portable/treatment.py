"""A recipe writes down how it treats text, in ``text.json`` in the folder of a language pair; here that is read."""

import json
from pathlib import Path
from typing import Any, NamedTuple, Optional, Tuple

from ..text import read_lines

SENTENCEPIECE, WORDS = "sentencepiece", "words"


class Text(NamedTuple):
    """Tells how a model's text is treated."""

    source: str
    target: str
    pieces: str  # sentencepiece, or words
    moses: bool
    lowercase: bool
    tokenized: bool = False  # the recipe was given tokens, and knows nothing of how they were made


def text_of(values: Any) -> Text:
    """Makes a ``Text`` of what a JSON file holds.

    Raises:
        TypeError: a value that is missing, too many or of another type
        ValueError: a value that means nothing
    """
    text = Text(**values)
    for name, value in text._asdict().items():
        if type(value) is not Text.__annotations__[name]:
            raise TypeError(f"{name} is {value!r}")
    if text.pieces not in (SENTENCEPIECE, WORDS):
        raise ValueError(f"pieces is {text.pieces!r}")
    return text


def find_pair(checkpoint: Path) -> Optional[Path]:
    """Finds the folder of the language pair in which a recipe has trained a checkpoint; None where none has."""
    folders = (folder for folder in checkpoint.resolve().parents if (folder / "text.json").is_file())
    return next(folders, None)


def read_treatment(checkpoint: Path) -> Tuple[Text, Optional[str], Path]:
    """Reads how the text of a checkpoint is treated.

    Returns:
        that, the file of the model of pieces (None: words), and the folder of data

    Raises:
        ValueError: no such file, one that is not in a recipe's folder, or a folder that is not whole
    """
    if not checkpoint.is_file():
        raise ValueError(f"no such checkpoint: {checkpoint}")
    pair = find_pair(checkpoint)
    if pair is None:
        raise ValueError(f"{checkpoint} does not lie where a recipe trained it: no folder above it has a text.json")
    path = pair / "text.json"
    try:
        text = text_of(json.loads("\n".join(read_lines(str(path)))))
    except (TypeError, ValueError) as error:  # that of JSON is a ValueError
        raise ValueError(f"{path} is not what a recipe writes ({error}): run the recipe's stage 'binarize'") from error
    model = pair / "spm.model"
    if text.pieces == SENTENCEPIECE and not model.is_file():
        raise ValueError(f"{model} is missing: run the recipe's stage 'segment'")
    folders = [folder for folder in (pair / "bin", pair / "bin0") if folder.is_dir()]
    if not folders:
        raise ValueError(f"{pair / 'bin'} is missing: run the recipe's stage 'binarize'")
    return text, str(model) if text.pieces == SENTENCEPIECE else None, folders[0]
