"""The READMEs point at things that exist."""

import re

import pytest
from conftest import ROOT

READMES = ["README.md", "recipes/multi30k/README.md"]


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
    from fairseq_bahdanau.model import BahdanauConfig

    for option in BahdanauConfig.__dataclass_fields__:
        if option not in ("_name", "max_source_positions", "max_target_positions"):
            assert f"`--{option.replace('_', '-')}`" in (ROOT / "README.md").read_text(), option
