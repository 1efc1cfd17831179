from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import struct
import sys
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import cache

import pytest
import zstandard
from isal import igzip_lib
from support.tars import END, directory, file, raw, tar

from builder.archive.compression import COMPRESSIONS, detect
from builder.errors import CorruptStream

MIB = 1024 * 1024
CONTENT = b"".join(random.Random(1).randbytes(500) * 4 for _ in range(1000))


def zstd(data: bytes, **options: object) -> bytes:
    return zstandard.ZstdCompressor(**options).compress(data)  # type: ignore[arg-type]


def zstd_without_size(data: bytes) -> bytes:
    stream = zstandard.ZstdCompressor(write_content_size=False, write_checksum=True).compressobj()
    return stream.compress(data) + stream.flush()


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    # The same content is compressed again and again, which takes longer than all else here.
    "gzip": cache(gzip.compress),
    "zstd": cache(lambda data: zstd(data, write_checksum=True)),
    "bzip2": cache(bz2.compress),
    "xz": cache(lzma.compress),
    "none": bytes,
}
PACKED = [name for name in COMPRESS if name != "none"]
SKIPPABLE = b"\x5e\x2a\x4d\x18" + struct.pack("<I", 70_000) + b"\xfd\x2f" * 35_000


# Bytes that say nothing of the content: gzip's time, level and system, and the bits that fill up its last byte before
# the trailer; an unused bit of zstd's header.
MEANINGLESS = {"gzip": (4, 5, 6, 7, 8, 9, -9), "zstd": (4,), "bzip2": (), "xz": ()}


