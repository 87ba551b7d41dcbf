"""The loop in Triton against the reference's in float64, on a GPU, or in Triton's interpreter where there is none."""

import copy
import logging
import os
import subprocess
import sys

import pytest
import torch
from fused_support import LAYOUTS, LOOPS
from support import ROOT, SIZES, build_model, shake

from fairseq_bahdanau.attention import Source
from fairseq_bahdanau.export import readable
from fairseq_bahdanau.recurrence import State

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
if DEVICE == "cpu":
    os.environ["TRITON_INTERPRET"] = "1"  # read where Triton and the kernels are imported
else:
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # cuBLAS is deterministic only with it
pytest.importorskip("triton")
import triton_support  # noqa: E402, F401

sys.path.insert(0, str(ROOT / "benchmarks"))
import roofline  # noqa: E402

from fairseq_bahdanau.fused import triton_choice, triton_kernels, triton_launch  # noqa: E402

TWINS = {order: triton_choice.twins(order).unroll for order in LOOPS}
ODD = {"decoder_hidden_size": 41, "attention_dim": 70}  # several blocks of a small tile, the last not full
RESULTS = ("states", "contexts", "attention")
# Rows of a search at each step: four sentences of three beams, the second of which leaves.
SEARCH = [[0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3], [1, 0, 0, 3, 5, 5, 8, 7, 6, 11, 9, 10], [0, 2, 2, 6, 8, 7, 9, 9, 9]]
INPUTS = ("embed_gates", "state", "context", "keys", "annotations")
orders = pytest.mark.parametrize("order", TWINS)
dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)


