"""The recipes of IWSLT14, WMT14 and the paper's data, to their scores, on archives of the true layout."""

import json
import re
import shutil

import archives
import pytest
import sacrebleu
from support import RECIPE_SIZES, ROOT, lines, run_recipe, translate

RECIPES = ROOT / "recipes"
TINY = f"""
--arch bigru_bahdanau_maxout {RECIPE_SIZES}
--criterion cross_entropy --optimizer adam --lr 0.01 --max-tokens 300 --update-freq 2
"""
CLEAN = "--raw {raw} --sums {raw}/SUMS --work {work}"


def options(place, work="work"):
    return CLEAN.format(raw=place / "raw", work=place / work).split()


@pytest.fixture(scope="module")
def iwslt14(tmp_path_factory):
    place = tmp_path_factory.mktemp("iwslt14")
    archives.iwslt14(place / "raw", 114)
    (place / "tiny.args").write_text(TINY + "--max-epoch 2")
    flags = (*options(place), "--vocab-size", "120", "--pairs", "any")
    return place, run_recipe(RECIPES / "iwslt14_de_en" / "run.sh", place / "tiny.args", *flags)


def test_iwslt14_is_split_as_fairseq_splits_it(iwslt14):
    place, printed = iwslt14
    text = place / "work" / "text"
    # Of the odd pairs, title and description are left; every 23rd pair of all is for validation.
    assert "111 train, 5 valid, 30 test pairs" in printed
    train, valid = lines(text / "train.en"), lines(text / "valid.en")
    assert train[0] == "al gore : a &amp; amp ; b" and train[1] == "it &apos;s &quot; so &quot; &#124; so so ."
    assert lines(text / "train.de")[1] == "es ist &apos; so &apos; &#91; so &#93; ."
    clean = [en.lower().replace(",", " ,").replace(".", " .") for en, _ in archives.sentences(114, 1)]
    assert [line for line in train[2:]] == [line for number, line in enumerate(clean, start=3) if number % 23]
    assert valid == clean[20::23]
    assert lines(text / "test.en")[3] == "it &apos;s q &amp; amp ; a" and lines(text / "reference.en")[3] == "It's  Q&A"


def test_iwslt14_has_two_scores(iwslt14):
    place, printed = iwslt14
    run, text = place / "work" / "de-en" / "tiny", place / "work" / "text"
    scores = json.loads((run / "scores.json").read_text())
    hypotheses = lines(run / "hypotheses.en")
    wanted = sacrebleu.corpus_bleu(hypotheses, [lines(text / "reference.en")], lowercase=True)
    assert (
        scores["BLEU"]["score"] == pytest.approx(wanted.score, abs=0.006) and "case:lc" in scores["BLEU"]["signature"]
    )
    generated = sorted(
        (int(line[2:].split("\t")[0]), line.split("\t")[2])
        for line in lines(run / "generate-test.txt")
        if line[:2] == "D-"
    )
    tokenized = sacrebleu.corpus_bleu([line for _, line in generated], [lines(text / "test.en")], tokenize="none")
    customary = scores["BLEU, tokenised, lower-cased"]
    assert customary["score"] == pytest.approx(tokenized.score, abs=0.006) and "tok:none" in customary["signature"]
    assert not any("&apos;" in line or "▁" in line for line in hypotheses)
    assert f"BLEU, tokenised, lower-cased = {tokenized.score:.2f}" in printed


def test_iwslt14_runs_are_compared_by_both_scores(iwslt14):
    place, _ = iwslt14
    work = place / "work"
    printed = run_recipe(RECIPES / "compare.sh", "iwslt14_de_en", "tiny", "--work", work, "--resamples", "40")
    head, _, row = (line for line in printed.splitlines() if line.startswith("|"))
    scores = json.loads((work / "de-en" / "tiny" / "scores.json").read_text())
    cells = dict(zip(head.strip("| ").split(" | "), row.strip("| ").split(" | ")[1:]))
    for name in ("BLEU, tokenised, lower-cased", "BLEU", "chrF2", "TER"):
        assert float(cells[name]) == scores[name]["score"]


