"""JAX peer: times one whole jitted training step of one workload and prints one JSON line.

    python jax_peer.py WORKLOAD [--prng rbg|unsafe_rbg|threefry2x32] [--bits 16|32] [--scan K] [--seconds S]

One jit holds forward with dropout, loss, backward, clip and optimizer; the state is donated. Recurrent nets batch the input
projection over time and scan only the recurrent part. --scan K runs K steps in one call (for nets too small for a dispatch).
Shapes, data and FLOP counts are those of torch_peer.py. XLA_FLAGS comes from the environment.
"""
import argparse
import json
import os
import time

T_START = time.perf_counter()
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from peer_clock import contention, cpu_seconds, environment, reset_peak, status_mb

rng = np.random.default_rng(1)
BITS = 16


def class_batches(n, shape, classes):
    flat = int(np.prod(shape[1:]))
    teacher = rng.standard_normal((flat, classes), dtype=np.float32)
    out = []
    for _ in range(n):
        x = rng.standard_normal(shape, dtype=np.float32)
        noise = 0.5 * flat ** 0.5 * rng.standard_normal((shape[0], classes))
        out.append((x, (x.reshape(shape[0], flat) @ teacher + noise).argmax(1).astype(np.int32)))
    return out


def token_batches(n, T, B, V):
    p = 1.0 / np.arange(1, V + 1)
    draw = lambda: rng.choice(V, size=T * B, p=p / p.sum()).astype(np.int32)
    return [(draw().reshape(T, B), draw()) for _ in range(n)]


def uni(shape, bound):
    return (rng.random(shape, dtype=np.float32) * 2 - 1) * np.float32(bound)


# ---- layers

def drop(key, x, p):
    if BITS == 32:
        return jnp.where(jax.random.bernoulli(key, 1 - p, x.shape), x * (1 / (1 - p)), 0)
    bits = jax.random.bits(key, x.shape, jnp.uint16)
    return jnp.where(bits >= np.uint16(round(p * 65536)), x * (1 / (1 - p)), 0)


def xent(z, y):
    return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(z), y[:, None], 1))


def layer_norm(x, g, b):
    m = x.mean(-1, keepdims=True)
    v = jnp.mean(jnp.square(x - m), -1, keepdims=True)
    return (x - m) * lax.rsqrt(v + 1e-5) * g + b


def batch_norm(x, g, b, axes):
    """Returns the output and the batch statistics; the caller folds them into the running ones."""
    m = x.mean(axes)
    v = jnp.mean(jnp.square(x - m), axes)
    return (x - m) * (lax.rsqrt(v + 1e-5) * g) + b, (m, v)


def momentum_stats(old, new):
    return jax.tree.map(lambda o, n: 0.9 * o + 0.1 * n, old, new)


def dense_init(i, o):
    return uni((i, o), i ** -0.5), uni((o,), i ** -0.5)


# ---- workloads: each returns params, stats, loss(params, stats, key, x, y) -> (loss, stats), batches, optimizer, clip, gflop

def mlp_gflop(d, B):
    return sum(2 * B * d[i] * d[i + 1] * (3 if i else 2) for i in range(len(d) - 1)) / 1e9


def make_mlp(dims, B, p=0.0, norm=None, random_rate=False, nb=32):
    P = [dict(zip("wb", dense_init(a, b))) for a, b in zip(dims, dims[1:])]
    for q in P[:-1]:
        if norm:
            q["g"], q["s"] = np.ones_like(q["b"]), np.zeros_like(q["b"])
    stats = [(np.zeros_like(q["b"]), np.ones_like(q["b"])) for q in P[:-1]] if norm == "bn" else []

    def loss(P, stats, key, x, y):
        new = []
        keys = jax.random.split(key, len(P))
        if random_rate:
            rate = 0.5 * jax.random.uniform(keys[-1], (x.shape[0], 1))
        for i, q in enumerate(P[:-1]):
            x = x @ q["w"] + q["b"]
            if norm == "ln":
                x = layer_norm(x, q["g"], q["s"])
            elif norm == "bn":
                x, st = batch_norm(x, q["g"], q["s"], (0,))
                new.append(momentum_stats(stats[i], st))
            x = jax.nn.relu(x)
            if random_rate:
                if BITS == 32:
                    keep = jax.random.uniform(keys[i], x.shape) >= rate
                else:
                    keep = jax.random.bits(keys[i], x.shape, jnp.uint16) >= (rate * 65536).astype(jnp.uint16)
                x = jnp.where(keep, x * (1 / (1 - rate)), 0)
            elif p:
                x = drop(keys[i], x, p)
        q = P[-1]
        return xent(x @ q["w"] + q["b"], y), new
    return P, stats, loss, class_batches(nb, (B, dims[0]), dims[-1]), mlp_gflop(dims, B)


