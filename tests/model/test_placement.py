"""Where a model may go: no tensor of the decoder is made on the CPU, and a model can be pickled and searched."""

import pickle

import pytest
import torch
from support import SIZES, build_model, members
from torch._subclasses.fake_tensor import FakeTensorMode


@members
def test_decoder_makes_nothing_on_the_cpu(options, monkeypatch):
    """On a fake CUDA device any operation that mixes devices raises; the encoder's packing would want real lengths."""
    model = build_model(dropout=0.5, **options).train()
    annotation_dim = model.decoder.recurrence.context_gates.in_features
    with torch.no_grad(), FakeTensorMode():
        for module in model.decoder.modules():
            for name, parameter in module._parameters.items():
                if parameter is not None:
                    placed = torch.empty(parameter.shape, device="cuda")
                    module._parameters[name] = torch.nn.Parameter(placed, requires_grad=False)
        encoder_out = {
            "encoder_out": [torch.empty(3, 5, annotation_dim, device="cuda")],
            "encoder_padding_mask": [torch.empty(3, 5, device="cuda", dtype=torch.bool)],
            "last_state": [torch.empty(3, SIZES["encoder_hidden_size"], device="cuda")],
        }
        prev = torch.zeros(3, 4, dtype=torch.long, device="cuda")
        logits, extra = model.decoder(prev, encoder_out)
        if model.decoder.fused is not None:
            assert model.decoder.fused.covers(model.decoder)
            # Without torch.equal, which asks for a number.
            monkeypatch.setattr("fairseq_bahdanau.fused.search.follow", lambda carried, encoder_out: False)
            carried = model.decoder.fused.begin_search(model.decoder, encoder_out)
            features, _ = carried["search_step"](model.decoder, prev.narrow(1, 0, 1), encoder_out, carried)
            assert features.device.type == "cuda"
    assert logits.shape == (3, 4, 21) and logits.device.type == "cuda"
    assert extra["attn"][0].shape == (3, 4, 5) and extra["attn"][0].device.type == "cuda"


@members
def test_a_model_can_be_pickled_whole(options):
    """As for a process that is spawned with it."""
    model = build_model(**options)
    batch = torch.tensor([[5, 9, 2]]), None, torch.tensor([[2, 6]])
    assert torch.equal(pickle.loads(pickle.dumps(model))(*batch)[0], model(*batch)[0])


@pytest.mark.parametrize("order", ["look-update-generate", "update-look-generate", "update-look-update-generate"])
def test_a_search_that_began_without_gradients_says_so(order):
    """Its weights were stacked then, and would get none, without a word."""
    model, word, state = build_model(decoder_order=order), torch.tensor([[6]]), {}
    encoder_out = model.encoder(torch.tensor([[5, 2]]))
    with torch.no_grad():
        model.decoder(word, encoder_out, state)
    with pytest.raises(RuntimeError, match="a search that began without gradients gives none"):
        model.decoder(word, encoder_out, state)
    state = {}
    model.decoder(word, encoder_out, state)
    model.decoder(word, encoder_out, state)[0].sum().backward()
    assert model.decoder.attention.energy.grad is not None
