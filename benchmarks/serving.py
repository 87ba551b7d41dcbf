"""Times what serves a trained model on a CPU: exported models, fairseq's search, and CTranslate2 with a transformer.

All take raw lines and give raw lines, by one model of pieces. Prints tables in Markdown: sentences a second, latency of
single sentences, start-up and memory, and each system's BLEU, so that no speed stands without its quality. Needs
``pip install ctranslate2``; checkpoints are those of a recipe, of one folder of a language pair.
"""

import argparse
import functools
import logging
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable, Dict, List

import numpy as np
import torch
from conditions import now
from measure import interleaved
from sacrebleu.metrics import BLEU

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "recipes"))
from fairseq.dataclass.utils import convert_namespace_to_omegaconf  # noqa: E402
from translate import Translator as Fairseq  # noqa: E402
from translate import get_parser  # noqa: E402

from fairseq_bahdanau.cli.translating import parse  # noqa: E402
from fairseq_bahdanau.portable.lines import load_pieces  # noqa: E402
from fairseq_bahdanau.portable.treatment import read_treatment  # noqa: E402
from fairseq_bahdanau.tables import markdown_table  # noqa: E402
from fairseq_bahdanau.text import read_lines  # noqa: E402
from fairseq_bahdanau.translator import Translator  # noqa: E402

SINGLE = 200  # sentences that are translated one by one
Translate = Callable[[List[str], int, int], List[str]]  # of lines, beam, and sentences at once


def exported(folder: str, threads: int) -> Translate:
    """Translates by an exported model."""
    translator = Translator(folder, threads=threads)
    return lambda lines, beam, batch: [each.text for each in translator.translate(lines, beam=beam, batch_size=batch)]


def fairseq(checkpoint: str) -> Translate:
    """Translates by fairseq's search, as ``recipes/translate.sh`` does; threads are those of PyTorch."""
    text, model, data = read_treatment(Path(checkpoint))

    @functools.lru_cache(maxsize=None)
    def translator(beam: int, batch: int) -> Fairseq:
        own = [str(data), "--path", checkpoint, "--source-lang", text.source, "--target-lang", text.target, "--cpu"]
        given = ["--beam", str(beam), "--batch-size", str(batch)]
        args = parse(get_parser(), own, given, ["beam", "batch_size"])
        return Fairseq(convert_namespace_to_omegaconf(args), text, load_pieces(model))

    return lambda lines, beam, batch: translator(beam, batch).translate(list(enumerate(lines, start=1)))


def ctranslate2(checkpoint: str, kind: str, threads: int, place: str) -> Translate:
    """Translates a transformer of fairseq's by CTranslate2, whose search has the same options; a batch on each core."""
    import ctranslate2 as library  # only here: what is measured beside ours

    text, model, data = read_treatment(Path(checkpoint))
    folder = f"{place}/{kind}"
    if not Path(folder).exists():
        converter = library.converters.FairseqConverter(
            checkpoint, str(data), source_lang=text.source, target_lang=text.target, unsafe_deserialization=True
        )
        converter.convert(folder, quantization=None if kind == "float32" else kind)
    translator = library.Translator(folder, compute_type=kind, inter_threads=threads, intra_threads=1)
    pieces = load_pieces(model)

    def translate(lines: List[str], beam: int, batch: int) -> List[str]:
        tokens = [pieces.encode(" ".join(line.split()), out_type=str) for line in lines]
        found = translator.translate_batch(tokens, beam_size=beam, max_batch_size=batch, max_decoding_length=256)
        return [pieces.decode(each.hypotheses[0]).strip() for each in found]

    return translate


def systems(args: argparse.Namespace, threads: int, place: str) -> Dict[str, Translate]:
    """Builds all systems that the command line names."""
    torch.set_num_threads(threads)
    built = {f"exported, {Path(folder).name}": exported(folder, threads) for folder in args.exported}
    built["fairseq's search"] = fairseq(args.checkpoint)
    for kind in ("float32", "int8") if args.transformer else ():
        built[f"CTranslate2, transformer, {kind}"] = ctranslate2(args.transformer, kind, threads, place)
    return built


