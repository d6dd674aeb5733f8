/* SPDX-License-Identifier: MIT */
/* The numbers of the fields in DHT messages: private to kad.c and kad_writer.c. */
#ifndef HEARTH_WIRE_KAD_FIELDS_H
#define HEARTH_WIRE_KAD_FIELDS_H

enum { KAD_MESSAGE_TYPE = 1, KAD_MESSAGE_KEY = 2, KAD_MESSAGE_RECORD = 3 }; /* and enum kad_list */
enum { KAD_RECORD_KEY = 1, KAD_RECORD_VALUE = 2, KAD_RECORD_TIME = 5 };
enum { KAD_PEER_ID = 1, KAD_PEER_ADDR = 2, KAD_PEER_CONNECTION = 3 };

#endif
