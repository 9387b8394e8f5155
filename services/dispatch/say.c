/*
 * An answer that can't be sent is dropped and counted: what it tells is in the store, and the
 * department asks again (the same update_id, or the Work that comes once more).
 */
#include "services/dispatch/dispatch.h"

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/log.h"

static int send_frame(struct dispatch *d, struct bytes id, const Centraleta__V1__DispatchFrame *f)
{
	size_t len = centraleta__v1__dispatch_frame__get_packed_size(f);
	char *to;

	buf_reset(&d->out);
	to = buf_reserve(&d->out, len);
	if (!to)
		return buf_err(&d->out);
	d->out.len = centraleta__v1__dispatch_frame__pack(f, (uint8_t *)to);
	return bus_send(d->socks[id.data[0]], (struct bytes){ id.data + 1, id.len - 1 },
			(struct bytes){ (const uint8_t *)d->out.data, d->out.len });
}

int say(struct dispatch *d, struct peer *p, const Centraleta__V1__DispatchFrame *f)
{
	int r = send_frame(d, peer_id(p), f);

	if (!r) {
		p->said_ms = clock_mono_ms();
		return 0;
	}
	if (r < 0)
		(void)log_error_errno(r, "dispatch.send");
	if (f->frame_case != CENTRALETA__V1__DISPATCH_FRAME__FRAME_WORK)
		series_add(d->metric[M_UNSENT], 1);
	return r;
}

static unsigned retry_after(struct dispatch *d, enum refused code)
{
	if (code != REFUSED_FULL && code != REFUSED_UNAVAILABLE)
		return 0;
	return 500 + loop_random(d->service->loop, 1000);
}

void say_refused(struct dispatch *d, struct bytes id, const struct refusal *why, const char *update_id,
		 bool final)
{
	Centraleta__V1__Refused r = CENTRALETA__V1__REFUSED__INIT;
	Centraleta__V1__DispatchFrame f = CENTRALETA__V1__DISPATCH_FRAME__INIT;

	r.code = (char *)refused_name(why->code);
	r.reason = (char *)why->reason;
	r.update_id = (char *)(update_id ? update_id : "");
	r.final = final;
	r.retry_after_ms = (int32_t)retry_after(d, why->code);
	f.frame_case = CENTRALETA__V1__DISPATCH_FRAME__FRAME_REFUSED;
	f.refused = &r;
	series_add(d->refused[why->code], 1);
	log_debug("dispatch.refused", "code=%s reason=\"%s\"", r.code, r.reason);
	if (send_frame(d, id, &f))
		series_add(d->metric[M_UNSENT], 1);
}
