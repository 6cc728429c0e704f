// Over time: rate, errors and durations, and the heat map of durations, of all services or one.

function overTime(timeline) {
  if (timeline.steps === 0) {
    return section("time", "Over time", empty("There is no request on the tape."));
  }
  const scopes = timeline.scopes;
  let scope = scopes.find((one) => one.kind === "server" && !one.service) || scopes[0];
  const seconds = timeline.width_ns / 1e9;
  const at = (step) => timeline.start_ms + (step * timeline.width_ns) / 1e6;
  const times = Array.from({ length: timeline.steps }, (_, step) => clock(at(step), timeline.width_ns));
  const name = (one) => `${one.service || "all services"}, ${one.kind === "server" ? "requests served" : "calls made"}`;
  const rate = (number) => number / seconds;
  const round = (number) => (number >= 100 ? Math.round(number) : Number(number.toPrecision(3)));

  const axes = (common, label) => ({
    textStyle: common.textStyle,
    grid: { left: 8, right: 12, top: 34, bottom: 4, containLabel: true },
    xAxis: { type: "category", data: times, ...common.axis, splitLine: { show: false } },
    yAxis: { type: "value", min: 0, ...common.axis, axisLabel: { ...common.axis.axisLabel, formatter: label } },
    legend: common.legend,
  });
  const onAxis = (common, value) => ({
    ...common.tooltip,
    trigger: "axis",
    axisPointer: { type: "line", lineStyle: { color: colour("muted") } },
    formatter: (points) =>
      tip(`${times[points[0].dataIndex]} UTC`, points.map((point) => [point.seriesName, value(point.value)])),
  });
  const line = (label, data, tone, type = "solid") => ({
    name: label, type: "line", data, symbol: "none", color: tone, lineStyle: { width: 2, type },
  });
  const bars = (label, data, tone) => ({ name: label, type: "bar", stack: "all", data, color: tone, barCategoryGap: "15%" });

  const rates = chart({
    id: "chart-rate",
    title: "Rate",
    height: 220,
    text: () => `Requests a second over time: ${name(scope)}. ${plural(sum(scope.count), "request")} in all.`,
    option: () => {
      const common = look();
      const fine = scope.count.map((all, step) => rate(all - scope.errors[step]));
      const failed = scope.errors.map(rate);
      return {
        ...axes(common, (value) => count(value)),
        tooltip: onAxis(common, (value) => `${round(value)}/s`),
        series: [bars("without error", fine, colour("accent")), bars("with error", failed, colour("error"))],
      };
    },
    alternative: () => stepTable("Rate and errors over time"),
  });
  const shares = chart({
    id: "chart-errors",
    title: "Errors",
    height: 220,
    text: () => `Share of errors over time: ${name(scope)}. ${plural(sum(scope.errors), "error")} in all.`,
    option: () => {
      const common = look();
      const share = scope.count.map((all, step) => (all === 0 ? null : (100 * scope.errors[step]) / all));
      return {
        ...axes(common, (value) => `${value} %`),
        legend: { show: false },
        grid: { left: 8, right: 12, top: 12, bottom: 4, containLabel: true },
        tooltip: onAxis(common, (value) => (value === null || value === undefined ? "no request" : percent(value, 100))),
        series: [{ ...bars("errors", share, colour("error")), stack: null }],
      };
    },
    alternative: () => stepTable("Rate and errors over time"),
  });
  const durations = chart({
    id: "chart-duration",
    title: "Duration",
    height: 220,
    text: () => `Median, 95th and 99th percentile of durations over time: ${name(scope)}.`,
    option: () => {
      const common = look();
      const known = (values) => values.map((value, step) => (scope.count[step] === 0 ? null : value));
      return {
        ...axes(common, (value) => nanos(Math.round(value)).replace(/\.0+(?=[a-z])/, "")),
        tooltip: onAxis(common, (value) => (value === null || value === undefined ? "–" : nanos(value))),
        series: [
          line("p50", known(scope.p50), colour("accent")),
          line("p95", known(scope.p95), colour("accent-2")),
          line("p99", known(scope.p99), colour("muted"), "dashed"),
        ],
      };
    },
    alternative: () => stepTable("Durations over time"),
  });

  function stepTable(caption) {
    const steps = times.map((_, step) => step).filter((step) => scope.count[step] + scope.incomplete[step] > 0);
    const number = (label, of, show) => ({ label, value: of, number: true, show: show && ((step) => show(of(step))) });
    const columns = [
      { label: "From (UTC)", value: (step) => at(step), show: (step) => times[step] },
      number("Requests", (step) => scope.count[step]),
      number("Errors", (step) => scope.errors[step]),
      number("Incomplete", (step) => scope.incomplete[step]),
      number("p50", (step) => scope.p50[step], nanos),
      number("p95", (step) => scope.p95[step], nanos),
      number("p99", (step) => scope.p99[step], nanos),
    ];
    return table({ caption: `${caption}: ${name(scope)}`, columns, rows: steps });
  }

  const heat = heatMap(timeline, times, () => scope, name);
  const select = el(
    "select",
    {
      id: "scope",
      onchange: (event) => {
        scope = scopes[event.target.value];
        [rates, shares, durations, heat].forEach((one) => one.update());
      },
    },
    scopes.map((one, index) => el("option", { value: index, selected: one === scope }, name(one))),
  );
  const width = nanos(timeline.width_ns).replace(".00", "").replace(".0", "");
  return section(
    "time",
    "Over time",
    el("label", { class: "filter" }, el("span", {}, "Show"), select),
    note(
      `Steps of ${width}, by the time at which requests ended, in UTC. Durations include waiting.`,
      timeline.left_out ? " The tape has more services than can be shown apart here; they are part of all services." : "",
    ),
    el("div", { class: "charts" }, rates.figure, shares.figure, durations.figure),
    heat.figure,
  );
}

