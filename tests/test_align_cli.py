"""cli.align and cli.score_alignment, on a model that has learnt to write its source backwards."""

import html
import json
import re
import shutil
import subprocess
import textwrap
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
import torch
from conftest import ROOT, run_command, shake
from fairseq import checkpoint_utils
from fairseq.models.lstm import LSTMModel, base_architecture
from omegaconf import OmegaConf

from fairseq_bahdanau import pictures
from fairseq_bahdanau.alignments import align as align_words
from fairseq_bahdanau.alignments import read_pharaoh
from fairseq_bahdanau.cli import align, alignment_files, score_alignment
from fairseq_bahdanau.model import BahdanauModel

SENTENCES = ["a1 a2 a3", "a4", "a5 a6 a0 a7 a1", "a2 a0"]
BACKWARDS = ["0-2 1-1 2-0", "0-0", "0-4 1-3 2-2 3-1 4-0", "0-1 1-0"]
BROWSERS = ("chromium", "chromium-headless-shell", "chromium-browser", "google-chrome")


def lines(path):
    return path.read_text(encoding="utf-8").splitlines()


def write(path, content):
    path.write_text("".join(f"{line}\n" for line in content), encoding="utf-8")
    return path


def weights(folder) -> dict:
    """alignment.tsv: for every sentence and rank, the words of both sides and the weights (target, source)."""
    found: dict = {}
    head, *rows = [line.split("\t") for line in lines(folder / "alignment.tsv")]
    assert head == ["sentence", "rank", "source_index", "target_index", "source", "target", "weight"]
    for sentence, rank, i, j, source, target, weight in rows:
        words, others, table = found.setdefault((int(sentence), int(rank)), ({}, {}, {}))
        words[int(i)], others[int(j)], table[int(j), int(i)] = source, target, float(weight)
    return {
        key: (list(a.values()), list(b.values()), np.array([[w[j, i] for i in a] for j in b]))
        for key, (a, b, w) in found.items()
    }


@pytest.fixture
def run(data, checkpoint, tmp_path):
    """Runs cli.align in this process on sentences; returns its folder."""

    def run(sentences, *flags, path=checkpoint, folder=data, name="out"):
        source = write(tmp_path / "sentences", sentences)
        given = (folder, "--path", path, "--cpu", "--input", source, "--output", tmp_path / name, *flags)
        align.main([*map(str, given)])
        return tmp_path / name

    return run


def variant(checkpoint, data, path, seed=3, **options):
    """A checkpoint with the same dictionaries, other options and random parameters."""
    saved = torch.load(checkpoint)
    saved["cfg"]["model"].update(options)
    _, _, task = checkpoint_utils.load_model_ensemble_and_task([str(checkpoint)], arg_overrides={"data": str(data)})
    model = shake(BahdanauModel.build_model(OmegaConf.create(saved["cfg"]["model"]), task))
    saved["model"] = {name: value * seed / 3 for name, value in model.state_dict().items()}
    torch.save(saved, path)
    return path


def test_the_alignment_is_the_reversal(run):
    folder = run(SENTENCES)
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
def test_batch_and_padding_change_nothing(flags, run, monkeypatch):
    """--left-pad-source is fairseq's way to turn left padding off."""
    alone = run(SENTENCES, "--batch-size", "1", name="alone")
    padded = set()

    def spy(source, target, attention, src_tokens, padding_idx):
        padded.update(side for side, end in (("left", 0), ("right", -1)) if src_tokens[end] == padding_idx)
        return align_words(source, target, attention, src_tokens, padding_idx)

    monkeypatch.setattr(align, "align", spy)
    together = run(SENTENCES, "--batch-size", "4", *flags, name="together")
    assert padded == ({"right"} if flags else {"left"})
    assert lines(alone / "alignment.pharaoh") == lines(together / "alignment.pharaoh") == BACKWARDS
    for key, (_, _, table) in weights(alone).items():
        np.testing.assert_allclose(weights(together)[key][2], table, atol=2e-6)


