"""The checksum of Unitree's packets, by zlib.

CRC-32 with polynomial 0x04C11DB7 and start value 0xFFFFFFFF over little-endian 32-bit words, most significant
bit first, not reflected, no final inversion. zlib's CRC-32 has the same polynomial but is reflected and
inverted at the end: feeding it every byte with its bits reversed, undoing the inversion and reversing the bits
of the result gives the same number at zlib's speed.
"""

from __future__ import annotations

import zlib

import numpy as np

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_INVERTED = 0xFFFFFFFF
_SEAL = 0xEDCAB9DE


def crc32_words(data: bytes | bytearray | memoryview) -> int:
    """Checksum of whole 32-bit little-endian words.

    Raises:
        ValueError: the length is no multiple of four bytes.
    """
    if len(data) % 4:
        raise ValueError(f"the checksum is over whole 32-bit words: {len(data)} bytes are none")
    big_endian = np.frombuffer(data, "<u4").byteswap().tobytes()
    reflected = zlib.crc32(big_endian.translate(_REVERSED)) ^ _INVERTED
    return int.from_bytes(reflected.to_bytes(4, "little").translate(_REVERSED), "big")


def seal(crc: int) -> int:
    """What Go1 carries in place of the checksum (the vendor's word is encryption): xor, then rotate by a byte."""
    mixed = crc ^ _SEAL
    return (mixed >> 8) | ((mixed & 0xFF) << 24)