def test_raw_text_is_translated_as_the_test_set_was(iwslt14):
    place, _ = iwslt14
    run, text = place / "work" / "de-en" / "tiny", place / "work" / "text"
    plain = [line for line in lines(text / "reference.de") if "&" not in line]
    wanted = [new for new, line in zip(lines(run / "hypotheses.en"), lines(text / "reference.de")) if "&" not in line]
    # A model that has learnt nothing goes on to the limit, which grows with the longest source of a batch.
    (limit,) = set(re.findall(r"reached the limit of (\d+) tokens", (run / "generate.log").read_text()))
    same = ("--max-len-a", "0", "--max-len-b", limit)
    printed = translate(run / "averaged.pt", ("\n".join(plain) + "\n").encode(), *same)
    assert printed.decode().splitlines() == wanted and len(wanted) == 25


def test_iwslt14_counts_are_insisted_on(iwslt14):
    place, _ = iwslt14
    message = run_recipe(
        RECIPES / "iwslt14_de_en" / "run.sh", place / "tiny.args", *options(place, "other"), succeeds=False
    )
    assert "expected 160239 7283 6750 pairs" in message and "--pairs any" in message
    assert not (place / "other" / "text").exists()


@pytest.fixture(scope="module")
def wmt14_en_de(tmp_path_factory):
    place = tmp_path_factory.mktemp("wmt14")
    archives.wmt14(place / "raw", "de", 90)
    (place / "tiny.args").write_text(TINY + "--share-all-embeddings --max-update 3 --save-interval-updates 1")
    flags = (*options(place), "--vocab-size", "120", "--pairs", "any")
    return place, run_recipe(RECIPES / "wmt14_en_de" / "run.sh", place / "tiny.args", *flags)


def test_wmt14_is_cleaned_and_tested_as_sacrebleu_does(wmt14_en_de, tmp_path):
    place, printed = wmt14_en_de
    text = place / "work" / "text"
    assert "276 of 288 pairs kept" in printed and re.search(r"needs about 1 GB in .*, where \d+ GB are free", printed)
    english, german = lines(text / "train.en"), lines(text / "train.de")
    assert len(english) == len(german) == 276
    assert english[90:92] == ['Tom & Jerry "run"', "a line with controls"] and german[91] == "eine Zeile"
    # sacrebleu's own reader of the same file.
    reader = sacrebleu.dataset.DATASETS["wmt14/full"]
    reader._convert_format(str(place / "work" / "extracted" / "newstest2014-deen-ref.de.sgm"), str(tmp_path / "ref"))
    assert lines(tmp_path / "ref") == lines(text / "test.de") and len(lines(text / "test.de")) == 11
    assert len(lines(text / "valid.en")) == 9


def test_wmt14_averages_checkpoints_of_updates(wmt14_en_de):
    place, printed = wmt14_en_de
    run = place / "work" / "en-de" / "tiny"
    kept = sorted(path.name for path in (run / "checkpoints").glob("checkpoint_*_*.pt"))
    assert len(kept) == 3 and "averaged 3 checkpoints" in printed
    scores = json.loads((run / "scores.json").read_text())
    assert scores["sentences"] == 11 and "case:mixed" in scores["BLEU"]["signature"]
    assert (run / "search.args").read_text() == "--beam 4 --lenpen 0.6 --batch-size 64 --max-len-a 2 --max-len-b 200\n"
    recipe, flags = RECIPES / "wmt14_en_de" / "run.sh", [*options(place), "--pairs", "any"]
    again = run_recipe(recipe, place / "tiny.args", *flags, "--vocab-size", "120")
    assert again.count("done before:") == 6  # all but the check of the archives and the scores
    told = run_recipe(recipe, place / "tiny.args", *flags, succeeds=False)
    assert "has 120 pieces, not --vocab-size 32000: name another folder by --work DIR" in told
    told = run_recipe(recipe, *flags, "--vocab-size", "120", "--src", "de", "--tgt", "en", succeeds=False)
    assert "en to de; not from: list of files" in told


def test_wmt14_test_set_must_be_whole(wmt14_en_de):
    place, _ = wmt14_en_de
    recipe = RECIPES / "wmt14_en_de" / "run.sh"
    shutil.copytree(place / "work" / "extracted", place / "other" / "extracted")
    message = run_recipe(recipe, *options(place, "other"), "--stage", "3", "--stop-stage", "3", succeeds=False)
    assert "has 9 segments, expected 3000" in message


