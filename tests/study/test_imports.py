"""Votes from sheets and from other tools' tables: what they become, and what is refused."""

from collections import Counter
from pathlib import Path

import pytest

from iqsr.errors import UsageError
from iqsr.study.design import ATTENTION, Design, Mode, Seat, Trial, write_design
from iqsr.study.import_tables import UNKNOWN_RATER
from iqsr.study.imports import import_votes
from iqsr.study.votes import NO_DIFFERENCE, read_votes, write_votes

SEATS = (
    Seat(
        "s1",
        (
            Trial("s1-1", "sea", ("base", "sharp")),
            Trial("s1-2", "tree", ("sharp", "base")),
            Trial("s1-3", "tree", (ATTENTION, "base"), "attention"),
            Trial("s1-4", "sea", ("sharp", "base"), "repeat"),
        ),
    ),
    Seat("s2", (Trial("s2-1", "sea", ("sharp", "base")),)),
)


def study(folder: Path, mode: Mode = "slider", seats: tuple[Seat, ...] = SEATS) -> Path:
    write_design(Design(1, mode, "balanced", ("base", "sharp"), ("sea", "tree"), 2, seats, {}), folder)
    return folder


def sheet(file: Path, *lines: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(("trial,choice,strength,reason", *lines)) + "\n", "utf-8")
    return file


def test_a_sheet_becomes_votes_of_its_rater(tmp_path: Path) -> None:
    lines = ('s1-1,left,Clearly,"sharper, I think"', "s1-2, RIGHT ,,", "s1-3,NONE,,", "s1-4,,,")
    found = import_votes(study(tmp_path), [sheet(tmp_path / "filled/ann.csv", *lines)])
    assert (found.added, found.already_there, dict(found.missing)) == (3, 0, {"ann": ("s1-4",)})
    one, two, three = read_votes(tmp_path / "votes.csv")
    assert (one.rater, one.trial, one.picture, one.shown) == ("ann", "s1-1", "sea", ("base", "sharp"))
    assert (one.chosen, one.strength, one.kind, one.mode) == ("base", "clearly", "vote", "side")
    assert (two.chosen, three.chosen, three.kind) == ("base", NO_DIFFERENCE, "attention")


def test_commas_that_hands_forget_do_not_matter(tmp_path: Path) -> None:
    lines = ("s1-1,LEFT", "s1-2,RIGHT,barely,sharper, and less noise", "s1-3", 's1-4,LEFT,,"so "sharp" it is"')
    found = import_votes(study(tmp_path), [sheet(tmp_path / "ann.csv", *lines)])
    assert (found.added, dict(found.missing)) == (3, {"ann": ("s1-3",)})
    assert [vote.strength for vote in read_votes(tmp_path / "votes.csv")] == ["", "barely", ""]


def test_the_folder_names_the_rater_of_a_file_that_does_not(tmp_path: Path) -> None:
    study(tmp_path)
    sheet(tmp_path / "filled/s1/answers.csv", "s1-1,LEFT")
    sheet(tmp_path / "filled/s2/answers.csv", "s2-1,LEFT")
    found = import_votes(tmp_path, [tmp_path / "filled"])
    assert [(vote.rater, vote.chosen) for vote in read_votes(tmp_path / "votes.csv")] == [
        ("s1", "base"),
        ("s2", "sharp"),
    ]
    assert dict(found.missing) == {"s1": ("s1-2", "s1-3", "s1-4")}


def test_several_raters_may_fill_in_the_sheet_of_one_seat(tmp_path: Path) -> None:
    study(tmp_path)
    for rater in ("ann", "bob"):
        import_votes(tmp_path, [sheet(tmp_path / "answers.csv", "s2-1,LEFT")], rater)
    assert [vote.rater for vote in read_votes(tmp_path / "votes.csv")] == ["ann", "bob"]


def test_an_import_again_adds_nothing_and_another_answer_is_refused(tmp_path: Path) -> None:
    file = sheet(study(tmp_path) / "ann.csv", "s2-1,LEFT")
    import_votes(tmp_path, [file])
    before = (tmp_path / "votes.csv").read_bytes()
    again = import_votes(tmp_path, [file])
    assert (again.added, again.already_there) == (0, 1)
    sheet(file, "s2-1,RIGHT")
    with pytest.raises(UsageError, match="'ann' answered the trial 's2-1' before, and otherwise"):
        import_votes(tmp_path, [file])
    assert (tmp_path / "votes.csv").read_bytes() == before


