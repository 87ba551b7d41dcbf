"""What ``python -m fairseq_bahdanau COMMAND`` refuses before fairseq begins, and what it says in place of a riddle.

fairseq would take some options and ignore them, fail at others after hours, and name neither flag nor file. Everything
here is read from the options as fairseq itself parses them.
"""

import ast
import collections
import contextlib
import os
import re
from argparse import Namespace
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional

import torch
from fairseq import options, utils

from ..fused.triton_choice import INTERPRET, lack_of_triton
from ..text import open_bytes, stream_lines, stream_parallel_lines

PARSERS = {
    "preprocess": options.get_preprocessing_parser,
    "train": options.get_training_parser,
    "validate": options.get_validation_parser,
    "generate": options.get_generation_parser,
    "interactive": options.get_interactive_generation_parser,
}
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
INNER_RETURN = re.compile(rb"\r(?!\n)")  # a carriage return that is no part of a line's end


class Refusal(NamedTuple):
    """A refusal says of which commands' options it is, when they are refused, and why."""

    commands: str
    applies: Callable[[Namespace], bool]
    reason: str  # with the options' names in braces


def without_gpu(args: Namespace) -> bool:
    """Says whether a command computes on the processor."""
    return args.cpu or not torch.cuda.is_available()


def without_triton(args: Namespace) -> bool:
    """Says whether Triton is missing, or has nothing to run on; its interpreter is for tests, and runs on anything."""
    return lack_of_triton() is not None or (without_gpu(args) and os.environ.get(INTERPRET) != "1")


def is_local(path: Optional[str]) -> bool:
    """Says whether a path is one of this machine, not of a storage back end such as ``s3://``."""
    return bool(path) and "://" not in str(path)


def no_folders(path: Optional[str]) -> bool:
    """Says whether one of the folders in ``path``, with colons between them, is not there."""
    return is_local(path) and not all(map(os.path.isdir, utils.split_paths(path)))


def no_files(path: Optional[str]) -> bool:
    """Says whether one of the files in ``path``, with colons between them, is not there."""
    return is_local(path) and not all(map(os.path.isfile, utils.split_paths(path)))


def one_part(args: Namespace) -> bool:
    """Says whether a checkpoint is the file of its name; fairseq changes the names of those in several parts."""
    return not getattr(args, "checkpoint_suffix", "") and getattr(args, "checkpoint_shard_count", 1) == 1


def no_place(path: Optional[str]) -> bool:
    """Says whether a folder cannot be made at a path, since something else is there."""
    return is_local(path) and os.path.exists(str(path)) and not os.path.isdir(str(path))


def is_dict(text: str) -> bool:
    """Says whether a text is a dict of Python's literals."""
    try:
        return isinstance(ast.literal_eval(text), dict)
    except (SyntaxError, ValueError):
        return False


