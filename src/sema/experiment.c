/* experiment.c: what an experiment block says: settings and their values, seeds, what is recorded, claims.
   requires   the file's names are resolved
   makes      struct experiment: values as texts for --set, expressions as they stand in the tree
   then       the laboratory runs an arm for each combination and seed, and evaluates the expressions on what it
   reported; every name in them is known to have a meaning, but for what a report gives in a block with errors */
#include <math.h>
#include <string.h>

#include "internal.h"

struct reading {
    struct unit *unit;
    struct scope *top;
    struct experiment *out;
};

/* ---- settings ---- */

static struct definition *let_named(struct reading *r, const char *name)
{
    struct definition *let = map_get(r->unit->main->names, name);

    return let && let->node->kind == NODE_LET ? let : NULL;
}

static const char *value_text(struct reading *r, const struct value *v)
{
    struct text text = {0};
    const char *copy;

    if (v->kind == VALUE_STRING)
        return v->text;
    text_add_number(&text, v->number);
    copy = arena_string(r->unit->arena, text.data);
    text_free(&text);
    return copy;
}

static bool add_value(struct reading *r, struct varied *varied, const struct value *written, struct node *node)
{
    const struct value *v = evaluate(r->top, node);
    const char *text;

    if (is_poison(v))
        return false;
    if (v->kind != written->kind) {
        fail(r->top, "E0206", node->span, "%s is a %s", varied->name,
             written->kind == VALUE_STRING ? "string" : "number");
        return false;
    }
    if (v->kind == VALUE_NUMBER && (!isfinite(v->number) || (written->whole && v->number != floor(v->number)))) {
        fail(r->top, "E0204", node->span, "%s is a %s number, and %s is none", varied->name,
             written->whole ? "whole" : "finite", text_of(r->top, node));
        return false;
    }
    text = value_text(r, v);
    for (int i = 0; i < varied->values.count; i++)
        if (!strcmp(varied->values.at[i], text)) {
            fail(r->top, "E0202", node->span, "%s is a value of %s twice", text, varied->name);
            return false;
        }
    list_add(r->unit->arena, varied->values, text);
    return true;
}

static void add_seeds(struct reading *r, struct node *statement)
{
    for (int i = 0; i < statement->list.count; i++) {
        int64_t seed;

        if (!evaluate_whole(r->top, statement->list.at[i], &seed, "a seed"))
            return;
        if (seed < 0) {
            fail(r->top, "E0305", statement->list.at[i]->span, "a seed is a whole number from 0");
            return;
        }
        for (int k = 0; k < r->out->seeds.count; k++)
            if (r->out->seeds.at[k] == (uint64_t)seed)
                fail(r->top, "E0202", statement->list.at[i]->span, "the seed %lld stands twice", (long long)seed);
        list_add(r->unit->arena, r->out->seeds, (uint64_t)seed);
    }
}

static void read_varied(struct reading *r, struct node *statement)
{
    struct definition *let = let_named(r, statement->name);
    struct varied varied = {.name = statement->name, .span = statement->span};
    const struct value *written;
    name_list lets = {0};

    if (!strcmp(statement->name, "seed")) {
        if (r->out->seeds.count)
            fail(r->top, "E0202", statement->span, "the seeds are given twice");
        else
            add_seeds(r, statement);
        return;
    }
    if (!let) {
        fail(r->top, "E0201", statement->name_span, "there is no let `%s` to vary", statement->name);
        for (int i = 0; i < r->unit->main->definitions.count; i++)
            if (r->unit->main->definitions.at[i]->node->kind == NODE_LET)
                list_add(r->unit->arena, lets, r->unit->main->definitions.at[i]->name);
        suggest(r->unit->diagnostics, statement->name, &lets);
        return;
    }
    for (int i = 0; i < r->out->settings.count; i++)
        if (!strcmp(r->out->settings.at[i].name, statement->name)) {
            fail(r->top, "E0202", statement->span, "`%s` is varied twice", statement->name);
            return;
        }
    written = let_value(r->unit, let);
    if (is_poison(written))
        return;
    for (int i = 0; i < statement->list.count; i++)
        if (!add_value(r, &varied, written, statement->list.at[i]))
            return;
    varied.number = written->kind == VALUE_NUMBER;
    list_add(r->unit->arena, r->out->settings, varied);
}

