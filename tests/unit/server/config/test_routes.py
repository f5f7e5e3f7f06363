"""What a `route:` gets wrong is told with its line."""

from pathlib import Path

import pytest

from rungwise_server.bootstrap.judges import judge_settings
from rungwise_server.config.file import parse_settings
from rungwise_server.config.route_checks import BUILT_IN
from rungwise_server.errors import ConfigError

HEAD = """\
candidates:
  big: {kind: openai_compatible, url: "http://127.0.0.1:1/v1", model: m}
  small: {kind: openai_compatible, url: "http://127.0.0.1:1/v1", model: s, price: {input: 1, output: 1}, asks: [tools]}
judges:
  strict: {kind: prompt, candidate: big}
  two: {kind: pair, candidate: big}
workloads:
  w:
    candidates: [big, small]
    collections: [docs]
    route:
"""


@pytest.mark.parametrize(
    ("route", "key", "why"),
    [
        ("{policy: cascade}", "cascade.drafting", "needs the candidates that draft"),
        ("{policy: cascade, cascade: {}}", "cascade.drafting", "needs the candidates that draft"),
        ("{cascade: {drafting: [small]}}", "cascade", "has no effect with `policy: rules`"),
        ("{policy: cascade, cascade: {drafting: [smal]}}", "cascade.drafting[0]", "did you mean 'small'?"),
        ("{policy: cascade, cascade: {drafting: [big]}}", "cascade.drafting[0]", "it answers where no draft holds"),
        ("{policy: cascade, cascade: {drafting: [small, small]}}", "cascade.drafting[1]", "stands here twice"),
        ("{policy: cascade, rules: [{use: big}], cascade: {drafting: [small]}}", "rules", "never reached"),
        ("{policy: cascade, cascade: {drafting: [small], verify: judge}}", "cascade.judge", "is missing"),
        ("{policy: cascade, cascade: {drafting: [small], verify: judge, judge: strikt}}", "cascade.judge", "'strict'?"),
        ("{policy: cascade, cascade: {drafting: [small], verify: judge, judge: two}}", "cascade.judge", "kind: pair"),
        ("{policy: cascade, cascade: {drafting: [small], judge: strict}}", "cascade.judge", "has no effect"),
        ("{policy: cascade, cascade: {drafting: [small], samples: 3}}", "cascade.samples", "has no effect"),
        ("{policy: cascade, cascade: {drafting: [small], verify: logprobs}}", "cascade.verify", "tells no logprobs"),
        ("{canary: {candidate: extractive}}", "canary.candidate", "not among the workload's candidates"),
        ("{canary: {candidate: small, share: 0}}", "canary.share", "greater than 0"),
        ("{shadow: {candidate: smal, daily: 1}}", "shadow.candidate", "did you mean 'small'?"),
        ("{shadow: {candidate: small}}", "shadow.daily", "is needed"),
        ("{policy: pinned, explore: {share: 0.1}}", "explore", "has no effect"),
        ("{sticky: {gian: 0.1}}", "sticky.gian", "did you mean 'gain'?"),
    ],
)
def test_a_route_that_cannot_be(route: str, key: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as wrong:
        parse_settings(f"{HEAD}      {route}\n", {}, label="r.yaml", base=tmp_path)
    assert f"workloads.w.route.{key}" in str(wrong.value)
    assert why in str(wrong.value)
    assert len(str(wrong.value).splitlines()) == 1


def test_where_there_is_one_candidate_or_no_collection(tmp_path: Path) -> None:
    text = HEAD.replace("[big, small]", "[big]") + "      {sticky: {}, explore: {}}\n"
    with pytest.raises(ConfigError, match="one candidate alone"):
        parse_settings(text, {}, label="r.yaml", base=tmp_path)
    text = HEAD.replace("[docs]", "[]") + "      {policy: cascade, cascade: {drafting: [small]}}\n"
    with pytest.raises(ConfigError, match="nothing that answers could be held against"):
        parse_settings(text, {}, label="r.yaml", base=tmp_path)


@pytest.mark.parametrize(
    "route",
    [
        "{policy: cascade, cascade: {drafting: [small], verify: judge, judge: strict, threshold: 0.7}}",
        "{policy: cascade, cascade: {drafting: [small], verify: judge, judge: grounded}, sticky: {}}",
        "{policy: cascade, cascade: {drafting: [small], verify: consistency, samples: 3}}",
        "{canary: {candidate: small, by: conversation}, explore: {kind: thompson}, sticky: {gain: 0.2}}",
        "{policy: pinned, canary: {candidate: small}, shadow: {candidate: small, daily: 5}}",
    ],
)
def test_routes_that_can(route: str, tmp_path: Path) -> None:
    parse_settings(f"{HEAD}      {route}\n", {}, label="r.yaml", base=tmp_path)


def test_the_judges_that_are_there_by_themselves_are_known(tmp_path: Path) -> None:
    settings = parse_settings(HEAD + "      {}\n", {}, label="r.yaml", base=tmp_path)
    there = {name for name, judge in judge_settings(settings).items() if judge.kind != "pair"}
    assert there - {"strict"} == BUILT_IN
