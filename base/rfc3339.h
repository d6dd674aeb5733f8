/* SPDX-License-Identifier: MIT */
/*
 * Times as text: RFC 3339 with up to nanoseconds, in UTC when written.
 *
 *      2123-08-14T12:17:03.694052Z     2026-01-02T03:04:05+02:00
 *
 * A time is nanoseconds since 1970, which ends in July 2554: an earlier time reads as 0, a later one as UINT64_MAX, so that both sort where
 * they belong. Nothing here allocates or depends on locale or time zone.
 */
#ifndef HEARTH_BASE_RFC3339_H
#define HEARTH_BASE_RFC3339_H

#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"

enum { RFC3339_TEXT_MAX = 32 }; /* the longest one written has 30 bytes, and a NUL */

/*
 * Reads one time and nothing around it. 'T' and 'Z' are in upper case, and a second is never 60, as Go reads them; digits after the ninth of
 * a fraction are dropped. ERR_INVALID.
 */
enum err rfc3339_parse(struct span text, uint64_t *ret_ns) MUST_CHECK;

/* Writes a time in UTC, the fraction without zeros at its end. */
void rfc3339_format(uint64_t ns, char to[RFC3339_TEXT_MAX]);

#endif
