/* SPDX-License-Identifier: Apache-2.0 */
/* What is wrong follows from the status document: each trouble is told, with whom it concerns and what to do.
 */
#include "control/watch/trouble.h"
#include "unit.h"

#include <string.h>

#define BACKEND(state, why, more)                                                                            \
    "{\"name\": \"one\", \"zone\": \"a\", \"state\": \"" state "\", \"why\": \"" why                         \
    "\", \"share\": 0.0" more "}"
#define POOL(usable, more, backends)                                                                         \
    "{\"pools\": [{\"name\": \"in\", \"usable\": " usable more ", \"backends\": [" backends "]}]}"
#define DOWN(why) POOL("1", "", BACKEND("down", why, ""))

#define RELAY(mode, verdict, gated, families)                                                                \
    ", \"relay\": {\"mode\": \"" mode "\", \"verdict\": \"" verdict "\", \"gated\": " gated                  \
    ", \"families\": [" families "]}"
#define FAMILY(verdict, holds, stranger, trusted, why)                                                       \
    "{\"clients\": \"ipv4\", \"verdict\": \"" verdict "\", \"holds\": \"" holds                              \
    "\", \"stranger\": \"" stranger "\", \"trusted\": \"" trusted "\", \"why\": \"" why "\"}"

#define SOURCE(what) "{\"now\": 900, \"sources\": [{\"name\": \"g\", " what "}]}"

