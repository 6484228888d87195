"""The ways a command can fail, and the exit code of each."""

from __future__ import annotations

import errno


class GzslError(Exception):
    """A failure that is told to the user in one line; `exit_code` is what the command returns."""

    exit_code = 1
    is_failure = True  # whether the line that reports it begins with "error: "
    speaks = False  # whether this process tells it, though it is not the first of the job


class InputError(GzslError):
    """Bad configuration, data or checkpoint. The message says what, where and what to do."""

    exit_code = 2


REMEDIES = {
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "; choose another place"),
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "; make room, or choose another place"),
}


def system_error(error: OSError) -> InputError:
    """What the system refused, such as a full disk or a folder without permission, in one line."""
    remedy = REMEDIES.get(error.errno or 0, "")
    return InputError(f"{error.filename or 'file'}: {error.strerror or error}{remedy}")


class OtherProcessError(InputError):
    """Another process of the job failed and tells why; this one ends silently."""


class LostProcessError(GzslError):
    """Another process of the job died or does not answer; a launcher may start the job again."""

    speaks = True


class DivergedError(GzslError):
    """A loss became NaN or infinite. The message names the loss and the step."""

    exit_code = 3


class PreemptedError(GzslError):
    """A signal asked to stop and a checkpoint was saved; the same command resumes."""

    exit_code = 75
    is_failure = False


class InterruptedRunError(PreemptedError):
    """A person pressed Ctrl-C: no failure, and nothing that a scheduler should start again."""

    exit_code = 130
