//! Tables of paths and patterns, properties, and what is learned from made-up services.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::matcher::Matcher;
use super::{Decorator, Evidence, RouteRule, SegmentReason};
use crate::config::{IgnoreMode, RoutesConfig, ServiceRoutes, Unmatched, WildcardChar};
use crate::limits::Limits;
use crate::span::{Ignored, SpanKind};

const HEURISTIC: &str = include_str!("../../../fixtures/routes/heuristic.tsv");
const PATTERNS: &str = include_str!("../../../fixtures/routes/patterns.tsv");

fn rows(table: &str) -> impl Iterator<Item = Vec<&str>> {
    table.lines().filter(|line| !line.starts_with('#')).map(|line| line.split('\t').collect())
}

fn decorator(unmatched: Unmatched, evidence: Evidence) -> Decorator {
    let config = RoutesConfig { unmatched, ..RoutesConfig::default() };
    Decorator::new(&config, [], evidence, &Limits::default()).unwrap()
}

fn route(decorator: &mut Decorator, target: &str) -> String {
    decorator.decorate("shop", SpanKind::Server, "GET", target).route.to_string()
}

/// The routes of `paths` with whole evidence, and with online evidence after everything was seen.
fn learned(paths: &[String]) -> [Vec<String>; 2] {
    [Evidence::Whole, Evidence::Online].map(|evidence| {
        let mut decorator = decorator(Unmatched::LowCardinality, evidence);
        for path in paths {
            match evidence {
                Evidence::Whole => decorator.observe("shop", SpanKind::Server, "GET", path),
                Evidence::Online => drop(route(&mut decorator, path)),
            }
        }
        paths.iter().map(|path| route(&mut decorator, path)).collect()
    })
}

fn distinct(routes: &[String]) -> BTreeSet<&str> {
    routes.iter().map(String::as_str).collect()
}

#[test]
fn heuristic_table() {
    let mut decorator = decorator(Unmatched::Heuristic, Evidence::Online);
    for row in rows(HEURISTIC) {
        let [target, expected] = row[..] else { panic!("not two columns: {row:?}") };
        assert_eq!(route(&mut decorator, target), expected, "route of {target}");
    }
}

/// The `n`th of a million words that no interface uses.
fn letters(n: usize) -> String {
    (0..6).map(|at| char::from(b"abeilnorst"[n / 10_usize.pow(at) % 10])).collect()
}

#[test]
fn more_names_than_are_remembered_change_no_route() {
    let mut decorator = decorator(Unmatched::Heuristic, Evidence::Online);
    for _ in 0..2 {
        for row in rows(HEURISTIC) {
            assert_eq!(route(&mut decorator, row[0]), row[1], "route of {}", row[0]);
        }
        for n in 0..5_000 {
            assert_eq!(route(&mut decorator, &format!("/{}/7", letters(n))), format!("/{}/*", letters(n)));
        }
    }
}

#[test]
fn pattern_table() {
    for row in rows(PATTERNS) {
        let [patterns, target, expected] = row[..] else { panic!("not three columns: {row:?}") };
        let patterns: Vec<&str> = patterns.split(' ').collect();
        let matcher = Matcher::new(&patterns).unwrap();
        let found = matcher.find(target).map_or("-", |pattern| &**pattern);
        assert_eq!(found, expected, "{patterns:?} on {target}");
    }
}

#[test]
fn specificity_does_not_depend_on_the_order_of_patterns() {
    let patterns = ["/a/b", "/a/@:user", "/a/:x", "/a/*", "/:y/b", "/:y/:z"];
    let targets = ["/a/b", "/a/@u", "/a/u", "/a/u/v", "/x/b", "/x/y", "/a"];
    let reversed: Vec<&str> = patterns.into_iter().rev().collect();
    let (one, two) = (Matcher::new(&patterns).unwrap(), Matcher::new(&reversed).unwrap());
    for target in targets {
        assert!(one.find(target).is_some(), "{target}");
        assert_eq!(one.find(target), two.find(target), "{target}");
    }
}

