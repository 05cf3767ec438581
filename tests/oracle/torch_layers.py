"""The standard library in PyTorch: its own functions where it has them, the paper's equations in its operations where not.

Pictures are [sample, h, w, c] here as in the programs; PyTorch's functions want [sample, c, h, w].
"""
import math

import torch
import torch.nn.functional as F

from torch_scope import f32


def first_channels(x):
    return x.movedim(-1, 1)


def last_channels(x):
    return x.movedim(1, -1)


# ---- affine

def dense(s, x, out):
    s = s.at("dense")
    return x @ s.param("W", (x.shape[-1], out)) + s.param("b", (out,), spread=0.1)


def linear(s, x, out):
    return x @ s.at("linear").param("W", (x.shape[-1], out))


def probe(s, y):
    s = s.at("probe")
    w = s.param("w", tuple(y.shape[1:]), spread=1 / math.sqrt(math.prod(y.shape[1:])))
    return 0.5 * ((w * y).reshape(len(y), -1).sum(1) - 1) ** 2


def maxout(s, x, out, pieces=2):
    s = s.at("maxout")
    W, b = s.param("W", (x.shape[-1], pieces, out)), s.param("b", (pieces, out), spread=0.1)
    return (torch.einsum("...i,iko->...ko", x, W) + b).amax(-2)


def glu(s, x, out):
    s = s.at("glu")
    a, g = dense(s, x, out), dense(s, x, out)
    return F.glu(torch.cat([a, g], -1))


def weight_norm_dense(s, x, out):
    s = s.at("weight_norm_dense")
    v, g = s.param("v", (x.shape[-1], out)), s.param("g", (out,), 1, 0.1)
    W = torch._weight_norm(v, g[None], 1)
    return x @ W + s.param("b", (out,), spread=0.1)


def prelu(s, x):
    return last_channels(F.prelu(first_channels(x), s.at("prelu").param("slope", (x.shape[-1],), 0.25, 0.1)))


def drop_connect(s, x, out, rate):
    s = s.at("drop_connect")
    W, b = s.param("W", (x.shape[-1], out)), s.param("b", (out,), spread=0.1)
    V = dropout(s, W, rate, shared=True)
    return torch.einsum("ni,nio->no", x, V) + b


def embedding(s, token, vocab, width):
    return F.embedding(token, s.at("embedding").param("table", (vocab, width), spread=0.5))


# ---- noise

def dropout(s, x, rate, shared=False):
    """shared: x has no sample; every sample draws a mask for it."""
    s = s.at("dropout")
    return x * s.keep("keep", tuple(x.shape if shared else x.shape[1:]), f32(1) - f32(rate)) / (1 - rate)


def dropout_unscaled(s, x, keep):
    return x * s.at("dropout_unscaled").keep("m", tuple(x.shape[1:]), keep)


def dropout_channels(s, x, rate):
    return x * s.at("dropout_channels").keep("keep", (x.shape[-1],), f32(1) - f32(rate))[:, None, :] / (1 - rate)


def dropout_over_time(s, x, rate):
    return x * s.at("dropout_over_time").keep("keep", tuple(x.shape[2:]), f32(1) - f32(rate))[:, None] / (1 - rate)


def dropout_units(s, x, rate):
    """rate: one a unit, and computed as any value is."""
    u = s.at("dropout_units").bits("uniform16", "keep", tuple(x.shape[1:]))
    return x * torch.tensor((u < 1 - rate).astype(float)) / (1 - torch.tensor(rate))


def random_dropout(s, x, top):
    s = s.at("random_dropout")
    rho = s.uniform("rho", (1,), 0, top)
    open_ = f32(1) - rho.numpy().astype(f32)
    return x * s.at("dropout").keep("keep", tuple(x.shape[1:]), open_) / (1 - rho)


def drop_weights(s, W, rate):
    s = s.at("drop_weights").at("dropout_batch")
    return W * s.keep("keep", tuple(W.shape), f32(1) - f32(rate), per="step") / (1 - rate)


def mask(s, width, rate):
    s = s.at("mask").at("dropout")
    return s.keep("keep", (width,), f32(1) - f32(rate)) / (1 - rate)


# ---- normalisation

def gain_and_bias(s, c):
    return s.param("gain", (c,), 1, 0.1), s.param("bias", (c,), spread=0.1)


def batch_norm(s, x, momentum=0.1, eps=1e-5):
    s = s.at("batch_norm")
    c = x.shape[-1]
    gain, bias = gain_and_bias(s, c)
    mu, var = s.state("mu", torch.zeros(c)), s.state("var", torch.ones(c))
    return last_channels(F.batch_norm(first_channels(x), mu, var, gain, bias, training=True, momentum=momentum, eps=eps))


