"""Are the nets those of the peers? Ten steps of each without its draws, from the same parameters on the same batch, in double precision
here and in PyTorch: then every parameter is the same.

    python agree.py RNETC [WORKLOAD...]     (python: one with PyTorch)

The table: of each net the tensor that differs most, |theirs - ours| / |theirs - first| in the Euclidean norm and in the largest element.
Draws of rates are multiplied by 0, on both sides, so every net is in scope. Exit status 1 if a norm is above TOLERANCE: what
PyTorch's clipping adds to the norm, 1e-6, is left, and the rounding of sums in another order, which ten steps make larger.
"""
import ctypes
import json
import os
import re
import struct
import subprocess
import sys
import tempfile

import torch
import torch.nn as nn
import torch.nn.functional as F

import torch_peer

STEPS, TOLERANCE, LEAST_CHANGE = 10, 1e-5, 1e-12
NOTHING = 1e-12  # of the steepest: the derivative by a bias in front of batch norm is 0 but for rounding, and Adam makes steps of that
HERE = os.path.dirname(os.path.abspath(__file__))
LANGUAGE_MODELS = ("lstm650", "lstm200", "gru650")


def raw_bytes(t):
    t = t.contiguous()
    return ctypes.string_at(t.data_ptr(), t.numel() * t.element_size())


def write_npy(path, t):
    kind = {torch.float64: "<f8", torch.int64: "<i8"}[t.dtype]
    shape = "(%s,)" % ", ".join(map(str, t.shape))
    header = "{'descr': '%s', 'fortran_order': False, 'shape': %s, }" % (kind, shape)
    header += " " * (-(len(header) + 11) % 64) + "\n"
    with open(path, "wb") as f:
        f.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + raw_bytes(t))


