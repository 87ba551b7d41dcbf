"""A trained model translates here without fairseq and without PyTorch: NumPy, onnxruntime and sentencepiece are enough.

``folder.py`` reads what ``cli/export.py`` has written, ``lines.py`` turns lines into tokens and back, ``search.py`` is
fairseq's beam search; :class:`fairseq_bahdanau.translator.Translator` puts them together.
"""
