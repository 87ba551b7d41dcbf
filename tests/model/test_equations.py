"""The model computes what the paper says: against NumPy, and against itself in every layout of a batch."""

import math

import numpy as np
import oracle
import pytest
import torch
from support import SIZES, SOURCES, TARGETS, build_model, dictionary, members, oracle_member, pad, shake

from fairseq_bahdanau.attention import AdditiveAttention, Source


def run(model, left, right_target_columns=0, columns=0):
    src_tokens = pad(SOURCES, 1, left, columns)
    prev = pad(TARGETS, 1, False, right_target_columns)
    lengths = torch.tensor([len(src) for src in SOURCES])
    with torch.no_grad():
        logits, extra = model(src_tokens, lengths, prev)
    return src_tokens, logits, extra["attn"][0]


@members
@pytest.mark.parametrize("left", [True, False])
def test_model_equals_numpy(options, left):
    model = shake(build_model(**options)).double()
    p, member = oracle.parameters(model), oracle_member(**options)
    src_tokens, logits, attention = run(model, left)
    for row, (src, prev) in enumerate(zip(SOURCES, TARGETS)):
        wanted_logits, wanted_attention = oracle.decode(p, *oracle.encode(p, src, member), prev, member)
        np.testing.assert_allclose(logits[row, : len(prev)], wanted_logits, atol=1e-12)
        words = src_tokens[row].ne(1)
        np.testing.assert_allclose(attention[row, : len(prev)][:, words], wanted_attention, atol=1e-12)


@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize("columns", [0, 8])
def test_attention_sums_to_one_and_is_zero_on_padding(left, columns):
    src_tokens, _, attention = run(shake(build_model()), left, columns=columns)
    assert attention.shape == (4, 5, max(7, columns))
    torch.testing.assert_close(attention.sum(dim=2), torch.ones(4, 5))
    assert (attention[src_tokens.eq(1).unsqueeze(1).expand_as(attention)] == 0).all()
    assert (attention[src_tokens.ne(1).unsqueeze(1).expand_as(attention)] > 0).all()
    assert attention.is_contiguous()  # fairseq's alignment criterion takes a view of it


@members
def test_a_sentence_does_not_depend_on_its_batch(options):
    model = shake(build_model(**options))
    with torch.no_grad():
        alone = [
            model(torch.tensor([src]), torch.tensor([len(src)]), torch.tensor([prev]))
            for src, prev in zip(SOURCES, TARGETS)
        ]
    for left in (True, False):
        for columns in (0, 8):
            src_tokens, logits, attention = run(model, left, 9, columns)
            for row, (wanted_logits, wanted_extra) in enumerate(alone):
                steps = len(TARGETS[row])
                torch.testing.assert_close(logits[row, :steps], wanted_logits[0])
                found = attention[row, :steps][:, src_tokens[row].ne(1)]
                torch.testing.assert_close(found, wanted_extra["attn"][0][0])


@members
def test_padding_inside_a_sentence_is_skipped(options):
    model = shake(build_model(**options))
    prev = torch.tensor([[2, 6]])
    with torch.no_grad():
        whole, _ = model(torch.tensor([[5, 9, 2]]), torch.tensor([3]), prev)
        split, extra = model(torch.tensor([[1, 5, 1, 9, 1, 1, 2]]), torch.tensor([3]), prev)
    torch.testing.assert_close(split, whole)
    assert set(extra["attn"][0][0].nonzero()[:, 1].tolist()) <= {1, 3, 6}


@pytest.mark.parametrize("top_k", [0, 2])
def test_a_row_of_padding_gives_zeros_and_finite_gradients(top_k):
    attention = AdditiveAttention(2, 3, 4, top_k=top_k)
    torch.nn.init.normal_(attention.energy)
    annotations = torch.randn(2, 5, 3, requires_grad=True)
    mask = torch.tensor([[True] * 5, [False] * 5])
    source = Source(attention.make_keys(annotations), annotations, mask)
    context, weights = attention(torch.randn(2, 2), source)
    assert (context[0] == 0).all() and (weights[0] == 0).all()
    context.sum().backward()
    assert annotations.grad.isfinite().all() and attention.energy.grad.isfinite().all()


@members
def test_a_batch_of_padding_gives_finite_scores(options):
    model = shake(build_model(**options))
    logits, extra = model(torch.ones(2, 3).long(), None, torch.tensor([[2], [2]]))
    assert logits.isfinite().all() and (extra["attn"][0] == 0).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays_finite_and_close(dtype):
    model = shake(build_model())
    src_tokens, wanted, _ = run(model, True)
    _, found, attention = run(model.to(dtype), True)
    real = pad(TARGETS, 1, False).ne(1)
    assert (found.float() - wanted)[real].abs().max() < 0.2 * wanted[real].abs().max()
    assert (attention[src_tokens.eq(1).unsqueeze(1).expand_as(attention)] == 0).all()


@members
def test_step_by_step_equals_teacher_forced(options):
    model = shake(build_model(**options))
    src_tokens, logits, attention = run(model, True)
    prev = pad(TARGETS, 1, False)
    encoder_out, state = model.encoder(src_tokens), {}
    with torch.no_grad():
        for step in range(prev.size(1)):
            found, extra = model.decoder(prev[:, : step + 1], encoder_out, state)
            assert found.shape == (4, 1, 21)
            torch.testing.assert_close(found[:, 0], logits[:, step])
            torch.testing.assert_close(extra["attn"][0][:, 0], attention[:, step])


