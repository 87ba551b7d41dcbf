"""Several processes over gloo: they train one model, and end when one of them is killed; one seed is one result."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from support import PLUGIN, ROOT, SOURCES, TARGETS, TINY_FLAGS, build_model, environment, members, pad, shake, write

# What a test asks of fairseq-train beside the plugin: it prints a checksum of the parameters after every update, and
# kills itself where KILLED says RANK@UPDATES, or *@UPDATES.
OBSERVED = """
import hashlib, os, signal
import fairseq_bahdanau
from fairseq.trainer import Trainer

train_step = Trainer.train_step

def observed(self, samples, *args, **kwargs):
    if os.environ.get("KILLED") in [f"{rank}@{self.get_num_updates()}" for rank in (self.data_parallel_rank, "*")]:
        os.kill(os.getpid(), signal.SIGKILL)
    result = train_step(self, samples, *args, **kwargs)
    sums = hashlib.sha256(b"".join(p.detach().numpy().tobytes() for p in self.model.parameters()))
    print("OBSERVED", self.get_num_updates(), sums.hexdigest(), flush=True)
    return result

Trainer.train_step = observed
"""
COMMON = ("--no-epoch-checkpoints", "--update-epoch-batch-itr", "True", "--log-interval", "1")
GLOO = ("--distributed-no-spawn", "--distributed-backend", "gloo", "--ddp-backend", "legacy_ddp")


@pytest.fixture(scope="module")
def observed(tmp_path_factory):
    """A folder for --user-dir: the plugin, and what OBSERVED adds."""
    folder = tmp_path_factory.mktemp("users") / "observed_plugin"
    folder.mkdir()
    write(folder / "__init__.py", OBSERVED.splitlines())
    return folder


def variables(**more):
    return environment(PYTHONPATH=str(PLUGIN.parent), **more)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def command_of(data, user_dir, save_dir, *flags):
    program = Path(sys.executable).with_name("fairseq-train")
    command = [program, data, "--user-dir", user_dir, *TINY_FLAGS, "--save-dir", save_dir, *COMMON, *flags]
    return [str(word) for word in command]


def start(command, **more):
    """Starts a command in a session of its own, so that a test that fails can end all of it."""
    return subprocess.Popen(
        command, env=variables(**more), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )


def printed_by(processes, seconds=400):
    """What processes printed when all have ended, which they must within that time; none outlives this."""
    try:
        return [process.communicate(timeout=seconds)[0].decode() for process in processes]
    finally:
        for process in processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def start_ranks(world, data, user_dir, save_dir, *flags, **more):
    """One training in processes that are started by hand, the way fairseq can on a CPU."""
    method = f"tcp://127.0.0.1:{free_port()}"
    common = ("--distributed-world-size", world, "--distributed-init-method", method, *GLOO)
    return [
        start(command_of(data, user_dir, save_dir, *common, *flags, "--distributed-rank", rank), **more)
        for rank in range(world)
    ]


def ranks(world, *args, **more):
    processes = start_ranks(world, *args, **more)
    printed = printed_by(processes)
    assert [process.returncode for process in processes] == [0] * world, "\n".join(printed)
    return printed


def sums(printed):
    """The checksums of the parameters, by update."""
    return dict(re.findall(r"^OBSERVED (\d+) (\w+)$", printed, re.MULTILINE))


def losses(printed):
    """The losses that the log has of every update, and of every validation."""
    updates = re.findall(r"train_inner(?: \| |:)epoch .*? loss=([\d.]+),.*? num_updates=(\d+)", printed)
    validations = re.findall(r"valid on 'valid' subset \| loss ([\d.]+) .*? num_updates (\d+)", printed)
    return {
        (kind, int(update)): float(loss)
        for kind, found in (("train", updates), ("valid", validations))
        for loss, update in found
    }


def parameters(path):
    return torch.load(path)["model"]


def check_equal(many, one, save_dirs):
    """One process with --update-freq has learnt what many have: losses after every update, and the parameters."""
    expected = losses(one)
    assert len(expected) > 4 and losses(many).keys() == expected.keys()
    for name, loss in losses(many).items():
        assert loss == pytest.approx(expected[name], abs=2e-3), name  # printed with three places
    ours, wanted = (parameters(folder / "checkpoint_last.pt") for folder in save_dirs)
    for name, parameter in wanted.items():
        torch.testing.assert_close(ours[name], parameter, atol=1e-4, rtol=1e-3)


def test_two_processes_equal_one_with_twice_the_batches_and_resume(data, observed, tmp_path):
    first = ranks(2, data, observed, tmp_path / "two", "--max-epoch", "1")
    assert "training on 2 devices" in first[0]
    resumed = ranks(2, data, observed, tmp_path / "two", "--max-epoch", "2")  # process 1 gets it from process 0
    assert "Loaded checkpoint" in resumed[0]
    for printed in (first, resumed):
        assert len(sums(printed[0])) > 1 and sums(printed[0]) == sums(printed[1])  # parameters, after every update
    command = command_of(data, observed, tmp_path / "one", "--update-freq", "2", "--max-epoch", "2")
    (one,) = printed_by([start(command)])
    check_equal(first[0] + resumed[0], one, (tmp_path / "two", tmp_path / "one"))


def ended(process, seconds):
    """Waits for a process; returns what it printed, and when it had ended."""
    printed = process.communicate(timeout=seconds)[0].decode()
    return printed, time.monotonic()


def killed(world, *args):
    """Kills one rank of a training and sees the others end; returns what they printed, by rank."""
    processes = start_ranks(world, *args, KILLED="1@3")
    others = {rank: process for rank, process in enumerate(processes) if rank != 1}
    try:
        _, at = ended(processes[1], 400)
        assert processes[1].returncode == -signal.SIGKILL
        found = {rank: ended(process, 120) for rank, process in others.items()}
    finally:
        printed_by([process for process in processes if process.poll() is None], 1)
    for rank, (printed, end) in found.items():
        assert others[rank].returncode == 1 and end - at < 60, printed
    return {rank: printed for rank, (printed, _) in found.items()}


UPDATES = ("--dropout", "0.2", "--max-update", "6", "--save-interval-updates", "2", "--keep-interval-updates", "1")


def test_a_killed_process_ends_the_other_which_names_it(data, observed, tmp_path):
    printed = killed(2, data, observed, tmp_path, *UPDATES)[0]
    assert "fairseq_bahdanau: rank 0 of 2 stops, since rank 1 does not answer" in printed.splitlines()[-1]
    written = sorted(path.name for path in tmp_path.iterdir())
    assert written == ["checkpoint_1_2.pt", "checkpoint_best.pt", "checkpoint_last.pt"]


@pytest.mark.slow
def test_a_killed_training_goes_on_to_the_same_end(data, observed, tmp_path):
    """With dropout, which is another on every rank; two trainings of one seed are one, update by update."""
    whole = ranks(2, data, observed, tmp_path / "whole", *UPDATES)
    assert len(sums(whole[0])) == 6 and sums(whole[0]) == sums(whole[1])
    before = killed(2, data, observed, tmp_path / "killed", *UPDATES)[0]
    after = ranks(2, data, observed, tmp_path / "killed", *UPDATES)[0]
    assert list(sums(before)) == ["1", "2", "3"] and list(sums(after)) == ["4", "5", "6"]
    assert {**sums(before), **sums(after)} == sums(whole[0])
    one, other = (parameters(tmp_path / name / "checkpoint_last.pt") for name in ("whole", "killed"))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
def test_four_processes_equal_one_and_three_name_the_fourth(data, observed, tmp_path):
    flags = ("--max-tokens", "100", "--max-epoch", "2")
    four = ranks(4, data, observed, tmp_path / "four", *flags)
    assert "training on 4 devices" in four[0]
    assert len(sums(four[0])) > 2 and all(sums(printed) == sums(four[0]) for printed in four)
    command = command_of(data, observed, tmp_path / "one", *flags, "--update-freq", "4")
    (one,) = printed_by([start(command)])
    check_equal(four[0], one, (tmp_path / "four", tmp_path / "one"))
    printed = killed(4, data, observed, tmp_path / "killed", *flags)
    said = {rank: re.findall(r"since ranks? ([\d, ]+) do(?:es)? not answer", text) for rank, text in printed.items()}
    assert all(len(named) == 1 and "1" in named[0].split(", ") for named in said.values()), said
    assert ["1"] in said.values()  # who stops last knows that the others had only waited


@pytest.mark.slow
def test_of_two_nodes_one_ends_when_a_process_of_the_other_is_killed(data, observed, tmp_path):
    """Two torchruns, as recipes start them on two machines; the first holds what they meet by."""
    torchrun = [str(Path(sys.executable).with_name("torchrun")), *"--nnodes 2 --nproc_per_node 1".split()]
    torchrun += ["--rdzv_backend", "c10d", "--rdzv_endpoint", f"127.0.0.1:{free_port()}", "--rdzv_conf"]
    command = [
        "--no-python",
        "bash",
        str(ROOT / "recipes" / "rank.sh"),
        *command_of(data, observed, tmp_path, *UPDATES),
    ]
    path = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    nodes = [
        start([*torchrun, f"is_host={int(holds)}", *command], **path, **({} if holds else {"KILLED": "*@3"}))
        for holds in (True, False)
    ]
    alive, dead = printed_by(nodes)
    assert [node.returncode for node in nodes] == [1, 1]
    ((rank,),) = [re.findall(r"rank +: (\d) \(local_rank: 0\)\n +exitcode +: -9", dead)]
    assert f"fairseq_bahdanau: rank {1 - int(rank)} of 2 stops, since rank {rank} does not answer" in alive


# Trains with dropout, then searches by sampling with two seeds and by a beam, all in one process.
TRAINS_AND_SEARCHES = """
import sys
from fairseq_cli import generate, train

