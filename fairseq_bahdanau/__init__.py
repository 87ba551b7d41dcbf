"""Fairseq gets RNNsearch here: a bidirectional GRU encoder, additive attention, a GRU decoder and a maxout readout.

Where fairseq is loaded, as under ``--user-dir fairseq_bahdanau``, importing the package registers ``--arch
bigru_bahdanau_maxout``, ``--task translation_unk`` and the rest (``plugin.py``). Where it is not, a module that needs
it, such as ``model.py``, does that when it is imported; those that need neither fairseq nor torch start without them.

To read it, begin with the model, in this order: ``attention.py``, ``recurrence.py`` and ``readout.py`` are the
equations; ``decoder.py`` puts them together, and ``orders.py`` has the other orders of its step; ``encoder.py`` makes
the annotations, by ``rnn.py`` where PyTorch has no module of a cell. All else stands beside it: ``search.py``, what a
beam search carries; ``fused/``, the orders of a step that look, made fast; ``model.py``, the assembly from the options
of ``options.py``; ``guards/``, what stands in for functions of fairseq; ``alignment/``, what shows the attention of a
trained model; ``cli/``, the commands; ``portable/``, what translates with an exported model, without all of these.

Letters, here and in the whole package: h_j annotation of source position j, s_t decoder state, e_tj score, a_tj
attention weight, c_t context, y_t target word, E its embedding, u_t and m_t readout. Shapes: ``batch`` is the rows of a
batch, ``sentences`` times ``beams`` in a search; ``src_len`` and ``tgt_len`` count tokens, ``</s>`` included.
"""

import sys

__version__ = "0.1.0"

if "fairseq" in sys.modules:
    from . import plugin  # noqa: F401
