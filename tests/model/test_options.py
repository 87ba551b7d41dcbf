"""Options that contradict each other, the dictionaries or a file: one line that names the flag."""

import logging
import re
from dataclasses import fields

import pytest
from fairseq import options as fairseq_options
from fairseq.models import ARCH_MODEL_REGISTRY
from omegaconf import OmegaConf
from support import PLUGIN, build_model, dictionary

from fairseq_bahdanau.attention import SCORES
from fairseq_bahdanau.model import SMALL_DATA, BahdanauConfig, BahdanauModel
from fairseq_bahdanau.orders import ORDERS
from fairseq_bahdanau.recurrence import CELLS

SAME = dictionary(9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"maxout_pool_size": 0}, "--maxout-pool-size must be at least 1, not 0"),
        ({"attention_dim": -3}, "--attention-dim must be at least 1, not -3"),
        ({"hard_attention_top_k": 0, "attention": "hard"}, "--hard-attention-top-k must be at least 1, not 0"),
        ({"hard_attention_top_k": 2}, "--hard-attention-top-k is for --attention hard"),
        ({"attention_score": "dot"}, "--attention-score dot needs a --decoder-hidden-size of 12, .* not 8"),
        (
            {"attention_score": "dot", "encoder_bidirectional": "off"},
            "--attention-score dot needs a --decoder-hidden-size of 6, .* not 8",
        ),
        ({"gru_reset": "before", "cell": "lstm"}, "--gru-reset before is for --cell gru, not lstm"),
        ({"encoder_layers": 0}, "--encoder-layers must be at least 1, not 0"),
        (
            {"context": "fixed", "decoder_order": "update-look-generate"},
            "--context fixed has no attention: leave out --decoder-order update-look-generate",
        ),
        ({"context": "fixed", "attention_score": "dot", "decoder_hidden_size": 12}, "leave out --attention-score dot"),
        ({"context": "fixed", "attention": "hard"}, "leave out --attention hard"),
        ({"decoder_out_embed_dim": 0}, "--decoder-out-embed-dim must be at least 1, not 0"),
        ({"decoder_out_embed_dim": 9, "share_decoder_input_output_embed": True}, "--decoder-out-embed-dim is 9, but"),
        ({"adaptive_softmax_cutoff": [5], "output_bias": True}, "no output layer that could have --output-bias"),
        ({"embed_dropout": 1.0}, "--embed-dropout must be at least 0 and less than 1, not 1.0"),
        ({"share_all_embeddings": True}, "--share-all-embeddings needs one dictionary .*--joined-dictionary"),
        (
            {"share_all_embeddings": True, "source": SAME, "target": SAME},
            "--share-all-embeddings needs equal sizes, but --encoder-embed-dim is 5 and --decoder-embed-dim is 7",
        ),
        (
            {
                "share_all_embeddings": True, "source": SAME, "target": SAME, "encoder_embed_dim": 7,
                "decoder_embed_path": "x",
            },
            "give --encoder-embed-path, not --decoder-embed-path",
        ),
        ({"adaptive_softmax_cutoff": [5], "share_decoder_input_output_embed": True}, "-cutoff has no output layer"),
        ({"adaptive_softmax_cutoff": [9, 5]}, "--adaptive-softmax-cutoff must rise between 1 and .* 21 words"),
        ({"adaptive_softmax_cutoff": [5, 21]}, "--adaptive-softmax-cutoff must rise"),
        ({"encoder_embed_path": "/nowhere"}, "--encoder-embed-path: no such file: /nowhere"),
    ],
)  # fmt: skip
def test_contradiction_is_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message) as error:
        build_model(**options)
    assert "\n" not in str(error.value)


def test_defaults_are_the_papers_sizes():
    cfg = BahdanauConfig()
    sizes = (cfg.encoder_embed_dim, cfg.encoder_hidden_size, cfg.decoder_embed_dim, cfg.decoder_hidden_size)
    assert sizes == (620, 1000, 620, 1000)
    assert (cfg.attention_dim, cfg.maxout_dim, cfg.maxout_pool_size) == (1000, 500, 2)
    assert ARCH_MODEL_REGISTRY["bigru_bahdanau_maxout"] is BahdanauModel


