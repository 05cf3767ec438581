"""Second derivatives, Fisher blocks, covariate shift, batch norm's bound and a loss surface of one small net with known parameters: the
numbers in tests/cli/instruments.c. Needs torch, numpy and xxhash (philox.py, for the surface's directions).

    python torch_curvature.py
"""
import numpy as np
import torch

from philox import draw

torch.set_default_dtype(torch.float64)
N, RATE = 24, 0.1


def axis(n):
    return torch.arange(n, dtype=torch.float64)


n, i, o, k = axis(N), axis(4), axis(6), axis(3)
x = torch.sin(1 + i[None, :] + 3 * n[:, None])
label = (torch.arange(N) % 3)
SHAPES = {"V": (4, 6), "gain": (6,), "W": (6, 3), "c": (3,)}
START = {"V": torch.sin(1 + 7 * i[:, None] + 3 * o[None, :]), "gain": 1 + o / 10,
         "W": torch.sin(2 + 5 * o[:, None] + 2 * k[None, :] + 3 * o[:, None] * k[None, :]), "c": torch.zeros(3)}
flat = lambda p: torch.cat([p[name].reshape(-1) for name in SHAPES])


def unflat(v):
    out, at = {}, 0
    for name, shape in SHAPES.items():
        size = int(np.prod(shape))
        out[name], at = v[at:at + size].reshape(shape), at + size
    return out


def answer(p):
    a = x @ p["V"]
    m = a.mean(0)
    s = ((a - m) ** 2).mean(0)
    y = p["gain"] * (a - m) / torch.sqrt(s)
    return a, y, torch.tanh(y) @ p["W"] + p["c"]


def loss(v):
    z = answer(unflat(v))[2]
    return torch.nn.functional.cross_entropy(z, label)


def gradient(v):
    v = v.detach().clone().requires_grad_()
    return torch.autograd.grad(loss(v), v)[0]


def say(name, *values):
    print(name, *(f"{float(v):.9g}" for v in values))


v = flat(START)
g = gradient(v)
d = -RATE * g
after = v + d
say("loss, after", loss(v), loss(after))

H = torch.autograd.functional.hessian(loss, v)
e = torch.linalg.eigvalsh(H)
say("eigenvalues", e[0], e[-1])
say("along gradient, step", g @ H @ g / (g @ g), d @ H @ d / (d @ d))
say("first, second", g @ d, d @ H @ d / 2)
at = 0
for name, shape in SHAPES.items():
    size = int(np.prod(shape))
    say(f"trace {name}", H.diag()[at:at + size].sum())
    at += size

# Fisher: E over samples and over labels drawn from the model, score by score; only then J'HJ.
z = answer(unflat(v))[2]
p = torch.softmax(z, 1)
J = torch.autograd.functional.jacobian(lambda u: answer(unflat(u))[2], v)
F = torch.zeros(len(v), len(v))
for s in range(N):
    for y in range(3):
        score = (torch.nn.functional.one_hot(torch.tensor(y), 3) - p[s]) @ J[s]
        F += p[s, y] * torch.outer(score, score) / N
c, W = slice(48, 51), slice(30, 48)
print("Fisher c\n", "\n ".join(", ".join(f"{float(t):.9g}" for t in row) for row in F[c, c]))
say("Fisher W[0, 0], W[0, 1], W[3, 7]", F[30, 30], F[30, 31], F[33, 37])
say("eigenvalues W", *torch.linalg.eigvalsh(F[W, W]).flip(0)[:3])
say("eigenvalues V", *torch.linalg.eigvalsh(F[:24, :24]).flip(0)[:3])
q = torch.distributions.Categorical
say("KL, form", torch.distributions.kl_divergence(q(logits=z), q(logits=answer(unflat(after))[2])).mean(), d @ F @ d / 2)

# Shift: V and gain have made their step, W and c have not.
moved = torch.cat([after[:30], v[30:]])
for name, part in (("W", W), ("c", c)):
    a, b = g[part], gradient(moved)[part]
    say(f"shift {name}", a.norm(), b.norm(), (b - a).norm(), a @ b / (a.norm() * b.norm()))

# The bound: h with mean and deviation held.
start = {name: t.clone() for name, t in START.items()}
a = (x @ start["V"]).requires_grad_()
m, s = a.mean(0), ((a - a.mean(0)) ** 2).mean(0)
y = start["gain"] * (a - m) / torch.sqrt(s)
y.retain_grad()
torch.nn.functional.cross_entropy(torch.tanh(y) @ start["W"] + start["c"], label).backward()
h = y.grad * start["gain"] / torch.sqrt(s.detach())
nn = ((a - m) / torch.sqrt(s)).detach()
say("bound held, mean, along, gradient", (h ** 2).sum(), (h.sum(0) ** 2 / N).sum(), ((h * nn).sum(0) ** 2 / N).sum(), (a.grad ** 2).sum())

# The surface: of V and W, for each o and each k, as long as what feeds it; gain and c stay.
def direction(number):
    out = {name: torch.zeros(shape) for name, shape in SHAPES.items()}
    for name in ("V", "W"):
        t = torch.tensor(draw("normal", f"landscape.{number}.net.{name}", 0, int(np.prod(SHAPES[name]))).astype(np.float64)).reshape(SHAPES[name])
        out[name] = t * START[name].norm(dim=0) / t.norm(dim=0)
    return flat(out)


first, second = direction(1), direction(2)
print("surface", [f"{float(loss(v + (r - 1) * first + (c - 1) * second)):.9g}" for r in range(3) for c in range(3)])

# Two batches of twelve without what pools them: their means are those of all.
print("plain loss", float(torch.nn.functional.cross_entropy(torch.tanh(x @ START["V"]) @ START["W"], label)))
