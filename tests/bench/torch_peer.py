"""PyTorch peer: times one whole training step of one workload and prints one JSON line.

    python torch_peer.py WORKLOAD [--mode eager|compile|compile-max] [--threads N] [--seconds S] ...

A step is: zero the gradients, forward with dropout, loss, backward, clip where the workload has it, optimizer.
Everything is fp32 unless --amp says otherwise. The environment decides the allocator; run.sh sets the best one known.
"""
import argparse
import json
import sys
import time
import warnings

warnings.filterwarnings("ignore")
T_START = time.perf_counter()
import torch
import torch.nn as nn
import torch.nn.functional as F

from peer_clock import contention, cpu_seconds, environment, reset_peak, status_mb


# ---- data: random inputs, labels from a noisy linear teacher, so the loss falls but does not reach zero at once

def class_batches(n, shape, classes, seed=1):
    g = torch.Generator().manual_seed(seed)
    flat = 1
    for s in shape[1:]:
        flat *= s
    teacher = torch.randn(flat, classes, generator=g)
    out = []
    for _ in range(n):
        x = torch.randn(shape, generator=g)
        y = (x.reshape(shape[0], flat) @ teacher + 0.5 * flat ** 0.5 * torch.randn(shape[0], classes, generator=g)).argmax(1)
        out.append((x, y))
    return out


def token_batches(n, T, B, V, seed=1):
    g = torch.Generator().manual_seed(seed)
    p = 1.0 / torch.arange(1, V + 1, dtype=torch.float64)
    draw = lambda: torch.multinomial(p, T * B, replacement=True, generator=g)
    return [(draw().view(T, B), draw()) for _ in range(n)]


# ---- models

def mlp(dims, p=0.0, norm=None):
    layers = []
    for i in range(len(dims) - 1):
        layers.append(nn.Linear(dims[i], dims[i + 1]))
        if i < len(dims) - 2:
            if norm:
                layers.append(norm(dims[i + 1]))
            layers.append(nn.ReLU())
            if p:
                layers.append(nn.Dropout(p))
    return nn.Sequential(*layers)


def mlp_gflop(dims, B):
    return sum(2 * B * dims[i] * dims[i + 1] * (3 if i else 2) for i in range(len(dims) - 1)) / 1e9


class RandomDropoutMLP(nn.Module):
    """One rate a sample, uniform(0, .5), shared by all hidden layers."""

    def __init__(self, dims):
        super().__init__()
        self.fc = nn.ModuleList(nn.Linear(a, b) for a, b in zip(dims, dims[1:]))

    def forward(self, x):
        p = 0.5 * torch.rand(x.shape[0], 1)
        inv = 1.0 / (1.0 - p)
        for fc in self.fc[:-1]:
            x = F.relu(fc(x))
            x = x * ((torch.rand_like(x) >= p) * inv)
        return self.fc[-1](x)


def srivastava():
    return nn.Sequential(
        nn.Dropout(.1),
        nn.Conv2d(3, 96, 5, 1, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1), nn.Dropout(.25),
        nn.Conv2d(96, 128, 5, 1, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1), nn.Dropout(.25),
        nn.Conv2d(128, 256, 5, 1, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1), nn.Dropout(.5),
        nn.Flatten(), nn.Linear(4096, 2048), nn.ReLU(), nn.Dropout(.5),
        nn.Linear(2048, 2048), nn.ReLU(), nn.Dropout(.5), nn.Linear(2048, 10))


class Block(nn.Module):
    def __init__(self, i, o, st):
        super().__init__()
        self.c1 = nn.Conv2d(i, o, 3, st, 1, bias=False)
        self.b1 = nn.BatchNorm2d(o)
        self.c2 = nn.Conv2d(o, o, 3, 1, 1, bias=False)
        self.b2 = nn.BatchNorm2d(o)
        self.st, self.o = st, o

    def forward(self, x):
        h = F.relu(self.b1(self.c1(x)))
        h = self.b2(self.c2(h))
        if self.st != 1:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.o // 4, self.o // 4))
        return F.relu(h + x)


