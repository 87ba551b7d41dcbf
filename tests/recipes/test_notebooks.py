"""The notebooks of examples/: their code runs, both languages have the same, and it printed and drew what they show."""

import json
import re
import subprocess
import sys

import pytest
from support import ROOT, environment

NAMES = ["attention_step_by_step.ipynb", "attention_step_by_step.zh.ipynb"]
both = pytest.mark.parametrize("name", NAMES)
PICTURE = "<a picture>\n"
# Stands before the code. A mark is printed before each cell, and a line in place of each picture, which is drawn.
PREFACE = f"""
import matplotlib.pyplot as plt

def show():
    plt.gcf().canvas.draw()
    plt.close("all")
    print({PICTURE!r}, end="")

plt.show = show
"""
MARK = "<the cell "


def notebook(name: str) -> dict:
    return json.loads((ROOT / "examples" / name).read_text(encoding="utf-8"))


def cells(name: str, kind: str) -> dict:
    """Cells of a kind by their names, in their order."""
    return {cell["id"]: cell for cell in notebook(name)["cells"] if cell["cell_type"] == kind}


def sources(name: str, kind: str) -> dict:
    return {key: "".join(cell["source"]) for key, cell in cells(name, kind).items()}


def shown(cell: dict) -> str:
    """What a cell printed and drew, as it stands in the file; any other output is an error."""
    result = ""
    for output in cell["outputs"]:
        if output["output_type"] == "stream" and output["name"] == "stdout":
            result += "".join(output["text"])
        else:
            assert output["output_type"] == "display_data" and "image/png" in output["data"], output
            result += PICTURE
    return result


def figures(line: str) -> str:
    """A line with # for its numbers; of the spaces before one, which depend on how wide it is, one is left."""
    return re.sub(r" +#", " #", re.sub(r"[\d.]+", "#", line))


def without_figures(printed: str) -> str:
    """Numbers that another processor rounds differently become #, with the room before them; those of shapes do not."""
    lines = printed.splitlines()
    return "\n".join(line if re.search(r"\(\d.*\)$", line) else figures(line) for line in lines)


def run(code: dict, folder) -> subprocess.CompletedProcess:
    """Runs the code of cells in one fresh process, without Jupyter."""
    script = folder / "cells.py"
    marked = [f"print({MARK + name!r})\n{source}\n" for name, source in code.items()]
    script.write_text(PREFACE + "\n".join(marked), encoding="utf-8")
    variables = environment(MPLBACKEND="Agg", PYTHONPATH=str(ROOT), PYTHONIOENCODING="utf-8")
    command = [sys.executable, str(script)]
    return subprocess.run(command, env=variables, capture_output=True, encoding="utf-8", timeout=600)


def test_the_code_runs_and_gives_what_is_shown(tmp_path):
    finished = run(sources(NAMES[0], "code"), tmp_path)
    assert finished.returncode == 0, finished.stderr
    given = dict(part.split("\n", 1) for part in finished.stdout.split(MARK)[1:])
    expected = {key: shown(cell) for key, cell in cells(NAMES[0], "code").items()}
    assert list(given) == list(expected)
    for key, printed in expected.items():
        assert without_figures(given[key]) == without_figures(printed), f"{key}: run the notebooks and save them"


def test_an_assertion_that_fails_is_seen(tmp_path):
    code = sources(NAMES[0], "code")
    first = {key: code[key] for key in list(code)[: list(code).index("softmax-code") + 1]}
    first["softmax-code"] += "\nassert_close(e_1, a_1)"
    finished = run(first, tmp_path)
    assert finished.returncode == 1 and "Tensor-likes are not close" in finished.stderr


def test_both_languages_have_the_same_cells():
    english, chinese = map(notebook, NAMES)
    assert [cell["id"] for cell in english["cells"]] == [cell["id"] for cell in chinese["cells"]]
    assert cells(NAMES[0], "code") == cells(NAMES[1], "code")  # and the same outputs
    for key, text in sources(NAMES[0], "markdown").items():
        translated = sources(NAMES[1], "markdown")[key]
        assert re.search("[\u4e00-\u9fff]", translated) and not re.search("[\u4e00-\u9fff]", text), key
        assert formulas(translated) == formulas(text), key


def formulas(text: str) -> list:
    """Formulas on lines of their own, without the words and the white space in them."""
    return re.findall(r"\$\$(.*?)\$\$", re.sub(r"\\text\{[^}]*\}|\s", "", text))


@both
def test_it_was_run_from_top_to_bottom_and_names_no_machine(name):
    page = notebook(name)
    assert set(page["metadata"]) == {"kernelspec", "language_info"}
    assert not any(cell["metadata"] for cell in page["cells"])  # times would stand there
    code = cells(name, "code")
    assert [cell["execution_count"] for cell in code.values()] == list(range(1, len(code) + 1))
    pictures = [output["data"]["image/png"] for cell in code.values() for output in cell["outputs"] if "data" in output]
    assert len(pictures) > 5 and max(map(len, pictures)) < 50_000
    assert len(json.dumps(page)) < 350_000 and (ROOT / "examples" / name).stat().st_size < 300_000
    for cell in code.values():
        assert not re.search(r"(?<![\w<.])/\w+/|\w:\\", shown(cell))  # an absolute path


@both
def test_links_lead_somewhere(name):
    links = re.findall(r"\]\(([^)#\s]+)(?:#([^)]*))?\)", "\n".join(sources(name, "markdown").values()))
    assert len(links) > 10
    for target, anchor in links:
        if not target.startswith("http"):
            path = ROOT / "examples" / target
            assert path.is_file(), target
            headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE) if anchor else []
            assert not anchor or anchor in {heading.lower().replace(" ", "-") for heading in headings}, anchor
