/* The clock of a second build: what asks for the time gets a later one. Compiled in the build root, loaded by LD_PRELOAD.
 *
 * Not libfaketime: version 0.9.10 opens a file in every process, which programs see that close their outputs; it moves the times of
 * files and monotonic clocks too, unless one asks for the contrary. Here files and monotonic clocks are true, so that make rebuilds
 * nothing. Waits until a given time get their deadline back, or they would last for months. Programs without libc are not reached. */
#define _GNU_SOURCE
#include <bits/wordsize.h>
#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#if __WORDSIZE != 64
#error "the clock of a build can be moved on 64 bit architectures only"
#endif

static int true_time(clockid_t clock, struct timespec *now) { return (int)syscall(SYS_clock_gettime, clock, now); }

static int is_moved(clockid_t clock) { return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE; }

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int failed = true_time(clock, now);
    if (!failed && is_moved(clock))
        now->tv_sec += AHEAD;
    return failed;
}

int timespec_get(struct timespec *now, int base)
{
    return base == TIME_UTC && clock_gettime(CLOCK_REALTIME, now) == 0 ? base : 0;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec fine;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &fine))
        return -1;
    now->tv_sec = fine.tv_sec;
    now->tv_usec = fine.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *into)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    if (into)
        *into = now.tv_sec;
    return now.tv_sec;
}

/* A deadline that lies beyond half of what the clock is ahead was made with our clock; monotonic ones never lie there. */
static const struct timespec *given_back(const struct timespec *until, struct timespec *into)
{
    struct timespec now;
    true_time(CLOCK_REALTIME, &now);
    if (!until || until->tv_sec < now.tv_sec + AHEAD / 2)
        return until;
    *into = *until;
    into->tv_sec -= AHEAD;
    return into;
}

static void *next(const char *name, const char *version)
{
    void *found = dlvsym(RTLD_NEXT, name, version);
    return found ? found : dlsym(RTLD_NEXT, name);
}

#define WAITS(name, version, parameters, words)             \
    int name parameters                                            \
    {                                                              \
        static int(*real) parameters;                              \
        struct timespec kept;                                      \
        if (!real)                                                 \
            *(void **)&real = next(#name, version);                \
        until = given_back(until, &kept);                          \
        return real words;                                         \
    }

WAITS(pthread_cond_timedwait, "GLIBC_2.3.2",
      (pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex, const struct timespec *restrict until), (cond, mutex, until))
WAITS(pthread_cond_clockwait, "GLIBC_2.34",
      (pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex, clockid_t clock, const struct timespec *restrict until),
      (cond, mutex, clock, until))
WAITS(pthread_mutex_timedlock, "GLIBC_2.34", (pthread_mutex_t *restrict mutex, const struct timespec *restrict until),
      (mutex, until))
WAITS(pthread_rwlock_timedrdlock, "GLIBC_2.34", (pthread_rwlock_t *restrict lock, const struct timespec *restrict until),
      (lock, until))
WAITS(pthread_rwlock_timedwrlock, "GLIBC_2.34", (pthread_rwlock_t *restrict lock, const struct timespec *restrict until),
      (lock, until))
WAITS(sem_timedwait, "GLIBC_2.34", (sem_t *restrict sem, const struct timespec *restrict until), (sem, until))
WAITS(sem_clockwait, "GLIBC_2.34", (sem_t *restrict sem, clockid_t clock, const struct timespec *restrict until),
      (sem, clock, until))

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *until, struct timespec *left)
{
    static int (*real)(clockid_t, int, const struct timespec *, struct timespec *);
    struct timespec kept;
    if (!real)
        *(void **)&real = next("clock_nanosleep", "GLIBC_2.17");
    return real(clock, flags, flags & TIMER_ABSTIME ? given_back(until, &kept) : until, left);
}
