/*
 * driver - runs a fuzz target without libFuzzer: every file of a corpus, then changes of them
 *
 *	fuzz_x FOLDER [ROUNDS]
 *
 * The changes come from a fixed seed, so a failure is found again by the same command.
 */
#include <dirent.h>
#include <stdio.h>
#include "common/base/base.h"

#define INPUT_MAX (64u << 10)
#define FILES_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static uint64_t state = 0x9e3779b97f4a7c15;

static uint64_t next(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	return state ^= state << 17;
}

static struct {
	uint8_t *data;
	size_t len;
} files[FILES_MAX];
static size_t files_n;

static void load(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *data = malloc(INPUT_MAX);

	assert(f && data);
	files[files_n].data = data;
	files[files_n++].len = fread(data, 1, INPUT_MAX / 2, f);
	fclose(f);
}

static void load_all(const char *folder)
{
	DIR *d = opendir(folder);
	char path[4096];

	assert(d);
	for (struct dirent *e; (e = readdir(d)) && files_n < FILES_MAX;) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
		load(path);
	}
	closedir(d);
}

/* a few bytes changed, a run doubled, cut, or joined with another file's */
static size_t change(uint8_t *to, size_t from)
{
	size_t len = files[from].len;

	memcpy(to, files[from].data, len);
	for (uint64_t n = next() % 6; n && len; n--)
		to[next() % len] = (uint8_t)next();
	switch (next() % 4) {
	case 0:
		return len ? next() % len : 0;
	case 1: {
		size_t other = next() % files_n, at = len ? next() % len : 0;

		memcpy(to + at, files[other].data, files[other].len);
		return at + files[other].len;
	}
	case 2:
		memmove(to + len, to, len);
		return len * 2;
	default:
		return len;
	}
}

int main(int argc, char **argv)
{
	static uint8_t input[INPUT_MAX];
	long rounds = argc > 2 ? strtol(argv[2], NULL, 10) : 20000;

	if (argc < 2) {
		fprintf(stderr, "usage: %s FOLDER [ROUNDS]\n", argv[0]);
		return 2;
	}
	load_all(argv[1]);
	assert(files_n);
	for (size_t i = 0; i < files_n; i++)
		LLVMFuzzerTestOneInput(files[i].data, files[i].len);
	for (long i = 0; i < rounds; i++) {
		/* a block of its own, so that a read beyond the end is seen */
		size_t len = change(input, next() % files_n);
		uint8_t *own = malloc(len ? len : 1);

		assert(own);
		memcpy(own, input, len);
		LLVMFuzzerTestOneInput(own, len);
		free(own);
	}
	printf("%zu files, %ld changes\n", files_n, rounds);
	for (size_t i = 0; i < files_n; i++)
		free(files[i].data);
	return 0;
}
