"""The READMEs point at things that exist."""

import re

import pytest
from support import ROOT, count, preset

from fairseq_bahdanau.model import BahdanauConfig

READMES = [str(path.relative_to(ROOT)) for path in (ROOT / "README.md", *sorted(ROOT.glob("recipes/**/README.md")))]


@pytest.mark.parametrize("name", READMES)
def test_links_and_functions_exist(name):
    page = ROOT / name
    links = re.findall(r"\[(?:`([^`]+)`|[^\]]*)\]\(([^)#]+)[^)]*\)", page.read_text())
    assert links
    for code, target in links:
        if not target.startswith("http"):
            path = page.parent / target
            assert path.exists(), target
            if re.fullmatch(r"[A-Z]\w+\.\w+", code):  # Class.function
                source = path.read_text()
                kind, function = code.rsplit(".", 1)
                assert f"def {function}(" in source and f"class {kind.split('.')[-1]}(" in source, code


@pytest.mark.parametrize("name", READMES)
def test_commands_name_files_that_exist(name):
    for script in re.findall(r"(?:bash|source) ([\w/.]+\.sh)", (ROOT / name).read_text()):
        assert (ROOT / script).is_file(), script


def test_every_option_is_in_the_table():
    for option in BahdanauConfig.__dataclass_fields__:
        if option not in ("_name", "max_source_positions", "max_target_positions"):
            assert f"`--{option.replace('_', '-')}`" in (ROOT / "README.md").read_text(), option


def family():
    """Flags and parameters of every row of the table of the family."""
    section = (ROOT / "README.md").read_text().split("## The family")[1].split("###")[0]
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
    if options.pop("arch", "") == "rnnsearch50":
        options = preset(**options)
    assert count(**options) == parameters
