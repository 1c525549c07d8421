"""What a submission can touch: each attack says which of its ways got through.

The report itself is tried out without a sandbox, where the same ways do get through.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.attacks.common import HONEST, judged, reached, ways
from vae_edu.grading.wall import process
from vae_edu.paths import course_root

ROOT = str(course_root())

READ = f"""
ROOT, WATCHED = {ROOT!r}, "@watched"
for number, path in enumerate([
    ROOT + "/solutions/04_kl_divergence/hidden.py", ROOT + "/solutions",
    ROOT + "/tests", ROOT + "/.git/HEAD",
    ROOT + "/pyproject.toml", WATCHED + "/gradebook.db", WATCHED + "/other.py",
    "/proc/1/environ", "/proc/self/environ", "/proc/1/root" + WATCHED + "/other.py",
    "/proc/self/mem", "/proc/kcore", "/etc/shadow", "/etc/passwd", "/etc/hostname",
    os.path.expanduser("~root") + "/.bashrc", "/root/.ssh", "/home", "/var/log",
    f"/proc/{{os.getppid()}}/environ", "/proc/@judge/environ", "/proc/@judge/maps",
]):
    def way(path=path):
        if os.path.isdir(path):
            return path, os.listdir(path)
        with open(path, "rb") as file:
            return path, file.read(20)
    attempt(way)

@attempt
def processes():
    return [p for p in os.listdir("/proc") if p.isdigit()]

@attempt
def other_answers():
    found = glob.glob("@watched/../**", recursive=True)  # all of /tmp may be long
    found = [p for p in found if p.endswith(".py")]
    found += glob.glob("/tmp/*.py") + glob.glob("/tmp/*/*.py")
    own = [f for f in __import__("sys").path if f]  # a checkout may lie below /tmp
    return [p for p in found if not p.startswith(tuple(own))]

@attempt
def own_source():
    return open("@watched/../answer.py").read()

@attempt
def environment():
    return os.environ.get("SECRET_OF_THE_JUDGE")
"""
IMPORT = f"""
ROOT, OURS = {ROOT!r}, {ROOT!r} + "/solutions/04_kl_divergence"
def import_way(name):
    def way():
        sys.path[:0] = [ROOT, ROOT + "/solutions", OURS]
        try:
            module = __import__(name, fromlist=["x"])
            return getattr(module, "__file__", None)
        finally:
            del sys.path[:3]
    way.__name__ = name
    return way

for name in ("hidden", "mistakes", "lesson", "solutions.04_kl_divergence.lesson",
             "vae_edu_authored.kl_divergence.hidden",
             "vae_edu.grading.verdict.judge", "vae_edu.build.course"):
    attempt(import_way(name))

def secret(name):
    words = ("vae_edu_authored", "OracleTruth(", "gradebook", "lesson.py")
    return any(word in name for word in words)

OTHERS = ("tests", "solutions", "vae_edu_authored")

@attempt
def modules():
    return [n for n, m in sys.modules.items() if n.startswith(OTHERS)
            and getattr(m, "__file__", None)]

@attempt
def objects():
    kinds = ("OracleTruth", "Zygote", "Verdict", "Result")
    return [type(o).__name__ for o in gc.get_objects() if type(o).__name__ in kinds]

@attempt
def functions():
    return [o.__qualname__ for o in gc.get_objects()
            if callable(o) and "hidden" in str(getattr(o, "__module__", ""))][:3]

@attempt
def frames():
    frame, found = sys._getframe(), []
    while frame:
        found += [k for k, v in frame.f_locals.items() if "Oracle" in type(v).__name__]
        frame = frame.f_back
    return found
"""
PROCESSES = """
def call(name, *arguments):
    def way():
        result = getattr(libc, name)(*map(ctypes.c_long, arguments))
        if result < 0:
            raise OSError(ctypes.get_errno(), name)
        return f"{name} gave {result}"
    way.__name__ = f"{name}{arguments}"
    return way

JUDGE = @judge
for pid in (JUDGE, os.getppid() or JUDGE):
    attempt(call("kill", pid, 0))
    attempt(call("ptrace", 16, pid, 0, 0))
    attempt(call("setpriority", 0, pid, 5))

@attempt
def pidfd():
    handle = os.pidfd_open(JUDGE)
    signal.pidfd_send_signal(handle, 0)
    return handle

@attempt
def traced():
    return call("ptrace", 0, 0, 0, 0)()

@attempt
def memory():
    class Vec(ctypes.Structure):
        _fields_ = [("base", ctypes.c_void_p), ("len", ctypes.c_size_t)]
    buffer = ctypes.create_string_buffer(8)
    own, other = Vec(ctypes.addressof(buffer), 8), Vec(ctypes.addressof(buffer), 8)
    pid, one = ctypes.c_long(JUDGE), ctypes.c_long(1)
    here, there = ctypes.byref(own), ctypes.byref(other)
    done = libc.process_vm_readv(pid, here, one, there, one, 0)
    return done > 0

@attempt
def limits():
    import resource
    return resource.prlimit(JUDGE, resource.RLIMIT_CPU)

@attempt
def own_share_of_the_processor():
    if (pid := os.fork()) == 0:  # the first process of a group may not in any case
        os._exit(0 if libc.setsid() > 0 else 1)
    return os.waitpid(pid, 0)[1] == 0

@attempt
def memory_in_sockets():
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)
    return True

def locked(how):
    def way():
        import fcntl, torch
        with open(torch.__file__, "rb") as file:  # one that other sessions open, too
            return how(fcntl, file) or True
    return way

