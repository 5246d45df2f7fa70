/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <criterion/criterion.h>

#include <uidrecv/types.h>

#include "certs.h"
#include "pair.h"

#define WHOLE (64 * 1024)
#define DATA_SIZE 40000

static void fill(uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(i * 7 + i / 251);
}

/* Writes, moves and reads; the bytes must come out as they went in. */
static void carry(struct ur_tls *from, struct ur_tls *to, size_t step)
{
	static uint8_t in[DATA_SIZE], out[DATA_SIZE + 1];
	size_t got = 0;
	int result;

	fill(in, sizeof(in));
	cr_assert_eq(ur_tls_write(from, in, sizeof(in)), 0);
	while (pair_move(from, to, step) > 0) {
		while ((result =
			    ur_tls_next(to, out + got, sizeof(out) - got)) > 0)
			got += (size_t)result;
		cr_assert_eq(result, 0, "%s", ur_tls_get_error(to));
	}
	cr_assert_eq(got, sizeof(in));
	cr_assert_arr_eq(in, out, sizeof(in));
}

Test(tls, N06_any_step_gives_the_same_bytes)
{
	static const size_t steps[] = {1, 16, 256, 4096, WHOLE};
	struct certs *certs = certs_new_basic("agent", NULL);
	struct pair pair;

	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		pair_new_basic(&pair, certs);
		cr_assert(pair_shake(&pair, steps[i]));
		carry(pair.client, pair.server, steps[i]);
		carry(pair.server, pair.client, steps[i]);
		cr_assert_str_empty(ur_tls_get_error(pair.server));
		pair_free(&pair);
	}
	certs_free(certs);
}

Test(tls, names_the_peer)
{
	struct certs *certs = certs_new_basic("agent", NULL);
	struct pair pair;
	int64_t end = time(NULL) + 86400;

	pair_new_basic(&pair, certs);
	cr_assert_eq(ur_tls_get_names_count(pair.server), 0);
	cr_assert_not(ur_tls_has_name(pair.server, "agent"));
	cr_assert(pair_shake(&pair, WHOLE));
	cr_assert_eq(ur_tls_get_names_count(pair.server), 1);
	cr_assert_str_eq(ur_tls_get_name(pair.server, 0), "agent");
	cr_assert_null(ur_tls_get_name(pair.server, 1));
	cr_assert(ur_tls_has_name(pair.client, "localhost"));
	cr_assert(ur_tls_has_name(pair.client, "LocalHost"));
	cr_assert(ur_tls_has_name(pair.client, "127.0.0.1"));
	cr_assert(ur_tls_has_name(pair.client, "::1"));
	cr_assert_not(ur_tls_has_name(pair.client, "127.0.0.2"));
	cr_assert_not(ur_tls_has_name(pair.client, "local"));
	cr_assert_not(ur_tls_has_name(pair.client, ""));
	cr_assert_geq(ur_tls_get_not_after(pair.server), end - 60);
	cr_assert_leq(ur_tls_get_not_after(pair.server), end + 60);
	pair_free(&pair);
	certs_free(certs);
}

/* Gives the server the first bytes of the client's, then the end. */
static bool cut_to_server(struct certs *certs, size_t limit, bool is_client)
{
	struct pair pair;
	struct ur_tls *victim;
	const uint8_t *bytes;
	size_t size;
	bool is_short = false;
	int result;

	pair_new_basic(&pair, certs);
	victim = is_client ? pair.client : pair.server;
	for (;;) {
		pair.client_result = ur_tls_handshake(pair.client);
		size = ur_tls_send(pair.client, &bytes);
		if (!is_client && size > limit)
			size = limit;
		ur_tls_feed(pair.server, bytes, size);
		ur_tls_sent(pair.client, size);
		limit -= is_client ? 0 : size;
		pair.server_result = ur_tls_handshake(pair.server);
		size = ur_tls_send(pair.server, &bytes);
		if (is_client && size > limit)
			size = limit;
		ur_tls_feed(pair.client, bytes, size);
		ur_tls_sent(pair.server, size);
		limit -= is_client ? size : 0;
		result = ur_tls_handshake(victim);
		if (result != 0 || limit == 0)
			break;
	}
	if (result == 0) {
		ur_tls_feed_end(victim);
		result = ur_tls_handshake(victim);
		is_short = true;
		cr_assert_eq(result, UIDRECV_E_TLS);
		cr_assert_eq(ur_tls_handshake(victim), UIDRECV_E_TLS);
		cr_assert_str_not_empty(ur_tls_get_error(victim));
	}
	cr_assert(is_short || result == 1);
	pair_free(&pair);
	return is_short;
}

