"""Recipes that are killed in any stage and go on to the same result; two at once on one folder; a full disk."""

import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import archives
import pytest
import torch
from support import RECIPE_SIZES, ROOT, environment, write

RECIPES = ROOT / "recipes"
TINY = f"--arch bigru_bahdanau_maxout {RECIPE_SIZES} --criterion cross_entropy --optimizer adam --lr 0.01 --dropout 0.2"
# What every script asks first, answered without an import of torch, which takes longer than the stages here.
QUICK_PYTHON = """case "$*" in *get_device_name*) exit ;; *torch.cuda*) echo cpu; exit ;; esac
exec "$REAL/python" "$@"
"""


def fake_environment(folder: Path, **programs) -> dict:
    """A virtual environment whose programs are those of this one, but for some that are scripts of these texts; returns
    the variables by which a recipe takes it. A program's own self is ``$REAL/NAME``."""
    real = Path(sys.prefix)
    (folder / "bin").mkdir(parents=True)
    for program in (real / "bin").iterdir():
        (folder / "bin" / program.name).symlink_to(program)
    for name, script in {"python": QUICK_PYTHON, **programs}.items():
        name = name.replace("_", "-")
        (folder / "bin" / name).unlink(missing_ok=True)
        (folder / "bin" / name).write_text(f"#!/bin/bash\nset -e\n{script}")
        (folder / "bin" / name).chmod(0o755)
    shutil.copy(real / ".fairseq_bahdanau", folder)
    return environment(VIRTUAL_ENV=str(folder), REAL=str(real / "bin"))


def start(words, variables=None) -> subprocess.Popen:
    """Starts a script in a group of processes of its own, which attends to SIGINT even where this process does not."""
    return subprocess.Popen(
        [str(word) for word in ("bash", *words)],
        env=variables or environment(VIRTUAL_ENV=sys.prefix),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def finish(words, variables=None, code: int = 0) -> str:
    """Runs a script to its end, and returns what it printed; asserts how it ends."""
    process = start(words, variables)
    printed, _ = process.communicate(timeout=900)
    assert process.returncode == code, printed
    return printed


def end_group(process: subprocess.Popen, sent: signal.Signals) -> None:
    """Sends a signal to all of a script's processes, and waits until there is none."""
    os.killpg(process.pid, sent)
    process.communicate(timeout=60)
    for _ in range(600):
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    raise AssertionError(f"{sent.name} leaves processes behind")


def results(work: Path) -> dict:
    """All files of a work folder by their content; of a checkpoint, its parameters; of logs, nothing.

    Without the costs: they are written when a command has ended well, and not when it is killed behind its last save.
    """
    found = {}
    for path in sorted(set(work.rglob("*")) - set(work.rglob("*.jsonl"))):
        content = path.read_bytes() if path.is_file() else b"folder"
        if path.suffix in (".log", ".png") or path.name == "lock":
            content = b""
        elif path.suffix == ".pt":
            content = b"".join(value.numpy().tobytes() for value in torch.load(path)["model"].values())
        found[str(path.relative_to(work))] = hashlib.sha256(content).hexdigest()
    return found


# ------------------------------------------------------------------------------------------------- two at once

HOLDER = f'source {RECIPES / "common.sh"}; lock "$1"; echo locked; sleep 300; true'


def holder(folder: Path) -> subprocess.Popen:
    """A script that has locked a folder, and waits for its child."""
    process = start(["-c", HOLDER, "bash", folder])
    assert process.stdout.readline() == "locked\n"
    return process


def test_a_folder_is_locked_until_all_that_its_script_started_has_ended(tmp_path):
    first = holder(tmp_path)
    script = [RECIPES / ".." / "tests" / "no-such", tmp_path]
    refused = finish(["-c", HOLDER, *script], code=1)
    form = r"no-such: (.*) is in use by process (\d+) \((.*)\): wait until .*, or end it by: kill (\d+) (\d+)\n"
    told = re.fullmatch(form, refused)
    assert told and told[1] == str(tmp_path) and int(told[2]) == int(told[4]) == first.pid
    assert told[3].startswith(f"bash -c source {RECIPES}")
    first.kill()
    first.wait()
    # What it has started is still at work, as a training would be.
    assert f"process {told[5]} (sleep 300): wait" in finish(["-c", HOLDER, *script], code=1)
    os.kill(int(told[5]), signal.SIGKILL)
    other = tmp_path / "other"
    other.mkdir()
    for folder in (tmp_path, other):
        end_group(holder(folder), signal.SIGTERM)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """Files in the layout of Multi30k, their sums, and the flags of a tiny model."""
    folder = tmp_path_factory.mktemp("corpus")
    for seed, (split, count) in enumerate({"train": 300, "val": 12, "test_2016_flickr": 13}.items()):
        for lang, text in zip(("en", "de"), archives.columns(archives.sentences(count, seed))):
            write(folder / f"{split}.{lang}", text.splitlines())
            subprocess.run(["gzip", "-n", folder / f"{split}.{lang}"], check=True)
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}" for path in sorted(folder.glob("*.gz"))]
    write(folder / "SUMS", sums)
    (folder / "tiny.args").write_text(f"{TINY} --max-tokens 400 --max-epoch 3 --share-all-embeddings")
    return folder


