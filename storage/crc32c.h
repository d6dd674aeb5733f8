/* SPDX-License-Identifier: MIT */
/*
 * CRC-32C (Castagnoli, polynomial 0x1EDC6F41 reflected), as in iSCSI, RFC 3720 B.4. The processor's instruction where it has one,
 * else a table; both give the same value. Pure; any thread.
 */
#ifndef HEARTH_STORAGE_CRC32C_H
#define HEARTH_STORAGE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Continues from crc (0 to begin): crc32c(crc32c(0, a), b) is the checksum of a followed by b. */
uint32_t crc32c(uint32_t crc, const void *data, size_t len);

/* The table's way, for machines without the instruction and for the test that compares the two. */
uint32_t crc32c_table(uint32_t crc, const void *data, size_t len);

#endif
