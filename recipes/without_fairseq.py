"""Importing this module makes ``from fairseq_bahdanau.text import ...`` load that one file, without torch and fairseq.

The package itself registers its model with fairseq when it is imported, which takes about 5 seconds. A recipe starts
small scripts a dozen times, and none of them needs a model. So this module puts an empty package of that name, with the
right folder, where Python looks first (``sys.modules``); a program that has imported the real package keeps it.

A script imports this module before anything of ``fairseq_bahdanau``, which is the order that ruff gives them. A process
that a ``ProcessPoolExecutor`` starts imports its script, and this module with it. ``quickstart`` has a link to this
file, since Python looks for modules beside the script.
"""

import sys
from pathlib import Path
from types import ModuleType

if "fairseq_bahdanau" not in sys.modules:
    package = ModuleType("fairseq_bahdanau")
    package.__path__ = [str(Path(__file__).resolve().parent.parent / "fairseq_bahdanau")]
    sys.modules["fairseq_bahdanau"] = package
