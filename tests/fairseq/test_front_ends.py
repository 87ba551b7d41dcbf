"""Every fairseq command that a user types, run as a user runs it, on a model that has learnt the corpus."""

import shutil

import pytest
import torch
from fairseq.data import Dictionary
from fairseq.data.data_utils import load_indexed_dataset
from support import PLUGIN, TINY_TRAINING, generate, lines, lines_of, preprocess, run_command, train, write

import fairseq_bahdanau  # noqa: F401
from fairseq_bahdanau.model import BahdanauModel


def hypotheses(printed):
    return [fields[-1] for _, ((*_, fields),) in sorted((n, (f,)) for n, f in lines_of("H", printed).items())]


@pytest.fixture(scope="session")
def generated(data, checkpoint):
    """Beam search, with hard alignments, in the default layout: left-padded, many sentences a batch."""
    return generate(data, checkpoint, "--beam", "5", "--print-alignment")


def test_the_corpus_is_learnt_and_no_sentence_is_dropped(corpus, generated):
    found = hypotheses(generated)
    assert len(found) == 21 and "Translated 21 sentences" in generated
    assert sum(one == wanted for one, wanted in zip(found, lines(corpus / "test.yy"))) >= 19


def test_alignments_find_the_translated_word(corpus, generated):
    """The corpus is translated word by word: nearly every target word must look at its own source word."""
    right = total = 0
    for number, ((links,),) in lines_of("A", generated).items():
        src = lines(corpus / "test.xx")[number].split()
        tgt = hypotheses(generated)[number].split()
        for link in links.split():
            j, t = map(int, link.split("-"))
            right, total = right + (src[j][1:] == tgt[t][1:]), total + 1
    assert total > 60 and right > 0.9 * total


@pytest.mark.parametrize(
    "flags", [["--batch-size", "1"], ["--left-pad-source"], ["--required-seq-len-multiple", "8"], ["--fp16"]]
)
def test_batch_and_padding_change_nothing(flags, data, checkpoint, generated):
    other = generate(data, checkpoint, "--beam", "5", "--print-alignment", *flags)
    assert hypotheses(other) == hypotheses(generated)
    if flags != ["--fp16"]:
        assert lines_of("A", other) == lines_of("A", generated)
    for number, fields in lines_of("H", generated).items():
        tolerance = 0.05 if flags == ["--fp16"] else 1e-4
        assert float(lines_of("H", other)[number][0][0]) == pytest.approx(float(fields[0][0]), abs=tolerance)


def test_greedy_soft_alignment_rows_sum_to_one(corpus, data, checkpoint):
    printed = generate(data, checkpoint, "--beam", "1", "--print-alignment", "soft")
    for number, ((weights,),) in lines_of("A", printed).items():
        rows = [[float(weight) for weight in row.split(",")] for row in weights.split()]
        assert {len(row) for row in rows} == {len(lines(corpus / "test.xx")[number].split()) + 1}  # with </s>
        assert all(abs(sum(row) - 1) < 1e-3 for row in rows)


def test_sampling_prefix_and_nbest(corpus, data, checkpoint):
    sampled = generate(
        data, checkpoint, "--sampling", "--sampling-topk", "3", "--beam", "4", "--nbest", "4", "--seed", "7"
    )
    assert all(len(fields) == 4 for fields in lines_of("H", sampled).values()) and len(lines_of("H", sampled)) == 21
    # The prefix is the reference's own first word, which the hypothesis must begin with.
    forced = generate(data, checkpoint, "--prefix-size", "1", "--beam", "3")
    for one, wanted in zip(hypotheses(forced), lines(corpus / "test.yy")):
        assert one.split()[0] == wanted.split()[0]


def test_score_reference_is_the_teacher_forced_score(corpus, data, checkpoint):
    printed = generate(data, checkpoint, "--score-reference", "--print-alignment")
    assert hypotheses(printed) == lines(corpus / "test.yy") and len(lines_of("A", printed)) == 21
    model = BahdanauModel.from_pretrained(str(checkpoint.parent), checkpoint.name, str(data)).models[0]
    src_dict, tgt_dict = model.encoder.dictionary, model.decoder.dictionary
    for number, ((positional,),) in list(lines_of("P", printed).items())[:5]:
        src = src_dict.encode_line(lines(corpus / "test.xx")[number], add_if_not_exist=False).long()
        tgt = tgt_dict.encode_line(lines(corpus / "test.yy")[number], add_if_not_exist=False).long()
        output = model(src[None], None, torch.cat([tgt[-1:], tgt[:-1]])[None])
        wanted = model.get_normalized_probs(output, log_probs=True)[0].gather(1, tgt[:, None]) / torch.tensor(2.0).log()
        torch.testing.assert_close(
            torch.tensor([float(p) for p in positional.split()]), wanted[:, 0], atol=1e-4, rtol=0
        )


