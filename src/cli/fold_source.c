/* fold_source.c: a program's text without the layers that are folded.

   A stage of a pipe goes, and a call becomes its argument. If the use stands in the text of a layer of another file, of the library say,
   that layer is copied to the program's own, where its name means the copy. */
#include "edits.h"
#include "fold.h"

#include <stdio.h>
#include <string.h>

struct text_file {
    const struct source *source;
    struct node *tree;
    edit_list edits;
    LIST(struct node *) copied; /* definitions */
};
struct rewriting {
    struct folding *f;
    LIST(struct text_file *) files; /* the first is the program's */
};

static struct text_file *file_of(struct rewriting *r, const char *path)
{
    struct text_file *file;

    for (int i = 0; i < r->files.count; i++)
        if (!strcmp(r->files.at[i]->source->path, path))
            return r->files.at[i];
    file = NEW(r->f->arena, struct text_file);
    for (const struct embedded *e = standard_library; e->path && !file->source; e++)
        if (!strcmp(e->path, path))
            file->source = source_of_text(r->f->arena, e->path, e->text);
    if (!file->source)
        file->source = source_read(r->f->arena, path);
    if (file->source)
        file->tree = parse(r->f->arena, file->source, diagnostics_new(r->f->arena));
    if (!file->tree)
        return NULL;
    list_add(r->f->arena, r->files, file);
    return file;
}

/* ---- the place in the tree ---- */

struct found {
    struct node *use, *pipe; /* a call, or a stage of the pipe */
    int stage;
};

static bool find_node(struct node *n, const struct ir_origin *at, struct found *out);

static bool find_in_list(struct node *n, const struct ir_origin *at, struct found *out)
{
    for (int i = 0; i < n->list.count; i++) {
        if (n->kind == NODE_PIPE && n->list.at[i]->kind == NODE_STAGE && n->list.at[i]->span.begin == at->begin &&
            n->list.at[i]->span.end == at->end) {
            *out = (struct found){n->list.at[i], n, i};
            return true;
        }
        if (find_node(n->list.at[i], at, out))
            return true;
    }
    return false;
}

static bool find_node(struct node *n, const struct ir_origin *at, struct found *out)
{
    if (!n)
        return false;
    if (n->kind == NODE_CALL && n->span.begin == at->begin && n->span.end == at->end) {
        *out = (struct found){n, NULL, 0};
        return true;
    }
    if (find_in_list(n, at, out) || find_node(n->a, at, out) || find_node(n->b, at, out) || find_node(n->c, at, out))
        return true;
    for (int i = 0; i < n->more.count; i++)
        if (find_node(n->more.at[i], at, out))
            return true;
    return false;
}

static struct node *definition_at(const struct text_file *file, const struct ir_origin *at)
{
    for (int i = 0; i < file->tree->list.count; i++)
        if (file->tree->list.at[i]->span.begin <= at->begin && file->tree->list.at[i]->span.end >= at->end)
            return file->tree->list.at[i];
    return NULL;
}

/* Why the text cannot do without the use; NULL: it can. */
static const char *obstacle(struct rewriting *r, const struct use *use)
{
    struct text_file *file = file_of(r, use->origin->file);
    struct found found;

    if (!file || !find_node(file->tree, use->origin, &found))
        return "its place in the text is not found";
    if (found.pipe && !found.pipe->a && found.pipe->list.count == 1)
        return "it is a layer value by itself: name the layer where it is applied";
    if (!found.pipe && (!found.use->list.count || found.use->list.at[0]->name))
        return "it is called with a named input";
    return NULL;
}

