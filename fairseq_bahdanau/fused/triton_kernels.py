"""The kernels do what a step has beside its products: scores, softmax, average and GRU, forwards and backwards.

A program takes one row of the batch. Scores, softmax and gates are float32 in its registers, whatever the type of the
tensors: half precision rounds what is stored, and nothing between. Padding is never read. Columns are laid out as
``columns.py`` has them, query | recurrent | reset | update | new, and all tensors are contiguous. ``order`` says which
sentence a row reads, so that one kernel serves a training and the beams of a search.

No kernel writes where it reads. Several warps of a program load the same element, and one that is late would find what
another has stored.
"""

import triton
import triton.language as tl


@triton.jit
def tanh(x):
    """Computes tanh; where exp overflows it is 1, and -1 where it vanishes."""
    return 1 - 2 / (1 + tl.exp(2 * x))


@triton.jit
def load(place, mask):
    """Loads as float32, 0 where the mask is False."""
    return tl.load(place, mask=mask, other=0.0).to(tl.float32)


@triton.jit
def move(
    products, cell, inputs, bias, before, after, reset_in, update_in, new_in, h, mask, size, HAS_INPUTS: tl.constexpr
):  # fmt: skip
    """Moves one row's state on, in the places ``h`` of ``size``, and keeps its gates in ``cell``.

    ``products`` and ``cell`` point behind the row's query; ``reset_in``, ``update_in``, ``new_in`` come from outside.
    """
    if HAS_INPUTS:
        reset_in += load(inputs + h, mask)
        update_in += load(inputs + size + h, mask)
        new_in += load(inputs + 2 * size + h, mask)
    recurrent = load(products + h, mask) + load(bias + h, mask)
    reset = tl.sigmoid(reset_in + load(products + size + h, mask) + load(bias + size + h, mask))
    update = tl.sigmoid(update_in + load(products + 2 * size + h, mask) + load(bias + 2 * size + h, mask))
    new = tanh(new_in + load(bias + 3 * size + h, mask) + reset * recurrent)
    tl.store(after + h, new + update * (load(before + h, mask) - new), mask=mask)
    tl.store(cell + h, recurrent, mask=mask)
    tl.store(cell + size + h, reset, mask=mask)
    tl.store(cell + 2 * size + h, update, mask=mask)
    tl.store(cell + 3 * size + h, new, mask=mask)


@triton.jit
def move_back(cell, by_cell, before, by_after, carry, product, passed, h, mask, size, HAS_READERS: tl.constexpr):
    """Goes back through :func:`move`: writes the gradient of the columns, and returns that of what came from outside.

    The gradient of the state after the step is the sum of ``by_after``, which its readers gave, of ``carry``, which the
    update gate of the step behind let pass, and of ``product``, that step's product. ``passed`` is the next ``carry``.
    """
    by_state = load(carry + h, mask) + load(product + h, mask)
    if HAS_READERS:
        by_state += load(by_after + h, mask)
    recurrent, reset = load(cell + h, mask), load(cell + size + h, mask)
    update, new = load(cell + 2 * size + h, mask), load(cell + 3 * size + h, mask)
    by_new = by_state * (1 - update) * (1 - new * new)
    by_reset = by_new * recurrent * reset * (1 - reset)
    by_update = by_state * (load(before + h, mask) - new) * update * (1 - update)
    tl.store(passed + h, by_state * update, mask=mask)
    tl.store(by_cell + h, by_new * reset, mask=mask)
    tl.store(by_cell + size + h, by_reset, mask=mask)
    tl.store(by_cell + 2 * size + h, by_update, mask=mask)
    tl.store(by_cell + 3 * size + h, by_new, mask=mask)
    return by_reset, by_update, by_new


@triton.jit(do_not_specialize=["t"])
def gru_forward(
    products, columns, inputs, bias, before, after, t, rows, steps, query_dim, size, BLOCK: tl.constexpr
):  # fmt: skip
    """Takes step ``t`` of a GRU that does not look; a program has ``BLOCK`` places of a row's state.

    Sizes: products (rows, query_dim + 3 size), of this step; columns (steps, rows, query_dim + 4 size), inputs (rows,
    steps, 3 size), bias (4 size), before and after (steps, rows, size). The columns of the query are left alone.
    """
    row = tl.program_id(0).to(tl.int64)
    place = t * rows + row
    h = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    nothing = tl.zeros([BLOCK], tl.float32)
    move(
        products + row * (query_dim + 3 * size) + query_dim, columns + place * (query_dim + 4 * size) + query_dim,
        inputs + (row * steps + t) * 3 * size, bias, before + place * size, after + place * size,
        nothing, nothing, nothing, h, h < size, size, True,
    )  # fmt: skip