attempt(locked(lambda f, file: f.flock(file, f.LOCK_SH)))
attempt(locked(lambda f, file: f.lockf(file, f.LOCK_SH, 1, 1 << 40)))
for number in (36, 37):  # F_OFD_GETLK, F_OFD_SETLK
    lock = struct.pack("hhqqi4x", 0, 0, 1 << 62, 1, 0)
    attempt(locked(lambda f, file, n=number, l=lock: f.fcntl(file, n, l)))

attempt(call("unshare", 0x10000000))
attempt(call("unshare", 0x00020000))
attempt(call("setns", 0, 0))
attempt(call("mount", 0, 0, 0, 0, 0))
attempt(call("umount2", 0, 2))
attempt(call("chroot", 0))
attempt(call("setuid", 0) if os.getuid() else call("chroot", 0))
attempt(call("syscall", 250, 0, -3, 1))
attempt(call("syscall", 321, 0, 0, 0))
attempt(call("syscall", 425, 1, 0))
attempt(call("syscall", 319, 0, 0))
attempt(call("syscall", 435, 0, 0))
attempt(call("syscall", 56, 0x10000011, 0, 0, 0, 0))

@attempt
def program():
    command = [sys.executable, "-c", "print(1)"]
    return subprocess.run(command, capture_output=True).stdout

@attempt
def shell():
    return os.system("true") == 0

@attempt
def more_memory():
    import resource
    resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
    return "limits lifted"
"""
NETWORK = """
for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, 16, 17):
    def way(family=family):
        kind = socket.SOCK_DGRAM if family < 16 else socket.SOCK_RAW
        return socket.socket(family, kind)
    attempt(way)

@attempt
def connect():
    return socket.create_connection(("127.0.0.1", 22), 0.5)

@attempt
def dns():
    return socket.getaddrinfo("example.org", 80)

@attempt
def abstract():
    s = socket.socket(socket.AF_UNIX)
    s.connect("\\0/tmp/.X11-unix/X0")
    return s

@attempt
def download():
    import urllib.request
    return urllib.request.urlopen("http://127.0.0.1/", timeout=0.5)
"""
WRITE = f"""
ROOT = {ROOT!r}
import torch, vae_edu
for number, path in enumerate([
    "@watched/new", "@watched/gradebook.db", "@watched/../answer.py", "/evil",
    "/dev/evil",
    os.path.dirname(vae_edu.__file__) + "/evil.py",
    os.path.dirname(torch.__file__) + "/evil.py", "/proc/self/oom_score_adj",
    "/root/evil",
    "/var/tmp/evil", "/usr/lib/evil", "/home/evil", "/etc/evil",
    os.path.dirname(vae_edu.__file__) + "/work.py",
    "/sys/devices/system/cpu/cpu1/online",
] + [ROOT + "/evil"] * (not ROOT.startswith("/tmp/"))):  # /tmp is the session's own
    def way(path=path):
        with open(path, "a") as file:
            file.write("x")
        return path
    attempt(way)

@attempt
def remove():
    os.remove("@watched/other.py")
    return True

@attempt
def mode():
    os.chmod("@watched/gradebook.db", 0o777)
    return True

@attempt
def link():
    os.symlink("@watched", "/tmp/link")
    return os.listdir("/tmp/link")

@attempt
def move():
    os.rename("@watched/gradebook.db", "@watched/gone")
    return True
"""
ALL = {"read": READ, "import": IMPORT, "processes": PROCESSES, "network": NETWORK}
ALL |= {"write": WRITE}


@pytest.fixture(autouse=True)
def secret(monkeypatch):
    monkeypatch.setenv("SECRET_OF_THE_JUDGE", "its value")


def filled(name, watched):
    text = ALL[name].replace("@watched", str(watched))
    return ways(text.replace("@judge", str(os.getpid())))


@pytest.mark.parametrize("name", ALL)
def test_nothing_is_reached(attack, watched, name):
    found, refused = reached(attack(filled(name, watched)))
    assert found == "[]"
    assert refused >= 5
    assert not Path(ROOT, "evil").exists()


def test_the_reports_see_what_is_open(watched, tmp_path):
    """Without a sandbox the same submissions reach what they look for."""
    zygote = process.Zygote("none")
    try:
        said = {
            name: reached(judged(zygote, tmp_path, filled(name, watched), 120.0))[0]
            for name in ("read", "import", "network")
        }
    finally:
        zygote.close()
    assert "other.py" in said["read"]
    assert "hidden" in said["import"]
    assert "socket" in said["network"]


def test_a_submission_leaves_nothing_for_the_next(attack, zygote, tmp_path):
    leave = ways(
        """
        for folder in ("/tmp", "/dev/shm", "/var/tmp", ".", os.getcwd()):
            def way(folder=folder):
                pathlib.Path(folder, "left_by_an_attack").write_text("the answers")
                return ""
            attempt(way)
        """
    )
    attack(leave)
    look = ways(
        """
        for folder in ("/tmp", "/dev/shm", "/var/tmp", ".", os.getcwd()):
            def way(folder=folder):
                return pathlib.Path(folder, "left_by_an_attack").read_text()
            attempt(way)
        """
    )
    assert reached(attack(look)) == ("[]", 5)


def test_the_numbers_are_the_same_inside(zygote, tmp_path, clean):
    """The sandbox hides no instruction set: that would change the last digit."""
    import torch

    source = ways(
        """
        import torch
        @attempt
        def capability():
            return torch.backends.cpu.get_cpu_capability(), torch.get_num_threads()
        """
    )
    found, _ = reached(judged(zygote, tmp_path, source))
    assert str((torch.backends.cpu.get_cpu_capability(), 1)) in found
    assert sys.platform.startswith("linux")
    assert HONEST
