"""Seccomp filter that allows the system calls of computations, on x86-64 and aarch64.

Standard library only, and no import from the package but `isolation`: it runs in the workers.
"""

import ctypes
import platform
import struct
import sys

from en2py.sandbox.isolation import call_libc, refuse_new_privileges

# Name, number on x86-64, number on aarch64 ("-": absent); asm/unistd_64.h, asm-generic/unistd.h.
# Not among them: fork, vfork, execve, kill, socket, chmod, chown, utime and truncate by path (which
# Landlock does not see, or not in its first versions), mount, unshare, setns, ptrace, bpf,
# io_uring, shared memory, message queues, keyrings.
_ALLOWED = """
    read 0 63, write 1 64, readv 19 65, writev 20 66, pread64 17 67, pwrite64 18 68,
    preadv 295 69, pwritev 296 70, preadv2 327 286, pwritev2 328 287, close 3 57,
    close_range 436 436, lseek 8 62, open 2 -, openat 257 56, creat 85 -, stat 4 -, fstat 5 80,
    lstat 6 -, newfstatat 262 79, statx 332 291, statfs 137 43, fstatfs 138 44, access 21 -,
    faccessat 269 48, faccessat2 439 439, readlink 89 -, readlinkat 267 78, getdents 78 -,
    getdents64 217 61, getcwd 79 17, chdir 80 49, fchdir 81 50, mkdir 83 -, mkdirat 258 34,
    rmdir 84 -, unlink 87 -, unlinkat 263 35, rename 82 -, renameat 264 38, renameat2 316 276,
    ftruncate 77 46, fsync 74 82, fdatasync 75 83, fallocate 285 47, umask 95 166, flock 73 32,
    link 86 -, linkat 265 37, symlink 88 -, symlinkat 266 36, dup 32 23, dup2 33 -, dup3 292 24,
    pipe 22 -, pipe2 293 59, poll 7 -, ppoll 271 73, select 23 -, pselect6 270 72,
    epoll_create 213 -, epoll_create1 291 20, epoll_ctl 233 21, epoll_wait 232 -,
    epoll_pwait 281 22, eventfd2 290 19, fadvise64 221 223, mmap 9 222,
    munmap 11 215, mprotect 10 226, mremap 25 216, madvise 28 233, brk 12 214, mincore 27 232,
    msync 26 227, rt_sigaction 13 134, rt_sigprocmask 14 135, rt_sigreturn 15 139,
    rt_sigpending 127 136, rt_sigtimedwait 128 137, rt_sigsuspend 130 133, sigaltstack 131 132,
    restart_syscall 219 128, pause 34 -, nanosleep 35 101, clock_nanosleep 230 115,
    clock_gettime 228 113, clock_getres 229 114, gettimeofday 96 169, time 201 -, times 100 153,
    alarm 37 -, getitimer 36 102, setitimer 38 103, getpid 39 172, gettid 186 178,
    getppid 110 173, getpgid 121 155, getpgrp 111 -, getsid 124 156, getuid 102 174,
    geteuid 107 175, getgid 104 176, getegid 108 177, getresuid 118 148, getresgid 120 150,
    getgroups 115 158, uname 63 160, sysinfo 99 179, getrlimit 97 163, getrusage 98 165,
    sched_yield 24 124, sched_getaffinity 204 123, getcpu 309 168, getrandom 318 278,
    futex 202 98, set_robust_list 273 99, set_tid_address 218 96, rseq 334 293, arch_prctl 158 -,
    exit 60 93, exit_group 231 94, wait4 61 260
"""
_MACHINES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1), "arm64": (0xC00000B7, 1)}
_CLONE, _CLONE3, _PRLIMIT = (56, 220), (435, 435), (302, 261)
_IOCTL, _FCNTL = (16, 29), (72, 25)
_THREAD = 0x10000 | 0x100  # CLONE_THREAD and CLONE_VM
_ANY_NEW = 0x7E020000  # CLONE_NEWNS, -CGROUP, -UTS, -IPC, -USER, -PID, -NET
_TERMINAL_REQUESTS = (0x5401, 0x5413, 0x5450, 0x5451)  # TCGETS, TIOCGWINSZ, FIONCLEX, FIOCLEX
# Duplicate, flags, locks, pipe size; not F_SETOWN and F_SETSIG, which send signals to others.
_DESCRIPTOR_COMMANDS = (0, 1, 2, 3, 4, 5, 6, 7, 1030, 1032)
_RET_ALLOW, _RET_ERRNO, _RET_KILL = 0x7FFF0000, 0x00050000, 0x80000000
_EPERM, _ENOSYS = 1, 38
_LOAD, _JUMP_IF_EQUAL, _JUMP_IF_SET, _AND, _RETURN = 0x20, 0x15, 0x45, 0x54, 0x06  # linux/filter.h
# Offsets in struct seccomp_data; both machines are little-endian.
_NR, _ARCH, _FIRST_ARGUMENT = 0, 4, 16