/* ---- settings of the block ---- */

static void read_definition(struct reading *r, struct node *definition)
{
    const char *name = definition->list.at[0]->name;
    struct experiment *e = r->out;
    int64_t count;

    if (definition->list.count != 1 || definition->op != '=' || definition->list.at[0]->flag || definition->b) {
        fail(r->top, "E0102", definition->span,
             "an experiment holds settings, NAME in V1, V2; seeds, train, quick; record { }; "
             "claims and expects");
    } else if (!strcmp(name, "seeds")) {
        if (!evaluate_whole(r->top, definition->a, &count, "seeds"))
            return;
        if (e->seeds.count)
            fail(r->top, "E0202", definition->span, "the seeds are given twice");
        else if (count < 1 || count > 10000)
            fail(r->top, "E0305", definition->a->span, "seeds is %lld, expected 1 to 10000", (long long)count);
        else
            for (int64_t i = 0; i < count; i++)
                list_add(r->unit->arena, e->seeds, (uint64_t)i);
    } else if (!strcmp(name, "train")) {
        const struct node *path = definition->a;
        bool known = false;

        for (int i = 0; path->kind == NODE_PATH && i < r->unit->trainings.count; i++)
            known |= !strcmp(r->unit->trainings.at[i]->name, path->name);
        if (!known)
            fail(r->top, "E0201", path->span, "no train block trains %s", text_of(r->top, path));
        e->train = known ? path->name : NULL;
    } else if (!strcmp(name, "quick")) {
        const struct value *v = evaluate(r->top, definition->a);

        if (!is_poison(v) && v->kind != VALUE_NUMBER)
            fail(r->top, "E0206", definition->a->span, "quick is true or false");
        e->quick = v->kind == VALUE_NUMBER && v->number != 0;
    } else {
        name_list names = {0};

        fail(r->top, "E0203", definition->list.at[0]->name_span, "`%s` is no setting of an experiment", name);
        list_add(r->unit->arena, names, "seeds");
        list_add(r->unit->arena, names, "train");
        list_add(r->unit->arena, names, "quick");
        suggest(r->unit->diagnostics, name, &names);
        if (let_named(r, name))
            help(r->top, "%s in %s", name, text_of(r->top, definition->a));
        else
            help(r->top, "what is recorded stands in record { }");
    }
}

/* ---- what is recorded ---- */

static const char *const functions[] = {"exp", "log", "log1p", "expm1", "sqrt", "abs",
                                        "min", "max", "mean",  "first", "last", "floor"};

static bool is_function(const char *name)
{
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (!strcmp(functions[i], name))
            return true;
    return false;
}

static const struct node *report_of(const struct node *train)
{
    for (int i = 0; i < train->a->list.count; i++) {
        const struct node *statement = train->a->list.at[i];

        if (statement->kind == NODE_NAMED && !statement->text && !strcmp(statement->name, "report"))
            return statement->b;
        for (int k = 0; statement->kind == NODE_DEFINE && k < statement->list.count; k++)
            if (!strcmp(statement->list.at[k]->list.at[0]->name, "report"))
                return statement->list.at[k]->a;
    }
    return NULL;
}

/* Does the block's report give the name? Patience adds `loss`, which steps have too. */
static bool report_gives(const struct node *train, const char *name)
{
    const struct node *report = report_of(train);

    while (report && report->kind == NODE_GROUPED)
        report = report->a;
    if (!report)
        return false;
    if (report->kind != NODE_BLOCK)
        return !strcmp(name, report->kind == NODE_CALL ? report->a->name : "report");
    for (int i = 0; i < report->list.count; i++)
        for (int k = 0; report->list.at[i]->kind == NODE_DEFINE && k < report->list.at[i]->list.count; k++)
            if (!strcmp(report->list.at[i]->list.at[k]->list.at[0]->name, name))
                return true;
    return false;
}

