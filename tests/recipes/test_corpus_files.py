"""Commands that read published corpora, given what is damaged, hostile or missing: one line, nothing half-written."""

import gzip
import hashlib
import io
import os
import random
import shutil
import signal
import sys
import tarfile

import archives
import pytest
from support import ROOT

sys.path.insert(0, str(ROOT / "recipes"))
import fetch
import iwslt14
import wmt14

WANTED = "de-en/train.tags.de-en.de"
SCRIPTS = {"fetch": fetch, "iwslt14": iwslt14, "wmt14": wmt14}


@pytest.fixture
def complaint(monkeypatch, capsys):
    """Runs a command; returns what it complains of: one line, or nothing."""

    def run(script, *arguments):
        monkeypatch.setattr(sys, "argv", [f"{script}.py", *map(str, arguments)])
        try:
            SCRIPTS[script].main()
        except SystemExit as ended:
            said = capsys.readouterr().err.splitlines()
            assert ended.code == 1 and len(said) == 1 and said[0].startswith(f"{script}.py: "), said
            return said[0]
        assert capsys.readouterr().err == ""
        return None

    return run


@pytest.fixture(scope="module")
def campaign(tmp_path_factory):
    """The archive of IWSLT14, small."""
    folder = tmp_path_factory.mktemp("campaign") / "raw"
    archives.iwslt14(folder, 60)
    return folder / "de-en.tgz"


