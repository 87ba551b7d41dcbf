"""During a search the encoder's output is kept once per sentence and shared by its beams, not copied per beam.

fairseq lets ``reorder_encoder_out`` repeat every sentence as often as it has beams, and reorder the copies at every
step. Here it moves an index, ``encoder_out["order"]``, which says of every row which sentence it reads. Where rows
that read the same sentence stand together, in equal numbers, as fairseq's search has them, the decoder takes them as
one group of beams; in any other order every row is a group of its own. To tell one from the other takes a look at the
index, for which a host would have to wait for its GPU: there every row is a group of its own, in any order.

What a search carries from step to step is a dict, since fairseq stores that: ``state`` and ``context`` of every row;
``all_keys`` and ``all_values`` of every sentence; ``groups``, as :func:`groups_of` returns them; and of every group
``keys``, ``values`` and ``padding_mask``.
"""

from typing import Dict, List, Optional, Tuple

import torch
from torch import Tensor

from .attention import Source
from .recurrence import State


def order_of(encoder_out: Dict[str, List[Tensor]]) -> Tensor:
    """Returns which sentence of ``encoder_out`` every row reads, ``(rows,)``."""
    if "order" in encoder_out:
        return encoder_out["order"][0]
    annotations = encoder_out["encoder_out"][0]
    return torch.arange(annotations.size(0), device=annotations.device)


def surely_equal(one: Tensor, other: Tensor) -> bool:
    """Tells whether two tensors are equal, where that can be known without waiting for a device: both on a CPU."""
    return one.device.type == "cpu" and torch.equal(one, other)


def groups_of(order: Tensor, beams: int) -> Tensor:
    """Cuts ``order`` ``(rows,)`` into ``(groups, beams)``, each group reading one sentence.

    Returns:
        ``(rows, 1)`` where that many neighbours do not surely read one sentence
    """
    if order.size(0) % beams == 0:
        groups = order.view(-1, beams)
        if surely_equal(groups, groups.select(1, 0).unsqueeze(1).expand_as(groups)):
            return groups
    return order.unsqueeze(1)


def begin_search(
    state: Tensor, context: Optional[Tensor], source: Source, encoder_out: Dict[str, List[Tensor]]
) -> Dict[str, Optional[Tensor]]:
    """Makes what a search carries.

    Args:
        state: s_0 of every sentence ``(sentences, state size)``
        context: c_0 of every sentence ``(sentences, annotation_dim)``; None where no step reads it
        source: of every sentence
        encoder_out: what they were computed from
    """
    order = order_of(encoder_out)
    carried: Dict[str, Optional[Tensor]] = {
        "state": state,
        "context": context,
        "all_keys": source.keys,
        "all_values": source.values,
        "groups": order.unsqueeze(1),
        "keys": source.keys,
        "values": source.values,
        "padding_mask": source.padding_mask,
    }
    if "order" in encoder_out:
        carried = reorder(carried, order)
        regroup(carried, encoder_out, groups_of(order, max(1, order.size(0) // source.keys.size(0))))
    return carried


def reorder(carried: Dict[str, Optional[Tensor]], new_order: Tensor) -> Dict[str, Optional[Tensor]]:
    """Picks the rows ``new_order`` ``(new_rows,)`` of state and context.

    Per-sentence tensors are not moved here; :func:`follow` regroups them when a sentence has left the search.
    """
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
    if surely_equal(groups.view(-1), order):
        return False
    # On a CPU the search has dropped a sentence; elsewhere this is every step.
    regroup(carried, encoder_out, groups_of(order, groups.size(1)))
    return True


def regroup(carried: Dict[str, Optional[Tensor]], encoder_out: Dict[str, List[Tensor]], groups: Tensor) -> None:
    """Takes keys, values and padding of these groups; where they are all sentences in order, without a copy."""
    keys, values, padding_mask = carried["all_keys"], carried["all_values"], encoder_out["encoder_padding_mask"][0]
    assert keys is not None and values is not None
    sentences = groups.select(1, 0)
    if not surely_equal(sentences, torch.arange(keys.size(0))):
        keys, values = keys.index_select(0, sentences), values.index_select(0, sentences)
        padding_mask = padding_mask.index_select(0, sentences)
    carried["groups"], carried["keys"], carried["values"] = groups, keys, values
    carried["padding_mask"] = padding_mask


def resume(carried: Dict[str, Optional[Tensor]], encoder_out: Dict[str, List[Tensor]]) -> Tuple[State, Source]:
    """Returns what the next step starts from: the state of every row, and the source that its group reads."""
    follow(carried, encoder_out)
    state, context, keys = carried["state"], carried["context"], carried["keys"]
    values, padding_mask = carried["values"], carried["padding_mask"]
    assert state is not None and context is not None and keys is not None
    assert values is not None and padding_mask is not None
    return State(state, context), Source(keys, values, padding_mask)
