// The cells behind struct lengths. Private to route/lengths*.c.
#ifndef MERIT_ROUTE_LENGTHS_INNER_H
#define MERIT_ROUTE_LENGTHS_INNER_H

#include "math/sketch.h"
#include "route/lengths.h"

enum lengths_level { LEVEL_ALL, LEVEL_MODEL, LEVEL_TASK, LEVEL_CELL, LEVEL_INPUT };

// What is known of one cell; of LEVEL_INPUT the sketch is of the ratio of counted to estimated tokens, in 1024ths.
struct lengths_cell {
    uint64_t key, parent; // parent 0: none
    uint32_t level;
    uint32_t touched;          // last merge that did
    uint32_t came, missed;     // answers of this merge that had an interval, and that lay outside
    double delta;              // what the share outside is set apart from 0.2
    double owed;               // output tokens of what came, less what was expected of it
    double estimated, counted; // LEVEL_INPUT: sums of tokens
    struct sketch sketch;
};

struct lengths_seen {
    uint64_t keys[LEVEL_INPUT + 1]; // by level
    uint32_t output_tok;            // of one choice
    uint32_t estimated_tok, counted_tok;
    float told_tok; // that were expected
    bool judged, missed;
};

// Written by its loop, read by the control thread: `head` is the loop's, `tail` the control's.
struct lengths_ring {
    uint32_t head, tail;
    uint64_t dropped;
    struct lengths_seen at[LENGTHS_RING];
};

enum { INDEX_SIZE = 4 * LENGTHS_CELLS_MAX };

struct lengths {
    uint32_t ring_count;
    struct lengths_ring *rings;
    struct lengths_cell *cells[LENGTHS_CELLS_MAX];
    uint32_t cell_count;
    uint16_t index[INDEX_SIZE]; // of cells by key, + 1
    uint32_t merges;
    uint64_t answers, published;
};

enum { RATIO_ONE = 1024 };

// NULL when there is none.
struct lengths_cell *lengths_find(const struct lengths *l, uint64_t key);
// Found or made; NULL without memory.
struct lengths_cell *lengths_cell(struct lengths *l, uint64_t key, uint64_t parent, uint32_t level);

#endif
