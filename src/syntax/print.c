/* print.c: a tree as short text, for messages; and whether two trees say the same. */
#include "syntax.h"

#include <string.h>

static const char *operator_text(int op)
{
    switch (op) {
    case '+':
        return " + ";
    case '-':
        return " - ";
    case '*':
        return " * ";
    case '/':
        return " / ";
    case 'f':
        return " // ";
    case '%':
        return " % ";
    case '^':
        return "^";
    case '=':
        return " == ";
    case '!':
        return " != ";
    case 'l':
        return " <= ";
    case 'g':
        return " >= ";
    case '<':
        return " < ";
    case '>':
        return " > ";
    case 'a':
        return " and ";
    case 'o':
        return " or ";
    }
    bug("no operator '%c'", op);
}

static void print_optional(struct text *out, const char *before, const struct node *node)
{
    if (!node)
        return;
    text_add(out, before);
    print_node(out, node);
}

static void print_nodes(struct text *out, struct node *const *nodes, int count)
{
    for (int i = 0; i < count; i++) {
        if (nodes[i]->kind == NODE_SEMICOLON) {
            text_add(out, ";");
            continue;
        }
        if (i)
            text_add(out, nodes[i - 1]->kind == NODE_SEMICOLON ? " " : ", ");
        print_node(out, nodes[i]);
    }
}

static void print_list(struct text *out, const char *open, const struct node *node, const char *close)
{
    text_add(out, open);
    print_nodes(out, node->list.at, node->list.count);
    text_add(out, close);
}

static void print_more(struct text *out, const struct node *node)
{
    text_add(out, "[");
    print_nodes(out, node->more.at, node->more.count);
    text_add(out, "]");
}

static void print_string(struct text *out, const char *string)
{
    text_add(out, "\"");
    for (; *string; string++) {
        if (*string == '"' || *string == '\\')
            text_add(out, "\\");
        if (*string == '\n' || *string == '\t')
            text_add(out, *string == '\n' ? "\\n" : "\\t");
        else
            text_add_slice(out, string, 1);
    }
    text_add(out, "\"");
}

static void print_item(struct text *out, const struct node *node)
{
    static const char *const words[] = {
        [NODE_LET] = "let ",   [NODE_FN] = "fn ",     [NODE_LAYER] = "layer ", [NODE_MODEL] = "model ",
        [NODE_RULE] = "rule ", [NODE_DATA] = "data ", [NODE_TRAIN] = "train ",
        [NODE_EXPERIMENT] = "experiment "};

    text_add(out, words[node->kind]);
    text_add(out, node->name);
}

static void print_definition(struct text *out, const struct node *node)
{
    if (node->list.count == 1)
        print_node(out, node->list.at[0]);
    else
        print_list(out, "(", node, ")");
    text_add(out, node->op == 'u' ? " <- " : node->op == '~' ? " ~ " : " = ");
    print_node(out, node->a);
    print_optional(out, " on ", node->b);
    if (node->text)
        text_addf(out, " per %s", node->text);
}

