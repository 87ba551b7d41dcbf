"""In a search the encoder's side stays what it is, once per sentence, and its beams read it together.

fairseq lets ``reorder_encoder_out`` repeat every sentence as often as it has beams, and reorder the copies at every
step. Here it moves an index, ``encoder_out["order"]``, which says of every row which sentence it reads. Where rows
that read the same sentence stand together, in equal numbers, as fairseq's search has them, the decoder takes them as
one group of beams; in any other order every row is a group of its own.
"""

from typing import Dict, List, Optional

import torch
from torch import Tensor


def order_of(encoder_out: Dict[str, List[Tensor]]) -> Tensor:
    """Which sentence of ``encoder_out`` every row reads, ``(rows,)``."""
    if "order" in encoder_out:
        return encoder_out["order"][0]
    annotations = encoder_out["encoder_out"][0]
    return torch.arange(annotations.size(0), device=annotations.device)


def groups_of(order: Tensor, beams: int) -> Tensor:
    """``order`` ``(rows,)`` as ``(groups, beams)``, each group reading one sentence; ``(rows, 1)`` if it is not so."""
    if order.size(0) % beams == 0:
        groups = order.view(-1, beams)
        if torch.equal(groups, groups.select(1, 0).unsqueeze(1).expand_as(groups)):
            return groups
    return order.unsqueeze(1)


def begin_search(
    begun: Dict[str, Optional[Tensor]], encoder_out: Dict[str, List[Tensor]]
) -> Dict[str, Optional[Tensor]]:
    """What a search carries from step to step.

    Args:
        begun: what ``BahdanauDecoder.begin`` returned
        encoder_out: what it was begun with

    Returns:
        ``state`` and ``context`` of every row; ``all_keys`` of every sentence; ``groups``, as of :func:`groups_of`;
        and of every group ``keys``, ``annotations`` and ``padding_mask``
    """
    state, context, keys = begun["state"], begun["context"], begun["keys"]
    assert state is not None and context is not None and keys is not None
    order = order_of(encoder_out)
    carried: Dict[str, Optional[Tensor]] = {
        "state": state,
        "context": context,
        "all_keys": keys,
        "groups": order.unsqueeze(1),
        "keys": keys,
        "annotations": encoder_out["encoder_out"][0],
        "padding_mask": encoder_out["encoder_padding_mask"][0],
    }
    if "order" in encoder_out:
        carried = reorder(carried, order)
        read(carried, encoder_out, groups_of(order, max(1, order.size(0) // keys.size(0))))
    return carried


def reorder(carried: Dict[str, Optional[Tensor]], new_order: Tensor) -> Dict[str, Optional[Tensor]]:
    """Picks the rows ``new_order`` ``(new_rows,)``; what is of sentences and groups waits for :func:`follow`."""
    reordered: Dict[str, Optional[Tensor]] = {}
    for name, tensor in carried.items():
        if tensor is not None and (name == "state" or name == "context"):
            reordered[name] = tensor.index_select(0, new_order)
        else:
            reordered[name] = tensor
    return reordered


def follow(carried: Dict[str, Optional[Tensor]], encoder_out: Dict[str, List[Tensor]]) -> None:
    """Makes the groups those of ``encoder_out``, which may have been reordered since the last step."""
    order, groups = order_of(encoder_out), carried["groups"]
    assert groups is not None
    if not torch.equal(groups.view(-1), order):  # the search has dropped a sentence
        read(carried, encoder_out, groups_of(order, groups.size(1)))


def read(carried: Dict[str, Optional[Tensor]], encoder_out: Dict[str, List[Tensor]], groups: Tensor) -> None:
    """Takes the encoder's side of these groups; where they are all sentences in order, without a copy."""
    keys, annotations = carried["all_keys"], encoder_out["encoder_out"][0]
    padding_mask, sentences = encoder_out["encoder_padding_mask"][0], groups.select(1, 0)
    assert keys is not None
    if not torch.equal(sentences, torch.arange(keys.size(0), device=keys.device)):
        keys, annotations = keys.index_select(0, sentences), annotations.index_select(0, sentences)
        padding_mask = padding_mask.index_select(0, sentences)
    carried["groups"], carried["keys"] = groups, keys
    carried["annotations"], carried["padding_mask"] = annotations, padding_mask
