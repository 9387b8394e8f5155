/*
 * centraleta-intake: takes citizens' requests from every channel and shows them again
 */
#include "services/intake/intake.h"

int main(int argc, char **argv)
{
	return service_main(argc, argv, &intake_ops);
}
