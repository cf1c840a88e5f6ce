# ruff: noqa: E501  (one program, one line)
"""Programs that attack the sandbox, and checks that they had no effect.

As a script (`python tests/sandbox/attacks.py [MIN_LEVEL [DENIED_CALL...]]`) it prints a JSON object:
attack -> empty text if it failed, else its effect. The tests run it as other users too.
"""

import json
import os
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from en2py.sandbox import Job, Outcome, Sandbox

EXPECTED = 271828  # not known in the sandbox; an attack that returns it has succeeded
TIMEOUT_S = 0.25

# Name -> program. @SECRET@, @VICTIM@, @FOLDER@, @BYSTANDER@ are replaced by targets outside of the sandbox.
ATTACKS = {
    # time
    "infinite loop": "while True: pass",
    "infinite loop in a call": "def f(x):\n    while True: pass",
    "sleep": "import time\ntime.sleep(1000)",
    "swallowed exceptions": "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
    "ignored signals": """
import signal
for number in range(1, 65):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
while True: pass
""",
    "regex hang": "import re\nre.match(r'(a+)+$', 'a' * 64 + 'b')",
    "big integer hang": "x = 9 ** 9 ** 9",
    # memory and stack
    "memory bomb": "x = []\nwhile True: x.append(bytearray(1 << 20))",
    "one huge allocation": "x = 'a' * (1 << 40)",
    "deep recursion": "import sys\nsys.setrecursionlimit(10**9)\ndef g(n): return g(n + 1) + 1\ng(0)",
    "deep recursion in C": "import sys\nsys.setrecursionlimit(10**9)\nx = []\nfor _ in range(10**6): x = [x]\nrepr(x)",
    "deep value": "def f(x):\n    v = []\n    for _ in range(10**5): v = [v]\n    return v",
    "huge value": "def f(x):\n    return [[1] * 1000 for _ in range(1000)]",
    "endless value": "def f(x):\n    while True: yield x",
    # floods
    "output flood": "while True: print('x' * 1000)",
    "output flood past print": "import os\nwhile True: os.write(1, b'x' * 65536)",
    "result pipe flood": """
import os
while True:
    for handle in range(64):
        try: os.write(handle, b'x' * 65536)
        except OSError: pass
""",
    "many lines in the result pipe": "import os\nwhile True: os.write(3, b'\\n' * 65536)",
    "file flood": "i = 0\nwhile True:\n    i += 1\n    with open(str(i), 'wb') as h: h.write(b'x' * (1 << 20))",
    # processes
    "fork bomb": """
import os
while True:
    try: os.fork()
    except OSError: pass
""",
    "daemon": """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(1000)
""",
    "lingering threads": "import threading, time\nthreading.stack_size(1 << 18)\nfor _ in range(8):\n    threading.Thread(target=time.sleep, args=(1000,)).start()",
    "thread bomb": "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(1000,)).start()",
    "shell": "import os\nassert os.system('touch @FOLDER@/new') == 0",
    "subprocess": "import subprocess\nsubprocess.run(['/bin/sh', '-c', 'touch @FOLDER@/new'], check=True)",
    "exec": "import os\nos.execv('/bin/sh', ['sh', '-c', 'touch @FOLDER@/new'])",
    # leaving
    "input": "def f(x): return int(input())",
    "sys.exit": "import sys\nsys.exit(0)",
    "sys.exit in a call": "import sys\ndef f(x): sys.exit(0)",
    "os._exit": "import os\nos._exit(0)",
    "os._exit in a call": "import os\ndef f(x): os._exit(0)",
    "segfault": "import ctypes\nctypes.string_at(0)",
    "abort": "import os\nos.abort()",
    # others' processes
    "killing the parent": "import os\nos.kill(os.getppid() or 1, 9)",
    "killing a bystander": "import os\nos.kill(@BYSTANDER@, 9)",
    "killing everything": "import os\nos.kill(-1, 9)",
    "killing through posix": "import posix\nposix.kill(@BYSTANDER@, 9)",
    "killing through ctypes": "import ctypes\nassert ctypes.CDLL(None).kill(@BYSTANDER@, 9) == 0",
    "killing by a raw system call": "import ctypes\nassert ctypes.CDLL(None).syscall(62, @BYSTANDER@, 9) == 0",
    "killing by an owned descriptor": """
import fcntl, os
r, w = os.pipe()
fcntl.fcntl(r, 10, 9)
fcntl.fcntl(r, fcntl.F_SETOWN, @BYSTANDER@)
fcntl.fcntl(r, fcntl.F_SETFL, os.O_ASYNC)
os.write(w, b'x')
""",
    "limits of a bystander": "import resource\nresource.prlimit(@BYSTANDER@, resource.RLIMIT_CPU, (0, 0))",
    "tracing a bystander": "import ctypes\nassert ctypes.CDLL(None).ptrace(16, @BYSTANDER@, 0, 0) == 0",
    # others' files
    "deleting a file": "import os\nos.remove('@VICTIM@')",
    "deleting through posix": "import posix\nposix.unlink('@VICTIM@')",
    "deleting through ctypes": "import ctypes\nassert ctypes.CDLL(None).unlink(b'@VICTIM@') == 0",
    "overwriting a file": "open('@VICTIM@', 'w').write('gone')",
    "truncating a file": "import os\nos.truncate('@VICTIM@', 0)",
    "renaming a file": "import os\nos.rename('@VICTIM@', '@VICTIM@2')",
    "changing a file's mode": "import os\nos.chmod('@VICTIM@', 0o777)",
    "changing a file's time": "import os\nos.utime('@VICTIM@', (0, 0))",
    "linking a file": "import os\nos.link('@SECRET@', 'mine')\nprint(open('mine').read())",
    "linking by a name": "import os\nos.symlink('@SECRET@', 'mine')\nprint(open('mine').read())",
    "creating a file": "open('@FOLDER@/new', 'w').write('here')",
    "creating a folder": "import os\nos.mkdir('@FOLDER@/new')",
    "rmtree": "import shutil\nshutil.rmtree('@FOLDER@', ignore_errors=True)",
    "rmtree from the root": "import shutil\nshutil.rmtree('/', ignore_errors=True)",
    "reading a secret file": "print(open('@SECRET@').read())",
    "reading through ctypes": """
import ctypes
libc = ctypes.CDLL(None)
buffer = ctypes.create_string_buffer(100)
libc.read(libc.open(b'@SECRET@', 0), buffer, 100)
print(buffer.value.decode())
""",
    "reading a parent's memory": "import os\nprint(open(f'/proc/{os.getppid()}/environ').read(), open('/proc/self/environ').read())",
    "listing a folder": "import os\nprint(os.listdir('@FOLDER@'))",
    "reading the environment": "import os\nprint(dict(os.environ))",
    "reading the environment in memory": """
import ctypes
environ = ctypes.POINTER(ctypes.c_char_p).in_dll(ctypes.CDLL(None), 'environ')
i = 0
while environ[i]:
    print(environ[i])
    i += 1
""",
    # the world
    "network": "import socket\nsocket.create_connection(('127.0.0.1', @PORT@), timeout=0.2).send(b'x')",
    "network by name": "import urllib.request\nurllib.request.urlopen('http://127.0.0.1:@PORT@', timeout=0.2)",
    "local socket": "import socket\ns = socket.socket(socket.AF_UNIX)\ns.connect('@FOLDER@/socket')",
    "new namespaces": "import ctypes\nassert ctypes.CDLL(None).unshare(0x10000000) == 0",
    "shared memory": "from multiprocessing import shared_memory\nshared_memory.SharedMemory('en2py', True, 10)",
    # lies
    "forged result": """
import json, os
for handle in range(64):
    for text in ('{"value": 271828}', '{"passed": true}'):
        for line in (text, '0 ' + text, 'x -1 {}', 'x 0 ' + text):
            try: os.write(handle, line.encode() + b'\\n')
            except OSError: pass
os._exit(0)
""",
    "forged result from the stack": """
import os, sys
frame = sys._getframe()
while frame:
    nonce = frame.f_locals.get('nonce') or nonce if 'nonce' in dir() else frame.f_locals.get('nonce')
    frame = frame.f_back
os.write(3, f'{nonce} -1 {{}}\\n{nonce} 0 {{"value": true, "passed": true}}\\n'.encode())
os._exit(0)
""",
    "invalid result": "import os\nos.write(3, b'[' * 100000 + b'\\n')\nos._exit(0)",
    "lying __eq__": """
class Yes:
    def __eq__(self, other): return True
    def __hash__(self): return 271828
    def __repr__(self): return '271828'
    __int__ = __index__ = __hash__
def f(x): return Yes()
""",
    "lying subclass": """
class Yes(int):
    def __eq__(self, other): return True
    __hash__ = int.__hash__
def f(x): return Yes(1)
""",
    "lying type": """
class Type(type):
    def __eq__(self, other): return True
    __hash__ = type.__hash__
    __instancecheck__ = __subclasscheck__ = __eq__
class Yes(metaclass=Type):
    __class__ = int
    def __eq__(self, other): return True
def f(x): return Yes()
""",
    "patched json": """
import json, sys, builtins
json.dumps = lambda *a, **k: '{"value": 271828, "passed": true, "printed": ""}' if False else 'true'
builtins.print = builtins.eval = builtins.compile = None
def f(x): return 1
""",
    "state left for the next candidate": "open('left', 'w').write('x')\nimport random\nrandom.next = 1",
}
NEXT = "import os, random\ndef f(x): return (os.listdir('.'), hasattr(random, 'next'), x + 1)"


