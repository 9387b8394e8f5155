/*
 * centraleta-analytics - what the requests say together
 */
#include "services/analytics/analytics.h"

int main(int argc, char **argv)
{
	return service_main(argc, argv, &analytics_ops);
}