class ResNet20(nn.Module):
    def __init__(self):
        super().__init__()
        layers = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
        i = 16
        for o, st in ((16, 1), (32, 2), (64, 2)):
            for k in range(3):
                layers.append(Block(i, o, st if k == 0 else 1))
                i = o
        self.f = nn.Sequential(*layers)
        self.l = nn.Linear(64, 10)

    def forward(self, x):
        return self.l(self.f(x).mean((2, 3)))


class LM(nn.Module):
    def __init__(self, V, H, p, kind):
        super().__init__()
        self.e = nn.Embedding(V, H)
        self.r = getattr(nn, kind)(H, H, 2, dropout=p)
        self.o = nn.Linear(H, V)
        self.d = nn.Dropout(p)
        for w in self.parameters():
            nn.init.uniform_(w, -0.05, 0.05)

    def forward(self, x):
        h, _ = self.r(self.d(self.e(x)))
        return self.o(self.d(h)).flatten(0, 1)


class LNLSTM(nn.Module):
    """Layer-norm LSTM (Ba et al.): LN on W_x x, on W_h h and on c. The x part is batched over time."""

    def __init__(self, I, H):
        super().__init__()
        self.H = H
        self.wx = nn.Parameter(torch.randn(4 * H, I) / I ** 0.5)
        self.wh = nn.Parameter(torch.randn(4 * H, H) / H ** 0.5)
        self.b = nn.Parameter(torch.zeros(4 * H))
        self.lx, self.lh, self.lc = nn.LayerNorm(4 * H), nn.LayerNorm(4 * H), nn.LayerNorm(H)
        self.cell_fn = self.cell

    def cell(self, zx, h, c):
        i, f, g, o = (zx + self.lh(F.linear(h, self.wh))).chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(self.lc(c)), c

    def forward(self, x):
        T, B, _ = x.shape
        zx = self.lx(F.linear(x, self.wx)) + self.b
        h = c = torch.zeros(B, self.H)
        out = []
        for z in zx.unbind(0):
            h, c = self.cell_fn(z, h, c)
            out.append(h)
        return torch.stack(out)


# ---- workloads: (model, loss(model, x, y), batches, optimizer spec, clip, gflop)

SGD = lambda lr, **k: ("SGD", dict(lr=lr, **k))
ADAM = lambda lr: ("Adam", dict(lr=lr))
xent = lambda m, x, y: F.cross_entropy(m(x), y)


