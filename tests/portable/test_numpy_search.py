"""The search in NumPy finds what fairseq's SequenceGenerator finds, with any options and several models."""

import numpy as np
import pytest
import torch
from fairseq.sequence_generator import SequenceGenerator
from support import build_model, dictionary, shake

from fairseq_bahdanau.portable.search import Options, Search, Symbols

SOURCE, TARGET = dictionary(13), dictionary(17, "z")
SYMBOLS = Symbols(TARGET.pad(), TARGET.eos(), TARGET.unk())
SENTENCES = [[5, 9, 2], [2], [4, 16, 8, 8, 11, 6, 2], [3, 7, 2], [9, 10, 11, 12, 4, 5, 2], [8, 8, 2]]


def shaken(seed, **more):
    """A model with parameters of a size at which mistakes show."""
    model = shake(build_model(SOURCE, TARGET, **more))
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.data += torch.randn(parameter.shape, generator=generator) * 0.5
    return model


class Forced:
    """Scores every next word by the whole model, from the first word on: no state is carried, so none can be wrong."""

    words, longest = len(TARGET), 1024

    def __init__(self, *models):
        self.models = models

    def encode(self, sources):
        columns = max(map(len, sources))
        rows = [[*source, *[SOURCE.pad()] * (columns - len(source))] for source in sources]
        return Words(self.models, torch.tensor(rows))


class Words:
    """Holds all words of every row."""

    def __init__(self, models, src_tokens):
        self.models, self.src_tokens, self.read = models, src_tokens, None

    def step(self, words, count, everything):
        beam = len(words) // len(self.src_tokens)
        new = torch.from_numpy(words)[:, None]
        self.read = new if self.read is None else torch.cat([self.read, new], dim=1)
        with torch.no_grad():
            results = [model(self.src_tokens.repeat_interleave(beam, dim=0), None, self.read) for model in self.models]
        probabilities = torch.stack([torch.softmax(logits[:, -1], dim=1) for logits, _ in results]).mean(dim=0)
        attention = torch.stack([extra["attn"][0][:, -1] for _, extra in results]).mean(dim=0).numpy()
        log_probs = probabilities.log().numpy()
        if everything:
            return log_probs, np.broadcast_to(np.arange(log_probs.shape[1]), log_probs.shape), attention
        best = np.argsort(-log_probs, axis=1)[:, :count]
        return np.take_along_axis(log_probs, best, axis=1), best, attention

    def keep(self, rows, sentences):
        self.read, self.src_tokens = self.read[torch.from_numpy(rows)], self.src_tokens[torch.from_numpy(sentences)]


def by_fairseq(models, options, sources):
    """Each sentence by itself: a batch of fairseq's gives all of its sentences the limit of the longest."""
    found = []
    for source in sources:
        generator = SequenceGenerator(
            list(models), TARGET, beam_size=options.beam, max_len_a=options.max_len_a, max_len_b=options.max_len_b,
            min_len=options.min_len, len_penalty=options.lenpen, unk_penalty=options.unkpen,
        )  # fmt: skip
        sample = {"net_input": {"src_tokens": torch.tensor([source]), "src_lengths": torch.tensor([len(source)])}}
        found += generator.generate(list(models), sample)
    return found


# Models like these often do not end; of more words, rounding decides.
SHORT = Options(max_len_a=1, max_len_b=9)
CASES = {
    "default": ({}, SHORT),
    "greedy": ({}, SHORT._replace(beam=1)),
    "two": ({}, SHORT._replace(beam=2)),
    "wide": ({}, SHORT._replace(beam=16)),
    "widest": ({}, SHORT._replace(beam=20)),
    "favours-short": ({}, SHORT._replace(lenpen=0.3)),
    "favours-long": ({}, SHORT._replace(lenpen=1.7, beam=3)),
    "unknown-is-dear": ({}, SHORT._replace(unkpen=5)),
    "unknown-is-welcome": ({}, SHORT._replace(unkpen=-3)),
    "limit": ({}, SHORT._replace(max_len_a=0, max_len_b=3)),
    "limit-by-source": ({}, SHORT._replace(max_len_a=0.5, max_len_b=1, beam=4)),
    "at-once": ({}, SHORT._replace(max_len_a=0, max_len_b=1)),
    "no-word-needed": ({}, SHORT._replace(min_len=0, max_len_b=4)),
    "some-words-needed": ({}, SHORT._replace(min_len=4)),
    "conditional": ({"decoder_order": "update-look-update-generate"}, SHORT),
    "fixed": ({"context": "fixed"}, SHORT),
    "lstm-hard": ({"cell": "lstm", "attention": "hard"}, SHORT),
}


@pytest.mark.parametrize(("members", "seed"), [(1, 1), (1, 2), (2, 3)])
@pytest.mark.parametrize("case", CASES)
def test_hypotheses_are_those_of_fairseq(case, members, seed):
    more, options = CASES[case]
    models = [shaken(seed + number, **more) for number in range(members)]
    for found, wanted in zip(
        Search(Forced(*models), SYMBOLS, options, SENTENCES).run(), by_fairseq(models, options, SENTENCES)
    ):
        assert [one.tokens for one in found] == [one["tokens"].tolist() for one in wanted]
        for one, other in zip(found, wanted):
            assert one.score == pytest.approx(float(other["score"]), abs=1e-5)
            np.testing.assert_allclose(one.attention, other["attention"].t().numpy(), atol=1e-5)


def test_hypotheses_differ_in_length_and_end_at_different_steps():
    """Or nothing above would have been asked of what happens when a sentence leaves its batch."""
    found = Search(Forced(shaken(1)), SYMBOLS, SHORT, SENTENCES).run()
    assert len({max(len(one.tokens) for one in of_sentence) for of_sentence in found}) > 2


def test_what_a_limit_has_ended_is_marked():
    model = Forced(shaken(1))
    for of_sentence in Search(model, SYMBOLS, Options(max_len_a=0, max_len_b=3), SENTENCES).run():
        assert [one.cut for one in of_sentence] == [len(one.tokens) == 4 for one in of_sentence]


def test_a_model_of_nan_is_named():
    broken = shaken(1)
    broken.decoder.readout.state_proj.bias.data[:] = float("nan")
    with pytest.raises(ValueError, match="the model gives no probabilities, but NaN"):
        Search(Forced(broken), SYMBOLS, SHORT, SENTENCES).run()


@pytest.mark.parametrize("beam", [0, -1, len(TARGET), 100])
def test_a_beam_that_cannot_be_filled_is_refused(beam):
    with pytest.raises(ValueError, match=f"--beam must be from 1 to {len(TARGET) - 1}"):
        Search(Forced(build_model(SOURCE, TARGET)), SYMBOLS, Options(beam=beam), SENTENCES)
