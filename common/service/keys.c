/*
 * keys - the table of the common keys
 */
#include "common/service/service.h"

#define KEY(section, name, kind, fallback, min, max, doc) \
	{ #section, #name, CONFIG_##kind, fallback, min, max, doc },

const struct config_key service_keys[] = {
#include "common/service/keys.def"
	{ .section = NULL },
};
