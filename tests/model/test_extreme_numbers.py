"""Numbers at their limits: rows without words, activations of ten thousand, scores beyond that, 16 bits, NaN."""

import pytest
import torch
from fairseq.criterions.label_smoothed_cross_entropy import label_smoothed_nll_loss
from support import EVEN_TARGETS, SOURCES, TARGETS, build_model, members, pad, shake

from fairseq_bahdanau.losses import blockwise_loss

PAD, EOS = 1, 2
LARGE = 1e4
recurrences = pytest.mark.parametrize("recurrence", ["reference", "fused"])
# What stands beside one ordinary row: nothing at all, and </s> alone.
EMPTY = [], [2]


def batch(sources, targets, columns=0):
    """A batch as fairseq makes it: source, target shifted right, target; a row may be all padding."""
    longest = max(columns, *map(len, sources))
    src_tokens, prev = pad(sources, PAD, True, longest), pad(targets, PAD, False)
    wanted = [row[1:] + [EOS] if row else [] for row in targets]
    return src_tokens, prev, pad(wanted, PAD, False, prev.size(1))


def learn(model, src_tokens, prev, target):
    """One training step without an update: returns logits, attention, the loss and all gradients."""
    model.zero_grad(set_to_none=True)
    logits, extra = model(src_tokens, src_tokens.ne(PAD).sum(dim=1), prev)
    shown = logits.detach().clone()
    loss = blockwise_loss(logits.flatten(0, 1), target.flatten(), 0.1, PAD)[0].sum()
    loss.backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    return shown, extra["attn"][0].detach(), loss.detach(), gradients


def not_finite(named):
    return [name for name, tensor in named.items() if not tensor.isfinite().all()]


@members
@recurrences
@pytest.mark.parametrize("source", EMPTY, ids=["no source", "source of </s>"])
def test_rows_without_a_target_change_neither_loss_nor_gradient(options, recurrence, source):
    """All rows but one are padding: the one is scored, and learnt from, as if it stood alone."""
    model = shake(build_model(recurrence=recurrence, **options)).double().train()
    alone = learn(model, *batch(SOURCES[2:3], TARGETS[1:2]))
    among = learn(model, *batch([source, SOURCES[2], source], [[], TARGETS[1], []]))
    torch.testing.assert_close(among[0][1:2], alone[0])
    torch.testing.assert_close(among[1][1:2], alone[1])
    torch.testing.assert_close(among[2], alone[2])
    assert among[2] > 0 and among[0].isfinite().all()
    for name, gradient in alone[3].items():
        torch.testing.assert_close(among[3][name], gradient, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_loss_times_nought_has_a_gradient_of_nought(dtype):
    """That is what fairseq makes of a batch where a process has none left, in step with the others."""
    logits = torch.randn(6, 9, generator=torch.Generator().manual_seed(1)).to(dtype).requires_grad_()
    target = torch.tensor([3, 4, PAD, 5, 6, PAD])
    loss, _ = blockwise_loss(logits * 1, target, 0.1, PAD)
    (loss.sum() * 0).backward()
    assert (logits.grad == 0).all()


@members
@recurrences
def test_a_row_without_a_source_is_a_language_model(options, recurrence):
    """It looks nowhere, so what it scores does not depend on how much padding it has; its words are learnt."""
    model = shake(build_model(recurrence=recurrence, **options)).double().train()
    narrow = learn(model, *batch([[], SOURCES[0]], TARGETS[:2]))
    wide = learn(model, *batch([[], SOURCES[0]], TARGETS[:2], columns=9))
    for _, attention, loss, gradients in (narrow, wide):
        assert (attention[0] == 0).all() and loss.isfinite() and not not_finite(gradients)
        torch.testing.assert_close(attention[1].sum(dim=1), torch.ones(5).double())
    torch.testing.assert_close(wide[0], narrow[0])
    for name, gradient in narrow[3].items():
        torch.testing.assert_close(wide[3][name], gradient)
    assert narrow[3]["decoder.embed_tokens.weight"][TARGETS[0]].abs().sum() > 0


# Parts of the model whose weights become ten thousand times as large, by what they make large.
SCALED = {
    "everything": "",
    "embeddings": "embed_tokens",
    "annotations": "encoder.rnn",
    "states": "decoder.recurrence",
    "readout": "decoder.readout",
    "scores": "decoder.attention",
}


@members
@recurrences
@pytest.mark.parametrize("part", SCALED.values(), ids=SCALED.keys())
def test_weights_of_ten_thousand_give_finite_numbers(options, recurrence, part):
    model = shake(build_model(recurrence=recurrence, **options)).train()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if part in name:
                parameter.mul_(LARGE)
    if part in ("", "readout"):
        assert model.decoder.readout.state_proj.weight.abs().max() > LARGE
    src_tokens, prev, target = batch(SOURCES, TARGETS)
    logits, attention, loss, gradients = learn(model, src_tokens, prev, target)
    assert logits.isfinite().all() and loss.isfinite() and not not_finite(gradients)
    if part in ("", "embeddings", "readout"):
        assert logits.abs().max() > (LARGE if part != "readout" else LARGE / 10)
    check_sums(attention, src_tokens)


def check_sums(attention, src_tokens):
    """Every row of attention sums to 1 over the words of its sentence."""
    is_padding = src_tokens.eq(PAD).unsqueeze(1).expand_as(attention)
    assert (attention[is_padding] == 0).all()
    torch.testing.assert_close(attention.sum(dim=2), torch.ones(attention.shape[:2]).to(attention))


def with_low_scores(recurrence, **options):
    """A model whose every word is scored below -100,000, and padding, were it a word, above that."""
    model = shake(build_model(recurrence=recurrence, **options))
    attention = model.decoder.attention
    with torch.no_grad():
        if options.get("attention_score") == "bilinear":
            # e_tj = s' (W_a h_j): states that are all near 1 and annotations that are, and a matrix of large -1
            model.decoder.initial_state.bias.fill_(30.0)
            model.decoder.recurrence.embed_gates.bias[8:16] = 1e3  # the update gate keeps the state
            attention.key_proj.weight.fill_(-LARGE)
            for name, parameter in model.encoder.rnn.named_parameters():
                parameter.fill_(30.0 if "bias_ih" in name else 0.0)
            for name, parameter in model.encoder.rnn.named_parameters():
                if "bias" in name:
                    parameter[6:12] = -30.0  # the update gate takes the new state, which is 1
        else:
            # e_tj = v' tanh(...): keys of words are near 1, those of padding, b_a, near -1
            attention.query_proj.weight.zero_()
            attention.key_proj.bias.fill_(-30.0)
            attention.key_proj.weight.fill_(10.0)
            attention.energy.fill_(-2 * LARGE)
            for name, parameter in model.encoder.rnn.named_parameters():
                parameter.fill_(30.0 if "bias_ih" in name else 0.0)
            for name, parameter in model.encoder.rnn.named_parameters():
                if "bias" in name:
                    parameter[6:12] = -30.0
    return model


@recurrences
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"decoder_order": "update-look-generate"},
        {"decoder_order": "update-look-update-generate"},
        {"attention_score": "bilinear"},
        {"attention": "hard", "hard_attention_top_k": 2},
    ],
    ids=lambda options: "-".join(map(str, options.values())) or "default",
)
def test_padding_gets_no_weight_however_low_the_words_score(options, recurrence):
    """In training, step by step in a search, and with several beams."""
    model = with_low_scores(recurrence, **options)
    src_tokens, prev = pad(SOURCES, PAD, True), torch.tensor(EVEN_TARGETS)
    with torch.no_grad():
        keys = model.decoder.begin(model.encoder(src_tokens))
        query = model.decoder.recurrence.cell.output(keys[0].cell)
        scores = model.decoder.attention.score(query, keys[1].keys).squeeze(1)
        assert (scores[src_tokens.ne(PAD)] < -1e5).all() and (scores[src_tokens.eq(PAD)] > -1e-3).all()
    model.train()
    check_sums(model(src_tokens, None, prev)[1]["attn"][0].detach(), src_tokens)
    model.eval()
    beams = torch.arange(4).repeat_interleave(2)
    with torch.no_grad():
        encoder_out, state = model.encoder.reorder_encoder_out(model.encoder(src_tokens), beams), {}
        for step in range(3):
            found = model.decoder(prev[beams, : step + 1], encoder_out, state)[1]["attn"][0]
            check_sums(found, src_tokens[beams])


