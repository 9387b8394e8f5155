#pragma once
/*
 * chain - what chain.c decides and chain_write.c puts into statements
 */
#include "services/dispatch/dispatch.h"

/* what one batch takes of one name */
struct taken {
	struct name *name;
	size_t n_pending; /* the first so many */
	bool mark; /* set is the whole position, else these ranges alone */
	uint64_t changes; /* name's, when set was made */
	struct ack_set set;
};

struct decided {
	int64_t epoch;
	struct taken *names;
	size_t n_names;
	struct queued **queued;
	const struct update **updates;
	size_t n_updates;
	struct update_view view;
	struct update_plan plan;
	size_t ack_statement; /* of the statements added here */
	bool acks; /* there is one */
};

/*
 * Each adds one statement, or none where there is nothing to say. 0; -ENOMEM.
 * before: statements of the group when the batch began to add its own.
 */
int chain_write_prune(struct decided *x, struct line *l, struct store_group *g) _must_check_;
int chain_write_acks(struct decided *x, struct line *l, struct store_group *g, size_t before) _must_check_;
int chain_write_texts(struct decided *x, struct store_group *g, int64_t now_us) _must_check_;
int chain_write_states(struct decided *x, struct store_group *g) _must_check_;
void chain_append(struct batch *b, const struct change *c);
/* DISPATCH_SEEN, DISPATCH_REQUESTS, DISPATCH_ITEMS */
int chain_add_reads(struct decided *x, struct store_group *g) _must_check_;