function heatMap(timeline, times, scope, name) {
  const bounds = [...new Set(timeline.scopes.flatMap((one) => one.heat.map(([, low]) => low)))].sort((a, b) => a - b);
  const label = (low) => nanos(low).replace(/\.0+(?=[a-z])/, "");
  const next = (low) => (String(low)[0] === "2" ? low * 2.5 : low * 2);
  const range = (low) => (low === 0 ? "0" : `${label(low)} to ${label(next(low))}`);
  return chart({
    id: "chart-heat",
    title: "Latency heat map",
    height: Math.max(180, 60 + 20 * bounds.length),
    text: () => `How many requests took how long, over time: ${name(scope())}.`,
    option: () => {
      const common = look();
      const data = scope().heat.map(([step, low, number]) => [step, bounds.indexOf(low), Math.log(number), number]);
      const most = Math.max(...data.map((cell) => cell[2]), 1);
      return {
        textStyle: common.textStyle,
        grid: { left: 8, right: 12, top: 34, bottom: 4, containLabel: true },
        xAxis: { type: "category", data: times, ...common.axis },
        yAxis: { type: "category", data: bounds.map(label), name: "from", nameGap: 8, ...common.axis },
        visualMap: {
          type: "continuous", min: 0, max: most, dimension: 2, calculable: false, orient: "horizontal", right: 12, top: 0,
          itemWidth: 10, itemHeight: 120, text: [plural(Math.round(Math.exp(most)), "request"), "1"], textStyle: common.axis.axisLabel,
          inRange: { color: [colour("heat-low"), colour("accent"), colour("heat-high")] },
        },
        tooltip: {
          ...common.tooltip,
          formatter: ({ value: [step, row, , number] }) =>
            tip(`${times[step]} UTC`, [[range(bounds[row]), plural(number, "request")]]),
        },
        series: [{ type: "heatmap", data, itemStyle: { borderColor: colour("surface"), borderWidth: 1 } }],
      };
    },
    alternative: () => {
      const total = new Map();
      scope().heat.forEach(([, low, number]) => total.set(low, (total.get(low) || 0) + number));
      const columns = [
        { label: "Duration", value: (low) => low, show: range },
        { label: "Requests", value: (low) => total.get(low), number: true },
      ];
      return table({ caption: `Durations: ${name(scope())}`, columns, rows: bounds.filter((low) => total.has(low)) });
    },
  });
}

const sum = (numbers) => numbers.reduce((all, one) => all + one, 0);
