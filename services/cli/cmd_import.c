/*
 * centraleta import: rows of a CSV file (plain or gzip) through intake.submit.
 *
 * Rows are sent with a window in flight and settled in order: counts, the file of refused rows and
 * the journal only ever speak of a prefix of the file. So a kill at any moment loses nothing and
 * doubles nothing: what was in flight goes out again under the same idempotency keys.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#include "common/base/clock.h"
#include "common/base/text.h"
#include "services/cli/cli.h"
#include "services/cli/commands.h"
#include "services/cli/import_journal.h"
#include "services/cli/import_link.h"
#include "services/cli/import_map.h"

const char cli_import_help[] =
	"  --mapping FILE.json  how columns become a request (docs/IMPORT.md)\n"
	"  --key-file FILE      an API key with the scope import\n"
	"  --live               as new requests; the default is history, which keeps times, channel,\n"
	"                       department, state and outcome and sends nothing to anybody\n"
	"  --refused FILE       rows that were not taken, with row and reason (FILE.refused.csv)\n"
	"  --journal FILE       how far it came; a second run goes on there (FILE.journal)\n"
	"  --restart            forget the journal; rows that are stored stay, nothing is doubled\n"
	"  --limit N            at most N rows in all";

enum { WINDOW_MAX = 1024, SILENCE_MS = 10000, PATIENCE_S = 120, JOURNAL_MS = 1000, CHUNK = 1 << 16 };

enum slot_state { SLOT_FREE, SLOT_TO_SEND, SLOT_SENT, SLOT_STORED, SLOT_REPEATED, SLOT_REFUSED };

struct slot {
	enum slot_state state;
	uint64_t row, line;
	uint64_t send_at_ms; /* not before; after a Busy */
	unsigned skipped, doubled;
	struct import_row mapped;
	char *raw; /* the row's text, for the file of refused rows; owned */
	char reason[512];
};

struct import {
	struct cli *c;
	struct import_map *map;
	struct zone *zone;
	struct import_link *link;
	unsigned window, in_flight;
	gzFile file;
	struct buf data; /* read and not parsed yet */
	bool at_end, ended;
	struct csv csv;
	struct slot *slots; /* ring of WINDOW_MAX: rows first … next - 1 */
	uint64_t first, next; /* row numbers */
	uint64_t limit;
	FILE *refused;
	struct import_counts done;
	const char *journal_path, *refused_path;
	uint64_t started_ms, shown_ms, journal_ms, heard_ms;
	uint64_t resumed_at;
};

static struct slot *slot_of(struct import *im, uint64_t row)
{
	return &im->slots[row % WINDOW_MAX];
}

/* ---- reading rows --------------------------------------------------------------------------------------- */

static int read_more(struct import *im)
{
	char *at = buf_reserve(&im->data, CHUNK);
	int n = at ? gzread(im->file, at, CHUNK) : -1;

	if (n < 0)
		return cli_fail(CLI_FAILED, "the file can't be read: %s",
				at ? gzerror(im->file, &(int){ 0 }) : "out of memory");
	im->data.len += (size_t)n;
	im->at_end = n == 0;
	return CLI_OK;
}

/* CSV_ROW or CSV_BAD with *used bytes of im->data, CSV_END; other: told */
static int next_row(struct import *im, enum csv_result *ret, size_t *used, const char **reason)
{
	int r = CLI_OK;

	do {
		*ret = csv_next(&im->csv, im->data.data ? im->data.data : "", im->data.len, im->at_end, used, reason);
		if (*ret == CSV_MORE)
			r = read_more(im);
	} while (!r && *ret == CSV_MORE);
	return r;
}

static void refuse_slot(struct slot *s, const char *reason)
{
	s->state = SLOT_REFUSED;
	snprintf(s->reason, sizeof(s->reason), "%s", reason);
}

/* the next row into its slot; CLI_OK with im->ended at the end of the file */
static int take_row(struct import *im)
{
	struct slot *s = slot_of(im, im->next);
	enum csv_result result;
	const char *reason = NULL;
	char why[256];
	size_t used = 0;
	int r = next_row(im, &result, &used, &reason);

	if (r || result == CSV_END || im->next > im->limit) {
		im->ended = true;
		return r;
	}
	free(s->raw);
	*s = (struct slot){ .state = SLOT_TO_SEND, .row = im->next, .line = im->csv.line,
			    .raw = strndup(im->data.data, used) };
	if (result == CSV_BAD)
		refuse_slot(s, reason);
	else if (import_map_row(im->map, &im->csv, im->zone, &s->mapped, why))
		refuse_slot(s, why);
	s->mapped.submit.number = im->next;
	buf_consume(&im->data, used);
	im->next++;
	return CLI_OK;
}

