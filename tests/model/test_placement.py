"""What can be seen of another device without one: no tensor of the decoder is made on the CPU."""

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
