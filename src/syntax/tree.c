/* tree.c: constructors of the tree. */
#include "tokens.h"

#include <stdatomic.h>
#include <string.h>

/* Identity, nothing more: no result depends on the value. */
static atomic_int nodes_made;

struct node *tree_new(struct parser *parser, struct range at, struct node fields)
{
    struct node *node = arena_copy(parser->arena, &fields, sizeof fields);

    node->span = (struct span){parser->source, at.begin, at.end};
    if (node->name && !node->name_span.source)
        node->name_span = node->span;
    node->number_of_node = atomic_fetch_add(&nodes_made, 1);
    return node;
}

/* A carrier for a list under construction; what was wrong (NULL) is left out. */
struct node *tree_list(struct parser *parser, struct node *first)
{
    struct node *list = NEW(parser->arena, struct node);

    return tree_append(parser, list, first);
}

struct node *tree_append(struct parser *parser, struct node *list, struct node *item)
{
    if (item)
        list_add(parser->arena, list->list, item);
    return list;
}

struct node *tree_path(struct parser *parser, struct range at, struct node *path, struct node *word)
{
    struct node *result = tree_new(parser, at, (struct node){.kind = NODE_PATH, .name = word->name});

    if (path) {
        result->name = arena_printf(parser->arena, "%s.%s", path->name, word->name);
        result->list = path->list;
    }
    return tree_append(parser, result, word);
}

struct node *tree_pipe(struct parser *parser, struct range at, struct node *start, struct node *stage)
{
    if (start && start->kind == NODE_PIPE) {
        start->span.end = at.end;
        return tree_append(parser, start, stage);
    }
    return tree_append(parser, tree_new(parser, at, (struct node){.kind = NODE_PIPE, .a = start}), stage);
}