#[test]
fn bad_patterns_say_where_they_are() {
    let error = |patterns: &[&str]| {
        let patterns = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
        let config = RoutesConfig { patterns, ..RoutesConfig::default() };
        Decorator::new(&config, [], Evidence::Online, &Limits::default()).unwrap_err().to_string()
    };
    assert_eq!(error(&["/a", ""]), "routes.patterns[1] ``: it is empty; the root is `/`");
    assert_eq!(error(&["/a/{id"]), "routes.patterns[0] `/a/{id`: `{` without `}` in one of its segments");
    assert!(error(&[&"/a".repeat(65)]).ends_with("it has more than 64 segments"));
}

#[test]
fn ignored_patterns_win_and_the_route_stays() {
    let mut config = RoutesConfig {
        patterns: vec!["/health/{x}".into()],
        ignored_patterns: vec!["/health/*".into()],
        ..RoutesConfig::default()
    };
    for (mode, traces, metrics) in
        [(IgnoreMode::All, true, true), (IgnoreMode::Traces, true, false), (IgnoreMode::Metrics, false, true)]
    {
        config.ignore_mode = mode;
        let mut decorator = Decorator::new(&config, [], Evidence::Online, &Limits::default()).unwrap();
        let decision = decorator.decorate("shop", SpanKind::Server, "GET", "/health/live?x");
        assert_eq!(decision.ignored, Ignored { traces, metrics });
        assert_eq!((&*decision.route, decision.rule), ("/health/{x}", RouteRule::Pattern));
        let other = decorator.decorate("shop", SpanKind::Server, "GET", "/other");
        assert_eq!(other.ignored, Ignored::default());
        let explanation = decorator.explain("shop", SpanKind::Server, "GET", "/health/live");
        assert_eq!(explanation.ignored_by.as_deref(), Some("/health/*"));
    }
}

#[test]
fn services_have_their_own_patterns_after_the_common_ones() {
    let config = RoutesConfig { patterns: vec!["/a/{common}".into()], ..RoutesConfig::default() };
    let routes =
        ServiceRoutes { incoming: vec!["/a/{own}".into(), "/in/{x}".into()], outgoing: vec!["/out/{x}".into()] };
    let mut decorator = Decorator::new(&config, [("shop", &routes)], Evidence::Online, &Limits::default()).unwrap();
    let mut ask = |service: &str, kind, path: &str| decorator.decorate(service, kind, "GET", path).route.to_string();
    assert_eq!(ask("shop", SpanKind::Server, "/a/1"), "/a/{common}");
    assert_eq!(ask("shop", SpanKind::Server, "/in/1"), "/in/{x}");
    assert_eq!(ask("shop", SpanKind::Client, "/in/1"), "/in/*");
    assert_eq!(ask("shop", SpanKind::Client, "/out/1"), "/out/{x}");
    assert_eq!(ask("cart", SpanKind::Server, "/in/1"), "/in/*");
}

#[test]
fn unmatched_modes_and_requests_without_a_path() {
    let ask = |unmatched, method: &str, target: &str| {
        let mut decorator = decorator(unmatched, Evidence::Online);
        decorator.decorate("shop", SpanKind::Server, method, target).route.to_string()
    };
    assert_eq!(ask(Unmatched::Unset, "GET", "/users/1"), "");
    assert_eq!(ask(Unmatched::Path, "GET", "/users/1?x=2"), "/users/1");
    assert_eq!(ask(Unmatched::Wildcard, "GET", "/users/1"), "/**");
    assert_eq!(ask(Unmatched::Heuristic, "CONNECT", "example.com:443"), "");
    assert_eq!(ask(Unmatched::Heuristic, "OPTIONS", "*"), "/*");
    assert_eq!(ask(Unmatched::LowCardinality, "GET", "/users/1"), "/users/*");
    let config =
        RoutesConfig { wildcard_char: WildcardChar::try_from("+".to_owned()).unwrap(), ..RoutesConfig::default() };
    let mut plus = Decorator::new(&config, [], Evidence::Online, &Limits::default()).unwrap();
    assert_eq!(route(&mut plus, "/users/1/a*b"), "/users/+/+");
}

/// A service with users whose names are words that no interface uses, and with fixed routes beside them.
fn shop(users: usize) -> Vec<String> {
    let syllables = ["mar", "lo", "ken", "vi", "tra", "sul", "bo", "ned"];
    let name = |n: usize| [n % 8, n / 8 % 8, n / 64 % 8].map(|n| syllables[n]).concat();
    let mut paths: Vec<String> = Vec::new();
    for user in 0..users {
        let name = name(user);
        paths.extend(["orders", "settings", "cart"].map(|below| format!("/shop/{name}/{below}")));
    }
    paths.extend(
        ["/shop/search", "/shop/admin/reports/daily", "/shop/admin/flags", "/login", "/api/frobnicate"].map(Into::into),
    );
    paths
}

