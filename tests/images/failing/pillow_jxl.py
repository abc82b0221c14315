"""A plugin of Pillow's, found as that for JPEG XL is, whose decoder hangs or crashes if told to.

A file says it after its header: 8x8 pixels, and a word. Import it in no process that is to live.
"""

import os
import signal
import time
from typing import Any

from PIL import Image, ImageFile

HEADER = b"\xff\x0a\x41"


class _Decoder(ImageFile.PyDecoder):
    def decode(self, buffer: Any) -> tuple[int, int]:
        word = bytes(buffer)[len(HEADER) :].strip()
        print("a decoder that talks", flush=True)
        while word == b"hangs":
            time.sleep(1)
        if word == b"exits":
            os._exit(7)
        if word == b"crashes":
            os.kill(os.getpid(), signal.SIGSEGV)
        self.set_as_raw(bytes(range(192)))
        return -1, 0


class _File(ImageFile.ImageFile):
    format = "JXL"

    def _open(self) -> None:
        self._mode, self._size = "RGB", (8, 8)
        self.tile = [ImageFile._Tile("marked", (0, 0, 8, 8), 0, ())]


Image.register_decoder("marked", _Decoder)
Image.register_open("JXL", _File, lambda prefix: prefix.startswith(HEADER))
