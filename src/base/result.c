#include "base/result.h"

static const char *const names[RESULT_COUNT_] = {
    [RESULT_OK] = "ok",
    [RESULT_NOMEM] = "nomem",
    [RESULT_LIMIT] = "limit",
    [RESULT_SYNTAX] = "syntax",
    [RESULT_UTF8] = "utf8",
    [RESULT_DEPTH] = "depth",
    [RESULT_DUPLICATE] = "duplicate",
    [RESULT_TYPE] = "type",
    [RESULT_RANGE] = "range",
    [RESULT_NOT_FOUND] = "not_found",
    [RESULT_EXISTS] = "exists",
    [RESULT_DENIED] = "denied",
    [RESULT_IO] = "io",
    [RESULT_AGAIN] = "again",
    [RESULT_EOF] = "eof",
    [RESULT_TIMEOUT] = "timeout",
    [RESULT_CANCELLED] = "cancelled",
    [RESULT_REFUSED] = "refused",
    [RESULT_RESET] = "reset",
    [RESULT_DNS] = "dns",
    [RESULT_TLS] = "tls",
    [RESULT_PROTOCOL] = "protocol",
    [RESULT_VERSION] = "version",
    [RESULT_UNSUPPORTED] = "unsupported",
};

const char *result_name(enum result r)
{
    return (unsigned)r < RESULT_COUNT_ ? names[r] : "unknown";
}
