/* SPDX-License-Identifier: MIT */
#include "mailbox/crash.h"

#include <link.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>
#include <unwind.h>

#include "base/attr.h"
#include "mailbox/crash_page.h"

enum { SIGNAL_STACK_BYTES = 24 * 1024, MODULES_MAX = 48, MODULE_NAME_BYTES = 40 };

/* Set before any other thread exists. */
static struct crash_page *page;
static uint32_t part; /* of the page: this process's */
static struct module {
    uint64_t from, to, base;
    char name[MODULE_NAME_BYTES];
} modules[MODULES_MAX];
static size_t module_count;

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

/* ---- return addresses, as text: no function of the C library that is not async-signal-safe ---- */

struct trace {
    char *to; /* CRASH_TRACE_BYTES */
    size_t used;
};

static size_t append_text(char *to, size_t used, const char *text)
{
    while (*text != '\0')
        to[used++] = *text++;
    return used;
}

static size_t append_hex(char *to, size_t used, uint64_t number)
{
    static const char digits[] = "0123456789abcdef";
    int shift = 60;
    while (shift > 0 && number >> shift == 0)
        shift -= 4;
    for (; shift >= 0; shift -= 4)
        to[used++] = digits[number >> shift & 15];
    return used;
}

/* Only whole ones. */
static void append_frame(struct trace *t, uint64_t at)
{
    static const struct module unknown = {.name = "?"};
    const struct module *module = &unknown;
    char text[1 + MODULE_NAME_BYTES + 3 + 16 + 1];
    size_t len = 0;
    for (size_t i = 0; i < module_count; i++) {
        if (at >= modules[i].from && at < modules[i].to)
            module = &modules[i];
    }
    len = append_text(text, len, t->used == 0 ? "" : " ");
    len = append_text(text, len, module->name);
    len = append_text(text, len, "+0x");
    len = append_hex(text, len, at - module->base);
    if (t->used + len >= CRASH_TRACE_BYTES)
        return;
    memcpy(t->to + t->used, text, len);
    t->used += len;
    t->to[t->used] = '\0';
}

struct walk {
    struct trace trace;
    uint32_t count;
    uint64_t from; /* where the signal came: what is above it is the handler */
};

static _Unwind_Reason_Code on_frame(struct _Unwind_Context *context, void *arg)
{
    struct walk *w = arg;
    uint64_t at = _Unwind_GetIP(context);
    if (w->count == 0 && at != w->from)
        return _URC_NO_REASON;
    if (w->count++ == CRASH_FRAMES_MAX)
        return _URC_END_OF_STACK;
    if (w->count > 1 && at != 0) /* the first is there; nobody called the program */
        append_frame(&w->trace, at);
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
    struct crash_fatal *fatal = &page->fatals[part];
    size_t len = MIN(strlen(thread_name), sizeof(fatal->thread) - 1);
    struct walk w = {.trace = {.to = fatal->backtrace}, .from = program_counter(context)};
    fatal->signal = number;
    fatal->slot = (uint32_t)(thread_slot + 1);
    fatal->address = number == SIGABRT ? 0 : (uint64_t)(uintptr_t)info->si_addr;
    memcpy(fatal->thread, thread_name, len);
    fatal->thread[len] = '\0';
    append_frame(&w.trace, w.from);
    atomic_store(&fatal->written, 1);
    (void)_Unwind_Backtrace(on_frame, &w);
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
    /* A thread that has one keeps it: a sanitizer gives each its own, and takes away at its end whichever it finds. */
    stack_t stack;
    if (sigaltstack(NULL, &stack) == 0 && (stack.ss_flags & SS_DISABLE) == 0)
        return;
    stack = (stack_t){.ss_sp = signal_stack, .ss_size = sizeof(signal_stack)};
    (void)sigaltstack(&stack, NULL);
}

static _Unwind_Reason_Code ignore_frame(struct _Unwind_Context *context, void *arg)
{
    (void)context;
    (void)arg;
    return _URC_NO_REASON;
}

/* ---- modules ---- */

/* The file of the program, which the list of modules has without a name. */
static const char *program_file(char *to, size_t bytes)
{
    ssize_t len = readlink("/proc/self/exe", to, bytes - 1);
    if (len <= 0)
        return "program";
    to[len] = '\0';
    return to;
}

static int note_module(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)size;
    (void)arg;
    char path[512];
    struct module m = {.from = UINT64_MAX, .base = info->dlpi_addr};
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part_of_it = &info->dlpi_phdr[i];
        if (part_of_it->p_type != PT_LOAD)
            continue;
        m.from = MIN(m.from, m.base + part_of_it->p_vaddr);
        m.to = MAX(m.to, m.base + part_of_it->p_vaddr + part_of_it->p_memsz);
    }
    bool is_program = info->dlpi_name == NULL || info->dlpi_name[0] == '\0';
    const char *file = is_program ? program_file(path, sizeof(path)) : info->dlpi_name;
    const char *slash = strrchr(file, '/');
    file = slash == NULL ? file : slash + 1;
    memcpy(m.name, file, MIN(strlen(file), sizeof(m.name) - 1));
    modules[module_count++] = m;
    return module_count == MODULES_MAX;
}

static void note_modules(void)
{
    module_count = 0;
    (void)dl_iterate_phdr(note_module, NULL);
}

/* ---- life cycle ---- */

void crash_belong(struct crash_page *shared, uint32_t slot)
{
    page = shared;
    part = slot;
}

void crash_install(struct crash_page *shared)
{
    static const int fatal[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    crash_belong(shared, 0);
    note_modules();
    crash_thread("main", -1);
    (void)_Unwind_Backtrace(ignore_frame, NULL); /* what it loads and builds at its first use is there from now on */
    struct sigaction action = {.sa_sigaction = on_fatal, .sa_flags = SA_ONSTACK | SA_NODEFER | SA_SIGINFO};
    (void)sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < ARRAY_LEN(fatal); i++)
        (void)sigaction(fatal[i], &action, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error of its write */
}
