/* SPDX-License-Identifier: BSD-2-Clause */
#include "speakers.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "bench.h"

#define PATIENCE_NS UINT64_C(120000000000)
#define SCRIPT_MAX ((size_t)4 << 30)

static void *read_pem(struct certs *certs, const char *name, const char *what)
{
	char file[64];
	FILE *stream;
	void *read;
	bool is_key = *what;

	snprintf(file, sizeof(file), "%s%s.pem", name, what);
	stream = fopen(certs_path(certs, file), "re");
	bench_must(stream != NULL, file);
	read = is_key ? (void *)PEM_read_PrivateKey(stream, NULL, NULL, NULL)
		      : (void *)PEM_read_X509(stream, NULL, NULL, NULL);
	fclose(stream);
	bench_must(read != NULL, file);
	return read;
}

/* The first one's with another name; no file of the others is needed. */
static X509 *make_certificate(const X509 *first, struct certs *certs, size_t i)
{
	X509 *certificate = X509_dup(first);
	X509_EXTENSION *names;
	char san[48];
	int at;

	bench_must(certificate != NULL, "memory");
	snprintf(san, sizeof(san), "DNS:a%zu", i);
	at = X509_get_ext_by_NID(certificate, NID_subject_alt_name, -1);
	X509_EXTENSION_free(X509_delete_ext(certificate, at));
	names = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, san);
	bench_must(names && X509_add_ext(certificate, names, at) &&
		       ASN1_INTEGER_set_uint64(
			   X509_get_serialNumber(certificate), 0x100000 + i),
		   "a certificate");
	X509_EXTENSION_free(names);
	certs_sign(certs, certificate, "ca");
	return certificate;
}

void speakers_init(struct speakers *speakers, struct certs *certs, size_t count)
{
	static const unsigned char protocol[] = "\x09uidrecv/1";

	*speakers = (struct speakers){.count = count, .seed = bench_now_ns()};
	speakers->list = calloc(count, sizeof(*speakers->list));
	speakers->epoll = epoll_create1(EPOLL_CLOEXEC);
	speakers->ctx = SSL_CTX_new(TLS_client_method());
	bench_must(speakers->list && speakers->epoll >= 0 && speakers->ctx,
		   "memory");
	SSL_CTX_set_alpn_protos(speakers->ctx, protocol, sizeof(protocol) - 1);
	SSL_CTX_set_mode(speakers->ctx,
			 SSL_MODE_ENABLE_PARTIAL_WRITE |
			     SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
			     SSL_MODE_RELEASE_BUFFERS);
	certs_make(certs, &(struct certs_spec){
			      .name = "a0", .issuer = "ca", .san = "DNS:a0"});
	speakers->key = read_pem(certs, "a0", "-key");
	for (size_t i = 0; i < count; i++) {
		struct speaker *speaker = &speakers->list[i];

		speaker->certificate =
		    i ? make_certificate(speakers->list->certificate, certs, i)
		      : read_pem(certs, "a0", "");
		speaker->all = speakers;
		speaker->fd = -1;
		speaker->session_id = bench_random(&speakers->seed) | 1;
		ur_buf_init(&speaker->script, SCRIPT_MAX);
	}
}

void speakers_done(struct speakers *speakers)
{
	for (size_t i = 0; i < speakers->count; i++) {
		speaker_drop(&speakers->list[i]);
		ur_buf_done(&speakers->list[i].script);
		X509_free(speakers->list[i].certificate);
	}
	EVP_PKEY_free(speakers->key);
	SSL_CTX_free(speakers->ctx);
	close(speakers->epoll);
	free(speakers->list);
}

char *speakers_make_list(size_t count)
{
	size_t room = count * 64 + 1;
	char *list = malloc(room), *at = list;

	bench_must(list != NULL, "memory");
	for (size_t i = 0; i < count; i++)
		at += sprintf(at, "a%zu 0.0.0.0/0 mappings_max=100000000\n", i);
	return list;
}

void speakers_adopt(struct speakers *speakers)
{
	close(speakers->epoll);
	speakers->epoll = epoll_create1(EPOLL_CLOEXEC);
	bench_must(speakers->epoll >= 0, "epoll");
	speakers->seed ^= (uint64_t)getpid() << 32;
}

void speakers_drop(struct speakers *speakers)
{
	for (size_t i = 0; i < speakers->count; i++)
		speaker_drop(&speakers->list[i]);
}

void speakers_keep_alive(struct speakers *speakers)
{
	for (size_t i = 0; i < speakers->count; i++)
		if (speakers->list[i].state == SPEAKER_READY)
			speaker_keep_alive(&speakers->list[i]);
	speakers_turn(speakers, 0);
}

void speakers_turn(struct speakers *speakers, int wait_ms)
{
	struct epoll_event events[256];
	int count = epoll_wait(speakers->epoll, events, 256, wait_ms);

	for (int i = 0; i < count; i++)
		speaker_go_on(events[i].data.ptr);
}

void speakers_connect(struct speakers *speakers, size_t first, size_t count,
		      size_t at_once)
{
	uint64_t end_ns = bench_now_ns() + PATIENCE_NS;
	size_t left = count;

	while (left) {
		uint64_t now_ns = bench_now_ns();
		size_t shaking = 0;

		bench_must(now_ns < end_ns, "all agents are connected");
		left = 0;
		for (size_t i = first; i < first + count; i++)
			shaking += speakers->list[i].state == SPEAKER_SHAKING ||
				   speakers->list[i].state == SPEAKER_GREETING;
		for (size_t i = first; i < first + count; i++) {
			struct speaker *speaker = &speakers->list[i];

			left += speaker->state != SPEAKER_READY;
			if (speaker->state != SPEAKER_AWAY ||
			    shaking >= at_once || speaker->retry_ns > now_ns)
				continue;
			speaker_connect(speaker);
			shaking++;
		}
		if (left)
			speakers_turn(speakers, 10);
	}
}

/* How many frames wait for their ACK. */
static uint64_t count_waiting(const struct speakers *speakers)
{
	uint64_t waiting = 0;

	for (size_t i = 0; i < speakers->count; i++)
		waiting += speakers->list[i].serial - speakers->list[i].acked;
	return waiting;
}

void speakers_finish(struct speakers *speakers)
{
	uint64_t end_ns = bench_now_ns() + PATIENCE_NS;
	uint64_t waiting = UINT64_MAX, left;

	for (size_t i = 0; i < speakers->count; i++)
		speaker_go_on(&speakers->list[i]);
	while ((left = count_waiting(speakers)) > 0) {
		if (left < waiting)
			end_ns = bench_now_ns() + PATIENCE_NS;
		waiting = left;
		bench_must(bench_now_ns() < end_ns, "all is acknowledged");
		speakers_turn(speakers, 100);
	}
	for (size_t i = 0; i < speakers->count; i++) {
		struct speaker *speaker = &speakers->list[i];

		speaker->may = 0;
		speaker->sent = 0;
		ur_buf_consume(&speaker->script, speaker->script.size);
	}
}
