//! A comparison for people, on a terminal.

use std::io::{self, Write};

use redtape_core::Count;

use super::compare::{Changes, RedChange, RedValues, SpanChanges};
use super::side::Group;
use crate::write::{Table, nanos, printable};

/// Writes what changed, of each table at most `limit` rows.
pub(super) fn write(out: &mut impl Write, changes: &Changes, limit: usize) -> io::Result<()> {
    let Changes { before, after, differences, .. } = changes;
    writeln!(out, "before: {}\nafter:  {}", printable(before), printable(after))?;
    if *differences == 0 {
        return writeln!(out, "no difference{}", within(changes));
    }
    writeln!(out, "{}{}", Count(*differences as u64, "difference"), within(changes))?;
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
        let rows = series.metrics.iter().flat_map(|metric| {
            let row = |sign: &str, labels: &String| vec![format!("{sign} {}{{{labels}}}", metric.metric)];
            let gained = metric.gained_series.iter().map(move |labels| row("+", labels));
            let lost = metric.lost_series.iter().map(move |labels| row("-", labels));
            lost.chain(gained)
        });
        let sums = series.metrics.iter().map(|metric| {
            let numbers = [metric.before, metric.after, metric.gained, metric.lost].map(|number| number.to_string());
            [vec![metric.metric.clone()], numbers.into()].concat()
        });
        let (gained, lost) =
            series.metrics.iter().fold((0, 0), |sum, metric| (sum.0 + metric.gained, sum.1 + metric.lost));
        let title = format!("series: {} before, {} after; {gained} gained, {lost} lost", series.before, series.after);
        tables.push((title, vec!["metric", "before", "after", "gained", "lost"], 1, sums.collect()));
        tables.push(("series gained and lost".to_owned(), vec!["series"], 1, rows.collect()));
    }
    tables.extend(changes.spans.iter().flat_map(spans));
    if let Some(red) = &changes.red {
        let rates = red.iter().filter_map(|row| row.after.or(row.before)).all(|values| values.rate_milli.is_some());
        let rate = if rates { "rate/s" } else { "count" };
        let header = vec!["service", "kind", "method", "route", rate, "errors", "incomplete", "p50", "p95", "p99"];
        tables.push(("rates, errors and durations".to_owned(), header, 4, red.iter().map(red_row).collect()));
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

fn red_row(change: &RedChange) -> Vec<String> {
    let row = &change.row;
    let both = |name: &str, of: fn(&RedValues) -> String| match (&change.before, &change.after) {
        (Some(before), Some(after)) if change.changed.contains(&name) => {
            format!("{} > {}", of(before), of(after))
        }
        (_, Some(after)) if change.before.is_some() => of(after),
        (None, Some(after)) => format!("new: {}", of(after)),
        (Some(before), _) => format!("gone: {}", of(before)),
        (None, None) => String::new(),
    };
    vec![
        row.service.clone(),
        row.kind.clone(),
        row.method.clone(),
        shown(&row.route),
        both("rate", |values| {
            values
                .rate_milli
                .map_or_else(|| values.count.to_string(), |rate| format!("{}.{:03}", rate / 1000, rate % 1000))
        }),
        both("errors", |values| values.errors.to_string()),
        both("incomplete", |values| values.incomplete.to_string()),
        both("p50", |values| nanos(values.p50_ns)),
        both("p95", |values| nanos(values.p95_ns)),
        both("p99", |values| nanos(values.p99_ns)),
    ]
}

fn shown(route: &str) -> String {
    if route.is_empty() { "-".to_owned() } else { route.to_owned() }
}
