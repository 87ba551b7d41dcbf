"""Fairseq gets RNNsearch here: a bidirectional GRU encoder, additive attention, a GRU decoder and a maxout readout.

Importing the package, as ``--user-dir fairseq_bahdanau`` does, registers ``--arch bigru_bahdanau_maxout`` and
``--task translation_unk``.

To read it, begin with the model, in this order: ``attention.py``, ``recurrence.py`` and ``readout.py`` are the
equations; ``decoder.py`` puts them together, and ``orders.py`` has the other orders of its step; ``encoder.py`` makes
the annotations, by ``rnn.py`` where PyTorch has no module of a cell. All else stands beside it: ``search.py``, what a
beam search carries; ``fused/``, the orders of a step that look, made fast; ``model.py``, the assembly from the options
of ``options.py``; ``guards/``, what stands in for functions of fairseq; ``alignment/``, what shows the attention of a
trained model; ``cli/``, the commands.

Letters, here and in the whole package: h_j annotation of source position j, s_t decoder state, e_tj score, a_tj
attention weight, c_t context, y_t target word, E its embedding, u_t and m_t readout. Shapes: ``batch`` is the rows of a
batch, ``sentences`` times ``beams`` in a search; ``src_len`` and ``tgt_len`` count tokens, ``</s>`` included.
"""

import torch

__version__ = "0.1.0"

if tuple(int(part) for part in torch.__version__.split(".")[:2]) < (2, 4):
    raise ImportError(f"fairseq-bahdanau needs PyTorch 2.4 or later, install one: this is {torch.__version__}")

from . import criterions, guards, model, r_drop, tasks  # noqa: F401  they register themselves

guards.install()
