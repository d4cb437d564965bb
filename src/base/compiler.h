// Compiler attributes, in one place so that a move to C23 is a change of this file.
#ifndef MERIT_BASE_COMPILER_H
#define MERIT_BASE_COMPILER_H

#define MERIT_NODISCARD __attribute__((warn_unused_result))
#define MERIT_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define MERIT_LIKELY(x) __builtin_expect(!!(x), 1)
#define MERIT_UNLIKELY(x) __builtin_expect(!!(x), 0)
// Seldom called: it and the ways to it are kept out of the lines of code that every request reads.
#define MERIT_COLD __attribute__((cold))
#define MERIT_FALLTHROUGH __attribute__((fallthrough))

#define MERIT_COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MERIT_CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#endif
