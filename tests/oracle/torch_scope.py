"""Parameters, states and draws by the names that the compiler gives them, for programs written again in PyTorch.

A Scope is a place of a model: `net.at("dense")` is net.dense_1, then net.dense_2. A parameter is made when it is first asked
for; its first value depends on its name alone, and is exact in f32, so that both precisions start alike.
"""
import math

import numpy as np
import torch
import xxhash

from philox import draw

torch.set_default_dtype(torch.float64)
f32 = np.float32


def exact(t):
    return t.float().double()


class Run:
    """What lasts over the steps: parameters, states, where in the stream we are."""

    def __init__(self, batch):
        self.parameters, self.states, self.first = {}, {}, {}
        self.batch, self.step = batch, 1

    def root(self):
        return Scope(self, "net")


class Scope:
    def __init__(self, run, path):
        self.run, self.path, self.counts = run, path, {}

    def at(self, layer):
        n = self.counts[layer] = self.counts.get(layer, 0) + 1
        return Scope(self.run, "%s.%s_%d" % (self.path, layer, n))

    def named(self, name):
        return Scope(self.run, "%s.%s" % (self.path, name))

    def param(self, name, shape, around=0.0, spread=None):
        full = "%s.%s" % (self.path, name)
        if full not in self.run.parameters:
            r = torch.Generator().manual_seed(xxhash.xxh3_64_intdigest(full.encode()) >> 1)
            spread = 1 / math.sqrt(math.prod(shape[:-1])) if spread is None else spread
            value = exact(around + spread * torch.randn(shape, generator=r))
            self.run.parameters[full] = value.requires_grad_(True)
            self.run.first[full] = value.detach().clone()
        return self.run.parameters[full]

    def state(self, name, value):
        return self.run.states.setdefault("%s.%s" % (self.path, name), value)

    # ---- draws

    def bits(self, kind, name, shape, per="sample", mapped=0):
        """Draws over shape: a row a sample, whose position is its number in the stream; or one array a step."""
        site, count = "%s.%s" % (self.path, name), math.prod(shape)
        if per == "step":
            return draw(kind, site, 0, count, position=self.run.step, mapped=mapped).reshape(shape)
        first = (self.run.step - 1) * self.run.batch
        return np.stack([draw(kind, site, 0, count, position=first + n, mapped=mapped).reshape(shape) for n in range(self.run.batch)])

    def keep(self, name, shape, open_, per="sample", mapped=0):
        """1 with probability open_, a number or an array of f32. The comparison is made in f32."""
        u = self.bits("uniform16", name, shape, per, mapped)
        return torch.tensor((u < np.asarray(open_, dtype=f32)).astype(np.float64))

    def normal(self, name, shape, per="sample"):
        return torch.tensor(self.bits("normal", name, shape, per).astype(np.float64))

    def uniform(self, name, shape, low, high, per="sample"):
        """In f32: low + (high - low) u, the difference of constants rounded once."""
        u = self.bits("uniform32", name, shape, per)
        value = f32(high) * u if low == 0 else f32(low) + f32(high - low) * u
        return torch.tensor(value.astype(np.float64))
