/* SPDX-License-Identifier: BSD-2-Clause */
#include "bare-tls.h"

#include <arpa/inet.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

#define HELLO_BYTES 120

static SSL_CTX *make_context(const struct site *site)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	bench_must(
	    ctx && SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) &&
		SSL_CTX_set_ciphersuites(ctx, "TLS_AES_256_GCM_SHA384") &&
		SSL_CTX_set1_groups_list(ctx, "X25519:P-256:P-384") &&
		SSL_CTX_set_num_tickets(ctx, 0) &&
		SSL_CTX_use_certificate_chain_file(ctx,
						   site->options.cert_path) &&
		SSL_CTX_use_PrivateKey_file(ctx, site->options.key_path,
					    SSL_FILETYPE_PEM) &&
		SSL_CTX_load_verify_locations(ctx, site->options.ca_path, NULL),
	    "a context of OpenSSL");
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(ctx, SSL_MODE_NO_AUTO_CHAIN);
	SSL_CTX_set_read_ahead(ctx, 1); /* fewer read() */
	SSL_CTX_set_verify(
	    ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	return ctx;
}

static void serve_one(SSL_CTX *ctx, int fd)
{
	static char hello[HELLO_BYTES];
	SSL *ssl = SSL_new(ctx);

	bench_must(ssl && SSL_set_fd(ssl, fd), "memory");
	bench_must(SSL_accept(ssl) == 1, "a handshake");
	bench_must(SSL_write(ssl, hello, sizeof(hello)) == sizeof(hello),
		   "a hello");
	(void)SSL_read(ssl, hello, sizeof(hello)); /* the end */
	SSL_free(ssl);
	close(fd);
}

_Noreturn static void serve(const struct site *site, int listener)
{
	SSL_CTX *ctx = make_context(site);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGTERM, SIG_DFL);
	site_pin(true);
	for (;;) {
		int fd = accept(listener, NULL, NULL);

		bench_must(fd >= 0, "accept");
		serve_one(ctx, fd);
	}
}

pid_t bare_tls_start(const struct site *site, uint16_t *ret_port)
{
	struct sockaddr_in name = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(name);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	pid_t pid;

	bench_must(listener >= 0 &&
		       !bind(listener, (struct sockaddr *)&name, size) &&
		       !listen(listener, 128) &&
		       !getsockname(listener, (struct sockaddr *)&name, &size),
		   "a socket");
	*ret_port = ntohs(name.sin_port);
	pid = fork();
	bench_must(pid >= 0, "fork");
	if (!pid)
		serve(site, listener);
	close(listener);
	return pid;
}

double bare_tls_cpu_s(pid_t pid)
{
	struct timespec time;
	clockid_t clock;

	bench_must(clock_getcpuclockid(pid, &clock) == 0 &&
		       clock_gettime(clock, &time) == 0,
		   "a processor's clock");
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

void bare_tls_end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}
