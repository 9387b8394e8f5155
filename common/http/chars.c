/*
 * chars - see chars.h; the table is computed by the compiler from the grammars' own words
 */
#include "common/http/chars.h"

#define ALNUM(c) \
	(((c) >= 'a' && (c) <= 'z') || ((c) >= 'A' && (c) <= 'Z') || ((c) >= '0' && (c) <= '9'))
#define UNRESERVED(c) (ALNUM(c) || (c) == '-' || (c) == '.' || (c) == '_' || (c) == '~')
#define SUB_DELIM(c)                                                                            \
	((c) == '!' || (c) == '$' || (c) == '&' || (c) == '\'' || (c) == '(' || (c) == ')' ||  \
	 (c) == '*' || (c) == '+' || (c) == ',' || (c) == ';' || (c) == '=')

#define TOKEN(c)                                                                               \
	(ALNUM(c) || (c) == '!' || (c) == '#' || (c) == '$' || (c) == '%' || (c) == '&' ||    \
	 (c) == '\'' || (c) == '*' || (c) == '+' || (c) == '-' || (c) == '.' || (c) == '^' || \
	 (c) == '_' || (c) == '`' || (c) == '|' || (c) == '~')
#define VALUE(c) ((c) == '\t' || ((c) >= ' ' && (c) != 0x7f))
#define PATH(c) \
	(UNRESERVED(c) || SUB_DELIM(c) || (c) == ':' || (c) == '@' || (c) == '%' || (c) == '/')
#define QUERY(c)                                                                               \
	(PATH(c) || (c) == '?' || (c) == '[' || (c) == ']' || (c) == '{' || (c) == '}' ||     \
	 (c) == '|' || (c) == '^' || (c) == '`' || (c) == '\\')
#define HOST(c) \
	(UNRESERVED(c) || SUB_DELIM(c) || (c) == ':' || (c) == '%' || (c) == '[' || (c) == ']')

#define BITS(c)                                                                                  \
	((TOKEN(c) ? CHAR_TOKEN : 0) | (VALUE(c) ? CHAR_VALUE : 0) | (PATH(c) ? CHAR_PATH : 0) | \
	 (QUERY(c) ? CHAR_QUERY : 0) | (HOST(c) ? CHAR_HOST : 0))
#define BITS4(c) BITS(c), BITS((c) + 1), BITS((c) + 2), BITS((c) + 3)
#define BITS16(c) BITS4(c), BITS4((c) + 4), BITS4((c) + 8), BITS4((c) + 12)
#define BITS64(c) BITS16(c), BITS16((c) + 16), BITS16((c) + 32), BITS16((c) + 48)

const uint8_t http_chars[256] = { BITS64(0), BITS64(64), BITS64(128), BITS64(192) };
