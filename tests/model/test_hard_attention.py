"""Hard attention: what it keeps, and the gradient that it passes on."""

import torch
from support import EVEN_TARGETS, SOURCES, build_model, pad, shake

from fairseq_bahdanau.hard_attention import keep_best


def test_the_best_are_kept_and_renormalised():
    attention = torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.7, 0.3, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    assert keep_best(attention, 1).tolist() == [[0, 0, 0, 1], [1, 0, 0, 0], [0, 0, 0, 0]]
    torch.testing.assert_close(
        keep_best(attention, 3), torch.tensor([[0, 2 / 9, 3 / 9, 4 / 9], [0.7, 0.3, 0, 0], [0, 0, 0, 0]])
    )
    torch.testing.assert_close(keep_best(attention, 9), attention)


def test_the_gradient_passes_straight_through():
    attention = torch.tensor([[0.1, 0.2, 0.3, 0.4]], requires_grad=True)
    wanted = torch.tensor([[5.0, -6.0, 7.0, 8.0]])
    (keep_best(attention, 1) * wanted).sum().backward()
    assert torch.equal(attention.grad, wanted)


def test_one_position_gives_one_hot_rows_that_do_not_change():
    model = shake(build_model(attention="hard"))
    prev = torch.tensor(EVEN_TARGETS[:3])
    rows = [model(pad(SOURCES[:3], 1, True), None, prev)[1]["attn"][0] for _ in range(2)]
    assert ((rows[0] == 0) | (rows[0] == 1)).all() and (rows[0].sum(dim=2) == 1).all()
    assert torch.equal(*rows)
