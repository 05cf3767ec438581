#!/usr/bin/env python3
"""Five training steps of each program of tests/steps in PyTorch, double precision, with the very same masks and noise.

    python3 torch_steps.py        writes tests/steps/data/*.npy and tests/steps/NAME.{init,init32,expected}.safetensors

Needs torch, numpy, safetensors, xxhash. First values, data and settings are exact in f32, so that both precisions start alike.
"""
import os

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from philox import draw

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "steps")
BATCH, STEPS, ITEMS = 16, 5, 80
torch.set_default_dtype(torch.float64)
f32 = np.float32


def exact(t):
    return t.float().double()


# ---- data

g = torch.Generator().manual_seed(1)
X = exact(torch.randn(ITEMS, 12, generator=g))
TARGET = exact(torch.randn(ITEMS, 5, generator=g))
BINARY = (torch.rand(ITEMS, 5, generator=g) < 0.4).double()
LABEL = (X @ torch.randn(12, 5, generator=g)).argmax(1)


# ---- draws, of the sites that the compiler names

def per_sample(kind, site, step, elements):
    """One row a sample: the position is the sample's number in the stream."""
    first = (step - 1) * BATCH
    return np.stack([draw(kind, site, 0, elements, position=first + n) for n in range(BATCH)])


def keep(site, step, elements, rate):
    """rate: a number, or one f32 a sample (column). The comparison is made in f32."""
    p = f32(1) - np.asarray(rate, dtype=f32)
    return torch.tensor((per_sample("uniform16", site, step, elements) < p).astype(np.float64))


def normal(site, step, elements):
    return torch.tensor(per_sample("normal", site, step, elements).astype(np.float64))


# ---- parameters

def dense(name, i, o):
    return {name + ".W": (i, o), name + ".b": (o,)}


def linear(name, i, o):  # before batch norm: a bias there has no gradient but rounding, which Adam would blow up
    return {name + ".W": (i, o)}


def norm(name, c):
    return {name + ".gain": (c,), name + ".bias": (c,)}


def first_values(shapes, seed):
    r = torch.Generator().manual_seed(seed)
    out = {}
    for name, shape in shapes.items():
        value = torch.randn(shape, generator=r)
        if name.endswith(".W"):
            value = value * (2 / shape[0]) ** 0.5
        elif name.endswith(".gain"):
            value = 1 + 0.1 * value
        else:
            value = 0.1 * value
        out[name] = exact(value).requires_grad_(True)
    return out


def affine(p, name, x):
    return x @ p[name + ".W"] + p[name + ".b"]


def weights(p):
    return [v for k, v in p.items() if k.endswith(".W")]


def biases(p):
    return [v for k, v in p.items() if k.endswith(".b")]


def total_norm(p):
    return torch.sqrt(sum((v.grad ** 2).sum() for v in p.values()))


def clip_norm(p, limit):
    scale = min(1.0, limit / float(total_norm(p)))
    for v in p.values():
        v.grad.mul_(scale)


# ---- programs: shapes, loss(p, states, step, rows), after(p, step) between backward and update, update(p)

def gd(rate):
    def update(p, step):
        for v in p.values():
            v -= rate * v.grad
    return update


def optimizer(make):
    made = {}

    def update(p, step):
        if not made:
            made[0] = make(list(p.values()))
        made[0].step()
    return update


def xent(z, rows, **k):
    return F.cross_entropy(z, LABEL[rows], **k)


class Program:
    states = {}
    seed = 0

    def clip(self, p):
        pass

    def project(self, p):
        pass


class gd_squared(Program):
    shapes = {**dense("net.dense_1", 12, 16), **dense("net.dense_2", 16, 5)}
    update = staticmethod(gd(0.05))

    def loss(self, p, step, rows):
        y = affine(p, "net.dense_2", torch.tanh(affine(p, "net.dense_1", X[rows])))
        return 0.5 * ((y - TARGET[rows]) ** 2).sum(1).mean()


class sgd_clip_penalty(Program):
    shapes = {**dense("net.dense_1", 12, 16), **dense("net.dense_2", 16, 16), **dense("net.dense_3", 16, 5)}
    update = staticmethod(optimizer(lambda v: torch.optim.SGD(v, lr=0.1, momentum=0.9)))

    def loss(self, p, step, rows):
        h = F.relu(affine(p, "net.dense_1", X[rows]))
        h = F.relu(affine(p, "net.dense_2", h))
        return xent(affine(p, "net.dense_3", h), rows) + 1e-2 * sum((w ** 2).sum() for w in weights(p))

    def clip(self, p):
        clip_norm(p, 0.5)


