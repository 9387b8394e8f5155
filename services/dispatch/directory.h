#pragma once
/*
 * directory - departments, their keys and their towns' services, as of one configuration revision
 *
 * Built whole from the store's answer and swapped; never changed afterwards.
 */
#include "common/base/base.h"
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

enum { DIRECTORY_KEYS, DIRECTORY_DEPARTMENTS, DIRECTORY_SERVICES, DIRECTORY_N };

/* from the answers of DISPATCH_KEYS, DISPATCH_DEPARTMENTS, DISPATCH_SERVICES */
int directory_new(struct directory **ret, const struct rows *const rows[static DIRECTORY_N]) _must_check_;
void directory_free(struct directory *d);
DEFINE_CLEANUP(struct directory *, directory_free)

size_t directory_keys(const struct directory *d);
/* the department that a key opens; NULL: no such key, revoked, or of no department in force */
const struct department *directory_open(const struct directory *d, const struct apikey *key,
					const uint8_t hash[static APIKEY_HASH_LEN]);
/* is the key of this id still in force for this department? */
bool directory_valid(const struct directory *d, const char *key_id, int32_t department);
const struct department *directory_department(const struct directory *d, int32_t department);
/* 0: the town has no such service */
int32_t directory_service(const struct directory *d, int32_t jurisdiction, const char *slug);
