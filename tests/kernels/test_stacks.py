"""Which values lie together, and who reads them."""

from iqsr.kernels.stacks import Stack, channel_spans, plan_stacks


def test_a_dense_block_is_one_stack() -> None:
    assert plan_stacks([(0, ("x",)), (1, ("x", "a")), (2, ("x", "a", "b"))]) == [Stack(("x", "a", "b"), [0, 1, 2])]


def test_the_longest_list_may_come_first() -> None:
    assert plan_stacks([(4, ("x", "a")), (7, ("x",)), (9, ("x", "a"))]) == [Stack(("x", "a"), [4, 7, 9])]


def test_another_order_or_another_value_is_another_stack() -> None:
    found = plan_stacks([(0, ("x", "a")), (1, ("a", "x")), (2, ("x", "b")), (3, ("x", "a", "c"))])
    assert found == [Stack(("x", "a", "c"), [0, 3]), Stack(("a", "x"), [1]), Stack(("x", "b"), [2])]


def test_every_reader_reads_the_front_of_one_stack_and_no_stack_is_the_front_of_another() -> None:
    lists = {number: tuple((number * k * k) % 3 for k in range(1, 2 + number % 4)) for number in range(40)}
    lists = {number: tuple(dict.fromkeys(values)) for number, values in lists.items()}
    stacks = plan_stacks(lists.items())
    assert sorted(reader for stack in stacks for reader in stack.readers) == list(lists)
    for stack in stacks:
        assert all(stack.members[: len(lists[reader])] == lists[reader] for reader in stack.readers)
        assert all(other is stack or other.members[: len(stack.members)] != stack.members for other in stacks)


def test_values_lie_side_by_side() -> None:
    assert channel_spans([64, 32, 32]) == [(0, 64), (64, 96), (96, 128)]
    assert channel_spans([16, 3], first=1) == [(1, 17), (17, 20)]