def workload(name):
    big = [784, 2500, 2500, 10]
    if name in ("mlp_momentum", "mlp_adam", "mlp_random_dropout"):
        m = RandomDropoutMLP(big) if name == "mlp_random_dropout" else mlp(big, .5)
        o = ADAM(1e-4) if name == "mlp_adam" else SGD(.01, momentum=.9)
        return m, xent, class_batches(32, (128, 784), 10), o, None, mlp_gflop(big, 128)
    if name == "first_light":  # the README's example: random dropout, momentum, an L2 penalty of 1e-4, clipping at norm 1
        return (RandomDropoutMLP(big), xent, class_batches(32, (128, 784), 10), SGD(.01, momentum=.9, penalty=1e-4), 1.0,
                mlp_gflop(big, 128))
    if name in ("ln_mlp", "bn_mlp"):
        d = [784, 512, 512, 10]
        m = mlp(d, .2, nn.LayerNorm if name == "ln_mlp" else nn.BatchNorm1d)
        return m, xent, class_batches(32, (128, 784), 10), ADAM(1e-4), None, mlp_gflop(d, 128)
    if name == "srivastava_cnn":
        mac = 32*32*75*96*2/3 + 16*16*2400*128 + 8*8*3200*256 + 4096*2048 + 2048*2048 + 20480
        return srivastava(), xent, class_batches(8, (64, 3, 32, 32), 10), SGD(.01, momentum=.9), None, 6*64*mac/1e9
    if name == "resnet20":
        first = 32*32*27*16
        rest = 6*1024*144*16 + 256*144*32 + 5*256*288*32 + 64*288*64 + 5*64*576*64 + 640
        return (ResNet20(), xent, class_batches(8, (128, 3, 32, 32), 10), SGD(.1, momentum=.9, weight_decay=1e-4), None,
                2*128*(3*rest + 2*first)/1e9)
    if name in ("lstm650", "lstm200", "gru650"):
        V, H, B, T = 10000, (200 if name == "lstm200" else 650), 20, 35
        kind, g = ("GRU", 3) if name == "gru650" else ("LSTM", 4)
        lr = .3 if kind == "GRU" else 1.0
        return LM(V, H, .5, kind), xent, token_batches(16, T, B, V), SGD(lr), 5.0, 3*2*B*T*(2*g*H*2*H + H*V)/1e9
    if name == "lnlstm512":
        H, B, T = 512, 32, 50
        g = torch.Generator().manual_seed(1)
        bs = []
        for _ in range(8):
            x = torch.randn(T, B, H, generator=g)
            bs.append((x, 0.5 * torch.tanh(x.roll(1, 2)) + 0.1 * torch.randn(T, B, H, generator=g)))
        return LNLSTM(H, H), (lambda m, x, y: F.mse_loss(m(x), y)), bs, ADAM(1e-3), None, 2*B*T*4*H*(2*H + 3*H)/1e9
    tiny = {"tiny_4_16_3": ([4, 16, 3], 16, 0.), "tiny_32_64_64_10": ([32, 64, 64, 10], 32, 0.),
            "tiny_32_64_64_10_dropout_adam": ([32, 64, 64, 10], 32, .2), "mlp_784_128_10": ([784, 128, 10], 64, 0.),
            "mlp_784_128_10_online": ([784, 128, 10], 1, 0.)}
    d, B, p = tiny[name]
    o = ADAM(1e-3) if name.endswith("adam") else SGD(.001 if B == 1 else .02)
    return mlp(d, p), xent, class_batches(64, (B, d[0]), d[-1]), o, None, mlp_gflop(d, B)


