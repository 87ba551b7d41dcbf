"""tests/README.md names tests that exist, and rooms that do."""

import re

from support import ROOT

PAGE = (ROOT / "tests" / "README.md").read_text(encoding="utf-8")


def test_every_test_that_is_named_exists():
    named = re.findall(r"`(\w+/test_\w+\.py)::(test_\w+)`", PAGE)
    assert len(named) > 40 and PAGE.count("::") == len(named)  # none is written in another way
    for path, name in named:
        file = ROOT / "tests" / path
        assert file.is_file(), path
        assert re.search(rf"^def {name}\(", file.read_text(encoding="utf-8"), re.MULTILINE), f"{path}::{name}"


def test_every_room_is_named():
    rooms = {folder.name for folder in (ROOT / "tests").iterdir() if list(folder.glob("test_*.py"))}
    assert set(re.findall(r"`(\w+)` \(", PAGE.split("## ")[0])) == rooms
    for script in re.findall(r"tests/\w+(?:\.sh)?", PAGE.split("## ")[0]):
        assert (ROOT / script).exists(), script
