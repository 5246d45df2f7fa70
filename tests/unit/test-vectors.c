/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The test vectors of doc/protocol.md section 12: text to structs to bytes,
 * and bytes to structs to bytes.
 */
#include "vector.h"

/*
 * Vectors whose bytes the library would not write: it leaves CAPABILITIES of 0
 * out, writes no TLVs of later versions, and has texts of its own in REJECT.
 */
static const char *const foreign[] = {
    "HELLO of a sink",
    "REJECT of two records",
    "UPDATE with TLVs of later versions that are skipped",
};

static void hear_text(struct said *said, struct ur_text text)
{
	cr_assert(text.size < sizeof(said->text));
	memcpy(said->text, text.bytes, text.size);
}

static void hear_bare(struct said *said, const struct ur_update *update)
{
	said->as_of_us = update->as_of_us;
	said->count = update->count;
	said->keepalive.acked = update->acked;
	said->keepalive.has_acked = update->has_acked;
}

static void hear_update(struct said *said, const struct ur_update *update)
{
	struct ur_records records;
	struct uidrecv_record record;
	uint16_t code;

	hear_bare(said, update);
	ur_records_init(&records, update->body, update->body_size);
	while (ur_records_next(&records, &record, &code)) {
		cr_assert(said->records_count < ITEMS_MAX);
		if (code)
			add_refusal(said, records.index, code, "", 0);
		else
			said->records[said->records_count++] = record;
	}
}

static void hear_rejects(struct said *said, struct ur_bytes rejects)
{
	struct ur_reject reject;

	while (ur_rejects_next(&rejects, &reject))
		add_refusal(said, reject.index, reject.code, reject.text.bytes,
			    reject.text.size);
}

static void hear(struct said *said, const struct ur_message *message)
{
	if (message->type == UR_HELLO) {
		said->hello = message->hello;
		said->keepalive.clock = message->hello.clock;
		said->keepalive.acked = message->hello.acked;
		hear_text(said, message->hello.software);
	} else if (message->type == UR_READY) {
		said->ready = message->ready;
	} else if (message->type == UR_TS_CONFIG) {
		hear_bare(said, &message->update);
		ur_ts_config_decode(message->update.body,
				    message->update.body_size, &said->system);
	} else if (message->type == UR_UPDATE ||
		   message->type >= UR_SNAPSHOT_BEGIN) {
		hear_update(said, &message->update);
	} else if (message->type == UR_REJECT) {
		hear_rejects(said, message->rejects);
	} else if (message->type == UR_KEEPALIVE) {
		said->keepalive = message->keepalive;
	} else if (message->type == UR_BYE || message->type == UR_RESYNC) {
		said->bye = message->bye.code;
		hear_text(said, message->bye.text);
		said->has_quote = message->bye.quote;
		if (said->has_quote)
			memcpy(said->quote, message->bye.quote, 16);
	}
}

/* What the bytes say, through a framer; answer is the BYE, if any. */
static void said_in_bytes(const uint8_t *bytes, size_t size,
			  struct said *ret_said)
{
	struct ur_message message;
	struct ur_framer framer;
	struct ur_frame frame;
	int result;

	memset(ret_said, 0, sizeof(*ret_said));
	ur_framer_init(&framer, 65536);
	cr_assert_eq(ur_framer_feed(&framer, bytes, size), 0);
	result = ur_framer_next(&framer, &frame);
	if (result < 0) {
		ret_said->answer = framer.bye;
	} else {
		cr_assert_eq(result, 1);
		ret_said->version = frame.version;
		ret_said->type = frame.type;
		ret_said->serial = frame.serial;
		if (ur_message_decode(&frame, &message, &ret_said->answer) == 0)
			hear(ret_said, &message);
		cr_assert_eq(ur_framer_next(&framer, &frame), 0);
		cr_assert(!ur_framer_is_inside(&framer));
	}
	ur_framer_done(&framer);
}

static void encode_records(struct ur_buf *buf, const struct said *said)
{
	struct ur_update_writer writer;

	ur_update_begin(&writer, buf, said->serial, said->as_of_us,
			said->keepalive.has_acked, said->keepalive.acked,
			65536);
	for (size_t i = 0; i < said->records_count; i++)
		cr_assert(ur_update_add(&writer, &said->records[i]));
	ur_update_end(&writer);
}

