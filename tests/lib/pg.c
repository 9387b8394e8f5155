/*
 * pg - see pg.h
 *
 * The server is our own child and is told to die with us (PR_SET_PDEATHSIG), so that a test that
 * crashes leaves no server behind. The template is shared with tests/lib/cluster.py: the name says
 * the version of what is in it.
 */
#include "tests/lib/pg.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "services/cli/migrate.h"

#define START_S 60

struct pg {
	struct pg *next; /* of those to be stopped at exit */
	char dir[64], dsn[192], bindir[128];
	pid_t pid; /* 0: stopped */
	bool fsync;
	PGconn *conn; /* NULL: not yet, or the server was stopped since */
};
static struct pg *all;

/* ---- programs ----------------------------------------------------------------------------- */

static void become_postgres(void)
{
	const struct passwd *pw;

	if (getuid())
		return;
	pw = getpwnam("postgres");
	if (!pw || setgroups(0, NULL) || setgid(pw->pw_gid) || setuid(pw->pw_uid))
		_exit(126);
}

static pid_t spawn(const char *const *argv, bool as_postgres, const char *log, bool dies_with_us)
{
	pid_t parent = getpid(), pid = fork();

	if (pid)
		return pid;
	if (log) {
		int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0666);

		if (fd < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0)
			_exit(126);
	}
	if (as_postgres)
		become_postgres();
	if (dies_with_us && (prctl(PR_SET_PDEATHSIG, SIGQUIT) || getppid() != parent))
		_exit(126);
	if (chdir("/"))
		_exit(126);
	execv(argv[0], (char *const *)(uintptr_t)argv);
	_exit(127);
}

static int run(const char *const *argv, bool as_postgres, const char *log)
{
	pid_t pid = spawn(argv, as_postgres, log, false);
	int status = -1;

	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

/* "/bin/sh -c", for the few steps that are a pipe or a pattern */
static _printf_(2, 3) void shell(bool as_postgres, const char *fmt, ...)
{
	char command[2048];
	const char *const argv[] = { "/bin/sh", "-ec", command, NULL };
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(command, sizeof(command), fmt, ap);
	va_end(ap);
	if (run(argv, as_postgres, NULL))
		TEST_FAIL("failed: %s", command);
}

static void find_bindir(char ret[static 128])
{
	const char *env = getenv("PG_BINDIR");
	struct dirent **names = NULL;
	int n;

	*ret = '\0';
	if (env) {
		snprintf(ret, 128, "%s", env);
		return;
	}
	n = scandir("/usr/lib/postgresql", &names, NULL, versionsort);
	for (int i = 0; i < n; i++) {
		if (names[i]->d_name[0] != '.' && strlen(names[i]->d_name) < 16)
			snprintf(ret, 128, "/usr/lib/postgresql/%.15s/bin", names[i]->d_name);
		free(names[i]);
	}
	free(names);
	if (!*ret)
		test_skip("no PostgreSQL server on this machine");
}

/* ---- the template ------------------------------------------------------------------------- */

/* also in cluster.py; a new number where what it makes changes */
#define TEMPLATE "/tmp/centraleta-pg-template-1-%s-%u"

/* the version's number, out of /usr/lib/postgresql/15/bin */
static void template_path(const struct pg *p, char *ret, size_t size)
{
	char version[32] = "x";

	(void)sscanf(p->bindir, "/usr/lib/postgresql/%31[^/]", version);
	snprintf(ret, size, TEMPLATE, version, (unsigned)getuid());
}

static void make_template(const struct pg *p, const char *path)
{
	shell(false, "rm -rf %s.new && mkdir -m 755 %s.new", path, path);
	if (!getuid())
		shell(false, "chown postgres: %s.new", path);
	shell(true,
	      "%s/initdb -D %s.new/data -U postgres --auth=trust --no-sync --encoding=UTF8 "
	      "--locale=C.UTF-8 --wal-segsize=4 >%s.new/log 2>&1",
	      p->bindir, path, path);
	shell(true,
	      "echo 'CREATE DATABASE centraleta TEMPLATE template0' | "
	      "%s/postgres --single -F -D %s.new/data postgres >>%s.new/log 2>&1",
	      p->bindir, path, path);
	shell(true,
	      "echo 'CREATE EXTENSION IF NOT EXISTS postgis' | "
	      "%s/postgres --single -F -D %s.new/data centraleta >>%s.new/log 2>&1",
	      p->bindir, path, path);
	shell(false, "mv %s.new %s", path, path);
}

static void copy_template(const struct pg *p)
{
	char path[128], lock[160];
	int fd;

	template_path(p, path, sizeof(path));
	snprintf(lock, sizeof(lock), "%s.lock", path);
	fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || flock(fd, LOCK_EX))
		TEST_FAIL("%s: %s", lock, strerror(errno));
	if (access(path, F_OK))
		make_template(p, path);
	close(fd);
	shell(false, "cp -a --reflink=auto %s/data %s/data", path, p->dir);
}

/* ---- the server --------------------------------------------------------------------------- */

static void close_conn(struct pg *p)
{
	if (p->conn)
		PQfinish(steal(p->conn));
}

static void wait_for_end(struct pg *p)
{
	close_conn(p);
	while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
		;
	p->pid = 0;
}

static void signal_and_wait(struct pg *p, int signo)
{
	if (!p->pid)
		return;
	kill(p->pid, signo);
	wait_for_end(p);
}

static void wait_until_up(struct pg *p)
{
	const struct timespec nap = { 0, 10000000 };

	for (int i = 0; i < START_S * 100; i++) {
		int status;

		if (PQping(p->dsn) == PQPING_OK)
			return;
		if (waitpid(p->pid, &status, WNOHANG) == p->pid) {
			p->pid = 0;
			break;
		}
		nanosleep(&nap, NULL);
	}
	TEST_FAIL("the server doesn't start: see %s/log", p->dir);
}

