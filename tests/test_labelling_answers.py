"""Answers that come in: tables and Label Studio's export; what is refused, and what changes nothing."""

import csv
import io
import json

import pytest
from honest_chooser import HONEST
from labelling_projects import make, tell

from jaxal.data.dataset import DataError
from jaxal.labelling import label_studio, tables
from jaxal.labelling.answers import record
from jaxal.labelling.asking import ask
from jaxal.labelling.commands import add, change_classes, export, look_again
from jaxal.labelling.project import Project


def table(path, *lines: str):
    path.write_text("\n".join(lines) + "\n")
    return path


def test_the_same_file_twice_changes_nothing(tmp_path):
    folder = make(tmp_path)
    answers = table(tmp_path / "a.csv", "file,label,annotator", "row 1,A,anna", "row 2,B,anna", "row 2,A,ben")
    assert add(folder, [answers])[0].endswith("3 new")
    with Project(folder) as project:
        last, before = project.state.last, project.state.answers
    assert add(folder, [answers])[0].endswith("3 known already")
    with Project(folder) as project:
        assert (project.state.last, project.state.answers) == (last, before)


def test_a_corrected_answer_survives_the_old_file(tmp_path):
    folder = make(tmp_path)
    answers = table(tmp_path / "a.csv", "file,label", "row 1,A", "row 2,A")
    add(folder, [answers], who="anna")
    with Project(folder) as project:
        tell(project, {"row 1": "B"}, "anna")
    assert "left so: row 1" in add(folder, [answers], who="anna")[0]
    answers.write_text(answers.read_text() + "row 3,B\n")  # the table has grown
    assert "1 new, 1 known already; corrected since" in add(folder, [answers], who="anna")[0]
    with Project(folder) as project:
        assert {i: s.label for i, s in project.state.standing.items()} == {1: 1, 2: 0, 3: 1}


def test_a_table_in_which_somebody_goes_back_to_an_answer(tmp_path):
    folder = make(tmp_path)
    lines = ["file,label", "row 1,A", "row 1,B", "row 1,A"]
    assert add(folder, [table(tmp_path / "a.csv", *lines)])[0].endswith("1 new, 2 corrected")
    with Project(folder) as project:
        assert project.state.standing[1].label == 0
    assert "known already" in add(folder, [tmp_path / "a.csv"])[0]


def test_withdrawn_unsure_and_unusable_in_a_table(tmp_path):
    folder = make(tmp_path)
    first = table(
        tmp_path / "a.csv", "file;label;annotator", "row 1;A;anna", "row 2;Unsure;anna", "row 3;UNUSABLE;anna"
    )
    add(folder, [first])
    with Project(folder) as project:
        assert [project.state.standing[i].kind for i in (1, 2, 3)] == ["labelled", "unsure", "unusable"]
    assert add(folder, [table(tmp_path / "b.csv", "file;label;annotator", "row 1;withdrawn;anna")])[0].endswith(
        "1 withdrawn"
    )
    with Project(folder) as project:
        assert 1 not in project.state.standing


@pytest.mark.parametrize(
    "lines, told",
    [
        (["file,label", "row 1,A", "row 999,A"], "line 3, column file: no image 'row 999'"),
        (["file,label", "row 1,A", "row 2,AA"], "line 3, column label: 'AA' is no class; did you mean 'A'?"),
        (["file,label", "row 1,A", "row 2"], "line 3: 1 cells; 2 are expected"),
        (["image,label", "row 1,A"], "line 1: no column 'file'"),
        (["file,label,label", "row 1,A,B"], "line 1: more than one column 'label'"),
        (["file,label,annotator", "row 1,A," + "x" * 101], "is no annotator's name"),
        (["file,label", 'row 1,"A'], "line 2: unexpected end of data"),
        (["file,label", "../../etc/passwd,A"], "no image '../../etc/passwd'"),
    ],
)
def test_a_bad_row_is_named_and_nothing_is_taken(tmp_path, lines, told):
    folder = make(tmp_path)
    with pytest.raises(DataError) as error:
        add(folder, [table(tmp_path / "a.csv", *lines)])
    assert told in str(error.value) and "\n" not in str(error.value) and "a.csv" in str(error.value)
    with Project(folder) as project:
        assert project.state.answers == {}


