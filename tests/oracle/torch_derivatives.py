#!/usr/bin/env python3
"""Five training steps of programs with derivatives in them, in PyTorch; see torch_library.py, whose data and files these share.

    python3 torch_derivatives.py [NAME...]    writes tests/library/NAME.{init,expected}.safetensors
"""
import sys

import torch

import torch_library as library
from torch_layers import dense


def critic(s, x):
    s = s.named("critic")
    return dense(s, torch.tanh(dense(s, x, 6)), 1)[:, 0]


def judge_is_on(run):
    return (run.step - 1) % 3 < 2


def game(s, d):
    """Gulrajani et al. 2017: critic and maker in turn, two steps to one."""
    m = s.named("maker")
    made = dense(m, torch.tanh(dense(m, d.target, 7)), 12)
    real, fake = critic(s, d.x), critic(s, made)
    between = (d.x + 0.3 * (made - d.x)).detach().requires_grad_(True)
    g = torch.autograd.grad(critic(s, between).sum(), between, create_graph=True)[0]
    slope = torch.sqrt((g**2).sum(1))
    return 5 + fake - real + 10 * (slope - 1) ** 2 if judge_is_on(s.run) else 5 - fake


def update_game(run):
    phase, player = ("judge", "critic") if judge_is_on(run) else ("forge", "maker")
    for name, w in run.parameters.items():
        if player in name:
            m = run.states.setdefault("%s.%s.sgd.m" % (name, phase), torch.zeros_like(w))
            m.mul_(0.5).add_(w.grad)
            w -= 0.02 * m


def second(s, d):
    """Penalties on a recurrence's gradients, by its inputs (a sample's own) and by its matrix (the batch's)."""
    W, R = s.param("W", (3, 4)), s.param("R", (4, 4))
    x = d.x.reshape(-1, 4, 3).clone().requires_grad_(True)
    h = torch.zeros(len(x), 4)
    for t in range(4):
        h = torch.tanh(h @ R + x[:, t] @ W)
    q = (h**2).sum(1)
    g = torch.autograd.grad(q.sum(), x, create_graph=True)[0]
    G = torch.autograd.grad(q.mean(), R, create_graph=True)[0]
    v = torch.arange(1.0, 5.0)
    Hv = torch.autograd.grad((G * v[:, None]).sum(), R, create_graph=True)[0]
    return q + 0.5 * (g**2).sum((1, 2)) + 0.3 * (Hv**2).sum()


library.PROGRAMS.update({"game": (game, update_game), "second": (second, library.gd(0.02))})

if __name__ == "__main__":
    for each in sys.argv[1:] or ("game", "second"):
        library.train(each)
