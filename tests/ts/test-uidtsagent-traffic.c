/* SPDX-License-Identifier: BSD-2-Clause */
/* The kernel's flows, asked for in a network namespace of its own. */
#include <criterion/criterion.h>

#include <libnetfilter_conntrack/libnetfilter_conntrack.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <sched.h>
#include <sys/socket.h>

#include "uidtsagent-traffic.h"

static struct ts_share share = {
    .system = {.ports = {20000, 1000}, .block_size = 200},
};
static struct ts_traffic traffic;

/* An answer that nobody takes, as an interrupted dump leaves them. */
static void leave_an_answer(void)
{
	struct {
		struct nlmsghdr header;
		struct nfgenmsg generic;
	} request = {
	    .header = {.nlmsg_len = sizeof(request),
		       .nlmsg_type =
			   NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET,
		       .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
		       .nlmsg_seq = 12345},
	    .generic = {.nfgen_family = AF_INET},
	};

	cr_assert_eq(
	    send(nfct_fd(traffic.conntrack), &request, sizeof(request), 0),
	    (ssize_t)sizeof(request));
}

/*
 * The library does not number its questions: the rest of an answer would be
 * taken for the next one, and flows that are there would be missed.
 */
Test(uidtsagent_traffic, what_failed_once_leaves_no_answer_behind)
{
	char left[8192];

	if (unshare(CLONE_NEWNET) < 0)
		cr_skip_test("needs root: network namespaces");
	cr_assert_eq(ts_share_init(&share, 1), 0);
	cr_assert_eq(ts_traffic_open(&traffic, &share), 0);
	cr_assert_eq(ts_traffic_count(&traffic, &share, 2), 0);
	cr_assert_eq(share.counted_us, 2);
	leave_an_answer();
	cr_assert_lt(ts_traffic_count(&traffic, &share, 3), 0);
	/* What is not known may be in use. */
	cr_assert_eq(share.counted_us, 2);
	cr_assert_eq(share.blocks[0].flows, 1);
	cr_assert_eq(ts_traffic_count(&traffic, &share, 4), 0);
	cr_assert_eq(share.counted_us, 4);
	cr_assert_eq(share.blocks[0].flows, 0);
	cr_assert_lt(
	    recv(nfct_fd(traffic.conntrack), left, sizeof(left), MSG_DONTWAIT),
	    0);
	ts_traffic_close(&traffic);
	ts_share_done(&share);
}
