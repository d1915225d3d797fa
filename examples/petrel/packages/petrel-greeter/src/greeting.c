/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "greeting.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

char *greeting(const char *os_name, const char *kernel_release, bool is_plain, size_t *length)
{
	char *text = NULL;
	FILE *memory = open_memstream(&text, length);

	if (memory == NULL)
		return NULL;
	const char *blank = is_plain ? "" : "\n";
	int written = fprintf(memory,
			      "%s"
			      "Petrel greets you from %s\n"
			      "It flies on Linux %s and is at your service.\n"
			      "%s",
			      blank, os_name, kernel_release, blank);
	int cause = written < 0 ? errno : 0;
	if (fclose(memory) != 0 && cause == 0)
		cause = errno;
	if (cause != 0) {
		free(text);
		errno = cause;
		return NULL;
	}
	return text;
}

int write_all(int fd, const char *text, size_t length)
{
	while (length > 0) {
		ssize_t written = write(fd, text, length);

		if (written < 0) {
			if (errno == EINTR)
				continue;
			return -1;
		}
		text += written;
		length -= (size_t)written;
	}
	return 0;
}
