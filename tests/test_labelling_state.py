"""What follows from the log: the rule for several annotators, what is pending, lots, and the fold itself."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from honest_chooser import HONEST
from hypothesis import given, settings
from hypothesis import strategies as st
from labelling_projects import make, tell, truth

from jaxal.labelling import asking
from jaxal.labelling.answers import agreement, disputes
from jaxal.labelling.asking import advise, ask, pool_of
from jaxal.labelling.log import Log
from jaxal.labelling.project import Entry, Project
from jaxal.labelling.state import KINDS, State, draw_lot, settle


@pytest.mark.parametrize(
    "labels, kind, label",
    [
        ([0], "labelled", 0),
        ([0, 1], "disputed", -1),
        ([0, 1, 1], "labelled", 1),
        ([0, 0, 1, 1], "disputed", -1),
        ([0, 1, 2], "disputed", -1),
        (["unsure"], "unsure", -1),
        (["unsure", "unsure", 1], "labelled", 1),
        (["unusable"], "unusable", -1),
        (["unusable", 1], "disputed", -1),
        (["unusable", "unusable", 1], "unusable", -1),
    ],
)
def test_the_rule_for_several_annotators(labels, kind, label):
    assert settle(labels) == (kind, label)


def test_every_kind_of_event_has_its_effect():
    assert all(callable(getattr(State, f"_{kind}")) for kind in KINDS)


def test_a_dispute_is_listed_asked_again_and_resolved(tmp_path):
    with Project(make(tmp_path)) as project:
        file = project.state.files[4]
        tell(project, {file: "A"}, "anna")
        tell(project, {file: "B"}, "ben")
        assert disputes(project.state) == [(file, {"anna": "A", "ben": "B"})]
        assert 4 not in project.state.trained()
        pool = pool_of(project.state)
        assert 4 in pool.images[pool.pending]  # presumed, and not for the strategy to choose
        first, *others = ask(project, HONEST, 3, "me")
        assert (first.file, first.again) == (file, True)
        assert not any(question.again for question in others)
        assert not any(question.again for question in ask(project, HONEST, 3, "me"))  # it is pending
        tell(project, {file: "B"}, "anna")
        assert disputes(project.state) == []
        assert project.state.trained()[4] == 1
        assert 4 not in project.state.pending


def test_agreement_counts_images_with_two_answers(tmp_path):
    with Project(make(tmp_path)) as project:
        files = project.state.files
        tell(project, {files[i]: "A" if i < 5 else "B" for i in range(10)}, "anna")
        tell(project, {files[i]: "A" if i < 4 else "B" for i in range(8)}, "ben")
        tell(project, {files[9]: "unsure"}, "ben")
        found = agreement(project.state)
        assert (found.images, found.agreed) == (8, 7)
        a, b = "AAAAABBB", "AAAABBBB"  # Scott's pi, which is Cohen's kappa over pairs in both orders
        chance = sum((((a + b).count(c)) / 16) ** 2 for c in "AB")
        assert found.kappa == pytest.approx((7 / 8 - chance) / (1 - chance))


def test_withdrawn_answers_are_asked_again(tmp_path):
    with Project(make(tmp_path)) as project:
        asked = ask(project, HONEST, 1, "me")[0].file
        other = project.state.files[(project.state.place[asked] + 1) % 60]
        tell(project, {asked: "A", other: "A"})
        tell(project, {asked: "withdrawn", other: "withdrawn"})
        assert project.state.answers == {} == project.state.standing
        assert list(project.state.pending) == [project.state.place[asked]]  # the other one was never asked


def test_a_renamed_class_keeps_its_labels(tmp_path):
    with Project(make(tmp_path)) as project:
        tell(project, {project.state.files[0]: "B"})
        project.write(lambda state: [Entry("me", "class_renamed", {"name": "B", "to": "tumour"})])
        assert project.state.classes == ["A", "tumour"]
        tell(project, {project.state.files[1]: "tumour"})
        assert project.state.trained() == {0: 1, 1: 1}


def test_removed_images_are_out_of_everything(tmp_path):
    with Project(make(tmp_path)) as project:
        files = project.state.files
        tell(project, {files[0]: "A", files[1]: "B"})
        asked = ask(project, HONEST, 2, "me")
        gone = [files[0], asked[0].file]
        project.write(lambda state: [Entry("me", "images_removed", {"files": gone})])
        assert project.state.trained() == {1: 1}
        assert project.state.place[gone[1]] not in project.state.pending
        assert not {0, project.state.place[gone[1]]} & set(pool_of(project.state).images.tolist())
        assert project.state.counts().total() == 58


def test_pending_images_expire(tmp_path, monkeypatch):
    with Project(make(tmp_path, expire_hours=2.0)) as project:
        asked = [question.file for question in ask(project, HONEST, 3, "me")]
        assert asking.overdue(project.state) == []

        class Later(datetime):
            @classmethod
            def now(cls, tz=None):
                return datetime.now(tz) + timedelta(hours=3)

        monkeypatch.setattr(asking, "datetime", Later)
        assert asking.overdue(project.state) == asked
        again = [question.file for question in ask(project, HONEST, 3, "me")]
        assert again == asked  # they are what the strategy wants, and nothing else has changed
        kinds = [event.kind for event in project._log.after(0)]
        assert kinds[-3:] == ["asked", "expired", "asked"]
    assert datetime.now(UTC).tzinfo is UTC


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["A", "B", "unsure", "unusable", "withdrawn"])), max_size=12)
)
def test_the_fold_is_the_same_in_steps_and_at_once(answers):
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as above, Project(make(Path(above), count=6)) as project:
        for place, label in answers:
            tell(project, {project.state.files[place]: label}, f"person {len(label) % 2}")
        once = State()
        with Log(project.folder) as log:
            once.apply(log.after(0))
        assert once == project.state


def test_lots_are_uniform_and_those_of_a_patient_are_one():
    lots = np.array([draw_lot(3, f"image {i}") for i in range(20_000)])
    assert abs(np.mean(lots < 0.1) - 0.1) < 0.01
    assert draw_lot(3, "image 1") == draw_lot(3, "image 1") != draw_lot(4, "image 1")


def test_patients_stand_on_one_side(tmp_path):
    groups = [f"patient {i // 5}" for i in range(200)]
    with Project(make(tmp_path, count=200, groups=groups, test_share=0.3)) as project:
        state = project.state
        sides = {(group, state.is_reserved(i)) for i, group in enumerate(groups)}
        assert len(sides) == 40
        assert 5 < sum(aside for _, aside in sides) < 20


def test_one_question_in_ten_is_for_testing_and_never_trained_on(tmp_path):
    with Project(make(tmp_path, count=400, test_share=0.1)) as project:
        state = project.state
        for _ in range(10):
            questions = ask(project, HONEST, 10, "me")
            assert sum(question.testing for question in questions) == 1
            tell(project, {question.file: truth(question.file) for question in questions})
            assert not set(state.tested()) & set(state.trained())
            assert not any(state.is_reserved(i) for i in pool_of(state).images)
        assert (len(state.tested()), len(state.trained())) == (10, 90)
        # the ten with the smallest lots, whatever the strategy thinks of them
        aside = sorted((i for i in range(400) if state.is_reserved(i)), key=lambda i: state.lots[i])
        assert set(state.tested()) == set(aside[:10])


def test_what_was_set_aside_and_chosen_by_a_person_is_no_test(tmp_path):
    with Project(make(tmp_path, count=200, test_share=0.2)) as project:
        own = next(i for i in range(200) if project.state.is_reserved(i))
        tell(project, {project.state.files[own]: "A"})
        assert project.state.tested() == {} == project.state.trained()
        assert project.state.standing[own].kind == "labelled"


def test_nothing_is_asked_twice_and_everything_is_asked_once(tmp_path):
    with Project(make(tmp_path, count=47, test_share=0.2)) as project:
        asked = []
        while questions := ask(project, HONEST, 10, "me"):
            asked += [question.file for question in questions]
        assert sorted(asked) == sorted(project.state.files)


def test_where_everything_is_set_aside_or_unusable_only_the_lot_asks(tmp_path):
    with Project(make(tmp_path, count=20, test_share=0.5)) as project:
        pool = [project.state.files[i] for i in pool_of(project.state).images]
        tell(project, dict.fromkeys(pool, "unusable"))
        questions = ask(project, HONEST, 20, "me")
        assert len(questions) == 20 - len(pool) and all(question.testing for question in questions)


def test_what_is_asked_is_what_the_strategy_says(tmp_path):
    with Project(make(tmp_path)) as project:
        state = project.state
        tell(project, {file: truth(file) for file in state.files[:6]})
        tell(project, {state.files[6]: "unusable", state.files[7]: "unsure"})
        pending = ask(project, HONEST, 2, "me")
        labels = np.array([i % 2 if i < 6 else -1 for i in range(60)], np.int32)
        waiting = np.array([6, 7, *(state.place[question.file] for question in pending)])
        pool = HONEST.prepare(project.latents(), survey=None)
        own = HONEST.suggest(pool, labels, 4, classes=2, pending=waiting, key=None)
        found = ask(project, HONEST, 4, "me")
        assert [question.file for question in found] == [state.files[row] for row in own.rows]
        chance = own.probabilities[own.rows].max(-1)
        np.testing.assert_allclose([question.probability for question in found], chance, atol=1e-4)


def test_images_that_others_ask_for_meanwhile_are_chosen_anew(tmp_path):
    folder = make(tmp_path)
    delivered = []

    def deliver(questions, version):
        if not delivered:  # at the last moment somebody else asks for some of them
            with Project(folder) as other:
                delivered.append([question.file for question in ask(other, HONEST, 2, "other")])
        delivered.append([question.file for question in questions])

    with Project(folder) as project:
        asked = [question.file for question in ask(project, HONEST, 4, "me", deliver)]
        others, first, second = delivered
        assert set(others) < set(first) and asked == second and not set(others) & set(second)
        assert len(project.state.pending) == 6


def test_a_class_that_is_met_later_and_none_at_first(tmp_path):
    with Project(make(tmp_path, classes=())) as project:
        first = ask(project, HONEST, 3, "me")
        assert [question.predicted for question in first] == [None] * 3
        tell(project, {first[0].file: "adipose"}, new_classes=True)
        second = ask(project, HONEST, 2, "me")
        assert [question.predicted for question in second] == ["adipose"] * 2
        tell(project, {second[0].file: "mucosa", second[1].file: "stroma"}, new_classes=True)
        assert project.state.classes == ["adipose", "mucosa", "stroma"]
        assert advise(project, HONEST, 1).suggestion.probabilities.shape[1] == 3
