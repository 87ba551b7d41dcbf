"""Functions here are what ``cli.align`` and ``recipes/translate.py`` do alike: read fairseq-interactive's options, load
models, and translate lines."""

import argparse
import ast
import os
import sys
from typing import Any, Collection, Dict, List, NamedTuple, Optional, Tuple

import numpy as np
import torch
from fairseq import checkpoint_utils, options, tasks, utils
from fairseq.data import data_utils
from fairseq.models import FairseqModel
from fairseq.registry import REGISTRIES
from fairseq.sequence_generator import EnsembleModel
from fairseq.tasks.translation import TranslationTask
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from fairseq_bahdanau.alignment.links import Alignment, align, hard_links
from fairseq_bahdanau.cli.batches import Sentence, make_batches
from fairseq_bahdanau.model import BahdanauModel

# Options of fairseq-interactive, by the names of their values, that a search and the loading of models honour.
SEARCH = """
data path user_dir task source_lang target_lang left_pad_source model_overrides cpu fp16 seed input buffer_size
batch_size max_tokens required_seq_len_multiple no_progress_bar beam max_len_a max_len_b min_len match_source_len
unnormalized lenpen unkpen replace_unk no_repeat_ngram_size sampling sampling_topk sampling_topp temperature
diversity_rate retain_dropout retain_dropout_modules
""".split()
# A limit that grows with the source, and is nowhere below fairseq's own of 200 tokens.
LIMIT = {"max_len_a": 2.0, "max_len_b": 200}


def parse(
    parser: argparse.ArgumentParser, own: List[str], given: Optional[List[str]], honoured: Collection[str]
) -> argparse.Namespace:
    """Parses options of fairseq-interactive, and refuses those that would have no effect.

    Args:
        parser: fairseq's, perhaps with more options
        own: arguments that the program gives itself
        given: the user's; None: those of the command line
        honoured: names of the values that the user may give

    Raises:
        SystemExit: an option that is unknown or not honoured; one line names it
    """
    given = sys.argv[1:] if given is None else given
    args = options.parse_args_and_arch(parser, input_args=[*own, *given])
    # Parsed once more without defaults and without anything required, which tells what was given.
    bare = argparse.ArgumentParser(prog=parser.prog, usage=parser.usage, add_help=False, parents=[parser])
    bare.set_defaults(**dict.fromkeys(vars(args)))
    for action in bare._actions:
        action.required = False
        action.nargs = action.nargs if action.option_strings else "?"
    named = {name for name, value in vars(bare.parse_args(given)).items() if value is not None}
    for action in parser._actions:
        if action.dest in named - {*honoured, *options_of_coders(args, honoured)}:
            flag = action.option_strings[0] if action.option_strings else f"'{getattr(args, action.dest)}'"
            parser.exit(2, f"{parser.prog}: error: {flag} would have no effect here and is refused\n")
    return args


def options_of_coders(args: argparse.Namespace, honoured: Collection[str]) -> List[str]:
    """Returns the names of the options of what ``--tokenizer`` and ``--bpe`` name, where these may be given."""
    names: List[str] = []
    for kind in {"tokenizer", "bpe"} & set(honoured):
        chosen = REGISTRIES[kind]["dataclass_registry"].get(getattr(args, kind))
        names += [] if chosen is None else list(chosen.__dataclass_fields__)
    return names


