"""R-Drop's loss is its equation, its gradient autograd's; without dropout it is label-smoothed cross entropy."""

import numpy as np
import pytest
import torch
from fairseq.criterions.label_smoothed_cross_entropy import LabelSmoothedCrossEntropyCriterion, label_smoothed_nll_loss
from support import SOURCES, TARGETS, build_model, pad, shake
from torch.nn import functional as F

from fairseq_bahdanau import losses
from fairseq_bahdanau.r_drop import RDropLabelSmoothedCrossEntropyCriterion, pair_loss

PAD, SENTENCES, LENGTH, WORDS = 1, 9, 5, 31


def random_pairs(dtype=torch.float64):
    """Logits of two passes, alike in some sentences and extreme in another, and targets of which some are padding."""
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(SENTENCES, 2, LENGTH, WORDS, generator=generator, dtype=torch.float64) * 4
    logits[2] *= 3
    logits[5:, 1] = logits[5:, 0] + logits[5:, 1] / 10 + 7  # a softmax does not see the 7
    target = torch.randint(2, WORDS, (SENTENCES, LENGTH), generator=generator)
    target[::3, 3:] = PAD
    return logits.to(dtype), target


def by_autograd(logits, target, smoothing, weight, factors):
    """Loss, plain loss, divergence and the gradient of the weighted sum, by PyTorch's own functions in float64."""
    logits = logits.double().requires_grad_()
    p, q = (part.log_softmax(dim=-1) for part in logits.unbind(dim=1))
    both = [label_smoothed_nll_loss(part, target, smoothing, PAD, reduce=False) for part in (p, q)]
    loss, nll_loss = (sum(parts).squeeze(-1) / 2 for parts in zip(*both))
    kl = sum(F.kl_div(a, b, log_target=True, reduction="none").sum(dim=-1) for a, b in ((p, q), (q, p)))
    kl = kl.masked_fill(target.eq(PAD), 0.0)
    loss = loss + weight / 4 * kl
    (gradient,) = torch.autograd.grad((loss * factors).sum(), logits)
    return loss.detach(), nll_loss.detach(), kl.detach() / 2, gradient


def ours(logits, target, smoothing, weight, factors):
    logits = logits.clone().requires_grad_()
    loss, nll_loss, divergence = pair_loss(logits * 1, target, smoothing, weight, PAD)
    assert not nll_loss.requires_grad and not divergence.requires_grad
    (gradient,) = torch.autograd.grad((loss * factors).sum(), logits)
    return loss.detach(), nll_loss, divergence, gradient


# Blocks of one position, of some positions of a sentence, of some sentences, of all.
@pytest.mark.parametrize("block", [1, 2 * WORDS * 2 + 3, 2 * WORDS * LENGTH * 4, 2**20])
@pytest.mark.parametrize(("smoothing", "weight"), [(0.1, 0.0), (0.0, 1.0), (0.1, 5.0)])
@pytest.mark.parametrize("factors", ["ones", "each its own"])
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float64, 1e-12), (torch.float32, 2e-5), (torch.bfloat16, 8e-3), (torch.float16, 1e-3)],
)
def test_equal_to_autograd(dtype, tolerance, factors, smoothing, weight, block, monkeypatch):
    monkeypatch.setattr(losses, "CPU_BLOCK", block)
    logits, target = random_pairs(dtype)
    factors = torch.ones(target.shape) if factors == "ones" else torch.rand(target.shape) * 3
    wanted = by_autograd(logits, target, smoothing, weight, factors)
    found = ours(logits, target, smoothing, weight, factors)
    close = 1e-12 if dtype == torch.float64 else 2e-5
    for one, other in zip(found[:3], wanted[:3]):
        torch.testing.assert_close(one.double(), other, atol=close, rtol=close)
        assert (one[target == PAD] == 0).all()
    assert found[3].dtype == dtype
    torch.testing.assert_close(found[3].double(), wanted[3], atol=tolerance * (1 + weight), rtol=tolerance)


