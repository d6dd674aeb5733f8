/* SPDX-License-Identifier: MIT */
#include "mailbox/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "mailbox/actor.h"

#if defined(__x86_64__)
enum { MACHINE = (int)AUDIT_ARCH_X86_64, OTHER_NUMBERS = 0x40000000 /* x32's begin here */ };
#elif defined(__aarch64__)
enum { MACHINE = (int)AUDIT_ARCH_AARCH64, OTHER_NUMBERS = 0x40000000 };
#else
enum { MACHINE = 0, OTHER_NUMBERS = 0 };
#endif

enum { FILTER_MAX = 512, NETWORK_PORTS = PORT_NET | PORT_DNS | PORT_HTTP | PORT_MULTICAST };

struct filter {
    struct sock_filter code[FILTER_MAX];
    unsigned short len;
};

static void put(struct filter *f, unsigned code, uint32_t k, unsigned then, unsigned otherwise)
{
    if (f->len < FILTER_MAX)
        f->code[f->len++] =
            (struct sock_filter){.code = (uint16_t)code, .jt = (uint8_t)then, .jf = (uint8_t)otherwise, .k = k};
}

static void put_load(struct filter *f, size_t offset)
{
    put(f, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void put_return(struct filter *f, int error)
{
    put(f, BPF_RET | BPF_K, error == 0 ? SECCOMP_RET_ALLOW : SECCOMP_RET_ERRNO | (uint32_t)error, 0, 0);
}

/* The low half of an argument: what is compared here has no more bits. */
static void put_load_argument(struct filter *f, int index)
{
    put_load(f, offsetof(struct seccomp_data, args) + (size_t)index * sizeof(uint64_t));
}

/* ---- rules: each of one call, which it decides for good ---- */

static void forbid(struct filter *f, long call, int error)
{
    put(f, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 1);
    put_return(f, error);
}

/* Allowed when one of the bits of the argument is set, or when none is. */
static void by_bits(struct filter *f, long call, int argument, uint32_t bits, bool set_is_allowed, int error)
{
    put(f, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 4);
    put_load_argument(f, argument);
    put(f, BPF_JMP | BPF_JSET | BPF_K, bits, set_is_allowed ? 1 : 0, set_is_allowed ? 0 : 1);
    put_return(f, error);
    put_return(f, 0);
}

/* Allowed when the argument is the value. */
static void by_value(struct filter *f, long call, int argument, uint32_t value, int error)
{
    put(f, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 4);
    put_load_argument(f, argument);
    put(f, BPF_JMP | BPF_JEQ | BPF_K, value, 1, 0);
    put_return(f, error);
    put_return(f, 0);
}

/* Allowed when the first two arguments are these values. */
static void tell_one(struct filter *f, long call, uint32_t first, uint32_t second, int error)
{
    put(f, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 6);
    put_load_argument(f, 0);
    put(f, BPF_JMP | BPF_JEQ | BPF_K, first, 0, 2);
    put_load_argument(f, 1);
    put(f, BPF_JMP | BPF_JEQ | BPF_K, second, 1, 0);
    put_return(f, error);
    put_return(f, 0);
}

/* ---- what is forbidden ---- */

static void forbid_processes(struct filter *f)
{
    static const long calls[] = {
        SYS_execve,
        SYS_execveat,
        SYS_ptrace,
        SYS_process_vm_readv,
        SYS_process_vm_writev,
        SYS_tkill,
        SYS_rt_sigqueueinfo,
        SYS_rt_tgsigqueueinfo,
        SYS_pidfd_send_signal,
        SYS_pidfd_open,
        SYS_unshare,
        SYS_setns,
        SYS_mount,
        SYS_umount2,
        SYS_pivot_root,
        SYS_chroot,
        SYS_bpf,
        SYS_keyctl,
        SYS_add_key,
        SYS_request_key,
        SYS_init_module,
        SYS_finit_module,
        SYS_delete_module,
        SYS_kexec_load,
        SYS_perf_event_open,
        SYS_userfaultfd,
        SYS_io_uring_setup,
        SYS_open_by_handle_at,
#ifdef SYS_pidfd_getfd
        SYS_pidfd_getfd,
#endif
#ifdef SYS_fork
        SYS_fork,
        SYS_vfork,
#endif
    };
    for (size_t i = 0; i < ARRAY_LEN(calls); i++)
        forbid(f, calls[i], EPERM);
    forbid(f, SYS_clone3, ENOSYS); /* its flags lie in memory; the C library then asks clone for a thread */
    by_bits(f, SYS_clone, 0, CLONE_THREAD, true, EPERM);
    by_value(f, SYS_tgkill, 0, (uint32_t)getpid(), EPERM);
    by_value(f, SYS_prlimit64, 0, 0, EPERM);
    tell_one(f, SYS_kill, (uint32_t)getppid(), SIGTERM, EPERM);
}

static void forbid_writing(struct filter *f)
{
    static const long calls[] = {
        SYS_unlinkat, SYS_renameat2, SYS_mkdirat,  SYS_mknodat, SYS_linkat, SYS_symlinkat,
        SYS_truncate, SYS_fchmodat,  SYS_fchownat,
#ifdef SYS_renameat
        SYS_renameat,
#endif
#ifdef SYS_open
        SYS_creat,    SYS_unlink,    SYS_rename,   SYS_mkdir,   SYS_rmdir,  SYS_mknod,
        SYS_link,     SYS_symlink,   SYS_chmod,    SYS_chown,   SYS_lchown,
#endif
    };
    for (size_t i = 0; i < ARRAY_LEN(calls); i++)
        forbid(f, calls[i], EACCES);
}

static void forbid_files(struct filter *f, bool may_read)
{
    enum { WRITES = O_WRONLY | O_RDWR | O_CREAT | O_TRUNC };
    forbid_writing(f);
#ifdef SYS_openat2
    forbid(f, SYS_openat2, ENOSYS); /* its flags lie in memory */
#endif
    if (may_read) {
        by_bits(f, SYS_openat, 2, WRITES, false, EACCES);
#ifdef SYS_open
        by_bits(f, SYS_open, 1, WRITES, false, EACCES);
#endif
        return;
    }
    forbid(f, SYS_openat, EACCES);
#ifdef SYS_open
    forbid(f, SYS_open, EACCES);
#endif
}

static void build(struct filter *f, uint32_t ports)
{
    put_load(f, offsetof(struct seccomp_data, arch));
    put(f, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)MACHINE, 1, 0);
    put_return(f, EPERM);
    put_load(f, offsetof(struct seccomp_data, nr));
    put(f, BPF_JMP | BPF_JGE | BPF_K, OTHER_NUMBERS, 0, 1);
    put_return(f, EPERM);
    forbid_processes(f);
    if ((ports & PORT_DISK) == 0)
        forbid_files(f, (ports & (PORT_DNS | PORT_HTTP)) != 0);
    if ((ports & NETWORK_PORTS) == 0)
        by_value(f, SYS_socket, 0, AF_UNIX, EACCES);
    put_return(f, 0);
}

enum err confine_process(uint32_t ports)
{
    struct filter f = {.len = 0};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return ERR_UNSUPPORTED;
    if (MACHINE == 0)
        return ERR_UNSUPPORTED;
    build(&f, ports);
    if (f.len == FILTER_MAX)
        return ERR_INTERNAL;
    const struct sock_fprog program = {.len = f.len, .filter = f.code};
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) == 0)
        return ERR_OK;
    return errno == ENOSYS || errno == EINVAL ? ERR_UNSUPPORTED : err_from_errno(errno);
}
