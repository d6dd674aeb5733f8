/* SPDX-License-Identifier: MIT */
/* S3 without a server: addresses, answers, tags; and the XML that answers are made of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "wire/s3.h"
#include "wire/xml.h"

static void expect_address(const char *endpoint, const char *bucket, const char *key, const char *want)
{
    struct buf address;
    buf_init(&address, 4096, NULL);
    assert_int_equal(s3_address(&address, endpoint, bucket, key), ERR_OK);
    assert_true(span_equal_text(buf_span(&address), want));
    buf_release(&address);
}

static void addresses_are_encoded(void **state)
{
    (void)state;
    expect_address("http://127.0.0.1:5000/", "b", NULL, "http://127.0.0.1:5000/b");
    expect_address("https://s3.example", "my.bucket", "a/b c+d&e~.pack",
                   "https://s3.example/my.bucket/a/b%20c%2Bd%26e~.pack");
    expect_address("https://s3.example", "b/../x", "\xc3\xa4", "https://s3.example/b%2F..%2Fx/%C3%A4");
}

static void queries_are_canonical(void **state)
{
    (void)state;
    struct buf query;
    buf_init(&query, 256, NULL);
    assert_int_equal(s3_parameter(&query, "partNumber", "1"), ERR_OK);
    assert_int_equal(s3_parameter(&query, "uploadId", "a+b/c="), ERR_OK);
    assert_int_equal(s3_parameter(&query, "uploads", NULL), ERR_OK);
    assert_true(span_equal_text(buf_span(&query), "?partNumber=1&uploadId=a%2Bb%2Fc%3D&uploads="));
    buf_release(&query);
}

struct objects {
    char keys[8][64];
    uint64_t bytes[8];
    size_t count;
};

static enum err note_object(void *arg, const char *key, uint64_t bytes)
{
    struct objects *o = arg;
    (void)snprintf(o->keys[o->count], sizeof(o->keys[0]), "%s", key);
    o->bytes[o->count++] = bytes;
    return ERR_OK;
}

static void a_listing_is_read(void **state)
{
    (void)state;
    struct objects o = {.count = 0};
    bool more = false;
    const char *xml = "\xef\xbb\xbf<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                      "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\n"
                      "  <Name>b</Name><Prefix/><IsTruncated>true</IsTruncated>\n"
                      "  <Contents><Key>a&amp;&#98;&#x63;</Key><ETag>&quot;x&quot;</ETag><Size>12</Size>"
                      "<Owner><ID>1</ID><Size>9</Size></Owner></Contents>\n"
                      "  <Contents><Size>0</Size><Key>\xc3\xa4</Key></Contents>\n"
                      "  <CommonPrefixes><Prefix>z/</Prefix></CommonPrefixes>\n"
                      "</ListBucketResult>\n";
    assert_int_equal(s3_read_list(span_text(xml), note_object, &o, &more), ERR_OK);
    assert_int_equal(o.count, 2);
    assert_string_equal(o.keys[0], "a&bc");
    assert_int_equal(o.bytes[0], 12);
    assert_string_equal(o.keys[1], "\xc3\xa4");
    assert_true(more);
    /* Each cut of it is no listing. */
    for (size_t len = 0; len < strlen(xml) - 1; len++)
        assert_int_not_equal(s3_read_list(span_of(xml, len), note_object, &(struct objects){.count = 0}, &more),
                             ERR_OK);
}

static void expect_no_listing(const char *xml)
{
    struct objects o = {.count = 0};
    bool more;
    assert_int_not_equal(s3_read_list(span_text(xml), note_object, &o, &more), ERR_OK);
}

static void what_is_no_listing_is_refused(void **state)
{
    (void)state;
    expect_no_listing("");
    expect_no_listing("not xml");
    expect_no_listing("<html><body>proxy error</body></html>");
    expect_no_listing("<Error><Code>InternalError</Code><IsTruncated>false</IsTruncated></Error>");
    expect_no_listing("<ListBucketResult></ListBucketResult>"); /* does it go on? */
    expect_no_listing("<ListBucketResult><IsTruncated>maybe</IsTruncated></ListBucketResult>");
    expect_no_listing(
        "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Size>1</Size></Contents></ListBucketResult>");
    expect_no_listing(
        "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>k</Key></Contents></ListBucketResult>");
    expect_no_listing("<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>k</Key><Size>-1</Size></"
                      "Contents></ListBucketResult>");
}

static enum err no_element(void *arg, const struct xml_element *element)
{
    (void)arg;
    (void)element;
    return ERR_OK;
}

static enum err read_xml(const char *xml)
{
    return xml_read(span_text(xml), no_element, NULL);
}