#[test]
fn names_are_told_from_values_by_what_goes_on_below_them() {
    for routes in learned(&shop(100)) {
        let expected = [
            "/api/frobnicate",
            "/login",
            "/shop/*/cart",
            "/shop/*/orders",
            "/shop/*/settings",
            "/shop/admin/flags",
            "/shop/admin/reports/daily",
            "/shop/search",
        ];
        assert_eq!(distinct(&routes), expected.into());
    }
}

#[test]
fn a_few_unknown_words_stay() {
    for routes in learned(&shop(3)) {
        assert!(distinct(&routes).contains("/shop/marmarmar/orders"), "{routes:?}");
    }
}

#[test]
fn letter_case_of_a_name_does_not_matter_once_learned() {
    let mut paths: Vec<String> = (0..20).map(|n| format!("/api/orders/{n}/lines")).collect();
    paths.extend(["/API/orders/1/lines".into(), "/api/Orders".into(), "/api/orders".into()]);
    let [whole, _] = learned(&paths);
    assert_eq!(distinct(&whole), ["/api/orders", "/api/orders/*/lines"].into());
}

#[test]
fn explanations_name_the_reason() {
    let mut decorator = decorator(Unmatched::Heuristic, Evidence::Online);
    let explanation = decorator.explain("shop", SpanKind::Server, "GET", "/users/alice/zork/42");
    let lines: Vec<String> =
        explanation.segments.iter().map(|s| format!("{} -> {}: {}", s.segment, s.output, s.reason)).collect();
    assert_eq!(
        lines,
        [
            "users -> users: shape: name",
            "alice -> *: unknown word after the name of a collection",
            "zork -> *: unknown word after a value",
            "42 -> *: shape: number",
        ]
    );
}

#[test]
fn explanations_agree_with_routes() {
    let paths = shop(60);
    for evidence in [Evidence::Whole, Evidence::Online] {
        let mut decorator = decorator(Unmatched::LowCardinality, evidence);
        paths.iter().for_each(|path| decorator.observe("shop", SpanKind::Server, "GET", path));
        for path in &paths {
            let explanation = decorator.explain("shop", SpanKind::Server, "GET", path);
            let outputs: Vec<&str> = explanation.segments.iter().map(|segment| &*segment.output).collect();
            assert_eq!(format!("/{}", outputs.join("/")), &*explanation.decision.route);
            assert!(explanation.segments.iter().all(|segment| segment.reason != SegmentReason::NotLearned));
        }
    }
}

#[test]
fn many_distinct_paths_give_a_bounded_number_of_routes() {
    let limits = Limits { route_paths: 200, ..Limits::default() };
    for evidence in [Evidence::Online, Evidence::Whole] {
        let config = RoutesConfig { unmatched: Unmatched::LowCardinality, ..RoutesConfig::default() };
        let mut decorator = Decorator::new(&config, [], evidence, &limits).unwrap();
        let paths = || (0..5_000).map(|n| format!("/{}/{}/{}", letters(n * 7919), letters(n * 104_729), letters(n)));
        if evidence == Evidence::Whole {
            paths().for_each(|path| decorator.observe("shop", SpanKind::Server, "GET", &path));
        }
        let routes: BTreeSet<String> = paths().map(|path| route(&mut decorator, &path)).collect();
        assert!(routes.len() < 1_000, "{evidence:?}: {} routes", routes.len());
        assert!(decorator.left_out() > 0);
    }
}

fn segment() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "(users|orders|api|v1|search|[a-z]{2,8}|[a-z]{3,6}-[a-z]{3,6})",
        2 => "([0-9]{1,9}|[0-9a-f]{8,16}|[A-Za-z0-9_]{6,24})",
        1 => "[ -~]{0,12}",
        1 => "\\PC{0,6}",
    ]
}