SEARCHES, ALL = "generate interactive", "train validate generate interactive"
REFUSALS = [
    Refusal("preprocess", lambda a: not a.only_source and None in (a.source_lang, a.target_lang),
            "--source-lang and --target-lang are required: the text is in PREFIX.LANGUAGE"),
    Refusal("preprocess", lambda a: no_place(a.destdir), "--destdir {destdir}: is there, and no folder"),
    Refusal("preprocess", lambda a: a.workers < 1, "--workers must be at least 1, not {workers}"),
    Refusal(ALL, lambda a: no_folders(getattr(a, "data", None)),
            "DATA: no such folder: {data}"),
    Refusal(ALL, lambda a: a.max_tokens is not None and a.max_tokens < 1,
            "--max-tokens must be at least 1, not {max_tokens}"),
    Refusal(ALL, lambda a: a.batch_size is not None and a.batch_size < 1,
            "--batch-size must be at least 1, not {batch_size}"),
    Refusal("train validate", lambda a: a.max_tokens is None and a.batch_size is None,
            "give --max-tokens N or --batch-size N: how much goes into a batch"),
    Refusal(ALL, lambda a: a.num_workers < 0, "--num-workers must be at least 0, not {num_workers}"),
    Refusal("validate generate interactive", lambda a: a.bf16 or a.memory_efficient_bf16,
            "--bf16: fairseq ignores it here: give --fp16, or leave it out"),
    Refusal("train", lambda a: a.fp16 and not a.memory_efficient_fp16 and without_gpu(a),
            "--fp16 without a GPU: fairseq fails: leave it out, or give --memory-efficient-fp16"),
    Refusal("train", lambda a: a.amp and without_gpu(a), "--amp without a GPU changes nothing: leave it out"),
    Refusal("train", lambda a: getattr(a, "recurrence", None) == "triton" and without_triton(a),
            "--recurrence triton needs a GPU, and Triton 3.3, as PyTorch 2.7 on a GPU has it: give --recurrence fused"),
    Refusal("train", lambda a: a.lr_scheduler == "polynomial_decay" and a.total_num_update is None,
            "--lr-scheduler polynomial_decay needs --total-num-update N, the updates of all epochs"),
    Refusal("train", lambda a: a.restore_file != "checkpoint_last.pt" and one_part(a) and no_files(a.restore_file),
            "--restore-file {restore_file}: no such file; training would begin anew"),
    Refusal("train", lambda a: no_place(a.save_dir), "--save-dir {save_dir}: is there, and no folder"),
    Refusal("validate generate interactive", lambda a: not a.path, "--path CHECKPOINT is required"),
    Refusal("validate generate interactive", lambda a: one_part(a) and no_files(a.path), "--path {path}: no such file"),
    Refusal("generate", lambda a: no_place(a.results_path), "--results-path {results_path}: is there, and no folder"),
    Refusal("generate", lambda a: no_files(a.lm_path), "--lm-path {lm_path}: no such file"),
    Refusal("validate generate interactive", lambda a: not is_dict(a.model_overrides),
            "--model-overrides {model_overrides}: must be a dict of Python, such as \"{{'dropout': 0.1}}\""),
    Refusal(SEARCHES, lambda a: a.num_shards != 1 or a.shard_id != 0,
            "--num-shards and --shard-id: fairseq ignores them here and translates everything: preprocess parts of the "
            "text as sets of their own (--testpref A,B), and name each by --gen-subset test, test1"),
    Refusal(SEARCHES, lambda a: a.beam < 1, "--beam must be at least 1, not {beam}"),
    Refusal(SEARCHES, lambda a: not 1 <= a.nbest <= a.beam,
            "--nbest must be from 1 to --beam, which is {beam}, not {nbest}"),
    Refusal("generate", lambda a: a.constraints is not None,
            "--constraints: fairseq-generate has no way to read them: give python -m fairseq_bahdanau interactive"),
    Refusal("interactive", lambda a: a.sampling and a.nbest != a.beam, "--sampling: --nbest must be equal to --beam"),
    Refusal("interactive", lambda a: a.batch_size is not None and a.batch_size > max(a.buffer_size, 1),
            "--batch-size {batch_size}: at most --buffer-size, which is {buffer_size} (0 and less: 1)"),
    *(Refusal("interactive", applies, f"{flag}: fairseq-interactive ignores it: fairseq_bahdanau generate has it")
      for flag, applies in {
          "--lm-path": lambda a: a.lm_path is not None,
          "--prefix-size": lambda a: a.prefix_size != 0,
          "--score-reference": lambda a: a.score_reference,
          "--results-path": lambda a: a.results_path is not None,
      }.items()),
]  # fmt: skip

# fairseq's complaints that name neither flag nor file: how they begin, after the kind of the error, and what is said.
ADVICE = [
    ("Exception: Could not infer language pair",
     "DATA: no file in {data} tells its languages: give --source-lang and --target-lang, or a folder with data"),
    (r"FileNotFoundError: Dataset not found: (?P<name>.+) \(",
     "{data} has no set '{name}' of these languages: preprocess it, or name another (--train-subset, --valid-subset, "
     "--gen-subset)"),
    ("AssertionError: Index file doesn't match|ValueError: mmap length|error: unpack",
     "a file of {data} is damaged, or of another --dataset-impl: preprocess again"),
    ("AssertionError: Sentences lengths should not exceed max_tokens",
     "--max-tokens {max_tokens}: a sentence is longer: give a greater one"),
    ("Exception: The dataset is empty",
     "{data} has no sentence that fits --max-tokens {max_tokens}, --max-source-positions and --max-target-positions: "
     "give greater ones"),
    ("IndexError: index out of range in self",
     "a word's number is beyond its dictionary: the sets and the dictionaries of {data} do not belong together: "
     "preprocess again"),
    ("AttributeError: module 'numpy' has no attribute 'compat'|TypeError: .*percentile.*interpolation",
     "--num-batch-buckets, and --sample-break-mode eos of language models, need an older numpy: "
     "pip install 'numpy<2.4'"),
    ("ConfigCompositionException: Error merging override tokenizer",
     "--tokenizer {tokenizer}: also give --source-lang and --target-lang"),
    (r"MissingMandatoryValue: Missing mandatory value: (?P<name>\S+)", "--bpe {bpe}: {name} is missing"),
    ("KeyError: 'METRIC'", "--best-checkpoint-metric {best_checkpoint_metric}: a validation has no such number"),
    (r"FileNotFoundError: (?P<name>\S+)$", "--user-dir: no such file or folder: {name}"),
]  # fmt: skip


