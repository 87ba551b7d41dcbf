"""Files of pretrained word embeddings: what is read, and what is refused with option, file and line."""

import gzip

import pytest
import torch
from support import build_model

FILE = "--encoder-embed-path: FILE"
REFUSED = {
    "no-header": (
        "w1 1 2 3 4 5\n",
        "--encoder-embed-path: the first line of FILE must be 'COUNT SIZE', not 'w1 1 2 3 4 5'",
    ),
    "empty": ("", "--encoder-embed-path: the first line of FILE must be 'COUNT SIZE', not ''"),
    "negative-count": ("-1 5\nw1 1 2 3 4 5\n", "must be 'COUNT SIZE', not '-1 5'"),
    "superscript-count": ("² 5\nw1 1 2 3 4 5\n", "must be 'COUNT SIZE', not '² 5'"),
    "other-size": ("1 4\nw1 1 2 3 4\n", f"{FILE} has vectors of size 4, but --encoder-embed-dim is 5"),
    "too-few-values": ("2 5\nw1 1 2 3 4 5\nw2 1 2 3 4\n", f"{FILE}, line 3: 4 values behind the word"),
    "too-many-values": ("1 5\nw1 1 2 3 4 5 6\n", f"{FILE}, line 2: 6 values behind the word"),
    "word-of-two": ("1 5\nw 1 1 2 3 4 5\n", f"{FILE}, line 2: 6 values behind the word"),
    "two-spaces": ("1 5\nw1  1 2 3 4 5\n", f"{FILE}, line 2: 6 values behind the word"),
    "tabs": ("1 5\nw1\t1\t2\t3\t4\t5\n", f"{FILE}, line 2: 0 values behind the word"),
    "comma": ("1 5\nw1 1 2 3 4 5,0\n", f"{FILE}, line 2: could not convert string to float: '5,0'"),
    "nan": ("1 5\nw1 1 2 nan 4 5\n", f"{FILE}, line 2: a value that is infinite or not a number"),
    "infinite": ("1 5\nw1 1 2 inf 4 5\n", f"{FILE}, line 2: a value that is infinite"),
    "infinite-in-float32": ("1 5\nw1 1 2 1e39 4 5\n", f"{FILE}, line 2: a value that is infinite"),
    "repeated": ("2 5\nw1 1 2 3 4 5\nw1 1 2 3 4 6\n", f"{FILE}, line 3: the word 'w1' again"),
    "cut-short": ("3 5\nw1 1 2 3 4 5\nw2 1 2 3 4 5\n", f"{FILE} has 2 words, but its first line says 3"),
    "too-long": ("1 5\nw1 1 2 3 4 5\nw2 1 2 3 4 5\n", f"{FILE} has 2 words, but its first line says 1"),
    "nothing-known": ("1 5\nother 1 2 3 4 5\n", f"{FILE} has no word in common with the dictionary of 17 words"),
    "latin-1": ("2 5\nw1 1 2 3 4 5\ncafé 1 2 3 4 5\n".encode("latin-1"), f"{FILE}, line 3: not UTF-8 text"),
    "utf-16": ("1 5\nw1 1 2 3 4 5\n".encode("utf-16"), f"{FILE} is UTF-16 text"),
    "gzip": (gzip.compress(b"1 5\nw1 1 2 3 4 5\n"), f"{FILE} is compressed by gzip"),
    "zeros": (bytes(100), f"{FILE} has a NUL byte"),
}
WORDS = "3 5\nw3 1 2 3 4 5\nun\u00a0heard 9 9 9 9 9\nw4 5 4 3 2 -1\n"
READ = {
    "plain": WORDS.encode(),
    "byte-order-mark": b"\xef\xbb\xbf" + WORDS.encode(),
    "crlf": WORDS.replace("\n", "\r\n").encode(),
    "spaces-at-the-end": WORDS.replace("\n", " \n").encode(),
    "no-last-newline": WORDS.rstrip("\n").encode(),
    "an-empty-line-at-the-end": (WORDS + "\n").encode(),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_embedding_file_that_does_not_fit(kind, tmp_path):
    content, message = REFUSED[kind]
    path = tmp_path / "vectors.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError) as error:
        build_model(encoder_embed_path=str(path))
    assert message.replace("FILE", str(path)) in str(error.value) and str(path) in str(error.value)
    assert "\n" not in str(error.value) and str(error.value).startswith("--encoder-embed-path: ")


@pytest.mark.parametrize(("name", "message"), [("folder", "Is a directory"), ("gone", "no such file")])
def test_embedding_file_that_is_none(name, message, tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(ValueError, match=f"--decoder-embed-path: .*{message}"):
        build_model(decoder_embed_path=str(tmp_path / name))


@pytest.mark.parametrize("kind", READ)
def test_embedding_file_of_another_hand_is_read(kind, tmp_path):
    path = tmp_path / "vectors.txt"
    path.write_bytes(READ[kind])
    rows = build_model(encoder_embed_path=str(path)).encoder.embed_tokens.weight
    assert rows[7].tolist() == [1, 2, 3, 4, 5] and rows[8].tolist() == [5, 4, 3, 2, -1]


def test_embedding_file_that_is_compressed_by_its_name_is_read(tmp_path):
    path = tmp_path / "vectors.txt.gz"
    path.write_bytes(gzip.compress(READ["crlf"]))
    assert build_model(encoder_embed_path=str(path)).encoder.embed_tokens.weight[7].tolist() == [1, 2, 3, 4, 5]
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"--encoder-embed-path: cannot read .*not a whole gzip file"):
        build_model(encoder_embed_path=str(path))


def test_embedding_files_fill_the_rows_that_they_know(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_text("2 5\nw3 1 2 3 4 5\nunheard 9 9 9 9 9\n")
    target.write_text("1 7\nz16 1 2 3 4 5 6 -7.5\n")
    plain = build_model()
    model = build_model(encoder_embed_path=str(source), decoder_embed_path=str(target))
    assert model.encoder.embed_tokens.weight[7].tolist() == [1, 2, 3, 4, 5]
    assert model.decoder.embed_tokens.weight[20].tolist() == [1, 2, 3, 4, 5, 6, -7.5]
    assert torch.equal(model.encoder.embed_tokens.weight[8], plain.encoder.embed_tokens.weight[8])
