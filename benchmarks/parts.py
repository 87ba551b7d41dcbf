"""What takes time is measured here: training, search, the decoder's recurrence alone, and both by length."""

from pathlib import Path
from typing import Dict, Iterator, List, Tuple

import batches
import floor
import torch
from measure import Setting, Training, interleaved, searcher
from results import Table
from systems import SIZES, base_of, build

from fairseq_bahdanau.attention import Source
from fairseq_bahdanau.recurrence import State

# Of a real corpus, the first batches of the shuffled epoch.
REAL_BATCHES = 20
RECURRENCES = ("ours", "ours-update-look", "ours-conditional", "reference")
# Batch, source, target.
RECURRENCE_SHAPES = ((80, 20, 18), (32, 100, 100))
SEARCH_SOURCE, SEARCH_TARGET = 16, 25
LENGTHS, LENGTHS_BATCH, LENGTHS_SYSTEMS = (10, 25, 50, 100, 200, 400), 16, ("ours", "lstm")


def rates(times: Dict[str, List[float]], amount: int) -> Dict[str, List[float]]:
    """Returns amounts per second instead of seconds."""
    return {name: [amount / value for value in values] for name, values in times.items()}


def training(size: str, systems: List[str], setting: Setting) -> Table:
    """Measures target words per second of whole updates; ``products`` is the floor under ours."""
    if setting.data:
        corpus = batches.of_folder(Path(setting.data), REAL_BATCHES)
    else:
        corpus = batches.of_lengths(batches.CAPTIONS)
    works = {}
    for system in systems:
        model = build(system, size, corpus.source, corpus.target)
        trained = Training(model, corpus.target.pad(), setting.loss)
        works[system] = lambda trained=trained: [trained.update(batch) for batch in corpus.batches]
    shapes = [(*batch["src_tokens"].shape, batch["target"].size(1)) for batch in corpus.batches]
    products = [work for shape in shapes for work in floor.update(SIZES[size], *shape, len(corpus.target))]
    works["products"] = floor.all_of(products)
    if "ours-conditional" in systems:
        second = [floor.second_update(SIZES[size], batch, target) for batch, _, target in shapes]
        works["products-conditional"] = floor.all_of(products + second)
    figures = rates(interleaved(works, setting.rounds), corpus.words())
    name = f"Training, {size}{setting.suffix('data', 'loss', 'products')}"
    return Table(name, "target words/s", base_of(systems), {"": figures})


def decoding(size: str, systems: List[str], setting: Setting, beam: int) -> Table:
    """Measures sentences per second of fairseq's search, every translation 25 words long."""
    corpus = batches.of_lengths(((SEARCH_SOURCE, SEARCH_TARGET),))
    sample = {"net_input": {name: corpus.batches[0][name] for name in ("src_tokens", "src_lengths")}}
    works = {}
    for system in systems:
        model = build(system, size, corpus.source, corpus.target)
        search = searcher(model, corpus.target, beam, SEARCH_TARGET)
        works[system] = lambda search=search: search.generate([], sample)
    figures = rates(interleaved(works, setting.rounds), len(sample["net_input"]["src_tokens"]))
    name = f"Search with beam {beam}, {size}{setting.suffix('products')}"
    return Table(name, "sentences/s", base_of(systems), {"": figures})


def recurrence(size: str, shape: Tuple[int, int, int], setting: Setting) -> Table:
    """Measures seconds of the decoder's loop and its keys, forward and backward, and of their products alone."""
    dictionary = batches.make_dictionary(100)
    _, encoder, hidden, _, _ = SIZES[size]
    batch, source, target = shape
    inputs = [torch.randn(batch, target, 3 * hidden), torch.randn(batch, hidden), torch.randn(batch, 2 * encoder)]
    annotations = torch.randn(batch, source, 2 * encoder)
    padding_mask = torch.zeros(batch, source, dtype=torch.bool)
    works = {}
    for system in RECURRENCES:
        decoder = build(system, size, dictionary, dictionary).train().decoder

        def run(decoder=decoder) -> None:
            embed_gates, state, context, values = (part.clone().requires_grad_() for part in (*inputs, annotations))
            seen = Source(decoder.attention.make_keys(values), values, padding_mask)
            states, _ = decoder.unroll(embed_gates, State(state, context), seen)
            (states.cell.sum() + states.context.sum()).backward()

        works[system] = run
    products = floor.recurrence(SIZES[size], *shape)
    works["products"] = floor.all_of(products)
    works["products-conditional"] = floor.all_of([*products, floor.second_update(SIZES[size], batch, target)])
    name = f"The recurrence alone, {size}, batch, source, target {shape}{setting.suffix('products')}"
    return Table(name, "seconds", "products", {"": interleaved(works, setting.rounds)})


def lengths(setting: Setting, size: str = "small") -> Iterator[Table]:
    """Measures milliseconds per sentence of training and of beam search by length, of ours and of ``lstm``."""
    dictionary = batches.make_dictionary(batches.WORDS)
    trained, searched = {}, {}
    for length in LENGTHS:
        batch = batches.random_batch(dictionary, LENGTHS_BATCH, length, length)
        sample = {"net_input": {"src_tokens": batch["src_tokens"], "src_lengths": batch["src_lengths"]}}
        trainings, searches = {}, {}
        for system in LENGTHS_SYSTEMS:
            one = Training(build(system, size, dictionary, dictionary), dictionary.pad(), setting.loss)
            trainings[system] = lambda one=one, batch=batch: one.update(batch)
            search = searcher(build(system, size, dictionary, dictionary), dictionary, 5, length)
            searches[system] = lambda search=search, sample=sample: search.generate([], sample)
        for works, found in ((trainings, trained), (searches, searched)):
            times = interleaved(works, setting.rounds)
            found[f"{length} words"] = {
                system: [1000 * value / LENGTHS_BATCH for value in values] for system, values in times.items()
            }
    shown = f"{size}, batch {LENGTHS_BATCH}"
    unit = "milliseconds per sentence"
    yield Table(f"Training by length, {shown}{setting.suffix('loss', 'products')}", unit, "lstm", trained)
    yield Table(f"Search with beam 5 by length, {shown}{setting.suffix('products')}", unit, "lstm", searched)
