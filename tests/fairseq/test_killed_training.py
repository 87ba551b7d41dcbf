"""Trainings that are killed at any point, or meet a full disk, and go on: the same parameters, and no file is short.

A killed training is a fork of this process, since to start fairseq takes longer than to train these models.
"""

import logging
import multiprocessing
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import fairseq_cli.train
import numpy as np
import pytest
import torch
from fairseq import checkpoint_utils
from fairseq.file_io import PathManager
from fairseq.trainer import Trainer
from support import PLUGIN, TINY_FLAGS

from fairseq_bahdanau.alignment.links import Alignment
from fairseq_bahdanau.alignment.output_files import Hypothesis, write_all
from fairseq_bahdanau.guards import saving
from fairseq_bahdanau.text import write_lines, writing

FORK = multiprocessing.get_context("fork")
# Batches are so small that an epoch has about eight updates; every third is saved, and the best and the last beside it.
FLAGS = (
    "--dropout 0.3 --max-tokens 150 --max-epoch 3 --save-interval-updates 3 --keep-interval-updates 2 "
    "--keep-last-epochs 2 --update-epoch-batch-itr True --log-interval 1"
).split()
SIGNALS = (signal.SIGKILL, signal.SIGTERM)
# What a training is doing when it is killed, and how often it does that at the least.
MOMENTS = {"update": 6, "save": 3, "copy": 4, "before rename": 6, "after rename": 6, "before removal": 2}


