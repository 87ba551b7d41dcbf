"""Makes ``python -m fairseq_bahdanau train`` do what ``fairseq-train --user-dir fairseq_bahdanau`` does.

What cannot work is refused by one line; see ``preflight.py``. ``validate`` has a default task, as fairseq's others
have; translations have a limit that grows with the source; and ``interactive`` reads its text by the rule of
``text.py``.
"""

import importlib
import os
import sys
from typing import Dict

import fairseq_bahdanau.plugin  # what is loaded below, fairseq's --user-dir takes for loaded
from fairseq_bahdanau.complaints import complaining
from fairseq_bahdanau.guards.preflight import PARSERS, advising, buffered_read, check

COMMANDS = (*PARSERS, "hydra-train")
LIMIT = ["--max-len-a", "2", "--max-len-b", "200"]  # tokens: fairseq's own is 200, however long the source
DEFAULTS = {"validate": ["--task", "translation"], "generate": LIMIT, "interactive": LIMIT}


def main() -> None:
    """Runs fairseq's command of that name in this process, with this package as its user directory."""
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        complaint = f", not '{sys.argv[1]}'" if len(sys.argv) > 1 else ""
        sys.exit(f"usage: python -m fairseq_bahdanau {{{','.join(COMMANDS)}}} [fairseq's options]{complaint}")
    command, user_dir, given = sys.argv[1], fairseq_bahdanau.__path__[0], sys.argv[2:]
    # hydra wants its overrides together, and after its own flags is where they stand.
    if command == "hydra-train":
        given = [*given, f"common.user_dir={user_dir}"]
    else:
        given = ["--user-dir", user_dir, *DEFAULTS.get(command, []), *given]
    sys.argv = [f"fairseq-{command}", *given]
    args: Dict[str, object] = {}
    with complaining(f"fairseq-{command}: error"), advising(args):
        if command == "hydra-train":
            os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # or hydra prints tracebacks of its own
        else:
            args.update(check(command, given))
        program = importlib.import_module(f"fairseq_cli.{command.replace('-', '_')}")
        if command == "interactive":
            program.__dict__["buffered_read"] = buffered_read
        program.cli_main()


if __name__ == "__main__":
    main()
