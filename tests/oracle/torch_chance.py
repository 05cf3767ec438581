"""Augmentation, stochastic pooling and sampling in PyTorch's operations, with the draws of the compiled program."""
import numpy as np
import torch
import torch.nn.functional as F


def categorical(s, name, shape, weights):
    """The largest log weight + Gumbel noise: a number for each of shape; weights has one axis more, or is the count of equals."""
    count = weights if isinstance(weights, int) else weights.shape[-1]
    u = torch.tensor(s.bits("uniform32", name, shape + (count,)).astype(np.float64))
    if isinstance(weights, int):
        return u.argmax(-1)
    gumbel = -torch.log(-torch.log(u.clamp(min=2.0**-33)))
    chosen = torch.where(weights > 0, torch.log(weights) + gumbel, -torch.inf)
    return torch.where((weights > 0).any(-1, keepdim=True), chosen, u).argmax(-1).detach()


def random_flip(s, x):
    f = s.at("random_flip").keep("f", (1,), 0.5)[:, :, None, None]
    return torch.where(f == 1, x.flip(2), x)


def random_shift(s, x, by):
    s = s.at("random_shift")
    a, b = categorical(s, "a", (), 2 * by + 1), categorical(s, "b", (), 2 * by + 1)
    padded = F.pad(x, (0, 0, by, by, by, by))
    h, w = x.shape[1:3]
    return torch.stack([padded[n, a[n]:a[n] + h, b[n]:b[n] + w] for n in range(len(x))])


def cutout(s, x, by):
    s = s.at("cutout")
    a, b = s.uniform("a", (1,), 0, x.shape[1]), s.uniform("b", (1,), 0, x.shape[2])
    h, w = (torch.arange(x.shape[1])[None] - a).abs() < by / 2, (torch.arange(x.shape[2])[None] - b).abs() < by / 2
    return x * ~(h[:, :, None] & w[:, None, :])[..., None]


def at(x, *places):
    """x[n, i, j, ...], 0 outside."""
    inside, n = torch.ones_like(places[0], dtype=torch.bool), torch.arange(len(x)).reshape(-1, *[1] * (places[0].dim() - 1))
    for place, size in zip(places, x.shape[1:]):
        inside = inside & (place >= 0) & (place < size)
    return torch.where(inside, x[(n,) + tuple(p.clamp(0, size - 1) for p, size in zip(places, x.shape[1:]))], torch.zeros(()))


def random_affine(s, x, turn=0.2, zoom=0.1, shear=0.1, shift=2):
    s = s.at("random_affine")
    r, z, k, a, b = (s.uniform(n, (1, 1), -v, v) for n, v in zip("rzkab", (turn, zoom, shear, shift, shift)))
    h, w = x.shape[1:]
    p, q = (torch.arange(h) - (h - 1) / 2)[None, :, None], (torch.arange(w) - (w - 1) / 2)[None, None, :]
    u = (1 + z) * (torch.cos(r) * p - torch.sin(r) * q) + k * q + a + (h - 1) / 2
    v = (1 + z) * (torch.sin(r) * p + torch.cos(r) * q) + b + (w - 1) / 2
    i, j = u.floor(), v.floor()
    return sum((1 - (u - i - m).abs()) * (1 - (v - j - n).abs()) * at(x, (i + m).long(), (j + n).long())
               for m in range(2) for n in range(2))


def random_loudness(s, x, span=0.5):
    return s.at("random_loudness").uniform("a", (1,), 1 - span, 1 + span) * x


def random_stretch(s, x, span):
    place = s.at("random_stretch").uniform("a", (1,), 1 - span, 1 + span) * torch.arange(x.shape[1])
    i = place.floor().long()
    return at(x, i) * (1 + i - place) + at(x, i + 1) * (place - i)


def mixup(s, x, p):
    s = s.at("mixup")
    a, n = s.uniform("a", (1,), 0, 1), categorical(s, "n", (), len(x))
    return torch.lerp(x, x[n], a), torch.lerp(p, p[n], a)


def windows(x, kernel=2):
    """[n, p, q, c, kernel^2]"""
    return x.unfold(1, kernel, kernel).unfold(2, kernel, kernel).flatten(-2).clamp(min=0)


def stochastic_pool2d(s, x):
    """Zeiler & Fergus 2013, equations 4 and 5."""
    a = windows(x)
    n = categorical(s.at("stochastic_pool2d"), "n", tuple(a.shape[1:-1]), a)
    return a.gather(-1, n[..., None]).squeeze(-1)


def stochastic_pool2d_mean(s, x):
    """Equation 6, in evaluation."""
    s.at("stochastic_pool2d")
    a = windows(x)
    total = a.sum(-1)
    return torch.where(total > 0, (a**2).sum(-1) / torch.where(total > 0, total, torch.ones(())), torch.zeros(()))


def sample(s, p):
    return categorical(s.at("sample"), "s", tuple(p.shape[1:-1]), p)
