#pragma once
/*
 * directory - departments, their keys and their towns' services, as of one configuration revision
 *
 * Built whole from the store's answer and swapped; never changed afterwards. A key that is rotated
 * is in it until its time is over: the directory is loaded again then.
 */
#include "common/base/base.h"
#include "common/bus/bus.h"
#include "common/domain/apikey.h"
#include "common/store/store.h"

struct directory;

struct department {
	int32_t department, jurisdiction;
	unsigned home_lane;
	bool triage; /* its town's triage department */
	char slug[64], town[64]; /* topic parts */
	char jurisdiction_id[256];
};

struct key {
	char id[APIKEY_ID_LEN + 1];
	int32_t department; /* one in force, in what the functions below return */
	bool revoked;
	uint8_t hash[APIKEY_HASH_LEN]; /* all 0: it has no text */
	char curve[BUS_KEY_TEXT + 1]; /* public key; "": none */
	char *topics_text, **topics; /* slugs of the services that it may see and change, each once, sorted; none: all */
	size_t n_topics;
};

enum { DIRECTORY_KEYS, DIRECTORY_DEPARTMENTS, DIRECTORY_SERVICES, DIRECTORY_N };

/* from the answers of DISPATCH_KEYS, DISPATCH_DEPARTMENTS, DISPATCH_SERVICES */
int directory_new(struct directory **ret, const struct rows *const rows[static DIRECTORY_N]) _must_check_;
void directory_free(struct directory *d);
DEFINE_CLEANUP(struct directory *, directory_free)

size_t directory_keys(const struct directory *d); /* in force */
/* until one of them is no longer in force; UINT64_MAX: all stay */
uint64_t directory_lasts_ms(const struct directory *d);
/* NULL: no such key, revoked, or of no department in force */
const struct key *directory_open(const struct directory *d, const struct apikey *key,
				 const uint8_t hash[static APIKEY_HASH_LEN]);
/* the same by its id, which a connection's User-Id is */
const struct key *directory_key(const struct directory *d, const char *key_id);
/* whose CURVE public key is it? ret_id: the key's */
enum bus_verdict directory_admit(const struct directory *d, const char *curve,
				 char ret_id[static BUS_USER_MAX]);
/* is the key of this id still in force for this department? */
bool directory_valid(const struct directory *d, const char *key_id, int32_t department);
const struct department *directory_department(const struct directory *d, int32_t department);
/* 0: the town has no such service */
int32_t directory_service(const struct directory *d, int32_t jurisdiction, const char *slug);
