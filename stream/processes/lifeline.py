"""A process that ends when the one that started it is gone, however that one went.

    python lifeline.py SOCKET PATIENCE COMMAND ...

becomes COMMAND, and leaves a guard beside it: a small child of COMMAND that waits for the other
end of SOCKET, a descriptor, to be closed. The kernel closes it when its last holder ends, killed or
not. Then COMMAND is told to end, and its group is killed once PATIENCE seconds have passed. Where
COMMAND ends first the guard does too.

`stream.processes.children` starts commands this way. Run as a file, without a package or
site-packages: in some twenty milliseconds, and COMMAND is guarded from its first instruction on.
"""

import os
import select
import signal
import sys
import time

_LOOK_SECONDS = 1.0  # how soon the guard notices that the command has ended
_CANNOT_RUN = 127  # as shells have it


def become(lifeline: int, patience: float, command: list[str]) -> None:
    """Turns this process into the command, with a guard beside it."""
    process = os.getpid()
    if os.fork() == 0:
        _guard(process, lifeline, patience)
        os._exit(0)
    os.set_inheritable(lifeline, False)
    # Python ignores these, and what is ignored stays so in another program.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.stderr.write(f"{command[0]} cannot be run: {error.strerror}\n")
        sys.stderr.flush()
        os._exit(_CANNOT_RUN)


def _guard(process: int, lifeline: int, patience: float) -> None:
    """Returns when the process has ended, by itself or by this."""
    _let_go_of_all_but(lifeline)
    # Its parent is the process until that ends, so no other can be taken for it.
    while os.getppid() == process:
        if select.select([lifeline], [], [], _LOOK_SECONDS)[0]:
            break
    if patience > 0 and os.getppid() == process:
        os.kill(process, signal.SIGTERM)
        deadline = time.monotonic() + patience
        while os.getppid() == process and time.monotonic() < deadline:
            time.sleep(min(0.05, patience))
    if os.getppid() == process:
        os.killpg(process, signal.SIGKILL)


def _let_go_of_all_but(lifeline: int) -> None:
    """Neither a terminal, nor a pipe that somebody reads to its end, nor another's lifeline."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    os.closerange(3, lifeline)
    os.closerange(lifeline + 1, os.sysconf("SC_OPEN_MAX"))


if __name__ == "__main__":
    become(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:])
