/*
 * centraleta-dispatch - sends work to departments and commits what they say
 */
#include "services/dispatch/dispatch.h"

int main(int argc, char **argv)
{
	return service_main(argc, argv, &dispatch_ops);
}
