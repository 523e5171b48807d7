"""The two Java programs that come with pycocoevalcap."""
import importlib.util
import shutil
from pathlib import Path


class JavaError(RuntimeError):
    """A Java program cannot be run here; the message says why and what would help."""


def java_command(jar: str, what: str, error: type[JavaError] = JavaError) -> tuple[str, Path]:
    """Return the Java program and the path of an archive of pycocoevalcap.

    Args:
        jar: Path below the package, for example ``'meteor/meteor-1.5.jar'``.
        what: What the archive is, for the message.
        error: Class of the error.

    Raises:
        JavaError: If Java or the archive is missing.
    """
    java = shutil.which('java')
    if java is None:
        raise error("'java' is not installed (Debian: apt-get install default-jre-headless)")
    spec = importlib.util.find_spec('pycocoevalcap')
    folders = list(spec.submodule_search_locations or []) if spec else []
    found = next((path for folder in folders if (path := Path(folder) / jar).is_file()), None)
    if found is None:
        raise error(f"'pycocoevalcap', which carries {what}, is not installed: "
                    'pip install pycocoevalcap')
    return java, found
