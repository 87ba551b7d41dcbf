"""Command-line tools: ``python -m fairseq_bahdanau.cli.average --help``."""

import logging
import os

# Importing fairseq has told every library to log all it does (fairseq/models/wav2vec/wav2vec2_classification.py);
# fairseq's own commands log from this level on.
logging.getLogger().setLevel(os.environ.get("LOGLEVEL", "INFO").upper())