def test_retain_dropout_makes_generation_random(data, tmp_path):
    train(data, tmp_path, "--dropout", "0.5", "--max-update", "20", "--no-epoch-checkpoints")
    path = tmp_path / "checkpoint_last.pt"
    scores = [lines_of("H", generate(data, path, "--seed", seed, *flags)) for seed, flags in
              ((1, []), (2, []), (1, ["--retain-dropout"]), (2, ["--retain-dropout"]),
               (1, ["--retain-dropout", "--retain-dropout-modules", "BahdanauDecoder"]))]  # fmt: skip
    assert scores[0] == scores[1] != scores[2] != scores[3] and scores[4] not in scores[:4]


BASELINES = {
    "transformer": "--encoder-layers 1 --decoder-layers 1 --encoder-embed-dim 16 --decoder-embed-dim 16 "
    "--encoder-ffn-embed-dim 16 --decoder-ffn-embed-dim 16 --encoder-attention-heads 2 --decoder-attention-heads 2",
    "lstm": "--encoder-embed-dim 16 --decoder-embed-dim 16 --encoder-hidden-size 16 --decoder-hidden-size 16",
}


def test_ensemble_of_two_of_ours(data, checkpoint, generated):
    twice = generate(data, f"{checkpoint}:{checkpoint}", "--print-alignment")
    assert hypotheses(twice) == hypotheses(generated) and lines_of("A", twice) == lines_of("A", generated)


@pytest.mark.parametrize("arch", BASELINES)
def test_baselines_load_alone_and_in_an_ensemble_with_ours(arch, data, checkpoint, tmp_path):
    """Their checkpoints hold an argparse.Namespace: they load because the plugin names it harmless."""
    flags = (*TINY_TRAINING, "--arch", arch, *BASELINES[arch].split(), "--max-update", "10", "--no-epoch-checkpoints")
    run_command("fairseq-train", data, "--user-dir", PLUGIN, *flags, "--save-dir", tmp_path)
    alone = generate(data, tmp_path / "checkpoint_last.pt", "--max-len-b", "20")
    mixed = generate(data, f"{checkpoint}:{tmp_path / 'checkpoint_last.pt'}", "--print-alignment")
    assert len(hypotheses(alone)) == len(hypotheses(mixed)) == len(lines_of("A", mixed)) == 21


def test_interactive_survives_any_line(data, checkpoint):
    odd = ["", "nowhere unseen", "a1 a2", "a3", "   ", "a1 <pad> a2", "a5 \t a6", "<s> </s>", " ".join(["a4"] * 1000)]
    flags = (data, "--user-dir", PLUGIN, "--path", checkpoint, "--cpu", "-s", "xx", "-t", "yy", "--max-len-b", "30")
    for buffer in ("1", "16"):
        printed = run_command(
            "fairseq-interactive", *flags, "--buffer-size", buffer, "--print-alignment", stdin="\n".join(odd).encode()
        )
        found = lines_of("H", printed)
        assert sorted(found) == list(range(len(odd))) and "nan" not in printed
        assert found[2][0][1] == "b2 b1" and found[3][0][1] == "b3"
        assert lines_of("A", printed)[2] == [["1-0 0-1"]]


def test_interactive_constraints(data, checkpoint):
    flags = (data, "--user-dir", PLUGIN, "--path", checkpoint, "--cpu", "-s", "xx", "-t", "yy", "--constraints")
    printed = run_command("fairseq-interactive", *flags, stdin=b"a1 a2\tb7\na3 a4\n")
    assert "b7" in lines_of("H", printed)[0][0][1].split() and lines_of("H", printed)[1][0][1] == "b4 b3"


def test_validate(data, checkpoint):
    printed = run_command(
        "fairseq-validate", data, "--user-dir", PLUGIN, "--task", "translation", "--path", checkpoint, "--cpu",
        "--max-tokens", "300", "--required-batch-size-multiple", "1",
    )  # fmt: skip
    assert "valid on 'valid' subset" in printed


def test_hub_interface(data, checkpoint):
    hub = BahdanauModel.from_pretrained(str(checkpoint.parent), checkpoint.name, str(data), source_lang="xx")
    assert hub.translate("a1 a2 a3", beam=3) == "b3 b2 b1"
    assert hub.translate(["a4", "a5 a6 a0"]) == ["b4", "b0 b6 b5"]
    hypothesis = hub.generate(hub.encode("a1 a2"), beam=2)[0]
    assert hypothesis["attention"].shape == (3, 3)