def test_pictures_of_best_of_n_are_named_by_their_place(tmp_path: Path) -> None:
    seats = (
        Seat("s", (Trial("t1", "sea", ("base", "sharp", "soft")), Trial("t2", "tree", ("soft", "base", "sharp")))),
    )
    import_votes(study(tmp_path, "best-of-n", seats), [sheet(tmp_path / "ann.csv", "t1,3", "t2,none")])
    assert [(vote.chosen, vote.mode) for vote in read_votes(tmp_path / "votes.csv")] == [
        ("soft", "best-of-n"),
        (NO_DIFFERENCE, "best-of-n"),
    ]


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (["s1-1,LEFT", "s9-1,LEFT"], "line 3: unknown trial 's9-1'; known: s1-1"),
        (["s1-1,LEFT", "s1-1,LEFT"], "line 3: the trial 's1-1' stands there twice"),
        (["s1-1,", "s1-1,LEFT"], "line 3: the trial 's1-1' stands there twice"),
        (["s1-1,LEFT", "s2-1,LEFT"], "line 3: trials of the seats s1 and s2; a sheet is of one seat"),
        (["s1-1,L"], "line 2, column choice: is 'L', not one of 1, 2, LEFT, RIGHT, NONE"),
        (["s1-1,LEFT,very"], "line 2, column strength: is 'very', not one of barely, clearly, strongly"),
    ],
)
def test_a_wrong_sheet_is_refused_and_nothing_is_written(tmp_path: Path, lines: list[str], problem: str) -> None:
    file = sheet(study(tmp_path) / "ann.csv", *lines)
    with pytest.raises(UsageError) as refused:
        import_votes(tmp_path, [file])
    assert str(refused.value).startswith(f"'{file}', {problem}")
    assert not (tmp_path / "votes.csv").exists()


def table(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, "utf-8")
    return file


def test_pairs_with_counts(tmp_path: Path) -> None:
    rows = "p/0801_SwinIR.png,p/0801_Real_ESRGAN.png,0.75,3,1\nSwinIR/0802.png,Real_ESRGAN/0802.png,0,0,2\n"
    header = "first,second,share_first,votes_first,votes_second"
    file = table(
        tmp_path / "pairs.csv", f"{header},scene\n" + rows.replace("\n", ",0801\n", 1).replace("2\n", "2,0802\n")
    )
    import_votes(tmp_path / "study", [file])
    votes = read_votes(tmp_path / "study/votes.csv")
    assert {vote.rater for vote in votes} == {UNKNOWN_RATER}
    assert Counter((vote.picture, vote.chosen) for vote in votes) == {
        ("0801", "SwinIR"): 3,
        ("0801", "Real_ESRGAN"): 1,
        ("0802", "Real_ESRGAN"): 2,
    }
    assert {vote.shown for vote in votes} == {("SwinIR", "Real_ESRGAN")}


def best_of_three(counts: dict[str, int], kind: str = "best-of-3") -> str:
    a, b, c = counts
    rows = [f"{x}/1.png,{y}/1.png,{counts[x]},{counts[y]},{kind}\n" for x, y in ((a, b), (a, c), (b, c))]
    return "first,second,votes_first,votes_second,kind\n" + "".join(rows)


