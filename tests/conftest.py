"""What tests ask for by name: a small corpus, its data, a model that has learnt it, and cli.align on that model."""

import logging
import random
from pathlib import Path

import pytest
import torch
from support import preprocess, train, write

from fairseq_bahdanau.cli import align

torch.set_num_threads(1)  # the models are tiny; threads that wait for each other only cost time


@pytest.fixture(scope="session")
def corpus(tmp_path_factory) -> Path:
    """Text whose translation is word by word and backwards, and its alignment."""
    folder = tmp_path_factory.mktemp("corpus")
    numbers = random.Random(1)
    for split, count in (("train", 300), ("valid", 23), ("test", 21)):
        with open(folder / f"{split}.xx", "w") as src, open(folder / f"{split}.yy", "w") as tgt, open(
            folder / f"{split}.align", "w"
        ) as align:
            for _ in range(count):
                words = [numbers.randrange(8) for _ in range(numbers.randrange(1, 8))]
                src.write(" ".join(f"a{word}" for word in words) + "\n")
                tgt.write(" ".join(f"b{word}" for word in words[::-1]) + "\n")
                align.write(" ".join(f"{j}-{len(words) - 1 - j}" for j in range(len(words))) + "\n")
    return folder


@pytest.fixture(scope="session")
def data(corpus, tmp_path_factory) -> Path:
    """The binarized corpus, with alignments."""
    return preprocess(corpus, tmp_path_factory.mktemp("data") / "bin", "--align-suffix", "align")


@pytest.fixture(scope="session")
def checkpoint(data, tmp_path_factory) -> Path:
    """A model that has learnt the corpus."""
    folder = tmp_path_factory.mktemp("trained")
    train(data, folder, "--max-epoch", "120", "--validate-interval", "120", "--save-interval", "120")
    return folder / "checkpoint_last.pt"


@pytest.fixture
def own_logs():
    """Keeps apart the logs of fairseq's commands in this process, which go to the output of their first test."""
    before = list(logging.getLogger().handlers)
    yield
    logging.getLogger().handlers[:] = before


@pytest.fixture
def run_align(data, checkpoint, tmp_path):
    """A function that runs cli.align in this process on sentences and returns its folder."""

    def run(sentences, *flags, path=checkpoint, folder=data, name="out"):
        source = write(tmp_path / "sentences", sentences)
        given = (folder, "--path", path, "--cpu", "--input", source, "--output", tmp_path / name, *flags)
        align.main([*map(str, given)])
        return tmp_path / name

    return run
