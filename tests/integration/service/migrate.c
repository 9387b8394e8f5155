/*
 * migrate - `centraleta migrate --dsn DSN --dir DIR` alone, so that this test needs no command
 */
#include <stdio.h>
#include "services/cli/migrate.h"

int main(int argc, char **argv)
{
	struct migrate_options o = { 0 };
	struct migrate_report report;
	int r;

	if (argc != 6) /* migrate --dsn DSN --dir DIR */
		return 2;
	o.dsn = argv[3];
	o.dir = argv[5];
	r = migrate_run(&o, &report);
	if (r)
		fprintf(stderr, "%d: %s\n", r, report.error);
	return r ? 1 : 0;
}
