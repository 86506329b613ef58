"""Which size a wish gives, which wishes are refused, and how many passes of a network a ratio takes."""

import pytest

from iqsr.errors import UsageError
from iqsr.sizes import Wish, passes_for

# Wishes


@pytest.mark.parametrize(("wish", "size"), [
    (Wish(), (400, 200)),
    (Wish(scale=1), (100, 50)),
    (Wish(scale=1.5), (150, 75)),
    (Wish(scale=16), (1600, 800)),
    (Wish(width=250), (250, 125)),
    (Wish(height=100), (200, 100)),
    (Wish(width=100, height=800), (100, 800)),
    (Wish(width=10), (10, 5)),
    (Wish(width=1), (1, 1)),
])  # fmt: skip
def test_wish_gives_a_size(wish: Wish, size: tuple[int, int]):
    assert wish.size((100, 50), 4) == size


def test_a_wish_follows_the_picture() -> None:
    assert Wish().size((30, 20), 4) == (120, 80)
    assert Wish(scale=2.5).size((31, 21), 4) == (78, 52)
    assert Wish(width=100).size((30, 20), 4) == (100, 67)
    assert Wish(height=100).size((30, 20), 4) == (150, 100)
    assert Wish(width=45, height=99).size((30, 20), 4) == (45, 99)
    assert Wish(scale=1).size((1, 9000), 4) == (1, 9000)
    assert Wish(width=1).size((9000, 1), 4) == (1, 1)


# What is refused


@pytest.mark.parametrize(("wish", "message"), [
    ({"scale": 0.5}, "--scale goes from 1 to 16, got 0.5"),
    ({"scale": 17}, "got 17"),
    ({"scale": -2}, "got -2"),
    ({"scale": float("nan")}, "got nan"),
    ({"scale": float("inf")}, "got inf"),
    ({"scale": 2, "width": 10}, "either --scale or --width/--height"),
    ({"scale": 2, "height": 10}, "either --scale or --width/--height"),
    ({"width": 0}, "at least 1 pixel"),
    ({"height": -5}, "at least 1 pixel"),
])  # fmt: skip
def test_impossible_wish_is_refused(wish: dict[str, float], message: str):
    with pytest.raises(UsageError) as error:
        Wish(**wish)
    assert message in str(error.value)


@pytest.mark.parametrize("wish", [Wish(width=1601), Wish(height=801), Wish(width=100, height=900)])
def test_wish_for_more_than_16_times_is_refused(wish: Wish):
    with pytest.raises(UsageError, match=r"16\.\d times|18\.0 times"):
        wish.size((100, 50), 4)


@pytest.mark.parametrize(
    "wish",
    [{"scale": 0.5}, {"scale": 17}, {"scale": float("nan")}, {"scale": 2, "width": 9}, {"width": 0}, {"height": -3}],
)
def test_a_wish_that_no_picture_fulfils_is_refused(wish: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        Wish(**wish)  # pyright: ignore


def test_more_than_16_times_is_refused() -> None:
    assert Wish(width=160).size((10, 10), 4) == (160, 160)
    with pytest.raises(UsageError, match=r"161 x 161 is 16\.1 times the picture's 10 x 10; the most is 16"):
        Wish(width=161).size((10, 10), 4)


# Passes


@pytest.mark.parametrize(("ratio", "native", "passes"), [
    (4, 4, 1), (1, 4, 1), (0.2, 4, 1), (4.001, 4, 2), (16, 4, 2), (6.3, 4, 2),
    (16, 2, 4), (9, 3, 2), (16, 3, 3), (8, 1, 1),
])  # fmt: skip
def test_passes_reach_the_ratio(ratio: float, native: int, passes: int):
    assert passes_for(ratio, native) == passes
    assert native**passes >= ratio or native == 1


@pytest.mark.parametrize(
    ("ratio", "native", "passes"),
    [(1, 4, 1), (0.2, 4, 1), (4, 4, 1), (4.01, 4, 2), (16, 4, 2), (8, 2, 3), (16, 2, 4), (9, 3, 2), (16, 1, 1)],
)
def test_as_many_passes_as_the_ratio_needs(ratio: float, native: int, passes: int) -> None:
    assert passes_for(ratio, native) == passes
