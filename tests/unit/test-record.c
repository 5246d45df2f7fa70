/* SPDX-License-Identifier: BSD-2-Clause */
#include "codec.h"

static const char long_user[] =
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/* The code of one record made of inner TLVs, as an UPDATE has it. */
static uint16_t code_of(unsigned op, const struct ur_buf *inner,
			struct uidrecv_record *ret_record)
{
	struct ur_records records;
	struct ur_buf body;
	uint16_t code = UINT16_MAX;

	ur_buf_init(&body, ROOM);
	put_tlv(&body, 0x0040, "skipped", 7);
	put_tlv(&body, op, ur_buf_front(inner), inner->size);
	ur_records_init(&records, ur_buf_front(&body), body.size);
	cr_assert_eq(ur_records_next(&records, ret_record, &code), 1);
	cr_assert_eq(records.index, 0);
	cr_assert_eq(ret_record->op, op);
	cr_assert_eq(ur_records_next(&records, ret_record, &code), 0);
	cr_assert_eq(ur_records_next(&records, ret_record, &code), 0);
	ur_buf_done(&body);
	return code;
}

/* The inner TLVs of a record with what is in mask. */
enum { ADDRESS, USER, EVENT_TIME, LIFETIME, SOURCE, TOKEN, PORTS, KINDS };

static const struct {
	unsigned type;
	size_t size;
	const char *value;
} kinds[KINDS] = {
    {0x8030, 4, "\n\1\2\3"},	 {0x8031, 5, "alice"}, {0x8032, 8, "01234567"},
    {0x8033, 4, "0123"},	 {0x0034, 1, "0"},     {0x8035, 8, "01234567"},
    {0x8015, 6, "\1\2\0\0\0\3"},
};

static struct ur_buf inner_of(unsigned mask)
{
	struct ur_buf inner;

	ur_buf_init(&inner, ROOM);
	for (unsigned i = 0; i < KINDS; i++)
		if (mask & 1u << i)
			put_tlv(&inner, kinds[i].type, kinds[i].value,
				kinds[i].size);
	return inner;
}

static void assert_equal(const struct uidrecv_record *a,
			 const struct uidrecv_record *b)
{
	cr_assert_eq(a->op, b->op);
	cr_assert_eq(a->address.hi, b->address.hi);
	cr_assert_eq(a->address.lo, b->address.lo);
	cr_assert_eq(a->event_time_us, b->event_time_us);
	cr_assert_eq(a->has_event_time, b->has_event_time);
	cr_assert_eq(a->lifetime_s, b->lifetime_s);
	cr_assert_eq(a->source, b->source);
	cr_assert_eq(a->token, b->token);
	cr_assert_eq(a->has_token, b->has_token);
	cr_assert_eq(a->ports.start, b->ports.start);
	cr_assert_eq(a->ports.count, b->ports.count);
	cr_assert_eq(a->user_size, b->user_size);
	cr_assert_arr_eq(a->user, b->user, a->user_size + 1u);
}

/* A record of this op with the fields of mask set. */
static struct uidrecv_record record_of(uint16_t op, unsigned mask)
{
	struct uidrecv_record record = {.op = op,
					.address = full_record.address};

	if (mask & 1u << USER) {
		memcpy(record.user, full_record.user, sizeof(record.user));
		record.user_size = full_record.user_size;
	}
	if (mask & 1u << EVENT_TIME) {
		record.has_event_time = true;
		record.event_time_us = 0;
	}
	if (mask & 1u << LIFETIME)
		record.lifetime_s = UIDRECV_LIFETIME_NEVER;
	if (mask & 1u << SOURCE)
		record.source = 7;
	if (mask & 1u << TOKEN) {
		record.has_token = true;
		record.token = UINT64_MAX;
	}
	if (mask & 1u << PORTS)
		record.ports = (struct uidrecv_ports){65000, 536};
	return record;
}

