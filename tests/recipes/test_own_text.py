"""The recipe for text of one's own: to its scores, plain and as tokens; what it says of text, and what it refuses."""

import gzip
import json
import re
import sys
from pathlib import Path

import archives
import pytest
import sacrebleu
from support import RECIPE_SIZES, ROOT, lines, run_recipe, write

RECIPES = ROOT / "recipes"
RECIPE = RECIPES / "own_text" / "run.sh"
sys.path.insert(0, str(RECIPES))
import own_text  # noqa: E402
import score  # noqa: E402
import segment  # noqa: E402
import translate  # noqa: E402

TINY = f"""--arch bigru_bahdanau_maxout {RECIPE_SIZES} --share-all-embeddings
--criterion cross_entropy --optimizer adam --lr 0.01 --max-tokens 400 --max-epoch 2
"""
TWO = ("en", "pt-BR")


def write_text(folder: Path, names: tuple, change=str) -> Path:
    """Three texts: train, with two pairs that have a blank side and one that is in test, valid, and test."""
    folder.mkdir()
    for seed, (split, count) in enumerate({"train": 200, "valid": 11, "test": 12}.items()):
        pairs = archives.sentences(count, seed)
        if split == "train":
            pairs = [pairs[0], ("", "leer"), ("blank", " \u3000"), archives.sentences(1, 2)[0], *pairs[1:]]
        for name, side in zip(names, zip(*pairs)):
            write(folder / f"{split}.{name}", list(map(change, side)))
    (folder / "tiny.args").write_text(TINY)
    return folder


def tokens(line: str) -> str:
    """A line as Moses would tokenise it."""
    return re.sub(r"([,.])$", r" \1", line.replace(",", " ,")).replace("The", "&quot; The &quot;")


def words(folder: Path, names: tuple, *more) -> list:
    """The words of a run: model and options."""
    texts = [word for split in ("train", "valid", "test") for word in (f"--{split}", folder / split)]
    return [folder / "tiny.args", "--src", names[0], "--tgt", names[1], *texts, "--work", folder / "work", *more]


def given(folder: Path, names: tuple, *more) -> list:
    """The same text as own_text.py takes it, to prepare it in folder/out."""
    texts = [word for split in ("train", "valid", "test") for word in (f"--{split}", folder / split)]
    where = ("--output", folder / "out" / "text", "--record", folder / "out" / "given.json")
    return list(map(str, ["prepare", "--languages", *names, *texts, *where, *more]))


