"""The paper exactly, trained by fairseq: ``--arch rnnsearch50``, its batches, and the gradient that it clips."""

import pytest
import torch
from fairseq.checkpoint_utils import load_model_ensemble_and_task
from fairseq.data import Dictionary
from omegaconf import OmegaConf
from support import generate, lines_of, pad, train
from torch.nn.functional import cross_entropy

from fairseq_bahdanau.tasks import SortedWithin, TranslationSortedWithinConfig, TranslationSortedWithinTask

TINY_PAPER = (
    "--arch rnnsearch50 --task translation_sorted_within --criterion cross_entropy_summed --optimizer adadelta "
    "--adadelta-rho 0.95 --adadelta-eps 1e-6 --lr 1 --clip-norm 1 --max-tokens 4000 --batch-size 20 --sort-within 100"
).split()


def test_preset_trains_generates_and_loads_where_an_option_is_younger(data, tmp_path):
    train(data, tmp_path, *TINY_PAPER, "--max-epoch", "2", "--no-epoch-checkpoints")
    path = tmp_path / "checkpoint_last.pt"
    checkpoint = torch.load(path)
    saved = checkpoint["cfg"]["model"]
    assert (saved["_name"], saved["gru_reset"], saved["init"]) == ("rnnsearch50", "before", "paper")
    assert "encoder.rnn.layers.0.1.cell.state_gates.weight" in checkpoint["model"]
    wanted = lines_of("H", generate(data, path))
    assert len(wanted) == 21
    del saved["attention_score"]
    torch.save(checkpoint, tmp_path / "older.pt")
    assert lines_of("H", generate(data, tmp_path / "older.pt")) == wanted


def summed_gradient(path, data, corpus):
    """The gradient of the loss summed over the training set, computed without fairseq's trainer."""
    (model,), _, task = load_model_ensemble_and_task([str(path)], arg_overrides={"data": str(data)})

    def words(language, dictionary: Dictionary):
        lines = (corpus / f"train.{language}").read_text().splitlines()
        return [dictionary.encode_line(line, add_if_not_exist=False).tolist() for line in lines]

    targets = words("yy", task.target_dictionary)
    prev = pad([[2, *target[:-1]] for target in targets], 1, left=False)
    logits = model(pad(words("xx", task.source_dictionary), 1, left=True), None, prev)[0]
    target = pad(targets, 1, left=False)
    cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=1, reduction="sum").backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}, int(target.ne(1).sum())


@pytest.mark.parametrize(("criterion", "clips"), [("cross_entropy", False), ("cross_entropy_summed", True)])
@pytest.mark.parametrize("update_freq", [1, 3])
def test_the_summed_gradient_is_clipped(criterion, clips, update_freq, data, corpus, tmp_path):
    """One update with all of the corpus by plain gradient descent: the parameters move by the clipped gradient."""
    flags = f"--criterion {criterion} --optimizer sgd --lr 1 --clip-norm 1 --max-tokens 9000 --max-epoch 2".split()
    flags += ["--batch-size", str(300 // update_freq), "--update-freq", str(update_freq), "--keep-last-epochs", "2"]
    printed = train(data, tmp_path, *flags)
    before, after = (torch.load(tmp_path / f"checkpoint{epoch}.pt")["model"] for epoch in (1, 2))
    gradient, words = summed_gradient(tmp_path / "checkpoint1.pt", data, corpus)
    summed_norm = torch.stack([part.norm() for part in gradient.values()]).norm()
    assert summed_norm > 1 > summed_norm / words  # what theirs leaves alone, ours clips
    moved = {name: before[name] - after[name] for name in gradient}
    for name, part in gradient.items():
        wanted = part / summed_norm if clips else part / words
        torch.testing.assert_close(moved[name], wanted, atol=2e-6, rtol=2e-3)
    assert ("clip 100" if clips else "clip 0") in printed.split("| train | epoch 002")[1].splitlines()[0]
    losses = [line for line in printed.splitlines() if "valid on" in line]
    assert len(losses) == 2 and "ppl" in losses[0]


def test_batches_of_a_training_are_cut_from_sorted_parts(data, tmp_path):
    """300 pairs in batches of 20, sorted within 100: every pair once, lengths alike within a batch."""
    options = {"data": str(data), "train_subset": "train", "dataset_impl": None, "required_seq_len_multiple": 1}
    cfg = OmegaConf.merge(TranslationSortedWithinConfig(), {**options, "sort_within": 100, "num_batch_buckets": 0})
    task = TranslationSortedWithinTask.setup_task(cfg)
    for split in ("train", "valid"):
        task.load_dataset(split)
    assert not isinstance(task.dataset("valid"), SortedWithin)
    dataset = task.dataset("train")
    iterator = task.get_batch_iterator(dataset, max_sentences=20, max_positions=(99, 99), seed=3)
    batches = [batch["id"] for batch in iterator.next_epoch_itr(shuffle=False)]
    assert [len(batch) for batch in batches] == [20] * 15
    assert sorted(torch.cat(batches).tolist()) == list(range(300))
    longest = [dataset.sizes[batch].max() for batch in batches]
    assert sorted(longest[:5]) == longest[:5] and sorted(longest) != longest


def test_sort_within_is_checked(data, tmp_path):
    printed = train(data, tmp_path, *TINY_PAPER, "--sort-within", "0", succeeds=False)
    assert printed.strip().splitlines()[-1].endswith("--sort-within must be at least 1, not 0")
