/* explain.c: a person's account of a program after plan_memory. Changes nothing. */
#include "internal.h"

#include <string.h>

static void add_bytes(struct text *out, double bytes)
{
    static const char *const units[] = {"B", "KB", "MB", "GB"};
    int unit = 0;

    for (; bytes >= 1000 && unit < 3; unit++)
        bytes /= 1000;
    text_addf(out, unit && bytes < 100 ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
}

static void add_flops(struct text *out, double flops)
{
    static const char *const units[] = {"flop", "kflop", "Mflop", "Gflop", "Tflop"};
    int unit = 0;

    for (; flops >= 1000 && unit < 4; unit++)
        flops /= 1000;
    text_addf(out, unit && flops < 100 ? "%.1f %s" : "%.0f %s", flops, units[unit]);
}

static const char *region_name(const struct ir_tensor *t)
{
    switch (t->region) {
    case IR_NOWHERE:
        return "drawn";
    case IR_LOCAL:
        return "local";
    case IR_IN_ARENA:
        return "arena";
    case IR_IN_PARAMETERS:
        return "parameters";
    case IR_IN_STATE:
        return "state";
    case IR_IN_INPUTS:
        return "inputs";
    case IR_IN_SCALARS:
        return "scalar";
    }
    return "?";
}

static const char *kind_name(const struct ir_kernel *k)
{
    switch (k->kind) {
    case IR_NEST:
        return "nest";
    case IR_PRODUCT_KERNEL:
        return "matrix product by BLAS";
    case IR_TILE_KERNEL:
        return "matrix product";
    case IR_SCATTER_KERNEL:
        return "scatter";
    case IR_OPAQUE_KERNEL:
        return "opaque";
    }
    return "?";
}

static void add_shape(struct text *out, const struct ir_tensor *t)
{
    for (int i = 0; i < t->rank; i++)
        text_addf(out, "%s%s: %lld", i ? ", " : "[", t->axes[i]->name, (long long)t->axes[i]->extent);
    if (t->rank)
        text_add(out, "]");
}

/* ---- what a kernel reads that it does not make ---- */

struct outside {
    const struct ir_kernel *kernel;
    struct arena *arena;
    tensor_list read;
};

static bool made_by(const struct ir_kernel *k, const struct ir_tensor *t)
{
    for (int i = 0; i < k->stages.count; i++)
        for (int j = 0; j < k->stages.at[i]->equations.count; j++)
            if (k->stages.at[i]->equations.at[j] == t)
                return true;
    return false;
}

static void note_outside(const struct ir_expr *read, void *context)
{
    struct outside *o = context;

    if (made_by(o->kernel, read->tensor))
        return;
    for (int i = 0; i < o->read.count; i++)
        if (o->read.at[i] == read->tensor)
            return;
    list_add(o->arena, o->read, read->tensor);
}

static tensor_list reads_of(struct arena *arena, const struct ir_kernel *k)
{
    struct outside o = {k, arena, {0}};

    for (int i = 0; i < k->stages.count; i++)
        for (int j = 0; j < k->stages.at[i]->equations.count; j++)
            for_reads(k->stages.at[i]->equations.at[j], note_outside, &o);
    return o.read;
}

/* ---- forward and backward ---- */

static void mark(const struct ir_expr *read, void *context)
{
    ((bool *)context)[read->tensor->number] = true;
}

/* What the output "loss" depends on is the forward pass; NULL if there is no such output. */
static bool *find_forward(const struct ir_program *p, struct arena *arena)
{
    bool *forward = NEW_ARRAY(arena, bool, p->tensors.count + 1), any = false;

    for (int i = 0; i < p->outputs.count; i++)
        if (!strcmp(p->outputs.at[i].name, "loss"))
            any = forward[p->outputs.at[i].tensor->number] = true;
    for (int i = p->tensors.count - 1; i >= 0; i--)
        if (forward[i] && is_made(p->tensors.at[i]))
            for_reads(p->tensors.at[i], mark, forward);
    return any ? forward : NULL;
}

static bool is_forward(const struct ir_kernel *k, const bool *forward)
{
    for (int i = 0; i < k->stages.count; i++)
        for (int j = 0; j < k->stages.at[i]->equations.count; j++)
            if (forward[k->stages.at[i]->equations.at[j]->number])
                return true;
    return false;
}

/* Equations of the forward pass in memory that a kernel without any reads. */
static tensor_list stored_for_backward(const struct ir_program *p, struct arena *arena)
{
    const bool *forward = find_forward(p, arena);
    tensor_list stored = {0};

    for (int i = 0; forward && i < p->tensors.count; i++) {
        const struct ir_tensor *t = p->tensors.at[i];
        bool read = false;

        if (!is_made(t) || !forward[i] || t->region == IR_LOCAL)
            continue;
        for (int k = 0; k < p->kernels.count && !read; k++) {
            tensor_list reads = {0};

            if (is_forward(p->kernels.at[k], forward))
                continue;
            reads = reads_of(arena, p->kernels.at[k]);
            for (int j = 0; j < reads.count; j++)
                read = read || reads.at[j] == t;
        }
        if (read)
            list_add(arena, stored, (struct ir_tensor *)t);
    }
    return stored;
}

/* ---- for a person ---- */

static void add_loops(struct text *out, const struct ir_kernel *k)
{
    text_add(out, "  parallel");
    for (int i = 0; i < k->parallel.count; i++)
        text_addf(out, " %s: %lld", k->parallel.at[i]->name, (long long)k->parallel.at[i]->extent);
    if (!k->parallel.count)
        text_add(out, " nothing: one point");
    text_add(out, "\n");
}

static void add_equation(struct text *out, const struct ir_program *p, const struct ir_tensor *t)
{
    struct text line = {0};

    ir_print_tensor(&line, t);
    text_addf(out, "      %s\n", line.data);
    text_add(out, "          ");
    if (t->origin && t->origin->line)
        text_addf(out, "%s:%d, ", t->origin->file, t->origin->line);
    if (t->region == IR_LOCAL) {
        text_add(out, "stays in the kernel\n");
    } else {
        text_addf(out, "%s, ", region_name(t));
        add_bytes(out, (double)stored_bytes(p, t));
        text_add(out, "\n");
    }
    text_free(&line);
}

/* In a tile kernel a sum that has outputs is over an image. */
static bool sums_of_images(const struct ir_stage *stage)
{
    for (int i = 0; i < stage->equations.count; i++)
        if (stage->equations.at[i]->reduction != IR_MAP && stage->equations.at[i]->rank)
            return true;
    return false;
}

static void add_kernel(struct text *out, const struct ir_program *p, const struct ir_kernel *k, int number)
{
    struct arena *scratch = arena_new();
    tensor_list reads = reads_of(scratch, k);
    double flops, bytes;

    kernel_cost(p, k, &flops, &bytes);
    text_addf(out, "%d. %s, %s, ", number, k->name, kind_name(k));
    add_flops(out, flops);
    text_add(out, ", ");
    add_bytes(out, bytes);
    text_add(out, "\n");
    if (k->recurrence)
        text_addf(out, "  for each step of %s: %lld\n", k->recurrence->name, (long long)k->recurrence->extent);
    if (k->kind == IR_PRODUCT_KERNEL || k->kind == IR_TILE_KERNEL) {
        const struct ir_tensor *e = k->stages.at[product_stage(k)]->equations.at[0];
        struct product product;
        struct window_product window;

        if (product_match(p, e, &product)) {
            text_addf(out, "  %lld x %lld x %lld", (long long)product.m, (long long)product.n, (long long)product.k);
            if (product.batches > 1)
                text_addf(out, ", %lld times", (long long)product.batches);
            text_add(out, "\n");
        } else if (window_match(p, e, &window)) {
            text_addf(out, "  %lld x %lld x %lld over windows\n", (long long)window.rows, (long long)window.columns,
                      (long long)window.terms);
        }
    } else if (k->kind == IR_NEST) {
        add_loops(out, k);
    }
    for (int s = 0; s < k->stages.count; s++) {
        const struct ir_stage *stage = k->stages.at[s];

        if (k->kind == IR_TILE_KERNEL && s < product_stage(k))
            text_add(out, "    image by image\n");
        if (k->kind == IR_TILE_KERNEL && s && s == product_stage(k))
            text_add(out, "    its product\n");
        if (k->kind == IR_TILE_KERNEL && s > product_stage(k))
            text_add(out, sums_of_images(stage) ? "    then of its images\n" : "    then of its tiles\n");
        if (k->kind == IR_NEST) {
            text_add(out, "    then");
            for (int i = 0; i < stage->inner.count; i++)
                text_addf(out, " for %s: %lld", stage->inner.at[i]->name, (long long)stage->inner.at[i]->extent);
            text_add(out, stage->inner.count ? "\n" : " once\n");
        }
        for (int i = 0; i < stage->equations.count; i++)
            add_equation(out, p, stage->equations.at[i]);
    }
    text_add(out, "  reads");
    for (int i = 0; i < reads.count; i++) {
        text_addf(out, "%s %s", i ? "," : "", reads.at[i]->name);
        add_shape(out, reads.at[i]);
        if (reads.at[i]->region == IR_NOWHERE || reads.at[i]->region == IR_IN_SCALARS) {
            text_addf(out, " (%s)", region_name(reads.at[i]));
        } else {
            text_add(out, " (");
            add_bytes(out, (double)stored_bytes(p, reads.at[i]));
            text_add(out, ")");
        }
    }
    text_add(out, reads.count ? "\n" : " nothing\n");
    if (k->stopped)
        text_addf(out, "  ends here: %s\n", k->stopped);
    text_add(out, "\n");
    arena_free(scratch);
}

static void add_totals(struct text *out, const struct ir_program *p)
{
    struct arena *scratch = arena_new();
    tensor_list stored = stored_for_backward(p, scratch);
    double flops = 0, bytes = 0, kept = 0;

    if (stored.count) {
        text_add(out, "stored for the backward pass\n");
        for (int i = 0; i < stored.count; i++) {
            text_addf(out, "  %s", stored.at[i]->name);
            add_shape(out, stored.at[i]);
            text_add(out, ", ");
            add_bytes(out, (double)stored_bytes(p, stored.at[i]));
            text_add(out, "\n");
            kept += (double)stored_bytes(p, stored.at[i]);
        }
        text_add(out, "  in all ");
        add_bytes(out, kept);
        text_add(out, "\n\n");
    }
    for (int i = 0; i < p->kernels.count; i++) {
        double f, b;

        kernel_cost(p, p->kernels.at[i], &f, &b);
        flops += f;
        bytes += b;
    }
    text_addf(out, "%d kernels; a step takes ", p->kernels.count);
    add_flops(out, flops);
    text_add(out, " and moves ");
    add_bytes(out, bytes);
    text_add(out, "\n");
    arena_free(scratch);
}

static void add_part(struct text *out, const char *name, int64_t bytes, const char *note)
{
    text_addf(out, "  %-16s ", name);
    add_bytes(out, (double)bytes);
    text_addf(out, "%s\n", note);
}

static int64_t memory_of(const struct ir_program *p, int64_t partials)
{
    return p->parameter_bytes + p->state_bytes + p->arena_bytes + (partials > 0 ? partials : 0) + p->input_bytes;
}

static void add_memory(struct text *out, const struct ir_program *p, int64_t partials)
{
    text_add(out, "memory of a step\n");
    add_part(out, "parameters", p->parameter_bytes, "");
    add_part(out, "state", p->state_bytes, "");
    text_addf(out, "  %-16s ", "arena");
    add_bytes(out, (double)p->arena_bytes);
    if (p->kernels.count) {
        text_add(out, "; at one time ");
        add_bytes(out, (double)p->alive_bytes);
        if (p->most_alive < p->kernels.count)
            text_addf(out, " are needed, in kernel %d", p->most_alive + 1);
        else
            text_add(out, " are needed, at the end");
    }
    text_add(out, "\n");
    if (partials >= 0)
        add_part(out, "kernels' own", partials, "");
    add_part(out, "inputs", p->input_bytes, "");
    add_part(out, "in all", memory_of(p, partials), partials < 0 ? " and what kernels want for themselves" : "");
}

/* ---- for a program ---- */

static void add_json_string(struct text *out, const char *string)
{
    text_add(out, "\"");
    for (const char *c = string; *c; c++)
        if (*c == '"' || *c == '\\')
            text_addf(out, "\\%c", *c);
        else if ((unsigned char)*c < 0x20)
            text_addf(out, "\\u%04x", (unsigned)*c);
        else
            text_add_slice(out, c, 1);
    text_add(out, "\"");
}

static void add_json_field(struct text *out, const char *before, const char *key, const char *value)
{
    text_add(out, before);
    add_json_string(out, key);
    text_add(out, ": ");
    add_json_string(out, value);
}

static void add_json_indices(struct text *out, const char *key, struct ir_index *const *indices, int count)
{
    text_addf(out, ", \"%s\": [", key);
    for (int i = 0; i < count; i++) {
        add_json_field(out, i ? ", {" : "{", "index", indices[i]->name);
        text_addf(out, ", \"extent\": %lld}", (long long)indices[i]->extent);
    }
    text_add(out, "]");
}

static void add_json_kernel(struct text *out, const struct ir_program *p, const struct ir_kernel *k)
{
    struct arena *scratch = arena_new();
    tensor_list reads = reads_of(scratch, k);
    double flops, bytes;

    kernel_cost(p, k, &flops, &bytes);
    add_json_field(out, "    {", "name", k->name);
    add_json_field(out, ", ", "kind", kind_name(k));
    text_addf(out, ", \"flops\": %.0f, \"bytes\": %.0f", flops, bytes);
    add_json_indices(out, "parallel", k->parallel.at, k->parallel.count);
    text_add(out, ", \"stages\": [");
    for (int s = 0; s < k->stages.count; s++) {
        const struct ir_stage *stage = k->stages.at[s];

        text_addf(out, "%s{\"number\": %d", s ? ", " : "", s + 1);
        add_json_indices(out, "inner", stage->inner.at, stage->inner.count);
        text_add(out, ", \"equations\": [");
        for (int i = 0; i < stage->equations.count; i++) {
            const struct ir_tensor *t = stage->equations.at[i];

            add_json_field(out, i ? ", {" : "{", "name", t->name);
            add_json_field(out, ", ", "region", region_name(t));
            text_addf(out, ", \"bytes\": %lld", t->region == IR_LOCAL ? 0LL : (long long)stored_bytes(p, t));
            if (t->origin && t->origin->line) {
                add_json_field(out, ", ", "file", t->origin->file);
                text_addf(out, ", \"line\": %d", t->origin->line);
            }
            text_add(out, "}");
        }
        text_add(out, "]}");
    }
    text_add(out, "], \"reads\": [");
    for (int i = 0; i < reads.count; i++) {
        add_json_field(out, i ? ", {" : "{", "name", reads.at[i]->name);
        add_json_field(out, ", ", "region", region_name(reads.at[i]));
        text_add(out, "}");
    }
    text_add(out, "]");
    if (k->stopped)
        add_json_field(out, ", ", "stopped", k->stopped);
    text_add(out, "}");
    arena_free(scratch);
}

static void explain_json(struct text *out, const struct ir_program *p, int64_t partials)
{
    struct arena *scratch = arena_new();
    tensor_list stored = stored_for_backward(p, scratch);

    add_json_field(out, "{\n  ", "program", p->name);
    text_add(out, ",\n  \"kernels\": [\n");
    for (int i = 0; i < p->kernels.count; i++) {
        add_json_kernel(out, p, p->kernels.at[i]);
        text_add(out, i + 1 < p->kernels.count ? ",\n" : "\n");
    }
    text_add(out, "  ],\n  \"stored_for_backward\": [");
    for (int i = 0; i < stored.count; i++) {
        add_json_field(out, i ? ", {" : "{", "name", stored.at[i]->name);
        text_addf(out, ", \"bytes\": %lld}", (long long)stored_bytes(p, stored.at[i]));
    }
    text_addf(
        out,
        "],\n  \"parameter_bytes\": %lld, \"state_bytes\": %lld, \"arena_bytes\": %lld, \"alive_bytes\": %lld, ",
        (long long)p->parameter_bytes, (long long)p->state_bytes, (long long)p->arena_bytes, (long long)p->alive_bytes);
    if (partials >= 0)
        text_addf(out, "\"partial_bytes\": %lld, ", (long long)partials);
    text_addf(out, "\"input_bytes\": %lld, \"memory_bytes\": %lld\n}\n", (long long)p->input_bytes,
              (long long)memory_of(p, partials));
    arena_free(scratch);
}

void explain(struct text *out, const struct ir_program *p, int64_t partials, bool json)
{
    if (json) {
        explain_json(out, p, partials);
        return;
    }
    text_addf(out, "%s, %s\n\n", p->name, p->precision == IR_DOUBLE ? "f64" : "f32");
    for (int i = 0; i < p->kernels.count; i++)
        add_kernel(out, p, p->kernels.at[i], i + 1);
    add_totals(out, p);
    add_memory(out, p, partials);
}
