/* Unit tests; run by "make check", thus at every package build.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include "greeting.h"
#include "os_release.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int failed;
static int checked;

static void expect(const char *sentence, const char *want, const char *got)
{
	checked++;
	if (strcmp(want, got) == 0)
		return;
	failed++;
	printf("FAILED: %s\n  want: %s\n  got:  %s\n", sentence, want, got);
}

static void expect_name(const char *sentence, const char *content, size_t size, const char *want)
{
	char name[64];
	FILE *file = tmpfile();

	if (file == NULL || fputs(content, file) == EOF || fseek(file, 0, SEEK_SET) != 0) {
		perror("tmpfile");
		exit(99);
	}
	expect(sentence, "0", os_release_pretty_name(file, name, size) == 0 ? "0" : "-1");
	expect(sentence, want, name);
	fclose(file);
}

static void test_pretty_name(void)
{
	const size_t all = 64;

	expect_name("double quotes are removed", "ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n", all,
		    "Debian GNU/Linux 12 (bookworm)");
	expect_name("single quotes are removed", "PRETTY_NAME='Petrel 1'\n", all, "Petrel 1");
	expect_name("a bare word needs no quotes", "PRETTY_NAME=Petrel\n", all, "Petrel");
	expect_name("the last line may lack its newline", "PRETTY_NAME=Petrel", all, "Petrel");
	expect_name("an escape gives the next character", "PRETTY_NAME=\"a \\\"b\\\" \\$c \\x\"\n", all, "a \"b\" $c \\x");
	expect_name("single quotes know no escape", "PRETTY_NAME='a\\b'\n", all, "a\\b");
	expect_name("the last assignment wins", "PRETTY_NAME=a\nPRETTY_NAME=b\n", all, "b");
	expect_name("a comment is no assignment", "#PRETTY_NAME=a\nNAME=b\n", all, "Linux");
	expect_name("a longer key is another key", "NOT_PRETTY_NAME=a\nPRETTY_NAME_X=b\n", all, "Linux");
	expect_name("an empty name means Linux", "PRETTY_NAME=\"\"\n", all, "Linux");
	expect_name("an empty file means Linux", "", all, "Linux");
	expect_name("control characters reach no terminal", "PRETTY_NAME=\"a\033[2Jb\"\n", all, "a?[2Jb");
	expect_name("a long name is cut to fit", "PRETTY_NAME=abcdefgh\n", 5, "abcd");
	expect_name("a cut never splits a character", "PRETTY_NAME=abc\303\266\n", 5, "abc");
	expect_name("an open quote ends with its line", "PRETTY_NAME=\"a b\nID=x\n", all, "a b");
}

static void test_unreadable_file(void)
{
	char name[64];
	FILE *file = fopen("/", "r");	/* opens, then reading says EISDIR */

	if (file == NULL)
		return;
	expect("a read error is reported", "-1", os_release_pretty_name(file, name, sizeof(name)) == 0 ? "0" : "-1");
	expect("with its cause", strerror(EISDIR), strerror(errno));
	fclose(file);
}

static void expect_greeting(const char *sentence, bool is_plain, const char *want)
{
	size_t length = 0;
	char *text = greeting("Petrel 1", "6.1.0-1-amd64", is_plain, &length);

	if (text == NULL) {
		perror("greeting");
		exit(99);
	}
	expect(sentence, want, text);
	expect("the length is the text's", "yes", length == strlen(text) ? "yes" : "no");
	free(text);
}

static void test_greeting(void)
{
	expect_greeting("the greeting stands between blank lines", false,
			"\n"
			"Petrel greets you from Petrel 1\n"
			"It flies on Linux 6.1.0-1-amd64 and is at your service.\n"
			"\n");
	expect_greeting("the plain greeting does not", true,
			"Petrel greets you from Petrel 1\n"
			"It flies on Linux 6.1.0-1-amd64 and is at your service.\n");
}

static void test_write_all(void)
{
	int ends[2];

	if (pipe(ends) != 0) {
		perror("pipe");
		exit(99);
	}
	expect("all of the text is written", "0", write_all(ends[1], "hello", 5) == 0 ? "0" : "-1");
	close(ends[1]);
	char got[8] = "";
	expect("and arrives", "yes", read(ends[0], got, sizeof(got) - 1) == 5 ? "yes" : "no");
	expect("as it was", "hello", got);
	expect("a descriptor that takes none is an error", "-1", write_all(ends[0], "x", 1) == 0 ? "0" : "-1");
	close(ends[0]);
}

int main(void)
{
	test_pretty_name();
	test_unreadable_file();
	test_greeting();
	test_write_all();
	printf("unit: %d checks, %d failed\n", checked, failed);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
