#include "text/token_model.h"

#include <stdarg.h>
#include <stdio.h>

#include "text/tokenizer.h"

enum result token_problem(char *problem, enum result r, const char *fmt, ...)
{
    if (problem) {
        va_list args;
        va_start(args, fmt);
        vsnprintf(problem, TOKENIZER_PROBLEM_BYTES, fmt, args);
        va_end(args);
    }
    return r;
}
