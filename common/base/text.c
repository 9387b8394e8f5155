/*
 * text - UTF-8 at the door, and slugs
 *
 * Transliteration is GLib's for the locale "C": "ß" gives "ss", "ç" gives "c".
 */
#include <errno.h>
#include <glib.h>
#include <locale.h>
#include <math.h>
#include <sodium.h>
#include "common/base/text.h"
#include "common/base/utf8.h"

#define DISTANCE_MAX 63

bool text_valid(const char *s, size_t len)
{
	uint32_t c;
	size_t n;

	for (size_t i = 0; i < len; i += n) {
		n = utf8_next(s + i, len - i, &c);
		if (!n || !c)
			return false;
	}
	return true;
}

size_t text_length(const char *s, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++)
		n += ((uint8_t)s[i] & 0xc0) != 0x80;
	return n;
}

bool text_has_control(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		uint8_t c = (uint8_t)s[i];

		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return true;
		if (c == 0xc2 && i + 1 < len && (uint8_t)s[i + 1] < 0xa0) /* U+0080 … U+009F */
			return true;
	}
	return false;
}

size_t text_prefix(const char *s, size_t len, size_t n)
{
	size_t i = 0;

	while (i < len && n--) {
		i++;
		while (i < len && ((uint8_t)s[i] & 0xc0) == 0x80)
			i++;
	}
	return i;
}

static bool slug_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool text_is_slug(const char *s)
{
	size_t n = strnlen(s, 64);

	if (!n || n > 63 || s[0] == '-')
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!slug_char(s[i]) && s[i] != '-')
			return false;
	}
	return true;
}

void text_to_slug(const char *s, char ret[static 64])
{
	char *ascii = text_valid(s, strlen(s)) ? g_str_to_ascii(s, "C") : NULL;
	size_t n = 0;

	for (const char *p = ascii ? ascii : s; *p && n < 63; p++) {
		char c = *p >= 'A' && *p <= 'Z' ? (char)(*p + 'a' - 'A') : *p;

		if (slug_char(c))
			ret[n++] = c;
		else if (n && ret[n - 1] != '-')
			ret[n++] = '-';
	}
	g_free(ascii);
	while (n && ret[n - 1] == '-')
		n--;
	if (!n)
		ret[n++] = 'x';
	ret[n] = '\0';
}

unsigned text_distance(const char *a, const char *b)
{
	size_t na = strnlen(a, DISTANCE_MAX), nb = strnlen(b, DISTANCE_MAX);
	unsigned row[DISTANCE_MAX + 1];

	for (size_t j = 0; j <= nb; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; i <= na; i++) {
		unsigned diagonal = row[0];

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= nb; j++) {
			unsigned change = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			row[j] = MIN(change, MIN(row[j - 1], diagonal) + 1);
		}
	}
	return row[nb];
}

bool text_equal_secret(const void *a, const void *b, size_t len)
{
	return sodium_memcmp(a, b, len) == 0;
}

bool text_to_i64(const char *s, size_t len, int64_t *ret)
{
	bool minus = len && s[0] == '-';
	int64_t v = 0;

	if (len == (size_t)minus)
		return false;
	for (size_t i = minus; i < len; i++) {
		int digit = s[i] - '0';

		if (digit < 0 || digit > 9 || __builtin_mul_overflow(v, 10, &v) ||
		    __builtin_sub_overflow(v, digit, &v)) /* downwards: INT64_MIN has a place */
			return false;
	}
	if (!minus && __builtin_sub_overflow(0, v, &v))
		return false;
	*ret = v;
	return true;
}

/* digits, '.', 'e' and signs alone: keeps hexadecimal, "inf", "nan" and spaces out */
static bool real_chars(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (!memchr("0123456789.eE+-", s[i], 15))
			return false;
	}
	return len && s[0] != '+';
}

bool text_to_double(const char *s, size_t len, double *ret)
{
	static locale_t c_locale;
	char copy[64], *end;
	double v;

	if (len >= sizeof(copy) || !real_chars(s, len))
		return false;
	if (!c_locale)
		c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
	memcpy(copy, s, len);
	copy[len] = '\0';
	v = strtod_l(copy, &end, c_locale);
	if (end != copy + len || !isfinite(v))
		return false;
	*ret = v;
	return true;
}