def chunked(data: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def inflate(name: str, data: bytes | Iterable[bytes], size: int = 100_000) -> bytes:
    chunks = chunked(data, size) if isinstance(data, bytes) else data
    return b"".join(COMPRESSIONS[name].decompress(chunks))


def refusal(name: str, data: bytes, size: int = 100_000) -> str:
    with pytest.raises(CorruptStream) as caught:
        inflate(name, data, size)
    return caught.value.reason


def test_every_compression_has_a_test() -> None:
    assert set(COMPRESS) == set(COMPRESSIONS)


@pytest.mark.parametrize("name", COMPRESS)
@pytest.mark.parametrize("size", [1, 7, 4096, 10 * MIB])
def test_content_survives_however_the_stream_is_cut_into_chunks(name: str, size: int) -> None:
    content = CONTENT if size > 7 else CONTENT[:20_000]
    assert inflate(name, COMPRESS[name](content), size) == content


@pytest.mark.heavy
@pytest.mark.parametrize("name", PACKED)
def test_streams_follow_one_another(name: str) -> None:
    pack = COMPRESS[name]
    stream = pack(b"one") + pack(b"") + pack(CONTENT) + pack(b"four")
    for size in (1, 10 * MIB):
        assert inflate(name, stream, size) == b"one" + CONTENT + b"four"


@pytest.mark.parametrize("name", PACKED)
def test_a_stream_that_is_cut_off_is_corrupt_wherever_it_is_cut(name: str) -> None:
    stream = COMPRESS[name](CONTENT[:5000])
    for end in range(len(stream)):
        assert refusal(name, stream[:end])


@pytest.mark.parametrize("name", PACKED)
def test_no_bit_of_a_stream_with_a_checksum_changes_unnoticed(name: str) -> None:
    content = CONTENT[:600]
    stream = COMPRESS[name](content)
    for position in range(len(stream)):
        damaged = bytearray(stream)
        damaged[position] ^= 0x10
        try:
            assert inflate(name, bytes(damaged)) == content
            assert {position, position - len(stream)} & set(MEANINGLESS[name])
        except CorruptStream:
            pass


@pytest.mark.parametrize("name", PACKED)
def test_garbage_after_the_end_is_refused(name: str) -> None:
    for garbage in (b"x", b"\x00x", b"garbage", b"\x1f", b"\x28\xb5"):
        assert refusal(name, COMPRESS[name](CONTENT[:9000]) + garbage)


@pytest.mark.parametrize("name", PACKED)
def test_an_empty_stream_is_no_compressed_stream(name: str) -> None:
    assert "empty" in refusal(name, b"")


@pytest.mark.heavy
@pytest.mark.parametrize("name", COMPRESS)
def test_output_comes_in_bounded_chunks_and_bounded_memory(name: str) -> None:
    packed = COMPRESS[name](bytes(32 * MIB))
    tracemalloc.start()
    try:
        sizes = [len(chunk) for chunk in COMPRESSIONS[name].decompress([packed])]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sum(sizes) == 32 * MIB
    assert max(sizes) < 2 * MIB
    # xz -6 has a dictionary of 8 MiB.
    assert peak < 12 * MIB


@pytest.mark.parametrize("name", COMPRESS)
def test_errors_of_the_source_pass_through(name: str) -> None:
    def broken() -> Iterator[bytes]:
        yield COMPRESS[name](CONTENT[:20_000])[:100]
        raise OSError("disk on fire")

    with pytest.raises(OSError, match="on fire"):
        inflate(name, broken())


def test_many_small_members_become_chunks_of_a_fair_size() -> None:
    for name in ("gzip", "zstd"):
        stream = b"".join(COMPRESS[name](CONTENT[i : i + 500]) for i in range(0, len(CONTENT), 500))
        chunks = list(COMPRESSIONS[name].decompress([stream]))
        assert b"".join(chunks) == CONTENT
        assert min(map(len, chunks[:-1])) >= 64 * 1024


@pytest.mark.parametrize("name", COMPRESS)
def test_what_comes_by_the_byte_becomes_few_chunks(name: str) -> None:
    content = CONTENT[:200_000]
    packed = COMPRESS[name](content)
    chunks = list(COMPRESSIONS[name].decompress(packed[i : i + 1] for i in range(len(packed))))
    assert b"".join(chunks) == content
    assert len(chunks) < 8


def test_tiny_members_do_not_take_time_quadratic_in_the_chunk() -> None:
    stream = gzip.compress(b"") * 50_000
    started = time.process_time()
    assert inflate("gzip", stream, MIB) == b""
    assert time.process_time() - started < 5


def test_gzip_may_end_in_zeros_but_nothing_else() -> None:
    packed = gzip.compress(CONTENT)
    for size in (1, 100_000):
        assert inflate("gzip", packed + bytes(1000), size) == CONTENT
    assert "follows" in refusal("gzip", packed + bytes(1000) + b"x")
    assert "follows" in refusal("gzip", packed + bytes(4) + packed)


def test_gzip_header_fields_may_arrive_byte_by_byte() -> None:
    body = gzip.compress(CONTENT[:3000])[10:]
    header = b"\x1f\x8b\x08\x1f\0\0\0\0\0\xff" + b"\x04\0abcd" + b"name\0" + b"c" * 5000 + b"\0"
    stream = header + struct.pack("<H", zlib.crc32(header) & 0xFFFF) + body
    for size in (1, 2, 3, 100_000):
        assert inflate("gzip", stream, size) == CONTENT[:3000]
    assert "checksum" in refusal("gzip", header + b"\0\0" + body)
    assert "no end" in refusal("gzip", b"\x1f\x8b\x08\x08\0\0\0\0\0\xff" + b"n" * MIB)
    assert "unknown kind" in refusal("gzip", b"\x1f\x8b\x08\x80\0\0\0\0\0\xff" + body)


def test_gzip_checksum_and_length_are_verified() -> None:
    packed = gzip.compress(CONTENT)
    for trailer in (b"\0\0\0\0" + packed[-4:], packed[-8:-4] + b"\0\0\0\0"):
        for size in (1, 100_000):
            assert "corrupt" in refusal("gzip", packed[:-8] + trailer, size)


def test_zstd_frames_with_and_without_size_and_skippable_ones_anywhere() -> None:
    stream = SKIPPABLE + zstd(b"one") + SKIPPABLE + zstd_without_size(CONTENT) + zstd(CONTENT) + SKIPPABLE
    for size in (100, 100_000):
        assert inflate("zstd", stream, size) == b"one" + CONTENT + CONTENT
    for end in (-1, -70_000, -70_001, -70_007):
        assert "cut off" in refusal("zstd", stream[:end])


def test_zstd_window_of_128_mib_works_and_a_larger_one_is_refused_by_name() -> None:
    def long(window_log: int) -> bytes:
        parameters = zstandard.ZstdCompressionParameters.from_level(1, window_log=window_log, enable_ldm=True)
        stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
        return stream.compress(CONTENT) + stream.flush()

    assert inflate("zstd", long(27)) == CONTENT
    assert refusal("zstd", long(28)).startswith("the zstd stream needs a window of 268435456 bytes")


def test_zstd_dictionary_is_refused() -> None:
    samples: list[bytes | bytearray | memoryview] = [CONTENT[i : i + 2000] for i in range(0, len(CONTENT), 2000)]
    trained = zstandard.train_dictionary(4096, samples)
    assert "dictionary" in refusal("zstd", zstd(CONTENT, dict_data=trained))


def test_xz_padding_comes_in_fours() -> None:
    packed = lzma.compress(CONTENT)
    assert inflate("xz", packed + bytes(8) + packed + bytes(4)) == CONTENT * 2
    assert refusal("xz", packed + bytes(6))


def test_xz_dictionary_beyond_the_memory_limit_is_refused_by_name() -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 128 * MIB}]
    assert inflate("xz", lzma.compress(CONTENT, filters=filters)) == CONTENT
    filters[0]["dict_size"] = 256 * MIB
    assert "more memory than" in refusal("xz", lzma.compress(CONTENT, filters=filters))


