"""Python processes that begin with torch and MLflow in memory: forks of one that has imported them.

Importing both costs a new process seven seconds of a core, and campaigns under test are made of many processes. Here
:class:`subprocess.Popen` lets a helper process, the nursery, fork what would run ``python -m module`` or ``python -c
code``. All else is as it would be: the new process is a child of the one that asked for it, with a number of its own,
the directory, environment, streams, ignored signals, session and command line that it would have, ``sys.path`` made
from its own ``PYTHONPATH``, and no module of the suite imported but those of this checkout, where it would find them.
It starts others in the same way. Its ``/proc/NUMBER/environ`` alone is that of the helper.

Only processes whose environment has :data:`WANTED` are forked, see :func:`tests.cluster.environment`; what a batch
system starts is not.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import importlib
import importlib.machinery
import inspect
import io
import json
import os
import random
import re
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

WANTED = "SUITE_TESTS_FORK"
#: What processes of the suite import of others.
PRELOADED = (
    "torch", "torch._dynamo", "submitit", "submitit.core.submission", "submitit.local.local", "omegaconf", "hydra",
    "pydantic", "rich.table", "pandas", "pyarrow.parquet", "scipy.stats", "mlflow",
    "mlflow.store.tracking.sqlalchemy_store", "mlflow.tracking._tracking_service.client", "mlflow.utils.rest_utils",
    "alembic.command",
)  # fmt: skip
#: What its commands import of the suite itself.
OWN = (
    "suite.cli.main", "suite.cli.runs.run", "suite.cli.runs.plan", "suite.cli.runs.status", "suite.cli.runs.sync",
    "suite.launch.kinds.local", "suite.launch.kinds.debug", "suite.launch.slurm.jobs", "suite.work.execution",
    "suite.training", "suite.conformance", "analysis.cli.main", "analysis.cli.summary",
)  # fmt: skip
ROOT = Path(__file__).resolve().parent.parent
#: The environment in which that is imported: one thread, as a fork keeps no other.
QUIET = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
QUIET |= {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true"}
QUIET |= {"JE_ARROW_MALLOC_CONF": "background_thread:false"}
#: Room for the command lines of forks, which take the place of this one's.
ROOM = "-" * 4000
CLONE, CLONE_PARENT = 56, 0x8000  # Linux, x86-64
PR_SET_NAME, NAME = 15, "nursery"
LONGEST = 1 << 20

_original = subprocess.Popen._execute_child  # type: ignore[attr-defined]
_signature = inspect.signature(_original)
_nursery: socket.socket | None = None
_lock = threading.Lock()


def install() -> None:
    """Have this process's :class:`subprocess.Popen` fork where it is asked to."""
    if sys.platform == "linux" and os.uname().machine == "x86_64":
        subprocess.Popen._execute_child = _execute_child  # type: ignore[attr-defined]


def _execute_child(self: subprocess.Popen[Any], *arguments: Any) -> None:
    given = _signature.bind(self, *arguments).arguments
    command, pipes = given["args"], ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
    unusual = ("preexec_fn", "pass_fds", "shell", "executable")
    environment = given["env"] if given["env"] is not None else os.environ
    what = program(command)
    if what is None or WANTED not in environment or any(given[name] for name in unusual) or not given["close_fds"]:
        return _original(self, *arguments)
    if given["cwd"] is not None and not os.path.isdir(given["cwd"]):
        return _original(self, *arguments)
    request = {
        "command": list(map(os.fspath, command)),
        "cwd": os.path.abspath(given["cwd"] or os.getcwd()),
        "environment": dict(environment),
        "ignored": [number for number in signal.valid_signals() if signal.getsignal(number) is signal.SIG_IGN],
        "session": given["start_new_session"],
        "umask": umask() if given["umask"] == -1 else given["umask"],
        "group": os.getpgid(0) if given["process_group"] in (None, -1) else given["process_group"],
    }
    streams = [
        given[pipe] if given[pipe] != -1 else number for number, pipe in enumerate(("p2cread", "c2pwrite", "errwrite"))
    ]
    with _lock:
        self.pid = _ask(request, streams)
    self._child_created = True  # type: ignore[attr-defined]
    self._close_pipe_fds(*(given[pipe] for pipe in pipes))  # type: ignore[attr-defined]
    return None


