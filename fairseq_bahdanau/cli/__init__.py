"""Command-line tools: ``python -m fairseq_bahdanau.cli.average --help``."""
