#pragma once
/*
 * web - intake's HTTP surface: what open311.c, pages.c and web.c share, and the public reads
 */
#include "common/base/list.h"
#include "services/intake/core_query.h"
#include "services/intake/intake.h"

/* ---- reads.c: as centraleta_public, one town a transaction ------------------------------------ */

struct reads;
/* what: 0 = rows are there; BUSY_STORE, BUSY_QUEUE: not; a is borrowed until it returns */
typedef void (*reads_fn)(void *ctx, enum busy_cause busy, const struct answer *a);

int reads_new(struct reads **ret, struct intake *in) _must_check_;
void reads_free(struct reads *r);
bool reads_ready(const struct reads *r);
/* result 1 holds the rows, in the order of reads_row(); one row more than asked for says "more" */
void reads_list(struct reads *r, const struct town *t, const struct request_query *q, reads_fn fn,
		void *ctx);
void reads_row(const struct rows *rows, size_t i, struct public_row *ret); /* borrowed from rows */
/* results: 1 the public row, 2 its events (type, seq, at, body), 3 notes (department, note, at) */
void reads_story(struct reads *r, int32_t town, unsigned lane, int64_t request, reads_fn fn, void *ctx);
/* who has this code? row: request, jurisdiction; by intake's own role, which sees only that much */
void reads_code(struct reads *r, unsigned lane, const uint8_t hash[static CODE_HASH_LEN],
		reads_fn fn, void *ctx);

/* ---- web.c ------------------------------------------------------------------------------------ */

struct web;
int web_new(struct web **ret, struct intake *in) _must_check_;
void web_free(struct web *w);
void web_drain(struct web *w);
bool web_drained(const struct web *w);
struct buf *web_buf(struct web *w); /* empty, for the answer that is being written now */

/*
 * One exchange that waits for the store. The request may go away meanwhile: r is NULL then. Freed
 * by exchange_free().
 */
struct exchange {
	struct intake *in;
	struct http_request *r;
	struct catalog *catalog; /* as it was when it began; may be NULL */
	int32_t town;
	enum format format;
	enum lang lang;
	bool lang_asked; /* by the address or the browser; else the town's */
	bool extensions;
	struct http_form query; /* of GET requests: for the links to other pages */
	int64_t page, page_size;
	int64_t request; /* the one that was asked for; 0: a list */
	char account_id[1024];
	int32_t offer;
	char code[CODE_LEN + 1];
	bool survey; /* the survey's page, not the story */
	bool posting; /* the survey's answer came */
	int score; /* -1: none that can be read */
	char *comment;
};
int exchange_new(struct exchange **ret, struct intake *in, struct http_request *r) _must_check_;
void exchange_free(struct exchange *x);
DEFINE_CLEANUP(struct exchange *, exchange_free)
void exchange_gone(void *ctx); /* http_on_gone() */

/* one error, in the format; what: TEXT_ERROR_…, with arg filled in */
void web_error(struct intake *in, struct http_request *r, enum format f, enum lang l, int status,
	       const char *code, enum text_id what, const char *arg);
/* 503 with a jittered Retry-After */
void web_busy(struct intake *in, struct http_request *r, enum format f, enum lang l,
	      enum busy_cause cause);
void web_retry_after(struct intake *in, struct http_request *r);

/* open311.c: path is what follows /open311/v2/ */
void open311_handle(struct intake *in, struct http_request *r, const char *path);
bool open311_format(const char *path, enum format *ret); /* by its ending; false: neither */
bool open311_posts(const char *path);

/* pages.c */
void pages_handle(struct intake *in, struct http_request *r);
void pages_reply(struct intake *in, struct http_request *r, int status, const struct buf *body);
/* asked: NULL or whether the address or the browser named one of ours */
enum lang pages_lang(const struct http_request *r, const struct http_form *query, bool *asked);
