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

/** The values of a row: what they are called, what they are compared by, and how they are shown. */
const RED = [
  ["rate", "Rate/s", (row) => row.rate_milli ?? row.count, (row) => (row.rate_milli === null ? plural(row.count, "request") : perSecond(row.rate_milli))],
  ["errors", "Errors", (row) => row.errors / Math.max(row.count + row.incomplete, 1), (row) => `${count(row.errors)} of ${count(row.count + row.incomplete)}`],
  ["incomplete", "Incomplete", (row) => row.incomplete / Math.max(row.count + row.incomplete, 1), (row) => `${count(row.incomplete)} of ${count(row.count + row.incomplete)}`],
  ["p50", "p50", (row) => row.p50_ns, (row) => nanos(row.p50_ns)],
  ["p95", "p95", (row) => row.p95_ns, (row) => nanos(row.p95_ns)],
  ["p99", "p99", (row) => row.p99_ns, (row) => nanos(row.p99_ns)],
];

/** A line for each value that changed; of a row that is new or gone, for those by which one knows it. */
function redChanges(red) {
  const lines = (red || []).flatMap((row) => {
    const whole = !row.before || !row.after;
    const some = row.after || row.before;
    const told = RED.filter(([name, , of]) => (whole ? name === "rate" || (["errors", "incomplete", "p95"].includes(name) && of(some) > 0) : row.changed.includes(name)));
    return told.map(([, label, of, show]) => {
      const [before, after] = [row.before, row.after].map((side) => side && { number: of(side), text: show(side) });
      const change = before && after && before.number > 0 ? (after.number - before.number) / before.number : null;
      return { row, label, before, after, change, state: !before ? "new" : !after ? "gone" : "changed" };
    });
  });
  const side = (label, key) => ({ label, number: true, value: (line) => (line[key] ? line[key].number : null), show: (line) => (line[key] ? line[key].text : "–") });
  const columns = [
    { label: "Service", value: (line) => line.row.service },
    { label: "Kind", value: (line) => line.row.kind },
    { label: "Method", value: (line) => line.row.method },
    { label: "Route", value: (line) => line.row.route || "–", mono: true },
    { label: "Row", value: (line) => line.state },
    { label: "Value", value: (line) => line.label },
    side("Before", "before"),
    side("Now", "after"),
    {
      label: "Change",
      number: true,
      value: (line) => line.change,
      show: (line) => (line.change === null ? "–" : `${line.change < 0 ? "−" : "+"}${percent(Math.abs(line.change), 1)}`),
    },
  ];
  const make = (rows) => table({ id: "compare-red", caption: "Rates, errors and durations that changed", columns, rows, filter: "Filter" });
  return listed("Rates, errors and durations", "All rows are the same.", make, lines);
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
