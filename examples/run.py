"""Runs the English notebook, saves it, and gives its code and outputs to the Chinese one: ``python examples/run.py``.

It needs ``pip install nbclient ipykernel``. The text of each language is edited in its own file, the code in the
English one. A cell that is new needs its name (``id``) and place in both.
"""

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parent
ENGLISH, CHINESE = (FOLDER / f"attention_step_by_step{language}.ipynb" for language in ("", ".zh"))

english, chinese = (nbformat.read(path, as_version=4) for path in (ENGLISH, CHINESE))
names = [[(cell.id, cell.cell_type) for cell in notebook.cells] for notebook in (english, chinese)]
if names[0] != names[1]:
    sys.exit(f"run: the cells of the notebooks differ: {sorted(set(names[0]) ^ set(names[1])) or 'in their order'}")

# Without times, and with the lines of a cell in one piece however they arrived: a second run changes nothing in git.
NotebookClient(
    english, record_timing=False, coalesce_streams=True, resources={"metadata": {"path": str(FOLDER)}}
).execute()
chinese.cells = [ours if ours.cell_type == "code" else theirs for ours, theirs in zip(english.cells, chinese.cells)]
chinese.metadata = english.metadata
nbformat.write(english, ENGLISH)
nbformat.write(chinese, CHINESE)