def test_python_m_needs_no_user_dir(data, checkpoint, generated):
    flags = ("--path", checkpoint, "--required-batch-size-multiple", "1", "--cpu", "--print-alignment")
    printed = run_command("python", "-m", "fairseq_bahdanau", "generate", data, *flags)
    assert hypotheses(printed) == hypotheses(generated)
    printed = run_command("python", "-m", "fairseq_bahdanau", "translate", succeeds=False)
    assert "usage: python -m fairseq_bahdanau {preprocess,train" in printed and "not 'translate'" in printed


@pytest.mark.parametrize("command", ["plain", "python -m"])
def test_hydra_train_with_the_shipped_yaml(command, data, tmp_path):
    overrides = (
        "--config-dir", PLUGIN / "config", "--config-name", "translation", f"task.data={data}", "common.cpu=true",
        f"checkpoint.save_dir={tmp_path}/run", "model.encoder_hidden_size=12", "model.decoder_hidden_size=14",
        "optimization.max_update=3", f"hydra.run.dir={tmp_path}/hydra",
    )  # fmt: skip
    if command == "plain":
        run_command("fairseq-hydra-train", *overrides, f"common.user_dir={PLUGIN}")
    else:
        run_command("python", "-m", "fairseq_bahdanau", "hydra-train", *overrides)
    path = tmp_path / "run" / "checkpoint_last.pt"
    assert torch.load(path)["model"]["decoder.recurrence.cell.state_gates.weight"].shape == (42, 14)
    assert torch.load(path)["model"]["decoder.embed_tokens.weight"].shape[1] == 620
    assert len(hypotheses(generate(data, path, "--max-len-b", "5"))) == 21


def test_replace_unk(corpus, checkpoint, data, tmp_path):
    """Unknown source words come out as <unk>, and are replaced by the word they were aligned to."""
    shutil.copytree(data, tmp_path / "raw")
    for language in ("xx", "yy"):
        (tmp_path / "raw" / f"test.xx-yy.{language}").write_text(
            "a1 Zebra a2\n" if language == "xx" else "b2 Zebra b1\n"
        )
    (tmp_path / "dictionary").write_text("a1 eins\na2 zwei\nZebra Zebra2\n")
    flags = ("--task", "translation_unk", "--dataset-impl", "raw", "--unkpen", "-20", "--prefix-size", "2")
    printed = generate(tmp_path / "raw", checkpoint, *flags, "--replace-unk", "")
    assert "<unk>" not in hypotheses(printed)[0] and set(hypotheses(printed)[0].split()) & {"a1", "Zebra", "a2"}
    printed = generate(tmp_path / "raw", checkpoint, *flags, "--replace-unk", tmp_path / "dictionary")
    assert set(hypotheses(printed)[0].split()) & {"eins", "zwei", "Zebra2"}
    refused = generate(tmp_path / "raw", checkpoint, *flags, "--replace-unk", "", "--print-alignment", succeeds=False)
    assert "--replace-unk and --print-alignment exclude each other" in refused.strip().splitlines()[-1]


ODD = ["a1 Zebra a2", "", "a1 </s> <pad> a2", " \t", "a3 a4 a5 a6 a7 a0"]


def test_odd_lines_in_fairseq_interactive(data, checkpoint, tmp_path):
    """A blank line stays blank, no word is a control symbol, unknown words are copied, and a limit is said."""
    source = write(tmp_path / "source", ODD)
    flags = (data, "--path", checkpoint, "--cpu", "--input", source, "--buffer-size", "3", "--batch-size", "3")
    limit = ("--max-len-a", "0", "--max-len-b", "4", "--unkpen", "-20")
    user_dir = ("--user-dir", PLUGIN)
    plain = run_command("fairseq-interactive", *flags, *limit, *user_dir)
    found = hypotheses(plain)
    assert len(found) == 5 and found[1] == found[3] == "" and "<unk>" in found[0]
    said = [line for line in plain.splitlines() if "it may be cut" in line]
    assert "sentence 'a3 a4 a5 a6 a7 a0': its translation reached the limit of 4 tokens" in said[-1]
    sources = {number: fields[0] for number, ((*fields,),) in lines_of("S", plain).items()}
    assert sources[0] == "a1 <unk> a2" and sources[2] == "a1 <unk> <unk> a2"
    ended = [number for number, text in enumerate(found) if len(text.split()) == 4]
    assert len(said) == len(ended) and 4 in ended

    task = ("--task", "translation_unk", "--replace-unk")
    copied = run_command("fairseq-interactive", *flags, *limit, *user_dir, *task)
    words = {"Zebra", "a1", "a2"}
    for before, after in zip(found[0].split(), hypotheses(copied)[0].split()):
        assert after in words if before == "<unk>" else after == before
    refused = run_command("fairseq-interactive", *flags, *user_dir, "--replace-unk", succeeds=False)
    assert "--replace-unk needs --task translation_unk" in refused.strip().splitlines()[-1]