def umask() -> int:
    """Return which permissions this process takes from what it makes, without setting it as :func:`os.umask` would."""
    return int(re.search(r"Umask:\s+(\d+)", Path("/proc/self/status").read_text())[1], 8)  # type: ignore[index]


def program(command: Any) -> list[str] | None:
    """Return what follows the interpreter's own options in a Python command line: ``-m module`` or ``-c code``."""
    if isinstance(command, str) or command[0] != sys.executable:
        return None
    words = list(map(os.fspath, command[1:]))
    if words[:1] == ["-u"]:
        words = words[1:]
    return words if words[:1] in (["-m"], ["-c"]) else None


def _ask(request: dict[str, Any], streams: list[int]) -> int:
    """Have the nursery fork; return the number of the new process."""
    global _nursery
    if _nursery is None:
        _nursery = _start()
    socket.send_fds(_nursery, [json.dumps(request).encode()], streams)
    said = _nursery.recv(100)
    if not said.isdigit():  # a number below 1 would stand for many processes, this one among them, to whoever kills it
        raise OSError(f"nothing was forked: {said.decode() or 'the nursery has ended'}")
    return int(said)


def _start() -> socket.socket:
    """Start this process's nursery, which imports everything."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LONGEST)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    process = subprocess.Popen(
        [sys.executable, __file__, str(theirs.fileno()), ROOM],
        pass_fds=[theirs.fileno()], env={**environment, **QUIET}, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    theirs.close()
    assert ours.recv(100) == b"ready", f"the nursery ended with {process.wait()}"
    return ours


def serve(wishes: socket.socket) -> None:
    """Fork a process for every request, until whoever asks is gone."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while True:
        content, streams, _, _ = socket.recv_fds(wishes, LONGEST, 3)
        if not content:
            os._exit(0)
        child = _fork_a_sibling()
        if child == 0:
            _or_say_why(_become, json.loads(content), streams)
        for stream in streams:
            os.close(stream)
        wishes.send(str(child).encode() if child > 0 else b"the kernel gives no process")


def _or_say_why(work: Callable[..., NoReturn], *arguments: Any) -> NoReturn:
    """Be a process that never returns, or say why it could not begin, on whatever is its standard error by then."""
    try:
        work(*arguments)
    except BaseException:
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(70)


def _fork_a_sibling() -> int:
    """Fork a child of this process's parent. glibc is not told, which a process of one thread can bear."""
    python, kernel = ctypes.pythonapi, ctypes.PyDLL(None)
    python.PyOS_BeforeFork()
    child: int = kernel.syscall(CLONE, CLONE_PARENT | signal.SIGCHLD, 0, 0, 0, 0)
    if child == 0:
        python.PyOS_AfterFork_Child()
    else:
        python.PyOS_AfterFork_Parent()
    return child


def _become(request: dict[str, Any], streams: list[int]) -> NoReturn:
    """Be what a command line says."""
    global _nursery
    for number, stream in enumerate([os.dup(stream) for stream in streams]):
        os.dup2(stream, number)
    if _nursery is not None:
        _nursery.detach()  # it is another process's, and would close a file of this one when it is collected
    os.closerange(3, 4096)
    for ended in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ended, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for ignored in request["ignored"]:
        signal.signal(ignored, signal.SIG_IGN)
    if request["session"]:
        os.setsid()
    else:
        with contextlib.suppress(OSError):
            os.setpgid(0, request["group"])
    os.umask(request["umask"])
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    command = request["command"]
    _rename(command)
    _nursery = _nursery_of_this()
    _stream_anew(unbuffered="-u" in command[:2])
    kind, what, *arguments = program(command) or ()
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:0] = [os.getcwd() if kind == "-m" else "", *(os.path.abspath(path) for path in paths if path)]
    importlib.invalidate_caches()
    _forget_what_is_elsewhere()
    random.seed()
    sys.argv, sys.orig_argv = [kind, *arguments], command
    main = types.ModuleType("__main__")
    main.__dict__.update(__builtins__=__builtins__, __spec__=None)
    sys.modules["__main__"] = main
    _leave(lambda: _run(kind, what, main))


