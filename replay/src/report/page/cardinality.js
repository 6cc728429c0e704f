// Cardinality: how many series there are, what they come of, and what would make more.

function cardinality(facts, wouldBe) {
  if (facts.metrics.length === 0) return section("cardinality", "Cardinality", empty("There are no metrics."));
  const last = facts.growth.length;
  const growth = chart({
    id: "chart-growth",
    title: "Series, by how much of the tape was read",
    height: 200,
    text: () => `Series after each twentieth of the spans: ${facts.growth.join(", ")}.`,
    option: () => {
      const common = look();
      const share = (at) => `${Math.round((100 * (at + 1)) / last)} %`;
      return {
        textStyle: common.textStyle,
        grid: { left: 8, right: 20, top: 12, bottom: 4, containLabel: true },
        xAxis: { type: "category", data: facts.growth.map((_, at) => share(at)), ...common.axis, splitLine: { show: false } },
        yAxis: { type: "value", min: 0, ...common.axis },
        tooltip: {
          ...common.tooltip,
          trigger: "axis",
          formatter: ([point]) => tip(`after ${share(point.dataIndex)} of the spans`, [["series", count(point.value)]]),
        },
        series: [{ type: "line", data: facts.growth, symbol: "none", color: colour("accent"), areaStyle: { opacity: 0.12 }, lineStyle: { width: 2 } }],
      };
    },
    alternative: () =>
      table({
        caption: "Growth",
        columns: [
          { label: "Part of the spans", value: (at) => at, show: (at) => `${Math.round((100 * (at + 1)) / last)} %` },
          { label: "Series", value: (at) => facts.growth[at], number: true },
        ],
        rows: facts.growth.map((_, at) => at),
      }),
  });
  const grown = (metric) => metric.series - (metric.growth[Math.ceil(metric.growth.length / 2) - 1] || 0);
  const widest = (metric) => metric.labels[0];
  const columns = [
    { label: "Metric", value: (metric) => metric.name, mono: true },
    { label: "Series", value: (metric) => metric.series, number: true },
    { label: "Samples a scrape", value: (metric) => metric.samples, number: true },
    { label: "New in the second half", value: grown, number: true, title: "Series that only came with the second half of the spans" },
    { label: "Label with most values", value: (metric) => (widest(metric) ? `${widest(metric).name} (${widest(metric).values})` : "–"), mono: true },
    { label: "Limit", value: (metric) => (metric.overflow ? "over" : "within") },
  ];
  return section(
    "cardinality",
    "Cardinality",
    note(`${plural(facts.series, "series", "series")}, ${plural(facts.samples, "sample")} a scrape, from ${plural(facts.spans, "span")}.`),
    findings(facts, wouldBe, grown),
    growth.figure,
    table({ id: "metrics", caption: "Series of each metric", columns, rows: facts.metrics, sort: [1, true] }),
    labels(facts),
    ...wouldBeTables(facts, wouldBe),
  );
}

/** What to look at first. */
function findings(facts, wouldBe, grown) {
  const found = [];
  for (const metric of facts.metrics) {
    const widest = metric.labels[0];
    const because = widest ? [" ", code(widest.name), ` has the most values: ${count(widest.values)}.`] : [];
    if (metric.overflow) {
      found.push([code(metric.name), " is over its limit of series; what came later is in one overflow series.", ...because]);
    } else if (grown(metric) >= 10 && grown(metric) * 10 > metric.series) {
      found.push([code(metric.name), ` still grew: ${count(grown(metric))} of ${count(metric.series)} series came with the second half of the spans.`, ...because]);
    }
  }
  const worst = wouldBe.attributes[0];
  if (worst && worst.series >= 2 * wouldBe.series && worst.series >= wouldBe.series + 10) {
    const more = worst.at_least ? "more than " : "";
    found.push(["With ", code(worst.name), ` as a label, a metric of requests would have ${more}${count(worst.series)} series instead of ${count(wouldBe.series)}.`]);
  }
  const shown = found.slice(0, 12);
  if (shown.length === 0) return el("p", { class: "fine" }, "Nothing explodes: no metric is over its limit, and none grew much in the second half of the tape.");
  return el("ul", { class: "findings" }, shown.map((parts) => el("li", {}, parts)));
}

function labels(facts) {
  const rows = facts.metrics.flatMap((metric) => metric.labels.map((label) => ({ metric: metric.name, ...label })));
  const columns = [
    { label: "Metric", value: (row) => row.metric, mono: true },
    { label: "Label", value: (row) => row.name, mono: true },
    { label: "Values", value: (row) => row.values, number: true },
    {
      label: "Those with the most series",
      value: (row) => row.worst.map((worst) => worst.value).join(" "),
      show: (row) => row.worst.slice(0, 5).map((worst) => `${worst.value || "(empty)"} ${worst.series}`).join(", ") + (row.values > 5 ? ", …" : ""),
    },
  ];
  return el(
    "details", { class: "more-tables" },
    el("summary", {}, "Labels and their values"),
    table({ id: "labels", caption: "Labels and their values", columns, rows, filter: "Filter", sort: [2, true] }),
  );
}

function wouldBeTables(facts, wouldBe) {
  if (wouldBe.attributes.length === 0) return [];
  const atLeast = (row, number) => `${row.at_least ? "> " : ""}${count(number)}`;
  const attributes = [
    { label: "Attribute", value: (row) => row.name, mono: true },
    { label: "Values", value: (row) => row.values, show: (row) => atLeast(row, row.values), number: true },
    { label: "Series with it", value: (row) => row.series, show: (row) => atLeast(row, row.series), number: true },
    { label: "Times as many", value: (row) => row.series / Math.max(wouldBe.series, 1), show: (row) => `${(row.series / Math.max(wouldBe.series, 1)).toFixed(1)}×`, number: true },
  ];
  const paths = [
    { label: "Service", value: (row) => row.service },
    { label: "Route", value: (row) => row.route || "–", mono: true },
    { label: "Paths", value: (row) => row.paths, show: (row) => atLeast(row, row.paths), number: true },
    { label: "For example", value: (row) => row.examples.join(" "), show: (row) => row.examples.join("  "), mono: true },
  ];
  const more = wouldBe.attributes.filter((row) => row.series > wouldBe.series || row.at_least);
  const none = wouldBe.attributes.filter((row) => !more.includes(row)).map((row) => row.name);
  const several = wouldBe.routes.filter((row) => row.paths > 1);
  return [
    el("h3", {}, "What would explode"),
    note(
      `Service, method, route and status have ${plural(wouldBe.series, "combination")} among the requests served: a metric with these ` +
        "labels has a series for each. With one more attribute as a label, it would have those of each of its values.",
    ),
    more.length > 0
      ? table({ id: "would-be", caption: "Attributes that are no labels", columns: attributes, rows: more, sort: [2, true] })
      : null,
    none.length > 0
      ? el("p", { class: "fine" }, "No series more with ", none.flatMap((name, at) => [at === 0 ? null : at + 1 === none.length ? " or " : ", ", code(name)]), ".")
      : null,
    several.length > 0
      ? table({ id: "paths", caption: "Routes, and the paths that they stand for", columns: paths, rows: several, sort: [2, true], first: 15 })
      : el("p", { class: "fine" }, "Every route stands for one path: none takes anything together."),
  ];
}