def test_a_limit_is_said_by_fairseq_generate(data, checkpoint, corpus):
    printed = generate(data, checkpoint, "--max-len-a", "0", "--max-len-b", "3", "--nbest", "2", "--beam", "2")
    reached = {number for number, of in lines_of("H", printed).items() if len(of[0][-1].split()) == 3}
    for number in reached:
        assert (
            f"sentence {number}: its translation reached the limit of 3 tokens (--max-len-a 0 --max-len-b 3)" in printed
        )
    assert len(reached) > 5 and printed.count("it may be cut") <= 2 * 21


def test_a_control_symbol_in_a_text_is_binarized_as_an_unknown_word(corpus, tmp_path):
    folder = tmp_path / "text"
    shutil.copytree(corpus, folder)
    write(folder / "test.xx", ["a1 </s> a2", "<pad> <s>", "a3"])
    write(folder / "test.yy", ["b2 </s> b1", "<s>", "b3"])
    binarized = preprocess(folder, tmp_path / "bin", "--user-dir", PLUGIN)
    dictionary = Dictionary.load(str(binarized / "dict.xx.txt"))
    split = load_indexed_dataset(str(binarized / "test.xx-yy.xx"), dictionary)
    unk, eos = dictionary.unk(), dictionary.eos()
    assert [sentence.tolist() for sentence in split] == [
        [dictionary.index("a1"), unk, dictionary.index("a2"), eos],
        [unk, unk, eos],
        [dictionary.index("a3"), eos],
    ]


def test_joined_dictionary_with_tied_embeddings(corpus, tmp_path):
    data = preprocess(corpus, tmp_path / "bin", "--joined-dictionary")
    flags = ("--share-all-embeddings", "--decoder-embed-dim", "20", "--max-update", "5", "--no-epoch-checkpoints")
    train(data, tmp_path / "run", *flags)
    assert len(hypotheses(generate(data, tmp_path / "run" / "checkpoint_last.pt"))) == 21


def test_a_member_is_saved_and_loaded(data, tmp_path):
    member = ("--attention", "hard", "--attention-score", "bilinear", "--decoder-order", "update-look-update-generate")
    train(data, tmp_path, *member, "--max-update", "30", "--no-epoch-checkpoints")
    saved = torch.load(tmp_path / "checkpoint_last.pt")
    assert "decoder.attention.key_proj.weight" in saved["model"] and "decoder.attention.energy" not in saved["model"]
    assert "decoder.recurrence.second_cell.state_gates.weight" in saved["model"]
    printed = generate(data, tmp_path / "checkpoint_last.pt", "--print-alignment", "soft")
    weights = {
        float(w) for ((rows,),) in lines_of("A", printed).values() for row in rows.split() for w in row.split(",")
    }
    assert weights == {0.0, 1.0}
    refused = train(data, tmp_path / "refused", "--attention-score", "dot", succeeds=False)
    assert "--attention-score dot needs a --decoder-hidden-size of 48" in refused.strip().splitlines()[-1]


def test_a_fixed_context_on_the_command_line(data, tmp_path):
    member = ("--context", "fixed", "--cell", "lstm", "--encoder-bidirectional", "off", "--encoder-layers", "2")
    train(data, tmp_path, *member, "--max-update", "5", "--no-epoch-checkpoints")
    names = torch.load(tmp_path / "checkpoint_last.pt")["model"]
    assert "encoder.rnn.weight_hh_l1" in names and "encoder.rnn.weight_hh_l1_reverse" not in names
    assert not any("attention" in name for name in names)
    printed = generate(data, tmp_path / "checkpoint_last.pt", "--print-alignment", "soft", "--max-len-b", "5")
    for number, ((rows,),) in lines_of("A", printed).items():
        ((source,),) = lines_of("S", printed)[number]
        words = len(source.split()) + 1  # </s>
        for row in rows.split():
            assert [float(w) for w in row.split(",")] == pytest.approx([1 / words] * words, abs=1e-4)