static int read_header(struct import *im, const char *path)
{
	enum csv_result result;
	const char *reason = "there is no header";
	char why[256];
	size_t used = 0;
	int r = next_row(im, &result, &used, &reason);

	if (r)
		return r;
	if (result != CSV_ROW)
		return cli_fail(CLI_FAILED, "%s:1: %s", path, reason);
	if (!import_map_bind(im->map, &im->csv, why))
		return cli_fail(CLI_FAILED, "%s: %s", path, why);
	buf_consume(&im->data, used);
	return CLI_OK;
}

static int skip_settled(struct import *im)
{
	enum csv_result result;
	const char *reason;
	size_t used = 0;
	int r = CLI_OK;

	for (im->next = 1; !r && im->next < im->done.next_row; im->next++) {
		r = next_row(im, &result, &used, &reason);
		if (!r && result == CSV_END)
			break;
		buf_consume(&im->data, used);
	}
	im->first = im->next;
	return r;
}

/* ---- settling in order ------------------------------------------------------------------------------------- */

static void csv_text(FILE *f, const char *s)
{
	fputc('"', f);
	for (; *s; s++) {
		if (*s == '"')
			fputc('"', f);
		fputc(*s, f);
	}
	fputc('"', f);
}

static void write_refused(struct import *im, const struct slot *s)
{
	size_t len = strlen(s->raw);

	while (len && (s->raw[len - 1] == '\n' || s->raw[len - 1] == '\r'))
		len--;
	s->raw[len] = '\0';
	fprintf(im->refused, "%llu,%llu,", (unsigned long long)s->row, (unsigned long long)s->line);
	csv_text(im->refused, s->reason);
	fputc(',', im->refused);
	csv_text(im->refused, s->raw);
	fputc('\n', im->refused);
}

static void settle(struct import *im)
{
	for (; im->first < im->next; im->first++) {
		struct slot *s = slot_of(im, im->first);

		if (s->state == SLOT_TO_SEND || s->state == SLOT_SENT)
			return;
		im->done.stored += s->state != SLOT_REFUSED;
		im->done.repeated += s->state == SLOT_REPEATED;
		im->done.refused += s->state == SLOT_REFUSED;
		if (s->state != SLOT_REFUSED) {
			im->done.skipped += s->mapped.skipped;
			im->done.doubled += s->mapped.doubled;
		} else {
			write_refused(im, s);
		}
		s->state = SLOT_FREE;
		im->done.next_row = im->first + 1;
	}
}

static int write_journal(struct import *im)
{
	long at;
	int r;

	if (fflush(im->refused) || fsync(fileno(im->refused)))
		return cli_fail(CLI_FAILED, "%s: %s", im->refused_path, strerror(errno));
	at = ftell(im->refused);
	im->done.refused_bytes = (uint64_t)MAX(at, 0l);
	r = import_journal_write(im->journal_path, &im->done);
	im->journal_ms = clock_mono_ms();
	return r ? cli_fail(CLI_FAILED, "%s: %s", im->journal_path, strerror(-r)) : CLI_OK;
}

/* ---- the wire ------------------------------------------------------------------------------------------------ */

static void send_due(struct import *im, uint64_t now)
{
	for (uint64_t row = im->first; row < im->next && im->in_flight < im->window; row++) {
		struct slot *s = slot_of(im, row);

		if (s->state != SLOT_TO_SEND || s->send_at_ms > now)
			continue;
		if (import_link_send(im->link, &s->mapped.submit))
			return;
		if (!im->in_flight)
			im->heard_ms = now;
		s->state = SLOT_SENT;
		im->in_flight++;
	}
}

static void join_errors(struct slot *s, const Centraleta__V1__Rejected *rejected)
{
	size_t n = 0;

	s->state = SLOT_REFUSED;
	s->reason[0] = '\0';
	for (size_t i = 0; i < rejected->n_errors && n < sizeof(s->reason); i++)
		n += (size_t)snprintf(s->reason + n, sizeof(s->reason) - n, "%s%s: %s", i ? "; " : "",
				      rejected->errors[i]->field, rejected->errors[i]->reason);
	if (!rejected->n_errors)
		snprintf(s->reason, sizeof(s->reason), "refused without a reason");
}