def layer_norm(s, x, eps=1e-5):
    return F.layer_norm(x, x.shape[-1:], *gain_and_bias(s.at("layer_norm"), x.shape[-1]), eps=eps)


def layer_norm_all(s, x, eps=1e-5):
    gain, bias = gain_and_bias(s.at("layer_norm_all"), x.shape[-1])
    return F.layer_norm(x, x.shape[1:], eps=eps) * gain + bias


def instance_norm(s, x):
    gain, bias = gain_and_bias(s.at("instance_norm"), x.shape[-1])
    return last_channels(F.instance_norm(first_channels(x), weight=gain, bias=bias, eps=1e-5))


def group_norm(s, x, groups):
    gain, bias = gain_and_bias(s.at("group_norm"), x.shape[-1])
    return last_channels(F.group_norm(first_channels(x), groups, gain, bias, eps=1e-5))


def rms_norm(s, x, eps=1e-6):
    return F.rms_norm(x, x.shape[-1:], s.at("rms_norm").param("gain", x.shape[-1:], 1, 0.1), eps=eps)


def standardize(x, dims, eps=1e-5):
    m = x.mean(dims, keepdim=True)
    v = ((x - m) ** 2).mean(dims, keepdim=True)
    return (x - m) / torch.sqrt(v + eps)


# ---- convolutions: kernels are [tap..., in, out] here, [out, in, tap...] there

def conv1d(s, x, out, kernel=3, stride=1, dilation=1, pad=None):
    s = s.at("conv1d")
    pad = dilation * (kernel - 1) // 2 if pad is None else pad
    K, b = s.param("K", (kernel, x.shape[-1], out)), s.param("b", (out,), spread=0.1)
    return last_channels(F.conv1d(first_channels(x), K.permute(2, 1, 0), b, stride, pad, dilation))


def causal_conv1d(s, x, out, kernel=2, dilation=1):
    s = s.at("causal_conv1d")
    K, b = s.param("K", (kernel, x.shape[-1], out)), s.param("b", (out,), spread=0.1)
    padded = F.pad(first_channels(x), ((kernel - 1) * dilation, 0))
    return last_channels(F.conv1d(padded, K.flip(0).permute(2, 1, 0), b, dilation=dilation))


def conv2d(s, x, out, kernel=3, stride=1, dilation=1, pad=None):
    s = s.at("conv2d")
    pad = dilation * (kernel - 1) // 2 if pad is None else pad
    K, b = s.param("K", (kernel, kernel, x.shape[-1], out)), s.param("b", (out,), spread=0.1)
    return last_channels(F.conv2d(first_channels(x), K.permute(3, 2, 0, 1), b, stride, pad, dilation))


