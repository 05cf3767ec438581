/* phase.c: the phases of a train block. A phase is a train block of its own with what the whole block says besides: the
   same model, data, batch and local names, its own loss, parameters and rules.

   requires   the keys of the whole block are read
   makes      block->phases, in written order, each with a name and `times`; or errors */
#include <string.h>

#include "internal.h"

static void read_phase(struct scope *top, struct train_block *block, struct node *node)
{
    struct arena *arena = top->unit->arena;
    struct train_block *phase = NEW(arena, struct train_block);
    struct train_block own = {.node = block->node, .model = block->model, .data = block->data};

    for (int i = 0; i < node->b->list.count; i++) {
        struct node *statement = node->b->list.at[i];

        if (statement->kind != NODE_DEFINE || statement->text) {
            fail(top, "E0102", statement->span, "this cannot stand in a phase");
            continue;
        }
        for (int k = 0; k < statement->list.count; k++)
            read_block_definition(top, &own, statement->list.at[k]);
    }
    {
        const struct {
            struct node *value;
            const char *name;
        } others[] = {{own.epochs, "epochs"},       {own.steps, "steps"},       {own.batch, "batch"},
                      {own.order, "order"},         {own.precision, "precision"}, {own.report, "report"},
                      {own.validate, "validate"},   {own.patience, "patience"}, {own.stop, "stop"}};

        for (size_t i = 0; i < sizeof others / sizeof *others; i++)
            if (others[i].value) {
                fail(top, "E0102", others[i].value->span, "%s belongs to the train block, not to a phase of it",
                     others[i].name);
                help(top, "a phase has a loss, penalty, params, times and rules");
            }
    }
    *phase = *block;
    phase->phase = node->text;
    phase->loss = own.loss ? own.loss : block->loss;
    phase->penalty = own.penalty ? own.penalty : block->penalty;
    phase->params = own.params ? own.params : block->params;
    phase->times = own.times;
    memset(&phase->slots, 0, sizeof phase->slots);
    memset(&phase->locals, 0, sizeof phase->locals);
    memset(&phase->phases, 0, sizeof phase->phases);
    for (int i = 0; i < block->slots.count; i++)
        list_add(arena, phase->slots, block->slots.at[i]);
    for (int i = 0; i < own.slots.count; i++)
        list_add(arena, phase->slots, own.slots.at[i]);
    for (int i = 0; i < block->locals.count; i++)
        list_add(arena, phase->locals, block->locals.at[i]);
    for (int i = 0; i < own.locals.count; i++)
        list_add(arena, phase->locals, own.locals.at[i]);
    if (!(unused_locals(top, &own, node->b) && misspelt(&own, "loss")) && !phase->loss) {
        fail(top, "E0207", node->name_span, "the phase %s has no loss", node->text);
        help(top, "loss = cross_entropy(logits, label)");
    }
    for (int i = 0; i < block->phases.count; i++)
        if (!strcmp(block->phases.at[i]->phase, node->text))
            fail(top, "E0202", node->name_span, "there are two phases `%s` in this block", node->text);
    list_add(arena, block->phases, phase);
}

/* What stands beside the phases is for those that say nothing themselves. */
static void unused_beside(struct scope *top, const struct train_block *block, struct node *value, const char *name)
{
    if (!value)
        return;
    for (int i = 0; i < block->phases.count; i++) {
        const struct train_block *phase = block->phases.at[i];

        if (phase->loss == value || phase->penalty == value || phase->params == value)
            return;
    }
    fail(top, "E0203", value->span, "no phase uses this %s: each has one of its own", name);
    help(top, "leave it out, here or in the phase that it is meant for");
}

void read_phases(struct scope *top, struct train_block *block)
{
    for (int i = 0; i < block->node->a->list.count; i++) {
        struct node *statement = block->node->a->list.at[i];

        if (statement->kind != NODE_NAMED || !statement->text)
            continue;
        if (strcmp(statement->name, "phase")) {
            fail(top, "E0102", statement->name_span, "a train block has phases, and no `%s`", statement->name);
            help(top, "phase %s { ... }", statement->text);
            continue;
        }
        read_phase(top, block, statement);
    }
    if (!block->phases.count) {
        if (block->times)
            fail(top, "E0102", block->times->span, "times belongs in a phase: how many steps it makes in its turn");
        return;
    }
    if (block->times)
        fail(top, "E0102", block->times->span, "times belongs in a phase, not in the block that has them");
    unused_beside(top, block, block->loss, "loss");
    unused_beside(top, block, block->penalty, "penalty");
    unused_beside(top, block, block->params, "params");
    if (block->patience)
        fail(top, "E0102", block->patience->span, "patience watches the loss, and each phase has one of its own");
}