@pytest.fixture(autouse=True)
def poison():
    """Fills fresh memory with NaN, so that no test passes on what a kernel has left out."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def example(order, layout, tgt_len, **sizes):
    """A decoder in float64, and arguments of its loop."""
    sizes = {**SIZES, **sizes}
    model = shake(build_model(decoder_order=order, **sizes)).double().train().decoder
    batch, src_len, annotation_dim = len(layout), len(layout[0]), 2 * sizes["encoder_hidden_size"]
    hidden_size, attention_dim = sizes["decoder_hidden_size"], sizes["attention_dim"]
    shapes = [
        (batch, tgt_len, 3 * hidden_size), (batch, hidden_size), (batch, annotation_dim),
        (batch, src_len, attention_dim), (batch, src_len, annotation_dim),
    ]  # fmt: skip
    generator = torch.Generator().manual_seed(5)
    tensors = [torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in shapes]
    return readable(model), tensors, torch.tensor([[place == "." for place in row] for row in layout])


def results(unroll, model, tensors, mask, dtype=torch.float64, device="cpu"):
    """Results, and gradients of a weighted sum of them, by name, in float64 on the CPU."""
    model.to(device, dtype)
    tensors = [tensor.detach().to(device, dtype).requires_grad_() for tensor in tensors]
    embed_gates, state, context, keys, annotations = tensors
    source = Source(keys, annotations, mask.to(device))
    states, attention = unroll(model, embed_gates, State(state, context), source)
    outputs = states.cell, states.context, attention
    assert {output.dtype for output in outputs} == {dtype}
    generator = torch.Generator().manual_seed(6)
    weights = [torch.randn(output.shape, generator=generator).to(device, dtype) for output in outputs]
    total = sum((output * weight).sum() for output, weight in zip(outputs, weights))
    named = {**dict(model.named_parameters()), **dict(zip(INPUTS, tensors))}
    gradients = torch.autograd.grad(total, list(named.values()), allow_unused=True)
    found = {**dict(zip(RESULTS, outputs)), **dict(zip(named, gradients))}
    return {name: value.detach().cpu().double() for name, value in found.items() if value is not None}


def reference(model, embed_gates, last, source):
    """The readable loop."""
    return model.unroll(embed_gates, last, source)


def assert_close_to_float64(order, dtype, layout, tgt_len=4, **sizes):
    model, tensors, mask = example(order, layout, tgt_len, **sizes)
    exact = results(reference, model, tensors, mask)
    theirs = results(reference, model, tensors, mask, dtype)
    ours = results(TWINS[order], model, tensors, mask, dtype, DEVICE)
    slack = 1e-6 if dtype == torch.float32 else torch.finfo(dtype).eps
    for name, value in exact.items():
        if not value.any():
            assert name not in ours or not ours[name].any() or ours[name].norm() <= 1e-5 * tensors[3].numel(), name
            continue
        our_error, their_error = ((found[name] - value).norm() / value.norm() for found in (ours, theirs))
        assert our_error < 2.5 * their_error + slack, name
    assert (ours["attention"].transpose(0, 1)[:, mask] == 0).all()
    assert not ours["contexts"][mask.all(dim=1)].any()


@orders
@dtypes
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_close_to_float64(order, dtype, layout):
    assert_close_to_float64(order, dtype, layout)


@orders
@pytest.mark.parametrize("dtype", [torch.float32])
@pytest.mark.parametrize("layout", ["all padding", "one word", "long source"])
def test_several_blocks(order, dtype, layout, monkeypatch):
    monkeypatch.setattr(triton_launch, "TILE", 512)
    monkeypatch.setattr(triton_launch, "KEYS_TILE", {"SOURCE": 16, "BLOCK": 32, "num_warps": 4})
    monkeypatch.setattr(triton_launch, "BLOCK", 16)
    assert_close_to_float64(order, dtype, LAYOUTS[layout], tgt_len=2, **ODD)


@orders
def test_one_target_word(order):
    assert_close_to_float64(order, torch.float32, LAYOUTS["all padding"], tgt_len=1)


def test_rows_read_their_sentences_by_the_order():
    generator = torch.Generator().manual_seed(7)

    def random(*shape):
        return torch.randn(*shape, generator=generator).to(DEVICE)

    order = torch.tensor([2, 0, 2, 1, 1], device=DEVICE)
    keys, values, mask = random(3, 6, 9), random(3, 6, 24), torch.zeros(3, 6, dtype=torch.bool, device=DEVICE)
    products, inputs, bias, energy, before = random(5, 33), random(5, 1, 24), random(32), random(9), random(1, 5, 8)

    def step(read, order):
        columns, after, attention = before.new_empty(1, 5, 41), torch.empty_like(before), before.new_empty(5, 1, 6)
        read.forward(0, 0, products, columns, inputs, bias, (before, after), attention, order)
        return after, attention

    found = step(triton_launch.Read(8, keys, values, energy, mask), order)
    wanted = step(triton_launch.Read(8, keys[order], values[order], energy, mask[order]), None)
    for one, other in zip(found, wanted):
        assert torch.equal(one, other)


def search_steps(model, sources, device):
    """Logits, attention and state of a search's steps: beams, their reordering, and a sentence that leaves."""
    found, state = {}, {}
    with torch.no_grad():
        encoder_out = model.encoder(sources.to(device))
        for step, order in enumerate(SEARCH):
            words = torch.arange(4, 4 + len(order), device=device).view(-1, 1)
            encoder_out = model.encoder.reorder_encoder_out(encoder_out, torch.tensor(order, device=device))
            model.decoder.reorder_incremental_state_scripting(state, torch.tensor(order, device=device))
            logits, extra = model.decoder(words, encoder_out, state)
            carried = model.decoder.get_incremental_state(state, "search")
            found.update({f"logits {step}": logits, f"attention {step}": extra["attn"][0]})
            found[f"state {step}"] = carried["state"]
    return {name: value.cpu().double() for name, value in found.items()}, carried


@orders
@dtypes
@pytest.mark.parametrize("sizes", [{}, {**ODD, "maxout_dim": 37}], ids=["", "odd"])
def test_a_search_is_close_to_float64(order, dtype, sizes, monkeypatch):
    """Padding left, right and within; beams; a sentence that leaves; more than one block of every size."""
    monkeypatch.setattr(triton_launch, "TILE", 512)
    monkeypatch.setattr(triton_launch, "BLOCK", 16)
    model = shake(build_model(decoder_order=order, recurrence="triton", **sizes)).eval()
    sources = torch.tensor([[5, 6, 7, 2], [1, 1, 8, 2], [9, 2, 1, 1], [4, 1, 5, 2]])
    readable_model = copy.deepcopy(model)
    readable_model.decoder.fused = None
    exact, _ = search_steps(copy.deepcopy(readable_model).double(), sources, "cpu")
    theirs, _ = search_steps(readable_model.to(dtype), sources, "cpu")
    ours, carried = search_steps(model.to(dtype).to(DEVICE), sources, DEVICE)
    assert carried["search_step"].__module__.endswith(".triton_search") and len(exact) == 3 * len(SEARCH)
    for name, value in exact.items():
        our_error, their_error = ((found[name] - value).norm() / value.norm() for found in (ours, theirs))
        assert our_error < 2.5 * their_error + (1e-6 if dtype == torch.float32 else torch.finfo(dtype).eps), name