def write_safetensors(path, tensors):
    header, data = {}, b""
    for name, t in tensors.items():
        raw = raw_bytes(t)
        header[name] = {"dtype": "F64", "shape": list(t.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


def read_safetensors(path):
    with open(path, "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        data = f.read()
    out = {}
    for name, row in header.items():
        if name != "__metadata__" and row["dtype"] == "F64":
            a, b = row["data_offsets"]
            out[name] = torch.frombuffer(bytearray(data[a:b]), dtype=torch.float64).reshape(row["shape"])
    return out


def without_draws(model):
    for m in model.modules():
        if isinstance(m, nn.Dropout):
            m.p = 0.0
        if isinstance(m, (nn.LSTM, nn.GRU)):
            m.dropout = 0.0
        if isinstance(m, torch_peer.RandomDropoutMLP):
            m.forward = lambda x, fc=m.fc: _plain(x, fc)
    return model


def _plain(x, fc):
    for layer in list(fc)[:-1]:
        x = F.relu(layer(x))
    return fc[-1](x)


def as_ours(workload, tensor, shape):
    """A parameter of PyTorch in the order of ours: outputs last, channels last."""
    t = tensor.detach()
    if t.dim() == 4:
        t = t.permute(2, 3, 1, 0)
    elif t.dim() == 2 and workload == "srivastava_cnn" and t.shape[1] == 4096:
        t = t.reshape(-1, 256, 4, 4).permute(2, 3, 1, 0)
    elif t.dim() == 2 and list(t.shape) != shape[:2] or t.dim() == 2 and len(shape) == 3 or t.dim() == 2 and t.shape[0] == t.shape[1]:
        t = t.t()
    return t.reshape(shape).clone()


def program(workload, batch, folder):
    """The program with rates of 0 and the batch from files. Returns whether it had rates."""
    text = open(os.path.join(HERE, workload + ".rnet")).read()
    fields = ["x", "next"] if workload in LANGUAGE_MODELS else ["x", "y"] if workload == "lnlstm512" else ["x", "label"]
    block = "data noise { train { %s } }\n" % ", ".join('%s = npy("%s.npy")' % (f, f) for f in fields)
    text = re.sub(r"^data noise \{.*?^\}\n", block, text, flags=re.M | re.S)
    text, rates = re.subn(r"\|> dropout\(([^)]*)\)", r"|> dropout(0 * \1)", text)
    open(os.path.join(folder, workload + ".rnet"), "w").write(text)
    open(os.path.join(folder, "nets.rnet"), "w").write(open(os.path.join(HERE, "nets.rnet")).read())
    x, y = batch
    if workload in LANGUAGE_MODELS:
        y = y.view(x.shape)
    if workload in LANGUAGE_MODELS or workload == "lnlstm512":
        x, y = x.transpose(0, 1), y.transpose(0, 1)
    elif x.dim() == 4:
        x = x.permute(0, 2, 3, 1)
    for field, values in zip(fields, (x, y)):
        write_npy(os.path.join(folder, field + ".npy"), values)
    return rates > 0


def names_of(rnetc, folder, workload):
    text = subprocess.run([rnetc, "explain", workload + ".rnet", "--dump", "lower", "--precision", "f64"], cwd=folder, check=True,
                          capture_output=True, text=True).stdout
    found = re.findall(r"^parameter `?([^`\n]+?)`?((?<=`)\[[^\]]*\]|\[[a-z][^\]]*: [^\]]*\])$", text, flags=re.M)
    return [(name, [int(n) for n in re.findall(r": (\d+)", axes)]) for name, axes in found]


def share(apart, change):
    part = apart.item() / max(change.item(), LEAST_CHANGE)
    return part if part == part else float("inf")


def compare(rnetc, workload):
    torch.manual_seed(0)
    model, loss_fn, batches, (rule, settings), clip, _ = torch_peer.workload(workload)
    model = without_draws(model.double())
    x, y = batches[0]
    x, y = (t.double() if t.is_floating_point() else t for t in (x, y))
    penalty = settings.pop("penalty", 0)
    params = list(model.parameters())
    with tempfile.TemporaryDirectory() as folder:
        drawn = program(workload, (x, y), folder)
        names = names_of(rnetc, folder, workload)
        if len(names) != len(params):
            return "%d parameters, PyTorch has %d" % (len(names), len(params))
        first = {name: as_ours(workload, p, shape) for (name, shape), p in zip(names, params)}
        write_safetensors(os.path.join(folder, "init.safetensors"), first)
        done = subprocess.run([rnetc, "train", workload + ".rnet", "--init", "init.safetensors", "--steps", str(STEPS), "--out", "run",
                               "--precision", "f64"], cwd=folder, capture_output=True, text=True)
        if done.returncode:
            return done.stderr.strip()
        ours = read_safetensors(os.path.join(folder, "run", "checkpoint.safetensors"))
    optimizer = getattr(torch.optim, rule)(params, **settings)
    steepest = [0.0] * len(params)
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss_fn(model, x, y).backward()
        for p in params:
            if penalty and p.dim() > 1:
                p.grad += 2 * penalty * p.detach()
        steepest = [max(s, p.grad.abs().max().item()) for s, p in zip(steepest, params)]
        if clip:
            nn.utils.clip_grad_norm_(params, clip)
        optimizer.step()
    worst = (0.0, 0.0, "")
    for (name, shape), p, s in zip(names, params, steepest):
        if s < NOTHING * max(steepest):
            continue
        theirs = as_ours(workload, p, shape)
        apart, change = theirs - ours[name], theirs - first[name]
        worst = max(worst, (share(apart.norm(), change.norm()), share(apart.abs().max(), change.abs().max()), name))
    print("%-30s %10d  %8.1e  %8.1e  %-9s  %s" % (workload, len(names), *worst[:2], "rate 0" if drawn else "none", worst[2]), flush=True)
    return "%s differs" % worst[2] if not worst[0] <= TOLERANCE else None


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    rnetc = os.path.abspath(sys.argv[1])
    torch.set_default_dtype(torch.float64)
    wrong = 0
    print("%-30s %10s  %8s  %8s  %-9s  %s" % ("workload", "parameters", "norm", "largest", "draws", "of the change of"))
    for workload in sys.argv[2:] or torch_peer.WORKLOADS:
        trouble = compare(rnetc, workload)
        if trouble:
            print("%-30s WRONG: %s" % (workload, trouble), flush=True)
            wrong += 1
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