/* Section 5: what must and what may stand in each. */
static const struct {
	uint16_t op;
	unsigned needed, allowed;
} ops[] = {
    {UIDRECV_OP_MAP, 0x03, 0x7f},
    {UIDRECV_OP_REFRESH, 0x01, 0x4b},
    {UIDRECV_OP_LOGOUT, 0x01, 0x67},
    {UIDRECV_OP_WITHDRAW, 0x01, 0x41},
};

Test(record, round_trip_of_all_that_is_allowed)
{
	struct uidrecv_record record, again;
	struct ur_update_writer writer;
	struct ur_records records;
	struct ur_buf buf;
	uint16_t code;
	size_t size;

	for (unsigned i = 0; i < COUNT(ops) << KINDS; i++) {
		unsigned mask = i % (1u << KINDS);

		record = record_of(ops[i >> KINDS].op, mask);
		if (i % 3 == 0)
			record.address = (struct uidrecv_address){1, i};
		ur_buf_init(&buf, ROOM);
		ur_update_begin(&writer, &buf, 7, 8, false, 0, 4096);
		size = buf.size;
		cr_assert(ur_update_add(&writer, &record));
		cr_assert_eq(buf.size - size, ur_record_encoded_size(&record));
		ur_update_end(&writer);
		ur_records_init(&records, frame_of(&buf).body,
				frame_of(&buf).length);
		cr_assert_eq(ur_records_next(&records, &again, &code), 1);
		if ((mask | 1) & ~ops[i >> KINDS].allowed & ~(1u << SOURCE)) {
			cr_assert_eq(code, UIDRECV_REJECT_UNSUPPORTED);
		} else if (ops[i >> KINDS].needed & ~(mask | 1)) {
			cr_assert_eq(code, UIDRECV_REJECT_MALFORMED);
		} else {
			cr_assert_eq(code, 0);
			if (record.op != UIDRECV_OP_MAP)
				record.source = 0;
			assert_equal(&record, &again);
		}
		ur_buf_done(&buf);
	}
}

Test(record, p12_one_address_has_one_form)
{
	struct uidrecv_record record;
	struct ur_buf inner;

	ur_buf_init(&inner, ROOM);
	put_tlv(&inner, 0x8030, "\0\0\0\0\0\0\0\0\0\0\xff\xff\n\1\2\3", 16);
	cr_assert_eq(code_of(UIDRECV_OP_WITHDRAW, &inner, &record), 0);
	cr_assert(uidrecv_address_is_ipv4(record.address));
	cr_assert_eq(record.address.lo, full_record.address.lo);
	ur_buf_done(&inner);
	for (size_t size = 0; size <= 20; size++) {
		uint16_t code;

		ur_buf_init(&inner, ROOM);
		put_tlv(&inner, 0x8030, "01234567890123456789", size);
		code = code_of(UIDRECV_OP_WITHDRAW, &inner, &record);
		cr_assert_eq(code, size == 4 || size == 16 ? 0 : 1);
		ur_buf_done(&inner);
	}
}

Test(record, p11_user_lengths)
{
	static const struct {
		size_t size;
		uint16_t code;
	} users[] = {{0, 5},   {1, 0},	 {2, 0},   {254, 0},
		     {255, 0}, {256, 6}, {257, 6}, {65535 - 12, 6}};
	char *user = calloc(1, 65536);
	struct uidrecv_record record;
	struct ur_buf inner;

	memcpy(user, long_user, sizeof(long_user));
	for (size_t i = 0; i < COUNT(users); i++) {
		inner = inner_of(1u << ADDRESS);
		put_tlv(&inner, 0x8031, user, users[i].size);
		cr_assert_eq(code_of(UIDRECV_OP_MAP, &inner, &record),
			     users[i].code, "%zu", users[i].size);
		if (users[i].code == 0) {
			cr_assert_eq(record.user_size, users[i].size);
			cr_assert_arr_eq(record.user, user, users[i].size);
			cr_assert_eq(record.user[users[i].size], '\0');
		}
		ur_buf_done(&inner);
	}
	free(user);
}

