/* SPDX-License-Identifier: BSD-2-Clause */
/* Looks one address up: lookup TABLE ADDRESS. */
#include <stdio.h>

#include <uidrecv/reader.h>

int main(int argc, char **argv)
{
	struct uidrecv_reader *reader;
	struct uidrecv_query query = {0};
	struct uidrecv_mapping mapping;
	int r;

	if (argc != 3 || uidrecv_address_parse(argv[2], &query.address) < 0) {
		fprintf(stderr, "usage: lookup TABLE ADDRESS\n");
		return 2;
	}
	r = uidrecv_reader_open(&reader, argv[1], NULL);
	if (r == 0) {
		r = uidrecv_reader_lookup(reader, &query, 0, &mapping);
		uidrecv_reader_close(reader);
	}
	/* On a multi-user system only a port tells who it is. */
	if (r == 1 && mapping.answer != UIDRECV_ANSWER_USER)
		r = 0;
	if (r < 0)
		fprintf(stderr, "%s: %s\n", argv[1], uidrecv_strerror(r));
	else
		printf("%s\n", r == 1 ? mapping.user : "unknown");
	return r < 0 ? 2 : r == 0;
}