def test_what_is_no_table(tmp_path):
    folder = make(tmp_path)
    (tmp_path / "latin.csv").write_bytes("file,label\nrow 1,A\nrow 2,Entzündung\n".encode("latin-1"))
    with pytest.raises(DataError, match="line 3: not in UTF-8"):
        add(folder, [tmp_path / "latin.csv"])
    with pytest.raises(DataError, match=r"none\.csv: No such file"):
        add(folder, [tmp_path / "none.csv"])
    with pytest.raises(ValueError, match="no file of answers"):
        add(folder, [])


def test_new_classes_are_taken_when_asked_for(tmp_path):
    folder = make(tmp_path)
    answers = table(tmp_path / "a.csv", "file,label", "row 1,C", "row 2,D", "row 3,C")
    with pytest.raises(DataError, match="--new-classes"):
        add(folder, [answers])
    assert "new classes: C, D" in add(folder, [answers], new_classes=True)[0]
    with Project(folder) as project:
        assert project.state.classes == ["A", "B", "C", "D"]


@pytest.mark.parametrize("name", ["", " A", "unsure", "Withdrawn", "x" * 101, "A", "a\nb"])
def test_names_that_no_class_can_have(tmp_path, name):
    folder = make(tmp_path)
    with pytest.raises(DataError):
        change_classes(folder, add=[name])
    with pytest.raises(DataError):
        change_classes(folder, rename=("A", name))


def test_a_filled_in_batch_is_a_table_of_answers(tmp_path):
    folder = make(tmp_path)
    with Project(folder) as project:
        questions = ask(project, HONEST, 3, "me")
    rows = list(csv.reader(io.StringIO(tables.questions_csv(questions))))
    assert [row[0] for row in rows[1:]] == [question.file for question in questions]
    path = tmp_path / "next.csv"
    rows[1][1], rows[2][1] = "A", "unsure"  # the third is left for later
    path.write_text("\n".join(",".join(row) for row in rows))
    assert add(folder, [path])[0].endswith("2 new")
    with Project(folder) as project:
        assert [project.state.files[i] for i in project.state.pending] == [questions[2].file]


def test_removing_by_name(tmp_path):
    folder = make(tmp_path)
    assert look_again(folder, remove=["row 5"]) == ["removed: row 5"]
    with pytest.raises(DataError, match="row 5 was removed"):
        add(folder, [table(tmp_path / "a.csv", "file,label", "row 5,A")])


def test_answers_survive_the_way_out_and_in(tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "2").mkdir()
    folder, other = make(tmp_path / "1"), make(tmp_path / "2")
    with Project(folder) as project:
        tell(project, {"row 1": "A", "row 2": "unsure", "row 3": "B"}, "anna@x.org")
        tell(project, {"row 1": "B"}, "ben")
        tell(project, {"row 5": "B"}, "label-studio 3")
        said = {i: {who: a.label for who, a in given.items()} for i, given in project.state.answers.items()}
    for name in ("out.csv", "out.json"):
        export(folder, tmp_path / name)
        add(other, [tmp_path / name])
        with Project(other) as project:
            found = {i: {who: a.label for who, a in given.items()} for i, given in project.state.answers.items()}
            assert found == said
        assert "known already" in add(folder, [tmp_path / name])[0]


