"""JoeyNMT's GRU with Bahdanau attention stands here behind the interface of fairseq's models; only when asked for.

Measured with JoeyNMT 2.3: ``pip install --no-deps joeynmt`` and ``pip install datasets pandas importlib_metadata
subword-nmt sacremoses tensorboard``, since its own requirements ask for older libraries than ours.
"""

from types import SimpleNamespace
from typing import Dict, List, Tuple

import torch
from fairseq.data import Dictionary
from joeynmt.model import build_model
from joeynmt.search import beam_search, recurrent_greedy
from joeynmt.vocabulary import Vocabulary
from torch import Tensor, nn

SPECIALS = {"unk": 0, "pad": 1, "bos": 2, "eos": 3}


class JoeyNMT(nn.Module):
    """The model. Its words are those of the dictionary, shifted to where JoeyNMT has its special ones.

    Args:
        sizes: embedding, encoder state per direction, decoder state; attention and readout have the decoder's
        source, target: the dictionaries
        dropout: on embeddings, annotations and the decoder's output
    """

    def __init__(self, sizes: Tuple[int, ...], source: Dictionary, target: Dictionary, dropout: float):
        super().__init__()
        embed, encoder, decoder = sizes[:3]
        special = {f"{name}_token": f"<{name}>" for name in SPECIALS}
        ids = {f"{name}_id": number for name, number in SPECIALS.items()}
        names = SimpleNamespace(**special, **ids, sep_token=None, sep_id=None, lang_tags=[])
        vocabularies = [
            Vocabulary([f"w{number}" for number in range(len(dictionary) - len(SPECIALS))], names)
            for dictionary in (source, target)
        ]
        embeddings = {"embedding_dim": embed, "dropout": dropout}
        recurrent = {
            "type": "recurrent",
            "rnn_type": "gru",
            "num_layers": 1,
            "dropout": dropout,
            "embeddings": embeddings,
        }
        cfg = {
            "encoder": {**recurrent, "hidden_size": encoder, "bidirectional": True},
            "decoder": {
                **recurrent,
                "hidden_size": decoder,
                "attention": "bahdanau",
                "hidden_dropout": dropout,
                "init_hidden": "bridge",
                "input_feeding": True,
            },
        }
        self.model = build_model(cfg, *vocabularies)
        # fairseq's <s>, <pad>, </s>, <unk> to theirs
        self.order = torch.tensor([SPECIALS["bos"], SPECIALS["pad"], SPECIALS["eos"], SPECIALS["unk"]])

    def words(self, tokens: Tensor) -> Tensor:
        """Fairseq's numbers as JoeyNMT's: only those of the special words differ."""
        return torch.where(tokens < len(self.order), self.order[tokens.clamp(max=len(self.order) - 1)], tokens)

    def source(self, src_tokens: Tensor, src_lengths: Tensor) -> Dict[str, Tensor]:
        """The source as it wants it: longest sentence first, padded right."""
        lengths, rows = src_lengths.sort(descending=True, stable=True)
        is_padding = src_tokens[rows].eq(1)
        words = self.words(src_tokens[rows].gather(1, is_padding.long().argsort(dim=1, stable=True)))
        return {"src": words, "src_length": lengths, "src_mask": words.ne(SPECIALS["pad"]).unsqueeze(1)}

    def forward(self, src_tokens: Tensor, src_lengths: Tensor, prev_output_tokens: Tensor) -> Tuple[Tensor]:
        """Logits ``(batch, tgt_len, vocabulary)``, in the order of the source's lengths."""
        trg_input = self.words(prev_output_tokens)
        trg_input[:, 0] = SPECIALS["bos"]
        trg_mask = trg_input.ne(SPECIALS["pad"]).unsqueeze(1)
        source = self.source(src_tokens, src_lengths)
        return (self.model._encode_decode(trg_input=trg_input, trg_mask=trg_mask, **source)[0],)


class JoeySearch:
    """Its search, in which every hypothesis has exactly so many words.

    Args:
        model: is put into evaluation mode
        beam: 1 is its greedy search
        words: the length
    """

    def __init__(self, model: JoeyNMT, beam: int, words: int):
        self.joey, self.beam, self.words = model.eval(), beam, words

    def generate(self, models: List, sample: Dict[str, Dict[str, Tensor]]) -> Tensor:
        """Translates as ``SequenceGenerator.generate`` is asked to; ``models`` is not used."""
        with torch.no_grad():
            source = self.joey.source(**sample["net_input"])
            output, hidden = self.joey.model._encode(**source)
            common = {
                "model": self.joey.model,
                "encoder_output": output,
                "encoder_hidden": hidden,
                "src_mask": source["src_mask"],
                "max_output_length": self.words,
                "min_output_length": self.words,
            }
            if self.beam == 1:
                return recurrent_greedy(**common)[0]
            return beam_search(beam_size=self.beam, alpha=1.0, **common)[0]
