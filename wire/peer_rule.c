/* SPDX-License-Identifier: MIT */
#include "wire/peer_rule.h"

enum err peer_rule_parse(struct span text, struct peer_rule *ret_rule)
{
    struct peer_rule rule = {0};
    text = span_trim(text);
    size_t word = 0;
    while (word < text.len && text.data[word] != ' ' && text.data[word] != '\t')
        word++;
    rule.allow = span_equal_text(span_first(text, word), "allow");
    if (!rule.allow && !span_equal_text(span_first(text, word), "deny"))
        return ERR_INVALID;
    struct span what = span_trim(span_skip(text, word));
    if (span_equal_text(what, "all"))
        rule.subject = PEER_RULE_ALL;
    else if (ip_network_parse(what, &rule.network) == ERR_OK)
        rule.subject = PEER_RULE_NETWORK;
    else if (peer_id_parse_text(what, &rule.peer) == ERR_OK)
        rule.subject = PEER_RULE_PEER;
    else
        return ERR_INVALID;
    *ret_rule = rule;
    return ERR_OK;
}
