"""Lines that a journal has where the power went amid writing, or the disk lost a part of it."""

DAMAGED_LINES = (
    b"\xff\xfe\xff",
    b'["a.png", "\xe2\x82',  # cut in the middle of a character
    b"\0\0\0\0\0\0\0\0",
    b"[" * 100_000,
    b'["a.png", ["b"]]',
    b'{"file": ["a.png"], "of": 1, "step": []}',
    b'{"step": 1e999}',
    b"7",
)
