"""What `rnetc probe` measures, of two small nets with known parameters: the numbers in tests/cli/probe.c.

    python torch_probe.py
"""
import torch

torch.set_default_dtype(torch.float64)
FLAT = 1e-3


def axis(n):
    return torch.arange(n, dtype=torch.float64)


def say(name, values):
    print(f"{name}: " + " ".join(f"{k} {float(v.detach() if torch.is_tensor(v) else v):.9g}" for k, v in values.items()))


def look(name, t, slope=None):
    out = {"mean": t.mean(), "deviation": t.std(unbiased=False), "norm": t.norm(), "zeros": (t == 0).double().mean(),
           "gradient_norm": t.grad.norm()}
    if slope is not None:
        off = (t == 0) & (slope == 0)
        out["dead"] = (slope == 0).all(0).double().mean()
        out["off"] = off.double().mean()
        out["saturated"] = ((slope.abs() < FLAT) & ~off).double().mean()
    say(name, out)


def keep(*tensors):
    for t in tensors:
        t.retain_grad()


def updates(parameters, rate):
    for name, p in parameters.items():
        norm = p.detach().norm()
        say(name, {"gradient_norm": p.grad.norm(), "update": rate * p.grad.norm() / norm if norm else float("nan")})


def chain():
    n, i, o, q = axis(24), axis(4), axis(6), axis(5)
    x = torch.sin(1 + i[None, :] + 3 * n[:, None])
    y = torch.cos(2 * n)
    V = (4 * torch.sin(1 + 7 * i[:, None] + 3 * o[None, :])).requires_grad_()
    W = (torch.sin(2 + 5 * o[:, None] + 2 * q[None, :]) / 2).requires_grad_()
    u = torch.cos(q).requires_grad_()
    c = torch.zeros(5, requires_grad=True)

    def forward():
        a = x @ V
        h = torch.tanh(a)
        s = h @ W + c - 0.5
        r = torch.relu(s)
        z = r @ u
        return a, h, s, r, z, ((z - y) ** 2).mean()

    a, h, s, r, z, loss = forward()
    keep(a, h, r, z)
    loss.backward()
    look("net.a", a)
    look("net.h", h, 1 - h.detach() ** 2)
    look("net.r", r, (s.detach() > 0).double())
    look("net.z", z)
    updates({"net.V": V, "net.W": W, "net.u": u, "net.c": c}, 0.1)
    with torch.no_grad():
        for p in (V, W, u, c):
            p -= 0.1 * p.grad
        print("loss", float(loss), "after", float(forward()[-1]))


def recurrence():
    n, t, u = axis(24), axis(12), axis(3)
    x = torch.sin(1 + t[None, :] + 3 * n[:, None])
    y = torch.cos(2 * n)
    U = (torch.sin(1 + 2 * u[:, None] + 5 * u[None, :]) / 2).requires_grad_()
    w = torch.cos(u).requires_grad_()
    h, steps = torch.zeros(24, 3), []
    for k in range(12):
        h = torch.tanh(x[:, k:k + 1] * w + h @ U.T)
        h.retain_grad()
        steps.append(h)
    loss = ((h.sum(1) - y) ** 2).mean()
    loss.backward()
    print("norms", [f"{float(h.detach().norm()):.9g}" for h in steps])
    print("gradients", [f"{float(h.grad.norm()):.9g}" for h in steps])
    updates({"net.U": U, "net.w": w}, 0.1)


def correlation(t):
    """Mean size of the correlation of two of its columns that vary."""
    c = torch.corrcoef(t.detach()[:, t.detach().std(0) > 0].T).abs()
    return (c.sum() - c.diag().sum()) / (c.numel() - len(c))


def jacobian():
    n, i, o, q = axis(24), axis(4), axis(6), axis(5)
    x = torch.sin(1 + i[None, :] + 3 * n[:, None])
    V = torch.sin(1 + 7 * i[:, None] + 3 * o[None, :])
    W = torch.sin(2 + 5 * o[:, None] + 2 * q[None, :] + 3 * o[:, None] * q[None, :]) / 2
    a = x @ V
    h = torch.tanh(a)
    print("correlation", f"{float(correlation(h)):.9g}")
    for s in (0, 7):
        J = torch.autograd.functional.jacobian(lambda t: torch.tanh(t) @ W, a[s])
        print("singular values of sample", s, [f"{float(v):.9g}" for v in torch.linalg.svdvals(J)])


def smoothness():
    """cosh along gradient descent: |f'' | = L0 cosh(L1 x), by the largest difference quotient on each step."""
    import math
    l0, l1, x, rate, points = 1.0, 5.0, 0.8, 0.01, []
    slope = lambda x: l0 / l1 * math.sinh(l1 * x)
    x -= rate * slope(x)
    for _ in range(20):
        g = slope(x)
        d = -rate * g
        points.append((abs(g), max(abs(slope(x + k / 4 * d) - g) / abs(k / 4 * d) for k in range(1, 5))))
        x += d
    g = torch.tensor(points)
    A = torch.stack([torch.ones(len(g)), g[:, 0]], 1)
    fit = torch.linalg.lstsq(A, g[:, 1:]).solution
    residual = g[:, 1:] - A @ fit
    print("smoothness", [f"{float(v):.9g}" for v in fit], "explained", float(1 - residual.var() / g[:, 1].var()))
    print("first", points[0], "last", points[-1])


chain()
recurrence()
jacobian()
smoothness()
