"""The modules here stand in for functions of fairseq that are silent where something is wrong, or lose something.

Each has an ``install`` that puts its functions in their place, for this process and for every model; their signatures
are fairseq's. ``plugin.py`` installs all of them. ``preflight.py`` alone is called: by
``python -m fairseq_bahdanau``, before fairseq begins.
"""

from . import (
    background,
    bfloat16,
    checkpoints,
    dictionaries,
    failures,
    hypotheses,
    loading,
    log_files,
    ngrams,
    saving,
    vocabulary,
)

FILES = (checkpoints, saving, loading, log_files)
TEXT = (dictionaries, vocabulary, hypotheses, ngrams)


def install() -> None:
    """Puts all of them in their places."""
    for module in (background, bfloat16, *FILES, *TEXT, failures):
        module.install()
