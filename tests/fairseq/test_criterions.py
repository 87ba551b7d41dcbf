"""The blockwise loss equals fairseq's, of any model that gives logits, and says where it cannot be used."""

import pytest
import torch
from fairseq.criterions.label_smoothed_cross_entropy import LabelSmoothedCrossEntropyCriterion, label_smoothed_nll_loss
from support import SOURCES, TARGETS, build_model, pad, shake

from fairseq_bahdanau import losses
from fairseq_bahdanau.criterions import BlockwiseLabelSmoothedCrossEntropyCriterion
from fairseq_bahdanau.losses import blockwise_loss

PAD = 1


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Seven rows a block, so that there are several, the last a short one."""
    monkeypatch.setattr(losses, "CPU_BLOCK", 7 * 31 + 30)


def random_rows(dtype=torch.float64, rows=45, words=31):
    """Logits of an ordinary and of an extreme size, and targets of which some are padding."""
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(rows, words, generator=generator, dtype=torch.float64) * 4
    logits[3:6] *= 12
    target = torch.randint(2, words, (rows,), generator=generator)
    target[::6] = PAD
    return logits.to(dtype), target


def fairseqs(logits, target, smoothing, factors):
    """Losses and the gradient of their weighted sum by fairseq's formula in float64."""
    logits = logits.double().requires_grad_()
    loss, nll_loss = label_smoothed_nll_loss(logits.log_softmax(dim=1), target, smoothing, PAD, reduce=False)
    (gradient,) = torch.autograd.grad((loss.squeeze(1) * factors).sum(), logits)
    return loss.detach().squeeze(1), nll_loss.detach().squeeze(1), gradient


def ours(logits, target, smoothing, factors):
    logits = logits.clone().requires_grad_()
    loss, nll_loss = blockwise_loss(logits * 1, target, smoothing, PAD)
    (gradient,) = torch.autograd.grad((loss * factors).sum(), logits)
    assert not nll_loss.requires_grad
    return loss.detach(), nll_loss, gradient


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
@pytest.mark.parametrize("factors", ["ones", "one number", "each its own"])
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float64, 1e-12), (torch.float32, 1e-6), (torch.bfloat16, 8e-3), (torch.float16, 1e-3)],
)
def test_equal_to_fairseqs(dtype, tolerance, factors, smoothing):
    logits, target = random_rows(dtype)
    weights = {"ones": torch.ones(45), "one number": torch.full((45,), 128.0), "each its own": torch.rand(45)}[factors]
    wanted, found = fairseqs(logits, target, smoothing, weights), ours(logits, target, smoothing, weights)
    for one, other in zip(found[:2], wanted[:2]):
        torch.testing.assert_close(one.double(), other, atol=1e-6, rtol=1e-6)
        assert (one[target == PAD] == 0).all()
    assert found[2].dtype == dtype and (found[2][target == PAD] == 0).all()
    torch.testing.assert_close(found[2].double(), wanted[2], atol=tolerance * float(weights.max()), rtol=tolerance)


def test_gradients_of_float16_do_not_vanish():
    """Of 10,000 words each has a gradient of about 1e-5, where float16 has three bits left: with a loss scale, all."""
    logits, target = torch.zeros(2, 10_000), torch.tensor([5, 6])
    logits.normal_(generator=torch.Generator().manual_seed(1))
    wanted = fairseqs(logits.half(), target, 0.1, torch.full((2,), 1024.0))[2]
    found = ours(logits.half(), target, 0.1, torch.full((2,), 1024.0))[2].double()
    assert ((found - wanted).abs() <= 2e-3 * wanted.abs() + 1e-7).all()


