/* SPDX-License-Identifier: Apache-2.0 */
/*
 * driver: runs a fuzz target over files and directories of files, where there is no libFuzzer: the corpus is a test.
 * Also over each file cut short, and with one byte changed, so that a small corpus covers the refusals.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define INPUT_MAX (1024u * 1024)
#define VARIANTS  64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned long inputs;

/* On an allocation of exactly the right size, so that a sanitizer sees a read past the end. */
static void run(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size > 0 ? size : 1);

	if (copy == NULL)
		abort();
	if (size > 0)
		memcpy(copy, data, size);
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
	inputs++;
}

static void run_variants(uint8_t *data, size_t size)
{
	size_t step = size / VARIANTS + 1;

	run(data, size);
	for (size_t i = 0; i < size; i += step) {
		uint8_t old = data[i];

		run(data, i);
		data[i] ^= (uint8_t)(1u << (i % 8));
		run(data, size);
		data[i] = old;
	}
}

static int run_file(const char *path)
{
	static uint8_t data[INPUT_MAX];
	FILE *f = fopen(path, "rb");
	size_t n;

	if (f == NULL) {
		perror(path);
		return 1;
	}
	n = fread(data, 1, sizeof(data), f);
	fclose(f);
	run_variants(data, n);
	return 0;
}

static int run_path(const char *path)
{
	char name[4096];
	struct dirent *e;
	struct stat st;
	int rc = 0;
	DIR *d;

	if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
		return run_file(path);
	d = opendir(path);
	if (d == NULL) {
		perror(path);
		return 1;
	}
	while ((e = readdir(d)) != NULL) {
		snprintf(name, sizeof(name), "%s/%s", path, e->d_name);
		if (e->d_name[0] != '.')
			rc |= run_path(name);
	}
	closedir(d);
	return rc;
}

int main(int argc, char **argv)
{
	int rc = 0;

	for (int i = 1; i < argc; i++)
		rc |= run_path(argv[i]);
	printf("%lu inputs\n", inputs);
	return rc != 0 || inputs == 0;
}
