"""Hostile text goes through preprocessing, training, fairseq-interactive and cli.align, and no line of it is lost."""

import math
import re

import pytest
from fairseq.data import Dictionary
from fairseq.data.data_utils import load_indexed_dataset
from hostile_text import hostile_lines
from support import TINY_FLAGS, lines, lines_of, run_command

from fairseq_bahdanau.cli import align

ORDINARY = b"a1 a2 a3"


def fuzzed(count: int, seed: int) -> list:
    """Hostile lines of at most 900 words as a recipe would write them: UTF-8, without carriage returns; every third is
    an ordinary one."""
    text = [line.decode(errors="replace").replace("\r", " ") for line in hostile_lines(count, 900, seed)]
    return [ORDINARY.decode() if number % 3 == 0 else line for number, line in enumerate(text)]


def write_text(path, text):
    path.write_bytes("".join(f"{line}\n" for line in text).encode())
    return path


@pytest.mark.parametrize("count", [120, pytest.param(10000, marks=pytest.mark.slow)])
def test_no_line_is_lost_and_nothing_is_nan(count, tmp_path):
    source, target = (fuzzed(count, seed) for seed in (1, 2))
    for split in ("train", "valid"):
        write_text(tmp_path / f"{split}.xx", source)
        write_text(tmp_path / f"{split}.yy", target)
    folder = tmp_path / "bin"
    command = ("python", "-m", "fairseq_bahdanau")
    run_command(*command, "preprocess", "-s", "xx", "-t", "yy", "--trainpref", tmp_path / "train", "--validpref",
                tmp_path / "valid", "--destdir", folder, "--workers", "2", "--thresholdsrc", "2")  # fmt: skip
    check_binarized(folder, source)

    size = ("--max-tokens", "4000", "--max-epoch", "1", "--skip-invalid-size-inputs-valid-test")
    printed = run_command(*command, "train", folder, *TINY_FLAGS, *size, "--save-dir", tmp_path / "run",
                          "--log-format", "simple")  # fmt: skip
    losses = [float(loss) for loss in re.findall(r"\| loss ([\d.]+|nan|inf) ", printed)]
    assert losses and all(map(math.isfinite, losses))
    check_translated(folder, tmp_path, source)


def check_binarized(folder, source) -> None:
    """Every line is a sentence with one end and no padding, and as many words as it was written with."""
    dictionary = Dictionary.load(str(folder / "dict.xx.txt"))
    sentences = load_indexed_dataset(str(folder / "train.xx-yy.xx"), dictionary)
    assert len(sentences) == len(source)
    for sentence, line in zip(sentences, source):
        tokens = sentence.tolist()
        assert len(tokens) == len(line.split()) + 1 and tokens[-1] == dictionary.eos()
        assert not {dictionary.bos(), dictionary.pad(), dictionary.eos()} & set(tokens[:-1])


def check_translated(folder, tmp_path, source) -> None:
    """Both front ends give a hypothesis to every line; an ordinary one has the same wherever it stands."""
    text = write_text(tmp_path / "text", source)
    model = (folder, "--path", tmp_path / "run" / "checkpoint_last.pt", "--cpu", "--input", text, "--beam", "2")
    size = ("--max-len-a", "0", "--max-len-b", "20", "--batch-size", "50", "--buffer-size", "500")
    printed = run_command("python", "-m", "fairseq_bahdanau", "interactive", *model, *size)
    found = lines_of("H", printed)
    assert sorted(found) == list(range(len(source))) and "nan" not in {of[0][0] for of in found.values()}
    align.main([*map(str, (*model, *size, "--output", tmp_path / "aligned", "--format", "none"))])
    hypotheses = lines(tmp_path / "aligned" / "hypotheses.txt")
    assert len(hypotheses) == len(source)
    ordinary = {hypotheses[number] for number, line in enumerate(source) if line == ORDINARY.decode()}
    assert ordinary == {found[0][0][-1]} and {found[n][0][-1] for n in range(0, len(source), 3)} == ordinary
    assert all(not text for text, line in zip(hypotheses, source) if not line.split())
