/*
 * slow_flush - LD_PRELOAD: each fsync and fdatasync first sleeps SLOW_FLUSH_US microseconds
 *
 * What a flush costs on an ordinary disk, on a machine with a fast one.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static void wait_first(void)
{
	const char *us = getenv("SLOW_FLUSH_US");
	long ns = us ? atol(us) * 1000 : 0;
	struct timespec t = { ns / 1000000000, ns % 1000000000 };

	if (ns > 0)
		nanosleep(&t, NULL);
}

int fsync(int fd)
{
	static int (*real)(int);

	if (!real)
		real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
	wait_first();
	return real(fd);
}

int fdatasync(int fd)
{
	static int (*real)(int);

	if (!real)
		real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
	wait_first();
	return real(fd);
}