def test_label_studio_sorted_by_score_is_our_order(tmp_path):
    with Project(make(tmp_path)) as project:
        tell(project, {"row 1": "B", "row 2": "A"})
        questions = ask(project, HONEST, 7, "me")
    tasks = label_studio.tasks(questions, "version 1", "/data/local-files/?d=scans/")
    shuffled = sorted(tasks, key=lambda task: task["data"]["file"])
    ordered = sorted(shuffled, key=lambda task: task["predictions"][0]["score"])
    assert [task["data"]["file"] for task in ordered] == [question.file for question in questions]
    assert tasks[0]["data"]["image"] == f"/data/local-files/?d=scans/{questions[0].file.replace(' ', '%20')}"
    region = tasks[0]["predictions"][0]["result"][0]
    assert (region["type"], region["value"]["choices"]) == ("choices", [questions[0].predicted])


def test_a_configuration_is_xml_whatever_the_names_hold():
    import xml.etree.ElementTree

    names = ['<b>"bold" & co</b>', "it's"]
    root = xml.etree.ElementTree.fromstring(label_studio.configuration(names))
    assert [choice.get("value") for choice in root.iter("Choice")] == [*names, "unsure", "unusable"]


def task(file, *annotations, **more):
    return {"id": 7, "data": {"file": file}, "annotations": list(annotations)} | more


def annotation(label, number=1, who="anna", **more):
    result = [{"type": "choices", "from_name": "label", "to_name": "image", "value": {"choices": [label]}}]
    return {"id": number, "completed_by": {"id": 3, "email": who}, "result": result, "updated_at": "2026-01-01"} | more


def read(tmp_path, project, content):
    path = tmp_path / "export.json"
    path.write_text(json.dumps(content))
    return label_studio.read_export(path, project.refresh())


def test_an_export_with_skipped_and_empty_tasks(tmp_path):
    with Project(make(tmp_path)) as project:
        content = [
            task("row 1", annotation("A", 1), annotation("B", 2, "ben")),
            task("row 2", annotation("A", 3, was_cancelled=True)),
            task("row 3", annotation("Unsure", 4)),
            task("row 4", {"id": 5, "result": [], "completed_by": 3}),
            task("row 5"),
        ]
        told = read(tmp_path, project, content)
        assert [(t.file, t.label, t.who) for t in told] == [
            ("row 1", "A", "anna"),
            ("row 1", "B", "ben"),
            ("row 3", "unsure", "anna"),
        ]
        assert record(project, told).new == 3
        assert record(project, read(tmp_path, project, content)).known == 3
        content[0]["annotations"][0] |= annotation("B", 1, updated_at="2026-01-02")
        assert record(project, read(tmp_path, project, content)).corrected == 1
        assert project.state.standing[1].label == 1


@pytest.mark.parametrize(
    "content, told",
    [
        ({}, "no list of tasks"),
        ([5], "task 1: no object"),
        (
            [{"id": 7, "data": {"file": "row 1"}, "choice": "A"}],
            "task 7: no field annotations; export as JSON, not JSON-MIN",
        ),
        ([task("row 1", 5)], "task 7, field annotations"),
        ([task("nowhere", annotation("A"))], "task 7, field data.file: no image 'nowhere'"),
        ([{"id": 7, "annotations": [], "data": {}}], "neither `file` nor `image`"),
        ([task("row 1", annotation("C"))], "annotation 1, field result: 'C' is no class"),
        ([task("row 1", annotation("withdrawn"))], "delete the annotation instead"),
    ],
)
def test_a_bad_export_is_named(tmp_path, content, told):
    with Project(make(tmp_path)) as project:
        with pytest.raises(DataError) as error:
            record(project, read(tmp_path, project, content))
        assert told in str(error.value) and "\n" not in str(error.value)
        assert project.state.answers == {}


def test_an_export_that_knows_an_image_by_its_address_alone(tmp_path):
    with Project(make(tmp_path)) as project:
        content = [{"id": 1, "data": {"image": "/data/local-files/?d=scans/row%201"}, "annotations": [annotation("A")]}]
        assert [t.file for t in read(tmp_path, project, content)] == ["row 1"]
