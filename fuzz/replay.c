/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs a fuzz harness without a fuzzer: over every file of the folders given,
 * and over mutations of each: every prefix, and every byte set to 0, to 0xff
 * and inverted. The order is always the same. Prints TAP: one case.
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
__attribute__((weak)) int LLVMFuzzerInitialize(int *argc, char ***argv);

/* As many runs as fit into a test that somebody waits for. */
#define RUNS_MAX 200000

struct input {
	char *path;
	uint8_t *data;
	size_t size;
};

static struct input *inputs;
static size_t input_count;
static size_t runs;

/* What is running, for the signal handler. */
static const char *volatile now_path = "(empty)";
static const char *volatile now_kind = "whole";
static volatile size_t now_place;

static void say(const char *text)
{
	if (write(STDERR_FILENO, text, strlen(text)) < 0)
		_exit(1);
}

static void on_signal(int number)
{
	char digits[24];
	size_t place = now_place;
	char *digit = digits + sizeof(digits) - 1;

	*digit = 0;
	do
		*--digit = (char)('0' + place % 10);
	while (place /= 10);
	say("\nreplay: the input was ");
	say(now_path);
	say(", ");
	say(now_kind);
	say(" ");
	say(digit);
	say("\n");
	raise(number);
}

static void catch_signals(void)
{
	/* A sanitizer has handlers for the others, and then aborts. */
	static const int numbers[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE,
				      SIGILL,  SIGTERM, SIGALRM};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		struct sigaction old;

		if (sigaction(numbers[i], NULL, &old) < 0 ||
		    old.sa_handler != SIG_DFL)
			continue;
		old.sa_handler = on_signal;
		old.sa_flags = (int)(SA_RESETHAND | SA_NODEFER);
		sigaction(numbers[i], &old, NULL);
	}
}

static void fail(const char *what, const char *path)
{
	printf("Bail out! %s: %s: %s\n", path, what, strerror(errno));
	exit(1);
}

static void load_file(const char *path, size_t size)
{
	struct input *input;
	FILE *file = fopen(path, "rb");

	if (!file)
		fail("open", path);
	inputs = reallocarray(inputs, input_count + 1, sizeof(*inputs));
	if (!inputs)
		fail("memory", path);
	input = &inputs[input_count++];
	input->path = strdup(path);
	input->data = malloc(size + 1);
	if (!input->path || !input->data)
		fail("memory", path);
	input->size = fread(input->data, 1, size, file);
	if (ferror(file))
		fail("read", path);
	fclose(file);
}

static void load(const char *path)
{
	struct dirent **entries;
	struct stat status;
	int count;

	if (stat(path, &status) < 0)
		fail("stat", path);
	if (!S_ISDIR(status.st_mode)) {
		load_file(path, (size_t)status.st_size);
		return;
	}
	count = scandir(path, &entries, NULL, alphasort);
	if (count < 0)
		fail("scandir", path);
	for (int i = 0; i < count; i++) {
		char *child;

		if (entries[i]->d_name[0] != '.') {
			if (asprintf(&child, "%s/%s", path,
				     entries[i]->d_name) < 0)
				fail("memory", path);
			load(child);
			free(child);
		}
		free(entries[i]);
	}
	free(entries);
}

/* In memory of its own size, so that a sanitizer sees one byte too far. */
static void run(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);

	if (!copy)
		fail("memory", now_path);
	if (size)
		memcpy(copy, data, size);
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
	runs++;
}

static void run_byte(struct input *input, size_t place, uint8_t value,
		     const char *kind)
{
	uint8_t kept = input->data[place];

	if (kept == value)
		return;
	now_kind = kind;
	input->data[place] = value;
	run(input->data, input->size);
	input->data[place] = kept;
}

static void run_mutations(struct input *input, size_t step)
{
	for (size_t i = 0; i < input->size; i += step) {
		uint8_t byte = input->data[i];

		now_place = i;
		now_kind = "prefix of bytes";
		run(input->data, i);
		run_byte(input, i, 0, "zero at byte");
		run_byte(input, i, 0xff, "0xff at byte");
		run_byte(input, i, (uint8_t)~byte, "inverted byte");
	}
}

int main(int argc, char **argv)
{
	const char *name = strrchr(argv[0], '/');
	bool is_long = getenv("UIDRECV_TEST_LONG");
	size_t total = 0;
	size_t step;

	if (LLVMFuzzerInitialize)
		LLVMFuzzerInitialize(&argc, &argv);
	for (int i = 1; i < argc; i++)
		load(argv[i]);
	catch_signals();
	run((const uint8_t *)"", 0);
	for (size_t i = 0; i < input_count; i++) {
		now_path = inputs[i].path;
		now_kind = "whole";
		run(inputs[i].data, inputs[i].size);
		total += 4 * inputs[i].size;
	}
	step = is_long ? 1 : total / RUNS_MAX + 1;
	for (size_t i = 0; i < input_count; i++) {
		now_path = inputs[i].path;
		run_mutations(&inputs[i], step);
	}
	for (size_t i = 0; i < input_count; i++) {
		free(inputs[i].path);
		free(inputs[i].data);
	}
	free(inputs);
	printf("1..1\n%s 1 - %s: %zu inputs, %zu runs\n",
	       input_count ? "ok" : "not ok", name ? name + 1 : argv[0],
	       input_count, runs);
	return input_count ? 0 : 1;
}
