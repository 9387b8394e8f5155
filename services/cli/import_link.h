#pragma once
/*
 * import_link - one blocking connection to intake.submit with a window of submissions in flight
 *
 * Reconnects by itself; what was in flight is then sent again by the caller, which is safe since
 * each has its idempotency key. One thread.
 */
#include "centraleta/v1/intake.pb-c.h"
#include "common/base/base.h"

struct import_link;

int import_link_new(struct import_link **ret, const char *endpoint, const char *api_key) _must_check_;
void import_link_free(struct import_link *l);
DEFINE_CLEANUP(struct import_link *, import_link_free)

enum { LINK_E_SILENT = 1, LINK_E_REFUSED };
/*
 * Connects and opens (again). 0: ret_window says how many may be in flight. LINK_E_SILENT: nobody
 * answered within wait_ms; LINK_E_REFUSED: the key was not taken, import_link_error() says why.
 */
int import_link_open(struct import_link *l, unsigned wait_ms, unsigned *ret_window) _must_check_;
const char *import_link_error(const struct import_link *l);

/* 0; LINK_E_SILENT: the socket takes no more right now */
int import_link_send(struct import_link *l, const Centraleta__V1__Submit *s) _must_check_;
/*
 * The next answer, to be freed with centraleta__v1__intake_frame__free_unpacked(). NULL: none
 * within wait_ms.
 */
Centraleta__V1__IntakeFrame *import_link_receive(struct import_link *l, unsigned wait_ms);
