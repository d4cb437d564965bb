// What can go wrong with an attempt, and what follows from it.

#include "path/path_inner.h"

enum {
    PLACE = FAIL_ELSEWHERE,
    UNTAKEN = FAIL_ELSEWHERE | FAIL_UNTAKEN,
    // One place may have another gate, account or model than its peers, and has done nothing. Where all of them refuse,
    // time does not mend it.
    DENIED = UNTAKEN | FAIL_FINAL
};

const struct path_failure
    FAILURE_NO_MEMORY = {503, "no_memory", PATH_DROPPED, 0, "Merit has no memory for this answer."},
    FAILURE_NO_ROOM = {503, "no_memory", PATH_DROPPED, 0, "Merit has no room for another call."},
    FAILURE_NOT_ANSWERED = {504, "upstream_timeout", PATH_DID_NOT, 0,
                            "The model's endpoint did not answer in time."},
    FAILURE_NOT_A_STREAM = {502, "upstream_content_type", PATH_DID_NOT, PLACE,
                            "The model's endpoint did not answer with an event stream."},
    FAILURE_NOT_JSON = {502, "upstream_content_type", PATH_DID_NOT, PLACE,
                        "The model's endpoint did not answer with JSON."},
    FAILURE_ANSWER_TOO_LARGE = {502, "upstream_answer_too_large", PATH_DID, 0,
                                "The answer of the model's endpoint is over the limit."},
    FAILURE_BAD_STREAM = {502, "upstream_invalid_response", PATH_DID_NOT, PLACE,
                          "The model's endpoint sent no valid event stream."},
    FAILURE_ERROR_EVENT = {502, "upstream_error_event", PATH_DID_NOT, PLACE,
                           "The model's endpoint reported an error."},
    FAILURE_EVENT_TOO_LARGE = {502, "upstream_event_too_large", PATH_DID_NOT, 0,
                               "An event of the model's endpoint is over the limit."},
    FAILURE_EMPTY_STREAM = {502, "upstream_empty_stream", PATH_DID_NOT, PLACE,
                            "The model's endpoint ended its stream without an event."},
    FAILURE_BAD_ANSWER = {502, "upstream_invalid_response", PATH_DID_NOT, PLACE,
                          "The model's endpoint sent no valid answer."},
    FAILURE_ERROR_ANSWER = {502, "upstream_error", PATH_DID_NOT, PLACE,
                            "The model's endpoint reported an error."};

static const struct path_failure
    UNREACHABLE = {502, "upstream_unreachable", PATH_REFUSED, UNTAKEN,
                   "The model's endpoint cannot be reached."},
    NOT_ACCEPTED = {504, "upstream_timeout", PATH_REFUSED, UNTAKEN,
                    "The model's endpoint did not accept a connection in time."},
    NO_HANDSHAKE = {502, "upstream_tls", PATH_REFUSED, UNTAKEN,
                    "The TLS handshake with the model's endpoint failed."},
    NO_CONNECTION = {503, "upstream_connections", PATH_LIMITED, UNTAKEN,
                     "All connections to the model's endpoint are in use."},
    HEAD_TOO_LARGE = {502, "upstream_headers_too_large", PATH_DID_NOT, PLACE,
                      "The head of the answer of the model's endpoint is over the limit."},
    NOT_HTTP = {502, "upstream_invalid_response", PATH_DID_NOT, PLACE,
                "The model's endpoint did not answer in valid HTTP."},
    CUT = {502, "upstream_cut", PATH_DID_NOT, PLACE,
           "The model's endpoint broke off before its answer was whole."},
    RATE_LIMITED = {429, "upstream_rate_limited", PATH_LIMITED, UNTAKEN,
                    "The model's endpoint is limiting its rate."},
    OVERLOADED = {503, "upstream_overloaded", PATH_DID_NOT, UNTAKEN,
                  "The model's endpoint is overloaded."},
    TIMED_OUT = {504, "upstream_timeout", PATH_DID_NOT, PLACE, "The model's endpoint timed out."},
    KEY_REFUSED = {502, "upstream_auth", PATH_DENIED, DENIED,
                   "The model's endpoint refused Merit's key for it; see `merit doctor`."},
    NO_CREDIT = {502, "upstream_payment", PATH_DENIED, DENIED,
                 "The account at the model's endpoint has no credit."},
    NOT_KNOWN = {502, "upstream_not_found", PATH_DENIED, DENIED,
                 "The model's endpoint does not know the path or the model; see `merit doctor`."},
    BROKEN = {502, "upstream_error", PATH_DID_NOT, PLACE, "The model's endpoint failed."},
    ODD_STATUS = {502, "upstream_error", PATH_DID_NOT, 0, "The model's endpoint failed."};

const struct path_failure *path_failure_of_error(enum result why, enum http_phase phase)
{
    if (phase == HTTP_PHASE_CONNECT)
        return why == RESULT_TIMEOUT ? &NOT_ACCEPTED
               : why == RESULT_TLS   ? &NO_HANDSHAKE
               : why == RESULT_LIMIT ? &NO_CONNECTION
                                     : &UNREACHABLE;
    return why == RESULT_TIMEOUT    ? &FAILURE_NOT_ANSWERED
           : why == RESULT_LIMIT    ? &HEAD_TOO_LARGE
           : why == RESULT_PROTOCOL ? &NOT_HTTP
                                    : &CUT;
}

const struct path_failure *path_failure_of_status(int status)
{
    switch (status) {
    case 429:
        return &RATE_LIMITED;
    case 503:
    case 529:
        return &OVERLOADED;
    case 408:
    case 504:
        return &TIMED_OUT;
    case 401:
    case 403:
    case 407:
        return &KEY_REFUSED;
    case 402:
        return &NO_CREDIT;
    case 404:
        return &NOT_KNOWN;
    default:
        return status >= 500 ? &BROKEN : &ODD_STATUS;
    }
}
