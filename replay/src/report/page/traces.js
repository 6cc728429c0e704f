// Traces: a list, and the waterfall of the one that is open.

function traces(facts) {
  if (facts.shown.length === 0) return section("traces", "Traces", empty("There is no trace on the tape."));
  const detail = el("div", { id: "waterfall", "aria-live": "polite" });
  const root = (trace) => trace.spans[0];
  let opener = null;

  function open(trace, button) {
    opener = button;
    const close = () => {
      detail.replaceChildren();
      opener.focus();
    };
    detail.replaceChildren(waterfall(trace, close));
    detail.querySelector("h3").focus();
  }

  const columns = [
    {
      label: "Trace",
      value: (trace) => `${root(trace).service} ${root(trace).name}`,
      show: (trace) => {
        const button = el(
          "button",
          { type: "button", class: "link", "data-trace": trace.id },
          el("span", {}, root(trace).service), " ", el("span", { class: "mono" }, root(trace).name),
        );
        button.addEventListener("click", () => open(trace, button));
        return button;
      },
    },
    { label: "Answer", value: (trace) => root(trace).answer, show: (trace) => el("span", { class: root(trace).error ? "answer failed" : "answer" }, root(trace).answer || "–") },
    { label: "Duration", value: (trace) => trace.duration, show: (trace) => nanos(trace.duration), number: true },
    { label: "Start (UTC)", value: (trace) => trace.start_us, show: (trace) => moment(trace.start_us).slice(11) },
    { label: "Spans", value: (trace) => trace.spans.length + trace.left_out, number: true },
    { label: "Errors", value: (trace) => trace.errors, number: true },
    { label: "Shown as", title: "Why it is among those that the page has", value: (trace) => trace.why.join(", ") },
  ];
  const words = (trace) => trace.spans.map((span) => `${span.service} ${span.name} ${span.answer}`).join(" ");
  const [slowest, ofKind, errors, sample, kinds] = facts.rules;
  const all = facts.shown.length === facts.traces;
  return section(
    "traces",
    "Traces",
    el(
      "p",
      { class: "note", id: "traces-shown" },
      all
        ? `All ${plural(facts.traces, "trace")}, of ${plural(facts.spans, "span")}.`
        : `${count(facts.shown.length)} of ${plural(facts.traces, "trace")} (${plural(facts.spans, "span")}): the ${slowest} slowest, ` +
          `up to ${ofKind} with errors of each kind of request (${errors} at most), and ${sample} others of each kind (${kinds} kinds at most).`,
    ),
    table({ id: "trace-list", caption: "Traces", columns, rows: facts.shown, filter: "Filter by any span", words, sort: [2, true], first: 15 }),
    detail,
  );
}

/** Goes to the list of traces, and leaves those with these words. */
function showTraces(words) {
  const search = document.querySelector("#traces input");
  search.value = words;
  search.dispatchEvent(new Event("input"));
  search.scrollIntoView({ block: "center" });
  search.focus({ preventScroll: true });
}

function waterfall(trace, close) {
  const share = (part) => (trace.duration === 0 ? 0 : (100 * part) / trace.duration);
  const place = (element, start, length) => {
    element.style.left = `${Math.min(share(start), 99.8)}%`;
    element.style.width = `${Math.max(share(length), 0.2)}%`;
    return element;
  };
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((part) => el("span", {}, nanos(Math.round(trace.duration * part))));

  function row(span) {
    const attributes = el("dl", { class: "attributes", id: newId("attributes"), hidden: true });
    const button = el(
      "button",
      {
        type: "button", class: "link", "aria-expanded": "false", "aria-controls": attributes.id,
        onclick: () => {
          const closed = !attributes.hidden;
          if (!attributes.firstChild) fill(attributes, span, trace);
          attributes.hidden = closed;
          button.setAttribute("aria-expanded", String(!closed));
        },
      },
      el("span", { class: "service" }, span.service), " ",
      el("span", { class: "mono" }, span.name),
    );
    const queue = span.queue === null ? 0 : Math.min(span.queue, span.duration);
    const bar = place(el("div", { class: span.error ? "bar failed" : `bar ${span.kind}` }), span.start, span.duration);
    if (queue > 0) {
      const waiting = el("div", { class: "queue" });
      waiting.style.width = `${(100 * queue) / span.duration}%`;
      bar.append(waiting);
    }
    const phases = span.queue === null ? null : `in queue ${nanos(queue)}, processing ${nanos(span.duration - queue)}`;
    const name = el("div", { class: "name" }, button, el("span", { class: `answer${span.error ? " failed" : ""}` }, span.answer));
    name.style.paddingLeft = `${Math.min(span.depth, 12) * 0.9}rem`;
    return el(
      "li",
      { "data-span": span.id, "data-depth": span.depth, "data-duration": span.duration, "data-queue": span.queue },
      el(
        "div", { class: "span" },
        name,
        el("div", { class: "track", title: phases }, bar),
        el("div", { class: "number" }, nanos(span.duration), phases ? el("span", { class: "visually-hidden" }, `, ${phases}`) : null),
      ),
      attributes,
    );
  }

  return el(
    "div",
    { class: "waterfall", role: "region", "aria-label": `Trace ${trace.id}` },
    el(
      "div", { class: "tools" },
      el("h3", { tabindex: "-1" }, `${trace.spans[0].service} ${trace.spans[0].name}: ${nanos(trace.duration)}, ${plural(trace.spans.length + trace.left_out, "span")}`),
      el("button", { type: "button", onclick: close }, "Close"),
    ),
    el("p", { class: "note mono" }, trace.id),
    trace.left_out > 0 ? note(`The first ${trace.spans.length} spans; ${count(trace.left_out)} more are not shown.`) : null,
    el(
      "ul", { class: "key", "aria-label": "Key" },
      [["queue", "in queue"], ["server", "server, processing"], ["client", "client"], ["failed", "error"]].map(([kind, text]) =>
        el("li", {}, el("span", { class: `swatch ${kind}` }), text)),
    ),
    el("div", { class: "axis", "aria-hidden": "true" }, el("span"), el("div", { class: "ticks" }, ticks), el("span")),
    el("ol", { class: "spans" }, trace.spans.map(row)),
  );
}

function fill(list, span, trace) {
  const pairs = [
    ["kind", span.kind],
    ["start", `${nanos(span.start)} after the trace's`],
    ["duration", nanos(span.duration)],
    ...(span.queue === null ? [] : [["in queue", nanos(span.queue)], ["processing", nanos(Math.max(span.duration - span.queue, 0))]]),
    ["trace id", trace.id],
    ["span id", span.id],
    ["parent span id", span.parent || "none"],
    ...span.attributes,
  ];
  list.append(...pairs.flatMap(([key, value]) => [el("dt", {}, key), el("dd", {}, value)]));
}