void print_node(struct text *out, const struct node *node)
{
    switch (node->kind) {
    case NODE_FILE:
        print_nodes(out, node->list.at, node->list.count);
        break;
    case NODE_USE:
        text_add(out, "use ");
        if (node->flag)
            print_string(out, node->name);
        else
            text_add(out, node->name);
        break;
    case NODE_LET:
    case NODE_FN:
    case NODE_LAYER:
    case NODE_MODEL:
    case NODE_RULE:
    case NODE_DATA:
    case NODE_TRAIN:
    case NODE_EXPERIMENT:
        print_item(out, node);
        break;
    case NODE_INPUT:
    case NODE_TARGET:
        text_add(out, node->name);
        if (node->flag)
            print_list(out, "[", node, "]");
        print_optional(out, " in ", node->a);
        break;
    case NODE_SETTING:
        text_addf(out, "%s%s%s", node->name, node->text ? ": " : "", node->text ? node->text : "");
        print_optional(out, " = ", node->a);
        break;
    case NODE_OUTPUTS:
        print_list(out, node->flag ? "random (" : "(", node, ")");
        break;
    case NODE_BLOCK:
        text_add(out, node->list.count ? "{ ... }" : "{}");
        break;
    case NODE_DEFINE:
        if (node->text)
            text_addf(out, "%s ", node->text);
        print_nodes(out, node->list.at, node->list.count);
        break;
    case NODE_DEFINITION:
        print_definition(out, node);
        break;
    case NODE_WHEN:
        print_optional(out, "if ", node->a);
        print_optional(out, " ", node->b);
        print_optional(out, " else ", node->c);
        break;
    case NODE_OVER:
        text_addf(out, "over %s", node->name);
        print_optional(out, ": ", node->a);
        print_list(out, " from ", node, " ");
        print_node(out, node->b);
        break;
    case NODE_NAMED:
        text_addf(out, "%s %s%s", node->name, node->text ? node->text : "", node->text ? " " : "");
        print_node(out, node->b);
        break;
    case NODE_EXPECT:
    case NODE_CLAIM:
        text_addf(out, "%s%s", node->name ? node->name : "", node->name ? " " : "");
        text_add(out, node->kind == NODE_EXPECT ? "expect " : "claim ");
        if (node->text) {
            print_string(out, node->text);
            text_add(out, " ");
        }
        print_node(out, node->a);
        break;
    case NODE_VARY:
        text_addf(out, "%s in ", node->name);
        print_nodes(out, node->list.at, node->list.count);
        break;
    case NODE_NUMBER:
        text_add(out, node->text);
        break;
    case NODE_STRING:
        print_string(out, node->text);
        break;
    case NODE_PATH:
    case NODE_NAME:
        text_add(out, node->name);
        break;
    case NODE_READ:
        print_node(out, node->a);
        print_list(out, "[", node, "]");
        break;
    case NODE_CALL:
    case NODE_STAGE:
        print_node(out, node->a);
        if (node->flag)
            print_more(out, node);
        if (node->kind == NODE_CALL || node->list.count)
            print_list(out, "(", node, ")");
        break;
    case NODE_ARGUMENT:
        if (node->name)
            text_addf(out, "%s = ", node->name);
        print_node(out, node->a);
        break;
    case NODE_BINARY:
        print_node(out, node->a);
        text_add(out, operator_text(node->op));
        print_node(out, node->b);
        break;
    case NODE_UNARY:
        text_add(out, node->op == 'n' ? "not " : "-");
        print_node(out, node->a);
        break;
    case NODE_REDUCE:
        text_add(out, node->name);
        print_list(out, "[", node, "] ");
        print_node(out, node->a);
        break;
    case NODE_IF:
        print_optional(out, "if ", node->a);
        print_optional(out, " then ", node->b);
        print_optional(out, " else ", node->c);
        break;
    case NODE_ALL:
        print_optional(out, "all ", node->a);
        break;
    case NODE_ELSE:
        print_optional(out, "(", node->a);
        print_optional(out, " else ", node->b);
        text_add(out, ")");
        break;
    case NODE_PIPE:
        if (node->a)
            print_node(out, node->a);
        for (int i = 0; i < node->list.count; i++)
            print_optional(out, i || node->a ? " |> " : "|> ", node->list.at[i]);
        break;
    case NODE_REPEAT:
        text_add(out, "repeat ");
        if (node->name)
            text_addf(out, "%s: ", node->name);
        print_node(out, node->a);
        print_optional(out, " { ", node->b);
        text_add(out, " }");
        break;
    case NODE_GROUPED:
        print_optional(out, "(", node->a);
        text_add(out, ")");
        break;
    case NODE_DOTS:
        text_add(out, "...");
        break;
    case NODE_AXIS:
        text_add(out, node->name);
        print_optional(out, ": ", node->a);
        break;
    case NODE_COMPOSITE:
        print_list(out, "(", node, ")");
        break;
    case NODE_SEMICOLON:
        text_add(out, ";");
        break;
    }
}

/* ---- equality ---- */

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && !strcmp(a, b));
}

static bool same_nodes(struct node *const *a, int count_a, struct node *const *b, int count_b)
{
    if (count_a != count_b)
        return false;
    for (int i = 0; i < count_a; i++)
        if (!tree_equal(a[i], b[i]))
            return false;
    return true;
}

/* The tree's shape already says what the parentheses said. */
static const struct node *ungrouped(const struct node *node)
{
    while (node && node->kind == NODE_GROUPED)
        node = node->a;
    return node;
}

bool tree_equal(const struct node *a, const struct node *b)
{
    a = ungrouped(a);
    b = ungrouped(b);
    if (!a || !b)
        return a == b;
    return a->kind == b->kind && a->op == b->op && a->flag == b->flag && a->number == b->number &&
           same_text(a->name, b->name) && same_text(a->text, b->text) && same_text(a->result, b->result) &&
           tree_equal(a->a, b->a) && tree_equal(a->b, b->b) && tree_equal(a->c, b->c) &&
           same_nodes(a->list.at, a->list.count, b->list.at, b->list.count) &&
           same_nodes(a->more.at, a->more.count, b->more.at, b->more.count);
}
