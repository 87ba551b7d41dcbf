"""``--task translation_unk``: fairseq's translation task, with a ``--replace-unk`` that works.

fairseq's own looks up the aligned source word in an alignment that its search leaves empty (fairseq issue 3533).
"""

from typing import Any, Dict, List

from fairseq.tasks import register_task
from fairseq.tasks.translation import TranslationConfig, TranslationTask
from torch import Tensor


@register_task("translation_unk", dataclass=TranslationConfig)
class TranslationUnkTask(TranslationTask):
    """Gives every target word the source word that it attends to most (Luong et al. 2015, section 3.3; Jean et al.
    2015, section 3.3), so that ``--replace-unk DICTIONARY`` (or ``''`` to copy) can replace ``<unk>`` by it."""

    def build_generator(self, models, args, seq_gen_cls=None, extra_gen_cls_kwargs=None, prefix_allowed_tokens_fn=None):
        """As in fairseq.

        Raises:
            ValueError: with ``--print-alignment``, whose form of alignment ``--replace-unk`` cannot read
        """
        self.aligns = getattr(args, "replace_unk", None) is not None
        if self.aligns and getattr(args, "print_alignment", None):
            raise ValueError(
                "--replace-unk and --print-alignment exclude each other: run fairseq-generate once for each"
            )
        return super().build_generator(models, args, seq_gen_cls, extra_gen_cls_kwargs, prefix_allowed_tokens_fn)

    def inference_step(
        self, generator, models, sample, prefix_tokens=None, constraints=None
    ) -> List[List[Dict[str, Any]]]:
        """As in fairseq; with ``--replace-unk``, every hypothesis' ``alignment`` is a source position for each target
        token."""
        hypotheses = super().inference_step(generator, models, sample, prefix_tokens, constraints)
        if self.aligns:
            for src_tokens, of_sentence in zip(sample["net_input"]["src_tokens"], hypotheses):
                for hypothesis in of_sentence:
                    hypothesis["alignment"] = self.most_attended(hypothesis["attention"], src_tokens)
        return hypotheses

    def most_attended(self, attention: Tensor, src_tokens: Tensor) -> List[int]:
        """The most attended source word of every target token; ``</s>`` is none, unless there is no other.

        Args:
            attention: ``(src_len, tgt_len)``, rows in the order of ``src_tokens``
            src_tokens: ``(src_len,)``, padded

        Returns:
            positions that count the source's words from 0, without padding
        """
        is_word = src_tokens.ne(self.source_dictionary.pad())
        attention = attention[is_word]
        return attention[: max(1, attention.size(0) - 1)].argmax(dim=0).tolist()
