"""Runs the graphs of exported models by onnxruntime, for a search; several give the mean of their probabilities.

The names of what the graphs take and give are those of ``onnx_graphs.py``, which writes them.
"""

from typing import Dict, List, Sequence, Tuple

import numpy as np
import onnxruntime

from .folder import SOURCE

ALL_PROBABILITIES, BEST = ["log_probs"], ["best", "words"]
CARRIED = ["next_state", "next_context"]


def open_graph(path: str) -> onnxruntime.InferenceSession:
    """Opens a graph, which runs in the thread that asks: the operators of one step are too small to be shared.

    Raises:
        ValueError: a file that is no graph, or one for a newer onnxruntime
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors; they are raised, too
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's have no class in common but this
        told = str(error).splitlines()[0]
        raise ValueError(
            f"{path} cannot be opened by onnxruntime {onnxruntime.__version__}: damaged, or for a newer one? ({told})"
        ) from error


class OnnxModel:
    """Runs the two graphs of an exported model.

    Args:
        encoder, step: the files
        words: how many the target dictionary has
        longest: tokens of a target, ``</s>`` included
        columns: the least number that a batch of sources must have
        pad: what fills a row of the source
    """

    def __init__(self, encoder: str, step: str, words: int, longest: int, columns: int, pad: int):
        self.encoder, self.decoder = open_graph(encoder), open_graph(step)
        self.words, self.longest, self.columns, self.pad = words, longest, columns, pad
        self.run_options = onnxruntime.RunOptions()
        self.run_options.only_execute_path_to_fetches = True

    def encode(self, sources: Sequence[Sequence[int]]) -> "OnnxRunning":
        """Reads sentences, each with its ``</s>``."""
        lengths = np.array([len(source) for source in sources], dtype=np.int32)
        src_tokens = np.full((len(sources), max(self.columns, lengths.max())), self.pad, dtype=np.int64)
        for row, source in zip(src_tokens, sources):
            row[: len(source)] = source
        state, context, *source = self.encoder.run(None, {"src_tokens": src_tokens, "lengths": lengths})
        return OnnxRunning(self, state, context, dict(zip(SOURCE, source)))


class OnnxRunning:
    """Holds the states of all rows of a search; see ``search.Running``."""

    def __init__(self, model: OnnxModel, state: np.ndarray, context: np.ndarray, source: Dict[str, np.ndarray]):
        self.model, self.state, self.context, self.source = model, state, context, source

    def step(self, words: np.ndarray, count: int, everything: bool) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Reads one more word of every row."""
        beam = len(words) // len(self.state)  # all rows of a sentence begin alike
        if beam > 1:
            self.state, self.context = np.repeat(self.state, beam, axis=0), np.repeat(self.context, beam, axis=0)
        given = {"prev_output_tokens": words[:, None], "state": self.state, "context": self.context, **self.source}
        given["count"] = np.array([count], dtype=np.int64)
        wanted = ["attention", *CARRIED, *(ALL_PROBABILITIES if everything else BEST)]
        attention, self.state, self.context, log_probs, *best = self.model.decoder.run(
            wanted, given, self.model.run_options
        )
        following = best[0] if best else np.broadcast_to(np.arange(log_probs.shape[1]), log_probs.shape)
        return log_probs, following, attention

    def keep(self, rows: np.ndarray, sentences: np.ndarray) -> None:
        """Keeps these rows in this order, and these sentences."""
        self.state, self.context = self.state[rows], self.context[rows]
        if len(sentences) < len(self.source["keys"]):
            self.source = {name: values[sentences] for name, values in self.source.items()}


class Ensemble:
    """Averages the probabilities and the attention of several models with the same dictionaries."""

    def __init__(self, models: List[OnnxModel]):
        self.models, self.words = models, models[0].words
        self.longest = min(model.longest for model in models)

    def encode(self, sources: Sequence[Sequence[int]]) -> "RunningEnsemble":
        """Reads sentences, each with its ``</s>``."""
        return RunningEnsemble([model.encode(sources) for model in self.models])


class RunningEnsemble:
    """Holds the states of all models of an ensemble."""

    def __init__(self, members: List[OnnxRunning]):
        self.members = members

    def step(self, words: np.ndarray, count: int, everything: bool) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Reads one more word of every row; gives all next words, since each model has other likeliest ones."""
        results = [member.step(words, count, everything=True) for member in self.members]
        log_probs = np.logaddexp.reduce([result[0] for result in results]) - np.float32(np.log(len(results)))
        columns = min(attention.shape[1] for _, _, attention in results)  # one may have been given wider rows
        return log_probs, results[0][1], np.mean([attention[:, :columns] for _, _, attention in results], axis=0)

    def keep(self, rows: np.ndarray, sentences: np.ndarray) -> None:
        """Keeps these rows in this order, and these sentences."""
        for member in self.members:
            member.keep(rows, sentences)
