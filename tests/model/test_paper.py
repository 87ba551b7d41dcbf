"""The paper exactly: ``--arch rnnsearch50``, its size, its options and the order of its batches."""

import numpy as np
import pytest
from omegaconf import OmegaConf
from support import PLUGIN, ROOT, count, preset

from fairseq_bahdanau.tasks import SortedWithin

AUTHORS_CODE = {"decoder_order": "update-look-generate", "decoder_out_embed_dim": 620, "output_bias": True}


@pytest.mark.parametrize(
    ("options", "millions"), [({}, 80.4), (AUTHORS_CODE, 84.4), ({"context": "fixed"}, 78.4)],
    ids=["paper", "authors-code", "RNNencdec-50"],
)  # fmt: skip
def test_parameter_count_is_that_of_the_equations(options, millions):
    V, m, n, l = 30001, 620, 1000, 500  # noqa: E741  the paper's letters
    embeddings = 2 * V * m
    # Each direction: W (m), U (n) and b for reset, update and new; PyTorch has b twice, once for each product.
    encoder = 2 * 3 * (n * m + n * n + 2 * n)
    # The same, with C for the context of size 2n.
    decoder = 3 * (n * m + n * 2 * n + n * n + 2 * n)
    initial = n * n + n  # W_s, b_s
    attention = n * n + n * 2 * n + n + n  # W_a, U_a, b_a, v
    readout = 2 * l * (n + 2 * n + m) + 2 * l  # U_o, V_o, C_o, b_o
    output = V * l  # W_o
    if options.get("context") == "fixed":
        attention, initial = 0, n * 2 * n + n
    if "output_bias" in options:
        output = l * m + m * V + V
    wanted = embeddings + encoder + decoder + initial + attention + readout + output
    assert count(**preset(**options)) == wanted
    assert round(wanted / 1e6, 1) == millions


def test_options_override_the_preset():
    assert preset() == {"gru_reset": "before", "init": "paper"}
    assert preset(init="glorot", context="fixed") == {"gru_reset": "before", "init": "glorot", "context": "fixed"}


def test_the_yaml_is_the_preset_and_its_flags():
    yaml = OmegaConf.load(PLUGIN / "config" / "rnnsearch50.yaml")
    plain = OmegaConf.load(PLUGIN / "config" / "translation.yaml")
    assert yaml.model == {**plain.model, **preset()}
    lines = (ROOT / "recipes/multi30k/models/rnnsearch50.args").read_text().splitlines()
    flags = dict(line.split() for line in lines if not line.startswith("#"))
    del flags["--arch"], flags["--max-epoch"]
    in_yaml = {
        "--task": yaml.task._name, "--sort-within": yaml.task.sort_within, "--batch-size": yaml.dataset.batch_size,
        "--criterion": yaml.criterion._name, "--optimizer": yaml.optimizer._name, "--lr": yaml.optimization.lr[0],
        "--adadelta-rho": yaml.optimizer.adadelta_rho, "--adadelta-eps": yaml.optimizer.adadelta_eps,
        "--lr-scheduler": yaml.lr_scheduler._name, "--clip-norm": yaml.optimization.clip_norm,
    }  # fmt: skip
    assert flags.keys() == in_yaml.keys()
    for flag, value in flags.items():
        assert value == in_yaml[flag] or float(value) == in_yaml[flag], flag


class Pairs:
    """As much of fairseq's dataset as its order needs."""

    def __init__(self, sizes):
        self.sizes = np.array(sizes)

    def __len__(self):
        return len(self.sizes)


def test_pairs_are_sorted_within_their_part_alone():
    sizes = np.random.RandomState(1).randint(1, 60, (170, 2))
    np.random.seed(5)
    order = SortedWithin(Pairs(sizes), 40).ordered_indices()
    assert sorted(order) == list(range(170))
    np.random.seed(5)
    shuffled = np.random.permutation(170)
    longer = sizes.max(axis=1)
    for start in range(0, 170, 40):
        part = order[start : start + 40]
        assert set(part) == set(shuffled[start : start + 40])
        assert (np.diff(longer[part]) >= 0).all()
    assert (np.diff(longer[order]) < 0).sum() == 4