def grouped_conv2d(s, x, out, groups, kernel=3, stride=1):
    s = s.at("grouped_conv2d")
    i, o = x.shape[-1] // groups, out // groups
    K, b = s.param("K", (kernel, kernel, groups, i, o)), s.param("b", (groups, o), spread=0.1)
    W = K.permute(2, 4, 3, 0, 1).reshape(out, i, kernel, kernel)
    return last_channels(F.conv2d(first_channels(x), W, b.reshape(out), stride, kernel // 2, groups=groups))


def depthwise_conv2d(s, x, kernel=3, stride=1):
    s = s.at("depthwise_conv2d")
    c = x.shape[-1]
    K, b = s.param("K", (kernel, kernel, c)), s.param("b", (c,), spread=0.1)
    return last_channels(F.conv2d(first_channels(x), K.permute(2, 0, 1)[:, None], b, stride, kernel // 2, groups=c))


def separable_conv2d(s, x, out, kernel=3, stride=1):
    s = s.at("separable_conv2d")
    return conv2d(s, depthwise_conv2d(s, x, kernel, stride), out, kernel=1)


def transposed_conv2d(s, x, out, kernel=4, stride=2, pad=None):
    s = s.at("transposed_conv2d")
    pad = (kernel - stride) // 2 if pad is None else pad
    K, b = s.param("K", (kernel, kernel, x.shape[-1], out)), s.param("b", (out,), spread=0.1)
    return last_channels(F.conv_transpose2d(first_channels(x), K.permute(2, 3, 0, 1), b, stride, pad))


# ---- pooling

def max_pool2d(x, kernel=2, stride=None, pad=0):
    return last_channels(F.max_pool2d(first_channels(x), kernel, stride, pad))


def mean_pool2d(x, kernel=2, stride=None, pad=0):
    return last_channels(F.avg_pool2d(first_channels(x), kernel, stride, pad))


def max_pool1d(x, kernel=2, stride=None):
    return last_channels(F.max_pool1d(first_channels(x), kernel, stride))


# ---- blocks

def basic_block(s, x, out, stride=1):
    s = s.at("basic_block")
    body = F.relu(batch_norm(s, conv2d(s, x, out, stride=stride)))
    body = batch_norm(s, conv2d(s, body, out))
    skip = x if stride == 1 and x.shape[-1] == out else batch_norm(s, conv2d(s, x, out, kernel=1, stride=stride))
    return F.relu(body + skip)


def grow(s, x, growth):
    s = s.at("grow")
    return torch.cat([x, conv2d(s, F.relu(batch_norm(s, x)), growth)], -1)


def squeeze_excite(s, x, ratio):
    s = s.at("squeeze_excite")
    c = x.shape[-1]
    g = torch.sigmoid(dense(s, F.relu(dense(s, x.mean((1, 2)), c // ratio)), c))
    return x * g[:, None, None, :]


# ---- attention

def attention(s, x, memory, heads, width=None, length=None, causal=False, rate=0):
    s = s.at("attention")
    i, j = x.shape[-1], memory.shape[-1]
    width = i // heads if width is None else width
    Q, K, V = s.param("Q", (i, heads, width), spread=0.5), s.param("K", (j, heads, width), spread=0.5), s.param("V", (j, heads, width), spread=0.5)
    O, b = s.param("O", (heads, width, i), spread=0.5), s.param("b", (i,), spread=0.1)
    q, k, v = (torch.einsum("nti,ihd->nhtd", a, W) for a, W in ((x, Q), (memory, K), (memory, V)))
    t, m = torch.arange(x.shape[1])[:, None], torch.arange(memory.shape[1])[None]
    seen = (m <= t) if causal else torch.ones(len(t), m.shape[1], dtype=torch.bool)
    seen = seen[None] & (m[None] < length[:, None, None]) if length is not None else seen[None]
    if rate:
        z = torch.einsum("nhtd,nhsd->nhts", q, k) / math.sqrt(width)
        e = dropout(s, torch.softmax(z.masked_fill(~seen[:, None], -math.inf), -1), rate)
        h = e @ v
    else:
        h = F.scaled_dot_product_attention(q, k, v, attn_mask=seen[:, None])
    return torch.einsum("nhtd,hdi->nti", h, O) + b


def self_attention(s, x, heads, causal=False, rate=0):
    return attention(s.at("self_attention"), x, x, heads, causal=causal, rate=rate)


def add_positions(x):
    t, d = torch.arange(x.shape[1])[:, None], torch.arange(x.shape[2])[None]
    angle = t / 10000.0 ** ((d - d % 2) / x.shape[2])
    return x + torch.where(d % 2 == 0, torch.sin(angle), torch.cos(angle))


def add_learned_positions(s, x):
    return x + s.at("add_learned_positions").param("P", tuple(x.shape[1:]), spread=0.1)


def transformer_block(s, x, heads, widen=4, causal=False, rate=0):
    s = s.at("transformer_block")
    maybe = lambda y: dropout(s, y, rate) if rate else y
    m = x + maybe(self_attention(s, layer_norm(s, x), heads, causal))
    return m + maybe(dense(s, F.gelu(dense(s, layer_norm(s, m), widen * x.shape[-1])), x.shape[-1]))


# ---- recurrences

def unroll(x, carries, step, backwards=False):
    """step(x_t, carries, t) gives the new carries; the first is what is kept."""
    out = [None] * x.shape[1]
    for t in (reversed(range(x.shape[1])) if backwards else range(x.shape[1])):
        carries = step(x[:, t], carries, t)
        out[t] = carries[0]
    return torch.stack(out, 1)


def zeros(x, units):
    return x.new_zeros(x.shape[0], units)


def rnn(s, x, units):
    s = s.at("rnn")
    W, R, b = s.param("W", (x.shape[-1], units)), s.param("R", (units, units)), s.param("b", (units,), spread=0.1)
    weights = (W.T, R.T, b, torch.zeros_like(b))
    return torch._VF.rnn_tanh(x, zeros(x, units)[None], weights, True, 1, 0.0, True, False, True)[0]


def ln_rnn(s, x, units):
    s = s.at("ln_rnn")
    W, R = s.param("W", (x.shape[-1], units)), s.param("R", (units, units))
    gain, b = s.param("gain", (units,), 1, 0.1), s.param("b", (units,), spread=0.1)
    return unroll(x, [zeros(x, units)], lambda v, c, t: [torch.tanh(F.layer_norm(v @ W + c[0] @ R, (units,), gain, b))])


def lstm_weights(s, i, units):
    return s.param("W", (i, 4, units), spread=i**-0.5), s.param("R", (units, 4, units), spread=units**-0.5), s.param("b", (4, units), spread=0.1)


def torch_lstm(x, W, R, b, units):
    """PyTorch's own; its gates are input, forget, candidate, output as well."""
    weights = (W.flatten(1).T, R.flatten(1).T, b.flatten(), torch.zeros(4 * units))
    start = zeros(x, units)[None]
    return torch._VF.lstm(x, (start, start), weights, True, 1, 0.0, True, False, True)[0]


def lstm(s, x, units):
    return torch_lstm(x, *lstm_weights(s.at("lstm").named("cell"), x.shape[-1], units), units)


def lstm_equations(s, x, units):
    return torch_lstm(x, *lstm_weights(s.at("lstm_equations"), x.shape[-1], units), units)


def lstm_dropped(s, x, units, weight_rate=0.5, input_rate=0.3):
    s = s.at("lstm_dropped")
    W, R, b = lstm_weights(s, x.shape[-1], units)
    D = drop_weights(s, R, weight_rate)
    return torch_lstm(dropout_over_time(s, x, input_rate), W, D, b, units)


def ln_lstm(s, x, units):
    """Ba et al. 2016, equations 20 to 22."""
    s = s.at("ln_lstm")
    W, R, b = lstm_weights(s, x.shape[-1], units)
    gx, gh = s.param("gain_x", (4, units), 1, 0.1), s.param("gain_h", (4, units), 1, 0.1)
    gc, bc = s.param("gain_c", (units,), 1, 0.1), s.param("bias_c", (units,), spread=0.1)

    def step(v, carries, t):
        h, c = carries
        p, q = torch.einsum("ni,igu->ngu", v, W), torch.einsum("nv,vgu->ngu", h, R)
        z = F.layer_norm(p, (4, units), gx, b) + F.layer_norm(q, (4, units), gh)
        c = torch.sigmoid(z[:, 1]) * c + torch.sigmoid(z[:, 0]) * torch.tanh(z[:, 2])
        return [torch.sigmoid(z[:, 3]) * torch.tanh(F.layer_norm(c, (units,), gc, bc)), c]

    return unroll(x, [zeros(x, units)] * 2, step)


def gru_cell(s, i, units):
    """Cho et al. 2014, equations 5 to 8: the reset gate acts before U, which PyTorch's does not."""
    W, U = s.param("W", (i, 3, units), spread=i**-0.5), s.param("U", (units, 3, units), spread=units**-0.5)
    b = s.param("b", (3, units), spread=0.1)

    def step(v, h):
        a = torch.einsum("ni,igu->ngu", v, W) + b
        r, z = torch.sigmoid(a[:, 0] + h @ U[:, 0]), torch.sigmoid(a[:, 1] + h @ U[:, 1])
        n = torch.tanh(a[:, 2] + (r * h) @ U[:, 2])
        return z * h + (1 - z) * n

    return step


def gru(s, x, units, backwards=False):
    s = s.at("gru_backwards" if backwards else "gru")
    cell = gru_cell(s.named("cell"), x.shape[-1], units)
    return unroll(x, [zeros(x, units)], lambda v, c, t: [cell(v, c[0])], backwards)


def gru_masked(s, x, length, units):
    s = s.at("gru_masked")
    cell = gru_cell(s.named("cell"), x.shape[-1], units)
    return unroll(x, [zeros(x, units)], lambda v, c, t: [torch.where((t < length)[:, None], cell(v, c[0]), c[0])])


def bidirectional_gru(s, x, units):
    s = s.at("bidirectional_gru")
    return torch.cat([gru(s, x, units), gru(s, x, units, backwards=True)], -1)


def bn_lstm(s, x, units, momentum=0.1, eps=1e-5):
    """Cooijmans et al. 2017, equations 4 to 8; biased running variances."""
    s = s.at("bn_lstm")
    W, R, b = lstm_weights(s, x.shape[-1], units)
    gx, gh = s.param("gain_x", (4, units), 0.1, 0.02), s.param("gain_h", (4, units), 0.1, 0.02)
    gc, bc = s.param("gain_c", (units,), 0.1, 0.02), s.param("bias_c", (units,), spread=0.1)
    steps = x.shape[1]

    def normal(name, y, gain, t):
        m = y.mean(0)
        v = ((y - m) ** 2).mean(0)
        with torch.no_grad():
            for kind, start, value in (("mean_", 0.0, m), ("var_", 1.0, v)):
                state = s.state(kind + name, torch.full((steps,) + tuple(y.shape[1:]), start))
                state[t] += momentum * (value - state[t])
        return gain * (y - m) / torch.sqrt(v + eps)

    def step(v, carries, t):
        h, c = carries
        z = normal("x", torch.einsum("ni,igu->ngu", v, W), gx, t) + normal("h", torch.einsum("nv,vgu->ngu", h, R), gh, t) + b
        c = torch.sigmoid(z[:, 1]) * c + torch.sigmoid(z[:, 0]) * torch.tanh(z[:, 2])
        return [torch.sigmoid(z[:, 3]) * torch.tanh(normal("c", c, gc, t) + bc), c]

    return unroll(x, [zeros(x, units)] * 2, step)
