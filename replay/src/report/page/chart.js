// Charts: each with a title, a description, and a table that says the same.

const drawn = new Set();

/** Colours as the style has them, which depend on the theme. */
function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/**
 * A chart. `option()` makes what ECharts draws, anew for each theme; `text()` describes it; `alternative()` makes its table.
 * It is drawn when it comes into view, so that a page opens quickly.
 */
function chart({ id, title, height, option, text, alternative, width }) {
  const canvas = el("div", { class: "canvas", role: "img", id });
  canvas.style.height = `${height}px`;
  if (width) canvas.style.width = `${width}px`;
  const details = el("details", { class: "alternative" }, el("summary", {}, "As a table"));
  const figure = el(
    "figure",
    {},
    el("figcaption", {}, title),
    el("div", width ? { class: "frame", role: "region", tabindex: "0", "aria-label": title } : { class: "frame" }, canvas),
    alternative ? details : null,
  );
  let instance = null;

  function draw() {
    if (!instance) {
      instance = redtapeCharts.init(canvas, null, { renderer: "svg" });
      new ResizeObserver(() => instance.resize()).observe(canvas);
    }
    instance.setOption({ animation: false, ...option() }, true);
  }

  function update() {
    canvas.setAttribute("aria-label", text());
    if (instance) draw();
    if (details.open) fill();
  }

  function fill() {
    details.querySelector(".table")?.remove();
    details.append(alternative());
  }

  details.addEventListener("toggle", () => details.open && fill());
  const seen = new IntersectionObserver((entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    seen.disconnect();
    draw();
  }, { rootMargin: "300px" });
  seen.observe(canvas);
  update();
  drawn.add(update);
  return { figure, update };
}

/** Draws all charts anew: the theme has changed. */
function redraw() {
  drawn.forEach((update) => update());
}

/** What axes and tooltips have in common. */
function look() {
  const [text, muted, line, surface] = ["text", "muted", "line", "surface"].map(colour);
  const fontFamily = getComputedStyle(document.body).fontFamily;
  const font = { color: muted, fontSize: 12, fontFamily };
  return {
    textStyle: { fontFamily },
    aria: { enabled: false },
    axis: {
      axisLabel: font,
      axisLine: { lineStyle: { color: line } },
      axisTick: { show: false },
      splitLine: { lineStyle: { color: line } },
      nameTextStyle: font,
    },
    tooltip: {
      backgroundColor: surface,
      borderColor: line,
      textStyle: { color: text, fontSize: 13, fontFamily },
      confine: true,
      transitionDuration: 0,
    },
    legend: { textStyle: { ...font, color: text }, itemWidth: 14, itemHeight: 8, icon: "roundRect", left: 0, top: 0 },
  };
}

/** A tooltip of lines: a heading, and pairs of name and value. */
function tip(heading, pairs) {
  return el(
    "div",
    { class: "tip" },
    el("strong", {}, heading),
    el("dl", {}, pairs.map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])),
  );
}