@pytest.mark.parametrize(
    ("order", "launches"),
    [
        ("look-update-generate", roofline.TRITON["triton"][2]),
        ("update-look-generate", 15),
        ("update-look-update-generate", roofline.TRITON["triton, conditional GRU"][2]),
    ],
)
def test_launches_of_a_step_of_a_search(order, launches, monkeypatch):
    """Those of Triton and of PyTorch together, as the speed page has them."""
    launched = []
    monkeypatch.setattr(triton_launch.Launcher, "__call__", lambda self, kernel, *_, **__: launched.append(kernel))
    counted = roofline.in_search(build_model(decoder_order=order, recurrence="triton").to(DEVICE).eval())
    assert counted + len(launched) / 2 == launches  # the first step, which is not counted, has as many kernels


@orders
def test_a_search_for_gradients_is_not_in_triton(order):
    model = shake(build_model(decoder_order=order, recurrence="triton")).to(DEVICE).eval()
    encoder_out, begun, word = model.encoder(torch.tensor([[5, 2]], device=DEVICE)), {}, torch.tensor([[6]])
    model.decoder(word.to(DEVICE), encoder_out, {})[0].sum().backward()
    assert model.decoder.attention.energy.grad is not None
    with torch.no_grad():
        model.decoder(word.to(DEVICE), encoder_out, begun)
    with pytest.raises(RuntimeError, match="a search that began without gradients gives none"):
        model.decoder(word.to(DEVICE), encoder_out, begun)


@orders
def test_the_option_chooses_it_where_it_can_run(order, caplog, monkeypatch):
    def loop(dtype):
        model = shake(build_model(decoder_order=order, recurrence="triton")).to(DEVICE, dtype).train().decoder
        _, tensors, mask = example(order, LAYOUTS["right"], 2)
        embed_gates, state, context, keys, annotations = (tensor.to(DEVICE, dtype) for tensor in tensors)
        states, _ = model.unroll(embed_gates, State(state, context), Source(keys, annotations, mask.to(DEVICE)))
        return type(states.cell.grad_fn).__name__

    caplog.set_level(logging.INFO)
    in_triton = "TritonConditionalLoopBackward" if order == "update-look-update-generate" else "TritonLoopBackward"
    assert loop(torch.float32) == in_triton and "Triton" not in caplog.text
    assert loop(torch.float64) == LOOPS[order]
    assert "--recurrence triton: Triton has no code for torch.float64: it runs as --recurrence" in caplog.text
    monkeypatch.setattr("triton.__version__", "3.2.0+git")
    triton_choice.lack_of_triton.cache_clear()
    assert loop(torch.float32) == LOOPS[order] and "Triton is 3.2.0+git, and 3.3 is the oldest" in caplog.text
    monkeypatch.setattr(triton_choice.importlib.util, "find_spec", lambda name: None)
    triton_choice.lack_of_triton.cache_clear()
    assert loop(torch.float32) == LOOPS[order] and "Triton is not installed" in caplog.text
    monkeypatch.undo()
    triton_choice.lack_of_triton.cache_clear()
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    if DEVICE == "cpu":
        assert loop(torch.float32) == LOOPS[order] and "Triton has no code for the device cpu" in caplog.text


def test_kernels_compile_and_spill_no_registers():
    environment = {**os.environ, "TRITON_INTERPRET": "0", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, str(ROOT / "tests" / "triton_compile.py")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("gru_forward", "gru_backward", "step_forward", "step_backward", "keys_backward"):
        assert hasattr(triton_kernels, name) and f" {name}" in done.stdout
