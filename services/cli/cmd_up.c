/*
 * centraleta up: the five daemons as children of one command, for one machine and for trying out.
 * TERM or INT drains them all; when one ends by itself the others are drained too and the exit
 * code says so.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "services/cli/cli.h"
#include "services/cli/commands.h"

static const char *const daemons[] = { "intake", "routing", "dispatch", "notification", "analytics" };

static volatile sig_atomic_t wanted;

static void on_signal(int signo)
{
	wanted = signo;
}

/* --daemons; $CENTRALETA_LIBEXEC_DIR; where they were installed */
static void program(const char *dir, const char *name, char ret[static 512])
{
	if (!dir)
		dir = getenv("CENTRALETA_LIBEXEC_DIR");
	snprintf(ret, 512, "%s/centraleta-%s", dir ? dir : CENTRALETA_LIBEXEC_DIR, name);
	if (access(ret, X_OK) && dir)
		snprintf(ret, 512, "%s/%s/centraleta-%s", dir, name, name);
}

static pid_t start(const char *path, const char *config)
{
	pid_t parent = getpid(), pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(1);
	if (config)
		execl(path, path, "--config", config, (char *)NULL);
	else
		execl(path, path, (char *)NULL);
	fprintf(stderr, "centraleta: %s: %s\n", path, strerror(errno));
	_exit(127);
}

static void signal_all(const pid_t *pids, int signo)
{
	for (size_t i = 0; i < ARRAY_SIZE(daemons); i++)
		if (pids[i] > 0)
			kill(pids[i], signo);
}

static size_t forget(pid_t *pids, pid_t pid, const char **ret_name)
{
	size_t left = 0;

	for (size_t i = 0; i < ARRAY_SIZE(daemons); i++) {
		if (pids[i] == pid) {
			pids[i] = 0;
			*ret_name = daemons[i];
		}
		left += pids[i] > 0;
	}
	return left;
}

static int wait_all(pid_t *pids)
{
	int status, code = CLI_OK;
	bool draining = false;
	size_t left = ARRAY_SIZE(daemons);

	while (left) {
		const char *name = "?";
		pid_t pid = waitpid(-1, &status, 0);

		if (wanted) {
			signal_all(pids, SIGTERM);
			draining = true;
			wanted = 0;
		}
		if (pid <= 0) {
			if (errno != EINTR)
				return cli_fail(CLI_FAILED, "waitpid: %s", strerror(errno));
			continue;
		}
		left = forget(pids, pid, &name);
		if (!draining || !WIFEXITED(status) || WEXITSTATUS(status))
			code = cli_fail(CLI_FAILED, "%s ended by itself (%s %d); the others are drained", name,
					WIFSIGNALED(status) ? "signal" : "exit code",
					WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
		if (!draining)
			signal_all(pids, SIGTERM);
		draining = true;
	}
	return code;
}

int cmd_up(struct cli *c, int argc, char **argv)
{
	const char *dir = NULL;
	const struct option_spec specs[] = {
		{ "daemons", &dir, NULL, false },
		{ NULL, NULL, NULL, false },
	};
	struct sigaction act = { .sa_handler = on_signal };
	pid_t pids[ARRAY_SIZE(daemons)] = { 0 };
	char path[512];

	if (cli_options("up", argc, argv, specs, NULL, 0, 0) < 0)
		return CLI_USAGE;
	sigaction(SIGINT, &act, NULL);
	sigaction(SIGTERM, &act, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(daemons); i++) {
		program(dir, daemons[i], path);
		if (access(path, X_OK)) {
			signal_all(pids, SIGTERM);
			return cli_fail(CLI_FAILED, "%s is no program; name the folder with --daemons", path);
		}
		pids[i] = start(path, c->config_file);
	}
	return wait_all(pids);
}
