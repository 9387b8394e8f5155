#pragma once
/*
 * channels - channels by name, as the command line and mappings write them
 */

/* a channel's name ("phone", "web", …) to its number, 0: none such; and back ("" for none) */
int cli_channel(const char *name);
const char *cli_channel_name(int channel);