@pytest.mark.slow
def test_wmt14_en_fr_is_trained_in_shards(tmp_path):
    archives.wmt14(tmp_path / "raw", "fr", 50)
    (tmp_path / "tiny.args").write_text(
        TINY + "--share-all-embeddings --max-epoch 9 --save-interval-updates 1 --max-tokens 150"
    )
    flags = (*options(tmp_path), "--vocab-size", "120", "--pairs", "any")
    printed = run_recipe(RECIPES / "wmt14_en_fr" / "run.sh", tmp_path / "tiny.args", *flags)
    assert "260 of 280 pairs kept" in printed
    pair = tmp_path / "work" / "en-fr"
    dictionaries = {(pair / f"bin{shard}" / "dict.en.txt").read_text() for shard in range(8)}
    assert dictionaries == {(pair / "bin" / "dict.en.txt").read_text()}
    loaded = re.findall(r"bin(\d) train en-fr (\d+) examples", printed)
    # An epoch each, then the first again; fairseq has loaded the tenth epoch's before it sees that it is done.
    assert [int(shard) for shard, _ in loaded] == [*range(8), 0, 1]
    assert sum(int(count) for _, count in loaded[:8]) == len(lines(pair / "train.en"))
    assert json.loads((pair / "tiny" / "scores.json").read_text())["sentences"] == 11


@pytest.mark.slow
def test_the_paper_is_trained_on_words(tmp_path):
    archives.rnnsearch(tmp_path / "raw", 40)
    flags = (RECIPES / "rnnsearch_en_fr" / "models" / "rnnsearch50.args").read_text()
    (tmp_path / "tiny.args").write_text(flags + f"{RECIPE_SIZES} --max-epoch 2\n")
    printed = run_recipe(RECIPES / "rnnsearch_en_fr" / "run.sh", tmp_path / "tiny.args", *options(tmp_path))
    assert "240 of 246 pairs kept" in printed and "nothing is published to check it by" in printed
    pair = tmp_path / "work" / "en-fr"
    words = {word for line in lines(tmp_path / "work" / "text" / "train.en") for word in line.split()}
    assert {line.split()[0] for line in lines(pair / "bin" / "dict.en.txt")} == words
    scores = json.loads((pair / "tiny" / "scores.json").read_text())
    assert set(scores) > {"BLEU, tokenised", "BLEU", "chrF2", "TER"} and scores["sentences"] == 13


@pytest.mark.parametrize(
    ("recipe", "flags", "message"),
    [
        ("iwslt14_de_en", ["--tgt", "fr"], "--src and --tgt are de and en, or en and de, not de and fr"),
        ("iwslt14_de_en", ["--pairs", "some"], "--pairs must be any, not 'some'"),
        ("iwslt14_de_en", ["--raw", "/nowhere"], "/nowhere/de-en.tgz"),
        ("iwslt14_de_en", ["--stage", "2"], "de-en.tgz is missing: run from --stage 1"),
        ("wmt14_en_de", ["nomodel"], "no model 'nomodel'"),
        ("wmt14_en_de", ["--stage", "2"], "is missing: run from --stage 1"),
        ("wmt14_en_fr", ["--stage", "3"], "is missing: run from --stage 2"),
        ("wmt14_en_fr", ["--nodes", "2"], "--nodes 2 needs --master HOST:PORT"),
        ("rnnsearch_en_fr", ["--vocab-size", "3"], "this recipe has no --vocab-size"),
        ("rnnsearch_en_fr", ["--src", "fr", "--tgt", "en"], "--src and --tgt are en and fr"),
    ],
)
def test_bad_arguments_get_one_line(tmp_path, recipe, flags, message):
    assert message in run_recipe(RECIPES / recipe / "run.sh", "--work", tmp_path / "work", *flags, succeeds=False)


def test_flags_files_of_a_set_differ_only_where_the_models_do():
    for folder in RECIPES.glob("wmt14_*/models"):
        flags = {path.stem: set(lines(path)[1:]) for path in folder.glob("*.args")}
        training = {"--max-tokens 14336", "--update-freq 2", "--max-update 100000", "--lr-scheduler inverse_sqrt"}
        assert set(flags) == {"bigru_bahdanau_maxout", "lstm", "transformer"}
        assert all(training <= of_model for of_model in flags.values())