@pytest.mark.heavy
def test_bzip2_streams_are_not_padded() -> None:
    assert refusal("bzip2", bz2.compress(CONTENT) + bytes(512))


@pytest.mark.parametrize("name", COMPRESS)
def test_streams_are_detected_by_their_first_bytes(name: str) -> None:
    assert detect(COMPRESS[name](tar(directory("etc")))[:512]) == name


def test_tars_of_all_ages_and_unknown_streams_are_plain() -> None:
    v7 = raw("old", b"\x00", b"data", magic=bytes(8))
    assert detect(END[:512]) == detect(v7[:512]) == detect(b"hello") == detect(b"") == "none"
    assert detect(SKIPPABLE[:512]) == "zstd"


def test_a_tar_whose_first_name_looks_compressed_is_a_tar() -> None:
    for magic in (b"\x1f\x8b\x08", b"BZh9", b"\xfd7zXZ"):
        stream = tar(file(magic + b"name"))
        assert detect(stream[512:1024] if b"PaxHeader" in stream[:512] else stream[:512]) == "none"
        assert detect(raw(magic, b"0", magic=bytes(8))[:512]) == "none"


@pytest.mark.heavy
@pytest.mark.parametrize("name", ["gzip", "zstd"])
def test_the_interpreter_goes_on_while_a_thread_inflates(name: str) -> None:
    packed = COMPRESS[name](bytes(100 * MIB))
    decompressor = (
        igzip_lib.IgzipDecompressor(igzip_lib.DECOMP_GZIP)
        if name == "gzip"
        else zstandard.ZstdDecompressor().decompressobj(write_size=100 * MIB)
    )
    worker = threading.Thread(target=decompressor.decompress, args=(packed,))
    before = sys.getswitchinterval()
    # Without an offer to let go of the lock, a thread would keep it for so many seconds.
    sys.setswitchinterval(100)
    try:
        ticks = 0
        worker.start()
        while worker.is_alive():
            time.sleep(0.0001)
            ticks += 1
    finally:
        sys.setswitchinterval(before)
    assert ticks > 5


def test_decompression_reads_a_real_file_object() -> None:
    with io.BytesIO(gzip.compress(CONTENT)) as stream:
        assert inflate("gzip", iter(lambda: stream.read(65536), b"")) == CONTENT
