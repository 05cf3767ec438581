"""Prints the expectations of net.ir: the same net, its backward pass and a clipped step, in plain Python."""
from math import exp, fsum, log, sqrt

BATCH, PIXELS, HIDDEN, CLASSES = 8, 784, 100, 10
MASK = (1 << 64) - 1


def random(seed, count, low=None, high=None):
    """What `value NAME = random SEED` gives (tests/ir_file.h)."""
    state, out = seed, []
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) & MASK
        z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        z ^= z >> 31
        out.append(low + z % (high - low + 1) if low is not None else (z >> 11) * 2.0**-52 - 1)
    return out


def rows(values, width):
    return [values[i : i + width] for i in range(0, len(values), width)]


def product(a, b):
    columns = list(zip(*b))
    return [[fsum(x * y for x, y in zip(row, column)) for column in columns] for row in a]


x = [[v / 255 for v in row] for row in rows(random(1, BATCH * PIXELS, 0, 255), PIXELS)]
label = random(2, BATCH, 0, 9)
W = rows(random(3, PIXELS * HIDDEN), HIDDEN)
V = rows(random(4, HIDDEN * CLASSES), CLASSES)
keep = [[v < 0 for v in row] for row in rows(random(5, BATCH * HIDDEN), HIDDEN)]

W = [[v * 0.05 for v in row] for row in W]
z = product(x, W)
h = [[v * k if v > 0 else 0.0 for v, k in zip(*pair)] for pair in zip(z, keep)]
y = product(h, V)
top = [max(row) for row in y]
total = [fsum(exp(v - m) for v in row) for row, m in zip(y, top)]
loss = fsum(log(e) + m - row[c] for e, m, row, c in zip(total, top, y, label)) / BATCH
dy = [[(exp(v - m) / e - (c == i)) / BATCH for i, v in enumerate(row)] for row, m, e, c in zip(y, top, total, label)]
dV = product(list(zip(*h)), dy)
dh = product(dy, list(zip(*V)))
dz = [[d * k if v > 0 else 0.0 for d, v, k in zip(*triple)] for triple in zip(dh, z, keep)]
dW = product(list(zip(*x)), dz)
norm = sqrt(fsum(v * v for m in (dW, dV) for row in m for v in row))
scale = 0.5 * min(1.0, 0.25 / norm)
after = [[w - scale * d for w, d in zip(*pair)] for pair in zip(W, dW)]

print("expect best =", *(row.index(max(row)) for row in y))
print("expect loss =", repr(loss))
print("expect norm =", repr(norm))
print("expect square =", repr(fsum(w * w for row in after for w in row)))
