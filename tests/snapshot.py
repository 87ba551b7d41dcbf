"""Records the numbers of every member of the family, or compares them with a record, bit for bit.

A rewrite that should change nothing is checked with it, on one machine: record at the commit before, compare after.

    git worktree add before COMMIT
    PYTHONPATH=before python tests/snapshot.py record before.pt
    python tests/snapshot.py compare before.pt

It asks nothing of the package but what users see, so that it runs with either one. Names, order and initial values of
parameters, logits, attention and gradients of a training update with dropout, a search by fairseq, a search in any
order of rows, the scripted, exported and quantised model, options and log lines.
"""

import copy
import dataclasses
import logging
import sys

import torch
from fairseq.sequence_generator import SequenceGenerator
from support import EVEN_TARGETS, MEMBERS, SOURCES, TARGETS, build_model, pad, shake
from torch import nn

from fairseq_bahdanau.export import export
from fairseq_bahdanau.model import BahdanauConfig

# Beside the members that the tests go through.
OTHERS = [{"encoder_layers": 2, "encoder_bidirectional": "off"}, {"adaptive_softmax_cutoff": [5, 9]}]
LONG = [[4 + (7 * n + row) % 12 for n in range(40 - 9 * row)] + [2] for row in range(4)]  # gates are not folded
ORDERS = [[0, 0, 1, 1, 2, 2, 3, 3], [3, 0, 5, 4, 4, 4], [5, 0, 3, 3], [2, 1, 0], [0, 0, 0, 1, 1, 1], [4, 1, 2, 2, 2]]


def update(model, autocast=None, sources=SOURCES):
    """Logits, attention, gradients and the state of the random numbers after a training step."""
    torch.manual_seed(4)
    with torch.autocast("cpu", dtype=autocast or torch.bfloat16, enabled=autocast is not None):
        logits, extra = model(pad(sources, 1, True), None, pad(TARGETS, 1, False))
    found = {"logits": logits.detach(), "attention": extra["attn"][0].detach()}
    (logits.float().logsumexp(dim=2).sum() + extra["attn"][0].float().pow(2).sum()).backward()
    found.update({f"gradient of {name}": parameter.grad for name, parameter in model.named_parameters()})
    return {**found, "random numbers": torch.get_rng_state()}


@torch.no_grad()
def search(model):
    """What fairseq's beam search finds, and what steps give whose rows are picked in any order."""
    found = {}
    if model.decoder.adaptive_softmax is None:
        generator = SequenceGenerator([model], model.decoder.dictionary, beam_size=3, max_len_a=0, max_len_b=7)
        src_tokens = pad(SOURCES, 1, True)
        sample = {"net_input": {"src_tokens": src_tokens, "src_lengths": src_tokens.ne(1).sum(1)}}
        for row, hypotheses in enumerate(generator.generate([model], sample)):
            for rank, one in enumerate(hypotheses):
                for name in ("tokens", "score", "attention", "positional_scores"):
                    found[f"search {row} {rank} {name}"] = one[name]
    state, encoder_out = {}, model.encoder(pad(SOURCES, 1, True))
    words = torch.arange(4, 12)
    for number, order in enumerate(ORDERS):
        encoder_out = model.encoder.reorder_encoder_out(encoder_out, torch.tensor(order))
        model.decoder.reorder_incremental_state_scripting(state, torch.tensor(order))
        prev = words[: len(order)].view(-1, 1)
        logits, extra = model.decoder(prev, encoder_out, state)
        found[f"step {number} logits"], found[f"step {number} attention"] = logits, extra["attn"][0]
        found[f"pass {number}"] = model.decoder(prev.expand(-1, 3).contiguous(), encoder_out)[0]
    return found


