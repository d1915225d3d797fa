/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef PETREL_OS_RELEASE_H
#define PETREL_OS_RELEASE_H

#include <stddef.h>
#include <stdio.h>

/*
 * Read the PRETTY_NAME of an os-release file.
 *
 * name, size: where the text goes, always terminated and cut to fit between
 * two characters; control characters become '?', because the text goes to
 * terminals. A file without (or with an empty) PRETTY_NAME means "Linux", as
 * os-release(5) says; of several assignments the last one wins.
 *
 * Returns 0, or -1 with errno set when the file cannot be read to its end.
 */
int os_release_pretty_name(FILE *file, char *name, size_t size);

#endif
