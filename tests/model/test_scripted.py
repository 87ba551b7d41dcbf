"""Scripted and quantised models give what the model gives."""

import pytest
import torch
from fairseq.sequence_generator import EnsembleModel, SequenceGenerator
from support import EVEN_TARGETS, SOURCES, build_model, dictionary, members, pad, shake
from torch import nn


def sample(left=True):
    src_tokens = pad(SOURCES, 1, left)
    return {"net_input": {"src_tokens": src_tokens, "src_lengths": src_tokens.ne(1).sum(1)}}


@members
def test_scripted_model_equals_the_model(options, tmp_path):
    model = shake(build_model(**options))
    scripted = torch.jit.script(model)
    torch.jit.save(scripted, tmp_path / "model.pt")
    prev = torch.tensor(EVEN_TARGETS)
    net_input = sample()["net_input"]
    wanted, found = (m(**net_input, prev_output_tokens=prev) for m in (model, torch.jit.load(tmp_path / "model.pt")))
    torch.testing.assert_close(found[0], wanted[0])
    torch.testing.assert_close(found[1]["attn"][0], wanted[1]["attn"][0])


@pytest.mark.parametrize("models", [1, 2])
def test_scripted_generator_equals_the_generator(models):
    ensemble = [shake(build_model(decoder_hidden_size=8 + number)) for number in range(models)]
    generator = SequenceGenerator(ensemble, ensemble[0].decoder.dictionary, beam_size=3, max_len_b=9)
    torch.jit.script(EnsembleModel(ensemble))
    scripted = torch.jit.script(generator)
    for wanted, found in zip(generator.forward(sample()), scripted.forward(sample())):
        for one, other in zip(wanted, found):
            assert torch.equal(one["tokens"], other["tokens"])
            torch.testing.assert_close(one["score"], other["score"])


def test_quantised_model_translates_alike():
    model = shake(build_model(dictionary(13), dictionary(17, "z"), encoder_hidden_size=32, decoder_hidden_size=64))
    for parameter in model.parameters():
        parameter.data *= 0.3
    quantised = torch.ao.quantization.quantize_dynamic(model, {nn.Linear, nn.GRU}, dtype=torch.qint8)
    assert "Quantized" in repr(quantised.encoder.rnn) and "Quantized" in repr(quantised.decoder.attention.query_proj)
    net_input = sample()["net_input"]
    prev = torch.tensor(EVEN_TARGETS)[:, :2]
    wanted, found = (m(**net_input, prev_output_tokens=prev)[0] for m in (model, quantised))
    assert (found - wanted).abs().max() < 0.05 * wanted.abs().max()
    generator = SequenceGenerator([quantised], model.decoder.dictionary, beam_size=3, max_len_b=9)
    assert all(len(hypotheses) == 3 for hypotheses in generator.forward(sample()))
