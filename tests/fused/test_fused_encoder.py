"""The fused encoder against ``nn.GRU``, and the products of the fused recurrences against those of float64."""

import pytest
import torch
from support import SOURCES, TARGETS, build_model, pad, shake

from fairseq_bahdanau.encoder import RecurrentEncoder
from fairseq_bahdanau.fused.encoder import FusedGRU, reversing
from fairseq_bahdanau.fused.matmul import Product, product

LAYOUTS = {
    "left": pad(SOURCES, 1, True),
    "right": pad(SOURCES, 1, False, 9),
    "inner": torch.tensor([[1, 5, 1, 9, 2, 1], [4, 4, 4, 4, 4, 2]]),
    "all padding": torch.tensor([[1, 1, 1], [1, 5, 2]]),
    "one word": torch.tensor([[2]]),
}


def encoded(recurrence, dtype, src_tokens, options):
    """What the encoder returns, and the gradients of a random sum of it."""
    encoder = shake(build_model(recurrence=recurrence, **options)).to(dtype).train().encoder
    assert type(encoder) is RecurrentEncoder and (encoder.fused is not None) == (recurrence == "fused")
    encoder_out = encoder(src_tokens)
    generator, total = torch.Generator().manual_seed(1), 0
    for name in ("encoder_out", "last_state"):
        total = total + (torch.randn(encoder_out[name][0].shape, generator=generator) * encoder_out[name][0]).sum()
    total.backward()
    kinds = [type(node).__name__ for node in graph(total.grad_fn)]
    assert ("FusedGRUBackward" in kinds) == (recurrence == "fused")
    return encoder_out, {name: parameter.grad for name, parameter in encoder.named_parameters()}


def graph(node, seen=None):
    """All nodes of autograd's graph."""
    seen = set() if seen is None else seen
    if node is not None and node not in seen:
        seen.add(node)
        for below, _ in node.next_functions:
            graph(below, seen)
    return seen


@pytest.mark.parametrize("src_tokens", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize(
    "options", [{}, {"encoder_layers": 2}, {"encoder_bidirectional": "off"}], ids=["one", "two layers", "one way"]
)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-5)])
def test_fused_equals_reference(src_tokens, options, dtype, tolerance):
    wanted, wanted_gradients = encoded("reference", dtype, src_tokens, options)
    found, gradients = encoded("fused", dtype, src_tokens, options)
    for name in wanted:
        torch.testing.assert_close(found[name][0], wanted[name][0], atol=tolerance, rtol=tolerance)
    for name, gradient in wanted_gradients.items():
        torch.testing.assert_close(gradients[name], gradient, atol=tolerance, rtol=tolerance)


def test_evaluation_and_other_cells_run_the_reference():
    encoder = build_model().train().encoder
    with torch.no_grad():
        assert encoder(LAYOUTS["left"])["encoder_out"][0].grad_fn is None
    for options in ({"cell": "lstm"}, {"gru_reset": "before"}):
        assert build_model(**options).encoder.fused is None


def test_gradcheck_of_a_layer():
    generator = torch.Generator().manual_seed(1)
    shapes = (5, 2, 9), (9, 3), (12,)
    inputs = [torch.randn(*shape, generator=generator, dtype=torch.float64, requires_grad=True) for shape in shapes]
    for order in (None, reversing(5, torch.tensor([5, 3]))):
        assert torch.autograd.gradcheck(FusedGRU.apply, (*inputs, order))


@pytest.mark.parametrize("bias", [True, False])
def test_gradcheck_of_a_product(bias):
    generator = torch.Generator().manual_seed(1)
    shapes = (4, 2, 5), (3, 5), (3,)
    inputs = [torch.randn(*shape, generator=generator, dtype=torch.float64, requires_grad=True) for shape in shapes]
    assert torch.autograd.gradcheck(Product.apply, [*inputs[:2], inputs[2] if bias else None])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("autocast", [False, True])
def test_a_product_is_that_of_float64_and_keeps_its_type(dtype, autocast):
    inputs, weight, bias = torch.randn(7, 3, 50).to(dtype), torch.randn(50, 20).to(dtype).t(), torch.randn(20).to(dtype)
    with torch.autocast("cpu", enabled=autocast):
        found = product(inputs.transpose(0, 1), weight, bias)
    wanted = inputs.double().transpose(0, 1) @ weight.double().t() + bias.double()
    assert found.dtype == dtype
    torch.testing.assert_close(found.double(), wanted, atol=0.2 if dtype == torch.bfloat16 else 1e-4, rtol=1e-2)


def test_a_training_step_of_either_recurrence_is_the_same():
    gradients = {}
    for recurrence in ("fused", "reference"):
        model = shake(build_model(recurrence=recurrence)).double().train()
        prev = pad(TARGETS, 1, False)
        model(LAYOUTS["left"], None, prev)[0].logsumexp(dim=2).sum().backward()
        gradients[recurrence] = {name: parameter.grad for name, parameter in model.named_parameters()}
    for name, gradient in gradients["reference"].items():
        torch.testing.assert_close(gradients["fused"][name], gradient, atol=1e-11, rtol=1e-11)