static struct slot *sent_slot(struct import *im, uint64_t number)
{
	struct slot *s = slot_of(im, number);

	return number >= im->first && number < im->next && s->row == number && s->state == SLOT_SENT ? s : NULL;
}

static int take_answer(struct import *im, const Centraleta__V1__IntakeFrame *f, uint64_t now)
{
	struct slot *s = NULL;

	im->heard_ms = now;
	switch (f->frame_case) {
	case CENTRALETA__V1__INTAKE_FRAME__FRAME_ACCEPTED:
		s = sent_slot(im, f->accepted->number);
		if (s)
			s->state = f->accepted->repeated_key ? SLOT_REPEATED : SLOT_STORED;
		break;
	case CENTRALETA__V1__INTAKE_FRAME__FRAME_REJECTED:
		s = sent_slot(im, f->rejected->number);
		if (s)
			join_errors(s, f->rejected);
		break;
	case CENTRALETA__V1__INTAKE_FRAME__FRAME_BUSY:
		s = sent_slot(im, f->busy->number);
		if (s) {
			s->state = SLOT_TO_SEND;
			s->send_at_ms = now + (uint64_t)MAX(f->busy->retry_after_ms, 10);
		}
		break;
	case CENTRALETA__V1__INTAKE_FRAME__FRAME_REFUSED:
		if (f->refused->number == 0)
			return cli_fail(CLI_FAILED, "intake refused the connection: %s: %s", f->refused->code,
					f->refused->reason);
		s = sent_slot(im, f->refused->number);
		if (s)
			refuse_slot(s, f->refused->reason);
		break;
	default:
		break;
	}
	im->in_flight -= s != NULL;
	return CLI_OK;
}

/* everything in flight has to go again */
static int open_link(struct import *im)
{
	time_t until = time(NULL) + PATIENCE_S;
	int r;

	for (uint64_t row = im->first; row < im->next; row++)
		if (slot_of(im, row)->state == SLOT_SENT)
			slot_of(im, row)->state = SLOT_TO_SEND;
	im->in_flight = 0;
	for (;;) {
		r = import_link_open(im->link, 3000, &im->window);
		if (r == LINK_E_REFUSED)
			return cli_fail(CLI_FAILED, "intake refused: %s", import_link_error(im->link));
		if (r != LINK_E_SILENT || time(NULL) >= until)
			break;
	}
	if (r)
		return cli_fail(CLI_UNREACHABLE, "intake doesn't answer; is it running? The same command goes on"
						 " where this one stopped.");
	im->window = MIN(im->window, (unsigned)WINDOW_MAX);
	im->heard_ms = clock_mono_ms();
	return CLI_OK;
}

/* ---- showing --------------------------------------------------------------------------------------------------- */

static void show_progress(struct import *im, uint64_t now, bool last)
{
	double part = im->done.file_size ? (double)gzoffset(im->file) / (double)im->done.file_size : 0;
	double seconds = (double)(now - im->started_ms) / 1000.0;
	uint64_t rows = im->done.next_row ? im->done.next_row - 1 : 0, here = rows - im->resumed_at;
	double rate = seconds > 0 ? (double)here / seconds : 0;
	double all = part > 0 ? (double)rows / part : 0;
	int filled = (int)(part * 30);

	im->shown_ms = now;
	if (!isatty(STDERR_FILENO) || im->c->json)
		return;
	fprintf(stderr, "\r[%.*s%*s] %3.0f %%  %llu rows  %.0f/s  %.0f s left  %llu refused   %s", MIN(filled, 30),
		"##############################", MAX(30 - filled, 0), "", part * 100, (unsigned long long)rows,
		rate, rate > 0 && all > (double)rows ? (all - (double)rows) / rate : 0.0,
		(unsigned long long)im->done.refused, last ? "\n" : "");
}

