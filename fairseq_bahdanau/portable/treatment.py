"""A recipe writes down how it treats text, in ``text.json`` in the folder of a language pair; here that is read."""

import json
from pathlib import Path
from typing import NamedTuple, Optional, Tuple

from ..text import read_lines


class Text(NamedTuple):
    """Tells how a model's text is treated."""

    source: str
    target: str
    pieces: str  # sentencepiece, or words
    moses: bool
    lowercase: bool
    tokenized: bool = False  # the recipe was given tokens, and knows nothing of how they were made


def find_pair(checkpoint: Path) -> Path:
    """Finds the folder of the language pair in which a checkpoint lies.

    Raises:
        ValueError: no such file, or one that is not in a recipe's folder
    """
    if not checkpoint.is_file():
        raise ValueError(f"no such checkpoint: {checkpoint}")
    for folder in checkpoint.resolve().parents:
        if (folder / "text.json").is_file():
            return folder
    raise ValueError(f"{checkpoint} does not lie where a recipe trained it: no folder above it has a text.json")


def read_treatment(pair: Path) -> Tuple[Text, Optional[str], Path]:
    """Reads how text is treated; returns that, the file of the model of pieces (None: words), and the folder of data.

    Raises:
        ValueError: a file that is missing or not what a recipe writes
    """
    path = pair / "text.json"
    try:
        text = Text(**json.loads("\n".join(read_lines(str(path)))))
    except (TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not what a recipe writes: run the recipe's stage 'binarize'") from error
    model = pair / "spm.model"
    if text.pieces == "sentencepiece" and not model.is_file():
        raise ValueError(f"{model} is missing: run the recipe's stage 'segment'")
    folders = [folder for folder in (pair / "bin", pair / "bin0") if folder.is_dir()]
    if not folders:
        raise ValueError(f"{pair / 'bin'} is missing: run the recipe's stage 'binarize'")
    return text, str(model) if text.pieces == "sentencepiece" else None, folders[0]
