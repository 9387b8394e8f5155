/*
 * ids - numbers out of blocks
 *
 * A block that nobody uses up is lost at the end of the process; the sequence has room for it.
 */
#include "common/base/ids.h"

bool id_block_wants(const struct id_block *b)
{
	return !b->spare;
}

void id_block_give(struct id_block *b, int64_t nextval)
{
	if (b->next >= b->end) {
		b->next = nextval;
		b->end = nextval + ID_BLOCK;
	} else if (!b->spare) {
		b->spare = nextval;
	}
}

int64_t id_block_take(struct id_block *b)
{
	if (b->next >= b->end && b->spare) {
		b->next = b->spare;
		b->end = b->spare + ID_BLOCK;
		b->spare = 0;
	}
	return b->next < b->end ? b->next++ : 0;
}

size_t id_block_left(const struct id_block *b)
{
	return (size_t)(b->end - b->next) + (b->spare ? ID_BLOCK : 0);
}
