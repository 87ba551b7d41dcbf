"""RNNsearch for fairseq: a bidirectional GRU encoder, additive attention, a GRU decoder and a maxout readout.

Importing the package, as ``--user-dir fairseq_bahdanau`` does, registers ``--arch bigru_bahdanau_maxout`` and
``--task translation_unk``. To read it, begin with ``attention.py``, ``recurrence.py`` and ``readout.py``, which are
the model's equations in order; then ``encoder.py`` and ``decoder.py``, which put them together; then ``model.py``,
which holds the options.
"""

__version__ = "0.1.0"

from . import checkpoints, criterions, model, tasks  # noqa: F401  they register themselves

checkpoints.install()
