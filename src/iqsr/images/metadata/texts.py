"""Texts of PNG in formats without texts: the fields that EXIF has for them."""

from iqsr.images.metadata import exif_block
from iqsr.images.metadata.blocks import Text

_ASCII, _UNDEFINED = 2, 7
_MAIN = {
    "description": 270,
    "make": 271,
    "model": 272,
    "software": 305,
    "author": 315,
    "artist": 315,
    "copyright": 33432,
}
_USER_COMMENT = 0x9286
_COMMENT = "comment"
# What Stable Diffusion's web interfaces write, which themselves put it there in JPEG and WebP; or else the comment.
_COMMENTS = ("parameters", _COMMENT)


def into_exif(
    exif: bytes | None, texts: tuple[Text, ...], *, with_comment: bool
) -> tuple[bytes | None, tuple[Text, ...], list[str]]:
    """EXIF with the texts that it has fields for, the texts that stay texts, and the keywords of those that are lost.

    with_comment: the comment, too, which is left to JPEG's own otherwise. Fields that are there stay as they are.
    """
    main: dict[int, tuple[int, bytes]] = {}
    detail: dict[int, tuple[int, bytes]] = {}
    kept: list[Text] = []
    lost: list[str] = []
    there = exif_block.texts(exif)
    for text in sorted(texts, key=lambda text: text.keyword.lower() == _COMMENT):  # parameters go first
        name = text.keyword.lower()
        tag = _MAIN.get(name)
        if tag and tag not in main and there.get(tag, text.text) == text.text:
            main[tag] = (_ASCII, text.text.encode() + b"\0")
        elif name == _COMMENT and not with_comment:
            kept.append(text)
        elif name in _COMMENTS and _USER_COMMENT not in there and not detail:
            detail[_USER_COMMENT] = (_UNDEFINED, _user_comment(text.text))
        else:
            lost.append(text.keyword)
    if main or detail:
        exif = exif_block.with_tags(exif, main, detail)
    return exif, tuple(kept), list(dict.fromkeys(lost))


def _user_comment(text: str) -> bytes:
    """With the name of its encoding in front (CIPA DC-008, UserComment)."""
    return b"ASCII\0\0\0" + text.encode() if text.isascii() else b"UNICODE\0" + text.encode("utf-16-be")
