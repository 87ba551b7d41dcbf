"""Words, links, their quality and their heat_maps, against computations of another kind or by hand."""

import warnings
from types import SimpleNamespace

import matplotlib.image
import numpy as np
import pytest
import torch
from matplotlib.font_manager import FontManager, get_font
from support import dictionary

from fairseq_bahdanau.alignment import heat_maps
from fairseq_bahdanau.alignment.links import (
    Alignment,
    align,
    hard_links,
    merge_subwords,
    read_pharaoh,
    soft_rows,
    subword_marker,
    to_pharaoh,
)
from fairseq_bahdanau.alignment.scores import finish, flip, grow_diag, score
from fairseq_bahdanau.tasks import TranslationUnkTask


def random_alignment(source: str, target: str) -> Alignment:
    source, target = [*source.split(), "</s>"], [*target.split(), "</s>"]
    numbers = np.random.default_rng(5).random((len(target), len(source)))
    return Alignment(source, target, numbers / numbers.sum(axis=1, keepdims=True))


@pytest.mark.parametrize("src_tokens", [[1, 1, 5, 6, 2], [5, 6, 2, 1, 1], [5, 6, 2]])
def test_padding_of_batches_is_dropped(src_tokens):
    src_tokens = torch.tensor(src_tokens)
    attention = torch.zeros(4, len(src_tokens))  # the fourth row is of a longer target in the same batch
    attention[:3, src_tokens != 1] = torch.tensor([[0.5, 0.25, 0.25], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    found = align(["a", "b", "</s>"], ["x", "y", "</s>"], attention, src_tokens, 1)
    assert found.weights.tolist() == [[0.5, 0.25, 0.25], [0, 1, 0], [0, 0, 1]]
    with pytest.raises(ValueError, match="is not that of 5 target and 3 source words"):
        align(["a", "b", "</s>"], ["x"] * 5, attention, src_tokens, 1)
    with pytest.raises(ValueError, match="is not that of 3 target and 6 source words"):
        align(["a"] * 6, ["x", "y", "</s>"], attention, src_tokens, 1)


def test_the_marker_is_that_of_the_dictionary():
    assert subword_marker(["<s>", "a", "b@@"]) == "@@" and subword_marker(["<s>", "▁a", "b@@"]) == "▁"
    assert subword_marker(["<s>", "@@a", "b▁"]) is None
    assert subword_marker(["a@@", "b@@", "▁", "▁x"]) == "@@" and subword_marker(["▁a", "▁b", "c@@", "@@"]) == "▁"
    assert subword_marker(["a", "▁", "@@"]) is None  # characters of the text


def test_pieces_are_summed_over_the_source_and_averaged_over_the_target():
    pieces = random_alignment("▁two ▁m en", "zw@@ ei@@ fel los")
    words = merge_subwords(pieces, "▁", "@@")
    assert words.source == ["two", "men", "</s>"] and words.target == ["zweifel", "los", "</s>"]
    w = pieces.weights
    by_hand = [(w[0, 1] + w[0, 2] + w[1, 1] + w[1, 2] + w[2, 1] + w[2, 2]) / 3, w[3, 1] + w[3, 2], w[4, 1] + w[4, 2]]
    np.testing.assert_allclose(words.weights[:, 1], by_hand)
    np.testing.assert_allclose(words.weights.sum(axis=1), 1)
    unchanged = merge_subwords(pieces, None, None)
    assert unchanged.source == pieces.source and (unchanged.weights == w).all()


@pytest.mark.parametrize(
    ("pieces", "marker", "words"),
    [
        ("▁ a b ▁ ▁c", "▁", ["ab", "▁", "c"]),
        ("a b ▁c", "▁", ["ab", "c"]),  # a hypothesis may begin within a word
        ("a b@@", "@@", ["a", "b"]),  # and end within one, but </s> is no part of it
        ("", "▁", []),
    ],
)
def test_odd_pieces(pieces, marker, words):
    assert merge_subwords(random_alignment(pieces, "x"), marker, None).source == [*words, "</s>"]


def test_hard_links_are_those_of_replace_unk():
    task = TranslationUnkTask.__new__(TranslationUnkTask)
    task.src_dict = dictionary(3)
    for length in range(1, 6):
        found = random_alignment(" ".join("a" * length), "x y z")
        src_tokens = torch.tensor([1] * 2 + [5] * length + [2])
        attention = torch.zeros(len(src_tokens), 4)
        attention[2:] = torch.from_numpy(found.weights.T)
        wanted = task.most_attended(attention, src_tokens)[:-1]  # fairseq leaves the target's </s> out
        assert hard_links(found) == [(source, target) for target, source in enumerate(wanted)]
    assert hard_links(random_alignment("", "x y")) == hard_links(random_alignment("a", "")) == []


def test_the_formats():
    found = Alignment(["a", "</s>"], ["x", "</s>"], np.array([[0.25, 0.75], [1.0, 0.0]]))
    assert soft_rows(found)[:2] == ["0\t0\ta\tx\t0.250000", "1\t0\t</s>\tx\t0.750000"] and len(soft_rows(found)) == 4
    assert to_pharaoh({(2, 0), (0, 10), (0, 9)}) == "0-9 0-10 2-0"
    assert read_pharaoh("0-1 3?12 ") == ({(0, 1)}, {(0, 1), (3, 12)}) and read_pharaoh("") == (set(), set())
    for wrong in ("1", "1-", "-1-2", "1-2-3", "1–2", "a-b"):
        with pytest.raises(ValueError, match=f"'{wrong}' is neither a sure link"):
            read_pharaoh(wrong)


def test_alignment_error_rate_by_hand():
    """Three sure links, two of them found; two possible ones, one of them found; one link is wrong."""
    gold = [read_pharaoh("0-0 1-1 2?1"), read_pharaoh("0-1 0?0")]
    found = [{(0, 0), (2, 1), (5, 5)}, {(0, 1)}]
    quality = score(found, gold)
    assert (
        quality.precision == 3 / 4 and quality.recall == 2 / 3 and quality.aer == pytest.approx(1 - (2 + 3) / (4 + 3))
    )
    assert score([sure for sure, _ in gold], gold) == (1, 1, 0)
    assert np.isnan(score([set(), set()], gold).precision) and score([set(), set()], gold)[1:] == (0, 1)
    with pytest.raises(ValueError, match="no sure link"):
        score([{(0, 0)}], [read_pharaoh("0?0")])


def grow_by_matrices(forward: np.ndarray, backward: np.ndarray, final: bool) -> np.ndarray:
    """Rows are target words, columns source words: the loops of Koehn et al.'s pseudocode, over 0 and 1."""
    union, grown = forward | backward, forward & backward
    before = None
    while before is None or (grown != before).any():
        before = grown.copy()
        for e in range(union.shape[0]):
            for f in range(union.shape[1]):
                if not grown[e, f]:
                    continue
                for f_step, e_step in ((-1, 0), (0, -1), (1, 0), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1)):
                    new_e, new_f = e + e_step, f + f_step
                    if 0 <= new_e < union.shape[0] and 0 <= new_f < union.shape[1] and union[new_e, new_f]:
                        grown[new_e, new_f] |= not grown[new_e].any() or not grown[:, new_f].any()
    for direction in (forward, backward) if final else ():
        for e, f in np.argwhere(direction):
            grown[e, f] |= not grown[e].any() or not grown[:, f].any()
    return grown


@pytest.mark.parametrize("final", [False, True])
def test_grow_diag_of_random_alignments(final):
    numbers = np.random.default_rng(11)
    grew = 0
    for _ in range(300):
        forward, backward = numbers.random((2, *numbers.integers(1, 8, 2))) < 0.35
        wanted = {(int(f), int(e)) for e, f in np.argwhere(grow_by_matrices(forward, backward, final))}
        directions = [{(int(f), int(e)) for e, f in np.argwhere(one)} for one in (forward, backward)]
        grown = grow_diag(*directions)
        assert (finish(grown, directions) if final else grown) == wanted
        grew += directions[0] & directions[1] != wanted != directions[0] | directions[1]
    assert grew > 100


def test_grow_diag_by_hand():
    r"""Both say 0-0. 1-1 is its neighbour, 2-1 that one's; 0-1 is a neighbour too, but both its words then have a link;
    4-4 is nobody's neighbour, so only the final step takes it."""
    forward, backward = {(0, 0), (1, 1), (4, 4)}, flip({(0, 0), (1, 2)})
    assert grow_diag(forward, backward) == {(0, 0), (1, 1), (2, 1)}
    assert finish(grow_diag(forward, backward), [forward, backward]) == {(0, 0), (1, 1), (2, 1), (4, 4)}
    assert grow_diag({(0, 0), (0, 1), (1, 1)}, {(0, 0), (1, 1)}) == {(0, 0), (1, 1)}


def pixels(alignment: Alignment, path) -> np.ndarray:
    """Grey levels, 0 to 255, ``(height, width)``; no glyph may be missing."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        heat_maps.draw(alignment, str(path), "png")
    return np.round(matplotlib.image.imread(path)[:, :, 0] * 255).astype(int)


def test_the_picture_has_the_weights_in_their_places(tmp_path):
    weights = np.array([[1.0, 0.0, 0.0], [0.0, 0.25, 0.75]])
    picture = pixels(Alignment(["a", "b", "</s>"], ["x", "</s>"], weights), tmp_path / "a.png")
    places = {level: np.median(np.argwhere(picture == level), axis=0) for level in (64, 192)}
    assert places[64][0] == places[192][0]  # the same row,
    assert places[192][1] - places[64][1] == pytest.approx(heat_maps.CELL * heat_maps.DPI, abs=1)  # the next column
    row, column = np.argwhere(picture == 64).mean(axis=0).astype(int)
    step = round(heat_maps.CELL * heat_maps.DPI)
    assert picture[row - step, column - step] == 255 and picture[row - step, column] == picture[row, column - step] == 0


def test_the_same_alignment_is_the_same_file(tmp_path):
    for file_format in ("svg", "png"):
        for name in ("a", "b"):
            heat_maps.draw(random_alignment("a b", "x"), str(tmp_path / name), file_format)
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("odd", ["$x^2$ $", "<b>&amp;", "\\frac", "_ ^ {", "a\u200db"])
def test_labels_that_are_no_formula(odd, tmp_path):
    pixels(random_alignment(odd, odd), tmp_path / "a.png")


def test_dollar_signs_are_shown(tmp_path):
    """They take room, across and down; as a formula, the label would be shorter than the word without them."""
    shape = lambda source, target: pixels(random_alignment(source, target), tmp_path / "a.png").shape  # noqa: E731
    assert shape("x", "$aaaaa$")[1] > shape("x", "aaaaaa")[1] and shape("$aaaaa$", "x")[0] > shape("aaaaaa", "x")[0]


def test_right_to_left_letters_are_in_reading_order(tmp_path):
    """As when the letters are given backwards and forced to stand from left to right."""
    drawn = [
        pixels(random_alignment(word, "x"), tmp_path / "a.png") for word in ("שלום", "\u202d" + "שלום"[::-1], "םולש")
    ]
    assert (drawn[0] == drawn[1]).all() and not (drawn[0] == drawn[2]).all()


def test_arabic_letters_are_joined(tmp_path):
    joined, apart = (pixels(random_alignment("x", word), tmp_path / "a.png") for word in ("سسس", "س\u200cس\u200cس"))
    assert joined.shape[1] < apart.shape[1]  # the form inside a word is narrower


def test_other_scripts_find_an_installed_font(tmp_path):
    words = "今天 日本語 한국어 Привет ελληνικά"
    covered = {character for entry in FontManager().ttflist if "LastResort" not in entry.fname
               for character in "今天日本語한국" if ord(character) in get_font(entry.fname).get_charmap()}  # fmt: skip
    if covered != set("今天日本語한국"):
        pytest.skip("no font with CJK characters is installed (Debian: fonts-noto-cjk)")
    pixels(random_alignment(words, words), tmp_path / "a.png")


def test_a_missing_font_is_named(monkeypatch, tmp_path):
    only = SimpleNamespace(ttflist=[entry for entry in FontManager().ttflist if "/matplotlib/" in entry.fname])
    monkeypatch.setattr(heat_maps, "FontManager", lambda: only)  # one of them has a box for any character
    monkeypatch.setattr(heat_maps, "installed_fonts", heat_maps.installed_fonts.__wrapped__)
    for label, wanted in (
        ("天", r"'天' \(U\+5929, CJK UNIFIED IDEOGRAPH-5929\); install one, on Debian the package fonts-noto-cjk"),
        ("ሀ", r"'ሀ' \(U\+1200, ETHIOPIC SYLLABLE HA\); install one, on Debian the package fonts-noto-core"),
    ):
        with pytest.raises(heat_maps.CannotDrawError, match=f"no installed font has {wanted}"):
            heat_maps.draw(random_alignment("a", label), str(tmp_path / "a.png"), "png")
    assert not list(tmp_path.iterdir())


def test_an_older_matplotlib_refuses_right_to_left_text(monkeypatch):
    monkeypatch.delattr(heat_maps.ft2font, "__libraqm_version__")
    with pytest.raises(heat_maps.CannotDrawError, match=r"HEBREW LETTER ALEF.* is right-to-left text"):
        heat_maps.find_families(["א"])
    assert heat_maps.find_families(["a"]) == ["DejaVu Sans"]
