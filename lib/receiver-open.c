/* SPDX-License-Identifier: BSD-2-Clause */
/* Making and freeing a receiver. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "options.h"
#include "receiver-private.h"

/* The first release had all fields up to the last one of today. */
#define OPTIONS_SMALLEST sizeof(struct uidrecv_receiver_options)

static void set_default(uint32_t *field, uint32_t value)
{
	if (!*field)
		*field = value;
}

static int load_options(struct uidrecv_receiver *receiver,
			const struct uidrecv_receiver_options *given)
{
	struct uidrecv_receiver_options *options = &receiver->options;
	int error =
	    ur_options_load(options, sizeof(*options), OPTIONS_SMALLEST, given);

	if (error)
		return error;
	set_default(&options->table_mode, 0640);
	set_default(&options->connections_max, 10000);
	set_default(&options->handshakes_max, 500);
	set_default(&options->per_source_max, 1000);
	set_default(&options->handshake_ms, 10000);
	set_default(&options->hold_min_s, 10);
	set_default(&options->hold_max_s, 90);
	set_default(&options->frame_max, 65536);
	set_default(&options->round_records_max, 65536);
	if (!options->store_path || options->table_mode & ~0777u ||
	    options->hold_min_s > options->hold_max_s ||
	    options->hold_max_s > UINT16_MAX ||
	    options->frame_max < UR_FRAME_BODY_MIN ||
	    options->frame_max > UR_FRAME_BODY_MAX)
		return -EINVAL;
	/* All three make a certificate, none makes a receiver of the host. */
	if (!options->cert_path != !options->key_path ||
	    !options->cert_path != !options->ca_path)
		return -EINVAL;
	return 0;
}

/* Copies a path; NULL stays NULL. */
static int copy_path(char **ret_copy, const char *path)
{
	if (!path)
		return 0;
	*ret_copy = strdup(path);
	return *ret_copy ? 0 : -ENOMEM;
}

static int copy_paths(struct uidrecv_receiver *receiver)
{
	const struct uidrecv_receiver_options *options = &receiver->options;
	int error = copy_path(&receiver->store_path, options->store_path);

	if (!error)
		error = copy_path(&receiver->table_path, options->table_path);
	if (!error)
		error = copy_path(&receiver->cert_path, options->cert_path);
	if (!error)
		error = copy_path(&receiver->key_path, options->key_path);
	if (!error)
		error = copy_path(&receiver->ca_path, options->ca_path);
	if (!error)
		error = copy_path(&receiver->crl_path, options->crl_path);
	if (!error && !receiver->table_path &&
	    asprintf(&receiver->table_path, "%s/table", receiver->store_path) <
		0) {
		receiver->table_path = NULL;
		error = -ENOMEM;
	}
	return error;
}

static void say(char *error, size_t error_size, const char *what,
		const char *where, int code)
{
	if (error && error_size)
		snprintf(error, error_size, "%s %s: %s", what, where,
			 uidrecv_strerror(code));
}

static int open_store(struct uidrecv_receiver *receiver, char *error,
		      size_t error_size)
{
	struct ur_store_options options = {
	    .directory = receiver->store_path,
	    .map_bytes = receiver->options.store_max_bytes,
	    .boot_us = receiver->loop.now_us,
	    .wall_us = ur_clock_wall_us(),
	};
	int ret = ur_clock_boot_id(receiver->boot_id);

	if (!ret) {
		memcpy(options.boot_id, receiver->boot_id,
		       sizeof(options.boot_id));
		ret = ur_store_open(&receiver->store, &options);
	}
	if (ret)
		say(error, error_size, "the store", receiver->store_path, ret);
	return ret;
}

static int open_all(struct uidrecv_receiver *receiver, char *error,
		    size_t error_size)
{
	int ret = ur_loop_init(&receiver->loop);

	if (ret)
		return ret;
	ur_resolver_init(&receiver->resolver, &receiver->loop);
	if (receiver->cert_path) {
		ret =
		    ur_receiver_load_certificates(receiver, error, error_size);
		if (ret)
			return ret;
	}
	ret = open_store(receiver, error, error_size);
	if (ret)
		return ret;
	receiver->round.store = receiver->store;
	receiver->round.table = &receiver->table;
	receiver->round.log = &receiver->log;
	receiver->round.completed = ur_receiver_completed;
	receiver->round.owner = receiver;
	/* Without it what was lent is not known, and lives end earlier. */
	if (ur_former_open(&receiver->round.former, receiver->table_path,
			   ur_store_get_base_us(receiver->store)))
		receiver->round.former = NULL;
	ur_round_lend(&receiver->round);
	if (!ur_loop_reserve_timer(&receiver->loop) &&
	    !ur_loop_reserve_timer(&receiver->loop)) {
		receiver->second_timer.expired = ur_receiver_on_second;
		receiver->retry_timer.expired = ur_receiver_on_retry;
		ur_loop_set_timer(&receiver->loop, &receiver->second_timer,
				  receiver->loop.now_us);
	} else {
		return -ENOMEM;
	}
	ur_loop_arm(&receiver->loop);
	return 0;
}

int uidrecv_receiver_new(struct uidrecv_receiver **ret_receiver,
			 const struct uidrecv_receiver_options *options,
			 char *error, size_t error_size)
{
	struct uidrecv_receiver *receiver;
	int ret;

	if (error && error_size)
		*error = '\0';
	if (!ret_receiver || !options)
		return -EINVAL;
	receiver = calloc(1, sizeof(*receiver));
	if (!receiver)
		return -ENOMEM;
	receiver->loop.epoll_fd = -1;
	receiver->loop.timer_fd = -1;
	receiver->loop.wake_fd = -1;
	receiver->pid = getpid();
	receiver->retry_us = 100000;
	receiver->greetings_last = &receiver->greetings;
	ur_round_init(&receiver->round);
	ret = load_options(receiver, options);
	receiver->log = (struct ur_log){.fn = receiver->options.log,
					.user = receiver->options.log_user};
	if (!ret)
		ret = copy_paths(receiver);
	if (!ret)
		ret = open_all(receiver, error, error_size);
	if (ret) {
		if (error && error_size && !*error)
			snprintf(error, error_size, "%s",
				 uidrecv_strerror(ret));
		uidrecv_receiver_free(receiver);
		return ret;
	}
	*ret_receiver = receiver;
	return 0;
}

void uidrecv_receiver_free(struct uidrecv_receiver *receiver)
{
	if (!receiver)
		return;
	if (receiver->pid != getpid())
		ur_loop_disown(&receiver->loop);
	/* Nothing is begun any more for what ends here. */
	receiver->stop_at_us = receiver->loop.now_us;
	while (receiver->conns)
		ur_conn_free(receiver->conns);
	ur_receiver_free_dials(receiver);
	ur_resolver_done(&receiver->resolver);
	ur_receiver_close_listeners(receiver);
	ur_receiver_forget_hellos(receiver);
	ur_round_done(&receiver->round);
	ur_table_close(receiver->table);
	ur_former_close(receiver->round.former);
	ur_store_close(receiver->store);
	ur_tls_context_unref(receiver->tls);
	ur_tls_context_unref(receiver->tls_client);
	ur_loop_done(&receiver->loop);
	free(receiver->peers);
	free(receiver->ranks);
	uidrecv_rights_free(receiver->rights);
	free(receiver->store_path);
	free(receiver->table_path);
	free(receiver->cert_path);
	free(receiver->key_path);
	free(receiver->ca_path);
	free(receiver->crl_path);
	free(receiver);
}