Test(record, p09_a_zero_inside_a_user_does_not_end_it)
{
	struct ur_buf inner = inner_of(1u << ADDRESS);
	struct uidrecv_record record;

	put_tlv(&inner, 0x8031, "root\0x", 6);
	cr_assert_eq(code_of(UIDRECV_OP_MAP, &inner, &record), 0);
	cr_assert_eq(record.user_size, 6);
	cr_assert_arr_eq(record.user, "root\0x", 7);
	ur_buf_done(&inner);
}

Test(record, a_lifetime_of_0_is_not_allowed)
{
	struct ur_buf inner = inner_of(1u << ADDRESS | 1u << USER);
	struct uidrecv_record record;

	put_tlv(&inner, 0x8033, "\0\0\0\0", 4);
	cr_assert_eq(code_of(UIDRECV_OP_MAP, &inner, &record), 8);
	cr_assert_eq(code_of(UIDRECV_OP_REFRESH, &inner, &record), 8);
	ur_buf_done(&inner);
}

Test(record, T02_ports_are_some_and_end_at_the_last)
{
	static const struct {
		const char *value;
		uint16_t code;
	} ports[] = {
	    {"\0\0\0\0\0\0", 13},	  {"\0\0\0\0\0\1", 0},
	    {"\0\0\0\1\0\0", 0},	  {"\0\0\0\1\0\1", 13},
	    {"\0\1\0\0\xff\xff", 0},	  {"\0\1\0\1\0\0", 13},
	    {"\xff\xff\0\0\0\1", 0},	  {"\xff\xff\0\0\0\2", 13},
	    {"\xff\xff\0\0\0\0", 13},	  {"\0\0\xff\xff\xff\xff", 13},
	    {"\0\1\xff\xff\xff\xff", 13}, {"\x4e\x20\0\0\0\xc8", 0},
	};
	struct uidrecv_record record;
	struct ur_buf inner;

	for (size_t i = 0; i < COUNT(ports) * COUNT(ops); i++) {
		const char *value = ports[i / COUNT(ops)].value;
		unsigned op = ops[i % COUNT(ops)].op;
		struct ur_bytes reading;

		inner = inner_of(ops[i % COUNT(ops)].needed);
		put_tlv(&inner, 0x8015, value, 6);
		cr_assert_eq(code_of(op, &inner, &record),
			     ports[i / COUNT(ops)].code, "%zu", i);
		ur_buf_done(&inner);
		if (ports[i / COUNT(ops)].code)
			continue;
		reading = ur_bytes_of(value, 6);
		cr_assert_eq(record.ports.start, ur_bytes_u16(&reading));
		cr_assert_eq(record.ports.count, ur_bytes_u32(&reading));
	}
}

static bool is_end(const struct span *spans, size_t count, size_t end)
{
	for (size_t i = 1; i < count; i++)
		if (spans[i].at + spans[i].size == end)
			return true;
	return false;
}

