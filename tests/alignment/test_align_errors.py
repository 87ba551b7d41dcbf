"""What cli.align says when something is wrong, and what it leaves behind then."""

from argparse import Namespace
from pathlib import Path

import pytest
import torch
from fairseq import checkpoint_utils
from fairseq.models.lstm import LSTMModel, base_architecture
from support import SENTENCES, write

from fairseq_bahdanau.alignment import heat_maps, output_files
from fairseq_bahdanau.cli import align


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


def test_what_is_wrong_is_said_in_one_line(run_align, data, checkpoint, tmp_path, capsys):
    short, damaged = write(tmp_path / "short", ["b1"]), write(tmp_path / "damaged", ["no checkpoint"])
    lstm = without_attention(checkpoint, data, tmp_path / "lstm.pt")
    long = ["a1", " ".join(["a1"] * 1024)]
    for sentences, flags, where, wanted in (
        ([], [], {}, "the input is empty"),
        (["", " "], [], {}, "the input is empty"),
        (SENTENCES, ["--target", short], {}, f"--target {short} has 1 lines, but the input has 4"),
        (SENTENCES, ["--target", tmp_path / "gone"], {}, f"cannot read {tmp_path / 'gone'}: No such file"),
        (long, [], {}, "the input, line 2: 1025 tokens, but the model takes at most 1024"),
        (SENTENCES, [], {"path": lstm}, f"--path {lstm}: a LSTMModel, of another architecture"),
        (SENTENCES, [], {"path": f"{checkpoint}:{lstm}"}, f"--path {lstm}: a LSTMModel, of another architecture"),
        (SENTENCES, [], {"path": "gone.pt"}, "cannot load gone.pt: no such file"),
        (SENTENCES, [], {"path": damaged}, f"cannot load {damaged}: the file is damaged, or no checkpoint"),
        (SENTENCES, [], {"folder": tmp_path / "gone"}, f"DATA_BIN: no such folder: {tmp_path / 'gone'}"),
        (SENTENCES, [], {"folder": tmp_path}, f"DATA_BIN: no file in {tmp_path} tells its languages"),
        (SENTENCES, ["-s", "de", "-t", "yy"], {}, f"DATA_BIN: {data}: [Errno 2] No such file"),
        (SENTENCES, ["--merge-subwords"], {}, "--merge-subwords: no word of either dictionary begins with ▁"),
        (SENTENCES, ["--bpe", "sentencepiece", "--sentencepiece-model", "gone.model"], {}, "--tokenizer or --bpe: "),
        (SENTENCES, ["--max-tokens", "3"], {}, "the input, line 1: 4 tokens, but --max-tokens allows at most 3"),
        (SENTENCES, ["--model-overrides", "x"], {}, "--model-overrides x: must be a dictionary"),
        (SENTENCES, ["--replace-unk", "--target", short], {}, "--replace-unk and --target exclude each other"),
        (SENTENCES, ["--replace-unk", tmp_path / "gone"], {}, f"cannot read {tmp_path / 'gone'}: No such file"),
        (SENTENCES, ["--sampling"], {}, "--sampling requires --nbest to be equal to --beam"),
        (SENTENCES, ["--output", short], {}, f"--output {short}: File exists"),
        (SENTENCES, ["--beam", "0", "--nbest", "0"], {}, "--beam must be at least 1, not 0"),
        (SENTENCES, ["--beam", "2", "--nbest", "4"], {}, "--nbest must be from 1 to the 2 of --beam, not 4"),
        (SENTENCES, ["--nbest", "0"], {}, "--nbest must be from 1 to the 5 of --beam, not 0"),
        (SENTENCES, ["--batch-size", "0"], {}, "--batch-size must be at least 1, not 0"),
        (SENTENCES, ["--buffer-size", "-3"], {}, "--buffer-size must be at least 0, not -3"),
        (
            SENTENCES,
            ["--model-overrides", "{'dropuot': 0.1}"],
            {},
            "--model-overrides: the checkpoint has no option 'dropuot'",
        ),
        (SENTENCES, ["--target", short, "--lenpen", "3"], {}, "--lenpen would have no effect here and is refused"),
        (SENTENCES, ["--target", short, "--beam", "3"], {}, "--beam would have no effect here and is refused"),
    ):
        with pytest.raises(SystemExit):
            run_align(sentences, *flags, **where)
        *usage, said = capsys.readouterr().err.splitlines()
        assert said.startswith(f"python -m fairseq_bahdanau.cli.align: error: {wanted}") and len(usage) <= 3
        assert not list(tmp_path.glob("out/*"))


