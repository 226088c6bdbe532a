// What came in and went out in the last half hour, and how long requests took.

const $ = (id) => document.getElementById(id);
const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });

// A colour of the style sheet, as it is just now, light or dark.
function colour(name) {
  const probe = document.createElement('span');
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

const made = new Map();
const size = (place) => ({ width: Math.max(200, place.clientWidth), height: 180 });
function fit() {
  for (const [id, one] of made) one.setSize(size($(id)));
}
addEventListener('resize', fit);
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', fit);

// Draws columns into the place of this id; the first column is the time. Where values may stand alone each is a dot.
function plot(id, unit, lines, columns, alone) {
  const place = $(id);
  const told = (value) => (value === null || value === undefined ? '–' : `${value.toFixed(value < 10 ? 1 : 0)} ${unit}`);
  place.setAttribute('aria-label', lines.map(({ label }, n) => `${label} ${told(columns[n + 1].at(-2))}`).join(', '));
  if (made.has(id)) return made.get(id).setData(columns);
  const axis = { stroke: () => colour('--soft'), grid: { stroke: () => colour('--line'), width: 1 }, ticks: { show: false } };
  const options = {
    ...size(place),
    scales: { y: { range: (_, __, most) => [0, 1.1 * Math.max(1, most ?? 0)] } },
    axes: [{ ...axis, space: 70, values: (_, at) => at.map(clock) }, { ...axis, size: 50 }],
    series: [
      { label: 'At', value: (_, at) => (at ? clock(at) : '–') },
      ...lines.map(({ label, color }) => ({ label, width: 2, points: { show: alone, size: 4 }, stroke: () => colour(color), value: (_, value) => told(value) })),
    ],
  };
  made.set(id, new window.uPlot(options, columns, place));
}

let denied = false;

// `ask` fetches from the API; who is no admin sees no plots.
export async function plots(ask) {
  if (!window.uPlot || denied) return;
  const columns = await ask('GET', '/api/supervision/pulse').catch((problem) => {
    denied = problem.status === 403;
  });
  $('plots').hidden = !columns;
  if (!columns) return;
  const { at, received, sent, p50Ms, p99Ms } = columns;
  const messages = [{ label: 'Received', color: '--accent' }, { label: 'Sent', color: '--danger' }];
  plot('plot-messages', '/s', messages, [at, received, sent], false);
  const times = [{ label: 'Half', color: '--accent' }, { label: '99 %', color: '--danger' }];
  plot('plot-times', 'ms', times, [at, p50Ms, p99Ms], true);
}
