#!/usr/bin/env python3
"""Five training steps of each program of tests/library in PyTorch, double precision, with the very same masks and noise.

    python3 torch_library.py [NAME...]    writes tests/library/data/*.npy and tests/library/NAME.{init,expected}.safetensors

Needs torch, numpy, safetensors, xxhash. First values and data are exact in f32, so that both precisions start alike.
"""
import math
import os
import sys

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

import torch_chance as A
import torch_layers as L
from philox import draw
from torch_layers import dense, linear, probe
from torch_scope import Run, exact, f32

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "library")
BATCH, STEPS, ITEMS = 8, 5, 40


def make_data():
    g = torch.Generator().manual_seed(2)
    normal = lambda *shape: exact(torch.randn(*shape, generator=g))
    data = {"x": normal(ITEMS, 12), "image": normal(ITEMS, 6, 6, 4), "signal": normal(ITEMS, 8, 3), "target": normal(ITEMS, 5)}
    chance = torch.rand(ITEMS, 5, generator=g)
    data["chance"] = exact(chance / chance.sum(1, keepdim=True))
    for name, high, shape in (("label", 5, (ITEMS,)), ("token", 7, (ITEMS, 8))):
        data[name] = torch.randint(0, high, shape, generator=g)
    data["length"] = torch.randint(1, 9, (ITEMS,), generator=g)
    os.makedirs(os.path.join(HERE, "data"), exist_ok=True)
    for name, value in data.items():
        np.save(os.path.join(HERE, "data", name + ".npy"), value.numpy().astype(f32) if value.is_floating_point() else value.numpy().astype(np.uint8))
    return data


DATA = make_data()


class Batch:
    def __init__(self, step):
        rows = slice((step - 1) * BATCH, step * BATCH)
        for name, value in DATA.items():
            setattr(self, name, value[rows])


# ---- the programs; each gives one loss a sample, or one number

def functions(s, d):
    x = d.x
    total = 0
    for f in (F.relu, lambda v: F.leaky_relu(v, 0.1), F.elu, F.selu, F.gelu, F.silu, F.mish,
              lambda v: F.hardtanh(v / 6 + 0.5, 0, 1), F.hardtanh, lambda v: v.clamp(-0.5, 0.7), torch.square, torch.tanh,
              torch.sigmoid, F.softplus, torch.erf,
              lambda v: 1 / (1 + v**2) + torch.log1p(v**2) + torch.exp(0.3 * v) + torch.expm1(0.2 * v),
              lambda v: (torch.sin(v) + torch.cos(2 * v) + torch.sqrt(1 + v**2) + torch.log(2 + torch.cos(v))
                         + v.abs() * torch.sign(v - 0.3))):
        total = total + probe(s, f(linear(s, x, 6)))
    p, q = torch.softmax(linear(s, x, 6), -1), linear(s, x, 6)
    total = total + probe(s, p)
    for f in (lambda v: torch.log_softmax(v, -1), lambda v: torch.logsumexp(v, -1), lambda v: v.norm(dim=-1),
              lambda v: v.var(-1, correction=0), lambda v: F.layer_norm(v, v.shape[-1:])):
        total = total + probe(s, f(linear(s, x, 6)))
    return (total + probe(s, torch.special.entr(p).sum(-1)) + probe(s, (q * p).sum(-1)) + probe(s, torch.lerp(q, p, 0.3)))


def dense_layers(s, d):
    x, r = d.x, d.x.reshape(-1, 3, 4)
    return (probe(s, dense(s, x, 5)) + probe(s, dense(s, r, 5)) + probe(s, linear(s, x, 5)) + probe(s, L.maxout(s, x, 5))
            + probe(s, L.maxout(s, r, 3, 3)) + probe(s, L.glu(s, x, 5)) + probe(s, L.weight_norm_dense(s, x, 5))
            + probe(s, L.prelu(s, dense(s, r, 5))) + probe(s, L.drop_connect(s, x, 5, 0.4))
            + probe(s, L.embedding(s, d.token.long(), 7, 5)))


def sequence_cross_entropy(z, token, length, smoothing=0.0):
    nll = F.cross_entropy(z.transpose(1, 2), token, reduction="none", label_smoothing=smoothing)
    valid = torch.arange(8)[None] < length[:, None]
    return nll[valid].mean()


