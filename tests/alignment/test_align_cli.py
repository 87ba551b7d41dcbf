"""cli.align on a model that has learnt to write its source backwards."""

import re
import textwrap

import numpy as np
import pytest
import sentencepiece
import torch
from fairseq import checkpoint_utils, tasks
from omegaconf import OmegaConf
from support import ROOT, SENTENCES, lines, run_command, shake, weights, write

from fairseq_bahdanau.alignment.links import align as align_words
from fairseq_bahdanau.cli import translating
from fairseq_bahdanau.model import BahdanauModel

BACKWARDS = ["0-2 1-1 2-0", "0-0", "0-4 1-3 2-2 3-1 4-0", "0-1 1-0"]


def variant(checkpoint, data, path, seed=3, **options):
    """A checkpoint with the same dictionaries, other options and random parameters."""
    saved = torch.load(checkpoint)
    saved["cfg"]["model"].update(options)
    _, _, task = checkpoint_utils.load_model_ensemble_and_task([str(checkpoint)], arg_overrides={"data": str(data)})
    model = shake(BahdanauModel.build_model(OmegaConf.create(saved["cfg"]["model"]), task))
    factors = {name: seed / 3 for name, _ in model.named_parameters()}
    saved["model"] = {name: value * factors.get(name, 1) for name, value in model.state_dict().items()}
    torch.save(saved, path)
    return path


def test_the_alignment_is_the_reversal(run_align):
    folder = run_align(SENTENCES)
    assert lines(folder / "hypotheses.txt") == ["b3 b2 b1", "b4", "b1 b7 b0 b6 b5", "b0 b2"]
    assert lines(folder / "alignment.pharaoh") == BACKWARDS
    found = weights(folder)
    assert list(found) == [(0, 1), (1, 1), (2, 1), (3, 1)]
    for (number, _), (source, target, table) in found.items():
        assert source == [*SENTENCES[number].split(), "</s>"]
        assert target == [*lines(folder / "hypotheses.txt")[number].split(), "</s>"]
        np.testing.assert_allclose(table.sum(axis=1), 1, atol=1e-5)
        words = table[:-1, :-1]
        assert (words.argmax(axis=1) == np.arange(len(words))[::-1]).all()
    pictures = [f"{number:04}.png" for number in range(4)]
    texts = ["alignment.pharaoh", "alignment.tsv", "hypotheses.txt", "index.html"]
    assert sorted(path.name for path in folder.iterdir()) == pictures + texts


@pytest.mark.parametrize(
    "flags", [[], ["--left-pad-source"], ["--left-pad-source", "--required-seq-len-multiple", "8"]]
)
def test_batch_and_padding_change_nothing(flags, run_align, monkeypatch):
    """--left-pad-source is fairseq's way to turn left padding off."""
    alone = run_align(SENTENCES, "--batch-size", "1", name="alone")
    padded = set()

    def spy(source, target, attention, src_tokens, padding_idx):
        padded.update(side for side, end in (("left", 0), ("right", -1)) if src_tokens[end] == padding_idx)
        return align_words(source, target, attention, src_tokens, padding_idx)

    monkeypatch.setattr(translating, "align", spy)
    together = run_align(SENTENCES, "--batch-size", "4", *flags, name="together")
    assert padded == ({"right"} if flags else {"left"})
    assert lines(alone / "alignment.pharaoh") == lines(together / "alignment.pharaoh") == BACKWARDS
    for key, (_, _, table) in weights(alone).items():
        np.testing.assert_allclose(weights(together)[key][2], table, atol=2e-6)


def test_forced_decoding_is_the_attention_of_the_teacher_forced_model(run_align, data, checkpoint, tmp_path):
    given = ["b1 b1", "b4 b2 b0 b6", "b5", "b0 b2"]  # no search would find most of these
    target = write(tmp_path / "target", given)
    folder = run_align(SENTENCES, "--target", target, "--batch-size", "4")
    assert lines(folder / "hypotheses.txt") == given
    model = BahdanauModel.from_pretrained(str(checkpoint.parent), checkpoint.name, str(data)).models[0]
    for (number, _), (_, words, table) in weights(folder).items():
        src = model.encoder.dictionary.encode_line(SENTENCES[number], add_if_not_exist=False).long()
        tgt = model.decoder.dictionary.encode_line(given[number], add_if_not_exist=False).long()
        _, extra = model(src[None], None, torch.cat([tgt[-1:], tgt[:-1]])[None])
        assert words == [*given[number].split(), "</s>"]
        np.testing.assert_allclose(table, extra["attn"][0][0].detach().numpy(), atol=2e-6)


