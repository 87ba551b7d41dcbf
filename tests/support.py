"""What tests share and is no fixture: small models, the family, and a way to run commands as a user does."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Tuple

import numpy as np
import oracle
import pytest
import torch
import warm
from fairseq.data import Dictionary
from omegaconf import OmegaConf

import fairseq_bahdanau
from fairseq_bahdanau import __main__
from fairseq_bahdanau.model import BahdanauConfig, BahdanauModel, rnnsearch50, small_data

ROOT = Path(__file__).resolve().parent.parent
PLUGIN = Path(fairseq_bahdanau.__path__[0])
# All different, so that no mistaken product fits by accident.
SIZES = {
    "encoder_embed_dim": 5,
    "encoder_hidden_size": 6,
    "decoder_embed_dim": 7,
    "decoder_hidden_size": 8,
    "attention_dim": 9,
    "maxout_dim": 10,
    "maxout_pool_size": 3,
}
PAPER_SIZES = {
    "encoder_embed_dim": 620,
    "encoder_hidden_size": 1000,
    "decoder_embed_dim": 620,
    "decoder_hidden_size": 1000,
    "attention_dim": 1000,
    "maxout_dim": 500,
    "maxout_pool_size": 2,
}
# The members of the family, by what differs from the default.
MEMBERS = [
    {},
    {"share_decoder_input_output_embed": True},
    {"maxout_pool_size": 1},
    {"attention_score": "dot", "decoder_hidden_size": 12},
    {"attention_score": "bilinear"},
    {"decoder_order": "update-look-generate"},
    {"decoder_order": "update-look-update-generate"},
    {"decoder_order": "update-look-generate", "attention_score": "bilinear", "attention": "hard"},
    {"attention": "hard"},
    {"attention": "hard", "hard_attention_top_k": 2},
    {"attention": "hard", "hard_attention_top_k": 3, "attention_score": "bilinear"},
    {"context": "fixed"},
    {"context": "fixed", "encoder_bidirectional": "off", "cell": "lstm"},
    {"cell": "lstm"},
    {"cell": "lstm", "decoder_order": "update-look-update-generate", "encoder_layers": 2},
    {"cell": "rnn", "encoder_bidirectional": "off"},
    {"gru_reset": "before"},
    {"gru_reset": "before", "encoder_layers": 3, "decoder_order": "update-look-update-generate"},
    {"gru_reset": "before", "decoder_order": "update-look-generate", "decoder_out_embed_dim": 11, "output_bias": True},
]
members = pytest.mark.parametrize(
    "options", MEMBERS, ids=lambda options: "-".join(map(str, options.values())) or "default"
)
# The oracle's names of options that it knows by the same values.
ORACLE_NAMES = {
    "cell": "cell",
    "encoder_layers": "layers",
    "context": "context",
    "decoder_order": "order",
    "attention_score": "score",
    "maxout_pool_size": "pool_size",
}
# A batch, unsorted, of words of the dictionaries below: a source of </s> alone, one with <unk>; targets shifted right.
SOURCES = [[5, 9, 2], [2], [4, 16, 8, 8, 11, 6, 2], [3, 7, 2]]
TARGETS = [[2, 6, 5], [2, 19, 4, 3, 20], [2], [2, 7, 7, 9]]
# Targets of one length, for what goes through a batch step by step: searches and exported programs meet no padding.
EVEN_TARGETS = [[2, 6, 5], [2, 19, 4], [2, 4, 4], [2, 7, 7]]
# What cli.align is tried on: a model that has learnt the corpus below writes these backwards.
SENTENCES = ["a1 a2 a3", "a4", "a5 a6 a0 a7 a1", "a2 a0"]
# The smallest model that goes through the stages of a recipe.
RECIPE_SIZES = (
    "--encoder-embed-dim 12 --decoder-embed-dim 12 --encoder-hidden-size 10 --decoder-hidden-size 14 --attention-dim 8 "
    "--maxout-dim 12"
)
TINY_TRAINING = (
    "--criterion label_smoothed_cross_entropy --optimizer adam --lr 0.005 --clip-norm 1 --max-tokens 300 "
    "--required-batch-size-multiple 1 --cpu --log-format simple"
).split()
TINY_FLAGS = (
    "--arch bigru_bahdanau_maxout --encoder-embed-dim 20 --encoder-hidden-size 24 --decoder-embed-dim 28 "
    "--decoder-hidden-size 40 --attention-dim 32 --maxout-dim 36"
).split() + TINY_TRAINING


def dictionary(words: int, prefix: str = "w") -> Dictionary:
    """A dictionary of so many words, after the four special ones."""
    result = Dictionary()
    for number in range(words):
        result.add_symbol(f"{prefix}{number}")
    return result


def build_model(source: Dictionary = None, target: Dictionary = None, **options) -> BahdanauModel:
    """A model in evaluation mode; options that are not given have the sizes above."""
    task = SimpleNamespace(
        source_dictionary=source or dictionary(13), target_dictionary=target or dictionary(17, "z"), cfg=None
    )
    positions = {"max_source_positions": 1024, "max_target_positions": 1024}
    torch.manual_seed(2)
    cfg = OmegaConf.structured(BahdanauConfig(**{**SIZES, **positions, **options}))
    return BahdanauModel.build_model(cfg, task).eval()


def oracle_member(**options) -> oracle.Member:
    """The oracle's description of ``build_model(**options)``."""
    options = {**SIZES, **options}
    told = {ours: options[name] for name, ours in ORACLE_NAMES.items() if name in options}
    if options.get("gru_reset") == "before":
        told["cell"] = "gru_reset_before"
    if options.get("encoder_bidirectional") == "off":
        told["directions"] = 1
    if options.get("attention") == "hard":
        told["top_k"] = options.get("hard_attention_top_k", 1)
    return oracle.Member(**told)


