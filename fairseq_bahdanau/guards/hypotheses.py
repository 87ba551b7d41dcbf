"""Functions here stand round the search of fairseq's translation task: what it cuts is said, what is blank stays blank.

:func:`install` puts them in the place of two methods of fairseq's ``TranslationTask``, so that they serve every model
and every command into which the package is loaded, fairseq-generate and fairseq-interactive among them.
"""

import sys
from typing import Any, Dict, List, Optional, Tuple

import torch
from fairseq import utils
from fairseq.sequence_generator import SequenceGenerator
from fairseq.tasks.translation import TranslationTask
from torch import Tensor

from ..text import read_lines

fairseq_build_generator, fairseq_inference_step = TranslationTask.build_generator, TranslationTask.inference_step
Hypotheses = List[List[Dict[str, Any]]]  # of every sentence, the best first


def build_generator(
    self, models, args, seq_gen_cls=None, extra_gen_cls_kwargs=None, prefix_allowed_tokens_fn=None
) -> SequenceGenerator:
    """Builds fairseq's generator, and notes how many hypotheses of a sentence will be shown.

    Those of a validation during a training (``--eval-bleu``) have no ``--nbest``, and nothing is said of them.

    Raises:
        ValueError: ``--replace-unk`` in a task that aligns no words
    """
    if getattr(args, "replace_unk", None) is not None and not getattr(self, "aligns_words", False):
        raise ValueError("--replace-unk needs --task translation_unk: fairseq's own task has no alignment to copy by")
    generator = fairseq_build_generator(self, models, args, seq_gen_cls, extra_gen_cls_kwargs, prefix_allowed_tokens_fn)
    generator.nbest = getattr(args, "nbest", None)
    return generator


def inference_step(self, generator, models, sample, prefix_tokens=None, constraints=None) -> Hypotheses:
    """Searches as fairseq does; a source without a word gets no word, and a line on standard error names each
    hypothesis that was ended by a limit.

    ``sample["names"]``, where it is there, says what to call each sentence.
    """
    hypotheses = fairseq_inference_step(self, generator, models, sample, prefix_tokens, constraints)
    if not isinstance(generator, SequenceGenerator):  # given targets are scored
        return hypotheses
    src_tokens, dictionary = sample["net_input"]["src_tokens"], self.source_dictionary
    if prefix_tokens is None and constraints is None:
        has_word = (src_tokens.ne(dictionary.pad()) & src_tokens.ne(dictionary.eos())).any(dim=1).tolist()
        pairs = zip(hypotheses, has_word)
        hypotheses = [found if words else [blank(one) for one in found[:1]] for found, words in pairs]
    if getattr(generator, "nbest", None) is not None:
        limit, reason = limit_of(generator, src_tokens.size(1))
        for row, of_sentence in enumerate(hypotheses):
            for hypothesis in of_sentence[: generator.nbest]:
                if hypothesis["tokens"].numel() > limit:
                    name = name_of(self, sample, row)
                    print(f"{name}: its translation reached the limit of {limit} tokens ({reason}): it may be cut",
                          file=sys.stderr, flush=True)  # fmt: skip
    return hypotheses


def blank(hypothesis: Dict[str, Any]) -> Dict[str, Any]:
    """Returns a hypothesis of no word, ``</s>`` alone and certain, in the form of another one."""
    attention: Tensor = hypothesis["attention"]  # of a model without any: empty
    return {
        **hypothesis,
        "tokens": hypothesis["tokens"][-1:],
        "score": torch.zeros_like(hypothesis["positional_scores"][0]),
        "positional_scores": torch.zeros_like(hypothesis["positional_scores"][:1]),
        "attention": attention[:, :1] if attention.dim() == 2 else attention,
        "alignment": hypothesis["alignment"][:0],
    }


def limit_of(generator: SequenceGenerator, src_len: int) -> Tuple[int, str]:
    """Returns how many tokens, beside ``</s>``, a hypothesis of a source of this padded length may have, and what
    says so."""
    if generator.match_source_len:
        return sys.maxsize, ""  # the source is no limit, but what was asked for
    grown = int(generator.max_len_a * src_len + generator.max_len_b)
    if grown < generator.max_len - 1:
        return grown, f"--max-len-a {generator.max_len_a:g} --max-len-b {generator.max_len_b:g}"
    return generator.max_len - 1, f"of a model with --max-target-positions {generator.max_len}"


def name_of(task: TranslationTask, sample: dict, row: int) -> str:
    """Says which sentence a row of a batch is: by its name or its number, or else by its first words."""
    if "names" in sample:
        return sample["names"][row]
    if "id" in sample:
        return f"sentence {sample['id'][row].item()}"
    words = task.source_dictionary.string(sample["net_input"]["src_tokens"][row]).split()
    words = [word for word in words if word != task.source_dictionary.pad_word]
    return f"sentence '{' '.join(words[:8])}{' ...' if len(words) > 8 else ''}'"


def load_align_dict(path: Optional[str]) -> Optional[Dict[str, str]]:
    """Reads the dictionary of ``--replace-unk``: a word and its translation a line.

    Stands in for fairseq's function, for which the option without a value, which is to copy source words, is a file
    of the name ``@@``.

    Args:
        path: the option's value; None: it was not given

    Raises:
        ValueError: no such file, or a line of another form
    """
    if path is None:
        return None
    found: Dict[str, str] = {}
    if path in ("", "@@ "):
        return found
    for number, line in enumerate(read_lines(path), start=1):
        if len(line.split()) != 2:
            raise ValueError(f"--replace-unk {path}, line {number}: must be a word and its translation")
        word, translation = line.split()
        found[word] = translation
    return found


def install() -> None:
    """Puts the functions above in the place of fairseq's."""
    TranslationTask.build_generator = build_generator
    TranslationTask.inference_step = inference_step
    utils.load_align_dict = load_align_dict