# Options of fairseq-interactive that a search of ours does not know; a value for each.
NO_EFFECT = [
    ["--score-reference"], ["--constraints"], ["--constraints", "unordered"], ["--prefix-size", "2"], ["--quiet"],
    ["--results-path", "x"], ["--print-alignment"], ["--print-step"], ["--lm-path", "x"], ["--lm-weight", "0.1"],
    ["--no-early-stop"], ["--no-beamable-mm"], ["--diverse-beam-groups", "2"], ["--iter-decode-max-iter", "3"],
    ["--skip-invalid-size-inputs-valid-test"], ["--num-workers", "2"], ["--max-source-positions", "9"],
    ["--max-target-positions", "9"], ["--truncate-source"], ["--dataset-impl", "raw"], ["--gen-subset", "valid"],
    ["--num-shards", "2"], ["--shard-id", "1"], ["--log-format", "json"], ["--scoring", "chrf"], ["--bf16"], ["--amp"],
    ["--criterion", "cross_entropy"], ["--optimizer", "adam"], ["--lr-scheduler", "cosine"], ["--eval-bleu"],
    ["--required-batch-size-multiple", "8"], ["--checkpoint-suffix", "x"], ["--load-alignments"], ["--eos-token", "x"],
    ["--distributed-world-size", "2"], ["--max-tokens-valid", "9"], ["--no-seed-provided"]
]  # fmt: skip


@pytest.mark.parametrize("flags", NO_EFFECT, ids=" ".join)
def test_an_option_without_effect_is_refused_by_name(flags, capsys):
    with pytest.raises(SystemExit) as stopped:
        align.main(["gone", "--path", "gone.pt", "--output", "gone", *flags])
    *_, said = capsys.readouterr().err.splitlines()
    assert stopped.value.code == 2 and said.endswith(
        f"align: error: {flags[0]} would have no effect here and is refused"
    )


def test_a_missing_font_leaves_the_page(run_align, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(heat_maps, "installed_fonts", lambda: [])
    with pytest.raises(SystemExit) as stopped:
        run_align(["a1 天", "a2 a3", "天"])
    assert stopped.value.code == 1
    unknown, said = capsys.readouterr().err.splitlines()
    assert unknown == "align: 2 of 5 source tokens are not in the dictionary: the model reads <unk>"
    assert said == (
        "align: cannot draw 0000.png: no installed font has '天' (U+5929, CJK UNIFIED IDEOGRAPH-5929); install one, on "
        "Debian the package fonts-noto-cjk; index.html shows it (2 of 3 pictures are missing)"
    )
    assert "天" in (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert [path.name for path in tmp_path.glob("out/*.png")] == ["0001.png"]


def test_an_interruption_leaves_nothing_half_written(run_align, monkeypatch, tmp_path):
    def interrupted(alignment, path, file_format):
        write(Path(path), ["half"])
        raise KeyboardInterrupt

    monkeypatch.setattr(output_files, "draw", interrupted)
    with pytest.raises(SystemExit) as stopped:
        run_align(SENTENCES)
    assert stopped.value.code == 130
    assert not list(tmp_path.glob("out/*.p*ng*")) and len(list(tmp_path.glob("out/*"))) == 4


def test_target_words_that_are_unknown_are_counted(run_align, tmp_path, capsys):
    run_align(["a1", "a2"], "--target", write(tmp_path / "target", ["b1 new", "b2"]))
    assert "align: 1 of 3 target tokens are not in the dictionary: the model reads <unk>" in capsys.readouterr().err


def test_pictures_of_an_earlier_call_are_not_left_beside_new_text(run_align):
    folder = run_align(["a1", "a2", "a3"], "--format", "svg")
    assert len(list(folder.glob("000?.svg"))) == 3
    write(folder / "notes.txt", ["kept"])
    run_align(["a4"], "--format", "none")
    assert sorted(path.name for path in folder.iterdir()) == [
        "alignment.pharaoh", "alignment.tsv", "hypotheses.txt", "notes.txt"]  # fmt: skip
