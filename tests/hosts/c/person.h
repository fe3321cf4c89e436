/* The person who confirms the code. Not the library's business, so it stands aside; for the hosts in C and C++. */

#ifndef PERSON_H
#define PERSON_H

#include <errno.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>

extern char **environ;

/* Runs `$MXO_APPROVE LINK CODE` and waits for it; without MXO_APPROVE somebody at a browser is awaited. 0 when all is well. */
static inline int person_confirms(const char *link, const char *code)
{
    /* The shell splits $MXO_APPROVE into words; link and code come from outside and stay one word each. */
    const char *command[] = {"sh", "-c", "$MXO_APPROVE \"$@\" >&2", "sh", link, code, NULL};
    const char *approve = getenv("MXO_APPROVE");
    pid_t child;
    int status;

    if (approve == NULL || *approve == '\0')
        return 0;
    if (posix_spawn(&child, "/bin/sh", NULL, NULL, (char *const *)command, environ) != 0)
        return -1;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return status;
}

#endif
