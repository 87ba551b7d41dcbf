"""The fused loop against the reference's, which the same decoder holds and autograd differentiates."""

import logging

import pytest
import torch
from fused_support import ANNOTATION_DIM, GATES, LAYOUTS, LOOPS, arguments, decoder, orders, unroll
from support import SOURCES, TARGETS, build_model, members, pad, shake

from fairseq_bahdanau.export import readable
from fairseq_bahdanau.fused import Fused
from fairseq_bahdanau.fused.prepare import folds

LEARNT = ("query_proj.weight", "energy", "context_gates.weight", "context_gates.bias", "state_gates.weight")
LEARNT += ("state_gates.bias",)
NOT_READ = {"update-look-generate": set()}  # by the other orders: c_0
layouts = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)


def results(model, tensors, mask, weighed=(0, 1, 2)):
    """States, contexts and attention, and the gradients of a weighted sum of some of these by name."""
    outputs = unroll(model, tensors, mask)
    generator = torch.Generator().manual_seed(6)
    weights = [torch.randn(output.shape, generator=generator).to(output.dtype) for output in outputs]
    names = {name: parameter for name, parameter in model.named_parameters() if name.endswith(LEARNT)}
    names.update(zip(("embed_gates", "state", "context", "keys", "annotations"), tensors))
    total = sum((outputs[i] * weights[i]).sum() for i in weighed)
    gradients = torch.autograd.grad(total, list(names.values()), allow_unused=True)
    assert len(names) == (13 if hasattr(model.recurrence, "second_cell") else 10)
    return outputs, dict(zip(names, gradients))


def assert_equal_to_reference(order, dtype, tensors, mask, weighed=(0, 1, 2), **tolerance):
    model = decoder(order, dtype)
    wanted, wanted_gradients = results(readable(model), tensors, mask, weighed)
    found, gradients = results(model, tensors, mask, weighed)
    for one, other in zip(found, wanted):
        torch.testing.assert_close(one, other, **tolerance)
    for name, gradient in wanted_gradients.items():
        if name in NOT_READ.get(order, {"context"}):
            assert gradient is None or not gradient.any()
        elif gradient is None:  # where only the attention counts, its last look leads nowhere else
            assert gradients[name] is None or not gradients[name].any(), name
        else:
            torch.testing.assert_close(
                gradients[name], gradient, msg=lambda text, name=name: f"{name}: {text}", **tolerance
            )
            assert gradient.isfinite().all()
    assert type(found[0].grad_fn).__name__ == LOOPS[order]


@orders
@layouts
@pytest.mark.parametrize("strided", [False, True])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-5)], ids=["float64", "float32"]
)
def test_fused_equals_reference(order, layout, strided, dtype, tolerance):
    tensors, mask = arguments(layout, dtype=dtype, strided=strided)
    assert strided != tensors[3].is_contiguous() or len(layout[0]) == 1
    assert_equal_to_reference(order, dtype, tensors, mask, atol=tolerance, rtol=tolerance)


def test_both_ways_to_the_contexts_gates_are_tested():
    ways = {name: folds(len(rows[0]), 5, GATES, ANNOTATION_DIM) for name, rows in LAYOUTS.items()}
    assert ways == {name: name != "long source" for name in LAYOUTS}
    paper = 3000, 2000
    assert folds(20, 18, *paper) and folds(100, 100, *paper) and not folds(60, 20, *paper)


@orders
@layouts
@pytest.mark.parametrize("weighed", [(0,), (1,), (2,)], ids=["states", "contexts", "attention"])
def test_gradients_of_one_result_alone(order, layout, weighed):
    tensors, mask = arguments(layout, dtype=torch.float64)
    assert_equal_to_reference(order, torch.float64, tensors, mask, weighed, atol=1e-12, rtol=1e-12)


@orders
def test_no_row_of_padding_is_read(order):
    tensors, mask = arguments(LAYOUTS["all padding"])
    (_, contexts, attention), gradients = results(decoder(order), tensors, mask)
    assert (attention[1] == 0).all() and (contexts[1] == 0).all()
    for name in ("keys", "annotations"):
        assert (gradients[name][mask] == 0).all() and (gradients[name][~mask] != 0).any(dim=1).all()