Test(tls, N10_ends_cleanly_at_each_byte_of_the_handshake, .timeout = 280)
{
	struct certs *certs = certs_new_basic("agent", NULL);
	size_t limit = 0;

	while (cut_to_server(certs, limit, false))
		limit++;
	cr_assert_gt(limit, 500);
	limit = 0;
	while (cut_to_server(certs, limit, true))
		limit++;
	cr_assert_gt(limit, 500);
	certs_free(certs);
}

/* Of "hello" and perhaps close_notify all but the last cut bytes arrive. */
static int end_after(struct certs *certs, bool is_shut, size_t cut,
		     int *ret_got)
{
	struct pair pair;
	const uint8_t *bytes;
	uint8_t room[16];
	size_t size;
	int result;

	pair_new_basic(&pair, certs);
	cr_assert(pair_shake(&pair, WHOLE));
	cr_assert_eq(ur_tls_write(pair.client, "hello", 5), 0);
	if (is_shut)
		ur_tls_shutdown(pair.client);
	size = ur_tls_send(pair.client, &bytes);
	ur_tls_feed(pair.server, bytes, size - cut);
	ur_tls_feed_end(pair.server);
	*ret_got = 0;
	while ((result = ur_tls_next(pair.server, room, sizeof(room))) > 0)
		*ret_got += result;
	cr_assert_eq(ur_tls_next(pair.server, room, sizeof(room)), result);
	pair_free(&pair);
	return result;
}

Test(tls, tells_a_cut_stream_from_a_closed_one)
{
	struct certs *certs = certs_new_basic("agent", NULL);
	int got;

	cr_assert_eq(end_after(certs, true, 0, &got), UIDRECV_E_CLOSED);
	cr_assert_eq(got, 5);
	cr_assert_eq(end_after(certs, true, 1, &got), UIDRECV_E_TLS);
	cr_assert_eq(got, 5);
	cr_assert_eq(end_after(certs, false, 0, &got), UIDRECV_E_TLS);
	cr_assert_eq(got, 5);
	cr_assert_eq(end_after(certs, false, 1, &got), UIDRECV_E_TLS);
	cr_assert_eq(got, 0);
	certs_free(certs);
}

Test(tls, each_direction_closes_by_itself)
{
	struct certs *certs = certs_new_basic("agent", NULL);
	struct pair pair;
	uint8_t room[16];

	pair_new_basic(&pair, certs);
	ur_tls_shutdown(pair.client); /* nothing to close yet */
	cr_assert(pair_shake(&pair, WHOLE));
	ur_tls_shutdown(pair.client);
	ur_tls_shutdown(pair.client);
	cr_assert_eq(ur_tls_write(pair.client, "x", 1), UIDRECV_E_CLOSED);
	pair_move(pair.client, pair.server, WHOLE);
	cr_assert_eq(ur_tls_next(pair.server, room, 16), UIDRECV_E_CLOSED);
	cr_assert_eq(ur_tls_feed(pair.server, "garbage", 7), 0);
	cr_assert_eq(ur_tls_write(pair.server, "bye", 3), 0);
	ur_tls_shutdown(pair.server);
	pair_move(pair.server, pair.client, WHOLE);
	cr_assert_eq(ur_tls_next(pair.client, room, 16), 3);
	cr_assert_eq(ur_tls_next(pair.client, room, 16), UIDRECV_E_CLOSED);
	pair_free(&pair);
	certs_free(certs);
}

