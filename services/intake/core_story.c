/*
 * core_story - one step an event, one an update that came with words
 */
#include <errno.h>
#include "common/base/err.h"
#include "services/intake/core_render.h"
#include "services/intake/core_story.h"
#include "centraleta/v1/event.pb-c.h"

#define TYPE(name) CENTRALETA__V1__EVENT_TYPE__EVENT_TYPE_REQUEST_##name
#define CLOSED CENTRALETA__V1__REQUEST_STATE__REQUEST_STATE_CLOSED

static struct story_step *add(struct story *s, int64_t at_us, enum text_id text, const char *who)
{
	static struct story_step over; /* of a story that is too long, thrown away */
	struct story_step *p = s->n < STORY_MAX ? &s->steps[s->n++] : &over;

	*p = (struct story_step){ .at_us = at_us, .text = text, .who = who, .outcome = TEXT_N };
	return p;
}

static const char *name_of(const struct catalog *c, int32_t department)
{
	const struct department *d = catalog_department(c, department);

	return d ? d->name : "–";
}

static int add_received(struct story *s, struct bytes body)
{
	Centraleta__V1__RequestReceived *m =
		centraleta__v1__request_received__unpack(NULL, body.len, body.data);

	if (!m)
		return err_here(-EBADMSG);
	add(s, m->requested_at_us, TEXT_PAGE_STORY_RECEIVED, NULL);
	centraleta__v1__request_received__free_unpacked(m, NULL);
	return 0;
}

/* of the past: nobody is asked how it went */
static int add_imported(struct story *s, const struct catalog *c, struct bytes body)
{
	Centraleta__V1__RequestImported *m =
		centraleta__v1__request_imported__unpack(NULL, body.len, body.data);
	const char *who;

	if (!m)
		return err_here(-EBADMSG);
	who = name_of(c, m->department);
	add(s, m->requested_at_us, TEXT_PAGE_STORY_RECEIVED, NULL);
	add(s, m->requested_at_us, TEXT_PAGE_STORY_IMPORTED, NULL);
	add(s, m->requested_at_us, TEXT_PAGE_STORY_ROUTED, who);
	if (m->state == CLOSED)
		add(s, m->closed_at_us, TEXT_PAGE_STORY_RESOLVED, who)->outcome =
			render_state_text(CLOSED, (int)m->outcome);
	centraleta__v1__request_imported__free_unpacked(m, NULL);
	return 0;
}

static int add_routed(struct story *s, const struct catalog *c, int type, int64_t at_us,
		      struct bytes body)
{
	Centraleta__V1__RequestRouted *m =
		centraleta__v1__request_routed__unpack(NULL, body.len, body.data);

	if (!m)
		return err_here(-EBADMSG);
	add(s, at_us, type == TYPE(ROUTED) ? TEXT_PAGE_STORY_ROUTED : TEXT_PAGE_STORY_TRIAGED,
	    name_of(c, m->department));
	s->closing_seq = 0;
	centraleta__v1__request_routed__free_unpacked(m, NULL);
	return 0;
}

static int add_changed(struct story *s, const struct catalog *c, int type, int64_t seq,
		       int64_t at_us, struct bytes body)
{
	Centraleta__V1__RequestChanged *m =
		centraleta__v1__request_changed__unpack(NULL, body.len, body.data);
	struct story_step *p;

	if (!m)
		return err_here(-EBADMSG);
	p = add(s, m->occurred_at_us ? m->occurred_at_us : at_us,
		type == TYPE(ACCEPTED)	 ? TEXT_PAGE_STORY_ACCEPTED
		: type == TYPE(RESOLVED) ? TEXT_PAGE_STORY_RESOLVED
		: type == TYPE(REFUSED)	 ? TEXT_PAGE_STORY_REFUSED
					 : TEXT_PAGE_STORY_PROGRESSED,
		name_of(c, m->department));
	if (type == TYPE(RESOLVED) && m->outcome)
		p->outcome = render_state_text(CLOSED, (int)m->outcome);
	s->closing_seq = m->state == CLOSED ? seq : 0;
	centraleta__v1__request_changed__free_unpacked(m, NULL);
	return 0;
}

static int add_answer(struct story *s, int64_t at_us, struct bytes body)
{
	Centraleta__V1__RequestSurveyAnswered *m =
		centraleta__v1__request_survey_answered__unpack(NULL, body.len, body.data);

	if (!m)
		return err_here(-EBADMSG);
	add(s, at_us, TEXT_PAGE_STORY_SURVEY_ANSWERED, NULL);
	s->answered = s->answered || m->closing_seq == s->closing_seq;
	centraleta__v1__request_survey_answered__free_unpacked(m, NULL);
	return 0;
}

int story_event(struct story *s, const struct catalog *c, int type, int64_t seq, int64_t at_us,
		struct bytes body)
{
	switch (type) {
	case TYPE(RECEIVED):
		return add_received(s, body);
	case TYPE(IMPORTED):
		return add_imported(s, c, body);
	case TYPE(ROUTED):
	case TYPE(TRIAGED):
		return add_routed(s, c, type, at_us, body);
	case TYPE(ACCEPTED):
	case TYPE(PROGRESSED):
	case TYPE(RESOLVED):
	case TYPE(REFUSED):
		s->answered = false; /* a state change: an answer counts for the closing before it */
		return add_changed(s, c, type, seq, at_us, body);
	case TYPE(NOTIFIED):
		add(s, at_us, TEXT_PAGE_STORY_NOTIFIED, NULL);
		return 0;
	case TYPE(UNDELIVERABLE):
		add(s, at_us, TEXT_PAGE_STORY_UNDELIVERABLE, NULL);
		return 0;
	case TYPE(SURVEY_SENT):
		add(s, at_us, TEXT_PAGE_STORY_SURVEY_SENT, NULL);
		return 0;
	case TYPE(SURVEY_ANSWERED):
		return add_answer(s, at_us, body);
	default: /* a newer daemon's event */
		return 0;
	}
}

int story_note(struct story *s, const struct catalog *c, int32_t department, const char *note,
	       int64_t at_us)
{
	char *copy;

	if (!*note || s->n == STORY_MAX)
		return 0;
	copy = strdup(note);
	if (!copy)
		return err_here(-ENOMEM);
	add(s, at_us, TEXT_PAGE_STORY_NOTE, name_of(c, department))->note = copy;
	return 0;
}

void story_sort(struct story *s)
{
	/* insertion: nearly in order already, and equal times keep theirs */
	for (size_t i = 1; i < s->n; i++) {
		struct story_step step = s->steps[i];
		size_t k = i;

		for (; k && s->steps[k - 1].at_us > step.at_us; k--)
			s->steps[k] = s->steps[k - 1];
		s->steps[k] = step;
	}
}

void story_fini(struct story *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->steps[i].note);
	s->n = 0;
}
