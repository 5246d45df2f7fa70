/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include <criterion/criterion.h>

#include <uidrecv/types.h>

#include "certs.h"
#include "pair.h"

#define WHOLE (64 * 1024)
#define DNS(text)                                                              \
	{                                                                      \
		CERTS_DNS, text, sizeof(text) - 1                              \
	}
#define URI(text)                                                              \
	{                                                                      \
		CERTS_URI, text, sizeof(text) - 1                              \
	}
#define EMAIL(text)                                                            \
	{                                                                      \
		CERTS_EMAIL, text, sizeof(text) - 1                            \
	}
#define IP(text)                                                               \
	{                                                                      \
		CERTS_IP, text, sizeof(text) - 1                               \
	}
#define HUNDRED                                                                \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" \
	"aaaa"                                                                 \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define FIFTY "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

struct example {
	struct certs_name name;
	const char *kept;  /* NULL: left out */
	const char *other; /* that must not match */
};

static const struct example examples[] = {
    {DNS("agent.example"), "agent.example", "agent.example."},
    {DNS("AGENT.Example"), "agent.example", "gent.example"},
    {DNS("*.example"), "*.example", "a.example"},
    {DNS("*"), "*", "a"},
    {DNS("a*.example"), "a*.example", "ab.example"},
    {DNS("agent.example."), "agent.example.", "agent.example"},
    {DNS(".example"), ".example", "a.example"},
    {DNS("xn--bcher-kva.example"), "xn--bcher-kva.example",
     "b\xc3\xbc"
     "cher.example"},
    {DNS("10.0.0.1"), "10.0.0.1", "10.0.0.1"},
    {DNS("[::1]x"), NULL, "::1"},
    {DNS("agent\0.evil"), NULL, "agent"},
    {DNS("\0agent"), NULL, ""},
    {DNS("agent\0"), NULL, "agent"},
    {DNS("agent\n"), NULL, "agent"},
    {DNS("agent\r\nok"), NULL, "agent"},
    {DNS("\x1b[2Jagent"), NULL, "agent"},
    {DNS("agent\x7f"), NULL, "agent"},
    {DNS(" agent"), NULL, "agent"},
    {DNS("agent "), NULL, "agent"},
    {DNS("agent other"), NULL, "other"},
    {DNS("agent\t"), NULL, "agent"},
    {DNS("ag\xc3\xa9nt"), NULL, "ag\xc3\xa9nt"},
    {DNS("ag\xe9nt"), NULL, "ag\xe9nt"},
    {DNS("\xef\xbd\x81gent"), NULL, "agent"},
    {DNS("agent\xe2\x80\xae"), NULL, "agent"},
    {DNS(""), NULL, ""},
    {DNS("http://agent"), NULL, "http://agent"},
    {DNS(HUNDRED HUNDRED FIFTY "ccccc"), HUNDRED HUNDRED FIFTY "ccccc", "a"},
    {DNS(HUNDRED HUNDRED FIFTY "cccccc"), NULL, "a"},
    {URI("spiffe://example/agent"), "spiffe://example/agent",
     "spiffe://example/Agent"},
    {URI("SPIFFE://Example/A"), "SPIFFE://Example/A", "spiffe://example/a"},
    {URI("urn:uuid:1"), "urn:uuid:1", "urn:uuid:1/"},
    {URI("spiffe://example/*"), "spiffe://example/*", "spiffe://example/a"},
    {URI("agent"), NULL, "agent"},
    {URI("spiffe://a\0b"), NULL, "spiffe://a"},
    {URI("spiffe://a b"), NULL, "spiffe://a"},
    {URI("spiffe://\xc3\xa9"), NULL, "spiffe://\xc3\xa9"},
    {EMAIL("agent@example"), NULL, "agent@example"},
    {EMAIL("agent"), NULL, "agent"},
    {IP("\x0a\x00\x00\x01"), NULL, "10.0.0.2"},
    {IP("\x0a\x00\x00"), NULL, "10.0.0"},
    {IP("\x0a\x00\x00\x01\xff\xff\xff\xff"), NULL, "10.0.0.1"},
};