def losses(s, d):
    x, label, token, length = d.x, d.label.long(), d.token.long(), d.length
    r = x.unfold(1, 5, 1)
    valid = torch.arange(8)[None] < length[:, None]
    m = dense(s, r, 1).squeeze(-1)
    n = F.cross_entropy(dense(s, r, 7).transpose(1, 2), token, reduction="none", label_smoothing=0.1)
    per_sample = (F.cross_entropy(dense(s, x, 5), label, reduction="none")
                  + F.cross_entropy(dense(s, x, 5), label, reduction="none", label_smoothing=0.1) + n.mean(1)
                  + F.cross_entropy(dense(s, x, 5), d.chance, reduction="none")
                  + F.binary_cross_entropy_with_logits(dense(s, x, 5), d.chance, reduction="none").sum(1)
                  + 0.5 * F.mse_loss(dense(s, x, 5), d.target, reduction="none").sum(1)
                  + F.mse_loss(dense(s, x, 5), d.target, reduction="none").mean(1)
                  + F.l1_loss(dense(s, x, 5), d.target, reduction="none").mean(1))
    z = dense(s, x, 5)
    hinge = (z + 1 - F.one_hot(label, 5)).amax(1) - z.gather(1, label[:, None]).squeeze(1)
    return ((per_sample + hinge).mean() + (m * m)[valid].mean() + sequence_cross_entropy(dense(s, r, 7), token, length)
            + sequence_cross_entropy(dense(s, r, 7), token, length, 0.2))


def norms(s, d):
    x = d.image
    return sum(probe(s, f(s, linear(s, x, 4))) for f in (
        L.batch_norm, L.layer_norm, L.layer_norm_all, L.instance_norm, lambda s, y: L.group_norm(s, y, 2), L.rms_norm,
        lambda s, y: L.batch_norm(s, y, momentum=0.3, eps=0.1)))


def noise(s, d):
    x, r = d.x, d.x.reshape(-1, 3, 4)
    rate = 0.1 + 0.2 * np.arange(4)
    y = x @ L.drop_weights(s, s.param("V", (12, 5)), 0.3)
    ones = L.mask(s, 6, 0.4)
    z = linear(s, x, 6)
    return (probe(s, L.dropout_unscaled(s, linear(s, x, 6), 0.7)) + probe(s, L.dropout_channels(s, linear(s, r, 4), 0.3))
            + probe(s, L.dropout_over_time(s, linear(s, r, 4), 0.3)) + probe(s, L.dropout_units(s, linear(s, r, 4), rate))
            + probe(s, L.random_dropout(s, linear(s, x, 6), 0.5)) + probe(s, y) + probe(s, z * ones))


def convolutions(s, d):
    x, t = d.image, d.signal
    a = probe(s, L.conv1d(s, t, 4)) + probe(s, L.conv1d(s, t, 4, 4, 2, 2, 3)) + probe(s, L.causal_conv1d(s, t, 4, 3, 2))
    b = (probe(s, L.conv2d(s, x, 3)) + probe(s, L.conv2d(s, x, 3, stride=2, dilation=2, pad=1))
         + probe(s, L.grouped_conv2d(s, x, 6, 2, stride=2)) + probe(s, L.depthwise_conv2d(s, x))
         + probe(s, L.separable_conv2d(s, x, 5, stride=2)) + probe(s, L.transposed_conv2d(s, x, 3))
         + probe(s, L.transposed_conv2d(s, x, 2, 3, 2, 1)))
    g = probe(s, L.transposed_conv2d(s, L.conv2d(s, L.conv2d(s, x, 3, stride=2), 2), 2))
    return a + b + g + probe(s, L.causal_conv1d(s, L.causal_conv1d(s, t, 4), 2, dilation=2))


def pooling(s, d):
    x, t = d.image, d.signal
    return (probe(s, L.max_pool2d(linear(s, x, 4))) + probe(s, L.max_pool2d(linear(s, x, 4), 3, 2, 1))
            + probe(s, L.mean_pool2d(linear(s, x, 4))) + probe(s, L.mean_pool2d(linear(s, x, 4), 3, 2, 1))
            + probe(s, L.max_pool1d(linear(s, t, 4))) + probe(s, L.max_pool1d(linear(s, t, 4), 3, 2))
            + probe(s, linear(s, x, 4).mean((1, 2))) + probe(s, linear(s, x, 4).amax((1, 2))))


def blocks(s, d):
    x = d.image
    body = lambda p, y: linear(p, torch.tanh(linear(p, y, 4)), 4)
    return (probe(s, x + body(s.at("pipe"), x)) + probe(s, L.basic_block(s, x, 4)) + probe(s, L.basic_block(s, x, 6, 2))
            + probe(s, L.grow(s, x, 3)) + probe(s, L.squeeze_excite(s, x, 2)))


