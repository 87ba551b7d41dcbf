"""fairseq's search with our model gives what all possible translations, scored one by one in NumPy, say it must.

Three words are possible, and three steps: forty translations. A beam that is wide enough finds them all, in order.
"""

import itertools

import numpy as np
import oracle
import pytest
import torch
from fairseq.sequence_generator import SequenceGenerator
from fairseq_cli import train as fairseq_train
from support import PLUGIN, SOURCES, TINY_FLAGS, build_model, dictionary, oracle_member, pad, shake

EOS, UNK = 2, 3
POSSIBLE = (UNK, 4, 5)
STEPS = 3
WORDS = dictionary(60, "z")  # many, since fairseq's beam has at most as many hypotheses as there are words
OPTIONS = [
    {},
    {"decoder_order": "update-look-generate"},
    {"decoder_order": "update-look-update-generate"},
    {"cell": "lstm"},
    {"context": "fixed"},
    {"attention": "hard", "attention_score": "bilinear"},
]


def possible_model(seed, **options):
    """A model for which all other words are impossible."""
    model = shake(build_model(target=WORDS, output_bias=True, **options)).double()
    with torch.no_grad():
        generator = torch.Generator().manual_seed(seed)
        for parameter in model.decoder.readout.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype))
        bias = model.decoder.output_projection.bias
        kept = bias[[EOS, *POSSIBLE]].clone()
        bias.fill_(-float("inf"))
        bias[[EOS, *POSSIBLE]] = kept
    return model


def log_probabilities(model, options, source, words, temperature=1.0):
    """Of the words of one translation and of its </s>, by the oracle."""
    member = oracle_member(output_bias=True, **options)
    p = oracle.parameters(model)
    logits, _ = oracle.decode(p, *oracle.encode(p, source, member), [EOS, *words], member)
    logits = np.asarray(logits) / temperature
    logs = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    return logs[np.arange(len(words) + 1), [*words, EOS]]


def repeats(words, size):
    grams = [words[start : start + size] for start in range(len(words) - size + 1)]
    return len(set(grams)) < len(grams)


def expected(scored, search, prefix=()):
    """What the search has to find: translations with </s>, and their scores, best first.

    Args:
        scored: the log-probabilities of every translation
        search: the options of fairseq's generator
        prefix: words that every translation begins with
    """
    found = []
    for words, logs in scored.items():
        size, length = search.get("no_repeat_ngram_size", 0), len(words) + 1
        if len(words) > search.get("max_len_b", STEPS) or length - 1 < search.get("min_len", 1):
            continue
        if words[: len(prefix)] != tuple(prefix) or (size and repeats(words, size)):
            continue
        score = logs.sum() - search.get("unk_penalty", 0.0) * words.count(UNK)
        if search.get("normalize_scores", True):
            score /= length ** search.get("len_penalty", 1.0)
        found.append(([*words, EOS], score))
    return sorted(found, key=lambda pair: -pair[1])


def search_all(models, search, prefix=None):
    """Searches as fairseq does, with a beam that holds all translations."""
    generator = SequenceGenerator(models, WORDS, beam_size=48, **{"max_len_a": 0, "max_len_b": STEPS, **search})
    src_tokens = pad(SOURCES, 1, True)
    sample = {"net_input": {"src_tokens": src_tokens, "src_lengths": src_tokens.ne(1).sum(dim=1)}}
    prefix = None if prefix is None else torch.tensor([prefix] * len(SOURCES))
    return generator.generate(models, sample, prefix_tokens=prefix)


def check(hypotheses, wanted):
    """The hypotheses of one sentence are the translations wanted, in their order and with their scores."""
    assert len(wanted) > 3
    assert [one["tokens"].tolist() for one in hypotheses] == [words for words, _ in wanted]
    np.testing.assert_allclose([float(one["score"]) for one in hypotheses], [score for _, score in wanted], atol=1e-4)


