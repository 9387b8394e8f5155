/*
 * listen - the server's socket: TCP by numeric address, or a Unix socket of mode 0660
 *
 * A socket file left by a crash is replaced, but only if nobody answers on it. Ours is removed
 * again only if it is still the one we made: a successor may have taken the path meanwhile.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "common/base/err.h"
#include "common/http/internal.h"

#define BACKLOG 4096 /* the kernel lowers it to net.core.somaxconn */

static int new_socket(int family)
{
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	return fd < 0 ? err_here(-errno) : fd;
}

/* ---- Unix ------------------------------------------------------------------------------------ */

static bool answers(const struct sockaddr_un *sun)
{
	int fd = new_socket(AF_UNIX);
	bool nobody = fd >= 0 && connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) &&
		      errno == ECONNREFUSED;

	if (fd >= 0)
		close(fd);
	return !nobody;
}

/* 0: the path is free */
static int clear_path(const struct sockaddr_un *sun)
{
	struct stat st;

	if (lstat(sun->sun_path, &st))
		return errno == ENOENT ? 0 : err_here(-errno);
	if (!S_ISSOCK(st.st_mode))
		return err_here(-EEXIST);
	if (answers(sun))
		return err_here(-EADDRINUSE);
	return unlink(sun->sun_path) && errno != ENOENT ? err_here(-errno) : 0;
}

static int bind_unix(int fd, const struct sockaddr_un *sun)
{
	mode_t before = umask(0117); /* 0660 from the first moment on */
	int r = bind(fd, (const struct sockaddr *)sun, sizeof(*sun)) ? -errno : 0;

	umask(before);
	return r ? err_here(r) : 0;
}

static int open_unix(struct http_listener *li, const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct stat st;
	int r;

	if (!path[0] || strlen(path) >= sizeof(sun.sun_path))
		return err_here(-EINVAL);
	strcpy(sun.sun_path, path);
	r = clear_path(&sun);
	if (r)
		return r;
	li->fd = new_socket(AF_UNIX);
	if (li->fd < 0)
		return li->fd;
	r = bind_unix(li->fd, &sun);
	if (r)
		return r;
	if (lstat(path, &st))
		return err_here(-errno);
	li->is_unix = true;
	li->dev = st.st_dev;
	li->ino = st.st_ino;
	snprintf(li->address, sizeof(li->address), "unix:%s", path);
	return 0;
}

/* ---- TCP ------------------------------------------------------------------------------------- */

union tcp_address {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

/* "1.2.3.4:80" or "[::1]:80"; the length of the address, or -EINVAL */
static int parse_tcp(const char *s, union tcp_address *ret)
{
	const char *colon = strrchr(s, ':');
	char host[INET6_ADDRSTRLEN], *end;
	unsigned long port;
	size_t len;

	if (!colon || colon[1] < '0' || colon[1] > '9')
		return -EINVAL;
	port = strtoul(colon + 1, &end, 10);
	len = (size_t)(colon - s);
	if (*end || port > 65535 || !len || len >= sizeof(host))
		return -EINVAL;
	*ret = (union tcp_address){ 0 };
	if (s[0] != '[') {
		memcpy(host, s, len);
		host[len] = '\0';
		ret->in.sin_family = AF_INET;
		ret->in.sin_port = htons((uint16_t)port);
		return inet_pton(AF_INET, host, &ret->in.sin_addr) == 1 ? (int)sizeof(ret->in) : -EINVAL;
	}
	if (len < 3 || s[len - 1] != ']')
		return -EINVAL;
	memcpy(host, s + 1, len - 2);
	host[len - 2] = '\0';
	ret->in6.sin6_family = AF_INET6;
	ret->in6.sin6_port = htons((uint16_t)port);
	return inet_pton(AF_INET6, host, &ret->in6.sin6_addr) == 1 ? (int)sizeof(ret->in6) : -EINVAL;
}

static int name_tcp(struct http_listener *li)
{
	union tcp_address a = { 0 };
	socklen_t len = sizeof(a);
	char host[INET6_ADDRSTRLEN];

	if (getsockname(li->fd, &a.any, &len))
		return err_here(-errno);
	if (a.any.sa_family == AF_INET) {
		inet_ntop(AF_INET, &a.in.sin_addr, host, sizeof(host));
		snprintf(li->address, sizeof(li->address), "%s:%u", host, ntohs(a.in.sin_port));
	} else {
		inet_ntop(AF_INET6, &a.in6.sin6_addr, host, sizeof(host));
		snprintf(li->address, sizeof(li->address), "[%s]:%u", host, ntohs(a.in6.sin6_port));
	}
	return 0;
}

static int open_tcp(struct http_listener *li, const char *listen_on)
{
	static const int one = 1;
	union tcp_address a;
	int len = parse_tcp(listen_on, &a);

	if (len < 0)
		return err_here(len);
	li->fd = new_socket(a.any.sa_family);
	if (li->fd < 0)
		return li->fd;
	/* accepted sockets inherit TCP_NODELAY: no call for each */
	if (setsockopt(li->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    setsockopt(li->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) ||
	    (a.any.sa_family == AF_INET6 &&
	     setsockopt(li->fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one))) ||
	    bind(li->fd, &a.any, (socklen_t)len))
		return err_here(-errno);
	return name_tcp(li);
}

/* ---- both ------------------------------------------------------------------------------------ */

int http_listener_open(struct http_listener *ret, const char *listen_on)
{
	struct http_listener li = { .fd = -1 };
	int r;

	if (!strncmp(listen_on, "unix:", 5))
		r = open_unix(&li, listen_on + 5);
	else
		r = open_tcp(&li, listen_on);
	if (!r && listen(li.fd, BACKLOG))
		r = err_here(-errno);
	if (r) {
		http_listener_close(&li);
		return r;
	}
	*ret = li;
	return 0;
}

void http_listener_close(struct http_listener *li)
{
	const char *path = li->address + strlen("unix:");
	struct stat st;

	if (li->fd < 0)
		return;
	close(li->fd);
	li->fd = -1;
	if (li->is_unix && !lstat(path, &st) && st.st_dev == li->dev && st.st_ino == li->ino)
		unlink(path);
}