data, user_dir, save_dir, *flags = sys.argv[1:]
sys.argv = ["fairseq-train", data, "--user-dir", user_dir, "--save-dir", save_dir, *flags]
train.cli_main()
for search in ("--sampling --nbest 5 --seed 1", "--sampling --nbest 5 --seed 2", "--beam 5"):
    print("SEARCH", search, flush=True)
    sys.argv = ["fairseq-generate", data, "--user-dir", user_dir, "--path", f"{save_dir}/checkpoint_last.pt"]
    sys.argv += ["--required-batch-size-multiple", "1", "--cpu", *search.split()]
    generate.cli_main()
"""


def test_two_runs_with_one_seed_are_identical(data, observed, tmp_path):
    """Parameters and losses of a training with dropout, and the samples of two searches with a seed."""
    flags = (*TINY_FLAGS, *COMMON, "--dropout", "0.2", "--max-update", "6")
    words = [[sys.executable, "-c", TRAINS_AND_SEARCHES, data, observed, tmp_path / name, *flags] for name in "ab"]
    one, other = printed_by([start([*map(str, command)]) for command in words])
    assert len(sums(one)) == 6 and sums(one) == sums(other)
    assert losses(one) == losses(other) and len(losses(one)) > 6
    searches = [
        [
            [line for line in part.splitlines() if line.startswith(("H-", "P-"))]
            for part in re.split("^SEARCH", printed, flags=re.MULTILINE)
        ]
        for printed in (one, other)
    ]
    assert searches[0] == searches[1]
    _, sampled, again, best = searches[0]
    assert len(sampled) == len(again) == 2 * 5 * 21 and len(best) == 2 * 21
    assert sampled != again  # by another seed


@members
@pytest.mark.parametrize("recurrence", ["reference", "fused"])
def test_no_parameter_is_unused(options, recurrence):
    """Each has a gradient after one backward pass, so several processes need no --find-unused-parameters."""
    more = [{}, {"output_bias": True, "maxout_dim": 9}, {"dropout": 0.3}]
    if not options.get("share_decoder_input_output_embed"):
        more.append({"decoder_out_embed_dim": 11})
    if not options.get("share_decoder_input_output_embed") and not options.get("output_bias"):
        more.append({"adaptive_softmax_cutoff": [5, 9]})
    for others in more:
        model = shake(build_model(recurrence=recurrence, **{**others, **options})).train()
        prev = pad(TARGETS, 1, False)
        scores, _ = model(pad(SOURCES, 1, True), None, prev)
        if "adaptive_softmax_cutoff" in others:
            parts, _ = model.decoder.adaptive_softmax(scores, prev.flatten())
            assert all(part is not None for part in parts)
            sum(part.logsumexp(dim=1).sum() for part in parts).backward()
        else:
            scores.logsumexp(dim=2).sum().backward()
        without = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
        assert not without, (others, without)