def test_tied_embeddings_are_one_tensor_and_a_projection_bridges_sizes():
    model = build_model(source=SAME, target=SAME, share_all_embeddings=True, encoder_embed_dim=7)
    assert model.encoder.embed_tokens is model.decoder.embed_tokens
    assert model.decoder.output_projection.weight is model.decoder.embed_tokens.weight
    assert model.decoder.factor_proj.weight.shape == (7, 10)
    same_size = build_model(share_decoder_input_output_embed=True, maxout_dim=7)
    assert "decoder.factor_proj.weight" not in same_size.state_dict()
    assert model.encoder.embed_tokens.weight[1].abs().sum() == 0


def test_parameter_names_are_those_that_checkpoints_carry():
    names = {re.sub(r"\.(weight|bias)$", "", name) for name in build_model().state_dict()}
    rnn = {f"encoder.rnn.{kind}_{side}_l0{way}" for kind in ("weight", "bias") for side in ("ih", "hh")
           for way in ("", "_reverse")}  # fmt: skip
    assert names == rnn | {
        "encoder.embed_tokens", "decoder.embed_tokens", "decoder.initial_state", "decoder.attention.query_proj",
        "decoder.attention.key_proj", "decoder.attention.energy", "decoder.recurrence.embed_gates",
        "decoder.recurrence.context_gates", "decoder.recurrence.cell.state_gates", "decoder.readout.state_proj",
        "decoder.readout.context_proj", "decoder.readout.embed_proj", "decoder.output_projection",
        "dictionaries_version",
    }  # fmt: skip


def test_every_option_has_a_help_text():
    for name, option in BahdanauConfig.__dataclass_fields__.items():
        assert name in ("_name", "max_source_positions", "max_target_positions") or option.metadata["help"], name


def test_the_shipped_yaml_has_the_defaults():
    shipped = OmegaConf.load(PLUGIN / "config" / "translation.yaml").model
    positions = ("max_source_positions", "max_target_positions")  # the task's
    defaults = {name: value for name, value in vars(BahdanauConfig()).items() if name not in (*positions, "_name")}
    wanted = {
        name: value if value is None or isinstance(value, (int, float)) else str(value)
        for name, value in defaults.items()
    }
    assert dict(shipped) == {"_name": "bigru_bahdanau_maxout", **wanted}


def test_the_command_line_overrides_the_preset_for_small_data():
    words = ["data", "--arch", "bigru_bahdanau_small_data", "--dropout", "0.1", "--attention-dim", "99"]
    args = fairseq_options.parse_args_and_arch(fairseq_options.get_training_parser(), words)
    assert {name: getattr(args, name) for name in SMALL_DATA} == {**SMALL_DATA, "dropout": 0.1, "attention_dim": 99}


def test_the_choices_are_those_of_the_tables():
    """A row of a table is a choice of its option, and what the tables do not pair is refused."""
    choices = {
        one.name: [str(choice) for choice in one.type]
        for one in fields(BahdanauConfig)
        if hasattr(one.type, "__members__")
    }
    assert choices["attention_score"] == list(SCORES)
    for first, second, table in (("cell", "gru_reset", CELLS), ("context", "decoder_order", ORDERS)):
        pairs = [(one, other) for one in choices[first] for other in choices[second]]
        assert {pair for pair in pairs if builds(**dict(zip((first, second), pair)))} == set(table)


def builds(**options) -> bool:
    """Whether a model is made of these options; if not, the line of refusal names one of them."""
    try:
        build_model(**options)
    except ValueError as error:
        assert any(f"--{name.replace('_', '-')} {value}" in str(error) for name, value in options.items())
        return False
    return True


@pytest.mark.parametrize(
    ("options", "member"),
    [
        ({"attention_score": "bilinear"}, "--attention-score bilinear"),
        ({"context": "fixed"}, "--context fixed"),
        ({"attention_score": "bilinear", "attention_dim": 1000}, None),
        ({}, None),
    ],
)
def test_a_size_that_changes_nothing_is_told(options, member, caplog):
    with caplog.at_level(logging.INFO):
        build_model(**options)
    told = f"--attention-dim 9 changes nothing: {member} has no hidden layer of that size"
    assert told in caplog.text if member else "changes nothing" not in caplog.text
