"""What tests ask for by name: a small corpus, its data, a model that has learnt it, and cli.align on that model."""

import fcntl
import json
import logging
import os
import random
import shutil
from pathlib import Path

import pytest
import sentencepiece
import torch
from fairseq import tasks
from omegaconf import OmegaConf
from support import lines, preprocess, shake, train, write

from fairseq_bahdanau.cli import align
from fairseq_bahdanau.model import BahdanauModel

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
    """A model that has learnt the corpus; the first worker that asks trains it, the others wait for it."""
    workers = os.environ.get("PYTEST_XDIST_WORKER")
    folder = tmp_path_factory.getbasetemp().parent / "trained" if workers else tmp_path_factory.mktemp("trained")
    folder.mkdir(exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "checkpoint_last.pt").exists():
            once = ("--validate-interval", "120", "--save-interval", "120", "--num-workers", "0")
            train(data, folder, "--max-epoch", "120", *once)
    return folder / "checkpoint_last.pt"


@pytest.fixture(scope="session")
def pair(data, checkpoint, tmp_path_factory) -> Path:
    """The folder of a recipe's language pair, on words."""
    pair = tmp_path_factory.mktemp("work") / "xx-yy"
    shutil.copytree(data, pair / "bin")
    (pair / "model").mkdir()
    shutil.copy(checkpoint, pair / "model" / "averaged.pt")
    how = {"source": "xx", "target": "yy", "pieces": "words", "moses": False, "lowercase": False}
    (pair / "text.json").write_text(json.dumps(how))
    return pair


@pytest.fixture(scope="session")
def pieces(checkpoint, tmp_path_factory) -> Path:
    """A folder of a recipe that tokenises, lower-cases and cuts into pieces; the model has learnt nothing."""
    pair = tmp_path_factory.mktemp("pieces") / "de-en"
    (pair / "bin").mkdir(parents=True)
    text = [
        "der hund schläft heute nicht .",
        "ein hundehaus steht im garten !",
        "&quot; heute &quot; steht er leer .",
    ] * 9
    corpus = write(pair / "text", text)
    sentencepiece.SentencePieceTrainer.train(
        input=str(corpus), model_prefix=str(pair / "spm"), vocab_size=50, model_type="bpe", minloglevel=2
    )
    vocabulary = [line.split("\t")[0] for line in lines(pair / "spm.vocab")][3:]
    for language in ("de", "en"):
        write(pair / "bin" / f"dict.{language}.txt", [f"{piece} 1" for piece in vocabulary])
    saved = torch.load(checkpoint)
    saved["cfg"]["task"].update(data=str(pair / "bin"), source_lang="de", target_lang="en")
    task = tasks.setup_task(OmegaConf.create(saved["cfg"]["task"]))
    saved["model"] = shake(BahdanauModel.build_model(OmegaConf.create(saved["cfg"]["model"]), task)).state_dict()
    (pair / "model").mkdir()
    torch.save(saved, pair / "model" / "averaged.pt")
    how = {"source": "de", "target": "en", "pieces": "sentencepiece", "moses": True, "lowercase": True}
    (pair / "text.json").write_text(json.dumps(how))
    return pair


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