static bool step_gives(const char *name)
{
    static const char *const given[] = {"loss", "penalty", "gradient_norm", "clipped_norm", "rate", "step", "epoch"};

    for (size_t i = 0; i < sizeof given / sizeof *given; i++)
        if (!strcmp(given[i], name))
            return true;
    return !strncmp(name, "probe.", 6) || !strncmp(name, "rate.", 5);
}

/* In which of an arm's train blocks; NULL: any of them. */
static bool series_exists(struct reading *r, const char *model, const char *name)
{
    for (int i = 0; i < r->unit->trainings.count; i++) {
        const struct node *train = r->unit->trainings.at[i];
        const char *rest = name;

        if ((model && strcmp(train->name, model)) || (r->out->train && strcmp(train->name, r->out->train)))
            continue;
        if (!strncmp(rest, "train.", 6) && step_gives(rest + 6))
            return true;
        if (step_gives(rest) || report_gives(train, rest))
            return true;
        rest = strchr(rest, '.');
        if (rest && report_gives(train, rest + 1))
            return true;
    }
    return false;
}

static bool field_exists(struct reading *r, struct definition *data, const char *rest)
{
    const char *dot = strchr(rest, '.');
    struct data_split *split =
        dot ? data_split(r->unit, data, arena_slice(r->unit->arena, rest, (size_t)(dot - rest))) : NULL;
    struct data_field field;

    return split && !split->of && find_data_field(r->unit, split, dot + 1, &field);
}

/* A path in `record`: of a report or the steps, of a data block, of a model without inputs, or a let. */
static void check_recorded_path(struct reading *r, struct node *path)
{
    const char *dot = strchr(path->name, '.');
    const char *first = dot ? arena_slice(r->unit->arena, path->name, (size_t)(dot - path->name)) : path->name;
    struct definition *definition = map_get(r->unit->main->names, first);
    bool trained = false;

    for (int i = 0; i < r->unit->trainings.count; i++)
        trained |= !strcmp(r->unit->trainings.at[i]->name, first);
    if (dot && trained && series_exists(r, first, dot + 1))
        return;
    if (dot && definition && definition->node->kind == NODE_DATA) {
        if (field_exists(r, definition, dot + 1))
            return;
        fail(r->top, "E0201", path->span, "the data have no %s; what is recorded of data is DATA.SPLIT.FIELD",
             path->name);
        return;
    }
    if (dot && definition && definition->node->kind == NODE_MODEL && !trained) {
        for (int i = 0; i < definition->node->b->list.count; i++)
            if (!strcmp(definition->node->b->list.at[i]->name, dot + 1)) {
                if (definition->node->list.count)
                    fail(r->top, "E0206", path->span, "the model %s has inputs; call it in a data block", first);
                return;
            }
        fail(r->top, "E0201", path->span, "the model %s has no output `%s`", first, dot + 1);
        return;
    }
    for (int i = 0; i < r->out->records.count; i++)
        if (!strcmp(r->out->records.at[i].name, path->name))
            return;
    if (series_exists(r, NULL, path->name) || (!dot && let_named(r, path->name)) || !strcmp(path->name, "pi") ||
        !strcmp(path->name, "inf"))
        return;
    fail(r->top, "E0201", path->span, "nothing reports `%s`", path->name);
    help(r->top, "a name of a report, MODEL.SPLIT.NAME; loss, gradient_norm of the steps, MODEL.train.NAME; "
                 "DATA.SPLIT.FIELD; MODEL.OUTPUT of a model without inputs");
}

