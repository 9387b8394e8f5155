/*
 * runtime - name, folder, secret, address file, and the word to the service manager
 *
 * All of it is checked before anything is opened, so that a wrong installation gives one clear
 * line.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "common/service/internal.h"

#define SECRET_MIN 32
#define SOCKET_PATH_MAX 107 /* sun_path, with room for its NUL */

int runtime_level(const struct config *c, enum log_level *ret)
{
	int r = log_level_parse(config_str(c, "log.level"), ret);

	if (r)
		log_error("service.config", "key=log.level reason=\"error, warn, info or debug\"");
	return r;
}

static bool member_valid(const char *s)
{
	size_t n = strlen(s);

	if (!n || n > 63 || s[0] == '.' || s[0] == '-')
		return false;
	return strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == n;
}

int runtime_member(struct process *p)
{
	const char *name = config_str(p->first, "service.member");
	char host[64] = "";

	if (!name[0]) {
		gethostname(host, sizeof(host) - 1);
		snprintf(p->member, sizeof(p->member), "%s-%s", p->ops->name, host);
	} else {
		snprintf(p->member, sizeof(p->member), "%s", name);
	}
	p->service.member = p->member;
	if (member_valid(p->member))
		return 0;
	log_error("service.member",
		  "name=\"%s\" reason=\"letters, digits, '.', '_', '-' only, 63 at most\"",
		  p->member);
	return -EINVAL;
}

int runtime_folder(struct process *p)
{
	const char *folder = config_str(p->first, "service.runtime_dir");
	struct stat st;
	int r = 0;

	if (mkdir(folder, 0750) == 0) {
		if (chmod(folder, 0750) < 0) /* whatever the umask */
			r = -errno;
	} else if (errno != EEXIST) {
		r = -errno;
	} else if (stat(folder, &st) < 0 || !S_ISDIR(st.st_mode)) {
		r = -ENOTDIR;
	}
	if (!r && access(folder, W_OK | X_OK) < 0)
		r = -errno;
	if (!r && strlen(folder) + strlen(p->member) + strlen("/.admin") > SOCKET_PATH_MAX)
		r = -ENAMETOOLONG;
	if (r)
		log_error("service.runtime_dir", "path=\"%s\" reason=\"%s\"", folder, strerror(-r));
	return r;
}

int runtime_secret(struct process *p)
{
	const char *secret = config_secret(p->first, "service.secret_file");
	size_t len = secret ? strlen(secret) : 0;

	if (len < SECRET_MIN) {
		log_error("service.secret",
			  "key=service.secret_file path=\"%s\" bytes=%zu reason=\"%s\"",
			  config_str(p->first, "service.secret_file"), len,
			  secret ? "32 bytes or more are needed"
				 : "no readable text in it; `openssl rand -hex 32` makes one");
		return -EINVAL;
	}
	p->service.secret = (struct bytes){ (const uint8_t *)secret, len };
	return 0;
}

int runtime_endpoint(const struct process *p)
{
	const char *endpoint = config_str(p->first, "bus.endpoint");

	if (!*endpoint || bus_local(endpoint))
		return 0;
	log_error("service.config", "key=bus.endpoint endpoint=%s reason=\"only ipc:// is taken: what is said "
		  "there is read from the store on other hosts\"", endpoint);
	return -EINVAL;
}

int runtime_curve(struct process *p)
{
	const char *secret = config_secret(p->first, "bus.curve_secret_file");
	int r = secret ? bus_curve(p->bus, secret, p->metrics) : 0;

	if (r)
		log_error("service.curve", "key=bus.curve_secret_file path=\"%s\" reason=\"%s\"",
			  config_str(p->first, "bus.curve_secret_file"),
			  r == -EINVAL ? "no secret key of CURVE (40 characters of Z85); "
					 "`centraleta key server` makes one" : strerror(-r));
	else if (secret)
		log_info("service.curve", "public=%s", bus_curve_public(p->bus));
	return r;
}

int runtime_admin_file(struct process *p)
{
	const char *address = http_server_address(p->admin);
	char path[512], temporary[540];
	size_t len = strlen(address);
	int fd, r = 0;

	snprintf(path, sizeof(path), "%s/%s.admin", config_str(p->first, "service.runtime_dir"),
		 p->member);
	snprintf(temporary, sizeof(temporary), "%s.%d", path, getpid());
	fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
	if (fd < 0)
		return -errno;
	if (write(fd, address, len) != (ssize_t)len || write(fd, "\n", 1) != 1)
		r = -EIO;
	if (close(fd) < 0 && !r)
		r = -errno;
	if (!r && rename(temporary, path) < 0)
		r = -errno;
	if (r)
		unlink(temporary);
	else
		memcpy(p->admin_file, path, sizeof(path));
	return r;
}

/* A datagram to $NOTIFY_SOCKET; a manager that can't be reached is no reason to stop. */
void runtime_notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	size_t len = path ? strlen(path) : 0;
	int fd;

	if (!len || len >= sizeof(to.sun_path) || (path[0] != '/' && path[0] != '@'))
		return;
	memcpy(to.sun_path, path, len);
	if (path[0] == '@')
		to.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return;
	if (sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&to,
		   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0)
		log_debug("service.notify", "err=%d", errno);
	close(fd);
}
