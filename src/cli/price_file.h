// Where a command finds its list of prices.
#ifndef MERIT_CLI_PRICE_FILE_H
#define MERIT_CLI_PRICE_FILE_H

#include "base/arena.h"
#include "policy/price_list.h"

// `path` as the setting `prices` has it; NULL: $MERIT_PRICES, or else the built-in list (`*out` then is NULL, which every
// compilation takes for that one). What is wrong with the file is told on standard error with its lines. RESULT_SYNTAX (also
// when it cannot be read), RESULT_LIMIT, RESULT_UTF8, RESULT_NOMEM.
enum result price_file_open(const char *path, struct arena *arena,
                            const struct price_list **out) MERIT_NODISCARD;

#endif
