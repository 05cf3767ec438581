/* edits.h: a program's text with parts of it replaced. */
#ifndef RNET_EDITS_H
#define RNET_EDITS_H

#include "cli.h"

struct edit {
    int begin, end; /* bytes of the text; equal: something is put in */
    const char *text;
};
typedef LIST(struct edit) edit_list;

/* The program's folder, absolute; NULL after a message. */
const char *edits_folder(struct arena *arena, const char *path);
/* The new text may stand in another folder: what is found from that of the old one gets its whole path. */
void edits_of_paths(struct arena *arena, const struct node *file, const char *folder, edit_list *out);
/* Bytes begin .. end - 1 of the text, edited. requires: no two edits overlap. */
void edits_apply(struct text *out, const struct source *source, int begin, int end, const edit_list *edits);
int edits_write(const char *path, const struct text *text);

#endif