static void check_expression(struct reading *r, struct node *node, void (*leaf)(struct reading *r, struct node *node))
{
    switch (node->kind) {
    case NODE_NUMBER:
        return;
    case NODE_PATH:
    case NODE_READ:
        leaf(r, node);
        return;
    case NODE_GROUPED:
    case NODE_UNARY:
        check_expression(r, node->a, leaf);
        return;
    case NODE_BINARY:
        check_expression(r, node->a, leaf);
        check_expression(r, node->b, leaf);
        return;
    case NODE_IF:
        check_expression(r, node->a, leaf);
        check_expression(r, node->b, leaf);
        check_expression(r, node->c, leaf);
        return;
    case NODE_CALL:
        if (node->flag || !is_function(node->a->name)) {
            fail(r->top, "E0201", node->a->span, "there is no function `%s` of what is recorded", node->a->name);
            help(r->top, "exp log sqrt abs floor, min max of several; first last min max mean of a series, "
                         "first(step, condition)");
            return;
        }
        for (int i = 0; i < node->list.count; i++)
            check_expression(r, node->list.at[i]->a, leaf);
        if (!node->list.count)
            fail(r->top, "E0207", node->span, "%s of nothing", node->a->name);
        return;
    default:
        fail(r->top, "E0206", node->span, "this is no number of an experiment: %s", text_of(r->top, node));
    }
}

static void check_record_leaf(struct reading *r, struct node *node)
{
    if (node->kind == NODE_PATH) {
        check_recorded_path(r, node);
        return;
    }
    check_recorded_path(r, node->a);
    for (int i = 0; i < node->list.count; i++) {
        int64_t place;

        if (!evaluate_whole(r->top, node->list.at[i], &place, "the place of what is recorded"))
            return;
    }
}

static void read_record(struct reading *r, struct node *block)
{
    for (int i = 0; i < block->list.count; i++) {
        struct node *statement = block->list.at[i];

        if (statement->kind != NODE_DEFINE || statement->text) {
            fail(r->top, "E0102", statement->span, "record holds names, name = expression");
            continue;
        }
        for (int k = 0; k < statement->list.count; k++) {
            struct node *definition = statement->list.at[k];
            struct recorded recorded = {definition->list.at[0]->name, definition->a};

            if (definition->list.count != 1 || definition->op != '=' || definition->list.at[0]->flag || definition->b) {
                fail(r->top, "E0102", definition->span, "record holds names, name = expression");
                continue;
            }
            for (int j = 0; j < r->out->records.count; j++)
                if (!strcmp(r->out->records.at[j].name, recorded.name))
                    fail(r->top, "E0202", definition->span, "`%s` is recorded twice", recorded.name);
            for (int j = 0; j < r->out->settings.count; j++)
                if (!strcmp(r->out->settings.at[j].name, recorded.name))
                    fail(r->top, "E0202", definition->span, "`%s` is a setting of this experiment", recorded.name);
            check_expression(r, definition->a, check_record_leaf);
            list_add(r->unit->arena, r->out->records, recorded);
        }
    }
}

/* ---- claims ---- */

static const struct varied *setting_named(const struct experiment *e, const char *name)
{
    for (int i = 0; i < e->settings.count; i++)
        if (!strcmp(e->settings.at[i].name, name))
            return &e->settings.at[i];
    return NULL;
}

int experiment_value(struct unit *unit, const struct varied *setting, struct node *node)
{
    struct reading r = {unit, scope_top(NULL, unit, unit->main, false), NULL};
    const struct value *v = evaluate(r.top, node);

    if (v->kind != VALUE_NUMBER && v->kind != VALUE_STRING)
        return -1;
    for (int i = 0; i < setting->values.count; i++)
        if (!strcmp(setting->values.at[i], value_text(&r, v)))
            return i;
    return -1;
}

static bool is_recorded(const struct experiment *e, const char *name)
{
    for (int i = 0; i < e->records.count; i++)
        if (!strcmp(e->records.at[i].name, name))
            return true;
    return false;
}

