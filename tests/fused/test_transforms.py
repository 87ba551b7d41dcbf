"""PyTorch's transforms of the fused code give the same numbers, or one line that says what to do."""

import pytest
import torch
from fused_support import orders
from support import SOURCES, TARGETS, build_model, pad, shake
from torch.func import functional_call, grad
from torch.utils.checkpoint import checkpoint

SRC_TOKENS, PREV = pad(SOURCES, 1, True), pad(TARGETS, 1, False)


def total(model, prev=PREV):
    """A number that depends on all of a training step."""
    return model(SRC_TOKENS, None, prev)[0].logsumexp(dim=2).sum()


def gradients(model):
    """Of :func:`total`, by name."""
    model.zero_grad()
    total(model).backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


@orders
def test_torch_func_differentiates_the_decoder(order):
    model = shake(build_model(decoder_order=order)).train()
    wanted, encoder_out = gradients(model), model.encoder(SRC_TOKENS)
    encoder_out = {name: [tensor.detach() for tensor in tensors] for name, tensors in encoder_out.items()}
    parameters = dict(model.decoder.named_parameters())
    found = grad(lambda some: functional_call(model.decoder, some, (PREV, encoder_out))[0].logsumexp(dim=2).sum())(
        parameters
    )
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, wanted[f"decoder.{name}"], msg=lambda text, name=name: f"{name}: {text}")


@orders
def test_torch_func_differentiates_by_the_source(order):
    """The layers are plain ones here; the transform alone says that the readable code must run."""
    model = shake(build_model(decoder_order=order)).train()
    encoder_out = {name: [tensor.detach() for tensor in tensors] for name, tensors in model.encoder(SRC_TOKENS).items()}

    def result(annotations):
        return model.decoder(PREV, {**encoder_out, "encoder_out": [annotations]})[0].logsumexp(dim=2).sum()

    annotations = encoder_out["encoder_out"][0]
    found = grad(result)(annotations)
    (wanted,) = torch.autograd.grad(result(annotations.requires_grad_()), annotations)
    torch.testing.assert_close(found, wanted)


@orders
def test_a_second_derivative_is_refused_by_the_options_name(order):
    model = shake(build_model(decoder_order=order)).train()
    wanted = gradients(model)
    found = torch.autograd.grad(total(model), list(model.parameters()), create_graph=True)
    for name, gradient in zip(wanted, found):
        torch.testing.assert_close(gradient, wanted[name])
    with pytest.raises(RuntimeError, match="no second derivative: build the model with --recurrence reference"):
        sum(gradient.pow(2).sum() for gradient in found).backward()


@orders
def test_the_reference_has_a_second_derivative(order):
    model = shake(build_model(decoder_order=order, recurrence="reference")).train()
    found = torch.autograd.grad(total(model), list(model.parameters()), create_graph=True)
    sum(gradient.pow(2).sum() for gradient in found).backward()
    assert all(parameter.grad.isfinite().all() and parameter.grad.any() for parameter in model.parameters())


@orders
@pytest.mark.parametrize("use_reentrant", [False, True])
def test_activation_checkpointing(order, use_reentrant):
    model = shake(build_model(decoder_order=order)).train()
    wanted = gradients(model)
    model.zero_grad()
    anchor = torch.zeros((), requires_grad=True)  # what the reentrant kind asks for
    checkpoint(lambda prev, anchor: total(model, prev) + anchor, PREV, anchor, use_reentrant=use_reentrant).backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, wanted[name])


@pytest.mark.slow
@orders
def test_torch_compile_of_a_training_step(order):
    """Half a minute each; evaluation, too."""
    model = shake(build_model(decoder_order=order)).train()
    wanted, logits = gradients(model), model.eval()(SRC_TOKENS, None, PREV)[0].detach()
    torch.testing.assert_close(torch.compile(model)(SRC_TOKENS, None, PREV)[0], logits, atol=1e-4, rtol=1e-4)
    torch._dynamo.reset()
    model.train().zero_grad()
    total(torch.compile(model)).backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, wanted[name], atol=1e-4, rtol=1e-4)