def test_hypotheses_of_a_beam_have_their_own_attention(run_align, tmp_path):
    """Every hypothesis of a list looks where forced decoding of it looks."""
    folder = run_align(SENTENCES, "--beam", "4", "--nbest", "3", "--batch-size", "3")
    hypotheses = lines(folder / "hypotheses.txt")
    assert len(hypotheses) == 12 and (folder / "0002-3.png").exists() and (folder / "0002.png").exists()
    repeated = [sentence for sentence in SENTENCES for _ in range(3)]
    forced = weights(run_align(repeated, "--target", write(tmp_path / "target", hypotheses), name="forced"))
    for number, (key, (source, target, table)) in enumerate(weights(folder).items()):
        assert key == (number // 3, number % 3 + 1)
        assert forced[number, 1][:2] == (source, target)
        np.testing.assert_allclose(table, forced[number, 1][2], atol=1e-5)


def test_an_ensemble_looks_where_its_members_look_on_average(run_align, checkpoint, data, tmp_path):
    other = variant(checkpoint, data, tmp_path / "other.pt")
    target = write(tmp_path / "target", ["b3 b2 b1", "b4", "b1 b7 b0 b6 b5", "b0 b2"])
    flags = ("--target", target, "--batch-size", "2")
    one, two = (weights(run_align(SENTENCES, *flags, path=path, name="x")) for path in (checkpoint, other))
    both = weights(run_align(SENTENCES, *flags, path=f"{checkpoint}:{other}", name="x"))
    for key in both:
        assert not np.allclose(one[key][2], two[key][2], atol=0.1)
        np.testing.assert_allclose(both[key][2], (one[key][2] + two[key][2]) / 2, atol=2e-6)
    searched = run_align(SENTENCES, "--batch-size", "4", path=f"{checkpoint}:{checkpoint}")
    assert lines(searched / "alignment.pharaoh") == BACKWARDS


def test_a_fixed_context_is_drawn_and_said(run_align, checkpoint, data, tmp_path, capsys):
    fixed = variant(checkpoint, data, tmp_path / "fixed.pt", context="fixed")
    folder = run_align(SENTENCES, "--batch-size", "4", "--max-len-b", "5", path=fixed)
    for source, _, table in weights(folder).values():
        np.testing.assert_allclose(table, 1 / len(source), atol=2e-6)
    assert f"{fixed} has a fixed context and looks nowhere" in capsys.readouterr().out


def test_no_pictures(run_align):
    folder = run_align(SENTENCES, "--format", "none")
    assert sorted(path.name for path in folder.iterdir()) == ["alignment.pharaoh", "alignment.tsv", "hypotheses.txt"]


def test_the_five_lines_of_the_readme(run_align, data, checkpoint):
    """As they stand there, but for the names of the files and the sentence."""
    (code,) = re.findall(r"## From Python.*?\n.*?```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    for there, here in (
        ('"checkpoints"', repr(str(checkpoint.parent))),
        ('"checkpoint_best.pt"', repr(checkpoint.name)),
        ('"/absolute/path/to/data-bin"', repr(str(data))),
        ('"two men are cooking ."', repr(SENTENCES[2])),
    ):
        assert code.count(there) == 1
        code = code.replace(there, here)
    names: dict = {}
    exec(textwrap.dedent(code), names)
    (_, _, table), *_ = weights(run_align([SENTENCES[2]])).values()
    np.testing.assert_allclose(names["attention"], table, atol=2e-6)
    assert names["translation"] == "b1 b7 b0 b6 b5"


def test_odd_sentences(run_align, capsys):
    odd = ["", "nowhere a1", "</s> $5", " a2 \t a0 ", " \t", "a1 <pad> a2"]
    folder = run_align(odd, "--batch-size", "2")
    found = weights(folder)
    assert [found[number, 1][0][:-1] for number in range(6)] == [line.split() for line in odd]
    links, texts = lines(folder / "alignment.pharaoh"), lines(folder / "hypotheses.txt")
    assert links[0] == links[4] == texts[0] == texts[4] == "" and links[3] == "0-1 1-0"
    # A control symbol that somebody has written is a word, if an unknown one.
    assert len(texts[5].split()) == 3 and texts[5].split()[::2] == ["b2", "b1"]
    assert "align: 4 of 9 source tokens are not in the dictionary" in capsys.readouterr().err


def test_a_limit_grows_with_the_source_and_is_said(run_align, capsys):
    long = " ".join(["a1", "a2"] * 130)
    folder = run_align(["a3", long, "a1 a2 a3"], "--max-len-a", "0", "--max-len-b", "2", "--batch-size", "3")
    assert [len(line.split()) for line in lines(folder / "hypotheses.txt")] == [1, 2, 2]
    said = [line for line in capsys.readouterr().err.splitlines() if "limit" in line]
    assert sorted(said) == [
        f"the input, line {number}: its translation reached the limit of 2 tokens (--max-len-a 0 --max-len-b 2): "
        "it may be cut"
        for number in (2, 3)
    ]


def test_unknown_words_are_copied(run_align, tmp_path):
    """Without looking, an unknown source word would come out as one of the target's."""
    dictionary = write(tmp_path / "dictionary", ["Zebra Zebu"])
    flags = ("--unkpen", "-20", "--max-len-a", "0", "--max-len-b", "3")
    plain = run_align(["a1 Zebra a2"], *flags)
    assert "<unk>" in lines(plain / "hypotheses.txt")[0]
    looked = [max(range(3), key=lambda i: row[i]) for row in weights(plain)[0, 1][2][:3]]
    for given, copied in (([], ["a1", "Zebra", "a2"]), ([dictionary], ["a1", "Zebu", "a2"])):
        folder = run_align(["a1 Zebra a2"], *flags, "--replace-unk", *given, name="copied")
        words = lines(plain / "hypotheses.txt")[0].split()
        wanted = [copied[source] if word == "<unk>" else word for word, source in zip(words, looked)]
        assert lines(folder / "hypotheses.txt") == [" ".join(wanted)]
        assert weights(folder)[0, 1][1] == [*wanted, "</s>"]


def test_buffers_change_nothing(run_align):
    one, two = (run_align(SENTENCES, "--buffer-size", size, name=size) for size in ("1", "3"))
    assert lines(one / "alignment.tsv") == lines(two / "alignment.tsv") and len(lines(one / "hypotheses.txt")) == 4


@pytest.fixture(scope="module")
def pieces(checkpoint, tmp_path_factory):
    """Raw text, a sentencepiece model of it, data with its dictionaries, and a checkpoint with random parameters."""
    folder = tmp_path_factory.mktemp("pieces")
    text = ["Der Hund schläft heute nicht.", "Ein Hundehaus steht im Garten.", "Heute steht der Garten leer."] * 9
    corpus = write(folder / "text", text)
    sentencepiece.SentencePieceTrainer.train(
        input=str(corpus), model_prefix=str(folder / "spm"), vocab_size=40, model_type="bpe", minloglevel=2
    )
    vocabulary = [line.split("\t")[0] for line in lines(folder / "spm.vocab")][3:]
    (folder / "bin").mkdir()
    for language in ("xx", "yy"):
        write(folder / "bin" / f"dict.{language}.txt", [f"{piece} 1" for piece in vocabulary])
    saved = torch.load(checkpoint)
    task = tasks.setup_task(
        OmegaConf.create(
            {**saved["cfg"]["task"], "data": str(folder / "bin"), "source_lang": "xx", "target_lang": "yy"}
        )
    )
    model = shake(BahdanauModel.build_model(OmegaConf.create(saved["cfg"]["model"]), task))
    saved["model"] = model.state_dict()
    torch.save(saved, folder / "random.pt")
    return folder


def test_raw_text_and_merged_subwords(run_align, pieces, tmp_path):
    text = lines(pieces / "text")[:3]
    target = write(tmp_path / "target", text[::-1])
    flags = ("-s", "xx", "-t", "yy", "--bpe", "sentencepiece", "--sentencepiece-model", pieces / "spm.model",
             "--target", target, "--batch-size", "3")  # fmt: skip
    where = {"path": pieces / "random.pt", "folder": pieces / "bin"}
    split, merged = (weights(run_align(text, *flags, *more, name="x", **where)) for more in ([], ["--merge-subwords"]))
    assert lines(tmp_path / "x" / "hypotheses.txt") == text[::-1]
    for key, (source, target_words, table) in merged.items():
        assert source == [*text[key[0]].split(), "</s>"] and target_words == [*text[2 - key[0]].split(), "</s>"]
        np.testing.assert_allclose(table.sum(axis=1), 1, atol=1e-5)
        # Which word a piece is of: how many pieces up to it begin one, and </s> is the last.
        a, b = (np.cumsum([p.startswith("▁") or p == "</s>" for p in side]) - 1 for side in split[key][:2])
        assert len(a) > len(source)
        for (j, i), weight in np.ndenumerate(table):
            assert weight == pytest.approx(split[key][2][b == j][:, a == i].sum() / (b == j).sum(), abs=1e-5)


def test_the_command_line(data, checkpoint, tmp_path):
    flags = (data, "--path", checkpoint, "--cpu", "--output", tmp_path / "new" / "out", "--format", "svg")
    printed = run_command("python", "-m", "fairseq_bahdanau.cli.align", *flags, stdin=b"a1 a2 a3\na4")
    assert lines(tmp_path / "new" / "out" / "alignment.pharaoh") == BACKWARDS[:2]
    assert "<svg" in (tmp_path / "new" / "out" / "0001.svg").read_text() and "DEBUG" not in printed
    assert printed.strip().splitlines()[-1].startswith("align: 2 hypotheses of 2 sentences are in ")
