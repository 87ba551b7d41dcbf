"""Exported programs give what the model gives."""

import pytest
import torch
from support import EVEN_TARGETS, SOURCES, build_model, members, pad, shake

from fairseq_bahdanau.export import export


@members
@pytest.mark.parametrize("left", [True])
def test_exported_programs_equal_the_model(options, left, tmp_path):
    model = shake(build_model(**options))
    sources = [source[-3:] for source in SOURCES]  # a recurrence is exported step by step: columns are what takes long
    programs = export(model, src_len=4)
    for name, program in zip(("encoder", "step"), programs):
        torch.export.save(program, tmp_path / f"{name}.pt2")
    encoder, step = (torch.export.load(tmp_path / f"{name}.pt2").module() for name in ("encoder", "step"))
    src_tokens, prev = pad(sources, 1, left, 4), torch.tensor(EVEN_TARGETS)
    with torch.no_grad():
        wanted, extra = model(src_tokens, None, prev)
        state, context, *fixed = encoder(src_tokens)
        for t in range(3):
            logits, attention, state, context = step(prev[:, t : t + 1], state, context, *fixed)
            torch.testing.assert_close(logits, wanted[:, t])
            torch.testing.assert_close(attention, extra["attn"][0][:, t])
        alone = step(prev[:1, :1], *(part[:1] for part in encoder(src_tokens[:1])))[0]
        torch.testing.assert_close(alone, wanted[:1, 0])


def test_export_refuses_what_it_cannot_hold():
    with pytest.raises(ValueError, match="--adaptive-softmax-cutoff cannot be exported"):
        export(build_model(adaptive_softmax_cutoff=[5, 9]), src_len=5)