Test(record, p02_p06_lies_and_truncation_inside)
{
	struct ur_buf inner = inner_of(0x7f);
	struct ur_buf cut = inner;
	struct uidrecv_record record;
	struct span spans[16];
	size_t count = spans_of(ur_buf_front(&inner), inner.size, spans);

	for (cut.size = 0; cut.size < inner.size; cut.size++) {
		bool whole = cut.size >= spans[2].at;

		for (size_t i = 0; i < count; i++)
			if (cut.size > spans[i].at &&
			    cut.size < spans[i].at + spans[i].size)
				whole = false;
		cr_assert_eq(code_of(UIDRECV_OP_MAP, &cut, &record),
			     whole ? 0 : 1, "%zu", cut.size);
	}
	for (size_t i = 0; i < count * 65536; i++) {
		const struct span *span = &spans[i / 65536];
		uint16_t lie = (uint16_t)i;
		size_t end = span->at + 4 + lie;
		uint16_t code;

		if (lie % 997 > 40 || lie == span->size - 4)
			continue;
		ur_buf_patch_u16(&inner, span->at + 2, lie);
		code = code_of(UIDRECV_OP_MAP, &inner, &record);
		if (span->type == 0x8031 && is_end(spans, count, end))
			cr_assert_eq(code, 0, "a longer user, well formed");
		else
			cr_assert_neq(code, 0, "%#x %u", span->type, lie);
		ur_buf_patch_u16(&inner, span->at + 2,
				 (uint16_t)(span->size - 4));
	}
	ur_buf_done(&inner);
}

Test(record, p01_no_length_but_the_right_ones)
{
	struct uidrecv_record record;
	struct ur_buf inner;

	for (unsigned i = EVENT_TIME; i < KINDS; i++) {
		for (size_t size = 0; size <= 20; size++) {
			bool right = size == kinds[i].size;

			inner = inner_of(0x7f & ~(1u << i));
			put_tlv(&inner, kinds[i].type,
				"\0\1\0\0\0\1ABCDEFabcdefghi", size);
			cr_assert_eq(code_of(UIDRECV_OP_MAP, &inner, &record),
				     right ? 0 : 1, "%u %zu", i, size);
			ur_buf_done(&inner);
		}
	}
}

Test(record, p07_no_tlv_twice)
{
	struct uidrecv_record record;
	struct ur_buf inner;

	for (unsigned i = 0; i < KINDS; i++) {
		inner = inner_of(0x7f);
		put_tlv(&inner, kinds[i].type, "12345678", kinds[i].size);
		cr_assert_eq(code_of(UIDRECV_OP_MAP, &inner, &record), 1);
		ur_buf_done(&inner);
	}
}

Test(record, every_type_of_tlv_in_every_record)
{
	struct uidrecv_record record;

	for (unsigned i = 0; i < COUNT(ops) * 65536; i++) {
		unsigned type = i % 65536, known = 0;
		struct ur_buf inner = inner_of(ops[i / 65536].needed);
		uint16_t code, expected = 1; /* twice or a wrong length */

		for (unsigned j = 0; j < KINDS; j++)
			if (kinds[j].type == type)
				known = ops[i / 65536].allowed & 1u << j;
		if (!known)
			expected = type & 0x8000 ? 2 : 0;
		else if (type == 0x8031 && !(ops[i / 65536].needed & known))
			expected = 0;
		put_tlv(&inner, type, "123", 3);
		code = code_of(ops[i / 65536].op, &inner, &record);
		if (code != expected)
			cr_assert_fail("%#x %#x", ops[i / 65536].op, type);
		ur_buf_done(&inner);
	}
}

/* Of two faults, that of the structure is told. */
Test(record, a_broken_record_is_malformed_whatever_else_it_has)
{
	struct uidrecv_record record;
	struct ur_buf inner = inner_of(1u << USER);

	put_tlv(&inner, 0x8055, "", 0);
	cr_assert_eq(code_of(UIDRECV_OP_MAP, &inner, &record),
		     UIDRECV_REJECT_MALFORMED);
	ur_buf_done(&inner);
	inner = inner_of(1u << USER | 1u << ADDRESS);
	put_tlv(&inner, 0x8055, "", 0);
	cr_assert_eq(code_of(UIDRECV_OP_MAP, &inner, &record),
		     UIDRECV_REJECT_UNSUPPORTED);
	ur_buf_u8(&inner, 0);
	cr_assert_eq(code_of(UIDRECV_OP_MAP, &inner, &record),
		     UIDRECV_REJECT_MALFORMED);
	ur_buf_done(&inner);
	inner = inner_of(1u << USER);
	put_tlv(&inner, 0x8055, "", 0);
	put_tlv(&inner, 0x8030, "12345", 5);
	cr_assert_eq(code_of(UIDRECV_OP_MAP, &inner, &record),
		     UIDRECV_REJECT_MALFORMED);
	ur_buf_done(&inner);
	inner = inner_of(1u << USER | 1u << ADDRESS);
	put_tlv(&inner, 0x8015, "\0\0\0\0\0\0", 6);
	put_tlv(&inner, 0x8055, "", 0);
	cr_assert_eq(code_of(UIDRECV_OP_MAP, &inner, &record),
		     UIDRECV_REJECT_UNSUPPORTED);
	ur_buf_done(&inner);
}