def attention(s, d):
    t, q = d.signal, d.x.reshape(-1, 4, 3)
    a = L.self_attention(s, L.add_positions(linear(s, t, 4)), 2, causal=True)
    return (probe(s, L.attention(s, q, t, 2, 3, d.length)) + probe(s, a)
            + probe(s, L.transformer_block(s, L.add_learned_positions(s, linear(s, t, 4)), 2, 2))
            + probe(s, L.transformer_block(s, linear(s, t, 4), 2, 2, causal=True, rate=0.2)))


def shapes(s, d):
    x, t, n = d.image, d.signal, torch.arange(BATCH)
    a = (probe(s, linear(s, x, 3).flatten(1)) + probe(s, torch.cat([linear(s, t, 2), linear(s, t, 4)], -1))
         + probe(s, torch.stack([linear(s, t, 2), linear(s, t, 2)], 1)) + probe(s, linear(s, t, 5)[..., :3])
         + probe(s, linear(s, t, 5)[..., 2:]) + probe(s, linear(s, t, 5).transpose(1, 2)))
    b = probe(s, linear(s, t, 4).flip(1))
    y = linear(s, t, 4)
    place = d.length.long()[:, None] - 1 - torch.arange(8)[None]
    b = b + probe(s, torch.where(place[..., None] >= 0, y[n[:, None], place.clamp(min=0)], torch.zeros(())))
    b = b + probe(s, linear(s, t, 4)[:, -1])
    y = linear(s, t, 4)
    b = b + probe(s, y[n, d.length.long() - 1])
    b = b + probe(s, L.last_channels(F.pad(L.first_channels(linear(s, x, 3)), (1, 1, 1, 1), value=0.5)))
    return a + b + probe(s, L.last_channels(F.interpolate(L.first_channels(linear(s, x, 3)), scale_factor=2)))


def recurrences(s, d):
    x, n = d.signal, d.length
    a = (probe(s, L.rnn(s, x, 5)) + probe(s, L.ln_rnn(s, x, 5)) + probe(s, L.lstm(s, x, 5)) + probe(s, L.lstm_equations(s, x, 5))
         + probe(s, L.lstm_dropped(s, x, 5)) + probe(s, L.ln_lstm(s, x, 5)))
    b = (probe(s, L.gru(s, x, 5)) + probe(s, L.gru_masked(s, x, n, 5)) + probe(s, L.gru(s, x, 5, backwards=True))
         + probe(s, L.bidirectional_gru(s, x, 3)) + probe(s, L.bn_lstm(s, x, 4)))
    return a + b + probe(s, L.gru(s, L.lstm(s, x, 4), 3))


def rules(s, d):
    y = sum(0.5 * ((dense(s, d.x, 5) - d.target) ** 2).sum(1) for _ in range(7))
    W = {k: s.run.parameters["net.dense_%d.W" % k] for k in range(1, 8)}
    G = W[5].T @ W[5]
    return (y.mean() + 0.01 * W[1].abs().sum() + 0.02 * (W[2] ** 2).sum() + 0.03 * (0.3 * W[3].abs().sum() + 0.7 * (W[3] ** 2).sum())
            + 0.04 * W[4].norm(dim=0).sum() + 0.05 * ((G - torch.eye(5)) ** 2).sum())


def update_rules(run):
    """The slots of tests/library/rules.rnet, in order. progress, as step, counts from the first: (step - 1) / steps."""
    p, step, epoch, progress = run.parameters, run.step, (run.step - 1) * BATCH / ITEMS, (run.step - 1) / STEPS
    root = run.root()
    of = lambda k: {n: v for n, v in p.items() if n.startswith("net.dense_%d." % k)}
    state = lambda name, value: run.states.setdefault(name, value)
    for n, w in of(6).items():  # Neelakantan et al. 2015
        w.grad += 0.1 * torch.tensor(draw("normal", n + ".gradient_noise.e", 0, w.numel(), position=step).astype(float)).reshape(w.shape)
    for k in (1, 2):  # Brock et al. 2021, equation 2
        w = p["net.dense_%d.W" % k]
        w.grad *= torch.clamp(0.1 * w.norm(dim=0).clamp(min=1e-3) / w.grad.norm(dim=0), max=1)
    for n, w in of(1).items():  # You et al. 2017, algorithm 1
        m = state(n + ".lars.m", torch.zeros_like(w))
        a = w.norm()
        b = w.grad.norm() + 0.1 * a
        m.mul_(0.8).add_((0.05 * a / b if a > 0 and b > 0 else 1) * 0.5 * (w.grad + 0.1 * w))
        w -= m
    ramp = 0.01 + 0.01 * min(1, step / 3)
    rates = {3: 0.01 + 0.04 * (1 + math.cos(math.pi * progress)) / 2, 4: 0.05 * 0.5 ** math.floor(epoch / 0.4), 5: 0.05 * 0.5**epoch,
             6: 0.05 * min(step / 2, math.sqrt(2 / step)), 7: 0.05 + progress * (ramp - 0.05)}
    for w in of(2).values():
        w -= 0.01 * min(1, step / 3) * torch.sign(w.grad)
    for k, rate in rates.items():
        for w in of(k).values():
            w -= rate * w.grad
    for w in of(3).values():
        w.copy_(F.softshrink(w, 0.05 * 0.1))
    for w in of(4).values():
        w.clamp_(min=0)
    for n, w in of(7).items():
        open_, worth = state(n + ".prune.open", torch.ones_like(w)), state(n + ".prune.worth", torch.zeros_like(w))
        worth += (w * w.grad).abs()
        if step % 2 == 0:
            open_ *= worth / 2 > 0.05
            worth.zero_()
        w *= open_
    for n, w in p.items():
        a = state(n + ".running_mean.a", run.first[n].clone())
        a.copy_(a + (w - a) / (step - 2) if step > 2 else w)


