import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence
from .recurrence import GRUCell


class Residual(nn.Module):
    def __init__(self, dim, size):
        super().__init__()
        self.one = nn.GRU(dim, size, 1, batch_first=True, bidirectional=True)
        self.two = nn.GRU(2 * size, size, 1, batch_first=True, bidirectional=True)

    def forward(self, packed):
        first, _ = self.one(packed)
        second, _ = self.two(first)
        return PackedSequence(first.data + second.data, packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices), None


class DeepCell(GRUCell):
    def __init__(self, size):
        super().__init__(size)
        self.transition = GRUCell(size)

    def forward(self, gates, state):
        state = super().forward(gates, state)
        return self.transition(torch.zeros_like(gates), state)


class NormCell(GRUCell):
    def __init__(self, size):
        super().__init__(size)
        self.gain_in = nn.Parameter(torch.zeros(3 * size))
        self.gain_rec = nn.Parameter(torch.zeros(3 * size))
        self.shift_in = nn.Parameter(torch.zeros(3 * size))
        self.shift_rec = nn.Parameter(torch.zeros(3 * size))

    def norm(self, x, gain, shift):
        n = self.hidden_size
        a, b = x.split([2 * n, n], dim=1)
        return torch.cat([F.layer_norm(a, (2 * n,)), F.layer_norm(b, (n,))], dim=1) * (1 + gain) + shift

    def forward(self, input_gates, state):
        x = self.norm(input_gates, self.gain_in, self.shift_in)
        u = self.norm(self.state_gates(state), self.gain_rec, self.shift_rec)
        ri, zi, ni = x.chunk(3, dim=1)
        rr, zr, nr = u.chunk(3, dim=1)
        r, z = torch.sigmoid(ri + rr), torch.sigmoid(zi + zr)
        new = torch.tanh(ni + r * nr)
        return (1 - z) * new + z * state