@triton.jit(do_not_specialize=["t"])
def gru_backward(
    columns, gradient, before, by_after, carry, product, passed, t, rows, steps, query_dim, size,
    HAS_READERS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Goes back through :func:`gru_forward`.

    Sizes beside those there: gradient like columns, by_after (rows, steps, size); carry, product, passed (rows, size).
    """
    row = tl.program_id(0).to(tl.int64)
    place = t * rows + row
    cell = place * (query_dim + 4 * size) + query_dim
    h = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    move_back(
        columns + cell, gradient + cell, before + place * size, by_after + (row * steps + t) * size,
        carry + row * size, product + row * size, passed + row * size, h, h < size, size, HAS_READERS,
    )  # fmt: skip


@triton.jit(do_not_specialize=["t", "look"])
def step_forward(
    products, columns, inputs, bias, before, after, keys, values, energy, padding_mask, order, attention, averages,
    t, look, rows, steps, src_len, query_dim, size, product_dim, value_dim, HAS_INPUTS: tl.constexpr,
    HAS_ORDER: tl.constexpr, UPDATES: tl.constexpr, AVERAGES: tl.constexpr, SOURCE: tl.constexpr, BLOCK: tl.constexpr,
    STAGES: tl.constexpr,
):  # fmt: skip
    """Takes step ``t``: the query looks, a_j = softmax of v' tanh(q + k_j), and the average of the values enters a GRU.

    Sizes beside those of :func:`gru_forward`: products (rows, product_dim), of which the query is first, keys
    (sentences, src_len, query_dim), values (sentences, src_len, value_dim), of which the GRU reads the first 3 size,
    energy (query_dim), padding_mask (sentences, src_len), order (rows), and attention (rows, steps, src_len), which is
    written at ``look``. The programs of the grid's second dimension share the row's state, and each of them looks.
    ``SOURCE`` is a power of two and at least src_len. Without ``UPDATES`` the step only looks. With ``AVERAGES`` the
    averages of those values that enter no GRU are written, (rows, value_dim - 3 size), or all, (rows, value_dim).
    """
    row = tl.program_id(0).to(tl.int64)
    place = t * rows + row
    sentence = row
    if HAS_ORDER:
        sentence = tl.load(order + row).to(tl.int64)
    products += row * product_dim
    columns += place * (query_dim + 4 * size)
    j, block = tl.arange(0, SOURCE), tl.arange(0, BLOCK)
    seen = tl.load(padding_mask + sentence * src_len + j, mask=j < src_len, other=1) == 0

    keys += sentence * src_len * query_dim
    terms = tl.zeros([SOURCE, BLOCK], tl.float32)
    for start in tl.range(0, query_dim, BLOCK, num_stages=STAGES):
        a = start + block
        mask = a < query_dim
        key = load(keys + j[:, None] * query_dim + a[None, :], seen[:, None] & mask[None, :])
        query = load(products + a, mask)
        terms += load(energy + a, mask)[None, :] * tanh(key + query[None, :])
        if tl.program_id(1) == 0:
            tl.store(columns + a, query, mask=mask)
    scores = tl.where(seen, tl.sum(terms, axis=1), float("-inf"))
    highest = tl.max(scores, axis=0)
    weights = tl.where(seen, tl.exp(scores - tl.where(highest == float("-inf"), 0.0, highest)), 0.0)
    total = tl.sum(weights, axis=0)
    weights = weights / tl.where(total == 0.0, 1.0, total)  # a row that is all padding has no attention
    if tl.program_id(1) == 0:
        tl.store(attention + (row * steps + look) * src_len + j, weights, mask=j < src_len)

    values += sentence * src_len * value_dim
    first = 0
    if UPDATES:
        first = 3 * size
        for start in tl.range(tl.program_id(1) * BLOCK, size, tl.num_programs(1) * BLOCK, num_stages=STAGES):
            h = start + block
            mask = h < size
            value, read = values + j[:, None] * value_dim + h[None, :], seen[:, None] & mask[None, :]
            reset_in = tl.sum(weights[:, None] * load(value, read), axis=0)
            update_in = tl.sum(weights[:, None] * load(value + size, read), axis=0)
            new_in = tl.sum(weights[:, None] * load(value + 2 * size, read), axis=0)
            move(
                products + query_dim, columns + query_dim, inputs + (row * steps + t) * 3 * size, bias,
                before + place * size, after + place * size, reset_in, update_in, new_in, h, mask, size, HAS_INPUTS,
            )  # fmt: skip
    if AVERAGES:
        averages += row * (value_dim - first)
        for start in tl.range(tl.program_id(1) * BLOCK, value_dim - first, tl.num_programs(1) * BLOCK):
            h = start + block
            mask = h < value_dim - first
            value = load(values + j[:, None] * value_dim + first + h[None, :], seen[:, None] & mask[None, :])
            tl.store(averages + h, tl.sum(weights[:, None] * value, axis=0), mask=mask)


@triton.jit(do_not_specialize=["t", "look"])
def step_backward(
    columns, gradient, before, by_after, carry, product, passed, keys, values, energy, padding_mask, attention,
    by_attention, by_scores, t, look, rows, steps, src_len, query_dim, size,
    UPDATES: tl.constexpr, SOURCE: tl.constexpr, BLOCK: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """Goes back through :func:`step_forward`, to the gradient of the columns, the query's included.

    Sizes beside those there and of :func:`gru_backward`: by_attention (rows, steps, src_len), what the readers of the
    attention gave, and by_scores (rows, steps, src_len), float32, from which :func:`keys_backward` goes on.
    """
    row = tl.program_id(0).to(tl.int64)
    place = t * rows + row
    width = query_dim + 4 * size
    j, block = tl.arange(0, SOURCE), tl.arange(0, BLOCK)
    seen = tl.load(padding_mask + row * src_len + j, mask=j < src_len, other=1) == 0

    terms = tl.zeros([SOURCE, BLOCK], tl.float32)
    if UPDATES:
        values += row * src_len * 3 * size
        cell = place * width + query_dim
        for start in tl.range(0, size, BLOCK, num_stages=STAGES):
            h = start + block
            mask = h < size
            value, read = values + j[:, None] * (3 * size) + h[None, :], seen[:, None] & mask[None, :]
            by_reset, by_update, by_new = move_back(
                columns + cell, gradient + cell, before + place * size, by_after + (row * steps + t) * size,
                carry + row * size, product + row * size, passed + row * size, h, mask, size, True,
            )  # fmt: skip
            terms += by_reset[None, :] * load(value, read)
            terms += by_update[None, :] * load(value + size, read)
            terms += by_new[None, :] * load(value + 2 * size, read)

    here = (row * steps + look) * src_len + j
    weights = load(attention + here, seen)
    by_weights = tl.sum(terms, axis=1) + load(by_attention + here, seen)
    by_score = weights * (by_weights - tl.sum(weights * by_weights, axis=0))
    tl.store(by_scores + here, by_score, mask=j < src_len)

    keys += row * src_len * query_dim
    for start in tl.range(0, query_dim, BLOCK, num_stages=STAGES):
        a = start + block
        mask = a < query_dim
        key = load(keys + j[:, None] * query_dim + a[None, :], seen[:, None] & mask[None, :])
        layer = tanh(key + load(columns + place * width + a, mask)[None, :])
        by_query = load(energy + a, mask) * tl.sum(by_score[:, None] * (1 - layer * layer), axis=0)
        tl.store(gradient + place * width + a, by_query, mask=mask)


@triton.jit
def keys_backward(
    columns, keys, energy, by_scores, by_keys, by_energy, rows, steps, src_len, query_dim, width,
    SOURCE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Sums over all steps the gradients of ``SOURCE`` keys of a sentence, and of v, in ``BLOCK`` columns.

    Sizes beside those of :func:`step_backward`: by_keys like keys; by_energy (rows, blocks of the source, query_dim),
    float32, whose sum the caller takes, so that no two programs write to one place. ``columns`` begins at the query of
    the first look; a step has ``width`` of them.
    """
    row = tl.program_id(0).to(tl.int64)
    j = tl.program_id(1) * SOURCE + tl.arange(0, SOURCE)
    a = tl.program_id(2) * BLOCK + tl.arange(0, BLOCK)
    inside, mask = j < src_len, a < query_dim
    both = inside[:, None] & mask[None, :]
    place = (row * src_len + j[:, None]) * query_dim + a[None, :]
    key = load(keys + place, both)
    by_key, by_layer = tl.zeros([SOURCE, BLOCK], tl.float32), tl.zeros([SOURCE, BLOCK], tl.float32)
    for look in range(0, steps):
        by_score = load(by_scores + (row * steps + look) * src_len + j, inside)
        layer = tanh(key + load(columns + (look * rows + row) * width + a, mask)[None, :])
        by_key += by_score[:, None] * (1 - layer * layer)
        by_layer += by_score[:, None] * layer
    tl.store(by_keys + place, by_key * load(energy + a, mask)[None, :], mask=both)
    tl.store(
        by_energy + (row * tl.num_programs(1) + tl.program_id(1)) * query_dim + a, tl.sum(by_layer, axis=0), mask=mask
    )