def sharpness(s, d):
    y = dense(s, L.dropout(s, torch.tanh(L.batch_norm(s, linear(s, d.x, 8))), 0.3), 5)
    return 0.5 * ((y - d.target) ** 2).sum(1)


def update_sharpness(run):
    """Foret et al. 2021, algorithm 1; the statistics of the second pass are thrown away."""
    p, kept = run.parameters, {k: v.clone() for k, v in run.states.items()}
    g = {n: w.grad.clone() for n, w in p.items()}
    size = torch.sqrt(sum((v**2).sum() for v in g.values()))
    for n, w in p.items():
        w += 0.1 * g[n] / size
        w.grad = None
    with torch.enable_grad():
        sharpness(run.root(), Batch(run.step)).mean().backward()
    for n, w in p.items():
        w -= 0.1 * g[n] / size
        m = kept.setdefault(n + ".sgd.m", torch.zeros_like(w))
        m.mul_(0.9).add_(w.grad)
        w -= 0.05 * m
    run.states = kept


def chance(s, d):
    x, t = d.image, d.signal
    a = (probe(s, A.random_flip(s, linear(s, x, 2))) + probe(s, A.random_shift(s, linear(s, x, 2), 1))
         + probe(s, A.cutout(s, linear(s, x, 2), 3)))
    m, p, q = linear(s, x, 1), linear(s, t, 1), linear(s, t, 1)
    b = (probe(s, A.random_affine(s, m[..., 0])) + probe(s, A.random_loudness(s, p[..., 0]))
         + probe(s, A.random_stretch(s, q[..., 0], 0.3)))
    y, k = A.mixup(s, dense(s, x.flatten(1), 5), F.one_hot(d.label.long(), 5).double())
    z = F.cross_entropy(y, k, reduction="none")
    u = (probe(s, A.stochastic_pool2d(s, F.relu(linear(s, x, 4))))
         + probe(s, A.stochastic_pool2d_mean(s, F.relu(linear(s, x, 4)))))
    o = A.sample(s, torch.softmax(t, -1))
    return a + b + z + u + probe(s, L.embedding(s, o, 3, 3))


def gd(rate):
    def update(run):
        for v in run.parameters.values():
            v -= rate * v.grad
    return update


PROGRAMS = {
    "functions": (functions, gd(0.02)), "dense": (dense_layers, gd(0.02)), "losses": (losses, gd(0.05)),
    "norms": (norms, gd(0.02)), "noise": (noise, gd(0.02)), "convolutions": (convolutions, gd(0.005)),
    "pooling": (pooling, gd(0.01)), "blocks": (blocks, gd(0.005)), "attention": (attention, gd(0.02)),
    "shapes": (shapes, gd(0.005)), "recurrences": (recurrences, gd(0.02)), "rules": (rules, update_rules),
    "sharpness": (sharpness, update_sharpness), "chance": (chance, gd(0.01)),
}


def train(name):
    loss, update = PROGRAMS[name]
    run, losses = Run(BATCH), []
    for run.step in range(1, STEPS + 1):
        for v in run.parameters.values():
            v.grad = None
        value = loss(run.root(), Batch(run.step)).mean()
        value.backward()
        losses.append(float(value.detach()))
        with torch.no_grad():
            update(run)
    save_file(run.first, os.path.join(HERE, name + ".init.safetensors"))
    out = {k: v.detach().clone() for k, v in {**run.parameters, **run.states}.items()}
    out["losses"] = torch.tensor(losses)
    save_file(out, os.path.join(HERE, name + ".expected.safetensors"))
    print(name, ["%.6g" % v for v in losses])


if __name__ == "__main__":
    for each in sys.argv[1:] or PROGRAMS:
        train(each)
