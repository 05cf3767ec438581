/* lab.h: the state of `rnetc lab`: one laboratory a file, one finding a statement. */
#ifndef RNET_LAB_H
#define RNET_LAB_H

#include "train.h"

/* What was seen of one `expect`, wherever it was looked at. */
struct finding {
    const struct expectation *expectation; /* as it stands in the file */
    const struct expectation *looked;      /* as it was lowered where the worst was seen; NULL: it was never looked at */
    struct expect_outcome outcome;
};
struct lab {
    struct options *options;
    struct arena *arena;                   /* of this file */
    const char *path, *name, *title;       /* title: the file's first line of comment */
    struct unit *unit;
    struct data_source *source;            /* of the data blocks that are looked at, before any training */
    uint64_t seed;
    int precision;
    LIST(struct finding) findings;
    int met, total;
    double seconds;
    int status;
};

/* ---- lab_expect.c ---- */

/* Looks at the expectations of data blocks and of models that nothing trains. */
int lab_expects(struct lab *lab);

#endif