@pytest.fixture
def program(monkeypatch, capfd):
    """A function that runs a script's main in this process; returns its code and both outputs."""

    def run(module, options):
        monkeypatch.setattr(sys, "argv", [f"{module.__name__}.py", *map(str, options)])
        code = 0
        try:
            module.main()
        except SystemExit as ended:
            code = ended.code
        return code, *capfd.readouterr()

    return run


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A finished run on plain text, one of whose files is compressed."""
    folder = write_text(tmp_path_factory.mktemp("own") / "plain", TWO)
    (folder / "train.en.gz").write_bytes(gzip.compress((folder / "train.en").read_bytes()))
    (folder / "train.en").unlink()
    return folder, run_recipe(RECIPE, *words(folder, TWO, "--vocab-size", "90"))


@pytest.fixture(scope="module")
def tokenized(tmp_path_factory):
    """A finished run on tokens, lower-cased."""
    folder = write_text(tmp_path_factory.mktemp("own") / "tokens", ("en", "de"), tokens)
    flags = ("--vocab-size", "90", "--tokenized", "--lowercase")
    return folder, run_recipe(RECIPE, *words(folder, ("de", "en"), *flags))


def generated(run: Path) -> list:
    """The hypotheses as the model wrote them."""
    found = [line[2:].split("\t") for line in lines(run / "generate-test.txt") if line.startswith("D-")]
    return [text for _, _, text in sorted(found, key=lambda fields: int(fields[0]))]


def test_plain_text_to_its_score_and_again(plain):
    folder, printed = plain
    run, text = folder / "work" / "en-pt-BR" / "tiny", folder / "work" / "text"
    assert "201 train, 11 valid, 12 test pairs" in printed
    for name in TWO:
        assert "" not in lines(text / f"train.{name}") and len(lines(text / f"train.{name}")) == 201
        assert lines(text / f"test.{name}") == lines(text / f"reference.{name}") == lines(folder / f"test.{name}")
    scores = json.loads((run / "scores.json").read_text())
    assert [name for name, one in scores.items() if type(one) is dict] == ["BLEU", "chrF2", "TER"]
    wanted = sacrebleu.corpus_bleu(lines(run / "hypotheses.pt-BR"), [lines(folder / "test.pt-BR")])
    assert scores["BLEU"]["score"] == pytest.approx(wanted.score, abs=0.006)
    assert "case:mixed" in scores["BLEU"]["signature"] and "tok:13a" in scores["BLEU"]["signature"]
    how = json.loads((run.parent / "text.json").read_text())
    assert not (how["moses"] or how["lowercase"] or how["tokenized"])
    again = run_recipe(RECIPE, *words(folder, TWO, "--vocab-size", "90"))
    assert again.count("done before:") == 5 and f"BLEU = {wanted.score:.2f}" in again


def test_tokens_have_two_scores(tokenized):
    folder, printed = tokenized
    run, text = folder / "work" / "de-en" / "tiny", folder / "work" / "text"
    assert lines(text / "test.en") == [line.lower() for line in lines(folder / "test.en")]
    reference = [en for en, _ in archives.sentences(12, 2)]
    reference = [line.replace("The", '"The"') for line in reference]
    assert lines(text / "reference.en") == reference
    scores = json.loads((run / "scores.json").read_text())
    customary = sacrebleu.corpus_bleu(generated(run), [lines(text / "test.en")], tokenize="none", force=True)
    usual = sacrebleu.corpus_bleu(lines(run / "hypotheses.en"), [reference], lowercase=True)
    for name, wanted, marks in (
        ("BLEU, tokenised, lower-cased", customary, ("tok:none",)),
        ("BLEU", usual, ("tok:13a", "case:lc")),
    ):
        assert scores[name]["score"] == pytest.approx(wanted.score, abs=0.006)
        assert all(mark in scores[name]["signature"] for mark in marks) and f"{name} = {wanted.score:.2f}" in printed
    assert any("&quot;" in line for line in generated(run))
    assert not any("&quot;" in line for line in lines(run / "hypotheses.en"))


def test_tokens_of_the_validation_set_have_two_scores_too(tokenized):
    folder, _ = tokenized
    flags = ("--vocab-size", "90", "--tokenized", "--lowercase", "--stage", "5", "--gen-subset", "valid")
    run_recipe(RECIPE, *words(folder, ("de", "en"), *flags))
    run, reference = folder / "work" / "de-en" / "tiny" / "valid", folder / "work" / "text" / "valid-reference.en"
    scores = json.loads((run / "scores.json").read_text())
    assert scores["sentences"] == 11 and not any("&quot;" in line for line in lines(reference))
    wanted = sacrebleu.corpus_bleu(lines(run / "hypotheses.en"), [lines(reference)], lowercase=True)
    assert scores["BLEU"]["score"] == pytest.approx(wanted.score, abs=0.006)
    customary = scores["BLEU, tokenised, lower-cased"]
    assert "tok:none" in customary["signature"] and abs(customary["score"] - wanted.score) < 20


@pytest.mark.parametrize("kind", ["plain", "tokenized"])
def test_runs_are_compared_by_all_their_scores(kind, request):
    folder, _ = request.getfixturevalue(kind)
    printed = run_recipe(RECIPES / "compare.sh", "own_text", "tiny", "--work", folder / "work", "--resamples", "40")
    head, _, row = (line for line in printed.splitlines() if line.startswith("|"))
    cells = dict(zip(head.strip("| ").split(" | "), row.strip("| ").split(" | ")[1:]))
    (path,) = (folder / "work").glob("*/tiny/scores.json")
    for name, one in json.loads(path.read_text()).items():
        assert type(one) is not dict or float(cells[name]) == one["score"]


@pytest.mark.parametrize(
    ("kind", "source", "says"),
    [
        ("plain", "test.en", ""),
        ("tokenized", "test.de", "translate.py: this model reads and writes tokens: give lines"),
    ],
)
def test_text_is_translated_as_the_test_set_was(kind, source, says, request, capfdbinary):
    """Of the file that was given: tokens come in and go out, lower-cased on the way."""
    folder, _ = request.getfixturevalue(kind)
    (run,) = (folder / "work").glob("*/tiny")
    (limit,) = set(re.findall(r"reached the limit of (\d+) tokens", (run / "generate.log").read_text()))
    flags = ("--cpu", "--max-len-a", "0", "--max-len-b", limit, "--input", str(folder / source))
    capfdbinary.readouterr()
    translate.run(str(run / "averaged.pt"), list(flags))
    printed, said = capfdbinary.readouterr()
    assert printed.decode().splitlines() == generated(run) and len(generated(run)) == 12
    assert (says in said.decode()) and ("tokens: give" in said.decode()) == bool(says)


OTHER_WORK = [  # words, and what the line says
    (("--vocab-size", "80"), "has 90 pieces, not --vocab-size 80: name another folder by --work DIR, or remove this"),
    (("--vocab-size", "90", "--lowercase", "--stage", "6"), "given.json is of a run without --lowercase: name another"),
    (("--vocab-size", "90", "--test", "{valid}", "--stage", "6"), "given.json is of another text: test.en was"),
]


@pytest.mark.parametrize(("more", "wanted"), OTHER_WORK)
def test_a_work_folder_is_not_taken_for_that_of_another_text(plain, more, wanted):
    folder, _ = plain
    before = {path: path.stat().st_mtime_ns for path in (folder / "work").rglob("*")}
    more = [word.format(valid=folder / "valid") for word in more]
    assert wanted in run_recipe(RECIPE, *words(folder, TWO, *more), succeeds=False)
    assert before == {path: path.stat().st_mtime_ns for path in (folder / "work").rglob("*")}


def test_the_other_direction_takes_the_same_text(plain):
    folder, _ = plain
    printed = run_recipe(RECIPE, *words(folder, TWO[::-1], "--vocab-size", "90", "--stop-stage", "1"))
    assert f"done before: {folder / 'work' / 'text' / 'prepared'}" in printed


def test_the_record_knows_a_text_by_its_content(tmp_path, program):
    folder = write_text(tmp_path / "a", TWO)
    assert program(own_text, given(folder, TWO))[0] == 0
    record = folder / "out" / "given.json"
    names = [f"{split}.{name}" for split in ("train", "valid", "test") for name in TWO]
    files = json.loads(record.read_text())["files"]
    assert [files[name]["path"] for name in names] == [str(folder / name) for name in names]
    check = ["check", *given(folder, TWO)[1:]]
    for name in names:  # as if moved, with a blank at the end of its first line, and back
        content = (folder / name).read_text()
        (folder / name).write_text(content.replace("\n", " \n", 1))
        code, _, said = program(own_text, check)
        assert code == 1 and f"given.json is of another text: {name} was {folder / name}, SHA-256 " in said
        assert said.count("\n") == 1 and f"remove {folder / 'out'}" in said
        (folder / name).write_text(content)
        assert program(own_text, check) == (0, "", "")
    moved = folder.rename(tmp_path / "b")
    assert program(own_text, ["check", *given(moved, TWO)[1:]]) == (0, "", "")
    for name in ("train", "valid", "test"):
        (moved / f"{name}.fr").write_bytes((moved / f"{name}.en").read_bytes())
    code, _, said = program(own_text, ["check", *given(moved, ("fr", "pt-BR"))[1:]])
    assert code == 1 and "is of the languages en and pt-BR, not fr and pt-BR" in said
    code, _, said = program(own_text, ["check", *given(moved, TWO)[1:], "--tokenized"])
    assert code == 1 and "is of a run without --tokenized" in said
    (moved / "out" / "given.json").write_text("{}")
    code, _, said = program(own_text, ["check", *given(moved, TWO)[1:]])
    assert code == 1 and "is not what own_text.py writes" in said and said.count("\n") == 1


BAD_FILES = [  # a file, its content (None: none), and what the line says
    ("train.en", None, "--train {0}/train: there is no file {0}/train.en, nor {0}/train.en.gz"),
    ("test.pt-BR", None, "--test {0}/test: there is no file {0}/test.pt-BR, nor"),
    (
        "valid.en.gz",
        gzip.compress(b"a\n", mtime=0),
        "--valid {0}/valid: there are both {0}/valid.en and {0}/valid.en.gz: remove",
    ),
    ("train.en", b"a\nb\n", "{0}/train.en has 2 lines, but {0}/train.pt-BR has 203"),
    ("valid.pt-BR", b"a\n", "{0}/valid.en has 11 lines, but {0}/valid.pt-BR has 1"),
    ("test.en", b"a\nb", "{0}/test.en has 2 lines, but {0}/test.pt-BR has 12"),
    ("train.en", b"a\n\xe4\n" + b"a\n" * 201, "{0}/train.en, line 2: not UTF-8 text, at byte 2"),
    ("valid.en", "ab\n".encode("utf-16"), "{0}/valid.en is UTF-16 text: iconv"),
    ("test.en", gzip.compress(b"a\n", mtime=0), "{0}/test.en is compressed by gzip: decompress it"),
    ("train.pt-BR", b"\n" * 203, "{0}/train.en and {0}/train.pt-BR have no pair without a blank side"),
    (
        "valid.en",
        b"a\n" * 4 + b"\t\n" + b"a\n" * 6,
        "{0}/valid.en, line 5: blank, but every line to validate or test on",
    ),
    ("test.pt-BR", b"a\n" * 11 + b"\n", "{0}/test.pt-BR, line 12: blank"),
]


@pytest.mark.parametrize(("name", "content", "wanted"), BAD_FILES)
def test_a_bad_file_is_named_in_one_line_and_nothing_is_written(name, content, wanted, tmp_path, program):
    folder = write_text(tmp_path / "a", TWO)
    (folder / name).unlink(missing_ok=True)
    if content is not None:
        (folder / name).write_bytes(content)
    code, printed, said = program(own_text, given(folder, TWO))
    *warnings, complaint = said.splitlines()
    assert code == 1 and printed == "" and complaint.startswith("own_text.py: " + wanted.format(folder)), said
    assert all(" warning: " in line for line in warnings)
    assert not [path for path in (folder / "out").rglob("*") if path.is_file()]


def test_empty_and_half_files_are_named(tmp_path, program):
    folder = write_text(tmp_path / "a", TWO)
    for name in TWO:
        (folder / f"valid.{name}").write_bytes(b"")
    assert f"own_text.py: {folder}/valid.en is empty\n" == program(own_text, given(folder, TWO))[2]
    (folder / "valid.en").unlink()
    (folder / "valid.en.gz").write_bytes(gzip.compress(b"a\n" * 99)[:-5])
    assert f"cannot read {folder}/valid.en.gz: not a whole gzip file" in program(own_text, given(folder, TWO))[2]


def test_what_is_left_out_and_what_is_known_is_said_in_a_line_each(tmp_path, program):
    """Of 203 pairs, two have a blank side; one is the first of the test text, another has but one line of it."""
    folder = write_text(tmp_path / "a", TWO)
    english = lines(folder / "train.en")
    english[7] = "  " + lines(folder / "test.en")[5].replace(" ", "  ")
    write(folder / "train.en", english)
    sides = [set(lines(folder / f"test.{name}")) for name in TWO]
    rows = zip(*(lines(folder / f"train.{name}") for name in TWO))
    known = sum(any(" ".join(line.split()) in side for line, side in zip(row, sides)) for row in rows)
    code, printed, said = program(own_text, given(folder, TWO))
    assert code == 0 and printed == "own_text.py: 201 train, 11 valid, 12 test pairs\n" and known >= 2
    assert said.splitlines() == [
        "own_text.py: left out 2 of 203 pairs to train on, which have a blank side",
        f"own_text.py: warning: {known} of 201 pairs to train on have a line of the test text: its scores are then not "
        "those of new text",
    ]
    assert lines(folder / "out" / "text" / "train.en")[5] == english[7]


KINDS = [  # how lines are changed, whether it is said that they are tokens, and the warning
    (str, False, None),
    (tokens, True, None),
    (tokens, False, "looks tokenised (' .' at the end): --tokenized scores and translates it as such"),
    (str, True, "does not look tokenised (no space before the last '.'): leave out --tokenized"),
    (lambda line: line.replace(" ", "@@ "), False, "is cut into pieces (@@)"),
    (lambda line: tokens(line).replace(" ", " ▁"), True, "is cut into pieces (▁)"),
]


@pytest.mark.parametrize(("change", "said_to_be", "wanted"), KINDS)
def test_a_text_of_another_kind_is_warned_of(change, said_to_be, wanted, tmp_path, program):
    folder = write_text(tmp_path / "a", TWO, change)
    code, _, said = program(own_text, given(folder, TWO, *["--tokenized"] * said_to_be))
    found = [line for line in said.splitlines() if " warning: " in line and "of the test text" not in line]
    assert code == 0 and len(found) == (0 if wanted is None else 2)  # one a side
    for name, line in zip(TWO, found):
        assert f"own_text.py: warning: {folder}/test.{name} {wanted}" in line


def test_tokens_are_undone_in_the_languages_where_that_is_known(tmp_path, program):
    folder = write_text(tmp_path / "a", ("en", "cs"), tokens)
    assert program(own_text, given(folder, ("en", "cs"), "--tokenized", "--lowercase"))[0] == 0
    text = folder / "out" / "text"
    assert lines(text / "reference.cs") == lines(folder / "test.cs")
    assert lines(text / "reference.en") == [en.replace("The", '"The"') for en, _ in archives.sentences(12, 2)]
    assert lines(text / "test.cs") == [line.lower() for line in lines(folder / "test.cs")]


SCORED = [  # options, hypothesis, reference, what is scored and how BLEU cuts words, what is said
    (("--language", "zh-CN"), "我们 今天 去 公园 玩", "我们今天去公园玩了", ["BLEU", "chrF2"], "zh", ""),
    (("--language", "ja"), "今日は公園に行く", "今日は公園に行く", ["BLEU", "chrF2", "TER"], "13a", "ja-mecab"),
    (("--language", "de"), "ein Haus, ja.", "ein Haus, nein.", ["BLEU", "chrF2", "TER"], "13a", ""),
    (("--tokens",), "dům , &quot; ano &quot; .", "dům , &quot; ne &quot; .", ["BLEU"], "none", "nothing here undoes"),
]


@pytest.mark.parametrize(("options", "hypothesis", "reference", "metrics", "cut", "says"), SCORED)
def test_scores_suit_the_language(options, hypothesis, reference, metrics, cut, says, tmp_path, program, caplog):
    write(tmp_path / "generated", [f"D-0\t-1\t{hypothesis}"])
    write(tmp_path / "reference", [reference])
    where = [("--generated", "generated"), ("--source", "reference"), ("--reference", "reference"),
             ("--hypotheses", "h"), ("--scores", "s")]  # fmt: skip
    code, *said = program(score, [*options, *(word for flag, name in where for word in (flag, tmp_path / name))])
    scores = {name: one for name, one in json.loads((tmp_path / "s").read_text()).items() if type(one) is dict}
    wanted = sacrebleu.corpus_bleu([hypothesis], [[reference]], tokenize=cut, force=True)
    assert code == 0 and list(scores) == metrics and lines(tmp_path / "h") == [hypothesis]
    assert (
        scores["BLEU"]["score"] == pytest.approx(wanted.score, abs=0.006)
        and f"tok:{cut}|" in scores["BLEU"]["signature"]
    )
    assert says in "".join(said) + caplog.text


def test_pairs_that_are_too_long_are_counted(tmp_path, program):
    write(tmp_path / "text", [f"the cat number {number} sat on mat {number * 7}" for number in range(200)])
    segment.train([str(tmp_path / "text")], str(tmp_path / "spm"), 60, 0)
    write(tmp_path / "a", ["the cat", "the cat " * 40, "the cat sat on the mat on the cat on the mat", "the cat"])
    write(tmp_path / "b", ["the cat", "the cat " * 40, "a", "the cat"])
    encode = ["encode", "--model", tmp_path / "spm.model", "--workers", "1", "--input", tmp_path / "a", tmp_path / "b",
              "--output", tmp_path / "x", tmp_path / "y"]  # fmt: skip
    code, printed, _ = program(segment, [*encode, "--max-pieces", "30", "--max-ratio", "4"])
    assert code == 0 and len(lines(tmp_path / "x")) == len(lines(tmp_path / "y")) == 2
    assert printed == f"segment.py: 2 of 4 pairs of {tmp_path / 'a'} kept: --max-pieces 30, --max-ratio 4\n"
    (tmp_path / "x").unlink()
    code, _, said = program(segment, [*encode, "--max-pieces", "1", "--max-ratio", "4"])
    assert code == 1 and "segment.py: 0 of 4 pairs of " in said and not (tmp_path / "x").exists()
    code, _, said = program(segment, [*encode, "--refuse-longer", "30"])
    assert code == 1 and re.search(r"segment.py: .*/a, line 2 has \d+ pieces, more than the 30 that a model", said)
    assert not (tmp_path / "x").exists()
    assert program(segment, [*encode, "--refuse-longer", "999"])[0] == 0 and len(lines(tmp_path / "x")) == 4


BAD_OPTIONS = [
    (["--src", "de"], "needs --tgt L, see --help"),
    (["--src", "de", "--tgt", "en"], "needs --train PREFIX, see --help"),
    (["--src", "de", "--tgt", "en", "--train", "x"], "needs --valid PREFIX, see --help"),
    (["--src", "de", "--tgt", "en", "--tokenized", "--train", "x", "--valid", "x"], "needs --test PREFIX, see --help"),
    (["{all}", "--tgt", "de"], "--src and --tgt are both de"),
    (["{all}", "--tgt", "../en"], "--src and --tgt end the names of files: letters, digits, _ and - alone, not de and"),
    (["{all}", "--vocab-size", "many"], "--vocab-size must be a number from 1 on, not 'many'"),
    (["{all}", "--raw", "x"], "this recipe has no --raw, see --help"),
    (["{all}", "--tokenized", "yes"], "--train /no: there is no file /no.de, nor /no.de.gz"),  # yes is a MODEL
]


@pytest.mark.parametrize(("options", "wanted"), BAD_OPTIONS)
def test_bad_options_get_one_line(options, wanted, tmp_path):
    enough = "--src de --tgt en --train /no --valid /no --test /no".split()
    options = [word for option in options for word in (enough if option == "{all}" else [option])]
    assert wanted in run_recipe(RECIPE, *options, "--work", tmp_path / "work", succeeds=False)


def test_other_recipes_take_no_text_of_ones_own():
    message = run_recipe(RECIPES / "multi30k" / "run.sh", "--train", "x", succeeds=False)
    assert "this recipe has no --train" in message


def test_flags_files_say_how_they_are_run_and_differ_where_the_models_do():
    folder = RECIPES / "own_text" / "models"
    flags = {path.stem: [line for line in lines(path) if line[0] != "#"] for path in folder.glob("*.args")}
    assert set(flags) == {"small", "lstm_small", "transformer_small"}
    for name in flags:
        assert lines(folder / f"{name}.args")[0].startswith(f"# bash recipes/own_text/run.sh {name} ")
    of_small, of_lstm = (flags[name][flags[name].index("--share-all-embeddings") :] for name in ("small", "lstm_small"))
    assert of_small == of_lstm