@dataclass
class Targets:
    """Things outside the sandbox that belong to the same user: files, a process, an open port."""

    folder: Path
    bystander: subprocess.Popen[bytes]
    port: int

    @property
    def secret(self) -> Path:
        return self.folder / "secret"

    @property
    def victim(self) -> Path:
        return self.folder / "victim"

    def aim(self, program: str) -> str:
        for mark, target in {
            "@SECRET@": self.secret,
            "@VICTIM@": self.victim,
            "@FOLDER@": self.folder,
            "@BYSTANDER@": self.bystander.pid,
            "@PORT@": self.port,
        }.items():
            program = program.replace(mark, str(target))
        return program

    def damage(self) -> str:
        """Return what was damaged; empty if nothing."""
        if self.bystander.poll() is not None:
            return "the bystander was killed"
        files = {path.name for path in self.folder.iterdir()}
        if files != {"secret", "victim", "socket"}:
            return f"the folder contains {files}"
        if self.victim.read_text() != "precious" or self.victim.stat().st_mode & 0o777 != 0o640:
            return "the victim was changed"
        if self.victim.stat().st_mtime < 1000:
            return "the victim's time was changed"
        if resource.prlimit(self.bystander.pid, resource.RLIMIT_CPU)[0] == 0:
            return "the bystander's limits were changed"
        return ""


