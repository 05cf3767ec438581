/* account.c: the memory that steps need, as planned: what `explain` prints and what `train` measures itself against. */
#include "driver.h"

static void raise_to(int64_t *most, int64_t bytes)
{
    if (bytes > *most)
        *most = bytes;
}

void account_add(struct account *account, const struct compiled *compiled)
{
    const struct ir_program *p = compiled->program;
    int64_t partials = compiled->code ? compiled->api->scratch(compiled->code) : 0;

    raise_to(&account->parameters, p->parameter_bytes);
    raise_to(&account->state, p->state_bytes);
    account->inputs += p->input_bytes;
    if (p->arena_bytes + partials < account->arena + account->partials)
        return;
    account->arena = p->arena_bytes;
    account->partials = partials;
}

int64_t account_sum(const struct account *account)
{
    return account->parameters + account->state + account->inputs + account->arena + account->partials;
}
