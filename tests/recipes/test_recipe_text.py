"""How the recipes read, clean and segment text, fetch files and measure, each on its own."""

import functools
import gzip
import hashlib
import http.server
import json
import subprocess
import sys
import tarfile
import threading
from typing import ClassVar

import pytest
from support import ROOT

RECIPES = ROOT / "recipes"
sys.path.insert(0, str(RECIPES))
import fetch  # noqa: E402
import parallel  # noqa: E402
import wmt14  # noqa: E402

from fairseq_bahdanau import text  # noqa: E402
from fairseq_bahdanau.portable import moses  # noqa: E402


def double(chunk):
    return [2 * number for number in chunk if number % 7]


@pytest.mark.parametrize("workers", [1, 2])
def test_parallel_work_keeps_the_order_and_few_chunks(workers, monkeypatch):
    monkeypatch.setattr(parallel, "CHUNK", 10)
    taken = []

    def numbers():
        for number in range(500):
            taken.append(number)
            yield number

    results = parallel.in_parallel(double, numbers(), workers)
    first = next(results)
    assert first == 2 and len(taken) <= 10 * (2 * workers + 2)  # not all 500
    assert [first, *results] == [2 * number for number in range(500) if number % 7]


def test_files_of_different_lengths_are_named(tmp_path):
    (tmp_path / "a").write_text("1\n2\n")
    (tmp_path / "b").write_text("1\u2028x\r\n")
    with pytest.raises(ValueError, match=r"b ends after 1 lines, but .*a goes on"):
        list(text.stream_parallel_lines([str(tmp_path / "a"), str(tmp_path / "b")]))


def test_nothing_half_written_is_left(tmp_path):
    with pytest.raises(ZeroDivisionError), text.writing(str(tmp_path / "a"), str(tmp_path / "b")) as files:
        files[0].write("x")
        1 / 0  # noqa: B018
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("a &amp; b &#8217; &lt;i&gt;\r", "a & b ’ <i>"),
        ("zero\u200bwidth \u00adsoft\ufeff", "zerowidth soft"),
        ("one\u2028two\x85three\tfour\u00a0five\x07six", "one two three four five six"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        (" \u3000 ", ""),
    ],
)
def test_normalize(line, wanted):
    assert wmt14.normalize(line) == wanted


def test_pairs_that_do_not_fit_are_left_out():
    rows = [("a b", "c"), ("a b c", "d"), ("", "x"), ("a " * 6, "b " * 6), ("&nbsp;", "x")]
    assert wmt14.clean_chunk(5, 2.0, None, rows) == [("a b", "c"), None, None, None, None]
    assert moses.is_clean_pair((2, 1), 3, 2.0) and not moses.is_clean_pair((3, 1), 3, 2.0)
    assert not moses.is_clean_pair((4, 4), 3, 2.0) and not moses.is_clean_pair((0, 1), 3, 2.0)


def test_members_are_taken_out_of_archives_once(tmp_path):
    with tarfile.open(tmp_path / "a.tgz", "w:gz") as archive:
        for name, content in (("./x/one.en", b"1\n"), ("two.fr.gz", gzip.compress(b"2\n"))):
            (tmp_path / "file").write_bytes(content)
            archive.add(tmp_path / "file", name)
    out = tmp_path / "out"
    out.mkdir()
    wmt14.extract(str(tmp_path / "a.tgz"), ["x/one.en", "two.fr.gz"], str(out))
    assert {path.name: path.read_text() for path in out.iterdir()} == {"one.en": "1\n", "two.fr": "2\n"}
    (out / "one.en").write_text("kept")
    wmt14.extract(str(tmp_path / "a.tgz"), ["x/one.en", "two.fr.gz"], str(out))
    assert (out / "one.en").read_text() == "kept"
    with pytest.raises(ValueError, match=r"a.tgz has no file three"):
        wmt14.extract(str(tmp_path / "a.tgz"), ["three"], str(out))
    (tmp_path / "a.tgz").write_bytes((tmp_path / "a.tgz").read_bytes()[:60])
    (out / "one.en").unlink()
    with pytest.raises(ValueError, match=r"a.tgz: "):
        wmt14.extract(str(tmp_path / "a.tgz"), ["x/one.en", "x/four"], str(out))
    assert [path.name for path in out.iterdir()] == ["two.fr"]


class Halting(http.server.SimpleHTTPRequestHandler):
    """Sends half of a file and hangs up, unless it is asked for the rest."""

    asked: ClassVar[list] = []

    def do_GET(self):
        content = b"0123456789" * 1000
        asked = self.headers.get("Range")
        self.asked.append(asked)
        begin = int(asked[6:-1]) if asked else 0
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(content) - begin))
        self.end_headers()
        self.wfile.write(content[begin:] if asked else content[:5000])

    def log_message(self, *args):
        pass


def test_a_download_goes_on_from_where_it_was(tmp_path):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Halting)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    digest = hashlib.md5(b"0123456789" * 1000).hexdigest()
    (tmp_path / "SUMS").write_text(f"# a comment\n{digest} file http://127.0.0.1:{server.server_port}/file\n")
    command = [sys.executable, RECIPES / "fetch.py", "--sums", tmp_path / "SUMS", "--dest", tmp_path / "to", "file"]
    run = functools.partial(subprocess.run, list(map(str, command)), capture_output=True, text=True)
    first = run()
    assert first.returncode == 1 and "after 5000 of 10000 bytes: run it again to go on" in first.stderr
    assert not (tmp_path / "to" / "file").exists()
    assert run().returncode == 0 and (tmp_path / "to" / "file").stat().st_size == 10000
    assert Halting.asked == [None, "bytes=5000-"]
    assert run().returncode == 0 and len(Halting.asked) == 2  # it is there
    server.shutdown()


@pytest.mark.parametrize("expected", ["size:4", "-", hashlib.sha256(b"text").hexdigest()])
def test_what_a_file_must_be(tmp_path, expected):
    (tmp_path / "from").mkdir()
    (tmp_path / "from" / "file").write_text("text")
    (tmp_path / "to").mkdir()
    fetch.fetch("file", fetch.Entry(expected, None), str(tmp_path / "from"), str(tmp_path / "to"))
    assert (tmp_path / "to" / "file").read_text() == "text"


def test_a_file_of_another_size_is_refused(tmp_path):
    (tmp_path / "file").write_text("text")
    with pytest.raises(ValueError, match="its size is 4, expected 5"):
        fetch.fetch("file", fetch.Entry("size:5", None), str(tmp_path), str(tmp_path))
    assert not (tmp_path / "file.part").exists()


def test_measuring(tmp_path):
    record = tmp_path / "record"
    program = """x = bytearray(300_000_000)
import time
time.sleep(0.3)
while time.process_time() < 0.5: pass"""
    measure = [sys.executable, RECIPES / "measure.py", "--record", record, "--", sys.executable, "-c"]
    subprocess.run([*map(str, measure), program], check=True)
    line = json.loads(record.read_text())
    assert 0.5 <= line["cpu_seconds"] < line["seconds"] < 20 and 0.3 < line["peak_memory_gb"] < 0.4
    assert subprocess.run([*map(str, measure), "import sys; sys.exit(3)"]).returncode == 3
    assert len(record.read_text().splitlines()) == 1
