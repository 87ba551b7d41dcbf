"""Beams that read one encoder's side together give what every row alone gives, in any order a search may ask for."""

import pytest
import torch
from support import EVEN_TARGETS, SOURCES, build_model, members, pad, shake

from fairseq_bahdanau import search
from fairseq_bahdanau.search import groups_of

# One order after the other, each picking from the rows of the one before.
AS_FAIRSEQ = [
    [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3],  # three beams of each sentence
    [1, 0, 0, 3, 5, 5, 8, 7, 6, 11, 9, 10],  # beams move within their sentence
    [0, 2, 2, 6, 8, 7, 9, 9, 9],  # the second sentence is done
    [3, 5, 4],  # only the third is left
]
ANY = [[0, 0, 1, 1, 2, 2, 3, 3], [3, 0, 5, 4, 4, 4], [5, 0, 3, 3], [2, 1, 0], [0, 0, 0, 1, 1, 1], [4, 1, 2, 2, 2]]


@members
@pytest.mark.parametrize("orders", [AS_FAIRSEQ, ANY], ids=["as fairseq", "any"])
@pytest.mark.parametrize("looks", [True, False], ids=["on a CPU", "as on a GPU"])
def test_every_row_gives_what_it_gives_alone(options, orders, looks, monkeypatch):
    if not looks:
        monkeypatch.setattr(search, "surely_equal", lambda one, other: False)
    model = shake(build_model(**options))
    generator = torch.Generator().manual_seed(1)
    src_tokens = pad(SOURCES, 1, True)
    rows, state = [(number, []) for number in range(len(SOURCES))], {}  # which sentence, and its words so far
    with torch.no_grad():
        encoder_out = model.encoder(src_tokens)
        for order in orders:
            encoder_out = model.encoder.reorder_encoder_out(encoder_out, torch.tensor(order))
            model.decoder.reorder_incremental_state_scripting(state, torch.tensor(order))
            words = torch.randint(4, 20, (len(order),), generator=generator).tolist()
            rows = [(rows[row][0], [*rows[row][1], word]) for row, word in zip(order, words)]
            prev = torch.tensor([words for _, words in rows])
            found, extra = model.decoder(prev, encoder_out, state)
            wanted, wanted_extra = model(src_tokens[[number for number, _ in rows]], None, prev)
            torch.testing.assert_close(found[:, 0], wanted[:, -1])
            torch.testing.assert_close(extra["attn"][0][:, 0], wanted_extra["attn"][0][:, -1])
            # The same encoder's side serves a pass over all words at once.
            torch.testing.assert_close(model.decoder(prev, encoder_out)[0], wanted)


def test_the_encoders_side_is_not_copied():
    model, state = build_model(), {}
    begun = encoder_out = model.encoder(pad(SOURCES, 1, True))
    for number, order in enumerate(AS_FAIRSEQ):
        encoder_out = model.encoder.reorder_encoder_out(encoder_out, torch.tensor(order))
        model.decoder.reorder_incremental_state_scripting(state, torch.tensor(order))
        model.decoder(torch.full((len(order), 1), 4), encoder_out, state)
        assert all(encoder_out[name][0] is tensors[0] for name, tensors in begun.items())
        (saved,) = state.values()
        assert saved["keys"].size(0) == saved["values"].size(0) == len(order) / 3
        assert (saved["values"] is saved["all_values"]) == (saved["keys"] is saved["all_keys"]) == (number < 2)


def test_groups_are_of_one_sentence():
    assert groups_of(torch.tensor([4, 4, 0, 0, 4, 4]), 2).tolist() == [[4, 4], [0, 0], [4, 4]]
    assert groups_of(torch.tensor([4, 4, 0, 1]), 2).tolist() == [[4], [4], [0], [1]]
    assert groups_of(torch.tensor([4, 4, 4]), 2).tolist() == [[4], [4], [4]]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("autocast", [True, False])
def test_search_in_half_precision(dtype, autocast):
    model, state = shake(build_model()), {}
    src_tokens, prev = pad(SOURCES, 1, True), torch.tensor(EVEN_TARGETS)
    with torch.no_grad():
        wanted, wanted_extra = model(src_tokens, None, prev)
        model = model if autocast else model.to(dtype)
        with torch.autocast("cpu", dtype=dtype, enabled=autocast):
            encoder_out = model.encoder(src_tokens)
            found, attention = [], []
            for step in range(1, 4):
                logits, extra = model.decoder(prev[:, :step], encoder_out, state)
                assert logits.dtype == extra["attn"][0].dtype == dtype
                found.append(logits)
                attention.append(extra["attn"][0])
    scale = 20 * torch.finfo(dtype).eps
    assert (torch.cat(found, dim=1).float() - wanted).abs().max() < scale * wanted.abs().max()
    assert (torch.cat(attention, dim=1).float() - wanted_extra["attn"][0]).abs().max() < scale


def test_a_row_of_padding_gives_zeros_in_a_search():
    model, state = shake(build_model()), {}
    with torch.no_grad():
        encoder_out = model.encoder(torch.tensor([[5, 2], [1, 1]]))
        logits, extra = model.decoder(torch.tensor([[2], [2]]), encoder_out, state)
        wanted, _ = model(torch.tensor([[5, 2], [1, 1]]), None, torch.tensor([[2], [2]]))
    assert (extra["attn"][0][1] == 0).all() and logits.isfinite().all()
    torch.testing.assert_close(logits, wanted)
