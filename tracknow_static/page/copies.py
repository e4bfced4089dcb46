"""Compressed copies beside a page (index.html.gz), which servers send in its place."""

from __future__ import annotations

import gzip
import importlib
import zlib
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

SUFFIXES = (".gz", ".br", ".zst")


class MissingCodecError(Exception):
    """The module that reads and writes a format is not installed; the text is its name."""


class _Codec(NamedTuple):
    decompress: Callable[[bytes], bytes]
    compress: Callable[[bytes], bytes]


def decompress(copy: bytes, suffix: str) -> bytes | None:
    """Return the page that a copy contains; None if it is not of its suffix's format.

    Raises :class:`MissingCodecError`.
    """
    codec, errors = _codec(suffix)
    try:
        return codec.decompress(copy)
    except errors:
        return None


def compress(page: bytes, suffix: str) -> bytes:
    """Return a copy of a page, as small as the format makes it, without the time.

    Raises :class:`MissingCodecError`.
    """
    return _codec(suffix)[0].compress(page)


def _codec(suffix: str) -> tuple[_Codec, tuple[type[Exception], ...]]:
    if suffix == ".gz":
        gz = _Codec(gzip.decompress, lambda page: gzip.compress(page, 9, mtime=0))
        return gz, (OSError, EOFError, zlib.error)
    name = "brotli" if suffix == ".br" else "zstandard"
    try:
        module = importlib.import_module(name)
    except ImportError:
        raise MissingCodecError(name) from None
    if suffix == ".br":
        return _Codec(module.decompress, lambda page: module.compress(page, quality=11)), (
            module.error,
        )

    def decompress_zst(copy: bytes) -> bytes:
        page: bytes = module.ZstdDecompressor().decompressobj().decompress(copy)
        return page

    return _Codec(decompress_zst, module.ZstdCompressor(level=19).compress), (module.ZstdError,)
