/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef PETREL_GREETING_H
#define PETREL_GREETING_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Compose the greeting.
 *
 * is_plain: the lines only; otherwise blank lines around them, so that the
 * greeting starts on a line of its own wherever the cursor of a console was.
 *
 * Returns text to free(3) and its length in *length, or NULL with errno set.
 */
char *greeting(const char *os_name, const char *kernel_release, bool is_plain, size_t *length);

/* Write all of it, however often write(2) stops short. 0, or -1 with errno. */
int write_all(int fd, const char *text, size_t length);

#endif
