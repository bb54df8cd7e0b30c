/* SPDX-License-Identifier: Apache-2.0 */
/* Postfix's questions: what is taken from them, where they end, and what is none. */
#include "policy.h"
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* As Postfix 3.7 asks at the end of a message. */
static const char real[] =
    "request=smtpd_access_policy\nprotocol_state=END-OF-MESSAGE\nprotocol_name=ESMTP\n"
    "client_address=2001:db8::7\nclient_name=mail.example\nclient_port=40444\nreverse_client_name=mail."
    "example\n"
    "server_address=192.0.2.25\nserver_port=25\nhelo_name=mail.example\nsender=a=b@mail.example\nrecipient=\n"
    "recipient_count=17\nqueue_id=4ABC\ninstance=1b2c.65f0.1.0\nsize=1234\netrn_domain=\nstress=\n"
    "sasl_method=plain\nsasl_username=alice\nsasl_sender=\nccert_subject=\nccert_issuer=\nccert_fingerprint="
    "\n"
    "ccert_pubkey_fingerprint=\nencryption_protocol=TLSv1.3\nencryption_cipher=X\nencryption_keysize=256\n"
    "policy_context=\n\n";

static struct policy_request r;
static size_t used;
static const char *why;

static int parse(const char *text)
{
    return policy_parse(text, strlen(text), &r, &used, &why);
}

static void a_real_request_is_understood(void **state)
{
    char host[ADDR_TEXT_MAX];

    assert_int_equal(parse(real), 0);
    assert_int_equal(used, strlen(real));
    assert_string_equal(addr_format_host(&r.client, host), "2001:db8::7");
    assert_string_equal(r.user, "alice");
    assert_int_equal(r.recipients, 17);
    assert_true(r.whole_message);
}

static void every_beginning_of_a_request_waits_for_more(void **state)
{
    for (size_t n = 0; n < strlen(real); n++)
        assert_int_equal(policy_parse(real, n, &r, &used, &why), -EAGAIN);
}

static void what_follows_is_left_for_later(void **state)
{
    char two[2 * sizeof(real)];

    strcpy(two, real);
    strcat(two, "request=");
    assert_int_equal(parse(two), 0);
    assert_int_equal(used, strlen(real));
}

#define HEAD "request=smtpd_access_policy\nprotocol_state=END-OF-MESSAGE\n"

static void what_is_no_request_is_refused_with_its_reason(void **state)
{
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"\n", "no request=smtpd_access_policy"},
        {"request=smtpd_access_policy_\n\n", "no request=smtpd_access_policy"},
        {"request=smtpd_access_policy\n\n", "no protocol_state"},
        {HEAD "\n", "no recipient_count"},
        {HEAD "recipient_count=1000001\n\n", "a recipient_count that is no number up to 1000000"},
        {HEAD "recipient_count=99999999999999999999\n\n",
            "a recipient_count that is no number up to 1000000"},
        {HEAD "recipient_count=-1\n\n", "a recipient_count that is no number up to 1000000"},
        {HEAD "recipient_count=\n\n", "a recipient_count that is no number up to 1000000"},
        {HEAD "recipient_count=1\nrecipient_count=1\n\n", "an attribute given twice"},
        {"EHLO somebody\r\n", "a line without ="},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(parse(cases[i].text), -EINVAL);
        assert_string_equal(why, cases[i].why);
    }
}

static void a_request_that_does_not_end_is_refused(void **state)
{
    static char endless[POLICY_REQUEST_MAX];

    memset(endless, 'x', sizeof(endless));
    assert_int_equal(policy_parse(endless, sizeof(endless) - 1, &r, &used, &why), -EAGAIN);
    assert_int_equal(policy_parse(endless, sizeof(endless), &r, &used, &why), -EINVAL);
    assert_string_equal(why, "a request of more than 8192 bytes");
}

static void clients_are_addresses_or_none(void **state)
{
    static const struct {
        const char *line, *host;
    } cases[] = {
        {"client_address=192.0.2.1\n", "192.0.2.1"},
        {"client_address=::ffff:192.0.2.1\n", "192.0.2.1"},
        {"client_address=unknown\n", "-"},
        {"client_address=\n", "-"},
        {"client_address=2001:db8::1:2:3:4:5:6:7:8:9:a:b:c:d:e:f:0:1:2:3:4:5:6\n", "-"},
        {"", "-"},
    };
    char text[300], host[ADDR_TEXT_MAX];

    for (size_t i = 0; i < COUNT(cases); i++) {
        snprintf(text, sizeof(text), HEAD "recipient_count=1\n%s\n", cases[i].line);
        assert_int_equal(parse(text), 0);
        assert_string_equal(addr_format_host(&r.client, host), cases[i].host);
    }
}

static void logins_are_safe_for_a_line_of_the_log(void **state)
{
    char text[600] = HEAD "recipient_count=1\nsasl_username=a\"b\\c\x1b\x7f ö";
    size_t n = strlen(text);

    memset(text + n, 'x', 300);
    strcpy(text + n + 300, "\n\n");
    assert_int_equal(parse(text), 0);
    assert_memory_equal(r.user, "a?b?c?? ö", 10);
    assert_int_equal(strlen(r.user), POLICY_USER_MAX - 1);
}

static void other_states_have_no_need_of_a_count(void **state)
{
    assert_int_equal(parse("request=smtpd_access_policy\nprotocol_state=RCPT\n\n"), 0);
    assert_false(r.whole_message);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_real_request_is_understood),
        cmocka_unit_test(every_beginning_of_a_request_waits_for_more),
        cmocka_unit_test(what_follows_is_left_for_later),
        cmocka_unit_test(what_is_no_request_is_refused_with_its_reason),
        cmocka_unit_test(a_request_that_does_not_end_is_refused),
        cmocka_unit_test(clients_are_addresses_or_none),
        cmocka_unit_test(logins_are_safe_for_a_line_of_the_log),
        cmocka_unit_test(other_states_have_no_need_of_a_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
