"""What fairseq-train refuses: one line that names the flag or the file, before any training."""

import pytest
from support import train


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--maxout-pool-size", "0"], "--maxout-pool-size must be at least 1, not 0"),
        (["--share-all-embeddings"], "--share-all-embeddings needs one dictionary"),
        (["--left-pad-target"], "--left-pad-target is not supported"),
        (["--source-lang", "xx", "--target-lang", "qq"], "dict.qq.txt"),
    ],
)
def test_fairseq_train_stops_before_training(flags, message, data, tmp_path):
    printed = train(data, tmp_path / "run", *flags, succeeds=False)
    assert message in printed.strip().splitlines()[-1]
    assert "begin training" not in printed and not list((tmp_path / "run").glob("*"))


def test_a_folder_without_data_is_named(tmp_path):
    printed = train(tmp_path, tmp_path / "run", succeeds=False)
    assert "language pair" in printed.strip().splitlines()[-1]
