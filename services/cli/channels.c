/*
 * Channels by name, as the command line and mappings write them.
 */
#include <string.h>
#include "common/base/base.h"
#include "services/cli/channels.h"

static const char *const channel_names[] = {
	"", "phone", "web", "mobile", "email", "sms", "chat", "social", "counter", "staff", "api", "letter",
};

int cli_channel(const char *name)
{
	for (size_t i = 1; i < ARRAY_SIZE(channel_names); i++)
		if (!strcmp(channel_names[i], name))
			return (int)i;
	return 0;
}

const char *cli_channel_name(int channel)
{
	return channel > 0 && channel < (int)ARRAY_SIZE(channel_names) ? channel_names[channel] : "";
}
