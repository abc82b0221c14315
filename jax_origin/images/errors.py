"""The one exception of reading images."""

import os


class ImageError(ValueError):
    """An image, or a set of them, that cannot be used: `str(error)` is "path: reason".

    Attributes:
      path: the file, folder or pattern as the caller named it.
      reason: what is wrong with it and, where something can be done, what.
    """

    def __init__(self, path: str | os.PathLike[str], reason: str) -> None:
        self.path = os.fspath(path)
        self.reason = reason
        super().__init__(f"{self.path}: {reason}")

    def __reduce__(self) -> tuple[type["ImageError"], tuple[str, str]]:
        # The default would call the class with the joined message, and fail in a worker process.
        return type(self), (self.path, self.reason)
