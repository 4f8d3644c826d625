"""The note in a commit's metadata, and the deadlines that follow from the session time-out."""

from __future__ import annotations

import pytest

from consumer.core.lease import METADATA_CHARACTERS_MAX, Note, Timing, read_note

NOTE = Note(topic_id="abc", group="g", pass_=3, deadline=1_795_000_000)


def test_a_note_survives() -> None:
    assert read_note(NOTE.dump()) == NOTE


@pytest.mark.parametrize("group", ["Überfluß", "日本", 'a"b\\c', "😀"])
def test_a_note_is_ascii_whatever_the_names_are(group: str) -> None:
    note = Note(topic_id="t", group=group, pass_=0, deadline=0)
    assert note.dump().isascii()
    assert read_note(note.dump()) == note


def test_a_note_fits_for_the_longest_names() -> None:
    note = Note(topic_id="x" * 249, group="é" * 249, pass_=2**31, deadline=2**32)
    assert len(note.dump()) < METADATA_CHARACTERS_MAX


@pytest.mark.parametrize("metadata", [None, "", "checkpoint", "{}", "[1]", '{"t": 1}', "\udce4", NOTE.dump()[:-2]])
def test_what_somebody_else_wrote_is_no_note(metadata: str | None) -> None:
    assert read_note(metadata) is None


def test_a_note_of_a_later_version_is_not_guessed_at() -> None:
    text = NOTE.dump().replace('"v":1', '"v":2')
    assert text != NOTE.dump()
    assert read_note(text) is None


@pytest.mark.parametrize("session_ms", [6_000, 10_000, 30_000, 45_000, 1_800_000])
def test_a_lease_is_dead_before_the_broker_gives_the_partition_away(session_ms: int) -> None:
    timing, session = Timing.of_session(session_ms), session_ms / 1000
    assert timing.lease + timing.margin < session
    assert timing.write < timing.lease
    assert 0 < timing.renew_below < timing.lease / 2
    assert timing.margin > 1, "DateTime knows whole seconds only"
