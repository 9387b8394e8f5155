/*
 * A DEALER socket used synchronously; see import_link.h.
 */
#include <errno.h>
#include <stdio.h>
#include <zmq.h>

#include "common/base/clock.h"
#include "services/cli/import_link.h"

enum { FRAME_MAX = 256 * 1024, QUEUE_MAX = 4096 };

struct import_link {
	void *context, *socket;
	char *endpoint, *api_key;
	char error[256];
};

void import_link_free(struct import_link *l)
{
	if (!l)
		return;
	if (l->socket)
		zmq_close(l->socket);
	if (l->context)
		zmq_ctx_term(l->context);
	free(l->endpoint);
	free(l->api_key);
	free(l);
}

int import_link_new(struct import_link **ret, const char *endpoint, const char *api_key)
{
	_cleanup_(import_link_freep) struct import_link *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->context = zmq_ctx_new();
	l->endpoint = strdup(endpoint);
	l->api_key = strdup(api_key);
	if (!l->context || !l->endpoint || !l->api_key)
		return -ENOMEM;
	*ret = steal(l);
	return 0;
}

const char *import_link_error(const struct import_link *l)
{
	return l->error;
}

static int send_frame(struct import_link *l, const Centraleta__V1__SubmitterFrame *frame)
{
	size_t len = centraleta__v1__submitter_frame__get_packed_size(frame);
	zmq_msg_t msg;

	if (zmq_msg_init_size(&msg, len))
		return -ENOMEM;
	centraleta__v1__submitter_frame__pack(frame, zmq_msg_data(&msg));
	if (zmq_msg_send(&msg, l->socket, ZMQ_DONTWAIT) < 0) {
		zmq_msg_close(&msg);
		return LINK_E_SILENT;
	}
	return 0;
}

static void set_int(void *socket, int option, int value)
{
	if (zmq_setsockopt(socket, option, &value, sizeof(value)))
		abort(); /* a constant option with a constant value */
}

static int connect_again(struct import_link *l)
{
	int64_t largest = FRAME_MAX;

	if (l->socket)
		zmq_close(l->socket);
	l->socket = zmq_socket(l->context, ZMQ_DEALER);
	if (!l->socket)
		return -errno;
	set_int(l->socket, ZMQ_LINGER, 0);
	set_int(l->socket, ZMQ_SNDHWM, QUEUE_MAX);
	set_int(l->socket, ZMQ_RCVHWM, QUEUE_MAX);
	set_int(l->socket, ZMQ_HEARTBEAT_IVL, 3000);
	set_int(l->socket, ZMQ_HEARTBEAT_TIMEOUT, 9000);
	if (zmq_setsockopt(l->socket, ZMQ_MAXMSGSIZE, &largest, sizeof(largest)))
		return -errno;
	return zmq_connect(l->socket, l->endpoint) ? -errno : 0;
}

int import_link_open(struct import_link *l, unsigned wait_ms, unsigned *ret_window)
{
	Centraleta__V1__SubmitterFrame frame = CENTRALETA__V1__SUBMITTER_FRAME__INIT;
	Centraleta__V1__Open open = CENTRALETA__V1__OPEN__INIT;
	Centraleta__V1__IntakeFrame *answer;
	int r = connect_again(l);

	if (r)
		return r;
	open.api_key = l->api_key;
	frame.frame_case = CENTRALETA__V1__SUBMITTER_FRAME__FRAME_OPEN;
	frame.open = &open;
	r = send_frame(l, &frame);
	if (r)
		return r;
	answer = import_link_receive(l, wait_ms);
	if (!answer)
		return LINK_E_SILENT;
	if (answer->frame_case == CENTRALETA__V1__INTAKE_FRAME__FRAME_OPENED) {
		*ret_window = (unsigned)MAX(answer->opened->window, 1);
	} else if (answer->frame_case == CENTRALETA__V1__INTAKE_FRAME__FRAME_REFUSED) {
		snprintf(l->error, sizeof(l->error), "%.60s: %.180s", answer->refused->code,
			 answer->refused->reason);
		r = LINK_E_REFUSED;
	} else {
		r = LINK_E_SILENT; /* busy, draining: later */
	}
	centraleta__v1__intake_frame__free_unpacked(answer, NULL);
	return r;
}

int import_link_send(struct import_link *l, const Centraleta__V1__Submit *s)
{
	Centraleta__V1__SubmitterFrame frame = CENTRALETA__V1__SUBMITTER_FRAME__INIT;

	frame.frame_case = CENTRALETA__V1__SUBMITTER_FRAME__FRAME_SUBMIT;
	frame.submit = (Centraleta__V1__Submit *)s;
	return send_frame(l, &frame);
}

Centraleta__V1__IntakeFrame *import_link_receive(struct import_link *l, unsigned wait_ms)
{
	zmq_pollitem_t item = { .socket = l->socket, .events = ZMQ_POLLIN };
	Centraleta__V1__IntakeFrame *frame;
	zmq_msg_t msg;

	if (zmq_poll(&item, 1, (long)wait_ms) <= 0)
		return NULL;
	zmq_msg_init(&msg);
	if (zmq_msg_recv(&msg, l->socket, ZMQ_DONTWAIT) < 0) {
		zmq_msg_close(&msg);
		return NULL;
	}
	frame = centraleta__v1__intake_frame__unpack(NULL, zmq_msg_size(&msg), zmq_msg_data(&msg));
	zmq_msg_close(&msg);
	return frame;
}
