"""Two processes of one group, as torchrun would start them, forked where everything is imported.

    two_ranks.py SCRIPT ARGUMENTS

Use it through the fixture ``python`` of ``tests/conftest.py``. torchrun itself, which imports torch
three times, is tested with tools/dist_train.sh.
"""
import os
import runpy
import signal
import socket
import sys


def main():
    """Run the script of the command line as ranks 0 and 1 of two."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    other = os.fork()
    rank = str(int(other == 0))
    os.environ.update(WORLD_SIZE='2', RANK=rank, LOCAL_RANK=rank, MASTER_ADDR='127.0.0.1',
                      MASTER_PORT=str(port))
    sys.argv = sys.argv[1:]
    try:
        runpy.run_path(sys.argv[0], run_name='__main__')
    except BaseException:
        if other:  # which would wait for this one
            os.kill(other, signal.SIGTERM)
        raise
    if other:
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(other, 0)[1]))


if __name__ == '__main__':
    main()
