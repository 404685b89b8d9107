"""Which network is taken home, and what is said if there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from phylon import events
from phylon.cluster.location import Location
from phylon.errors import ConfigurationError
from phylon.export_choice import choose
from phylon.search.architecture import Architecture
from phylon.search.candidate import Candidate
from phylon.study import read_state
from tests.phylon.conftest import Story


@pytest.fixture
def story(tmp_path: Path) -> Story:
    story = Story(tmp_path / "told")
    story.create()
    return story


def keep(story: Story, *ids: int) -> None:
    for number in ids:
        (Path(str(story.study)) / "candidates" / str(number)).mkdir(parents=True)


def chosen(story: Story, number: int | None = None) -> int:
    location = Location(str(story.study))
    return choose(location, read_state(location), number).id


def refusal(story: Story, number: int | None = None) -> str:
    with pytest.raises(ConfigurationError) as refused:
        chosen(story, number)
    return str(refused.value)


def test_it_is_the_winner_unless_told(story: Story) -> None:
    story.run(0, 1, 2)
    keep(story, 1, 2)
    assert chosen(story) == 2
    assert chosen(story, 1) == 1


def test_an_unknown_id_is_answered_with_the_nearest(story: Story) -> None:
    story.run(*range(9))
    assert "candidate 12 is not in the study; the nearest are 6, 7, 8" in refusal(story, 12)


def test_candidates_without_weights_are_refused_with_those_that_have_some(story: Story) -> None:
    story.run(0, 1, 2)
    story.propose(3, 4)
    story.tell(events.Failed, candidate_id=3, reason="out of luck\nat line 3", seconds=1.0)
    keep(story, 1, 2)
    have = "these have weights, the best first: 2, 1"
    told = {number: refusal(story, number) for number in (0, 3, 4)}
    assert all(each.endswith(have) for each in told.values())
    assert "candidate 0 has no weights any more" in told[0]
    assert "candidate 3 failed (out of luck)" in told[3]
    assert "candidate 4 is not trained to its end; `phylon resume DIR`" in told[4]


def test_of_scores_with_shared_weights_it_says_how_to_get_networks(story: Story) -> None:
    plan = Architecture({"lr": 0})
    story.tell(events.Proposed, candidate=Candidate(0, plan, phase="supernet"))
    scored = Candidate(1, plan, epochs=0, inherit_from=0)
    story.tell(events.Proposed, candidate=scored)
    story.complete(0, 1)
    keep(story, 0)
    told = refusal(story)
    assert "candidate 1 was only scored with shared weights" in told
    assert "`final: {top: 3}`" in told
    assert told.endswith("no other candidate has weights")
    assert "candidate 0 is the training of the shared weights" in refusal(story, 0)


def test_without_results_there_is_no_winner(story: Story) -> None:
    story.propose(0)
    assert "no candidate has completed" in refusal(story)