static void join(struct pair *pair, struct certs *certs)
{
	pair_new(pair, pair_context(certs, UR_TLS_CLIENT, "peer", NULL, NULL),
		 pair_context(certs, UR_TLS_SERVER, "receiver", NULL, NULL));
	cr_assert(pair_shake(pair, WHOLE), "%s",
		  ur_tls_get_error(pair->server));
}

static void check(const struct example *example)
{
	struct certs *certs = certs_new_basic("agent", NULL);
	const struct certs_spec spec = {.name = "peer",
					.issuer = "ca",
					.names = &example->name,
					.names_count = 1};
	const char *text = example->name.bytes;
	struct pair pair;

	certs_make(certs, &spec);
	join(&pair, certs);
	cr_assert_eq(ur_tls_get_names_count(pair.server), example->kept != NULL,
		     "%s", text);
	if (example->kept)
		cr_assert_str_eq(ur_tls_get_name(pair.server, 0),
				 example->kept);
	if (example->kept && strcmp(example->kept, example->other) != 0)
		cr_assert(ur_tls_has_name(pair.server, example->kept), "%s",
			  text);
	cr_assert_not(ur_tls_has_name(pair.server, example->other), "%s", text);
	cr_assert_not(ur_tls_has_name(pair.server, "peer"), "common name");
	pair_free(&pair);
	certs_free(certs);
}

Test(tls_names, N24_takes_and_leaves_names_as_promised)
{
	for (size_t i = 0; i < sizeof(examples) / sizeof(*examples); i++)
		check(&examples[i]);
}

Test(tls_names, keeps_the_order_and_leaves_out_the_bad_ones)
{
	static const struct certs_name names[] = {
	    URI("urn:b:2"),   EMAIL("x@example"),
	    DNS("A.example"), DNS("bad\0"),
	    IP("\x0a\0\0\1"), DNS("a.example"),
	    URI("urn:a:1"),   IP("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1"),
	};
	struct certs *certs = certs_new_basic("agent", NULL);
	const struct certs_spec spec = {
	    .name = "peer", .issuer = "ca", .names = names, .names_count = 8};
	struct pair pair;

	certs_make(certs, &spec);
	join(&pair, certs);
	cr_assert_eq(ur_tls_get_names_count(pair.server), 4);
	cr_assert_str_eq(ur_tls_get_name(pair.server, 0), "urn:b:2");
	cr_assert_str_eq(ur_tls_get_name(pair.server, 1), "a.example");
	cr_assert_str_eq(ur_tls_get_name(pair.server, 2), "a.example");
	cr_assert_str_eq(ur_tls_get_name(pair.server, 3), "urn:a:1");
	cr_assert(ur_tls_has_name(pair.server, "10.0.0.1"));
	cr_assert(ur_tls_has_name(pair.server, "2001:DB8:0::1"));
	cr_assert_not(ur_tls_has_name(pair.server, "::ffff:10.0.0.1"));
	cr_assert_not(ur_tls_has_name(pair.server, "10.0.0.1 "));
	cr_assert_not(ur_tls_has_name(pair.server, "010.0.0.1"));
	pair_free(&pair);
	certs_free(certs);
}

Test(tls_names, never_looks_at_the_common_name)
{
	struct certs *certs = certs_new_basic("agent", NULL);
	struct certs_spec spec = {.name = "peer",
				  .issuer = "ca",
				  .subject = "agent.example",
				  .is_bmp = true};
	struct pair pair;

	certs_make(certs, &spec);
	join(&pair, certs);
	cr_assert_eq(ur_tls_get_names_count(pair.server), 0);
	cr_assert_not(ur_tls_has_name(pair.server, "agent.example"));
	pair_free(&pair);
	certs_free(certs);
}
