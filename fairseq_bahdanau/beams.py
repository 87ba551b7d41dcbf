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
    begun: Dict[str, Optional[Tensor]], values: Tensor, encoder_out: Dict[str, List[Tensor]]
) -> Dict[str, Optional[Tensor]]:
    """What a search carries from step to step.

    Args:
        begun: what ``BahdanauDecoder.begin`` returned
        values: what the attention averages, ``(sentences, src_len, value_dim)``
        encoder_out: what it was begun with

    Returns:
        ``state`` and ``context`` of every row; ``all_keys`` and ``all_values`` of every sentence; ``groups``, as of
        :func:`groups_of`; and of every group ``keys``, ``values`` and ``padding_mask``
    """
    order, keys = order_of(encoder_out), begun["keys"]
    assert keys is not None
    carried: Dict[str, Optional[Tensor]] = {
        "state": begun["state"],
        "context": begun["context"],
        "all_keys": keys,
        "all_values": values,
        "groups": order.unsqueeze(1),
        "keys": keys,
        "values": values,
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


def follow(carried: Dict[str, Optional[Tensor]], encoder_out: Dict[str, List[Tensor]]) -> bool:
    """Makes the groups those of ``encoder_out``, which may have been reordered since the last step.

    Returns:
        whether they have changed
    """
    order, groups = order_of(encoder_out), carried["groups"]
    assert groups is not None
    if torch.equal(groups.view(-1), order):
        return False
    read(carried, encoder_out, groups_of(order, groups.size(1)))  # the search has dropped a sentence
    return True


def read(carried: Dict[str, Optional[Tensor]], encoder_out: Dict[str, List[Tensor]], groups: Tensor) -> None:
    """Takes keys, values and padding of these groups; where they are all sentences in order, without a copy."""
    keys, values, padding_mask = carried["all_keys"], carried["all_values"], encoder_out["encoder_padding_mask"][0]
    assert keys is not None and values is not None
    sentences = groups.select(1, 0)
    if not torch.equal(sentences, torch.arange(keys.size(0), device=keys.device)):
        keys, values = keys.index_select(0, sentences), values.index_select(0, sentences)
        padding_mask = padding_mask.index_select(0, sentences)
    carried["groups"], carried["keys"], carried["values"] = groups, keys, values
    carried["padding_mask"] = padding_mask
