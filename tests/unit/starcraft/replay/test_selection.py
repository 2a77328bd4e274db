"""Selections against the game's rules: order by tag, three kinds of removals, control groups."""

from skyloom.starcraft.replay.selection import ACTIVE, NOTHING, Picked, Removal, Selections


def picked(*tags: int, link: int = 1) -> list[Picked]:
    return [Picked(tag, link) for tag in tags]


def tags(selections: Selections) -> list[int]:
    return [unit.tag for unit in selections.active]


def selected(*given: int) -> Selections:
    selections = Selections()
    selections.delta(ACTIVE, NOTHING, picked(*given))
    return selections


def test_units_stand_in_the_order_of_their_tags_however_they_came():
    selections = selected(30, 10)
    selections.delta(ACTIVE, NOTHING, picked(20))
    assert tags(selections) == [10, 20, 30]


def test_a_mask_removes_flagged_positions_and_its_cut_zeros_keep_the_rest():
    selections = selected(10, 20, 30, 40)
    selections.delta(ACTIVE, Removal("Mask", [False, True]), ())
    assert tags(selections) == [10, 30, 40]
    assert selections.errors == 0


def test_one_indices_go_and_zero_indices_stay():
    goes, stays = selected(10, 20, 30), selected(10, 20, 30)
    goes.delta(ACTIVE, Removal("OneIndices", [0, 2]), ())
    stays.delta(ACTIVE, Removal("ZeroIndices", [0, 2]), ())
    assert tags(goes) == [20]
    assert tags(stays) == [10, 30]


def test_empty_zero_indices_clear_before_the_new_units_come():
    selections = selected(10, 20)
    selections.delta(ACTIVE, Removal("ZeroIndices", []), picked(5))
    assert tags(selections) == [5]


def test_a_unit_that_comes_again_is_one_unit_with_its_new_type():
    selections = selected(10)
    selections.delta(ACTIVE, NOTHING, picked(10, link=7))
    assert selections.active == (Picked(10, 7),)


def test_control_groups_set_add_recall_and_clear():
    selections = selected(10, 20)
    selections.assign(3)
    selections.delta(ACTIVE, Removal("ZeroIndices", []), picked(5))
    selections.append(3, Removal("OneIndices", [1]))
    selections.recall(3, NOTHING)
    assert tags(selections) == [5, 10]
    selections.clear(3)
    selections.recall(3, NOTHING)
    assert tags(selections) == []


def test_recall_leaves_out_what_cannot_be_selected_and_keeps_the_group():
    selections = selected(10, 20, 30)
    selections.assign(1)
    selections.recall(1, Removal("Mask", [True]))
    assert tags(selections) == [20, 30]
    selections.recall(1, NOTHING)
    assert tags(selections) == [10, 20, 30]


def test_a_position_beyond_the_selection_is_counted_as_an_error():
    selections = selected(10)
    selections.delta(ACTIVE, Removal("OneIndices", [4]), ())
    assert selections.errors == 1
    assert tags(selections) == [10]
