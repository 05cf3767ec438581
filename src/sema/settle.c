/* settle.c: what use says of a field: that it is whole, in a range, which is taken back through the arithmetic on its reader; its
   shape. */
#include <string.h>

#include "internal.h"

static bool contains_node(const struct node *node, const struct node *wanted)
{
    bool found = node == wanted || (node->a && contains_node(node->a, wanted)) ||
                 (node->b && contains_node(node->b, wanted)) || (node->c && contains_node(node->c, wanted));

    for (int i = 0; i < node->list.count && !found; i++)
        found = contains_node(node->list.at[i], wanted);
    return found;
}

static bool is_plain_arithmetic(const struct node *node)
{
    switch (node->kind) {
    case NODE_NUMBER:
    case NODE_PATH:
        return true;
    case NODE_GROUPED:
    case NODE_UNARY:
        return is_plain_arithmetic(node->a);
    case NODE_BINARY:
        return is_plain_arithmetic(node->a) && is_plain_arithmetic(node->b);
    default:
        return false;
    }
}

/* Which whole numbers a reader may give so that the field is in low .. high: the interval taken back through
   + - * // % with whole numbers. false: the field is made in another way. */
static bool range_of_reader(struct scope *top, struct node *node, struct node *reader, int64_t *low, int64_t *high)
{
    bool right;
    struct node *side;
    const struct value *v;
    int64_t c;

    while (node->kind == NODE_GROUPED)
        node = node->a;
    if (node == reader)
        return true;
    if (node->kind != NODE_BINARY || !strchr("+-*f%", node->op))
        return false;
    right = contains_node(node->b, reader);
    side = right ? node->a : node->b;
    if (!is_plain_arithmetic(side))
        return false;
    v = evaluate(top, side);
    if (v->kind != VALUE_NUMBER || !v->whole || v->number < -WIDEST || v->number > WIDEST)
        return false;
    c = (int64_t)v->number;
    if (node->op == '+' || (node->op == '-' && !right)) {
        *low -= node->op == '+' ? c : -c;
        *high -= node->op == '+' ? c : -c;
    } else if (node->op == '-') {
        int64_t least = c - *high;

        *high = c - *low;
        *low = least;
    } else if (c < 1 || (node->op != '*' && right)) {
        return false;
    } else if (node->op == '*') {
        *low = *low > 0 ? (*low + c - 1) / c : -(-*low / c);
        *high = *high < 0 ? -((-*high + c - 1) / c) : *high / c;
    } else if (node->op == 'f') {
        *low *= c;
        *high = *high * c + c - 1;
    } else {
        *low = -WIDEST;
        *high = WIDEST;
    }
    *low = *low < -WIDEST ? -WIDEST : *low;
    *high = *high > WIDEST ? WIDEST : *high;
    return range_of_reader(top, right ? node->b : node->a, reader, low, high);
}

/* `//` and `%` want whole numbers before any use of the field says that it is whole. */
static bool divides_whole(const struct node *node, const struct node *reader)
{
    if (node == reader)
        return false;
    return (node->kind == NODE_BINARY && (node->op == 'f' || node->op == '%')) ||
           (node->a && contains_node(node->a, reader) && divides_whole(node->a, reader)) ||
           (node->b && contains_node(node->b, reader) && divides_whole(node->b, reader));
}

void settle_chain(struct scope *top, struct field_use *field)
{
    int64_t low = -WIDEST, high = WIDEST;

    field->stays_whole = !field->raw && range_of_reader(top, field->node->a, field->reader, &low, &high);
    if (!field->stays_whole || field->whole || !divides_whole(field->node->a, field->reader))
        return;
    field->whole = true;
    field->low = low;
    field->high = high;
}

bool settle_whole(struct workspace *w, struct field_use *field, int64_t high, const char *bound)
{
    int64_t low = 0;

    if (field->stays_whole &&
        !range_of_reader(scope_top(NULL, w->unit, field->source.split ? field->source.split->data->file : w->unit->main, true), field->node->a, field->reader, &low, &high))
        bug("the field %s is whole no more", field->name);
    if (field->whole && field->low >= low && field->high <= high)
        return false;
    field->whole = true;
    field->low = low;
    field->high = high;
    field->bound = bound;
    w->fields->changed = true;
    return true;
}

bool settle_shape(struct workspace *w, struct field_use *field, int rank, const int64_t *shape)
{
    if (field->shaped || rank > 8)
        return false;
    field->shaped = true;
    field->rank = rank;
    for (int i = 0; i < rank; i++)
        field->shape[i] = shape[i];
    w->fields->changed = true;
    return true;
}