Test(tls, answers_damage_with_an_alert_and_stays_dead)
{
	struct certs *certs = certs_new_basic("agent", NULL);
	uint8_t damaged[256], room[16];
	const uint8_t *bytes;
	struct pair pair;
	size_t size;

	pair_new_basic(&pair, certs);
	cr_assert(pair_shake(&pair, WHOLE));
	cr_assert_eq(ur_tls_write(pair.client, "hello", 5), 0);
	size = ur_tls_send(pair.client, &bytes);
	cr_assert_leq(size, sizeof(damaged));
	memcpy(damaged, bytes, size);
	damaged[size - 1] ^= 1;
	ur_tls_feed(pair.server, damaged, size);
	cr_assert_eq(ur_tls_next(pair.server, room, 16), UIDRECV_E_TLS);
	ur_tls_feed(pair.server, bytes, size);
	cr_assert_eq(ur_tls_next(pair.server, room, 16), UIDRECV_E_TLS);
	cr_assert_eq(ur_tls_write(pair.server, "x", 1), UIDRECV_E_TLS);
	cr_assert_eq(ur_tls_handshake(pair.server), UIDRECV_E_TLS);
	cr_assert_gt(pair_move(pair.server, pair.client, WHOLE), 0);
	cr_assert_eq(ur_tls_next(pair.client, room, 16), UIDRECV_E_TLS);
	cr_assert_str_eq(ur_tls_get_error(pair.client),
			 "the peer sent the alert 'bad record mac'");
	pair_free(&pair);
	certs_free(certs);
}

Test(tls, bounds_what_is_queued)
{
	struct certs *certs = certs_new_basic("agent", NULL);
	uint8_t *block = calloc(1, UR_TLS_OUT_MAX + 1), room[16];
	struct pair pair;
	int result = 0;

	pair_new_basic(&pair, certs);
	cr_assert_eq(ur_tls_write(pair.client, "x", 1), -EINVAL);
	cr_assert_eq(ur_tls_next(pair.client, room, 16), -EINVAL);
	cr_assert(pair_shake(&pair, WHOLE));
	cr_assert_eq(ur_tls_next(pair.client, room, 0), -EINVAL);
	cr_assert_eq(ur_tls_write(pair.client, block, UR_TLS_OUT_MAX + 1),
		     -ENOBUFS);
	cr_assert_eq(ur_tls_write(pair.client, block, UR_TLS_OUT_MAX), 0);
	cr_assert_eq(ur_tls_write(pair.client, block, 1), -ENOBUFS);
	ur_tls_shutdown(pair.client);
	while (result == 0 && pair_move(pair.client, pair.server, WHOLE) > 0) {
		do
			result = ur_tls_next(pair.server, block, WHOLE);
		while (result > 0);
	}
	cr_assert_eq(result, UIDRECV_E_CLOSED);
	pair_free(&pair);
	free(block);
	certs_free(certs);
}

Test(tls, refuses_to_hold_more_than_is_agreed)
{
	struct certs *certs = certs_new_basic("agent", NULL);
	static uint8_t block[WHOLE];
	struct pair pair;

	pair_new_basic(&pair, certs);
	cr_assert_eq(ur_tls_feed(pair.server, block, sizeof(block)), 0);
	cr_assert_eq(ur_tls_feed(pair.server, block, sizeof(block)), 0);
	cr_assert_eq(ur_tls_feed(pair.server, block, 1), -ENOMEM);
	cr_assert_eq(ur_tls_handshake(pair.server), -ENOMEM);
	pair_free(&pair);
	certs_free(certs);
}