/* Of each document all that is told: severity, about, and a part of what, why and do, between bars. */
static const struct {
    const char *document, *told;
} cases[] = {
    {"{}", ""},
    {POOL("1", "", BACKEND("up", "", "")), ""},
    {POOL("1", "", BACKEND("drain", "set by an operator", "")), ""},
    {"{\"phase\": \"serving\", \"sessions\": {\"now\": 89, \"max\": 100}}", ""},
    {"{\"sessions\": {\"now\": 90, \"max\": 100}}", "warning|gateway|is near|90 of 100 sessions|raise"},
    {"{\"sessions\": {\"now\": 100, \"max\": 100}}", "error|gateway|is reached|100 sessions|raise"},
    {"{\"limits\": {\"descriptors\": {\"now\": 950, \"max\": 1000}}}",
        "warning|gateway|descriptors are short|950 of 1000|LimitNOFILE"},
    {"{\"short_s\": {\"log_dropped\": 599}}", "warning|gateway|lines were dropped|599 s ago|journal"},
    {"{\"short_s\": {\"log_dropped\": 600}}", ""},
    {"{\"short_s\": {\"descriptors_short\": 0}}", "warning|gateway|accepting paused|descriptor|LimitNOFILE"},
    {POOL("1", ", \"discovery\": {\"from\": \"a x\", \"known\": 3, \"kept\": \"no answer\", \"held\": 0}",
         BACKEND("up", "", "")),
        "warning|pool in|the 3 backends that are known are kept|a x: no answer|name servers"},
    {POOL("1", ", \"discovery\": {\"from\": \"a x\", \"known\": 3, \"kept\": \"\", \"held\": 1}",
         BACKEND("up", "", "")),
        "warning|pool in|1 backends instead of 3|a x: half|posternctl reload"},
    {POOL("1", ", \"discovery\": null", BACKEND("up", "", "")), ""},
    {"{\"phase\": \"draining\"}", "warning|gateway|about to end|told to|nothing"},
    {"{\"config\": {\"file\": \"/p.yaml\", \"last_reload\": {\"ok\": true, \"error\": \"\"}}}", ""},
    {"{\"config\": {\"file\": \"/p.yaml\", \"last_reload\": null}}", ""},
    {"{\"config\": {\"file\": \"/p.yaml\", \"last_reload\": {\"ok\": false, \"error\": \"no pool\"}}}",
        "error|configuration|last reload was refused|no pool|postern -c -f /p.yaml"},
    {"{\"config\": {\"last_upgrade\": {\"ok\": true, \"error\": \"\"}}}", ""},
    {"{\"config\": {\"last_upgrade\": {\"ok\": false, \"error\": \"it ended\"}}}",
        "error|gateway|last upgrade failed|it ended|posternctl upgrade"},
    {"{\"listeners\": [{\"name\": \"mx\", \"pool\": \"in\", \"addresses\": [{\"state\": \"refused\"}, "
     "{\"state\": \"served\"}]}]}",
        "error|listener mx|1 of its addresses|pool in has had no backend|bring"},
    {"{\"upstreams\": [{\"address\": \"10.0.0.5\", \"listener\": \"mx\", \"silent\": 7, \"last_s\": 2}]}",
        "warning|listener mx|holds its PROXY header|10.0.0.5 said nothing for 5 s on 7|inspect-delay"},
    {"{\"zone\": \"a\", \"zones\": [{\"name\": \"b\", \"local\": false, \"backends\": 2, \"usable\": 0}]}",
        "warning|zone b|the zone is lost|none of its backends (2)|in common"},
    {"{\"zones\": [{\"name\": \"b\", \"backends\": 0, \"usable\": 0}]}", ""},
    {SOURCE("\"list\": {\"kept\": \"\", \"why\": \"\"}, \"past\": {\"grown\": false, \"new\": false}"), ""},
    {SOURCE("\"list\": {\"kept\": \"/l\", \"why\": \"bad\"}"),
        "warning|source g|the last good list stays|/l: bad|mend the file"},
    {SOURCE("\"past\": {\"grown\": true, \"hour\": 600, \"usual_hour\": 100}"),
        "warning|source g|far more new sessions|600 this hour; of the last week's hours 95 of 100 had at "
        "most 100|"
        "posternctl sources --class g"},
    {SOURCE("\"past\": {\"new\": true, \"first_at\": 700}"),
        "warning|source g|its first session|200 s ago|posternctl sources --class g"},
    {POOL("0", "", ""), "error|pool in|told 421|none of its backends (0)|posternctl ready"},
    {POOL("0", ", \"leaving\": true", BACKEND("leaving", "", "")), ""},
    {POOL("1", ", \"waiting\": 3, \"waiting_max\": 100", BACKEND("up", "", "")),
        "warning|pool in|3 sessions wait|at their limit|max_sessions"},
    {POOL("1", ", \"waiting\": 95, \"waiting_max\": 100", BACKEND("up", "", "")),
        "error|pool in|95 sessions wait|100 may wait|max_sessions"},
    {POOL("1", "",
         BACKEND("up", "", RELAY("off", "right", "false", FAMILY("right", "right", "554 no", "250 ok", "")))),
        ""},
    {POOL("1", "",
         BACKEND("up", "",
             RELAY("off", "inconclusive", "false",
                 FAMILY("inconclusive", "inconclusive", "450 later", "", "y")))),
        ""},
    {POOL("1", "",
         BACKEND("up", "", RELAY("warn", "open", "false", FAMILY("open", "open", "250 ok", "", "x")))),
        "error|backend in/one|strangers can send mail|ipv4: asked as a stranger it said: 250 ok|mynetworks"},
    {POOL("1", "",
         BACKEND("down", "z", RELAY("gate", "open", "true", FAMILY("open", "open", "250 ok", "", "x")))),
        "error|backend in/one|gets no session|250 ok|mynetworks"},
    {POOL("1", "", BACKEND("down", "z", RELAY("gate", "untested", "true", ""))),
        "warning|backend in/one|before its relay test|gate|under way"},
    {POOL("1", "",
         BACKEND("up", "",
             RELAY("warn", "right", "false",
                 FAMILY("inconclusive", "right", "RCPT 450 4.2.0 later", "", "not answered")))),
        "warning|backend in/one|proves nothing|ipv4: not answered (RCPT 450 4.2.0 later)|greylisting"},
    {POOL("1", "",
         BACKEND("up", "",
             RELAY("warn", "inconclusive", "false",
                 FAMILY("inconclusive", "inconclusive", "554 no", "554 no",
                     "it refuses the trusted address as well")))),
        "warning|backend in/one|proves nothing|as well (554 no)|relay_test.recipient"},
    {POOL("1", "",
         BACKEND("up", "",
             RELAY("warn", "inconclusive", "false",
                 FAMILY("inconclusive", "inconclusive", "554 no", "",
                     "no trusted address of this family is configured")))),
        "warning|backend in/one|proves nothing|(554 no)|add to relay_test.trusted"},
    {POOL("1", "",
         BACKEND("down", "",
             RELAY("gate", "inconclusive", "true",
                 FAMILY("inconclusive", "inconclusive", "no connection in 15s", "", "x")))),
        "warning|backend in/one|gets no session: its relay test proves nothing|no connection|come back to "
        "this gateway"},
    {DOWN("connection refused"), "warning|backend in/one|down|connection refused|listens at its address"},
    {DOWN("no connection in 4s"), "warning|backend in/one|down|no connection|see that in/one can be reached"},
    {DOWN("greeting: no reply in 15s"), "warning|backend in/one|down|no reply|in/one takes connections"},
    {DOWN("greeting: connection closed"), "warning|backend in/one|down|closed|in/one hangs up"},
    {DOWN("greeting 421 busy"), "warning|backend in/one|down|421 busy|see its log and its load"},
    {DOWN("greeting 421 4.3.0 mx Server local error"),
        "warning|backend in/one|down|local error|if in/one is a Postfix"},
    {DOWN("EHLO: STARTTLS is not offered"), "warning|backend in/one|down|STARTTLS|certificate"},
    {DOWN("RCPT 550 no"), "warning|backend in/one|down|550|check.rcpt"},
    {DOWN("declared by an operator"), "warning|backend in/one|down|declared|set server in/one health up"},
    {DOWN("%s%n%d"), "warning|backend in/one|down|%s%n%d|look into the log of in/one"},
    {POOL("1", "", BACKEND("suspect", "greeting 421 x", "")),
        "warning|backend in/one|suspect|421 x|its load"},
    {POOL("1", "", BACKEND("up", "", ", \"agent\": {\"failing\": true, \"reason\": \"refused\"}")),
        "warning|backend in/one|agent does not answer|refused|see that the agent runs"},
    {POOL("1", "", BACKEND("unchecked", "", ", \"check\": {\"paused\": true}")),
        "warning|backend in/one|checks are stopped|operator|enable health in/one"},
    {POOL("1", "", BACKEND("up", "", ", \"busy_limit\": 4, \"max_sessions\": 4, \"sessions\": 4")),
        "warning|backend in/one|at most 4 sessions|421|load"},
    {POOL("1", "", BACKEND("up", "", ", \"late_factor\": 0.25")),
        "warning|backend in/one|25% of its weight|far later|load"},
    {POOL("1", "", BACKEND("up", "", ", \"late_factor\": 1.0")), ""},
    {POOL("1", "", BACKEND("up", "", ", \"max_sessions\": 4, \"sessions\": 4")),
        "warning|backend in/one|at its limit|4 of 4|raise max_sessions"},
    {"{\"zone\": \"a\", \"pools\": [{\"name\": \"in\", \"usable\": 2, \"zones\": \"prefer-local\", "
     "\"backends\": ["
     "{\"zone\": \"a\", \"state\": \"up\", \"share\": 0.7}, {\"zone\": \"b\", \"state\": \"up\", \"share\": "
     "0.3}]}]}",
        "warning|pool in|30% of new sessions leave zone a|5/7|nothing is lost"},
    {"{\"zone\": \"a\", \"pools\": [{\"name\": \"in\", \"usable\": 2, \"zones\": \"off\", \"backends\": ["
     "{\"zone\": \"a\", \"state\": \"up\", \"share\": 0.7}, {\"zone\": \"b\", \"state\": \"up\", \"share\": "
     "0.3}]}]}",
        ""},
};

