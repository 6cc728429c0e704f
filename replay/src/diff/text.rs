//! A comparison for people, on a terminal.

use std::collections::BTreeMap;
use std::io::{self, Write};

use redtape_core::Count;

use super::compare::{Changes, RedChange, RedValues, SeriesChanges, SpanChanges};
use super::side::Group;
use crate::write::{Table, nanos, printable};

/// Writes what changed, of each table at most `limit` rows.
pub(super) fn write(out: &mut impl Write, changes: &Changes, limit: usize) -> io::Result<()> {
    let Changes { before, after, differences, .. } = changes;
    writeln!(out, "before: {}\nafter:  {}", printable(before), printable(after))?;
    if *differences == 0 {
        return writeln!(out, "no difference{}", within(changes));
    }
    writeln!(out, "{}{}: {}", Count(*differences as u64, "difference"), within(changes), kinds(changes))?;
    for (title, header, texts, rows) in tables(changes) {
        if rows.is_empty() {
            continue;
        }
        writeln!(out, "\n{title}")?;
        let mut table = Table::new(&header, texts);
        let all = rows.len();
        rows.into_iter().take(limit).for_each(|row| table.push(row.iter().map(|cell| printable(cell)).collect()));
        table.write(out)?;
        if all > limit {
            writeln!(out, "... and {} more; --limit shows more, --json all", all - limit)?;
        }
    }
    Ok(())
}

/// How the tolerance is told.
pub(super) fn within(changes: &Changes) -> String {
    let percent = changes.tolerance_percent;
    if percent == 0.0 { String::new() } else { format!(" beyond {percent} %") }
}

/// Where the differences are.
pub(super) fn kinds(changes: &Changes) -> String {
    let len = |len: Option<usize>| len.unwrap_or_default();
    let metrics = || changes.series.iter().flat_map(|series| &series.metrics);
    let kinds = [
        (len(changes.routes.as_ref().map(Vec::len)), "in routes"),
        (metrics().map(|metric| metric.gained).sum(), "series gained"),
        (metrics().map(|metric| metric.lost).sum(), "series lost"),
        (len(changes.spans.as_ref().map(SpanChanges::count)), "in spans"),
        (len(changes.red.as_ref().map(Vec::len)), "in rates, errors and durations"),
        (len(changes.values.as_ref().map(Vec::len)), "in values"),
    ];
    let kinds = kinds.into_iter().filter(|(count, _)| *count > 0).map(|(count, kind)| format!("{count} {kind}"));
    kinds.collect::<Vec<_>>().join(", ")
}