TRANSLATIONS = [words for steps in range(STEPS + 1) for words in itertools.product(POSSIBLE, repeat=steps)]
SEARCHES = [
    {"normalize_scores": False},
    {"len_penalty": 0.3},
    {"len_penalty": 3.0},
    {"unk_penalty": 1.5},
    {"unk_penalty": -1.5},
    {"min_len": 2},
    {"max_len_b": 2},
    {"no_repeat_ngram_size": 1},
    {"no_repeat_ngram_size": 2},
    {"temperature": 2.0},
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "-".join(options.values()) or "default")
def test_a_wide_beam_finds_all_translations_in_their_order(options):
    """By scores that are normalised by length, and with rows of attention that sum to 1."""
    model = possible_model(1, **options)
    found = search_all([model], {"min_len": 0})
    for source, hypotheses in zip(SOURCES, found):
        scored = {words: log_probabilities(model, options, source, words) for words in TRANSLATIONS}
        check(hypotheses, expected(scored, {"min_len": 0}))
        for one in hypotheses:
            sums = one["attention"].sum(dim=0)
            torch.testing.assert_close(sums, torch.ones_like(sums), atol=1e-4, rtol=0)


@pytest.mark.parametrize("search", SEARCHES, ids=lambda search: "-".join(map(str, *search.items())))
def test_options_of_the_search_change_the_scores_as_they_say(search):
    model = possible_model(1)
    temperature = search.get("temperature", 1.0)
    for source, hypotheses in zip(SOURCES, search_all([model], search)):
        scored = {words: log_probabilities(model, {}, source, words, temperature) for words in TRANSLATIONS}
        check(hypotheses, expected(scored, search))


def test_a_scripted_search_repeats_no_words_either():
    model = possible_model(1).float()
    src_tokens = pad(SOURCES, 1, True)
    sample = {"net_input": {"src_tokens": src_tokens, "src_lengths": src_tokens.ne(1).sum(dim=1)}}
    generator = SequenceGenerator([model], WORDS, beam_size=5, max_len_a=0, max_len_b=6, no_repeat_ngram_size=2)
    wanted, found = generator(sample), torch.jit.script(generator)(sample)
    longest = 0
    for hypotheses, others in zip(wanted, found):
        words = [one["tokens"].tolist() for one in hypotheses]
        assert words == [one["tokens"].tolist() for one in others]
        assert not any(repeats(tuple(line), 2) for line in words)
        longest = max(longest, *map(len, words))
    assert longest > 4  # where a pair could have come twice


def test_a_prefix_is_kept_and_scored():
    model = possible_model(1)
    for source, hypotheses in zip(SOURCES, search_all([model], {}, prefix=[5, UNK])):
        scored = {words: log_probabilities(model, {}, source, words) for words in TRANSLATIONS}
        check(hypotheses, expected(scored, {}, prefix=(5, UNK)))


def test_an_ensemble_takes_the_mean_of_probabilities():
    members = [({}, possible_model(1)), ({"cell": "lstm"}, possible_model(2, cell="lstm"))]
    for source, hypotheses in zip(SOURCES, search_all([model for _, model in members], {})):
        scored = {
            words: np.logaddexp.reduce([log_probabilities(model, one, source, words) for one, model in members], axis=0)
            - np.log(2)
            for words in TRANSLATIONS
        }
        check(hypotheses, expected(scored, {}))


def test_a_moving_average_follows_and_every_validation_set_is_measured(data, tmp_path, monkeypatch, capfd):
    """fairseq-train --store-ema, with two sets to validate on: after each update half the old mean, half the new."""
    flags = ("--store-ema", "--ema-decay", "0.5", "--valid-subset", "valid,test", "--max-update", "2")
    flags += ("--save-interval-updates", "1", "--log-file", tmp_path / "log")
    words = ("fairseq-train", data, "--user-dir", PLUGIN, *TINY_FLAGS, "--save-dir", tmp_path, *flags)
    monkeypatch.setattr("sys.argv", [str(word) for word in words])
    fairseq_train.cli_main()
    first, second = (torch.load(tmp_path / f"checkpoint_1_{update}.pt") for update in (1, 2))
    before, after = (state["extra_state"]["ema"] for state in (first, second))
    assert set(after) == set(second["model"])
    for name, parameter in second["model"].items():
        mean = 0.5 * before[name] + 0.5 * parameter if parameter.is_floating_point() else parameter
        torch.testing.assert_close(after[name], mean)
    assert any(not torch.equal(after[name], second["model"][name]) for name in after)
    log = (tmp_path / "log").read_text()
    for subset in ("valid", "test"):
        assert f"valid on '{subset}' subset" in log