def conv(x, w, stride=1):
    return lax.conv_general_dilated(x, w, (stride, stride), "SAME" if stride == 1 else ((1, 1), (1, 1)),
                                    dimension_numbers=("NHWC", "HWIO", "NHWC"))


def make_srivastava():
    P = dict(c=[], f=[])
    for i, o in ((3, 96), (96, 128), (128, 256)):
        P["c"].append((uni((5, 5, i, o), (25 * i) ** -0.5), uni((o,), (25 * i) ** -0.5)))
    for i, o in ((4096, 2048), (2048, 2048), (2048, 10)):
        P["f"].append(dense_init(i, o))

    def pool(x):
        return lax.reduce_window(x, -jnp.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), ((0, 0), (1, 1), (1, 1), (0, 0)))

    def loss(P, stats, key, x, y):
        k = jax.random.split(key, 6)
        x = drop(k[0], x, .1)
        for j, (w, b) in enumerate(P["c"]):
            x = drop(k[j + 1], pool(jax.nn.relu(conv(x, w) + b)), (.25, .25, .5)[j])
        x = x.reshape(x.shape[0], -1)
        for j, (w, b) in enumerate(P["f"]):
            x = x @ w + b
            if j < 2:
                x = drop(k[j + 4], jax.nn.relu(x), .5)
        return xent(x, y), stats
    mac = 32*32*75*96*2/3 + 16*16*2400*128 + 8*8*3200*256 + 4096*2048 + 2048*2048 + 20480
    return P, [], loss, class_batches(8, (64, 32, 32, 3), 10), 6 * 64 * mac / 1e9