def rates(built: Dict[str, Translate], lines: List[str], beam: int, batch: int, rounds: int) -> Dict[str, str]:
    """Measures sentences a second: the median of the rounds, and their extremes."""
    works = {name: functools.partial(work, lines, beam, batch) for name, work in built.items()}
    told = {}
    for name, times in interleaved(works, rounds).items():
        found = sorted(len(lines) / each for each in times)
        told[name] = f"{statistics.median(found):.0f} ({found[0]:.0f} – {found[-1]:.0f})"
    return told


def latencies(built: Dict[str, Translate], lines: List[str], beam: int) -> Dict[str, str]:
    """Measures the milliseconds of single sentences: the median, and what 95 and 99 of 100 stay below."""
    times: Dict[str, List[float]] = {name: [] for name in built}
    for line in lines:
        for name, work in built.items():
            start = time.perf_counter()
            work([line], beam, 1)
            times[name].append(1000 * (time.perf_counter() - start))
    return {
        name: " / ".join(f"{part:.1f}" for part in np.percentile(found, [50, 95, 99])) for name, found in times.items()
    }


def footprint(command: List[str], line: str) -> str:
    """Measures seconds until a process has translated one line and ended, and its memory at the most."""
    program = (
        "import resource, subprocess, sys, time; start = time.perf_counter();"
        "subprocess.run(sys.argv[2:], input=sys.argv[1].encode(), capture_output=True, check=True);"
        "print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e3)"
    )
    runs = [
        subprocess.run([sys.executable, "-c", program, line, *command], stdout=subprocess.PIPE, check=True, text=True)
        for _ in range(3)
    ]
    told = [tuple(map(float, run.stdout.split())) for run in runs]
    return f"{statistics.median(each[0] for each in told):.1f} s, {max(each[1] for each in told):.0f} MB"


def footprints(args: argparse.Namespace, line: str) -> Dict[str, str]:
    """Measures the commands of a user."""
    python = [sys.executable, "-m", "fairseq_bahdanau.translate"]
    commands = {f"exported, {Path(folder).name}": [*python, folder] for folder in args.exported}
    commands["fairseq's search"] = ["bash", str(ROOT / "recipes" / "translate.sh"), args.checkpoint, "--cpu"]
    return {name: footprint(command, line) for name, command in commands.items()}


def get_parser_of_this() -> argparse.ArgumentParser:
    """Makes the parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--exported", nargs="+", required=True, metavar="DIR", help="exported models of the checkpoint")
    parser.add_argument("--checkpoint", required=True, help="ours, in a recipe's folder")
    parser.add_argument("--transformer", metavar="CHECKPOINT", help="fairseq's, for CTranslate2")
    parser.add_argument("--source", required=True, help="raw text to translate")
    parser.add_argument("--reference", required=True, help="its translation")
    parser.add_argument("--rounds", type=int, default=5, help="in which the systems take turns (default: %(default)s)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="(default: 1 2)")
    return parser


def main() -> None:
    """Measures, and prints tables as they are ready."""
    args = get_parser_of_this().parse_args()
    logging.getLogger().setLevel(logging.WARNING)  # fairseq tells of every batch
    lines, reference = read_lines(args.source), read_lines(args.reference)
    for threads in args.threads:
        print(f"\n{now(threads, 'python ' + ' '.join(sys.argv))}\n", flush=True)
        with tempfile.TemporaryDirectory() as place:
            built = systems(args, threads, place)
            columns: Dict[str, Dict[str, str]] = {}
            for beam in (5, 1):
                columns[f"beam {beam}, 64 at once: sentences/s"] = rates(built, lines, beam, 64, args.rounds)
                columns[f"beam {beam}, one: ms, 50/95/99 %"] = latencies(built, lines[:SINGLE], beam)
            bleu = {name: BLEU().corpus_score(work(lines, 5, 64), [reference]).score for name, work in built.items()}
            columns["BLEU, beam 5"] = {name: f"{score:.2f}" for name, score in bleu.items()}
        if threads == args.threads[0]:
            columns["start to end of one line, memory"] = footprints(args, lines[0])
        table = [[name, *(column.get(name, "") for column in columns.values())] for name in built]
        print("\n".join(markdown_table(["", *columns], table)), flush=True)
    print(f"\nmemory of this process at the most: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:.0f} MB")


if __name__ == "__main__":
    main()
