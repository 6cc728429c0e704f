// Numbers and times for people, as `redtape replay` writes them.

/** A duration in the unit that suits it. */
function nanos(value) {
  const fixed = (unit, digits) => {
    const scale = 10 ** digits;
    const scaled = Math.floor((value * scale) / unit) / scale;
    return scaled.toFixed(digits);
  };
  if (value < 1e3) return `${value}ns`;
  if (value < 1e6) return `${fixed(1e3, 1)}us`;
  if (value < 1e9) return `${fixed(1e6, 2)}ms`;
  return `${fixed(1e9, 2)}s`;
}

const count = (value) => value.toLocaleString("en-US");

/** A rate that is given in a thousand seconds. */
const perSecond = (milli) => `${Math.floor(milli / 1000)}.${String(milli % 1000).padStart(3, "0")}`;

function percent(part, whole) {
  if (whole === 0) return "–";
  const share = (100 * part) / whole;
  return `${share === 0 || share >= 10 ? share.toFixed(0) : share.toFixed(share < 0.1 ? 2 : 1)} %`;
}

/** `one` or `many`, with the number. */
const plural = (number, one, many) => `${count(number)} ${number === 1 ? one : many || `${one}s`}`;

/** The time of day in UTC, as fine as `width` nanoseconds need it. */
function clock(ms, width) {
  const text = new Date(ms).toISOString();
  if (width >= 60e9) return text.slice(11, 16);
  return width >= 1e9 ? text.slice(11, 19) : text.slice(11, 23);
}

/** Date and time in UTC from microseconds. */
function moment(us) {
  const seconds = new Date(Math.floor(us / 1e6) * 1000).toISOString().slice(0, 19);
  return `${seconds.replace("T", " ")}.${String(us % 1e6).padStart(6, "0")}`;
}