@torch.no_grad()
def converted(model):
    """What the scripted, the exported and the quantised model give."""
    prev, src_tokens = torch.tensor(EVEN_TARGETS), pad(SOURCES, 1, True)
    lengths = src_tokens.ne(1).sum(1)
    found = {"evaluated": model(src_tokens, lengths, prev)[0]}
    if not hasattr(model.encoder.rnn, "layers"):  # of the paper's GRU, quantised models once could not run
        quantised = torch.ao.quantization.quantize_dynamic(copy.deepcopy(model), {nn.Linear, nn.GRU}, dtype=torch.qint8)
        found["quantised"] = quantised(src_tokens, lengths, prev)[0]
    if model.decoder.adaptive_softmax is None:  # fairseq's can be neither scripted nor exported
        logits, extra = torch.jit.script(model)(src_tokens, lengths, prev)
        found["scripted logits"], found["scripted attention"] = logits, extra["attn"][0]
        programs = export(model, src_len=src_tokens.size(1))
        found["inputs of the step"] = str(programs[1].graph_signature.user_inputs)
        encoder, step = (program.module() for program in programs)
        state, context, *fixed = encoder(src_tokens)
        for t in range(3):
            logits, attention, state, context = step(prev[:, t : t + 1], state, context, *fixed)
            found[f"exported {t}"], found[f"exported attention {t}"] = logits, attention
    return found


class Lines(logging.Handler):
    """Keeps what the package logs."""

    def __init__(self):
        super().__init__()
        self.lines = []

    def emit(self, record):
        """Called for every line."""
        self.lines.append(record.getMessage())


def member(options, log):
    """All of one member's numbers, by name."""
    log.lines.clear()
    model = build_model(**options)
    found = {"log": list(log.lines), "names": [name for name, _ in model.named_parameters()]}
    found.update({f"first {name}": parameter.detach() for name, parameter in model.named_parameters()})
    found["random numbers after building"] = torch.get_rng_state()
    kinds = {"plain": (None, SOURCES), "bfloat16": (torch.bfloat16, SOURCES), "long": (None, LONG)}
    for kind, (autocast, sources) in kinds.items():
        model = shake(build_model(dropout=0.3, **options)).train()
        found.update({f"{kind} {name}": value for name, value in update(model, autocast, sources).items()})
    found.update(search(shake(build_model(**options)).eval()))
    found.update(converted(shake(build_model(**options)).eval()))
    return found


def everything():
    """A dict of every member's numbers."""
    torch.set_num_threads(1)
    log = Lines()
    logging.getLogger("fairseq_bahdanau").addHandler(log)
    logging.getLogger("fairseq_bahdanau").setLevel(logging.INFO)
    found = {"options": []}
    for one in dataclasses.fields(BahdanauConfig):
        choices = [str(choice) for choice in one.type] if hasattr(one.type, "__members__") else str(one.type)
        found["options"].append((one.name, str(one.default), str(dict(one.metadata)), choices))
    for options in [*MEMBERS, *OTHERS]:
        for others in ({}, {"recurrence": "reference"}, {"init": "paper"}):
            name = " ".join(f"{key}={value}" for key, value in {**options, **others}.items())
            print(name or "default", file=sys.stderr)
            found.update({f"{name}: {key}": value for key, value in member({**options, **others}, log).items()})
    return found


def same(one, other):
    """Whether two records are equal, tensors bit for bit."""
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and one.shape == other.shape and torch.equal(one, other)
    return one == other


def main():
    """Reads the command line, records or compares."""
    if len(sys.argv) != 3 or sys.argv[1] not in ("record", "compare"):
        sys.exit("usage: python tests/snapshot.py record|compare FILE")
    found = everything()
    if sys.argv[1] == "record":
        torch.save(found, sys.argv[2])
        return
    wanted = torch.load(sys.argv[2])
    differing = [name for name in {**wanted, **found} if name not in found or name not in wanted
                 or not same(found[name], wanted[name])]  # fmt: skip
    for name in differing:
        if isinstance(wanted.get(name), torch.Tensor) and name in found and wanted[name].shape == found[name].shape:
            print(f"{name}: differs by {(found[name].double() - wanted[name].double()).abs().max():.3g}")
        else:
            print(f"{name}: {wanted.get(name)!r:.200} | {found.get(name)!r:.200}")
    print(f"{len(wanted)} recorded, {len(found)} found, {len(differing)} differ")
    sys.exit(bool(differing))


if __name__ == "__main__":
    main()
