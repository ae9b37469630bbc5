/** The picture's size, and the plot's place in it. */
const [WIDTH, HEIGHT] = [720, 400];
const PLOT = { left: 70, right: 690, top: 50, bottom: 340 };

/**
 * Draws how long reconciles take against the number of stores, both on logarithmic axes, so that a straight line of slope 1
 * is a cost that is the same for every store.
 *
 * @param {readonly { stores: number, timeMs: number, rawMs: number }[]} points from the fewest stores to the most
 * @returns {string} an SVG that is read on light and dark pages alike
 */
export function growthChart(points) {
  const times = points.flatMap(({ timeMs, rawMs }) => [timeMs, rawMs]);
  const across = axis(points[0].stores, points.at(-1).stores, PLOT.left, PLOT.right);
  const up = axis(Math.min(...times), Math.max(...times), PLOT.bottom, PLOT.top);
  const line = (name) => points.map((point) => `${across.at(point.stores)},${up.at(point[name])}`).join(" ");
  const dots = (name) =>
    points.map((point) => `<circle cx="${across.at(point.stores)}" cy="${up.at(point[name])}" r="3.5"/>`).join("");
  const columns = across.ticks.map((stores) => {
    const x = across.at(stores);
    return `<line x1="${x}" y1="${PLOT.top}" x2="${x}" y2="${PLOT.bottom}"/><text x="${x}" y="${PLOT.bottom + 20}" text-anchor="middle">${stores.toLocaleString("en")}</text>`;
  });
  const rows = up.ticks.map((time) => {
    const y = up.at(time);
    return `<line x1="${PLOT.left}" y1="${y}" x2="${PLOT.right}" y2="${y}"/><text x="${PLOT.left - 8}" y="${y + 4}" text-anchor="end">${inWords(time)}</text>`;
  });
  const middle = (PLOT.left + PLOT.right) / 2;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" role="img" aria-label="Time of a reconcile that writes every store, against the number of stores">
<style>
  text { font: 12px system-ui, sans-serif; fill: #57606a }
  .grid line { stroke: #8c959f; stroke-opacity: 0.35 }
  .program { fill: #0969da; stroke: #0969da } .program polyline { fill: none; stroke-width: 2 }
  .raw { fill: #bc4c00; stroke: #bc4c00 } .raw polyline { fill: none; stroke-width: 2; stroke-dasharray: 6 4 }
  @media (prefers-color-scheme: dark) {
    text { fill: #9198a1 }
    .program { fill: #4493f8; stroke: #4493f8 }
    .raw { fill: #f0883e; stroke: #f0883e }
  }
</style>
<g class="grid">${[...columns, ...rows].join("\n")}</g>
<g class="raw"><polyline points="${line("rawMs")}"/>${dots("rawMs")}</g>
<g class="program"><polyline points="${line("timeMs")}"/>${dots("timeMs")}</g>
<g class="program"><line x1="${PLOT.left}" y1="24" x2="${PLOT.left + 28}" y2="24" stroke-width="2"/></g>
<text x="${PLOT.left + 36}" y="28">credsyncd: one reconcile that writes every store</text>
<g class="raw"><line x1="400" y1="24" x2="428" y2="24" stroke-width="2" stroke-dasharray="6 4"/></g>
<text x="436" y="28">as many durable replaces, nothing around them</text>
<text x="${middle}" y="${HEIGHT - 14}" text-anchor="middle">stores</text>
</svg>
`;
}

/** A logarithmic axis over whole powers of ten. */
function axis(least, most, start, end) {
  const [from, to] = [Math.floor(Math.log10(least)), Math.ceil(Math.log10(most))];
  const ticks = Array.from({ length: to - from + 1 }, (_, index) => 10 ** (from + index));
  const at = (value) => Math.round((start + ((Math.log10(value) - from) / (to - from)) * (end - start)) * 10) / 10;
  return { ticks, at };
}

function inWords(timeMs) {
  return timeMs < 1000 ? `${timeMs} ms` : `${timeMs / 1000} s`;
}
