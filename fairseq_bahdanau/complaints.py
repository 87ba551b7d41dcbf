"""A program ends here with one line where something is wrong: what is wrong, and where, in place of a traceback.

The standard library is all that this file needs.
"""

import contextlib
import os
import sys
import traceback
from typing import Iterator

SHOW = "FAIRSEQ_BAHDANAU_TRACEBACK"  # environment variable; any value shows the traceback too


def one_line(error: BaseException) -> str:
    """Describes an error in one line.

    A ValueError is written for the user and stands as it is. An OSError names its file. Of any other error, which
    nobody foresaw, the kind is told as well, and how to see where it was raised.
    """
    message = " ".join(str(error).split())[:500]
    if type(error) is ValueError:
        return message
    if isinstance(error, OSError) and error.strerror:
        place = "" if error.filename is None else f"{error.filename}: "
        return f"{place}{error.strerror}"
    return f"{type(error).__name__}: {message} ({SHOW}=1 in the environment shows where)"


@contextlib.contextmanager
def complaining(program: str, code: int = 1) -> Iterator[None]:
    """Ends the program with one line on standard error, ``PROGRAM: what is wrong``, when an error leaves the block.

    A reader of our output that goes away (``| head``) and an interruption by Ctrl-C end it without a word.

    Args:
        program: its name
        code: the exit code after an error
    """
    try:
        yield
        if sys.stdout is not None:  # as behind >&-
            sys.stdout.flush()
    except BrokenPipeError:
        # Python would try to write what is left once more, when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + 13)  # as a program that SIGPIPE has ended
    except KeyboardInterrupt:
        sys.exit(128 + 2)
    except Exception as error:
        if os.environ.get(SHOW):
            traceback.print_exc()
        print(f"{program}: {one_line(error)}", file=sys.stderr)
        sys.exit(code)
