/* SPDX-License-Identifier: MIT */
#include "mailbox/crash.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/attr.h"

enum { SIGNAL_STACK_BYTES = 16 * 1024 };

static _Thread_local const char *thread_name = "main";
static _Thread_local char signal_stack[SIGNAL_STACK_BYTES] __attribute__((aligned(16)));

static void put(const char *text)
{
    ssize_t wrote = write(STDERR_FILENO, text, strlen(text)); /* strlen and write are async-signal-safe */
    (void)wrote;
}

static void on_fatal(int number)
{
    char digits[4] = {(char)('0' + number / 10 % 10), (char)('0' + number % 10), '\n', '\0'};
    put("fatal: thread ");
    put(thread_name);
    put(" got signal ");
    put(digits);
    (void)signal(number, SIG_DFL);
    (void)raise(number);
}

void crash_thread(const char *name)
{
    thread_name = name;
    const stack_t stack = {.ss_sp = signal_stack, .ss_size = sizeof(signal_stack)};
    (void)sigaltstack(&stack, NULL);
}

void crash_install(void)
{
    static const int fatal[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    crash_thread("main");
    struct sigaction action = {.sa_handler = on_fatal, .sa_flags = SA_ONSTACK | SA_NODEFER};
    (void)sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < ARRAY_LEN(fatal); i++)
        (void)sigaction(fatal[i], &action, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error of its write */
}
