"""What the recipes' scripts share: Moses' rule for clean pairs, a quick start without fairseq, and one --help."""

import itertools
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support import environment

import fairseq_bahdanau

RECIPES = Path(fairseq_bahdanau.__path__[0]).parent / "recipes"
sys.path.insert(0, str(RECIPES))
import iwslt14  # noqa: E402
import segment  # noqa: E402
import wmt14  # noqa: E402

from fairseq_bahdanau.portable import moses  # noqa: E402

CLEAN = [
    ((1, 1), 5, 1.5, True),
    ((0, 1), 5, 1.5, False),
    ((0, 0), 5, 1.5, False),
    ((5, 5), 5, 1.5, True),  # as long as may be
    ((5, 6), 5, 1.5, False),
    ((6, 4), 9, 1.5, True),  # exactly the ratio
    ((4, 6), 9, 1.5, True),
    ((7, 4), 9, 1.5, False),
    ((4, 1), 9, 4.0, True),
    ((5, 1), 9, 4.0, False),
    ((1, 50), 50, 50.0, True),
]


@pytest.mark.parametrize(("counts", "longest", "ratio", "wanted"), CLEAN)
def test_clean_pairs(counts, longest, ratio, wanted):
    assert moses.is_clean_pair(counts, longest, ratio) is wanted


def test_clean_pairs_are_those_of_the_perl_script():
    """Its three lines: ``next if ($e eq "" || $f eq "")``, too long, and ``$ec/$fc > $ratio || $fc/$ec > $ratio``."""
    for one, two, longest, ratio in itertools.product(range(13), range(13), (5, 12), (1.5, 2.0, 9.0)):
        dropped = one == 0 or two == 0 or one > longest or two > longest or one / two > ratio or two / one > ratio
        assert moses.is_clean_pair((one, two), longest, ratio) is not dropped


def words(*counts):
    return tuple(" ".join("x" * count) for count in counts)


def test_every_caller_counts_by_that_rule(monkeypatch):
    pairs = [words(*counts) for counts in ((6, 4), (7, 4), (0, 1), (175, 175), (176, 175))]
    kept = [pairs[0], pairs[3]]
    assert [pair for pair in pairs if iwslt14.is_kept(pair)] == kept
    assert not iwslt14.is_kept(("a", "b" * 1001)) and iwslt14.is_kept(("a", "b" * 1000))
    assert [row for row in wmt14.clean_chunk(175, 1.5, None, pairs) if row is not None] == kept

    class Pieces:
        def encode(self, line, out_type):
            return line.split()

    monkeypatch.setattr(segment, "processor", lambda model: Pieces())
    assert segment.encode_chunk("m", 175, 1.5, pairs) == kept
    assert segment.encode_chunk("m", None, None, pairs) == pairs


# These have models or fairseq's data to load.
NEEDING = ("translate.py", "updates.py")
SCRIPTS = [path for path in (*RECIPES.glob("*.py"), *RECIPES.glob("quickstart/*.py")) if path.name not in NEEDING]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_start_without_fairseq(script):
    """A script that loaded it would take five seconds longer, each of the dozen times that a recipe starts one."""
    program = f"import sys; sys.path.insert(0, {str(script.parent)!r}); import {script.stem}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()
    assert script.stem in loaded and not {"torch", "fairseq", "sacremoses"} & set(loaded)


HELP = {
    "multi30k": ("MODEL --gen-subset --raw --sums --vocab-size --processes --nodes --master", "segment", 6),
    "iwslt14_de_en": ("MODEL --raw --sums --vocab-size --pairs --processes --nodes --master", "segment", 7),
    "wmt14_en_de": ("MODEL --raw --sums --vocab-size --pairs --processes --nodes --master", "extract", 8),
    "wmt14_en_fr": ("MODEL --raw --sums --vocab-size --pairs --processes --nodes --master", "extract", 8),
    "rnnsearch_en_fr": ("MODEL --raw --sums --processes --nodes --master", "extract", 7),
    "quickstart": ("", "curve", 8),
    "own_text": (
        "MODEL --train --valid --test --gen-subset --tokenized --lowercase --vocab-size --processes --nodes --master",
        "prepare",
        6,
    ),
}