def multi30k(corpus: Path, work: Path, *flags) -> list:
    """The words of a run of Multi30k's recipe on that corpus."""
    given = ("--raw", corpus, "--sums", corpus / "SUMS", "--work", work, "--vocab-size", "90")
    return [RECIPES / "multi30k" / "run.sh", corpus / "tiny.args", *given, *flags]


def test_one_recipe_at_a_time_prepares_and_one_trains_a_model(corpus, tmp_path):
    """While one is in the shared stages, none is let into them; while one trains a model, others train other models."""
    variables = fake_environment(tmp_path / "fake", fairseq_train="echo trains; exit 3")
    work, train = tmp_path / "work", ("--stage", "4", "--stop-stage", "4")
    run = work / "en-de" / "tiny"
    run.mkdir(parents=True)
    (work / "en-de" / "binarized").touch()
    shared = holder(work)
    assert f"{work} is in use by process {shared.pid} (" in finish(multi30k(corpus, work), variables, 1)
    assert "trains" in finish(multi30k(corpus, work, *train), variables, 3)
    own = holder(run)
    end_group(shared, signal.SIGKILL)
    finish(multi30k(corpus, work, "--stop-stage", "1"), variables)
    assert f"{run} is in use by process {own.pid} (" in finish(multi30k(corpus, work, *train), variables, 1)
    assert "trains" in finish(multi30k(corpus, work, *train, "--seed", "2"), variables, 3)
    two = ("--nodes", "2", "--master", "localhost:1", *train)  # of which the other machine is at work
    assert "has no --update-freq to divide among 2" in finish(multi30k(corpus, work, *two), variables, 1)
    end_group(own, signal.SIGKILL)
    assert "trains" in finish(multi30k(corpus, work, *train), variables, 3)


def test_a_training_that_outlives_its_recipe_keeps_the_lock(corpus, tmp_path):
    variables = fake_environment(tmp_path / "fake", fairseq_train="echo trains; sleep 300")
    work, train = tmp_path / "work", ("--stage", "4", "--stop-stage", "4")
    (work / "en-de").mkdir(parents=True)
    (work / "en-de" / "binarized").touch()
    first = start(multi30k(corpus, work, *train), variables)
    while first.stdout.readline() != "trains\n":
        assert first.poll() is None
    first.kill()
    first.wait()
    measure, *_ = subprocess.check_output(["pgrep", "-g", str(first.pid)], text=True).split()
    os.kill(int(measure), signal.SIGKILL)
    refused = finish(multi30k(corpus, work, *train), variables, 1)
    named = re.search(r"or end it by: kill (\d+) (\d+)\n$", refused).groups()
    training, child = ((Path("/proc") / pid / "cmdline").read_text().replace("\0", " ") for pid in named)
    assert "/fairseq-train " in training and child == "sleep 300 " and training[:60] in refused
    os.killpg(first.pid, signal.SIGKILL)


