// The RED table, and how requests were answered.

/** A route, and behind it those of the traces shown that have such a request. */
function routeLink(row, shown) {
  const name = breakable(row.route || "–");
  const wanted = [row.service, row.method, row.route].filter(Boolean).join(" ");
  const found = shown.some((trace) => trace.spans.some((span) => span.service === row.service && span.kind === row.kind && row.route && span.name.includes(row.route)));
  if (!found) return el("span", {}, name);
  return el("button", { type: "button", class: "link", title: "Traces with such a request", onclick: () => showTraces(wanted) }, name);
}

function routes(red, shown) {
  const number = (label, key, title, show) => ({
    label, title, number: true, value: (row) => row[key], show: show && ((row) => (row[key] === null ? "–" : show(row[key]))),
  });
  const columns = [
    { label: "Service", value: (row) => (row.namespace ? `${row.namespace}/${row.service}` : row.service) },
    { label: "Kind", value: (row) => row.kind || "–", title: "Requests served, or calls made" },
    { label: "Method", value: (row) => row.method || "–" },
    { label: "Route", value: (row) => row.route || "–", show: (row) => routeLink(row, shown), mono: true },
    number("Count", "count", "Requests that ended"),
    number("Rate/s", "rate_milli", "Requests a second, over the whole tape", perSecond),
    number("Errors", "errors", "Requests that failed"),
    number("p50", "p50", "Half of the requests took no longer", nanos),
    number("p95", "p95", "95 of 100 requests took no longer", nanos),
    number("p99", "p99", "99 of 100 requests took no longer", nanos),
    number("Max", "max", "The slowest request", nanos),
    number("Queue p95", "queue_p95", "Time between arrival and the application's first read", nanos),
    ...(red.some((row) => row.incomplete > 0)
      ? [number("Incomplete", "incomplete", "Requests of which the end is not known; in no other column")]
      : []),
  ];
  const content =
    red.length === 0
      ? [empty("There is no request on the tape.")]
      : [
          note("The slowest first, by the 95th percentile. The numbers are those of ", code("redtape replay"), ". A route leads to its traces."),
          table({
            id: "red", caption: "Rate, errors and durations by route", columns, rows: red, filter: "Filter", sort: [8, true],
          }),
        ];
  return section("routes", "Routes", ...content);
}

const CLASSES = ["1xx", "2xx", "3xx", "4xx", "5xx", "gRPC OK", "gRPC error", "no answer", "incomplete"];

function statuses(mix) {
  if (mix.services.length === 0) return section("status", "Status", empty("There is no request on the tape."));
  const label = (one) => `${one.service}, ${one.kind}`;
  const all = (one) => sum(one.answers.map(([, , number]) => number));
  const services = [...mix.services].sort((a, b) => all(b) - all(a));
  const shown = services.slice(0, 15);
  const of = (one, kind) => sum(one.answers.filter(([, other]) => other === kind).map(([, , number]) => number));
  const used = CLASSES.filter((kind) => services.some((one) => of(one, kind) > 0));
  const { figure } = chart({
    id: "chart-status",
    title: "How requests were answered",
    height: 60 + 30 * shown.length,
    text: () => shown.map((one) => `${label(one)}: ${used.map((kind) => `${of(one, kind)} ${kind}`).join(", ")}`).join("; "),
    option: () => {
      const common = look();
      return {
        textStyle: common.textStyle,
        grid: { left: 8, right: 12, top: 34, bottom: 4, containLabel: true },
        legend: common.legend,
        yAxis: { type: "category", inverse: true, data: shown.map(label), ...common.axis, axisLine: { show: false } },
        xAxis: { type: "value", max: 100, ...common.axis, axisLabel: { ...common.axis.axisLabel, formatter: "{value} %" } },
        tooltip: {
          ...common.tooltip,
          trigger: "axis",
          axisPointer: { type: "none" },
          formatter: (points) => {
            const one = shown[points[0].dataIndex];
            return tip(label(one), one.answers.map(([answer, , number]) => [answer, `${count(number)}, ${percent(number, all(one))}`]));
          },
        },
        series: used.map((kind) => ({
          name: kind,
          type: "bar",
          stack: "all",
          barWidth: 16,
          color: colour(`class-${CLASSES.indexOf(kind)}`),
          data: shown.map((one) => (100 * of(one, kind)) / all(one)),
        })),
      };
    },
    alternative: () => {
      const rows = services.flatMap((one) => one.answers.map((answer) => [one, answer]));
      const columns = [
        { label: "Service", value: ([one]) => one.service },
        { label: "Kind", value: ([one]) => one.kind },
        { label: "Answer", value: ([, [answer]]) => answer },
        { label: "Count", value: ([, [, , number]]) => number, number: true },
        { label: "Share", value: ([one, [, , number]]) => number / all(one), show: ([one, [, , number]]) => percent(number, all(one)), number: true },
      ];
      return table({ caption: "Answers by service", columns, rows });
    },
  });
  const left = services.length - shown.length;
  return section(
    "status",
    "Status",
    left > 0 ? note(`The ${shown.length} of ${services.length} services with the most requests; the table has all.`) : null,
    mix.left_out > 0 ? note(`Of more services, ${plural(mix.left_out, "request")} are not counted here.`) : null,
    figure,
  );
}