@members
def test_reorder_then_step_equals_step_then_reorder(options):
    model = shake(build_model(**options))
    src_tokens, prev, order = pad(SOURCES, 1, True), torch.tensor([[2], [2], [2], [2]]), torch.tensor([2, 0, 0, 3, 1])
    with torch.no_grad():
        encoder_out, state = model.encoder(src_tokens), {}
        model.decoder(prev, encoder_out, state)
        then, _ = model.decoder(torch.tensor([[5], [6], [7], [8]]), encoder_out, state)

        state = {}
        model.decoder(prev, encoder_out, state)
        model.decoder.reorder_incremental_state_scripting(state, order)
        reordered = model.encoder.reorder_encoder_out(encoder_out, order)
        first, _ = model.decoder(torch.tensor([[7], [5], [5], [8], [6]]), reordered, state)
    torch.testing.assert_close(first, then.index_select(0, order))


@members
def test_every_parameter_learns_and_padding_does_not(options):
    model = shake(build_model(**options)).train()
    logits, _ = model(pad(SOURCES, 1, True), None, pad(TARGETS, 1, False))
    logits.logsumexp(dim=2).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
    assert (model.encoder.embed_tokens.weight.grad[1] == 0).all()


def test_each_dropout_acts_in_its_place_alone():
    plain = build_model()
    src_tokens, prev = pad(SOURCES, 1, True), pad(TARGETS, 1, False)
    for option in ("embed_dropout", "annotation_dropout", "readout_dropout", "dropout"):
        model = build_model(**{option: 0.5})
        with torch.no_grad():
            assert torch.equal(model(src_tokens, None, prev)[0], plain(src_tokens, None, prev)[0])  # evaluation
            model.train()
            annotations = model.encoder(src_tokens)["encoder_out"][0]
            dropped = annotations[src_tokens.ne(1)].eq(0).float().mean()
            embeddings_differ = not torch.equal(
                model.encoder(src_tokens)["last_state"][0], plain.encoder(src_tokens)["last_state"][0]
            )
            features = model.decoder.extract_features(prev, plain.encoder(src_tokens))[0]
        assert (dropped > 0.2) == (option in ("annotation_dropout", "dropout"))
        assert embeddings_differ == (option in ("embed_dropout", "dropout"))
        assert (features.eq(0).float().mean() > 0.2) == (option in ("readout_dropout", "dropout"))


def test_paper_initialization():
    sizes = {name: 40 for name in SIZES}
    model = build_model(dictionary(500), dictionary(500), **{**sizes, "maxout_pool_size": 2}, init="paper")
    for name, parameter in model.named_parameters():
        if "weight_hh" in name or "state_gates.weight" in name:
            for gate in parameter.detach().chunk(3):
                torch.testing.assert_close(gate @ gate.T, torch.eye(40), atol=1e-5, rtol=0)
        elif name.endswith("energy") or "bias" in name:
            assert (parameter == 0).all(), name
        else:
            wanted = 0.001 if "query_proj" in name or "key_proj" in name else 0.01
            assert parameter.std().item() == pytest.approx(wanted, rel=0.1), name


@pytest.mark.parametrize(
    ("options", "gates"), [({}, 3), ({"gru_reset": "before"}, 3), ({"cell": "lstm"}, 4), ({"cell": "rnn"}, 1)]
)
def test_glorot_initialization_takes_every_gate_for_a_matrix(options, gates):
    model = build_model(dictionary(50), **{name: 40 for name in SIZES}, **options)
    seen = 0
    for name, parameter in model.named_parameters():
        if "weight_ih" in name or any(f"{part}_gates.weight" in name for part in ("input", "embed", "context")):
            for gate in parameter.detach().chunk(gates):
                bound = math.sqrt(6 / (40 + gate.size(1)))
                assert gate.size(0) == 40 and 0.98 * bound < gate.abs().max() <= bound, name
                seen += 1
        elif "weight_hh" in name or "state_gates.weight" in name:
            for gate in parameter.detach().chunk(gates):
                torch.testing.assert_close(gate @ gate.T, torch.eye(40), atol=1e-5, rtol=0)
    assert seen == 4 * gates  # two directions, word, context


def test_parameter_count_is_that_of_the_equations():
    m, n, e, a, readout, k = 620, 1000, 1000, 1000, 500, 2
    words = 101
    model = build_model(
        dictionary(words - 4), dictionary(words - 4), encoder_embed_dim=m, encoder_hidden_size=e, decoder_embed_dim=m,
        decoder_hidden_size=n, attention_dim=a, maxout_dim=readout, maxout_pool_size=k,
    )  # fmt: skip
    embeddings, encoder = 2 * words * m, 2 * 3 * (m * e + e * e + 2 * e)
    recurrence = 3 * (m * n + 2 * e * n + n * n + 2 * n) + e * n + n
    attention = n * a + 2 * e * a + a + a
    output = k * readout * (n + 2 * e + m) + k * readout + readout * words
    assert sum(p.numel() for p in model.parameters()) == embeddings + encoder + recurrence + attention + output
