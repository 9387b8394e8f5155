/*
 * centraleta-routing - see routing.c
 */
#include "services/routing/routing.h"

int main(int argc, char **argv)
{
	return service_main(argc, argv, &routing_ops);
}
