/* syntax.h: from text to tree: sources, diagnostics, the tree, the parser, the formatter. */
#ifndef RNET_SYNTAX_H
#define RNET_SYNTAX_H

#include "base.h"

/* ---- source.c ---- */

struct source {
    const char *path;    /* as the user wrote it; "std/noise.rnet" for embedded files */
    const char *text;    /* terminated */
    int size;
    int number;
};
/* Bytes begin .. end - 1 of a source. Line and column are computed only when reporting. */
struct span {
    const struct source *source; /* NULL: nowhere */
    int begin, end;
};
/* 1-based; columns count characters (UTF-8), not bytes. */
void source_position(const struct source *source, int byte, int *line, int *column);
/* NULL if the file cannot be read; errno says why. */
const struct source *source_read(struct arena *arena, const char *path);
const struct source *source_of_text(struct arena *arena, const char *path, const char *text);

/* ---- diagnostic.c ----
       net.rnet:12:9: error [E0301]: x[t: 4] reads W's axis u: 6
       12 |     y[t] = sum[i] x[t, i] * W[i, t]
          |                             ^^^^^^^
       net.rnet:10:11: note: u: 6 is declared here
       ...
       help: equal extents, or W[t + 0] for a part of it                                                              */

struct diagnostics; /* collects; at most 20 errors */
struct diagnostics *diagnostics_new(struct arena *arena);
/* Begins a new error or warning (code "W...."); notes and helps that follow belong to it. An error whose span equals that of
   an earlier error is dropped with its notes. */
void diagnose(struct diagnostics *d, const char *code, struct span at, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void diagnose_note(struct diagnostics *d, struct span at, const char *format, ...) __attribute__((format(printf, 3, 4)));
void diagnose_help(struct diagnostics *d, const char *format, ...) __attribute__((format(printf, 2, 3)));
int diagnostics_errors(const struct diagnostics *d);
/* Drops the errors that the other, of the same text, has not at the same place. */
void diagnostics_keep_common(struct diagnostics *d, const struct diagnostics *other);
/* Everything collected, in order of sources and bytes. color: ANSI. */
void diagnostics_print(const struct diagnostics *d, struct text *out, bool color);
/* The candidate nearest to name (Damerau-Levenshtein, at most a third of its length away; capitals and underscores count
   for nothing if they are all that differs), or NULL. */
const char *nearest_name(const char *name, const char *const *candidates, int count);

/* ---- the tree: one kind of node, whose fields mean what its kind says. Absent parts are NULL or empty. ---- */

enum node_kind {
    /* items */
    NODE_FILE,     /* list: items */
    NODE_USE,      /* name; flag: it was a string, a path */
    NODE_LET,      /* name = a */
    NODE_FN,       /* name [more: subscripts, `;` kept as NODE_SEMICOLON] (list: settings) = a, or -> result a (a block).
                      flag: it has brackets */
    NODE_LAYER,    /* name (list: inputs; more: settings) -> b (NODE_OUTPUTS) a (block) */
    NODE_MODEL,    /* as layer */
    NODE_RULE,     /* as layer; b may be absent */
    NODE_DATA,     /* name, a: block; b: path after `from` or NODE_STRING after `in`; flag: it is `from` */
    NODE_TRAIN,    /* name, b: path after `on`, a: block */
    NODE_EXPERIMENT, /* name, a: block */
    /* headers */
    NODE_INPUT,    /* name [list: subscripts] in a; flag: it has brackets. Outputs are written the same way */
    NODE_SETTING,  /* name: text (its type: "int", "layer", "fn" ...) = a */
    NODE_OUTPUTS,  /* list: NODE_INPUT; flag: `random` */
    /* statements */
    NODE_BLOCK,    /* list: statements */
    NODE_DEFINE,   /* list: definitions, which commas join. text: NULL, "param" or "state" */
    NODE_DEFINITION, /* list: targets (more than one: `(a, b) = ...`); op '=' '~' or 'u' (<-); a: value;
                        b: after `on`; text: the word after `per` */
    NODE_TARGET,   /* name [list: subscripts]; flag: it has brackets */
    NODE_WHEN,     /* if a then b (block) else c (block, or NODE_WHEN) */
    NODE_OVER,     /* over name : a  from list (definitions)  b (block) */
    NODE_NAMED,    /* name b (block), as `train { }`, `report { }`; or  name text b, as `phase judge { }` */
    NODE_EXPECT,   /* expect text a; text: its title or NULL */
    NODE_CLAIM,    /* name claim text a; name: NULL or the word before `claim` */
    NODE_VARY,     /* name in list, of an experiment */
    /* expressions */
    NODE_NUMBER,   /* number; text as written; flag: it has a point or an exponent */
    NODE_STRING,   /* text without quotes, escapes resolved */
    NODE_PATH,     /* name, or a.b.c with name "a.b.c"; list: NODE_NAME parts */
    NODE_NAME,     /* name */
    NODE_READ,     /* a (path) [list: subscripts; NODE_ARGUMENT in what an experiment recorded] */
    NODE_CALL,     /* a (path) [more: subscripts; flag: it has brackets] (list: arguments). Also max(a, b): path `max` */
    NODE_ARGUMENT, /* name = a, or a; NODE_DOTS as a */
    NODE_BINARY,   /* a op b; op: '+' '-' '*' '/' 'f' (//) '%' '^' '=' (==) '!' (!=) 'l' (<=) 'g' (>=) '<' '>' 'a' (and) 'o' (or) */
    NODE_UNARY,    /* op '-' or 'n' (not); a */
    NODE_REDUCE,   /* name ("sum" ...) [list: subscripts] a */
    NODE_IF,       /* if a then b else c */
    NODE_ALL,      /* all a */
    NODE_ELSE,     /* (a else b): a is a read or a path */
    NODE_PIPE,     /* a |> list: stages; a NULL: a layer value */
    NODE_STAGE,    /* a (path) [more: subscripts; flag] (list: arguments) */
    NODE_REPEAT,   /* repeat name : a { b (pipe) } */
    NODE_GROUPED,  /* ( a ): parentheses that the user wrote, kept for the formatter and for E0313 */
    /* subscripts: any expression, or one of */
    NODE_DOTS,       /* ... */
    NODE_AXIS,       /* name : a */
    NODE_COMPOSITE,  /* ( list ): several axes as one */
    NODE_SEMICOLON   /* the `;` between groups */
};
struct node {
    enum node_kind kind;
    struct span span;      /* all of it */
    struct span name_span; /* of name, where it has one */
    const char *name, *text, *result;
    double number;
    int op;
    bool flag;
    struct node *a, *b, *c;
    LIST(struct node *) list, more;
    int number_of_node; /* unique in the process: identity for memoisation */
};

/* ---- parse.c, grammar/ ---- */

/* The whole file's tree, or NULL after a diagnosis; recovers at the ends of statements, so that several errors are found.
   Reentrant. */
struct node *parse(struct arena *arena, const struct source *source, struct diagnostics *d);

/* ---- format.c ---- */

/* Canonical text with the comments kept. requires: source parses without error. Formatting twice changes nothing, and the
   tree of the result equals the source's, spans apart. */
void format(struct text *out, struct arena *arena, const struct source *source, const struct node *file);
/* Equal but for spans and NODE_GROUPED around what needs none? */
bool tree_equal(const struct node *a, const struct node *b);
/* An expression as short text, for messages. */
void print_node(struct text *out, const struct node *node);

#endif