WORKLOADS = ("first_light mlp_momentum mlp_random_dropout mlp_adam ln_mlp bn_mlp srivastava_cnn resnet20 lstm650 lstm200 gru650 lnlstm512 "
             "tiny_4_16_3 tiny_32_64_64_10 tiny_32_64_64_10_dropout_adam mlp_784_128_10 mlp_784_128_10_online").split()


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("workload", choices=WORKLOADS)
    ap.add_argument("--mode", default="eager", choices=("eager", "compile", "compile-max"))
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--seconds", type=float, default=3)
    ap.add_argument("--opt", default="fused", choices=("fused", "foreach", "loop", "compiled"))
    ap.add_argument("--layout", default="nhwc", choices=("nhwc", "nchw"))
    ap.add_argument("--amp", default="none", choices=("none", "bf16-matmul", "autocast"))
    ap.add_argument("--cell", action="store_true", help="lnlstm512: compile the cell, not the whole loop")
    ap.add_argument("--cpp-wrapper", action="store_true")
    ap.add_argument("--keep-denormals", action="store_true")
    ap.add_argument("--profile", action="store_true")
    a = ap.parse_args()

    torch.set_num_threads(a.threads)
    if not a.keep_denormals:
        torch.set_flush_denormal(True)  # before the thread pool starts: its threads inherit the mode
    torch.manual_seed(0)
    if a.amp == "bf16-matmul":
        torch.set_float32_matmul_precision("medium")
        for part in ("matmul", "conv", "rnn"):
            setattr(getattr(torch.backends.mkldnn, part), "fp32_precision", "bf16")
    if a.mode != "eager":
        from torch import _dynamo
        from torch._inductor import config as ic
        ic.cpp_wrapper = a.cpp_wrapper
        _dynamo.config.recompile_limit = 64
    import_s = time.perf_counter() - T_START
    reset_peak()
    rss0 = status_mb("VmRSS")

    model, loss_fn, batches, (oname, okw), clip, gflop = workload(a.workload)
    conv = a.workload in ("srivastava_cnn", "resnet20")
    if conv and a.layout == "nhwc":
        model = model.to(memory_format=torch.channels_last)
        batches = [(x.to(memory_format=torch.channels_last), y) for x, y in batches]
    penalty = okw.pop("penalty", 0)  # part of the gradient that is clipped, unlike weight_decay
    okw = dict(okw, **{"fused": dict(fused=True), "foreach": dict(foreach=True), "loop": dict(foreach=False),
                       "compiled": dict(foreach=True)}[a.opt])
    params = list(model.parameters())
    opt = getattr(torch.optim, oname)(params, **okw)

    if a.amp == "autocast":
        def forward(x, y):
            with torch.autocast("cpu", torch.bfloat16):
                return loss_fn(model, x, y)
    else:
        def forward(x, y):
            return loss_fn(model, x, y)
    opt_step = opt.step
    cmode = {"compile": None, "compile-max": "max-autotune-no-cudagraphs"}.get(a.mode)
    if a.mode != "eager":
        if a.cell:
            model.cell_fn = torch.compile(model.cell, mode=cmode, dynamic=False)
        else:
            forward = torch.compile(forward, mode=cmode, dynamic=False)
        if a.opt == "compiled":
            opt_step = torch.compile(lambda: opt.step(), mode=cmode, dynamic=False)

    def step(i):
        x, y = batches[i % len(batches)]
        opt.zero_grad(set_to_none=True)
        loss = forward(x, y)
        loss.backward()
        if penalty:
            torch._foreach_add_([w.grad for w in params if w.dim() > 1], [w.detach() for w in params if w.dim() > 1], alpha=2 * penalty)
        if clip:
            nn.utils.clip_grad_norm_(params, clip, foreach=True)
        opt_step()
        return loss

    t = time.perf_counter()
    first = float(step(0))
    first_s = time.perf_counter() - t
    n = 1
    t = time.perf_counter()
    while time.perf_counter() - t < 0.5 or n < 4:  # warm up
        step(n)
        n += 1
    t = time.perf_counter()
    for _ in range(3):
        step(n)
        n += 1
    chunk = max(1, int(0.002 / ((time.perf_counter() - t) / 3)))
    if a.profile:
        from torch.profiler import ProfilerActivity, profile
        with profile(activities=[ProfilerActivity.CPU]) as prof:
            for _ in range(5):
                step(n)
        print(prof.key_averages().table(sort_by="self_cpu_time_total", row_limit=18, max_name_column_width=45), file=sys.stderr)
    ts = []
    used = cpu_seconds()
    t0 = time.perf_counter()
    while time.perf_counter() - t0 < a.seconds or len(ts) < 5:
        t = time.perf_counter()
        for _ in range(chunk):
            loss = step(n)
            n += 1
        ts.append((time.perf_counter() - t) / chunk)
    quiet = contention(used, time.perf_counter() - t0)
    ts.sort()
    last = sum(float(step(n + i)) for i in range(8)) / 8
    print(json.dumps({
        "workload": a.workload, "framework": "torch", "version": torch.__version__, "mode": a.mode, "threads": a.threads,
        "opt": a.opt, "layout": a.layout if conv else None, "amp": a.amp, "cell": a.cell, "cpp_wrapper": a.cpp_wrapper,
        "ftz": not a.keep_denormals, "min_ms": round(ts[0] * 1e3, 5), "median_ms": round(ts[len(ts) // 2] * 1e3, 5),
        "p10_ms": round(ts[len(ts) // 10] * 1e3, 5), "first_step_s": round(first_s, 3), "import_s": round(import_s, 2),
        "peak_rss_mb": round(status_mb("VmHWM") - rss0, 1), "rss_imports_mb": round(rss0, 1), "gflop": round(gflop, 6),
        "loss_first": round(first, 4), "loss_last": round(last, 4), "steps": n, "chunk": chunk, **quiet,
        "env": environment()}), flush=True)


if __name__ == "__main__":
    main()
