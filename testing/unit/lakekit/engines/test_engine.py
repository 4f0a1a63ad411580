from __future__ import annotations

from lakekit.engines.engine import Note


def test_note_is_read_back_as_it_was_written() -> None:
    note = Note("digest", {"bronze.a": ("id", 7)}, data=False, misfits=2)
    assert Note.parse(note.text()) == note


def test_what_another_writer_said_is_no_note() -> None:
    for text in (
        None,
        "",
        "nightly job",
        "{}",
        '{"lakekit": 1}',
        '{"lakekit": {"digest": "d", "reads": {"a": 1}}}',
    ):
        assert Note.parse(text) is None
