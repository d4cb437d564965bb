// Reading texts with an encoder: tokens, windows, passes, answers (work/trunk.h).
//
//   TRUNK_TOPIC   a text of at most window_tok tokens is one window; a longer one is read at its head, middle and tail, half a
//                 window each (of a text over READER_TOPIC_BYTES as many tokens as 8 KiB at these places hold)
//   TRUNK_WHOLE   windows that overlap, over everything
//
// A reader belongs to one thread and holds all memory of the passes; answers go to the caller's arena.
#ifndef MERIT_MODEL_READER_H
#define MERIT_MODEL_READER_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/compiler.h"
#include "base/result.h"
#include "nn/encoder.h"
#include "text/tokenizer.h"
#include "work/trunk.h"

enum {
    READER_WINDOW_TOK = 256, // special tokens included; models that were trained shorter take less
    READER_OVERLAP_TOK = 48, // of neighbouring windows of TRUNK_WHOLE
    READER_BATCH_TOK = 512,  // of one pass
    READER_TOPIC_BYTES = 64 * 1024, // of longer texts TRUNK_TOPIC looks at three parts only
    READER_TOPIC_PART = 8 * 1024,
    READER_TOKENS_MAX = 256 * 1024, // of one ask: more is RESULT_LIMIT
};

// What is read with; outlives its readers, shared by threads.
struct reader_model {
    const struct encoder *encoder;
    const struct tokenizer *tokenizer;
    struct slice name, digest;  // digest: lower-case hex
    const struct slice *labels; // of a token classifier: "O", "B-CITY", ...
    uint32_t label_count;
    uint32_t length_tok; // that the model was trained for; 0: its positions
};

struct reader;

// RESULT_NOMEM.
enum result reader_open(const struct reader_model *m, struct reader **out) MERIT_NODISCARD;
void reader_close(struct reader *r);
uint32_t reader_window(const struct reader_model *m); // tokens

// The kinds of a token classifier's labels without their B- and I-: "CITY", ...; O is none. In the order in which they first
// occur. At most `room`; how many.
uint32_t reader_kinds(const struct reader_model *m, struct slice *kinds, uint32_t room);

// Fills ask->answer, result included. `stop` (may be NULL) gives up with RESULT_CANCELLED between layers. Entities are spans of
// neighbouring tokens of one kind, each by its most likely label with at least one half; where windows overlap, the one in
// which a token stands further from the edge is believed.
void reader_answer(struct reader *r, struct trunk_ask *ask, struct arena *arena,
                   const atomic_bool *stop);

#endif