static void check_claim_leaf(struct reading *r, struct node *node)
{
    const struct node *path = node->kind == NODE_READ ? node->a : node;
    name_list names = {0};

    if (!is_recorded(r->out, path->name)) {
        const struct varied *varied = node->kind == NODE_PATH ? setting_named(r->out, path->name) : NULL;

        if ((varied && varied->number) || (node->kind == NODE_PATH && !strcmp(path->name, "pi")))
            return;
        fail(r->top, "E0201", path->span, "the experiment does not record `%s`", path->name);
        for (int i = 0; i < r->out->records.count; i++)
            list_add(r->unit->arena, names, r->out->records.at[i].name);
        suggest(r->unit->diagnostics, path->name, &names);
        return;
    }
    for (int i = 0; node->kind == NODE_READ && i < node->list.count; i++) {
        struct node *at = node->list.at[i];
        const struct varied *setting = at->name ? setting_named(r->out, at->name) : NULL;

        if (at->kind != NODE_ARGUMENT) {
            fail(r->top, "E0309", at->span, "a setting and its value are wanted here");
            help(r->top, "%s[%s = ...]", path->name, r->out->settings.count ? r->out->settings.at[0].name : "rate");
        } else if (!setting) {
            fail(r->top, "E0201", at->name_span, "the experiment does not vary `%s`", at->name);
        } else if (experiment_value(r->unit, setting, at->a) < 0) {
            fail(r->top, "E0201", at->a->span, "%s is no value of %s in this experiment", text_of(r->top, at->a),
                 at->name);
        }
    }
}

static struct node *bare(struct node *node)
{
    while (node->kind == NODE_GROUPED)
        node = node->a;
    return node;
}

/* and, or of comparisons; in an expect `not` too. */
static void check_formula(struct reading *r, struct node *node, bool expect)
{
    node = bare(node);
    if (node->kind == NODE_BINARY && (node->op == 'a' || node->op == 'o')) {
        check_formula(r, node->a, expect);
        check_formula(r, node->b, expect);
    } else if (expect && node->kind == NODE_UNARY && node->op == 'n') {
        check_formula(r, node->a, expect);
    } else if (node->kind == NODE_BINARY && strchr(expect ? "=!lg<>" : "lg<>", node->op)) {
        check_expression(r, node->a, check_claim_leaf);
        check_expression(r, node->b, check_claim_leaf);
    } else {
        fail(r->top, "E0206", node->span, "%s wants a comparison, not %s", expect ? "expect" : "claim",
             text_of(r->top, node));
        help(r->top, expect ? "expect a < b; comparisons are joined by and, or, not"
                            : "claim a < b, or <= > >=; comparisons are joined by and, or");
    }
}

static bool reads_record(const struct experiment *e, const struct node *node)
{
    if (!node)
        return false;
    if (node->kind == NODE_PATH)
        return is_recorded(e, node->name);
    if (reads_record(e, node->a) || reads_record(e, node->b) || reads_record(e, node->c))
        return true;
    for (int i = 0; i < node->list.count; i++)
        if (reads_record(e, node->list.at[i]))
            return true;
    return false;
}

static void read_claim(struct reading *r, struct node *statement)
{
    struct claim claim = {.title = statement->text,
                          .text = text_of(r->top, statement->a),
                          .span = statement->span,
                          .formula = statement->a,
                          .expect = statement->kind == NODE_EXPECT,
                          .unmet = statement->name != NULL};

    if (statement->name && strcmp(statement->name, "unmet")) {
        fail(r->top, "E0102", statement->name_span, "`%s claim` means nothing", statement->name);
        help(r->top, "unmet claim ...: one that is known not to come out");
        return;
    }
    check_formula(r, statement->a, claim.expect);
    if (!reads_record(r->out, statement->a))
        fail(r->top, "E0206", statement->a->span, "this says nothing of what is recorded: %s", claim.text);
    list_add(r->unit->arena, r->out->claims, claim);
}

/* ---- the block ---- */

static struct experiment *read_experiment(struct unit *unit, struct node *node)
{
    struct experiment *e = NEW(unit->arena, struct experiment);
    struct reading r = {unit, scope_top(NULL, unit, unit->main, false), e};
    bool recorded = false, seeded;
    double runs;