@members
@recurrences
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["fp16", "bf16"])
@pytest.mark.parametrize("way", ["module", "autocast"])
def test_16_bits_train_close_to_32(options, recurrence, dtype, way):
    """The loss is near that of float32, with a row that is all padding in the batch; attention sums to 1."""
    model = shake(build_model(recurrence=recurrence, **options)).train()
    sample = batch([*SOURCES, []], [*TARGETS, []])
    _, _, wanted, _ = learn(model, *sample)
    if way == "module":
        model.to(dtype)
    with torch.autocast("cpu", dtype=dtype, enabled=way == "autocast"):
        logits, attention, loss, gradients = learn(model, *sample)
    assert logits.isfinite().all() and not not_finite(gradients)
    assert abs(loss - wanted) < 0.1 * wanted
    assert sum(gradient.abs().sum() for gradient in gradients.values()) > 0
    sums, coarse = attention.float().sum(dim=2), 8 * torch.finfo(dtype).eps
    torch.testing.assert_close(sums[:4], torch.ones(4, 5), atol=coarse, rtol=0)
    assert (attention[4] == 0).all()


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("place", ["the word meant", "another word", "padding"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_number_that_is_none_is_reported_as_fairseq_does(number, place, dtype):
    """The blockwise loss hides no NaN: its loss and gradient are not finite where fairseq's are not."""
    logits = torch.randn(4, 9, generator=torch.Generator().manual_seed(1)).to(dtype)
    target = torch.tensor([3, 4, PAD, 5])
    row, column = {"the word meant": (1, 4), "another word": (1, 6), "padding": (2, 6)}[place]
    logits[row, column] = number
    fairseqs = logits.float().clone().requires_grad_()
    wanted, _ = label_smoothed_nll_loss(fairseqs.log_softmax(dim=1), target, 0.1, PAD, reduce=False)
    wanted.sum().backward()
    ours = logits.clone().requires_grad_()
    loss, _ = blockwise_loss(ours * 1, target, 0.1, PAD)
    loss.sum().backward()
    assert torch.equal(loss.isfinite(), wanted.squeeze(1).isfinite())
    words = target.ne(PAD)
    assert torch.equal(ours.grad.isfinite().all(dim=1)[words], fairseqs.grad.isfinite().all(dim=1)[words])
    assert loss[target.eq(PAD)].eq(0).all()
