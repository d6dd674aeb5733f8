/* SPDX-License-Identifier: MIT */
#include "mailbox/crash.h"

#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>
#include <unwind.h>

#include "base/attr.h"
#include "mailbox/crash_page.h"

enum { SIGNAL_STACK_BYTES = 24 * 1024 };

static struct crash_page *page; /* set before any other thread exists */
static _Thread_local const char *thread_name = "main";
static _Thread_local int thread_slot = -1;
static _Thread_local char signal_stack[SIGNAL_STACK_BYTES] __attribute__((aligned(16)));
static _Thread_local bool in_handler;
static _Atomic int handling; /* the thread that came first tells; what fails meanwhile is a consequence */

static void put(const char *text)
{
    ssize_t wrote = write(STDERR_FILENO, text, strlen(text)); /* strlen and write are async-signal-safe */
    (void)wrote;
}

static void put_number(unsigned number)
{
    char digits[12];
    size_t at = sizeof(digits) - 1;
    digits[at] = '\0';
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    put(digits + at);
}

struct walk {
    uint64_t *frames;
    uint32_t count;
    uint64_t from; /* where the signal came: what is above it is the handler */
    bool found;
};

static _Unwind_Reason_Code on_frame(struct _Unwind_Context *context, void *arg)
{
    struct walk *w = arg;
    uint64_t at = _Unwind_GetIP(context);
    w->found = w->found || at == w->from;
    if (!w->found)
        return _URC_NO_REASON;
    if (w->count == CRASH_FRAMES_MAX)
        return _URC_END_OF_STACK;
    w->frames[w->count++] = at;
    return _URC_NO_REASON;
}

static uint64_t program_counter(const void *context)
{
#if defined(__x86_64__)
    return (uint64_t)((const ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
    return ((const ucontext_t *)context)->uc_mcontext.pc;
#else
    (void)context;
    return 0;
#endif
}

static void record(int number, const siginfo_t *info, const void *context)
{
    struct crash_fatal *fatal = &page->fatal;
    size_t len = MIN(strlen(thread_name), sizeof(fatal->thread) - 1);
    fatal->signal = number;
    fatal->slot = (uint32_t)(thread_slot + 1);
    fatal->address = number == SIGABRT ? 0 : (uint64_t)(uintptr_t)info->si_addr;
    memcpy(fatal->thread, thread_name, len);
    fatal->frames[0] = program_counter(context);
    fatal->frame_count = 1;
    atomic_store(&fatal->written, 1);
    struct walk w = {.frames = fatal->frames, .from = fatal->frames[0]};
    (void)_Unwind_Backtrace(on_frame, &w);
    if (w.count > 0)
        fatal->frame_count = w.count;
    atomic_store(&fatal->written, 2);
}

static void on_fatal(int number, siginfo_t *info, void *context)
{
    if (atomic_fetch_add(&handling, 1) == 0) {
        in_handler = true;
        put("fatal: thread ");
        put(thread_name);
        put(" got signal ");
        put_number((unsigned)number);
        put("\n");
        if (page != NULL)
            record(number, info, context);
    } else if (!in_handler) {
        (void)sleep(1); /* another thread is telling: it ends the process */
    }
    (void)signal(number, SIG_DFL);
    (void)raise(number);
}

void crash_thread(const char *name, int slot)
{
    thread_name = name;
    thread_slot = slot;
    const stack_t stack = {.ss_sp = signal_stack, .ss_size = sizeof(signal_stack)};
    (void)sigaltstack(&stack, NULL);
}

static _Unwind_Reason_Code ignore_frame(struct _Unwind_Context *context, void *arg)
{
    (void)context;
    (void)arg;
    return _URC_NO_REASON;
}

void crash_install(struct crash_page *shared)
{
    static const int fatal[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    page = shared;
    crash_thread("main", -1);
    (void)_Unwind_Backtrace(ignore_frame, NULL); /* what it loads and builds at its first use is there from now on */
    struct sigaction action = {.sa_sigaction = on_fatal, .sa_flags = SA_ONSTACK | SA_NODEFER | SA_SIGINFO};
    (void)sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < ARRAY_LEN(fatal); i++)
        (void)sigaction(fatal[i], &action, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error of its write */
}

/* The file of the program: dladdr knows it only by what it was called as. */
static const char *program_file(char *to, size_t bytes)
{
    ssize_t len = readlink("/proc/self/exe", to, bytes - 1);
    if (len <= 0)
        return NULL;
    to[len] = '\0';
    return to;
}

void crash_describe(const uint64_t *frames, size_t count, char *to, size_t bytes)
{
    char path[512];
    const char *program = program_file(path, sizeof(path));
    Dl_info own = {0};
    (void)dladdr((const void *)&page, &own); /* something of the program's own */
    size_t used = 0;
    to[0] = '\0';
    for (size_t i = 0; i < count && used < bytes; i++) {
        Dl_info info = {0};
        const char *module = "?";
        uint64_t base = 0;
        if (dladdr((const void *)(uintptr_t)frames[i], &info) != 0 && info.dli_fname != NULL) {
            const char *file = info.dli_fbase == own.dli_fbase && program != NULL ? program : info.dli_fname;
            const char *slash = strrchr(file, '/');
            module = slash == NULL ? file : slash + 1;
            base = (uint64_t)(uintptr_t)info.dli_fbase;
        }
        int len = snprintf(to + used, bytes - used, "%s%s+0x%llx", i == 0 ? "" : " ", module,
                           (unsigned long long)(frames[i] - base));
        if (len < 0 || (size_t)len >= bytes - used) {
            to[used] = '\0'; /* only whole ones */
            return;
        }
        used += (size_t)len;
    }
}