static void launch(struct pg *p)
{
	char program[160], data[96], log[96];
	const char *const argv[] = { program, "-D", data, "-F", NULL };
	const char *const argv_fsync[] = { program, "-D", data, NULL };

	snprintf(program, sizeof(program), "%s/postgres", p->bindir);
	snprintf(data, sizeof(data), "%s/data", p->dir);
	snprintf(log, sizeof(log), "%s/log", p->dir);
	p->pid = spawn(p->fsync ? argv_fsync : argv, true, log, true);
	if (p->pid < 0)
		TEST_FAIL("fork: %s", strerror(errno));
	wait_until_up(p);
}

static void write_settings(const struct pg *p, const char *settings)
{
	char path[96];
	FILE *f;

	snprintf(path, sizeof(path), "%s/data/postgresql.conf", p->dir);
	f = fopen(path, "ae");
	if (!f)
		TEST_FAIL("%s: %s", path, strerror(errno));
	fprintf(f,
		"listen_addresses = ''\nunix_socket_directories = '%s'\nshared_buffers = 32MB\n"
		"max_connections = 200\nfull_page_writes = %s\nmax_wal_size = 256MB\n"
		"log_line_prefix = '%%m [%%p] %%a '\nautovacuum_naptime = 10\n%s\n",
		p->dir, p->fsync ? "on" : "off", settings ? settings : "");
	if (fclose(f))
		TEST_FAIL("%s: %s", path, strerror(errno));
}

static void stop_all(void)
{
	while (all)
		pg_free(all);
}

struct pg *pg_start(const struct pg_options *o)
{
	static const struct pg_options none;
	static bool registered;
	struct pg *p = calloc(1, sizeof(*p));

	ASSERT_NOT_NULL(p);
	if (!o)
		o = &none;
	if (!registered && !atexit(stop_all))
		registered = true;
	find_bindir(p->bindir);
	snprintf(p->dir, sizeof(p->dir), "/tmp/centraleta-pg-XXXXXX");
	if (!mkdtemp(p->dir))
		TEST_FAIL("mkdtemp: %s", strerror(errno));
	p->fsync = o->fsync;
	p->next = all;
	all = p;
	if (!getuid())
		shell(false, "chmod 755 %s && chown postgres: %s", p->dir, p->dir);
	copy_template(p);
	write_settings(p, o->settings);
	snprintf(p->dsn, sizeof(p->dsn), "host=%s user=postgres dbname=centraleta", p->dir);
	launch(p);
	if (o->migrate)
		pg_migrate(p);
	return p;
}

void pg_free(struct pg *p)
{
	const char *const argv[] = { "/bin/rm", "-rf", p ? p->dir : "", NULL };

	if (!p)
		return;
	for (struct pg **at = &all; *at; at = &(*at)->next)
		if (*at == p) {
			*at = p->next;
			break;
		}
	signal_and_wait(p, SIGQUIT);
	(void)run(argv, false, NULL); /* a folder left in /tmp fails nobody's test */
	free(p);
}

void pg_kill(struct pg *p)
{
	signal_and_wait(p, SIGQUIT);
}

void pg_stop(struct pg *p)
{
	signal_and_wait(p, SIGINT);
}

void pg_restart(struct pg *p)
{
	ASSERT_EQ(p->pid, 0);
	launch(p);
}

const char *pg_dir(const struct pg *p)
{
	return p->dir;
}

const char *pg_dsn(const struct pg *p)
{
	return p->dsn;
}

/* ---- statements --------------------------------------------------------------------------- */

static PGconn *connection(struct pg *p)
{
	/* a server that restarted after a crash has ended our session too */
	if (p->conn && PQconsumeInput(p->conn) && PQstatus(p->conn) == CONNECTION_OK)
		return p->conn;
	close_conn(p);
	wait_until_up(p);
	p->conn = PQconnectdb(p->dsn);
	if (PQstatus(p->conn) != CONNECTION_OK)
		TEST_FAIL("%s", PQerrorMessage(p->conn));
	PQclear(PQexec(p->conn, "SET client_min_messages = error; SET search_path = centraleta, public"));
	return p->conn;
}

char *pg_value(struct pg *p, const char *sql)
{
	PGresult *res = PQexec(connection(p), sql);
	ExecStatusType status = PQresultStatus(res);
	char *value = NULL;

	if (status == PGRES_TUPLES_OK && PQntuples(res))
		value = strdup(PQgetvalue(res, 0, 0));
	PQclear(res);
	if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
		TEST_FAIL("%s: %s", sql, PQerrorMessage(p->conn));
	return value ? value : strdup("");
}

void pg_sql(struct pg *p, const char *sql)
{
	free(pg_value(p, sql));
}

long pg_number(struct pg *p, const char *sql)
{
	_cleanup_(freep) char *value = pg_value(p, sql);

	return strtol(value, NULL, 10);
}

void pg_script(struct pg *p, const char *path)
{
	shell(false, "PGOPTIONS='-c search_path=centraleta,public -c client_min_messages=warning' "
		     "%s/psql -qXb -v ON_ERROR_STOP=1 -d '%s' -f '%s'",
	      p->bindir, p->dsn, path);
}

void pg_migrate(struct pg *p)
{
	const struct migrate_options o = { .dsn = p->dsn, .dir = test_source("deploy/postgres") };
	struct migrate_report report;

	if (migrate_run(&o, &report))
		TEST_FAIL("migrate: %s", report.error);
}