class nesterov_layer_norm(Program):
    shapes = {**dense("net.dense_1", 12, 16), **norm("net.layer_norm_1", 16), **dense("net.dense_2", 16, 5)}
    update = staticmethod(optimizer(lambda v: torch.optim.SGD(v, lr=0.05, momentum=0.9, nesterov=True)))

    def loss(self, p, step, rows):
        z = F.layer_norm(affine(p, "net.dense_1", X[rows]), (16,), p["net.layer_norm_1.gain"], p["net.layer_norm_1.bias"])
        return xent(affine(p, "net.dense_2", F.relu(z)), rows)

    def clip(self, p):
        torch.nn.utils.clip_grad_value_(p.values(), 0.02)


class adam_batch_norm(Program):
    shapes = {**linear("net.linear_1", 12, 16), **norm("net.batch_norm_1", 16), **dense("net.dense_1", 16, 5)}
    update = staticmethod(optimizer(lambda v: torch.optim.Adam(v, lr=1e-2)))

    def __init__(self):
        self.states = {"net.batch_norm_1.mu": torch.zeros(16), "net.batch_norm_1.var": torch.ones(16)}

    def normalised(self, p, step, rows):
        s = self.states
        return F.batch_norm(X[rows] @ p["net.linear_1.W"], s["net.batch_norm_1.mu"], s["net.batch_norm_1.var"],
                            p["net.batch_norm_1.gain"], p["net.batch_norm_1.bias"], training=True, momentum=0.1)

    def loss(self, p, step, rows):
        return xent(affine(p, "net.dense_1", F.relu(self.normalised(p, step, rows))), rows)


class adamw_dropout(Program):
    shapes = {**dense("net.dense_1", 12, 16), **dense("net.dense_2", 16, 5)}
    update = staticmethod(optimizer(lambda v: torch.optim.AdamW(v, lr=1e-2, weight_decay=0.1)))

    def loss(self, p, step, rows):
        x = X[rows] * keep("net.dropout_1.keep", step, 12, 0.2) / (1 - 0.2)
        h = F.relu(affine(p, "net.dense_1", x)) * keep("net.dropout_2.keep", step, 16, 0.5) / (1 - 0.5)
        return xent(affine(p, "net.dense_2", h), rows)

    def clip(self, p):
        for v in p.values():
            v.grad.mul_(min(1.0, 0.3 / float(v.grad.norm())))


class rmsprop_gaussian_noise(Program):
    shapes = {**dense("net.dense_1", 12, 16), **dense("net.dense_2", 16, 5)}
    optimizer = None

    def loss(self, p, step, rows):
        x = X[rows] + 0.1 * normal("net.gaussian_noise_1.e", step, 12)
        h = torch.sigmoid(affine(p, "net.dense_1", x)) + 0.2 * normal("net.gaussian_noise_2.e", step, 16)
        return xent(affine(p, "net.dense_2", h), rows, label_smoothing=0.1)

    def update(self, p, step):
        if self.optimizer is None:
            self.optimizer = torch.optim.RMSprop(list(p.values()))
        self.optimizer.param_groups[0]["lr"] = 1e-2 / step
        self.optimizer.step()


class adagrad_random_dropout(Program):
    shapes = {**dense("net.dense_1", 12, 16), **dense("net.dense_2", 16, 16), **dense("net.dense_3", 16, 5)}
    update = staticmethod(optimizer(lambda v: torch.optim.Adagrad(v, lr=0.05)))

    def loss(self, p, step, rows):
        rho = per_sample("uniform32", "net.rho", step, 1) * f32(0.5)
        open_ = 1 - torch.tensor(rho.astype(np.float64))
        h = F.relu(affine(p, "net.dense_1", X[rows])) * keep("net.dropout_1.keep", step, 16, rho) / open_
        h = F.relu(affine(p, "net.dense_2", h)) * keep("net.dropout_2.keep", step, 16, rho) / open_
        return xent(affine(p, "net.dense_3", h), rows)


class normalized_gd_drop_path(Program):
    shapes = {**dense("net.pipe_1.dense_1", 12, 12), **dense("net.pipe_2.dense_1", 12, 12), **dense("net.dense_1", 12, 5)}

    def loss(self, p, step, rows):
        x = X[rows]
        for k in ("1", "2"):
            branch = F.softplus(affine(p, "net.pipe_%s.dense_1" % k, x))
            x = x + branch * keep("net.pipe_%s.drop_path_1.keep" % k, step, 1, 0.25) / (1 - 0.25)
        return xent(affine(p, "net.dense_1", x), rows)

    def update(self, p, step):
        scale = 0.2 / (float(total_norm(p)) + 0.1)
        for v in p.values():
            v -= scale * v.grad


