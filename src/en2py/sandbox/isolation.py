"""Isolation by the kernel through `ctypes`: namespaces, Landlock, resource limits.

Standard library only, and no import from the package: this file runs in the sandbox's workers.
Every function either succeeds or raises `OSError`; none of them fails silently.
"""

import ctypes
import os
import resource
import signal
import struct
import sys

NOBODY = 65534  # id of the Unix user and group without rights

# unshare(2), mount(2), prctl(2): linux/sched.h, linux/mount.h, linux/prctl.h
_NEWNS, _NEWIPC, _NEWUSER, _NEWPID, _NEWNET = 0x20000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_REC, _MS_SLAVE = 0x2, 0x4, 0x8, 0x4000, 0x80000
_SET_PDEATHSIG, _SET_DUMPABLE, _SET_NO_NEW_PRIVS = 1, 4, 38

_LIBC = ctypes.CDLL(None, use_errno=True)


def call_libc(name: str, *arguments: object) -> int:
    """Call a libc function that returns -1 on failure."""
    returned = int(getattr(_LIBC, name)(*arguments))
    if returned < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return returned


def _prctl(option: int, value: object) -> None:
    call_libc("prctl", ctypes.c_int(option), value, *(ctypes.c_ulong(0),) * 3)


def die_with_parent() -> None:
    """Let the kernel kill this process when its parent dies."""
    _prctl(_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL))


def drop_root(folder: str, needed: str) -> str:
    """Become the Unix user `nobody`, as the owner of `folder`, if this process is root.

    Args:
        folder: The sandbox's folder.
        needed: A file of the standard library; the process stays root if `nobody` cannot read it.

    Returns:
        A description of the user.
    """
    if os.geteuid() != 0:
        return "ordinary user"
    os.seteuid(NOBODY)
    try:
        readable = os.access(needed, os.R_OK, effective_ids=True)
    finally:
        os.seteuid(0)
    if not readable:
        return f"root without capabilities: only root can read {needed}"
    os.chown(folder, NOBODY, NOBODY)
    os.setgroups([])
    os.setgid(NOBODY)  # as root these set the saved ids too
    os.setuid(NOBODY)
    if sys.platform == "linux":
        # After a change of user, only a dumpable process may write its identity map in /proc/self.
        _prctl(_SET_DUMPABLE, ctypes.c_ulong(1))
    return "nobody"


def enter_namespaces(folder: str, scratch_mb: int) -> None:
    """Enter new namespaces of users, network, mounts, IPC and (for children) processes.

    `folder` becomes a small file system in memory, invisible to other processes.
    """
    uid, gid = os.geteuid(), os.getegid()
    call_libc("unshare", _NEWUSER | _NEWNS | _NEWNET | _NEWIPC | _NEWPID)
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{uid} {uid} 1"),
        ("gid_map", f"{gid} {gid} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)
    call_libc("mount", None, b"/", None, ctypes.c_ulong(_MS_REC | _MS_SLAVE), None)
    call_libc(
        "mount",
        b"scratch",
        os.fsencode(folder),
        b"tmpfs",
        ctypes.c_ulong(_MS_NOSUID | _MS_NODEV | _MS_NOEXEC),
        f"size={scratch_mb}m,nr_inodes=1000,mode=700".encode(),
    )


def unshare_processes() -> None:
    """Make the next fork process 1 of a new process namespace."""
    call_libc("unshare", _NEWPID)


def rejoin_processes(namespace: int) -> None:
    """Return to a process namespace; a second `unshare_processes` would fail otherwise."""
    call_libc("setns", namespace, _NEWPID)


# Landlock, linux/landlock.h. System call numbers above 424 are the same on every machine.
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_EXECUTE, _WRITE, _READ, _LIST = 1, 2, 4, 8
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}  # by ABI
_ON_FILES = _EXECUTE | _WRITE | _READ | 1 << 14 | 1 << 15  # truncate and ioctl are newer
_NET_BIND_CONNECT, _SCOPE_SOCKETS_SIGNALS = 3, 3


def restrict_files(readable: list[str], own: str) -> None:
    """Deny all access to files, except reading `readable` and everything in the folder `own`.

    Also denies TCP (ABI 4), and signals and abstract sockets to other processes (ABI 6).
    """
    create = ctypes.c_long(_LANDLOCK_CREATE)
    version = call_libc("syscall", create, None, ctypes.c_size_t(0), 1)  # of the kernel's ABI
    rights = max(mask for since, mask in _FILE_RIGHTS.items() if since <= version)
    attributes = struct.pack(
        "=QQQ",
        rights,
        _NET_BIND_CONNECT if version >= 4 else 0,
        _SCOPE_SOCKETS_SIGNALS if version >= 6 else 0,
    )[: 24 if version >= 6 else 16 if version >= 4 else 8]
    ruleset = call_libc("syscall", create, attributes, ctypes.c_size_t(len(attributes)), 0)
    rules = [(path, _READ | _EXECUTE | _LIST) for path in readable] + [(own, rights)]
    for path, allowed in rules:
        try:
            handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        if not os.path.isdir(path):
            allowed &= _ON_FILES
        if path == "/dev/null":
            allowed |= _WRITE
        rule = struct.pack("=Qi", allowed & rights, handle)
        call_libc("syscall", ctypes.c_long(_LANDLOCK_ADD), ctypes.c_int(ruleset), 1, rule, 0)
        os.close(handle)
    refuse_new_privileges()
    call_libc("syscall", ctypes.c_long(_LANDLOCK_RESTRICT), ctypes.c_int(ruleset), 0)
    os.close(ruleset)


def refuse_new_privileges() -> None:
    """Deny new privileges from now on, as Landlock and seccomp require."""
    _prctl(_SET_NO_NEW_PRIVS, ctypes.c_ulong(1))


def drop_capabilities() -> None:
    """Drop all capabilities, also those in the user namespace."""
    header = struct.pack("=Ii", 0x20080522, 0)
    call_libc("capset", header, bytes(24))


def limit_resources(memory_mb: int, cpu_s: int, file_mb: int, threads: int | None) -> None:
    """Set the limits of this process, which cannot be raised again without privileges.

    Args:
        memory_mb: Address space.
        cpu_s: CPU seconds, in addition to the worker's finer limits.
        file_mb: Size of one file.
        threads: Threads of this user; None outside a user namespace, where all programs of the user
            would count.
    """
    limits = {
        "RLIMIT_CORE": 0,
        "RLIMIT_AS": memory_mb << 20,
        "RLIMIT_CPU": cpu_s,
        "RLIMIT_FSIZE": file_mb << 20,
        "RLIMIT_NOFILE": 64,
        "RLIMIT_MEMLOCK": 0,
        "RLIMIT_MSGQUEUE": 0,
    }
    if threads is not None:
        limits["RLIMIT_NPROC"] = threads
    for name, value in limits.items():
        number = getattr(resource, name, None)  # macOS lacks some
        if number is None:
            continue
        _, hard = resource.getrlimit(number)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        try:
            resource.setrlimit(number, (value, value))
        except ValueError:
            if sys.platform == "linux":  # macOS refuses to limit the address space
                raise