def entry(name, kind=tarfile.REGTYPE, target="", text=b""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, target, len(text)
    return info, text


def repacked(campaign, path, change):
    """Writes the campaign's archive with the training text changed: into the entries that ``change`` makes of it."""
    with tarfile.open(campaign) as old, tarfile.open(path, "w:gz") as new:
        for info in old:
            text = old.extractfile(info).read()
            for member, content in change(text) if info.name == WANTED else [(info, text)]:
                new.addfile(member, io.BytesIO(content))


NO_FILE = f"has no file {WANTED}"
HOSTILE = {
    "absolute": (lambda text: [entry(f"/{WANTED}", text=text)], NO_FILE),
    "above": (lambda text: [entry(f"../{WANTED}", text=text)], NO_FILE),
    "around": (lambda text: [entry(f"de-en/../{WANTED}", text=text)], NO_FILE),
    "symbolic link outside": (lambda text: [entry(WANTED, tarfile.SYMTYPE, "/etc/passwd")], "is a symbolic link, not"),
    "symbolic link inside": (lambda text: [entry("de-en/x", text=text), entry(WANTED, tarfile.SYMTYPE, "x")],
                             f"{WANTED} is a symbolic link, not a file"),
    "hard link outside": (lambda text: [entry(WANTED, tarfile.LNKTYPE, "/etc/passwd")], "is a hard link, not a file"),
    "hard link inside": (lambda text: [entry("x", text=text), entry(WANTED, tarfile.LNKTYPE, "x")], "is a hard link"),
    "hard link to itself": (lambda text: [entry(WANTED, tarfile.LNKTYPE, WANTED)], "is a hard link, not a file"),
    "device": (lambda text: [entry(WANTED, tarfile.CHRTYPE)], "is a device, not a file"),
    "pipe": (lambda text: [entry(WANTED, tarfile.FIFOTYPE)], "is a pipe, not a file"),
    "folder": (lambda text: [entry(WANTED, tarfile.DIRTYPE)], "is a folder, not a file"),
    "twice": (lambda text: [entry(WANTED, text=text), entry(WANTED, text=b"other\n")], f"has {WANTED} twice"),
    "twice, by another name": (lambda text: [entry(WANTED, text=text), entry(f"./{WANTED}")], f"has {WANTED} twice"),
    "behind a link": (lambda text: [entry("de-en", tarfile.SYMTYPE, "/tmp"), entry(WANTED, text=text)], None),
    "from here": (lambda text: [entry(f".//./{WANTED}", text=text)], None),
    "beside hostile ones": (lambda text: [entry("../evil", text=b"x"), entry("/evil", text=b"x"),
                                          entry("../up", tarfile.SYMTYPE, "/"), entry(WANTED, text=text)], None),
}  # fmt: skip


@pytest.mark.parametrize(("change", "message"), HOSTILE.values(), ids=HOSTILE)
def test_members_are_regular_files_of_exactly_their_names(tmp_path, campaign, complaint, change, message):
    repacked(campaign, tmp_path / "a.tgz", change)
    flags = ("--archive", tmp_path / "a.tgz", "--output", tmp_path / "out")
    for said in (complaint("wmt14", "extract", *flags, WANTED), complaint("iwslt14", *flags, "--workers", 1)):
        assert (message in said and f"{tmp_path}/a.tgz" in said) if message else said is None, said
    written = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    text = {f"out/{split}.{lang}" for split in ("train", "valid", "test", "reference") for lang in ("de", "en")}
    assert written == {"a.tgz"} if message else written == {"a.tgz", "out/train.tags.de-en.de", *text}


def test_whatever_happens_to_an_archive_is_noticed(tmp_path, campaign, complaint):
    whole = campaign.read_bytes()
    with gzip.open(campaign) as file:
        plain = file.read()
    numbers = random.Random(7)
    damaged = {"empty": b"", "text": b"some text\n" * 400, "zeros": bytes(20480), "cut tar": plain[: len(plain) // 2],
               "not packed twice": gzip.compress(whole), "gzip of nothing": gzip.compress(b"")}  # fmt: skip
    damaged.update({f"cut at {at}": whole[:at] for at in (1, 9, 60, 300, len(whole) // 2, len(whole) - 5)})
    for _ in range(60):
        bits = bytearray(whole)
        place = numbers.randrange(len(bits))
        bits[place] ^= 1 << numbers.randrange(8)
        damaged[f"bit flipped in byte {place}"] = bytes(bits)
    noticed = 0
    for name, content in damaged.items():
        (tmp_path / "a.tgz").write_bytes(content)
        flags = ("--archive", tmp_path / "a.tgz", "--output", tmp_path / "out")
        said = complaint("wmt14", "extract", *flags, "de-en/IWSLT14.TED.tst2012.de-en.en.xml")
        said_again = complaint("iwslt14", *flags, "--workers", 1)
        assert (said is None) == (said_again is None), name
        if said is None:  # a bit of gzip's header, which says nothing of the content
            assert gzip.decompress(content) == plain, name
            shutil.rmtree(tmp_path / "out")
        else:
            noticed += 1
            assert f"{tmp_path}/a.tgz" in said and f"{tmp_path}/a.tgz" in said_again, name
            assert not any((tmp_path / "out").iterdir()), name
    assert noticed >= 60


def test_a_packed_member_is_read_to_its_checksum(tmp_path, complaint):
    packed = bytearray(gzip.compress(b"one\n" * 1000))
    packed[-6] ^= 1
    for content in (bytes(packed), bytes(packed[:20]), b"plain\n"):
        with tarfile.open(tmp_path / "a.tar", "w") as archive:
            info, _ = entry("d/one.en.gz", text=content)
            archive.addfile(info, io.BytesIO(content))
        said = complaint("wmt14", "extract", "--archive", tmp_path / "a.tar", "--output", tmp_path / "out", info.name)
        assert f"{tmp_path}/a.tar: d/one.en.gz: damaged" in said and list((tmp_path / "out").iterdir()) == []


@pytest.fixture
def place(tmp_path, campaign):
    """A folder of files of several kinds, the working folder of the commands below."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("text\n")
    for name, content in {"a.de": b"eins\nzwei\n", "a.en": b"one\ntwo\n", "short.de": b"eins\n", "short.en": b"1\n2\n",
                          "latin.de": "schön\n".encode("latin-1"), "latin.en": b"nice\n", "wide.en": b"a\n",
                          "wide.de": "ä".encode("utf-16"), "bom.de": b"\xef\xbb\xbfeins\r\n",
                          "bom.en": b"\xef\xbb\xbfone\r\n", "none.de": b"", "none.en": b""}.items():  # fmt: skip
        (tmp_path / name).write_bytes(content)
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "x").write_text("x")
    (tmp_path / "raw" / "page.tgz").write_text("<html>give your password</html>")
    (tmp_path / "raw" / "half.tgz").write_bytes(gzip.compress(b"words" * 999)[:-9])
    (tmp_path / "indented.sgm").write_text('<seg id="1">a</seg>\n  <seg id="2">b</seg>\n')
    (tmp_path / "broken.sgm").write_text('<seg id="1">a\nb</seg>\n')
    right = hashlib.sha256(b"x").hexdigest()
    for name, line in {"right": f"{right} x", "wrong": f"{'0' * 32} x", "odd": "123 x", "long": f"{right} x y z",
                       "up": f"{right} ../x", "twice": f"{right} x\n{right} x", "web": "- x nohow://host/x",
                       "port": "- x http://host:port/x", "page": "- page.tgz\n- half.tgz"}.items():  # fmt: skip
        (tmp_path / f"sums.{name}").write_text(line + "\n")
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.add(tmp_path / "file", "d/file")
    repacked(campaign, tmp_path / "uneven.tgz", lambda text: [entry(WANTED, text=text + b"mehr\n")])
    repacked(campaign, tmp_path / "latin.tgz", lambda text: [entry(WANTED, text=text + "schön\n".encode("latin-1"))])
    repacked(campaign, tmp_path / "bare.tgz", lambda text: [])
    (tmp_path / "de-en.tgz").write_bytes(campaign.read_bytes())
    return tmp_path


BAD = [
    ("fetch --sums nowhere --dest out x", "nowhere: No such file"),
    ("fetch --sums folder --dest out x", "folder: Is a directory"),
    ("fetch --sums latin.de --dest out x", "latin.de"),
    ("fetch --sums sums.odd --dest out x", "sums.odd:1: must be DIGEST NAME, or DIGEST NAME URL, the digest of MD5"),
    ("fetch --sums sums.long --dest out x", "sums.long:1: must be DIGEST NAME"),
    ("fetch --sums sums.up --dest out ../x", "sums.up:1: ../x is not the name of a file"),
    ("fetch --sums sums.twice --dest out x", "sums.twice:2: x is listed twice"),
    ("fetch --sums sums.right --dest out y", "sums.right has no SHA-256 of y; it knows x"),
    ("fetch --sums sums.right --dest out x", "sums.right has no address of x: give --source"),
    ("fetch --sums sums.right --dest out --source nowhere x", "nowhere/x"),
    ("fetch --sums sums.right --dest file --source raw x", "file: File exists"),
    ("fetch --sums sums.right --dest file/out --source raw x", "file/out: Not a directory"),
    ("fetch --sums sums.wrong --dest out --source raw x", "raw/x is damaged or another version: its MD5 is"),
    ("fetch --sums sums.page --dest out --source raw page.tgz", "raw/page.tgz is no gzip archive, or a damaged one"),
    ("fetch --sums sums.page --dest out --source raw half.tgz", "raw/half.tgz is no gzip archive, or a damaged one"),
    ("fetch --sums sums.web --dest out x", "nohow://host/x: unknown url type: nohow"),
    ("fetch --sums sums.port --dest out x", "http://host:port/x: nonnumeric port: 'port'"),
    ("iwslt14 --archive nowhere --output out", "nowhere: No such file"),
    ("iwslt14 --archive folder --output out", "folder: Is a directory"),
    ("iwslt14 --archive a.tar --output out", "a.tar has no file de-en/train.tags.de-en.de"),
    ("iwslt14 --archive bare.tgz --output out", "bare.tgz has no file de-en/train.tags.de-en.de"),
    (
        "iwslt14 --archive uneven.tgz --output out",
        "uneven.tgz: de-en/train.tags.de-en.de has 66 lines, but de-en",
    ),
    ("iwslt14 --archive latin.tgz --output out", "latin.tgz: de-en/train.tags.de-en.de"),
    ("iwslt14 --archive de-en.tgz --output out --workers 0", "--workers 0: must be 1 or more"),
    ("iwslt14 --archive de-en.tgz --output out --workers 1 --expect 1 2 3", "expected 1 2 3 pairs of train, valid and"),
    ("iwslt14 --archive de-en.tgz --output file --workers 1", "file: File exists"),
    ("iwslt14 --archive de-en.tgz --output file/out --workers 1", "file/out: Not a directory"),
    ("wmt14 extract --archive nowhere --output out m", "nowhere: No such file"),
    ("wmt14 extract --archive folder --output out m", "folder: Is a directory"),
    ("wmt14 extract --archive file --output out m", "file: damaged, or no such archive"),
    ("wmt14 extract --archive a.tar --output out d/file d/other", "a.tar has no file d/other"),
    ("wmt14 extract --archive a.tar --output out d/file e/file", "MEMBER d/file: out/file cannot be written, or is"),
    ("wmt14 extract --archive a.tar --output out d/..", "MEMBER d/..: out/.. cannot be written"),
    ("wmt14 extract --archive a.tar --output out d/", "MEMBER d/: out/ cannot be written"),
    ("wmt14 extract --archive a.tar --output file d/file", "file: File exists"),
    ("wmt14 clean --languages de en --output out/t nowhere", "nowhere.de: No such file"),
    ("wmt14 clean --languages de en --output out/t short", "short.de ends after 1 lines, but short.en goes on"),
    ("wmt14 clean --languages de en --output out/t latin", "latin.de"),
    ("wmt14 clean --languages de en --output out/t wide", "wide.de"),
    ("wmt14 clean --languages de en --output out/t --workers 0 a", "--workers 0: must be 1 or more"),
    ("wmt14 clean --languages de en --output out/t --max-words 0 a", "--max-words 0: must be 1 or more"),
    ("wmt14 clean --languages de en --output out/t --max-ratio nan a", "--max-ratio nan: must be 1 or more"),
    ("wmt14 clean --languages de de --output out/t a", "--languages de de: must be two"),
    ("wmt14 clean --languages de xx --moses --output out/t a", "for de, en, fr alone, not for 'xx'"),
    ("wmt14 clean --languages de en --output file/t a", "file: File exists"),
    ("wmt14 clean --languages de en --output out/t none", "none of 0 pairs of none is clean"),
    ("wmt14 copy --languages de en --input nowhere --output out/t", "nowhere.de: No such file"),
    ("wmt14 copy --languages de en --input short --output out/t", "short.de ends after 1 lines, but short.en goes on"),
    ("wmt14 copy --languages de en --input latin --output out/t", "latin.de"),
    ("wmt14 copy --languages de en --input wide --output out/t", "wide.de"),
    ("wmt14 copy --languages de de --input a --output out/t", "--languages de de: must be two"),
    ("wmt14 copy --languages de en --input a --output file/t", "file: File exists"),
    ("wmt14 test-set --sgm nowhere --output out/t", "nowhere: No such file"),
    ("wmt14 test-set --sgm a.de --output out/t", "a.de has 0 segments, expected some"),
    ("wmt14 test-set --sgm latin.de --output out/t", "latin.de"),
    ("wmt14 test-set --sgm indented.sgm --output out/t", "indented.sgm, line 2: a segment must be a line of its own"),
    ("wmt14 test-set --sgm broken.sgm --output out/t", "broken.sgm, line 1: a segment must be a line of its own"),
    ("wmt14 test-set --sgm a.de --output folder", "a.de has 0 segments"),
    ("wmt14 detokenize --language xx --input a.de --output out/t", "for de, en, fr alone, not for 'xx'"),
    ("wmt14 detokenize --language de --input nowhere --output out/t", "nowhere: No such file"),
    ("wmt14 detokenize --language de --input latin.de --output out/t", "latin.de"),
    ("wmt14 detokenize --language de --input a.de --output folder", "folder cannot be written: it is a folder"),
]


@pytest.mark.parametrize(("command", "message"), BAD, ids=[command for command, _ in BAD])
def test_a_bad_input_is_refused_in_one_line(place, monkeypatch, complaint, command, message):
    monkeypatch.chdir(place)
    before = {path for path in place.rglob("*") if path.is_file()}
    said = complaint(*command.split())
    assert said is not None and message.replace(": No such file", "").replace(": Is a directory", "") in said
    for reason in ("No such file", "Is a directory"):
        assert reason not in message or reason.lower() in said.lower()
    assert {path for path in place.rglob("*") if path.is_file()} == before


def test_test_sets_are_copied_as_text(place, monkeypatch, complaint):
    monkeypatch.chdir(place)
    assert complaint("wmt14", "copy", "--languages", "de", "en", "--input", "bom", "--output", "out/test") is None
    assert {path.name: path.read_bytes() for path in (place / "out").iterdir()} == {
        "test.de": b"eins\n", "test.en": b"one\n"}  # fmt: skip


def test_a_killed_process_is_named(place, monkeypatch, complaint):
    monkeypatch.chdir(place)
    monkeypatch.setattr(wmt14, "clean_chunk", killed)
    said = complaint("wmt14", "clean", "--languages", "de", "en", "--workers", 2, "--output", "out/t", "a")
    assert said.endswith("one of --workers 2 processes was killed: too little memory?")
    assert list((place / "out").iterdir()) == []


def killed(*arguments):
    """Does as the kernel does with a process when memory is short."""
    os.kill(os.getpid(), signal.SIGKILL)
