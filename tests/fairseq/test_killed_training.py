"""Trainings that are killed at any point and go on from there: the same parameters and losses, and no short file.

A killed training is a fork of this process, since to start fairseq takes longer than to train these models.
"""

import logging
import multiprocessing
import os
import random
import re
import signal
import sys
import time
from pathlib import Path

import fairseq_cli.train
import pytest
import torch
from fairseq.file_io import PathManager
from fairseq.trainer import Trainer
from support import PLUGIN, TINY_FLAGS

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
