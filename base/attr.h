/* SPDX-License-Identifier: MIT */
/*
 * Compiler attributes and the few macros that every folder shares.
 */
#ifndef HEARTH_BASE_ATTR_H
#define HEARTH_BASE_ATTR_H

#include <stddef.h>

/* The caller must look at the result: an ignored error is a bug. */
#define MUST_CHECK             __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define UNUSED                 __attribute__((unused))
/* Runs fn(&var) when the variable leaves its scope. Destructors used with it accept empty values. */
#define CLEANUP(fn) __attribute__((cleanup(fn)))

#define ARRAY_LEN(a)                    (sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
#undef MIN /* sys/param.h has its own */
#undef MAX
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

#define KIB       ((size_t)1024)
#define MIB       ((size_t)1024 * 1024)
#define MS_NS     UINT64_C(1000000)
#define SECOND_NS UINT64_C(1000000000)

/* For what is to be made anew for each constant argument, and for what does nothing but prefetch: gcc drops calls of such functions. */
#define INLINE_ALWAYS static inline __attribute__((always_inline))

#endif
