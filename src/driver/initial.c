/* initial.c: first values when the parameters are given (--init): they stay, and states are made from them. */
#include "driver.h"

static bool is_given(const struct ir_tensor *t, const struct rnet_safetensors *file)
{
    return t->kind == IR_PARAMETER && rnet_safetensors_find(file, t->name);
}

struct ir_program *given_parameters(struct ir_program *p, const struct rnet_safetensors *file)
{
    struct ir_program *to = ir_program_like(p);
    int count = p->tensors.count + p->updates.count, used = 0;
    struct ir_tensor **from = NEW_ARRAY(p->arena, struct ir_tensor *, count),
                     **into = NEW_ARRAY(p->arena, struct ir_tensor *, count);

    for (int i = 0; i < p->updates.count; i++)
        if (is_given(p->updates.at[i].leaf, file)) {
            from[used] = p->updates.at[i].value;
            into[used++] = p->updates.at[i].leaf;
            ir_adopt(to, p->updates.at[i].leaf);
        }
    for (int i = 0; i < p->tensors.count; i++) {
        struct ir_tensor *t = p->tensors.at[i], *made;

        if (is_given(t, file))
            continue;
        if (t->kind != IR_EQUATION) {
            ir_adopt(to, t);
            continue;
        }
        made = ir_remake(to, t, ir_retarget(to, t->value, from, into, used));
        if (made != t) {
            from[used] = t;
            into[used++] = made;
        }
    }
    for (int i = 0; i < p->updates.count; i++) {
        struct ir_tensor *value = p->updates.at[i].value;

        if (is_given(p->updates.at[i].leaf, file))
            continue;
        for (int k = 0; k < used; k++)
            if (from[k] == value) {
                value = into[k];
                break;
            }
        ir_add_update(to, p->updates.at[i].leaf, value);
    }
    return to;
}
