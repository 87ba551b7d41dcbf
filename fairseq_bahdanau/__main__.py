"""Makes ``python -m fairseq_bahdanau train`` do what ``fairseq-train --user-dir fairseq_bahdanau`` does."""

import importlib
import sys

import fairseq_bahdanau
from fairseq_bahdanau.complaints import complaining

COMMANDS = ("preprocess", "train", "validate", "generate", "interactive", "hydra-train")


def main() -> None:
    """Runs fairseq's command of that name in this process, with this package as its user directory."""
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        complaint = f", not '{sys.argv[1]}'" if len(sys.argv) > 1 else ""
        sys.exit(f"usage: python -m fairseq_bahdanau {{{','.join(COMMANDS)}}} [fairseq's options]{complaint}")
    command, user_dir, given = sys.argv[1], fairseq_bahdanau.__path__[0], sys.argv[2:]
    # hydra wants its overrides together, and after its own flags is where they stand.
    given = [*given, f"common.user_dir={user_dir}"] if command == "hydra-train" else ["--user-dir", user_dir, *given]
    sys.argv = [f"fairseq-{command}", *given]
    with complaining(f"fairseq-{command}: error"):
        importlib.import_module(f"fairseq_cli.{command.replace('-', '_')}").cli_main()


if __name__ == "__main__":
    main()