PRESETS = {"rnnsearch50": rnnsearch50, "bigru_bahdanau_small_data": small_data}


def preset(arch="rnnsearch50", **given) -> dict:
    """The options of a preset, those given on the command line among them."""
    args = SimpleNamespace(**given)
    PRESETS[arch](args)
    return vars(args)


def count(**options) -> int:
    """Parameters at the paper's sizes, with 30,001 words on both sides; nothing is allocated."""
    with torch.device("meta"):
        model = build_model(dictionary(29997), dictionary(29997), **{**PAPER_SIZES, **options})
    return sum(parameter.numel() for parameter in model.parameters())


def shake(model: BahdanauModel) -> BahdanauModel:
    """Gives every parameter, biases and v too, a size at which mistakes show."""
    generator = torch.Generator().manual_seed(3)
    for parameter in model.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype) * 0.5
    return model


def pad(rows, padding_idx: int, left: bool, columns: int = 0) -> torch.Tensor:
    """Lists of words as one tensor, padded on one side to the longest or to ``columns``."""
    columns = max(columns, *map(len, rows))
    padding = [[padding_idx] * (columns - len(row)) for row in rows]
    return torch.tensor([p + row if left else row + p for row, p in zip(rows, padding)])


def environment(**more) -> dict:
    """The environment of a command that leaves the other tests a core and prints no warnings."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", **more}


def run_command(name: str, *args, succeeds: bool = True, stdin: bytes = b"", **variables) -> str:
    """Runs a command of this environment, such as ``fairseq-train``; returns what it printed."""
    words = [str(word) for word in args]
    if name == "python" or variables:
        status, output = run_cold(name, words, environment(**variables), stdin)
    else:
        status, output = warm.run(program(name), words, environment(), stdin)
    printed = output.decode()
    assert (status == 0) == succeeds, printed
    return printed


def program(name: str) -> str:
    """The path of a command of this environment."""
    return sys.executable if name == "python" else str(Path(sys.executable).with_name(name))


def run_cold(name: str, args: list, variables: dict, stdin: bytes) -> Tuple[int, bytes]:
    """Runs a command in a process that begins from nothing; returns its exit status and what it printed."""
    finished = subprocess.run(
        [program(name), *args], input=stdin, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    return finished.returncode, finished.stdout


def run_here(monkeypatch, command: str, *args) -> None:
    """``python -m fairseq_bahdanau COMMAND`` in this process."""
    monkeypatch.setattr("sys.argv", ["fairseq_bahdanau", command, *map(str, args)])
    __main__.main()


def run_recipe(script: Path, *args, succeeds: bool = True, **variables) -> str:
    """Runs a script of recipes/ in this environment; returns what it printed, or the last line of its complaint."""
    finished = subprocess.run(
        [str(word) for word in ("bash", script, *args)],
        env=environment(**{"VIRTUAL_ENV": sys.prefix, **variables}),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert (finished.returncode == 0) == succeeds, finished.stdout + finished.stderr
    return finished.stdout if succeeds else finished.stderr.strip().splitlines()[-1]


def translate(checkpoint, text: bytes, *flags, succeeds: bool = True):
    """recipes/translate.sh: returns its translations, as bytes, or the last line of its complaint."""
    finished = subprocess.run(
        ["bash", str(ROOT / "recipes" / "translate.sh"), str(checkpoint), *flags],
        input=text,
        env=environment(VIRTUAL_ENV=sys.prefix),
        capture_output=True,
    )
    assert (finished.returncode == 0) == succeeds, finished.stderr.decode()
    return finished.stdout if succeeds else finished.stderr.decode().strip().split("\n")[-1]


def train(data: Path, save_dir: Path, *args, **keywords) -> str:
    """fairseq-train of a tiny model; a flag given here overrides the tiny one."""
    return run_command(
        "fairseq-train", data, "--user-dir", PLUGIN, *TINY_FLAGS, "--save-dir", save_dir, *args, **keywords
    )


def generate(data: Path, path, *args, **keywords) -> str:
    """fairseq-generate of the test set."""
    flags = ("--user-dir", PLUGIN, "--path", path, "--required-batch-size-multiple", "1", "--cpu")
    return run_command("fairseq-generate", data, *flags, *args, **keywords)


def lines_of(kind: str, printed: str) -> dict:
    """The lines ``kind-NUMBER<TAB>...`` that fairseq printed, by number, split at tabs; of n-best lists, all."""
    result: dict = {}
    for line in printed.splitlines():
        if line.startswith(f"{kind}-"):
            number, *fields = line[len(kind) + 1 :].split("\t")
            result.setdefault(int(number), []).append(fields)
    return result


def preprocess(corpus: Path, destination: Path, *args) -> Path:
    """fairseq-preprocess of the corpus."""
    splits = [part for split in ("train", "valid", "test") for part in (f"--{split}pref", corpus / split)]
    run_command("fairseq-preprocess", "-s", "xx", "-t", "yy", *splits, "--destdir", destination, *args)
    return destination


def lines(path: Path) -> list:
    """The lines of a text file."""
    return path.read_text(encoding="utf-8").splitlines()


def write(path: Path, content: list) -> Path:
    """Writes lines to a text file; returns its path."""
    path.write_text("".join(f"{line}\n" for line in content), encoding="utf-8")
    return path


def weights(folder: Path) -> dict:
    """What cli.align left in alignment.tsv: words of both sides and weights (target, source), by sentence and rank."""
    found: dict = {}
    head, *rows = [line.split("\t") for line in lines(folder / "alignment.tsv")]
    assert head == ["sentence", "rank", "source_index", "target_index", "source", "target", "weight"], head
    for sentence, rank, i, j, source, target, weight in rows:
        words, others, table = found.setdefault((int(sentence), int(rank)), ({}, {}, {}))
        words[int(i)], others[int(j)], table[int(j), int(i)] = source, target, float(weight)
    return {
        key: (list(a.values()), list(b.values()), np.array([[w[j, i] for i in a] for j in b]))
        for key, (a, b, w) in found.items()
    }
