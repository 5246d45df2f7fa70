/* SPDX-License-Identifier: BSD-2-Clause */
#include <openssl/pem.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "villains.h"

struct live live;
int listener;
uint16_t port;

struct villain {
	const char *name; /* NULL: it has no certificate */
	enum refusal refusal;
	/*
	 * San NULL: the name of the good one, which all have as their subject.
	 */
	struct certs_spec spec;
};

#define GOOD "good"
#define BAD(is_named, ...)                                                     \
	{                                                                      \
		.name = is_named, .spec = { __VA_ARGS__ }                      \
	}
#define STRANGER(is_named, has_san)                                            \
	{                                                                      \
		.name = is_named, .refusal = BY_IDENTITY, .spec = {            \
			.issuer = "ca",                                        \
			.san = has_san                                         \
		}                                                              \
	}
#define BOTH_USES "clientAuth,serverAuth"
/* With more to it than the table says. */
#define FORGED "forged"
#define REVOKED "revoked"
#define OTHER_USE "other-use"
#define ANOTHER "another-agent"

static const struct villain villains[] = {
    BAD("expired", .issuer = "ca", .starts_s = -7200, .ends_s = -3600),
    BAD("early", .issuer = "ca", .starts_s = 3600, .ends_s = 7200),
    BAD("other-authority", .issuer = "ca2"),
    BAD(FORGED, .issuer = "ca"),
    BAD("self-signed", .issuer = NULL),
    BAD(REVOKED, .issuer = "ca"),
    BAD("no-use", .issuer = "ca", .usage = ""),
    BAD(OTHER_USE, .issuer = "ca"),
    BAD("authority", .issuer = "ca", .is_authority = true, .usage = BOTH_USES),
    BAD("short-key", .issuer = "ca", .rsa_bits = 1024),
    {.name = NULL},
    STRANGER("stranger", "DNS:x.example"),
    STRANGER("nameless", ""),
    STRANGER("wild", "DNS:*.example"),
    STRANGER("longer", "DNS:" AGENT ".example,DNS:" RECEIVER ".example"),
    STRANGER(ANOTHER, "DNS:" OTHER),
};
_Static_assert(sizeof(villains) / sizeof(*villains) == VILLAINS, "how many");

static void make_one(const struct way *way, const struct certs_spec *made)
{
	struct certs_spec spec = *made;
	char san[64];

	snprintf(san, sizeof(san), "DNS:%s", way->peer);
	spec.subject = way->peer;
	if (!spec.san)
		spec.san = san;
	else if (!*spec.san)
		spec.san = NULL;
	certs_make(live.certs, &spec);
}

/* An authority of another key that has the same name signs it. */
static void forge(void)
{
	char path[300];
	X509 *certificate;
	FILE *file;

	snprintf(path, sizeof(path), "%s",
		 certs_path(live.certs, FORGED ".pem"));
	file = fopen(path, "r+");
	cr_assert_not_null(file);
	certificate = PEM_read_X509(file, NULL, NULL, NULL);
	cr_assert_not_null(certificate);
	certs_sign(live.certs, certificate, "ca2");
	rewind(file);
	cr_assert_eq(ftruncate(fileno(file), 0), 0);
	cr_assert(PEM_write_X509(file, certificate));
	cr_assert_eq(fclose(file), 0);
	X509_free(certificate);
}

void villains_make(const struct way *way)
{
	const char *use = way->peer_listens ? "serverAuth" : "clientAuth";
	const char *other_use = way->peer_listens ? "clientAuth" : "serverAuth";

	signal(SIGPIPE, SIG_IGN);
	live_init(&live, AGENT, RECEIVER, OTHER, NULL);
	certs_make(live.certs, &(struct certs_spec){.name = "ca2",
						    .subject = "ca",
						    .is_authority = true});
	make_one(way, &(struct certs_spec){
			  .name = GOOD, .issuer = "ca", .usage = use});
	for (size_t i = 0; i < VILLAINS; i++) {
		struct certs_spec spec = villains[i].spec;

		spec.name = villains[i].name;
		if (!spec.name)
			continue;
		if (!strcmp(spec.name, OTHER_USE))
			spec.usage = other_use;
		make_one(way, &spec);
	}
	forge();
	certs_make_crl(live.certs, &(struct certs_crl){.file = "crl.pem",
						       .issuer = "ca",
						       .revoked = REVOKED});
	live.options.crl_path = certs_path(live.certs, "crl.pem");
	if (way->peer_listens)
		listener = wire_listen(&port);
}

/* Does what it can, whatever it is told; nothing comes of it. */
static void try_in(const struct way *way, const struct villain *villain)
{
	const char *name = villain->name ? villain->name : "none";
	struct ur_message message;
	struct wire wire;

	way->meet(&wire, villain->name);
	if (wire_shake(&wire)) {
		way->rush(&wire);
		while (wire_read(&wire, &message)) {
			/* Who connects may hear why not. */
			cr_expect(villain->refusal == BY_IDENTITY &&
				      !way->peer_listens,
				  "%s", name);
			if (message.type == UR_HELLO)
				continue;
			cr_assert_eq(message.type, UR_BYE, "%s: %u", name,
				     message.type);
			cr_expect_eq(message.bye.code,
				     UIDRECV_BYE_NOT_AUTHORIZED);
		}
	}
	/* Without a certificate a server cannot even shake hands. */
	way->refused(villain->name || !way->peer_listens ? villain->refusal
							 : BY_TLS,
		     name);
	wire_free(&wire);
}

void villains_refuse_each(const struct way *way)
{
	struct wire wire;

	for (size_t i = 0; i < VILLAINS; i++) {
		const char *name = villains[i].name;

		/* One that connects is welcome as who it is. */
		if (name && !strcmp(name, ANOTHER) && !way->we_dial)
			continue;
		try_in(way, &villains[i]);
		way->meet(&wire, GOOD);
		way->welcome(&wire);
		wire_free(&wire);
	}
}