fn target() -> impl Strategy<Value = String> {
    prop::collection::vec(segment(), 0..20).prop_map(|segments| format!("/{}", segments.join("/")))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    #[test]
    fn templating_a_route_again_gives_itself(target in target()) {
        let mut decorator = decorator(Unmatched::Heuristic, Evidence::Online);
        let once = route(&mut decorator, &target);
        prop_assert_eq!(&route(&mut decorator, &once), &once);
    }

    #[test]
    fn a_heuristic_route_does_not_depend_on_the_paths_before_it(targets in prop::collection::vec(target(), 1..60)) {
        let mut seasoned = decorator(Unmatched::Heuristic, Evidence::Online);
        for target in &targets {
            let mut new = decorator(Unmatched::Heuristic, Evidence::Online);
            prop_assert_eq!(route(&mut seasoned, target), route(&mut new, target));
        }
    }

    #[test]
    fn whole_evidence_depends_on_the_set_of_paths_alone(
        targets in prop::collection::vec(target(), 1..60),
        repeats in prop::collection::vec(any::<prop::sample::Index>(), 0..30),
        limit in 5_usize..80,
    ) {
        let limits = Limits { route_paths: limit, ..Limits::default() };
        let config = RoutesConfig { unmatched: Unmatched::LowCardinality, ..RoutesConfig::default() };
        let service = |n: usize| if n.is_multiple_of(3) { "shop" } else { "cart" };
        let numbered: Vec<(&str, &str)> =
            targets.iter().enumerate().map(|(n, target)| (service(n), &**target)).collect();
        let mut other: Vec<(&str, &str)> = repeats.iter().map(|index| *index.get(&numbered)).collect();
        other.extend(numbered.iter().rev());
        let run = |seen: &[(&str, &str)]| -> Vec<String> {
            let mut decorator = Decorator::new(&config, [], Evidence::Whole, &limits).unwrap();
            seen.iter().for_each(|(service, target)| decorator.observe(service, SpanKind::Server, "GET", target));
            let ask = |(service, target): &(&str, &str)| {
                decorator.decorate(service, SpanKind::Server, "GET", target).route.to_string()
            };
            numbered.iter().map(ask).collect()
        };
        prop_assert_eq!(run(&numbered), run(&other));
    }

    #[test]
    fn the_cache_does_not_change_a_decision(targets in prop::collection::vec(target(), 1..60)) {
        // The second run asks each path twice; what a path gets must not depend on being remembered.
        let mut one = decorator(Unmatched::LowCardinality, Evidence::Online);
        let mut two = decorator(Unmatched::LowCardinality, Evidence::Online);
        for target in &targets {
            let first = route(&mut two, target);
            prop_assert_eq!(&first, &route(&mut one, target));
            prop_assert_eq!(&first, &route(&mut two, target));
        }
    }

    #[test]
    fn matching_never_panics(patterns in prop::collection::vec("[/a:{}*<>.@?()-]{1,12}", 1..8), target in "[/a@.:-]{0,16}") {
        if let Ok(matcher) = Matcher::new(&patterns)
            && let Some(found) = matcher.find(&target)
        {
            prop_assert!(patterns.iter().any(|pattern| **pattern == **found));
        }
    }
}

#[test]
fn what_was_learned_outlives_a_reload_that_does_not_touch_it() {
    let paths: Vec<_> = (0..200).map(|n| format!("/x/{}/y", letters(n * 7919))).collect();
    let limits = Limits::default();
    let like = |config: &RoutesConfig| Decorator::new(config, [], Evidence::Online, &limits).unwrap();
    let low = RoutesConfig { unmatched: Unmatched::LowCardinality, ..RoutesConfig::default() };
    let mut before = like(&low);
    paths.iter().for_each(|path| drop(route(&mut before, path)));
    let learned = route(&mut before, &paths[0]);
    assert_ne!(learned, paths[0], "it is a value by now");
    let patterns = RoutesConfig { patterns: vec!["/x/health".into()], ..low.clone() };
    let mut after = like(&patterns).after(before);
    assert_eq!(route(&mut after, &paths[0]), learned);
    assert_eq!(route(&mut after, "/x/health"), "/x/health", "the new pattern");
    let other = RoutesConfig { max_path_segment_cardinality: 3, ..low };
    let mut anew = like(&other).after(after);
    assert_eq!(route(&mut anew, &paths[0]), paths[0], "nothing is known yet");
}
