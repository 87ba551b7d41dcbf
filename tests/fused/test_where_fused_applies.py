"""The fused code reads weights where layers would be called: of plain layers alone, else the readable code runs."""

import logging

import pytest
import torch
from fused_support import LOOPS
from support import EVEN_TARGETS, SOURCES, TARGETS, build_model, pad, shake
from torch import nn
from torch.nn.utils import parametrizations, prune, weight_norm
from torch.nn.utils.rnn import PackedSequence

from fairseq_bahdanau import fused
from fairseq_bahdanau.decoder import BahdanauDecoder
from fairseq_bahdanau.encoder import RecurrentEncoder

# Every layer whose weight the fused code reads; the last two are no part of the decoder's recurrence.
READ = (
    "decoder.attention.query_proj",
    "decoder.recurrence.embed_gates",
    "decoder.recurrence.context_gates",
    "decoder.recurrence.cell.state_gates",
    "decoder.readout.state_proj",
    "decoder.readout.context_proj",
    "decoder.readout.embed_proj",
    "decoder.output_projection",
    "encoder.rnn",
)
LINEAR = READ[:-1]
# Of the conditional GRU also these.
SECOND = ("decoder.recurrence.second_cell.state_gates", "decoder.recurrence.context_gates", "decoder.recurrence")
CONDITIONAL = {"decoder_order": "update-look-update-generate"}
CONTAINERS = ("decoder.attention", "decoder.recurrence", "decoder.recurrence.cell", "decoder.readout")


def weight_name(layer):
    return "weight_hh_l0" if isinstance(layer, nn.GRU) else "weight"


def pruned(layer):
    prune.l1_unstructured(layer, weight_name(layer), amount=0.5)


def weight_normalised(layer):
    weight_norm(layer, weight_name(layer))


def parametrised(layer):
    parametrizations.weight_norm(layer, weight_name(layer))


def doubled_by_a_hook(layer):
    layer.register_forward_hook(lambda layer, inputs, output: doubled(output))


def seen_by_a_hook_before(layer):
    layer.register_forward_pre_hook(lambda layer, inputs: (inputs[0], *inputs[1:]))


def doubled_by_its_own_forward(layer):
    forward = layer.forward
    layer.forward = lambda *inputs: doubled(forward(*inputs))


def doubled(output):
    if isinstance(output, PackedSequence):
        return output._replace(data=output.data * 2)
    if isinstance(output, tuple):
        return tuple(map(doubled, output))
    return None if output is None else output * 2


def of_another_class(layer):
    layer.__class__ = type("Another", (type(layer),), {})


class QuantisedWeight(nn.Parameter):
    """Stands for the weights of another class that libraries put into plain layers."""


def of_another_weight(layer):
    name = weight_name(layer)
    layer._parameters[name] = QuantisedWeight(getattr(layer, name).detach())


CHANGES = (pruned, weight_normalised, parametrised, doubled_by_a_hook, seen_by_a_hook_before,
           doubled_by_its_own_forward, of_another_class, of_another_weight)  # fmt: skip


def everything(model):
    """Logits, attention and gradients of a training step, and a search's steps, of the model as it stands."""
    model.train().zero_grad()
    logits, extra = model(pad(SOURCES, 1, True), None, pad(TARGETS, 1, False))
    (logits.logsumexp(dim=2).sum() + extra["attn"][0].pow(2).sum()).backward()
    found = {"logits": logits.detach(), "attention": extra["attn"][0].detach()}
    found.update({f"gradient of {name}": parameter.grad for name, parameter in model.named_parameters()})
    state, prev = {}, torch.tensor(EVEN_TARGETS)
    with torch.no_grad():
        encoder_out = model.eval().encoder(pad(SOURCES, 1, True))
        for step in range(1, 4):
            found[f"step {step}"], extra = model.decoder(prev[:, :step], encoder_out, state)
            found[f"attention of step {step}"] = extra["attn"][0]
    return found


def without_fused(model):
    """The model as its own reference."""
    model.encoder.fused = model.decoder.fused = None
    return model


def assert_is_its_own_reference(model, log):
    """Its numbers are those of the readable code, bit for bit where that is what ran."""
    found = everything(model)
    said = [record.getMessage() for record in log.records if record.name == "fairseq_bahdanau.fused"]
    everything(model)
    again = [record.getMessage() for record in log.records if record.name == "fairseq_bahdanau.fused"]
    wanted = everything(without_fused(model))
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, msg=lambda text, name=name: f"{name}: {text}")
    assert said == again
    return said


