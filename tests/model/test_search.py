"""fairseq's beam search over the model's incremental state, against one that only calls the teacher-forced model."""

import pytest
import torch
from fairseq.sequence_generator import SequenceGenerator
from support import SOURCES, build_model, members, pad, shake

EOS, PAD = 2, 1


def log_probs(model, src, prefix):
    """Log-probabilities of every next word after ``prefix``, all computed anew."""
    with torch.no_grad():
        output = model(torch.tensor([src]), torch.tensor([len(src)]), torch.tensor([[EOS, *prefix]]))
    result = model.get_normalized_probs(output, log_probs=True)[0, -1]
    result[PAD] = float("-inf")
    return result


def beam_search(model, src, beam, max_len):
    """The search that fairseq makes, re-reading the whole prefix at every step."""
    live, finished = [((), 0.0)], []
    for step in range(max_len + 1):
        candidates = []
        for prefix, total in live:
            following = log_probs(model, src, prefix)
            words = [EOS] if step == max_len else set(range(len(following))) - {PAD} - ({EOS} if step == 0 else set())
            candidates += [((*prefix, word), total + following[word].item()) for word in words]
        candidates = sorted(candidates, key=lambda item: -item[1])[: 2 * beam]
        for prefix, total in candidates[:beam]:
            if prefix[-1] == EOS and len(finished) < beam:
                finished.append((prefix, total / len(prefix)))
        if len(finished) >= beam:
            break
        live = [item for item in candidates if item[0][-1] != EOS][:beam]
    return sorted(finished, key=lambda item: -item[1])


def fairseq_search(model, sources, beam, max_len, left):
    generator = SequenceGenerator([model], model.decoder.dictionary, beam_size=beam, max_len_a=0, max_len_b=max_len)
    src_tokens = pad(sources, PAD, left)
    lengths = torch.tensor([len(src) for src in sources])
    return generator.generate([model], {"net_input": {"src_tokens": src_tokens, "src_lengths": lengths}})


@pytest.mark.parametrize("beam", [1, 2, 3, 5])
@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize("batch", [SOURCES[:1], SOURCES])
def test_beam_search_equals_re_decoding(beam, left, batch):
    model = shake(build_model())
    for src, found in zip(batch, fairseq_search(model, batch, beam, 6, left)):
        wanted = beam_search(model, src, beam, 6)
        assert [tuple(hypothesis["tokens"].tolist()) for hypothesis in found] == [tokens for tokens, _ in wanted]
        for hypothesis, (_, score) in zip(found, wanted):
            assert hypothesis["score"].item() == pytest.approx(score, abs=1e-5)
            # The attention of every word, in the columns of the batch, is that of the teacher-forced pass.
            prev = torch.tensor([[EOS, *hypothesis["tokens"][:-1].tolist()]])
            with torch.no_grad():
                attention = model(torch.tensor([src]), None, prev)[1]["attn"][0][0]
            columns = pad(batch, PAD, left)[batch.index(src)].ne(PAD)
            torch.testing.assert_close(hypothesis["attention"].T[:, columns], attention)
            assert (hypothesis["attention"][~columns] == 0).all()


@members
def test_every_member_searches(options):
    model = shake(build_model(**options))
    for src, found in zip(SOURCES, fairseq_search(model, SOURCES, 3, 6, left=True)):
        wanted = beam_search(model, src, 3, 6)
        assert [tuple(hypothesis["tokens"].tolist()) for hypothesis in found] == [tokens for tokens, _ in wanted]