static int tell(struct import *im)
{
	uint64_t rows = im->done.next_row - 1;
	double seconds = (double)(clock_mono_ms() - im->started_ms) / 1000.0;
	char n[7][32];

	snprintf(n[0], 32, "%llu", (unsigned long long)rows);
	snprintf(n[1], 32, "%llu", (unsigned long long)im->done.stored);
	snprintf(n[2], 32, "%llu", (unsigned long long)im->done.refused);
	snprintf(n[3], 32, "%llu", (unsigned long long)im->done.repeated);
	snprintf(n[4], 32, "%llu", (unsigned long long)im->done.skipped);
	snprintf(n[5], 32, "%llu", (unsigned long long)im->done.doubled);
	snprintf(n[6], 32, "%.1f", seconds);
	cli_print_one(im->c,
		      (const char *[]){ "rows", "stored", "refused", "sent before", "skipped hours", "doubled hours",
					"seconds", "refused rows in", NULL },
		      (const char *[]){ n[0], n[1], n[2], n[3], n[4], n[5], n[6], im->refused_path });
	return im->done.stored + im->done.refused == rows
		       ? CLI_OK
		       : cli_fail(CLI_FAILED, "the sum is wrong: this is a bug");
}

/* ---- the loop ---------------------------------------------------------------------------------------------------- */

static int turn(struct import *im)
{
	uint64_t now = clock_mono_ms();
	int r = CLI_OK;
	Centraleta__V1__IntakeFrame *f;

	while (!r && !im->ended && im->next - im->first < WINDOW_MAX)
		r = take_row(im);
	settle(im);
	send_due(im, now);
	f = r ? NULL : import_link_receive(im->link, im->in_flight ? 50 : im->first < im->next ? 10 : 0);
	while (f && !r) {
		r = take_answer(im, f, clock_mono_ms());
		centraleta__v1__intake_frame__free_unpacked(f, NULL);
		f = import_link_receive(im->link, 0);
	}
	if (f)
		centraleta__v1__intake_frame__free_unpacked(f, NULL);
	now = clock_mono_ms();
	if (!r && im->in_flight && now - im->heard_ms > SILENCE_MS)
		r = open_link(im);
	if (!r && now - im->journal_ms > JOURNAL_MS)
		r = write_journal(im);
	if (now - im->shown_ms > 200)
		show_progress(im, now, false);
	return r;
}

static int open_refused(struct import *im)
{
	im->refused = fopen(im->refused_path, im->done.next_row ? "r+" : "w");
	if (!im->refused)
		return cli_fail(CLI_FAILED, "%s: %s", im->refused_path, strerror(errno));
	if (!im->done.next_row) {
		fputs("row,line,reason,text\n", im->refused);
		return CLI_OK;
	}
	if (ftruncate(fileno(im->refused), (off_t)im->done.refused_bytes) ||
	    fseek(im->refused, 0, SEEK_END))
		return cli_fail(CLI_FAILED, "%s: %s", im->refused_path, strerror(errno));
	return CLI_OK;
}

/* where a run before stopped, or the beginning */
static int open_journal(struct import *im, const char *path, bool restart)
{
	struct stat st;
	int r;

	if (stat(path, &st))
		return cli_fail(CLI_FAILED, "%s: %s", path, strerror(errno));
	r = restart ? -ENOENT : import_journal_read(im->journal_path, &im->done);
	if (r == -EINVAL)
		return cli_fail(CLI_FAILED, "%s is no journal of an import; --restart begins anew", im->journal_path);
	if (r == 0 && im->done.file_size != (uint64_t)st.st_size)
		return cli_fail(CLI_FAILED, "%s speaks of another file; --restart begins anew", im->journal_path);
	if (r)
		im->done = (struct import_counts){ 0 };
	im->done.file_size = (uint64_t)st.st_size;
	im->resumed_at = im->done.next_row ? im->done.next_row - 1 : 0;
	return open_refused(im);
}

static int run(struct import *im, const char *path)
{
	int r = read_header(im, path);

	if (!r)
		r = skip_settled(im);
	if (!r)
		r = open_link(im);
	if (!im->done.next_row)
		im->done.next_row = 1;
	im->started_ms = im->journal_ms = clock_mono_ms();
	while (!r && (!im->ended || im->first < im->next))
		r = turn(im);
	settle(im);
	if (!r)
		r = write_journal(im);
	show_progress(im, clock_mono_ms(), true);
	return r ? r : tell(im);
}

/* ---- setting up ---------------------------------------------------------------------------------------------------- */

