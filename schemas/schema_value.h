/* SPDX-License-Identifier: MIT */
/* What packing and unpacking share: whether the member at `at` lies within its declared limits. */
#ifndef HEARTH_SCHEMAS_SCHEMA_VALUE_H
#define HEARTH_SCHEMAS_SCHEMA_VALUE_H

#include <stdbool.h>

#include "schemas/schema.h"

bool schema_in_range(const struct field *f, const void *at);

#endif