def create_targets() -> tuple[Targets, list[object]]:
    """Create the targets of attacks; the second value keeps their sockets open."""
    import socket

    folder = Path(tempfile.mkdtemp(prefix="en2py-targets-"))
    listener = socket.create_server(("127.0.0.1", 0))
    local = socket.socket(socket.AF_UNIX)
    local.bind(str(folder / "socket"))
    local.listen()
    (folder / "secret").write_text("do-not-tell")
    (folder / "victim").write_text("precious")
    (folder / "victim").chmod(0o640)
    bystander = subprocess.Popen(["sleep", "1000"])
    return Targets(folder, bystander, listener.getsockname()[1]), [listener, local]


def remove_targets(targets: Targets) -> None:
    targets.bystander.kill()
    targets.bystander.wait()
    shutil.rmtree(targets.folder, ignore_errors=True)


def count_descendants(pid: int) -> int:
    """Return the number of processes that descend from a worker's launcher, itself included."""
    parents = {}
    for entry in Path("/proc").iterdir():
        try:
            fields = (
                (entry / "stat").read_text().rpartition(")")[2].split()
                if entry.name.isdigit()
                else None
            )
        except OSError:
            continue
        if fields and fields[0] != "Z":
            parents[int(entry.name)] = int(fields[1])
    family, grown = {pid}, True
    while grown:
        more = {child for child, parent in parents.items() if parent in family} - family
        family |= more
        grown = bool(more)
    return len(family)


def attack(sandbox: Sandbox, targets: Targets, program: str) -> str:
    """Run an attack and a normal job after it; return the effect of the attack, empty if none."""
    aimed = targets.aim(program)
    started = time.monotonic()
    outcome, after = sandbox.run([Job(aimed, ("f(1)",)), Job(NEXT, ("f(1)",))])
    took = time.monotonic() - started
    shown = repr(outcome)
    if damage := targets.damage():
        return damage
    if "do-not-tell" in shown or "hunter2" in shown:
        return f"disclosed a secret: {shown}"
    if passed(outcome):
        return f"passed: {shown}"
    if took > 4 * TIMEOUT_S + 10:
        return f"took {took:.1f} s"
    if after.calls[0].value != ["tuple", [["list", []], False, 2]]:
        return f"the next candidate saw {after}"
    left = count_descendants(sandbox._pool[0].process.pid)
    if left > 2:
        return f"{left} processes are still running"
    return ""


def passed(outcome: Outcome) -> bool:
    are_finished = all(result.finished for result in (outcome.load, *outcome.calls))
    return are_finished and outcome.calls[0].value == EXPECTED


def deny(numbers: set[int]) -> None:
    """Let system calls fail with EPERM from now on, as the filter of a container does."""
    from en2py.sandbox.seccomp import filter_system_calls

    lines = [(0x20, 0, 0, 0)]  # load the number
    for number in numbers:
        lines += [(0x15, 0, 1, number), (0x06, 0, 0, 0x00050001)]
    lines += [(0x06, 0, 0, 0x7FFF0000)]
    filter_system_calls(b"".join(struct.pack("=HBBI", *line) for line in lines))


def main() -> None:
    os.environ["PASSWORD"] = "hunter2"
    targets, listeners = create_targets()
    report: dict[str, str] = {}
    min_level, *denied = sys.argv[1:] or ["full"]
    deny({int(number) for number in denied})
    try:
        with Sandbox(timeout_s=TIMEOUT_S, memory_mb=256, workers=1, min_level=min_level) as sandbox:
            report["sandbox"] = sandbox.describe()
            for name, program in ATTACKS.items():
                report[name] = attack(sandbox, targets, program)
    finally:
        remove_targets(targets)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