@orders
@pytest.mark.parametrize(
    ("layout", "tgt_len", "folded"), [("right", 5, True), ("all padding", 5, True), ("all padding", 2, False)]
)
def test_gradcheck(order, layout, tgt_len, folded):
    assert folds(len(LAYOUTS[layout][0]), tgt_len, GATES, ANNOTATION_DIM) == folded
    tensors, mask = arguments(LAYOUTS[layout][:3], tgt_len=tgt_len, dtype=torch.float64)
    model = decoder(order, torch.float64)
    parameters = [parameter for name, parameter in model.named_parameters() if name.endswith(LEARNT)]
    # gradcheck moves its arguments in place, and the parameters with them.
    assert torch.autograd.gradcheck(lambda *inputs: unroll(model, inputs[:5], mask), [*tensors, *parameters])


@orders
def test_a_second_backward_pass_gives_the_same(order):
    tensors, mask = arguments(LAYOUTS["right"])
    states, contexts, _ = unroll(decoder(order), tensors, mask)
    first, second = (
        torch.autograd.grad((states.sum() + contexts.sum()), tensors[0], retain_graph=True) for _ in (1, 2)
    )
    assert torch.equal(*first, *second)


def train_once(model, autocast=None):
    """Logits, attention and the decoder's gradients of one training step, in float64."""
    src_tokens, prev = pad(SOURCES, 1, True), pad(TARGETS, 1, False)
    with torch.autocast("cpu", dtype=autocast or torch.bfloat16, enabled=autocast is not None):
        logits, extra = model(src_tokens, None, prev)
    wanted = prev.roll(-1, dims=1).masked_fill(prev.eq(1), 1)
    logits.double().flatten(0, 1).log_softmax(dim=1).gather(1, wanted.view(-1, 1)).sum().backward()
    dtypes = logits.dtype, extra["attn"][0].dtype
    gradients = {name: parameter.grad for name, parameter in model.decoder.named_parameters()}
    return dtypes, {"logits": logits, "attention": extra["attn"][0], **gradients}


@orders
@pytest.mark.parametrize("autocast", [True, False])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_as_close_to_float64_as_the_reference(order, autocast, dtype):
    def model(recurrence):
        return shake(build_model(recurrence=recurrence, decoder_order=order)).train()

    _, exact = train_once(model("reference").double())
    if autocast:
        found, wanted = (train_once(model(recurrence), dtype) for recurrence in ("fused", "reference"))
    else:
        found, wanted = (train_once(model(recurrence).to(dtype)) for recurrence in ("fused", "reference"))
    assert found[0] == wanted[0] == (dtype, dtype)
    for name, value in exact.items():
        ours, theirs = ((result[1][name].double() - value).norm() / value.norm() for result in (found, wanted))
        assert ours < 2.5 * theirs + torch.finfo(dtype).eps, name


@orders
def test_a_checkpoint_of_one_loads_in_the_other(order):
    fused, reference = (
        shake(build_model(recurrence=recurrence, decoder_order=order)).train() for recurrence in ("fused", "reference")
    )
    assert type(fused.decoder.fused) is Fused and reference.decoder.fused is None
    for parameter in fused.parameters():
        parameter.data *= 0.9
    reference.load_state_dict(fused.state_dict())
    (_, found), (_, wanted) = train_once(fused), train_once(reference)
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value)


@members
def test_what_is_not_covered_is_said_once(options, caplog):
    with caplog.at_level(logging.INFO):
        model = build_model(**options)
    lines = [record.getMessage() for record in caplog.records if "--recurrence" in record.getMessage()]
    covered = {"share_decoder_input_output_embed", "maxout_pool_size", "decoder_out_embed_dim", "output_bias"}
    if set(options) <= covered | {"decoder_order"}:
        assert type(model.decoder.fused) is Fused and not lines
    else:
        assert model.decoder.fused is None
        named = [name for name in options if f"--{name.replace('_', '-')} {options[name]}:" in lines[0]]
        assert len(lines) == 1 and len(named) == 1
    with caplog.at_level(logging.INFO):
        caplog.clear()
        build_model(recurrence="reference", **options)
    assert "--recurrence" not in caplog.text
