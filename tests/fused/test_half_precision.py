"""Half precision of the fused code is as near to float64 as the reference's, and trains as the reference does."""

import pytest
import torch
from fairseq.optim.fp16_optimizer import FP16Optimizer
from fused_support import ANNOTATION_DIM, GATES, orders
from omegaconf import OmegaConf
from support import SIZES, SOURCES, TARGETS, build_model, pad, shake
from torch.nn.functional import cross_entropy

from fairseq_bahdanau.attention import Source
from fairseq_bahdanau.fused import hidden
from fairseq_bahdanau.recurrence import State

ATTENTION_DIM = 512
MOST = 2.5  # times the reference's error in the same type
GPU = pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"))
devices = pytest.mark.parametrize("device", ["cpu", GPU])


def wide_decoder(recurrence, order, dtype):
    """A decoder whose v sums to about 26, its parameters rounded to ``dtype`` but in float64."""
    model = shake(build_model(recurrence=recurrence, decoder_order=order, attention_dim=ATTENTION_DIM)).train().decoder
    model.attention.energy.data.mul_(0.1).add_(0.05)
    return model.to(dtype).double()


def random_arguments(tgt_len, dtype):
    """What a loop reads, rounded to ``dtype`` but in float64; the last source ends in padding."""
    batch, src_len, generator = 4, 24, torch.Generator().manual_seed(7)
    sizes = [(batch, tgt_len, GATES), (batch, SIZES["decoder_hidden_size"]), (batch, ANNOTATION_DIM)]
    sizes += [(batch, src_len, ATTENTION_DIM), (batch, src_len, ANNOTATION_DIM)]
    tensors = [torch.randn(size, generator=generator).to(dtype).double().requires_grad_() for size in sizes]
    mask = torch.zeros(batch, src_len, dtype=torch.bool)
    mask[-1, 15:] = True
    return tensors, mask


def run(model, tensors, mask, dtype, device="cpu"):
    """What a loop returns in ``dtype``, and the gradients of all that it has read, by name."""
    model, mask = model.to(device, dtype), mask.to(device)
    embed_gates, state, context, keys, annotations = inputs = [
        tensor.detach().to(device, dtype).requires_grad_() for tensor in tensors
    ]
    states, attention = model.unroll(embed_gates, State(state, context), Source(keys, annotations, mask))
    found = {"states": states.cell, "contexts": states.context, "attention": attention}
    generator = torch.Generator().manual_seed(8)
    weights = [torch.randn(output.shape, generator=generator).to(device, dtype) for output in found.values()]
    learnt = {name: parameter for name, parameter in model.named_parameters() if name.startswith("recurrence.c")}
    learnt.update({name: parameter for name, parameter in model.attention.named_parameters() if "key" not in name})
    learnt.update(zip(("embed_gates", "state", "keys", "annotations"), (inputs[i] for i in (0, 1, 3, 4))))
    total = sum((output * weight).sum() for output, weight in zip(found.values(), weights))
    gradients = torch.autograd.grad(total, list(learnt.values()))
    assert {"energy", "query_proj.weight", "keys"} < set(learnt)
    found.update({f"gradient of {name}": gradient for name, gradient in zip(learnt, gradients)})
    return {name: value.detach().cpu().double() for name, value in found.items()}


def assert_as_near_as_the_reference(order, dtype, tgt_len, device):
    tensors, mask = random_arguments(tgt_len, dtype)
    exact = run(wide_decoder("reference", order, dtype), tensors, mask, torch.float64)
    theirs, ours = (
        run(wide_decoder(recurrence, order, dtype), tensors, mask, dtype, device)
        for recurrence in ("reference", "fused")
    )
    ratios = {
        name: ((ours[name] - value).norm() / (theirs[name] - value).norm()).item() for name, value in exact.items()
    }
    assert max(ratios.values()) <= MOST, ratios


@orders
@devices
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_a_v_of_any_sum_is_as_near_to_float64_as_in_the_reference(order, dtype, device):
    """The scores of a sigmoid are larger by the sum of v, and are rounded at that size."""
    assert_as_near_as_the_reference(order, dtype, tgt_len=20, device=device)


@orders
@devices
def test_so_are_long_targets(order, device):
    assert_as_near_as_the_reference(order, torch.float16, tgt_len=200, device=device)


def fp16_optimizer(parameters):
    """The optimizer of fairseq's ``--fp16``; the scale of its losses grows after four updates without an overflow."""
    common = {"fp16_no_flatten_grads": True, "fp16_init_scale": 2**13, "fp16_scale_window": 4}
    common.update({"fp16_scale_tolerance": 0.0, "threshold_loss_scale": None, "min_loss_scale": 1e-4, "tpu": False})
    adam = {"_name": "adam", "lr": [0.003], "adam_betas": "(0.9, 0.999)", "adam_eps": 1e-8, "weight_decay": 0.0}
    adam.update({"use_old_adam": False, "fp16_adam_stats": False, "tpu": False})
    return FP16Optimizer.build_optimizer(OmegaConf.create({"common": common, "optimizer": adam}), parameters)


def history(recurrence, order, updates=50):
    """The losses of a training in float16, and its scale after every update."""
    model = build_model(recurrence=recurrence, decoder_order=order).train().half()
    optimizer = fp16_optimizer(list(model.parameters()))
    src_tokens, prev = pad(SOURCES, 1, True), pad(TARGETS, 1, False)
    wanted, losses, scales = prev.roll(-1, dims=1).masked_fill(prev.eq(1), 1), [], []
    for _ in range(updates):
        optimizer.zero_grad()
        logits = model(src_tokens, None, prev)[0].float()
        loss = cross_entropy(logits.flatten(0, 1), wanted.flatten(), ignore_index=1, reduction="sum")
        optimizer.backward(loss)
        try:
            optimizer.clip_grad_norm(1.0)
            optimizer.step()
        except OverflowError:  # as fairseq's trainer
            optimizer.zero_grad()
        losses.append(loss.item())
        scales.append(optimizer.scaler.loss_scale)
    return torch.tensor(losses), scales


@orders
def test_a_training_scales_its_losses_as_the_reference_does(order):
    (losses, scales), (wanted_losses, wanted_scales) = (history(name, order) for name in ("fused", "reference"))
    assert scales == wanted_scales
    changes = [later / earlier for earlier, later in zip(scales, scales[1:])]
    assert changes.count(2) > 2 and changes.count(0.5) > 0, "the scale has grown, and has overflowed"
    torch.testing.assert_close(losses, wanted_losses, rtol=0.01, atol=0)
    assert losses[-1] < losses[0] / 2


@orders
def test_both_forms_of_the_hidden_layer_are_the_reference(order, monkeypatch):
    tensors, mask = random_arguments(5, torch.float64)
    exact = run(wide_decoder("reference", order, torch.float64), tensors, mask, torch.float64)
    for pays in (hidden.SIGMOID_PAYS, set()):
        monkeypatch.setattr(hidden, "SIGMOID_PAYS", pays)
        assert hidden.Hidden(tensors[3]).scale == (2 if pays else 1)
        found = run(wide_decoder("fused", order, torch.float64), tensors, mask, torch.float64)
        for name, value in exact.items():
            torch.testing.assert_close(found[name], value, atol=1e-11, rtol=1e-11)