static void remove_use(struct rewriting *r, const struct use *use)
{
    struct text_file *file = file_of(r, use->origin->file);
    struct arena *arena = r->f->arena;
    struct found found;

    if (!find_node(file->tree, use->origin, &found))
        bug("a use that was found is not found");
    if (found.pipe && (found.pipe->a || found.stage)) {
        struct span before = found.stage ? found.pipe->list.at[found.stage - 1]->span : found.pipe->a->span;

        list_add(arena, file->edits, (struct edit){before.end, found.use->span.end, ""});
    } else if (found.pipe) {
        list_add(arena, file->edits, (struct edit){found.use->span.begin, found.pipe->list.at[1]->span.begin, ""});
    } else {
        const struct node *argument = found.use->list.at[0]->a;
        bool simple = argument->kind == NODE_PATH || argument->kind == NODE_CALL || argument->kind == NODE_GROUPED;

        list_add(arena, file->edits, (struct edit){found.use->span.begin, argument->span.begin, simple ? "" : "("});
        list_add(arena, file->edits, (struct edit){argument->span.end, found.use->span.end, simple ? "" : ")"});
    }
}

/* The definitions of other files that a place of the use is reached through. */
static void copy_chain(struct rewriting *r, const struct ir_origin *o)
{
    for (; o; o = o->caller) {
        struct text_file *file = o->file ? file_of(r, o->file) : NULL;
        struct node *definition = file ? definition_at(file, o) : NULL;
        bool known = false;

        if (!definition || file == r->files.at[0])
            continue;
        for (int i = 0; i < file->copied.count && !known; i++)
            known = file->copied.at[i] == definition;
        if (!known)
            list_add(r->f->arena, file->copied, definition);
    }
}

static void copy_chains(struct rewriting *r, const struct use *use)
{
    for (int i = 0; i < r->f->axes->answers.count; i++) {
        const struct ir_program *p = r->f->axes->answers.at[i];

        for (int k = 0; k < p->tensors.count; k++)
            for (const struct ir_origin *o = p->tensors.at[k]->origin; o && o->caller; o = o->caller)
                if (o->caller->begin == use->origin->begin && o->caller->end == use->origin->end &&
                    !strcmp(o->caller->file ? o->caller->file : "", use->origin->file))
                    copy_chain(r, o->caller);
    }
}

/* ---- the whole text ---- */

static bool begin(struct rewriting *r, struct folding *f)
{
    *r = (struct rewriting){.f = f};
    return file_of(r, f->options->files.at[0]) != NULL;
}

int fold_plan_source(struct folding *f)
{
    struct rewriting r;

    if (!begin(&r, f))
        return complain(RNET_SOURCE, "%s: cannot be read", f->options->files.at[0]);
    for (int i = 0; i < f->uses.count; i++)
        f->uses.at[i]->obstacle = obstacle(&r, f->uses.at[i]);
    return RNET_DONE;
}

static bool defines(const struct node *tree, const char *name)
{
    for (int i = 0; i < tree->list.count; i++)
        if (tree->list.at[i]->kind != NODE_TRAIN && tree->list.at[i]->name && !strcmp(tree->list.at[i]->name, name))
            return true;
    return false;
}

int fold_write_source(struct folding *f)
{
    const char *folder = edits_folder(f->arena, f->options->files.at[0]);
    struct rewriting r;
    struct text text = {0};
    int status;

    if (!folder || !begin(&r, f))
        return RNET_FAILED;
    for (int i = 0; i < f->uses.count; i++)
        if (f->uses.at[i]->folded) {
            remove_use(&r, f->uses.at[i]);
            copy_chains(&r, f->uses.at[i]);
        }
    edits_of_paths(f->arena, r.files.at[0]->tree, folder, &r.files.at[0]->edits);
    edits_apply(&text, r.files.at[0]->source, 0, r.files.at[0]->source->size, &r.files.at[0]->edits);
    for (int i = 1; i < r.files.count; i++)
        for (int k = 0; k < r.files.at[i]->copied.count; k++) {
            const struct node *definition = r.files.at[i]->copied.at[k];

            if (defines(r.files.at[0]->tree, definition->name)) {
                text_free(&text);
                return complain(RNET_FAILED, "%s: %s of %s would have to be copied here, and there is one already", f->options->files.at[0],
                                definition->name, r.files.at[i]->source->path);
            }
            text_addf(&text, "\n# From %s, without what is folded.\n", r.files.at[i]->source->path);
            edits_apply(&text, r.files.at[i]->source, definition->span.begin, definition->span.end, &r.files.at[i]->edits);
            text_add(&text, "\n");
        }
    status = edits_write(f->path, &text);
    text_free(&text);
    return status;
}