static void expect(const json_t *one, const char *told)
{
    static const char *const keys[] = {"severity", "about", "what", "why", "do"};
    char *own = strdup(told), *rest = own;

    for (size_t i = 0; i < COUNT(keys); i++) {
        const char *found = json_string_value(json_object_get(one, keys[i])), *wanted = strsep(&rest, "|");
        assert_non_null(found);
        if (!strstr(found, wanted))
            fail_msg("%s: \"%s\" has no \"%s\"", keys[i], found, wanted);
    }
    free(own);
}

static void each_trouble_is_told(void **state)
{
    for (size_t i = 0; i < COUNT(cases); i++) {
        json_t *document = json_loads(cases[i].document, 0, NULL);
        assert_non_null(document);
        json_t *found = trouble_find(document);
        if (json_array_size(found) != (cases[i].told[0] ? 1 : 0))
            fail_msg("%s: %zu told", cases[i].document, json_array_size(found));
        if (cases[i].told[0])
            expect(json_array_get(found, 0), cases[i].told);
        json_decref(found);
        json_decref(document);
    }
}

static void the_worst_comes_first(void **state)
{
    json_t *document = json_loads("{\"phase\": \"draining\", \"pools\": [{\"name\": \"in\", \"usable\": 0, "
                                  "\"backends\": [" BACKEND("down", "connection refused", "") "]}]}",
        0, NULL);
    json_t *found = trouble_find(document);

    assert_int_equal(json_array_size(found), 3);
    expect(json_array_get(found, 0), "error|pool in|421||");
    expect(json_array_get(found, 1), "error|backend in/one|down||");
    expect(json_array_get(found, 2), "warning|gateway|end||");
    json_decref(found);
    json_decref(document);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_trouble_is_told),
        cmocka_unit_test(the_worst_comes_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