Test(record, records_of_later_versions_count)
{
	struct uidrecv_record record;
	struct ur_records records;
	struct ur_buf body;
	uint16_t code;

	ur_buf_init(&body, ROOM);
	put_tlv(&body, 0x0024, "", 0);
	put_tlv(&body, 0x8024, "any", 3);
	put_tlv(&body, 0x0023, "", 0);
	put_tlv(&body, 0x002f, "", 0);
	put_tlv(&body, 0x802f, "", 0);
	put_tlv(&body, 0x0030, "", 0);
	put_tlv(&body, 0x8023, "\x80\x30\0\4\n\1\2\3", 8);
	ur_records_init(&records, ur_buf_front(&body), body.size);
	cr_assert_eq(ur_records_next(&records, &record, &code), 1);
	cr_assert_eq(records.index, 1);
	cr_assert_eq(code, UIDRECV_REJECT_UNSUPPORTED);
	cr_assert_eq(ur_records_next(&records, &record, &code), 1);
	cr_assert_eq(records.index, 3);
	cr_assert_eq(code, UIDRECV_REJECT_UNSUPPORTED);
	cr_assert_eq(ur_records_next(&records, &record, &code), 1);
	cr_assert_eq(records.index, 4);
	cr_assert_eq(code, 0);
	cr_assert_eq(record.address.lo, full_record.address.lo);
	cr_assert_eq(ur_records_next(&records, &record, &code), 0);
	ur_buf_done(&body);
}

Test(record, an_update_takes_what_fits_and_no_more)
{
	struct uidrecv_record small = {.op = UIDRECV_OP_WITHDRAW,
				       .address = full_record.address};
	uint32_t size = (uint32_t)ur_record_encoded_size(&small);
	struct ur_update_writer writer;
	struct ur_buf buf;
	uint32_t count;

	for (uint32_t spare = 0; spare <= 1; spare++) {
		ur_buf_init(&buf, ROOM);
		ur_update_begin(&writer, &buf, 1, 2, true, 3,
				24 + 5 * size - spare);
		for (count = 0; ur_update_add(&writer, &small);)
			count++;
		cr_assert_eq(count, 5 - spare);
		ur_update_end(&writer);
		cr_assert_eq(frame_of(&buf).length, 24 + count * size);
		ur_buf_done(&buf);
	}
	ur_buf_init(&buf, 16 + 12 + 3 * size + size / 2);
	ur_update_begin(&writer, &buf, 1, 2, false, 0, ROOM);
	for (count = 0; ur_update_add(&writer, &small);)
		count++;
	ur_update_end(&writer);
	cr_assert(!buf.failed);
	cr_assert_eq(count, 3);
	cr_assert_eq(frame_of(&buf).length, 12 + 3 * size);
	ur_buf_done(&buf);
	ur_buf_init(&buf, ROOM);
	ur_update_begin(&writer, &buf, 1, 2, false, 0, ROOM);
	for (count = 0; ur_update_add(&writer, &small);)
		count++;
	cr_assert_eq(count, UR_RECORDS_MAX);
	ur_update_end(&writer);
	cr_assert(!buf.failed);
	ur_buf_done(&buf);
}
