/* SPDX-License-Identifier: MIT */
/*
 * Who we are to an S3 server: what the configuration says, else AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, else the profile
 * AWS_PROFILE ("default") of AWS_SHARED_CREDENTIALS_FILE (~/.aws/credentials), in the format of the AWS tools.
 *
 * Secrets: wiped by s3_credentials_wipe, never part of a text.
 */
#ifndef HEARTH_STORAGE_S3_CREDENTIALS_H
#define HEARTH_STORAGE_S3_CREDENTIALS_H

#include "base/attr.h"
#include "base/buf.h"
#include "mailbox/ports.h"

enum { S3_KEY_ID_MAX = 129, S3_SECRET_MAX = 129, S3_TOKEN_MAX = 4096, S3_CREDENTIALS_FILE_MAX = 64 * 1024 };

struct s3_credentials {
    char key_id[S3_KEY_ID_MAX];
    char secret[S3_SECRET_MAX];
    char token[S3_TOKEN_MAX]; /* "" = none */
};

/* Environment variables: getenv in production. */
typedef const char *s3_environment(const char *name);

/*
 * key_id and secret: from the configuration; both or none (NULL or ""). Blocks: reads the file. ERR_NOT_FOUND: there are none anywhere;
 * ERR_INVALID: half of them, or too long; what the port says of the file.
 */
enum err s3_credentials_find(const struct disk_port *port, s3_environment *environment, const char *key_id,
                             const char *secret, struct s3_credentials *ret_credentials) MUST_CHECK;

/* The profile of a file's text. ERR_NOT_FOUND, ERR_INVALID. */
enum err s3_credentials_parse(struct span text, const char *profile, struct s3_credentials *ret_credentials) MUST_CHECK;

void s3_credentials_wipe(struct s3_credentials *credentials);

#endif
