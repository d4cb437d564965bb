// The result of everything that can fail. Zero is success; values come back through out-parameters.
//
// Three kinds of failure are kept apart: a caller's bug is an assert, trouble in the environment is a code
// below, and a limit that was reached is a code that names the limit. `result_name` gives the stable text that
// logs, error bodies and tests use; a code is never reused for another meaning.
#ifndef MERIT_BASE_RESULT_H
#define MERIT_BASE_RESULT_H

enum result {
    RESULT_OK = 0,
    RESULT_NOMEM,       // the allocator had none left
    RESULT_LIMIT,       // a cap given at init was reached; the caller names it
    RESULT_SYNTAX,      // the input is not of the grammar
    RESULT_UTF8,        // the input is not UTF-8, or holds a NUL where none may be
    RESULT_DEPTH,       // nested deeper than allowed
    RESULT_DUPLICATE,   // a key that must be unique stands twice
    RESULT_TYPE,        // well-formed, but of another type than asked for
    RESULT_RANGE,       // a number out of range
    RESULT_NOT_FOUND,   // no such name, file, key, record
    RESULT_EXISTS,      // it exists already
    RESULT_DENIED,      // not allowed
    RESULT_IO,          // the system refused a read, write, open; errno tells more
    RESULT_AGAIN,       // would block; ask again when told
    RESULT_EOF,         // ended before it was whole
    RESULT_TIMEOUT,     // its time ran out
    RESULT_CANCELLED,   // given up by its owner
    RESULT_REFUSED,     // the peer refused the connection
    RESULT_RESET,       // the peer broke the connection
    RESULT_DNS,         // the name has no address
    RESULT_TLS,         // the handshake or a record failed
    RESULT_PROTOCOL,    // the peer broke the protocol
    RESULT_VERSION,     // a file or struct of another version
    RESULT_UNSUPPORTED, // valid, but this build cannot do it
    RESULT_COUNT_
};

// Stable lower-case name, such as "limit"; "unknown" for a value outside the list.
const char *result_name(enum result r);

#endif
