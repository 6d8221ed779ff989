"""Claims and published figures of a registry: what is refused, and that nothing of them reaches a run's key."""

import json
import re
from pathlib import Path

import pytest

from suite.plan.plan import Selection, make_plan
from suite.records.record import Store
from suite.registry.claims import Claim, Declared, Published
from suite.registry.load import load
from suite.registry.registry import Registry
from tests.conftest import Project
from tests.registry.test_malformed import END, F, rejected
from tests.registry.test_search import HOST, SEARCHED

CLAIMS = """\
claims:
  infonce_is_not_worse_than_tuned_cosine: {loss: infonce, is: not_worse, than: cosine, at: validated, source: a paper}
  infonce_is_better_than_cosine: {loss: infonce, is: better, than: cosine}
"""
PUBLISHED = (
    "    published:\n      - {loss: infonce, metric: accuracy, value: 0.9, source: a paper, profile: smoke, std: 0.1}\n"
)
NOTHING = "  nothing:\n"


def declare(project: Project, claims: str = CLAIMS, published: str = PUBLISHED) -> None:
    project.edit(END, claims + END)
    project.edit(NOTHING, published + NOTHING)


def test_the_registry_tells_what_is_declared(project: Project) -> None:
    declare(project)
    declared = load().declared
    assert declared.baseline == "cosine"
    assert declared.claims == {
        "infonce_is_not_worse_than_tuned_cosine": Claim("infonce", "not_worse", "cosine", "validated", "a paper"),
        "infonce_is_better_than_cosine": Claim("infonce", "better", "cosine"),
    }
    assert declared.published == {"blobs": [Published("infonce", "accuracy", 0.9, "a paper", std=0.1, profile="smoke")]}
    assert Declared.from_json(declared.to_json()) == declared


def test_margins_with_their_reasons_and_the_rule_for_failures_are_declared_and_enter_no_key(project: Project) -> None:
    def keys() -> list[str]:
        return [run.key for run in make_plan(load(), Selection(profile="smoke"), Store(Path("results"))).runs]

    before, declared = keys(), load().declared
    assert declared.failures == "worst" and {one.reason for one in declared.margins.values()} == {""}
    first = "    metric: {name: accuracy, goal: maximise, margin: 0.01}\n    host_temperature: 0.5\n    references"
    project.edit(first, first.replace("0.01}", "0.01, margin_reason: a convention}"))
    project.edit(END, "failures: exclude\n" + END)
    declared = load().declared
    assert declared.failures == "exclude" and "a convention" in {one.reason for one in declared.margins.values()}
    assert Declared.from_json(declared.to_json()) == declared
    assert keys() == before


def test_the_shipped_registry_claims_what_its_papers_do_and_prints_their_figures_as_quoted_alone(
    shipped: Registry,
) -> None:
    declared = shipped.declared
    said = {(claim.loss, claim.loss_at, claim.relation, claim.than, claim.at) for claim in declared.claims.values()}
    assert said == {
        ("temperature_free", "declared", "not_worse", "infonce", "tuned"),
        ("temperature_free", "declared", "not_worse", "infonce", "declared"),
        ("temperature_free", "tuned", "not_worse", "infonce", "tuned"),
        ("dystress", "declared", "better", "infonce", "declared"),
        ("dystress", "declared", "not_worse", "infonce", "tuned"),
        ("dystress", "tuned", "not_worse", "infonce", "tuned"),
    }
    figures = [figure for listed in declared.published.values() for figure in listed]
    assert not [figure for figure in figures if re.search("2501.17683", figure.source)]
    quoted = [figure for figure in figures if re.search("2308.01140", figure.source)]
    assert all("third party's review quotes" in figure.source for figure in quoted)
    assert "temperature_free" not in {figure.loss for figure in figures}
    assert all(figure in quoted for figure in figures if figure.loss == "dystress")
    assert all(figure.differs for figure in figures)