def load(cfg: DictConfig) -> Tuple[TranslationTask, List[FairseqModel]]:
    """Loads the task and the models that the options name, ready to translate.

    Raises:
        ValueError: no such data or checkpoint, or those of another task
    """
    if cfg.common_eval.path is None:
        raise ValueError("--path CHECKPOINT is required")
    data, path = utils.split_paths(cfg.task.data)[0], cfg.common_eval.path
    if not os.path.isdir(data):
        raise ValueError(f"DATA_BIN: no such folder: {data}")
    if None in (cfg.task.source_lang, cfg.task.target_lang) and None in data_utils.infer_language_pair(data):
        raise ValueError(f"DATA_BIN: no file in {data} tells its languages: give --source-lang and --target-lang")
    try:
        task = tasks.setup_task(cfg.task)
    except OSError as error:
        raise ValueError(f"DATA_BIN: {data}: {error}") from error
    if not isinstance(task, TranslationTask):
        raise ValueError(f"--task {cfg.task._name}: only translation and the tasks derived from it")
    overrides = read_overrides(cfg.common_eval.model_overrides)
    models, saved = checkpoint_utils.load_model_ensemble(utils.split_paths(path), overrides, task)
    for name in overrides:
        if not any(name in (group if OmegaConf.is_dict(group) else ()) for group in (saved, *saved.values())):
            raise ValueError(f"--model-overrides: the checkpoint has no option {name!r}")
    for model in models:
        if cfg.common.fp16:
            model.half()
        if on_gpu(cfg):
            model.cuda()
        model.prepare_for_inference_(cfg)
    return task, models


def read_overrides(given: str) -> dict:
    """Reads the value of ``--model-overrides``.

    Raises:
        ValueError: it is no dictionary
    """
    try:
        overrides = ast.literal_eval(given)
    except (ValueError, SyntaxError) as error:
        raise ValueError(f"--model-overrides {given}: must be a dictionary such as {{'dropout': 0.1}}") from error
    if not isinstance(overrides, dict):
        raise ValueError(f"--model-overrides {given}: must be a dictionary such as {{'dropout': 0.1}}")
    return overrides


def on_gpu(cfg: DictConfig) -> bool:
    """Says whether models and batches go to a GPU."""
    return torch.cuda.is_available() and not cfg.common.cpu


class WithoutAttention(EnsembleModel):
    """An ensemble ``WithoutAttention`` tells a search scores alone.

    The search would copy the attention of all steps so far at every step, which takes longer than all else where a
    source has hundreds of words.
    """

    @torch.jit.unused
    def forward_decoder(
        self,
        tokens: Tensor,
        encoder_outs: List[Dict[str, List[Tensor]]],
        incremental_states: List[Dict[str, Dict[str, Optional[Tensor]]]],
        temperature: float = 1.0,
    ) -> Tuple[Tensor, None]:
        """Returns log-probabilities ``(batch, vocabulary)``, and None for the attention."""
        return super().forward_decoder(tokens, encoder_outs, incremental_states, temperature)[0], None


def build_generator(
    cfg: DictConfig, task: TranslationTask, models: List[FairseqModel], with_attention: bool
) -> torch.nn.Module:
    """Seeds what is drawn and builds fairseq's generator, for a search or for given targets (``--score-reference``).

    Raises:
        ValueError: ``--replace-unk`` with a model without attention of ours, or a number that makes no sense
    """
    require_sensible(cfg)
    if cfg.common.seed is not None and not cfg.generation.no_seed_provided:
        np.random.seed(cfg.common.seed)
        utils.set_torch_seed(cfg.common.seed)
    replaces = cfg.generation.replace_unk
    if replaces is not None:
        require_attention(cfg, models)
    # Unknown words are replaced below, whatever the task.
    cfg.generation.replace_unk = None
    generator = task.build_generator(models if with_attention else WithoutAttention(models), cfg.generation)
    cfg.generation.replace_unk = replaces
    return generator


def require_sensible(cfg: DictConfig) -> None:
    """Checks the numbers of a search.

    Raises:
        ValueError: one with which nothing is found, or fewer hypotheses than asked for
    """
    beam, nbest, size = cfg.generation.beam, cfg.generation.nbest, cfg.dataset.batch_size
    if beam < 1:
        raise ValueError(f"--beam must be at least 1, not {beam}")
    if not 1 <= nbest <= beam:
        raise ValueError(f"--nbest must be from 1 to the {beam} of --beam, not {nbest}")
    if size is not None and size < 1:
        raise ValueError(f"--batch-size must be at least 1, not {size}")
    if cfg.interactive.buffer_size < 0:
        raise ValueError(f"--buffer-size must be at least 0, not {cfg.interactive.buffer_size}")


