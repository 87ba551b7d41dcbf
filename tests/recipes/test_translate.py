"""recipes/translate.sh: raw text in, raw text out."""

import json
import shutil

import pytest
from support import translate

ODD = [
    b"a1 a2 a3",
    b"",
    b"  \t ",
    b"a4\ra5",
    "a0\u2028a6 \x0ca7\x00".encode(),
    b"\xff\xfe a1",
    b"</s> <pad> unknown",
    b"a2 " * 1001,
    b"a3",
]


@pytest.fixture(scope="module")
def pair(data, checkpoint, tmp_path_factory):
    """The folder of a recipe's language pair, on words."""
    pair = tmp_path_factory.mktemp("work") / "xx-yy"
    shutil.copytree(data, pair / "bin")
    (pair / "model").mkdir()
    shutil.copy(checkpoint, pair / "model" / "averaged.pt")
    how = {"source": "xx", "target": "yy", "pieces": "words", "moses": False, "lowercase": False}
    (pair / "text.json").write_text(json.dumps(how))
    return pair


def test_every_line_has_its_translation(pair):
    printed = translate(pair / "model" / "averaged.pt", b"\n".join(ODD))
    found = printed.decode().split("\n")
    assert found.pop() == "" and len(found) == len(ODD)
    # The model writes backwards.
    assert found[0] == "b3 b2 b1" and found[8] == "b3"
    assert found[1] == found[2] == ""
    assert found[3] == "b5 b4" and "b6" in found[4]
    assert translate(pair / "model" / "averaged.pt", b"") == b""


def test_options_go_to_fairseq(pair):
    checkpoint = pair / "model" / "averaged.pt"
    assert translate(f"{checkpoint}:{checkpoint}", b"a1 a2\n", "--beam", "2") == b"b2 b1\n"
    assert "fairseq-interactive failed" in translate(checkpoint, b"a1\n", "--beam", "x", succeeds=False)


def test_a_checkpoint_from_elsewhere_is_refused(checkpoint):
    assert "no folder above it has a text.json" in translate(checkpoint, b"x\n", succeeds=False)
    assert "no such checkpoint: /nowhere.pt" in translate("/nowhere.pt", b"x\n", succeeds=False)
