/* window_ahead.c: while tiles of an item are made, memory brings what is wanted next: images that the next item's frame and
   Q are made of, and what follows this item's rows reads. Each tile asks for its share of lines. Changes no number.

   requires: a plan of window_plan.c. */
#include "window.h"

typedef LLVMValueRef V;

enum { MOST_AT_A_TILE = 32, MOST_AT_A_STEP = 4 };

/* Tiles of an item, or of a part's share of it. */
static int64_t tiles_of(const struct window_plan *plan)
{
    int64_t all = plan->tile.panels * blocks_of_rows(plan);

    for (int i = 0; i < plan->sum_count; i++) {
        int64_t by = i == plan->sum_count - 1 ? plan->run : i == plan->sum_count - 2 ? plan->segments : 1;

        all *= (plan->sums[i].extent + by - 1) / by;
    }
    all /= plan->cut.sums ? plan->cut.groups : 1;
    return all < 1 ? 1 : all;
}

static void add_source(struct window_ahead *ahead, V from, int64_t bytes)
{
    if (ahead->count == MOST_AHEAD)
        return;
    ahead->from[ahead->count] = from;
    ahead->lines[ahead->count++] = bytes / LINE;
}

/* Steps of a tile, each k or of slides each segment, if none are clipped. */
static int64_t steps_of(const struct window_plan *plan)
{
    return plan->slides ? plan->segments : plan->run * plan->segments;
}

/* With each step so many lines that all are asked for. */
static int lines_a_step(const struct window_plan *plan, const struct window_ahead *ahead)
{
    int64_t lines = 0, steps = ahead->tiles * steps_of(plan);

    for (int i = 0; i < ahead->count; i++)
        lines += ahead->lines[i];
    int64_t a_step = (lines + steps - 1) / steps, most = plan->slides ? plan->run : MOST_AT_A_STEP;
    return (int)(a_step < most ? a_step : most);
}

struct sources {
    struct emitter *e;
    const struct window_plan *plan;
    struct window_ahead *ahead;
    const struct item *item;
    const struct ir_tensor *made; /* the frame, or what it is made of */
    const struct ir_tensor *seen[MOST_AHEAD];
    int count;
};

static bool is_new(struct sources *s, const struct ir_tensor *t)
{
    for (int i = 0; i < s->count; i++)
        if (s->seen[i] == t)
            return false;
    if (s->count == MOST_AHEAD || t->kind == IR_DRAW || t->kind == IR_SCALAR || t->region <= IR_LOCAL)
        return false;
    s->seen[s->count++] = t;
    return true;
}

/* The next image of what the frame reads. */
static void visit_frame(const struct ir_expr *read, void *context)
{
    struct sources *s = context;
    const struct ir_tensor *t = read->tensor;
    int64_t image = storage_bytes(t->storage), bytes;
    int images = s->plan->cut.images;

    if (t == s->plan->source || t->rank <= images || !is_new(s, t))
        return;
    for (int i = 0; i < images; i++)
        if (ir_form_bare(read->subscripts[i]) != s->made->axes[i])
            return;
    for (int i = images; i < t->rank; i++)
        image *= t->axes[i]->extent;
    bytes = image;
    V at = tensor_base(s->e, t);
    for (int i = images - 1; i >= 0; i--) {
        at = further(s->e, at, s->item->digits[i], image);
        image *= t->axes[i]->extent;
    }
    add_source(s->ahead, offset_constant(s->e, at, bytes), bytes);
}

/* The item's share of what followers read at each of its numbers. */
static void visit_follower(const struct ir_expr *read, void *context)
{
    struct sources *s = context;
    const struct ir_tensor *t = read->tensor, *c = s->plan->c;
    int64_t bytes = storage_bytes(t->storage);

    if (t->rank != c->rank || !is_new(s, t))
        return;
    for (int i = 0; i < t->rank; i++)
        if (ir_form_bare(read->subscripts[i]) != c->axes[i] || t->axes[i]->extent != c->axes[i]->extent)
            return;
    add_source(s->ahead, further(s->e, tensor_base(s->e, t), s->item->element, bytes),
               s->plan->cut.rows * s->plan->row_elements * bytes);
}

