/*
 * centraleta-notification - messages to citizens
 */
#include "services/notification/notification.h"

int main(int argc, char **argv)
{
	return service_main(argc, argv, &notification_ops);
}