def _forget_what_is_elsewhere() -> None:
    """Have the suite imported anew, where this process finds another copy of it than the checkout's."""
    found = [importlib.machinery.PathFinder.find_spec(package) for package in ("suite", "analysis")]
    if [spec and spec.origin for spec in found] != [str(ROOT / name / "__init__.py") for name in ("suite", "analysis")]:
        for name in [name for name in sys.modules if name.partition(".")[0] in ("suite", "analysis")]:
            del sys.modules[name]


def _run(kind: str, what: str, main: types.ModuleType) -> None:
    if kind == "-m":
        runpy._run_module_as_main(what)  # type: ignore[attr-defined]
    else:
        exec(compile(what, "<string>", "exec"), main.__dict__)


def _leave(work: Any) -> NoReturn:
    """Work, and end the process as the interpreter does."""
    status = 0
    try:
        work()
    except SystemExit as end:
        if end.code is not None and not isinstance(end.code, int):
            print(end.code, file=sys.stderr)
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__.tb_next if error.__traceback__ else None)
        status = 128 + signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(status & 0xFF)


def _nursery_of_this() -> socket.socket:
    """Fork the nursery of this process, while it has one thread and no files."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LONGEST)
        os.set_inheritable(end.fileno(), False)
    if os.fork():
        theirs.close()
        return ours
    ours.close()
    ctypes.CDLL(None).prctl(PR_SET_NAME, NAME.encode())  # it would pass for the process that it forks for
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nothing, number)
    os.close(nothing)
    serve(theirs)
    raise AssertionError("a nursery serves until it ends")


def _stream_anew(unbuffered: bool) -> None:
    """Make the streams that the interpreter makes at its start."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        raw = io.FileIO(number, "wb" if number else "rb", closefd=False)
        stream_of_bytes: Any = raw
        if not (unbuffered and number):
            stream_of_bytes = io.BufferedWriter(raw) if number else io.BufferedReader(raw)
        stream = io.TextIOWrapper(
            stream_of_bytes, encoding="utf-8", errors="backslashreplace" if name == "stderr" else "strict",
            line_buffering=name == "stderr" or os.isatty(number), write_through=unbuffered and number > 0,
        )  # fmt: skip
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _rename(command: list[str]) -> None:
    """Show a command line to whoever looks into /proc."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = int(fields[45]), int(fields[46])
    text = b"".join(os.fsencode(word) + b"\0" for word in command)[: end - start - 1]
    ctypes.memmove(start, text.ljust(end - start, b"\0"), end - start)


def listen(place: str) -> NoReturn:
    """Fork for clients at a socket, who may be in another tree of processes: see :mod:`tests.slurm.forked`."""
    server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    server.bind(place)
    server.listen(64)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print("listening", flush=True)
    while True:
        client, _ = server.accept()
        if os.fork() == 0:
            server.close()
            _or_say_why(_attend, client)
        client.close()


def _attend(client: socket.socket) -> NoReturn:
    """Fork for a client, pass its signals on, tell it how the process ended, and kill that if the client dies."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    content, streams, _, _ = socket.recv_fds(client, LONGEST, 3)
    child = os.fork()
    if child == 0:
        _or_say_why(_become, json.loads(content), streams)
    for stream in streams:
        os.close(stream)
    process = os.pidfd_open(child)
    while process not in select.select([client, process], [], [])[0]:
        message = client.recv(100)
        os.kill(child, int(message or signal.SIGKILL))
    client.send(str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])).encode())
    os._exit(0)


def main() -> None:
    """Import everything, and serve."""
    sys.path.pop(0)
    sys.argv = sys.argv[:2]
    sys.path.insert(0, str(ROOT))
    for module in (*PRELOADED, *OWN):
        importlib.import_module(module)
    sys.path.remove(str(ROOT))
    gc.collect()
    gc.freeze()  # what forks share is not to be looked through, and so copied, by each of them
    threads = os.listdir("/proc/self/task")
    assert len(threads) == 1, f"a fork keeps one thread, and there are {len(threads)}"
    wishes = socket.socket(fileno=int(sys.argv[1]))
    install()
    wishes.send(b"ready")
    serve(wishes)


if __name__ == "__main__":
    import nursery  # under the name by which forks find it

    nursery.main()
