/* SPDX-License-Identifier: BSD-2-Clause */
#include "former.h"

#include <errno.h>
#include <stdlib.h>

#include "layout.h"
#include "mapped.h"

struct ur_former {
	struct ur_mapped mapped;
	struct ur_generation generation; /* the same, to be read */
};

static int map(struct ur_former *former, const char *path, uint64_t base_us)
{
	struct ur_generation *generation = &former->generation;
	struct ur_trust trust;
	struct ur_place place = {.dir_fd = -1};
	char *bytes;
	int r = ur_trust_init(&trust);

	trust.has_owner = true;
	if (r == 0)
		r = ur_place_open(&place, path);
	if (r == 0)
		r = ur_mapped_open(&former->mapped, &place, &trust);
	ur_place_close(&place);
	if (r < 0)
		return r;
	generation->layout = former->mapped.view.layout;
	if (generation->layout.base_us != base_us)
		return UIDRECV_E_TABLE_BOOT;
	/* Nothing is written there. */
	bytes = (char *)(uintptr_t)former->mapped.view.bytes;
	generation->bytes = bytes;
	generation->header = (void *)bytes;
	generation->lines = (void *)(bytes + generation->layout.lines_offset);
	generation->slots = (void *)(bytes + generation->layout.slots_offset);
	generation->kept =
	    (void *)(bytes + ur_layout_kept_offset(&generation->layout));
	return 0;
}

int ur_former_open(struct ur_former **ret_former, const char *path,
		   uint64_t base_us)
{
	struct ur_former *former = calloc(1, sizeof(*former));
	int r;

	if (former == NULL)
		return -ENOMEM;
	r = map(former, path, base_us);
	if (r < 0) {
		ur_former_close(former);
		return r;
	}
	*ret_former = former;
	return 0;
}

void ur_former_close(struct ur_former *former)
{
	if (former == NULL)
		return;
	ur_mapped_close(&former->mapped);
	free(former);
}

uint64_t ur_former_get_lent_us(const struct ur_former *former,
			       const struct ur_lease *lease)
{
	return ur_lease_get_us(&former->generation, lease);
}
