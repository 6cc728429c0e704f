// The page.

const data = JSON.parse(document.getElementById("data").textContent);

function tapeLine(tape) {
  const facts = [
    tape.host && `host ${tape.host}`,
    tape.kernel && `kernel ${tape.kernel}`,
    tape.arch,
    tape.recorded && `recorded ${tape.recorded}`,
    tape.tool && `by ${tape.tool}`,
    tape.redaction && `redacted by ${tape.redaction}`,
    plural(tape.events, "event"),
  ];
  return el("li", {}, el("strong", { class: "mono" }, breakable(tape.name)), " ", el("span", {}, facts.filter(Boolean).join(", ")));
}

function tile(id, label, value, more) {
  return el("div", { class: "tile" }, el("dt", {}, label), el("dd", { id, "data-value": value }, count(value)), more ? el("dd", { class: "more" }, more) : null);
}

function overview() {
  const totals = data.totals;
  const of = (kind, key) => sum(data.red.filter((row) => row.kind === kind).map((row) => row[key]));
  const served = of("server", "count");
  const failed = of("server", "errors");
  const called = of("client", "count");
  const lost = sum(data.trouble.lost.map((row) => row.count));
  const services = new Set(data.red.map((row) => row.service)).size;
  const routes = new Set(data.red.filter((row) => row.kind === "server").map((row) => `${row.service} ${row.route}`)).size;
  const rate = totals.duration_ns === 0 ? "" : `${count(Math.round((served * 1e9) / totals.duration_ns))}/s`;
  return el(
    "dl",
    { class: "tiles" },
    tile("served", "Served", served, rate),
    tile("failed", "Errors", failed, served ? percent(failed, served) : ""),
    tile("called", "Calls", called, called ? `${percent(of("client", "errors"), called)} errors` : ""),
    tile("services", "Services", services, plural(routes, "route")),
    tile("trace-count", "Traces", data.traces.traces, plural(totals.spans, "span")),
    tile("series", "Series", data.cardinality.series, plural(data.cardinality.samples, "sample")),
    tile("incomplete", "Incomplete", totals.incomplete, `of ${plural(totals.spans, "span")}`),
    tile("lost-count", "Lost", lost, "records"),
  );
}

function theme() {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const root = document.documentElement;
  const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const button = el("button", { type: "button", id: "theme", class: "theme" });
  const show = () => {
    button.textContent = dark() ? "Light theme" : "Dark theme";
    redraw();
  };
  button.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    show();
  });
  system.addEventListener("change", show);
  show();
  return button;
}

function main() {
  const totals = data.totals;
  const sections = [
    overTime(data.timeline),
    routes(data.red, data.traces.shown),
    statuses(data.statuses),
    traces(data.traces),
    serviceGraph(data.graph),
    cardinality(data.cardinality, data.would_be),
    trouble(data.trouble, data.tapes),
    ...(data.compare ? [comparison(data.compare)] : []),
  ];
  const links = sections.map((one) => el("li", {}, el("a", { href: `#${one.id}` }, one.querySelector("h2").textContent)));
  document.title = `redtape report: ${data.tapes.map((tape) => tape.name).join(", ")}`;
  document.body.append(
    el("a", { class: "skip", href: "#content" }, "Skip to the content"),
    el(
      "header", {},
      el("div", { class: "title" }, el("h1", {}, "redtape report"), theme()),
      el("ul", { class: "tapes" }, data.tapes.map(tapeLine)),
      el("p", { class: "note" }, `${totals.start} to ${totals.end} (UTC), ${nanos(totals.duration_ns)}`),
    ),
    el("nav", { "aria-label": "Sections" }, el("ul", {}, links)),
    el("main", { id: "content", tabindex: "-1" }, overview(), ...sections),
    el("footer", {}, el("p", { class: "note" }, `Made by ${data.tool}. Charts by Apache ECharts and dagre; their licenses are in the source of this page.`)),
  );
}

main();
document.documentElement.dataset.ready = "true";
