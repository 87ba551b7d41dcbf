"""Makes word embeddings, and fills them from a file of pretrained ones."""

import os
from typing import Dict, List

import torch
from fairseq.data import Dictionary
from torch import Tensor, nn

from .text import stream_lines


def build_embedding(dictionary: Dictionary, embed_dim: int) -> nn.Embedding:
    """Makes an embedding ``(len(dictionary), embed_dim)`` whose padding row gets no gradient."""
    return nn.Embedding(len(dictionary), embed_dim, padding_idx=dictionary.pad())


def parse_vector(where: str, values: List[str], size: int) -> Tensor:
    """Reads the values of a word, ``(size,)``.

    Raises:
        ValueError: another number of values, or one that is no finite number; begins with ``where``
    """
    if len(values) != size:
        raise ValueError(f"{where}: {len(values)} values behind the word, but the first line of the file says {size}")
    try:
        vector = torch.tensor([float(value) for value in values])
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    if not vector.isfinite().all():
        raise ValueError(f"{where}: a value that is infinite or not a number")
    return vector


def read_vectors(path: str, dictionary: Dictionary, wanted: int, name: str) -> Dict[str, Tensor]:
    """Reads a file in word2vec's text format; returns the vectors of the words that the dictionary has.

    Args:
        path: the file; ``.gz``: decompressed
        dictionary: the words
        wanted: the size that the vectors must have
        name: of the option that says so

    Raises:
        ValueError: another format or size, or fewer or more words than the first line says; names the line
    """
    lines = stream_lines(path)
    header = next(lines, "").split()
    if len(header) != 2 or not all(part.isdecimal() for part in header):
        raise ValueError(f"the first line of {path} must be 'COUNT SIZE', not '{' '.join(header)[:40]}'")
    count, size = map(int, header)
    if size != wanted:
        raise ValueError(f"{path} has vectors of size {size}, but {name} is {wanted}")
    vectors: Dict[str, Tensor] = {}
    found = 0
    for number, line in enumerate(lines, start=2):
        word, *values = line.rstrip(" \t").split(" ")
        if not word and not values:
            continue  # an empty line
        found += 1
        vector = parse_vector(f"{path}, line {number}", values, size)
        if word in vectors:
            raise ValueError(f"{path}, line {number}: the word '{word}' again")
        if word in dictionary:
            vectors[word] = vector
    if found != count:
        raise ValueError(f"{path} has {found} words, but its first line says {count}: cut short?")
    return vectors


def load_pretrained(embedding: nn.Embedding, dictionary: Dictionary, path: str, flag: str) -> None:
    """Overwrites the rows of the words that a text file knows.

    Args:
        embedding: filled in place
        dictionary: whose words name the rows
        path: of a file in word2vec's text format: a first line ``COUNT SIZE``, then a word and its values a line
        flag: the option that named the file, for messages

    Raises:
        ValueError: no such file, another format, another size, or no word in common; begins with the option
    """
    if not os.path.exists(path):
        raise ValueError(
            f"{flag}: no such file: {path} (a trained checkpoint does not need it: "
            f"--model-overrides \"{{'{flag[2:].replace('-', '_')}': None}}\")"
        )
    try:
        vectors = read_vectors(path, dictionary, embedding.embedding_dim, f"{flag[:-5]}-dim")
    except ValueError as error:
        raise ValueError(f"{flag}: {error}") from error
    if not vectors:
        raise ValueError(f"{flag}: {path} has no word in common with the dictionary of {len(dictionary)} words")
    for word, vector in vectors.items():
        embedding.weight.data[dictionary.index(word)] = vector
