// What changed since another tape: what `redtape diff` says.

const LISTED = 500;

function comparison(changes) {
  const parts = [redChanges(changes.red), routeChanges(changes.routes), seriesChanges(changes.series), spanChanges(changes.spans)];
  const within = changes.tolerance_percent > 0 ? `, beyond ${changes.tolerance_percent} %` : "";
  return section(
    "compare",
    "Comparison",
    note(
      el("span", { class: "mono" }, changes.before), " before, ", el("span", { class: "mono" }, changes.after),
      ` now: ${changes.differences === 0 ? "no difference" : plural(changes.differences, "difference")}${within}.`,
    ),
    ...parts.flat(),
  );
}

/** A heading and a table, or a sentence where there is nothing to be listed. */
function listed(title, none, make, rows) {
  if (rows.length === 0) return [el("h3", {}, title), el("p", { class: "fine" }, none)];
  const more = rows.length > LISTED ? note(`The first ${LISTED} of ${count(rows.length)}.`) : null;
  return [el("h3", {}, title), more, make(rows.slice(0, LISTED))].filter(Boolean);
}

function redChanges(red) {
  const value = (row, key) => (row.after || row.before)[key];
  const pair = (label, key, name, show) => ({
    label,
    number: true,
    value: (row) => value(row, key),
    show: (row) => {
      if (!row.before || !row.after || !row.changed.includes(name)) return show(value(row, key));
      const [before, after] = [row.before[key], row.after[key]];
      const change = before === 0 ? "" : ` ${after >= before ? "+" : "−"}${percent(Math.abs(after - before), before)}`;
      return el("span", {}, `${show(before)} → `, el("strong", {}, show(after)), el("span", { class: "change" }, change));
    },
  });
  const rates = (red || []).every((row) => (row.after || row.before).rate_milli !== null);
  const state = (row) => (!row.before ? "new" : !row.after ? "gone" : "changed");
  const columns = [
    { label: "Service", value: (row) => row.service },
    { label: "Kind", value: (row) => row.kind },
    { label: "Method", value: (row) => row.method },
    { label: "Route", value: (row) => row.route || "–", mono: true },
    { label: "Row", value: state },
    rates ? pair("Rate/s", "rate_milli", "rate", perSecond) : pair("Count", "count", "rate", count),
    pair("Errors", "errors", "errors", count),
    pair("p50", "p50_ns", "p50", nanos),
    pair("p95", "p95_ns", "p95", nanos),
    pair("p99", "p99_ns", "p99", nanos),
  ];
  const make = (rows) => table({ id: "compare-red", caption: "Rates, errors and durations that changed", columns, rows, filter: "Filter", first: 15 });
  return listed("Rates, errors and durations", "All rows are the same.", make, red || []);
}

function routeChanges(routes) {
  const list = (names) => names.map((name) => name || "–").join(", ");
  const columns = [
    { label: "Service", value: (row) => `${row.service}, ${row.kind}` },
    { label: "Change", value: (row) => row.change },
    { label: "Before", value: (row) => list(row.before), mono: true },
    { label: "Now", value: (row) => list(row.after), mono: true },
    { label: "Paths", value: (row) => row.paths, number: true },
    { label: "For example", value: (row) => row.examples.join("  "), mono: true },
  ];
  const make = (rows) => table({ id: "compare-routes", caption: "Routes that split, merged or have another name", columns, rows, first: 15 });
  return listed("Routes", "No path has another route.", make, routes || []);
}

function seriesChanges(series) {
  const all = series ? series.metrics : [];
  const rows = all.flatMap((metric) => [
    ...metric.gained_series.map((labels) => ({ change: "gained", metric: metric.metric, labels })),
    ...metric.lost_series.map((labels) => ({ change: "lost", metric: metric.metric, labels })),
  ]);
  const columns = [
    { label: "Change", value: (row) => row.change },
    { label: "Metric", value: (row) => row.metric, mono: true },
    { label: "Labels", value: (row) => row.labels, mono: true },
  ];
  const sums = series ? ` ${count(series.before)} before, ${count(series.after)} now.` : "";
  const make = (rows) => table({ id: "compare-series", caption: "Series gained and lost", columns, rows, filter: "Filter", first: 15 });
  return listed("Series", `The series are the same.${sums}`, make, rows);
}

function spanChanges(spans) {
  const columns = [
    { label: "Service", value: (row) => row.service },
    { label: "Kind", value: (row) => row.kind },
    { label: "Name", value: (row) => row.name, mono: true },
    { label: "Answer", value: (row) => row.answer },
    { label: "Before", value: (row) => row.before, number: true },
    { label: "Now", value: (row) => row.after, number: true },
  ];
  const make = (rows) => table({ id: "compare-spans", caption: "Spans by kind", columns, rows, filter: "Filter", first: 15 });
  const parts = listed("Spans", "There are as many spans of each kind.", make, spans ? spans.groups : []);
  const same = spans && spans.same;
  if (same) {
    const facts = [
      plural(same.in_both, "span") + " on both sides", `${count(same.only_before)} gone`, `${count(same.only_after)} new`,
      `${count(same.parents)} with another parent`, `${count(sum(same.moved.map(([, , number]) => number)))} with another service, name or answer`,
    ];
    parts.push(note(`The same spans: ${facts.join(", ")}.`));
  }
  return parts;
}