def test_neither_claims_nor_published_figures_enter_a_key(project: Project) -> None:
    def planned() -> list[tuple[str, dict[str, str]]]:
        runs = make_plan(load(), Selection(profile="smoke"), Store(Path("results"))).runs
        return [(run.key, dict(run.code)) for run in runs]

    before = planned()
    declare(project)
    assert planned() == before


def test_list_shows_claims_in_words(project: Project) -> None:
    declare(project)
    status, out, _ = project.suite("list")
    assert status == 0
    assert re.search(r"infonce_is_better_than_cosine +infonce is better than cosine \(declared\)", out)
    assert "infonce is not worse than cosine (validated)" in out
    listed = json.loads(project.suite("list", "--json")[1])
    assert listed["claims"]["infonce_is_better_than_cosine"]["relation"] == "better"
    assert listed["published"]["blobs"][0]["value"] == 0.9


@pytest.mark.parametrize(
    ("claim", "says"),
    [
        ("{loss: infonse, is: better, than: cosin}", (("loss", "did you mean 'infonce'?"), ("than", "'cosine'?"))),
        ("{loss: infonce, is: beter, than: cosine}", (("is", "'beter' will not do", "did you mean 'better'?"),)),
        ("{loss: infonce, than: cosine}", (("is", "is missing"),)),
        (
            "{loss: infonce, is: better, then: cosine}",
            (("than", "is missing"), ("then", "mean 'than'?", "Valid: loss, is")),
        ),
        ("{loss: infonce, is: better, than: cosine, at: best}", (("at", "'best' will not do", "'validated'"),)),
        ("{loss: infonce, is: better, than: cosine@scale=9.0}", (("than", "no loss 'cosine@scale=9.0'"),)),
        (
            "{loss: infonce, is: better, than: cosine@scale=2.0, at: tuned}",
            (("at", "cosine@scale=2.0 is one configuration", "only 'declared'"),),
        ),
        ("{loss: infonce, is: better, than: cosine, at: {trials: 1}}", (("at.trials", "must be > 1"),)),
        (
            "{loss: infonce, is: better, than: cosine, at: {trial: 8}}",
            (("at.trial", "unknown key; did you mean 'trials'?"), ("at.trials", "is missing")),
        ),
        ("{loss: infonce, is: better, than: cosine, loss_at: median}", (("loss_at", "infonce has no sweep"),)),
        ("{loss: infonce, is: better, than: cosine, loss_at: tunde}", (("loss_at", "did you mean 'tuned'?"),)),
        (
            "{loss: infonce, is: better, than: cosine, at: tuned}",
            (("at", "neither cosine nor a benchmark declares a search"),),
        ),
        ("{loss: infonce, is: better, than: cosine, benchmarks: []}", (("benchmarks", "must not be empty"),)),
        (
            "{loss: infonce, is: better, than: cosine, benchmarks: [blobs, blob]}",
            (("benchmarks.1", "no benchmark 'blob'; did you mean 'blobs'?"),),
        ),
        ("{loss: cosine, is: better, than: cosine}", (("than", "compared with itself"),)),
        ("{loss: cosine, is: better, than: infonce, at: median}", (("at", "infonce has no sweep"),)),
    ],
)
def test_claims_that_mean_nothing_are_refused(project: Project, claim: str, says: tuple[tuple[str, ...], ...]) -> None:
    project.edit(END, f"claims:\n  mine: {claim}\n" + END)
    rejected(project, tuple((f"{F}:23: claims.mine.{key}", *words) for key, *words in says), "plan")


def test_a_loss_may_be_held_against_its_own_tuning(project: Project) -> None:
    project.edit(END, "claims:\n  tuning_helps: {loss: cosine, is: not_worse, than: cosine, at: validated}\n" + END)
    assert project.suite("list")[0] == 0


def test_tuning_needs_selection_seeds(project: Project) -> None:
    project.edit("selection_seeds: 10-11\n", "")
    project.edit(END, CLAIMS + END)
    place = f"{F}:22: claims.infonce_is_not_worse_than_tuned_cosine.at"
    rejected(project, ((place, "'validated' is chosen with selection_seeds"),), "plan")


