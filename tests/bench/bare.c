/*
 * bare - a libevent answerer: reads a POST's form and answers as intake would, without doing anything
 *
 * What HTTP costs by itself. usage: bare; prints its port and serves until it is killed.
 */
#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <stdio.h>
#include <stdlib.h>

static void answer(struct evhttp_request *req, void *arg)
{
	static unsigned long long number;
	struct evbuffer *out = arg, *in = evhttp_request_get_input_buffer(req);

	evbuffer_drain(in, evbuffer_get_length(in));
	evbuffer_add_printf(out, "[{\"service_request_id\":\"%llu\",\"service_notice\":\"\"}]\n", ++number);
	evhttp_add_header(evhttp_request_get_output_headers(req), "Content-Type", "application/json");
	evhttp_send_reply(req, 200, "OK", out);
}

int main(void)
{
	struct sockaddr_in sa;
	socklen_t len = sizeof(sa);
	struct event_base *base = event_base_new();
	struct evhttp *http = evhttp_new(base);
	struct evhttp_bound_socket *bound = evhttp_bind_socket_with_handle(http, "127.0.0.1", 0);

	if (!bound || getsockname(evhttp_bound_socket_get_fd(bound), (struct sockaddr *)&sa, &len))
		return 1;
	evhttp_set_gencb(http, answer, evbuffer_new());
	printf("%d\n", ntohs(sa.sin_port));
	fflush(stdout);
	return event_base_dispatch(base) ? 1 : 0;
}
