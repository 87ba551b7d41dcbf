"""Every member of the family learns to copy: the smallest task that needs the attention to look at the right place."""

import torch
from support import build_model, dictionary, members, pad
from torch.nn.functional import cross_entropy

SYMBOLS = 6
# More than those of support.py, with which a model computes but does not learn in so few updates.
LEARNING_SIZES = {
    "encoder_embed_dim": 24,
    "encoder_hidden_size": 20,
    "decoder_embed_dim": 28,
    "decoder_hidden_size": 40,
    "attention_dim": 32,
    "maxout_dim": 36,
}


def batch(generator, size):
    """Sentences of 1 to 6 symbols: source, target shifted right, target; padded left, right, right."""
    lengths = torch.randint(1, 7, (size,), generator=generator).tolist()
    rows = [torch.randint(4, 4 + SYMBOLS, (length,), generator=generator).tolist() for length in lengths]
    return (
        pad([[*row, 2] for row in rows], 1, left=True),
        pad([[2, *row] for row in rows], 1, left=False),
        pad([[*row, 2] for row in rows], 1, left=False),
    )


def accuracy(model, generator):
    """The share of target words that the teacher-forced model ranks first, on sentences that it has not seen."""
    src_tokens, prev, target = batch(generator, 300)
    with torch.no_grad():
        found = model.eval()(src_tokens, None, prev)[0].argmax(dim=2)
    return (found == target)[target.ne(1)].float().mean().item()


@members
def test_copies(options):
    options = {**LEARNING_SIZES, **options, **({"decoder_hidden_size": 40} if "decoder_hidden_size" in options else {})}
    model = build_model(dictionary(SYMBOLS), dictionary(SYMBOLS), **options)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
    generator = torch.Generator().manual_seed(1)
    for update in range(1, 2401):  # most need 200 to 600, one without attention 1200 or more, by the processor
        src_tokens, prev, target = batch(generator, 48)
        loss = cross_entropy(model.train()(src_tokens, None, prev)[0].flatten(0, 1), target.flatten(), ignore_index=1)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if update % 100 == 0 and accuracy(model, generator) > 0.98:
            return
    raise AssertionError(f"{accuracy(model, generator):.3f} of the words are right after {update} updates")