@pytest.mark.parametrize("place", READ)
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_changed_layer_is_called_and_the_log_says_so_once(place, change, caplog):
    model = shake(build_model())
    plain = everything(model)["logits"]
    change(model.get_submodule(place))
    with caplog.at_level(logging.INFO):
        said = assert_is_its_own_reference(model, caplog)
    assert len(said) == 1 and f"does not cover {place}, which " in said[0]
    changes_nothing = (weight_normalised, parametrised, seen_by_a_hook_before, of_another_class, of_another_weight)
    assert torch.allclose(everything(model)["logits"], plain, atol=1e-4) == (change in changes_nothing)


@pytest.mark.parametrize("place", [*SECOND, "decoder.attention.query_proj"])
@pytest.mark.parametrize("change", [doubled_by_a_hook, doubled_by_its_own_forward])
def test_so_is_a_layer_of_the_conditional_gru(place, change, caplog):
    model = shake(build_model(**CONDITIONAL))
    assert model.decoder.fused.covers(model.decoder)
    change(model.get_submodule(place))
    with caplog.at_level(logging.INFO):
        (said,) = assert_is_its_own_reference(model, caplog)
    assert f"does not cover {place}, which " in said


@pytest.mark.parametrize("place", CONTAINERS)
@pytest.mark.parametrize("change", [doubled_by_a_hook, seen_by_a_hook_before, doubled_by_its_own_forward])
def test_so_is_a_module_that_holds_layers(place, change, caplog):
    model = shake(build_model())
    change(model.get_submodule(place))
    with caplog.at_level(logging.INFO):
        (said,) = assert_is_its_own_reference(model, caplog)
    assert f"does not cover {place}, which " in said


def test_a_hook_on_every_module_is_called(caplog):
    seen = set()
    handle = nn.modules.module.register_module_forward_hook(lambda layer, inputs, output: seen.add(layer))
    try:
        model = shake(build_model())
        with caplog.at_level(logging.INFO):
            everything(model)
    finally:
        handle.remove()
    assert {model.get_submodule(place) for place in (*READ, *CONTAINERS)} - seen == set()


def test_a_pruned_model_is_saved_and_loaded_and_goes_on_learning(tmp_path):
    """The loaded model's weight attribute is stale until the layer is called; a second update must not die of it."""
    model = shake(build_model())
    for place in LINEAR:
        pruned(model.get_submodule(place))
    torch.save(model.state_dict(), tmp_path / "pruned.pt")
    loaded = build_model()
    for place in LINEAR:
        prune.identity(loaded.get_submodule(place), "weight")
    loaded.load_state_dict(torch.load(tmp_path / "pruned.pt"))
    found, wanted = everything(loaded), everything(without_fused(model))
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value)
    optimizer = torch.optim.SGD(loaded.parameters(), lr=0.01)
    losses = []
    for _ in range(3):
        optimizer.zero_grad()
        logits, _ = loaded.train()(pad(SOURCES, 1, True), None, pad(TARGETS, 1, False))
        loss = -logits.log_softmax(dim=2).select(2, 5).sum()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[2] < losses[1] < losses[0]


def test_pruning_made_permanent_is_fast_again(caplog):
    model = shake(build_model())
    pruned(model.decoder.attention.query_proj)
    prune.remove(model.decoder.attention.query_proj, "weight")
    with caplog.at_level(logging.INFO):
        model.train()(pad(SOURCES, 1, True), None, pad(TARGETS, 1, False))
    assert "does not cover" not in caplog.text and model.decoder.fused.covers(model.decoder)


def test_an_order_without_fused_code_runs_as_the_reference(caplog, monkeypatch):
    """As a new one does, until its functions are written."""
    order, batch = "update-look-generate", (pad(SOURCES, 1, True), None, pad(TARGETS, 1, False))
    wanted = build_model(decoder_order=order, recurrence="reference")(*batch)[0]
    monkeypatch.delitem(fused.ORDERS, order)
    with caplog.at_level(logging.INFO):
        model = build_model(decoder_order=order)
    assert f"--recurrence fused does not cover --decoder-order {order}: the decoder runs as" in caplog.text
    assert model.decoder.fused is None
    torch.testing.assert_close(model(*batch)[0], wanted)


