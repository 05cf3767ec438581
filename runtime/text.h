/* text.h: what the readers of text share. */
#ifndef RNET_TEXT_H
#define RNET_TEXT_H

#include "file.h"

/* Bytes of the character that begins at `at` (RFC 3629: shortest form, no surrogates, up to U+10FFFF); 0 if there is
   none. Requires at < end. */
RNET_INTERNAL int rnet_utf8_length(const char *at, const char *end);

/* The entry of that text, a new one behind the others if there is none. -1: out of memory, the vocabulary is as before.
 */
RNET_INTERNAL int rnet_vocabulary_add(struct rnet_vocabulary *vocabulary, const char *text, size_t length);

/* What entry 0 is called; NULL for labels, where nothing is unknown. */
RNET_INTERNAL const char *rnet_unknown_entry(enum rnet_unit unit);

#endif