static void encode_bare(struct ur_buf *buf, const struct said *said)
{
	if (said->type == UR_SNAPSHOT_BEGIN)
		ur_snapshot_begin_encode(buf, said->serial);
	else if (said->type == UR_SNAPSHOT_END)
		ur_snapshot_end_encode(buf, said->serial, said->count);
	else if (said->type == UR_TS_CONFIG)
		ur_ts_config_encode(buf, said->serial, &said->system);
	else
		ur_refresh_all_encode(buf, said->serial, said->as_of_us,
				      said->count);
	if (said->keepalive.has_acked)
		ur_update_add_acked(buf, 0, said->keepalive.acked);
}

static void encode(struct ur_buf *buf, struct said *said)
{
	ur_buf_init(buf, ROOM);
	said->hello.clock = said->keepalive.clock;
	said->hello.acked = said->keepalive.acked;
	said->hello.software = (struct ur_text){said->text, strlen(said->text)};
	if (said->type == UR_HELLO) {
		ur_hello_encode(buf, &said->hello);
	} else if (said->type == UR_READY) {
		ur_ready_encode(buf, &said->ready);
	} else if (said->type == UR_ACK) {
		ur_ack_encode(buf, said->serial);
	} else if (said->type == UR_REJECT) {
		ur_reject_encode(buf, said->serial, said->refusals,
				 said->refusals_count, 65536);
	} else if (said->type == UR_KEEPALIVE) {
		ur_keepalive_encode(buf, &said->keepalive);
	} else if (said->type == UR_BYE) {
		ur_bye_encode(buf, said->bye, said->text,
			      said->has_quote ? said->quote : NULL);
	} else if (said->type == UR_RESYNC) {
		ur_resync_encode(buf, said->bye);
	} else if (said->type == UR_UPDATE) {
		encode_records(buf, said);
	} else {
		encode_bare(buf, said);
	}
	cr_assert(!buf->failed);
}

static bool is_foreign(const char *name)
{
	for (size_t i = 0; i < COUNT(foreign); i++)
		if (IS(foreign[i]))
			return true;
	return false;
}

static void check_good(const struct vector *vector)
{
	struct said text, bytes;
	struct ur_buf a, b;

	said_in_text(vector->text, &text);
	said_in_bytes(vector->bytes, vector->size, &bytes);
	cr_assert_eq(bytes.answer, 0, "%s", vector->name);
	cr_assert_eq(text.version, bytes.version);
	cr_assert_eq(text.type, bytes.type);
	cr_assert_str_eq(text.text, bytes.text);
	cr_assert_eq(text.refusals_count, bytes.refusals_count);
	cr_assert_arr_eq(text.refusal_texts, bytes.refusal_texts,
			 sizeof(text.refusal_texts));
	encode(&a, &text);
	encode(&b, &bytes);
	cr_assert_eq(a.size, b.size, "%s", vector->name);
	cr_assert_arr_eq(ur_buf_front(&a), ur_buf_front(&b), a.size, "%s",
			 vector->name);
	if (!is_foreign(vector->name)) {
		cr_assert_eq(a.size, vector->size, "%s", vector->name);
		cr_assert_arr_eq(ur_buf_front(&a), vector->bytes, a.size, "%s",
				 vector->name);
	}
	ur_buf_done(&a);
	ur_buf_done(&b);
}

static void check_bad(const struct vector *vector)
{
	struct said text, bytes;

	said_in_text(vector->text, &text);
	said_in_bytes(vector->bytes, vector->size, &bytes);
	cr_assert(text.answer != 0 || text.refusals_count > 0);
	cr_assert_eq(text.answer, bytes.answer, "%s: %u", vector->name,
		     bytes.answer);
	cr_assert_eq(text.refusals_count, bytes.refusals_count, "%s",
		     vector->name);
	for (size_t i = 0; i < text.refusals_count; i++) {
		cr_assert_eq(text.refusals[i].index, bytes.refusals[i].index);
		cr_assert_eq(text.refusals[i].code, bytes.refusals[i].code);
	}
}

Test(vectors, of_the_protocol)
{
	char *section = read_section();
	struct vector vector;
	size_t good = 0, bad = 0;

	for (const char *at = next_vector(section, &vector); at;
	     at = next_vector(at, &vector)) {
		if (strncmp(vector.name, "bad: ", 5) == 0) {
			check_bad(&vector);
			bad++;
		} else {
			check_good(&vector);
			good++;
		}
	}
	cr_assert(good >= 20 && bad >= 13, "%zu good, %zu bad", good, bad);
	free(section);
}