@pytest.mark.parametrize("place", [*READ, ""], ids=[*READ, "all"])
def test_any_layer_may_be_quantised_alone(place, caplog):
    model = shake(build_model(encoder_hidden_size=32, decoder_hidden_size=64))
    for parameter in model.parameters():
        parameter.data *= 0.3
    which = {place} if place else {nn.Linear, nn.GRU}
    with caplog.at_level(logging.INFO):
        quantised = torch.ao.quantization.quantize_dynamic(model, which, dtype=torch.qint8)
        changed = quantised.get_submodule(place or READ[0])
        assert "Quantized" in repr(changed)
        src_tokens, prev, state = pad(SOURCES, 1, True), torch.tensor(EVEN_TARGETS), {}
        with torch.no_grad():
            wanted = model(src_tokens, None, prev)[0]
            found = quantised(src_tokens, None, prev)[0]
            encoder_out = quantised.encoder(src_tokens)
            steps = [quantised.decoder(prev[:, : step + 1], encoder_out, state)[0] for step in range(3)]
    assert (found - wanted).abs().max() < 0.05 * wanted.abs().max()
    assert (torch.cat(steps, dim=1) - wanted).abs().max() < 0.05 * wanted.abs().max()
    assert model.decoder.fused.covers(model.decoder), "the model that was quantised is as it was"


def test_a_target_of_one_word_is_trained_by_the_fused_loop():
    """A pass over one column is a search for the caller that says so, and for no other."""
    model = shake(build_model()).train()
    logits, _ = model(pad(SOURCES, 1, True), None, torch.tensor([[2], [2], [2], [2]]))
    names, nodes = set(), [logits.grad_fn]
    while nodes:
        node = nodes.pop()
        names.add(type(node).__name__)
        nodes += [below for below, _ in node.next_functions if below is not None]
    assert "FusedLoopBackward" in names


@pytest.mark.parametrize("order", LOOPS)
def test_the_readable_code_runs_without_it(order):
    model = without_fused(shake(build_model(decoder_order=order)))
    fused = shake(build_model(decoder_order=order))
    assert type(model.decoder) is type(fused.decoder) and issubclass(type(fused.decoder), BahdanauDecoder)
    assert type(model.encoder) is type(fused.encoder) is RecurrentEncoder
    wanted = everything(model)
    for name, value in everything(fused).items():
        torch.testing.assert_close(value, wanted[name])


@pytest.mark.parametrize("kept", ["RecurrentEncoder", "BahdanauDecoder"])
@pytest.mark.parametrize("options", [{}, {"cell": "lstm"}, {"decoder_order": "update-look-generate"}], ids=str)
def test_retain_dropout_modules_knows_encoder_and_decoder(kept, options):
    """``--retain-dropout --retain-dropout-modules NAME``, which fairseq hands to the modules by their names."""
    model = build_model(dropout=0.5, **options).eval()
    src_tokens, prev = pad(SOURCES, 1, True), pad(TARGETS, 1, False)
    model.make_generation_fast_(retain_dropout=True, retain_dropout_modules=[kept])
    with torch.no_grad():
        annotations = [model.encoder(src_tokens)["encoder_out"][0] for _ in range(2)]
        encoder_out = model.encoder(src_tokens)
        features = [model.decoder.extract_features(prev, encoder_out)[0] for _ in range(2)]
    assert torch.equal(*annotations) == (kept != "RecurrentEncoder")
    assert torch.equal(*features) == (kept != "BahdanauDecoder")


@pytest.mark.parametrize(
    "change", [pruned, doubled_by_a_hook, doubled_by_its_own_forward], ids=lambda change: change.__name__
)
@pytest.mark.parametrize("order", ["look-update-generate", "update-look-update-generate"])
def test_the_papers_gru_calls_a_changed_layer_too(change, order):
    """It multiplies two parts of one weight with two inputs; what a changed layer computes, its whole output says."""
    model = shake(build_model(gru_reset="before", decoder_order=order))
    cell = model.decoder.recurrence.cell
    gates, state = torch.randn(3, 24), torch.randn(3, 8)
    change(cell.state_gates)
    reset, update, _ = torch.sigmoid(gates + cell.state_gates(state)).chunk(3, dim=1)
    new = torch.tanh(gates[:, 16:] + cell.state_gates(reset * state)[:, 16:])
    torch.testing.assert_close(cell(gates, state), (1 - update) * new + update * state)


def test_the_papers_gru_may_be_quantised():
    model = shake(build_model(gru_reset="before", encoder_hidden_size=32, decoder_hidden_size=64))
    for parameter in model.parameters():
        parameter.data *= 0.3
    quantised = torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)
    src_tokens, prev = pad(SOURCES, 1, True), torch.tensor(EVEN_TARGETS)
    wanted, found = (one(src_tokens, None, prev)[0] for one in (model, quantised))
    assert (found - wanted).abs().max() < 0.05 * wanted.abs().max()