def half_then(die, path, content):
    """Writes the first half of a file and dies."""
    Path(path).write_bytes(content[: len(content) // 2])
    die()


def arm(moment: str, count: int, sent: signal.Signals) -> None:
    """Makes this process send itself a signal when it does something for the ``count``-th time."""
    left = [count]

    def counted(function, before=None, after=None):
        def wrapper(*args, **keywords):
            left[0] -= 1
            if before and not left[0]:
                before(*args)
            result = function(*args, **keywords)
            if after and not left[0]:
                after()
            return result

        return wrapper

    def die(*_):
        os.kill(os.getpid(), sent)
        time.sleep(60)

    def die_in_save(checkpoint, file):
        file.write(b"x" * 5000)
        file.flush()
        die()

    if moment == "update":
        Trainer.train_step = counted(Trainer.train_step, before=die)
    elif moment == "save":
        torch.save = counted(torch.save, before=die_in_save)
    elif moment == "copy":
        import shutil

        shutil.copyfile = counted(shutil.copyfile, lambda src, dst: half_then(die, dst, Path(src).read_bytes()))
    elif moment == "before removal":
        os.remove = counted(os.remove, before=die)
    else:
        os.replace = counted(os.replace, **{moment.split()[0]: die})
        PathManager.rename = staticmethod(counted(PathManager.rename, **{moment.split()[0]: die}))


def run_training(data: Path, folder: Path, kill=None) -> None:
    """Trains in this process, which it ends; armed if there is something to be killed at."""
    folder.mkdir(exist_ok=True)
    sys.stdout = sys.stderr = open(folder / "printed", "a", buffering=1)
    logging.basicConfig(force=True, stream=sys.stdout, level="INFO")
    sys.argv = ["fairseq-train", data, "--user-dir", PLUGIN, *TINY_FLAGS, *FLAGS, "--save-dir", folder / "checkpoints"]
    sys.argv = [*map(str, sys.argv), "--log-file", str(folder / "train.log")]
    if kill:
        arm(*kill)
    fairseq_cli.train.cli_main()


def train(data: Path, folder: Path, kill=None, seconds=None) -> int:
    """Trains in a process of its own, killed at a moment or after some time; returns its exit code."""
    process = FORK.Process(target=run_training, args=(data, folder, kill))
    process.start()
    if seconds is not None:
        after, sent = seconds
        process.join(after)
        if process.is_alive():
            os.kill(process.pid, sent)
    process.join(300)
    assert process.exitcode is not None, "the training hangs"
    return process.exitcode


def losses(folder: Path) -> dict:
    """What the log tells of every update, epoch and validation but speed and time: each line of it."""
    found: dict = {}
    for line in (folder / "train.log").read_text().splitlines():
        kept = re.findall(r"\b((?:loss|nll_loss|ppl|best_loss|gnorm|clip|lr|bsz|wpb)[ =][-\d.e+]+)", line)
        kind = "valid" if " valid on " in line else "epoch" if "| train_wall " in line else "update"
        number = re.search(r"num_updates[ =](\d+)", line)
        if kept and number:
            found.setdefault((kind, int(number[1])), set()).add(" ".join(kept))
    return found


def checkpoints(folder: Path) -> dict:
    """The parameters of all checkpoints of a folder; asserts that nothing else is in it."""
    files = sorted((folder / "checkpoints").iterdir())
    return {path.name: torch.load(path) for path in files}


def assert_same(folder: Path, whole: Path) -> None:
    """Compares all checkpoints, bit for bit, with their optimizers, and all losses with those of another training."""
    ours, wanted = checkpoints(folder), checkpoints(whole)
    assert set(wanted) <= set(ours)
    for name, checkpoint in wanted.items():
        for parameter, value in checkpoint["model"].items():
            assert torch.equal(ours[name]["model"][parameter], value), f"{parameter} of {name}"
        moments = checkpoint["last_optimizer_state"]["state"]
        for number, state in moments.items():
            for key in ("exp_avg", "exp_avg_sq"):
                assert torch.equal(ours[name]["last_optimizer_state"]["state"][number][key], state[key])
    logged = losses(whole)
    assert {kind for kind, _ in logged} == {"valid", "epoch", "update"}
    assert all(len(lines) == 1 for lines in logged.values())
    assert losses(folder) == logged


def assert_loadable(folder: Path) -> None:
    """Loads all that has the name of a checkpoint, after a kill."""
    for path in (folder / "checkpoints").glob("*.pt"):
        torch.load(path)


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory) -> Path:
    """A training that nobody has interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    assert train(data, folder) == 0, (folder / "printed").read_text()
    return folder


def test_a_training_killed_three_times_is_the_same_to_the_bit(data, whole, tmp_path):
    # In the middle of an epoch; in the first of the two files of a save; in its copy.
    for kill in (("save", 2, signal.SIGKILL), ("copy", 3, signal.SIGKILL), ("update", 5, signal.SIGTERM)):
        assert train(data, tmp_path, kill) == -kill[2], (tmp_path / "printed").read_text()
        assert_loadable(tmp_path)
    assert train(data, tmp_path) == 0
    printed = (tmp_path / "printed").read_text()
    assert printed.count("Loaded checkpoint") == 3
    assert_same(tmp_path, whole)


@pytest.mark.slow
def test_a_training_killed_at_twenty_random_points_is_the_same_to_the_bit(data, whole, tmp_path):
    numbers = random.Random(13)
    began = time.monotonic()
    assert train(data, tmp_path / "timed") == 0
    takes = time.monotonic() - began
    kills = 0
    while kills < 20:
        folder = tmp_path / f"after-{kills}"
        for _ in range(numbers.randrange(2, 6)):
            sent = numbers.choice(SIGNALS)
            moment = numbers.choice([*MOMENTS, "time"])
            if moment == "time":
                point = numbers.uniform(0, takes)
                code = train(data, folder, seconds=(point, sent))
            else:
                point = numbers.randrange(1, 1 + MOMENTS[moment])
                code = train(data, folder, (moment, point, sent))
            assert code in (0, -sent), (folder / "printed").read_text()
            kills += code != 0
            print(f"kill {kills}: {sent.name} at {moment} {point}: exit code {code}")
            assert_loadable(folder)
            if code == 0:
                break
        assert train(data, folder) == 0, (folder / "printed").read_text()
        assert_same(folder, whole)
        print(f"trained to the end in {folder.name}: parameters, moments and losses are equal")


# ---------------------------------------------------------------------------------------------------- a full disk


@pytest.fixture
def disk(tmp_path):
    """A disk of 8 MB."""
    folder = tmp_path / "whole-disk" / "checkpoints"
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


ONE_WORD = Alignment(["word", "</s>"], ["Wort", "</s>"], np.eye(2))
HYPOTHESIS = Hypothesis(0, 1, "word " * 500, ONE_WORD)


def fill(disk: Path) -> Path:
    """Fills a disk with a file, which is returned."""
    with open(disk / "filler", "wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        while file.write(b"x" * 4096):
            pass
    return disk / "filler"


def test_a_training_that_meets_a_full_disk_ends_with_a_line_and_goes_on_when_there_is_room(
    data, whole, disk, monkeypatch
):
    folder = disk.parent
    monkeypatch.setattr(saving, "PAUSES", (0.1, 0.1))
    assert train(data, folder, ("update", 8, signal.SIGKILL)) == -signal.SIGKILL
    before = {path.name: path.read_bytes() for path in disk.iterdir()}
    assert "checkpoint_last.pt" in before
    filler = fill(disk)
    assert train(data, folder) == 1
    filler.unlink()
    assert {path.name: path.read_bytes() for path in disk.iterdir()} == before
    assert_loadable(folder)
    *_, last = (folder / "printed").read_text().splitlines()
    assert last.startswith(f"fairseq_bahdanau: cannot save {disk}/checkpoint_1_9.pt: No space left on device. What was")
    assert "Traceback" not in (folder / "printed").read_text()
    assert train(data, folder) == 0
    assert_same(folder, whole)


def test_the_copy_of_a_checkpoint_that_does_not_fit_is_told_in_a_line(disk):
    (disk.parent / "checkpoint1.pt").write_bytes(b"new" * 10000)
    (disk / "checkpoint_last.pt").write_bytes(b"old")
    fill(disk)
    with pytest.raises(SystemExit, match=r"cannot save .*/checkpoint_last\.pt: No space left on device"):
        PathManager.copy(str(disk.parent / "checkpoint1.pt"), str(disk / "checkpoint_last.pt"), overwrite=True)
    assert (disk / "checkpoint_last.pt").read_bytes() == b"old" and not (disk / "checkpoint_last.pt.part").exists()


def write_two(path):
    with writing(f"{path}/one", f"{path}/two") as files:
        for file in files:
            file.write("word " * 5000)


@pytest.mark.parametrize(
    ("write", "name"),
    [
        (lambda disk: write_lines(f"{disk}/one", ["word " * 5000]), "one"),
        (write_two, "one"),
        (lambda disk: saving.save_atomically({"model": torch.ones(5000)}, f"{disk}/one"), "one"),
        (lambda disk: write_all(disk, [HYPOTHESIS] * 20, "none"), "hypotheses.txt"),
    ],
    ids=["lines", "two files", "checkpoint", "alignments"],
)
def test_what_does_not_fit_is_named_and_leaves_nothing(write, name, disk, monkeypatch):
    monkeypatch.setattr(saving, "PAUSES", ())
    (disk / name).write_text("old")
    fill(disk)
    with pytest.raises(OSError) as caught:
        write(disk)
    assert caught.value.strerror == "No space left on device" and caught.value.filename == str(disk / name)
    assert sorted(path.name for path in disk.iterdir()) == sorted(["filler", name])
    assert (disk / name).read_text() == "old"


def test_a_checkpoint_is_whole_though_the_disk_was_full_for_a_moment(tmp_path, monkeypatch):
    """Fairseq writes again behind what the first attempt left, and calls that a checkpoint."""
    save, tries = torch.save, []

    def save_at_last(checkpoint, file):
        tries.append(file)
        if len(tries) < 3:
            file.write(b"x" * 5000)
            raise OSError(28, "No space left on device")
        save(checkpoint, file)

    monkeypatch.setattr(torch, "save", save_at_last)
    monkeypatch.setattr(saving, "PAUSES", (0, 0))
    assert checkpoint_utils.torch_persistent_save is saving.save_for_fairseq
    checkpoint_utils.torch_persistent_save({"model": torch.ones(3)}, str(tmp_path / "checkpoint1.pt"))
    assert torch.load(tmp_path / "checkpoint1.pt")["model"].tolist() == [1, 1, 1] and len(tries) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint1.pt"]


def test_what_is_wrong_with_the_checkpoint_itself_is_not_taken_for_a_full_disk(tmp_path):
    with pytest.raises(Exception, match=r"pickle|local object"):
        saving.save_atomically({"model": lambda: None}, str(tmp_path / "checkpoint1.pt"))
    assert not list(tmp_path.iterdir())


def test_a_log_that_cannot_be_written_is_told_once(capsys):
    logger, handler = logging.getLogger("full"), logging.FileHandler("/dev/full")
    logger.addHandler(handler)
    for _ in range(3):
        logger.error("a line")
    logger.removeHandler(handler)
    told = "fairseq_bahdanau: cannot write to /dev/full: No space left on device: it may lack lines from here on\n"
    assert capsys.readouterr().err == told
    with pytest.raises(OSError):
        handler.close()
