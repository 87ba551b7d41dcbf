"""What differs where the device is no CPU: the host never waits for a value, and the numbers are the same.

No GPU is needed: tensors of the ``meta`` device take the same branches, and have no values, so that every question for
one raises. The tests at the end need a GPU, and are skipped without.
"""

import copy
import warnings

import pytest
import torch
from fused_support import orders
from support import SOURCES, TARGETS, build_model, pad, shake
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from fairseq_bahdanau import search
from fairseq_bahdanau.fused import encoder, matmul

DEEP = {"encoder_layers": 2}
# A search of four sentences and three beams: the last two steps are without the second sentence.
STEPS = [[0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3], [1, 0, 0, 3, 5, 5, 8, 7, 6, 11, 9, 10], [0, 2, 2, 6, 8, 7, 9, 9, 9]]
STEPS += [[0, 1, 1, 3, 4, 4, 8, 7, 6]]
encoders = pytest.mark.parametrize("options", [{}, DEEP, {"encoder_bidirectional": "off"}], ids=str)
gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def train_once(model, device):
    """Gradients of one training step by name, and the logits."""
    src_tokens, prev = pad(SOURCES, 1, True).to(device), pad(TARGETS, 1, False).to(device)
    with no_look(device):
        logits, extra = model(src_tokens, None, prev)
        (logits.logsumexp(dim=2).sum() + extra["attn"][0].pow(2).sum()).backward()
    return {"logits": logits, **{name: parameter.grad for name, parameter in model.named_parameters()}}


def search_steps(model, device):
    """Logits and attention of the steps of a search, with what fairseq does between them."""
    src_tokens, state, found = pad(SOURCES, 1, True).to(device), {}, {}
    steps = [torch.tensor(order, device=device) for order in STEPS]
    words = [torch.arange(4, 4 + len(order), device=device).view(-1, 1) for order in STEPS]
    with torch.no_grad(), no_look(device):
        encoder_out = model.encoder(src_tokens)
        for step, order in enumerate(steps):
            encoder_out = model.encoder.reorder_encoder_out(encoder_out, order)
            model.decoder.reorder_incremental_state_scripting(state, order)
            found[f"logits {step}"], extra = model.decoder(words[step], encoder_out, state)
            found[f"attention {step}"] = extra["attn"][0]
    return found


class no_look:
    """Raises where the host would wait for a GPU; without one a tensor of the ``meta`` device raises by itself."""

    def __init__(self, device):
        self.on_gpu = torch.device(device).type == "cuda"

    def __enter__(self):
        """Begins."""
        if self.on_gpu:
            torch.cuda.set_sync_debug_mode("error")

    def __exit__(self, *_):
        """Ends."""
        if self.on_gpu:
            torch.cuda.set_sync_debug_mode("default")


def on_meta(order, **options):
    with torch.device("meta"):
        return build_model(decoder_order=order, **options)


@orders
@encoders
def test_training_asks_for_no_value(order, options):
    model = on_meta(order, **options).train()
    for name, value in train_once(model, "meta").items():
        assert value.is_meta, name


@orders
@encoders
def test_a_search_asks_for_no_value(order, options):
    assert all(value.is_meta for value in search_steps(on_meta(order, **options), "meta").values())


@orders
def test_a_step_of_a_search_is_plain_products(order, monkeypatch):
    """To enter autocast or an autograd function costs the host more than a product costs a GPU."""
    model, state = on_meta(order).eval(), {}
    words = torch.full((4, 1), 5, device="meta")
    with torch.no_grad():
        encoder_out = model.encoder(torch.full((4, 6), 5, device="meta"))
        model.decoder(words, encoder_out, state)
        for place, name in ((torch, "autocast"), (matmul.Product, "apply")):
            monkeypatch.setattr(place, name, lambda *_, **__: pytest.fail("not in a step"))
        model.decoder(words, encoder_out, state)


@orders
def test_rows_that_are_not_looked_at_read_what_they_read_on_a_cpu(order, monkeypatch):
    model = shake(build_model(decoder_order=order)).double()
    wanted = search_steps(model, "cpu")
    monkeypatch.setattr(search, "surely_equal", lambda one, other: False)
    for name, value in search_steps(model, "cpu").items():
        torch.testing.assert_close(value, wanted[name])


@encoders
@pytest.mark.parametrize("train", [True, False])
def test_rows_with_their_padding_are_read_as_packed_ones(options, train, monkeypatch):
    """In float64; sentences of all lengths, and gradients of annotations as the encoder masks them."""
    monkeypatch.setattr(encoder, "read_way", encoder.read_way_by_cudnn)
    rnn = shake(build_model(encoder_hidden_size=7, **options)).double().encoder.rnn
    generator = torch.Generator().manual_seed(3)
    embedded = torch.randn(5, 6, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    lengths = torch.tensor([3, 6, 1, 5, 1])
    found, names = [], [*dict(rnn.named_parameters()), "embedded"]
    for read in (lambda: packed(rnn, embedded, lengths), lambda: encoder.read(rnn, embedded, lengths)):
        with torch.set_grad_enabled(train):
            annotations = read() * (torch.arange(6) < lengths.unsqueeze(1)).unsqueeze(2)
        weights = torch.randn(annotations.shape, generator=generator.manual_seed(4), dtype=torch.float64)
        gradients = torch.autograd.grad((annotations * weights).sum(), [*rnn.parameters(), embedded]) if train else ()
        found.append({"annotations": annotations.detach(), **dict(zip(names, gradients))})
    for name, value in found[0].items():
        torch.testing.assert_close(found[1][name], value, atol=1e-12, rtol=1e-12, msg=name)


def packed(rnn, embedded, lengths):
    """What the readable encoder computes."""
    rows = pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False)
    return pad_packed_sequence(rnn(rows)[0], batch_first=True, total_length=embedded.size(1))[0]


@gpu
@orders
@encoders
def test_a_gpu_gives_the_numbers_of_a_cpu_and_is_not_waited_for(order, options):
    for hidden_size in (6, 32, 130):  # cuDNN has other algorithms for small ones, and some want multiples of 4 or 8
        model = shake(build_model(decoder_order=order, encoder_hidden_size=hidden_size, **options)).double()
        on_gpu = copy.deepcopy(model).cuda()
        for run in (lambda model, device: train_once(model.train(), device), search_steps):
            wanted = run(model, "cpu")
            with warnings.catch_warnings():
                warnings.filterwarnings("error", message="RNN module weights")  # are not in one piece
                found = run(on_gpu, "cuda")
            for name, value in wanted.items():
                torch.testing.assert_close(found[name].cpu(), value, atol=1e-9, rtol=1e-9, msg=name)
