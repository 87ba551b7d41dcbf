"""Makes word embeddings, and fills them from a file of pretrained ones."""

import os

from fairseq import utils
from fairseq.data import Dictionary
from torch import nn


def build_embedding(dictionary: Dictionary, embed_dim: int) -> nn.Embedding:
    """Makes an embedding ``(len(dictionary), embed_dim)`` whose padding row gets no gradient."""
    return nn.Embedding(len(dictionary), embed_dim, padding_idx=dictionary.pad())


def load_pretrained(embedding: nn.Embedding, dictionary: Dictionary, path: str, flag: str) -> None:
    """Overwrites the rows of the words that a text file knows.

    Args:
        embedding: filled in place
        dictionary: whose words name the rows
        path: of a file in word2vec's text format: a first line ``COUNT SIZE``, then a word and its values a line
        flag: the option that named the file, for messages

    Raises:
        ValueError: no such file, another format, another size, or no word in common
    """
    if not os.path.isfile(path):
        raise ValueError(
            f"{flag}: no such file: {path} (a trained checkpoint does not need it: "
            f"--model-overrides \"{{'{flag[2:].replace('-', '_')}': None}}\")"
        )
    with open(path, encoding="utf-8") as file:
        header = file.readline().split()
    if len(header) != 2 or not all(part.isdigit() for part in header):
        raise ValueError(f"{flag}: the first line of {path} must be 'COUNT SIZE', not '{' '.join(header)[:40]}'")
    size, wanted = int(header[1]), embedding.embedding_dim
    if size != wanted:
        raise ValueError(f"{flag}: {path} has vectors of size {size}, but {flag[:-5]}-dim is {wanted}")
    try:
        vectors = utils.parse_embedding(path)
    except ValueError as error:
        raise ValueError(f"{flag}: {path} holds something that is not a number: {error}") from error
    for word, vector in vectors.items():
        if vector.numel() != size:
            raise ValueError(f"{flag}: {path} has {vector.numel()} values for '{word}', its first line says {size}")
    if not any(word in vectors for word in dictionary.symbols):
        raise ValueError(f"{flag}: {path} has no word in common with the dictionary of {len(dictionary)} words")
    utils.load_embedding(vectors, dictionary, embedding)
