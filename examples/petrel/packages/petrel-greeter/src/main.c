/*
 * petrel-greeter - greet whoever looks at the console of a Petrel system
 *
 * Copyright 2026 Petrel Team <team@petrel.example>
 * SPDX-License-Identifier: GPL-3.0-or-later
 */
#include "greeting.h"
#include "os_release.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

enum { EXIT_IO = 1, EXIT_USAGE = 2 };

static const char program[] = "petrel-greeter";

/* The two places of os-release(5), in its order. */
static const char *const os_release_files[] = { "/etc/os-release", "/usr/lib/os-release" };

static const char usage[] =
	"Usage: petrel-greeter [--plain] [--console DEVICE]\n"
	"Greet with the name of the operating system and the kernel release.\n"
	"\n"
	"  -p, --plain           only the lines, without blank lines around them\n"
	"  -c, --console DEVICE  write to this terminal instead of standard output\n"
	"  -h, --help            show this help\n"
	"  -V, --version         show the version\n"
	"\n"
	"Exit status: 0 greeted, 1 something could not be read or written, 2 wrong usage.\n";

static int complain(const char *what, int cause)
{
	fprintf(stderr, "%s: %s: %s\n", program, what, strerror(cause));
	return EXIT_IO;
}

static int complain_about_usage(const char *what)
{
	if (what != NULL)
		fprintf(stderr, "%s: %s\n", program, what);
	fprintf(stderr, "Try '%s --help'.\n", program);
	return EXIT_USAGE;
}

/* Find the name of the system; a system without os-release is just "Linux". */
static int read_os_name(char *name, size_t size)
{
	const size_t count = sizeof(os_release_files) / sizeof(os_release_files[0]);

	for (size_t i = 0; i < count; i++) {
		FILE *file = fopen(os_release_files[i], "re");

		if (file == NULL) {
			if (errno == ENOENT)
				continue;
			return complain(os_release_files[i], errno);
		}
		int result = os_release_pretty_name(file, name, size);
		int cause = errno;
		fclose(file);
		return result == 0 ? 0 : complain(os_release_files[i], cause);
	}
	snprintf(name, size, "Linux");
	return 0;
}

/*
 * Open a terminal for writing; return its descriptor, or -1 with errno.
 * O_NOCTTY: a greeting must not take the terminal over. O_NONBLOCK: opening a
 * serial line without a carrier would wait for one; writing may wait again.
 * Only character devices are accepted, so that a mistyped name harms no file.
 */
static int open_console(const char *device)
{
	struct stat status;
	int fd = open(device, O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return -1;
	int cause = 0;
	if (fstat(fd, &status) != 0)
		cause = errno;
	else if (!S_ISCHR(status.st_mode))
		cause = ENOTTY;
	else if (fcntl(fd, F_SETFL, 0) != 0)
		cause = errno;
	if (cause != 0) {
		close(fd);
		errno = cause;
		return -1;
	}
	return fd;
}

static int print(const char *text, const char *console)
{
	const char *where = console != NULL ? console : "standard output";
	int fd = console != NULL ? open_console(console) : STDOUT_FILENO;

	if (fd < 0)
		return complain(where, errno);
	int cause = write_all(fd, text, strlen(text)) == 0 ? 0 : errno;
	/* A full disk or a lost network file may show up only on close(2). */
	if (close(fd) != 0 && cause == 0)
		cause = errno;
	return cause == 0 ? EXIT_SUCCESS : complain(where, cause);
}

static int greet(bool is_plain, const char *console)
{
	char os_name[256];
	struct utsname kernel;
	size_t length;

	if (read_os_name(os_name, sizeof(os_name)) != 0)
		return EXIT_IO;
	if (uname(&kernel) != 0)
		return complain("uname", errno);
	char *text = greeting(os_name, kernel.release, is_plain, &length);
	if (text == NULL)
		return complain("greeting", errno);
	int status = print(text, console);
	free(text);
	return status;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "plain", no_argument, NULL, 'p' },
		{ "console", required_argument, NULL, 'c' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	bool is_plain = false;
	const char *console = NULL;
	int option;

	while ((option = getopt_long(argc, argv, "pc:hV", options, NULL)) != -1) {
		switch (option) {
		case 'p':
			is_plain = true;
			break;
		case 'c':
			console = optarg;
			break;
		case 'h':
			return print(usage, NULL);
		case 'V':
			return print("petrel-greeter " VERSION "\n", NULL);
		default:
			return complain_about_usage(NULL);	/* getopt said why */
		}
	}
	if (optind != argc)
		return complain_about_usage("unexpected argument");
	return greet(is_plain, console);
}