def require_attention(cfg: DictConfig, models: List[FairseqModel]) -> None:
    """Checks that all models are of this package: attention of others need not be where their source words are.

    Raises:
        ValueError: one is not; names its file
    """
    for file, model in zip(utils.split_paths(cfg.common_eval.path), models):
        if not isinstance(model, BahdanauModel):
            kind = type(model).__name__
            raise ValueError(
                f"--path {file}: a {kind}, of another architecture; only a BahdanauModel has attention here"
            )


def longest_sentence(cfg: DictConfig, models: List[FairseqModel], side: int) -> Tuple[int, str]:
    """Returns the greatest number of tokens, ``</s>`` included, of a source (0) or target (1), and what says so."""
    of_models = min(model.max_positions()[side] for model in models)
    if cfg.dataset.max_tokens is not None and cfg.dataset.max_tokens < of_models:
        return cfg.dataset.max_tokens, "--max-tokens allows"
    return of_models, "the model takes"


class Translation(NamedTuple):
    """A translation is held as fairseq found it, beside the padded source that its attention is over."""

    src_tokens: Tensor  # (src_len,)
    hypothesis: Dict[str, Any]


def search(
    cfg: DictConfig,
    task: TranslationTask,
    models: List[FairseqModel],
    generator: torch.nn.Module,
    sources: List[Sentence],
    names: List[str],
    targets: Optional[List[Sentence]] = None,
) -> List[List[Translation]]:
    """Translates sentences, or scores the given targets, in batches out of ``--buffer-size`` sentences (0: out of all).

    Args:
        names: of the sentences, for what is said of them

    Returns:
        the best ``--nbest`` hypotheses of every sentence, in the order of the sentences
    """
    found: List[List[Translation]] = [[] for _ in sources]
    size = cfg.interactive.buffer_size if cfg.interactive.buffer_size > 0 else max(1, len(sources))
    for first in range(0, len(sources), size):
        block = slice(first, first + size)
        for batch in make_batches(cfg, task, sources[block], None if targets is None else targets[block]):
            numbers = [first + number for number in batch["id"].tolist()]
            batch["names"] = [names[number] for number in numbers]
            results = task.inference_step(generator, models, batch)
            for number, src_tokens, of_sentence in zip(numbers, batch["net_input"]["src_tokens"], results):
                found[number] = [Translation(src_tokens, result) for result in of_sentence[: cfg.generation.nbest]]
    return found


def align_pieces(task: TranslationTask, source: Sentence, translation: Translation) -> Alignment:
    """Takes the words of a search's hypothesis and its attention."""
    hypothesis = translation.hypothesis
    pieces = [task.target_dictionary[token] for token in hypothesis["tokens"].tolist()]
    attention = hypothesis["attention"].t()  # a search returns (src_len, tgt_len)
    return align(source.pieces, pieces, attention, translation.src_tokens, task.source_dictionary.pad())


def replace_unknown(alignment: Alignment, unknown: str, translations: Dict[str, str]) -> Alignment:
    """Puts in the place of every unknown target word the source word that it looked at most.

    Args:
        alignment: of a hypothesis
        unknown: the sign of an unknown word
        translations: of source words; one without a translation is copied
    """
    copied = list(alignment.target)
    for source, target in hard_links(alignment):
        if copied[target] == unknown:
            word = alignment.source[source]
            copied[target] = translations.get(word, word)
    return alignment._replace(target=copied)


def report_unknown(program: str, unknown: int, tokens: int, side: str = "source") -> None:
    """Says on standard error how many tokens of a side the model does not know, if there are any."""
    if unknown:
        print(f"{program}: {unknown} of {tokens} {side} tokens are not in the dictionary: the model reads <unk>",
              file=sys.stderr)  # fmt: skip