def test_claims_name_configurations_on_both_sides_benchmarks_and_members(project: Project) -> None:
    claims = (
        "claims:\n"
        "  a: {loss: infonce, loss_at: tuned, is: better, than: cosine, at: {trials: 8}, benchmarks: [blobs]}\n"
        "  b: {loss: cosine@scale=2.0, is: better, than: infonce}\n"
        "  c: {loss: infonce, is: not_worse, than: cosine@scale=2.0}\n"
    )
    project.edit(END, claims + END)
    project.edit(HOST, SEARCHED)
    declared = load().declared
    assert declared.searched == {"blobs": ["epochs", "pause_s"]}
    assert [claim.in_words() for claim in declared.claims.values()] == [
        "infonce (tuned) is better than cosine (tuned, 8 trials) on blobs",
        "cosine@scale=2.0 is better than infonce (declared)",
        "infonce is not worse than cosine@scale=2.0",
    ]
    assert Declared.from_json(json.loads(json.dumps(declared.to_json()))) == declared


def test_a_trial_is_no_loss_of_a_claim_but_one_of_those_that_are_counted(project: Project) -> None:
    project.edit(HOST, SEARCHED)
    claims = (
        "claims:\n  a: {loss: infonce@trial=3, is: better, than: cosine}\n  b: {loss: cosine, at: tuned, is: better, "
    )
    project.edit(END, claims + "than: cosine, loss_at: tuned}\n" + END)
    says = (
        (f"{F}:24: claims.a.loss", "is a trial of a search: name the loss, infonce; `loss_at` says"),
        (f"{F}:25: claims.b.than", "compared with itself"),
    )
    rejected(project, says, "plan")


def test_what_was_claimed_before_there_were_two_sides_is_read_as_it_was_meant() -> None:
    old = {"loss": "a", "relation": "better", "than": "b", "at": "validated", "source": ""}
    (claim,) = Declared.from_json({"baseline": "b", "claims": {"one": old}}).claims.values()
    assert (claim.loss_at, claim.at, claim.benchmarks) == ("declared", "validated", None)


def test_a_claim_that_is_made_twice_is_refused(project: Project) -> None:
    twice = "  again: {loss: infonce, is: better, than: cosine, source: another paper}\n"
    project.edit(END, CLAIMS + twice + END)
    rejected(project, ((f"{F}:25: claims.again", "says the same as infonce_is_better_than_cosine"),), "plan")


def test_every_problem_of_published_figures_is_reported_with_its_place(project: Project) -> None:
    wrong = (
        "    published:\n"
        "      - {loss: infonse, metric: accuracy, value: 0.9, source: x}\n"
        "      - {loss: infonce, metric: accuracy, value: high, source: x}\n"
        "      - {loss: infonce, metric: accuracy, value: 0.9, source: x, profile: paper, std: 0.0}\n"
        "      - {loss: infonce, metric: accuracy, value: 0.9, sorce: x}\n"
    )
    project.edit(NOTHING, wrong + NOTHING)
    key = "benchmarks.blobs.published"
    says = (
        (f"{F}:19: {key}.1.value", "'high' will not do", "expected a number"),
        (f"{F}:20: {key}.2.std", "must be > 0"),
        (f"{F}:21: {key}.3.sorce", "unknown key; did you mean 'source'?"),
        (f"{F}:21: {key}.3.source", "is missing"),
    )
    rejected(project, says, "plan")


def test_published_figures_are_of_losses_and_profiles_that_there_are(project: Project) -> None:
    wrong = "    published:\n      - {loss: infonse, metric: accuracy, value: 0.9, source: x, profile: paper}\n"
    project.edit(NOTHING, wrong + NOTHING)
    says = (
        (f"{F}:18: benchmarks.blobs.published.0.loss", "no loss 'infonse'; did you mean 'infonce'?"),
        (f"{F}:18: benchmarks.blobs.published.0.profile", "no such profile", "Valid: smoke, mini"),
    )
    rejected(project, says, "plan")
