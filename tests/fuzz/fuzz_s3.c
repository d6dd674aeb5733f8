/* SPDX-License-Identifier: MIT */
/* Whatever an S3 server answers: as a listing of objects and of uploads, as an answer with one text, and as an error. */
#include <stdlib.h>
#include <string.h>

#include "wire/s3.h"
#include "wire/xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum err on_object(void *arg, const char *key, uint64_t bytes)
{
    (void)arg;
    (void)bytes;
    if (key[0] == '\0' || strlen(key) > S3_KEY_MAX)
        abort();
    return ERR_OK;
}

static enum err on_upload(void *arg, const char *key, const char *id)
{
    (void)arg;
    if (key[0] == '\0' || id[0] == '\0' || strlen(id) > S3_UPLOAD_ID_MAX)
        abort();
    return ERR_OK;
}

static enum err on_element(void *arg, const struct xml_element *element)
{
    (void)arg;
    if (element->depth == 0 || element->depth > XML_DEPTH_MAX || element->name.len == 0 ||
        element->text.len > XML_TEXT_MAX)
        abort();
    return ERR_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span xml = span_of(data, size);
    char text[64];
    bool more;
    (void)!xml_read(xml, on_element, NULL);
    (void)!s3_read_list(xml, on_object, NULL, &more);
    (void)!s3_read_uploads(xml, on_upload, NULL, &more);
    (void)!s3_read_text(xml, "InitiateMultipartUploadResult", "UploadId", text, sizeof(text));
    s3_read_error(xml, text);
    (void)s3_range_is(xml, size, 7);
    return 0;
}