def make_resnet20():
    def cb(i, o):
        return dict(w=uni((3, 3, i, o), (9 * i) ** -0.5), g=np.ones(o, np.float32), b=np.zeros(o, np.float32))
    P, plan, i = [cb(3, 16)], [], 16
    for o, st in ((16, 1), (32, 2), (64, 2)):
        for k in range(3):
            P += [cb(i, o), cb(o, o)]
            plan.append((o, st if k == 0 else 1))
            i = o
    w, b = dense_init(64, 10)
    P.append(dict(w=w, b=b))
    stats = [(np.zeros_like(q["b"]), np.ones_like(q["b"])) for q in P[:-1]]

    def loss(P, stats, key, x, y):
        new = []

        def cbn(x, st=1):
            q = P[len(new)]
            h, s = batch_norm(conv(x, q["w"], st), q["g"], q["b"], (0, 1, 2))
            new.append(momentum_stats(stats[len(new)], s))
            return h
        x = jax.nn.relu(cbn(x))
        for o, st in plan:
            h = cbn(jax.nn.relu(cbn(x, st)))
            if st != 1:
                x = jnp.pad(x[:, ::2, ::2, :], ((0, 0), (0, 0), (0, 0), (o // 4, o // 4)))
            x = jax.nn.relu(h + x)
        return xent(x.mean((1, 2)) @ P[-1]["w"] + P[-1]["b"], y), new
    first = 32*32*27*16
    rest = 6*1024*144*16 + 256*144*32 + 5*256*288*32 + 64*288*64 + 5*64*576*64 + 640
    return P, stats, loss, class_batches(8, (128, 32, 32, 3), 10), 2 * 128 * (3 * rest + 2 * first) / 1e9


def lstm_layer(q, x, unroll):
    T, B, _ = x.shape
    H = q["wh"].shape[0]
    zx = (x.reshape(T * B, -1) @ q["wx"] + q["b"]).reshape(T, B, -1)

    def cell(s, z):
        h, c = s
        i, f, g, o = jnp.split(z + h @ q["wh"], 4, 1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h
    z = jnp.zeros((B, H))
    return lax.scan(cell, (z, z), zx, unroll=unroll)[1]


def gru_layer(q, x, unroll):
    T, B, _ = x.shape
    H = q["wh"].shape[0]
    zx = (x.reshape(T * B, -1) @ q["wx"] + q["b"]).reshape(T, B, -1)

    def cell(h, z):
        zr, zu, zn = jnp.split(z, 3, 1)
        hr, hu, hn = jnp.split(h @ q["wh"] + q["bh"], 3, 1)
        u = jax.nn.sigmoid(zu + hu)
        n = jnp.tanh(zn + jax.nn.sigmoid(zr + hr) * hn)
        h = (1 - u) * n + u * h
        return h, h
    return lax.scan(cell, jnp.zeros((B, H)), zx, unroll=unroll)[1]


def make_lm(V, H, B, T, g, unroll):
    P = dict(e=uni((V, H), .05), o=uni((H, V), .05), ob=np.zeros(V, np.float32), r=[])
    for _ in range(2):
        P["r"].append(dict(wx=uni((H, g * H), .05), wh=uni((H, g * H), .05), b=np.zeros(g * H, np.float32),
                           bh=np.zeros(g * H, np.float32)))
    layer = lstm_layer if g == 4 else gru_layer
    if g == 4:
        for q in P["r"]:
            del q["bh"]

    def loss(P, stats, key, x, y):
        k = jax.random.split(key, 3)
        h = drop(k[0], P["e"][x], .5)
        for j in range(2):
            h = drop(k[j + 1], layer(P["r"][j], h, unroll), .5)
        return xent(h.reshape(-1, H) @ P["o"] + P["ob"], y), stats
    return P, [], loss, token_batches(16, T, B, V), 3 * 2 * B * T * (2 * g * H * 2 * H + H * V) / 1e9


def make_lnlstm(H, B, T, unroll):
    P = dict(wx=rng.standard_normal((H, 4 * H), dtype=np.float32) / np.float32(H ** 0.5),
             wh=rng.standard_normal((H, 4 * H), dtype=np.float32) / np.float32(H ** 0.5), b=np.zeros(4 * H, np.float32))
    for n, s in (("x", 4 * H), ("h", 4 * H), ("c", H)):
        P["g" + n], P["s" + n] = np.ones(s, np.float32), np.zeros(s, np.float32)

    def loss(P, stats, key, x, y):
        zx = layer_norm(x.reshape(T * B, H) @ P["wx"], P["gx"], P["sx"]).reshape(T, B, 4 * H) + P["b"]

        def cell(s, z):
            h, c = s
            i, f, g, o = jnp.split(z + layer_norm(h @ P["wh"], P["gh"], P["sh"]), 4, 1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(layer_norm(c, P["gc"], P["sc"]))
            return (h, c), h
        z = jnp.zeros((B, H))
        return jnp.mean(jnp.square(lax.scan(cell, (z, z), zx, unroll=unroll)[1] - y)), stats
    bs = []
    for _ in range(8):
        x = rng.standard_normal((T, B, H), dtype=np.float32)
        bs.append((x, (0.5 * np.tanh(np.roll(x, 1, 2)) + 0.1 * rng.standard_normal(x.shape)).astype(np.float32)))
    return P, [], loss, bs, 2 * B * T * 4 * H * (2 * H + 3 * H) / 1e9


def workload(name, unroll):
    big, mid, t3 = [784, 2500, 2500, 10], [784, 512, 512, 10], [32, 64, 64, 10]
    mom, adam = (lambda lr, wd=0.: ("mom", lr, wd)), (lambda lr: ("adam", lr, 0.))
    sgd = lambda lr: ("sgd", lr, 0.)
    return {
        "first_light": lambda: (*make_mlp(big, 128, random_rate=True), mom(.01, 2e-4), 1.0),
        "mlp_momentum": lambda: (*make_mlp(big, 128, .5), mom(.01), None),
        "mlp_random_dropout": lambda: (*make_mlp(big, 128, random_rate=True), mom(.01), None),
        "mlp_adam": lambda: (*make_mlp(big, 128, .5), adam(1e-4), None),
        "ln_mlp": lambda: (*make_mlp(mid, 128, .2, "ln"), adam(1e-4), None),
        "bn_mlp": lambda: (*make_mlp(mid, 128, .2, "bn"), adam(1e-4), None),
        "srivastava_cnn": lambda: (*make_srivastava(), mom(.01), None),
        "resnet20": lambda: (*make_resnet20(), mom(.1, 1e-4), None),
        "lstm650": lambda: (*make_lm(10000, 650, 20, 35, 4, unroll), sgd(1.0), 5.0),
        "lstm200": lambda: (*make_lm(10000, 200, 20, 35, 4, unroll), sgd(1.0), 5.0),
        "gru650": lambda: (*make_lm(10000, 650, 20, 35, 3, unroll), sgd(.3), 5.0),
        "lnlstm512": lambda: (*make_lnlstm(512, 32, 50, unroll), adam(1e-3), None),
        "tiny_4_16_3": lambda: (*make_mlp([4, 16, 3], 16, nb=64), sgd(.02), None),
        "tiny_32_64_64_10": lambda: (*make_mlp(t3, 32, nb=64), sgd(.02), None),
        "tiny_32_64_64_10_dropout_adam": lambda: (*make_mlp(t3, 32, .2, nb=64), adam(1e-3), None),
        "mlp_784_128_10": lambda: (*make_mlp([784, 128, 10], 64, nb=64), sgd(.02), None),
        "mlp_784_128_10_online": lambda: (*make_mlp([784, 128, 10], 1, nb=64), sgd(.001), None),
    }[name]


WORKLOADS = ("first_light mlp_momentum mlp_random_dropout mlp_adam ln_mlp bn_mlp srivastava_cnn resnet20 lstm650 lstm200 gru650 lnlstm512 "
             "tiny_4_16_3 tiny_32_64_64_10 tiny_32_64_64_10_dropout_adam mlp_784_128_10 mlp_784_128_10_online").split()


def make_step(loss, kind, lr, wd, clip):
    vg = jax.value_and_grad(loss, has_aux=True)

    def step(state, x, y):
        P, stats, m, v, t, key = state
        key, sub = jax.random.split(key)
        (l, stats), g = vg(P, stats, sub, x, y)
        if wd:
            g = jax.tree.map(lambda a, p: a + wd * p, g, P)
        if clip:
            norm = jnp.sqrt(sum(jnp.sum(jnp.square(a)) for a in jax.tree.leaves(g)))
            s = jnp.minimum(1.0, clip / (norm + 1e-6))
            g = jax.tree.map(lambda a: a * s, g)
        t = t + 1
        if kind == "sgd":
            P = jax.tree.map(lambda p, a: p - lr * a, P, g)
        elif kind == "mom":
            m = jax.tree.map(lambda b, a: .9 * b + a, m, g)
            P = jax.tree.map(lambda p, b: p - lr * b, P, m)
        else:
            c1, c2 = 1 - 0.9 ** t, 1 - 0.999 ** t
            m = jax.tree.map(lambda b, a: .9 * b + .1 * a, m, g)
            v = jax.tree.map(lambda b, a: .999 * b + .001 * a * a, v, g)
            P = jax.tree.map(lambda p, b, s: p - (lr / c1) * b / (jnp.sqrt(s / c2) + 1e-8), P, m, v)
        return (P, stats, m, v, t, key), l
    return step


def main():
    global BITS
    ap = argparse.ArgumentParser()
    ap.add_argument("workload", choices=WORKLOADS)
    ap.add_argument("--prng", default="rbg", choices=("rbg", "unsafe_rbg", "threefry2x32"))
    ap.add_argument("--bits", type=int, default=16, choices=(16, 32))
    ap.add_argument("--unroll", type=int, default=1)
    ap.add_argument("--scan", type=int, default=0, help="K training steps in one jitted call")
    ap.add_argument("--sync", action="store_true", help="no asynchronous dispatch: less latency a call for very small steps")
    ap.add_argument("--seconds", type=float, default=3)
    ap.add_argument("--precision", default="float32", help="jax_default_matmul_precision")
    ap.add_argument("--profile", help="directory for a jax.profiler trace")
    a = ap.parse_args()
    BITS = a.bits
    jax.config.update("jax_default_prng_impl", a.prng)
    jax.config.update("jax_default_matmul_precision", a.precision)
    jax.config.update("jax_cpu_enable_async_dispatch", not a.sync)
    if os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
    jnp.zeros(1).block_until_ready()  # start the backend: counted as import
    import_s = time.perf_counter() - T_START
    reset_peak()
    rss0 = status_mb("VmRSS")

    P, stats, loss, batches, gflop, (kind, lr, wd), clip = workload(a.workload, a.unroll)()
    zeros = lambda: jax.tree.map(lambda p: jnp.zeros_like(p), P)
    state = (jax.tree.map(jnp.asarray, P), jax.tree.map(jnp.asarray, stats), zeros() if kind != "sgd" else [],
             zeros() if kind == "adam" else [], jnp.float32(0), jax.random.key(0))
    step = make_step(loss, kind, lr, wd, clip)
    per_call = 1
    if a.scan:
        per_call = a.scan
        idx = [i % len(batches) for i in range(a.scan)]
        batches = [(np.stack([batches[i][0] for i in idx]), np.stack([batches[i][1] for i in idx]))]
        one = step

        def step(state, xs, ys):
            state, ls = lax.scan(lambda s, b: one(s, *b), state, (xs, ys))
            return state, ls.mean()
    batches = [(jnp.asarray(x), jnp.asarray(y)) for x, y in batches]
    jax.block_until_ready((state, batches))
    del P, stats
    run = jax.jit(step, donate_argnums=(0,))

    t = time.perf_counter()
    state, l = run(state, *batches[0])
    jax.block_until_ready((state, l))
    first_s = time.perf_counter() - t
    first = float(l)
    n = 1
    t = time.perf_counter()
    while time.perf_counter() - t < 0.5 or n < 4:
        state, l = run(state, *batches[n % len(batches)])
        l.block_until_ready()
        n += 1
    t = time.perf_counter()
    for _ in range(3):
        state, l = run(state, *batches[n % len(batches)])
        n += 1
    jax.block_until_ready((state, l))
    chunk = max(1, int(0.002 / ((time.perf_counter() - t) / 3)))
    if a.profile:
        with jax.profiler.trace(a.profile):
            for _ in range(3):
                state, l = run(state, *batches[0])
            jax.block_until_ready((state, l))
    ts = []
    used = cpu_seconds()
    t0 = time.perf_counter()
    while time.perf_counter() - t0 < a.seconds or len(ts) < 5:
        t = time.perf_counter()
        for _ in range(chunk):
            state, l = run(state, *batches[n % len(batches)])
            n += 1
        jax.block_until_ready((state, l))
        ts.append((time.perf_counter() - t) / chunk / per_call)
    quiet = contention(used, time.perf_counter() - t0)
    ts.sort()
    last = 0
    for i in range(8):
        state, l = run(state, *batches[i % len(batches)])
        last += float(l) / 8
    print(json.dumps({
        "workload": a.workload, "framework": "jax", "version": jax.__version__,
        "mode": "jit-scan%d" % a.scan if a.scan else "jit", "threads": len(os.sched_getaffinity(0)), "prng": a.prng,
        "bits": a.bits, "unroll": a.unroll, "precision": a.precision, "sync": a.sync, "min_ms": round(ts[0] * 1e3, 5),
        "median_ms": round(ts[len(ts) // 2] * 1e3, 5), "p10_ms": round(ts[len(ts) // 10] * 1e3, 5),
        "first_step_s": round(first_s, 3), "import_s": round(import_s, 2),
        "peak_rss_mb": round(status_mb("VmHWM") - rss0, 1), "rss_imports_mb": round(rss0, 1), "gflop": round(gflop, 6),
        "loss_first": round(first, 4), "loss_last": round(last, 4), "steps": n * per_call, "chunk": chunk, **quiet,
        "env": environment()}), flush=True)


if __name__ == "__main__":
    main()
