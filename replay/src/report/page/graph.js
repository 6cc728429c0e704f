// The service graph: laid out by dagre, drawn by ECharts.

function serviceGraph(graph) {
  if (graph.edges.length === 0) return section("graph", "Service graph", empty("There are no calls on the tape."));
  const key = (end) => `${end.type} ${end.name || ""}`;
  const name = (end) => (end.type === "outside" ? "outside" : end.name);
  const nodes = new Map(graph.edges.flatMap((edge) => [edge.from, edge.to]).map((end) => [key(end), end]));
  const calls = (edge) => edge.count + edge.incomplete;
  const most = Math.max(...graph.edges.map(calls), 1);
  const short = (text) => (text.length > 28 ? `${text.slice(0, 27)}…` : text);

  function place() {
    const layout = new redtapeCharts.graphlib.Graph();
    layout.setGraph({ rankdir: "LR", nodesep: 12, ranksep: 90, marginx: 0, marginy: 0 });
    layout.setDefaultEdgeLabel(() => ({}));
    nodes.forEach((end, id) => layout.setNode(id, { width: Math.max(60, 7.4 * short(name(end)).length), height: 62 }));
    graph.edges.forEach((edge) => layout.setEdge(key(edge.from), key(edge.to)));
    redtapeCharts.layout(layout);
    return layout;
  }

  const layout = place();
  const placed = [...nodes].map(([id, end]) => ({ id, end, ...layout.node(id) }));
  const xs = placed.map((node) => node.x);
  const ys = placed.map((node) => node.y);
  const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const margin = Math.max(...placed.map((node) => node.width)) / 2 + 8;
  // Corners that are not seen make the drawing as large as its place, so that it is not scaled.
  const [x0, x1, y0, y1] = [left - margin, right + margin, top - 32, bottom + 48];
  const corners = [[x0, y0], [x1, y1]].map(([x, y], at) => ({ id: `corner ${at}`, name: `corner ${at}`, x, y, symbolSize: 0, silent: true }));
  const described = (edge) => `${name(edge.from)} calls ${name(edge.to)} ${plural(calls(edge), "time")}, ${plural(edge.errors, "error")}`;
  const { figure } = chart({
    id: "chart-graph",
    title: "Who calls whom",
    height: y1 - y0,
    width: x1 - x0,
    text: () => graph.edges.map(described).join("; "),
    option: () => {
      const common = look();
      const [text, surface, accent, error, muted] = ["text", "surface", "accent", "error", "muted"].map(colour);
      return {
        textStyle: common.textStyle,
        tooltip: {
          ...common.tooltip,
          formatter: ({ dataType, data }) =>
            dataType === "edge"
              ? tip(`${name(data.edge.from)} → ${name(data.edge.to)}`, edgeFacts(data.edge))
              : data.end ? tip(name(data.end), [["is", kindOf(data.end)]]) : "",
        },
        series: [{
          type: "graph",
          layout: "none",
          left: 0, right: 0, top: 0, bottom: 0,
          symbol: "circle",
          edgeSymbol: ["none", "arrow"],
          edgeSymbolSize: 8,
          emphasis: { disabled: true },
          data: corners.concat(placed.map(({ id, end, x, y }) => ({
            id, end, x, y, name: id,
            symbolSize: 22,
            label: { show: true, position: "bottom", distance: 6, formatter: () => short(name(end)), color: text, fontSize: 13 },
            itemStyle:
              end.type === "service"
                ? { color: accent }
                : { color: surface, borderColor: muted, borderWidth: 1.5, borderType: "dashed" },
          }))),
          links: graph.edges.map((edge) => ({
            source: key(edge.from), target: key(edge.to), edge,
            label: {
              show: graph.edges.length <= 8, formatter: () => count(calls(edge)), color: muted, fontSize: 12,
              backgroundColor: surface, padding: [1, 3],
            },
            lineStyle: {
              width: 1 + (3 * Math.log1p(calls(edge))) / Math.log1p(most),
              color: edge.errors * 20 > calls(edge) ? error : muted,
              opacity: 0.8,
              curveness: graph.edges.some((other) => key(other.from) === key(edge.to) && key(other.to) === key(edge.from)) ? 0.2 : 0,
            },
          })),
        }],
      };
    },
  });
  const number = (label, of, show) => ({ label, value: of, number: true, show: show && ((edge) => show(of(edge))) });
  const columns = [
    { label: "From", value: (edge) => name(edge.from) },
    { label: "To", value: (edge) => name(edge.to) },
    number("Calls", (edge) => edge.count),
    number("Errors", (edge) => edge.errors),
    number("Incomplete", (edge) => edge.incomplete),
    number("p50", (edge) => edge.p50, nanos),
    number("p95", (edge) => edge.p95, nanos),
    number("Max", (edge) => edge.max, nanos),
  ];
  const left_out = graph.edges_in_all - graph.edges.length;
  return section(
    "graph",
    "Service graph",
    note(
      "Calls as their callers saw them; those that come from outside of the tape as the service saw them. An edge is red where more than one call in 20 failed.",
    ),
    left_out > 0 ? note(`The ${graph.edges.length} edges with the most calls, of ${count(graph.edges_in_all)}.`) : null,
    graph.calls_left_out > 0 ? note(`${plural(graph.calls_left_out, "call")} of still more edges are not counted.`) : null,
    figure,
    table({ id: "edges", caption: "Calls between services", columns, rows: graph.edges, sort: [2, true] }),
  );
}

const kindOf = (end) =>
  ({ outside: "whoever is not on the tape", service: "a service on the tape", host: "a host that is not on the tape" })[end.type];

const edgeFacts = (edge) => [
  ["calls", count(edge.count)],
  ["errors", `${count(edge.errors)}, ${percent(edge.errors, edge.count)}`],
  ["p50", nanos(edge.p50)],
  ["p95", nanos(edge.p95)],
  ["max", nanos(edge.max)],
];