def seccomp_program() -> bytes:
    """Return the filter for this machine in classic BPF.

    Other calls fail with EPERM, so that a program gets an exception. A call of another instruction
    set, which has other numbers, kills the process.

    Raises:
        OSError: If the machine's system call numbers are not known.
    """
    if platform.machine() not in _MACHINES or sys.maxsize < 2**32:
        raise OSError(_ENOSYS, f"no system call numbers for {platform.machine()}")
    arch, column = _MACHINES[platform.machine()]
    denied, missing = _RET_ERRNO | _EPERM, _RET_ERRNO | _ENOSYS
    lines: list[tuple[int, int, int, int]] = [  # operation, skip if true, skip if false, operand
        (_LOAD, 0, 0, _ARCH),
        (_JUMP_IF_EQUAL, 1, 0, arch),
        (_RETURN, 0, 0, _RET_KILL),
        (_LOAD, 0, 0, _NR),
    ]
    if column == 0:  # x32 has the same architecture and sets this bit
        lines += [(_JUMP_IF_SET, 0, 1, 0x40000000), (_RETURN, 0, 0, _RET_KILL)]
    for entry in _ALLOWED.split(","):
        number = entry.split()[1 + column]
        if number != "-":
            lines += [(_JUMP_IF_EQUAL, 0, 1, int(number)), (_RETURN, 0, 0, _RET_ALLOW)]
    # The flags of clone3 are behind a pointer; after ENOSYS libc falls back to clone.
    lines += [(_JUMP_IF_EQUAL, 0, 1, _CLONE3[column]), (_RETURN, 0, 0, missing)]
    lines += [  # threads, but no processes and no namespaces
        (_JUMP_IF_EQUAL, 0, 5, _CLONE[column]),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_AND, 0, 0, _THREAD | _ANY_NEW),
        (_JUMP_IF_EQUAL, 0, 1, _THREAD),
        (_RETURN, 0, 0, _RET_ALLOW),
        (_RETURN, 0, 0, denied),
    ]
    for call, commands in ((_IOCTL, _TERMINAL_REQUESTS), (_FCNTL, _DESCRIPTOR_COMMANDS)):
        lines += [(_JUMP_IF_EQUAL, 0, 2 + 2 * len(commands), call[column])]
        lines += [(_LOAD, 0, 0, _FIRST_ARGUMENT + 8)]
        for command in commands:
            lines += [(_JUMP_IF_EQUAL, 0, 1, command), (_RETURN, 0, 0, _RET_ALLOW)]
        lines += [(_RETURN, 0, 0, denied)]
    lines += [(_JUMP_IF_EQUAL, 0, 10, _PRLIMIT[column])]  # its own limits may be read, not set
    for offset in (_FIRST_ARGUMENT, _FIRST_ARGUMENT + 16, _FIRST_ARGUMENT + 20):
        lines += [(_LOAD, 0, 0, offset), (_JUMP_IF_EQUAL, 1, 0, 0), (_RETURN, 0, 0, denied)]
    lines += [(_RETURN, 0, 0, _RET_ALLOW), (_RETURN, 0, 0, denied)]
    return b"".join(struct.pack("=HBBI", *line) for line in lines)


def filter_system_calls(program: bytes) -> None:
    """Install the filter for this process and its descendants."""
    instructions = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("@HP", len(program) // 8, ctypes.addressof(instructions))
    refuse_new_privileges()
    call_libc("prctl", ctypes.c_int(22), ctypes.c_ulong(2), header, *(ctypes.c_ulong(0),) * 2)
