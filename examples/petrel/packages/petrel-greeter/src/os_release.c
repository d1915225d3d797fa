/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "os_release.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

static const char key[] = "PRETTY_NAME=";
static const char fallback[] = "Linux";

static bool is_control(unsigned char c)
{
	return c < 0x20 || c == 0x7f;
}

static bool is_utf8_continuation(unsigned char c)
{
	return (c & 0xc0) == 0x80;
}

/*
 * Undo the quoting of one shell-like assignment, in place.
 * os-release(5) allows what a POSIX shell would read as one word; variables
 * and command substitutions are not expanded there, so neither are they here.
 */
static void unquote(char *value)
{
	const char *in = value;
	char *out = value;
	char quote = '\0';

	while (*in != '\0') {
		if (quote == '\0' && (*in == '"' || *in == '\'')) {
			quote = *in++;
		} else if (quote != '\0' && *in == quote) {
			quote = '\0';
			in++;
		} else if (quote == '\0' && (*in == ' ' || *in == '\t')) {
			break;	/* the word ends here */
		} else if (*in == '\\' && in[1] != '\0' &&
			   (quote == '\0' || (quote == '"' && strchr("\"\\$`", in[1]) != NULL))) {
			*out++ = in[1];
			in += 2;
		} else {
			*out++ = *in++;
		}
	}
	*out = '\0';
}

static void copy_printable(char *to, size_t size, const char *from)
{
	size_t length = strlen(from);

	if (length >= size) {
		length = size - 1;
		while (length > 0 && is_utf8_continuation((unsigned char)from[length]))
			length--;
	}
	for (size_t i = 0; i < length; i++)
		to[i] = is_control((unsigned char)from[i]) ? '?' : from[i];
	to[length] = '\0';
}

int os_release_pretty_name(FILE *file, char *name, size_t size)
{
	char *line = NULL;
	size_t capacity = 0;
	ssize_t length;

	copy_printable(name, size, fallback);
	errno = 0;
	while ((length = getline(&line, &capacity, file)) != -1) {
		if (length > 0 && line[length - 1] == '\n')
			line[length - 1] = '\0';
		if (strncmp(line, key, sizeof(key) - 1) != 0)
			continue;
		char *value = line + sizeof(key) - 1;
		unquote(value);
		copy_printable(name, size, *value != '\0' ? value : fallback);
	}
	/* getline(3) returns -1 at the end, on a read error and without memory. */
	int cause = feof(file) && !ferror(file) ? 0 : errno;
	free(line);
	if (cause != 0) {
		errno = cause;
		return -1;
	}
	return 0;
}