/// A table: its title, its columns, how many of them are of text, and its rows.
pub(super) type Tabled = (String, Vec<&'static str>, usize, Vec<Vec<String>>);

/// All that changed, as tables; some are empty.
pub(super) fn tables(changes: &Changes) -> Vec<Tabled> {
    let routes = changes.routes.iter().flatten().map(|one| {
        let list = |routes: &[String]| routes.iter().map(|route| shown(route)).collect::<Vec<_>>().join(", ");
        let examples = one.examples.join(" ");
        let (before, after) = (list(&one.before), list(&one.after));
        vec![
            one.service.clone(),
            one.kind.clone(),
            one.change.as_str().into(),
            before,
            after,
            examples,
            one.paths.to_string(),
        ]
    });
    let mut tables = vec![(
        "routes".to_owned(),
        vec!["service", "kind", "change", "before", "after", "for example", "paths"],
        6,
        routes.collect(),
    )];
    if let Some(series) = &changes.series {
        let sums = series.metrics.iter().map(|metric| {
            let numbers = [metric.before, metric.after, metric.gained, metric.lost].map(|number| number.to_string());
            [vec![metric.metric.clone()], numbers.into()].concat()
        });
        let (gained, lost) =
            series.metrics.iter().fold((0, 0), |sum, metric| (sum.0 + metric.gained, sum.1 + metric.lost));
        let title = format!("series: {} before, {} after; {gained} gained, {lost} lost", series.before, series.after);
        tables.push((title, vec!["metric", "before", "after", "gained", "lost"], 1, sums.collect()));
        tables.push(("series gained and lost".to_owned(), vec!["series", "of"], 2, named(series)));
    }
    tables.extend(changes.spans.iter().flat_map(spans));
    if let Some(red) = &changes.red {
        let header = vec!["service", "kind", "method", "route", "value", "before", "after", "change"];
        let rows = red.iter().flat_map(red_rows).collect();
        tables.push(("rates, errors and durations".to_owned(), header, 5, rows));
    }
    if let Some(values) = &changes.values {
        let rows = values.iter().map(|one| {
            let name = format!("{}{{{}}}", one.metric, one.labels);
            vec![name, one.value.clone(), one.before.to_string(), one.after.to_string()]
        });
        tables.push(("values".to_owned(), vec!["series", "value", "before", "after"], 2, rows.collect()));
    }
    tables
}

fn spans(spans: &SpanChanges) -> Vec<Tabled> {
    let cells = |group: &Group| [group.service.clone(), group.kind.clone(), group.name.clone(), group.answer.clone()];
    let groups = spans.groups.iter().map(|one| {
        let mut row = Vec::from(cells(&one.group));
        row.extend([one.before.to_string(), one.after.to_string()]);
        row
    });
    let title = format!("spans: {} before, {} after", spans.before, spans.after);
    let mut tables =
        vec![(title, vec!["service", "kind", "name", "answer", "before", "after"], 4, groups.collect::<Vec<_>>())];
    if let Some(same) = &spans.same {
        let moved = same
            .moved
            .iter()
            .map(|(from, to, count)| vec![cells(from).join(" "), cells(to).join(" "), count.to_string()]);
        let others = [("gone", same.only_before), ("new", same.only_after), ("with another parent", same.parents)];
        let others = others.into_iter().filter(|(_, count)| *count > 0);
        let others = others.map(|(what, count)| vec![what.to_owned(), String::new(), count.to_string()]);
        let title = format!("the same spans: {} on both sides", same.in_both);
        tables.push((title, vec!["before", "after", "spans"], 2, moved.chain(others).collect()));
    }
    tables
}

/// Series that are named: a line for those of several metrics that have the same labels.
fn named(series: &SeriesChanges) -> Vec<Vec<String>> {
    let mut metrics: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for metric in &series.metrics {
        for (sign, all) in [("-", &metric.lost_series), ("+", &metric.gained_series)] {
            for labels in all {
                metrics.entry((labels, sign)).or_default().push(&metric.metric);
            }
        }
    }
    let line = |((labels, sign), metrics): ((&str, &str), Vec<&str>)| {
        let of = if let [one] = *metrics { one.to_owned() } else { format!("{} metrics", metrics.len()) };
        vec![format!("{sign} {{{labels}}}"), of]
    };
    metrics.into_iter().map(line).collect()
}

/// A line for each value that changed; of a row that is new or gone, for those by which one knows it.
fn red_rows(change: &RedChange) -> Vec<Vec<String>> {
    let RedChange { row, before, after, changed } = change;
    let some = before.or(*after);
    let rate = if some.is_some_and(|values| values.rate_milli.is_some()) { "rate/s" } else { "count" };
    let line = |name: &str, of: fn(&RedValues) -> (u64, String)| {
        let [old, new] = [before, after].map(|side| side.as_ref().map(of));
        let change = match (&old, &new) {
            (Some(old), Some(new)) => percent(old.0, new.0),
            (None, _) => "new".to_owned(),
            (_, None) => "gone".to_owned(),
        };
        let cell = |side: Option<(u64, String)>| side.map_or_else(|| "-".to_owned(), |(_, shown)| shown);
        let (service, kind, method) = (row.service.clone(), row.kind.clone(), row.method.clone());
        vec![service, kind, method, shown(&row.route), name.to_owned(), cell(old), cell(new), change]
    };
    let whole = before.is_none() || after.is_none();
    let has = |of: fn(&RedValues) -> u64| some.is_some_and(|values| of(&values) > 0);
    let wanted = |name: &str, known: bool| if whole { known } else { changed.contains(&name) };
    [
        wanted("rate", true).then(|| line(rate, |values| (values.rate_milli.unwrap_or(values.count), rate_of(values)))),
        wanted("errors", has(|values| values.errors)).then(|| line("errors", |values| share(values.errors, values))),
        wanted("incomplete", has(|values| values.incomplete))
            .then(|| line("incomplete", |values| share(values.incomplete, values))),
        wanted("p50", false).then(|| line("p50", |values| (values.p50_ns, nanos(values.p50_ns)))),
        wanted("p95", has(|values| values.count)).then(|| line("p95", |values| (values.p95_ns, nanos(values.p95_ns)))),
        wanted("p99", false).then(|| line("p99", |values| (values.p99_ns, nanos(values.p99_ns)))),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn rate_of(values: &RedValues) -> String {
    let rate = |milli: u64| format!("{}.{:03}", milli / 1000, milli % 1000);
    values.rate_milli.map_or_else(|| values.count.to_string(), rate)
}

/// A part of a row's requests: in millionths, by which it is compared, and as it is shown.
fn share(part: u64, values: &RedValues) -> (u64, String) {
    (values.share(part), format!("{part} of {}", values.count + values.incomplete))
}

/// From `before` to `after`, in per cent; of nothing, nothing can be said.
fn percent(before: u64, after: u64) -> String {
    if before == 0 {
        return String::new();
    }
    format!("{:+.1} %", (after as f64 - before as f64) * 100.0 / before as f64)
}

fn shown(route: &str) -> String {
    if route.is_empty() { "-".to_owned() } else { route.to_owned() }
}
