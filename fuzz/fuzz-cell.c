/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A cell of the store. The first byte says whether the checksum is made right
 * (odd), so that what is behind it is reached, too. 255: it is the epochs of an
 * agent, and what then happens to them.
 */
#include <stdlib.h>

#include "answer.h"
#include "bytes.h"
#include "cell.h"
#include "epoch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool is_true)
{
	if (!is_true)
		abort();
}

static void judge(struct ur_cell *cell, uint64_t now_us)
{
	static const struct ur_rank by_id[] = {{NULL, 0}, {"a", 1},  {"b", 1},
					       {"c", 2},  {NULL, 9}, {"d", 0}};
	static const struct ur_ranks ranks = {by_id, 6};
	const struct ur_claim *answer = ur_answer(cell, &ranks, now_us);
	uint64_t until = ur_answer_contended_until(cell, &ranks, now_us);
	struct ur_claim before = {0};

	expect(until == UR_TIME_NEVER ||
	       (answer && until == answer->deadline_us));
	if (answer)
		before = *answer;
	ur_cell_collect(cell, &ranks, now_us);
	answer = ur_answer(cell, &ranks, now_us);
	expect(before.user_size > 0 ? answer && answer->agent == before.agent
				    : !answer);
	expect(ur_cell_collect(cell, &ranks, now_us) == 0);
}

static void change(struct ur_epochs *epochs, uint8_t what)
{
	switch (what % 8) {
	case 0:
		ur_epochs_begin(epochs);
		break;
	case 1:
		if (!ur_epochs_check_end(epochs, epochs->maps))
			ur_epochs_end(epochs);
		break;
	case 2:
		if (!ur_epochs_check_end(epochs, epochs->maps) &&
		    epochs->current > epochs->floor)
			ur_epochs_hold(epochs, what);
		break;
	case 3:
		if (epochs->held)
			ur_epochs_accept(epochs);
		break;
	case 4:
		if (!ur_epochs_check_refresh(epochs))
			ur_epochs_refresh(epochs, what);
		break;
	case 5:
		ur_epochs_new_session(epochs);
		break;
	case 6:
		ur_epochs_lose(epochs, epochs->formers[0].epoch);
		break;
	default:
		ur_epochs_gain(epochs);
	}
}

static void live_on(const uint8_t *data, size_t size)
{
	struct ur_epochs epochs, again;
	uint8_t bytes[UR_EPOCHS_SIZE];

	if (size < UR_EPOCHS_SIZE || !ur_epochs_decode(&epochs, data))
		return;
	ur_epochs_encode(&epochs, bytes);
	expect(memcmp(data, bytes, sizeof(bytes)) == 0);
	for (size_t i = UR_EPOCHS_SIZE; i < size; i++) {
		change(&epochs, data[i]);
		ur_epochs_encode(&epochs, bytes);
		expect(ur_epochs_decode(&again, bytes));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct uidrecv_address address = {0, 0xffff0a010203};
	struct ur_cell cell = {0};
	uint8_t *bytes = NULL, *again = NULL;

	if (size < 5)
		return 0;
	size--;
	if (data[0] == 255) {
		live_on(data + 1, size);
		return 0;
	}
	bytes = malloc(size);
	again = malloc(size);
	if (!bytes || !again)
		goto out;
	memcpy(bytes, data + 1, size);
	if (data[0] & 1)
		ur_bytes_put_u32(bytes,
				 ur_checksum(address, bytes + 4, size - 4));
	if (ur_cell_decode(&cell, address, bytes, size) < 0)
		goto out;
	expect(ur_cell_encoded_size(&cell) == size);
	ur_cell_encode(&cell, address, again);
	expect(memcmp(bytes, again, size) == 0);
	judge(&cell, (uint64_t)(data[0] >> 1) << 28);
out:
	ur_cell_done(&cell);
	free(bytes);
	free(again);
	return 0;
}