class clipped_gd_dropout_batch(Program):
    shapes = {**dense("net.dense_1", 12, 16), **dense("net.dense_2", 16, 5)}

    def loss(self, p, step, rows):
        mask = draw("uniform16", "net.dropout_batch_1.keep", 0, 16, position=step) < f32(1) - f32(0.3)
        h = F.elu(affine(p, "net.dense_1", X[rows])) * torch.tensor(mask.astype(np.float64)) / (1 - 0.3)
        return (xent(affine(p, "net.dense_2", h), rows) + 1e-3 * sum(w.abs().sum() for w in weights(p))
                + 1e-2 * sum((b ** 2).sum() for b in biases(p)))

    def update(self, p, step):
        scale = min(0.1, 0.5 * 0.1 / float(total_norm(p)))
        for v in p.values():
            v -= scale * v.grad


class max_norm_gaussian_dropout(Program):
    shapes = {**dense("net.dense_1", 12, 16), **dense("net.dense_2", 16, 5)}
    update = staticmethod(optimizer(lambda v: torch.optim.SGD(v, lr=0.1, momentum=0.5, weight_decay=0.01)))

    def loss(self, p, step, rows):
        h = F.relu(affine(p, "net.dense_1", X[rows]))
        h = h * (1 + (0.3 / (1 - 0.3)) ** 0.5 * normal("net.gaussian_dropout_1.e", step, 16))
        z = affine(p, "net.dense_2", h)
        return F.binary_cross_entropy_with_logits(z, BINARY[rows], reduction="none").sum(1).mean()

    def project(self, p):
        for name, w in p.items():
            if name.endswith(".W"):
                w *= torch.clamp(1 / w.norm(dim=0), max=1)
        for name, w in p.items():
            a = self.states.setdefault(name + ".ema.a", FIRST[name].clone())
            a.copy_(w + 0.9 * (a - w))

    def __init__(self):
        self.states = {}


class noisy_batch_norm(adam_batch_norm):
    shapes = {**linear("net.linear_1", 12, 16), **norm("net.noisy_batch_norm_1.batch_norm_1", 16), **dense("net.dense_1", 16, 5)}
    update = staticmethod(gd(0.1))

    def __init__(self):
        self.states = {"net.noisy_batch_norm_1.batch_norm_1.mu": torch.zeros(16),
                       "net.noisy_batch_norm_1.batch_norm_1.var": torch.ones(16)}

    def normalised(self, p, step, rows):
        inner = "net.noisy_batch_norm_1.batch_norm_1"
        n = F.batch_norm(X[rows] @ p["net.linear_1.W"], self.states[inner + ".mu"], self.states[inner + ".var"],
                         p[inner + ".gain"], p[inner + ".bias"], training=True, momentum=0.1)
        outer = "net.noisy_batch_norm_1."
        u, v = (torch.tensor(draw("uniform32", outer + s, 0, 16, position=step).astype(np.float64)) for s in ("mu", "sigma"))
        u, v = exact(-0.5 + u), exact(1 + 0.25 * v)  # in f32, as written: low + (high - low) * u
        a, b = normal(outer + "a", step, 16), normal(outer + "b", step, 16)
        return (v + 0.1 * b) * n + u + 0.1 * a

    def project(self, p):
        size = torch.sqrt(sum((v ** 2).sum() for v in p.values()))
        for v in p.values():
            v *= min(1.0, 5 / float(size))


FIRST = {}


def run(program, name):
    p = first_values(program.shapes, seed=len(name))
    FIRST.clear()
    FIRST.update({k: v.detach().clone() for k, v in p.items()})
    save_file({k: v.detach().clone() for k, v in p.items()}, os.path.join(HERE, name + ".init.safetensors"))
    losses = []
    for step in range(1, STEPS + 1):
        rows = slice((step - 1) * BATCH, step * BATCH)
        for v in p.values():
            v.grad = None
        loss = program.loss(p, step, rows)
        loss.backward()
        losses.append(float(loss.detach()))
        with torch.no_grad():
            program.clip(p)
            program.update(p, step)
            program.project(p)
    out = {k: v.detach().clone() for k, v in {**p, **program.states}.items()}
    out["losses"] = torch.tensor(losses)
    save_file(out, os.path.join(HERE, name + ".expected.safetensors"))
    print(name, losses)


def main():
    os.makedirs(os.path.join(HERE, "data"), exist_ok=True)
    for name, value in (("x", X), ("target", TARGET), ("binary", BINARY), ("label", LABEL)):
        np.save(os.path.join(HERE, "data", name + ".npy"), value.numpy())
    for program in (gd_squared, sgd_clip_penalty, nesterov_layer_norm, adam_batch_norm, adamw_dropout, rmsprop_gaussian_noise,
                    adagrad_random_dropout, normalized_gd_drop_path, clipped_gd_dropout_batch, max_norm_gaussian_dropout,
                    noisy_batch_norm):
        run(program(), program.__name__)


if __name__ == "__main__":
    main()
