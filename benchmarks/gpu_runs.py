"""Training and search on a GPU are compared here with those on a CPU: a small model learns to write words backwards."""

import copy
import functools
from types import SimpleNamespace
from typing import Any, Dict, List, Tuple

import torch
from batches import Batch, make_dictionary
from fairseq.optim.fp16_optimizer import FP16Optimizer
from fairseq.sequence_generator import SequenceGenerator
from gpu_cases import AUTOCAST_BF16, MODULES, ORDERS, PATHS, Precision, Size, along, config
from gpu_report import Report, Setting
from measure import CLIP_NORM, LABEL_SMOOTHING
from omegaconf import OmegaConf
from torch import Tensor, nn

from fairseq_bahdanau.losses import blockwise_loss
from fairseq_bahdanau.model import BahdanauModel

FP32, FP16 = MODULES[0], MODULES[1]
TOY, RATE = Size(32, 32, 64, 64), 2e-3
LAST = 10  # losses whose mean is compared
TRAINED = 50  # updates before a search
SENTENCES, SHORTEST, LONGEST = 32, 2, 8
# By how much the mean of the last losses may differ from that of a CPU in float32.
CLOSE = {"fp32": 0.01, "fp16": 0.03, "autocast-bf16": 0.03}
SEARCHES = {"beam-1": (1, 0), "beam-5": (5, 0), "prefix": (5, 2)}  # beam, words of the prefix


def fp16_options(rate: float, flat: bool) -> Any:
    """Returns what fairseq's optimizer for --fp16 reads of the options, with their defaults."""
    common = {
        "fp16_init_scale": 128,
        "fp16_scale_window": None,
        "fp16_scale_tolerance": 0.0,
        "threshold_loss_scale": None,
        "min_loss_scale": 1e-4,
        "fp16_no_flatten_grads": not flat,
        "model_parallel_size": 1,
    }
    adam = {"_name": "adam", "lr": [rate], "adam_betas": "(0.9, 0.999)", "adam_eps": 1e-8, "weight_decay": 0.0}
    adam.update({"use_old_adam": False, "fp16_adam_stats": False, "tpu": False})
    one = {"optimization": {"update_freq": [1]}, "distributed_training": {"distributed_world_size": 1}}
    return OmegaConf.create({"common": common, "optimizer": adam, **one})