@contextlib.contextmanager
def advising(args: Dict[str, object]) -> Iterator[None]:
    """Says what a user can do where fairseq, in the block, fails and names neither flag nor file; see ``ADVICE``.

    Args:
        args: the options by their names, which the advice repeats; may be filled within the block

    Raises:
        ValueError: in place of an error that ``ADVICE`` has a line for
    """
    try:
        yield
    except Exception as error:
        said = f"{type(error).__name__}: {' '.join(str(error).split())}"
        for begin, advice in ADVICE:
            found = re.match(begin.replace("METRIC", re.escape(str(args.get("best_checkpoint_metric")))), said)
            if found:
                known = collections.defaultdict(str, args)
                known.update(found.groupdict())
                raise ValueError(advice.format_map(known)) from error
        raise


def require_text_for_fairseq(paths: List[str]) -> None:
    """Checks the files of a set, which belong together line by line, for what fairseq-preprocess takes amiss.

    Raises:
        ValueError: not text in UTF-8, another number of lines, a byte order mark (fairseq takes it for a part of the
            first word), or a carriage return within a line (fairseq makes two lines of it); names file and line
    """
    for path in paths:
        with open_bytes(path) as file:
            for number, line in enumerate(file, start=1):
                if number == 1 and line.startswith(BYTE_ORDER_MARK):
                    raise ValueError(f"{path} begins with a byte order mark, which becomes part of the first word: "
                                     rf"sed -i '1s/^\xEF\xBB\xBF//' {path} takes it away")  # fmt: skip
                if INNER_RETURN.search(line):
                    raise ValueError(f"{path}, line {number}: a carriage return within, where fairseq begins a new "
                                     f"line: tr '\\r' ' ' <{path} makes it a space")  # fmt: skip
    collections.deque(stream_parallel_lines(paths), maxlen=0)


def check(command: str, given: List[str]) -> Dict[str, object]:
    """Checks the options of a command, and the text that fairseq-preprocess is to read.

    Args:
        command: one of :data:`PARSERS`
        given: its command line

    Returns:
        the options by their names

    Raises:
        ValueError: what is wrong; names the option or the file
        SystemExit: fairseq's own parser refuses the command line, or prints its help
    """
    parser = PARSERS[command]()
    args = parser.parse_args(given) if command == "preprocess" else options.parse_args_and_arch(parser, given)
    for refusal in REFUSALS:
        if command in refusal.commands.split() and refusal.applies(args):
            raise ValueError(refusal.reason.format_map(vars(args)))
    if command == "preprocess":
        languages = [args.source_lang] if args.only_source else [args.source_lang, args.target_lang]
        suffixes = ["" if language is None else f".{language}" for language in languages]
        prefixes = [args.trainpref, *(args.validpref or "").split(","), *(args.testpref or "").split(",")]
        for prefix in filter(None, prefixes):
            require_text_for_fairseq([f"{prefix}{suffix}" for suffix in suffixes])
    return vars(args)


def buffered_read(path: str, buffer_size: int) -> Iterator[List[str]]:
    """Reads what fairseq-interactive translates, by the one rule of ``text.py``; stands in for fairseq's own function.

    Yields:
        lists of ``buffer_size`` lines, the last one shorter
    """
    buffer: List[str] = []
    for line in stream_lines(path):
        buffer.append(line.strip())
        if len(buffer) >= buffer_size:
            yield buffer
            buffer = []
    if buffer:
        yield buffer
