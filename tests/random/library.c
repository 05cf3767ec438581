/* library.c: random uses of the library's layers. What they do to the axes is said here. */
#include <string.h>

#include "generate.h"

/* Rows of a table by whole numbers: a gather, and a scatter in the backward pass. */
static void lookup(struct generator *g)
{
    for (int k = 0; k < g->values.count; k++) {
        struct value v = g->values.at[k];
        int width = 1 + below(g, 5);
        const char *y = name_new(g, "v");
        if (!v.choices || *v.first || v.rank >= MAX_RANK || chance(g, 30))
            continue;
        line(g, "%s = %s |> embedding(%d, %d)", y, v.name, v.choices + below(g, 2), width);
        v.name = y;
        v.choices = 0;
        v.leaf = false;
        v.extents[v.rank++] = width;
        value_add(g, v);
        return;
    }
}

/* A layer of the library on a value; what it does to the axes is said here. */
void statement_library(struct generator *g)
{
    static const char *const same[] = {"prelu",          "layer_norm",         "rms_norm",           "batch_norm",
                                       "dropout(0.4)",   "gaussian_noise(0.2)", "drop_path(0.3)",    "dropout_batch(0.3)",
                                       "random_dropout(0.5)", "dropout_channels(0.4)", "noisy_batch_norm", "gaussian_dropout(0.2)",
                                       "layer_norm_all", "backwards",          "dropout_over_time(0.3)", "dropout_unscaled(0.6)"};
    static const char *const last[] = {"dense",  "linear", "maxout", "glu", "weight_norm_dense", "drop_connect(%d, 0.3)"};
    static const char *const sequence[] = {"rnn", "ln_rnn", "lstm", "gru", "gru_backwards", "ln_lstm", "lstm_equations",
                                           "lstm_dropped", "bn_lstm", "bidirectional_gru"};
    static const char *const image[] = {"depthwise_conv2d", "conv2d(%d)",   "separable_conv2d(%d)", "conv2d(%d, stride = 2)",
                                        "instance_norm",    "pad2d(1)",     "upsample2d(2)",        "global_mean",
                                        "max_pool2d(2, 1)", "global_max",   "random_flip",          "conv2d(%d, dilation = 2)",
                                        "transposed_conv2d(%d)", "mean_pool2d(3, 2, 1)", "random_shift(1)", "cutout(2)"};
    const struct value *x = value_any(g, 1, 3, true);
    const char *y = name_new(g, "v"), *call = "";
    int out = 1 + below(g, 5), kind;
    struct value v;
    int mapped = 0, outer[MAX_RANK];

    if (chance(g, 10)) {
        lookup(g);
        return;
    }
    if (!x)
        return;
    v = *x;
    v.leaf = false;
    /* Mapped: the layer sees the axes behind the first ones. */
    if (v.rank > 1 && chance(g, 20)) {
        mapped = 1 + below(g, v.rank - 1);
        memcpy(outer, v.extents, sizeof outer);
        memmove(v.extents, v.extents + mapped, (size_t)(v.rank - mapped) * sizeof *v.extents);
        v.rank -= mapped;
    }
    int *e = v.extents, end = v.rank - 1;
    if (v.rank == 2 && e[0] > 1 && chance(g, 50)) {
        kind = below(g, 14);
        if (kind < 10) {
            call = arena_printf(g->arena, "%s(%d)", sequence[kind], out);
            e[1] = kind == 9 ? 2 * out : out;
        } else if (kind == 10) {
            int stride = 1 + below(g, 2), dilation = 1 + below(g, 2);
            call = arena_printf(g->arena, "conv1d(%d, kernel = 3, stride = %d, dilation = %d)", out, stride, dilation);
            e[0] = (e[0] + 2 * dilation - dilation * 2 - 1) / stride + 1;
            e[1] = out;
        } else if (kind == 11) {
            call = arena_printf(g->arena, "causal_conv1d(%d, dilation = 2)", out);
            e[1] = out;
        } else if (kind == 12) {
            call = "transpose";
            int other = e[0];
            e[0] = e[1];
            e[1] = other;
        } else {
            call = "self_attention(1, causal = true)";
        }
    } else if (v.rank == 3 && chance(g, 70)) {
        kind = below(g, 16);
        if (kind == 8 && (e[0] < 2 || e[1] < 2))
            kind = 0;
        call = arena_printf(g->arena, image[kind], out);
        switch (kind) {
        case 1:
        case 2:
        case 11:
            e[2] = out;
            break;
        case 3:
            e[0] = (e[0] - 1) / 2 + 1;
            e[1] = (e[1] - 1) / 2 + 1;
            e[2] = out;
            break;
        case 5:
            e[0] += 2;
            e[1] += 2;
            break;
        case 6:
            e[0] *= 2;
            e[1] *= 2;
            break;
        case 7:
        case 9:
            e[0] = e[2];
            v.rank = 1;
            break;
        case 8:
            e[0]--;
            e[1]--;
            break;
        case 12:
            e[0] *= 2;
            e[1] *= 2;
            e[2] = out;
            break;
        case 13:
            e[0] = (e[0] - 1) / 2 + 1;
            e[1] = (e[1] - 1) / 2 + 1;
            break;
        default:
            break;
        }
    } else if (chance(g, 50)) {
        kind = below(g, 6);
        call = kind == 5 ? arena_printf(g->arena, last[kind], out) : arena_printf(g->arena, "%s(%d)", last[kind], out);
        e[end] = out;
    } else if (chance(g, 20)) {
        call = "flatten";
        for (int i = 1; i <= end; i++)
            e[0] *= e[i];
        v.rank = 1;
    } else if (chance(g, 20)) {
        call = arena_printf(g->arena, "residual(|> dense(%d) |> tanh)", e[end]);
    } else if (chance(g, 20)) {
        call = arena_printf(g->arena, "repeat k: 2 { |> dense(k + %d) |> tanh }", out);
        e[end] = out + 1;
    } else {
        call = same[below(g, sizeof same / sizeof *same)];
    }
    bool normalises = strstr(call, "batch") || strstr(call, "bn_");
    v.meets |= normalises;
    g->normalises |= normalises;
    const char *behind = chance(g, 20) ? " |> tanh" : "", *place = "";
    if (mapped && normalises)
        return; /* one state for all places is not to differ along them */
    if (mapped) {
        axis_set used = 0;
        for (int i = 0; i < mapped; i++) {
            int axis = axis_with(g, ALL & ~used, outer[i]);
            if (axis < 0)
                return;
            used |= 1u << axis;
            place = arena_printf(g->arena, "%s%s%s", place, i ? ", " : "", g->axes[axis].name);
        }
        if (v.rank + mapped > MAX_RANK)
            return;
        line(g, "%s[%s] = %s[%s] |> %s%s", y, place, v.name, place, call, behind);
        memmove(v.extents + mapped, v.extents, (size_t)v.rank * sizeof *v.extents);
        memcpy(v.extents, outer, (size_t)mapped * sizeof *outer);
        v.rank += mapped;
    } else {
        line(g, "%s = %s |> %s%s", y, v.name, call, behind);
    }
    v.name = y;
    value_add(g, v);
}