def test_forced_decoding_is_the_attention_of_the_teacher_forced_model(run, data, checkpoint, tmp_path):
    given = ["b1 b1", "b4 b2 b0 b6", "b5", "b0 b2"]  # no search would find most of these
    target = write(tmp_path / "target", given)
    folder = run(SENTENCES, "--target", target, "--batch-size", "4")
    assert lines(folder / "hypotheses.txt") == given
    model = BahdanauModel.from_pretrained(str(checkpoint.parent), checkpoint.name, str(data)).models[0]
    for (number, _), (_, words, table) in weights(folder).items():
        src = model.encoder.dictionary.encode_line(SENTENCES[number], add_if_not_exist=False).long()
        tgt = model.decoder.dictionary.encode_line(given[number], add_if_not_exist=False).long()
        _, extra = model(src[None], None, torch.cat([tgt[-1:], tgt[:-1]])[None])
        assert words == [*given[number].split(), "</s>"]
        np.testing.assert_allclose(table, extra["attn"][0][0].detach().numpy(), atol=2e-6)


def test_hypotheses_of_a_beam_have_their_own_attention(run, tmp_path):
    """Every hypothesis of a list looks where forced decoding of it looks."""
    folder = run(SENTENCES, "--beam", "4", "--nbest", "3", "--batch-size", "3")
    hypotheses = lines(folder / "hypotheses.txt")
    assert len(hypotheses) == 12 and (folder / "0002-3.png").exists() and (folder / "0002.png").exists()
    repeated = [sentence for sentence in SENTENCES for _ in range(3)]
    forced = weights(run(repeated, "--target", write(tmp_path / "target", hypotheses), name="forced"))
    for number, (key, (source, target, table)) in enumerate(weights(folder).items()):
        assert key == (number // 3, number % 3 + 1)
        assert forced[number, 1][:2] == (source, target)
        np.testing.assert_allclose(table, forced[number, 1][2], atol=1e-5)


def test_an_ensemble_looks_where_its_members_look_on_average(run, checkpoint, data, tmp_path):
    other = variant(checkpoint, data, tmp_path / "other.pt")
    target = write(tmp_path / "target", ["b3 b2 b1", "b4", "b1 b7 b0 b6 b5", "b0 b2"])
    flags = ("--target", target, "--batch-size", "2")
    one, two = (weights(run(SENTENCES, *flags, path=path, name="x")) for path in (checkpoint, other))
    both = weights(run(SENTENCES, *flags, path=f"{checkpoint}:{other}", name="x"))
    for key in both:
        assert not np.allclose(one[key][2], two[key][2], atol=0.1)
        np.testing.assert_allclose(both[key][2], (one[key][2] + two[key][2]) / 2, atol=2e-6)
    searched = run(SENTENCES, "--batch-size", "4", path=f"{checkpoint}:{checkpoint}")
    assert lines(searched / "alignment.pharaoh") == BACKWARDS


def test_a_fixed_context_is_drawn_and_said(run, checkpoint, data, tmp_path, capsys):
    fixed = variant(checkpoint, data, tmp_path / "fixed.pt", context="fixed")
    folder = run(SENTENCES, "--batch-size", "4", "--max-len-b", "5", path=fixed)
    for source, _, table in weights(folder).values():
        np.testing.assert_allclose(table, 1 / len(source), atol=2e-6)
    assert f"{fixed} has a fixed context and looks nowhere" in capsys.readouterr().out


def test_the_five_lines_of_the_readme(run, data, checkpoint):
    """As they stand there, but for the names of the files and the sentence."""
    (code,) = re.findall(r"\*\*From Python\*\*.*?```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
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
    (_, _, table), *_ = weights(run([SENTENCES[2]])).values()
    np.testing.assert_allclose(names["attention"], table, atol=2e-6)
    assert names["translation"] == "b1 b7 b0 b6 b5"


def test_odd_sentences(run):
    folder = run(["", "nowhere a1", "</s> $5", " a2 \t a0 "], "--batch-size", "2")
    found = weights(folder)
    assert [found[number, 1][0][:-1] for number in range(4)] == [[], ["nowhere", "a1"], ["</s>", "$5"], ["a2", "a0"]]
    assert lines(folder / "alignment.pharaoh")[0] == "" and lines(folder / "alignment.pharaoh")[3] == "0-1 1-0"


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
    task = align.tasks.setup_task(
        OmegaConf.create(
            {**saved["cfg"]["task"], "data": str(folder / "bin"), "source_lang": "xx", "target_lang": "yy"}
        )
    )
    model = shake(BahdanauModel.build_model(OmegaConf.create(saved["cfg"]["model"]), task))
    saved["model"] = model.state_dict()
    torch.save(saved, folder / "random.pt")
    return folder


def test_raw_text_and_merged_subwords(run, pieces, tmp_path):
    text = lines(pieces / "text")[:3]
    target = write(tmp_path / "target", text[::-1])
    flags = ("-s", "xx", "-t", "yy", "--bpe", "sentencepiece", "--sentencepiece-model", pieces / "spm.model",
             "--target", target, "--batch-size", "3")  # fmt: skip
    where = {"path": pieces / "random.pt", "folder": pieces / "bin"}
    split, merged = (weights(run(text, *flags, *more, name="x", **where)) for more in ([], ["--merge-subwords"]))
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
    assert printed.strip().splitlines()[-1].startswith("align: 2 hypotheses of 2 sentences: ")


def without_attention(checkpoint, data, path):
    """A checkpoint of fairseq's lstm, as its trainer would write it."""
    saved = torch.load(checkpoint)
    args = Namespace(arch="lstm", decoder_attention="0", encoder_embed_dim=8, decoder_embed_dim=8, criterion="")
    base_architecture(args)
    _, _, task = checkpoint_utils.load_model_ensemble_and_task([str(checkpoint)], arg_overrides={"data": str(data)})
    saved["model"] = LSTMModel.build_model(args, task).state_dict()
    args._name = "lstm"
    saved["cfg"]["model"] = args
    torch.save(saved, path)
    return path


def test_what_is_wrong_is_said_in_one_line(run, data, checkpoint, tmp_path, capsys):
    short, damaged = write(tmp_path / "short", ["b1"]), write(tmp_path / "damaged", ["no checkpoint"])
    padding = write(tmp_path / "padding", ["b1", "<pad>", "b2", "b3"])
    lstm = without_attention(checkpoint, data, tmp_path / "lstm.pt")
    long = ["a1", " ".join(["a1"] * 1024)]
    for sentences, flags, where, wanted in (
        ([], [], {}, "the input is empty"),
        (["", " "], [], {}, "the input is empty"),
        (SENTENCES, ["--target", short], {}, f"--target {short} has 1 lines, but the input has 4"),
        (SENTENCES, ["--target", tmp_path / "gone"], {}, f"cannot read {tmp_path / 'gone'}: No such file"),
        (SENTENCES, ["--target", padding], {}, f"--target {padding}, line 2: <pad> is padding, and no word"),
        (long, [], {}, "the input, line 2: 1025 tokens, but the model takes at most 1024"),
        (SENTENCES, [], {"path": lstm}, f"--path {lstm}: a LSTMModel, of another architecture"),
        (SENTENCES, [], {"path": f"{checkpoint}:{lstm}"}, f"--path {lstm}: a LSTMModel, of another architecture"),
        (SENTENCES, [], {"path": "gone.pt"}, "--path gone.pt cannot be loaded: Model file not found: gone.pt"),
        (SENTENCES, [], {"path": damaged}, f"--path {damaged} cannot be loaded"),
        (SENTENCES, [], {"folder": tmp_path / "gone"}, f"DATA_BIN: no such folder: {tmp_path / 'gone'}"),
        (SENTENCES, [], {"folder": tmp_path}, f"DATA_BIN: no file in {tmp_path} tells its languages"),
        (SENTENCES, ["-s", "de", "-t", "yy"], {}, f"DATA_BIN: {data}: [Errno 2] No such file"),
        (SENTENCES, ["--merge-subwords"], {}, "--merge-subwords: no word of either dictionary begins with ▁"),
        (SENTENCES, ["--bpe", "sentencepiece", "--sentencepiece-model", "gone.model"], {}, "--tokenizer or --bpe: "),
        (SENTENCES, ["--score-reference"], {}, "--score-reference and --constraints: give --target FILE"),
        (SENTENCES, ["--sampling"], {}, "--sampling requires --nbest to be equal to --beam"),
        (SENTENCES, ["--output", short], {}, f"--output {short}: File exists"),
    ):
        with pytest.raises(SystemExit):
            run(sentences, *flags, **where)
        *usage, said = capsys.readouterr().err.splitlines()
        assert said.startswith(f"python -m fairseq_bahdanau.cli.align: error: {wanted}") and len(usage) <= 3
        assert not list(tmp_path.glob("out/*"))


def test_a_missing_font_leaves_the_page(run, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(pictures, "installed_fonts", lambda: [])
    with pytest.raises(SystemExit) as stopped:
        run(["a1 天", "a2 a3", "天"])
    assert stopped.value.code == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert said == (
        "align: cannot draw 0000.png: no installed font has '天' (U+5929, CJK UNIFIED IDEOGRAPH-5929); install one, on "
        "Debian the package fonts-noto-cjk; index.html shows it (2 of 3 pictures are missing)"
    )
    assert "天" in (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert [path.name for path in tmp_path.glob("out/*.png")] == ["0001.png"]


def test_an_interruption_leaves_nothing_half_written(run, monkeypatch, tmp_path):
    def interrupted(alignment, path, file_format):
        write(Path(path), ["half"])
        raise KeyboardInterrupt

    monkeypatch.setattr(alignment_files, "draw", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(SENTENCES)
    assert not list(tmp_path.glob("out/*.p*ng*")) and len(list(tmp_path.glob("out/*"))) == 4


PROBE = """<script>
const cells = [...document.querySelectorAll("tbody td")].map(cell => {
  cell.scrollIntoView({block: "center", inline: "center"});
  const box = cell.getBoundingClientRect(), x = box.left + box.width / 2, y = box.top + box.height / 2;
  const table = cell.closest("table");
  const covers = (other, low, high, at) => other[low] <= at && at <= other[high];
  const above = [...table.querySelectorAll("thead th")]
    .filter(head => covers(head.querySelector("span").getBoundingClientRect(), "left", "right", x));
  const beside = [...table.querySelectorAll("tbody th")]
    .filter(head => covers(head.getBoundingClientRect(), "top", "bottom", y));
  return {tip: document.elementFromPoint(x, y).title, color: getComputedStyle(cell).backgroundColor,
          above: above.map(head => head.textContent), beside: beside.map(head => head.textContent)};
});
const found = {cells, fetched: performance.getEntriesByType("resource").length, title: document.title};
document.body.textContent = JSON.stringify(found);
</script></body>"""


def test_the_page_in_a_browser(run, tmp_path):
    """Chromium, found on the PATH, lays the page out; a script that the test adds points at the middle of every square
    and tells what the browser would show, and which words stand above and beside."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is on the PATH (Debian: chromium-headless-shell)")
    folder = run(["a1 <b>&amp;\"' a2", "שלום a3", "天 a4"] + SENTENCES)
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"https?:|src=|href=|@import|url\(", page)
    (tmp_path / "probe.html").write_text(page.replace("</body>", PROBE), encoding="utf-8")
    flags = ("--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'browser'}", "--dump-dom")
    finished = subprocess.run(
        [browser, *flags, (tmp_path / "probe.html").as_uri()],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        timeout=120,
    )
    shown = json.loads(html.unescape(re.search(r"<body>(.*?)</body>", finished.stdout.decode(), re.DOTALL).group(1)))
    assert shown["fetched"] == 0 and shown["title"] == "Alignments"
    wanted = [
        (source, target, table[j, i])
        for sources, targets, table in weights(folder).values()
        for j, target in enumerate(targets)
        for i, source in enumerate(sources)
    ]
    assert len(shown["cells"]) == len(wanted) > 60
    for cell, (source, target, weight) in zip(shown["cells"], wanted):
        assert cell["above"] == [source] and cell["beside"] == [target]
        tip, _, number = re.sub("[\u2068\u2069]", "", cell["tip"]).rpartition(": ")
        assert tip == f"{source} → {target}" and float(number) == pytest.approx(weight, abs=6e-4)
        grey = int(re.match(r"rgb\((\d+), \1, \1\)", cell["color"]).group(1))
        assert grey == pytest.approx(255 * weight, abs=0.6)


def test_score_alignment(run, corpus, tmp_path, capsys):
    """Against the corpus' own links, of forced decoding of its references."""
    folder = run(lines(corpus / "test.xx"), "--target", corpus / "test.yy", "--batch-size", "7")
    gold, links = corpus / "test.align", folder / "alignment.pharaoh"
    flipped = write(tmp_path / "reverse", [re.sub(r"(\d+)-(\d+)", r"\2-\1", line) for line in lines(gold)])
    capsys.readouterr()
    score_alignment.main(["--gold", str(gold), "--hypothesis", str(links), "--reverse", str(flipped)])
    head, _, *rows = capsys.readouterr().out.splitlines()
    assert head == "| alignment | links | precision | recall | AER |"
    cells = {row.split("|")[1].strip(): [float(cell) for cell in row.split("|")[2:-1]] for row in rows}
    pairs = list(zip(map(read_pharaoh, lines(gold)), map(read_pharaoh, lines(links))))
    right, total = sum(len(a & b) for (a, _), (b, _) in pairs), sum(len(a) for (a, _), _ in pairs)
    found = sum(len(b) for _, (b, _) in pairs)
    assert cells["hypothesis"] == [found] + [pytest.approx(number, abs=1e-4) for number in (
        right / found, right / total, 1 - 2 * right / (found + total))]  # fmt: skip
    assert cells["hypothesis"][3] < 0.1 and cells["reverse"] == [total, 1, 1, 0]
    assert cells["grow-diag"][1] >= cells["hypothesis"][1] and set(cells) == {
        "hypothesis", "reverse", "grow-diag", "grow-diag-final"}  # fmt: skip


def test_both_directions(tmp_path, capsys):
    """The other model's links have its own source first: 2-0 and 1-1 there are 0-2 and 1-1 here."""
    files = {"gold": ["0-2 1-1 2?1"], "hypothesis": ["0-2 2-1"], "reverse": ["2-0 1-1"]}
    flags = [text for flag, content in files.items() for text in (f"--{flag}", str(write(tmp_path / flag, content)))]
    score_alignment.main(flags)
    assert [re.sub(r"[| ]+", " ", row).strip() for row in capsys.readouterr().out.splitlines()[2:]] == [
        "hypothesis 2 1.0000 0.5000 0.2500",
        "reverse 2 1.0000 1.0000 0.0000",
        "grow-diag 3 1.0000 1.0000 0.0000",
        "grow-diag-final 3 1.0000 1.0000 0.0000",
    ]


def test_what_score_alignment_refuses(tmp_path, capsys):
    gold = write(tmp_path / "gold", ["0-0", "1?1 0-0"])
    for flag, content, wanted in (
        ("hypothesis", ["0-0"], "hypothesis {} has 1 lines, but --gold {gold} has 2"),
        ("reverse", ["0-0"] * 3, "reverse {} has 3 lines, but --gold {gold} has 2"),
        ("hypothesis", ["", "0:0"], "hypothesis {}, line 2: '0:0' is neither a sure link"),
        ("hypothesis", ["", "0?0"], "hypothesis {}, line 2: only a gold standard has possible links"),
        ("gold", ["", "0?0"], "gold {}: there is no sure link"),
        ("gold", ["", "0"], "gold {}, line 2: '0' is neither a sure link"),
    ):
        file = write(tmp_path / "file", content)
        right = ["--gold", str(gold), "--hypothesis", str(write(tmp_path / "right", ["0-0", "0-0"]))]
        with pytest.raises(SystemExit):
            score_alignment.main([*right, f"--{flag}", str(file)])
        said = capsys.readouterr().err.splitlines()[-1]
        assert f"error: --{wanted.format(file, gold=gold)}" in said