static void xml_is_plain_or_refused(void **state)
{
    (void)state;
    assert_int_equal(read_xml("<a/>"), ERR_OK);
    assert_int_equal(read_xml("<a b='c>d' e=\"f\" >t</a >\n"), ERR_OK);
    assert_int_equal(read_xml("<a><b>x</c></a>"), ERR_PROTOCOL);
    assert_int_equal(read_xml("<a></a><b></b>"), ERR_PROTOCOL);
    assert_int_equal(read_xml("<a></a></a>"), ERR_PROTOCOL);
    assert_int_equal(read_xml("<a><!-- c --></a>"), ERR_PROTOCOL);
    assert_int_equal(read_xml("<a><![CDATA[x]]></a>"), ERR_PROTOCOL);
    assert_int_equal(read_xml("<!DOCTYPE a [<!ENTITY e \"e\">]><a>&e;</a>"), ERR_PROTOCOL);
    assert_int_equal(read_xml("<a>&unknown;</a>"), ERR_PROTOCOL);
    assert_int_equal(read_xml("<a>&#0;</a>"), ERR_PROTOCOL);
    assert_int_equal(read_xml("<a>&#xd800;</a>"), ERR_PROTOCOL);
    assert_int_equal(read_xml("<a>&#x110000;</a>"), ERR_PROTOCOL);
    assert_int_equal(read_xml("<a>text<b/></a>"), ERR_PROTOCOL);
    assert_int_equal(read_xml("<a><b/>text</a>"), ERR_PROTOCOL);
    assert_int_equal(read_xml("<a b></a>"), ERR_PROTOCOL);
    assert_int_equal(read_xml("<a><b><c><d><e><f><g><h><i/></h></g></f></e></d></c></b></a>"), ERR_TOO_LARGE);
    char text[XML_TEXT_MAX + 32];
    memset(text, 'x', sizeof(text));
    memcpy(text, "<a>", 3);
    (void)snprintf(text + XML_TEXT_MAX + 4, 8, "</a>");
    assert_int_equal(read_xml(text), ERR_TOO_LARGE);
}

static void single_texts_are_read(void **state)
{
    (void)state;
    char text[8];
    char code[S3_CODE_MAX];
    const char *xml =
        "<InitiateMultipartUploadResult><Key>k</Key><UploadId>i&gt;d</UploadId></InitiateMultipartUploadResult>";
    assert_int_equal(s3_read_text(span_text(xml), "InitiateMultipartUploadResult", "UploadId", text, sizeof(text)),
                     ERR_OK);
    assert_string_equal(text, "i>d");
    assert_int_equal(s3_read_text(span_text(xml), "InitiateMultipartUploadResult", "Bucket", text, sizeof(text)),
                     ERR_NOT_FOUND);
    assert_int_equal(s3_read_text(span_text(xml), "Error", "UploadId", text, sizeof(text)), ERR_PROTOCOL);
    s3_read_error(span_text("<Error><Code>NoSuchKey</Code><Message>m</Message></Error>"), code);
    assert_string_equal(code, "NoSuchKey");
    s3_read_error(span_text("<Error><Code>no\x1b[31m</Code></Error>"), code); /* nothing for a terminal */
    assert_string_equal(code, "");
    s3_read_error(span_text("<html>"), code);
    assert_string_equal(code, "");
}

static void ranges_are_compared_to_the_byte(void **state)
{
    (void)state;
    assert_true(s3_range_is(span_text("bytes 0-0/1"), 0, 1));
    assert_true(s3_range_is(span_text("bytes 10-19/*"), 10, 10));
    assert_false(s3_range_is(span_text("bytes 10-18/100"), 10, 10));
    assert_false(s3_range_is(span_text("bytes 10-190/1000"), 10, 10));
    assert_false(s3_range_is(span_text("bytes 11-20/100"), 10, 10));
    assert_false(s3_range_is(span_text("bytes 10-19"), 10, 10));
    assert_false(s3_range_is(span_text(""), 0, 1));
}

static void tags_are_those_of_most_servers(void **state)
{
    (void)state;
    uint8_t md5[2][S3_MD5_BYTES];
    char tag[S3_ETAG_CHARS];
    char hash[S3_SHA256_CHARS];
    assert_int_equal(s3_md5(span_text(""), md5[0]), ERR_OK);
    s3_etag_of(md5[0], 0, tag);
    assert_string_equal(tag, "d41d8cd98f00b204e9800998ecf8427e"); /* RFC 1321 A.5 */
    assert_true(s3_etag_is(span_text("\"d41d8cd98f00b204e9800998ecf8427e\""), tag));
    assert_true(s3_etag_is(span_text("d41d8cd98f00b204e9800998ecf8427e"), tag));
    assert_false(s3_etag_is(span_text("\"d41d8cd98f00b204e9800998ecf8427f\""), tag));
    assert_false(s3_etag_is(span_text("\""), tag));
    s3_etag_of(md5[0], 12, tag);
    assert_string_equal(tag, "d41d8cd98f00b204e9800998ecf8427e-12");
    assert_int_equal(s3_body_hash(span_text(""), hash), ERR_OK);
    assert_string_equal(hash, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_encoded),
        cmocka_unit_test(queries_are_canonical),
        cmocka_unit_test(a_listing_is_read),
        cmocka_unit_test(what_is_no_listing_is_refused),
        cmocka_unit_test(xml_is_plain_or_refused),
        cmocka_unit_test(single_texts_are_read),
        cmocka_unit_test(ranges_are_compared_to_the_byte),
        cmocka_unit_test(tags_are_those_of_most_servers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