def test_equal_to_the_paper_in_numpy():
    """Half of equation 4 of Liang et al. 2021, word by word, and its gradient by differences."""

    def loss_of(logits, target, smoothing, weight):
        total, plain, divergence = 0.0, 0.0, 0.0
        for pair, words in zip(logits, target):
            for position, word in enumerate(words):
                if word == PAD:
                    continue
                p, q = (np.exp(row) / np.exp(row).sum() for row in pair[:, position])
                wanted = np.full(WORDS, smoothing / (WORDS - 1))
                wanted[word] = 1 - smoothing
                kl = (np.sum(p * np.log(p / q)) + np.sum(q * np.log(q / p))) / 2
                paper = -np.sum(wanted * np.log(p)) - np.sum(wanted * np.log(q)) + weight * kl
                total, divergence = total + paper / 2, divergence + kl
                plain -= (np.log(p[word]) + np.log(q[word])) / 2
        return total, plain, divergence

    logits, target = random_pairs()
    found = ours(logits, target, 0.1, 3.0, torch.ones(target.shape))
    np.testing.assert_allclose([part.sum() for part in found[:3]], loss_of(logits.numpy(), target.numpy(), 0.1, 3.0))
    for place in [(0, 0, 1, 7), (1, 1, 2, int(target[1, 2])), (2, 0, 0, 4), (7, 1, 4, 11), (3, 0, 4, 5)]:
        up, down = logits.numpy().copy(), logits.numpy().copy()
        up[place] += 1e-5
        down[place] -= 1e-5
        slope = (loss_of(up, target.numpy(), 0.1, 3.0)[0] - loss_of(down, target.numpy(), 0.1, 3.0)[0]) / 2e-5
        np.testing.assert_allclose(found[3][place], slope, atol=1e-7, rtol=1e-6)


def test_gradients_of_float16_neither_vanish_nor_overflow():
    """Of 10,000 words most have a gradient of about 1e-5; where the passes disagree it is 18."""
    logits, target = torch.zeros(1, 2, 2, 10_000), torch.tensor([[5, 6]])
    logits.normal_(generator=torch.Generator().manual_seed(1))
    logits[0, 0, 1, 7] = logits[0, :, 1, 9] = 60
    factors = torch.full((1, 2), 1024.0)
    wanted = by_autograd(logits.half(), target, 0.1, 5.0, factors)[3]
    found = ours(logits.half(), target, 0.1, 5.0, factors)[3].double()
    assert wanted.abs().max() > 18 * 1024 and found.isfinite().all()
    assert ((found - wanted).abs() <= 4e-3 * wanted.abs() + 1e-6).all()