def test_tallies_of_one_choice_among_several_are_not_counted_for_each_pair(tmp_path: Path) -> None:
    import_votes(tmp_path, [table(tmp_path / "in/p.csv", best_of_three({"a": 4, "b": 0, "c": 5}))])
    votes = read_votes(tmp_path / "votes.csv")
    assert Counter(vote.chosen for vote in votes) == {"a": 4, "c": 5}
    assert {(vote.shown, vote.mode) for vote in votes} == {(("a", "b", "c"), "best-of-n")}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (best_of_three({"a": 4, "b": 1, "c": 5}).replace("4,5", "3,5"), "a has 3 votes here, 4 before"),
        (best_of_three({"a": 4, "b": 1, "c": 5}, "best-of-4"), "best-of-4 needs one row for each pair of 4 methods"),
        ("first,second,votes_first,votes_second\na/1.png,b/1.png,1.5,2\n", "line 2, column votes_first: is '1.5'"),
        ("first,second,votes_first,votes_second\na.png,b.png,1,2\n", "line 2: cannot tell scene and methods"),
        (
            "first,second,votes_first,votes_second,share_first\na/1.png,b/1.png,1,2,0.5\n",
            "line 2, column share_first: is 0.5, and the votes are 1 to 2",
        ),
        (
            "first,second,share_first\na/1.png,b/1.png,1\n",
            "has the columns first, second, share_first; known are sheets",
        ),
    ],
)
def test_wrong_counts_are_refused(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(UsageError) as refused:
        import_votes(tmp_path, [table(tmp_path / "in/p.csv", text)])
    assert problem in str(refused.value)
    assert not (tmp_path / "votes.csv").exists()


@pytest.mark.parametrize(
    "text",
    [
        "Observer,Session,Scene,Condition_1,Condition_2,Selection\n1,1,Window,cam,fer,1\n2,2,Corridor,ron,cam,2\n",
        "observer,scene,condition_A,condition_B,is_A_selected,criterion\n1,Window,cam,fer,1,x\n2,Corridor,ron,cam,0,x\n",
    ],
)
def test_pwcmps_tables(tmp_path: Path, text: str) -> None:
    import_votes(tmp_path, [table(tmp_path / "in/tmo.csv", text)])
    found = [(v.rater, v.picture, v.shown, v.chosen) for v in read_votes(tmp_path / "votes.csv")]
    assert found == [("1", "Window", ("cam", "fer"), "cam"), ("2", "Corridor", ("ron", "cam"), "cam")]


def test_a_selection_that_is_none_of_pwcmps_is_refused(tmp_path: Path) -> None:
    text = "observer,scene,condition_1,condition_2,selection\n1,Window,cam,fer,0\n"
    with pytest.raises(UsageError, match=r"line 2, column selection: is '0', not 1 or 2"):
        import_votes(tmp_path, [table(tmp_path / "in/tmo.csv", text)])


def test_choices_among_several(tmp_path: Path) -> None:
    text = "rater,picture,chosen,among\nann,sea,b,a|b|c\nann,tree,,a|b\n"
    import_votes(tmp_path, [table(tmp_path / "in/best.csv", text)])
    found = [(v.rater, v.shown, v.chosen, v.mode) for v in read_votes(tmp_path / "votes.csv")]
    assert found == [("ann", ("a", "b", "c"), "b", "best-of-n"), ("ann", ("a", "b"), NO_DIFFERENCE, "side")]
    table(tmp_path / "in/best.csv", text.replace("sea,b", "sea,d"))
    with pytest.raises(UsageError, match="line 2, column chosen: 'd' is not among a, b, c"):
        import_votes(tmp_path, [tmp_path / "in"])


def test_votes_of_two_servers_come_together(tmp_path: Path) -> None:
    for rater in ("ann", "bob"):
        import_votes(study(tmp_path), [sheet(tmp_path / "x/answers.csv", "s2-1,LEFT")], rater)
        votes = read_votes(tmp_path / "votes.csv")
        write_votes([vote for vote in votes if vote.rater == rater], tmp_path / f"servers/{rater}.csv")
    (tmp_path / "votes.csv").unlink()
    assert import_votes(tmp_path, [tmp_path / "servers"]).added == 2
    assert read_votes(tmp_path / "votes.csv") == votes


def test_what_does_not_go_together_is_refused(tmp_path: Path) -> None:
    filled = sheet(tmp_path / "ann.csv", "s2-1,LEFT")
    with pytest.raises(UsageError, match=r"is a sheet, and its study's design\.json is not here"):
        import_votes(tmp_path, [filled])
    study(tmp_path)
    other = table(tmp_path / "p.csv", best_of_three({"a": 1, "b": 1, "c": 1}))
    with pytest.raises(UsageError, match="another tool's votes; import them into a folder of their own"):
        import_votes(tmp_path, [other])
    with pytest.raises(UsageError, match="--rater names the rater of one sheet, and 2 files"):
        import_votes(tmp_path, [filled, other], "bob")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="has no CSV files"):
        import_votes(tmp_path, [tmp_path / "empty"])