void begin_ahead(struct emitter *e, const struct window_plan *plan, const struct item *item, struct window_ahead *ahead)
{
    const struct window_cut *cut = &plan->cut;
    struct sources s = {e, plan, ahead, item, plan->source ? plan->source : plan->frame, {0}, 0};
    const struct ir_kernel *kernel = e->kernel;

    ahead->count = 0;
    if (cut->bands > 1 || !cut->images)
        return;
    at_level(e, e->depth);
    if (plan->source)
        ir_reads(plan->source->value, visit_frame, &s);
    s.made = plan->frame;
    if (plan->frame)
        ir_reads(plan->frame->value, visit_frame, &s);
    if (cut->sums) {
        const struct window_loop *image = &plan->product->loops[cut->image[cut->images - 1]];
        int64_t bytes = image->q * plan->tile.bytes;
        add_source(ahead, offset_constant(e, item->q, bytes), bytes);
    }
    for (int i = product_stage(kernel) + 1; !cut->sums && i < kernel->stages.count; i++)
        for (int k = 0; k < kernel->stages.at[i]->equations.count; k++)
            ir_reads(kernel->stages.at[i]->equations.at[k]->value, visit_follower, &s);
    ahead->tiles = tiles_of(plan);
    ahead->a_step = plan->lines ? 0 : lines_a_step(plan, ahead);
    ahead->share = ahead->a_step * steps_of(plan);
    if (!ahead->counter)
        ahead->counter = stack_room(e, e->i64, 1);
    at_level(e, e->depth);
    LLVMBuildStore(e->builder, count_of(e, 0), ahead->counter);
}

V next_lines(struct emitter *e, const struct window_plan *plan, const struct item *item, const struct k_block *k,
             V panel, V block, V length)
{
    const struct tile_plan *tile = &plan->tile;
    V next_panel = plus(e, panel, count_of(e, 1)), after = plus(e, k->number, length), zero = count_of(e, 0);
    V more = LLVMBuildICmp(e->builder, LLVMIntSLT, next_panel, count_of(e, tile->panels), "");
    V deeper = LLVMBuildICmp(e->builder, LLVMIntSLT, after, count_of(e, tile->depth), "");
    V next_k = LLVMBuildSelect(e->builder, more, k->number, LLVMBuildSelect(e->builder, deeper, after, zero, ""), "");
    V bytes = times(e, length, tile->panel_bytes);
    V mine = times(e, LLVMBuildUDiv(e->builder, length, count_of(e, plan->taps), ""), plan->lines * LINE);
    V from, at = LLVMBuildNSWMul(e->builder, LLVMBuildNSWSub(e->builder, block, item->first_block, ""), mine, "");

    next_panel = LLVMBuildSelect(e->builder, more, next_panel, zero, "");
    at = lesser(e, at, LLVMBuildNSWSub(e->builder, bytes, mine, ""));
    from = further(e, further(e, item->q, next_panel, tile->depth * tile->panel_bytes), next_k, tile->panel_bytes);
    return offset_pointer(e, from, at);
}

/* The tile's lines, of one source after the other. */
static V share_of_tile(struct emitter *e, const struct window_ahead *ahead, V tile, V nothing)
{
    V at = times(e, tile, ahead->share), from = ahead->from[0];
    int64_t before = 0;

    for (int i = 0; i < ahead->count; i++) {
        V begin = offset_constant(e, ahead->from[i], -before * LINE);
        V reached = LLVMBuildICmp(e->builder, LLVMIntSGE, at, count_of(e, before), "");
        from = i ? LLVMBuildSelect(e->builder, reached, begin, from, "") : begin;
        before += ahead->lines[i];
    }
    V done = LLVMBuildICmp(e->builder, LLVMIntSGE, at, count_of(e, before), "");
    return LLVMBuildSelect(e->builder, done, nothing, further(e, from, at, LINE), "");
}

V emit_ahead(struct emitter *e, const struct window_ahead *ahead, V nothing)
{
    if (!ahead->count)
        return NULL;
    at_level(e, e->depth);
    V tile = LLVMBuildLoad2(e->builder, e->i64, ahead->counter, "");
    LLVMBuildStore(e->builder, plus(e, tile, count_of(e, 1)), ahead->counter);
    if (ahead->a_step)
        return share_of_tile(e, ahead, tile, nothing);
    for (int i = 0; i < ahead->count; i++) {
        int64_t lines = (ahead->lines[i] + ahead->tiles - 1) / ahead->tiles;
        V from = further(e, ahead->from[i], tile, lines * LINE);
        for (int64_t k = 0; lines <= MOST_AT_A_TILE && k < lines; k++) {
            V arguments[] = {offset_constant(e, from, k * LINE), whole_like(e->i32, 0), whole_like(e->i32, 2),
                             whole_like(e->i32, 1)};
            intrinsic(e, "llvm.prefetch", &e->pointer, 1, arguments, 4);
        }
    }
    return NULL;
}