def test_a_second_backward_pass_and_another_reader_are_refused():
    logits, target = random_pairs()
    scores = (leaf := logits.clone().requires_grad_()) * 1
    other = (scores * scores).sum()
    loss = pair_loss(scores, target, 0.1, 1.0, PAD)[0].sum()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        (loss + other).backward()
    loss = pair_loss(leaf * 1, target, 0.1, 1.0, PAD)[0].sum()
    torch.autograd.grad(loss, leaf, retain_graph=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        torch.autograd.grad(loss, leaf)


class Task:
    """What a criterion reads of a task."""

    def __init__(self):
        self.target_dictionary = build_model().decoder.dictionary


def make(kind=RDropLabelSmoothedCrossEntropyCriterion, **options):
    return kind(Task(), **{"sentence_avg": False, "label_smoothing": 0.1, **options})


def batch():
    src_tokens, prev = pad(SOURCES, 1, True), pad(TARGETS, 1, False)
    target = prev.roll(-1, dims=1)
    target[:, -1] = PAD
    net_input = {"src_tokens": src_tokens, "src_lengths": None, "prev_output_tokens": prev}
    return {"net_input": net_input, "target": target, "ntokens": int(target.ne(PAD).sum())}


def flat(logged):
    return {name: torch.as_tensor(value).double().flatten() for name, value in logged.items()}


options_of_fairseq = pytest.mark.parametrize(
    "options", [{}, {"ignore_prefix_size": 2}, {"report_accuracy": True}, {"sentence_avg": True}]
)


@options_of_fairseq
@pytest.mark.parametrize("reduce", [True, False])
@pytest.mark.parametrize("weight", [0.0, 5.0])
@pytest.mark.parametrize("mode", ["without dropout", "validation"])
def test_one_pass_or_two_equal_ones_are_label_smoothed_cross_entropy(mode, weight, reduce, options):
    """Loss, sample size, log and gradients; a pass more or less only where accuracy counts words."""
    found = {}
    for kind in (LabelSmoothedCrossEntropyCriterion, RDropLabelSmoothedCrossEntropyCriterion):
        model = shake(build_model(dropout=0.3 if mode == "validation" else 0.0)).double().train(mode != "validation")
        more = {"r_drop_weight": weight} if kind is RDropLabelSmoothedCrossEntropyCriterion else {}
        loss, sample_size, logged = make(kind, **options, **more)(model, batch(), reduce=reduce)
        loss.sum().backward()
        gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
        found[kind] = loss.detach().flatten(), sample_size, flat(logged), gradients
    (wanted, wanted_size, wanted_logged, wanted_gradients), (loss, size, logged, gradients) = found.values()
    divergence = logged.pop("r_drop", None)
    assert (divergence is None) == (mode == "validation")
    assert size == wanted_size and logged.keys() == wanted_logged.keys()
    if divergence is not None:
        torch.testing.assert_close(divergence, torch.zeros_like(divergence), atol=1e-12, rtol=0)
        for name in {"n_correct", "total"} & logged.keys():
            logged[name] = logged[name] / 2
    torch.testing.assert_close(loss, wanted.double(), atol=1e-6, rtol=1e-6)  # fairseq's log-probabilities are float32
    for name, value in (wanted_logged | wanted_gradients).items():
        torch.testing.assert_close((logged | gradients)[name], value, atol=1e-5, rtol=1e-5)


@options_of_fairseq
def test_the_criterion_repeats_every_sentence(options):
    """With dropout: loss, log and gradients of a batch with each sentence twice, drawn with the same seed."""
    sample, prefix = batch(), options.get("ignore_prefix_size", 0)
    models = [shake(build_model(dropout=0.3)).double().train() for _ in range(2)]
    criterion = make(r_drop_weight=3.0, **options)
    torch.manual_seed(5)
    loss, _, logged = criterion(models[0], sample)
    loss.backward()
    torch.manual_seed(5)
    rows = [row for row in range(len(SOURCES)) for _ in range(2)]
    twice = {"src_tokens": sample["net_input"]["src_tokens"][rows], "src_lengths": None}
    logits = models[1](**twice, prev_output_tokens=sample["net_input"]["prev_output_tokens"][rows])[0]
    pairs = torch.stack([logits[0::2], logits[1::2]], dim=1)[:, :, prefix:]
    target, ones = sample["target"][:, prefix:], torch.ones(sample["target"][:, prefix:].shape)
    wanted_loss, nll_loss, divergence, gradient = by_autograd(pairs.detach(), target, 0.1, 3.0, ones)
    pairs.backward(gradient)
    assert divergence.sum() > 0.1  # the masks differ
    wanted = {"loss": (wanted_loss - 1.5 * divergence).sum(), "nll_loss": nll_loss.sum(), "r_drop": divergence.sum()}
    if "report_accuracy" in options:
        is_word = target.ne(PAD).unsqueeze(1)
        wanted["n_correct"] = (pairs.argmax(dim=-1).eq(target.unsqueeze(1)) & is_word).sum()
        wanted["total"] = 2 * is_word.sum()
    torch.testing.assert_close(loss.detach(), wanted_loss.sum())
    for name, value in flat(wanted).items():
        torch.testing.assert_close(flat(logged)[name], value)
    for one, other in zip(models[0].parameters(), models[1].parameters()):
        torch.testing.assert_close(one.grad, other.grad)


@pytest.mark.parametrize("weight", [-0.5, float("nan"), float("inf")])
def test_a_weight_that_is_none_is_refused(weight):
    with pytest.raises(ValueError, match=f"--r-drop-weight {weight} is no weight"):
        make(r_drop_weight=weight)


@pytest.mark.parametrize("training", [True, False])
def test_models_without_logits_are_refused_by_name(training):
    model = build_model(adaptive_softmax_cutoff=[5, 9]).train(training)
    with pytest.raises(ValueError, match="--criterion r_drop_label_smoothed_cross_entropy needs the logits"):
        make()(model, batch())


@pytest.mark.parametrize("more", [{"task_id": 3}, {"scale": torch.ones(7)}])
def test_inputs_that_cannot_be_repeated_are_refused_by_name(more):
    sample = batch()
    sample["net_input"].update(more)
    with pytest.raises(ValueError, match=f"cannot repeat the model's input {next(iter(more))}, "):
        make()(build_model().train(), sample)