class Updates:
    """Updates a model by Adam in one precision: fp16 as --fp16 of fairseq does, with weights in float32 beside it.

    Args:
        model: of the precision's type, on its device; is put into training mode
        way: the precision
        padding_idx: of the target dictionary
        rate: of learning
    """

    def __init__(self, model: nn.Module, way: Precision, padding_idx: int, rate: float):
        self.model, self.way, self.padding_idx = model.train(), way, padding_idx
        self.parameters = list(model.parameters())
        self.device = self.parameters[0].device
        self.optimizer: Any
        if way.of_module() == torch.float16:
            options = fp16_options(rate, flat=self.device.type == "cuda")
            self.optimizer = FP16Optimizer.build_optimizer(options, self.parameters)
        else:
            self.optimizer = torch.optim.Adam(self.parameters, lr=rate)

    def loss(self, batch: Batch) -> Tensor:
        """Returns the label-smoothed loss of a batch, summed over its words."""
        with self.way.cast(self.device):
            logits = self.model(batch["src_tokens"], batch["src_lengths"], batch["prev_output_tokens"])[0]
        target = batch["target"].flatten()
        return blockwise_loss(logits.flatten(0, 1), target, LABEL_SMOOTHING, self.padding_idx)[0].sum()

    def update(self, batch: Batch, words: int) -> Tensor:
        """Goes forward and back, takes a step, and returns the loss per word, without waiting for it."""
        self.optimizer.zero_grad()
        loss = self.loss(batch)
        if isinstance(self.optimizer, FP16Optimizer):
            self.optimizer.backward(loss)
            self.optimizer.multiply_grads(1 / words)
            try:
                self.optimizer.clip_grad_norm(CLIP_NORM)
                self.optimizer.step()
            except OverflowError:  # the scale was too large; fairseq leaves such an update out, too
                self.optimizer.zero_grad()
        else:
            loss.backward()
            torch._foreach_mul_([value.grad for value in self.parameters if value.grad is not None], 1 / words)
            nn.utils.clip_grad_norm_(self.parameters, CLIP_NORM)
            self.optimizer.step()
        return loss.detach() / words

    def state(self) -> Dict[str, Any]:
        """Returns a copy of all that a training goes on from."""
        return copy.deepcopy({"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()})

    def resume(self, state: Dict[str, Any]) -> None:
        """Goes on from such a copy."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])


def on_device(batch: Batch, device: torch.device) -> Batch:
    """Moves a batch."""
    return {name: value.to(device) for name, value in batch.items()}


@functools.lru_cache(maxsize=None)
def toy_batches(count: int) -> List[Batch]:
    """Makes batches of sentences and the same backwards, padded as fairseq does it."""
    generator, dictionary = torch.Generator().manual_seed(4), make_dictionary(24)
    result = []
    for _ in range(count):
        lengths = torch.randint(SHORTEST, LONGEST + 1, (SENTENCES,), generator=generator)
        src_tokens = torch.full((SENTENCES, LONGEST + 1), dictionary.pad())
        target = src_tokens.clone()
        for row, length in enumerate(lengths.tolist()):
            words = torch.randint(dictionary.nspecial, len(dictionary), (length,), generator=generator)
            src_tokens[row, LONGEST - length :] = torch.cat([words, words.new_tensor([dictionary.eos()])])
            target[row, : length + 1] = torch.cat([words.flip(0), words.new_tensor([dictionary.eos()])])
        prev = target.roll(1, dims=1)
        prev[:, 0] = dictionary.eos()
        prev = prev.masked_fill(target.eq(dictionary.pad()), dictionary.pad())
        columns = {"src_tokens": src_tokens, "src_lengths": lengths + 1, "prev_output_tokens": prev, "target": target}
        result.append(columns)
    return result


def toy_model(order: str) -> BahdanauModel:
    """Makes a readable model with always the same weights."""
    torch.manual_seed(1)
    dictionary = make_dictionary(24)
    task = SimpleNamespace(source_dictionary=dictionary, target_dictionary=dictionary, cfg=None)
    return BahdanauModel.build_model(config(TOY, order), task)


def toy_updates(path: str, way: Precision, device: torch.device, order: str = ORDERS[0]) -> Updates:
    """Makes the updates of a fresh model along one path."""
    model = toy_model(order)
    return Updates(along(path, order, model, way, device), way, model.decoder.dictionary.pad(), RATE)


def curve(updates: Updates, batches: List[Batch]) -> Tensor:
    """Returns the losses of so many updates, on the CPU."""
    pad = updates.padding_idx
    words = [int(batch["target"].ne(pad).sum()) for batch in batches]
    losses = [updates.update(on_device(batch, updates.device), count) for batch, count in zip(batches, words)]
    return torch.stack(losses).double().cpu()


@functools.lru_cache(maxsize=None)
def cpu_mean(count: int) -> float:
    """Returns the mean of the last losses of the readable code on a CPU."""
    return float(curve(toy_updates("reference", FP32, torch.device("cpu")), toy_batches(count))[-LAST:].mean())


def compare_curve(setting: Setting, report: Report, name: str, path: str, way: Precision) -> None:
    """Compares the last losses of a training with those of a CPU."""
    losses = curve(toy_updates(path, way, setting.device), toy_batches(setting.updates))
    last, wanted = float(losses[-LAST:].mean()), cpu_mean(setting.updates)
    told = f"relative: {last:.5f}, CPU {wanted:.5f}, first {float(losses[0]):.3f}"
    report.at_most(name, abs(last / wanted - 1), CLOSE[way.name], told)


def repeat(setting: Setting, report: Report, path: str, way: Precision) -> None:
    """Trains twice, the second time with a stop, and compares to the last bit."""
    batches, half = toy_batches(setting.updates), setting.updates // 2
    first, second = (curve(toy_updates(path, way, setting.device), batches) for _ in range(2))
    report.at_most(
        f"training-{path}-{way.name}-repeated", float((first - second).abs().max()), 0, "greatest difference"
    )
    stopped = toy_updates(path, way, setting.device)
    curve(stopped, batches[:half])
    resumed = toy_updates(path, way, setting.device)
    resumed.resume(stopped.state())
    difference = float((curve(resumed, batches[half:]) - first[half:]).abs().max())
    report.at_most(f"training-{path}-{way.name}-resumed", difference, 0, "greatest difference")


def training_rows(setting: Setting, report: Report) -> None:
    """Compares short trainings along every path."""
    for path in PATHS:
        for way in (FP32, FP16, AUTOCAST_BF16):
            name = f"training-{path}-{way.name}-as-on-cpu"
            report.attempt(name, lambda n=name, p=path, w=way: compare_curve(setting, report, n, p, w))
        report.attempt(f"training-{path}-repeated", lambda p=path: repeat(setting, report, p, FP32))


@functools.lru_cache(maxsize=None)
def trained(order: str) -> BahdanauModel:
    """Returns the readable model after its updates on a CPU, whose translations have different lengths."""
    updates = toy_updates("reference", FP32, torch.device("cpu"), order)
    curve(updates, toy_batches(TRAINED))
    return updates.model.eval()


def translations(model: nn.Module, beam: int, prefix: int) -> List[Tuple[List[int], float]]:
    """Returns words and score of all hypotheses of a batch."""
    batch = on_device(toy_batches(1)[0], model.decoder.attention.energy.device)
    search = SequenceGenerator([model], model.decoder.dictionary, beam_size=beam, max_len_a=0, max_len_b=LONGEST + 4)
    prefix_tokens = batch["target"][:, :prefix] if prefix else None
    net_input = {name: batch[name] for name in ("src_tokens", "src_lengths")}
    found = search.generate([], {"net_input": net_input}, prefix_tokens=prefix_tokens)
    return [(one["tokens"].tolist(), float(one["score"])) for sentence in found for one in sentence]


def compare_search(setting: Setting, report: Report, name: str, path: str, kind: str) -> None:
    """Compares the translations of all orders with the readable code's on a CPU."""
    differing, farthest, lengths = 0, 0.0, set()
    for order in ORDERS:
        wanted = translations(trained(order), *SEARCHES[kind])
        model = along(path, order, trained(order), FP32, setting.device).eval()
        found = translations(model, *SEARCHES[kind])
        differing += sum(ours != theirs for (ours, _), (theirs, _) in zip(found, wanted))
        differing += abs(len(found) - len(wanted))
        farthest = max(farthest, *(abs(ours - theirs) for (_, ours), (_, theirs) in zip(found, wanted)))
        lengths |= {len(words) for words, _ in wanted}
    if len(lengths) < 3:
        raise RuntimeError(f"the translations have too few lengths to tell anything: {sorted(lengths)}")
    report.at_most(name, differing, 0, f"hypotheses differ; scores by {farthest:.1g}; lengths {sorted(lengths)}")


def search_rows(setting: Setting, report: Report) -> None:
    """Compares fairseq's search along every path."""
    for path in PATHS:
        for kind in SEARCHES:
            name = f"search-{path}-{kind}"
            report.attempt(name, lambda n=name, p=path, k=kind: compare_search(setting, report, n, p, k))