def test_a_second_backward_pass_is_refused():
    """The first has scaled the gradient where it stands."""
    logits, target = random_rows()
    loss, _ = blockwise_loss((leaf := logits.clone().requires_grad_()) * 1, target, 0.1, PAD)
    torch.autograd.grad(loss.sum(), leaf, retain_graph=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        torch.autograd.grad(loss.sum(), leaf)


def test_another_reader_of_the_logits_is_told():
    logits, target = random_rows()
    scores = logits.clone().requires_grad_() * 1
    other = scores.exp().sum() + (scores * scores).sum()
    loss, _ = blockwise_loss(scores, target, 0.1, PAD)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        (loss.sum() + other).backward()


def test_a_loss_for_a_log_leaves_the_logits():
    """They have a graph, which the loss is not to go into."""
    logits = torch.randn(3, 5, requires_grad=True).mul(2)
    before = logits.detach().clone()
    with torch.no_grad():
        blockwise_loss(logits, torch.tensor([1, 2, 3]), 0.1, 0)
    assert torch.equal(logits, before)


def test_without_a_gradient_the_logits_stay():
    logits, target = random_rows()
    with torch.no_grad():
        loss, _ = blockwise_loss(kept := logits.clone(), target, 0.1, PAD)
    assert torch.equal(kept, logits)
    torch.testing.assert_close(loss, fairseqs(logits, target, 0.1, torch.ones(45))[0])


class Task:
    """What a criterion reads of a task."""

    def __init__(self, dictionary):
        self.target_dictionary = dictionary


@pytest.mark.parametrize("options", [{}, {"ignore_prefix_size": 2}, {"report_accuracy": True}, {"sentence_avg": True}])
@pytest.mark.parametrize("reduce", [True, False])
def test_the_criterion_is_fairseqs(options, reduce):
    """Loss, sample size, everything that is logged, and the model's gradients."""
    src_tokens, prev = pad(SOURCES, 1, True), pad(TARGETS, 1, False)
    target = prev.roll(-1, dims=1)
    target[:, -1] = PAD
    sample = {
        "net_input": {"src_tokens": src_tokens, "src_lengths": None, "prev_output_tokens": prev},
        "target": target,
        "ntokens": int(target.ne(PAD).sum()),
    }
    found = {}
    for kind in (LabelSmoothedCrossEntropyCriterion, BlockwiseLabelSmoothedCrossEntropyCriterion):
        model = shake(build_model()).double().train()
        arguments = {"sentence_avg": False, "label_smoothing": 0.1, **options}
        loss, sample_size, logged = kind(Task(model.decoder.dictionary), **arguments)(model, sample, reduce=reduce)
        loss.sum().backward()
        logged = {name: torch.as_tensor(value).double().flatten() for name, value in logged.items()}
        found[kind] = loss.detach().flatten(), sample_size, logged, {n: p.grad for n, p in model.named_parameters()}
    (wanted, wanted_size, wanted_logged, wanted_gradients), (loss, size, logged, gradients) = found.values()
    assert size == wanted_size and logged.keys() == wanted_logged.keys()
    torch.testing.assert_close(loss, wanted.double(), atol=1e-6, rtol=1e-6)  # fairseq's log-probabilities are float32
    for name, value in (wanted_logged | wanted_gradients).items():
        torch.testing.assert_close((logged | gradients)[name], value, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("model", ["adaptive softmax", "own probabilities", "no decoder"])
def test_models_without_logits_are_refused(model):
    if model == "adaptive softmax":
        built = build_model(adaptive_softmax_cutoff=[5, 9])
    elif model == "no decoder":
        built = torch.nn.Linear(3, 3)
    else:
        built = build_model()
        built.decoder.__class__ = type("Pointing", (type(built.decoder),), {"get_normalized_probs": lambda self: None})
    criterion = BlockwiseLabelSmoothedCrossEntropyCriterion(
        Task(build_model().decoder.dictionary), sentence_avg=False, label_smoothing=0.1
    )
    with pytest.raises(ValueError, match="--criterion blockwise_label_smoothed_cross_entropy needs the logits"):
        criterion(built, {})
