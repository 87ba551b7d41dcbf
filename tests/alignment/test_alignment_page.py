"""The page of cli.align in a real browser."""

import html
import json
import re
import shutil
import subprocess

import pytest
from support import SENTENCES, weights

BROWSERS = ("chromium", "chromium-headless-shell", "chromium-browser", "google-chrome")
PROBE = """<script>
const cells = [...document.querySelectorAll("tbody td")].map(cell => {
  cell.scrollIntoView({block: "center", inline: "center"});
  const box = cell.getBoundingClientRect(), x = box.left + box.width / 2, y = box.top + box.height / 2;
  const table = cell.closest("table");
  const covers = (other, low, high, at) => other[low] <= at && at <= other[high];
  const above = [...table.querySelectorAll("thead th")]
    .filter(head => covers(head.querySelector("span").getBoundingClientRect(), "left", "right", x));
  const beside = [...table.querySelectorAll("tbody th")]
    .filter(head => covers(head.getBoundingClientRect(), "top", "bottom", y));
  return {tip: document.elementFromPoint(x, y).title, color: getComputedStyle(cell).backgroundColor,
          above: above.map(head => head.textContent), beside: beside.map(head => head.textContent)};
});
const found = {cells, fetched: performance.getEntriesByType("resource").length, title: document.title};
document.body.textContent = JSON.stringify(found);
</script></body>"""


def test_the_page_in_a_browser(run_align, tmp_path):
    """Chromium, found on the PATH, lays the page out; a script that the test adds points at the middle of every square
    and tells what the browser would show, and which words stand above and beside."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is on the PATH (Debian: chromium-headless-shell)")
    folder = run_align(["a1 <b>&amp;\"' a2", "שלום a3", "天 a4"] + SENTENCES)
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"https?:|src=|href=|@import|url\(", page)
    (tmp_path / "probe.html").write_text(page.replace("</body>", PROBE), encoding="utf-8")
    flags = ("--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'browser'}", "--dump-dom")
    finished = subprocess.run(
        [browser, *flags, (tmp_path / "probe.html").as_uri()],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        timeout=120,
    )
    shown = json.loads(html.unescape(re.search(r"<body>(.*?)</body>", finished.stdout.decode(), re.DOTALL).group(1)))
    assert shown["fetched"] == 0 and shown["title"] == "Alignments"
    wanted = [
        (source, target, table[j, i])
        for sources, targets, table in weights(folder).values()
        for j, target in enumerate(targets)
        for i, source in enumerate(sources)
    ]
    assert len(shown["cells"]) == len(wanted) > 60
    for cell, (source, target, weight) in zip(shown["cells"], wanted):
        assert cell["above"] == [source] and cell["beside"] == [target]
        tip, _, number = re.sub("[\u2068\u2069]", "", cell["tip"]).rpartition(": ")
        assert tip == f"{source} → {target}" and float(number) == pytest.approx(weight, abs=6e-4)
        grey = int(re.match(r"rgb\((\d+), \1, \1\)", cell["color"]).group(1))
        assert grey == pytest.approx(255 * weight, abs=0.6)
