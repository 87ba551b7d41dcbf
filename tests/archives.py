"""Small archives in the layout of IWSLT14 and WMT14, with the oddities of the real ones; a text without an archive."""

import gzip
import hashlib
import io
import random
import tarfile
from pathlib import Path
from typing import Dict, List, Tuple

NOUNS = {"dog": "Hund", "cat": "Katze", "house": "Haus", "tree": "Baum", "boy": "Junge", "girl": "Mädchen"}
VERBS = {"sees": "sieht", "likes": "mag", "finds": "findet", "hears": "hört"}


def sentences(count: int, seed: int) -> List[Tuple[str, str]]:
    """Pairs of English and another language."""
    numbers = random.Random(seed)
    pairs = []
    for _ in range(count):
        one, verb, two = numbers.choice(list(NOUNS)), numbers.choice(list(VERBS)), numbers.choice(list(NOUNS))
        number = numbers.randrange(100)
        pairs.append((f"The {one} {verb} the {two}, number {number}.", f"Das {NOUNS[one]} {VERBS[verb]} "
                      f"{NOUNS[two]}, die {number}."))  # fmt: skip
    return pairs


def pack(path: Path, members: Dict[str, str]) -> None:
    """Writes an archive, gzipped unless it is a .tar, whose members are these texts; those called .gz are packed."""
    with tarfile.open(path, "w" if path.suffix == ".tar" else "w:gz") as archive:
        for name, text in members.items():
            content = gzip.compress(text.encode()) if name.endswith(".gz") else text.encode()
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def sums(folder: Path) -> None:
    """Writes SUMS for all archives of a folder, by MD5."""
    files = [path for path in sorted(folder.iterdir()) if path.name != "SUMS"]
    text = "".join(f"{hashlib.md5(path.read_bytes()).hexdigest()} {path.name}\n" for path in files)
    (folder / "SUMS").write_text(text)


def sgm(lines: List[str]) -> str:
    """A test set of WMT, with a document's header and a blank line."""
    body = "\n".join(f'<seg id="{number}">{line}</seg>' for number, line in enumerate(lines, start=1))
    return f'<srcset setid="x" srclang="any">\n<doc docid="a" genre="news">\n<p>\n\n{body}\n</p>\n</doc>\n</srcset>\n'


def columns(pairs: List[Tuple[str, str]]) -> Tuple[str, str]:
    """The text of both sides."""
    return tuple("".join(line + "\n" for line in side) for side in zip(*pairs))


def wmt14(folder: Path, other: str, lines: int) -> None:
    """The archives of WMT14 for English and ``de`` or ``fr``, in which every corpus has so many clean pairs and a few
    that are not."""
    folder.mkdir()
    odd = [
        ("Tom &amp; Jerry &quot;run&quot;\r", "Tom &amp; Jerry &quot;rennen&quot;"),
        ("a\u2028line\x0bwith \x07controls\u200b", "eine\u00a0Zeile"),
        ("", "leer"),
        ("   ", ""),
        ("one two three four five six seven eight nine ten", "eins"),
        ("word " * 300, "Wort " * 300),
    ]
    names = {
        "training-parallel-europarl-v7.tgz": "training/europarl-v7",
        "training-parallel-commoncrawl.tgz": "commoncrawl",
        "training-parallel-nc-v9.tgz": "training/news-commentary-v9",
    }
    if other == "fr":
        names["training-parallel-un.tgz"] = "un/undoc.2000"
    for seed, (archive, corpus) in enumerate(names.items()):
        english, foreign = columns(sentences(lines, seed) + odd)
        pack(folder / archive, {f"{corpus}.cs-en.cs": "x", f"{corpus}.{other}-en.{other}": foreign,
                                f"{corpus}.{other}-en.en": english})  # fmt: skip
    if other == "fr":
        english, foreign = columns(sentences(lines, 9) + odd)
        giga = "giga-fren.release2.fixed"
        pack(folder / "training-giga-fren.tar", {f"{giga}.fr.gz": foreign, f"{giga}.en.gz": english})
    pair = "deen" if other == "de" else "fren"
    for archive, name, count in (
        ("dev.tgz", "dev/newstest2013", 9),
        ("test-full.tgz", f"test-full/newstest2014-{pair}", 11),
    ):
        english, foreign = zip(*sentences(count, count))
        members = {f"{name}-{side}.{lang}.sgm": sgm(text) for side in ("src", "ref")
                   for lang, text in (("en", english), (other, foreign))}  # fmt: skip
        pack(folder / archive, members)
    sums(folder)


def iwslt14(folder: Path, lines: int) -> None:
    """IWSLT14's archive, with so many clean training pairs and a few that are not."""
    folder.mkdir()
    head = "<url>http://x</url>\n<keywords>talks, x</keywords>\n<talkid>1</talkid>\n"
    odd = [
        ("<title>Al Gore: A &amp; B</title>", "<title>Al Gore: A &amp; B</title>"),
        ('<description>It\'s "so" | so\u2028so.</description>\r', "<description>Es ist 'so' [so].</description>"),
        ("", ""),
        ("one two three four", "eins"),
        ("x " * 200, "x " * 200),
    ]
    english, german = columns(odd + sentences(lines, 1))
    members = {"de-en/train.tags.de-en.de": head + german, "de-en/train.tags.de-en.en": head + english}
    for seed, name in enumerate(("TED.dev2010", "TEDX.dev2012", "TED.tst2010", "TED.tst2011", "TED.tst2012"), start=3):
        both = [*sentences(seed, seed), ("It’s  Q&amp;A", "Das ist Q&amp;A")]
        for language, side in (("en", 0), ("de", 1)):
            body = "".join(f'<seg id="{n}"> {pair[side]} </seg>\n' for n, pair in enumerate(both, start=1))
            text = f'<?xml version="1.0"?>\n<mteval>\n<doc docid="1">\n<url>x</url>\n{body}</doc>\n</mteval>\n'
            members[f"de-en/IWSLT14.{name}.de-en.{language}.xml"] = text
    pack(folder / "de-en.tgz", members)
    sums(folder)


def rnnsearch(folder: Path, lines: int) -> None:
    """The archives of Schwenk's selection, tokenised."""
    folder.mkdir()
    members = {}
    for seed, name in enumerate(("ep7_pc45", "nc9", "dev08_11", "crawl", "ccb2_pc30", "un2000_pc34")):
        english, french = (text.replace(",", " ,").replace(".", " .") for text in columns(sentences(lines, seed)))
        members[f"bitexts.selected/{name}.en.gz"] = english + "word " * 51 + "\n"
        members[f"bitexts.selected/{name}.fr.gz"] = french + "mot " * 51 + "\n"
    pack(folder / "bitexts.tgz", members)
    members = {}
    for seed, name in ((20, "ntst1213"), (21, "ntst14")):
        english, french = (text.replace(",", " ,").replace(".", " .") for text in columns(sentences(seed - 8, seed)))
        members.update({f"dev/{name}.en": english, f"dev/{name}.fr": french})
    pack(folder / "dev+test.tgz", members)
    (folder / "SUMS").write_text("- bitexts.tgz\n- dev+test.tgz\n")


def own_text(folder: Path, lines: int) -> None:
    """A text of a user's own: two files each to train, validate and test on."""
    folder.mkdir()
    for seed, (split, count) in enumerate({"train": lines, "valid": 12, "test": 13}.items()):
        for name, text in zip(("en", "de"), columns(sentences(count, seed))):
            (folder / f"{split}.{name}").write_text(text)
