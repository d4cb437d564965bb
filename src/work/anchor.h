// The task anchor: which message says what the work is about.
//
// Agents that call tools send the whole conversation again at every step, and many of them end it
// with a user message that no person wrote ("Continue from the tool evidence ..."). The anchor is
// the last user message that a person wrote, so that all steps of one task are understood alike. A
// user message is taken for an agent's continuation when it stands behind a tool result, with no
// assistant message between, and
//   - it begins with one of the known continuation lines (anchor.c lists them) and has at most
//     ANCHOR_LINE_MAX bytes, or
//   - the same text stands behind another tool result of the conversation (the general rule);
// and when it has no content at all. When every user message is a continuation, the first one is
// the anchor.
//
// Limits: a line that an unknown agent sends once is taken for a person's; the general rule compares
// with the last eight different texts. Linear in the texts; they are compared by length and a 64-bit
// hash, so that a sender who wants to can have one of its own messages passed over.
#ifndef MERIT_WORK_ANCHOR_H
#define MERIT_WORK_ANCHOR_H

#include <stdint.h>

#include "base/slice.h"
#include "work/work.h"

enum {
    ANCHOR_LINE_MAX = 1024,
    ANCHOR_SUFFIX_MAX = 96, // bytes of a volatile last line
};

// Sets `synthetic` on every message (false on those that are not user messages) and returns the
// index of the anchor, or WORK_NO_ANCHOR when there is no user message. Whoever builds a work calls
// it once messages and parts are there.
uint32_t work_anchor(struct work_message *messages, uint32_t message_count,
                     const struct work_part *parts);

// The text without what changes from step to step while the task does not: trailing white space
// and, at the end, lines like "[Time: 2026-11-21 03:15 UTC, Saturday]" (the words time, date,
// timestamp and current time/date; letters, digits, spaces and .,:+-/ between; at most
// ANCHOR_SUFFIX_MAX bytes). Always a head of `text`.
struct slice work_anchor_text(struct slice text);

#endif