static int read_text(const char *path, struct buf *out)
{
	FILE *f = fopen(path, "rbe");
	size_t n = 1;

	if (!f)
		return cli_fail(CLI_FAILED, "%s: %s", path, strerror(errno));
	while (n) {
		char *at = buf_reserve(out, 4096);

		n = at ? fread(at, 1, 4096, f) : 0;
		out->len += n;
		if (out->data)
			out->data[out->len] = '\0';
	}
	fclose(f);
	return buf_err(out) ? cli_fail(CLI_FAILED, "%s: out of memory", path) : CLI_OK;
}

static int load_mapping(struct import *im, const char *path, bool live)
{
	_cleanup_(buf_fini) struct buf text = BUF_INIT;
	char why[256] = "out of memory";
	int r = read_text(path, &text);

	if (r)
		return r;
	if (import_map_new(&im->map, text.data, text.len, !live, why))
		return cli_fail(CLI_FAILED, "%s: %s", path, why);
	return CLI_OK;
}

static int load_zone(struct import *im, const char *town)
{
	_cleanup_(PQclearp) PGresult *r =
		cli_query(im->c, "SELECT time_zone FROM centraleta.jurisdiction WHERE jurisdiction = $1", 1, &town);

	if (!r)
		return CLI_FAILED;
	if (zone_new(&im->zone, PQgetvalue(r, 0, 0)))
		return cli_fail(CLI_FAILED, "time zone %s is not in this system's tzdata", PQgetvalue(r, 0, 0));
	return CLI_OK;
}

static int make_link(struct import *im, const char *key_path)
{
	_cleanup_(buf_fini) struct buf key = BUF_INIT;
	const char *endpoint = config_str(im->c->config, "cli.submit_endpoint");
	char fallback[512];
	int r = read_text(key_path, &key);

	if (r)
		return r;
	if (key.data)
		key.data[strcspn(key.data, "\r\n")] = '\0';
	snprintf(fallback, sizeof(fallback), "ipc://%s/intake.submit",
		 config_str(im->c->config, "service.runtime_dir"));
	r = import_link_new(&im->link, *endpoint ? endpoint : fallback, key.data ? key.data : "");
	return r ? cli_fail(CLI_FAILED, "ZeroMQ: %s", strerror(-r)) : CLI_OK;
}

static void finish(struct import *im)
{
	for (size_t i = 0; im->slots && i < WINDOW_MAX; i++)
		free(im->slots[i].raw);
	free(im->slots);
	buf_fini(&im->data);
	csv_fini(&im->csv);
	if (im->file)
		gzclose(im->file);
	if (im->refused)
		fclose(im->refused);
	import_link_free(im->link);
	import_map_free(im->map);
	zone_free(im->zone);
}

int cmd_import(struct cli *c, int argc, char **argv)
{
	const char *p[2] = { NULL }, *mapping = NULL, *key = NULL, *refused = NULL, *journal = NULL, *limit = NULL;
	bool live = false, restart = false;
	const struct option_spec specs[] = {
		{ "mapping", &mapping, NULL, true },   { "key-file", &key, NULL, true },
		{ "refused", &refused, NULL, false }, { "journal", &journal, NULL, false },
		{ "limit", &limit, NULL, false },	 { "live", NULL, &live, false },
		{ "restart", NULL, &restart, false },  { NULL, NULL, NULL, false },
	};
	_cleanup_(finish) struct import im = { .c = c, .limit = UINT64_MAX };
	char refused_path[1024], journal_path[1024], town[16];
	int r;

	if (cli_options("import", argc, argv, specs, p, 2, 2) < 0)
		return CLI_USAGE;
	snprintf(refused_path, sizeof(refused_path), "%s.refused.csv", p[1]);
	snprintf(journal_path, sizeof(journal_path), "%s.journal", p[1]);
	im.refused_path = refused ? refused : refused_path;
	im.journal_path = journal ? journal : journal_path;
	if (limit)
		im.limit = strtoull(limit, NULL, 10);
	csv_init(&im.csv);
	im.slots = calloc(WINDOW_MAX, sizeof(*im.slots));
	im.file = gzopen(p[1], "rb");
	if (!im.slots || !im.file)
		return cli_fail(CLI_FAILED, "%s: %s", p[1], strerror(errno));
	r = load_mapping(&im, mapping, live);
	if (!r)
		r = cli_town(c, p[0], town);
	if (!r)
		r = load_zone(&im, town);
	if (!r)
		r = make_link(&im, key);
	if (!r)
		r = open_journal(&im, p[1], restart);
	return r ? r : run(&im, p[1]);
}
