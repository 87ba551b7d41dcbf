"""The README and the pages under docs/ and recipes/ point at things that exist."""

import re
import sys
from pathlib import Path

import pytest
from support import ROOT, count, preset

from fairseq_bahdanau.model import BahdanauConfig

sys.path.insert(0, str(ROOT / "benchmarks"))
import report

PAGES = [
    str(path.relative_to(ROOT))
    for path in (
        ROOT / "README.md",
        ROOT / "examples/README.md",
        *sorted(ROOT.glob("docs/*.md")),
        *sorted(ROOT.glob("recipes/**/README.md")),
    )
]
PACKAGE = ROOT / "fairseq_bahdanau"


def anchors(page: Path) -> set:
    """What links into a page may name: its headings, as GitHub spells them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)  # a # there is a comment
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


@pytest.mark.parametrize("name", PAGES)
def test_links_and_functions_exist(name):
    page = ROOT / name
    links = re.findall(r"\[(?:`([^`]+)`|[^\]]*)\]\(([^)#\s]*)(?:#([^)]*))?\)", page.read_text())
    assert links
    for code, target, anchor in links:
        if target.startswith("http"):
            continue
        path = page.parent / target if target else page
        assert path.exists(), target
        if anchor:
            assert anchor in anchors(path / "README.md" if path.is_dir() else path), f"{target}#{anchor}"
        if path.suffix == ".py" and re.fullmatch(r"[A-Z]\w+\.\w+", code):  # Class.function
            source = path.read_text()
            kind, function = code.split(".")
            assert f"def {function}(" in source and f"class {kind}(" in source, code


def test_figures_on_the_pages_are_those_that_were_measured():
    """A figure that was typed, or results that no page shows yet: python benchmarks/report.py mends both."""
    for path, page in report.pages(ROOT, report.read_all(report.RESULTS)).items():
        assert path.read_text(encoding="utf-8") == page, path.name


def test_every_page_of_docs_is_named_in_the_readme():
    for page in ROOT.glob("docs/*.md"):
        assert f"](docs/{page.name})" in (ROOT / "README.md").read_text(), page.name


def test_the_tree_in_docs_is_that_of_the_package():
    """The lines between the package and the next folder beside it; commands are not listed one by one."""
    (tree,) = re.findall(
        r"^    fairseq_bahdanau/\n(.*?)^    recipes/", (ROOT / "docs/design.md").read_text(), re.DOTALL | re.MULTILINE
    )
    shown, folder = set(), ""
    for line in tree.splitlines():
        indent, name = re.fullmatch(r"( *)([\w./]*).*", line).groups()
        folder = folder if len(indent) > 6 else ""
        if name.endswith("/"):
            folder = name
        elif name:
            shown.add(folder + name)
    there = {str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py")}
    assert shown == {path for path in there if not path.startswith("cli/") and path != "alignment/__init__.py"}


@pytest.mark.parametrize("name", PAGES)
def test_commands_name_files_that_exist(name):
    for script in re.findall(r"(?:bash|source) ([\w/.]+\.sh)", (ROOT / name).read_text()):
        assert (ROOT / script).is_file(), script


def test_every_option_is_in_the_table():
    for option in BahdanauConfig.__dataclass_fields__:
        if option not in ("_name", "max_source_positions", "max_target_positions"):
            assert f"`--{option.replace('_', '-')}`" in (ROOT / "docs/family.md").read_text(), option


def family():
    """Flags and parameters of every row of the table of the family."""
    section = (ROOT / "docs/family.md").read_text().split("## Members")[1].split("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")][2:]
    return [(row[2].strip(" `").split(), int(row[4].replace(",", ""))) for row in rows]


@pytest.mark.parametrize(
    ("flags", "parameters"), family(), ids=lambda value: " ".join(value) if type(value) is list else ""
)
def test_parameters_of_the_family(flags, parameters):
    options = {}
    for flag in " ".join(flags).split("--")[1:]:
        name, *value = flag.split()
        options[name.replace("-", "_")] = True if not value else int(value[0]) if value[0].isdigit() else value[0]
    if "arch" in options:
        options = preset(**options)
    assert count(**options) == parameters