def help_of(recipe: str) -> str:
    command = ["bash", str(RECIPES / recipe / "run.sh"), "--help"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_every_recipe_is_known_here():
    assert sorted(HELP) == sorted(path.parent.name for path in RECIPES.glob("*/run.sh"))


@pytest.mark.parametrize("recipe", HELP)
def test_help_tells_usage_stages_and_options(recipe):
    accepts, stage, stages = HELP[recipe]
    printed = help_of(recipe)
    assert printed.startswith(f"bash recipes/{recipe}/run.sh ")
    first_comment = (RECIPES / recipe / "run.sh").read_text().splitlines()[1]
    assert first_comment.lstrip("# ") in printed and "shellcheck" not in printed
    (named,) = re.findall(r"^stages:(.*)$", printed, re.MULTILINE)
    assert [int(number) for number in re.findall(r"\d+", named)] == list(range(1, stages + 1)) and f" {stage} " in named
    options = re.findall(r"^(MODEL|--[\w-]+) ", printed, re.MULTILINE)
    common = "--src --tgt --stage --stop-stage --seed --work --precision".split()
    assert sorted(options) == sorted(accepts.split() + common)
    assert f"(default: {stages})" in printed and f"(default: recipes/{recipe}/work)" in printed


def test_help_tells_the_defaults_of_the_recipe():
    printed = help_of("iwslt14_de_en")
    for option, default in (("--src", "de"), ("--vocab-size", "10000"), ("--sums", "recipes/iwslt14_de_en/SUMS")):
        assert re.search(rf"^{option} .*\(default: {default}\)$", printed, re.MULTILINE), option
    assert re.search(r"^MODEL .*\(default: bigru_bahdanau_maxout\)$", printed, re.MULTILINE)
    assert re.search(r"^--raw DIR [^(]*$", printed, re.MULTILINE)


def test_members_of_the_family_differ_in_one_option():
    folder = RECIPES / "multi30k" / "models"
    (line,) = re.findall(r"models=\((small .*)\)", (RECIPES / "multi30k" / "family.sh").read_text())
    assert sorted(line.split()) == sorted(path.stem for path in folder.glob("small*.args"))
    flags = {name: (folder / f"{name}.args").read_text().splitlines()[1:] for name in line.split()}
    *base, order = flags.pop("small")
    for name, given in flags.items():
        kept = [order] if "--attention hard" in given else []  # a fixed context has no order
        assert given[:-1] == base + kept and given[-1].split()[1] == name[len("small-") :]


DEVICES = [
    # what PyTorch finds, what --precision says, the flags of a translation and those of a training
    ("cpu", "", "--cpu", "--cpu"),
    ("cpu", "fp32", "--cpu", "--cpu"),
    ("cpu", "bf16", None, "--precision bf16 is for a GPU, and PyTorch finds none"),
    ("cpu", "fp16", None, "--precision fp16 is for a GPU, and PyTorch finds none"),
    ("fp16", "", "--fp16", "--fp16"),
    ("fp16", "fp32", "", ""),
    ("fp16", "bf16", None, "--precision bf16: this GPU has none: take fp16 or fp32"),
    ("bf16", "", "--fp16", "--bf16"),
    ("bf16", "fp16", "--fp16", "--fp16"),
    ("bf16", "fp32", "", ""),
]


@pytest.mark.parametrize(("found", "precision", "translating", "training"), DEVICES)
def test_the_precision_is_that_of_the_device(found, precision, translating, training):
    program = 'setup_device=$2; source "$1"; detect_device "$3"; echo "${device[*]}|${training_device[*]}"'
    command = ["bash", "-c", program, "run.sh", str(RECIPES / "common.sh"), found, precision]
    finished = subprocess.run(command, capture_output=True, text=True, env=environment())
    if translating is None:
        assert (finished.returncode, finished.stderr) == (1, f"run.sh: {training}\n")
    else:
        assert (finished.stdout, finished.stderr) == (f"{translating}|{training}\n", "")


SHARES = [
    # flags, processes, machines, what each process gets
    ("--update-freq 8 --max-tokens 3584", 1, 1, "--update-freq 8 --max-tokens 3584"),
    ("--update-freq 8 --max-tokens 3584", 4, 2, "--update-freq 1 --max-tokens 3584"),
    ("--update-freq 8 --max-tokens 3584", 2, 1, "--update-freq 4 --max-tokens 3584"),
    ("--max-tokens 14336 --lr 1 --update-freq 2", 2, 1, "--max-tokens 14336 --lr 1 --update-freq 1"),
    ("--max-tokens 14336 --lr 1 --update-freq 2", 8, 1, "--max-tokens 3584 --lr 1 --update-freq 1"),
    ("--max-tokens 14336 --lr 1 --update-freq 2", 8, 2, "--max-tokens 1792 --lr 1 --update-freq 1"),
    ("--max-tokens 4096 --update-freq 1", 2, 1, "--max-tokens 2048 --update-freq 1"),
    ("--max-tokens 4096 --update-freq 3", 2, 1, None),  # neither divides the other
    ("--max-tokens 1001 --update-freq 2", 4, 1, None),
    ("--batch-size 80 --update-freq 1", 2, 1, None),
    ("--batch-size 80 --max-tokens 4000 --update-freq 1", 2, 1, None),  # the sentences would stay
    ("--max-tokens 4e3 --update-freq 1", 2, 1, None),
    ("--max-tokens 4096", 2, 1, None),
    ("--max-tokens 4096 --update-freq 4,2", 2, 1, None),  # fairseq's form for the first epochs
]


@pytest.mark.parametrize(("flags", "processes", "nodes", "wanted"), SHARES)
def test_processes_share_a_batch(flags, processes, nodes, wanted):
    program = f"""source {RECIPES}/stages.sh; read -r -a flags <<<"{flags}"
args_file=model.args processes={processes} nodes={nodes}; spread_updates >/dev/null; echo "${{flags[*]}}" """
    finished = subprocess.run(["bash", "-c", program, str(RECIPES / "run.sh")], capture_output=True, text=True)
    if wanted is None:
        assert finished.returncode == 1 and not finished.stdout
        assert re.fullmatch(r"run.sh: .*model.args .*\n", finished.stderr)
    else:
        assert (finished.stdout, finished.stderr) == (f"{wanted}\n", "")


def refused(program, name="run.sh"):
    """The one line with which some lines of bash end that use the recipes' functions."""
    program = f"source {RECIPES}/stages.sh\n{program}"
    finished = subprocess.run(["bash", "-c", program, str(RECIPES / name)], capture_output=True, text=True)
    assert finished.returncode == 1, finished.stdout
    return finished.stderr


SCHEDULES = [
    # flags, parts of the data, what is added where an epoch has 7 updates, or the refusal
    ("--lr-scheduler polynomial_decay --max-epoch 3", 1, "--total-num-update 21"),
    ("--max-epoch=3 --lr-scheduler=polynomial_decay", 1, "--total-num-update 21"),
    ("--lr-scheduler polynomial_decay --max-update 50 --max-epoch 3", 1, "--total-num-update 50"),
    ("--lr-scheduler polynomial_decay --max-update 50", 2, "--total-num-update 50"),
    ("--lr-scheduler polynomial_decay --max-epoch 3 --total-num-update 9", 1, ""),
    ("--lr-scheduler inverse_sqrt --max-epoch 3", 2, ""),
    ("--max-epoch 3", 1, ""),
    ("--lr-scheduler polynomial_decay", 1, "no end: add --max-epoch, --max-update or --total-num-update"),
    ("--lr-scheduler polynomial_decay --max-epoch x", 1, "no end: add --max-epoch, --max-update or --total-num-update"),
    ("--lr-scheduler polynomial_decay --max-epoch 3", 2, "data lies in 2 parts: add --total-num-update"),
]


@pytest.mark.parametrize(("flags", "shards", "wanted"), SCHEDULES)
def test_a_learning_rate_that_falls_has_an_end(flags, shards, wanted):
    program = f"""source {RECIPES}/stages.sh; read -r -a flags <<<"{flags}"; args_file=model.args shards={shards}
data=bin src=a tgt=b; python() {{ echo 7; }}; check_schedule; end_schedule >&2; echo "${{flags[*]}}" """
    finished = subprocess.run(["bash", "-c", program, str(RECIPES / "run.sh")], capture_output=True, text=True)
    if ": add " in wanted:
        assert finished.returncode == 1 and not finished.stdout
        assert finished.stderr.startswith("run.sh: model.args has polynomial_decay") and wanted in finished.stderr
    else:
        assert finished.stdout == f"{flags} {wanted}".rstrip() + "\n"
        assert finished.stderr == (f"the learning rate falls to 0 in {wanted.split()[1]} updates\n" if wanted else "")


@pytest.mark.parametrize("flag", ["--seed 1", "--save-dir=x", "--log-file x", "--fp16", "--bf16", "--cpu", "--no-save"])
def test_a_flags_file_has_no_flag_of_the_recipe(flag):
    told = refused(f'args_file=own.args; read -r -a flags <<<"--arch x {flag} --lr 1"; check_flags')
    name = flag.split()[0].split("=")[0]
    assert told == f"run.sh: own.args has {name}, which the recipe gives itself: remove it there, see --help\n"


def test_one_model_at_a_time_and_no_empty_value():
    parse = "languages=(any) accepts=MODEL stages=(train); parse_options --src a --tgt b"
    assert refused(f"{parse} small big") == "run.sh: one MODEL at a time, not small and big\n"
    assert refused(f"{parse} ''") == "run.sh: MODEL needs a value\n"
    assert refused(f"{parse} --seed ''") == "run.sh: --seed needs a value\n"


def test_a_work_folder_is_of_one_list_one_direction_and_one_vocabulary(tmp_path):
    given = f"work={tmp_path} pair={tmp_path}/a-b src=a tgt=b vocab_size=3 accepts=--sums sums={tmp_path}/SUMS"
    (tmp_path / "a-b").mkdir()
    (tmp_path / "SUMS").write_text("one")
    again = f"{given}; directed=true; check_made_from"
    assert refused(f"{again}; {again}; exit 1") == ""
    (tmp_path / "SUMS").write_text("two")
    told = refused(again)
    assert re.fullmatch(r"run.sh: .* was made from: list of files \d+ 3, a to b; not from: .*: name another .*\n", told)
    (tmp_path / "SUMS").write_text("one")
    assert "a to b; not from:" in refused(f"{given}; src=b tgt=a directed=true; check_made_from")
    (tmp_path / "a-b" / "segmented").touch()
    (tmp_path / "a-b" / "spm.vocab").write_text("x\ny\n")
    assert "a-b has 2 pieces, not --vocab-size 3: name another folder" in refused(again)


def test_a_model_stays_in_the_precision_in_which_it_was_trained(tmp_path):
    (tmp_path / "precision").write_text("fp32\n")
    begun = f"run={tmp_path} device=(--fp16) training_device=(--bf16); detect_device() {{ echo detected $1 >&2; }}"
    assert refused(f"{begun}; precision=''; keep_precision; exit 1") == "detected fp32\n"
    assert refused(f"{begun}; precision=bf16; keep_precision").startswith("run.sh: --precision bf16: ")


def test_the_room_that_a_recipe_has_taken_is_its_own(tmp_path):
    stubs = """df() { printf 'head\\nx 1 1 20000000 1 x\\n'; }; du() { printf '60000000\\tx\\n'; }"""
    assert refused(f"{stubs}; work={tmp_path}; require_disk 70 none; exit 1") == ""
    assert "too little room" in refused(f"{stubs}; work={tmp_path}; require_disk 90 none")


def test_a_search_path_for_folders_is_no_hindrance():
    variables = environment(CDPATH=f".:{RECIPES.parent}:/tmp")
    command = ["bash", "recipes/multi30k/run.sh", "--help"]
    finished = subprocess.run(command, capture_output=True, text=True, env=variables, cwd=RECIPES.parent)
    assert finished.returncode == 0 and "--vocab-size N" in finished.stdout, finished.stderr


FLAGS = [
    (b"--arch x\n--lr 0.1 # no comment\n", ["--arch", "x", "--lr", "0.1", "#", "no", "comment"]),
    (b"# a\n\n  # b\n --arch  x\t--lr 1", ["--arch", "x", "--lr", "1"]),
    (b"\xef\xbb\xbf--arch x\r\n\r\n# a\r\n--lr 1\r\n", ["--arch", "x", "--lr", "1"]),
    (b"\xef\xbb\xbf# a\n--lr 1\r", ["--lr", "1"]),
    (b"--adam-betas (0.9, 0.98)\n--x *\n", ["--adam-betas", "(0.9,", "0.98)", "--x", "*"]),
]


@pytest.mark.parametrize(("content", "wanted"), FLAGS)
def test_flags_are_the_words_of_a_file(tmp_path, content, wanted):
    (tmp_path / "model.args").write_bytes(content)
    program = 'source "$1"; read_flags "$2"; printf "%s\\n" "${flags[@]}"'
    command = ["bash", "-c", program, "bash", str(RECIPES / "common.sh"), str(tmp_path / "model.args")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines() == wanted