    e->name = node->name;
    e->span = node->span;
    for (int i = 0; i < node->a->list.count; i++) {
        struct node *statement = node->a->list.at[i];

        if (statement->kind == NODE_VARY)
            read_varied(&r, statement);
        else if (statement->kind == NODE_DEFINE && !statement->text)
            for (int k = 0; k < statement->list.count; k++)
                read_definition(&r, statement->list.at[k]);
        else if (statement->kind != NODE_EXPECT && statement->kind != NODE_CLAIM &&
                 (statement->kind != NODE_NAMED || strcmp(statement->name, "record") || statement->text))
            fail(r.top, "E0102", statement->span,
                 "an experiment holds settings, NAME in V1, V2; seeds, train, quick; "
                 "record { }; claims and expects");
    }
    seeded = e->seeds.count > 0;
    while (e->seeds.count < (seeded ? 0 : 5))
        list_add(unit->arena, e->seeds, (uint64_t)e->seeds.count);
    runs = e->seeds.count;
    for (int i = 0; i < node->a->list.count; i++)
        if (node->a->list.at[i]->kind == NODE_NAMED && !strcmp(node->a->list.at[i]->name, "record")) {
            recorded = true;
            read_record(&r, node->a->list.at[i]->b);
        }
    for (int i = 0; i < node->a->list.count; i++)
        if (node->a->list.at[i]->kind == NODE_EXPECT || node->a->list.at[i]->kind == NODE_CLAIM)
            read_claim(&r, node->a->list.at[i]);
    for (int i = 0; i < e->settings.count; i++)
        runs *= e->settings.at[i].values.count;
    if (e->settings.count > MOST_VARIED || runs > 100000)
        fail(r.top, "E0305", node->name_span, "the experiment %s has %g runs of %d settings; at most 100000 of %d", e->name,
             runs, e->settings.count, MOST_VARIED);
    if (!recorded) {
        fail(r.top, "E0207", node->name_span, "the experiment %s records nothing", e->name);
        help(r.top, "record { error = 1 - accuracy }");
    } else if (!e->claims.count) {
        fail(r.top, "E0207", node->name_span, "the experiment %s claims nothing", e->name);
        help(r.top, "claim error[rate = 0.5] < error[rate = 0]");
    }
    return e;
}

void unit_experiments(struct unit *unit, experiment_list *out)
{
    struct scope *top = scope_top(NULL, unit, unit->main, false);

    for (int i = 0; unit->main->tree && i < unit->main->tree->list.count; i++) {
        struct node *node = unit->main->tree->list.at[i];

        if (node->kind != NODE_EXPERIMENT)
            continue;
        for (int k = 0; k < out->count; k++)
            if (!strcmp(out->at[k]->name, node->name))
                fail(top, "E0202", node->name_span, "there are two experiments `%s`", node->name);
        list_add(unit->arena, *out, read_experiment(unit, node));
    }
}

static void hash_item(struct node *const *items, int count, uint64_t *hash)
{
    for (int i = 0; i < count; i++)
        if (items[i]->kind != NODE_EXPERIMENT)
            *hash = hash_bytes(items[i]->span.source->text + items[i]->span.begin,
                               (size_t)(items[i]->span.end - items[i]->span.begin), *hash);
}

const char *unit_training_model(const struct unit *unit, int number)
{
    return unit->trainings.at[number]->name;
}

uint64_t unit_hash(const struct unit *unit)
{
    uint64_t hash = 0;

    for (int i = 0; i < unit->files.count; i++)
        if (unit->files.at[i]->tree)
            hash_item(unit->files.at[i]->tree->list.at, unit->files.at[i]->tree->list.count, &hash);
    for (const struct embedded *e = standard_library; e->path && unit->library.count; e++)
        hash = hash_bytes(e->text, strlen(e->text), hash);
    return hash;
}