def test_who_ends_the_measuring_process_ends_the_command(tmp_path):
    measure = [sys.executable, RECIPES / "measure.py", "--record", tmp_path / "r", "--"]
    process = subprocess.Popen([*measure, "bash", "-c", "echo on; sleep 99"], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "on\n"
    process.terminate()
    assert process.wait(timeout=30) == 128 + signal.SIGTERM and not (tmp_path / "r").exists()


def test_costs_that_do_not_fit_are_told_in_a_line():
    command = [sys.executable, RECIPES / "measure.py", "--record", "/dev/full", "--", "true"]
    finished = subprocess.run(command, capture_output=True, text=True)
    assert finished.returncode == 1
    assert finished.stderr == "measure.py: --record /dev/full: No space left on device\n"


# ------------------------------------------------------------------------------------------------- killed anywhere

# Programs that are killed with all of the recipe, in the middle of what they write.
KILLED = {
    "the text is half unpacked": {"gzip": '/bin/gzip "$@" | head -c 300; kill -9 0'},
    "the pieces are half written": {
        "python": 'case "$*" in *"segment.py encode"*) echo half >"${@: -1}.part"; kill -9 0 ;; esac\n' + QUICK_PYTHON
    },
    "the pieces are there, but not their mark": {"touch": "kill -9 0"},
    "a dictionary is half written": {
        "fairseq_preprocess": 'mkdir "${@: -1}"; echo "half" >"${@: -1}/dict.en.txt"; kill -9 0'
    },
    "the data are there, but not how the text was made": {"mv": "kill -9 0"},
}


def test_killed_while_it_prepares_the_data_a_recipe_makes_the_same_ones(corpus, tmp_path):
    work, whole = tmp_path / "work", tmp_path / "whole"
    words = multi30k(corpus, work, "--stop-stage", "3")
    quick = fake_environment(tmp_path / "quick")
    finish(words, quick)
    work.rename(whole)  # sentencepiece's model names the files that it was made from
    for number, (moment, programs) in enumerate(KILLED.items()):
        fake = fake_environment(tmp_path / str(number), **programs)
        if "mv" in programs:  # of several: that which comes after fairseq-preprocess
            fake = fake_environment(tmp_path / "mv", mv='case "$2" in *text.json) kill -9 0 ;; esac; exec /bin/mv "$@"')
        assert start(words, fake).wait(timeout=300) == -signal.SIGKILL, moment
    finish(words, quick)
    assert results(work) == results(whole)


def test_a_training_killed_behind_its_last_update_is_not_trained_further(corpus, tmp_path):
    """The command itself would train one more."""
    variables = fake_environment(tmp_path / "fake", fairseq_train="echo trains; exit 3")
    run = tmp_path / "en-de" / "updates"
    (run / "checkpoints").mkdir(parents=True)
    (tmp_path / "en-de" / "binarized").touch()
    (tmp_path / "updates.args").write_text(f"{TINY} --max-update 7")
    recipe, _, *flags = multi30k(corpus, tmp_path, "--stage", "4", "--stop-stage", "4")
    for updates, code in ((6, 3), (7, 0)):
        torch.save({"optimizer_history": [{"num_updates": updates}]}, run / "checkpoints" / "checkpoint_last.pt")
        assert not (run / "trained").exists()
        printed = finish([recipe, tmp_path / "updates.args", *flags], variables, code)
        assert ("trains" in printed) == (code == 3)
    assert (run / "trained").exists() and "trained before" in printed


def test_a_checkpoint_that_a_kill_has_left_over_is_not_averaged(corpus, tmp_path):
    """It saves the last one before it removes the one too many."""
    show = 'case "$*" in *cli.average*) echo "$@"; exit 3 ;; esac\n'
    variables = fake_environment(tmp_path / "fake", python=show + QUICK_PYTHON)
    run = tmp_path / "en-de" / "tiny"
    (run / "checkpoints").mkdir(parents=True)
    (run / "trained").touch()
    for kept, averaged in ((4, 4), (5, 5), (6, 5)):
        for number in range(1, kept + 1):
            (run / "checkpoints" / f"checkpoint{number}.pt").touch()
        printed = finish(multi30k(corpus, tmp_path, "--stage", "5", "--stop-stage", "5"), variables, 3)
        assert f"--num-epoch-checkpoints {averaged}\n" in printed


def test_a_training_that_ended_in_its_first_epoch_is_translated_by_its_last_checkpoint(corpus, tmp_path):
    show = 'case "$*" in *cli.average*) echo "$@"; exit 3 ;; esac\n'
    variables = fake_environment(tmp_path / "fake", python=show + QUICK_PYTHON)
    run = tmp_path / "en-de" / "tiny"
    (run / "checkpoints").mkdir(parents=True)
    (run / "trained").touch()
    printed = finish(multi30k(corpus, tmp_path, "--stage", "5", "--stop-stage", "5"), variables, 3)
    assert "no checkpoint of an epoch was kept: the last one translates\n" in printed
    assert printed.endswith(f" --inputs {run / 'checkpoints' / 'checkpoint_last.pt'}\n")


# Every recipe on a small corpus: what its archives are, and its model where it has one to choose.
SETS = {
    "quickstart": (None, ""),
    "multi30k": (None, "--max-tokens 400 --max-epoch 3 --share-all-embeddings"),
    "iwslt14_de_en": (lambda raw: archives.iwslt14(raw, 114), "--max-tokens 300 --max-epoch 3"),
    "wmt14_en_de": (
        lambda raw: archives.wmt14(raw, "de", 90),
        "--max-tokens 300 --share-all-embeddings --max-update 9 --save-interval-updates 2 --keep-interval-updates 3",
    ),
    "wmt14_en_fr": (
        lambda raw: archives.wmt14(raw, "fr", 50),
        "--max-tokens 150 --share-all-embeddings --max-update 25 --save-interval-updates 2 --keep-interval-updates 3",
    ),
    "rnnsearch_en_fr": (lambda raw: archives.rnnsearch(raw, 40), "--batch-size 40 --max-epoch 3"),
    "own_text": (lambda raw: archives.own_text(raw, 300), "--max-tokens 400 --max-epoch 3 --share-all-embeddings"),
}


def words_for(recipe: str, place: Path, corpus: Path) -> list:
    """Makes the corpus of a recipe; returns the words of its run on that."""
    pack, flags = SETS[recipe]
    if recipe == "quickstart":
        return [RECIPES / recipe / "run.sh", "--work", place / "work"]
    if recipe == "multi30k":
        return multi30k(corpus, place / "work")
    pack(place / "raw")
    (place / "tiny.args").write_text(f"{TINY} {flags}")
    if recipe == "own_text":
        texts = [word for split in ("train", "valid", "test") for word in (f"--{split}", place / "raw" / split)]
        given = ["--src", "en", "--tgt", "de", *texts, "--work", place / "work", "--vocab-size", "90"]
        return [RECIPES / recipe / "run.sh", place / "tiny.args", *given]
    given = ["--raw", place / "raw", "--sums", place / "raw" / "SUMS", "--work", place / "work"]
    if recipe != "rnnsearch_en_fr":
        given += ["--vocab-size", "120", "--pairs", "any"]
    return [RECIPES / recipe / "run.sh", place / "tiny.args", *given]


def until_stage(process: subprocess.Popen, number: int) -> bool:
    """Reads what a recipe prints until it begins a stage; false where it has ended before."""
    return any(f"| stage {number}: " in line for line in process.stdout)


def timed(words: list, variables: dict) -> list:
    """Runs a recipe to its end; returns the seconds of its stages."""
    process, began = start(words, variables), [time.monotonic()]
    printed = []
    for line in process.stdout:
        printed.append(line)
        if "| stage " in line:
            began.append(time.monotonic())
    assert process.wait() == 0, "".join(printed)
    return [after - before for before, after in zip(began[1:], [*began[2:], time.monotonic()])]


@pytest.mark.slow
@pytest.mark.parametrize("recipe", SETS)
def test_killed_once_in_every_stage_a_recipe_goes_on_to_the_same_result(recipe, corpus, tmp_path):
    numbers = random.Random(recipe)
    variables = fake_environment(tmp_path / "fake")
    variables["GENERATE_FLAGS"] = "--train 300 --valid 20 --test 30 --max-words 12"
    words, work = words_for(recipe, tmp_path, corpus), tmp_path / "work"
    seconds = timed(words, variables)
    work.rename(tmp_path / "whole")
    signals = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
    for number, takes in enumerate(seconds, start=1):
        sent, point = signals[(number + len(recipe)) % 3], numbers.uniform(0, takes)
        process = start(words, variables)
        assert until_stage(process, number), f"{recipe} ended before stage {number}"
        time.sleep(point)
        end_group(process, sent)
        print(
            f"{recipe}, stage {number}: {sent.name} after {point:.1f} of {takes:.1f} s, exit code {process.returncode}"
        )
    finish(words, variables)
    assert results(work) == results(tmp_path / "whole")
    print(f"{recipe}: all {len(results(work))} files are the same")
